"""
Objects of an S3 bucket as messages: fetched to the spool, and moved below a prefix when they are handled.

What the sources `s3` and `sqs` have in common. Credentials come from where AWS tools look for them (environment,
profile, instance role) and are never seen here. An object that was replaced since it was read is not touched.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dmarcops.errors import ConfigError, MailError
from dmarcops.mail.spool import Bounds, Fetched, Spool, Withheld, bad, good, printable, too_big
from dmarcops.ports import Finding, Handling

_CHUNK = 1024 * 1024
_TRANSIENT = frozenset(
    (
        *("InternalError", "ServiceUnavailable", "RequestTimeout", "RequestTimeoutException", "OverLimit"),
        *("SlowDown", "Throttling", "ThrottlingException", "RequestThrottled", "KmsThrottled"),
    )
)
_GONE = frozenset(("NoSuchKey", "404", "NotFound", "NoSuchVersion"))
_CHANGED = frozenset(("PreconditionFailed", "412"))
_DENIED = frozenset(("AccessDenied", "403", "AllAccessDisabled", "InvalidObjectState"))
_FAILED = 500

ERRORS_PER_CALL = 5
"""How often a call is tried before it has failed."""


class BucketConfig(Bounds):
    """What `s3` and `sqs` are both told."""

    bucket: str
    """The bucket; objects of no other are read."""
    prefix: str = ""
    """Only keys that begin so."""
    archive: str | None = None
    """Handled objects are moved below this prefix (`done/`); absent: they stay."""
    invalid: str | None = None
    """Objects of which something was not stored are moved below this prefix; absent: where all handled ones go."""
    region: str | None = None
    """The region; absent: where AWS tools look for it."""
    profile: str | None = None
    """The profile of the AWS configuration files."""
    endpoint_url: str | None = None
    """Another server than AWS's; absent: the `AWS_ENDPOINT_URL…` variables, then AWS."""


@dataclass(frozen=True, slots=True)
class Item:
    """An object as a listing or a request for its head shows it."""

    key: str
    etag: str
    size: int


def client(service: Literal["s3", "sqs"], config: BucketConfig) -> Any:  # noqa: ANN401 - boto3 makes its clients' classes
    """
    Give a client of a service.

    Raises:
        ConfigError: boto3 is not installed, or is told something impossible.
    """
    try:
        import boto3  # noqa: PLC0415 - an extra
        from botocore.config import Config  # noqa: PLC0415 - an extra
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError("S3 needs boto3", hint="pip install 'dmarcops[aws]'") from error
    settings = Config(
        retries={"mode": "standard", "max_attempts": ERRORS_PER_CALL}, connect_timeout=10, read_timeout=60
    )
    try:
        # A session of our own: the default one is not safe for threads.
        session = boto3.session.Session(profile_name=config.profile, region_name=config.region)
        return session.client(service, endpoint_url=config.endpoint_url, config=settings)
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(f"{service}: {error}", hint="look at region, profile and endpoint_url") from error


def code_of(error: Exception) -> str:
    """Give AWS's code of an error, empty when it is none of AWS's."""
    response: dict[str, dict[str, str]] = getattr(error, "response", {})
    return response.get("Error", {}).get("Code", "")


def failure(what: str, error: Exception) -> MailError:
    """Make an error of boto3 ours."""
    response: dict[str, dict[str, int]] = getattr(error, "response", {})
    code = code_of(error)
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", _FAILED)
    is_configured = type(error).__name__ not in ("NoCredentialsError", "PartialCredentialsError", "NoRegionError")
    hint = "" if is_configured else "set the AWS_* variables, a profile or a role"
    if code in _DENIED:
        hint = "look at the policy of the user or role, and of the bucket or queue"
    transient = is_configured and (not code or code in _TRANSIENT or status >= _FAILED)
    return MailError(f"{what}: {code or type(error).__name__}: {error}", transient=transient, hint=hint)


