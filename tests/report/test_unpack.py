"""What is found in files, archives and mails of all shapes, and what happens at the limits."""

import bz2
import gzip
import hashlib
import io
import lzma
import zipfile
import zlib
from collections import deque
from functools import partial
from pathlib import Path

import pytest

from dmarcops.errors import UnpackError
from dmarcops.report.limits import KIB, MIB, Limits
from dmarcops.report.unpack import Payload, Rejected, unpack
from report.build import (
    FAILURE_FIELDS,
    FEEDBACK_FIELDS,
    FIELDS,
    OTHER_REPORT,
    REPORT,
    TEXT_PART,
    TLS_REPORT,
    Outcome,
    gzip_part,
    mail,
    multipart,
    outcomes,
    part,
    report,
    tarred,
    zipped,
)

PACKED = gzip.compress(REPORT, mtime=0)
HTML = b"<!DOCTYPE html><html><body>Dear postmaster</body></html>"
BIG_REPORT = REPORT.replace(b"</feedback>", b"<!-- %s -->\n</feedback>" % (b"filling " * 30_000))
HUGE_REPORT = REPORT.replace(b"</feedback>", b"<!-- %s -->\n</feedback>" % (b"filling " * 150_000))


def nested_gzip(content: bytes, levels: int) -> bytes:
    for _ in range(levels):
        content = gzip.compress(content)
    return content


@pytest.mark.parametrize(
    "octets",
    [
        REPORT,
        b"\xef\xbb\xbf" + REPORT,
        b"\r\n\r\n \t" + REPORT,
        b"\n\xef\xbb\xbf\n" + REPORT,
        REPORT.decode().replace("UTF-8", "UTF-16").encode("utf-16"),
        REPORT.decode().encode("utf-16-le"),
        REPORT.decode().encode("utf-16-be"),
        REPORT.partition(b"\n")[2],
        b"<feedback/>",
        b'<ns1:feedback xmlns:ns1="urn:x"></ns1:feedback>',
        b"<FEEDBACK></FEEDBACK>",
        b"<?xml version='1.0'?><!DOCTYPE feedback [<!ELEMENT x (y)>] ><!-- <html> --><?pi?><feedback></feedback>",
        b"<!DOCTYPE feedback SYSTEM 'x.dtd'>\n<feedback></feedback>",
        b'<?xml version="1.0"?> <xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="x"> ' + REPORT,
        b"<report_metadata></report_metadata></feedback>",
        b"?xml version='1.0'?>\n" + REPORT.partition(b"\n")[2],
        b"<?xml never closed <feedback><record/></feedback>",
        b"\x91 junk <feedback><record/></feedback>",
        b"< feedback><report_metadata></report_metadata></feedback>",
        b"<!--" + b"x" * 5_000 + b"--><feedback></feedback>",
    ],
)
def test_a_report_is_found_when_its_start_is_unusual(octets: bytes) -> None:
    assert outcomes(octets) == [report("", octets=octets)]


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (b"", "empty"),
        (b" \r\n\0\xef\xbb\xbf", "empty"),
        (HTML, "not-dmarc-xml"),
        (b"<?xml version='1.0'?><report><feedback/></report>", "not-dmarc-xml"),
        (b"<?xml version='1.0'?", "not-dmarc-xml"),
        (b'<xs:schema xmlns:xs="x"><xs:element name="feedback"/></xs:schema>', "not-dmarc-xml"),
        (b"Hello, nothing here", "no-report"),
        (b'{"report_metadata": {}, "report-id": 1}', "no-report"),
        (bytes(range(256)) * 10, "no-report"),
        (b"\0\x01\x02<feedback>" + bytes(range(32)) * 20, "no-report"),
        (FIELDS + b"\r\nHello", "no-report"),
        (FIELDS, "no-report"),
        (mail(TEXT_PART, part(HTML, b"Content-Type: text/html"), kind="alternative"), "no-report"),
        (zipped({}), "no-report"),
        (gzip.compress(b"", mtime=0), "empty"),
    ],
)
def test_one_rejection_says_why_when_nothing_is_found(octets: bytes, code: str) -> None:
    found = list(unpack(octets))
    assert [(one.origin, one.code, one.outcome) for one in found if isinstance(one, Rejected)] == [
        ("", code, "not-a-report")
    ]
    assert len(found) == 1


