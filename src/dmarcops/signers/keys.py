"""
What a signer has to know of a key: that it can be loaded, what it is, and its public half. Does no I/O.

No error and no representation holds any part of a private key.
"""

import re
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from dmarcops.errors import ConfigError, SignerError, UnsafeChangeError
from dmarcops.ports import SigningKey
from dmarcops.report.model import Domain, Selector

# Names go into configuration files and paths: nothing in them may mean anything there. Underscores are met in both.
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*")
_NAME_OCTETS = 253


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a private key is: `rsa` or `ed25519`, its size in bits, and its public half (SubjectPublicKeyInfo, DER)."""

    algorithm: str
    bits: int
    public: bytes


def load(pem: bytes) -> Loaded:
    """
    Load a private key in PEM, PKCS#8 or PKCS#1.

    Raises:
        SignerError: It is none, is locked with a passphrase, or of a kind that DKIM does not know.
    """
    try:
        private = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # `from None`: what was raised may quote what it could not read
        raise SignerError("the private key cannot be loaded: not PEM, damaged, or under a passphrase") from None
    if isinstance(private, RSAPrivateKey):
        algorithm, bits = "rsa", private.key_size
    elif isinstance(private, Ed25519PrivateKey):
        algorithm, bits = "ed25519", 256
    else:
        raise SignerError("the private key is neither RSA nor Ed25519")
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Loaded(algorithm, bits, public)


def public_key_of(pem: bytes) -> bytes:
    """
    Give the public half of a private key, as SubjectPublicKeyInfo in DER.

    Raises:
        SignerError: It cannot be loaded.
    """
    return load(pem).public


def check_names(domain: Domain, selector: Selector) -> None:
    """
    See that both names can stand in a configuration file and in a path.

    Raises:
        UnsafeChangeError: One cannot.
    """
    for kind, name in (("domain", domain), ("selector", selector)):
        if len(name) > _NAME_OCTETS or not _NAME.fullmatch(name):
            raise UnsafeChangeError("name", f"{name!r} is no {kind} that can be written into a configuration")


def check(key: SigningKey, algorithms: frozenset[str]) -> Loaded:
    """
    Load the key, and see that it is what its name says and what a signer of `algorithms` can use.

    Raises:
        ConfigError: The signer does not sign with that algorithm.
        SignerError: The key cannot be loaded.
        UnsafeChangeError: The key is of another algorithm than it says, or a name cannot be written.
    """
    check_names(key.domain, key.selector)
    if key.algorithm not in algorithms:
        raise ConfigError(
            f"this signer does not sign with {key.algorithm}", hint=f"it signs with {', '.join(sorted(algorithms))}"
        )
    loaded = load(key.pem)
    if loaded.algorithm != key.algorithm:
        reason = f"the key of {key.selector}._domainkey.{key.domain} is {loaded.algorithm}, not {key.algorithm}"
        raise UnsafeChangeError("key-algorithm", reason)
    return loaded
