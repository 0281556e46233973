"""
Key files of signers that somebody took away, and how they are written again.

An MTA without its key file signs nothing, or takes no mail at all. The file is a copy of what the key store has, so to
write it again decides nothing: same key, same selector, same configuration.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dmarcops.dkim.lifecycle import Key, Stage, SwitchSigner
from dmarcops.errors import DmarcopsError, SignerError
from dmarcops.flows.effects import private_half
from dmarcops.flows.outside import Outside
from dmarcops.ports import FileKeeping, LostFile, SigningKey
from dmarcops.report.model import Domain, Selector

_IN_USE = frozenset((Stage.ACTIVE, Stage.VERIFIED, Stage.RETIRING))


@dataclass(frozen=True, slots=True)
class Lost:
    """The file of one of our keys that a signer names for a domain, and that is gone."""

    key: Key
    signer: str
    domain: str
    file: LostFile

    def __str__(self) -> str:
        """What is wrong, in words."""
        return (
            f"the key file {self.file.path} is gone, and {self.signer} signs {self.domain} with it:"
            " mail is not signed, or not taken at all"
        )


def lost_files(keys: Sequence[Key], outside: Outside) -> Iterator[Lost]:
    """Give the files that are gone; what a signer is about to be switched to is written by that."""
    known = {key.selector: key for key in keys if key.stage in _IN_USE}
    for name, domain in outside.plan.places:
        for file in _lost(name, domain, outside):
            key = known.get(file.selector)
            if key is not None and SwitchSigner(key.selector, name, domain) not in key.pending:
                yield Lost(key, name, domain, file)


def write_again(lost: Lost, outside: Outside) -> None:
    """
    Write a file again from the key store.

    Raises:
        SignerError: It cannot be, and why.
    """
    if not lost.file.is_ours:
        raise SignerError(f"{lost}; it is not below the signer's key_dir", hint="put it back from a backup")
    key = lost.key
    try:
        pem = private_half(key, outside)
        wanted = SigningKey(Domain(lost.domain), Selector(key.selector), key.algorithm.value, pem)
        outside.signers[lost.signer].use(wanted)
    except DmarcopsError as error:
        raise SignerError(f"{lost}; it cannot be written again: {error}", hint=error.hint) from error


def _lost(name: str, domain: str, outside: Outside) -> Sequence[LostFile]:
    signer = outside.signers[name]
    if not isinstance(signer, FileKeeping):
        return ()
    try:
        return signer.lost(Domain(domain))
    except DmarcopsError:
        # Who asks what it signs with says so.
        return ()
