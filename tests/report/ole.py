"""Writes OLE2 compound files ([MS-CFB], version 3) and Outlook messages in them, for tests."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Tree = Mapping[str, "bytes | Tree"]

_SECTOR, _MINI, _CUTOFF = 512, 64, 4096
_END, _FREE, _FAT, _NONE = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD, 0xFFFFFFFF
_DIFAT, _IN_HEADER, _IN_DIFAT = 0xFFFFFFFC, 109, 127
_STORAGE, _STREAM, _ROOT = 1, 2, 5


@dataclass
class _Entry:
    name: str
    type: int
    data: bytes = b""
    left: int = _NONE
    right: int = _NONE
    child: int = _NONE
    start: int = _END
    size: int = 0


@dataclass
class _Chains:
    """Data cut in sectors of one size, and the table that links them."""

    unit: int
    table: list[int] = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray)

    def add(self, data: bytes) -> int:
        start = len(self.table)
        count = -(-len(data) // self.unit)
        self.table += [*range(start + 1, start + count), _END]
        self.data += data.ljust(count * self.unit, b"\0")
        return start


def ole_file(tree: Tree) -> bytes:
    """Write a compound file of the streams (octets) and storages (trees) given."""
    entries = [_Entry("Root Entry", _ROOT)]
    entries[0].child = _add(tree, entries)
    mini, sectors = _Chains(_MINI), _Chains(_SECTOR)
    for entry in entries:
        if entry.data:
            entry.size = len(entry.data)
            entry.start = (mini if entry.size < _CUTOFF else sectors).add(entry.data)
    mini_fat_start, mini_fat_sectors = _END, 0
    if mini.table:
        entries[0].start, entries[0].size = sectors.add(bytes(mini.data)), len(mini.data)
        packed = _longs(mini.table)
        mini_fat_start, mini_fat_sectors = sectors.add(packed), len(packed) // _SECTOR
    directory = b"".join(map(_packed, entries))
    directory_start = sectors.add(directory.ljust(-(-len(directory) // _SECTOR) * _SECTOR, b"\0"))
    fat, difat, difat_sectors, fat_places = _allocation(sectors.table)
    header = struct.pack(
        "<8s16xHHHHH6xLLLLLLLLL",
        *(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0x3E, 3, 0xFFFE, 9, 6, 0, len(fat_places), directory_start),
        *(
            0,
            _CUTOFF,
            mini_fat_start,
            mini_fat_sectors,
            difat_sectors[0] if difat_sectors else _END,
            len(difat_sectors),
        ),
    )
    in_header = struct.pack("<109L", *(fat_places + [_FREE] * _IN_HEADER)[:_IN_HEADER])
    return header + in_header + bytes(sectors.data) + fat + difat


def _allocation(table: list[int]) -> tuple[bytes, bytes, list[int], list[int]]:
    """Give the FAT, the DIFAT, and the places of the sectors of both; they come after the others."""
    fat_count = difat_count = 0
    while fat_count * (_SECTOR // 4) < len(table) + fat_count + difat_count:
        fat_count += 1
        difat_count = max(0, -(-(fat_count - _IN_HEADER) // _IN_DIFAT))
    fat_places = [*range(len(table), len(table) + fat_count)]
    difat_places = [*range(len(table) + fat_count, len(table) + fat_count + difat_count)]
    fat = _longs([*table, *([_FAT] * fat_count), *([_DIFAT] * difat_count)])
    rest = fat_places[_IN_HEADER:]
    difat = b""
    for number in range(difat_count):
        listed = rest[number * _IN_DIFAT : (number + 1) * _IN_DIFAT]
        following = difat_places[number + 1] if number + 1 < difat_count else _END
        difat += struct.pack("<128L", *(listed + [_FREE] * _IN_DIFAT)[:_IN_DIFAT], following)
    return fat, difat, difat_places, fat_places


def _add(tree: Tree, entries: list[_Entry]) -> int:
    numbers = []
    for name in sorted(tree, key=lambda name: (len(name), name.upper())):
        numbers.append(len(entries))
        content = tree[name]
        if isinstance(content, bytes):
            entries.append(_Entry(name, _STREAM, content))
        else:
            entry = _Entry(name, _STORAGE)
            entries.append(entry)
            entry.child = _add(content, entries)
    return _balanced(numbers, entries)


def _balanced(numbers: Sequence[int], entries: list[_Entry]) -> int:
    if not numbers:
        return _NONE
    middle = len(numbers) // 2
    entry = entries[numbers[middle]]
    entry.left = _balanced(numbers[:middle], entries)
    entry.right = _balanced(numbers[middle + 1 :], entries)
    return numbers[middle]


def _packed(entry: _Entry) -> bytes:
    name = entry.name.encode("utf-16-le") + b"\0\0"
    links = (entry.left, entry.right, entry.child)
    return struct.pack("<64sHBBLLL36xLQ", name, len(name), entry.type, 1, *links, entry.start, entry.size)


def _longs(numbers: Sequence[int]) -> bytes:
    packed = struct.pack(f"<{len(numbers)}L", *numbers)
    return packed + b"\xff" * (-len(packed) % _SECTOR)


def outlook_file(*attachments: "tuple[str, bytes | Tree]", text: str = "") -> bytes:
    """Write a `.msg` file with attachments: name and octets, or the `message` that is embedded."""
    return ole_file(message(*attachments, text=text))


def message(*attachments: "tuple[str, bytes | Tree]", text: str = "") -> Tree:
    """Give the tree of a message ([MS-OXMSG] 2.2) with attachments."""
    tree: dict[str, bytes | Tree] = {"__properties_version1.0": bytes(32)}
    if text:
        tree["__substg1.0_1000001F"] = text.encode("utf-16-le")
    for number, (name, content) in enumerate(attachments):
        attachment: dict[str, bytes | Tree] = {"__properties_version1.0": bytes(8)}
        if name:
            attachment["__substg1.0_3707001F"] = name.encode("utf-16-le")
        attachment["__substg1.0_37010102" if isinstance(content, bytes) else "__substg1.0_3701000D"] = content
        tree[f"__attach_version1.0_#{number:08X}"] = attachment
    return tree
