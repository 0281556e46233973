"""
The marked block of a configuration file, in which dmarcops writes, and the lines outside, which it only reads.

::

    # BEGIN dmarcops
    one line for each domain
    # END dmarcops

A change replaces one line of the block, or adds one. Every other octet of the file stays: comments, foreign lines, the
ends of lines as they are (LF or CRLF), a last line without an end, and any encoding in which ASCII is ASCII. Does no
I/O.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from dmarcops.errors import UnsafeChangeError

BEGIN = b"# BEGIN dmarcops"
END = b"# END dmarcops"

_LINE = re.compile(rb"[^\n]*\n|[^\n]+")
_BOM = b"\xef\xbb\xbf"


class Place(Enum):
    """Where a line stands."""

    BEFORE = "before the block"
    INSIDE = "in the block"
    AFTER = "after the block"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file, counted from 1, without its end; octets beyond ASCII are read as Latin-1, so none is lost."""

    number: int
    text: str
    place: Place


Predicate = Callable[[Line], bool]


@dataclass(frozen=True, slots=True)
class _Parts:
    """The lines of a file with their ends; `begin` and `end` are the indexes of the markers, if there are any."""

    lines: list[bytes]
    begin: int | None
    end: int

    def place(self, index: int) -> Place:
        if self.begin is None or index < self.begin:
            return Place.BEFORE
        return Place.INSIDE if index < self.end else Place.AFTER


def read(data: bytes, name: str) -> Iterator[Line]:
    """
    Give the lines of a file, without the two markers.

    Args:
        data: The file.
        name: What errors call it.

    Raises:
        UnsafeChangeError: Its markers are not one pair, or it is text in which ASCII is not ASCII.
    """
    parts = _split(data, name)
    for index, line in enumerate(parts.lines):
        if not _is_marker(line):
            yield Line(index + 1, _text(line), parts.place(index))


def refuse_outside(data: bytes, defines: Predicate, *, name: str, what: str) -> None:
    """
    See that no line outside the block defines what only the block may.

    Args:
        data: The file.
        defines: Tells whether a line does.
        name: What errors call the file.
        what: What it would define, for the error.

    Raises:
        UnsafeChangeError: One does.
    """
    for line in read(data, name):
        if line.place is not Place.INSIDE and defines(line):
            raise UnsafeChangeError(
                "outside-definition",
                f"{name}, line {line.number}, defines {what} outside the dmarcops block",
                hint="move that line between # BEGIN dmarcops and # END dmarcops, or take it away",
            )


def put(data: bytes, text: str, is_former: Predicate, *, name: str, at_top: bool = False) -> bytes:
    """
    Make `text` a line of the block: in the place of the one that it replaces, or else as its last.

    Args:
        data: The file.
        text: The line, in ASCII, without an end.
        is_former: Tells whether a line is the one to be replaced; asked of the lines of the block only.
        name: What errors call the file.
        at_top: A block that is not there yet comes first in the file, not last.

    Raises:
        UnsafeChangeError: More than one line would be replaced, or the markers are not one pair.
    """
    parts = _split(data, name)
    lines = list(parts.lines)
    ends = (_end_of(lines[0]) if lines else b"") or b"\n"
    line = text.encode("ascii")
    if parts.begin is None:
        return _with_block(lines, line, ends=ends, at_top=at_top)
    former = [
        index
        for index in range(parts.begin + 1, parts.end)
        if is_former(Line(index + 1, _text(lines[index]), Place.INSIDE))
    ]
    if len(former) > 1:
        numbers = " and ".join(str(index + 1) for index in former)
        raise UnsafeChangeError("ambiguous", f"{name}: lines {numbers} define the same", hint="take all but one away")
    if former:
        lines[former[0]] = line + _end_of(lines[former[0]])
    else:
        lines.insert(parts.end, line + ends)
    return b"".join(lines)


def _with_block(lines: list[bytes], line: bytes, *, ends: bytes, at_top: bool) -> bytes:
    block = [BEGIN + ends, line + ends, END + ends]
    if at_top:
        mark = _BOM if lines and lines[0].startswith(_BOM) else b""
        return mark + b"".join(block) + b"".join(lines)[len(mark) :]
    if lines and not lines[-1].endswith(b"\n"):
        block.insert(0, ends)
    return b"".join([*lines, *block])


def _split(data: bytes, name: str) -> _Parts:
    if b"\0" in data:
        raise UnsafeChangeError("encoding", f"{name} is no text in ASCII or a superset of it (UTF-16?)")
    lines = _LINE.findall(data)
    markers = [(index, _text(line).strip()) for index, line in enumerate(lines) if _is_marker(line)]
    if not markers:
        return _Parts(lines, None, len(lines))
    if [text for _, text in markers] != [BEGIN.decode(), END.decode()]:
        numbers = ", ".join(str(index + 1) for index, _ in markers)
        raise UnsafeChangeError(
            "block",
            f"{name}: the markers in lines {numbers} are not one pair",
            hint="there must be one # BEGIN dmarcops, and one # END dmarcops below it",
        )
    return _Parts(lines, markers[0][0], markers[1][0])


def _is_marker(line: bytes) -> bool:
    return _text(line).strip() in {BEGIN.decode(), END.decode()}


def _text(line: bytes) -> str:
    return line.removeprefix(_BOM).decode("latin-1").rstrip("\r\n")


def _end_of(line: bytes) -> bytes:
    if line.endswith(b"\r\n"):
        return b"\r\n"
    return b"\n" if line.endswith(b"\n") else b""
