"""
The gates before a stricter policy: each a figure, a threshold, a verdict and what it rests on. Does no I/O.

They are about acknowledged mail, so that spoofers do not hold a clean domain back and a big clean sender does not hide
a failing one. Missing data never passes a gate, and no single reporter opens or closes one (`robust`). The percentages
are conventions of the field, not derived from anything; the lower bound beside a rate shows what the volume is worth.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import sqrt
from typing import Any

from dmarcops.policy.evidence import MIN_WITNESSES, Evidence, Source, SourceKind, Tally, ratio, shares, total
from dmarcops.policy.lint import Severity, lint
from dmarcops.policy.record import Policy, Record
from dmarcops.policy.robust import Settled, settle

_Z = 1.959964
"""The normal quantile of a two-sided 95 % interval."""
_NAMED = 10
"""Sources that a detail names before it only counts them."""


class DomainKind(StrEnum):
    """What the owner declares a domain to be."""

    NORMAL = "normal"
    LOW_VOLUME = "low-volume"
    """Too little mail for a rate: judged by days on which each source's mail was clean."""
    PARKED = "parked"
    """No mail at all: it can go to its target at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The thresholds of the gates; those of the configuration have its names."""

    min_pass_rate: float = 0.98
    """Aligned passes among acknowledged mail, and among that of each acknowledged source."""
    min_messages: int = 1000
    """Acknowledged messages, whichever reporter is left out."""
    min_reporters: int = 2
    """Reporters heard of at the end of the window."""
    min_days: int = 14
    """Days that somebody reported about, whichever reporter is left out."""
    max_unknown_share: float = 0.01
    """Mail of sources that nobody has reviewed, measured against acknowledged mail."""
    min_recent_pass_rate: float = 0.95
    """As `min_pass_rate`, at the end of the window."""
    min_dkim_rate: float = 0.95
    """Aligned DKIM passes among acknowledged mail, before reject."""
    min_source_messages: int = 50
    """Messages from which on an acknowledged source is judged by itself."""
    min_source_share: float = 0.005
    """The share of acknowledged mail from which on it is so, too."""
    min_source_dkim_rate: float = 0.5
    """Aligned DKIM passes of each such source, before reject: below it, it rests on SPF."""
    max_silent_share: float = 0.5
    """Usual reporters that are silent."""
    max_silence_days: int = 3
    """Days without any report at the end of the window."""
    max_complaint_rate: float = 0.003
    """Complaints about the domain's mail in a week, where they are measured."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate: its name, the figure that decided, the threshold, and the verdict."""

    name: str
    value: float | None
    threshold: float
    ok: bool
    detail: str

    def as_json(self) -> dict[str, Any]:
        """Give the contract's form."""
        value = self.value if self.value is None else round(self.value, 6)
        return {
            "name": self.name,
            "value": value,
            "threshold": self.threshold,
            "ok": self.ok,
            "detail": self.detail,
        }


def evaluate(
    evidence: Evidence, record: Record, thresholds: Thresholds, *, kind: DomainKind, policy: Policy
) -> tuple[Gate, ...]:
    """
    Judge the evidence for a step.

    Args:
        evidence: Of the window.
        record: What is published now.
        thresholds: The thresholds.
        kind: What the owner declares the domain to be.
        policy: The `p` of the next rung. One in test mode is judged like the full one, as some receivers do not read
            `t`.
    """
    always = (_record(record), _rotation(evidence), *_complaints(evidence, thresholds))
    if kind is DomainKind.PARKED:
        return (*always, _parked(evidence))
    gates = [
        *always,
        _destination(evidence),
        _days(evidence, thresholds),
        _freshness(evidence, thresholds),
        _reporters(evidence, thresholds),
        _silence(evidence, thresholds),
        *(_low_volume(evidence, thresholds) if kind is DomainKind.LOW_VOLUME else _rates(evidence, thresholds)),
        _failing_sources(evidence, thresholds),
        _unknown(evidence, thresholds),
    ]
    if policy is Policy.REJECT:
        gates += [_dkim(evidence, thresholds), _spf_only(evidence, thresholds)]
    return tuple(gates)


def _record(record: Record) -> Gate:
    errors = [x for x in lint(record) if x.lint.severity is Severity.ERROR]
    detail = "; ".join(f"{x.lint.code}: {x.detail}" for x in errors) or "no error in the published record"
    return Gate("record", len(errors), 0, not errors, detail)


def _rotation(evidence: Evidence) -> Gate:
    selectors = evidence.context.rotation
    detail = f"a DKIM rotation is in flight: {', '.join(selectors)}" if selectors else "no DKIM rotation is in flight"
    return Gate("rotation", len(selectors), 0, not selectors, detail)


