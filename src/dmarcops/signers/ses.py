"""
Amazon SES: a key of one's own for an identity (BYODKIM), by `PutEmailIdentityDkimSigningAttributes` of sesv2.

SES holds one external key for an identity, so the call is the switch, there is no file and no way to read a key back,
and no restoring: a call that fails changes nothing. RSA of 1024 or 2048 bits only. SES then looks for the record by
itself; until its status is SUCCESS mail may go out unsigned, so the record has to be out for long before.
"""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol, TypedDict, cast

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from dmarcops.errors import ConfigError, SignerError, UnsafeChangeError
from dmarcops.ports import SigningKey
from dmarcops.report.model import Domain, Selector
from dmarcops.settings import Duration, Settings, parse_duration
from dmarcops.signers.keys import check, check_names
from dmarcops.signers.reload import shown

_BITS = frozenset((1024, 2048))
_SELECTOR = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_OWN = "EXTERNAL"
_PASSING = frozenset(
    ("TooManyRequestsException", "Throttling", "ThrottlingException", "ConcurrentModificationException")
)
_WELL = frozenset(("SUCCESS", "PENDING", "TEMPORARY_FAILURE"))
_SERVER_FAULT = 500


class _Dkim(TypedDict, total=False):
    """`DkimAttributes` of sesv2."""

    SigningAttributesOrigin: str
    SigningEnabled: bool
    Status: str
    Tokens: Sequence[str]


class _Client(Protocol):
    """The two calls of sesv2, and the errors it raises."""

    def get_email_identity(self, *, EmailIdentity: str) -> Mapping[str, _Dkim]:  # noqa: N803 - sesv2's name
        ...

    def put_email_identity_dkim_signing_attributes(
        self,
        *,
        EmailIdentity: str,  # noqa: N803 - sesv2's name
        SigningAttributesOrigin: str,  # noqa: N803 - sesv2's name
        SigningAttributes: Mapping[str, str],  # noqa: N803 - sesv2's name
    ) -> object: ...


class Config(Settings):
    """Settings of an Amazon SES account; the usual `AWS_*` variables count as well."""

    region: str | None = None
    """Region of the identities; each region holds its own."""
    profile: str | None = None
    """Profile of the AWS configuration."""
    replace_easy_dkim: bool = False
    """Whether Easy DKIM may be given up for a key of one's own; mail may go out unsigned until SES found the record."""
    timeout: Duration = parse_duration("20s")
    """How long one request may take."""


class Adapter:
    """The identities of an Amazon SES account."""

    algorithms = frozenset({"rsa"})

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        self._config = config

    def current(self, domain: Domain, algorithm: str) -> Selector | None:
        """Give the selector of the identity's own key; `None` under Easy DKIM."""
        return _selector(self._fetch(self._client(), domain)) if algorithm in self.algorithms else None

    def use(self, key: SigningKey) -> None:
        """Give the key to SES; nothing is sent again when it has that selector and a key that works."""
        loaded = check(key, self.algorithms)
        if loaded.bits not in _BITS:
            raise ConfigError(f"SES takes no RSA key of {loaded.bits} bits", hint="set bits = 2048 for this domain")
        if not _SELECTOR.fullmatch(key.selector):
            raise ConfigError(f"SES takes no selector like {key.selector}", hint="one label: letters, digits, hyphens")
        client = self._client()
        before = self._fetch(client, key.domain)
        self._refuse_easy_dkim(before, key.domain)
        if _selector(before) != key.selector or before.get("Status") not in _WELL:
            self._put(client, key)
        after = self._fetch(client, key.domain)
        if _selector(after) != key.selector or after.get("Status") not in _WELL:
            raise SignerError(
                f"SES was given {key.selector} for {key.domain}, has {_selector(after)}, status {after.get('Status')}",
                transient=True,
            )
        if after.get("SigningEnabled") is False:
            raise SignerError(f"SES has the key of {key.domain}, but signing is off", hint="turn DKIM on for it")

    def forget(self, domain: Domain, selector: Selector) -> None:
        """Do nothing: SES holds no key but the one in use."""
        check_names(domain, selector)
        if self.current(domain, "rsa") == selector:
            raise UnsafeChangeError("key-in-use", f"SES signs mail of {domain} with {selector}")

    def _refuse_easy_dkim(self, attributes: _Dkim, domain: Domain) -> None:
        is_easy = attributes.get("SigningAttributesOrigin", _OWN) != _OWN and attributes.get("Tokens")
        if is_easy and not self._config.replace_easy_dkim:
            raise UnsafeChangeError(
                "easy-dkim",
                f"SES signs mail of {domain} by Easy DKIM",
                hint="set replace_easy_dkim = true when mail may be unsigned until SES found the record",
            )

    def _put(self, client: _Client, key: SigningKey) -> None:
        der = load_pem_private_key(key.pem, password=None).private_bytes(
            Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()
        )
        with _faults(f"give SES the key of {key.domain}"):
            client.put_email_identity_dkim_signing_attributes(
                EmailIdentity=key.domain,
                SigningAttributesOrigin=_OWN,
                SigningAttributes={
                    "DomainSigningSelector": key.selector,
                    "DomainSigningPrivateKey": base64.b64encode(der).decode("ascii"),
                },
            )

    def _client(self) -> _Client:
        try:
            import boto3  # noqa: PLC0415 - an extra, and slow to import
            from botocore.config import Config as ClientConfig  # noqa: PLC0415 - same
            from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - same
        except ImportError as error:
            raise ConfigError("Amazon SES needs boto3", hint="pip install 'dmarcops[aws]'") from error
        seconds = self._config.timeout.total_seconds()
        try:
            session = boto3.Session(region_name=self._config.region, profile_name=self._config.profile)
            client = session.client(
                "sesv2",
                config=ClientConfig(
                    connect_timeout=seconds, read_timeout=seconds, retries={"mode": "standard", "max_attempts": 5}
                ),
            )
        except BotoCoreError as error:
            raise ConfigError(f"[signers.{self.name}]: {error}") from error
        return cast("_Client", client)

    @staticmethod
    def _fetch(client: _Client, domain: Domain) -> _Dkim:
        with _faults(f"ask SES for {domain}"):
            return client.get_email_identity(EmailIdentity=domain).get("DkimAttributes", {})


def _selector(attributes: _Dkim) -> Selector | None:
    """Give the selector of a key of one's own; the tokens of Easy DKIM are something else."""
    tokens = attributes.get("Tokens")
    is_own = attributes.get("SigningAttributesOrigin") == _OWN
    return Selector(tokens[0]) if is_own and tokens else None


@contextmanager
def _faults(deed: str) -> Iterator[None]:
    """Turn what boto3 raises into an error of ours; neither quotes the key."""
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError  # noqa: PLC0415 - an extra

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        message = error.response.get("Error", {}).get("Message", "")
        transient = code in _PASSING or status >= _SERVER_FAULT
        # `from None`: the error holds the request
        raise SignerError(f"cannot {deed}: {code}: {shown(message)}", transient=transient) from None
    except ParamValidationError:
        # `from None`: the report quotes what was not valid
        raise SignerError(f"cannot {deed}: boto3 does not take the request") from None
    except BotoCoreError as error:
        raise SignerError(f"cannot {deed}: {shown(str(error))}", transient=True) from None
