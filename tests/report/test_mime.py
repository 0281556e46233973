"""Parts of mails, and what is repaired to read them."""

import base64
import gzip
from functools import partial
from time import process_time

import pytest

from dmarcops.report.limits import Limits
from dmarcops.report.mime import Part, read, split
from dmarcops.report.sniff import Form
from dmarcops.report.streams import Budget, Memory
from dmarcops.report.unpack import Payload, unpack
from report.build import (
    FIELDS,
    OTHER_REPORT,
    REPORT,
    TEXT_PART,
    Outcome,
    encoded,
    gzip_part,
    mail,
    multipart,
    outcomes,
    part,
    report,
)

PACKED = gzip.compress(REPORT, mtime=0)
BASE64 = base64.encodebytes(PACKED)
LARGE = REPORT + b"<!-- " + b"filling " * 50_000 + b"-->\n"


def parts(content: bytes, limits: Limits | None = None, depth: int = 0) -> list[Part]:
    return list(split(Memory(content), Budget(limits or Limits()), depth))


def bodies(content: bytes) -> list[bytes]:
    return [content[one.start : one.stop] for one in parts(content)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", [b""]),
        (b"\r\n", [b""]),
        (b"A: b", [b""]),
        (b"A: b\r\n\r\nbody", [b"body"]),
        (b"A: b\n c\n\nbody\n\nmore", [b"body\n\nmore"]),
        (b"A: b\nbody without a blank line\n\nmore", [b"body without a blank line\n\nmore"]),
        (b"A: b\nbody at the end", [b"body at the end"]),
        (b"From a@example.com Thu Jan  1 00:00:00 2026\nA: b\n\nbody", [b"body"]),
        (b">From a@example.com\n\nbody", [b"body"]),
    ],
)
def test_header_ends_where_the_body_starts(content: bytes, expected: list[bytes]) -> None:
    assert bodies(content) == expected


MULTIPART = b"Content-Type: multipart/mixed; boundary=b\n\n"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"--b\n\none\n--b\n\ntwo\n--b--\n\nthree", [b"one", b"two"]),
        (b"preamble\r\n--b\r\n\r\none\r\n--b  \r\n\r\ntwo\r\n--b-- ", [b"one", b"two"]),
        (b"--b\n\none\n--bb\n--b-\n--b--x\n--b\n\ntwo", [b"one\n--bb\n--b-\n--b--x", b"two"]),
        (b"--b\n--b\n\none\n--b--", [b"", b"one"]),
        (b"--b--\n", [b"--b--\n"]),
        (b"no delimiter", [b"no delimiter"]),
        (b"--b", [b""]),
    ],
)
def test_multipart_is_split_at_its_delimiters_only(body: bytes, expected: list[bytes]) -> None:
    assert bodies(MULTIPART + body) == expected


def test_parts_are_numbered_in_document_order_and_know_their_depth() -> None:
    inner = multipart([b"\r\nb", multipart([b"\r\nc"])])
    found = parts(mail(b"\r\na", inner, b"\r\nd"))
    assert [(one.number, one.depth) for one in found] == [(1, 1), (2, 2), (3, 3), (4, 1)]


def test_a_boundary_used_twice_does_not_hide_parts() -> None:
    inner = multipart([TEXT_PART, gzip_part()], boundary="same")
    content = FIELDS + multipart([TEXT_PART, inner], boundary="same")
    assert outcomes(content) == [report("#4/report.xml.gz")]


def test_a_boundary_that_occurs_very_often_ends_the_search() -> None:
    content = MULTIPART + b"--b\n\none" + b"\n--bx" * 100_001 + b"\n--b\n\ntwo\n--b--\n"
    (found,) = parts(content)
    assert content[found.start : found.stop].endswith(b"two\n--b--\n")


