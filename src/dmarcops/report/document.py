"""
The octets of an XML document, made ready for the parser: decoded, without prolog, and repaired where it is not XML.

Nothing that could declare an entity or a document type ever reaches the parser (RFC 9990 section 8.1): the prolog is
taken off here, a harmless DOCTYPE with a note, one that declares entities with an error. Does no I/O but reading the
stream it is given.
"""

import codecs
import html
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import BinaryIO, NoReturn

from defusedxml.common import EntitiesForbidden

from dmarcops.errors import ReportError
from dmarcops.report.limits import Limits
from dmarcops.report.notes import Notes

CHUNK = 64 * 1024
"""Octets read at a time; the prolog must end within the first chunk."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_BARE_UTF16 = ((b"<\0", "utf-16-le"), (b"\0<", "utf-16-be"))
_DECLARED = re.compile(rb"""<\?xml[^>]{0,200}?\bencoding\s*=\s*["']?\s*([A-Za-z0-9._:-]+)""")
_DECODED_AS_UTF8 = re.compile(r"utf[-_]?8|us[-_]?ascii|ascii|u8")
_WIDE = re.compile(r"(utf[-_]?(16|32)|ucs[-_]?[24]|iso-10646).*")
_ASCII_SUPERSETS = re.compile(
    r"iso[-_]?8859[-_]\d+|iso[-_]?ir[-_]\d+|latin[-_]?\d+|windows[-_]?\d+|cp[-_]?\d+|gb[-_]?\w+|big5[-_\w]*|euc[-_]\w+"
    r"|shift[-_]?jis|sjis|koi8[-_]\w+|tis[-_]?620|mac[-_]?\w+|ks_c_5601[-_\w]*"
)
_DOCTYPE = re.compile(rb"<!DOCTYPE[^\[>]*(?:\[(.*?)\]\s*)?>", re.DOTALL | re.IGNORECASE)
_SKIPPED = re.compile(rb"\s+|<\?.*?\?>|<!--.*?-->", re.DOTALL)
_LEADING_JUNK = re.compile(rb"[^<]{1,1024}(?=<)")

_ILLEGAL_CHARACTER = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_AMPERSAND = re.compile(r"&(?!(?:amp|lt|gt|quot|apos);)(#x?[0-9A-Fa-f]+;|[A-Za-z][A-Za-z0-9]*;)?")
_LESS_THAN = re.compile(r"<(?!/?[A-Za-z_][\w.:-]*(?:\s[^<>]*)?/?>|[!?])")
_STRAY_SCHEMA = re.compile(r"</?(?:\w+:)?schema\b[^<>]*>")
_TAG_WITH_COLON = re.compile(r"</?[A-Za-z_][^<>:]*:[^<>]*>")
_PREFIX = re.compile(r"""((?:^</?|["'\s]))(?!xmlns:|xml:)([\w.-]+):(?=[\w.-]+\s*(?:=\s*["']|[\s/>]))""")
_DECLARED_PREFIX = re.compile(r"\bxmlns:([\w.-]+)\s*=")
_ESCAPED_OCTET = re.compile("[\udc80-\udcff]")
_ROOT_END = re.compile(r"</\s*(?:[\w.-]+:)?feedback\s*>|<(?:[\w.-]+:)?feedback\b[^<>]*/>", re.IGNORECASE)
_ROOT_START = re.compile(r"<(?:[\w.-]+:)?feedback[\s>]", re.IGNORECASE)

_UNFINISHED_ROOT_END = re.compile(r"</\s*(?:[\w.-]+:)?feedback\s*$", re.IGNORECASE)


def octets(stream: BinaryIO, seen: Callable[[bytes], object]) -> Iterator[bytes]:
    """Read the stream in chunks, showing each to `seen`."""
    while chunk := stream.read(CHUNK):
        seen(chunk)
        yield chunk


