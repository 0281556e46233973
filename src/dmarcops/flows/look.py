"""
What a message holds: its digest, its reports parsed and its rejections, without touching the store.

Runs in worker processes too, so what it returns can be sent between processes. One bad message never stops a run.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import BinaryIO

from dmarcops.errors import BadInput
from dmarcops.flows.carrier import Carrier, carrier_of
from dmarcops.flows.collect import Collected, Collector
from dmarcops.flows.rules import Rules
from dmarcops.ports import Message
from dmarcops.report.failure import parse_failure
from dmarcops.report.model import Kind, Report
from dmarcops.report.parse import read
from dmarcops.report.tls import parse_tls
from dmarcops.report.unpack import Payload, Rejected, unpack
from dmarcops.store.intake import IncomingFailure, IncomingRejection, IncomingTls, Outcome

_CHUNK = 1024 * 1024
_KEPT = frozenset((Outcome.RETRY, Outcome.CORRUPT, Outcome.UNSUPPORTED, Outcome.NOT_A_REPORT))
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """An aggregate report found in a message, with its records; `carrier` is as `IncomingReport` has it."""

    origin: str
    report: Report
    records: Collected
    authenticated: str = "unknown"
    carrier: str = ""


Looking = Found | IncomingFailure | IncomingTls | IncomingRejection
"""What one payload turned out to be."""


@dataclass(frozen=True, slots=True)
class Looked:
    """
    A message that was looked at.

    `raw` is the message itself when something in it was not stored and it is small enough to be kept; `is_raw_left`
    says that it would be, and is to be read again. `problem` says why it could not be read at all, empty when it could.
    """

    origin: str
    sha256: str
    payloads: tuple[Looking, ...]
    raw: bytes | None
    problem: str = ""
    is_raw_left: bool = False

    @property
    def record_count(self) -> int:
        """Records of all its reports together."""
        return sum(payload.report.record_count for payload in self.payloads if isinstance(payload, Found))

    def release(self) -> None:
        """Delete the temporary files of its reports."""
        for payload in self.payloads:
            if isinstance(payload, Found):
                payload.records.release()


def look(message: Message, rules: Rules) -> Looked:
    """Look at one message; whatever it is, the answer says what became of it."""
    try:
        with message.open() as stream:
            sha256, size = _digest(stream)
            payloads = tuple(_payloads(stream, message, rules))
            raw = _raw(stream, size, rules) if _is_kept(payloads) else None
    except BadInput as error:
        rejection = IncomingRejection(message.origin, "", error.code, str(error), Outcome(error.outcome))
        return Looked(message.origin, "", (rejection,), None)
    except OSError as error:
        reason = error.strerror or str(error)
        rejection = IncomingRejection(message.origin, "", "unreadable", reason, Outcome.RETRY)
        return Looked(message.origin, "", (rejection,), None, f"{message.origin}: {reason}")
    return Looked(message.origin, sha256, payloads, raw)


def defect(origin: str, error: Exception) -> str:
    """Log an error that nobody foresaw, and return the reason that the ledger gives."""
    _LOG.error("%s: %s", origin, type(error).__name__, exc_info=error)
    return f"a defect of dmarcops: {type(error).__name__}"


def without_raw(looked: Looked) -> Looked:
    """Leave out the message itself: results that wait for their turn must not fill the memory."""
    return looked if looked.raw is None else replace(looked, raw=None, is_raw_left=True)


def with_raw(message: Message, looked: Looked) -> Looked:
    """Put back what `without_raw` left out, unless the message has changed meanwhile or is gone."""
    return reread(message, looked) if looked.is_raw_left else looked


def reread(message: Message, looked: Looked, most: int = -2) -> Looked:
    """Put the message itself in, unless it has changed meanwhile, is gone, or is more than `most` octets (-2: any)."""
    with suppress(BadInput, OSError), message.open() as stream:
        raw = stream.read(most + 1)
        if hashlib.sha256(raw).hexdigest() == looked.sha256:
            return replace(looked, raw=raw, is_raw_left=False)
    return looked


def _digest(stream: BinaryIO) -> tuple[str, int]:
    sha256 = hashlib.sha256()
    size = 0
    while chunk := stream.read(_CHUNK):
        sha256.update(chunk)
        size += len(chunk)
    stream.seek(0)
    return sha256.hexdigest(), size


def _payloads(stream: BinaryIO, message: Message, rules: Rules) -> Iterator[Looking]:
    """Give what is in a message; what was found before a defect of ours stays found."""
    try:
        carrier = carrier_of(stream, rules)
        for payload in unpack(stream, limits=rules.limits):
            yield _payload(payload, message, rules, carrier)
    except (BadInput, OSError):
        raise
    except Exception as error:  # noqa: BLE001 - a defect of ours must not stop or lose the other messages
        reason = defect(message.origin, error)
        yield IncomingRejection(message.origin, "", "internal-error", reason, Outcome.RETRY)


def _payload(found: Payload | Rejected, message: Message, rules: Rules, carrier: Carrier) -> Looking:
    origin = f"{message.origin}{found.origin}"
    if isinstance(found, Rejected):
        return IncomingRejection(origin, found.sha256, found.code, found.reason, Outcome(found.outcome))
    collector = Collector(rules.folder)
    try:
        looked = replace(_read(found, origin, collector, rules), authenticated=carrier.authenticated)
        return replace(looked, carrier=carrier.organization) if isinstance(looked, Found) else looked
    except BadInput as error:
        code, reason, outcome = error.code, str(error), Outcome(error.outcome)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - a defect of ours must not stop or lose the other payloads
        code, reason, outcome = "internal-error", defect(origin, error), Outcome.RETRY
    collector.restart()
    return IncomingRejection(origin, sha256_of(found.open), code, reason, outcome)


def _read(found: Payload, origin: str, collector: Collector, rules: Rules) -> Found | IncomingTls | IncomingFailure:
    limits = rules.limits
    if found.kind is Kind.AGGREGATE:
        report = read(found.open, collector, limits=limits, repairs=found.repairs)
        return Found(origin, report, collector.collected(report.policy_published))
    # One octet more than either may have, so that what is over its limit is seen to be.
    with found.open() as stream:
        data = stream.read(max(limits.json_bytes, limits.mail_bytes) + 1)
    if found.kind is Kind.TLS:
        return IncomingTls(origin, parse_tls(data, limits=limits, repairs=found.repairs))
    return IncomingFailure(origin, parse_failure(data, rules.redactor, limits=limits, repairs=found.repairs))


def sha256_of(open_: Callable[[], BinaryIO]) -> str:
    """The digest of a payload's octets, as far as they can be unpacked."""
    sha256 = hashlib.sha256()
    with suppress(BadInput), open_() as stream:
        while chunk := stream.read(_CHUNK):
            sha256.update(chunk)
    return sha256.hexdigest()


def _is_kept(payloads: tuple[Looking, ...]) -> bool:
    return any(isinstance(payload, IncomingRejection) and payload.outcome in _KEPT for payload in payloads)


def _raw(stream: BinaryIO, size: int, rules: Rules) -> bytes | None:
    if size > rules.kept_bytes:
        return None
    stream.seek(0)
    return stream.read()
