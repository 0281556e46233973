"""
Bounded streams: octets of a source, or unpacked from it, counted against what one input may cost.

A budget belongs to one source, a meter to one payload: what a payload gave is charged once, however often it is opened.
Does no I/O but reading the file it is given.
"""

import hashlib
import io
from abc import abstractmethod
from typing import TYPE_CHECKING, BinaryIO, Protocol

from dmarcops.errors import UnpackError
from dmarcops.report.limits import KIB, Limits

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK = 64 * KIB
"""Octets read at a time."""


class Budget:
    """What one source has cost so far, all its payloads together."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._octets = 0
        self._members = 0

    def spend_octets(self, count: int) -> None:
        """
        Count octets that were unpacked.

        Raises:
            UnpackError: They are over `Limits.bytes_out` (`too-big-unpacked`).
        """
        self._octets += count
        if self._octets > self.limits.bytes_out:
            raise UnpackError("too-big-unpacked", f"unpacks to more than {self.limits.bytes_out} octets")

    def spend_members(self, count: int = 1) -> None:
        """
        Count members of an archive or parts of a mail.

        Raises:
            UnpackError: They are over `Limits.members` (`too-many-members`).
        """
        self._members += count
        if self._members > self.limits.members:
            raise UnpackError("too-many-members", f"more than {self.limits.members} members or parts")

    @property
    def members_left(self) -> int:
        """How many members may still come."""
        return max(0, self.limits.members - self._members)


class Meter:
    """Charges the octets of one payload to the budget of its source, each once."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._charged = 0

    def reached(self, position: int) -> None:
        """
        Note how far the payload has been read.

        Raises:
            UnpackError: The source is over `Limits.bytes_out`.
        """
        if position > self._charged:
            count = position - self._charged
            self._charged = position
            self._budget.spend_octets(count)


class Octets(io.RawIOBase):
    """A stream that is read forwards, charged to a meter if there is one; `take` is its quick way to read."""

    trailing = b""
    """The start of what follows the end of packed data, known when the end was read."""

    def __init__(self, meter: Meter | None) -> None:
        super().__init__()
        self._meter = meter
        self._taken = 0

    @abstractmethod
    def _next(self, size: int) -> bytes:
        """Give the next octets, at most `size` and at least one, or none at the end."""

    def take(self, size: int) -> bytes:
        """
        Give the next octets, at most `size` and at least one, or none at the end.

        Raises:
            UnpackError: What is read is damaged or over a limit.
        """
        chunk = self._next(size)
        if self._meter is not None:
            self._taken += len(chunk)
            self._meter.reached(self._taken)
        return chunk

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Read as `io.RawIOBase` has it; raises what `take` raises."""
        view = memoryview(buffer)
        chunk = self.take(len(view))
        view[: len(chunk)] = chunk
        return len(chunk)


class Seekable(Protocol):
    """What the standard library's archive readers need of a file."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place."""
        ...

    def tell(self) -> int:
        """Say where it is."""
        ...

    def read(self, size: int = -1, /) -> bytes:
        """Read on from there."""
        ...


class Source(Protocol):
    """Octets that can be read anywhere, any number of times."""

    size: int

    def octets(self, meter: Meter | None = None, start: int = 0, stop: int | None = None) -> Octets:
        """Give the octets from `start` to before `stop` as a stream of its own."""
        ...

    def file(self) -> Seekable:
        """Give the octets as a file that can be read and sought in."""
        ...


class Memory:
    """Octets held in memory: `data` from `start` to before `stop`, without a copy."""

    def __init__(self, data: bytes, start: int = 0, stop: int | None = None) -> None:
        self.data = data
        self.start = start
        self.stop = len(data) if stop is None else stop
        self.size = self.stop - start

    def head(self, size: int) -> bytes:
        """Give the first octets, at most `size`."""
        return self.data[self.start : min(self.stop, self.start + size)]

    def octets(self, meter: Meter | None = None, start: int = 0, stop: int | None = None) -> Octets:
        """Give the octets from `start` to before `stop` as a stream of its own."""
        return _MemoryOctets(self.data, meter, self.start + start, self.stop if stop is None else self.start + stop)

    def file(self) -> Seekable:
        """Give the octets as a file that can be read and sought in."""
        return io.BytesIO(self.data) if self.size == len(self.data) else _BoundedFile(self, self.size)


class File:
    """
    A source that is an open file; every stream over it has its own position.

    Args:
        file: Seekable; stays the caller's, who must keep it open as long as payloads are read.
        most: Octets that may be asked for in one read of `file()`, since a hostile header can ask for any number.
    """

    def __init__(self, file: BinaryIO, most: int) -> None:
        self._file = file
        self._most = most
        self.size = file.seek(0, io.SEEK_END)

    def octets(self, meter: Meter | None = None, start: int = 0, stop: int | None = None) -> Octets:
        """Give the octets from `start` to before `stop` as a stream of its own."""
        return _FileOctets(self._file, meter, start, self.size if stop is None else stop)

    def file(self) -> Seekable:
        """Give the octets as a file that can be read and sought in."""
        return _BoundedFile(self, self._most)


class _MemoryOctets(Octets):
    def __init__(self, data: bytes, meter: Meter | None, start: int, stop: int) -> None:
        super().__init__(meter)
        self._data = data
        self._at = start
        self._stop = stop

    def _next(self, size: int) -> bytes:
        chunk = self._data[self._at : max(self._at, min(self._at + size, self._stop))]
        self._at += len(chunk)
        return chunk


class _FileOctets(Octets):
    def __init__(self, file: BinaryIO, meter: Meter | None, start: int, stop: int) -> None:
        super().__init__(meter)
        self._file = file
        self._at = start
        self._stop = stop

    def _next(self, size: int) -> bytes:
        left = self._stop - self._at
        if left <= 0:
            return b""
        self._file.seek(self._at)
        chunk = self._file.read(min(size, left))
        self._at += len(chunk)
        return chunk


class _BoundedFile:
    """A source as a file, with a limit on what is read at once."""

    def __init__(self, source: Source, most: int) -> None:
        self._source = source
        self._most = most
        self._at = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        # Before the start is what it is for io.BytesIO.
        if whence == io.SEEK_SET and offset < 0:
            raise ValueError("a place before the start of the file")
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._source.size}[whence])
        return self._at

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        left = max(0, self._source.size - self._at)
        wanted = left if size < 0 else min(size, left)
        if wanted > self._most:
            raise UnpackError("too-big", f"a directory of more than {self._most} octets")
        chunk = self._source.octets(start=self._at).take(wanted)
        self._at += len(chunk)
        return chunk


def sha256_of(source: Source) -> str:
    """Give the SHA-256 of all octets of the source, in hexadecimal."""
    digest = hashlib.sha256()
    stream = source.octets()
    while chunk := stream.take(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def in_memory(stream: Octets, most: int) -> bytes:
    """
    Read all of a stream.

    Raises:
        UnpackError: It is longer than `most` octets (`too-big`), or what reading it raises.
    """
    held = io.BytesIO()
    while chunk := stream.take(CHUNK):
        if held.tell() + len(chunk) > most:
            raise UnpackError("too-big", f"more than {most} octets to be held in memory")
        held.write(chunk)
    return held.getvalue()
