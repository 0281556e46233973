"""What came in lately: on which days reporters sent, and how payloads ended. What a notification asks."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby

from sqlalchemy import func, select

from dmarcops.store.engine import Store
from dmarcops.store.tables import TABLES

_REPORT, _LEDGER, _PAYLOAD = TABLES["report"], TABLES["ledger"], TABLES["ledger_payload"]


@dataclass(frozen=True, slots=True)
class ReporterDays:
    """The days that a reporter's reports about a domain are of, the earliest first; at least one."""

    reporter: str
    policy_domain: str
    days: tuple[date, ...]


@dataclass(frozen=True, slots=True)
class PayloadCount:
    """How many payloads ended in one way."""

    outcome: str
    code: str | None
    count: int


def reporter_days(store: Store, since: date) -> tuple[ReporterDays, ...]:
    """
    Return on which days each reporter sent about each domain, by the days that the reports are of.

    Args:
        store: The store.
        since: The first day.

    Raises:
        StoreError: The database cannot be read.
    """
    keys = (_REPORT.c.policy_domain, _REPORT.c.reporter)
    days = (
        select(*keys, _REPORT.c.day)
        .where(_REPORT.c.day >= since, ~_REPORT.c.conflict, *(key.is_not(None) for key in keys))
        .distinct()
        .order_by(*keys, _REPORT.c.day)
    )
    with store.read() as connection:
        return tuple(_grouped((row.policy_domain, row.reporter, row.day) for row in connection.execute(days)))


def _grouped(rows: Iterator[tuple[str, str, date]]) -> Iterator[ReporterDays]:
    for (domain, reporter), of_both in groupby(rows, key=lambda row: row[:2]):
        yield ReporterDays(reporter, domain, tuple(day for _, _, day in of_both))


def payload_counts(store: Store, since: datetime) -> tuple[PayloadCount, ...]:
    """
    Return how the payloads of messages that were first looked at since a moment ended, the most first.

    Raises:
        StoreError: The database cannot be read.
    """
    count = func.count().label("count")
    ended = (
        select(_PAYLOAD.c.outcome, _PAYLOAD.c.code, count)
        .select_from(_LEDGER.join(_PAYLOAD, _PAYLOAD.c.ledger_id == _LEDGER.c.id))
        .where(_LEDGER.c.first_seen >= since.astimezone(UTC))
        .group_by(_PAYLOAD.c.outcome, _PAYLOAD.c.code)
        .order_by(count.desc(), _PAYLOAD.c.outcome, _PAYLOAD.c.code)
    )
    with store.read() as connection:
        return tuple(PayloadCount(*row) for row in connection.execute(ended))
