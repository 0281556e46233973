"""What is known of the mail that carried a report, from its trusted fields and its own signatures."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from dmarcops.flows.carrier import Carrier, carrier_of
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
    assert found.carrier == ("receiver.example" if expected == "authenticated" else "")


def test_an_organization_is_the_carriers_be_its_author_domain_below_it(tmp_path: Path) -> None:
    mail = (PASS + MAIL + document(1)).replace(b"receiver.example\r\n", b"dmarc.receiver.example\r\n")
    [found] = look(Held("a.eml", mail), rules(tmp_path, "mx.example.com")).payloads
    assert isinstance(found, Found)
    assert (found.authenticated, found.carrier) == ("authenticated", "receiver.example")


def test_nothing_is_known_of_what_is_no_mail(tmp_path: Path) -> None:
    assert carrier_of(BytesIO(document(1)), rules(tmp_path, "mx.example.com")) == Carrier("unknown")


def test_signature_of_the_carrier_is_checked_where_dns_is_at_hand(tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    mail = MAIL + document(1).replace(b"\n", b"\r\n")
    dkimpy: Any = import_module("dkim")
    signed = dkimpy.sign(mail, b"s1", b"receiver.example", pem, include_headers=[b"From", b"Subject"]) + mail
    records = {"s1._domainkey.receiver.example": (b"v=DKIM1; k=rsa; p=" + b64encode(public),)}
    checked = replace(rules(tmp_path), resolver=Names(records))
    assert carrier_of(BytesIO(signed), checked) == Carrier("authenticated", "receiver.example")
    assert carrier_of(BytesIO(signed.replace(b"receiver.example<", b"forger.example<")), checked) == Carrier("unknown")
    assert carrier_of(BytesIO(mail), checked) == Carrier("unknown")
    assert carrier_of(BytesIO(signed), replace(checked, resolver=Names({}))) == Carrier("unknown")


@dataclass(frozen=True)
class Names:
    """DNS with these TXT records."""

    records: Mapping[str, tuple[bytes, ...]]

    def txt(self, name: str) -> tuple[bytes, ...] | None:
        """Give them."""
        return self.records.get(name.rstrip("."))
