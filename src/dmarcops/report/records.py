"""
The records of a report (RFC 9990 sections 3.1.1.7-14). Does no I/O.

Most records of a large report differ in source and count only. What else they say is looked up by its XML, so each
distinct `Evaluation` is read and checked once.
"""

import hashlib

from lxml import etree

from dmarcops.report import values
from dmarcops.report.elements import Fields, Reader
from dmarcops.report.model import (
    AuthResults,
    Disposition,
    DkimAuthResult,
    DmarcResult,
    Domain,
    Evaluation,
    Identifiers,
    OverrideReason,
    OverrideType,
    PolicyEvaluated,
    Record,
    Selector,
    SpfAuthResult,
    SpfScope,
)

MAX_SIGNATURES = 100
"""DKIM signatures of one record above which it is noted (RFC 9990 section 3.1.3)."""
_MEMO = 4096
"""Evaluations remembered at a time; more are read anew, so that memory stays flat."""
_MEMO_LENGTH = 8 << 20
"""Characters of their XML."""
_OUTSIDE = 10

_RECORD = ("row", "identifiers", "auth_results")
_ROW = ("source_ip", "count", "policy_evaluated")
_EVALUATED = ("disposition", "dkim", "spf", "reason")
_REASON = ("type", "comment")
_IDENTIFIERS = ("envelope_to", "envelope_from", "header_from")
_AUTH_RESULTS = ("dkim", "spf")
_DKIM = ("domain", "selector", "result", "human_result")
_SPF = ("domain", "scope", "result", "human_result")

_Known = tuple[Evaluation, str, tuple[tuple[str, str, str], ...]]
"""An evaluation, its digest, and what is noted for each record that has it."""


