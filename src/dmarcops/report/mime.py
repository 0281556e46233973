"""
A mail's leaf parts, whatever its structure (RFC 2045, 2046), with what is wrong in part headers repaired and noted.

The standard library's `email` reads single header fields and parameters. The structure is split here, on octets and
without recursion: `email` recurses once a level, takes quadratic time on deep nesting, decodes every part, and ends a
header at the first line that is no field, so that the transfer encoding after it is lost. Pure.
"""

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from functools import cached_property
from itertools import islice

from dmarcops.errors import UnpackError
from dmarcops.report.limits import KIB, MIB
from dmarcops.report.model import Repair
from dmarcops.report.origin import LENGTH, shown
from dmarcops.report.sniff import HEAD, Form, form_of
from dmarcops.report.streams import Budget, Memory

_FROM_LINE = re.compile(rb"(?:\xef\xbb\xbf)?(?:[ \t]*\r?\n)*+(?:>?From [^\n]*\n)?")
_FIELDS = re.compile(rb"(?:(?:[!-9;=-~]+[ \t]*:|[ \t]).*(?:\n|\Z))*+")
_PARAMETER = rb"(?:name|filename|boundary|charset|type|report-type|format|protocol|micalg|x-[\w-]+)(?:\*\d*)?\*?[ \t]*="
_PARAMETER_LINE = re.compile(_PARAMETER, re.IGNORECASE)
_CONTENT = re.compile(
    rb"\ncontent(-?)(type|disposition|transfer-encoding)[ \t]*:(.*(?:\n(?:[ \t]|" + _PARAMETER + rb").*)*)",
    re.IGNORECASE,
)
# Looked for where a run of blanks begins, and not at each of them again
_FOLD_BEFORE_PARAMETER = re.compile(rb"(?<![ \t;])[ \t;]*\r?\n(?=" + _PARAMETER + rb")", re.IGNORECASE)
_FOLD = re.compile(rb"\r?\n")
_LINE_END = re.compile(rb"\r?\n|\Z")
_BLANK_LINE = re.compile(rb"\n\r?\n")
_DELIMITER_END = re.compile(rb"(--)?[ \t]*(?:\r?\n|\Z)")
_CARRIAGE_RETURN = 0x0D
_MOST_DELIMITERS = 100_000
"""Occurrences of a boundary that are looked at in one multipart."""
_START = 96 * KIB
"""Octets of an encoded body from which is told what it is: base64 of a head, with line ends."""
_HEADER_LENGTH = MIB
_VALUE_LENGTH = 4096
_ENCODED_NAME_LENGTH = 512
_JUNK_LINES = 16
"""Lines in one header that are no field and are skipped."""

_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]+|=.*", re.DOTALL)
_LOOKS_BASE64 = re.compile(rb"\s*(?:[A-Za-z0-9+/]{2}[A-Za-z0-9+/=]{2}\s*){4,}")
_UU_NAMES = ("x-uuencode", "uuencode", "uue", "x-uue")
_DECODED = ("base64", "quoted-printable", *_UU_NAMES)
_CERTAIN = (Form.GZIP, Form.ZIP, Form.AGGREGATE, Form.TLS, Form.FEEDBACK, Form.FAILURE, Form.MAIL)
"""Forms that a guessed transfer encoding must give to be believed."""
_NONSENSE = (ValueError, LookupError, TypeError)
"""What the standard library raises for RFC 2231 parameters that make no sense."""
_DECLARED_FORMS = {"message/rfc822": Form.MAIL, "message/feedback-report": Form.FEEDBACK}
_SILENT_TYPES = ("text", "image", "audio", "video", "font")


@dataclass(frozen=True, slots=True)
class Part:
    """
    A leaf part of a mail, or the place where a part could not be read because of `problem`.

    `number` counts the leaf parts in document order, from 1; `depth` is how deep it lies; `start` and `stop` are the
    bounds of its body, still encoded.
    """

    number: int
    depth: int
    header: "Header"
    start: int
    stop: int
    repairs: tuple[Repair, ...] = ()
    problem: UnpackError | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """
    The decoded body of a part, what it is, and what had to be repaired to read it; no octets when it is not known.

    `copied` is how many octets decoding has added to those in memory.
    """

    octets: Memory
    form: Form
    repairs: tuple[Repair, ...] = ()
    copied: int = 0


