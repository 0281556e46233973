"""
What codes mean in plain words: gates, rungs, receivers, verdicts, sources. Does no I/O.

A code that has no words here is shown as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import StrEnum

from dmarcops.policy.evidence import SourceKind
from dmarcops.policy.gates import Gate
from dmarcops.policy.record import MAX_PCT, Policy
from dmarcops.policy.rules import Step
from dmarcops.policy.rungs import Effect, Receiver, RungName
from dmarcops.policy.stepper import Decision
from dmarcops.policy.what_if import Verdict
from dmarcops.render.document import Tone

NOTHING = "\N{EN DASH}"
"""Stands where there is no figure."""
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


class Unit(StrEnum):
    """What the figure of a gate counts."""

    COUNT = "count"
    SHARE = "share"
    ANSWER = "answer"
    """Yes or no."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a gate measures in words, what its figure counts, and whether more is better."""

    words: str
    unit: Unit
    is_minimum: bool


GATES: Mapping[str, Measured] = {
    "record": Measured("Errors in the published record", Unit.COUNT, is_minimum=False),
    "rotation": Measured("DKIM rotations in flight", Unit.COUNT, is_minimum=False),
    "max_complaint_rate": Measured("Complaints about the domain's mail", Unit.SHARE, is_minimum=False),
    "parked": Measured("Mail of a domain that sends none", Unit.COUNT, is_minimum=False),
    "destination": Measured("Reports can come", Unit.ANSWER, is_minimum=True),
    "min_days": Measured("Days with reports", Unit.COUNT, is_minimum=True),
    "max_silence_days": Measured("Days without any report at the end", Unit.COUNT, is_minimum=False),
    "min_reporters": Measured("Reporters heard of at the end", Unit.COUNT, is_minimum=True),
    "max_silent_share": Measured("Usual reporters that fell silent", Unit.SHARE, is_minimum=False),
    "min_messages": Measured("Acknowledged mail", Unit.COUNT, is_minimum=True),
    "min_pass_rate": Measured("Acknowledged mail that passes", Unit.SHARE, is_minimum=True),
    "min_recent_pass_rate": Measured("The same at the end of the window", Unit.SHARE, is_minimum=True),
    "min_source_days": Measured("Days of acknowledged sources", Unit.COUNT, is_minimum=True),
    "min_clean_source_days": Measured("Days of acknowledged sources without failures", Unit.SHARE, is_minimum=True),
    "failing_sources": Measured("Acknowledged sources whose mail fails", Unit.COUNT, is_minimum=False),
    "max_unknown_share": Measured("Mail of sources nobody has reviewed", Unit.SHARE, is_minimum=False),
    "min_dkim_rate": Measured("Acknowledged mail that passes by DKIM", Unit.SHARE, is_minimum=True),
    "spf_only_sources": Measured("Acknowledged sources that rest on SPF alone", Unit.COUNT, is_minimum=False),
}
"""What each gate measures, by its name."""

RUNGS: Mapping[RungName, str] = {
    RungName.NONE: "none",
    RungName.QUARANTINE_TESTING: "quarantine, test mode",
    RungName.QUARANTINE_PCT: "quarantine, a share",
    RungName.QUARANTINE: "quarantine",
    RungName.REJECT_TESTING: "reject, test mode",
    RungName.REJECT_PCT: "reject, a share",
    RungName.REJECT: "reject",
}
"""The rungs."""

MEANINGS: Mapping[Policy, str] = {
    Policy.NONE: "delivered as before",
    Policy.QUARANTINE: "treated as suspicious, which is the spam folder as a rule",
    Policy.REJECT: "refused",
}
"""What becomes of mail that fails."""

RECEIVERS: Mapping[Receiver, str] = {
    Receiver.RFC9989: "Follows RFC 9989: reads t, not pct",
    Receiver.RFC7489: "Follows RFC 7489: reads pct, not t",
    Receiver.RFC7489_LENIENT: "The same, and spares what pct leaves out",
    Receiver.NEITHER: "Reads p alone",
}
"""Kinds of receivers."""

RECEIVER_HEADS: Mapping[Receiver, str] = {
    Receiver.RFC9989: "RFC 9989",
    Receiver.RFC7489: "RFC 7489",
    Receiver.RFC7489_LENIENT: "RFC 7489, lenient",
    Receiver.NEITHER: "p alone",
}
"""The same where there is little room."""

VERDICTS: Mapping[Verdict, tuple[str, Tone]] = {
    Verdict.LEGITIMATE_FAILING: ("legitimate, fails", Tone.BAD),
    Verdict.UNKNOWN: ("to be reviewed", Tone.ASK),
    Verdict.SPOOF: ("denied", Tone.GOOD),
}
"""What it means that mail would be touched."""

