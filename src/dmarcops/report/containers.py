"""
gzip, zlib, zip and tar: bounded streams over what they hold. Sizes that a header declares are never trusted.

Every damage is an `UnpackError` with a code of its own; a member that cannot be read does not stop the others. Does no
I/O but reading the file it is given.
"""

import bz2
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO

from dmarcops.errors import UnpackError
from dmarcops.report.sniff import HEAD, TAR_BLOCK, is_tar_header
from dmarcops.report.streams import CHUNK, Budget, Meter, Octets, Source

_GZIP_MAGIC = b"\x1f\x8b"
_ZIP_ENTRY = b"PK\x01\x02"
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # APPNOTE.TXT 4.4.4: encrypted, strong encryption, masked headers
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, the lengths of name and extra field
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, ValueError, OverflowError)
"""What the standard library raises for a zip archive that is not what it should be."""
_TAR_FILE_TYPES = (b"0", b"\0", b"7")
_MOST_DEFLATED = 1032
"""Octets that deflate can make of one (zlib's technical notes)."""
_QUOTED = 16
"""Octets of trailing data that a repair quotes."""


@dataclass(frozen=True, slots=True)
class Member:
    """
    A member of an archive: its name as it stands there, its number from 1, and its octets as a new stream each time.

    `problem` says why it cannot be read; then `octets` is not to be called.
    """

    name: str
    number: int
    octets: Callable[[Meter | None], Octets]
    problem: UnpackError | None = None


class Inflated(Octets):
    """
    What a gzip file (RFC 1952, any number of members) or a zlib stream (RFC 1950) holds.

    `take` raises `truncated` (outcome `retry`) where the data ends early and `corrupt-gzip` or `corrupt-zlib` where it
    or its checksum is wrong.
    """

    def __init__(self, packed: Octets, meter: Meter | None, *, is_gzip: bool, most_members: int) -> None:
        super().__init__(meter)
        self._packed = packed
        self._is_gzip = is_gzip
        self._format, self._wbits = ("gzip", 31) if is_gzip else ("zlib", 15)
        self._inflater = zlib.decompressobj(self._wbits)
        self._pending = b""
        self._members_left = most_members
        self._has_ended = False

    def _next(self, size: int) -> bytes:
        while not self._has_ended:
            packed = self._pending or self._packed.take(CHUNK)
            if not packed:
                raise UnpackError("truncated", f"the {self._format} data ends too early", outcome="retry")
            try:
                chunk = self._inflater.decompress(packed, size)
            except zlib.error as error:
                raise UnpackError(f"corrupt-{self._format}", f"damaged {self._format} data: {error}") from error
            self._pending = self._inflater.unconsumed_tail
            if self._inflater.eof:
                self._end_member(self._inflater.unused_data)
            if chunk:
                return chunk
        return b""

    def _end_member(self, rest: bytes) -> None:
        if len(rest) < len(_GZIP_MAGIC):
            rest += self._packed.take(CHUNK)
        if not self._is_gzip or not rest.startswith(_GZIP_MAGIC):
            self._has_ended = True
            self.trailing = rest[:_QUOTED]
            return
        # Each member costs a decompressor and a copy of what is left of the chunk.
        self._members_left -= 1
        if self._members_left < 0:
            raise UnpackError("too-many-members", "too many gzip members")
        self._inflater = zlib.decompressobj(self._wbits)
        self._pending = rest


