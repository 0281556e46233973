"""
SMTP TLS reports (RFC 8460): the frozen model, and reading the JSON of section 4.4 as it is really sent.

Field names are those of the RFC in snake case. `None` means that the report does not say. Does no I/O.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from dmarcops.errors import ReportError
from dmarcops.report import values
from dmarcops.report.as_json import repairs_json
from dmarcops.report.limits import Limits
from dmarcops.report.model import DateRange, Domain, Repair
from dmarcops.report.notes import Notes

MAX_ITEMS = 100
"""Strings of one `policy-string` or `mx-host` that are kept; more are noted."""

_POLICY_TYPES = frozenset(("tlsa", "sts", "no-policy-found"))
_RESULT_TYPES = frozenset((
    *("starttls-not-supported", "certificate-host-mismatch", "certificate-expired", "certificate-not-trusted"),
    *("validation-failure", "tlsa-invalid", "dnssec-invalid", "dane-required"),
    *("sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid"),
))  # fmt: skip
"""RFC 8460 section 4.3."""
_TEXT_LENGTH = 2_000
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NOT_BRACKETS = re.compile(r"[^\[\]{}]+")


@dataclass(frozen=True, slots=True)
class TlsFailure:
    """One entry of `failure-details`; one session may be counted in several (RFC 8460 section 4.3)."""

    result_type: str | None
    sending_mta_ip: str | None
    receiving_mx_hostname: str | None
    receiving_mx_helo: str | None
    receiving_ip: str | None
    failed_session_count: int
    additional_information: str | None
    failure_reason_code: str | None


@dataclass(frozen=True, slots=True)
class TlsPolicy:
    """One entry of `policies`: what was found, how sessions went, and how those that failed did."""

    policy_type: str | None
    policy_string: tuple[str, ...]
    policy_domain: Domain | None
    mx_host: tuple[str, ...]
    total_successful_session_count: int
    total_failure_session_count: int
    failure_details: tuple[TlsFailure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsReport:
    """
    One TLS report.

    `sha256` is that of the JSON's octets as unpacked; `content_sha256` is over what the report says.
    """

    organization_name: str | None
    date_range: DateRange
    contact_info: str | None
    report_id: str | None
    policies: tuple[TlsPolicy, ...]
    repairs: tuple[Repair, ...]
    sha256: str
    content_sha256: str

    @property
    def successful_count(self) -> int:
        """Sessions that succeeded, of all policies."""
        return sum(policy.total_successful_session_count for policy in self.policies)

    @property
    def failed_count(self) -> int:
        """Sessions that failed, of all policies."""
        return sum(policy.total_failure_session_count for policy in self.policies)


def parse_tls(data: bytes, *, limits: Limits | None = None, repairs: tuple[Repair, ...] = ()) -> TlsReport:
    """
    Read a TLS report; what is not as the RFC has it is repaired and noted.

    Args:
        data: The JSON document, unpacked.
        limits: What it may cost.
        repairs: What was repaired to get at `data`.

    Raises:
        ReportError: It is no TLS report, or over a limit.
    """
    limits = limits or Limits()
    notes = Notes(limits.repairs, repairs)
    document = _document(data, limits, notes)
    if not isinstance(document, dict) or not _KEYS & document.keys():
        raise ReportError("not-a-tls-report", "a JSON document that is no TLS report", outcome="not-a-report")
    reader = _Reader(limits, notes)
    report = reader.report(document)
    content = json.dumps(
        [asdict(part) if isinstance(part, DateRange) else part for part in report.values()], default=asdict
    )
    return TlsReport(
        **report,
        repairs=notes.repairs(),
        sha256=sha256(data).hexdigest(),
        content_sha256=sha256(content.encode()).hexdigest(),
    )


_KEYS = {"organization-name", "date-range", "contact-info", "report-id", "policies"}


def tls_json(report: TlsReport, origin: str) -> dict[str, Any]:
    """Give a report as plain values for JSON."""
    return {
        "kind": "tls",
        "origin": origin,
        "sha256": report.sha256,
        "repairs": repairs_json(report.repairs),
        "organization_name": report.organization_name,
        "date_range": asdict(report.date_range),
        "contact_info": report.contact_info,
        "report_id": report.report_id,
        "policies": [asdict(policy) for policy in report.policies],
    }


def _document(data: bytes, limits: Limits, notes: Notes) -> object:
    """Decode the JSON, which is looked at first for what would cost too much to decode."""
    if len(data) > limits.json_bytes:
        raise ReportError("too-big", f"a TLS report of more than {limits.json_bytes} octets")
    text = _decoded(data, notes).lstrip("\ufeff \t\r\n\v\f\0")
    is_open = _is_open(text, limits)
    try:
        document, end = json.JSONDecoder(strict=False).raw_decode(text)
    except ValueError as error:
        if is_open:
            raise ReportError("json-truncated", "the document ends too early", outcome="retry") from error
        raise ReportError("json-invalid", f"not JSON: {error}") from error
    trailing = text[end:].strip(" \t\r\n\0")
    if trailing:
        notes.add("trailing-data", "", trailing)
    return document


def _decoded(data: bytes, notes: Notes) -> str:
    encoding = json.detect_encoding(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        notes.add("invalid-bytes", "", encoding)
        return data.decode(encoding, "replace")
    if not encoding.startswith("utf-8"):
        notes.add("not-utf-8", "", encoding)
    return text


def _is_open(text: str, limits: Limits) -> bool:
    """
    Refuse what is nested too deep or has too many values, before anything is built of it; tell whether it lacks an end.

    A string that is not closed is taken to go on to the end, so that a pass over the text stays one pass.
    """
    bare = _STRING.sub('"', text)
    if bare.count(",") + bare.count("[") + bare.count("{") > limits.json_values:
        raise ReportError("too-many-values", f"more than {limits.json_values} values in a TLS report")
    depth = 0
    for bracket in _NOT_BRACKETS.sub("", bare):
        depth += 1 if bracket in "[{" else -1
        if depth > limits.json_depth:
            raise ReportError("nested-too-deep", f"nested more than {limits.json_depth} deep")
    return depth > 0


class _Reader:
    """Reads the objects of one document."""

    def __init__(self, limits: Limits, notes: Notes) -> None:
        self._limits, self._notes = limits, notes
        self._failures = 0

    def report(self, document: Mapping[str, object]) -> dict[str, Any]:
        """Give the fields of a `TlsReport` that the document says."""
        period = self._object(document, "date-range", "")
        begin, end = (self._time(period, name) for name in ("start-datetime", "end-datetime"))
        return {
            "organization_name": self._required(document, "organization-name", ""),
            "date_range": DateRange(begin, end),
            "contact_info": self._text(document, "contact-info", ""),
            "report_id": self._required(document, "report-id", ""),
            "policies": tuple(self._policies(document)),
        }

    def _policies(self, document: Mapping[str, object]) -> list[TlsPolicy]:
        found = self._objects(document, "policies", "")
        if len(found) > self._limits.tls_policies:
            raise ReportError("too-many-policies", f"more than {self._limits.tls_policies} policies")
        if "policies" not in document:
            self._notes.add("missing-element", "policies")
        policies = []
        for self._notes.record, policy in enumerate(found, 1):
            policies.append(self._policy(policy))
        self._notes.record = 0
        return policies

    def _policy(self, entry: Mapping[str, object]) -> TlsPolicy:
        path = "policies/policy"
        policy = self._object(entry, "policy", "policies")
        summary = self._object(entry, "summary", "policies")
        policy_type = self._word(policy, "policy-type", path, _POLICY_TYPES)
        # RFC 8460 section 4.4 has no exception, but tlsrpt-reporter leaves it out when no policy was found.
        name = self._text(policy, "policy-domain", path)
        if name is None:
            self._notes.add("missing-element", f"{path}/policy-domain")
        return TlsPolicy(
            policy_type=policy_type,
            policy_string=self._texts(policy, "policy-string", path),
            policy_domain=values.domain(name, self._notes, f"{path}/policy-domain"),
            mx_host=self._mx_host(policy, path),
            total_successful_session_count=self._count(summary, "total-successful-session-count", "policies/summary"),
            total_failure_session_count=self._count(summary, "total-failure-session-count", "policies/summary"),
            failure_details=tuple(self._failure(x) for x in self._objects(entry, "failure-details", "policies")),
        )

    def _mx_host(self, policy: Mapping[str, object], path: str) -> tuple[str, ...]:
        # An array in the text of RFC 8460 section 4.4, a string in its appendix B; `mx-host-pattern` in its drafts.
        name = "mx-host"
        if policy.get(name) is None and policy.get("mx-host-pattern") is not None:
            self._notes.add("renamed-element", f"{path}/{name}", "mx-host-pattern")
            name = "mx-host-pattern"
        return tuple(host.lower() for host in self._texts(policy, name, path))

    def _failure(self, detail: Mapping[str, object]) -> TlsFailure:
        self._failures += 1
        if self._failures > self._limits.tls_failures:
            raise ReportError("too-many-failures", f"more than {self._limits.tls_failures} failure details")
        path = "policies/failure-details"
        host = self._text(detail, "receiving-mx-hostname", path)
        return TlsFailure(
            result_type=self._word(detail, "result-type", path, _RESULT_TYPES),
            sending_mta_ip=self._address(detail, "sending-mta-ip", path),
            receiving_mx_hostname=host.lower().rstrip(".") if host else None,
            receiving_mx_helo=self._text(detail, "receiving-mx-helo", path),
            receiving_ip=self._address(detail, "receiving-ip", path),
            failed_session_count=self._count(detail, "failed-session-count", path),
            additional_information=self._text(detail, "additional-information", path),
            failure_reason_code=self._text(detail, "failure-reason-code", path),
        )

    def _object(self, parent: Mapping[str, object], name: str, path: str) -> Mapping[str, object]:
        """Give an object; one that is missing or something else is noted, and empty."""
        value = parent.get(name)
        if isinstance(value, dict):
            return value
        self._notes.add("missing-element" if value is None else "unknown-value", _joined(path, name), _shown(value))
        return {}

    def _objects(self, parent: Mapping[str, object], name: str, path: str) -> list[Mapping[str, object]]:
        """Give an array of objects; an object for an array of one is noted (RFC 8460 section 4.4), null is empty."""
        value = parent.get(name)
        if value is None:
            return []
        if isinstance(value, dict):
            self._notes.add("not-an-array", _joined(path, name))
            return [value]
        if not isinstance(value, list):
            self._notes.add("unknown-value", _joined(path, name), _shown(value))
            return []
        for item in value:
            if not isinstance(item, dict):
                self._notes.add("unknown-value", _joined(path, name), _shown(item))
        return [item for item in value if isinstance(item, dict)]

    def _text(self, parent: Mapping[str, object], name: str, path: str) -> str | None:
        """Give a string without blanks around it; null and the empty string are None."""
        value = parent.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            self._notes.add("not-a-string", _joined(path, name), _shown(value))
            if not isinstance(value, int | float):
                return None
            value = str(value)
        if len(value) > _TEXT_LENGTH:
            self._notes.add("text-cut", _joined(path, name), str(len(value)))
        return _cleaned(value) or None

    def _required(self, parent: Mapping[str, object], name: str, path: str) -> str | None:
        text = self._text(parent, name, path)
        if text is None:
            self._notes.add("missing-element", _joined(path, name))
        return text

    def _texts(self, parent: Mapping[str, object], name: str, path: str) -> tuple[str, ...]:
        """Give an array of strings, or a string as an array of one, which is noted."""
        value = parent.get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            self._notes.add("not-an-array", _joined(path, name), _shown(value))
            value = [value]
        if len(value) > MAX_ITEMS:
            self._notes.add("more-values", _joined(path, name), str(len(value)))
        texts = (self._text({name: item}, name, path) for item in value[:MAX_ITEMS])
        return tuple(text for text in texts if text is not None)

    def _word(self, parent: Mapping[str, object], name: str, path: str, known: frozenset[str]) -> str | None:
        """Give a keyword; an unknown one is noted and kept (RFC 8460 section 6.6: more may be registered)."""
        text = self._required(parent, name, path)
        word = text.lower() if text else None
        if word is not None and word not in known:
            self._notes.add("unknown-value", _joined(path, name), word)
        return word

    def _address(self, parent: Mapping[str, object], name: str, path: str) -> str | None:
        text = self._text(parent, name, path)
        return None if text is None else values.source_ip(text, self._notes, _joined(path, name))

    def _count(self, parent: Mapping[str, object], name: str, path: str) -> int:
        """Give a number of sessions, also one that is a string; none is 0, as is what is no number."""
        value = parent.get(name)
        where = _joined(path, name)
        if value is None:
            self._notes.add("missing-element", where)
            return 0
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= values.MAX_COUNT:
            return value
        if isinstance(value, str):
            self._notes.add("number-format", where, value)
        number = values.number(_shown(value).strip(), self._notes, where)
        return 0 if number is None else number

    def _time(self, period: Mapping[str, object], name: str) -> int | None:
        """Give a time (RFC 3339) as epoch seconds."""
        path = "date-range"
        text = self._required(period, name, path)
        return None if text is None else values.moment(text, self._notes, _joined(path, name))


def _joined(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _cleaned(text: str) -> str:
    cut = text[:_TEXT_LENGTH]
    if cut.isprintable():
        return cut.strip()
    return "".join(character if character.isprintable() else " " for character in cut).strip()


def _shown(value: object) -> str:
    """Give a value as a repair quotes it; of a container only what it is."""
    if isinstance(value, Sequence | Mapping) and not isinstance(value, str):
        return type(value).__name__
    return "" if value is None else _cleaned(str(value))
