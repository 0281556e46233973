"""
What authenticated reports say about a domain's mail in a window, source by source and reporter by reporter.

The store gives counts, people gave words about sources, and the sum of both is the `Evidence` that gates decide on. All
that a gate needs is kept for each reporter, so that it can be asked what would be without any one of them. Does no I/O.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from dmarcops.policy.sources import Acknowledgement, Origin, Review, Word, group_name

LAG_DAYS = 2
"""Reports come a day or two late: the days after the window's end are not complete yet."""
CHANGE_DAYS = 3
"""The day of a change and the two after it, whose reports may mix both policies (RFC 9990 section 3.3)."""
RECENT_DAYS = 7
"""The end of the window, by which a trend is seen."""
INDIRECT_SHARE = 0.5
"""Share of a source's failing mail that reporters call forwarded, from which on it is a forwarder."""
SURVIVING_SHARE = 0.95
"""Share of a source's mail that DKIM alone makes pass, never SPF, from which on it is a forwarder."""
MIN_WITNESSES = 2
"""Reporters that have to say so: one alone, dominating or forged, moves nothing."""

_FORWARDER_REASONS = frozenset({"forwarded", "trusted_forwarder"})
_LIST_REASONS = frozenset({"mailing_list"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """
    How much mail one reporter saw of one source on one day.

    `dkim`, `spf` and `both` are those with an aligned pass (`both` are in the other two as well); `authenticated` those
    with any pass, aligned or not; `policy` is the `p` that the reporter saw; `is_indirect` that it hints at forwarding
    outside of `reasons` (ARC, an `x-` result).
    """

    day: date
    reporter: str
    origin: Origin
    header_from: str
    messages: int
    dkim: int = 0
    spf: int = 0
    both: int = 0
    authenticated: int = 0
    dispositions: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    policy: str = ""
    is_indirect: bool = False


@dataclass(frozen=True, slots=True)
class Window:
    """Days that count, both ends included, without those around a change."""

    begin: date
    end: date
    left_out: tuple[date, ...] = ()

    def days(self) -> tuple[date, ...]:
        """Give the days that count."""
        length = (self.end - self.begin).days + 1
        every = (self.begin + timedelta(days=at) for at in range(max(length, 0)))
        return tuple(day for day in every if day not in self.left_out)


def window_before(now: datetime, changes: Iterable[datetime] = (), *, days: int = 28) -> Window:
    """Give the window for a decision at `now`: it ends two days ago, and leaves out the days around each change."""
    end = now.date() - timedelta(days=LAG_DAYS)
    return _window(end - timedelta(days=days - 1), end, changes)


def window_since(change: datetime, now: datetime) -> Window:
    """Give the window after a change, up to what is there now: a regression shows in incomplete days too."""
    return _window(change.date(), now.date(), (change,))


def _window(begin: date, end: date, changes: Iterable[datetime]) -> Window:
    around = {change.date() + timedelta(days=at) for change in changes for at in range(CHANGE_DAYS)}
    return Window(begin, end, tuple(sorted(day for day in around if begin <= day <= end)))


@dataclass(frozen=True, slots=True)
class Tally:
    """Messages, and those with an aligned pass; `units` are days of a source, `clean` those without failures."""

    messages: int = 0
    dkim: int = 0
    spf: int = 0
    both: int = 0
    units: int = 0
    clean: int = 0

    @property
    def passed(self) -> int:
        """Messages with an aligned pass of either mechanism: the DMARC verdict."""
        return self.dkim + self.spf - self.both

    @property
    def failing(self) -> int:
        """Messages with no aligned pass."""
        return self.messages - self.passed

    def as_json(self) -> dict[str, int]:
        """Give what is printed."""
        return {
            "messages": self.messages,
            "passed": self.passed,
            "dkim": self.dkim,
            "spf": self.spf,
            "both": self.both,
            "failing": self.failing,
        }


class SourceKind(StrEnum):
    """What a source is."""

    ACKNOWLEDGED = "acknowledged"
    DENIED = "denied"
    FORWARDER = "forwarder"
    MAILING_LIST = "mailing-list"
    UNREVIEWED = "unreviewed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """
    One sender: a service, a host's domain or a network, with all its addresses.

    `failing_from` are the author domains of its mail, each with how many failed. `by_reporter` is over the whole
    window, `recent` over its end. `signs` are the reporters that saw something speak for its being the domain's own, or
    a forwarder's: an aligned pass, or any other authentication.
    """

    name: str
    kind: SourceKind
    word: Acknowledgement | None
    addresses: tuple[str, ...]
    failing_from: Mapping[str, int]
    first_seen: date
    last_seen: date
    days: int
    by_reporter: Mapping[str, Tally]
    recent: Mapping[str, Tally]
    dispositions: Mapping[str, int]
    reasons: Mapping[str, int]
    signs: tuple[str, ...]

    @property
    def total(self) -> Tally:
        """The sum over all reporters."""
        return total(self.by_reporter.values())

    def as_json(self) -> dict[str, Any]:
        """Give what is printed, and signed."""
        word = self.word
        return {
            "name": self.name,
            "kind": self.kind.value,
            "reviewed": word and {"word": word.word.value, "by": word.by, "at": word.at.isoformat(), "note": word.note},
            "addresses": list(self.addresses),
            "header_from": sorted(self.failing_from),
            "first_seen": self.first_seen.isoformat(),
            "last_seen": self.last_seen.isoformat(),
            "days": self.days,
            **self.total.as_json(),
            "reporters": {name: tally.as_json() for name, tally in sorted(self.by_reporter.items())},
            "dispositions": dict(sorted(self.dispositions.items())),
            "reasons": dict(sorted(self.reasons.items())),
        }


@dataclass(frozen=True, slots=True)
class Reporter:
    """
    One reporter.

    A usual one reported on half of the covered days or more before the end of the window; a silent one is a usual one
    that has not been heard of since.
    """

    name: str
    messages: int
    days: tuple[date, ...]
    is_usual: bool
    is_silent: bool
    is_recent: bool

    def as_json(self) -> dict[str, Any]:
        """Give what is printed, and signed."""
        return {
            "name": self.name,
            "messages": self.messages,
            "days": len(self.days),
            "first_seen": self.days[0].isoformat(),
            "last_seen": self.days[-1].isoformat(),
            "usual": self.is_usual,
            "silent": self.is_silent,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """
    What else counts, none of which is in reports.

    `domain` is the one that the policy is of; `since` is when the published record was put there, as far as is known;
    `rotation` are selectors of a DKIM rotation in flight; `is_rua_authorised` tells whether reports can come (None: not
    established).
    """

    domain: str
    since: datetime | None = None
    rotation: tuple[str, ...] = ()
    is_rua_authorised: bool | None = None

    def as_json(self) -> dict[str, Any]:
        """Give what is printed, and signed."""
        return {
            "domain": self.domain,
            "since": self.since and self.since.isoformat(),
            "rotation": list(self.rotation),
            "rua_authorised": self.is_rua_authorised,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that a decision rests on; the same counts and words give the same evidence, in the same order."""

    window: Window
    sources: tuple[Source, ...]
    reporters: tuple[Reporter, ...]
    policies: Mapping[str, int]
    context: Context

    def of_kind(self, *kinds: SourceKind) -> tuple[Source, ...]:
        """Give the sources of some kinds."""
        return tuple(source for source in self.sources if source.kind in kinds)

    @property
    def acknowledged(self) -> Tally:
        """The mail of acknowledged sources."""
        return total(source.total for source in self.of_kind(SourceKind.ACKNOWLEDGED))

    @property
    def recent(self) -> Tally:
        """The mail of acknowledged sources at the end of the window."""
        return total(total(source.recent.values()) for source in self.of_kind(SourceKind.ACKNOWLEDGED))

    @property
    def covered_days(self) -> tuple[date, ...]:
        """The days of the window that somebody reported about."""
        return tuple(sorted({day for reporter in self.reporters for day in reporter.days}))

    @property
    def trend(self) -> float | None:
        """The pass rate of acknowledged mail at the end of the window, less that before it; None without both."""
        whole, recent = self.acknowledged, self.recent
        after = ratio(recent.passed, recent.messages)
        before = ratio(whole.passed - recent.passed, whole.messages - recent.messages)
        return None if after is None or before is None else after - before

    def figures(self) -> dict[str, float | int | None]:
        """Give the figures that a signature is held against."""
        whole = self.acknowledged
        unreviewed = total(source.total for source in self.of_kind(SourceKind.UNREVIEWED) if source.signs)
        return {
            "messages": whole.messages,
            "pass_rate": _rounded(ratio(whole.passed, whole.messages)),
            "dkim_rate": _rounded(ratio(whole.dkim, whole.messages)),
            "spf_rate": _rounded(ratio(whole.spf, whole.messages)),
            "unknown_share": _rounded(ratio(unreviewed.messages, whole.messages)),
            "reporters": len(self.reporters),
            "days": len(self.covered_days),
        }

    def as_json(self) -> dict[str, Any]:
        """Give what is printed, and signed."""
        return {
            "window": {
                "begin": self.window.begin.isoformat(),
                "end": self.window.end.isoformat(),
                "left_out": [day.isoformat() for day in self.window.left_out],
            },
            "figures": self.figures(),
            "trend": _rounded(self.trend),
            "sources": [source.as_json() for source in self.sources],
            "reporters": [reporter.as_json() for reporter in self.reporters],
            "policies": dict(sorted(self.policies.items())),
            "context": self.context.as_json(),
        }


def total(tallies: Iterable[Tally]) -> Tally:
    """Add tallies up."""
    rows = [(x.messages, x.dkim, x.spf, x.both, x.units, x.clean) for x in tallies]
    return Tally(*(sum(column) for column in zip(*rows, strict=True))) if rows else Tally()


def ratio(part: int, whole: int) -> float | None:
    """Give a share; None of nothing."""
    return part / whole if whole else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


class _Sum:
    """What is added up for one source."""

    def __init__(self, word: Acknowledgement | None) -> None:
        self.word = word
        self.addresses: set[str] = set()
        self.failing_from: Counter[str] = Counter()
        self.days: dict[str, dict[date, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0, 0, 0]))
        self.dispositions: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.forwarding: dict[str, int] = defaultdict(int)
        self.listing: dict[str, int] = defaultdict(int)
        self.signs: set[str] = set()

    def add(self, count: Count) -> None:
        self.addresses.add(count.origin.address)
        self.failing_from[count.header_from] += count.messages - (count.dkim + count.spf - count.both)
        sums = self.days[count.reporter][count.day]
        for at, value in enumerate((count.messages, count.dkim, count.spf, count.both)):
            sums[at] += value
        self.dispositions.update(count.dispositions)
        self.reasons.update(count.reasons)
        if count.authenticated or count.dkim or count.spf:
            self.signs.add(count.reporter)
        listed = sum(n for reason, n in count.reasons.items() if reason in _LIST_REASONS)
        forwarded = sum(n for reason, n in count.reasons.items() if reason in _FORWARDER_REASONS)
        if listed:
            self.listing[count.reporter] += listed
        if forwarded or count.is_indirect:
            self.forwarding[count.reporter] += forwarded or count.messages

    def tallies(self, days: frozenset[date]) -> dict[str, Tally]:
        """Add up the days among these, by reporter."""
        found = {}
        for reporter, by_day in sorted(self.days.items()):
            rows = [Tally(*sums) for day, sums in by_day.items() if day in days]
            if rows:
                added = total(rows)
                clean = sum(not row.failing for row in rows)
                found[reporter] = replace(added, units=len(rows), clean=clean)
        return found

    def kind(self, by_reporter: Mapping[str, Tally]) -> SourceKind:
        if self.word is not None:
            return SourceKind.ACKNOWLEDGED if self.word.word is Word.ACK else SourceKind.DENIED
        whole = total(by_reporter.values())
        for said, kind in ((self.listing, SourceKind.MAILING_LIST), (self.forwarding, SourceKind.FORWARDER)):
            if len(said) >= MIN_WITNESSES and sum(said.values()) >= INDIRECT_SHARE * whole.failing:
                return kind
        survives = whole.spf == 0 and whole.dkim >= SURVIVING_SHARE * whole.messages
        if survives and sum(tally.dkim > 0 for tally in by_reporter.values()) >= MIN_WITNESSES:
            return SourceKind.FORWARDER
        return SourceKind.UNREVIEWED


def compute(
    counts: Iterable[Count],
    window: Window,
    review: Review,
    *,
    organizational_domain: Callable[[str], str],
    context: Context,
) -> Evidence:
    """
    Add up what the store gives.

    Args:
        counts: What authenticated reports say; what is outside of the window is left out here.
        window: The days that count.
        review: What people said of a source.
        organizational_domain: Of the name of a sending host; addresses of one are one source.
        context: What is not in reports.
    """
    days = window.days()
    counted = frozenset(days)
    recent = frozenset(day for day in days if day > window.end - timedelta(days=RECENT_DAYS))
    sums: dict[tuple[str, str], _Sum] = {}
    reporters: dict[str, Counter[date]] = defaultdict(Counter)
    policies: Counter[str] = Counter()
    known: dict[Origin, tuple[tuple[str, str], Acknowledgement | None]] = {}
    for count in counts:
        if count.day not in counted:
            continue
        if count.origin not in known:
            word = review(count.origin)
            key = (group_name(count.origin, organizational_domain), word.word if word else "")
            known[count.origin] = key, word
        key, word = known[count.origin]
        sums.setdefault(key, _Sum(word)).add(count)
        reporters[count.reporter][count.day] += count.messages
        policies[count.policy or "unknown"] += count.messages
    sources = (_source(name, added, counted, recent) for (name, _), added in sums.items())
    return Evidence(
        window=window,
        sources=tuple(sorted(sources, key=lambda source: (-source.total.messages, source.name, source.kind))),
        reporters=_reporters(reporters, recent),
        policies=policies,
        context=context,
    )


def _source(name: str, added: _Sum, counted: frozenset[date], recent: frozenset[date]) -> Source:
    by_reporter = added.tallies(counted)
    seen = sorted({day for by_day in added.days.values() for day in by_day})
    return Source(
        name=name,
        kind=added.kind(by_reporter),
        word=added.word,
        addresses=tuple(sorted(added.addresses)),
        failing_from=added.failing_from,
        first_seen=seen[0],
        last_seen=seen[-1],
        days=len(seen),
        by_reporter=by_reporter,
        recent=added.tallies(recent),
        dispositions=added.dispositions,
        reasons=added.reasons,
        signs=tuple(sorted(added.signs)),
    )


def _reporters(seen: Mapping[str, Counter[date]], recent: frozenset[date]) -> tuple[Reporter, ...]:
    earlier = {day for days in seen.values() for day in days} - recent
    found = []
    for name, days in seen.items():
        is_usual = bool(earlier) and 2 * len(earlier & days.keys()) >= len(earlier)
        is_recent = bool(recent & days.keys())
        found.append(
            Reporter(name, sum(days.values()), tuple(sorted(days)), is_usual, is_usual and not is_recent, is_recent)
        )
    return tuple(sorted(found, key=lambda reporter: (-reporter.messages, reporter.name)))


def shares(reporters: Sequence[Reporter]) -> Mapping[str, float]:
    """Give the share of the mail that each reporter saw."""
    whole = sum(reporter.messages for reporter in reporters)
    return {reporter.name: ratio(reporter.messages, whole) or 0.0 for reporter in reporters}
