"""Evidence from what the store gives and people said: added up by source, by reporter and by day. Does no I/O."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date, timedelta

from dmarcops.policy.evidence import (
    MIN_WITNESSES,
    Context,
    Count,
    Day,
    Evidence,
    Reporter,
    Source,
    SourceKind,
    Tally,
    total,
)
from dmarcops.policy.sources import Acknowledgement, Origin, Review, Word, group_name
from dmarcops.policy.window import RECENT_DAYS, Window

INDIRECT_SHARE = 0.5
"""Share of a source's failing mail that reporters call forwarded, from which on it is a forwarder."""
SURVIVING_SHARE = 0.95
"""Share of a source's mail that DKIM alone makes pass, never SPF, from which on it is a forwarder."""
_FORWARDER_REASONS = frozenset({"forwarded", "trusted_forwarder"})
_LIST_REASONS = frozenset({"mailing_list"})


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
        sums[0] += count.messages
        sums[1] += count.dkim
        sums[2] += count.spf
        sums[3] += count.both
        for disposition, messages in count.dispositions.items():
            self.dispositions[disposition] += messages
        if count.authenticated or count.dkim or count.spf:
            self.signs.add(count.reporter)
        if count.reasons or count.is_indirect:
            self._add_reasons(count)

    def _add_reasons(self, count: Count) -> None:
        self.reasons.update(count.reasons)
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
    seen = _Seen()
    known: dict[Origin, tuple[tuple[str, str], Acknowledgement | None]] = {}
    for count in counts:
        if count.day not in counted:
            continue
        if count.origin not in known:
            word = review(count.origin)
            key = (group_name(count.origin, organizational_domain), word.word if word else "")
            known[count.origin] = key, word
        key, word = known[count.origin]
        if key not in sums:
            sums[key] = _Sum(word)
        sums[key].add(count)
        seen.add(count, is_acknowledged=word is not None and word.word is Word.ACK)
    sources = (_source(name, added, counted, recent) for (name, _), added in sums.items())
    return Evidence(
        window=window,
        sources=tuple(sorted(sources, key=lambda source: (-source.total.messages, source.name, source.kind))),
        reporters=seen.reporters_by_share(recent),
        daily=seen.daily(),
        policies=seen.policies,
        context=context,
    )


class _Seen:
    """What is added up for all sources together."""

    def __init__(self) -> None:
        self.reporters: dict[str, Counter[date]] = defaultdict(Counter)
        self.lags: Counter[str] = Counter()
        self.policies: Counter[str] = Counter()
        self.days: dict[date, list[int]] = defaultdict(lambda: [0, 0, 0])
        self.dispositions: dict[date, Counter[str]] = defaultdict(Counter)

    def add(self, count: Count, *, is_acknowledged: bool) -> None:
        self.reporters[count.reporter][count.day] += count.messages
        self.lags[count.reporter] = max(self.lags[count.reporter], count.lag_days)
        self.policies[count.policy or "unknown"] += count.messages
        sums = self.days[count.day]
        sums[0] += count.messages
        if is_acknowledged:
            sums[1] += count.messages
            sums[2] += count.dkim + count.spf - count.both
        for disposition, messages in count.dispositions.items():
            self.dispositions[count.day][disposition] += messages

    def daily(self) -> tuple[Day, ...]:
        return tuple(
            Day(day, messages, self.dispositions.get(day, {}), acknowledged, passed)
            for day, (messages, acknowledged, passed) in sorted(self.days.items())
        )

    def reporters_by_share(self, recent: frozenset[date]) -> tuple[Reporter, ...]:
        earlier = self.days.keys() - recent
        found = []
        for name, days in self.reporters.items():
            is_usual = bool(earlier) and 2 * len(earlier & days.keys()) >= len(earlier)
            is_recent = bool(recent & days.keys())
            found.append(
                Reporter(
                    name=name,
                    messages=sum(days.values()),
                    days=tuple(sorted(days)),
                    lag_days=self.lags[name],
                    is_usual=is_usual,
                    is_silent=is_usual and not is_recent,
                    is_recent=is_recent,
                )
            )
        return tuple(sorted(found, key=lambda reporter: (-reporter.messages, reporter.name)))


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