class Bucket:
    """
    A bucket: gives its objects, and moves them.

    Args:
        config: What was configured.
        folder: Where fetched objects go.
    """

    def __init__(self, config: BucketConfig, folder: Path) -> None:
        self._config = config
        self._spool = Spool(folder)
        self._client: Any = None

    @property
    def client(self) -> Any:  # noqa: ANN401 - boto3 makes its clients' classes
        """The client, made when it is first needed."""
        if self._client is None:
            self._client = client("s3", self._config)
        return self._client

    def origin(self, key: str) -> str:
        """Give the ledger's name of an object."""
        return printable(f"s3://{self._config.bucket}/{key}")

    def is_wanted(self, key: str) -> bool:
        """Tell whether a key is below our prefix, and neither a folder's placeholder nor one that we moved."""
        moved = tuple(prefix for prefix in (self._config.archive, self._config.invalid) if prefix)
        return key.startswith(self._config.prefix) and not key.endswith("/") and not (moved and key.startswith(moved))

    def items(self) -> Iterator[tuple[Item, str]]:
        """
        List the objects, page by page, each with the time when it was last changed.

        Raises:
            MailError: They cannot be listed.
        """
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self._config.bucket, Prefix=self._config.prefix
        )
        try:
            for page in pages:
                for found in page.get("Contents", ()):
                    if self.is_wanted(found["Key"]):
                        item = Item(found["Key"], found["ETag"], found["Size"])
                        yield item, found["LastModified"].strftime("%Y-%m-%dT%H:%M:%SZ")
        except self._errors() as error:
            raise failure(f"cannot list s3://{self._config.bucket}/{self._config.prefix}", error) from error

    def fetch(self, key: str, etag: str = "") -> tuple[Item, Fetched | Withheld] | None:
        """
        Fetch an object; `None` when it is gone.

        One that we may not read, or that is too big, is given as one that is not to be read.

        Args:
            key: Its key.
            etag: What it is to be, when that is known; another one in its place counts as gone.

        Raises:
            MailError: It cannot be fetched now.
        """
        origin = self.origin(key)
        condition = {"IfMatch": etag} if etag else {}
        try:
            got = self.client.get_object(Bucket=self._config.bucket, Key=key, **condition)
            item = Item(key, got["ETag"], got["ContentLength"])
            with closing(got["Body"]) as body:
                # The size is known before the body is read.
                if item.size > self._config.max_message_bytes:
                    return item, too_big(origin, item.size, self._config.max_message_bytes)
                return item, self._spool.write(origin, body.iter_chunks(_CHUNK), self._config.max_message_bytes)
        except self._errors() as error:
            self._spool.forget(origin)
            code = code_of(error)
            if code in _GONE | _CHANGED:
                return None  # moved by another worker, or replaced: met again as what it is now
            if code in _DENIED:
                # As it is now, since a policy can be mended.
                denied = Withheld(origin, "denied", f"reading it is not allowed ({code})", "retry")
                return Item(key, etag, 0), denied
            raise failure(f"cannot fetch {origin}", error) from error

    def forget(self, key: str) -> None:
        """Delete the file of a fetched object."""
        self._spool.forget(self.origin(key))

    def file(self, item: Item, handling: Handling) -> None:
        """
        Move a handled object, if it is to be moved; one that is gone or was replaced is left.

        Raises:
            MailError: It cannot be moved.
        """
        prefix = self._destination(handling)
        if prefix is None or handling is Handling.LEAVE:
            return
        bucket = self._config.bucket
        source = {"Bucket": bucket, "Key": item.key}
        try:
            self.client.copy_object(
                Bucket=bucket, Key=self._moved(item.key, prefix), CopySource=source, CopySourceIfMatch=item.etag
            )
            # Deleting has no condition on every server: this keeps the time short in which a new one could be lost.
            self.client.head_object(Bucket=bucket, Key=item.key, IfMatch=item.etag)
            self.client.delete_object(Bucket=bucket, Key=item.key)
        except self._errors() as error:
            if code_of(error) in _GONE | _CHANGED:
                return
            raise failure(f"cannot move {self.origin(item.key)} below {prefix}", error) from error

    def tag(self, item: Item, name: str, value: str) -> None:
        """
        Give an object a tag beside those that it has.

        Raises:
            MailError: It cannot be tagged.
        """
        place = {"Bucket": self._config.bucket, "Key": item.key}
        try:
            tags = self.client.get_object_tagging(**place)["TagSet"]
            kept = [tag for tag in tags if tag["Key"] != name]
            self.client.put_object_tagging(**place, Tagging={"TagSet": [*kept, {"Key": name, "Value": value}]})
        except self._errors() as error:
            if code_of(error) not in _GONE:
                raise failure(f"cannot tag {self.origin(item.key)}", error) from error

    def is_moved(self, key: str) -> bool:
        """
        Tell whether an object that is gone was handled and moved.

        Raises:
            MailError: It cannot be asked.
        """
        prefixes = (self._destination(Handling.ARCHIVE), self._destination(Handling.INVALID))
        return any(self._is_there(self._moved(key, prefix)) for prefix in dict.fromkeys(prefixes) if prefix)

    def close(self) -> None:
        """Delete what was fetched."""
        self._spool.clear()
        if self._client is not None:
            self._client.close()
            self._client = None

    def check(self) -> Sequence[Finding]:
        """See that the bucket can be listed."""
        try:
            self.client.list_objects_v2(Bucket=self._config.bucket, Prefix=self._config.prefix, MaxKeys=1)
        except self._errors() as error:
            found = failure(f"cannot list s3://{self._config.bucket}", error)
            return bad(str(found), found.hint)
        except ConfigError as error:
            return bad(str(error), error.hint)
        return good(f"s3://{self._config.bucket}/{self._config.prefix} can be listed")

    def _destination(self, handling: Handling) -> str | None:
        if handling is Handling.INVALID and self._config.invalid is not None:
            return self._config.invalid
        return self._config.archive

    def _moved(self, key: str, prefix: str) -> str:
        return prefix + key.removeprefix(self._config.prefix)

    def _is_there(self, key: str) -> bool:
        try:
            self.client.head_object(Bucket=self._config.bucket, Key=key)
        except self._errors() as error:
            if code_of(error) in _GONE | _DENIED:
                return False
            raise failure(f"cannot look at {self.origin(key)}", error) from error
        return True

    @staticmethod
    def _errors() -> tuple[type[Exception], ...]:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - an extra, there since `client`

        return BotoCoreError, ClientError
