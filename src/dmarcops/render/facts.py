"""
What a report says about one domain, worked out once for all places where it is shown. Does no I/O.

The price that is shown is that of the next step; where there is none, that of the policy in force.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import cached_property

from dmarcops.policy.gates import Gate
from dmarcops.policy.lint import Finding, lint
from dmarcops.policy.record import Record
from dmarcops.policy.rules import Step, thaw
from dmarcops.policy.rungs import rung_of
from dmarcops.policy.signoff import Signature, Statement, tampering
from dmarcops.policy.signoff_report import SignoffReport
from dmarcops.policy.stepper import Decision
from dmarcops.policy.what_if import Verdict, WhatIf, what_if
from dmarcops.policy.window import LAG_DAYS
from dmarcops.render.document import SignatureLine, Tone
from dmarcops.render.document import Verdict as Answer
from dmarcops.render.wording import count, long_date


@dataclass(frozen=True, slots=True)
class Dated:
    """A step of the schedule: `place` is `done`, `now`, `next` or `later`; `earliest` is of the last two."""

    step: Step
    place: str
    earliest: datetime | None = None


@dataclass(frozen=True)
class Facts:
    """What one domain's report says."""

    report: SignoffReport

    @property
    def is_done(self) -> bool:
        """Whether there is no next step."""
        return self.report.proposal.next is None

    @property
    def record(self) -> Record:
        """The record that is published."""
        return self.report.proposal.record

    @property
    def record_next(self) -> Record | None:
        """The record that the next step writes, when there is one that can be written."""
        following = self.report.proposal.next
        return following.record if following else None

    @property
    def step(self) -> Step | None:
        """The next step."""
        following = self.report.proposal.next
        return following.step if following else None

    @property
    def statement(self) -> Statement | None:
        """What is signed."""
        return self.report.proposal.statement

    @property
    def digest(self) -> str:
        """The digest of what is signed; empty when there is nothing to sign."""
        return self.statement.digest if self.statement else ""

    @cached_property
    def price(self) -> WhatIf | None:
        """What the next step would have touched, or what the policy in force asks to touch."""
        rung = rung_of(self.record)
        if self.is_done and rung is not None:
            return what_if(self.report.evidence, rung.name, self.record)
        return self.report.price

    def touched(self, verdict: Verdict | None = None) -> int:
        """Give how many messages the price is, of one verdict or of all."""
        return self.price.affected(verdict=verdict) if self.price else 0

    @property
    def touched_at_most(self) -> int:
        """Legitimate messages that the strictest kind of receiver would have touched."""
        price = self.price
        kinds = price.effects if price else ()
        return max((price.affected(kind, Verdict.LEGITIMATE_FAILING) for kind in kinds if price), default=0)

    @property
    def closed(self) -> tuple[Gate, ...]:
        """The gates that are not met."""
        return tuple(gate for gate in self.report.proposal.gates if not gate.ok)

    @property
    def obstacles(self) -> tuple[str, ...]:
        """What stands in the way beside the gates."""
        names = tuple(f"{gate.name}: " for gate in self.closed)
        return tuple(reason for reason in self.report.proposal.reasons if not reason.startswith(names))

    @property
    def signatures(self) -> tuple[Signature, ...]:
        """The signatures that there are, whether they hold or not."""
        signoff = self.report.proposal.signoff
        return signoff.signatures if signoff else ()

    @property
    def broken_seals(self) -> tuple[str, ...]:
        """What of the signatures was changed afterwards."""
        signoff = self.report.proposal.signoff
        return tampering(signoff) if signoff else ()

    @property
    def lines(self) -> tuple[SignatureLine, ...]:
        """The lines to sign on: those that are filled in, and an empty one for each signature that is missing."""
        if not self.digest:
            return ()
        proposal = self.report.proposal
        counted = [x for x in self.signatures if x not in proposal.expired]
        standing = [x for x in counted if proposal.is_signed or x.digest == self.digest]
        filled = [SignatureLine(x.by, f"{x.at:%Y-%m-%d}", x.digest) for x in standing]
        missing = 0
        if proposal.rules.require_signature and not proposal.is_signed:
            missing = max(1, proposal.rules.signing.signers - len(filled))
        return (*filled, *[SignatureLine("", "", self.digest)] * missing)

    @cached_property
    def findings(self) -> tuple[tuple[str, Finding], ...]:
        """What is found in the record that is published, and beyond it in the next one; with which of both it is in."""
        now = lint(self.record)
        codes = {(finding.lint, finding.tag) for finding in now}
        later = lint(self.record_next) if self.record_next else ()
        return (
            *(("published", finding) for finding in now),
            *(("next", finding) for finding in later if (finding.lint, finding.tag) not in codes),
        )

    @property
    def state(self) -> Decision:
        """
        How the domain stands, as the answer says it: a step whose conditions are not met is blocked.

        That it is not the time yet, or that a person holds it, comes first for `advance` alone.
        """
        decision = self.report.proposal.decision
        is_blocked = bool(self.closed) or self.record_next is None
        return Decision.BLOCKED if is_blocked and decision is not Decision.DONE else decision

    @cached_property
    def answer(self) -> Answer:
        """Whether the next step is safe, in plain words."""
        word, tone, text = self._answer()
        question = "Is the domain where it should be?" if self.is_done else "Is the next step safe?"
        return Answer(question, word, tone, text)

    def _answer(self) -> tuple[str, Tone, str]:
        proposal, closed = self.report.proposal, len(self.closed)
        met = f"{closed} of {count(len(proposal.gates), 'condition')} {'is' if closed == 1 else 'are'} not met."
        if proposal.decision is Decision.DONE:
            return "Yes", Tone.GOOD, f"There is no further step: {proposal.reasons[0]}."
        if closed or self.record_next is None:
            return "No", Tone.BAD, f"The step is not to be made. {met}" if closed else "The step cannot be made."
        every = "The evidence supports the step: every condition is met."
        return {
            Decision.BLOCKED: ("No", Tone.BAD, f"{every} Something else stands in the way."),
            Decision.HELD: ("On hold", Tone.ASK, f"{every} A person has put the domain on hold."),
            Decision.WAIT: ("Not yet", Tone.ASK, f"{every} It is not the time yet."),
            Decision.UNSIGNED: ("Yes, once it is signed", Tone.GOOD, every),
            Decision.READY: ("Yes", Tone.GOOD, f"{every} Nothing else is asked for."),
        }[proposal.decision]

    @property
    def earliest(self) -> str:
        """From when the next step can be made, in words."""
        proposal = self.report.proposal
        if proposal.next is None:
            return ""
        word = "not before" if any(map(self.is_early, proposal.reasons)) else "due since"
        return f"{word} {long_date(proposal.next.not_before.date())}"

    @property
    def earliest_and_why(self) -> str:
        """The same, what is not known, and which freeze it is for."""
        unknown = "" if self.report.evidence.context.since else ": since when the published record stands is not known"
        following = self.report.proposal.next
        frozen = f": {following.freeze}" if following is not None and following.freeze else ""
        return self.earliest + unknown + frozen

    @staticmethod
    def is_early(reason: str) -> bool:
        """Tell whether a reason is that it is too early."""
        return reason.startswith("not before ")

    @property
    def _day_of_report(self) -> datetime:
        """The day on which the report can have been made at the earliest: no step is made before it."""
        end = self.report.evidence.window.end + timedelta(days=LAG_DAYS)
        return datetime.combine(end, time(), UTC)

    @cached_property
    def schedule(self) -> tuple[Dated, ...]:
        """The steps of the schedule, each with its place and the earliest date of those that are still to come."""
        proposal = self.report.proposal
        steps = proposal.rules.steps()
        at = next((at for at, step in enumerate(steps) if step == self.step), len(steps))
        found = [Dated(step, "now" if place == at - 1 else "done") for place, step in enumerate(steps[:at])]
        moment = max(proposal.next.not_before, self._day_of_report) if proposal.next else None
        for place, step in enumerate(steps[at:]):
            found.append(Dated(step, "later" if place else "next", moment))
            moment = moment and thaw(moment + step.duration, proposal.rules.freezes)
        return tuple(found)