def may_trail(source: Source) -> bool:
    """
    Tell whether a gzip file that holds more than `HEAD` octets may have something after its end.

    Its last four octets should be the size of what it holds (RFC 1952 section 2.3.1). Only when they cannot be, or when
    it ends like a line, is it worth a pass over all of it to know.
    """
    last = source.octets(start=max(0, source.size - 4)).take(4)
    is_plausible = max(HEAD, source.size // 2) < int.from_bytes(last, "little") <= source.size * _MOST_DEFLATED
    return last.endswith((b"\n", b"\r")) or not is_plausible


def zip_members(source: Source, budget: Budget) -> Iterator[Member]:
    """
    Give the members of a zip archive, folders left out.

    Raises:
        UnpackError: The archive has no directory (`truncated`, to be tried again), a damaged one (`corrupt-zip`), one
            of a kind that is not known (`unknown-container`), or too many members.
    """
    _check_entry_count(source, budget)
    archive = _Archive(source, _open_zip(source), budget.limits.mail_bytes)
    budget.spend_members(len(archive.file.filelist))
    for number, info in enumerate(archive.file.filelist, 1):
        if info.filename.endswith("/"):
            continue
        problem = None
        if info.flag_bits & _ENCRYPTED:
            problem = UnpackError("encrypted", "an encrypted member of a zip archive", outcome="unsupported")
        yield Member(info.filename, number, partial(archive.octets, info), problem)


def _check_entry_count(source: Source, budget: Budget) -> None:
    # The standard library makes an object of every entry before it tells how many there are, and the stated number
    # is the sender's. An entry cannot be without its signature.
    most = budget.members_left
    count, end = 0, b""
    stream = source.octets()
    while count <= most and (chunk := stream.take(CHUNK)):
        count += (end + chunk).count(_ZIP_ENTRY)
        end = chunk[-3:]
    if count > most:
        budget.spend_members(count)


def _open_zip(source: Source) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(source.file())
    except NotImplementedError as error:  # zipfile's, of a kind of archive that it does not know
        raise UnpackError("unknown-container", f"unknown kind of zip: {error}", outcome="unsupported") from error
    except _DAMAGE as error:
        if b"PK\x05\x06" not in _tail(source):
            raise UnpackError("truncated", "the zip archive ends before its directory", outcome="retry") from error
        raise UnpackError("corrupt-zip", f"damaged zip archive: {error}") from error


def _tail(source: Source) -> bytes:
    # The end record is 22 octets and a comment of up to 65,535 (APPNOTE.TXT 4.3.16).
    return source.octets(start=max(0, source.size - 65_557)).take(65_557)


@dataclass(frozen=True, slots=True)
class _Archive:
    source: Source
    file: zipfile.ZipFile
    most_memory: int

    def octets(self, info: zipfile.ZipInfo, meter: Meter | None) -> Octets:
        if info.compress_type in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
            return _BoundedMember(self, info, meter)
        return _ZipMember(self.file, info, meter)

    def packed(self, info: zipfile.ZipInfo) -> Octets:
        """Give a member as it is packed (APPNOTE.TXT 4.3.7)."""
        header = self.source.octets(start=info.header_offset).take(_LOCAL_HEADER.size)
        signature, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        if signature != b"PK\x03\x04":
            raise zipfile.BadZipFile("no local header")
        start = info.header_offset + len(header) + name_length + extra_length
        return self.source.octets(start=start, stop=min(start + info.compress_size, self.source.size))


class _ZipMember(Octets):
    """The content of a stored or deflated zip member, its checksum tested at the end."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, meter: Meter | None) -> None:
        super().__init__(meter)
        self._archive = archive
        self._info = info
        self._file: IO[bytes] | None = None

    def _next(self, size: int) -> bytes:
        try:
            if self._file is None:
                self._file = self._archive.open(self._info)
            return self._file.read(min(size, CHUNK))
        except NotImplementedError as error:  # zipfile's, of a compression that it does not know
            message = f"a zip member packed in an unknown way: {error}"
            raise UnpackError("unknown-container", message, outcome="unsupported") from error
        except _DAMAGE as error:
            raise UnpackError("corrupt-zip", f"a damaged zip member: {error}") from error


class _BoundedMember(Octets):
    """
    The content of a zip member packed with bzip2 or LZMA, its checksum tested at the end.

    The standard library's `zipfile` inflates these without a bound, and bzip2 makes gigabytes of a few octets.
    """

    def __init__(self, archive: _Archive, info: zipfile.ZipInfo, meter: Meter | None) -> None:
        super().__init__(meter)
        self._archive = archive
        self._info = info
        self._packed: Octets | None = None
        self._checksum = 0

    def _next(self, size: int) -> bytes:
        try:
            if self._packed is None:
                self._packed = self._archive.packed(self._info)
                self._decompressor = self._new_decompressor(self._packed)
            chunk = self._inflated(self._packed, size)
        except _DAMAGE as error:
            raise UnpackError("corrupt-zip", f"a damaged zip member: {error}") from error
        except OSError as error:
            if error.errno is not None:
                raise  # the file itself; bzip2 raises this class for its data
            raise UnpackError("corrupt-zip", f"a damaged zip member: {error}") from error
        self._checksum = zlib.crc32(chunk, self._checksum)
        if not chunk and self._checksum != self._info.CRC:
            raise UnpackError("corrupt-zip", "a damaged zip member: bad checksum")
        return chunk

    def _inflated(self, packed: Octets, size: int) -> bytes:
        while not self._decompressor.eof:
            octets = packed.take(CHUNK) if self._decompressor.needs_input else b""
            chunk = self._decompressor.decompress(octets, size)
            if chunk or (self._decompressor.needs_input and not octets):
                return chunk
        return b""

    def _new_decompressor(self, packed: Octets) -> bz2.BZ2Decompressor | lzma.LZMADecompressor:
        if self._info.compress_type == zipfile.ZIP_BZIP2:
            return bz2.BZ2Decompressor()
        # APPNOTE.TXT 5.8.8: version and size of the properties, two octets each; how to decode, and the dictionary.
        coding, dictionary = struct.unpack("<4xBL", packed.take(9))
        if dictionary > self._archive.most_memory:
            raise UnpackError("too-big", f"a zip member that needs {dictionary} octets of memory")
        options = {"lc": coding % 9, "lp": coding // 9 % 5, "pb": coding // 45, "dict_size": dictionary}
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA1} | options])


def tar_members(source: Source, budget: Budget) -> Iterator[Member]:
    """
    Give the files of a tar archive (POSIX.1-1988 section 10.1.1 and what has followed it).

    Read here and not by `tarfile`, which in the supported Python versions can be made to loop or to take quadratic time
    (CVE-2024-6232, CVE-2025-8194). Long names are for showing only, so their extension headers are skipped.

    Raises:
        UnpackError: A header is damaged (`corrupt-tar`), a member is cut off (`truncated`), or there are too many.
    """
    at, number = 0, 0
    while any(header := source.octets(start=at).take(TAR_BLOCK)):
        if len(header) < TAR_BLOCK:
            raise UnpackError("truncated", "the tar archive ends within a header", outcome="retry")
        if not is_tar_header(header):
            raise UnpackError("corrupt-tar", "a damaged header in a tar archive")
        budget.spend_members()
        number += 1
        start = at + TAR_BLOCK
        stop = start + _tar_size(header[124:136])
        name = header[:100].partition(b"\0")[0].decode("utf-8", "replace")
        if header[156:157] in _TAR_FILE_TYPES and not name.endswith("/"):
            if stop > source.size:
                raise UnpackError("truncated", "the tar archive ends within a member", outcome="retry")
            yield Member(name, number, partial(source.octets, start=start, stop=stop))
        at = stop + -stop % TAR_BLOCK


def _tar_size(field: bytes) -> int:
    if field[:1] == b"\x80":  # GNU: a binary number, for sizes from 8 GiB
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not digits:
        return 0
    if digits.strip(b"01234567"):
        raise UnpackError("corrupt-tar", "a damaged size in a tar archive")
    return int(digits, 8)
