"""
The next step of a domain's policy: which, from when, and what stands against it.

`propose` decides from the record in DNS, the evidence, the owner's rules and the time; `check` does so again before the
record is written, and refuses when anything is not as it was. Both write nothing. Does no I/O.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from dmarcops.errors import ForeignRecordError, NotEnoughEvidence, Refused, UnsafeChangeError
from dmarcops.policy.discovery import Discovery, Status
from dmarcops.policy.evidence import Evidence
from dmarcops.policy.gates import Gate, evaluate
from dmarcops.policy.record import MAX_PCT, STRICTNESS, Policy, Record, dmarc_records, parse_record
from dmarcops.policy.rules import Freeze, Hold, Rules, Step, thaw, warnings
from dmarcops.policy.rungs import ORDER, RUNGS, Tags, effects, example, rung_of, written
from dmarcops.policy.signoff import Signature, Signoff, Statement, expired, lapses
from dmarcops.policy.what_if import WhatIf, what_if

_NO_RECORD = "there is no DMARC record that can be used: publish p=none with rua first (RFC 9989 section 5.1.4)"


class Decision(StrEnum):
    """What comes of it; the first that holds, in this order."""

    DONE = "done"
    HELD = "held"
    WAIT = "wait"
    """It is not the time yet."""
    BLOCKED = "blocked"
    """A gate is closed, or the record cannot be changed safely."""
    UNSIGNED = "unsigned"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class Next:
    """
    The next step; `record` is None when the published one cannot be changed safely, `obstacle` says why.

    `freeze` is the one that `not_before` is the end of.
    """

    step: Step
    record: Record | None
    not_before: datetime
    obstacle: str = ""
    freeze: Freeze | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """
    What `propose` found; `reasons` is all that stands in the way, and `decision` the first of it.

    `expired` are those of the signatures that are too old to count.
    """

    domain: str
    record: Record
    next: Next | None
    gates: tuple[Gate, ...]
    decision: Decision
    reasons: tuple[str, ...]
    statement: Statement | None
    signoff: Signoff | None
    rules: Rules
    hold: Hold | None
    is_signed: bool
    expired: tuple[Signature, ...] = ()

    def as_json(self, price: WhatIf | None = None) -> dict[str, Any]:
        """
        Give the contract's form of plan and status.

        Args:
            price: What the next rung would have touched.
        """
        rung = rung_of(self.record)
        return {
            "domain": self.domain,
            "current": {"record": str(self.record), "rung": rung and rung.name.value, "effects": _effects(self.record)},
            "next": self.next and _next_as_json(self.next),
            "gates": [gate.as_json() for gate in self.gates],
            "what_if": price and price.as_json(),
            "signed": self._signed(),
            "digest": self.statement and self.statement.digest,
            "decision": self.decision.value,
            "reasons": list(self.reasons),
            "warnings": list(warnings(self.rules)),
        }

    def _signed(self) -> dict[str, Any] | None:
        if self.signoff is None or not self.signoff.signatures:
            return None
        signatures = [signature.as_json() for signature in self.signoff.signatures]
        return {**signatures[-1], "valid": self.is_signed, "signatures": signatures}


def _next_as_json(following: Next) -> dict[str, Any]:
    return {
        "record": following.record and str(following.record),
        "rung": following.step.rung.value,
        "not_before": following.not_before.isoformat(),
        "effects": _effects(following.record) if following.record else None,
    }


def _effects(record: Record) -> dict[str, Any]:
    return {kind.value: effect.as_json() for kind, effect in effects(record).items()}


def propose(
    record: Record,
    evidence: Evidence,
    rules: Rules,
    now: datetime,
    *,
    hold: Hold | None = None,
    signoff: Signoff | None = None,
) -> Proposal:
    """
    Find the next step of a domain's policy.

    Args:
        record: What is in DNS.
        evidence: Of the window before `now`.
        rules: What the owner wants.
        now: The time now.
        hold: A person's word that nothing moves.
        signoff: What was signed, if anything was.
    """
    following = _next(record, evidence, rules, now)
    gates: tuple[Gate, ...] = ()
    statement = None
    unsigned = ["nobody has signed"]
    if following is None:
        obstacles = [(Decision.DONE, _done(record, rules))]
    else:
        policy = following.step.definition.p
        gates = evaluate(evidence, record, rules.thresholds, kind=rules.kind, policy=policy)
        statement = _statement(record, following, evidence)
        if signoff is not None and statement is not None:
            unsigned = list(lapses(signoff, statement, evidence, rules.signing, now=now))
        obstacles = [
            *_held(hold, now),
            *_early(following, evidence, now),
            *_blocked(following, gates),
            *((Decision.UNSIGNED, reason) for reason in unsigned if rules.require_signature),
        ]
    return Proposal(
        domain=evidence.context.domain,
        record=record,
        next=following,
        gates=gates,
        decision=obstacles[0][0] if obstacles else Decision.READY,
        reasons=tuple(reason for _, reason in obstacles),
        statement=statement,
        signoff=signoff,
        rules=rules,
        hold=hold,
        is_signed=not unsigned,
        expired=expired(signoff, rules.signing, now=now) if signoff is not None else (),
    )


Obstacles = Iterator[tuple[Decision, str]]


def _done(record: Record, rules: Rules) -> str:
    if rules.hosts_users and rules.target is Policy.REJECT:
        return "quarantine is the ceiling of a domain whose users write to mailing lists (RFC 9989 section 7.4)"
    return f"the schedule ends at {rules.steps()[-1].rung if rules.steps() else record.requested()}"


def _held(hold: Hold | None, now: datetime) -> Obstacles:
    if hold is not None and hold.is_on(now):
        until = f" until {hold.until.isoformat()}" if hold.until else ""
        yield Decision.HELD, f"held by {hold.by}{until}" + (f": {hold.reason}" if hold.reason else "")


def _early(following: Next, evidence: Evidence, now: datetime) -> Obstacles:
    if now < following.not_before:
        unknown = "" if evidence.context.since else ": since when the published record stands is not known"
        frozen = f": {following.freeze}" if following.freeze else ""
        yield Decision.WAIT, f"not before {following.not_before.isoformat()}{unknown}{frozen}"


def _blocked(following: Next, gates: tuple[Gate, ...]) -> Obstacles:
    if following.obstacle:
        yield Decision.BLOCKED, following.obstacle
    for gate in gates:
        if not gate.ok:
            value, threshold = _told(gate)
            yield Decision.BLOCKED, f"{gate.name}: {value} where {threshold} is asked for; {gate.detail}"


def _told(gate: Gate) -> tuple[str, str]:
    """Give the figure of a gate and its threshold, in so many digits that they can be told apart."""
    if gate.value is None:
        return "nothing", _number(gate.threshold, 4)
    texts = ((_number(gate.value, digits), _number(gate.threshold, digits)) for digits in (4, 6, 9, 12))
    return next((pair for pair in texts if pair[0] != pair[1]), (str(gate.value), str(gate.threshold)))


def _number(value: float, digits: int) -> str:
    return f"{value:.0f}" if value == round(value) else f"{value:.{digits}g}"


def _statement(record: Record, following: Next, evidence: Evidence) -> Statement | None:
    if following.record is None:
        return None
    return Statement(
        domain=evidence.context.domain,
        record_now=str(record),
        record_next=str(following.record),
        evidence=evidence.as_json(),
    )


def _next(record: Record, evidence: Evidence, rules: Rules, now: datetime) -> Next | None:
    steps = rules.steps()
    at = _place(record, steps)
    if at + 1 >= len(steps):
        return None
    step = steps[at + 1]
    duration = steps[at].duration if at >= 0 else timedelta()
    due = (evidence.context.since or now) + duration
    not_before = thaw(max(due, now), rules.freezes)
    is_frozen = not_before > max(due, now)
    freeze = next((x for x in rules.freezes if is_frozen and x.over == not_before), None)
    not_before = due if not_before == now else not_before
    if rung_of(record) is None:
        return Next(step, None, not_before, _no_record(record, evidence.context.inherited), freeze)
    try:
        changed = _written(record, steps[: at + 2], rules)
    except UnsafeChangeError as error:
        return Next(step, None, not_before, str(error), freeze)
    return Next(step, changed, not_before, freeze=freeze)


def _no_record(record: Record, inherited: Discovery | None) -> str:
    """Say what is to be published first, and what that would change."""
    if record.is_dmarc or inherited is None or inherited.status is Status.NONE:
        return _NO_RECORD
    if inherited.policy is None:
        return f"{_NO_RECORD}; which policy it has from a domain above, DNS did not say"
    own = f"there is no DMARC record of its own: {inherited.tag}={inherited.policy} of {inherited.found_at} holds"
    if inherited.policy is Policy.NONE:
        return f"{own}; publish p=none with rua first, which changes no policy (RFC 9989 section 5.1.4)"
    return (
        f"{own}; publish p={inherited.policy} with rua first, which keeps it: p=none would weaken it, and is for mail"
        " of its own that does not pass yet"
    )


def _place(record: Record, steps: tuple[Step, ...]) -> int:
    """
    Give the place of the last step of the schedule that the record has reached, -1 when it has reached none.

    A step with a rung of its own is reached with that rung; one that moves `sp` or `np` alone, with these.
    """
    rung = rung_of(record)
    if rung is None:
        return -1
    here = (ORDER[rung.name], record.pct if rung.is_sampled else MAX_PCT)
    place = -1
    for at, step in enumerate(steps):
        is_first = at == 0 or steps[at - 1].rank != step.rank
        if step.rank > here or (step.rank == here and not is_first and _beside(record, (step,)) != (None, None)):
            break
        place = at
    return place


def _written(record: Record, steps: tuple[Step, ...], rules: Rules) -> Record:
    step = steps[-1]
    sp, np = _beside(record, steps)
    return written(record, step.definition, Tags(step.pct, sp, np, rules.has_pct_zero))


def _beside(record: Record, steps: tuple[Step, ...]) -> tuple[Policy | None, Policy | None]:
    """Give the `sp` and `np` that the steps ask for and the record does not have, nor a stricter one."""
    sp = next((step.sp for step in reversed(steps) if step.sp), None)
    np = next((step.np for step in reversed(steps) if step.np), None)
    return _unless_met(sp, record.policy("sp")), _unless_met(np, record.policy("np"))


def _unless_met(wanted: Policy | None, there: Policy | None) -> Policy | None:
    is_met = wanted is None or (there is not None and STRICTNESS.index(there) >= STRICTNESS.index(wanted))
    return None if is_met else wanted


def check(
    proposal: Proposal, signoff: Signoff | None, record: Record, evidence: Evidence, *, now: datetime
) -> Proposal:
    """
    Decide again, just before the record is written, and give the proposal as it stands now.

    Args:
        proposal: What was proposed.
        signoff: What was signed.
        record: What is in DNS now.
        evidence: The evidence now.
        now: The time now.

    Raises:
        Refused: Something is not as it was, or does not allow it; the guard says what.
    """
    if record != proposal.record:
        raise ForeignRecordError(
            "record",
            f"the record in DNS is {str(record)!r}, and was {str(proposal.record)!r}",
            hint="somebody else changed it: look at both, then propose again",
        )
    again = propose(record, evidence, proposal.rules, now, hold=proposal.hold, signoff=signoff)
    before, after = (x.next and x.next.record for x in (proposal, again))
    if again.next is None or before != after:
        raise UnsafeChangeError("next-record", "the next record is not the one that was proposed")
    if again.decision is not Decision.READY:
        raise _refusal(again, again.next)
    return again


def _refusal(proposal: Proposal, following: Next) -> Refused:
    reason = "; ".join(proposal.reasons)
    if proposal.decision is Decision.WAIT:
        return Refused("date", reason, not_before=following.not_before.isoformat())
    if proposal.decision is Decision.BLOCKED:
        return NotEnoughEvidence("gates", reason)
    return Refused("hold" if proposal.decision is Decision.HELD else "signature", reason)


def price_of_next(proposal: Proposal, evidence: Evidence) -> WhatIf | None:
    """Give what the next rung would have touched; None when there is no next record."""
    following = proposal.next
    if following is None or following.record is None:
        return None
    return what_if(evidence, following.step.rung, following.record)


def prices(evidence: Evidence, rules: Rules) -> tuple[WhatIf, ...]:
    """Give what every rung would have touched; of the sampled ones, those of the schedule."""
    sampled = {step.rung: step.pct for step in rules.schedule if step.definition.is_sampled}
    found = []
    for rung in RUNGS:
        if rung.is_sampled and rung.name not in sampled:
            continue
        tags = Tags(pct=sampled.get(rung.name, MAX_PCT), has_pct_zero=rules.has_pct_zero)
        found.append(what_if(evidence, rung.name, example(rung, tags)))
    return tuple(found)


def parse_published(texts: tuple[str, ...]) -> Record:
    """
    Give the one DMARC record among the TXT records at `_dmarc.<domain>`.

    Raises:
        UnsafeChangeError: There are several: receivers ignore them all, and which one is meant is the owner's to say.
    """
    records = dmarc_records(texts)
    if len(records) > 1:
        raise UnsafeChangeError("several-records", f"{len(records)} DMARC records stand at one name")
    return records[0] if records else parse_record("")
