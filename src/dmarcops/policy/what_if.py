"""
The price of each rung: the mail of the window that it would have had quarantined or rejected, by source.

What a rung does depends on the kind of receiver (`rungs.effects`). The main figure is that of receivers that follow RFC
9989; the others stand beside it, since old ones may do more. Does no I/O.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dmarcops.policy.evidence import Evidence, Source, SourceKind
from dmarcops.policy.record import Record
from dmarcops.policy.rungs import Effect, Receiver, RungName, effects


class Verdict(StrEnum):
    """What it means that this mail would be touched."""

    LEGITIMATE_FAILING = "legitimate-failing"
    """Of an acknowledged source: it blocks."""
    UNKNOWN = "unknown"
    """Nobody has said what it is: a person has to."""
    SPOOF = "spoof"
    """Of a denied source: what the policy is for."""


_VERDICTS = {SourceKind.ACKNOWLEDGED: Verdict.LEGITIMATE_FAILING, SourceKind.DENIED: Verdict.SPOOF}


@dataclass(frozen=True, slots=True)
class Touched:
    """One source with mail that fails; `affected` is what the rung touches of it, by kind of receiver."""

    source: Source
    verdict: Verdict
    affected: Mapping[Receiver, int]

    def as_json(self) -> dict[str, Any]:
        """Give what is printed."""
        source = self.source
        return {
            "name": source.name,
            "kind": source.kind.value,
            "verdict": self.verdict.value,
            "messages": source.total.messages,
            "failing": source.total.failing,
            "affected": self.affected[Receiver.RFC9989],
            "by_receiver": {kind.value: count for kind, count in self.affected.items()},
            "reporters": sum(tally.failing > 0 for tally in source.by_reporter.values()),
            "addresses": list(source.addresses),
            "first_seen": source.first_seen.isoformat(),
            "last_seen": source.last_seen.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What one rung would have done to the mail of the window."""

    rung: RungName
    record: Record
    messages: int
    effects: Mapping[Receiver, Effect]
    sources: tuple[Touched, ...]

    def affected(self, receiver: Receiver = Receiver.RFC9989, verdict: Verdict | None = None) -> int:
        """Give how many messages one kind of receiver would have quarantined or rejected; of one verdict, or of all."""
        return sum(x.affected[receiver] for x in self.sources if verdict is None or x.verdict is verdict)

    def as_json(self) -> dict[str, Any]:
        """Give the contract's form."""
        return {
            "rung": self.rung.value,
            "record": str(self.record),
            "messages": self.messages,
            "affected": self.affected(),
            "by_verdict": {verdict.value: self.affected(verdict=verdict) for verdict in Verdict},
            "by_receiver": {
                kind.value: {**effect.as_json(), "affected": self.affected(kind)}
                for kind, effect in self.effects.items()
            },
            "sources": [x.as_json() for x in self.sources],
        }


def what_if(evidence: Evidence, rung: RungName, record: Record) -> WhatIf:
    """
    Work out what a rung would have touched; subdomains that send are taken to exist, so that `sp` is theirs.

    Args:
        evidence: Of the window.
        rung: The rung.
        record: The record that publishes it.
    """
    domain = evidence.context.domain
    own, below = effects(record), effects(record, record.requested_below(exists=True))
    touched = tuple(
        Touched(
            source,
            _VERDICTS.get(source.kind, Verdict.UNKNOWN),
            {
                kind: sum(
                    (own if author == domain else below)[kind].touched(failing)
                    for author, failing in source.failing_from.items()
                )
                for kind in Receiver
            },
        )
        for source in sorted(evidence.sources, key=_most_failing_first)
        if source.total.failing
    )
    return WhatIf(rung, record, sum(x.total.messages for x in evidence.sources), own, touched)


def _most_failing_first(source: Source) -> tuple[int, str, str]:
    return -source.total.failing, source.name, source.kind
