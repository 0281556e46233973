"""
Failure reports (RFC 6591, RFC 9991) and other feedback reports (RFC 5965): what one says of the mail that it is about.

Redacted as it is read: local parts of addresses are hashed, of URIs only scheme and host stay; subject and body of the
reported message are never looked at. Fields are named as in the RFCs, in snake case. Does no I/O.
"""

import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Any

from dmarcops.errors import ReportError
from dmarcops.report import values
from dmarcops.report.arf import FeedbackParts, feedback_parts
from dmarcops.report.as_json import repairs_json
from dmarcops.report.fields import FIELD_LENGTH, HeaderFields, uncommented
from dmarcops.report.limits import Limits
from dmarcops.report.model import Domain, Kind, Repair, Selector
from dmarcops.report.notes import Notes
from dmarcops.report.redact import Redactor

MAX_VALUES = 100
"""Values of one field that are kept (recipients, domains, URIs, authentication results); more are noted."""

_FEEDBACK_TYPES = frozenset(
    ("abuse", "fraud", "virus", "other", "not-spam", "auth-failure", "opt-out", "opt-out-list", "miscategorized")
)
_AUTH_FAILURES = frozenset(("adsp", "bodyhash", "dmarc", "revoked", "signature", "spf"))
_DELIVERY_RESULTS = frozenset(("delivered", "spam", "policy", "reject", "other"))
_ALIGNMENT = ("dkim", "spf")
_ONCE = (
    *("feedback-type", "user-agent", "version", "original-envelope-id", "original-mail-from", "arrival-date"),
    *("reporting-mta", "source-ip", "incidents", "source-port", "auth-failure", "delivery-result"),
)
"""Fields that must not be repeated (RFC 5965 sections 3.1 and 3.2, RFC 6591 section 3.1)."""
_LAST_PORT = 65_535
_ADDRESS_LENGTH = 1_000

_METHOD = re.compile(r"(?:^|[;\s])(dkim|spf|dmarc)\s*=\s*([a-z]{1,20})", re.IGNORECASE)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*+"')
_WORD = re.compile(r'(?:"[^"]*"(?=@)|[^\s;,<>])+')
_BLANKS = re.compile(r" ?@ ?")
_ANGLES = re.compile(r"<([^<>]*)>")
_IP = re.compile(r"\bIP(?:\s+address)?\s*:?\s+\[?([0-9a-f.:]{3,45})\b", re.IGNORECASE)
_TAG = re.compile(r"(?:^|;)\s*([ds])\s*=\s*([^;\s]+)")
_TEXT_FIELD = re.compile(
    r"(?im)^[ \t]*(sender domain|sender ip address|received date|(?:spf|dkim) alignment|dmarc results)[ \t]*:([^\r\n]*)"
)
_TEXT_RESULTS = (("reject", "reject"), ("quarantine", "spam"), ("accept", "delivered"), ("none", "delivered"))


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureReport:
    """
    One failure or feedback report.

    `sha256` is that of the payload, the whole mail; `content_sha256` is over the report alone. `reporter` is the domain
    that sent it. `identity_alignment` are the mechanisms that failed to give an aligned identity (RFC 9991 section 4);
    `None` when the report does not say. `dkim_result`, `spf_result` and `dmarc_result` stand in its
    Authentication-Results. `header_from` and `message_id` are of the reported message.
    """

    kind: Kind
    feedback_type: str | None
    reporter: Domain | None
    user_agent: str | None
    version: str | None
    auth_failure: str | None
    delivery_result: str | None
    identity_alignment: tuple[str, ...] | None
    reported_domains: tuple[Domain, ...]
    reported_uris: tuple[str, ...]
    header_from: Domain | None
    source_ip: str | None
    source_port: int | None
    arrival_date: datetime | None
    incidents: int
    dkim_domain: Domain | None
    dkim_identity: str | None
    dkim_selector: Selector | None
    dkim_selector_dns: str | None
    dkim_result: str | None
    spf_dns: str | None
    spf_result: str | None
    dmarc_result: str | None
    authentication_results: tuple[str, ...]
    original_envelope_id: str | None
    original_mail_from: str | None
    original_rcpt_to: tuple[str, ...]
    removal_recipient: str | None
    message_id: str | None
    reporting_mta: str | None
    repairs: tuple[Repair, ...]
    sha256: str
    content_sha256: str

    @property
    def reported_domain(self) -> Domain | None:
        """The first of the reported domains."""
        return self.reported_domains[0] if self.reported_domains else None


