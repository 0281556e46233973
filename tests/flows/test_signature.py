import base64
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib import import_module
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from dmarcops.dkim.evidence import OwnCheck
from dmarcops.errors import DnsError
from dmarcops.flows.signature import MAX_MAIL, check_signature, verified_domains

DKIMPY: Any = import_module("dkim")
BODY = b"From: a@example.com\r\nTo: b@example.org\r\nSubject: x\r\n\r\nHello\r\n"
NAME = "s1._domainkey.example.com"


class Names:
    """A resolver that knows the TXT records it is given; `None` stands for no answer."""

    def __init__(self, records: Mapping[str, tuple[bytes, ...] | None]) -> None:
        self._records = records

    def txt(self, name: str) -> tuple[bytes, ...] | None:
        records = self._records.get(name, ())
        if records is None:
            raise DnsError("no answer", transient=True)
        return records


@cache
def key_of(bits: int) -> tuple[bytes, bytes]:
    """Give a private key in PEM and its TXT record."""
    key = rsa.generate_private_key(65537, bits)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return pem, b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)


def rsa_key(bits: int = 2048) -> tuple[bytes, bytes]:
    return key_of(bits)


def signed(
    body: bytes = BODY,
    *,
    selector: bytes = b"s1",
    domain: bytes = b"example.com",
    bits: int = 2048,
    **options: Any,  # noqa: ANN401
) -> bytes:
    signature: bytes = DKIMPY.DKIM(body).sign(selector, domain, rsa_key(bits)[0], **options)
    return signature + body


def ed25519_signed(body: bytes = BODY) -> tuple[bytes, bytes]:
    """Give a mail with an Ed25519 signature (RFC 8463 section 3), made without PyNaCl, and the TXT record."""
    key = Ed25519PrivateKey.generate()
    hashed = base64.b64encode(sha256(b"Hello\r\n").digest())
    field = b"v=1; a=ed25519-sha256; c=relaxed/simple; d=example.com; s=s1; h=from; bh=" + hashed + b"; b="
    text = b"from:a@example.com\r\ndkim-signature:" + field
    b = base64.b64encode(key.sign(sha256(text).digest()))
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return b"DKIM-Signature: " + field + b + b"\r\n" + body, b"v=DKIM1; k=ed25519; p=" + base64.b64encode(public)


def check(mail: bytes, *records: bytes, selector: str = "s1", no_answer: bool = False) -> OwnCheck:
    resolver = Names({NAME: None if no_answer else records})
    return check_signature(mail, domain="Example.com", selector=selector, resolver=resolver)


def test_check_signature_passes_what_verifies() -> None:
    assert check(signed(), rsa_key()[1]) is OwnCheck.PASS
    assert check(signed().replace(b"\r\n", b"\n"), rsa_key()[1]) is OwnCheck.PASS


def test_check_signature_passes_ed25519() -> None:
    mail, record = ed25519_signed()
    assert check(mail, record) is OwnCheck.PASS
    assert check(mail.replace(b"a@example.com", b"b@example.com"), record) is OwnCheck.FAIL
    assert check(mail, ed25519_signed()[1]) is OwnCheck.FAIL


@pytest.mark.parametrize(
    "record",
    [
        rsa_key(1024)[1],
        b"v=DKIM1; k=rsa; p=",
        b"v=DKIM1; k=rsa",
        b"v=DKIM1; k=ed25519; p=AAAA",
        b"v=DKIM1; k=ed25519",
        b"v=DKIM1; k=ed25519; p=\xff",
        b"v=DKIM1; k=x; p=AAAA",
        b"v=spf1 -all",
        b"p=AAAA",
        b"p=A",
        b"",
        b"\xff\x00",
        b"v=DKIM1; p=" + b"A" * 4096,
        rsa_key()[1] + b"; p=",
    ],
)
def test_check_signature_fails_when_the_key_is_wrong(record: bytes) -> None:
    assert check(signed(), record) is OwnCheck.FAIL


def test_check_signature_fails_when_there_is_no_key() -> None:
    assert check(signed()) is OwnCheck.FAIL


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Hello", b"Hullo"),
        (b"Subject: x", b"Subject: y"),
        (b"a=rsa-sha256", b"a=rsa-sha1"),
        (b"a=rsa-sha256", b"a=rsa-md5"),
        (b"v=1;", b"v=2;"),
        (b"c=relaxed/simple", b"c=x"),
        (b"v=1;", b"v=1; l=x;"),
        (b"From: a@", b"From: z@example.com\r\nFrom: a@"),
    ],
)
def test_check_signature_fails_when_the_mail_or_the_signature_was_changed(old: bytes, new: bytes) -> None:
    assert check(signed().replace(old, new, 1), rsa_key()[1]) is OwnCheck.FAIL