class Header:
    """The MIME fields of one entity; those that are not there have the defaults of RFC 2045 section 5.2."""

    def __init__(self, fields: Message, default_type: str = "text/plain") -> None:
        self._fields = fields
        fields.set_default_type(default_type)

    @cached_property
    def type(self) -> str:
        """The media type, in lower case."""
        return self._fields.get_content_type()

    @cached_property
    def boundary(self) -> str:
        """The boundary of a multipart, empty when there is none."""
        if not self.type.startswith("multipart/"):
            return ""
        try:
            return self._fields.get_boundary("")
        except _NONSENSE:
            return ""

    @property
    def encoding(self) -> str:
        """The transfer encoding, in lower case."""
        stated: str = self._fields.get("content-transfer-encoding", "7bit")
        return stated.partition(";")[0].strip(" \t.\"'").lower()

    @cached_property
    def name(self) -> str:
        """The file name, made safe to be shown; empty when there is none."""
        try:
            name = self._fields.get_filename("")
        except _NONSENSE:
            return ""
        return shown(_decoded_words(name) if "=?" in name else name)

    @property
    def is_text(self) -> bool:
        """Whether the part is there to be read or seen in the mail, not a file of its own."""
        if self.type in ("text/xml", "text/json"):
            return False
        disposition: str = self._fields.get("content-disposition", "")
        has_name = bool(self.name) and not self.type.startswith("image/")
        return self.type.startswith(_SILENT_TYPES) and not has_name and "attachment" not in disposition.lower()


def _decoded_words(name: str) -> str:
    try:
        return str(make_header(decode_header(name[:_ENCODED_NAME_LENGTH])))
    except (MessageError, ValueError, LookupError):
        return name


def split(mail: Memory, budget: Budget, depth: int) -> Iterator[Part]:
    """
    Give the leaf parts of a mail in document order.

    Args:
        mail: The mail; the bounds of its parts are places in `mail.data`.
        budget: Charged with one member an entity; when there are too many, the last part given says so.
        depth: How deep the mail itself lies; a part deeper than `Limits.mime_depth` is given as a problem.
    """
    number, data = 0, mail.data
    from_line = _FROM_LINE.match(data, mail.start, mail.stop)
    waiting = [_Entity(from_line.end() if from_line else mail.start, mail.stop, depth)]
    while waiting:
        entity = waiting.pop()
        problem = _over_limit(entity, budget)
        header, body, repairs = _header(data, entity)
        inner = list(islice(_inner(data, body, entity, header), budget.members_left + 1)) if not problem else []
        waiting.extend(reversed(inner))
        if not inner:
            number += 1
            yield Part(number, entity.depth, header, body, entity.stop, entity.repairs + repairs, problem)
        if problem and problem.code == "too-many-members":
            return


@dataclass(frozen=True, slots=True)
class _Entity:
    start: int
    stop: int
    depth: int
    default_type: str = "text/plain"
    repairs: tuple[Repair, ...] = ()


def _over_limit(entity: _Entity, budget: Budget) -> UnpackError | None:
    try:
        budget.spend_members()
    except UnpackError as error:
        return error
    most = budget.limits.mime_depth
    return UnpackError("mime-too-deep", f"parts nested more than {most} deep") if entity.depth > most else None


def _inner(data: bytes, body: int, entity: _Entity, header: Header) -> Iterator[_Entity]:
    # RFC 2046 section 5.1.1. The line end before a delimiter belongs to it; there is one before the body, too.
    if not header.boundary:
        return
    delimiter = b"\n--" + header.boundary.encode("utf-8", "replace")
    default_type = "message/rfc822" if header.type == "multipart/digest" else "text/plain"
    at, start = body - 1, -1
    for _ in range(_MOST_DELIMITERS):
        at = data.find(delimiter, at, entity.stop)
        if at < 0:
            break
        end = _DELIMITER_END.match(data, at + len(delimiter), entity.stop)
        if end is None:
            at += 1
            continue
        if start >= 0:
            stop = max(start, at - 1 if data[at - 1] == _CARRIAGE_RETURN else at)
            yield _Entity(start, stop, entity.depth + 1, default_type)
        if end.group(1):
            return
        start = end.end()
        at = start - 1
    if start >= 0:
        repairs = (Repair("no-closing-boundary", "", ""),)
        yield _Entity(start, entity.stop, entity.depth + 1, default_type, repairs)


def _header(data: bytes, entity: _Entity) -> tuple[Header, int, tuple[Repair, ...]]:
    body, odd_line = _header_end(data, entity)
    fields = Message()
    for match in _CONTENT.finditer(b"\n" + data[entity.start : min(body, entity.start + _HEADER_LENGTH)]):
        hyphen, name, value = match.groups()
        field = f"content-{name.decode().lower()}"
        if field not in fields:
            fields[field] = _unfolded(value)
        if not hyphen:
            odd_line = odd_line or match.group()
    repairs = (Repair("broken-part-header", "", _quoted(odd_line)),) if odd_line else ()
    return Header(fields, entity.default_type), body, repairs


