"""gzip, zlib, zip and tar: what they give, and what they raise when they are damaged or over a limit."""

import gzip
import io
import random
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import pytest

from dmarcops.errors import UnpackError
from dmarcops.report.containers import Inflated, Member, may_trail, tar_members, zip_members
from dmarcops.report.limits import Limits
from dmarcops.report.streams import Budget, File, Memory, Meter, Octets, in_memory, sha256_of
from report.build import REPORT, Outcome, mail, outcomes, part, report, tarred, zipped

TEXT = b"Some text that is packed. " * 8_000


def budget(limits: Limits | None = None) -> Budget:
    return Budget(limits or Limits())


def inflated(packed: bytes, limits: Limits | None = None, *, is_gzip: bool = True) -> Inflated:
    spent = budget(limits)
    most_members = spent.limits.members
    return Inflated(Memory(packed).octets(), Meter(spent), is_gzip=is_gzip, most_members=most_members)


def content(member: Member) -> bytes:
    return in_memory(member.octets(Meter(budget())), len(TEXT))


def code_of(stream: Octets) -> str:
    with pytest.raises(UnpackError) as caught:
        in_memory(stream, 10 * len(TEXT))
    return caught.value.code


def test_inflated_is_a_raw_stream() -> None:
    stream = inflated(gzip.compress(TEXT))
    assert stream.readable()
    with io.BufferedReader(stream) as buffered:
        assert buffered.read() == TEXT
        assert buffered.read() == b""


@pytest.mark.parametrize("size", [1, 7, 1_000_000])
def test_inflated_never_gives_more_than_was_asked_for(size: int) -> None:
    stream = inflated(gzip.compress(TEXT[:3_000]))
    chunks = list(iter(lambda: stream.take(size), b""))
    assert b"".join(chunks) == TEXT[:3_000]
    assert max(map(len, chunks)) <= size


def test_inflated_finds_the_next_member_across_a_chunk_boundary() -> None:
    # A name in the header brings the end of the first member to the last octet of a chunk.
    plain = gzip.compress(b"first")
    header = plain[:3] + b"\x08" + plain[4:10]
    first = header + b"n" * (65_535 - len(plain) - 1) + b"\0" + plain[10:]
    assert len(first) == 65_535
    assert in_memory(inflated(first + gzip.compress(b"second")), 100) == b"firstsecond"


def test_inflated_stops_at_too_many_members() -> None:
    assert code_of(inflated(gzip.compress(b"") * 12, Limits(members=10))) == "too-many-members"
    assert in_memory(inflated(gzip.compress(b"x") * 11, Limits(members=10)), 100) == b"x" * 11


def test_inflated_tells_damage_from_a_cut() -> None:
    assert code_of(inflated(gzip.compress(TEXT)[:-3])) == "truncated"
    assert code_of(inflated(gzip.compress(TEXT) + b"\x1f\x8b\x00\x00")) == "corrupt-gzip"
    assert code_of(inflated(gzip.compress(TEXT) + gzip.compress(TEXT)[:-3])) == "truncated"
    assert code_of(inflated(zlib.compress(TEXT)[:-1] + b"\0", is_gzip=False)) == "corrupt-zlib"


def test_a_second_zlib_stream_is_trailing_data() -> None:
    stream = inflated(zlib.compress(b"first") + zlib.compress(b"second"), is_gzip=False)
    assert in_memory(stream, 100) == b"first"
    assert stream.trailing == zlib.compress(b"second")[:16]


def test_gzip_is_looked_through_only_when_its_end_is_odd() -> None:
    packed = gzip.compress(TEXT)
    assert not may_trail(Memory(packed))
    assert may_trail(Memory(packed + b"\r\n"))
    assert may_trail(Memory(packed + bytes(4)))
    assert may_trail(Memory(packed[:-4]))