def test_check_signature_fails_when_the_key_is_too_short() -> None:
    assert check(signed(), b"v=DKIM1; p=MAoCAwEAAQIDAQAB") is OwnCheck.FAIL
    assert check(signed(bits=1024), rsa_key(1024)[1]) is OwnCheck.PASS


@pytest.mark.parametrize(
    "mail",
    [
        b"",
        BODY,
        b"DKIM-Signature: d=example.com; s=other; v=1\r\n" + BODY,
        b" folded\r\n" + signed(),
        b"junk\r\n" + signed(),
        b"DKIM-Signature: v=1; d=example.com; s=s1; h=" + b"a:" * 300 + b"\r\n" + BODY,
        b"DKIM-Signature: v=1; d=example.com; s=s1;" + b"\r\n " * 60 + b"\r\n" + BODY,
        b"DKIM-Signature: v=1; d=example.com; s=s1; b=" + b"a" * 20_000 + b"\r\n" + BODY,
        b"A: " + b"x\r\n " * 5_001 + b"\r\n" + signed(),
        b"A: " + b"x" * 300_000 + b"\r\n" + signed(),
        b"A: " + b"x" * 300_000,
        signed() + (b" " * 12_000 + b"x") * 2,
        signed() + b"x" * MAX_MAIL,
        signed() + b"\n" * 1_000_001,
    ],
)  # fmt: skip
def test_check_signature_is_unknown_when_it_cannot_be_checked(mail: bytes) -> None:
    assert check(mail, rsa_key()[1]) is OwnCheck.UNKNOWN


def test_check_signature_is_unknown_when_dns_leaves_it_open() -> None:
    assert check(signed(), no_answer=True) is OwnCheck.UNKNOWN
    assert check(signed(), rsa_key()[1], b"v=spf1") is OwnCheck.UNKNOWN


def test_check_signature_is_unknown_when_the_signature_may_have_expired() -> None:
    assert check(signed().replace(b"v=1;", b"v=1; x=1;", 1), rsa_key()[1]) is OwnCheck.UNKNOWN


def test_check_signature_is_about_the_selector_that_is_asked_for() -> None:
    mail = signed(signed(), selector=b"s2")
    assert check(mail, rsa_key()[1]) is OwnCheck.PASS
    assert check(mail, rsa_key()[1], selector="s2") is OwnCheck.FAIL
    assert check(mail, rsa_key()[1], selector="s3") is OwnCheck.UNKNOWN


def test_check_signature_is_unknown_when_two_by_one_selector_differ() -> None:
    broken = signed().partition(b"From: a@")[0].replace(b"bh=", b"bh=A")
    assert check(broken + signed(), rsa_key()[1]) is OwnCheck.UNKNOWN
    assert check(signed(signed()), rsa_key()[1]) is OwnCheck.PASS


def test_verified_domains_are_those_whose_whole_body_is_signed() -> None:
    mail = signed(signed(signed(length=True, domain=b"part.example"), domain=b"other.example"))
    mail = b"DKIM-Signature: nonsense\r\n" + mail
    record = (rsa_key()[1],)
    names = {f"s1._domainkey.{x}": record for x in ("example.com", "other.example", "part.example")}
    assert verified_domains(mail, Names(names)) == {"example.com", "other.example"}
    assert verified_domains(mail, Names({NAME: record})) == {"example.com"}
    assert verified_domains(BODY, Names(names)) == frozenset()


def test_an_ed25519_key_does_not_verify_an_rsa_signature() -> None:
    assert check(signed(), ed25519_signed()[1]) is OwnCheck.FAIL


@given(st.binary(max_size=200))
def test_check_signature_never_raises(octets: bytes) -> None:
    for mail in (octets, b"DKIM-Signature: d=example.com; s=s1; " + octets + b"\r\n\r\n", signed() + octets):
        assert check(mail, rsa_key()[1]) in OwnCheck
    assert check(signed(), octets) in (OwnCheck.FAIL, OwnCheck.UNKNOWN)
    assert check(signed(), b"v=DKIM1; p=" + base64.b64encode(octets)) is OwnCheck.FAIL
