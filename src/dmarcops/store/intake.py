"""The values that a flow hands to the store: one message, its payloads, and their records in chunks. Does no I/O."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from dmarcops.report.align import Alignment
from dmarcops.report.failure import FailureReport
from dmarcops.report.model import Evaluation, Report
from dmarcops.report.tls import TlsReport


class Outcome(StrEnum):
    """How a payload or a message ended: the ledger's words. A message has the worst of its payloads', in this order."""

    RETRY = "retry"
    CORRUPT = "corrupt"
    UNSUPPORTED = "unsupported"
    CONFLICT = "conflict"
    STORED = "stored"
    DUPLICATE = "duplicate"
    NOT_A_REPORT = "not-a-report"


@dataclass(frozen=True, slots=True)
class ClassifiedEvaluation:
    """An evaluation and why its mail is aligned or not; `number` is its place in the report, from 0."""

    number: int
    evaluation: Evaluation
    alignment: Alignment


@dataclass(frozen=True, slots=True)
class Chunk:
    """
    A run of a report's records in document order.

    `evaluations` are those that come up in this chunk for the first time; a row of `records` is (number of its
    evaluation, source_ip, count). `length` is about how large the evaluations are, in characters.
    """

    evaluations: tuple[ClassifiedEvaluation, ...]
    records: tuple[tuple[int, str | None, int], ...]
    length: int = 0


@dataclass(frozen=True, slots=True)
class IncomingReport:
    """
    A parsed report; `chunks` gives its records, and can be asked again after a rollback.

    `authenticated`, here and below, is what is known of the mail that carried it: `authenticated`, `unauthenticated` or
    `unknown`; `carrier` the organizational domain that an authenticated one is from, else empty.
    """

    origin: str
    report: Report
    chunks: Callable[[], Iterable[Chunk]]
    authenticated: str = "unknown"
    carrier: str = ""


@dataclass(frozen=True, slots=True)
class IncomingFailure:
    """A failure or feedback report, redacted."""

    origin: str
    report: FailureReport
    authenticated: str = "unknown"


@dataclass(frozen=True, slots=True)
class IncomingTls:
    """A TLS report."""

    origin: str
    report: TlsReport
    authenticated: str = "unknown"


@dataclass(frozen=True, slots=True)
class IncomingRejection:
    """A payload that is not stored as a report, and why."""

    origin: str
    sha256: str
    code: str
    reason: str
    outcome: Outcome


IncomingPayload = IncomingReport | IncomingFailure | IncomingTls | IncomingRejection
"""Any of what a message can hold."""


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """
    A mail or file that was looked at, with all it held; becomes exactly one line of the ledger.

    `raw` is the message itself, given when something in it was not stored, so that it can be kept and tried again;
    `None` when all was stored or the message is over the cap of what is kept.
    """

    origin: str
    sha256: str
    payloads: tuple[IncomingPayload, ...]
    raw: bytes | None