def _complaints(evidence: Evidence, thresholds: Thresholds) -> tuple[Gate, ...]:
    """Judge complaints where they are measured; where they are not there is no gate, rather than an open one."""
    rate = evidence.context.complaint_rate
    if rate is None:
        return ()
    most = thresholds.max_complaint_rate
    return (Gate("max_complaint_rate", rate, most, rate < most, "complaints of a week, by feedback loops"),)


def _destination(evidence: Evidence) -> Gate:
    authorised = evidence.context.is_rua_authorised
    value = None if authorised is None else int(authorised)
    detail = {
        None: "not established whether reports can come",
        True: "reports can come",
        False: "no address of rua can receive reports",
    }[authorised]
    return Gate("destination", value, 1, bool(authorised), detail)


def _days(evidence: Evidence, thresholds: Thresholds) -> Gate:
    days = {reporter.name: frozenset(reporter.days) for reporter in evidence.reporters}

    def covered(excluded: frozenset[str]) -> float | None:
        return len({day for name, seen in days.items() if name not in excluded for day in seen}) or None

    settled = settle(covered, days, lambda value: value >= thresholds.min_days)
    detail = f"{len(evidence.covered_days)} of {len(evidence.window.days())} days are covered"
    return _gate("min_days", settled, thresholds.min_days, detail)


def _freshness(evidence: Evidence, thresholds: Thresholds) -> Gate:
    last = {reporter.name: reporter.days[-1] for reporter in evidence.reporters}

    def silence(excluded: frozenset[str]) -> float | None:
        # Days around a change, which are not counted, are no silence: the last day that counts is the measure.
        days = [day for name, day in last.items() if name not in excluded]
        return (evidence.window.days()[-1] - max(days)).days if days else None

    settled = settle(silence, last, lambda value: value <= thresholds.max_silence_days)
    detail = f"the last day with a report is {max(last.values()).isoformat()}" if last else "no report at all"
    return _gate("max_silence_days", settled, thresholds.max_silence_days, detail)


def _reporters(evidence: Evidence, thresholds: Thresholds) -> Gate:
    heard = [reporter.name for reporter in evidence.reporters if reporter.is_recent]
    by_share = shares(evidence.reporters)
    largest = max(by_share, key=lambda name: by_share[name], default="")
    spread = f"; {largest} saw {by_share[largest]:.0%} of the mail" if largest else ""
    detail = f"heard of at the end of the window: {_named(heard)}{spread}"
    value = len(heard) if evidence.reporters else None
    return Gate("min_reporters", value, thresholds.min_reporters, len(heard) >= thresholds.min_reporters, detail)


def _silence(evidence: Evidence, thresholds: Thresholds) -> Gate:
    """One silent reporter never closes this gate: its silence is as little to be relied on as its word."""
    usual = {reporter.name: reporter.is_silent for reporter in evidence.reporters if reporter.is_usual}
    silent = [name for name, is_silent in usual.items() if is_silent]

    def share(excluded: frozenset[str]) -> float | None:
        left = [is_silent for name, is_silent in usual.items() if name not in excluded]
        return ratio(sum(left), len(left))

    settled = settle(share, usual, lambda value: value <= thresholds.max_silent_share)
    if len(silent) <= 1 and usual:
        settled = Settled(share(frozenset()), ok=True)
    detail = f"silent: {_named(silent)}" if silent else f"{len(usual)} usual reporters, none silent"
    return _gate("max_silent_share", settled, thresholds.max_silent_share, detail)


Measure = Callable[[Tally], int]


def _acknowledged(evidence: Evidence, *, is_recent: bool = False) -> Mapping[str, Tally]:
    """Give the acknowledged mail by reporter."""
    sources = evidence.of_kind(SourceKind.ACKNOWLEDGED)
    return by_reporter(source.recent if is_recent else source.by_reporter for source in sources)


def by_reporter(each: Iterable[Mapping[str, Tally]]) -> dict[str, Tally]:
    """Add up what is by reporter."""
    rows: dict[str, list[Tally]] = {}
    for tallies in each:
        for name, tally in tallies.items():
            rows.setdefault(name, []).append(tally)
    return {name: total(tallies) for name, tallies in rows.items()}


def _without(tallies: Mapping[str, Tally], part: Measure, whole: Measure) -> Callable[[frozenset[str]], float | None]:
    """Give a rate as a figure of the reporters that are left out."""
    parts = sum(part(tally) for tally in tallies.values())
    wholes = sum(whole(tally) for tally in tallies.values())

    def figure(excluded: frozenset[str]) -> float | None:
        left_out = [tallies[name] for name in excluded if name in tallies]
        return ratio(parts - sum(map(part, left_out)), wholes - sum(map(whole, left_out)))

    return figure


def _passed(tally: Tally) -> int:
    return tally.passed


def _dkim_passed(tally: Tally) -> int:
    return tally.dkim


def _messages(tally: Tally) -> int:
    return tally.messages


