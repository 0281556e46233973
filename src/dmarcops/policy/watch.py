"""
What happens after a step: whether legitimate mail suffers, and the step back if it does. Does no I/O.

The step back is what `journal.former` gives. It is a proposal: whether it is written at once is the owner's rule.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dmarcops.policy.evidence import MIN_WITNESSES, Evidence, SourceKind, Tally, ratio, total
from dmarcops.policy.gates import by_reporter, falls_short
from dmarcops.policy.record import Policy
from dmarcops.policy.rules import Rules

_MIN_SHARE = 0.01
"""Share of acknowledged mail from which on one failing source is a regression."""


class Outcome(StrEnum):
    """How it looks since the step."""

    FINE = "fine"
    WAITING = "waiting"
    """Too little mail was reported since, or by too few."""
    REGRESSION = "regression"


@dataclass(frozen=True, slots=True)
class Watch:
    """What was found; `record` is what the step back writes, None when none is proposed."""

    outcome: Outcome
    reasons: tuple[str, ...]
    record: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Give what is printed."""
        return {"outcome": self.outcome.value, "reasons": list(self.reasons), "record": self.record}


def watch(evidence: Evidence, rules: Rules, *, former: str | None, policy: Policy) -> Watch:
    """
    Say how legitimate mail fares since a step.

    What no second reporter confirms is no regression, so that a forged report cannot undo a step.

    Args:
        evidence: Since the step, as `evidence.window_since` bounds it; the end of it decides.
        rules: The owner's rules.
        former: The text of the record that the step back writes; None when there is none that is safe.
        policy: The `p` that the step published.
    """
    complaints = _complaints(evidence, rules)
    recent = by_reporter(source.recent for source in evidence.of_kind(SourceKind.ACKNOWLEDGED))
    whole = total(recent.values())
    if not complaints and (whole.messages < rules.regression_messages or len(recent) < MIN_WITNESSES):
        told = f"{whole.messages} acknowledged messages were reported lately, by {len(recent)} reporters"
        return Watch(Outcome.WAITING, (told,))
    reasons = [*complaints, *_rates(recent, whole, rules, policy), *_sources(evidence, rules, whole)]
    return Watch(Outcome.REGRESSION, tuple(reasons), former) if reasons else Watch(Outcome.FINE, ())


def _complaints(evidence: Evidence, rules: Rules) -> list[str]:
    rate, most = evidence.context.complaint_rate, rules.thresholds.max_complaint_rate
    return [f"{rate:.2%} of the mail is complained about, and {most:.2%} is too much"] if (rate or 0) >= most else []


def _rates(recent: dict[str, Tally], whole: Tally, rules: Rules, policy: Policy) -> list[str]:
    least = rules.regression_rate
    reasons = []
    if falls_short(recent, lambda tally: tally.passed, least):
        reasons.append(f"{_share(whole.passed, whole)} of acknowledged mail passes, and {least:.1%} is the least")
    elif policy is Policy.REJECT and falls_short(recent, lambda tally: tally.dkim, least):
        # RFC 9989 section 7.4: reject must not rest on SPF alone.
        reasons.append(f"{_share(whole.dkim, whole)} of acknowledged mail passes DKIM, and {least:.1%} is the least")
    return reasons


def _sources(evidence: Evidence, rules: Rules, whole: Tally) -> list[str]:
    reasons = []
    for source in evidence.of_kind(SourceKind.ACKNOWLEDGED):
        lately = total(source.recent.values())
        is_large = lately.messages > _MIN_SHARE * whole.messages
        if is_large and falls_short(source.recent, lambda tally: tally.passed, rules.regression_rate):
            reasons.append(f"{source.name}: {_share(lately.passed, lately)} of {lately.messages} messages pass")
    return reasons


def _share(part: int, whole: Tally) -> str:
    return f"{ratio(part, whole.messages) or 0:.1%}"
