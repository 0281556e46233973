"""Builds the octets that the tests of unpacking are about: reports, archives and mails."""

import base64
import binascii
import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from dmarcops.errors import UnpackError
from dmarcops.report.limits import Limits
from dmarcops.report.model import Kind
from dmarcops.report.unpack import Payload, Rejected, unpack

REPORT = b"""<?xml version="1.0" encoding="UTF-8"?>
<feedback>
  <report_metadata>
    <org_name>receiver.example</org_name>
    <report_id>1</report_id>
  </report_metadata>
  <policy_published><domain>example.com</domain><p>none</p></policy_published>
  <record><row><source_ip>192.0.2.1</source_ip><count>3</count></row></record>
</feedback>
"""
OTHER_REPORT = REPORT.replace(b"<report_id>1<", b"<report_id>2<")
TLS_REPORT = (
    b'{"organization-name": "receiver.example", "date-range": {"start-datetime": "2026-01-01T00:00:00Z",'
    b' "end-datetime": "2026-01-01T23:59:59Z"}, "contact-info": null, "report-id": "1", "policies": []}'
)
FEEDBACK_FIELDS = b"Feedback-Type: abuse\r\nUser-Agent: Receiver/1.0\r\nVersion: 1\r\n"
FAILURE_FIELDS = b"Feedback-Type: auth-failure\r\nUser-Agent: Receiver/1.0\r\nVersion: 1\r\nAuth-Failure: dmarc\r\n"
TEXT_PART = b"Content-Type: text/plain; charset=utf-8\r\n\r\nThis is a DMARC report.\r\n"
FIELDS = (
    b"Received: from mx.receiver.example by mx.example.com; Thu, 1 Jan 2026 00:00:00 +0000\r\n"
    b"From: reports@receiver.example\r\nTo: dmarc@example.com\r\nSubject: Report Domain: example.com\r\n"
    b"Date: Thu, 1 Jan 2026 00:00:00 +0000\r\nMIME-Version: 1.0\r\n"
)


@dataclass(frozen=True)
class Outcome:
    """What became of one thing: its kind or code, and for a report what was read and how often it was repaired."""

    origin: str
    what: str
    octets: bytes = b""
    repairs: tuple[str, ...] = ()


def outcomes(source: bytes | BinaryIO, limits: Limits | None = None) -> list[Outcome]:
    """Unpack and read everything; an error met while reading counts as that payload's outcome."""
    return [_outcome(found) for found in unpack(source, limits=limits)]


def _outcome(found: Payload | Rejected) -> Outcome:
    if isinstance(found, Rejected):
        return Outcome(found.origin, found.code)
    try:
        with found.open() as stream:
            octets = stream.read()
    except UnpackError as error:
        return Outcome(found.origin, error.code)
    return Outcome(found.origin, str(found.kind), octets, tuple(repair.code for repair in found.repairs))


def report(origin: str, *repairs: str, octets: bytes = REPORT) -> Outcome:
    """What a report that was found looks like."""
    return Outcome(origin, str(Kind.AGGREGATE), octets, repairs)


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Write a zip archive, the same one each time."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = 0o600 << 16
            archive.writestr(member, content, compress_type=method)
    return file.getvalue()


def tarred(members: Mapping[str, bytes], form: int = tarfile.USTAR_FORMAT) -> bytes:
    """Write a tar archive; a name that ends with a slash is a folder."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def part(content: bytes, *fields: bytes, encoding: str = "base64") -> bytes:
    """Write a MIME part, its body encoded and the encoding declared."""
    header = b"".join(field + b"\r\n" for field in (*fields, b"Content-Transfer-Encoding: " + encoding.encode()))
    return header + b"\r\n" + encoded(content, encoding)


def encoded(content: bytes, encoding: str) -> bytes:
    """Encode a body for transfer."""
    if encoding == "base64":
        return base64.encodebytes(content).replace(b"\n", b"\r\n")
    if encoding == "quoted-printable":
        return binascii.b2a_qp(content, istext=False).replace(b"=\n", b"=\r\n")
    if encoding.endswith("uuencode"):
        lines = [binascii.b2a_uu(content[at : at + 45]) for at in range(0, len(content), 45)]
        return b"begin 644 report.gz\n" + b"".join(lines) + b"`\nend\n"
    return content


def multipart(parts: Sequence[bytes], kind: str = "mixed", boundary: str = "") -> bytes:
    """Write the Content-Type field and the body of a multipart, by default with a boundary that no other has."""
    boundary = boundary or "=_" + hashlib.sha256(b"".join(parts)).hexdigest()[:16]
    delimiter = f"--{boundary}".encode()
    body = b"".join(delimiter + b"\r\n" + one + b"\r\n" for one in parts)
    field = f'Content-Type: multipart/{kind};\r\n boundary="{boundary}"\r\n\r\n'.encode()
    return field + b"A multipart.\r\n" + body + delimiter + b"--\r\nEpilogue.\r\n"


def mail(*parts: bytes, kind: str = "mixed") -> bytes:
    """Write a mail of the parts."""
    return FIELDS + multipart(parts, kind)


def gzip_part(name: bytes = b"report.xml.gz", content: bytes = REPORT) -> bytes:
    """Write the part that RFC 9990 section 3.5.2 asks for."""
    disposition = b'Content-Disposition: attachment; filename="' + name + b'"'
    return part(gzip.compress(content), b"Content-Type: application/gzip", disposition)
