"""
From the octets of a mail or a file to the reports in it, decided by content alone (RFC 9990 sections 3.5.2 and 8.1).

Containers may lie in containers and mails in mails; each thing found is a `Payload`, each that should have been one and
is not, a `Rejected`. Never raises for what it is given, never looks at a name to decide, never writes. Does no I/O but
reading the file it is given.
"""

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from typing import BinaryIO

from dmarcops.errors import UnpackError
from dmarcops.report import mime, msg
from dmarcops.report.containers import Inflated, may_trail, tar_members, zip_members
from dmarcops.report.limits import MIB, Limits
from dmarcops.report.model import Kind, Repair
from dmarcops.report.origin import shown
from dmarcops.report.sniff import HEAD, Form, form_of, names_all
from dmarcops.report.streams import CHUNK, Budget, File, Memory, Meter, Octets, Source, in_memory, sha256_of

_SMALL = MIB
"""Octets up to which a file is read at once instead of in pieces."""
_NOT_A_REPORT = "not-a-report"


@dataclass(frozen=True, slots=True)
class Payload:
    """
    A report that was found, not yet parsed.

    `origin` is its place inside what was given, to be put after the name of that: empty for the thing itself, `#2` for
    the second MIME part (leaf parts, in document order), with the attachment's name as `#2/google.xml.gz`, `/name` for
    the member of an archive. Names are the sender's, safe to show and for nothing else. `open` gives its octets from
    the start, each time anew; reading them raises `UnpackError` where they turn out to be damaged, cut off or over a
    limit. A failure or feedback report is the whole mail.
    """

    origin: str
    kind: Kind
    open: Callable[[], BinaryIO] = field(repr=False)
    repairs: tuple[Repair, ...]


@dataclass(frozen=True, slots=True)
class Rejected:
    """
    Something that is no usable report, and why.

    `sha256` is that of its octets; when those could not be unpacked, that of what they are packed in. `code` is stable
    and machine-readable, `reason` for a person. `outcome` is `not-a-report`, `unsupported`, `corrupt` or `retry`.
    """

    origin: str
    sha256: str
    code: str
    reason: str
    outcome: str


def unpack(source: bytes | BinaryIO, *, limits: Limits | None = None) -> Iterator[Payload | Rejected]:
    """
    Give all reports in a mail, a file or an archive, in document order.

    Args:
        source: The octets, or a seekable binary file of them, which must stay open as long as payloads are read.
        limits: What it may cost; `Limits.bytes_out` is one budget for all payloads together.

    Yields:
        The reports, and everything that should have been one; when there is neither, one `Rejected` of the code
        `no-report`. A text of a mail or a picture in it is not worth a word.

    Raises:
        OSError: The file cannot be read.
    """
    limits = limits or Limits()
    unpacking = _Unpacking(limits)
    if isinstance(source, bytes):
        return unpacking.all_in(Memory(source))
    file = File(source, limits.mail_bytes)
    return unpacking.all_in(Memory(in_memory(file.octets(), _SMALL)) if file.size <= _SMALL else file)


class _Role(Enum):
    """Where a thing was found, which decides what is said when it is no report."""

    WHOLE = auto()
    MEMBER = auto()
    ATTACHMENT = auto()
    TEXT = auto()
    """The text of a mail, a picture in it, the litter of an archive program."""


_ACCOUNTED = {
    _Role.WHOLE: (Form.EMPTY, Form.MARKUP),
    _Role.MEMBER: (Form.EMPTY, Form.MARKUP, Form.UNKNOWN),
    _Role.ATTACHMENT: (Form.MARKUP,),
    _Role.TEXT: (),
}
_REASONS = {
    Form.EMPTY: ("empty", "it is empty"),
    Form.MARKUP: ("not-dmarc-xml", "an XML or HTML document that is no DMARC report"),
    Form.UNKNOWN: ("unrecognised", "neither XML nor a TLS report nor a mail nor an archive"),
}
_CONTAINERS = (Form.GZIP, Form.ZLIB, Form.ZIP, Form.TAR)
_FEEDBACK = (Form.FEEDBACK, Form.FAILURE)
_KINDS = {
    Form.AGGREGATE: Kind.AGGREGATE,
    Form.DAMAGED: Kind.AGGREGATE,
    Form.TLS: Kind.TLS,
    Form.FEEDBACK: Kind.FEEDBACK,
    Form.FAILURE: Kind.FAILURE,
}
_LITTER = re.compile(r"(?:^|/)(?:__MACOSX/|\._|\.DS_Store$|Thumbs\.db$|desktop\.ini$)")


