"""
What was done to a domain's record, change by change: what is under way, what should be in DNS, what can be taken back.

A change is decided first, then written, and acknowledged when every authoritative server has it; or it is withdrawn. A
step back takes the newest step back that was not taken back yet. Does no I/O.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from dmarcops.policy.answers import text_of


class Kind(StrEnum):
    """What a change is."""

    ADVANCE = "advance"
    ROLLBACK = "rollback"
    ADOPT = "adopt"
    """Somebody else changed the record, and a person says that it is right: nothing before it can be taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """
    One change of a record; `before` and `after` are its octets.

    `digest` is of what was signed for it, empty without a signature; `who` decided it.
    """

    id: int
    domain: str
    kind: Kind
    before: bytes
    after: bytes
    digest: str
    who: str
    decided_at: datetime
    written_at: datetime | None = None
    acknowledged_at: datetime | None = None
    withdrawn_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is neither acknowledged nor withdrawn."""
        return self.acknowledged_at is None and self.withdrawn_at is None

    def as_json(self) -> dict[str, Any]:
        """Give what is printed."""
        moments = {name: getattr(self, name) for name in ("decided_at", "written_at", "acknowledged_at")}
        return {
            "kind": self.kind.value,
            "before": text_of(self.before),
            "after": text_of(self.after),
            "by": self.who,
            **{name: moment and moment.isoformat() for name, moment in moments.items()},
        }


def standing(changes: Sequence[Change]) -> Change | None:
    """Give the newest change that was not withdrawn: what it wrote, or is about to, should be in DNS."""
    return next((change for change in reversed(changes) if change.withdrawn_at is None), None)


def under_way(changes: Sequence[Change]) -> Change | None:
    """Give the change that is still to be carried out; one that a newer one has overtaken is not."""
    newest = standing(changes)
    return newest if newest is not None and newest.is_open else None


def undoable(changes: Sequence[Change]) -> Change | None:
    """Give the step that a step back takes back; None when there is none."""
    steps: list[Change] = []
    for change in changes:
        if change.withdrawn_at is not None:
            continue
        if change.kind is Kind.ADVANCE:
            steps.append(change)
        elif change.kind is Kind.ADOPT:
            steps.clear()
        elif steps:
            steps.pop()
    return steps[-1] if steps else None
