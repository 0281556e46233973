"""
Proofs that a signature was put by somebody who has a key: Ed25519 over its seal (RFC 8032). Does no I/O.

A seal alone shows that nothing was changed later; whoever can write the store could make a new one. A proof needs the
private key.
"""

from base64 import b64decode, b64encode
from collections.abc import Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from dmarcops.errors import ConfigError
from dmarcops.policy.signoff import Signoff


class Ring:
    """
    The keys by which signatures are proved; none, and no proof is asked for.

    Args:
        pem: The private key to prove with, PKCS#8 without a passphrase; None: this program proves nothing.
        trusted: Public keys that are trusted beside it, each the Base64 of its 32 octets.

    Raises:
        ConfigError: A key cannot be read; nothing of a private one is in the error.
    """

    def __init__(self, pem: bytes | None = None, trusted: Sequence[str] = ()) -> None:
        self._private = None if pem is None else _private(pem)
        self._trusted = [_public(text) for text in trusted]
        if self._private is not None:
            self._trusted.append(self._private.public_key())

    def prove(self, seal: str) -> str:
        """
        Give the proof of a seal; empty when no proof is asked for.

        Raises:
            ConfigError: One is asked for, and there is no private key.
        """
        if self._private is not None:
            return b64encode(self._private.sign(seal.encode())).decode()
        if self._trusted:
            raise ConfigError("signatures are to be proved, and [policy] has no signing_key")
        return ""

    def is_proved(self, seal: str, proof: str) -> bool:
        """Tell whether a trusted key made the proof."""
        return any(_is_by(key, seal, proof) for key in self._trusted)

    def unproved(self, signoff: Signoff, proofs: Sequence[str]) -> tuple[str, ...]:
        """Say which signatures have no proof that is trusted; nothing when none is asked for."""
        if not self._trusted:
            return ()
        pairs = zip(signoff.signatures, proofs, strict=True)
        return tuple(
            f"the signature of {each.by} is not proved by a key that is trusted"
            for each, proof in pairs
            if not self.is_proved(each.seal, proof)
        )


def _is_by(key: Ed25519PublicKey, seal: str, proof: str) -> bool:
    try:
        key.verify(b64decode(proof, validate=True), seal.encode())
    except (InvalidSignature, ValueError):
        return False
    return True


def _private(pem: bytes) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(pem, None)
    except (TypeError, ValueError):
        # `from None`: nothing of a private key's text may get into an error
        raise ConfigError("the signing key cannot be read", hint="it is PEM, PKCS#8, without a passphrase") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError("the signing key is none of Ed25519", hint="openssl genpkey -algorithm ed25519 makes one")
    return key


def _public(text: str) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(b64decode(text, validate=True))
    except ValueError as error:
        raise ConfigError("a trusted key is not the Base64 of 32 octets") from error
