"""
What is older than wanted leaves the store: reports with all they hold, ledger lines, kept octets, who was told what.

A notice goes when it was last told before: what lasts is told again meanwhile, and so is young. Keys, selectors that
were ever used, policies and the audit trail stay.

The file of an SQLite store does not shrink: the pages that become free are used again by the next reports, so a store
that is pruned regularly stays as large as it ever was. Giving them back would need `VACUUM`, which locks everybody out
and writes the whole file anew; who wants that can run it with any SQLite tool. PostgreSQL's autovacuum does the same as
SQLite does by itself.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from sqlalchemy import ColumnElement, Table, and_, delete, func, or_, select

from dmarcops.store.bulk import slices
from dmarcops.store.engine import Store
from dmarcops.store.tables import TABLES

BATCH_RECORDS = 50_000
"""Records deleted in one transaction, so that a writer beside us need not wait long; a larger report has its own."""

_REPORT, _LEDGER, _KEPT = TABLES["report"], TABLES["ledger"], TABLES["kept"]
_FAILURE, _TLS, _NAME = TABLES["failure_report"], TABLES["tls_report"], TABLES["source_name"]
_NOTICE, _CONCERN = TABLES["notice"], TABLES["concern"]


@dataclass(frozen=True, slots=True)
class Pruned:
    """How much was deleted, or would be."""

    reports: int
    records: int
    mail_count: int
    ledger_lines: int
    kept_messages: int
    failure_reports: int = 0
    tls_reports: int = 0
    notices: int = 0


def prune(store: Store, older_than: date, *, dry_run: bool = False) -> Pruned:
    """
    Delete all that was over when a day began in UTC.

    That is aggregate and TLS reports whose period had ended (without a period: that had been received), failure reports
    of mail that had arrived, messages last seen before, octets kept before, and notices last told before. Killed
    half-way, it has deleted whole reports only, and goes on when it is called again. The cached names of sources looked
    up before go too, uncounted.

    What people said of sources, keys, and the audit trail stay.

    Args:
        store: The store.
        older_than: The first day that stays.
        dry_run: Delete nothing, only count.

    Raises:
        StoreError: The store is locked or cannot be written.
    """
    midnight = datetime.combine(older_than, time(), UTC)
    old = {
        _LEDGER: _LEDGER.c.last_seen < midnight,
        _KEPT: _KEPT.c.kept_at < midnight,
        _FAILURE: _FAILURE.c.day < older_than,
        _TLS: _is_over(_TLS, midnight),
        # As long as a concern is remembered, who was told of it is too.
        _NOTICE: and_(_NOTICE.c.last_told_at < midnight, _NOTICE.c.key.not_in(select(_CONCERN.c.key))),
    }
    with store.read() as connection:
        columns = select(_REPORT.c.id, _REPORT.c.record_count, _REPORT.c.mail_count)
        rows = connection.execute(columns.where(_is_over(_REPORT, midnight)).order_by(_REPORT.c.id))
        reports = [(key, records, mails) for key, records, mails in rows]
        counts = [connection.scalar(select(func.count()).select_from(table).where(old[table])) or 0 for table in old]
    if not dry_run:
        for keys in _batches(reports):
            with store.write() as connection:
                for some in slices(keys):
                    connection.execute(delete(_REPORT).where(_REPORT.c.id.in_(some)))
        with store.write() as connection:
            for table, is_old in old.items():
                connection.execute(delete(table).where(is_old))
            connection.execute(delete(_NAME).where(_NAME.c.looked_up_at < midnight))
    return Pruned(len(reports), sum(x[1] for x in reports), sum(x[2] for x in reports), *counts)


def _is_over(report: Table, midnight: datetime) -> ColumnElement[bool]:
    # Periods end at 23:59:59 or, by some reporters, at the next midnight (RFC 9990 section 3.1.1.4 leaves it open).
    end = func.coalesce(report.c.date_end, report.c.date_begin)
    return or_(end <= int(midnight.timestamp()), and_(end.is_(None), report.c.received_at < midnight))


def _batches(reports: Iterable[tuple[int, int, int]]) -> Iterator[list[int]]:
    """Give the keys of the reports in runs of about `BATCH_RECORDS` records."""
    keys: list[int] = []
    in_batch = 0
    for key, records, _ in reports:
        if keys and in_batch + records > BATCH_RECORDS:
            yield keys
            keys, in_batch = [], 0
        keys.append(key)
        in_batch += records
    if keys:
        yield keys
