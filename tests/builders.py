"""Values for tests: evaluations, reports and messages, of which a test names only what it is about."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from hashlib import sha256

from sqlalchemy import Engine, event, text

from dmarcops.report.align import classify
from dmarcops.report.model import (
    AuthResults,
    DateRange,
    Dialect,
    Disposition,
    DkimAuthResult,
    DkimResultType,
    DmarcResult,
    Domain,
    Evaluation,
    Identifiers,
    OverrideReason,
    PolicyEvaluated,
    PolicyPublished,
    PolicyValue,
    Record,
    Repair,
    Report,
    ReportMetadata,
    Selector,
    SpfAuthResult,
    SpfResultType,
    SpfScope,
)
from dmarcops.store.engine import Store
from dmarcops.store.intake import (
    Chunk,
    ClassifiedEvaluation,
    IncomingMessage,
    IncomingPayload,
    IncomingRejection,
    IncomingReport,
    Outcome,
)

DAY = 86_400
BEGIN = 1_767_225_600
"""2026-01-01 00:00:00 UTC: when a report begins that is not told otherwise."""

PASS, FAIL = DmarcResult.PASS, DmarcResult.FAIL


def dkim(domain: str | None = "example.com", selector: str | None = "s1", result: str = "pass") -> DkimAuthResult:
    """Build one entry of `auth_results/dkim`."""
    name = None if domain is None else Domain(domain)
    return DkimAuthResult(name, None if selector is None else Selector(selector), DkimResultType(result), None)


def spf(domain: str | None = "example.com", result: str = "pass", scope: str | None = "mfrom") -> SpfAuthResult:
    """Build one entry of `auth_results/spf`."""
    name = None if domain is None else Domain(domain)
    return SpfAuthResult(name, None if scope is None else SpfScope(scope), SpfResultType(result), None)


def evaluation(
    *,
    aligned: tuple[DmarcResult, DmarcResult] = (PASS, PASS),
    header_from: str | None = "example.com",
    envelope_from: str | None = None,
    disposition: Disposition = Disposition.NONE,
    results: AuthResults | None = None,
    reasons: Sequence[OverrideReason] = (),
) -> Evaluation:
    """Build an evaluation; `aligned` is the reporter's verdict on DKIM and on SPF."""
    return Evaluation(
        PolicyEvaluated(disposition, *aligned, tuple(reasons)),
        Identifiers(
            None if header_from is None else Domain(header_from),
            None if envelope_from is None else Domain(envelope_from),
            None,
        ),
        AuthResults((dkim(),), (spf(),)) if results is None else results,
        (),
    )


def report(
    *records: tuple[str | None, int, Evaluation],
    org_name: str | None = "Reporter.example",
    report_id: str | None = "1",
    domain: str = "example.com",
    period: tuple[int | None, int | None] = (BEGIN, BEGIN + DAY - 1),
    repairs: Sequence[Repair] = (),
    p: PolicyValue | None = PolicyValue.NONE,
) -> Report:
    """Build a report of (source_ip, count, evaluation); one without records has a passing mail from 192.0.2.1."""
    rows = records or (("192.0.2.1", 1, evaluation()),)
    said = repr((rows, org_name, report_id, domain, period, p)).encode()
    return Report(
        dialect=Dialect.RFC7489,
        version="1.0",
        report_metadata=ReportMetadata(
            org_name, "dmarc@reporter.example", None, report_id, DateRange(*period), (), None
        ),
        policy_published=PolicyPublished(Domain(domain), p, None, None, 100, None, None, None, None, None),
        extensions=(),
        repairs=tuple(repairs),
        sha256=sha256(b"payload" + said).hexdigest(),
        content_sha256=sha256(said).hexdigest(),
        record_count=len(rows),
        mail_count=sum(count for _, count, _ in rows),
        records=tuple(Record(*row) for row in rows),
    )


def incoming(of: Report, *, origin: str = "mail.eml#2", chunk: int = 2_000) -> IncomingReport:
    """Give a report to the store, its records in chunks of `chunk`."""
    return IncomingReport(origin, of, lambda: chunks(of, chunk))


def chunks(of: Report, size: int) -> Iterator[Chunk]:
    """Cut the records of a report into chunks, each evaluation in the one where it first comes up."""
    numbers: dict[Evaluation, int] = {}
    for start in range(0, len(of.records), size):
        known, new, rows = len(numbers), list[ClassifiedEvaluation](), []
        for record in of.records[start : start + size]:
            number = numbers.setdefault(record.evaluation, len(numbers))
            if number == known + len(new):
                alignment = classify(record.evaluation, of.policy_published, _two_labels)
                new.append(ClassifiedEvaluation(number, record.evaluation, alignment))
            rows.append((number, record.source_ip, record.count))
        yield Chunk(tuple(new), tuple(rows))


def _two_labels(domain: Domain) -> Domain:
    return Domain(".".join(domain.split(".")[-2:]))


def rejection(
    outcome: Outcome = Outcome.CORRUPT, *, origin: str = "mail.eml#3", code: str = "zip-bad"
) -> IncomingRejection:
    """Build a payload that is no stored report."""
    return IncomingRejection(
        origin, sha256(origin.encode(errors="surrogatepass")).hexdigest(), code, f"it is {code}", outcome
    )


def message(*payloads: Report | IncomingPayload, origin: str = "mail.eml", raw: bytes | None = None) -> IncomingMessage:
    """Build a message; its digest is that of its origin unless it has octets."""
    digest = sha256(origin.encode(errors="surrogatepass") if raw is None else raw).hexdigest()
    given = (incoming(x, origin=f"{origin}#{n}") if isinstance(x, Report) else x for n, x in enumerate(payloads, 1))
    return IncomingMessage(origin, digest, tuple(given), raw)


def messages(reports: Iterable[Report]) -> list[IncomingMessage]:
    """Build one message for each report."""
    return [message(x, origin=f"{number}.eml") for number, x in enumerate(reports)]


def ask(store: Store, statement: str) -> list[tuple[object, ...]]:
    """Return what the store's database answers to a SELECT; dates and times as the texts they are in SQLite."""
    with store.read() as connection:
        return [tuple(map(_plain, row)) for row in connection.execute(text(statement))]


def _plain(value: object) -> object:
    match value:
        case datetime():
            return str(value.astimezone(UTC))
        case date():
            return str(value)
    return value


@contextmanager
def statements() -> Iterator[list[tuple[str, object]]]:
    """Give the statements that are sent to any database while the block runs, with their values."""
    sent: list[tuple[str, object]] = []

    def note(_connection: object, _cursor: object, statement: str, values: object, *_: object) -> None:
        sent.append((statement, values))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", note)