def test_rejection_has_the_digest_of_the_octets_and_a_reason() -> None:
    (found,) = unpack(HTML)
    assert isinstance(found, Rejected)
    assert found.sha256 == hashlib.sha256(HTML).hexdigest()
    assert found.reason == "an XML or HTML document that is no DMARC report"


@pytest.mark.parametrize(
    ("octets", "origin"),
    [
        (PACKED, ""),
        (zlib.compress(REPORT, 1), ""),
        (zlib.compress(REPORT, 6), ""),
        (zlib.compress(REPORT, 9), ""),
        (zipped({"a.xml": REPORT}), "/a.xml"),
        (zipped({"a.xml": REPORT}, zipfile.ZIP_STORED), "/a.xml"),
        (zipped({"a.xml": REPORT}, zipfile.ZIP_BZIP2), "/a.xml"),
        (zipped({"a.xml": REPORT}, zipfile.ZIP_LZMA), "/a.xml"),
        (tarred({"reports/": b"", "reports/a.xml": REPORT}), "/a.xml"),
        (gzip.compress(tarred({"a.xml": REPORT})), "/a.xml"),
        (gzip.compress(zipped({"a.xml": REPORT})), "/a.xml"),
        (zipped({"a.xml.gz": PACKED}), "/a.xml.gz"),
        (zipped({"inner.zip": zipped({"a.xml": REPORT})}), "/inner.zip/a.xml"),
        (zipped({"inner.zip": gzip.compress(zipped({"a.xml": REPORT}))}), "/inner.zip/a.xml"),
        (zipped({"r.eml": mail(TEXT_PART, gzip_part())}), "/r.eml/#2/report.xml.gz"),
        (nested_gzip(REPORT, 3), ""),
    ],
)
def test_a_report_is_found_in_a_container(octets: bytes, origin: str) -> None:
    assert outcomes(octets) == [report(origin)]


@pytest.mark.parametrize("levels", [4, 40])
def test_containers_are_refused_when_nested_too_deep(levels: int) -> None:
    assert outcomes(nested_gzip(REPORT, levels)) == [Outcome("", "nested-too-deep")]


def test_nesting_is_counted_through_mails() -> None:
    content = zipped({"a.zip": zipped({"b.eml": FIELDS + part(zipped({"c.zip": zipped({"d.xml": REPORT})}))})})
    assert outcomes(content) == [Outcome("/a.zip/b.eml/#1/c.zip", "nested-too-deep")]
    assert outcomes(content, Limits(nesting=4)) == [report("/a.zip/b.eml/#1/c.zip/d.xml")]


def test_every_member_is_given_and_litter_is_not_worth_a_word() -> None:
    archive = zipped(
        {
            "reports/": b"",
            "__MACOSX/._a.xml": b"\0\x05\x16\x07\0",
            "reports/a.xml": REPORT,
            ".DS_Store": b"\0\0\0\x01Bud1",
            "readme.txt": b"Two reports.",
            "empty.xml": b"",
            "page.html": HTML,
            "../../b.xml": OTHER_REPORT,
            "t.json": TLS_REPORT,
            "mail.txt": FIELDS,
        }
    )
    assert outcomes(archive) == [
        report("/a.xml"),
        Outcome("/readme.txt", "unrecognised"),
        Outcome("/empty.xml", "empty"),
        Outcome("/page.html", "not-dmarc-xml"),
        report("/b.xml", octets=OTHER_REPORT),
        Outcome("/t.json", "tls", TLS_REPORT),
    ]


def test_litter_that_is_a_report_is_given() -> None:
    assert outcomes(zipped({"__MACOSX/._a.xml": REPORT})) == [report("/._a.xml")]


def test_a_member_without_a_usable_name_has_its_number() -> None:
    assert outcomes(zipped({"..": REPORT, "\x1b": REPORT})) == [report("/1"), report("/2")]


def test_encrypted_members_are_refused_and_the_others_given() -> None:
    archive = bytearray(zipped({"secret.xml": REPORT, "a.xml": OTHER_REPORT}))
    central = archive.index(b"PK\x01\x02")
    archive[central + 8] |= 1
    assert outcomes(bytes(archive)) == [Outcome("/secret.xml", "encrypted"), report("/a.xml", octets=OTHER_REPORT)]
    (refused, _) = unpack(bytes(archive))
    assert isinstance(refused, Rejected)
    assert (refused.outcome, refused.sha256) == ("unsupported", hashlib.sha256(archive).hexdigest())


