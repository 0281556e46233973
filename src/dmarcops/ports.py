"""What the flows ask of the outside: small protocols and their values, no implementation. Does no I/O."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO, Protocol

from dmarcops.report.model import Domain, Selector


class Message(Protocol):
    """
    One thing to look at: a mail or a file.

    Must be picklable, since worker processes open it. Must give the same octets each time it is opened. May be large:
    it is read as a stream.
    """

    @property
    def origin(self) -> str:
        """Where it stands, unique and the same each time it is met: the ledger's key."""
        ...

    def open(self) -> BinaryIO:
        """
        Give its octets from the start, seekable.

        Raises:
            OSError: It cannot be read now; nothing is known of it.
            BadInput: It is not to be read at all, being over a limit.
        """
        ...


class Handling(StrEnum):
    """What is to become of a message that is committed to the store and its ledger."""

    ARCHIVE = "archive"
    """All that it held is in the store."""
    INVALID = "invalid"
    """Something in it was not stored; its octets are kept as far as the caps allow."""
    LEAVE = "leave"
    """It could not be read: it stays as it is, and is met again."""


class MailSource(Protocol):
    """
    Where messages come from, and go when they are handled: a mailbox, a bucket, a queue, files.

    Must give every message that was not settled before, in batches bounded by count and octets, and may give a settled
    one again: that is a duplicate to the store. Must change nothing at the source before `settle`. Must not hold more
    than a batch in memory. Killed anywhere, it gives what was not settled once more.
    """

    @property
    def name(self) -> str:
        """The name it has in the configuration, or what the user called it."""
        ...

    def batches(self, checkpoint: str) -> Iterator[Sequence[Message]]:
        """
        Give what is there now.

        Args:
            checkpoint: What `settle` gave last, in whatever earlier run; empty at first.

        Raises:
            EdgeError: The source cannot be reached or read; what was given before is not lost.
        """
        ...

    def settle(self, handled: Sequence[tuple[Message, Handling]]) -> str:
        """
        Archive, mark or delete messages whose transaction is committed; idempotent.

        Returns:
            The checkpoint to be given to the next `batches`, empty when the source needs none.

        Raises:
            EdgeError: Not all could be settled; they are met again.
        """
        ...

    def keep_alive(self) -> None:
        """Be called now and then while messages are parsed, so that no session dies of idleness."""
        ...

    def wait(self, seconds: float) -> bool:
        """
        Wait until there may be something new, at most so long; True when there may be.

        Raises:
            EdgeError: The source cannot be reached.
        """
        ...

    def close(self) -> None:
        """Give up what is open; never fails."""
        ...


class Progress(Protocol):
    """Something that is told how far the work is."""

    def advance(self, steps: int = 1, /) -> None:
        """Say that `steps` more of the work are done."""
        ...


@dataclass(frozen=True, slots=True)
class TxtSet:
    """
    The TXT records at one name.

    `values` are the whole texts, the strings of each joined with nothing between (RFC 6376 section 3.6.2.2), sorted;
    `ttl` is in seconds.
    """

    name: str
    values: tuple[bytes, ...]
    ttl: int


class DnsProvider(Protocol):
    """
    Who can write a zone.

    Must read before it writes, write only where it reads what the caller expects (compare and set), touch no other
    record, and give the same end when it is called again. Must refuse names of a zone that is not delegated to it. Must
    split a text into strings of at most 255 octets by itself. Refusals are `ForeignRecordError` and
    `UnsafeChangeError`, failures `DnsError` with `transient`.
    """

    def fetch(self, name: str) -> TxtSet | None:
        """Give the TXT records at `name` as the provider itself has them; `None` when there are none."""
        ...

    def publish(self, name: str, value: bytes, *, ttl: int) -> str:
        """
        Make `value` the TXT record at a name that has none.

        Returns:
            A token for `is_settled`; empty when nothing had to be done, since it is there exactly so.

        Raises:
            ForeignRecordError: Something else is at that name.
        """
        ...

    def replace(self, expected: TxtSet, value: bytes) -> str:
        """
        Put `value` in the place of exactly `expected`; nothing happens when it is there already.

        Raises:
            ForeignRecordError: What is there is neither.
        """
        ...

    def remove(self, expected: TxtSet) -> str:
        """
        Take away exactly `expected`; nothing happens when nothing is there.

        Raises:
            ForeignRecordError: Something else is there.
        """
        ...

    def is_settled(self, token: str) -> bool:
        """Tell, without waiting, whether the change is on all of the provider's own servers."""
        ...


