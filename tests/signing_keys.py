"""Keys for tests, made once each, and what of them must never be seen."""

from functools import cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from dmarcops.ports import SigningKey
from dmarcops.report.model import Domain, Selector

DOMAIN = Domain("example.com")


@cache
def pem(selector: str, algorithm: str = "rsa", bits: int = 2048) -> bytes:
    """Make the private key of a selector; the same each time."""
    del selector
    private = Ed25519PrivateKey.generate() if algorithm == "ed25519" else generate_private_key(65537, bits)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def signing_key(selector: str, algorithm: str = "rsa", *, domain: str = DOMAIN, bits: int = 2048) -> SigningKey:
    """Give the key of a selector."""
    return SigningKey(Domain(domain), Selector(selector), algorithm, pem(selector, algorithm, bits))


def secrets_of(key: SigningKey) -> list[str]:
    """Give the lines of a private key, none of which may be in an error."""
    return [line for line in key.pem.decode().splitlines() if not line.startswith("-----")]