def test_a_missing_closing_boundary_is_noted() -> None:
    content = mail(TEXT_PART, gzip_part(b"a.gz"), gzip_part(b"b.gz", OTHER_REPORT))
    cut = content[: content.rindex(b"--=_")]
    assert outcomes(cut) == [report("#2/a.gz"), report("#3/b.gz", "no-closing-boundary", octets=OTHER_REPORT)]


def broken(*lines: bytes) -> bytes:
    return mail(TEXT_PART, b"\r\n".join((*lines, b"", BASE64)))


@pytest.mark.parametrize(
    ("lines", "origin", "detail"),
    [
        (
            (
                b"Content-Type: application/gzip;",
                b'name="r.xml.gz"',
                b"Content-Transfer-Encoding: base64",
                b'Content-Disposition: attachment; filename="report.xml.gz"',
            ),
            "#2/report.xml.gz",
            'name="r.xml.gz"',
        ),
        (
            (b"Content-Type: application/gzip", b"name=r.xml.gz", b"Content-Transfer-Encoding: base64"),
            "#2/r.xml.gz",
            "name=r.xml.gz",
        ),
        (
            (b"Content-Type: application/gzip", b"\0\x1bstray text\xe4", b"Content-Transfer-Encoding: base64"),
            "#2",
            "stray text\ufffd",
        ),
        (
            (b"ContentType: application/gzip; name=r.gz", b"Content-Transfer-Encoding: base64"),
            "#2/r.gz",
            "ContentType: application/gzip; name=r.gz",
        ),
        ((b"Content-Transfer-Encoding: base64", b'filename*0*="x"', b"filename*1=y"), "#2", 'filename*0*="x"'),
    ],
)
def test_a_broken_part_header_is_read_all_the_same(lines: tuple[bytes, ...], origin: str, detail: str) -> None:
    (found,) = unpack(broken(*lines))
    assert isinstance(found, Payload)
    assert found.origin == origin
    assert [(repair.code, repair.detail) for repair in found.repairs] == [("broken-part-header", detail)]
    with found.open() as stream:
        assert stream.read() == REPORT


def test_a_boundary_on_a_line_of_its_own_is_read() -> None:
    content = FIELDS + multipart([TEXT_PART, gzip_part()]).replace(b"\r\n boundary", b"\r\nboundary", 1)
    assert outcomes(content) == [report("#2/report.xml.gz")]


def test_a_header_of_many_lines_that_are_no_fields_ends() -> None:
    lines = [b"stray"] * 20
    assert outcomes(broken(*lines, b"Content-Transfer-Encoding: base64")) == [Outcome("", "no-report")]


@pytest.mark.parametrize(
    ("fields", "body", "detail"),
    [
        (b"Content-Type: application/gzip", BASE64, "7bit is base64"),
        (b"Content-Type: text/plain", BASE64.replace(b"\n", b"\r\n\r\n"), "7bit is base64"),
        (b"Content-Transfer-Encoding: x-odd", BASE64, "x-odd is base64"),
        (b"Content-Transfer-Encoding: quoted-printable", BASE64, "quoted-printable is base64"),
        (b"Content-Transfer-Encoding: base64", REPORT, "base64 is 8bit"),
        (b"Content-Transfer-Encoding: 8bit", encoded(PACKED, "uuencode"), "8bit is uuencode"),
        (b"Content-Transfer-Encoding: base64", encoded(PACKED, "uuencode"), "base64 is uuencode"),
        (b"Content-Type: text/plain", base64.encodebytes(REPORT), "7bit is base64"),
    ],
)
def test_a_wrong_transfer_encoding_is_found_out(fields: bytes, body: bytes, detail: str) -> None:
    (found,) = unpack(mail(fields + b"\r\n\r\n" + body))
    assert isinstance(found, Payload)
    assert [(repair.code, repair.detail) for repair in found.repairs] == [("transfer-encoding", detail)]
    with found.open() as stream:
        assert stream.read() == REPORT


def test_words_that_look_like_base64_are_text() -> None:
    assert outcomes(FIELDS + b"\r\n" + b"words with some base " * 10) == [Outcome("", "no-report")]


