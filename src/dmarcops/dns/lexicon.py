"""
The many other providers, by dns-lexicon (extra `lexicon`).

What dns-lexicon cannot do is in `LIMITS`: between reading and writing somebody else may write, a replacement is two
calls at many providers, and whether a change is on all of a provider's servers is seen by reading it back only.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from pydantic import Field, SecretStr

from dmarcops.dns.compare import foreign_alias, is_due
from dmarcops.dns.names import canonical, is_within
from dmarcops.dns.txt import DECIMAL, format_txt, parse_txt
from dmarcops.errors import ConfigError, DmarcopsError, DnsError, ForeignRecordError, UnsafeChangeError
from dmarcops.ports import TxtChange, TxtSet
from dmarcops.settings import Settings

LIMITS = {
    "compare_and_set": "what is there is read right before it is changed, but the provider does not compare",
    "atomic_replace": "a replacement takes the old record away and puts the new one there; killed between, it is "
    "finished by the next try, which finds nothing there",
    "settled": "a change counts as settled when the provider's API shows it",
    "quotes": "some of dns-lexicon's providers lose quotation marks and backslashes that are part of a text",
    "delegation": "that the zone is delegated to the provider is not checked before a change",
}
"""What other providers do and this one cannot."""
_HTTP_DENIED = (401, 403)
_HTTP_TOO_MANY = 429
_HTTP_SERVER = 500


class Config(Settings):
    """Section `[dns.NAME]` with `kind = "lexicon"`."""

    provider: str
    """The provider's name in dns-lexicon: `cloudflare`, `gandi`, `powerdns`, ..."""
    zone: str
    """The zone that it is to write."""
    options: Mapping[str, SecretStr] = Field(default_factory=dict)
    """What dns-lexicon asks for this provider: `auth_token`, `auth_username`, ..."""
    split: bool = False
    """Whether a text over 255 octets is handed over as quoted strings, for a provider that does not split it itself."""


class _Provider(Protocol):
    """What dns-lexicon's providers have; it has no types."""

    def authenticate(self) -> None: ...
    def cleanup(self) -> None: ...
    def create_record(self, rtype: str, name: str, content: str) -> bool: ...
    def list_records(self, rtype: str | None, name: str | None, content: str | None) -> list[dict[str, Any]]: ...
    def update_record(self, identifier: str, rtype: str, name: str, content: str) -> bool: ...
    def delete_record(self, identifier: str | None, rtype: str, name: str, content: str | None) -> bool: ...