class _Memo:
    """Evaluations by their XML: so many that they are worth it, and so few that memory stays flat."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._length = 0

    def get(self, key: str) -> _Known | None:
        return self._known.get(key)

    def add(self, key: str, known: _Known) -> None:
        if len(self._known) >= _MEMO or self._length >= _MEMO_LENGTH:
            self._known.clear()
            self._length = 0
        self._known[key] = known
        self._length += len(key)


_OF_ALL_REPORTS = _Memo()
"""Day by day a reporter says the same of the same senders: what was read of one report is known in the next."""


class RecordReader:
    """
    Reads the records of one pass.

    `is_9990` tells that a record used what only RFC 9990 has; `has_unexplained` that mail which failed DMARC was let
    through without a reason.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._memo = _Memo()
        self._lines: list[str] = []
        self._author_domains: set[Domain] = set()
        self.is_9990 = False
        self.has_unexplained = False

    def read(self, element: etree._Element) -> Record:
        """Read one `record` element."""
        notes = self._reader.notes
        source_ip, count, key = self._split(element)
        known = self._memo.get(key)
        if known is None:
            known = self._learn(element, key)
        else:
            for note in known[2]:
                notes.count(note)
        evaluation, digest, _ = known
        record = Record(
            values.source_ip((source_ip and source_ip.strip()) or None, notes, "record/row/source_ip"),
            values.count((count and count.strip()) or None, notes, "record/row/count"),
            evaluation,
        )
        self._lines.append(f"{digest} {record.source_ip} {record.count}\n")
        return record

    def take_content(self) -> bytes:
        """What the records read since the last call say, for the digest of the report's content."""
        content = "".join(self._lines).encode()
        self._lines.clear()
        return content

    def outside(self, policy_domain: Domain) -> list[Domain]:
        """Author domains that are not below the policy domain (RFC 9990 section 3.1.2), a few of them."""
        parent = f".{policy_domain}"
        found = (name for name in self._author_domains if name != policy_domain and not name.endswith(parent))
        return sorted(found)[:_OUTSIDE]

    def _split(self, record: etree._Element) -> tuple[str | None, str | None, str]:
        """Take the texts of source and count out of the record, and give them and all that is left, written as XML."""
        names = self._reader.names
        source_ip = count = None
        for row in record:
            if names[row.tag] != "row":
                continue
            for field in row:
                name = names[field.tag]
                if name == "source_ip" and source_ip is None:
                    source_ip, field.text = field.text, None
                elif name == "count" and count is None:
                    count, field.text = field.text, None
        return source_ip, count, etree.tostring(record, encoding="unicode", with_tail=False)

    def _learn(self, element: etree._Element, key: str) -> _Known:
        """Read an evaluation met for the first time in this report."""
        notes = self._reader.notes
        # Under other limits the same text may be refused.
        key_of_all = f"{self._reader.limits.text_length} {key}"
        known = _OF_ALL_REPORTS.get(key_of_all)
        if known is None:
            notes.start_log()
            before = self._reader.take_extensions()
            evaluation = self._evaluation(element)
            self._reader.put_back(before)
            known = (evaluation, _digest(evaluation), notes.end_log())
            _OF_ALL_REPORTS.add(key_of_all, known)
        else:
            for note in known[2]:
                notes.count(note)
        self._look_at(known[0])
        self._memo.add(key, known)
        return known

    def _look_at(self, evaluation: Evaluation) -> None:
        outcome = evaluation.policy_evaluated
        author_domain = evaluation.identifiers.header_from
        if author_domain is not None and len(self._author_domains) < _MEMO:
            self._author_domains.add(author_domain)
        if outcome.dmarc is DmarcResult.FAIL and outcome.disposition is Disposition.NONE and not outcome.reasons:
            self.has_unexplained = True
        test_mode = any(reason.type is OverrideType.POLICY_TEST_MODE for reason in outcome.reasons)
        self.is_9990 = self.is_9990 or test_mode or outcome.disposition is Disposition.PASS

    def _evaluation(self, element: etree._Element) -> Evaluation:
        record = self._reader.fields(element, "record", _RECORD)
        record.check_order(_RECORD)
        row = self._child(record, "row", _ROW)
        evaluated = self._child(row, "policy_evaluated", _EVALUATED)
        identifiers = self._child(record, "identifiers", _IDENTIFIERS)
        results = self._child(record, "auth_results", _AUTH_RESULTS)
        said = (self._policy_evaluated(evaluated), self._identifiers(identifiers), self._auth_results(results))
        if row is not None:
            row.check_once("source_ip", "count")
        return Evaluation(*said, self._reader.take_extensions())

    def _child(self, parent: Fields | None, name: str, schema: tuple[str, ...]) -> Fields | None:
        if parent is None:
            return None
        path = f"{parent.path}/{name}"
        element = parent.one(name)
        if element is None:
            self._reader.notes.add("missing-element", path)
            return None
        return self._reader.fields(element, path, schema)

    def _policy_evaluated(self, fields: Fields | None) -> PolicyEvaluated:
        notes = self._reader.notes
        if fields is None:
            return PolicyEvaluated(Disposition.NONE, DmarcResult.FAIL, DmarcResult.FAIL, ())
        fields.check_order(_EVALUATED)
        disposition = values.enumerated(
            fields.required("disposition"), Disposition, notes, f"{fields.path}/disposition"
        )
        reasons = (self._reason(element, f"{fields.path}/reason") for element in fields.all("reason"))
        return PolicyEvaluated(
            disposition or Disposition.NONE,
            values.evaluated(fields.text("dkim"), notes, f"{fields.path}/dkim"),
            values.evaluated(fields.text("spf"), notes, f"{fields.path}/spf"),
            tuple(reason for reason in reasons if reason is not None),
        )

    def _reason(self, element: etree._Element, path: str) -> OverrideReason | None:
        fields = self._reader.fields(element, path, _REASON)
        kind, comment = fields.text("type"), fields.text("comment")
        if kind is None and comment is None:
            comment = (element.text and element.text.strip()) or None
        if kind is None and comment is None and not fields.all("type"):
            self._reader.notes.add("empty-element", path)
            return None
        return OverrideReason(values.override_type(kind, self._reader.notes, f"{path}/type"), comment)

    def _identifiers(self, fields: Fields | None) -> Identifiers:
        if fields is None:
            return Identifiers(None, None, None)
        notes, path = self._reader.notes, fields.path
        return Identifiers(
            values.domain(fields.required("header_from"), notes, f"{path}/header_from"),
            values.domain(fields.text("envelope_from"), notes, f"{path}/envelope_from"),
            values.domain(fields.text("envelope_to"), notes, f"{path}/envelope_to"),
        )

    def _auth_results(self, fields: Fields | None) -> AuthResults:
        if fields is None:
            return AuthResults((), ())
        fields.check_order(_AUTH_RESULTS)
        signatures = fields.all("dkim")
        if len(signatures) > MAX_SIGNATURES:
            self._reader.notes.add("many-signatures", f"{fields.path}/dkim", str(len(signatures)))
        dkim = (self._dkim(element, f"{fields.path}/dkim") for element in signatures)
        spf = (self._spf(element, f"{fields.path}/spf") for element in fields.all("spf"))
        return AuthResults(
            tuple(result for result in dkim if result is not None),
            tuple(result for result in spf if result is not None),
        )

    def _dkim(self, element: etree._Element, path: str) -> DkimAuthResult | None:
        fields = self._reader.fields(element, path, _DKIM)
        domain, selector, result, human = (fields.text(name) for name in _DKIM)
        if not (domain or selector or result or human):
            self._reader.notes.add("empty-element", path)
            return None
        notes = self._reader.notes
        if domain is None:
            notes.add("missing-element", f"{path}/domain")
        return DkimAuthResult(
            values.domain(domain, notes, f"{path}/domain"),
            Selector(selector.lower()) if selector else None,
            values.dkim_result(result, notes, f"{path}/result"),
            human,
        )

    def _spf(self, element: etree._Element, path: str) -> SpfAuthResult | None:
        fields = self._reader.fields(element, path, _SPF)
        domain, scope, result, human = (fields.text(name) for name in _SPF)
        if not (domain or scope or result or human):
            self._reader.notes.add("empty-element", path)
            return None
        notes = self._reader.notes
        return SpfAuthResult(
            values.domain(domain, notes, f"{path}/domain"),
            values.enumerated(scope, SpfScope, notes, f"{path}/scope"),
            values.spf_result(result, notes, f"{path}/result"),
            human,
        )


def _digest(evaluation: Evaluation) -> str:
    outcome = evaluation.policy_evaluated
    identifiers = evaluation.identifiers
    said: list[object] = [outcome.disposition, outcome.dkim, outcome.spf]
    said += [identifiers.header_from, identifiers.envelope_from, identifiers.envelope_to]
    said += [part for reason in outcome.reasons for part in ("reason", reason.type, reason.comment)]
    for dkim in evaluation.auth_results.dkim:
        said += ("dkim", dkim.domain, dkim.selector, dkim.result, dkim.human_result)
    for spf in evaluation.auth_results.spf:
        said += ("spf", spf.domain, spf.scope, spf.result, spf.human_result)
    said += [part for extension in evaluation.extensions for part in ("extension", extension.path, extension.xml)]
    text = "\0".join("\1" if part is None else str(part) for part in said)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