def parse_failure(
    data: bytes, redactor: Redactor, *, limits: Limits | None = None, repairs: tuple[Repair, ...] = ()
) -> FailureReport:
    """
    Read a failure or feedback report; what is not as the standards have it is repaired and noted.

    Args:
        data: The mail, or the fields alone.
        redactor: Hashes the addresses.
        limits: What it may cost.
        repairs: What was repaired to get at `data`.

    Raises:
        BadInput: There is no feedback report in it.
    """
    limits = limits or Limits()
    if len(data) > limits.mail_bytes:
        raise ReportError("too-big", f"a failure report of more than {limits.mail_bytes} octets")
    parts = feedback_parts(data, limits)
    return _Reading(parts, redactor, Notes(limits.repairs, repairs + parts.repairs)).report(sha256(data).hexdigest())


def failure_json(report: FailureReport, origin: str) -> dict[str, Any]:
    """Give a report as plain values for JSON."""
    arrived = report.arrival_date
    return {
        "kind": report.kind.value,
        "origin": origin,
        "sha256": report.sha256,
        "repairs": repairs_json(report.repairs),
        **{
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(report).items()
            if name not in ("kind", "sha256", "content_sha256", "repairs")
        },
        "arrival_date": arrived.isoformat() if arrived else None,
    }