def decoded(chunks: Iterable[bytes], notes: Notes) -> Iterator[bytes]:
    """
    Give the document in UTF-8, without byte order mark, XML declaration and DOCTYPE.

    What is declared as UTF-8 or ASCII is passed through as it is; the parser finds what is wrong with it.

    Raises:
        ReportError: `entity-declaration` or `prolog-too-long`.
    """
    rest = iter(chunks)
    head = _head(rest)
    codec, bom = _codec(head, notes)
    stream: Iterator[bytes] = chain((head[bom:],), rest)
    if codec:
        stream = _transcoded(stream, codec, notes)
    first = _without_prolog(next(stream, b""), notes)
    yield first
    yield from stream


def _head(rest: Iterator[bytes]) -> bytes:
    head = b""
    for chunk in rest:
        head += chunk
        if len(head) >= CHUNK:
            break
    return head


def _codec(head: bytes, notes: Notes) -> tuple[str | None, int]:
    """The codec to decode with (None: UTF-8, no decoding needed) and the length of the byte order mark."""
    for bom, codec in _BOMS:
        if head.startswith(bom):
            notes.add("bom", detail=codec)
            return (None if codec == "utf-8" else codec), len(bom)
    for start, codec in _BARE_UTF16:
        if head.startswith(start):
            return codec, 0
    declared = _DECLARED.search(head, 0, 1024)
    if declared is None:
        return None, 0
    name = declared.group(1).decode("ascii").lower()
    if _DECODED_AS_UTF8.fullmatch(name):
        return None, 0
    if _ASCII_SUPERSETS.fullmatch(name) and _is_known(name):
        return name, 0
    notes.add("wrong-encoding" if _WIDE.fullmatch(name) else "unknown-encoding", detail=name)
    return None, 0


def _is_known(name: str) -> bool:
    try:
        codecs.lookup(name)
    except LookupError:
        return False
    return True


def _transcoded(chunks: Iterable[bytes], codec: str, notes: Notes) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(codec)(errors="replace")
    for chunk in chunks:
        yield _decode(decoder, chunk, notes, final=False)
    yield _decode(decoder, b"", notes, final=True)


def _decode(decoder: codecs.IncrementalDecoder, chunk: bytes, notes: Notes, *, final: bool) -> bytes:
    text = decoder.decode(chunk, final)
    if "\ufffd" in text:
        notes.add("invalid-bytes", detail="not of the declared encoding")
    return text.encode("utf-8", errors="replace")


def _without_prolog(head: bytes, notes: Notes) -> bytes:
    position = 0
    junk = _LEADING_JUNK.match(head)
    if junk:
        position = junk.end()
        if junk.group().strip():
            notes.add("leading-data")
        elif head.startswith(b"<?xml", position):
            # Before anything but a declaration, blanks are well-formed (XML 1.0 section 2.8).
            notes.add("leading-space")
    while True:
        skipped = _SKIPPED.match(head, position)
        doctype = _DOCTYPE.match(head, position)
        if skipped:
            position = skipped.end()
        elif doctype:
            _check_doctype(doctype.group(1) or b"")
            notes.add("doctype")
            position = doctype.end()
        else:
            break
    rest = head[position:]
    if rest.startswith((b"<?", b"<!")):
        raise ReportError("prolog-too-long", "the document's prolog does not end where it should")
    return rest


def _check_doctype(internal_subset: bytes) -> None:
    declared = re.search(rb"<!ENTITY\s+(?:%\s+)?([^\s>]*)", internal_subset, re.IGNORECASE)
    if declared:
        _refuse_entity(declared.group(1).decode("ascii", "replace"))


def _refuse_entity(name: str) -> NoReturn:
    cause = EntitiesForbidden(name, None, None, None, None, None)
    raise ReportError("entity-declaration", "the document declares XML entities") from cause