@pytest.mark.parametrize("encoding", ["BASE64 ", '"base64"', "Quoted-Printable", "Base64;"])
def test_a_transfer_encoding_is_read_in_any_spelling(encoding: str) -> None:
    plain = encoding.strip(' ";').lower()
    field = b"Content-Transfer-Encoding: " + encoding.encode()
    assert outcomes(mail(field + b"\r\n\r\n" + encoded(PACKED, plain))) == [report("#1")]


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5])
def test_base64_that_was_cut_gives_what_is_left(cut: int) -> None:
    content = FIELDS + b"Content-Transfer-Encoding: base64\r\n\r\n" + BASE64.rstrip(b"=\n")[:-cut]
    assert outcomes(content) == [Outcome("#1", "truncated")]


def test_base64_without_its_padding_is_read() -> None:
    packed = next(filter(lambda packed: len(packed) % 3 == 1, (gzip.compress(REPORT + b" " * n) for n in range(30))))
    field = b"Content-Transfer-Encoding: base64\r\n\r\n"
    for padding in (b"", b"=", b"= \r\n-- \r\nfooter of a list\r\n"):
        (found,) = outcomes(FIELDS + field + base64.b64encode(packed).rstrip(b"=") + padding)
        assert (found.octets.strip(), found.repairs) == (REPORT.strip(), ())


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "8bit", "x-uuencode"])
def test_a_large_body_is_decoded_whole(encoding: str) -> None:
    (found,) = outcomes(mail(part(LARGE, encoding=encoding)))
    assert found.octets.rstrip(b"\r\n") == LARGE.rstrip(b"\n")


def test_a_body_that_is_nothing_known_is_not_decoded() -> None:
    content = FIELDS + part(b"\x89PNG" * 100_000, b"Content-Type: image/png")
    (one,) = parts(content)
    body = read(content, one)
    assert (body.form, body.octets.size, body.copied) == (Form.UNKNOWN, 0, 0)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        (b"", ""),
        (b'Content-Type: application/zip; name="a; b.zip"', "a; b.zip"),
        (b"Content-Type: application/zip; name=a.zip\r\nContent-Disposition: inline; filename=b.zip", "b.zip"),
        (b"Content-Type: x; name=first\r\nContent-Type: x; name=second", "first"),
        (b"Content-Disposition: x; filename*=utf-8'en'%C3%A9.xml", "\u00e9.xml"),
        (b"Content-Disposition: x; filename*0*=utf-8''%C3%A9; filename*1=.xml", "\u00e9.xml"),
        (b"Content-Disposition: x; filename=\xc3\xa9.xml", "\u00e9.xml"),
        (b"Content-Disposition: x; filename=\xe9.xml", "\ufffd.xml"),
        (b"Content-Type: x; name==?iso-8859-1?Q?=E9.xml?=", "\u00e9.xml"),
        (b"Content-Type: x; name==?x-unheard-of?Q?=E9.xml?=", "=?x-unheard-of?Q?=E9.xml?="),
        (b"Content-Type: x; name==?us-ascii?Q?=E9.xml?=", "=?us-ascii?Q?=E9.xml?="),
        (b"Content-Type: x; name==?u\xe4?Q?=E9.xml?=", "=?u\ufffd?Q?=E9.xml?="),
        (b"Content-Type: x; name==?utf-8?B?a?=", "=?utf-8?B?a?="),
        (b"Content-Disposition: x; filename*=no\0''x", ""),
        (b"Content-Disposition: x; filename*0=a; filename*=b", ""),
        (b"Content-Disposition: x; filename*" + b"1" * 4000 + b"*0=a", ""),
        (b"Content-Disposition: x; " + b"a=b; " * 2000 + b"filename=c", ""),
    ],
)
def test_name_is_that_of_the_fields_or_none(fields: bytes, name: str) -> None:
    (found,) = parts(fields + b"\r\n\r\n")
    assert found.header.name == name


