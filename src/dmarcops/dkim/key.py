"""
Private keys: made, written as PKCS#8 PEM, read from PKCS#8 or PKCS#1. Where they are kept is none of its business.

RSA by RFC 8301: 2048 bits or more, 1024 only by override, less never. Ed25519 by RFC 8463. A private key shows nothing
of itself in a text, and is neither compared nor pickled. Does no I/O; making a key takes chance from the system.
"""

from typing import NoReturn

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from dmarcops.dkim.record import LEAST_BITS, Algorithm, Record
from dmarcops.errors import ConfigError, UnsafeChangeError

DEFAULT_BITS = 2048
"""Bits of an RSA key when nothing else is asked for, and the least without an override (RFC 8301 section 3.2)."""
RSA_BITS = (2048, 3072, 4096)
"""Sizes of RSA keys that are made; verifiers must take up to 4096 bits."""
ED25519_BITS = 256
"""Bits of an Ed25519 key."""
_EXPONENT = 65537


class PrivateKey:
    """A private key, by `generate_key` or `parse_key`."""

    __slots__ = ("_key",)

    def __init__(self, key: RSAPrivateKey | Ed25519PrivateKey) -> None:
        self._key = key

    def __repr__(self) -> str:
        return f"PrivateKey({self.algorithm}, {self.bits} bits)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled")

    @property
    def algorithm(self) -> Algorithm:
        """Its type."""
        return Algorithm.RSA if isinstance(self._key, RSAPrivateKey) else Algorithm.ED25519

    @property
    def bits(self) -> int:
        """Its size."""
        return self._key.key_size if isinstance(self._key, RSAPrivateKey) else ED25519_BITS

    @property
    def public_key(self) -> bytes:
        """The public key as it stands in `p`: SubjectPublicKeyInfo for RSA, the 32 octets for Ed25519."""
        if isinstance(self._key, RSAPrivateKey):
            return self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def record(self) -> Record:
        """The record that publishes it."""
        return Record(public_key=self.public_key, key_type=self.algorithm.value)

    def pem(self, passphrase: bytes | None = None) -> bytes:
        """Return it as PKCS#8 PEM, encrypted when there is a passphrase."""
        cipher: KeySerializationEncryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, cipher)


def generate_key(algorithm: Algorithm, bits: int = DEFAULT_BITS, *, override: bool = False) -> PrivateKey:
    """
    Make a key.

    Args:
        algorithm: Its type.
        bits: Size of an RSA key; an Ed25519 key has but one.
        override: Take 1024 bits too.

    Raises:
        ConfigError: There are no keys of that size.
        UnsafeChangeError: The key would be too short.
    """
    if algorithm is Algorithm.ED25519:
        return PrivateKey(Ed25519PrivateKey.generate())
    _check_size(bits, override=override)
    if bits not in {LEAST_BITS, *RSA_BITS}:
        sizes = ", ".join(str(size) for size in RSA_BITS)
        raise ConfigError(f"RSA keys of {bits} bits are not made", hint=f"bits is one of {sizes}")
    return PrivateKey(generate_private_key(_EXPONENT, bits))


def parse_key(pem: bytes, passphrase: bytes | None = None, *, override: bool = False) -> PrivateKey:
    """
    Read a key: PKCS#8, encrypted or not, or PKCS#1.

    Args:
        pem: The PEM text.
        passphrase: What it is encrypted with; not used when it is not.
        override: Take an RSA key of 1024 bits or more, not only of 2048.

    Raises:
        ConfigError: It cannot be read; the text does not appear in the error.
        UnsafeChangeError: The key is too short.
    """
    try:
        key = _load(pem, passphrase)
    except TypeError as error:
        raise ConfigError("the private key is encrypted", hint="give its passphrase") from error
    except (ValueError, UnsupportedAlgorithm):
        # `from None`: nothing of a private key's text may get into an error
        raise ConfigError(
            "the private key cannot be read", hint="it is PEM, PKCS#8 or PKCS#1; when encrypted, see to the passphrase"
        ) from None
    if isinstance(key, RSAPrivateKey):
        _check_size(key.key_size, override=override)
    elif not isinstance(key, Ed25519PrivateKey):
        raise ConfigError("the private key is neither RSA nor Ed25519", hint="DKIM has no other keys (RFC 8463)")
    return PrivateKey(key)


def is_encrypted(pem: bytes) -> bool:
    """Whether a key needs a passphrase: PKCS#8 says so in its first line, PKCS#1 in a field (RFC 1421 4.6.1.1)."""
    return b"ENCRYPTED" in pem


def _load(pem: bytes, passphrase: bytes | None) -> object:
    if not is_encrypted(pem):
        # A passphrase for a key that needs none is an error of the library, not of ours.
        return load_pem_private_key(pem, None)
    return load_pem_private_key(pem, passphrase or None)


def _check_size(bits: int, *, override: bool) -> None:
    if bits < LEAST_BITS:
        raise UnsafeChangeError(
            "key-size", f"no verifier takes an RSA key of {bits} bits (RFC 8301 section 3.2)", hint="use 2048 bits"
        )
    if bits < DEFAULT_BITS and not override:
        raise UnsafeChangeError(
            "key-size", f"an RSA key of {bits} bits is short", hint="use 2048 bits, or override the guard key-size"
        )