@pytest.mark.parametrize(
    "octets",
    [
        b"7z\xbc\xaf\x27\x1c\0\x04" + bytes(32),
        b"Rar!\x1a\x07\x01\0" + bytes(32),
        b"Rar!\x1a\x07\0" + bytes(32),
        lzma.compress(REPORT),
        bz2.compress(REPORT),
        b"\x28\xb5\x2f\xfd" + bytes(32),
    ],
)
def test_other_archives_are_unsupported(octets: bytes) -> None:
    (found,) = unpack(mail(TEXT_PART, part(octets, b"Content-Type: application/octet-stream; name=r.bin")))
    assert isinstance(found, Rejected)
    assert (found.origin, found.code, found.outcome) == ("#2/r.bin", "unknown-container", "unsupported")
    assert found.sha256 == hashlib.sha256(octets).hexdigest()


@pytest.mark.parametrize(
    ("octets", "code", "outcome"),
    [
        (PACKED[:-1], "truncated", "retry"),
        (PACKED[:20], "truncated", "retry"),
        (PACKED[:5], "truncated", "retry"),
        (PACKED[:-5] + b"\0\0\0\0\0", "corrupt-gzip", "corrupt"),
        (zlib.compress(REPORT)[:-1], "truncated", "retry"),
        (zlib.compress(REPORT)[:-1] + b"\0", "corrupt-zlib", "corrupt"),
        (zipped({"a.xml": REPORT})[:-30], "truncated", "retry"),
        (zipped({"a.xml": REPORT})[:40], "truncated", "retry"),
    ],
)
def test_damaged_and_cut_off_files_are_told_apart(octets: bytes, code: str, outcome: str) -> None:
    (found,) = unpack(octets)
    assert isinstance(found, Rejected)
    assert (found.code, found.outcome, found.sha256) == (code, outcome, hashlib.sha256(octets).hexdigest())


def test_truncated_gzip_of_a_large_report_raises_when_it_is_read() -> None:
    cut = gzip.compress(BIG_REPORT, 0)[:-12] + b"\0\0\x10\0"  # ends like a size of 1 MiB: not looked through before
    (found,) = unpack(cut)
    assert isinstance(found, Payload)
    with found.open() as stream, pytest.raises(UnpackError) as caught:
        stream.read()
    assert (caught.value.code, caught.value.outcome) == ("truncated", "retry")


@pytest.mark.parametrize("trailing", [b"\r\n", b"\n", b"\0" * 600, b"-- \r\nfooter of a list", b"\x1f", b"\x1f\x00"])
@pytest.mark.parametrize("content", [REPORT, BIG_REPORT])
def test_what_follows_a_gzip_file_is_noted(content: bytes, trailing: bytes) -> None:
    (found,) = unpack(gzip.compress(content) + trailing)
    assert isinstance(found, Payload)
    assert [(repair.code, repair.detail) for repair in found.repairs] == [("trailing-bytes", trailing[:16].hex(" "))]
    with found.open() as stream:
        assert stream.read() == content


def test_what_follows_a_zlib_stream_is_noted() -> None:
    assert outcomes(zlib.compress(REPORT) + b"\r\n") == [report("", "trailing-bytes")]


def test_all_members_of_a_gzip_file_are_one_report() -> None:
    packed = b"".join(gzip.compress(BIG_REPORT[at : at + 5_000]) for at in range(0, len(BIG_REPORT), 5_000))
    assert outcomes(packed) == [report("", octets=BIG_REPORT)]
    assert outcomes(packed + b"\n") == [report("", "trailing-bytes", octets=BIG_REPORT)]