def test_zip_gives_names_numbers_and_contents() -> None:
    members = list(zip_members(Memory(zipped({"a/": b"", "a/b.txt": TEXT, "c.txt": b"c"})), budget()))
    assert [(member.name, member.number, content(member)) for member in members] == [
        ("a/b.txt", 2, TEXT),
        ("c.txt", 3, b"c"),
    ]


def test_zip_with_data_before_and_after_it_is_read() -> None:
    archive = zipped({"a.txt": TEXT})
    (member,) = zip_members(Memory(b"before" + archive + b"\r\n"), budget())
    assert content(member) == TEXT


def test_zip_in_a_window_of_memory_is_read() -> None:
    archive = zipped({"a.txt": TEXT})
    source = Memory(b"xx" + archive + b"yy", 2, 2 + len(archive))
    (member,) = zip_members(source, budget())
    assert content(member) == TEXT


METHODS = pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)


@METHODS
def test_zip_member_is_read_when_it_is_large(method: int) -> None:
    octets = random.Random(1).randbytes(2_000_000)
    (member,) = zip_members(Memory(zipped({"a": octets}, method)), budget())
    assert in_memory(member.octets(Meter(budget())), len(octets)) == octets


@METHODS
def test_zip_member_is_refused_when_its_octets_are_changed(method: int) -> None:
    archive = bytearray(zipped({"a.txt": TEXT, "b.txt": b"b"}, method))
    for at in range(60, 75):
        archive[at] ^= 0x55
    first, second = zip_members(Memory(bytes(archive)), budget())
    assert code_of(first.octets(Meter(budget()))) == "corrupt-zip"
    assert content(second) == b"b"


@METHODS
def test_zip_member_is_refused_when_its_checksum_is_wrong(method: int) -> None:
    archive = bytearray(zipped({"a.xml": REPORT}, method))
    archive[archive.index(b"PK\x01\x02") + 16] ^= 1
    assert outcomes(bytes(archive)) == [Outcome("/a.xml", "corrupt-zip")]


def patched(archive: bytes, at: int, value: bytes, signature: bytes = b"PK\x01\x02") -> bytes:
    place = archive.index(signature) + at
    return archive[:place] + value + archive[place + len(value) :]


@pytest.mark.parametrize(
    ("at", "value", "code"),
    [
        (6, b"\xff\x00", "unknown-container"),  # version needed
        (8, b"\x20\x00", "unknown-container"),  # compressed patched data
        (8, b"\x40\x00", "encrypted"),  # strong encryption
        (10, b"\x09\x00", "unknown-container"),  # deflate64
        (24, b"\x01\x00\x00\x00", "corrupt-zip"),  # size, too small
        (42, b"\xf0\xff\xff\x7f", "corrupt-zip"),  # offset of the local header
        (46, b"b", "corrupt-zip"),  # another name than in the local header
    ],
)
def test_zip_with_an_odd_directory_is_refused(at: int, value: bytes, code: str) -> None:
    archive = patched(zipped({"a.xml": REPORT}, zipfile.ZIP_STORED), at, value)
    assert [one.what for one in outcomes(archive)] == [code]


@pytest.mark.parametrize("at", [20, 24])
def test_zip_member_is_its_octets_when_it_is_declared_longer(at: int) -> None:
    archive = patched(zipped({"a.xml": REPORT}), at, b"\xff\xff\xff\x7f")
    assert outcomes(archive) == [report("/a.xml")]


def test_zip_with_names_that_are_not_utf_8_is_refused() -> None:
    archive = zipped({"\u00e9.xml": REPORT})
    assert [one.what for one in outcomes(archive.replace("\u00e9".encode(), b"\xff\xff"))] == ["corrupt-zip"]
    local_only = archive.replace("\u00e9".encode(), b"\xff\xff", 1)
    assert [one.what for one in outcomes(local_only)] == ["corrupt-zip"]


def test_zip_with_an_empty_name_is_read() -> None:
    assert outcomes(zipped({"no name": REPORT}).replace(b"no name", bytes(7))) == [report("/1")]