SOURCES: Mapping[SourceKind, str] = {
    SourceKind.ACKNOWLEDGED: "acknowledged",
    SourceKind.DENIED: "denied",
    SourceKind.FORWARDER: "forwarder",
    SourceKind.MAILING_LIST: "mailing list",
    SourceKind.UNREVIEWED: "not reviewed",
}
"""What a source is."""

DECISIONS: Mapping[Decision, tuple[str, Tone]] = {
    Decision.DONE: ("at its goal", Tone.GOOD),
    Decision.READY: ("ready", Tone.GOOD),
    Decision.UNSIGNED: ("to be signed", Tone.GOOD),
    Decision.WAIT: ("waits", Tone.ASK),
    Decision.HELD: ("on hold", Tone.ASK),
    Decision.BLOCKED: ("blocked", Tone.BAD),
}
"""How a domain stands."""

TAGS: Mapping[str, str] = {
    "v": "version",
    "p": "what is asked for mail of the domain that fails",
    "sp": "the same for its subdomains; absent: as p",
    "np": "the same for subdomains that do not exist; absent: as sp",
    "t": "test mode: y asks to act one level below; absent: n",
    "pct": "share of the mail, for old receivers; absent: 100",
    "psd": "public suffix domain; absent: u",
    "adkim": "DKIM alignment: r relaxed, s strict; absent: r",
    "aspf": "SPF alignment: r relaxed, s strict; absent: r",
    "rua": "where aggregate reports go",
    "ruf": "where failure reports go",
    "fo": "when failure reports are asked for; absent: 0",
    "rf": "format of failure reports; historic",
    "ri": "interval of reports; historic",
}
"""What the tags of a record are."""


def count(number: int, one: str, many: str = "") -> str:
    """Give a number and what it counts."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def percent(value: float | None, *, is_minimum: bool = True) -> str:
    """Give a share in percent, rounded to the careful side, so that it does not look as if it met a threshold."""
    if value is None:
        return NOTHING
    rounding = ROUND_FLOOR if is_minimum else ROUND_CEILING
    rounded = (Decimal(repr(value)) * 100).quantize(Decimal("0.01"), rounding)
    return f"{rounded.normalize() if rounded % 1 else rounded.to_integral_value():f}%"


def figure_of(gate: Gate) -> str:
    """Give the figure of a gate."""
    return NOTHING if gate.value is None else _number(gate, gate.value)


def threshold_of(gate: Gate) -> str:
    """Give what is asked for."""
    measured = GATES.get(gate.name)
    if measured is None or measured.unit is Unit.ANSWER:
        return _number(gate, gate.threshold)
    if not measured.is_minimum and not gate.threshold:
        return "none"
    return f"{'at least' if measured.is_minimum else 'at most'} {_number(gate, gate.threshold)}"


def _number(gate: Gate, value: float) -> str:
    measured = GATES.get(gate.name)
    if measured is None:
        return f"{value:.6g}"
    if measured.unit is Unit.SHARE:
        return percent(value, is_minimum=measured.is_minimum)
    if measured.unit is Unit.ANSWER:
        return "yes" if value else "no"
    return f"{value:,.10g}"


def name_of(gate: Gate) -> str:
    """Give what a gate measures."""
    measured = GATES.get(gate.name)
    return measured.words if measured else gate.name


def effect_of(effect: Effect) -> str:
    """Give what a kind of receiver does."""
    if effect.pct < MAX_PCT and effect.policy is not Policy.NONE:
        return f"{effect.policy} for {effect.pct}% of it, {effect.otherwise} for the rest"
    return effect.policy.value


def step_name(step: Step) -> str:
    """Give the rung of a step, with its share when it has one."""
    return f"{step.definition.p}, {step.pct}%" if step.definition.is_sampled else RUNGS[step.rung]


def duration(length: timedelta) -> str:
    """Give a duration in weeks, days or hours, whichever is whole; in seconds when none is."""
    for unit, name in ((timedelta(weeks=1), "week"), (timedelta(days=1), "day"), (timedelta(hours=1), "hour")):
        if length and not length % unit:
            return count(length // unit, name)
    return count(int(length.total_seconds()), "second") if length else NOTHING


def long_date(day: date) -> str:
    """Give a date as people write it."""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def minute(moment: datetime) -> str:
    """Give a moment to the minute, with its zone."""
    zone = "UTC" if not moment.utcoffset() else f"{moment:%z}"
    return f"{moment:%Y-%m-%d %H:%M} {zone}"


def shortened(text: str, most: int) -> str:
    """Give a text of no more than so many characters, with a mark where it goes on; for names it is the middle."""
    return text if len(text) <= most else f"{text[: most - most // 3 - 1]}\N{HORIZONTAL ELLIPSIS}{text[-(most // 3) :]}"