def _units(tally: Tally) -> int:
    return tally.units


def _clean(tally: Tally) -> int:
    return tally.clean


def _rates(evidence: Evidence, thresholds: Thresholds) -> list[Gate]:
    tallies = _acknowledged(evidence)
    return [
        _volume("min_messages", tallies, _messages, thresholds.min_messages),
        _rate("min_pass_rate", tallies, (_passed, _messages), thresholds.min_pass_rate),
        _rate(
            "min_recent_pass_rate",
            _acknowledged(evidence, is_recent=True),
            (_passed, _messages),
            thresholds.min_recent_pass_rate,
        ),
    ]


def _low_volume(evidence: Evidence, thresholds: Thresholds) -> list[Gate]:
    """Count days of sources instead of messages; each report of a source on a day is one."""
    tallies = _acknowledged(evidence)
    return [
        _volume("min_source_days", tallies, _units, thresholds.min_days),
        _rate("min_clean_source_days", tallies, (_clean, _units), thresholds.min_pass_rate),
    ]


def _volume(name: str, tallies: Mapping[str, Tally], measure: Measure, threshold: int) -> Gate:
    whole = sum(measure(tally) for tally in tallies.values())

    def figure(excluded: frozenset[str]) -> float | None:
        return whole - sum(measure(tallies[each]) for each in excluded) or None

    settled = settle(figure, tallies, lambda value: value >= threshold)
    return _gate(name, settled, threshold, f"{whole} from acknowledged sources, by all reporters")


def _rate(name: str, tallies: Mapping[str, Tally], of: tuple[Measure, Measure], threshold: float) -> Gate:
    part, whole = (sum(measure(tally) for tally in tallies.values()) for measure in of)
    settled = settle(_without(tallies, *of), tallies, lambda value: value >= threshold)
    if not whole:
        return _gate(name, settled, threshold, "no mail of an acknowledged source")
    detail = f"{part} of {whole}; the 95 % lower bound is {lower_bound(part, whole):.3f}"
    return _gate(name, settled, threshold, detail)


def lower_bound(part: int, whole: int) -> float:
    """
    Give Wilson's lower bound of a rate at 95 %.

    Messages of one source do not depend on chance alone, so it is shown and decides nothing.
    """
    rate = part / whole
    centre = rate + _Z * _Z / (2 * whole)
    spread = _Z * sqrt(rate * (1 - rate) / whole + _Z * _Z / (4 * whole * whole))
    return max(0.0, (centre - spread) / (1 + _Z * _Z / whole))


def falls_short(tallies: Mapping[str, Tally], part: Measure, threshold: float) -> bool:
    """
    Tell whether a rate is below a threshold by the word of two reporters at least, whatever a single other one says.

    That is so when, of all reporters or of all but one, none is needed to say it.
    """
    figure = _without(tallies, part, _messages)

    def is_below(excluded: frozenset[str]) -> bool:
        value = figure(excluded)
        return value is not None and value < threshold

    def is_confirmed(excluded: frozenset[str]) -> bool:
        others = [name for name in tallies if name not in excluded]
        return is_below(excluded) and all(is_below(excluded | {name}) for name in others)

    return is_confirmed(frozenset()) or any(is_confirmed(frozenset({name})) for name in tallies)


def failing_sources(evidence: Evidence, thresholds: Thresholds) -> tuple[Source, ...]:
    """Give the acknowledged sources whose mail fails: it has to be put right first (RFC 9989 section 5.1.6)."""
    return _short(evidence, thresholds, _passed, thresholds.min_pass_rate)


def _short(evidence: Evidence, thresholds: Thresholds, part: Measure, threshold: float) -> tuple[Source, ...]:
    judged = _judged(evidence, thresholds)
    return tuple(source for source in judged if falls_short(source.by_reporter, part, threshold))


def _judged(evidence: Evidence, thresholds: Thresholds) -> Sequence[Source]:
    sources = evidence.of_kind(SourceKind.ACKNOWLEDGED)
    whole = sum(source.total.messages for source in sources)
    least = min(thresholds.min_source_messages, thresholds.min_source_share * whole)
    return [source for source in sources if source.total.messages >= least]


def _failing_sources(evidence: Evidence, thresholds: Thresholds) -> Gate:
    return _sources_gate("failing_sources", evidence, thresholds, (_passed, thresholds.min_pass_rate))


def _spf_only(evidence: Evidence, thresholds: Thresholds) -> Gate:
    """A source without aligned DKIM blocks reject, which must not rest on SPF alone (RFC 9989 section 7.4)."""
    return _sources_gate("spf_only_sources", evidence, thresholds, (_dkim_passed, thresholds.min_source_dkim_rate))