@dataclass(slots=True)
class _Piece:
    """
    Something to be looked at.

    `octets` gives it as a stream; `source` is there when it can be read anywhere, and until then `around` is what it is
    packed in. `containers` and `depth` count the archives and the MIME levels around it, `held` the octets of archives
    around it that are in memory. `form` is given when it was looked at already. `is_suspect`: something may follow its
    end, which is worth a pass over all of it.
    """

    origin: str
    role: _Role
    octets: Callable[[Meter | None], Octets]
    meter: Meter
    source: Source | None = None
    around: "_Piece | None" = None
    containers: int = 0
    depth: int = 0
    held: int = 0
    repairs: tuple[Repair, ...] = ()
    form: Form | None = None
    is_suspect: bool = False
    _sha256: str = field(default="", init=False)

    @property
    def sha256(self) -> str:
        """The digest of its octets, or of those it is packed in."""
        if not self._sha256:
            self._sha256 = sha256_of(self.source) if self.source else self.around.sha256 if self.around else ""
        return self._sha256

    def rejected(self, error: UnpackError) -> Rejected:
        """Say that it is no usable report."""
        return Rejected(self.origin, self.sha256, error.code, str(error), error.outcome)


_Found = Payload | Rejected | _Piece


class _Unpacking:
    """One call of `unpack`: what may still be spent, and how each form is opened."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._budget = Budget(limits)

    def all_in(self, source: Source) -> Iterator[Payload | Rejected]:
        """Look at everything in the source, depth first and without recursion, since the sender chooses the depth."""
        whole = _Piece("", _Role.WHOLE, source.octets, Meter(self._budget), source)
        waiting = [(whole, self._found_in(whole))]
        is_empty_handed = True
        while waiting:
            piece, inside = waiting[-1]
            found: _Found | None
            try:
                found = next(inside, None)
            except UnpackError as error:
                found = piece.rejected(error)
            if found is None:
                waiting.pop()
            elif isinstance(found, _Piece):
                waiting.append((found, self._found_in(found)))
            else:
                is_empty_handed = False
                yield found
        if is_empty_handed:
            yield whole.rejected(UnpackError("no-report", "nothing in it is a report", outcome=_NOT_A_REPORT))

    def _found_in(self, piece: _Piece) -> Iterator[_Found]:
        form = piece.form or self._form(piece)
        if form in _KINDS:
            yield from self._report(piece, form)
        elif form in _CONTAINERS:
            yield from self._container(piece, form)
        elif form is Form.FOREIGN:
            raise UnpackError("unknown-container", "an archive of a kind that is not opened", outcome="unsupported")
        elif form is Form.OLE:
            yield from self._outlook(piece)
        elif form is Form.MAIL and piece.role is not _Role.TEXT:
            yield from self._mail(piece)
        elif form in _ACCOUNTED[piece.role]:
            code, reason = _REASONS[form]
            raise UnpackError(code, reason, outcome=_NOT_A_REPORT)

    def _form(self, piece: _Piece) -> Form:
        if isinstance(piece.source, Memory):
            return form_of(piece.source.head(HEAD))
        stream = piece.octets(None if piece.source else piece.meter)
        head = b""
        while len(head) <= HEAD and (chunk := stream.take(HEAD + 1 - len(head))):
            head += chunk
        if len(head) <= HEAD:
            piece.source = Memory(head)  # all of it, so that it need not be unpacked again
        while piece.is_suspect and stream.take(CHUNK):
            pass
        if stream.trailing:
            piece.repairs += (Repair("trailing-bytes", "", stream.trailing.hex(" ")),)
        return form_of(head[:HEAD])

    def _report(self, piece: _Piece, form: Form) -> Iterator[_Found]:
        if isinstance(piece.source, Memory):
            if piece.role is _Role.TEXT and form is Form.DAMAGED and not names_all(piece.source.head(HEAD)):
                return  # a mail that is about reports
            piece.meter.reached(piece.source.size)
            yield Payload(piece.origin, _KINDS[form], _in_memory_opener(piece.source), piece.repairs)
        else:
            yield Payload(piece.origin, _KINDS[form], partial(_buffered, piece.octets, piece.meter), piece.repairs)

    def _container(self, piece: _Piece, form: Form) -> Iterator[_Found]:
        if piece.containers >= self._limits.nesting:
            raise UnpackError("nested-too-deep", f"more than {self._limits.nesting} containers in one another")
        source = self._seekable(piece)
        if form in (Form.GZIP, Form.ZLIB):
            inner = self._packed(piece, piece.origin, partial(_inflated, source, form, self._budget))
            inner.is_suspect = form is Form.GZIP and may_trail(source)
            yield inner
            return
        for member in (zip_members if form is Form.ZIP else tar_members)(source, self._budget):
            inner = self._packed(piece, f"{piece.origin}/{shown(member.name) or member.number}", member.octets)
            if _LITTER.search(member.name):
                inner.role = _Role.TEXT
            yield inner.rejected(member.problem) if member.problem else inner

    def _packed(self, piece: _Piece, origin: str, octets: Callable[[Meter | None], Octets]) -> _Piece:
        return _Piece(
            origin,
            _Role.MEMBER,
            octets,
            Meter(self._budget),
            around=piece,
            containers=piece.containers + 1,
            depth=piece.depth,
            held=piece.held,
            repairs=piece.repairs,
        )

    def _mail(self, piece: _Piece) -> Iterator[_Found]:
        mail = self._whole(piece)
        for part in mime.split(mail, self._budget, piece.depth):
            place = f"#{part.number}"
            if part.problem:
                yield self._part(piece, place, Memory(mail.data, part.start, part.stop)).rejected(part.problem)
                continue
            body = mime.read(mail.data, part)
            if body.form in _FEEDBACK:
                yield Payload(piece.origin, _KINDS[body.form], _in_memory_opener(mail), piece.repairs)
                return  # RFC 5965 section 2: the parts are one report
            if body.form is not Form.UNKNOWN:
                inner = self._part(piece, _joined(place, part.header.name), body.octets)
                inner.role = _Role.TEXT if part.header.is_text else _Role.ATTACHMENT
                inner.form, inner.depth = body.form, part.depth + 1
                inner.repairs += body.repairs
                yield self._held(inner, body.copied)

    def _outlook(self, piece: _Piece) -> Iterator[_Found]:
        mail = self._whole(piece)
        for attachment in msg.attachments(mail.head(mail.size), self._budget, piece.depth):
            inner = self._part(piece, attachment.place, Memory(attachment.data))
            if attachment.problem:
                inner.source, inner.around = None, piece
                yield inner.rejected(attachment.problem)
                continue
            form = form_of(attachment.data[:HEAD])
            if form in _FEEDBACK:
                yield Payload(piece.origin, _KINDS[form], _in_memory_opener(mail), piece.repairs)
                return
            inner.role = _Role.TEXT if attachment.is_text else _Role.ATTACHMENT
            inner.form, inner.depth = form, attachment.depth + 1
            yield self._held(inner, len(attachment.data))

    def _part(self, piece: _Piece, place: str, source: Memory) -> _Piece:
        return _Piece(
            _joined(piece.origin, place),
            _Role.ATTACHMENT,
            source.octets,
            Meter(self._budget),
            source,
            containers=piece.containers,
            held=piece.held,
            repairs=piece.repairs,
        )

    def _held(self, piece: _Piece, octets: int) -> _Piece | Rejected:
        piece.held += octets
        if piece.held > self._limits.mail_bytes:
            return piece.rejected(UnpackError("too-big", f"more than {self._limits.mail_bytes} octets in memory"))
        return piece

    def _whole(self, piece: _Piece) -> Memory:
        source = self._seekable(piece)
        if source.size > self._limits.mail_bytes:
            raise UnpackError("too-big", f"a mail of more than {self._limits.mail_bytes} octets")
        return source if isinstance(source, Memory) else Memory(in_memory(source.octets(), source.size))

    def _seekable(self, piece: _Piece) -> Source:
        if piece.source is None:
            data = in_memory(piece.octets(piece.meter), self._limits.mail_bytes - piece.held)
            piece.source = Memory(data)
            piece.held += len(data)
        return piece.source


def _inflated(source: Source, form: Form, budget: Budget, meter: Meter | None) -> Octets:
    return Inflated(source.octets(), meter, is_gzip=form is Form.GZIP, most_members=budget.limits.members)


def _buffered(octets: Callable[[Meter | None], Octets], meter: Meter | None) -> BinaryIO:
    return io.BufferedReader(octets(meter), CHUNK)


def _in_memory_opener(source: Memory) -> Callable[[], BinaryIO]:
    if source.size == len(source.data):
        return partial(io.BytesIO, source.data)
    return partial(_buffered, source.octets, None)


def _joined(*steps: str) -> str:
    return "/".join(step for step in steps if step)