class _Reading:
    """One report being read: its parts, and what was noted."""

    def __init__(self, parts: FeedbackParts, redactor: Redactor, notes: Notes) -> None:
        self._parts, self._redactor, self._notes = parts, redactor, notes
        if parts.fields is None:
            notes.add("no-feedback-part")
            self._fields = _fields_of_text(parts.text)
        else:
            self._fields = parts.fields
        if self._fields.junk_lines:
            # Not quoted: nobody knows what it is.
            notes.add("broken-field", "", str(self._fields.junk_lines))
        for name in _ONCE:
            found = self._fields.all(name)
            if len(found) > 1:
                notes.add("repeated-field", name, " | ".join(map(redactor.text, found)))

    def report(self, digest: str) -> FailureReport:
        """Read all of it."""
        self._check_carrier()
        feedback_type = self._word("feedback-type", _FEEDBACK_TYPES, required=True)
        kind = Kind.FAILURE if feedback_type == "auth-failure" else Kind.FEEDBACK
        header_from = self._header_from(self._parts.message)
        domains = self._reported_domains(header_from, kind)
        results = tuple(map(self._redactor.text, self._all("authentication-results")))
        found = {
            method.lower(): result.lower() for text in reversed(results) for method, result in _METHOD.findall(text)
        }
        dkim_domain, dkim_selector = self._dkim()
        return FailureReport(
            kind=kind,
            feedback_type=feedback_type,
            reporter=self._header_from(self._parts.carrier),
            user_agent=self._text("user-agent", required=self._parts.fields is not None),
            version=self._text("version", required=self._parts.fields is not None),
            auth_failure=self._word("auth-failure", _AUTH_FAILURES, required=kind is Kind.FAILURE),
            delivery_result=self._word("delivery-result", _DELIVERY_RESULTS, other="other"),
            identity_alignment=self._alignment(),
            reported_domains=domains,
            reported_uris=tuple(map(self._redactor.uri, self._all("reported-uri"))),
            header_from=header_from,
            source_ip=self._source_ip(),
            source_port=self._source_port(),
            arrival_date=self._arrival_date(),
            incidents=self._incidents(),
            dkim_domain=dkim_domain,
            dkim_identity=self._text("dkim-identity"),
            dkim_selector=dkim_selector,
            dkim_selector_dns=self._text("dkim-selector-dns"),
            dkim_result=found.get("dkim"),
            spf_dns=self._text("spf-dns"),
            spf_result=found.get("spf"),
            dmarc_result=found.get("dmarc"),
            authentication_results=results,
            original_envelope_id=self._text("original-envelope-id"),
            original_mail_from=self._address("original-mail-from"),
            original_rcpt_to=tuple(self._addresses("original-rcpt-to")),
            removal_recipient=self._address("removal-recipient"),
            message_id=self._message_id(),
            reporting_mta=self._text("reporting-mta"),
            repairs=self._notes.repairs(),
            sha256=digest,
            content_sha256=self._parts.content_sha256,
        )

    def _check_carrier(self) -> None:
        # RFC 5965 section 2 (a).
        declared = self._parts.carrier.first("content-type")
        if declared and "report-type=feedback-report" not in declared.replace('"', "").replace(" ", "").lower():
            self._notes.add("not-a-feedback-container", "", self._redactor.text(declared.partition(";")[0]))

    def _text(self, name: str, *, required: bool = False) -> str | None:
        value = self._fields.first(name)
        if value is None:
            if required:
                self._notes.add("missing-field", name)
            return None
        return self._redactor.text(value)

    def _all(self, name: str) -> list[str]:
        found = self._fields.all(name)
        if len(found) > MAX_VALUES:
            self._notes.add("more-fields", name, str(len(found)))
        return found[:MAX_VALUES]

    def _word(self, name: str, known: frozenset[str], *, required: bool = False, other: str = "") -> str | None:
        """Read a keyword; an unknown one is noted, and is `other` if that is given, else kept."""
        text = self._text(name, required=required)
        word = uncommented(text or "").lower()
        if not word:
            return None
        if word not in known:
            self._notes.add("unknown-value", name, text or "")
            return other or word
        return word

    def _alignment(self) -> tuple[str, ...] | None:
        # RFC 9991 section 4: `none`, or a list of the mechanisms that failed, each once.
        text = self._text("identity-alignment")
        if text is None:
            return None
        words = set(re.split(r"[\s,;]+", uncommented(text).lower())) - {""}
        unknown = words - {"none", *_ALIGNMENT}
        failed = tuple(word for word in _ALIGNMENT if word in words)
        if unknown or not words or (failed and "none" in words):
            self._notes.add("unknown-value", "identity-alignment", text)
        return failed if failed or "none" in words else None

    def _reported_domains(self, header_from: Domain | None, kind: Kind) -> tuple[Domain, ...]:
        path = "reported-domain"
        domains = dict.fromkeys(
            name
            for text in self._all(path)
            if (name := values.domain(uncommented(self._redactor.text(text)) or None, self._notes, path))
        )
        if not domains and header_from:
            self._notes.add("from-message", path, header_from)
            return (header_from,)
        # RFC 5965 section 2 (g): the message is the evidence, the field an assertion.
        if kind is Kind.FAILURE and header_from and not any(_is_related(header_from, name) for name in domains):
            self._notes.add("domain-mismatch", path, " ".join((header_from, *domains)))
        return tuple(domains)

    def _header_from(self, header: HeaderFields) -> Domain | None:
        text = header.first("from")
        address = _bare_address(text) if text else ""
        return values.domain(address.rpartition("@")[2] or None, self._notes, "from") if "@" in address else None

    def _source_ip(self) -> str | None:
        path = "source-ip"
        words = uncommented(self._text(path) or "").split()
        if not words:
            said = _IP.search(" ".join(self._parts.text.split()))
            if said is None:
                self._notes.add("missing-field", path)
                return None
            self._notes.add("from-text", path, said.group(1))
            words = [said.group(1).rstrip(".:")]
        word = words[0].strip("[]")
        return values.source_ip(word[5:] if word.lower().startswith("ipv6:") else word, self._notes, path)

    def _source_port(self) -> int | None:
        path = "source-port"
        text = uncommented(self._text(path) or "")
        port = values.number(text or None, self._notes, path)
        if port is not None and port > _LAST_PORT:
            self._notes.add("unknown-value", path, text)
            return None
        return port

    def _incidents(self) -> int:
        number = values.number(uncommented(self._text("incidents") or "") or None, self._notes, "incidents")
        return 1 if number is None else number

    def _arrival_date(self) -> datetime | None:
        path = "arrival-date"
        if self._fields.first(path) and self._fields.first("received-date"):
            self._notes.add("repeated-field", path, "received-date")
        for name in (path, "received-date"):
            text = self._fields.first(name)
            if text and (arrived := self._time(text, path)):
                return arrived
        sent = self._parts.carrier.first("date")
        arrived = self._time(sent, "date") if sent else None
        self._notes.add("from-carrier" if arrived else "missing-field", path, self._redactor.text(sent or ""))
        return arrived

    def _time(self, text: str, path: str) -> datetime | None:
        try:
            moment = parsedate_to_datetime(text)
            if moment.tzinfo is None:
                # `-0000` says that the zone is not known (RFC 5322 section 3.3).
                if "-0000" not in text:
                    self._notes.add("no-time-zone", path, self._redactor.text(text))
                moment = moment.replace(tzinfo=UTC)
            return moment.astimezone(UTC)
        except (ValueError, TypeError, OverflowError, IndexError):
            self._notes.add("unknown-value", path, self._redactor.text(text))
            return None

    def _dkim(self) -> tuple[Domain | None, Selector | None]:
        """Read domain and selector of the signature, from that of the message if the fields do not say."""
        path = "dkim-domain"
        text = self._text(path)
        names = [name for name in re.split(r"[\s,;]+", uncommented(text or "")) if name]
        if len(names) > 1:
            self._notes.add("repeated-field", path, text or "")
        domain = values.domain(names[0], self._notes, path) if names else None
        selector = uncommented(self._text("dkim-selector") or "").lower()
        if domain is None and (signature := self._parts.message.first("dkim-signature")):
            tags = {name: self._redactor.text(value) for name, value in _TAG.findall(signature)}
            domain = values.domain(tags.get("d"), self._notes, path)
            if domain:
                selector = selector or tags.get("s", "").lower()
                self._notes.add("from-message", path, domain)
        return domain, Selector(selector) if selector else None

    def _address(self, name: str) -> str | None:
        return next(iter(self._addresses(name)), None)

    def _addresses(self, name: str) -> list[str]:
        """Read addresses without names; the null reverse-path is `<>`."""
        bare = (_bare_address(text) for text in self._all(name))
        return [self._redactor.address(address) or "<>" for address in bare]

    def _message_id(self) -> str | None:
        text = self._parts.message.first("message-id") or self._fields.first("message-id")
        address = _bare_address(text) if text else ""
        return self._redactor.address(address) or None


