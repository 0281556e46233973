"""
What octets are, told by the octets alone: containers by their magic, documents by how they begin.

RFC 9990 section 3.5.2 asks for gzip or XML; the rest is practice. Never looks at a name or a declared type. Pure.
"""

import re
import zlib
from enum import Enum, auto

from dmarcops.report.limits import KIB

HEAD = 64 * KIB
"""Octets from the start that are looked at."""
TAR_BLOCK = 512
"""Octets of a tar header."""
_TRIED = 16
"""Octets inflated to see whether something is a zlib stream; the checksum at its end is another matter."""
_ROOT_WITHIN = 4 * KIB


class Form(Enum):
    """What something is."""

    EMPTY = auto()
    """Nothing, or nothing but blanks."""
    GZIP = auto()
    ZLIB = auto()
    ZIP = auto()
    TAR = auto()
    OLE = auto()
    """An OLE2 compound file, as Outlook's `.msg`."""
    FOREIGN = auto()
    """A container that is not opened: 7z, rar and others."""
    AGGREGATE = auto()
    """XML whose root is `feedback`."""
    DAMAGED = auto()
    """Text whose start is damaged, but that has elements of a report."""
    MARKUP = auto()
    """Another XML or HTML document."""
    TLS = auto()
    """An SMTP TLS report (RFC 8460 section 4.4)."""
    FEEDBACK = auto()
    """The fields of a feedback report (RFC 5965 section 3)."""
    FAILURE = auto()
    """Those of an authentication failure report (RFC 6591), or the text that Exim sends instead."""
    MAIL = auto()
    """A message (RFC 5322)."""
    UNKNOWN = auto()


_MAGIC = (
    (b"\x1f\x8b\x08", Form.GZIP),
    (b"PK\x03\x04", Form.ZIP),
    (b"PK\x05\x06", Form.ZIP),
    (b"PK\x07\x08", Form.ZIP),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Form.OLE),
    (b"7z\xbc\xaf\x27\x1c", Form.FOREIGN),
    (b"Rar!\x1a\x07", Form.FOREIGN),
    (b"\xfd7zXZ\x00", Form.FOREIGN),
    (b"\x28\xb5\x2f\xfd", Form.FOREIGN),
    (b"MSCF\0\0\0\0", Form.FOREIGN),
)
_OCTAL = re.compile(rb" *[0-7]+[ \0]*")
_BZIP2 = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")

_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_BLANK = b" \t\r\n\v\f"
_ROOT = re.compile(
    rb"(?:\s++|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*+(?:\[.*?\]\s*)?>|</?(?:[\w.-]+:)?schema\b[^>]*+>)*+"  # the prolog
    rb"<(?:[^\s<>/:&;?!]++:)?([^\s<>/:&;?!]+)",
    re.DOTALL | re.IGNORECASE,
)
_ROOT_LOST = (b"version", b"report_metadata", b"policy_published", b"record")
_FEEDBACK_TAG = re.compile(rb"<(?:[\w.-]+:)?feedback\b", re.IGNORECASE)
_METADATA_TAG = re.compile(rb"report_metadata\s*>", re.IGNORECASE)
_CONTROLS = bytes(set(range(32)) - set(b"\t\r\n\f"))
_TLS_KEY = re.compile(
    rb'"(organization-name|date-range|contact-info|report-id|policies|policy-type|total-successful-session-count)"\s*:'
)
_FIRST_FIELD = re.compile(rb">?From |[!-9;=-~\x80-\xff]+[ \t]*:")
_BLANK_LINE = re.compile(rb"\n\r?\n")
_FEEDBACK_FIELD = b"\nfeedback-type:"
_AUTH_FAILURE = re.compile(rb"\nfeedback-type:[ \t]*auth-failure")
_MESSAGE_FIELDS = (b"\nfrom:", b"\nreceived:", b"\nsubject:", b"\nmime-version:")
_MORE_MESSAGE_FIELDS = (
    b"\nreturn-path:",
    b"\ndelivered-to:",
    b"\nto:",
    b"\ndate:",
    b"\nmessage-id:",
    b"\ncontent-type:",
    b"\ndkim-signature:",
    b"\nauthentication-results:",
    b"\nreply-to:",
    b"\nsender:",
)
_FAILURE_TEXT = b"A message claiming to be from you has failed the published DMARC policy"
_HOP_FIELD = re.compile(rb"^(?:from|received|subject|mime-version)[ \t]*:", re.IGNORECASE | re.MULTILINE)


