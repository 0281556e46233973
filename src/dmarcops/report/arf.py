"""
The parts of a feedback report (RFC 5965 section 2) in a mail, or in what some reporters send for one. Does no I/O.

The fields may be quoted-printable or base64, the reported message a `text/rfc822-headers` or nothing, the container not
a `multipart/report`. Exim and cPanel send no fields but a text that says the same, followed by the message's header.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256

from dmarcops.errors import ReportError
from dmarcops.report import mime, msg
from dmarcops.report.fields import HeaderFields
from dmarcops.report.limits import KIB, Limits
from dmarcops.report.model import Repair
from dmarcops.report.sniff import HEAD, Form, form_of
from dmarcops.report.streams import Budget, Memory

_TEXT_OCTETS = 64 * KIB
_REPORT_FORMS = (Form.FAILURE, Form.FEEDBACK)
_MESSAGE_TYPES = ("message/rfc822", "text/rfc822-headers", "text/rfc822-header", "message/rfc822-headers")
_FIELD = re.compile(rb"(?im)^(?:feedback-type|user-agent|version|source-ip|auth-failure|reported-domain)[ \t]*:")
_COPY = re.compile(rb"(?m)^-{3,}[^\n]*(?:\n|\Z)")


@dataclass(slots=True)
class FeedbackParts:
    """
    What a feedback report is made of.

    `fields` are those of `message/feedback-report`; `text` is what it says in words, `message` the header of the
    reported message and `carrier` that of the mail which brought the report, empty where there is none.
    `content_sha256` is over the report alone, so that one that came twice by other ways has the same one.
    """

    fields: HeaderFields | None = None
    text: str = ""
    message: HeaderFields = field(default_factory=lambda: HeaderFields(b""))
    carrier: HeaderFields = field(default_factory=lambda: HeaderFields(b""))
    repairs: tuple[Repair, ...] = ()
    content_sha256: str = ""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part: its octets decoded, what it is, its declared type, and whether it is there to be read."""

    data: bytes
    form: Form
    type: str
    is_text: bool
    repairs: tuple[Repair, ...] = ()


def feedback_parts(data: bytes, limits: Limits) -> FeedbackParts:
    """
    Take a feedback report apart.

    Args:
        data: The mail, or the fields alone.
        limits: What it may cost.

    Raises:
        ReportError: There is no feedback report in it (`no-feedback`).
        UnpackError: An Outlook file that is damaged.
    """
    form = form_of(data[:HEAD])
    found = FeedbackParts()
    if form in _REPORT_FORMS:
        pieces: Iterator[_Piece] = iter((_Piece(data, form, "message/feedback-report", is_text=False),))
    elif form is Form.OLE:
        pieces = _outlook(data, limits)
    else:
        found.carrier = HeaderFields(data)
        pieces = _mail(data, limits)
    _assign(pieces, found)
    return found


def _mail(data: bytes, limits: Limits) -> Iterator[_Piece]:
    mail = Memory(data)
    for part in mime.split(mail, Budget(limits), 0):
        if part.problem:
            continue
        body = mime.read(data, part)
        header = part.header
        octets = body.octets.head(body.octets.size)
        if body.form is Form.UNKNOWN and (header.is_text or header.type in _MESSAGE_TYPES):
            octets = mime.decoded(data, part, _TEXT_OCTETS)
        yield _Piece(octets, body.form, header.type, header.is_text, body.repairs)


def _outlook(data: bytes, limits: Limits) -> Iterator[_Piece]:
    for attachment in msg.attachments(data, Budget(limits), 0):
        if not attachment.problem:
            form = form_of(attachment.data[:HEAD])
            yield _Piece(attachment.data, form, "", attachment.is_text)


def _assign(pieces: Iterator[_Piece], found: FeedbackParts) -> None:
    digest = sha256("\0".join(found.carrier.all("message-id")[:1]).encode())
    has_report = has_message = False
    for piece in pieces:
        if piece.form in _REPORT_FORMS and not has_report:
            has_report = True
            # A line of a header can be anything, the subject too.
            found.repairs = tuple(
                replace(repair, detail="") if repair.code == "broken-part-header" else repair
                for repair in piece.repairs
            )
            if _FIELD.search(piece.data):
                found.fields = HeaderFields(piece.data, all_lines=True)
            else:
                has_message = _assign_text(piece.data, found)
        elif (piece.form is Form.MAIL or piece.type in _MESSAGE_TYPES) and not has_message:
            has_message = True
            found.message = HeaderFields(piece.data)
        elif piece.is_text and not found.text:
            found.text = _words(piece.data)
        else:
            continue
        digest.update(b"\0" + piece.data.replace(b"\r\n", b"\n").strip())
    if not has_report:
        raise ReportError("no-feedback", "no part of it is a feedback report", outcome="not-a-report")
    found.content_sha256 = digest.hexdigest()


def _assign_text(data: bytes, found: FeedbackParts) -> bool:
    """Read a report that is a text; tells whether a copy of the message's header follows."""
    copy = _COPY.search(data)
    found.text = _words(data[: copy.start()] if copy else data)
    if copy:
        found.message = HeaderFields(data[copy.end() :])
    return copy is not None


def _words(data: bytes) -> str:
    return data[:_TEXT_OCTETS].decode("utf-8", "replace")
