"""DNS in memory, for tests of the flows: a provider that obeys its port, and a resolver that sees what it has."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from dmarcops.dns.compare import foreign_alias, is_due
from dmarcops.dns.names import canonical
from dmarcops.errors import AnswerError, DmarcopsError
from dmarcops.ports import TxtChange, TxtSet

NAMESERVERS = ("ns1.example.net", "ns2.example.net")


@dataclass
class MemoryDns:
    """
    A provider and the servers it serves the zones with.

    A test puts in `servers` what a server says instead; `faults` are raised one after the other by the next calls that
    would write or ask; `calls` are those that wrote. Changes stay pending, and unseen, while `is_pending`.
    """

    records: dict[str, TxtSet] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    servers: dict[str, dict[str, tuple[bytes, ...] | DmarcopsError]] = field(default_factory=dict)
    recursives: dict[str, dict[str, tuple[bytes, ...]]] = field(default_factory=dict)
    faults: list[DmarcopsError] = field(default_factory=list)
    calls: list[TxtChange] = field(default_factory=list)
    is_pending: bool = False
    before: dict[str, TxtSet] | None = None

    def fetch(self, name: str) -> TxtSet | None:
        """Give the TXT records at `name`."""
        self._fail()
        asked = canonical(name)
        if asked in self.aliases:
            raise foreign_alias(asked, self.aliases[asked])
        return self.records.get(asked)

    def publish(self, name: str, value: bytes, *, ttl: int) -> str:
        """Make `value` the TXT record at a name that has none."""
        return self._change(TxtChange(canonical(name), None, value, ttl))

    def replace(self, expected: TxtSet, value: bytes) -> str:
        """Put `value` in the place of exactly `expected`."""
        return self._change(TxtChange(expected.name, expected, value, expected.ttl))

    def remove(self, expected: TxtSet) -> str:
        """Take away exactly `expected`."""
        return self._change(TxtChange(expected.name, expected, None))

    def change_all(self, changes: Sequence[TxtChange]) -> Sequence[str | DmarcopsError]:
        """Make each change by itself."""
        outcomes: list[str | DmarcopsError] = []
        for change in changes:
            try:
                outcomes.append(self._change(change))
            except DmarcopsError as error:
                outcomes.append(error)
        return outcomes

    def is_settled(self, token: str) -> bool:
        """Tell whether changes are let out to the servers."""
        self._fail()
        return not token or not self.is_pending

    def _change(self, change: TxtChange) -> str:
        found = self.fetch(change.name)
        if not is_due(change, found, where="memory"):
            return ""
        self.before = dict(self.visible()) if self.is_pending else None
        self.calls.append(change)
        if change.after is None:
            del self.records[change.name]
        else:
            ttl = change.ttl if found is None else found.ttl
            self.records[change.name] = TxtSet(change.name, (change.after,), ttl)
        return f"change {len(self.calls)}"

    def visible(self) -> dict[str, TxtSet]:
        """Give what the servers have: without what is pending."""
        return self.before if self.is_pending and self.before is not None else self.records

    def _fail(self) -> None:
        if self.faults:
            raise self.faults.pop(0)


@dataclass
class MemoryResolver:
    """A resolver that sees what a `MemoryDns` has let out, and what a test has a server say instead."""

    world: MemoryDns
    others: dict[tuple[str, str], tuple[str, ...] | None] = field(default_factory=dict)
    negative: int = 900
    nameservers: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def authoritative(self, name: str) -> dict[str, tuple[bytes, ...]]:
        """Give what each server says."""
        asked = canonical(name)
        led = f" for {self.world.aliases[asked]}" if asked in self.world.aliases else ""
        servers = tuple(server + led for server in NAMESERVERS)
        said = dict.fromkeys(servers, self.txt(asked) or ()) | self.world.servers.get(asked, {})
        answers: dict[str, tuple[bytes, ...]] = {}
        for server, texts in said.items():
            if isinstance(texts, DmarcopsError):
                raise texts
            answers[server] = texts
        return answers

    def recursive(self, name: str) -> dict[str, tuple[bytes, ...]]:
        """Give what each resolver says."""
        asked = canonical(name)
        return {"192.0.2.53:53": self.txt(asked) or ()} | self.world.recursives.get(asked, {})

    def txt(self, name: str) -> tuple[bytes, ...] | None:
        """Give what everybody is told."""
        asked = canonical(name)
        for _ in range(8):
            if asked not in self.world.aliases:
                found = self.world.visible().get(asked)
                return None if found is None else found.values
            asked = self.world.aliases[asked]
        raise AnswerError("memory", "loop", question=f"TXT {asked}", transient=False)

    def records(self, name: str, kind: str) -> tuple[str, ...] | None:
        """Give what the test says is there."""
        return self.others.get((canonical(name), kind))

    def delegation(self, zone: str) -> tuple[str, ...]:
        """Give what the test says the parent says."""
        return self.nameservers.get(canonical(zone), NAMESERVERS)

    def negative_ttl(self, name: str) -> int:  # noqa: ARG002 - the port's
        """Give what the test says it is."""
        return self.negative
