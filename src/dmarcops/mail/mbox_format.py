"""Where the mails of an mbox begin and end (RFC 4155). Reads the file it is given, and nothing else."""

import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_START = re.compile(rb"From \S+ .*\d\d:\d\d.*\d{4}")
_LINE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Span:
    """A mail of an mbox: its `From ` line is at `line`, its octets are from `start` to before `stop`."""

    line: int
    start: int
    stop: int


def is_mbox(file: BinaryIO) -> bool:
    """Tell whether a file, read from its start, is an mbox."""
    return _START.match(file.readline(_LINE)) is not None


def mails(file: BinaryIO, position: int = 0) -> Iterator[Span]:
    """
    Give the mails of an mbox from a position on: each begins with a `From ` line at the start or after an empty line.

    What stands before the first such line is given as a mail too, without such a line.
    """
    file.seek(position)
    line_at = start = position
    is_after_blank = is_line_start = True
    while line := file.readline(_LINE):
        if is_line_start and is_after_blank and _START.match(line):
            if position > line_at:
                yield Span(line_at, start, position)
            line_at, start = position, position + len(line)
        position += len(line)
        is_after_blank = is_line_start and not line.strip(b"\r\n")
        is_line_start = line.endswith(b"\n")
    if position > line_at:
        yield Span(line_at, start, position)


class Part(io.RawIOBase):
    """A part of a file, as a file."""

    def __init__(self, path: Path, start: int, stop: int) -> None:
        self._file = path.open("rb", buffering=0)
        self._start, self._stop = start, stop
        self._file.seek(start)

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int | None:
        """Read the next octets of the part."""
        view = memoryview(buffer)
        return self._file.readinto(view[: max(0, self._stop - self._file.tell())])

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place in the part."""
        base = {os.SEEK_SET: self._start, os.SEEK_CUR: self._file.tell(), os.SEEK_END: self._stop}[whence]
        return self._file.seek(max(self._start, base + offset)) - self._start

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