def _sources_gate(name: str, evidence: Evidence, thresholds: Thresholds, of: tuple[Measure, float]) -> Gate:
    part, least = of
    judged = _judged(evidence, thresholds)
    if not judged:
        return Gate(name, None, 0, ok=False, detail="no mail of an acknowledged source")
    found = _short(evidence, thresholds, part, least)
    below = [source for source in judged if part(source.total) < least * source.total.messages]
    disputed = [source for source in below if source not in found]
    detail = _rates_of(found, part) or "none"
    if disputed:
        detail += f"; by one reporter alone, and not counted: {_rates_of(disputed, part)}"
    return Gate(name, len(found), 0, not found, detail)


def _rates_of(sources: Sequence[Source], part: Measure) -> str:
    return _named([f"{x.name} ({part(x.total)} of {x.total.messages})" for x in sources])


def _unknown(evidence: Evidence, thresholds: Thresholds) -> Gate:
    """
    Measure unreviewed sources: all those together that anything speaks for, or the largest one.

    Many small senders that authenticate as nobody are what the policy is for, and hold nothing back; a single one above
    the share does until a person has looked at it, since a forgotten system of one's own looks like that too.
    """
    unreviewed = evidence.of_kind(SourceKind.UNREVIEWED)
    acknowledged = _acknowledged(evidence)
    whole = sum(tally.messages for tally in acknowledged.values())

    def figure(excluded: frozenset[str]) -> float | None:
        left = whole - sum(acknowledged[name].messages for name in excluded if name in acknowledged)
        sizes = [(_size(source, excluded), not excluded.issuperset(source.signs)) for source in unreviewed]
        signed = sum(size for size, has_sign in sizes if has_sign)
        return ratio(max([signed, *(size for size, _ in sizes)]), left)

    names = {reporter.name for reporter in evidence.reporters}
    settled = settle(figure, names, lambda value: value <= thresholds.max_unknown_share)
    large = _large(evidence, thresholds)
    shown = large if settled.ok else unknown_sources(evidence, thresholds)
    detail = (
        f"to be reviewed: {_named([f'{x.name} ({x.total.messages})' for x in shown])}" if shown else "none is large"
    )
    return _gate(
        "max_unknown_share", settled, thresholds.max_unknown_share, detail if whole else "no acknowledged mail"
    )


def unknown_sources(evidence: Evidence, thresholds: Thresholds) -> tuple[Source, ...]:
    """
    Give the sources that a person should look at: not reviewed, and large or with something that speaks for them.

    Those that several reporters saw come first, the large ones of them before the others: what a single reporter says,
    and be it of millions of messages, hides no other.
    """
    large = {source.name for source in _large(evidence, thresholds)}
    asked = [x for x in evidence.of_kind(SourceKind.UNREVIEWED) if x.signs or x.name in large]
    return tuple(sorted(asked, key=lambda x: (len(x.by_reporter) < MIN_WITNESSES, x.name not in large)))


def _large(evidence: Evidence, thresholds: Thresholds) -> tuple[Source, ...]:
    """Give the unreviewed sources that are above the share by the word of all reporters, or of all but one."""
    acknowledged = _acknowledged(evidence)
    whole = sum(tally.messages for tally in acknowledged.values())
    names = [reporter.name for reporter in evidence.reporters]
    least = {
        frozenset({name}): thresholds.max_unknown_share * (whole - acknowledged.get(name, Tally()).messages)
        for name in names
    }
    least[frozenset()] = thresholds.max_unknown_share * whole
    return tuple(
        source
        for source in evidence.of_kind(SourceKind.UNREVIEWED)
        if any(_size(source, excluded) > share for excluded, share in least.items())
    )


def _size(source: Source, excluded: frozenset[str]) -> int:
    return sum(tally.messages for name, tally in source.by_reporter.items() if name not in excluded)


def _dkim(evidence: Evidence, thresholds: Thresholds) -> Gate:
    return _rate("min_dkim_rate", _acknowledged(evidence), (_dkim_passed, _messages), thresholds.min_dkim_rate)


def _parked(evidence: Evidence) -> Gate:
    """A domain without mail has no reports, so their absence is what is to be expected."""
    own = [x for x in evidence.sources if x.kind is SourceKind.ACKNOWLEDGED or x.total.passed]

    def figure(excluded: frozenset[str]) -> float | None:
        return sum(_size(source, excluded) for source in own)

    settled = settle(figure, [reporter.name for reporter in evidence.reporters], lambda value: value == 0)
    detail = f"mail of its own: {_named([x.name for x in own])}" if own else "no mail of its own was seen"
    return _gate("parked", settled, 0, detail)


def _gate(name: str, settled: Settled, threshold: float, detail: str) -> Gate:
    remark = settled.remark
    return Gate(name, settled.value, threshold, settled.ok, f"{detail}; {remark}" if remark else detail)


def _named(names: Sequence[str]) -> str:
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
