"""
A client of AWS for the key stores (extra `aws`), and what AWS says when something fails, in our words.

Credentials and endpoint are those of the environment (`AWS_…`). An error never quotes what was sent.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import SecretStr

from dmarcops.dkim.key import parse_key
from dmarcops.errors import ConfigError, DmarcopsError, EdgeError
from dmarcops.ports import Finding, problem
from dmarcops.settings import Settings

ABSENT = ("invalid", "doctor")
"""Domain and selector of a key that there never is (RFC 6761 section 6.4)."""
_TRANSIENT = frozenset(
    ("ThrottlingException", "Throttling", "TooManyUpdates", "RequestLimitExceeded", "InternalServiceError")
)
_DENIED = frozenset(("AccessDeniedException", "UnrecognizedClientException", "InvalidClientTokenId"))
_SERVER_ERROR = 500
_SECONDS = 20


class AwsConfig(Settings):
    """What both stores of AWS can be told."""

    profile: str = ""
    """A profile of the AWS configuration; the environment decides when it is empty."""
    region: str = ""
    """The region; the environment decides when it is empty."""
    kms_key_id: str = ""
    """The KMS key that AWS encrypts with; the account's own for the service when it is empty."""
    passphrase: SecretStr | None = None
    """What keys are encrypted with (PKCS#8) before AWS gets them; plain when not given."""


class Answered(Exception):
    """
    AWS answered with an error code.

    Args:
        code: The code.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def client(service: str, config: AwsConfig) -> Any:  # noqa: ANN401 - boto3 makes its clients' classes at run time
    """
    Return a client of a service; asks nothing yet.

    Raises:
        ConfigError: boto3 is not installed, or knows no region.
        EdgeError: The profile or the credentials cannot be used.
    """
    try:
        import boto3  # noqa: PLC0415 - an extra, and slow to import
        from botocore.config import Config  # noqa: PLC0415 - same
        from botocore.exceptions import NoRegionError  # noqa: PLC0415 - same
    except ImportError as error:
        raise ConfigError("keys in AWS need boto3", hint="pip install 'dmarcops[aws]'") from error
    retries = Config(
        retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=_SECONDS, read_timeout=_SECONDS
    )
    with told(f"start {service}"):
        session: Any = boto3.Session(profile_name=config.profile or None, region_name=config.region or None)
        try:
            return session.client(service, config=retries)
        except NoRegionError as error:
            raise ConfigError(
                "AWS needs a region for the key store", hint="set region, or AWS_DEFAULT_REGION"
            ) from error


@contextmanager
def told(what: str, *, expected: frozenset[str] = frozenset()) -> Iterator[None]:
    """
    Turn errors of boto3 into ours.

    Args:
        what: What is tried, for a person.
        expected: Codes that the caller handles, as `Answered`.

    Raises:
        Answered: AWS answered with one of the expected codes.
        EdgeError: Anything else.
    """
    from botocore.exceptions import (  # noqa: PLC0415 - an extra, and slow to import
        BotoCoreError,
        ClientError,
        EndpointConnectionError,
        HTTPClientError,
        NoCredentialsError,
        ParamValidationError,
    )

    try:
        yield
    except ClientError as error:
        code = str(error.response["Error"].get("Code", ""))
        if code in expected:
            raise Answered(code) from error
        raise _refused(what, code, error.response) from error
    except (EndpointConnectionError, HTTPClientError) as error:
        raise EdgeError(f"AWS cannot be reached to {what}: {type(error).__name__}", transient=True) from error
    except NoCredentialsError as error:
        hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile, or give the machine a role"
        raise EdgeError(f"there are no AWS credentials to {what}", hint=hint) from error
    except ParamValidationError:
        # `from None`: it quotes what was sent
        raise EdgeError(f"AWS cannot {what}: a value is not valid", hint="check prefix and kms_key_id") from None
    except BotoCoreError as error:
        raise EdgeError(f"AWS cannot {what}: {error}") from error


def can_read(load: Callable[[], object], prefix: str) -> Sequence[Finding]:
    """Give what came of reading a key that is not there: whether one that is could be read."""
    try:
        load()
    except DmarcopsError as error:
        return problem(error)
    return (Finding("ok", f"AWS lets us read below {prefix}"),)


def sealed(pem: bytes, config: AwsConfig) -> str:
    """Return a key as it is sent, encrypted when there is a passphrase."""
    return parse_key(pem, override=True).pem(_passphrase(config)).decode()


def opened(text: str, config: AwsConfig) -> bytes:
    """Return a key as it was given."""
    return parse_key(text.encode(), _passphrase(config), override=True).pem()


def _passphrase(config: AwsConfig) -> bytes | None:
    return config.passphrase.get_secret_value().encode() if config.passphrase else None


def _refused(what: str, code: str, response: Any) -> EdgeError:  # noqa: ANN401 - as boto3 gives it
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    hint = "allow it in the policy of this user or role" if code in _DENIED else ""
    transient = code in _TRANSIENT or status >= _SERVER_ERROR
    return EdgeError(f"AWS answers {code} to the try to {what}", transient=transient, hint=hint)
