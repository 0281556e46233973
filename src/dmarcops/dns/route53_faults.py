"""What Route 53 and boto3 say when something fails, in our words."""

from collections.abc import Iterator
from contextlib import contextmanager

from dmarcops.errors import ConfigError, DnsError

_INVALID = frozenset({"InvalidChangeBatch", "InvalidInput"})
_TRANSIENT = frozenset({"Throttling", "ThrottlingException", "PriorRequestNotComplete", "ServiceUnavailable"})
_POLICY = "allow it as infra/iam-route53.json shows"
_HINTS = {
    "AccessDenied": _POLICY,
    "AccessDeniedException": _POLICY,
    "NoSuchHostedZone": "the zone was deleted, or is of another account: run again to have the zones listed anew",
    "InvalidClientTokenId": "the access key is unknown: see AWS_ACCESS_KEY_ID or the profile",
    "SignatureDoesNotMatch": "the secret access key is wrong: see AWS_SECRET_ACCESS_KEY or the profile",
    "ExpiredToken": "the session is over: log in again",
    "Throttling": "something else uses the account's requests too; run again",
    "PriorRequestNotComplete": "something else changes the zone at the same time; run again",
    "NoSuchChange": "the change is of another account, or long done: ask DNS",
}


class InvalidBatch(DnsError):
    """Route 53 says that a change does not fit what is there, or cannot be; nothing was changed."""


@contextmanager
def told(what: str) -> Iterator[None]:
    """
    Turn errors of boto3 into `DnsError`.

    Args:
        what: What was tried, for a person.

    Raises:
        ConfigError: boto3 is not installed.
    """
    try:
        from botocore.exceptions import (  # noqa: PLC0415 - an extra, and slow to import
            BotoCoreError,
            ClientError,
            EndpointConnectionError,
            HTTPClientError,
            NoCredentialsError,
        )
    except ImportError as error:
        raise ConfigError("Route 53 needs boto3", hint="pip install 'dmarcops[aws]'") from error
    try:
        yield
    except ClientError as error:
        said = error.response["Error"]
        code, status = said.get("Code", ""), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        message = f"Route 53 answers {code} to the try to {what}: {said.get('Message', '')}"
        if code in _INVALID:
            raise InvalidBatch(message) from error
        transient = code in _TRANSIENT or status >= 500  # noqa: PLR2004 - HTTP's errors of the server
        raise DnsError(message, transient=transient, hint=_HINTS.get(code, "")) from error
    except (EndpointConnectionError, HTTPClientError) as error:
        raise DnsError(f"Route 53 cannot be reached to {what}: {error}", transient=True) from error
    except NoCredentialsError as error:
        hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile, or give the machine a role"
        raise DnsError(f"there are no AWS credentials to {what}", hint=hint) from error
    except BotoCoreError as error:
        raise DnsError(f"boto3 cannot {what}: {error}") from error
