"""
XML to `Report`, in one streaming pass: RFC 7489 appendix C and RFC 9990 appendix A, and what real reports make of them.

As much as the report really says is read; each thing that is out of order is a `Repair`. The parser never sees a
document type or an entity declaration, and memory does not grow with the number of records. Does no I/O.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BytesIO
from typing import BinaryIO, Protocol, TypeVar

from defusedxml.common import DTDForbidden
from lxml import etree

from dmarcops.errors import ReportError
from dmarcops.report import document
from dmarcops.report.elements import Reader
from dmarcops.report.limits import Limits
from dmarcops.report.model import (
    DateRange,
    Dialect,
    PolicyPublished,
    PolicyValue,
    Record,
    Repair,
    Report,
    ReportMetadata,
)
from dmarcops.report.notes import Notes
from dmarcops.report.records import RecordReader
from dmarcops.report.schema import METADATA, POLICY, read_metadata, read_policy

NAMESPACE = "urn:ietf:params:xml:ns:dmarc-2.0"
"""The namespace of RFC 9990 section 3.1.1.1."""
LONG_PERIOD = 25 * 3600
"""Seconds; a longer report period is noted, since a report should cover a day (RFC 9989 section 5.3.8)."""

_ORDER = ("version", "report_metadata", "policy_published", "extension", "record")
T = TypeVar("T", ReportMetadata, PolicyPublished)

_TOO_DEEP_OR_BIG = 114  # XML_ERR_RESOURCE_LIMIT: libxml2's own limits on depth and size


class RecordSink(Protocol):
    """
    Where records go as they are read.

    Must take each batch in document order. Must forget all it has on `restart`: the document was not well-formed and
    is read again, repaired. May raise what it likes; the pass ends with it.
    """

    def add(self, records: Sequence[Record], /) -> None:
        """Take the next records."""
        ...

    def restart(self) -> None:
        """Forget all records so far."""
        ...


class _List:
    """The sink of `parse`: keeps all records."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def add(self, records: Sequence[Record], /) -> None:
        self.records.extend(records)

    def restart(self) -> None:
        self.records.clear()


def parse(data: bytes, *, limits: Limits | None = None) -> Report:
    """
    Read a whole report.

    Args:
        data: The XML document, unpacked (see `unpack`).
        limits: What it may cost.

    Raises:
        ReportError: The document is no report (`not-dmarc-xml`), not readable (`xml-syntax`), truncated
            (`xml-truncated`, outcome `retry`), hostile (`entity-declaration`), or over a limit.
    """
    sink = _List()
    report = read(lambda: BytesIO(data), sink, limits=limits)
    return dataclasses.replace(report, records=tuple(sink.records))


def read(
    open_: Callable[[], BinaryIO], sink: RecordSink, *, limits: Limits | None = None, repairs: tuple[Repair, ...] = ()
) -> Report:
    """
    Read a report, giving its records to the sink as they come; memory is flat.

    Args:
        open_: Gives the XML document from its start; called again when it must be repaired.
        sink: Takes the records; they count only when this function returns.
        limits: What the document may cost.
        repairs: What was noted while unpacking, put before the report's own repairs.

    Returns:
        The report without its records.

    Raises:
        ReportError: As `parse`.
        UnpackError: From reading the stream.
    """
    limits = limits or Limits()
    sha256 = hashlib.sha256()
    notes = Notes(limits.repairs, repairs)
    with open_() as stream:
        octets = document.octets(stream, sha256.update)
        try:
            return _Pass(limits, notes, sink).run(document.decoded(octets, notes), sha256)
        except etree.XMLSyntaxError as error:
            _check_repairable(error)
    sink.restart()
    return _read_repaired(open_, sink, limits, repairs)


def _read_repaired(
    open_: Callable[[], BinaryIO], sink: RecordSink, limits: Limits, repairs: tuple[Repair, ...]
) -> Report:
    sha256 = hashlib.sha256()
    notes = Notes(limits.repairs, repairs)
    with open_() as stream:
        octets = document.octets(stream, sha256.update)
        mender = document.Mender(notes, limits)
        try:
            return _Pass(limits, notes, sink).run(mender.mended(document.decoded(octets, notes)), sha256)
        except etree.XMLSyntaxError as error:
            _check_repairable(error)
            if mender.ended:
                raise ReportError("xml-syntax", f"not well-formed XML: {error.msg}") from error
            message = "the document ends before its end tag"
            raise ReportError("xml-truncated", message, outcome="retry") from error


