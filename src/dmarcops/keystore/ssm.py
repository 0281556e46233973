"""
Private keys in AWS Systems Manager (extra `aws`), one `SecureString` parameter each: `PREFIX/DOMAIN/SELECTOR`.

A parameter is created and never changed. Credentials and endpoint are those of the environment (`AWS_…`,
`AWS_ENDPOINT_URL_SSM`).
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

from pydantic import Field

from dmarcops.errors import ConfigError, UnsafeChangeError
from dmarcops.keystore.aws_client import ABSENT, Answered, AwsConfig, can_read, client, opened, sealed, told
from dmarcops.ports import Finding, SigningKey

_SCHEME = "ssm:"
_ABSENT = frozenset(("ParameterNotFound",))
_TAKEN = frozenset(("ParameterAlreadyExists",))


class Config(AwsConfig):
    """Section `[keys]` with `kind = "ssm"`."""

    kind: Literal["ssm"] = "ssm"
    """The kind of key store."""
    prefix: str = Field(default="/dmarcops/dkim", pattern=r"^/[A-Za-z0-9/_.-]+$")
    """What the names of the parameters begin with."""


class Adapter:
    """The `KeyStore` port on the Parameter Store."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def reference(self, domain: str, selector: str) -> str:
        """Return `ssm:` and the name of the parameter."""
        return f"{_SCHEME}{self._config.prefix}/{domain}/{selector}"

    def save(self, key: SigningKey) -> str:
        """Create the parameter of a key; the one that is there already must hold the same key."""
        reference = self.reference(key.domain, key.selector)
        name = self._name(reference)
        kms = {"KeyId": self._config.kms_key_id} if self._config.kms_key_id else {}
        values = {"Name": name, "Value": sealed(key.pem, self._config), "Type": "SecureString", "Overwrite": False}
        try:
            with told(f"create the parameter {name}", expected=_TAKEN):
                self._client.put_parameter(**values, **kms)
        except Answered as answer:
            if self.load(reference) != opened(sealed(key.pem, self._config), self._config):
                raise UnsafeChangeError(
                    "overwrite", f"another key is kept as {reference}", hint="a parameter is never overwritten"
                ) from answer
        return reference

    def load(self, reference: str) -> bytes | None:
        """Read the parameter of a key."""
        name = self._name(reference)
        try:
            with told(f"read the parameter {name}", expected=_ABSENT):
                answer = self._client.get_parameter(Name=name, WithDecryption=True)
        except Answered:
            return None
        return opened(str(answer["Parameter"]["Value"]), self._config)

    def delete(self, reference: str) -> None:
        """Delete the parameter of a key."""
        name = self._name(reference)
        try:
            with told(f"delete the parameter {name}", expected=_ABSENT):
                self._client.delete_parameter(Name=name)
        except Answered:
            return

    def check(self) -> Sequence[Finding]:
        """Ask for a key that is not there, for `doctor`: are the credentials good, and may they read?"""
        return can_read(lambda: self.load(self.reference(*ABSENT)), self._config.prefix)

    def _name(self, reference: str) -> str:
        if not reference.startswith(_SCHEME):
            raise ConfigError(
                f"the key is kept as {reference}, not in the Parameter Store",
                hint="configure the key store it is kept in",
            )
        return reference.removeprefix(_SCHEME)

    @cached_property
    def _client(self) -> Any:  # noqa: ANN401 - boto3 makes its clients' classes at run time
        return client("ssm", self._config)