def _header_end(data: bytes, entity: _Entity) -> tuple[int, bytes]:
    """Give the start of the body, and the first line of the header that is no field (RFC 5322 section 2.2)."""
    at, stop, odd_line = entity.start, entity.stop, b""
    for _ in range(_JUNK_LINES):
        fields = _FIELDS.match(data, at, stop)
        at = fields.end() if fields else at
        blank = _LINE_END.match(data, at, stop)
        if blank:
            return blank.end(), odd_line
        line_end = (data.find(b"\n", at, stop) + 1) or stop
        if not _is_of_header(data, at, line_end, stop):
            break
        odd_line = odd_line or data[at : min(line_end, at + _VALUE_LENGTH)]
        at = line_end
    return at, odd_line


def _is_of_header(data: bytes, at: int, line_end: int, stop: int) -> bool:
    """Tell whether a line that is no field stands in a header all the same: a lost parameter, or fields follow."""
    if _PARAMETER_LINE.match(data, at, stop):
        return True
    near = data[line_end - 1 : min(stop, line_end + HEAD)]
    blank = _BLANK_LINE.search(near)
    return bool(_CONTENT.search(near[: blank.start()] if blank else near))


def _unfolded(value: bytes) -> str:
    joined = _FOLD.sub(b"", _FOLD_BEFORE_PARAMETER.sub(b"; ", value[:_VALUE_LENGTH]))
    return joined.decode("utf-8", "replace").strip()


def _quoted(line: bytes) -> str:
    text = line[: 2 * LENGTH].decode("utf-8", "replace").strip()
    return "".join(character for character in text if character.isprintable())[:LENGTH]


def read(data: bytes, part: Part) -> Body:
    """
    Decode the body of a part (RFC 2045 section 6).

    The declared transfer encoding is tried first; when that gives nothing that is known, what the body looks like. A
    part that is not known whatever the encoding is not decoded beyond its start.
    """
    declared = part.header.encoding
    start = data[part.start : min(part.stop, part.start + _START)]
    encoding, head, form = _opened(start, declared)
    if form in (Form.UNKNOWN, Form.MAIL):
        form = _DECLARED_FORMS.get(part.header.type, form)
    if form is Form.UNKNOWN:
        return Body(Memory(b""), form)
    repairs = part.repairs
    if encoding != declared:
        repairs += (Repair("transfer-encoding", "", f"{_quoted(declared.encode())} is {encoding}"),)
    if encoding not in _DECODED:
        return Body(Memory(data, part.start, part.stop), form, repairs)
    if part.stop - part.start > _START:
        head = _decoded(memoryview(data)[part.start : part.stop], encoding)
    return Body(Memory(head), form, repairs, len(head))


def decoded(data: bytes, part: Part, most: int) -> bytes:
    """Decode the first `most` encoded octets of a part's body as declared, whatever it is."""
    return _decoded(memoryview(data)[part.start : min(part.stop, part.start + most)], part.header.encoding)


def _opened(start: bytes, declared: str) -> tuple[str, bytes, Form]:
    """Give the transfer encoding that the start of a body really has, the start decoded, and its form."""
    head = _decoded(start, declared)
    form = form_of(head[:HEAD])
    if form in (Form.UNKNOWN, Form.EMPTY):
        for encoding in _guesses(declared, start):
            other_head = _decoded(start, encoding)
            other_form = form_of(other_head[:HEAD])
            if other_form in _CERTAIN:
                return encoding, other_head, other_form
    return declared, head, form


def _guesses(declared: str, start: bytes) -> Iterator[str]:
    if declared in _DECODED:
        yield "8bit"
    if declared != "base64" and _LOOKS_BASE64.match(start):
        yield "base64"
    if declared not in _UU_NAMES and start.lstrip().startswith(b"begin "):
        yield "uuencode"


def _decoded(raw: bytes | memoryview, encoding: str) -> bytes:
    if encoding == "base64":
        return _base64(raw)
    if encoding == "quoted-printable":
        return binascii.a2b_qp(raw)
    if encoding in _UU_NAMES:
        encoded = Message()
        encoded["content-transfer-encoding"] = encoding
        encoded.set_payload(bytes(raw).decode("latin-1"))
        decoded = encoded.get_payload(decode=True)
        return decoded if isinstance(decoded, bytes) else b""
    return bytes(raw)


def _base64(raw: bytes | memoryview) -> bytes:
    try:
        return binascii.a2b_base64(raw)
    except binascii.Error:
        # Cut short: without its padding, or within a group of four.
        digits = _NOT_BASE64.sub(b"", raw)
        whole = digits if len(digits) % 4 != 1 else digits[:-1]
        return binascii.a2b_base64(whole + b"=" * (-len(whole) % 4))
