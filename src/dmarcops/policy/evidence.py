"""
What authenticated reports say about a domain's mail in a window, source by source and reporter by reporter.

The store gives counts, people gave words about sources, and the sum of both is the `Evidence` that gates decide on. All
that a gate needs is kept for each reporter, so that it can be asked what would be without any one of them. Does no I/O.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from dmarcops.policy.discovery import Discovery
from dmarcops.policy.sources import Acknowledgement, Origin
from dmarcops.policy.window import Window

MIN_WITNESSES = 2
"""Reporters that have to say so: one alone, dominating or forged, moves nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """
    How much mail one reporter saw of one source on one day.

    `dkim`, `spf` and `both` are those with an aligned pass (`both` are in the other two as well); `authenticated` those
    with any pass, aligned or not; `policy` is the `p` that the reporter saw; `is_indirect` that it hints at forwarding
    outside of `reasons` (ARC, an `x-` result); `lag_days` is how long after the day the report came.
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
    lag_days: int = 0


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
    that has not been heard of since. `lag_days` is the longest that a report of it took.
    """

    name: str
    messages: int
    days: tuple[date, ...]
    lag_days: int
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
            "lag_days": self.lag_days,
            "usual": self.is_usual,
            "silent": self.is_silent,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """
    What else counts, none of which is in reports.

    `domain` is the one that the policy is of; `since` is when the published record was put there, as far as is known;
    `rotation` are selectors of a DKIM rotation in flight; `is_rua_authorised` tells whether reports can come (None: not
    established); `complaint_rate` is that of feedback loops and postmaster tools over a week (None: not measured).
    `inherited` is what holds from a domain above where the domain has no record, for which nothing is ever signed.
    """

    domain: str
    since: datetime | None = None
    rotation: tuple[str, ...] = ()
    is_rua_authorised: bool | None = None
    complaint_rate: float | None = None
    inherited: Discovery | None = None

    def as_json(self) -> dict[str, Any]:
        """Give what is printed, and signed."""
        return {
            "domain": self.domain,
            "since": self.since and self.since.isoformat(),
            "rotation": list(self.rotation),
            "rua_authorised": self.is_rua_authorised,
            "complaint_rate": self.complaint_rate,
        }


@dataclass(frozen=True, slots=True)
class Day:
    """One covered day, for charts: all mail, what became of it, and acknowledged mail with what passed of it."""

    day: date
    messages: int
    dispositions: Mapping[str, int]
    acknowledged: int
    passed: int

    def as_json(self) -> dict[str, Any]:
        """Give what is printed, and signed."""
        return {
            "day": self.day.isoformat(),
            "messages": self.messages,
            "dispositions": dict(sorted(self.dispositions.items())),
            "acknowledged": self.acknowledged,
            "passed": self.passed,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that a decision rests on; the same counts and words give the same evidence, in the same order."""

    window: Window
    sources: tuple[Source, ...]
    reporters: tuple[Reporter, ...]
    daily: tuple[Day, ...]
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
        return tuple(day.day for day in self.daily)

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
        sources = [x.total for x in self.of_kind(SourceKind.ACKNOWLEDGED)]
        rates = [rate for x in sources if (rate := ratio(x.passed, x.messages)) is not None]
        unreviewed = total(source.total for source in self.of_kind(SourceKind.UNREVIEWED) if source.signs)
        return {
            "messages": whole.messages,
            "pass_rate": _rounded(ratio(whole.passed, whole.messages)),
            "source_pass_rate": _rounded(sum(rates) / len(rates)) if rates else None,
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
            "daily": [day.as_json() for day in self.daily],
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


def shares(reporters: Sequence[Reporter]) -> Mapping[str, float]:
    """Give the share of the mail that each reporter saw."""
    whole = sum(reporter.messages for reporter in reporters)
    return {reporter.name: ratio(reporter.messages, whole) or 0.0 for reporter in reporters}
