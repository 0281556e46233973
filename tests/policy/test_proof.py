"""Proofs of signatures by keys."""

from base64 import b64encode
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from dmarcops.errors import ConfigError
from dmarcops.policy.proof import Ring
from dmarcops.policy.signoff import Signoff, Statement, sign
from signing_keys import pem as key_of

KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
SIGNOFF = sign(
    Signoff(Statement(domain="example.com", record_now="a", record_next="b", evidence={})),
    by="Kim",
    at=datetime(2026, 1, 1, tzinfo=UTC),
)
SEAL = SIGNOFF.signatures[0].seal


def pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public(key: Ed25519PrivateKey) -> str:
    return b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def test_no_key_asks_for_no_proof() -> None:
    assert Ring().prove(SEAL) == ""
    assert Ring().unproved(SIGNOFF, [""]) == ()


def test_a_proof_is_that_of_the_seal_and_of_a_key_that_is_trusted() -> None:
    proof = Ring(pem(KEY)).prove(SEAL)
    assert Ring(pem(KEY)).unproved(SIGNOFF, [proof]) == ()
    assert Ring(trusted=[public(OTHER), public(KEY)]).unproved(SIGNOFF, [proof]) == ()
    for ring, given in ((Ring(pem(OTHER)), proof), (Ring(pem(KEY)), ""), (Ring(pem(KEY)), "no Base64")):
        (told,) = ring.unproved(SIGNOFF, [given])
        assert told == "the signature of Kim is not proved by a key that is trusted"
    assert not Ring(pem(KEY)).is_proved(SEAL + "x", proof)


def test_who_trusts_keys_and_has_none_proves_nothing() -> None:
    with pytest.raises(ConfigError, match="no signing_key"):
        Ring(trusted=[public(KEY)]).prove(SEAL)


@pytest.mark.parametrize("text", [b"no key", key_of("rsa")])
def test_what_is_no_signing_key_is_not_shown(text: bytes) -> None:
    with pytest.raises(ConfigError) as caught:
        Ring(text)
    assert caught.value.__cause__ is None
    assert "signing key" in str(caught.value)


@pytest.mark.parametrize("text", ["no Base64", b64encode(b"short").decode()])
def test_what_is_no_public_key_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="32 octets"):
        Ring(trusted=[text])
