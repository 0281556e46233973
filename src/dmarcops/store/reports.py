"""
Reports into the store: a batch of messages in one transaction, by bulk inserts.

The keys of new rows are given here, counted on from the highest there is, which the writer lock makes safe; so the rows
of all reports of a batch go in table by table. Those of a large report go in slices, so that memory stays flat.

A report is told apart by who reports, the report's id, the policy domain and the period (RFC 9990 section 3.1.1.3).
The same again with the same content is a duplicate; with other content it is a conflict, kept but counted nowhere.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256

from sqlalchemy import Connection

from dmarcops.report.model import Extension, Repair, Report, ReportMetadata
from dmarcops.store.bulk import bulk_execute, bulk_insert
from dmarcops.store.engine import Store
from dmarcops.store.failure_reports import FailureWriter
from dmarcops.store.identity import Known, next_key
from dmarcops.store.intake import (
    Chunk,
    ClassifiedEvaluation,
    IncomingFailure,
    IncomingMessage,
    IncomingPayload,
    IncomingRejection,
    IncomingReport,
    IncomingTls,
    Outcome,
)
from dmarcops.store.ledger import Entry, Line, note, worst
from dmarcops.store.moments import timestamp
from dmarcops.store.normal import packed_address, reporter_name, storable
from dmarcops.store.tables import TABLES
from dmarcops.store.tls_reports import TlsWriter

MAX_MAIL = 10**12
"""Messages of one report above which it is nonsense: more than all the world sends in a day. Code `too-much-mail`."""
SLICE_RECORDS = 5_000
"""Records after which the rows gathered so far go to the database."""
SLICE_LENGTH = 8 << 20
"""Characters of evaluations after which they do."""

_ADD_TO_EVALUATION = "UPDATE evaluation SET record_count = record_count + ?, mail_count = mail_count + ? WHERE id = ?"
_IN_ORDER = tuple(
    TABLES[name] for name in ("report", "evaluation", "dkim_result", "spf_result", "override_reason", "record")
)

_Values = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class PayloadResult:
    """How a payload ended; the counts are those of its report, 0 when it is none; `repairs` is how many it needed."""

    origin: str
    outcome: Outcome
    record_count: int = 0
    mail_count: int = 0
    repairs: int = 0


@dataclass(frozen=True, slots=True)
class MessageResult:
    """How a message ended in this run: the worst of its payloads."""

    origin: str
    outcome: Outcome
    payloads: tuple[PayloadResult, ...]


def record(store: Store, messages: Sequence[IncomingMessage], now: datetime) -> tuple[MessageResult, ...]:
    """
    Store a batch of messages, each with its line in the ledger, in one transaction: all of it or nothing.

    Args:
        store: The store.
        messages: What was looked at, a few hundred of them.
        now: When.

    Returns:
        How each of the messages ended.

    Raises:
        StoreError: The store is locked or cannot be written; nothing of the batch is in it.
    """
    with store.write() as connection:
        writers = _Writers(connection, messages, now)
        done = [_message(writers, message) for message in messages]
        writers.flush()
        note(connection, store, [entry for entry, _ in done], now)
    return tuple(result for _, result in done)


def identify(report: Report) -> tuple[str | None, str]:
    """
    Return who reports, and the identity of a report as a digest.

    Who reports is the organization's name, else the domain of its address. A report without an id is told apart by
    what it says.
    """
    metadata = report.report_metadata
    reporter = _reporter(metadata)
    period = metadata.date_range
    parts = (
        reporter,
        (metadata.report_id or "").strip() or report.content_sha256,
        report.policy_published.domain,
        period.begin,
        period.end,
    )
    # XML knows no NUL, so no two identities are written alike.
    return reporter, sha256("\0".join("" if part is None else str(part) for part in parts).encode()).hexdigest()


def _reporter(metadata: ReportMetadata) -> str | None:
    domain = (metadata.email or "").rpartition("@")[2]
    return reporter_name(metadata.org_name or "") or reporter_name(domain) or None


def _message(writers: "_Writers", message: IncomingMessage) -> tuple[Entry, MessageResult]:
    lines, results = [], []
    for payload in message.payloads:
        line = writers.add(payload)
        lines.append(line)
        results.append(_result(payload, line))
    if not lines:
        nothing = Line(storable(message.origin), message.sha256, Outcome.NOT_A_REPORT, "no-report", "nothing is in it")
        lines.append(nothing)
    entry = Entry(storable(message.origin), message.sha256, message.raw, tuple(lines))
    return entry, MessageResult(message.origin, worst(lines).outcome, tuple(results))


def _rejected(rejection: IncomingRejection) -> Line:
    return Line(
        storable(rejection.origin),
        rejection.sha256,
        rejection.outcome,
        rejection.code,
        storable(rejection.reason),
    )


def _result(payload: IncomingPayload, line: Line) -> PayloadResult:
    if isinstance(payload, IncomingRejection) or line.outcome is Outcome.CORRUPT:
        return PayloadResult(payload.origin, line.outcome)
    repairs = sum(repair.count for repair in payload.report.repairs)
    if not isinstance(payload, IncomingReport):
        return PayloadResult(payload.origin, line.outcome, repairs=repairs)
    report = payload.report
    return PayloadResult(payload.origin, line.outcome, report.record_count, report.mail_count, repairs)


class _Writers:
    """One writer for each kind of report, into one open write transaction."""

    def __init__(self, connection: Connection, messages: Iterable[IncomingMessage], now: datetime) -> None:
        payloads = [payload for message in messages for payload in message.payloads]
        self._reports = _Writer(connection, [x for x in payloads if isinstance(x, IncomingReport)], now)
        self._failures = FailureWriter(connection, [x for x in payloads if isinstance(x, IncomingFailure)], now)
        self._tls = TlsWriter(connection, [x for x in payloads if isinstance(x, IncomingTls)], now)

    def add(self, payload: IncomingPayload) -> Line:
        """Store a payload, unless it is a rejection; tells how it ended."""
        match payload:
            case IncomingReport():
                return self._reports.add(payload)
            case IncomingFailure():
                return self._failures.add(payload)
            case IncomingTls():
                return self._tls.add(payload)
            case IncomingRejection():
                return _rejected(payload)

    def flush(self) -> None:
        """Write what was gathered."""
        self._reports.flush()
        self._failures.flush()
        self._tls.flush()


class _Writer:
    """
    Puts reports into an open write transaction.

    Rows are gathered until there are `SLICE_RECORDS` of records, then go in by `flush`, parents first.
    """

    def __init__(self, connection: Connection, incoming: Iterable[IncomingReport], now: datetime) -> None:
        self._connection = connection
        self._received_at = timestamp(now)
        identities = list({identify(x.report)[1] for x in incoming})
        self._known = Known(connection, TABLES["report"], identities, self.flush)
        self._next_report = next_key(connection, TABLES["report"])
        self._next_evaluation = next_key(connection, TABLES["evaluation"])
        self._rows: dict[str, list[_Values]] = {table.name: [] for table in _IN_ORDER}
        self._additions: dict[int, list[int]] = {}
        self._length = 0

    def add(self, incoming: IncomingReport) -> Line:
        """Store a report with its records, unless it is in the store already."""
        report, origin = incoming.report, storable(incoming.origin)
        if report.mail_count > MAX_MAIL:
            reason = f"{report.mail_count} messages in one report"
            return Line(origin, report.sha256, Outcome.CORRUPT, "too-much-mail", reason)
        reporter, identity = identify(report)
        content, authenticated = report.content_sha256, incoming.authenticated
        carrier = incoming.carrier or None
        key = self._known.met(identity, content, authenticated, carrier=carrier)
        if key is not None:
            return Line(origin, report.sha256, Outcome.DUPLICATE, report_key=key)
        key = self._next_report
        self._next_report += 1
        conflict = self._known.add(identity, content, key, authenticated)
        head = (key, identity, content, report.sha256, conflict)
        said = _report_values(report, reporter)
        self._rows["report"].append((*head, *said, origin, self._received_at, authenticated, carrier))
        self._add_records(key, incoming.chunks())
        return Line(origin, report.sha256, Outcome.CONFLICT if conflict else Outcome.STORED, report_key=key)

    def flush(self) -> None:
        """Write what was gathered."""
        for table in _IN_ORDER:
            bulk_insert(self._connection, table, self._rows[table.name])
            self._rows[table.name].clear()
        self._length = 0

    def _add_records(self, report_key: int, chunks: Iterable[Chunk]) -> None:
        base, start = self._next_evaluation, 0
        for chunk in chunks:
            counts = self._add_chunk(base, start, chunk)
            start += len(chunk.records)
            for classified in chunk.evaluations:
                self._add_evaluation(report_key, base, classified, counts.pop(classified.number))
            # What is left are records of evaluations that came up in an earlier chunk.
            for number, (records, mails) in counts.items():
                addition = self._additions.setdefault(base + number, [0, 0])
                addition[0] += records
                addition[1] += mails
            self._length += chunk.length
            if len(self._rows["record"]) >= SLICE_RECORDS or self._length >= SLICE_LENGTH:
                self.flush()
        if self._additions:
            self.flush()
            rows = [(records, mails, key) for key, (records, mails) in self._additions.items()]
            bulk_execute(self._connection, _ADD_TO_EVALUATION, rows)
            self._additions.clear()

    def _add_chunk(self, base: int, start: int, chunk: Chunk) -> dict[int, list[int]]:
        """Take the records of a chunk; returns for each evaluation how many they are, and of how many messages."""
        counts: dict[int, list[int]] = {}
        rows = self._rows["record"]
        for position, (number, source_ip, mails) in enumerate(chunk.records, start):
            rows.append((base + number, position, source_ip, packed_address(source_ip), mails))
            count = counts.get(number)
            if count is None:
                counts[number] = [1, mails]
            else:
                count[0] += 1
                count[1] += mails
        return counts

    def _add_evaluation(
        self, report_key: int, base: int, classified: ClassifiedEvaluation, counts: Sequence[int]
    ) -> None:
        evaluation, alignment = classified.evaluation, classified.alignment
        key = base + classified.number
        self._next_evaluation = max(self._next_evaluation, key + 1)
        policy, identifiers, results = evaluation.policy_evaluated, evaluation.identifiers, evaluation.auth_results
        self._rows["evaluation"].append(
            (
                key,
                report_key,
                *counts,
                policy.disposition.value,
                policy.dkim.value,
                policy.spf.value,
                policy.dmarc.value,
                _value(alignment.dkim),
                _value(alignment.spf),
                identifiers.header_from,
                identifiers.envelope_from,
                identifiers.envelope_to,
                _json(evaluation.extensions),
            )
        )
        self._rows["dkim_result"] += [
            (key, position, x.domain, x.selector, x.result.value, x.human_result, aligned)
            for position, (x, aligned) in enumerate(zip(results.dkim, alignment.dkim_aligned, strict=True))
        ]
        self._rows["spf_result"] += [
            (key, position, x.domain, _value(x.scope), x.result.value, x.human_result, aligned)
            for position, (x, aligned) in enumerate(zip(results.spf, alignment.spf_aligned, strict=True))
        ]
        self._rows["override_reason"] += [
            (key, position, x.type.value, x.comment) for position, x in enumerate(policy.reasons)
        ]


def _report_values(report: Report, reporter: str | None) -> _Values:
    """Return the columns from `dialect` to `mail_count`."""
    metadata, policy = report.report_metadata, report.policy_published
    begin, end = metadata.date_range.begin, metadata.date_range.end
    return (
        report.dialect.value,
        report.version,
        metadata.org_name,
        metadata.email,
        metadata.extra_contact_info,
        metadata.report_id,
        begin,
        end,
        None if begin is None else datetime.fromtimestamp(begin, UTC).date().isoformat(),
        reporter,
        policy.domain,
        _value(policy.p),
        _value(policy.sp),
        _value(policy.np),
        policy.pct,
        _value(policy.testing),
        policy.fo,
        _value(policy.adkim),
        _value(policy.aspf),
        _value(policy.discovery_method),
        metadata.generator,
        json.dumps(metadata.errors) if metadata.errors else "[]",
        _json(report.extensions),
        _json(report.repairs),
        report.record_count,
        report.mail_count,
    )


def _value(member: StrEnum | None) -> str | None:
    return None if member is None else member.value


def _json(values: Sequence[Extension] | Sequence[Repair]) -> str:
    return json.dumps([asdict(value) for value in values]) if values else "[]"