def _bare_address(text: str) -> str:
    """Give the address in a text (`rfc822; a@b`, `Name <a@b>`, `a@b (Name)`), the text itself when none is in it."""
    plain = uncommented(_without_names(text[:_ADDRESS_LENGTH]))
    found: list[str] = _ANGLES.findall(plain)
    if found:
        return found[-1].strip()
    words = [word for word in _WORD.findall(_BLANKS.sub("@", plain)) if "@" in word]
    return words[-1] if words else plain.rpartition(";")[2].strip("<> ")


def _without_names(text: str) -> str:
    """Take out quoted names, not a quoted local part."""
    return _QUOTED.sub(lambda match: match.group() if text[match.end() : match.end() + 1] == "@" else "", text)


def _is_related(one: Domain, other: Domain) -> bool:
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")


def _fields_of_text(text: str) -> HeaderFields:
    """Turn what Exim and cPanel write in words into the fields of RFC 6591 that say the same."""
    said: dict[str, str] = {}
    for name, value in _TEXT_FIELD.findall(text):
        said.setdefault(name.lower(), value.strip()[:FIELD_LENGTH])
    fields = ["Feedback-Type: auth-failure", "Auth-Failure: dmarc"]
    for name, meaning in _TEXT_MEANINGS.items():
        if said.get(name):
            fields.append(f"{meaning}: {said[name]}")
    failed = [mechanism for mechanism in _ALIGNMENT if said.get(f"{mechanism} alignment", "").lower() == "no"]
    if any(f"{mechanism} alignment" in said for mechanism in _ALIGNMENT):
        fields.append(f"Identity-Alignment: {', '.join(failed) or 'none'}")
    results = said.get("dmarc results", "").lower()
    fields += [f"Delivery-Result: {result}" for word, result in _TEXT_RESULTS if word in results][:1]
    return HeaderFields("\n".join(fields).encode())


_TEXT_MEANINGS = {
    "sender domain": "Reported-Domain",
    "sender ip address": "Source-IP",
    "received date": "Arrival-Date",
}
