"""
A zone that somebody else writes: what is to be put there is told, and DNS is asked until it shows it.

Writes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from dmarcops.dns.compare import foreign_alias, is_due
from dmarcops.dns.names import canonical
from dmarcops.dns.txt import DECIMAL, format_txt
from dmarcops.errors import DnsError
from dmarcops.ports import Resolver, TxtChange, TxtSet
from dmarcops.settings import Settings

_NOTHING = "nothing"


class Config(Settings):
    """Section `[dns.NAME]` with `kind = "manual"`."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """
    What a person is to do in a zone.

    `delete` and `add` are lines of a master file, to be taken away and to be put there, in this order.
    """

    name: str
    delete: tuple[str, ...]
    add: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"In the zone of {self.name}"]
        for verb, lines in (("delete", self.delete), ("add", self.add)):
            parts += [f"{verb}:  {line}" for line in lines]
        return "\n".join(parts)


class Adapter:
    """
    The `DnsProvider` port by a person.

    Args:
        name: What the configuration calls it.
        config: What the configuration says.
        resolver: Tells what is in DNS.
        tell: Is told what is to be done, each time that it is asked for and not yet done.
    """

    def __init__(
        self,
        name: str,
        config: Config,  # noqa: ARG002 - as every provider; there is nothing to be said
        resolver: Resolver,
        *,
        tell: Callable[[Instruction], None],
    ) -> None:
        self._where = f"DNS ({name})"
        self._resolver = resolver
        self._tell = tell

    def fetch(self, name: str) -> TxtSet | None:
        """
        Give the TXT records at `name` as all authoritative servers have them; their `ttl` is not known and 0.

        Raises:
            DnsError: The servers disagree, or one does not answer.
        """
        asked = canonical(name)
        shown = self._resolver.authoritative(asked)
        for server in shown:
            if " for " in server:
                raise foreign_alias(asked, server.partition(" for ")[2])
        texts = set(shown.values())
        if len(texts) != 1:
            raise DnsError(f"the authoritative servers disagree on TXT {asked}", transient=True)
        (values,) = texts
        return TxtSet(asked, values, 0) if values else None

    def publish(self, name: str, value: bytes, *, ttl: int) -> str:
        """Tell that `value` is to be the TXT record at a name that has none."""
        return self._change(TxtChange(canonical(name), None, value, ttl))

    def replace(self, expected: TxtSet, value: bytes) -> str:
        """Tell that `value` is to stand in the place of exactly `expected`."""
        return self._change(TxtChange(expected.name, expected, value, expected.ttl))

    def remove(self, expected: TxtSet) -> str:
        """Tell that exactly `expected` is to go."""
        return self._change(TxtChange(expected.name, expected, None))

    def is_settled(self, token: str) -> bool:
        """Ask every authoritative server once whether it shows what was told."""
        if not token:
            return True
        name, wanted = token.split(" ")
        return {_digest(values) for values in self._resolver.authoritative(name).values()} == {wanted}

    def _change(self, change: TxtChange) -> str:
        found = self.fetch(change.name)
        if not is_due(change, found, where=self._where):
            return ""
        values = () if change.after is None else (change.after,)
        before = () if found is None else found.values
        self._tell(
            Instruction(
                change.name,
                delete=tuple(_line(change.name, value, 0) for value in before),
                add=tuple(_line(change.name, value, change.ttl) for value in values),
            )
        )
        return f"{change.name} {_digest(values)}"


def _line(name: str, value: bytes, ttl: int) -> str:
    return f"{name}. {f'{ttl} ' if ttl else ''}IN TXT {format_txt(value, base=DECIMAL)}"


def _digest(values: tuple[bytes, ...]) -> str:
    return "+".join(sha256(value).hexdigest() for value in values) or _NOTHING