def test_a_payload_can_be_opened_again_without_being_charged_again(tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    path.write_bytes(BIG_REPORT * 8)
    packed = gzip.compress(path.read_bytes())
    with path.open("rb") as file:
        for source, size in ((file, len(BIG_REPORT) * 8), (packed, len(BIG_REPORT) * 8)):
            (found,) = unpack(source, limits=Limits(bytes_out=size))
            assert isinstance(found, Payload)
            first, second = found.open(), found.open()
            start = first.read(1000)
            assert second.read() == path.read_bytes()
            assert start + first.read() == path.read_bytes()


def test_bytes_out_is_one_budget_for_all_payloads() -> None:
    archive = zipped({"a.xml": REPORT, "b.xml": REPORT})
    assert outcomes(archive, Limits(bytes_out=2 * len(REPORT))) == [report("/a.xml"), report("/b.xml")]
    assert outcomes(archive, Limits(bytes_out=2 * len(REPORT) - 1)) == [
        report("/a.xml"),
        Outcome("/b.xml", "too-big-unpacked"),
    ]


@pytest.mark.parametrize("octets", [gzip.compress(BIG_REPORT), zipped({"a.xml": BIG_REPORT}), BIG_REPORT])
def test_a_report_over_the_limit_is_refused(octets: bytes) -> None:
    assert [one.what for one in outcomes(octets, Limits(bytes_out=len(BIG_REPORT)))] == ["aggregate"]
    assert [one.what for one in outcomes(octets, Limits(bytes_out=len(BIG_REPORT) - 1))] == ["too-big-unpacked"]


def test_a_large_file_is_not_read_before_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    with path.open("wb") as file:
        file.write(REPORT.replace(b"</feedback>\n", b""))
        file.truncate(10 * 1024 * MIB)  # sparse
    with path.open("rb") as source:
        (found,) = unpack(source)
        assert isinstance(found, Payload)
        with found.open() as stream:
            assert stream.read(100) == REPORT[:100]
            with pytest.raises(UnpackError, match="more than 1073741824 octets"):
                deque(iter(partial(stream.read, MIB), b""), maxlen=0)


@pytest.mark.parametrize(
    ("octets", "origin"),
    [
        (HUGE_REPORT, ""),
        (gzip.compress(HUGE_REPORT, 0), ""),
        (gzip.compress(HUGE_REPORT, 0) + b"\n", ""),
        (zipped({"a.xml": HUGE_REPORT}, zipfile.ZIP_STORED), "/a.xml"),
        (tarred({"b/": b"", "a.xml": HUGE_REPORT}), "/a.xml"),
        (mail(TEXT_PART, part(HUGE_REPORT)), "#2"),
    ],
)
def test_a_large_file_gives_what_its_octets_give(octets: bytes, origin: str, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(octets)
    with path.open("rb") as file:
        found = outcomes(file)
    assert found == outcomes(octets)
    assert [(one.origin, one.octets) for one in found] == [(origin, HUGE_REPORT)]


@pytest.mark.parametrize("kind", ["mixed", "alternative", "related", "report", "x-unheard-of"])
def test_a_report_is_found_in_any_multipart(kind: str) -> None:
    assert outcomes(mail(TEXT_PART, gzip_part(), kind=kind)) == [report("#2/report.xml.gz")]


def test_a_report_is_found_in_multiparts_in_one_another() -> None:
    related = multipart([TEXT_PART, gzip_part()], "related", "=_b2")
    alternative = multipart([TEXT_PART, related], "alternative", "=_b1")
    assert outcomes(mail(TEXT_PART, alternative, gzip_part(b"last.gz", OTHER_REPORT))) == [
        report("#4/report.xml.gz"),
        report("#5/last.gz", octets=OTHER_REPORT),
    ]


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "8bit", "binary", "7bit", "x-uuencode"])
def test_a_report_is_found_in_any_transfer_encoding(encoding: str) -> None:
    attachment = part(PACKED, b"Content-Type: application/octet-stream", encoding=encoding)
    (found,) = outcomes(mail(TEXT_PART, attachment))
    assert (found.origin, found.octets) == ("#2", REPORT)


