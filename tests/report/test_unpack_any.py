"""Whatever the octets are, the answer is payloads and rejections, and reading a payload raises only `UnpackError`."""

import gzip
import zipfile
import zlib

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dmarcops.errors import UnpackError
from dmarcops.report.limits import Limits
from dmarcops.report.unpack import Payload, Rejected, unpack
from report.build import (
    FAILURE_FIELDS,
    FIELDS,
    REPORT,
    TEXT_PART,
    TLS_REPORT,
    encoded,
    gzip_part,
    mail,
    multipart,
    part,
    tarred,
    zipped,
)
from report.ole import message, outlook_file

OUTCOMES = {
    **dict.fromkeys(("no-report", "empty", "not-dmarc-xml", "unrecognised"), "not-a-report"),
    **dict.fromkeys(("encrypted", "unknown-container"), "unsupported"),
    **dict.fromkeys(("too-big", "too-big-unpacked", "too-many-members", "nested-too-deep", "mime-too-deep"), "corrupt"),
    **dict.fromkeys(("corrupt-gzip", "corrupt-zlib", "corrupt-zip", "corrupt-tar", "corrupt-msg"), "corrupt"),
    "truncated": "retry",
}
SMALL = Limits(mail_bytes=4_000, bytes_out=6_000, members=8, nesting=2, mime_depth=2)
VALID = [
    REPORT,
    gzip.compress(REPORT),
    gzip.compress(REPORT[:200]) + gzip.compress(REPORT[200:]) + b"\r\n",
    zlib.compress(REPORT),
    *(
        zipped({"a.xml": REPORT, "b.gz": gzip.compress(REPORT)}, method)
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    ),
    tarred({"a.xml": REPORT, "b.xml": REPORT}),
    zipped({"a.zip": zipped({"b.zip": zipped({"c.xml": REPORT})})}),
    mail(TEXT_PART, gzip_part()),
    mail(TEXT_PART, gzip_part(), part(zipped({"a.xml": REPORT})), part(TLS_REPORT, encoding="quoted-printable")),
    mail(multipart([TEXT_PART, multipart([gzip_part()])]), part(mail(gzip_part()), b"Content-Type: message/rfc822")),
    mail(TEXT_PART, part(FAILURE_FIELDS, b"Content-Type: message/feedback-report")),
    mail(b"Content-Type: application/gzip;\r\nname=x\r\n\r\n" + encoded(gzip.compress(REPORT), "base64")),
    mail(part(gzip.compress(REPORT), encoding="x-uuencode")),
    mail(part(REPORT, b'Content-Disposition: x; filename*0*="utf-8\'\'%41"; filename*1="=?utf-8?Q?=41?="')),
    FIELDS + b"\r\n" + REPORT,
    outlook_file(("r.gz", gzip.compress(REPORT)), ("", message(("b.xml", REPORT))), text="Hello"),
]


def check(octets: bytes, limits: Limits | None) -> None:
    found = list(unpack(octets, limits=limits))
    assert found
    for one in found:
        assert one.origin.isprintable()
        if isinstance(one, Rejected):
            assert (OUTCOMES[one.code], len(one.sha256)) == (one.outcome, 64)
        else:
            check_readable(one)


def check_readable(payload: Payload) -> None:
    first, second = read(payload), read(payload)
    if isinstance(first, UnpackError):
        assert OUTCOMES[first.code] == first.outcome
        assert isinstance(second, UnpackError)
        assert first.code == second.code
    else:
        assert first == second


def read(payload: Payload) -> bytes | UnpackError:
    try:
        with payload.open() as stream:
            return stream.read()
    except UnpackError as error:
        return error


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    octets = bytearray(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(octets)))
        stop = min(len(octets), start + draw(st.sampled_from((0, 1, 2, 8, 200, 10_000))))
        other = draw(st.sampled_from(VALID))
        at = draw(st.integers(0, len(other)))
        octets[start:stop] = draw(
            st.one_of(
                st.binary(max_size=8),
                st.sampled_from(
                    (b"\r\n", b"\n\n", b"\0", b"\xff\xff\xff\xff", b"--", b"<", b'"', b";", b"*0*=", b"PK\1\2")
                ),
                st.just(other[at : at + 300]),
            )
        )
    return bytes(octets)


@given(st.binary(max_size=600), st.sampled_from((None, SMALL)))
@settings(max_examples=300, deadline=None)
def test_any_octets_give_payloads_or_rejections(octets: bytes, limits: Limits | None) -> None:
    check(octets, limits)


@given(
    st.sampled_from((b"\x1f\x8b\x08", b"PK\3\4", b"x\x9c", FIELDS, FIELDS + b"\r\n", b"<", b"{")),
    st.binary(max_size=300),
)
@settings(max_examples=300, deadline=None)
def test_any_octets_after_a_magic_give_payloads_or_rejections(magic: bytes, octets: bytes) -> None:
    check(magic + octets, None)


@given(mutated(), st.sampled_from((None, SMALL)))
@settings(max_examples=1_000, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_damaged_mails_and_archives_give_payloads_or_rejections(octets: bytes, limits: Limits | None) -> None:
    check(octets, limits)