def test_a_boundary_that_makes_no_sense_is_none() -> None:
    (found,) = parts(b"Content-Type: multipart/mixed; boundary*0=a; boundary*=b\r\n\r\n--a\r\n\r\nx")
    assert (found.header.type, found.header.boundary) == ("multipart/mixed", "")


@pytest.mark.parametrize(
    ("fields", "is_text"),
    [
        (b"", True),
        (b"Content-Type: text/html", True),
        (b"Content-Type: image/png; name=logo.png", True),
        (b"Content-Type: text/plain; name=a.txt", False),
        (b"Content-Disposition: Attachment", False),
        (b"Content-Type: text/xml", False),
        (b"Content-Type: application/xml", False),
        (b"Content-Type: nonsense", True),
    ],
)
def test_what_is_there_to_be_read_is_told_from_a_file(fields: bytes, *, is_text: bool) -> None:
    (found,) = parts(fields + b"\r\n\r\n")
    assert found.header.is_text is is_text


def nested(levels: int, leaf: bytes = TEXT_PART) -> bytes:
    content = leaf
    for level in range(levels):
        content = multipart([gzip_part(b"%d.gz" % level), content], boundary=f"level-{level}")
    return FIELDS + content


def test_parts_within_the_depth_are_given_when_others_lie_deeper() -> None:
    assert [one.what for one in outcomes(nested(20))] == ["aggregate"] * 20
    found = outcomes(nested(25))
    assert [one.what for one in found] == ["aggregate"] * 20 + ["mime-too-deep"] * 2
    assert outcomes(nested(3), Limits(mime_depth=2))[-2:] == [
        Outcome("#3", "mime-too-deep"),
        Outcome("#4", "mime-too-deep"),
    ]


def forwarded(levels: int, encoding: str = "8bit", content: bytes = mail(gzip_part())) -> bytes:
    for _ in range(levels):
        content = FIELDS + part(content, b"Content-Type: message/rfc822", encoding=encoding)
    return content


def test_messages_in_messages_are_read_within_the_depth() -> None:
    assert outcomes(forwarded(19)) == [report("/".join(["#1"] * 20) + "/report.xml.gz")]
    assert outcomes(forwarded(25)) == [Outcome("/".join(["#1"] * 22), "mime-too-deep")]


def test_messages_in_messages_are_refused_when_their_copies_take_too_much_memory() -> None:
    content = forwarded(3, "base64", mail(part(LARGE, encoding="8bit")))
    assert [one.what for one in outcomes(content)] == ["aggregate"]
    assert outcomes(content, Limits(mail_bytes=len(content))) == [Outcome("#1/#1", "too-big")]


def test_parts_are_counted() -> None:
    content = mail(*([gzip_part()] * 5))
    assert [one.what for one in outcomes(content, Limits(members=6))] == ["aggregate"] * 5
    assert outcomes(content, Limits(members=4)) == [
        *(report(f"#{number}/report.xml.gz") for number in (1, 2, 3)),
        Outcome("#4", "too-many-members"),
    ]


def test_a_payload_in_a_large_mail_is_not_copied_before_it_is_read() -> None:
    (found,) = unpack(mail(part(LARGE, encoding="8bit")))
    assert isinstance(found, Payload)
    first, second = found.open(), found.open()
    assert first.read(5) == second.read(5) == LARGE[:5]
    assert b"".join(iter(partial(first.read, 1_000), b"")) + b"" == (LARGE + b"")[5:]


def test_parts_with_many_blanks_in_their_fields_are_read_in_a_short_time() -> None:
    blanks = b"Content-Type: " + b" \t;" * 1_300 + b"\r\nContent-Disposition:" + b" " * 4_000 + b"x\r\n\r\nx"
    start = process_time()
    assert len(parts(multipart([blanks] * 100))) == 100
    assert process_time() - start < 5