@pytest.mark.parametrize(
    "fields",
    [
        (b"Content-Type: application/gzip", b"Content-Disposition: inline; filename=report.xml.gz"),
        (b"Content-Type: application/zip; name=report.xml.gz",),
        (b'Content-Type: application/octet-stream;\r\n name="report.xml.gz"',),
        (b'Content-Type: text/plain; name="report.xml.gz"',),
        (b'Content-Type: text/html; name="a/b\\\\report.xml.gz"',),
        (b"Content-Disposition: attachment; filename=report.xml.gz",),
        (b'Content-Disposition: attachment; filename*0="report"; filename*1=".xml.gz"',),
        (b"Content-Disposition: attachment; filename*=utf-8''..%2Freport%E2%80%AE.xml.gz",),
        (b'Content-Type: application/gzip; name="=?utf-8?B?cmVwb3J0LnhtbC5neg==?="',),
        (b"ContentType: application/gzip", b"Content-Disposition: attachment; filename=report.xml.gz"),
    ],
)
def test_a_name_is_shown_however_it_is_written(fields: tuple[bytes, ...]) -> None:
    (found,) = outcomes(mail(TEXT_PART, part(PACKED, *fields)))
    assert (found.origin, found.octets) == ("#2/report.xml.gz", REPORT)


@pytest.mark.parametrize(
    "octets",
    [
        FIELDS + b"Content-Type: text/xml\r\n\r\n" + REPORT,
        FIELDS + b"\r\n" + REPORT,
        FIELDS + part(REPORT, b"Content-Type: text/plain"),
        FIELDS + part(REPORT, b"Content-Type: text/plain", encoding="quoted-printable"),
        FIELDS + part(PACKED, b"Content-Type: application/gzip"),
        b"From reports@receiver.example Thu Jan  1 00:00:00 2026\n" + FIELDS + b"\r\n" + REPORT,
        b"\xef\xbb\xbf\r\n" + FIELDS + b"\r\n" + REPORT,
        FIELDS.replace(b"Thu, 1 Jan", b"nonsense") + b"\r\n" + REPORT,
        FIELDS + b"X-Odd: \0\xe4\xff\r\n\r\n" + REPORT,
        FIELDS.replace(b"\r\n", b"\n") + b"\n" + REPORT,
        FIELDS + REPORT,
    ],
)
def test_a_report_is_found_as_the_whole_body(octets: bytes) -> None:
    (found,) = outcomes(octets)
    assert (found.origin, found.what, found.octets.strip()) == ("#1", "aggregate", REPORT.strip())


def test_reports_are_found_in_forwarded_mails() -> None:
    inner = mail(TEXT_PART, gzip_part())
    once = mail(TEXT_PART, b"Content-Type: message/rfc822\r\n\r\n" + inner)
    twice = mail(TEXT_PART, part(once, b"Content-Type: message/rfc822"))
    named = mail(part(inner, b'Content-Type: application/octet-stream; name="forwarded.eml"', encoding="8bit"))
    digest = mail(b"\r\n" + inner, kind="digest")
    assert outcomes(once) == [report("#2/#2/report.xml.gz")]
    assert outcomes(twice) == [report("#2/#2/#2/report.xml.gz")]
    assert outcomes(named) == [report("#1/forwarded.eml/#2/report.xml.gz")]
    assert outcomes(digest) == [report("#1/#2/report.xml.gz")]


def test_a_forwarded_mail_whose_header_starts_with_junk_is_a_mail() -> None:
    inner = b"\x80 junk\r\nX-Y: z\r\n" + mail(TEXT_PART, gzip_part())
    assert outcomes(mail(b"Content-Type: message/rfc822\r\n\r\n" + inner)) == [report("#1/#2/report.xml.gz")]


def test_several_reports_in_one_mail_are_several() -> None:
    content = mail(
        gzip_part(b"a.gz"),
        part(zipped({"b.xml": OTHER_REPORT, "c.xml": REPORT}), b"Content-Type: application/zip"),
        part(TLS_REPORT, b"Content-Type: application/tlsrpt+json", encoding="7bit"),
        part(gzip.compress(TLS_REPORT), b"Content-Type: application/tlsrpt+gzip"),
    )
    assert [(one.origin, one.what) for one in outcomes(content)] == [
        ("#1/a.gz", "aggregate"),
        ("#2/b.xml", "aggregate"),
        ("#2/c.xml", "aggregate"),
        ("#3", "tls"),
        ("#4", "tls"),
    ]