class Resolver(Protocol):
    """How DNS is asked. Every answer is one of now; nothing is cached longer than a run."""

    def authoritative(self, name: str) -> dict[str, tuple[bytes, ...]]:
        """
        Ask each authoritative server of the zone directly for TXT, following CNAMEs.

        Returns:
            For each server (`name[address]:port`) the texts at `name`, none when there is no such record.

        Raises:
            DnsError: A server did not answer (`transient`), or the zone's servers cannot be found.
        """
        ...

    def recursive(self, name: str) -> dict[str, tuple[bytes, ...]]:
        """Ask each configured recursive resolver for TXT, as `authoritative`."""
        ...

    def txt(self, name: str) -> tuple[bytes, ...] | None:
        """
        Ask as everybody does: the texts at `name`; `()` when the name exists without any, `None` when it does not.

        Raises:
            DnsError: No answer can be had now (`transient`).
        """
        ...

    def negative_ttl(self, name: str) -> int:
        """Give the seconds that resolvers may remember that nothing was at `name` (RFC 2308 section 5)."""
        ...


@dataclass(frozen=True, slots=True)
class SigningKey:
    """
    A private key to sign with, and the name it is to sign under.

    `algorithm` is `rsa` or `ed25519` (RFC 6376 section 3.6.1, RFC 8463 section 3); `pem` is PKCS#8 or PKCS#1 without a
    passphrase, and never printed.
    """

    domain: Domain
    selector: Selector
    algorithm: str
    pem: bytes

    def __repr__(self) -> str:
        return f"SigningKey({self.domain}, {self.selector}, {self.algorithm})"


class Signer(Protocol):
    """
    An MTA's signing configuration.

    Must keep one key file a (domain, selector), never overwritten. Must change only the line that names the selector,
    inside its marked block; refuse when the domain is signed outside of it; write beside and rename; check, reload and
    read back; put the former file back when the check or the reload fails. Must let one change at a time in, across
    processes. Everything is idempotent, and goes on where it was killed. Failures are `SignerError`, refusals
    `UnsafeChangeError`, a key that this signer can never use is a `ConfigError`.

    Must not compare the key with DNS, nor claim that mail is signed with it: a reload may be lazy, and a held SMTP
    session may go on with the old key. Only a signature that was seen proves it.
    """

    @property
    def algorithms(self) -> frozenset[str]:
        """What it signs with, of `rsa` and `ed25519`: with each of them, when it is more than one."""
        ...

    def current(self, domain: Domain, algorithm: str) -> Selector | None:
        """
        Give the selector that the configuration names for the domain now; `None` when it names none.

        Raises:
            SignerError: The configuration cannot be read.
            UnsafeChangeError: It names more than one.
        """
        ...

    def use(self, key: SigningKey) -> None:
        """
        Sign mail of the key's domain with it from now on, as far as a reload can bring that about.

        It is checked and reloaded even when the configuration names it already: the run that wrote it may have died
        before its reload.

        Raises:
            SignerError: It could not be brought about; the former configuration stands, unless the message says else.
            UnsafeChangeError: The domain is defined elsewhere too, or another key has the selector's file.
            ConfigError: The signer cannot sign with such a key.
        """
        ...

    def forget(self, domain: Domain, selector: Selector) -> None:
        """
        Delete the key file of a selector that the configuration does not name any more; nothing happens without one.

        Raises:
            SignerError: It cannot be deleted.
            UnsafeChangeError: The configuration names it.
        """
        ...
