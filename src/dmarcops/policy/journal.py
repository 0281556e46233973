"""
What was done to a domain's record, change by change: what is under way, what should be in DNS, what can be taken back.

A change is decided first, then written, and acknowledged when every authoritative server has it; or it is withdrawn. A
step back takes the newest step back that was not taken back yet. A step outlives what others change beside its policy.
Does no I/O.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from dmarcops.policy.answers import octets_of, text_of
from dmarcops.policy.record import parse_record, policy_tags, with_policy_of


class Kind(StrEnum):
    """What a change is."""

    ADVANCE = "advance"
    ROLLBACK = "rollback"
    ADOPT = "adopt"
    """
    Somebody else changed the record, and a person says that it is right.

    Nothing before it can be taken back, unless it left the policy as it was.
    """


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

    @property
    def is_beside_the_policy(self) -> bool:
        """Whether it takes a record for right that has other tags than ours, such as `rua`, and the same policy."""
        if self.kind is not Kind.ADOPT:
            return False
        before, after = (parse_record(text_of(octets)) for octets in (self.before, self.after))
        return after.is_dmarc and policy_tags(before) == policy_tags(after)

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


def deciding(changes: Sequence[Change]) -> Change | None:
    """Give the newest change that was not withdrawn and that the policy of now is from."""
    return standing([change for change in changes if not change.is_beside_the_policy])


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
            if not change.is_beside_the_policy:
                steps.clear()
        elif steps:
            steps.pop()
    return steps[-1] if steps else None


def former(changes: Sequence[Change]) -> bytes | None:
    """
    Give what a step back puts into DNS; None when there is no step to take back.

    It is the former record to the octet. When other tags were changed since, these stay: the policy tags alone are
    those of the former record.

    Raises:
        UnsafeChangeError: The record of now cannot be changed safely.
    """
    step, newest = undoable(changes), standing(changes)
    if step is None or newest is None:
        return None
    if newest.after == step.after:
        return step.before
    there, before = (parse_record(text_of(octets)) for octets in (newest.after, step.before))
    return octets_of(str(with_policy_of(before, there)))