def form_of(head: bytes) -> Form:
    """Tell what something is by its first `HEAD` octets, or all of it if it is shorter."""
    form = _binary_form(head) or _text_form(_text(head))
    return Form.UNKNOWN if form is Form.EMPTY and len(head) >= HEAD else form


def names_all(head: bytes) -> bool:
    """Tell whether a text has both the tags by which a report with a damaged start is known."""
    text = _text(head)
    return bool(_FEEDBACK_TAG.search(text) and _METADATA_TAG.search(text))


def _binary_form(head: bytes) -> Form | None:
    for magic, form in _MAGIC:
        if head.startswith(magic):
            return form
    if _BZIP2.match(head):
        return Form.FOREIGN
    if is_tar_header(head[:TAR_BLOCK]):
        return Form.TAR
    return Form.ZLIB if _is_zlib(head) else None


def is_tar_header(block: bytes) -> bool:
    """Tell whether a block is a tar header: its checksum is right (POSIX.1-1988 section 10.1.1)."""
    checksum = block[148:156]
    if len(block) < TAR_BLOCK or not _OCTAL.fullmatch(checksum):
        return False
    # Summed with blanks in its own place.
    return int(checksum.strip(b" \0"), 8) == sum(block) - sum(checksum) + sum(b" " * len(checksum))


def _is_zlib(head: bytes) -> bool:
    # RFC 1950 section 2.2: deflate with a 32 KiB window, the check of the first two octets, and a start that inflates.
    if head[:1] != b"\x78" or int.from_bytes(head[:2], "big") % 31:
        return False
    try:
        return bool(zlib.decompressobj().decompress(head, _TRIED))
    except zlib.error:
        return False


def _text(head: bytes) -> bytes:
    # UTF-16 and UTF-32 of what matters here are ASCII with NULs between.
    text = head.replace(b"\0", b"") if b"\0" in head[:200] else head
    text = text.lstrip(_BLANK)
    for bom in _BOMS:
        if text.startswith(bom):
            return text[len(bom) :].lstrip(_BLANK)
    return text


def _text_form(text: bytes) -> Form:
    if not text:
        return Form.EMPTY
    if text.startswith(b"<"):
        return _markup_form(text)
    if text.startswith(b"{"):
        return Form.TLS if len(set(_TLS_KEY.findall(text))) > 1 else Form.UNKNOWN
    if _FIRST_FIELD.match(text):
        form = _fields_form(text)
        if form is not None:
            return form
    if text.startswith(_FAILURE_TEXT):
        return Form.FAILURE
    return Form.DAMAGED if _is_damaged_report(text) else Form.UNKNOWN


def _markup_form(text: bytes) -> Form:
    root = _ROOT.match(text[:_ROOT_WITHIN])
    name = root.group(1).lower() if root else b""
    if name == b"feedback":
        return Form.AGGREGATE
    if name and name not in _ROOT_LOST:
        return Form.MARKUP
    return Form.DAMAGED if _is_damaged_report(text) else Form.MARKUP


def _is_damaged_report(text: bytes) -> bool:
    if not (_FEEDBACK_TAG.search(text) or _METADATA_TAG.search(text)):
        return False
    return len(text.translate(None, _CONTROLS)) > len(text) * 0.95


def _fields_form(text: bytes) -> Form | None:
    end = _BLANK_LINE.search(text)
    # Searched for in this way, since regular expressions take ten times as long.
    fields = b"\n" + (text[: end.start()] if end else text).lower()
    if any(field in fields for field in _MESSAGE_FIELDS):
        return Form.MAIL
    if _FEEDBACK_FIELD in fields:
        return Form.FAILURE if _AUTH_FAILURE.search(fields) else Form.FEEDBACK
    return Form.MAIL if any(field in fields for field in _MORE_MESSAGE_FIELDS) else None
