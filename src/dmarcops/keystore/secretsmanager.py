"""
Private keys in AWS Secrets Manager (extra `aws`), one secret each: `PREFIX/DOMAIN/SELECTOR`.

A secret is created and never changed. One that is deleted can be restored by AWS for a while, but not by us: it counts
as gone. Credentials and endpoint are those of the environment (`AWS_…`, `AWS_ENDPOINT_URL_SECRETS_MANAGER`).
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

from pydantic import Field

from dmarcops.errors import ConfigError, UnsafeChangeError
from dmarcops.keystore.aws_client import ABSENT, Answered, AwsConfig, can_read, client, opened, sealed, told
from dmarcops.ports import Finding, SigningKey

_SCHEME = "secretsmanager:"
_ABSENT = frozenset(("ResourceNotFoundException",))
# A secret that waits for its deletion answers so to everything.
_DELETED = frozenset(("InvalidRequestException",))


class Config(AwsConfig):
    """Section `[keys]` with `kind = "secretsmanager"`."""

    kind: Literal["secretsmanager"] = "secretsmanager"
    """The kind of key store."""
    prefix: str = Field(default="dmarcops/dkim", pattern=r"^[A-Za-z0-9/_+=.@-]+$")
    """What the names of the secrets begin with."""
    recovery_days: int = Field(default=30, ge=7, le=30)
    """How long AWS can restore a secret that was deleted."""


class Adapter:
    """The `KeyStore` port on Secrets Manager."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def reference(self, domain: str, selector: str) -> str:
        """Return `secretsmanager:` and the name of the secret."""
        return f"{_SCHEME}{self._config.prefix}/{domain}/{selector}"

    def save(self, key: SigningKey) -> str:
        """Create the secret of a key; the one that is there already must hold the same key."""
        reference = self.reference(key.domain, key.selector)
        name = self._name(reference)
        text = sealed(key.pem, self._config)
        kms = {"KmsKeyId": self._config.kms_key_id} if self._config.kms_key_id else {}
        description = f"DKIM private key of {key.selector}._domainkey.{key.domain}"
        taken = frozenset(("ResourceExistsException",)) | _DELETED
        try:
            with told(f"create the secret {name}", expected=taken):
                self._client.create_secret(Name=name, SecretString=text, Description=description, **kms)
        except Answered as answer:
            self._see_same(reference, key, answer)
        return reference

    def load(self, reference: str) -> bytes | None:
        """Read the secret of a key."""
        name = self._name(reference)
        try:
            with told(f"read the secret {name}", expected=_ABSENT | _DELETED):
                text = str(self._client.get_secret_value(SecretId=name)["SecretString"])
        except Answered:
            return None
        return opened(text, self._config)

    def delete(self, reference: str) -> None:
        """Have the secret of a key deleted, after the days of recovery."""
        name, days = self._name(reference), self._config.recovery_days
        try:
            with told(f"delete the secret {name}", expected=_ABSENT | _DELETED):
                self._client.delete_secret(SecretId=name, RecoveryWindowInDays=days)
        except Answered:
            return

    def _see_same(self, reference: str, key: SigningKey, answer: Answered) -> None:
        if self.load(reference) != opened(sealed(key.pem, self._config), self._config):
            raise UnsafeChangeError(
                "overwrite", f"another key is or was kept as {reference}", hint="a secret is never overwritten"
            ) from answer

    def check(self) -> Sequence[Finding]:
        """Ask for a key that is not there, for `doctor`: are the credentials good, and may they read?"""
        return can_read(lambda: self.load(self.reference(*ABSENT)), self._config.prefix)

    def _name(self, reference: str) -> str:
        if not reference.startswith(_SCHEME):
            raise ConfigError(
                f"the key is kept as {reference}, not in Secrets Manager", hint="configure the key store it is kept in"
            )
        return reference.removeprefix(_SCHEME)

    @cached_property
    def _client(self) -> Any:  # noqa: ANN401 - boto3 makes its clients' classes at run time
        return client("secretsmanager", self._config)
