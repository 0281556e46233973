"""What is known of the mail that carried a report, from its trusted fields and its own signatures."""

from io import BytesIO
from pathlib import Path

import pytest

from dmarcops.flows.carrier import authenticity
from dmarcops.flows.look import Found, look
from dmarcops.flows.rules import Rules
from dmarcops.report.limits import Limits
from sources import Held, document

PASS = b"Authentication-Results: mx.example.com; dmarc=pass header.from=receiver.example\r\n"
MAIL = (
    b"From: dmarc@receiver.example\r\nTo: rua@example.com\r\nSubject: Report Domain: example.com\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: text/xml\r\n\r\n"
)


def rules(folder: Path, *authserv_ids: str) -> Rules:
    return Rules(limits=Limits(), kept_bytes=0, folder=folder, authserv_ids=authserv_ids)


@pytest.mark.parametrize(
    ("field", "ids", "expected"),
    [
        (PASS, ("mx.example.com",), "authenticated"),
        (PASS, (), "unknown"),
        (PASS.replace(b"mx.", b"evil."), ("mx.example.com",), "unauthenticated"),
        (PASS.replace(b"=pass", b"=fail"), ("mx.example.com",), "unauthenticated"),
        (b"", ("mx.example.com",), "unauthenticated"),
    ],
)
def test_report_has_what_is_known_of_its_carrier(
    tmp_path: Path, field: bytes, ids: tuple[str, ...], expected: str
) -> None:
    [found] = look(Held("a.eml", field + MAIL + document(1)), rules(tmp_path, *ids)).payloads
    assert isinstance(found, Found)
    assert found.authenticated == expected


def test_nothing_is_known_of_what_is_no_mail(tmp_path: Path) -> None:
    assert authenticity(BytesIO(document(1)), rules(tmp_path, "mx.example.com")) == "unknown"