def _check_repairable(error: etree.XMLSyntaxError) -> None:
    if getattr(error, "code", None) == _TOO_DEEP_OR_BIG:
        raise ReportError("xml-too-deep", f"beyond the XML parser's limits: {error.msg}") from error


class _Pass:
    """One pass over one document."""

    def __init__(self, limits: Limits, notes: Notes, sink: RecordSink) -> None:
        self._limits = limits
        self._notes = notes
        self._sink = sink
        self._reader = Reader(limits, notes)
        self._records = RecordReader(self._reader)
        self._version: str | None = None
        self._metadata: list[ReportMetadata] = []
        self._policies: list[PolicyPublished] = []
        self._order = 0
        self._record_count = 0
        self._mail_count = 0
        self._content = hashlib.sha256()

    def run(self, chunks: Iterable[bytes], sha256: "hashlib._Hash") -> Report:
        """Read the document; `sha256` has seen all its octets when the chunks are exhausted."""
        root = self._feed(chunks)
        if self._reader.names[root.tag] != "feedback":
            message = f"the root element is {root.tag[:100]}, not feedback"
            raise ReportError("not-dmarc-xml", message, outcome="not-a-report")
        self._drain(iter(root))
        if not (self._metadata or self._policies or self._record_count):
            raise ReportError("empty-report", "the document holds nothing of a report", outcome="not-a-report")
        return self._report(root, sha256)

    def _feed(self, chunks: Iterable[bytes]) -> etree._Element:
        parser = etree.XMLPullParser(
            events=("start",),
            tag=("{*}feedback", "{*}Feedback", "{*}FEEDBACK"),
            encoding="utf-8",
            resolve_entities=False,
            load_dtd=False,
            no_network=True,
            huge_tree=False,
            remove_blank_text=True,
            remove_comments=True,
            remove_pis=True,
        )
        root: etree._Element | None = None
        pending = 0
        for chunk in chunks:
            pending += len(chunk)
            parser.feed(chunk)
            if root is None:
                root = self._root(parser)
            if root is not None and self._drain(_complete(root)):
                pending = len(chunk)
            if pending > self._limits.element_bytes:
                message = f"more than {self._limits.element_bytes} octets without the end of a record"
                raise ReportError("element-too-big", message)
        end: etree._Element = parser.close()
        return end

    @staticmethod
    def _root(parser: "etree.XMLPullParser") -> etree._Element | None:
        for _, element in parser.read_events():
            root: etree._Element = element.getroottree().getroot()  # type: ignore[union-attr] # "start" gives elements
            if root.getroottree().docinfo.internalDTD is not None:
                cause = DTDForbidden("feedback", None, None)
                raise ReportError("doctype", "a document type where none can be") from cause
            return root
        return None

    def _drain(self, elements: Iterator[etree._Element]) -> bool:
        """Read the elements; True when there were some."""
        batch: list[Record] = []
        some = False
        for element in elements:
            some = True
            name = self._reader.names[element.tag]
            if name == "record":
                batch.append(self._record(element))
            else:
                self._head(element, name)
            if element.tail and element.tail.strip():
                self._notes.record = 0
                self._notes.add("stray-text", "", element.tail.strip())
        if batch:
            self._add(batch)
        return some

    def _record(self, element: etree._Element) -> Record:
        self._record_count += 1
        self._order = len(_ORDER) - 1
        if self._record_count > self._limits.records:
            raise ReportError("too-many-records", f"the report has more than {self._limits.records} records")
        self._notes.record = self._record_count
        return self._records.read(element)

    def _add(self, batch: list[Record]) -> None:
        self._notes.record = 0
        self._mail_count += sum(record.count for record in batch)
        self._content.update(self._records.take_content())
        self._sink.add(batch)

    def _head(self, element: etree._Element, name: str) -> None:
        self._notes.record = 0
        if name in _ORDER:
            place = _ORDER.index(name)
            if place < self._order:
                self._notes.add("element-order", "", name)
            self._order = max(place, self._order)
        if name == "report_metadata":
            self._metadata.append(read_metadata(self._reader.fields(element, name, METADATA)))
        elif name == "policy_published":
            self._policies.append(read_policy(self._reader.fields(element, name, POLICY)))
        elif name == "version":
            self._version = self._reader.text(element, name)
        else:
            self._reader.keep(element, "")

    def _report(self, root: etree._Element, sha256: "hashlib._Hash") -> Report:
        metadata = _merged(self._metadata, _NO_METADATA, "report_metadata", self._notes)
        policy = _merged(self._policies, _NO_POLICY, "policy_published", self._notes)
        extensions = self._reader.take_extensions()
        self._check(metadata.date_range, policy)
        self._content.update(f"{metadata!r} {policy!r}".encode())
        is_9990 = root.tag.startswith(f"{{{NAMESPACE}}}") or self._records.is_9990 or _is_9990(metadata, policy)
        return Report(
            dialect=Dialect.RFC9990 if is_9990 or any(x.path == "/extension" for x in extensions) else Dialect.RFC7489,
            version=self._version,
            report_metadata=metadata,
            policy_published=policy,
            extensions=extensions,
            repairs=self._notes.repairs(),
            sha256=sha256.hexdigest(),
            content_sha256=self._content.hexdigest(),
            record_count=self._record_count,
            mail_count=self._mail_count,
        )

    def _check(self, period: DateRange, policy: PolicyPublished) -> None:
        """Note what is well-formed and yet not as RFC 9990 section 3.1.1 has it."""
        if self._version not in (None, "1.0", "1"):
            self._notes.add("unknown-version", "version", self._version or "")
        if not self._record_count:
            self._notes.add("missing-element", "record")
        if period.begin is not None and period.end is not None:
            if period.end < period.begin:
                self._notes.add("end-before-begin", "report_metadata/date_range", f"{period.begin} {period.end}")
            elif period.end - period.begin > LONG_PERIOD:
                self._notes.add("long-period", "report_metadata/date_range", f"{period.end - period.begin} s")
        if policy.domain is not None:
            for author_domain in self._records.outside(policy.domain):
                self._notes.add("foreign-header-from", "record/identifiers/header_from", author_domain)
        if self._records.has_unexplained and policy.p in _ENFORCING and policy.sp in (None, *_ENFORCING):
            self._notes.add("missing-override-reason", "record/row/policy_evaluated/reason")