@pytest.mark.parametrize("end", [b"PK\x05\x06", b"PK\x05\x06" + b"\xff" * 18])
def test_zip_with_a_damaged_end_is_refused(end: bytes) -> None:
    archive = zipped({"a.xml": REPORT})
    assert outcomes(archive[: archive.index(b"PK\x05\x06")] + end) == [Outcome("", "corrupt-zip")]


def test_zip64_places_beyond_any_file_are_refused() -> None:
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, 2**63, 2**64 - 1)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    for before in (b"PK\x03\x04" + bytes(60), b"PK\x03\x04" + bytes(2_000_000)):
        assert outcomes(before + end64 + locator + end) == [Outcome("", "corrupt-zip")]


def test_zip_member_before_the_start_of_its_file_is_refused() -> None:
    archive = zipped({"a.xml": REPORT})
    place = archive.index(b"PK\1\2")
    larger = patched(
        archive, 16, struct.pack("<L", place + 1), b"PK\5\6"
    )  # the directory is said to be after its place
    assert outcomes(larger) == [Outcome("/a.xml", "corrupt-zip")]
    attached = mail(part(larger, encoding="binary"))
    assert outcomes(attached) == [Outcome("#1/a.xml", "corrupt-zip")]


def test_zip_member_far_beyond_the_file_is_refused() -> None:
    extra = struct.pack("<HHQ", 1, 8, 2**63 + 5)
    info = zipfile.ZipInfo("a.xml")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(info, REPORT)
        archive.filelist[0].extra = extra
    octets = patched(file.getvalue(), 42, b"\xff\xff\xff\xff")
    assert outcomes(octets) == [Outcome("/a.xml", "corrupt-zip")]


def test_lzma_member_that_needs_much_memory_is_refused() -> None:
    archive = bytearray(zipped({"a.xml": REPORT}, zipfile.ZIP_LZMA))
    archive[30 + 5 + 5 : 30 + 5 + 9] = b"\xff\xff\xff\xff"
    assert outcomes(bytes(archive)) == [Outcome("/a.xml", "too-big")]
    assert outcomes(zipped({"a.xml": REPORT}, zipfile.ZIP_LZMA)) == [report("/a.xml")]


def test_lzma_member_without_its_local_header_is_refused() -> None:
    archive = patched(zipped({"a.xml": REPORT}, zipfile.ZIP_LZMA), 42, b"\xff\xff\x00\x00")
    assert outcomes(archive) == [Outcome("/a.xml", "corrupt-zip")]


def test_members_are_counted_over_all_archives() -> None:
    inner = zipped({"b.xml": REPORT, "c.xml": REPORT})
    archive = zipped({"a.zip": inner, "d.tar": tarred({"e.xml": REPORT, "f.xml": REPORT})})
    assert len([one for one in outcomes(archive, Limits(members=6)) if one.what == "aggregate"]) == 4
    assert outcomes(archive, Limits(members=5)) == [
        report("/a.zip/b.xml"),
        report("/a.zip/c.xml"),
        report("/d.tar/e.xml"),
        Outcome("/d.tar", "too-many-members"),
    ]
    assert outcomes(archive, Limits(members=3))[0] == Outcome("/a.zip", "too-many-members")
    assert outcomes(archive, Limits(members=1)) == [Outcome("", "too-many-members")]


class FailingFile(io.BytesIO):
    """A file on a disk that fails once `is_broken` is set."""

    is_broken = False

    def read(self, size: int | None = -1, /) -> bytes:
        if self.is_broken:
            raise OSError(5, "Input/output error")
        return super().read(size)


