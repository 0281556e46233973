"""Outlook messages."""

import gzip
import io
import random
import struct

import olefile
import pytest

from dmarcops.report.limits import Limits
from report.build import (
    FAILURE_FIELDS,
    OTHER_REPORT,
    REPORT,
    TEXT_PART,
    Outcome,
    gzip_part,
    mail,
    outcomes,
    report,
    zipped,
)
from report.ole import Tree, ole_file, outlook_file
from report.ole import message as embedded

PACKED = gzip.compress(REPORT)
LARGE = REPORT.replace(b"</feedback>", b"<!-- %s --></feedback>" % (b"filling " * 2_000))


def test_the_files_of_these_tests_are_sound() -> None:
    octets = outlook_file(("a.gz", PACKED), ("large.xml", LARGE), ("", embedded(("b.xml", REPORT))), text="Hello")
    with olefile.OleFileIO(io.BytesIO(octets), raise_defects=olefile.DEFECT_UNSURE) as file:
        assert file.openstream("__attach_version1.0_#00000000/__substg1.0_37010102").read() == PACKED
        assert file.openstream("__attach_version1.0_#00000001/__substg1.0_37010102").read() == LARGE


def test_a_message_of_many_megabytes_is_read() -> None:
    large = LARGE + b" " * 10_000_000
    octets = outlook_file(("large.xml", large))
    with olefile.OleFileIO(io.BytesIO(octets), raise_defects=olefile.DEFECT_UNSURE) as file:
        assert file.num_difat_sectors == 1
    assert outcomes(octets) == [report("#2/large.xml", octets=large)]


def test_every_attachment_is_given() -> None:
    octets = outlook_file(
        ("report.xml.gz", PACKED),
        ("../large.xml", LARGE),
        ("", zipped({"a.xml": OTHER_REPORT})),
        ("logo.png", b"\x89PNG"),
        ("page.html", b"<html/>"),
        ("mail.eml", mail(TEXT_PART, gzip_part())),
        text="A report.",
    )
    assert outcomes(octets) == [
        report("#2/report.xml.gz"),
        report("#3/large.xml", octets=LARGE),
        report("#4/a.xml", octets=OTHER_REPORT),
        Outcome("#6/page.html", "not-dmarc-xml"),
        report("#7/mail.eml/#2/report.xml.gz"),
    ]


def test_messages_in_messages_are_read_within_the_depth() -> None:
    octets = outlook_file(("", embedded(("", embedded(("r.gz", PACKED), text="inner")), ("x.xml", REPORT))))
    assert outcomes(octets) == [report("#2/#2/#2/r.gz"), report("#2/#3/x.xml")]
    assert outcomes(octets, Limits(mime_depth=1)) == [
        Outcome("#2/#2/#2", "mime-too-deep"),
        Outcome("#2/#2/#1", "mime-too-deep"),
        report("#2/#3/x.xml"),
    ]


def test_a_report_is_found_in_the_text() -> None:
    assert outcomes(outlook_file(text=REPORT.decode())) == [report("#1")]
    assert outcomes(outlook_file(("", embedded(text=REPORT.decode())))) == [report("#2/#1")]


def test_a_failure_report_is_the_whole_message() -> None:
    octets = outlook_file(("details.txt", FAILURE_FIELDS), ("original.eml", mail(gzip_part())))
    assert outcomes(octets) == [Outcome("", "failure", octets)]


def test_a_message_is_found_in_a_zip_and_in_a_mail() -> None:
    octets = outlook_file(("r.gz", PACKED))
    assert outcomes(zipped({"a.msg": octets})) == [report("/a.msg/#2/r.gz")]
    attached = mail(b"Content-Type: application/vnd.ms-outlook\r\nContent-Transfer-Encoding: binary\r\n\r\n" + octets)
    assert outcomes(attached) == [report("#1/#2/r.gz")]


@pytest.mark.parametrize("name", ["3707001E", "3704001F", "3704001E"])
def test_a_name_is_read_from_any_property(name: str) -> None:
    encoded = "caf\u00e9.xml\0".encode("latin-1" if name.endswith("E") else "utf-16-le")
    attachment = {"__substg1.0_37010102": REPORT, f"__substg1.0_{name}": encoded}
    octets = ole_file({"__properties_version1.0": bytes(32), "__attach_version1.0_#0000000A": attachment})
    assert outcomes(octets) == [report("#12/caf\u00e9.xml")]


def test_text_of_8_bits_is_read() -> None:
    octets = ole_file({"__properties_version1.0": bytes(32), "__substg1.0_1000001E": REPORT})
    assert outcomes(octets) == [report("#1")]


def test_another_kind_of_ole_file_is_no_report() -> None:
    assert outcomes(ole_file({"WordDocument": REPORT})) == [Outcome("", "no-report")]


