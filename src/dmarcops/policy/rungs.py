"""
The rungs between `none` and `reject` as data, and what receivers make of each. Does no I/O.

Receivers do not read a record alike: those that follow RFC 9989 know `t` and not `pct`, those that follow RFC 7489 know
`pct` and not `t`, some let mail that `pct` spares pass altogether, and some read neither tag.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dmarcops.policy.record import MAX_PCT, Policy, Record, changed, parse_record


class RungName(StrEnum):
    """The names that a schedule uses."""

    NONE = "none"
    QUARANTINE_TESTING = "quarantine-testing"
    QUARANTINE_PCT = "quarantine-pct"
    QUARANTINE = "quarantine"
    REJECT_TESTING = "reject-testing"
    REJECT_PCT = "reject-pct"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Rung:
    """One rung: the policy, whether it is in test mode, and whether it is a share of the mail."""

    name: RungName
    p: Policy
    is_testing: bool = False
    is_sampled: bool = False


RUNGS: tuple[Rung, ...] = (
    Rung(RungName.NONE, Policy.NONE),
    Rung(RungName.QUARANTINE_TESTING, Policy.QUARANTINE, is_testing=True),
    Rung(RungName.QUARANTINE_PCT, Policy.QUARANTINE, is_sampled=True),
    Rung(RungName.QUARANTINE, Policy.QUARANTINE),
    Rung(RungName.REJECT_TESTING, Policy.REJECT, is_testing=True),
    Rung(RungName.REJECT_PCT, Policy.REJECT, is_sampled=True),
    Rung(RungName.REJECT, Policy.REJECT),
)
"""All rungs from the lowest to the highest."""

ORDER: Mapping[RungName, int] = {rung.name: at for at, rung in enumerate(RUNGS)}
"""The place of each rung, from 0."""

ONE_BELOW: Mapping[Policy, Policy] = {
    Policy.REJECT: Policy.QUARANTINE,
    Policy.QUARANTINE: Policy.NONE,
    Policy.NONE: Policy.NONE,
}
"""What `t=y`, and mail that `pct` leaves out, comes to (RFC 9989 section 4.7, RFC 7489 section 6.6.4)."""


class Receiver(StrEnum):
    """Kinds of receivers by what they read."""

    RFC9989 = "rfc9989"
    RFC7489 = "rfc7489"
    RFC7489_LENIENT = "rfc7489-lenient"
    """Reads `pct`, and does nothing to the mail that it leaves out: OpenDMARC, mox."""
    NEITHER = "neither"
    """Reads `p` alone."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a kind of receiver does to failing mail: `policy` to `pct` of 100, `otherwise` to the rest."""

    policy: Policy
    pct: int = MAX_PCT
    otherwise: Policy = Policy.NONE

    def touched(self, messages: int) -> int:
        """Give how many of so many failing messages are quarantined or rejected, the expected number rounded up."""
        if self.otherwise is not Policy.NONE:
            return messages
        return 0 if self.policy is Policy.NONE else -(-messages * self.pct // MAX_PCT)

    def as_json(self) -> dict[str, Any]:
        """Give what is printed."""
        return {"policy": self.policy.value, "pct": self.pct, "otherwise": self.otherwise.value}


def effects(record: Record, requested: Policy | None = None) -> Mapping[Receiver, Effect]:
    """
    Give what each kind of receiver does to failing mail.

    Args:
        record: What is published.
        requested: The policy that it asks for; that of the domain itself when it is not given.
    """
    p = requested or record.requested() or Policy.NONE
    return {
        Receiver.RFC9989: Effect(ONE_BELOW[p] if record.is_testing else p),
        Receiver.RFC7489: _sampled(p, record.pct, ONE_BELOW[p]),
        Receiver.RFC7489_LENIENT: _sampled(p, record.pct, Policy.NONE),
        Receiver.NEITHER: Effect(p),
    }


def _sampled(p: Policy, pct: int, otherwise: Policy) -> Effect:
    if pct == 0 or p is Policy.NONE:
        return Effect(otherwise)
    return Effect(p, pct, otherwise if pct < MAX_PCT else Policy.NONE)


def rung_of(record: Record) -> Rung | None:
    """Give the rung that a record is at; None when it is no DMARC record, or one that DMARC is not applied for."""
    p = record.requested() if record.is_dmarc else None
    if p is None:
        return None
    if p is Policy.NONE:
        return RUNGS[0]
    is_sampled = record.pct < MAX_PCT and not record.is_testing
    wanted = (p, record.is_testing, is_sampled)
    return next(rung for rung in RUNGS if (rung.p, rung.is_testing, rung.is_sampled) == wanted)


@dataclass(frozen=True, slots=True)
class Tags:
    """What a step writes beside the rung: the share of a sampled one, `sp` and `np`, and `pct=0` beside `t=y`."""

    pct: int = MAX_PCT
    sp: Policy | None = None
    np: Policy | None = None
    has_pct_zero: bool = False


def written(record: Record, rung: Rung, tags: Tags) -> Record:
    """
    Give the record that publishes a rung; the tags that it does not need are taken out.

    Raises:
        UnsafeChangeError: See `record.changed`.
    """
    pct = "0" if rung.is_testing and tags.has_pct_zero else str(tags.pct) if rung.is_sampled else ""
    is_full = pct == "" and record.pct == MAX_PCT
    return changed(
        record,
        p=rung.p,
        sp=tags.sp,
        np=tags.np,
        t="y" if rung.is_testing else "" if record.is_testing else None,
        pct=None if is_full else pct,
    )


def example(rung: Rung, tags: Tags) -> Record:
    """Give the shortest record of a rung, to show what it means."""
    return written(parse_record("v=DMARC1; p=none"), rung, tags)