@METHODS
def test_errors_of_the_file_itself_are_not_taken_for_damage(method: int) -> None:
    file = FailingFile(zipped({"a.txt": TEXT}, method))
    (member,) = zip_members(File(file, 1_000_000), budget())
    file.is_broken = True
    with pytest.raises(OSError, match="Input/output error"):
        content(member)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_gives_its_files_whatever_the_form(form: int) -> None:
    long_name = "folder/" * 30 + "long.xml"
    archive = tarred(
        {"a/": b"", "a/b.txt": TEXT, "c.txt": b""} | ({long_name: b"x"} if form != tarfile.USTAR_FORMAT else {}), form
    )
    members = list(tar_members(Memory(archive), budget()))
    assert [(member.name, content(member)) for member in members[:2]] == [("a/b.txt", TEXT), ("c.txt", b"")]
    assert [content(member) for member in members[2:]] == ([] if form == tarfile.USTAR_FORMAT else [b"x"])


def tar_header(name: bytes = b"a.xml", size: bytes = b"00000000000\0", kind: bytes = b"0") -> bytes:
    block = bytearray(512)
    block[: len(name)], block[124:136], block[148:156], block[156:157] = name, size, b" " * 8, kind
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (tar_header(size=b"\x80" + bytes(8) + b"\x00\x01\x40") + REPORT[:320].ljust(512, b"\0"), ["aggregate"]),
        (tar_header(b"old/", kind=b"\0") + tar_header(size=b" " * 12), ["empty"]),
        (tar_header(size=b"0000000002x\0"), ["corrupt-tar"]),
        (tar_header(size=b"\xff" * 12), ["corrupt-tar"]),
        (tar_header(size=b"\x80" + b"\xff" * 11), ["truncated"]),
        (tar_header(size=b"\x80" + b"\xff" * 11, kind=b"x"), ["no-report"]),
        (tarred({"a.xml": REPORT})[:700], ["truncated"]),
        (tar_header() + b"x" * 512, ["empty", "corrupt-tar"]),
        (tar_header() + b"x" * 100, ["empty", "truncated"]),
        (tar_header(), ["empty"]),
    ],
)
def test_tar_with_odd_headers_ends_in_bounded_steps(octets: bytes, expected: list[str]) -> None:
    assert [one.what for one in outcomes(octets)] == expected


@pytest.fixture
def large(tmp_path: Path) -> BinaryIO:
    path = tmp_path / "large"
    path.write_bytes(bytes(range(256)) * 16)
    return path.open("rb")


def test_file_streams_have_positions_of_their_own(large: BinaryIO) -> None:
    with large:
        source = File(large, 1_000)
        first, second = source.octets(None, 10, 20), source.octets(None, 250)
        assert (source.size, first.take(4), second.take(8)) == (
            4096,
            bytes(range(10, 14)),
            bytes([250, 251, 252, 253, 254, 255, 0, 1]),
        )
        assert (first.take(100), first.take(100)) == (bytes(range(14, 20)), b"")


@pytest.mark.parametrize("is_file", [True, False])
def test_source_as_a_file_can_be_sought_in_but_not_read_whole(large: BinaryIO, *, is_file: bool) -> None:
    with large:
        octets = bytes(range(256)) * 16
        file = (File(large, 1_000) if is_file else Memory(b"-" + octets + b"-", 1, 4097)).file()
        assert (file.seek(-6, 2), file.read(), file.tell(), file.read()) == (4090, octets[-6:], 4096, b"")
        assert (file.seek(16), file.seek(4, 1), file.read(2), file.tell()) == (16, 20, bytes([20, 21]), 22)
        with pytest.raises(ValueError, match="before the start"):
            file.seek(-1)
        assert (file.seek(-5_000, 2), file.tell()) == (0, 0)
        if is_file:
            with pytest.raises(UnpackError, match="more than 1000 octets"):
                file.read()


def test_digest_is_that_of_the_octets() -> None:
    source = Memory(b"xabcx", 1, 4)
    assert sha256_of(source) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_budget_tells_what_is_left() -> None:
    spent = budget(Limits(members=3))
    spent.spend_members(2)
    assert spent.members_left == 1
    with pytest.raises(UnpackError, match="more than 3 members"):
        spent.spend_members(5)
    assert spent.members_left == 0