_ENFORCING = (PolicyValue.QUARANTINE, PolicyValue.REJECT)
_NO_METADATA = ReportMetadata(None, None, None, None, DateRange(None, None), (), None)
_NO_POLICY = PolicyPublished(None, None, None, None, None, None, None, None, None, None)


def _complete(root: etree._Element) -> Iterator[etree._Element]:
    """
    The children of an unfinished root that are complete, each taken out of the tree after it was looked at.

    A child is complete when another one follows; the last one stays, since the parser is still at work on it.
    """
    child = root[0] if len(root) else None
    while child is not None:
        following = child.getnext()
        if following is None:
            return
        yield child
        root.remove(child)
        child = following


def _merged(parts: Sequence[T], nothing: T, path: str, notes: Notes) -> T:
    """The first of the parts, with what it lacks taken from the further ones."""
    if not parts:
        notes.add("missing-element", path)
        return nothing
    if len(parts) > 1:
        notes.add("repeated-element", path, str(len(parts)))
    merged = parts[0]
    for part in parts[1:]:
        lacking = {
            field.name: getattr(part, field.name)
            for field in dataclasses.fields(merged)
            if getattr(merged, field.name) == getattr(nothing, field.name)
        }
        merged = dataclasses.replace(merged, **lacking)
    return merged


def _is_9990(metadata: ReportMetadata, policy: PolicyPublished) -> bool:
    new = (metadata.generator, policy.np, policy.testing, policy.discovery_method)
    return any(value is not None for value in new)
