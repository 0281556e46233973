"""
Outlook `.msg` files ([MS-OXMSG]): the attachments and the text of a message and of those embedded in it.

Read with `olefile`, which is not made for hostile files: the loops and sizes that a header can ask of it are bounded
here. Pure on octets.
"""

import io
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import olefile

from dmarcops.errors import UnpackError
from dmarcops.report.limits import MIB, Limits
from dmarcops.report.origin import shown
from dmarcops.report.streams import Budget

_DAMAGE = (OSError, ValueError, RecursionError)
"""What olefile raises for a file that is not what it should be."""

# [MS-OXPROPS]: a property is a stream named by its id and type; 001F is UTF-16, 001E an 8-bit encoding, 0102 binary.
_PROPERTY = "__substg1.0_"
_DATA = _PROPERTY + "37010102"
_EMBEDDED = _PROPERTY + "3701000D"
_TEXTS = {_PROPERTY + "1000001F": "utf-16-le", _PROPERTY + "1000001E": "latin-1"}
_NAMES = (("3707001F", "utf-16-le"), ("3707001E", "latin-1"), ("3704001F", "utf-16-le"), ("3704001E", "latin-1"))
_MESSAGE_MARK = ("__properties_version1.0",)
_ATTACHMENT = re.compile(r"__attach_version1\.0_#([0-9A-F]{8})", re.IGNORECASE)

_HEADER = struct.Struct("<30xHH10xL")  # [MS-CFB] 2.2: sector shift, mini sector shift, number of FAT sectors
_SHIFTS = ((9, 6), (12, 6))  # sectors of 512 or 4,096 octets, mini sectors of 64
_HEADER_FAT_SECTORS = 109
_ENTRY = 128
"""Octets of a directory entry ([MS-CFB] 2.6.1)."""

_Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Attachment:
    """
    An attachment or, `is_text`, the text of a message.

    `place` is where it stands, as of a MIME part: the text is `#1`, the first attachment `#2`. `depth` counts the
    messages around it. `problem` says why it was not read.
    """

    place: str
    depth: int
    data: bytes
    is_text: bool
    problem: UnpackError | None = None


class _BoundedFile(io.BytesIO):
    """A file in memory of which not much more is read than its size: more means that it has loops."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._left = len(data) + MIB

    def read(self, size: int | None = -1, /) -> bytes:
        chunk = super().read(size)
        self._left -= len(chunk)
        if self._left < 0:
            raise UnpackError("corrupt-msg", "an Outlook message whose sectors form loops")
        return chunk


class _Ole(olefile.OleFileIO):  # type: ignore[misc] # olefile ships no types
    """An OLE2 file whose directory is not larger than it may be."""

    def __init__(self, data: bytes, most_entries: int) -> None:
        self._most_entries = most_entries
        super().__init__(_BoundedFile(data))

    def loaddirectory(self, sect: int) -> None:
        """Load the directory, unless it is long: olefile compares every entry with every other."""
        entries, sector = 0, sect
        while sector < len(self.fat):
            entries += self.sectorsize // _ENTRY
            if entries > self._most_entries:
                raise UnpackError("too-many-members", f"more than {self._most_entries} entries in an Outlook message")
            sector = self.fat[sector]
        super().loaddirectory(sect)


class _File:
    """The streams of an OLE2 file by their paths."""

    def __init__(self, data: bytes, most_entries: int) -> None:
        _check_header(data)
        try:
            self._ole = _Ole(data, most_entries)
            self.paths = sorted(tuple(path) for path in self._ole.listdir())
        except _DAMAGE as error:
            raise _damaged(error) from error
        self._known = frozenset(self.paths)

    def __contains__(self, path: _Path) -> bool:
        return path in self._known

    def read(self, path: _Path) -> bytes:
        try:
            data: bytes = self._ole.openstream(list(path)).read()
        except _DAMAGE as error:
            raise _damaged(error) from error
        return data


def attachments(data: bytes, budget: Budget, depth: int) -> Iterator[Attachment]:
    """
    Give what a `.msg` file holds; nothing when it is another kind of OLE2 file.

    Args:
        data: The file.
        budget: Charged with one member an attachment.
        depth: How deep the message itself lies; what lies deeper than `Limits.mime_depth` is given as a problem.

    Raises:
        UnpackError: The file is damaged (`corrupt-msg`) or has too many members.
    """
    file = _File(data, budget.limits.members)
    if _MESSAGE_MARK not in file:
        return
    for path in file.paths:
        is_text = path[-1] in _TEXTS and path[-2:-1] in ((), (_EMBEDDED,))
        if is_text or path[-1] == _DATA:
            budget.spend_members()
            inner_depth = depth + path.count(_EMBEDDED)
            place = _place(path, is_text=is_text)
            try:
                _check_depth(inner_depth, budget.limits)
                name, octets = _text(file, path) if is_text else _attached(file, path)
            except UnpackError as problem:
                yield Attachment(place, inner_depth, b"", is_text, problem)
            else:
                yield Attachment(f"{place}/{name}" if name else place, inner_depth, octets, is_text)


def _place(path: _Path, *, is_text: bool) -> str:
    numbers = [int(match.group(1), 16) for match in map(_ATTACHMENT.fullmatch, path) if match]
    return "/".join((*(f"#{number + 2}" for number in numbers), *(("#1",) if is_text else ())))


def _check_depth(depth: int, limits: Limits) -> None:
    if depth > limits.mime_depth:
        raise UnpackError("mime-too-deep", f"messages nested more than {limits.mime_depth} deep")


def _text(file: _File, path: _Path) -> tuple[str, bytes]:
    return "", file.read(path).decode(_TEXTS[path[-1]], "replace").encode()


def _attached(file: _File, path: _Path) -> tuple[str, bytes]:
    name = ""
    for identity, encoding in _NAMES:
        name_path = (*path[:-1], _PROPERTY + identity)
        if name_path in file:
            name = shown(file.read(name_path).decode(encoding, "replace").rstrip("\0"))
            break
    return name, file.read(path)


def _check_header(data: bytes) -> None:
    # olefile allocates and loops as the header says.
    sector_shift, mini_shift, fat_sectors = _HEADER.unpack_from(data.ljust(_ENTRY, b"\0"))
    if (sector_shift, mini_shift) not in _SHIFTS:
        raise UnpackError("corrupt-msg", "an Outlook message with a damaged header")
    covered = 1 << (2 * sector_shift - 2)  # octets of the sectors that one FAT sector lists
    if fat_sectors > _HEADER_FAT_SECTORS + len(data) // covered:
        raise UnpackError("corrupt-msg", "an Outlook message whose header asks for more than there is")


def _damaged(error: Exception) -> UnpackError:
    return UnpackError("corrupt-msg", f"a damaged Outlook message: {error}")