class Adapter:
    """
    The `DnsProvider` port on dns-lexicon.

    Args:
        name: What the configuration calls it.
        config: What the configuration says.
    """

    def __init__(self, name: str, config: Config) -> None:
        self._where = f"{config.provider} ({name})"
        self._config = config
        self._zone = canonical(config.zone)

    def fetch(self, name: str) -> TxtSet | None:
        """Give the TXT records at `name` as the provider's API shows them."""
        asked = self._ours(name)
        with self._opened(asked, 0) as provider:
            return _txt(asked, provider)[0]

    def publish(self, name: str, value: bytes, *, ttl: int) -> str:
        """Make `value` the TXT record at a name that has none."""
        return self._change(TxtChange(canonical(name), None, value, ttl))

    def replace(self, expected: TxtSet, value: bytes) -> str:
        """Put `value` in the place of exactly `expected`, or of nothing when a former try got no further."""
        return self._change(TxtChange(expected.name, expected, value, expected.ttl))

    def remove(self, expected: TxtSet) -> str:
        """Take away exactly `expected`."""
        return self._change(TxtChange(expected.name, expected, None))

    def is_settled(self, token: str) -> bool:  # noqa: ARG002 - the port's
        """Say yes: a change was read back before its token was given."""
        return True

    def _change(self, change: TxtChange) -> str:
        name = self._ours(change.name)
        with self._opened(name, change.ttl) as provider:
            found, identifiers = _txt(name, provider)
            is_half_done = found is None and change.after is not None
            if not is_half_done and not is_due(change, found, where=self._where):
                return ""
            if change.after is None:
                for identifier in identifiers:
                    provider.delete_record(identifier, "TXT", name, None)
            elif found is None:
                provider.create_record("TXT", name, self._written(change.after))
            else:
                for identifier in identifiers[1:]:
                    provider.delete_record(identifier, "TXT", name, None)
                provider.update_record(identifiers[0], "TXT", name, self._written(change.after))
        # Many of dns-lexicon's providers return False, or nothing, where a change was not made.
        with self._opened(name, change.ttl) as provider:
            made, _ = _txt(name, provider)
        if (() if made is None else made.values) != (() if change.after is None else (change.after,)):
            hint = "see whether `split` is right for it" if made is not None else ""
            raise DnsError(f"{self._where} shows something else at {name} than was written", hint=hint)
        return name

    def _written(self, value: bytes) -> str:
        quoted = format_txt(value, base=DECIMAL)
        if self._config.split:
            return quoted
        return value.decode("ascii", "strict") if value.isascii() else quoted

    def _ours(self, name: str) -> str:
        asked = canonical(name)
        if is_within(asked, self._zone):
            return asked
        raise UnsafeChangeError("zone-missing", f"{asked} is not in {self._zone}, the zone of {self._where}")

    @contextmanager
    def _opened(self, name: str, ttl: int) -> Iterator[_Provider]:
        """Log in, and turn whatever dns-lexicon and what it stands on raise into our errors."""
        try:
            # Its public client looks the zone up in a list of suffixes that it fetches from the network.
            from lexicon._private.discovery import load_provider_module  # noqa: PLC0415 - an extra; see above
            from lexicon.config import ConfigResolver  # noqa: PLC0415 - same
            from lexicon.exceptions import LexiconError  # noqa: PLC0415 - same
            from requests import RequestException  # noqa: PLC0415 - what dns-lexicon stands on
        except ImportError as error:
            raise ConfigError("this provider needs dns-lexicon", hint="pip install 'dmarcops[lexicon]'") from error
        options = {key: secret.get_secret_value() for key, secret in self._config.options.items()}
        given = {"domain": self._zone, "provider_name": self._config.provider, "ttl": ttl or None}
        try:
            made = load_provider_module(self._config.provider).Provider(
                ConfigResolver().with_dict({**given, self._config.provider: options})  # type: ignore[no-untyped-call]  # it has no types
            )
            made.authenticate()
            try:
                yield made
            finally:
                made.cleanup()
        except ImportError as error:
            hint = f"pip install 'dns-lexicon[{self._config.provider}]', if dns-lexicon knows it"
            raise ConfigError(f"dns-lexicon cannot load {self._config.provider}", hint=hint) from error
        except RequestException as error:
            raise self._failed(error, error.response.status_code if error.response is not None else 0, name) from error
        except LexiconError as error:
            raise DnsError(
                f"{self._where} does not let us in: {self._said(error)}", hint="see the options it needs"
            ) from error
        except DmarcopsError:
            raise
        except Exception as error:  # its providers raise just that, and whatever comes of an answer they do not expect
            raise DnsError(f"{self._where} fails for {name}: {self._said(error)}") from error

    def _said(self, error: Exception) -> str:
        """Give what an error says without the secrets that it may have been told."""
        said = f"{type(error).__name__}: {error}"
        for secret in self._config.options.values():
            said = said.replace(secret.get_secret_value() or "\0", "…")
        return said

    def _failed(self, error: Exception, status: int, name: str) -> DnsError:
        transient = not status or status == _HTTP_TOO_MANY or status >= _HTTP_SERVER
        hint = "see the token and what it may do" if status in _HTTP_DENIED else ""
        said = f"answers {status}" if status else f"does not answer ({type(error).__name__})"
        return DnsError(f"{self._where} {said} for {name}", transient=transient, hint=hint)


def _txt(name: str, provider: _Provider) -> tuple[TxtSet | None, list[str]]:
    """Read the TXT records at a name, and by what the provider knows each."""
    there = [record for record in provider.list_records(None, name, None) if canonical(record["name"]) == name]
    for record in there:
        if record["type"] == "CNAME":
            raise foreign_alias(name, str(record["content"]))
    found = [record for record in there if record["type"] == "TXT"]
    if not found:
        return None, []
    texts = tuple(sorted(_text(name, str(record["content"])) for record in found))
    return TxtSet(name, texts, int(found[0].get("ttl") or 0)), [str(record["id"]) for record in found]


def _text(name: str, content: str) -> bytes:
    """Read a text that may be quoted, split, or neither; some providers take the outer quotes off of split ones."""
    if '"' not in content:
        return content.encode()
    try:
        return b"".join(parse_txt('"' + content.strip('"') + '"', base=DECIMAL))
    except ValueError as error:
        raise ForeignRecordError("foreign-record", f"TXT {name} cannot be read: {error}") from error
