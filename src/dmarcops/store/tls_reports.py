"""
TLS reports into the store, in the transaction of the batch that they are of.

A report is told apart by organization, report id and period (RFC 8460 section 4.4). The same again with the same
content is a duplicate; with other content it is a conflict, kept but counted nowhere.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import sha256

from sqlalchemy import Connection

from dmarcops.report.tls import TlsReport
from dmarcops.store.bulk import bulk_insert
from dmarcops.store.identity import Known, next_key
from dmarcops.store.intake import IncomingTls, Outcome
from dmarcops.store.ledger import Line
from dmarcops.store.moments import timestamp
from dmarcops.store.normal import packed_address, reporter_name, storable
from dmarcops.store.tables import TABLES

_TABLE = TABLES["tls_report"]
_IN_ORDER = (_TABLE, TABLES["tls_policy"], TABLES["tls_failure"])

_Values = tuple[object, ...]


def identify_tls(report: TlsReport) -> tuple[str | None, str]:
    """
    Return who reports, and the identity of a TLS report as a digest.

    Who reports is the organization's name, else the domain of its address. A report without an id is told apart by
    what it says.
    """
    domain = (report.contact_info or "").rpartition("@")[2]
    reporter = reporter_name(report.organization_name or "") or reporter_name(domain) or None
    period = report.date_range
    parts = (reporter, report.report_id or report.content_sha256, period.begin, period.end)
    # The texts of a report hold no control characters, so no two identities are written alike.
    return reporter, sha256("\0".join("" if part is None else str(part) for part in parts).encode()).hexdigest()


class TlsWriter:
    """
    Puts TLS reports into an open write transaction; their rows go in by `flush`.

    Args:
        connection: The transaction.
        incoming: All reports of the batch.
        now: When.
    """

    def __init__(self, connection: Connection, incoming: Sequence[IncomingTls], now: datetime) -> None:
        self._connection = connection
        self._received_at = timestamp(now)
        self._known = Known(connection, _TABLE, list({identify_tls(x.report)[1] for x in incoming}), self.flush)
        self._next = next_key(connection, _TABLE) if incoming else 0
        self._rows: dict[str, list[_Values]] = {table.name: [] for table in _IN_ORDER}

    def add(self, incoming: IncomingTls) -> Line:
        """Store a report with its policies, unless it is in the store already."""
        report, origin = incoming.report, storable(incoming.origin)
        reporter, identity = identify_tls(report)
        content, authenticated = report.content_sha256, incoming.authenticated
        if self._known.met(identity, content, authenticated) is not None:
            return Line(origin, report.sha256, Outcome.DUPLICATE)
        conflict = self._known.add(identity, content, self._next, authenticated)
        head = (self._next, identity, content, report.sha256, conflict)
        tail = (origin, self._received_at, authenticated)
        self._rows["tls_report"].append((*head, *_report_values(report, reporter), *tail))
        self._add_policies(report)
        self._next += 1
        return Line(origin, report.sha256, Outcome.CONFLICT if conflict else Outcome.STORED)

    def flush(self) -> None:
        """Write what was gathered."""
        for table in _IN_ORDER:
            bulk_insert(self._connection, table, self._rows[table.name])
            self._rows[table.name].clear()

    def _add_policies(self, report: TlsReport) -> None:
        for place, policy in enumerate(report.policies):
            self._rows["tls_policy"].append((
                *(self._next, place, policy.policy_type, policy.policy_domain),
                *(json.dumps(policy.policy_string), json.dumps(policy.mx_host)),
                *(policy.total_successful_session_count, policy.total_failure_session_count),
            ))  # fmt: skip
            self._rows["tls_failure"] += [
                (
                    *(self._next, place, position, x.result_type),
                    *(x.sending_mta_ip, packed_address(x.sending_mta_ip)),
                    *(x.receiving_mx_hostname, x.receiving_mx_helo, x.receiving_ip),
                    *(x.failed_session_count, x.additional_information, x.failure_reason_code),
                )
                for position, x in enumerate(policy.failure_details)
            ]


def _report_values(report: TlsReport, reporter: str | None) -> _Values:
    """Return the columns from `organization_name` to `repairs`."""
    begin, end = report.date_range.begin, report.date_range.end
    return (
        report.organization_name,
        report.contact_info,
        report.report_id,
        begin,
        end,
        None if begin is None else datetime.fromtimestamp(begin, UTC).date().isoformat(),
        reporter,
        len(report.policies),
        report.successful_count,
        report.failed_count,
        json.dumps([asdict(repair) for repair in report.repairs]),
    )