def test_attachments_are_counted() -> None:
    octets = outlook_file(*[("r.gz", PACKED)] * 5)
    assert len(outcomes(octets, Limits(members=32))) == 5
    # Five attachments have 21 entries, in six sectors.
    assert outcomes(octets, Limits(members=23)) == [Outcome("", "too-many-members")]
    limits = Limits(members=26)
    content = mail(*([TEXT_PART] * 22), b"Content-Transfer-Encoding: binary\r\n\r\n" + octets)
    assert [one.what for one in outcomes(content, limits)] == ["aggregate", "aggregate", "too-many-members"]


def test_attachments_are_held_in_memory_within_the_limit() -> None:
    octets = outlook_file(("a.eml", mail(gzip_part()) + b" " * 200_000), ("b.xml", REPORT))
    content = zipped({"a.msg": octets})
    limits = Limits(mail_bytes=len(octets) + 5_000)
    assert outcomes(content, limits) == [Outcome("/a.msg/#2/a.eml", "too-big"), report("/a.msg/#3/b.xml")]


def patched(octets: bytes, at: int, form: str, *values: int) -> bytes:
    return octets[:at] + struct.pack(form, *values) + octets[at + struct.calcsize(form) :]


@pytest.mark.parametrize(
    ("at", "form", "value"),
    [
        (30, "<H", 200),  # sector shift
        (32, "<H", 0),  # mini sector shift
        (44, "<L", 0xFFFFFFF0),  # number of FAT sectors
        (48, "<L", 0x7FFFFFFF),  # first sector of the directory
        (76, "<L", 0x7FFFFFFF),  # first FAT sector
        (72, "<L", 7),  # number of DIFAT sectors
    ],
)
def test_a_damaged_header_is_refused(at: int, form: str, value: int) -> None:
    octets = patched(outlook_file(("r.gz", PACKED), ("large.xml", LARGE)), at, form, value)
    assert outcomes(octets) == [Outcome("", "corrupt-msg")]


@pytest.mark.parametrize("size", [8, 20, 200, 511, 512, 600])
def test_a_message_that_is_cut_off_is_refused(size: int) -> None:
    assert outcomes(outlook_file(("r.gz", PACKED))[:size]) == [Outcome("", "corrupt-msg")]


def places(octets: bytes) -> tuple[int, int]:
    """Where the FAT starts, and which sector the directory starts in."""
    return 512 * (1 + struct.unpack_from("<L", octets, 76)[0]), struct.unpack_from("<L", octets, 48)[0]


def test_a_directory_that_loops_is_refused() -> None:
    octets = outlook_file(("r.gz", PACKED))
    fat, directory = places(octets)
    looped = patched(octets, fat + 4 * directory, "<L", directory)
    assert outcomes(looped) == [Outcome("", "too-many-members")]


def test_a_stream_that_loops_is_refused_and_the_others_given() -> None:
    octets = outlook_file(("large.xml", LARGE), ("r.gz", PACKED))
    fat, directory = places(octets)
    entry = octets.index("__substg1.0_37010102".encode("utf-16-le"))
    assert entry >= 512 * (1 + directory)
    start = struct.unpack_from("<L", octets, entry + 116)[0]
    looped = patched(patched(octets, fat + 4 * start, "<L", start), entry + 120, "<L", 0x7FFFFF00)
    assert outcomes(looped) == [Outcome("#2", "corrupt-msg"), report("#3/r.gz")]


def test_a_message_whose_small_streams_cannot_be_found_is_refused() -> None:
    octets = outlook_file(("r.gz", PACKED))
    odd = patched(octets + b"xx", 60, "<L", len(octets) // 512 - 1)  # their table is said to be two octets
    assert outcomes(odd) == [Outcome("#2", "corrupt-msg")]


def test_a_deep_directory_is_refused() -> None:
    tree: Tree = {"a": b"x"}
    for _ in range(600):
        tree = {"a": tree}
    assert outcomes(ole_file(tree)) == [Outcome("", "corrupt-msg")]


def test_damaged_messages_give_nothing_but_outcomes() -> None:
    octets = outlook_file(("r.gz", PACKED), ("large.xml", LARGE), ("", embedded(("b.xml", REPORT))), text="Hello")
    chance = random.Random(1)
    fat, directory = places(octets)
    interesting = [*range(80), *range(512 * (1 + directory), len(octets)), *range(fat, len(octets))]
    for _ in range(1_000):
        damaged = bytearray(octets)
        for _ in range(chance.randint(1, 6)):
            damaged[chance.choice(interesting)] = chance.choice([0, 1, 0x7F, 0xFE, 0xFF])
        assert outcomes(bytes(damaged))
