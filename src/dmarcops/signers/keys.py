"""
What a signer has to know of a key: that it can be loaded, what it is, and its public half. Does no I/O.

No error and no representation holds any part of a private key.
"""

import base64
import binascii
import re
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from dmarcops.errors import ConfigError, SignerError, UnsafeChangeError
from dmarcops.ports import SigningKey
from dmarcops.report.model import Domain, Selector

# Names go into configuration files and paths: nothing in them may mean anything there. Underscores are met in both.
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*")
_NAME_OCTETS = 253
_SEED = 32


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a private key is: `rsa` or `ed25519`, its size in bits, and its public half (SubjectPublicKeyInfo, DER)."""

    algorithm: str
    bits: int
    public: bytes


def load(content: bytes) -> Loaded:
    """
    Load a private key in PEM, PKCS#8 or PKCS#1, or an Ed25519 key in rspamd's form.

    Raises:
        SignerError: It is none, is locked with a passphrase, or of a kind that DKIM does not know.
    """
    try:
        private = _of_rspamd(content) or load_pem_private_key(content, password=None)
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


def in_form_of_rspamd(pem: bytes) -> bytes:
    """
    Give a key as rspamd 3 reads it: PEM, but Ed25519 as `rspamadm dkim_keygen` writes it.

    That is the base64 of the 32 octets of the seed and the 32 of the public key. In PEM rspamd takes it for RSA, and
    does not sign.
    """
    private = load_pem_private_key(pem, password=None)
    if not isinstance(private, Ed25519PrivateKey):
        return pem
    seed = private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return base64.b64encode(seed + private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)) + b"\n"


def _of_rspamd(content: bytes) -> Ed25519PrivateKey | None:
    try:
        both = base64.b64decode(content.strip(), validate=True)
    except binascii.Error:
        return None
    return Ed25519PrivateKey.from_private_bytes(both[:_SEED]) if len(both) == 2 * _SEED else None


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