def test_what_is_attached_and_no_report_is_accounted_for() -> None:
    content = mail(
        TEXT_PART,
        part(HTML, b"Content-Type: text/html"),
        part(b"<svg/>", b"Content-Type: image/svg+xml; name=logo.svg"),
        part(b"\x89PNG\r\n", b"Content-Type: image/png; name=logo.png"),
        part(b"", b"Content-Type: application/octet-stream; name=ATT00001"),
        part(HTML, b"Content-Type: text/html; name=page.html"),
        part(gzip.compress(b"unused"), b"Content-Type: application/gzip; name=a.xml.gz"),
        part(b"<other/>", b"Content-Type: application/xml"),
        gzip_part(),
    )
    assert outcomes(content) == [
        Outcome("#6/page.html", "not-dmarc-xml"),
        Outcome("#7/a.xml.gz", "unrecognised"),
        Outcome("#8", "not-dmarc-xml"),
        report("#9/report.xml.gz"),
    ]


def test_a_text_about_reports_is_none_but_a_damaged_report_in_a_text_is_one() -> None:
    about = b"\r\nYour <feedback> element is not closed."
    damaged = b"\r\nForwarded:\r\n" + REPORT
    assert outcomes(FIELDS + about) == [Outcome("", "no-report")]
    assert outcomes(FIELDS + damaged) == [report("#1", octets=damaged[2:])]
    assert outcomes(mail(part(about, b"Content-Type: text/plain; name=a.xml"))) == [report("#1/a.xml", octets=about)]


@pytest.mark.parametrize("encoding", ["7bit", "base64", "quoted-printable"])
@pytest.mark.parametrize(("fields", "kind"), [(FAILURE_FIELDS, "failure"), (FEEDBACK_FIELDS, "feedback")])
def test_a_feedback_report_is_the_whole_mail(encoding: str, fields: bytes, kind: str) -> None:
    original = b"Content-Type: message/rfc822\r\n\r\n" + mail(gzip_part())
    content = mail(TEXT_PART, part(fields, b"Content-Type: message/feedback-report", encoding=encoding), original)
    assert outcomes(content) == [Outcome("", kind, content)]
    forwarded = mail(b"Content-Type: message/rfc822\r\n\r\n" + content)
    (found,) = outcomes(forwarded)
    assert (found.origin, found.what, found.octets.strip()) == ("#1", kind, content.strip())


def test_a_feedback_report_is_known_by_its_declared_type_when_its_fields_are_odd() -> None:
    content = mail(TEXT_PART, b"Content-Type: message/feedback-report\r\n\r\nVersion: 1\r\nDate: x\r\n")
    assert outcomes(content) == [Outcome("", "feedback", content)]


def test_a_feedback_report_on_its_own_is_one() -> None:
    assert outcomes(FEEDBACK_FIELDS) == [Outcome("", "feedback", FEEDBACK_FIELDS)]


def test_the_text_that_exim_sends_is_a_failure_report() -> None:
    text = b"A message claiming to be from you has failed the published DMARC policy for your domain.\r\n"
    content = mail(b"Content-Type: text/plain\r\n\r\n" + text + b"  Sender Domain: example.com\r\n", kind="report")
    assert outcomes(content) == [Outcome("", "failure", content)]
    quoted = mail(b"Content-Type: text/plain\r\n\r\n> " + text)
    assert outcomes(quoted) == [Outcome("", "no-report")]


def test_a_mail_over_the_limit_is_refused() -> None:
    content = mail(TEXT_PART, gzip_part())
    limits = Limits(mail_bytes=len(content) - 1)
    assert outcomes(content, limits) == [Outcome("", "too-big")]
    assert outcomes(io.BytesIO(content), limits) == [Outcome("", "too-big")]
    assert outcomes(gzip.compress(content), limits) == [Outcome("", "too-big")]


def test_nested_archives_are_held_in_memory_within_the_limit() -> None:
    inner = zipped({"a.xml": HUGE_REPORT}, zipfile.ZIP_STORED)
    outer = gzip.compress(zipped({"inner.zip": inner}, zipfile.ZIP_STORED))
    assert outcomes(outer, Limits(mail_bytes=2 * len(inner) + KIB)) == [report("/inner.zip/a.xml", octets=HUGE_REPORT)]
    for most in (len(inner), 2 * len(inner)):
        assert [one.what for one in outcomes(outer, Limits(mail_bytes=most))] == ["too-big"]


def test_a_large_mail_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "large.eml"
    path.write_bytes(mail(part(bytes(2 * MIB), b"Content-Type: image/png"), gzip_part()))
    with path.open("rb") as file:
        assert outcomes(file) == [report("#2/report.xml.gz")]