class Mender:
    """
    Gives a document that is not well-formed XML as what it was meant to be, each change noted.

    `ended` tells whether the end tag of the report was met.
    """

    def __init__(self, notes: Notes, limits: Limits) -> None:
        self._notes = notes
        self._limits = limits
        self._declared: set[str] = set()
        self.ended = False

    def mended(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """
        Mend the document, in pieces that end with a tag.

        Raises:
            ReportError: `element-too-big` when a tag does not end, `several-documents` when another report follows.
        """
        pending = b""
        for chunk in chunks:
            pending += chunk
            end = pending.rfind(b">") + 1
            if end:
                yield self._mend(pending[:end])
                pending = pending[end:]
            elif len(pending) > self._limits.element_bytes:
                raise ReportError("element-too-big", "a tag of the document does not end")
        yield self._mend(pending, last=True)

    def _mend(self, piece: bytes, *, last: bool = False) -> bytes:
        text = self._text(piece)
        if self.ended:
            return self._beyond(text)
        if last and _UNFINISHED_ROOT_END.search(text):
            self._notes.add("unclosed-root")
            text += ">"
        text = _ILLEGAL_CHARACTER.sub(self._illegal, text)
        text = _AMPERSAND.sub(self._ampersand, text)
        text = _LESS_THAN.sub(self._less_than, text)
        text = _STRAY_SCHEMA.sub(self._schema, text)
        self._declared.update(_DECLARED_PREFIX.findall(text))
        text = _TAG_WITH_COLON.sub(self._without_prefixes, text)
        end = _ROOT_END.search(text)
        if end:
            self.ended = True
            return text[: end.end()].encode() + self._beyond(text[end.end() :])
        return text.encode()

    def _text(self, piece: bytes) -> str:
        try:
            return piece.decode()
        except UnicodeDecodeError:
            self._notes.add("invalid-bytes", detail="not UTF-8: read as windows-1252")
            return _utf8_or_windows_1252(piece)

    def _beyond(self, text: str) -> bytes:
        if _ROOT_START.search(text):
            raise ReportError("several-documents", "another report follows the end of the document")
        if text.strip(" \t\r\n\0"):
            self._notes.add("trailing-data", detail=text.strip())
        return b""

    def _illegal(self, match: re.Match[str]) -> str:
        self._notes.add("invalid-character", detail=f"U+{ord(match.group()):04X}")
        return "\ufffd"

    def _ampersand(self, match: re.Match[str]) -> str:
        reference = match.group(1)
        if reference is None:
            self._notes.add("bare-ampersand")
            return "&amp;"
        if reference.startswith("#") and _is_legal(reference):
            return match.group()
        meant = html.unescape(match.group())
        self._notes.add("unknown-reference", detail=match.group())
        if meant == match.group():
            return f"&amp;{reference}"
        return _ILLEGAL_CHARACTER.sub("\ufffd", html.escape(meant))

    def _less_than(self, _match: re.Match[str]) -> str:
        self._notes.add("bare-less-than")
        return "&lt;"

    def _schema(self, match: re.Match[str]) -> str:
        self._notes.add("stray-schema", detail=match.group())
        return ""

    def _without_prefixes(self, tag: re.Match[str]) -> str:
        return _PREFIX.sub(self._prefix, tag.group())

    def _prefix(self, match: re.Match[str]) -> str:
        if match.group(2) in self._declared:
            return match.group()
        self._notes.add("undeclared-prefix", detail=match.group(2))
        return match.group(1)


def _is_legal(reference: str) -> bool:
    """Tell whether a numeric reference (`#65;`, `#x41;`) is to a character that XML has."""
    digits = reference[1:-1].lower()
    try:
        character = chr(int(digits[1:], 16) if digits.startswith("x") else int(digits))
    except (ValueError, OverflowError):
        return False
    return not _ILLEGAL_CHARACTER.search(character)


def _utf8_or_windows_1252(piece: bytes) -> str:
    """Decode as UTF-8, and each octet that is not UTF-8 as windows-1252 (its five holes as latin-1)."""
    return _ESCAPED_OCTET.sub(_windows_1252, piece.decode(errors="surrogateescape"))


def _windows_1252(match: re.Match[str]) -> str:
    octet = ord(match.group()) - 0xDC00
    return bytes((octet,)).decode("cp1252", errors="replace").replace("\ufffd", chr(octet))
