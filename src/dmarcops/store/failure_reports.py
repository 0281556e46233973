"""
Failure and feedback reports into the store, in the transaction of the batch that they are of.

A report is told apart by its content: what came twice, by whatever way, is a duplicate. There are no conflicts.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from sqlalchemy import Connection, select

from dmarcops.report.failure import FailureReport
from dmarcops.store.bulk import bulk_insert, slices
from dmarcops.store.identity import next_key
from dmarcops.store.intake import IncomingFailure, Outcome
from dmarcops.store.ledger import Line
from dmarcops.store.moments import timestamp
from dmarcops.store.normal import packed_address, reporter_name, storable
from dmarcops.store.tables import TABLES

_TABLE = TABLES["failure_report"]


class FailureWriter:
    """
    Puts failure reports into an open write transaction; their rows go in by `flush`.

    Args:
        connection: The transaction.
        incoming: All reports of the batch.
        now: When.
    """

    def __init__(self, connection: Connection, incoming: Sequence[IncomingFailure], now: datetime) -> None:
        self._connection = connection
        self._now = now.astimezone(UTC)
        self._known = _known(connection, list({x.report.content_sha256 for x in incoming}))
        self._next = next_key(connection, _TABLE) if incoming else 0
        self._rows: list[tuple[object, ...]] = []

    def add(self, incoming: IncomingFailure) -> Line:
        """Store a report, unless it is in the store already."""
        report, origin = incoming.report, storable(incoming.origin)
        if report.content_sha256 in self._known:
            return Line(origin, report.sha256, Outcome.DUPLICATE)
        self._known.add(report.content_sha256)
        head = (self._next, report.content_sha256, report.sha256)
        self._rows.append((*head, *_values(report, self._now), origin, timestamp(self._now), incoming.authenticated))
        self._next += 1
        return Line(origin, report.sha256, Outcome.STORED)

    def flush(self) -> None:
        """Write what was gathered."""
        bulk_insert(self._connection, _TABLE, self._rows)
        self._rows.clear()


def _known(connection: Connection, contents: Sequence[str]) -> set[str]:
    column = _TABLE.c.content_sha256
    found: set[str] = set()
    for some in slices(contents):
        found |= set(connection.scalars(select(column).where(column.in_(some))))
    return found


def _values(report: FailureReport, now: datetime) -> tuple[object, ...]:
    """Return the columns from `kind` to `repairs`."""
    alignment, arrived = report.identity_alignment, report.arrival_date
    return (
        report.kind.value,
        report.feedback_type,
        reporter_name(report.reporter or "") or None,
        report.user_agent,
        report.version,
        report.auth_failure,
        report.delivery_result,
        None if alignment is None else ",".join(alignment) or "none",
        report.reported_domain,
        json.dumps(report.reported_domains),
        json.dumps(report.reported_uris),
        report.header_from,
        report.source_ip,
        packed_address(report.source_ip),
        report.source_port,
        None if arrived is None else timestamp(arrived),
        # What claims to be of the future would never be pruned.
        min(arrived or now, now).date().isoformat(),
        report.incidents,
        report.dkim_domain,
        report.dkim_identity,
        report.dkim_selector,
        report.dkim_selector_dns,
        report.dkim_result,
        report.spf_dns,
        report.spf_result,
        report.dmarc_result,
        json.dumps(report.authentication_results),
        report.original_envelope_id,
        report.original_mail_from,
        json.dumps(report.original_rcpt_to),
        report.removal_recipient,
        report.message_id,
        report.reporting_mta,
        json.dumps([asdict(repair) for repair in report.repairs]),
    )
