"""Mail of made-up senders as reporters count it, day by day."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TypedDict, Unpack

from dmarcops.policy.compute import compute
from dmarcops.policy.evidence import Context, Count, Evidence
from dmarcops.policy.sources import Acknowledgement, Origin, Scope, Word, review
from dmarcops.policy.window import Window, window_before

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
WINDOW = window_before(NOW)
DAYS = WINDOW.days()
REPORTERS = ("large.example", "medium.example", "small.example")

OWN = Origin("192.0.2.1", host="mx.example.com")
ESP = Origin("198.51.100.1", service="Esp")
PAYROLL = Origin("203.0.113.7", host="out.payroll.example")


class Fields(TypedDict, total=False):
    """What a count may have beside its keys."""

    dkim: int
    spf: int
    both: int
    authenticated: int
    dispositions: dict[str, int]
    reasons: dict[str, int]
    policy: str
    is_indirect: bool
    lag_days: int


def stream(
    origin: Origin,
    messages: int,
    *,
    reporters: Sequence[str] = REPORTERS,
    days: Sequence[date] = DAYS,
    header_from: str = "example.com",
    **fields: Unpack[Fields],
) -> list[Count]:
    """So many messages a day at each reporter; without fields, all with an aligned pass of both mechanisms."""
    template = Count(
        day=DAYS[0],
        reporter="",
        origin=origin,
        header_from=header_from,
        messages=messages,
        **(fields or Fields(dkim=messages, spf=messages, both=messages)),
    )
    return [replace(template, day=day, reporter=reporter) for day in days for reporter in reporters]


def failing(
    origin: Origin,
    messages: int,
    *,
    reporters: Sequence[str] = REPORTERS,
    days: Sequence[date] = DAYS,
    header_from: str = "example.com",
    **fields: Unpack[Fields],
) -> list[Count]:
    """As `stream`, with no aligned pass."""
    fields.setdefault("dkim", 0)
    return stream(origin, messages, reporters=reporters, days=days, header_from=header_from, **fields)


def said(word: Word, scope: Scope, value: str, *, by: str = "kim", days_ago: int = 30) -> Acknowledgement:
    """A person's word about a source."""
    return Acknowledgement(scope=scope, value=value, word=word, by=by, at=NOW - timedelta(days=days_ago))


ACKNOWLEDGED = (
    said(Word.ACK, Scope.DOMAIN, "example.com"),
    said(Word.ACK, Scope.SERVICE, "Esp"),
    said(Word.ACK, Scope.ADDRESS, "203.0.113.7"),
)
GOOD = Context(domain="example.com", since=NOW - timedelta(days=40), is_rua_authorised=True)


def evidence(
    *counts: Iterable[Count],
    words: Sequence[Acknowledgement] = ACKNOWLEDGED,
    context: Context = GOOD,
    window: Window = WINDOW,
) -> Evidence:
    """The evidence of streams."""
    return compute(
        (count for each in counts for count in each),
        window,
        review(words),
        organizational_domain=lambda host: ".".join(host.split(".")[-2:]),
        context=context,
    )
