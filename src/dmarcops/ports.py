"""What the flows ask of the outside: small protocols and their values, no implementation. Does no I/O."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import BinaryIO, Literal, NamedTuple, Protocol, runtime_checkable

from dmarcops.errors import DmarcopsError
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


class Finding(NamedTuple):
    """A line of `dmarcops doctor`: how something is, and what was found."""

    kind: Literal["ok", "problem", "hint"]
    text: str


def problem(error: DmarcopsError) -> tuple[Finding, ...]:
    """Give an error as findings: what is wrong, and what to do about it if that is known."""
    hint = (Finding("hint", error.hint),) if error.hint else ()
    return (Finding("problem", str(error)), *hint)


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
        Wait until there is a sign of something new, at most so long; True when there is one.

        A source that has no signs says False, and is looked into as often as its user wants.

        Raises:
            EdgeError: The source cannot be reached.
        """
        ...

    def close(self) -> None:
        """Give up what is open; never fails."""
        ...


@runtime_checkable
class MailSearch(Protocol):
    """A mailbox that can be searched through without changing anything in it, not even what was seen."""

    def search(self, since: datetime) -> Iterator[Message]:
        """
        Give the mails of all folders that arrived since a moment, and perhaps some that arrived shortly before.

        Raises:
            EdgeError: The mailbox cannot be reached or read.
        """
        ...


class Submission(Protocol):
    """Who takes mail of ours to be sent."""

    def send(self, mail: bytes, *, sender: str, recipient: str) -> None:
        """
        Hand a mail in.

        Raises:
            MailError: It was not taken (`transient` when it may be later).
        """
        ...


@runtime_checkable
class Checkable(Protocol):
    """Something that can be tried out for `doctor`; may make folders that are missing, and changes nothing else."""

    def check(self) -> Sequence[Finding]:
        """Try it out; never raises."""
        ...


class Notifier(Protocol):
    """
    Who tells people of what needs them.

    Must tell all who can be told, and must take the text as plain text. What it is given is harmless already.
    """

    def tell(self, title: str, text: str) -> None:
        """
        Tell them.

        Raises:
            ConfigError: It cannot be used as it is configured.
            EdgeError: Nobody could be told.
        """
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

    `name` is lower-case and has no final dot; `values` are the whole texts, the strings of each joined with nothing
    between (RFC 6376 section 3.6.2.2), sorted; `ttl` is in seconds.
    """

    name: str
    values: tuple[bytes, ...]
    ttl: int


@dataclass(frozen=True, slots=True)
class TxtChange:
    """
    What one name is to hold instead of what it holds.

    `before` is `None` to publish where nothing is, `after` is `None` to remove; `ttl` is used where there was nothing,
    and a replaced record keeps its own.
    """

    name: str
    before: TxtSet | None
    after: bytes | None
    ttl: int = 3600


class DnsProvider(Protocol):
    """
    Who can write a zone.

    Must read before it writes, write only where it reads what the caller expects (compare and set), touch no other
    record, and give the same end when it is called again. Must refuse names of a zone that is not delegated to it. Must
    split a text into strings of at most 255 octets by itself. Refusals are `ForeignRecordError` and
    `UnsafeChangeError`, failures `DnsError` with `transient`.
    """

    def fetch(self, name: str) -> TxtSet | None:
        """
        Give the TXT records at `name` as the provider itself has them; `None` when there are none.

        Raises:
            ForeignRecordError: The name is a CNAME, or its records are not plain ones: they are not to be written.
        """
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


@runtime_checkable
class ZoneCheckable(Protocol):
    """A provider that can tell whether the zone that it would write is the one that the world sees."""

    def check_zone(self, name: str) -> None:
        """
        See that it is, for the zone of a name; writes nothing.

        Raises:
            UnsafeChangeError: It is not, or there is no such zone.
            DnsError: That cannot be found out now (`transient`).
        """
        ...


@runtime_checkable
class BatchDnsProvider(DnsProvider, Protocol):
    """A provider that writes many names of one zone in one go, as a rotation of hundreds of domains needs it."""

    def change_all(self, changes: Sequence[TxtChange]) -> Sequence[str | DmarcopsError]:
        """
        Publish, replace and remove at different names, each by the rules of the single calls.

        Returns:
            In the order of `changes`: the token for `is_settled`, or why that one was not made. One that is not made
            keeps no other back.
        """
        ...


class TxtLookup(Protocol):
    """Who can be asked for TXT records as everybody asks."""

    def txt(self, name: str) -> tuple[bytes, ...] | None:
        """
        Ask as everybody does: the texts at `name`; `()` when the name exists without any, `None` when it does not.

        Raises:
            DnsError: No answer can be had now (`transient`).
        """
        ...


class Records(TxtLookup, Protocol):
    """Who can be asked for records of any type as everybody asks."""

    def records(self, name: str, kind: str) -> tuple[str, ...] | None:
        """
        Ask as everybody does for records of another type (`MX`, `NS`, `PTR`, `A`, `AAAA`, `CNAME`, ...).

        Returns:
            Their values as in a master file, sorted; `()` and `None` as `txt`.

        Raises:
            DnsError: No answer can be had now (`transient`).
        """
        ...


class PolicyHost(Protocol):
    """Who can fetch the MTA-STS policy of a domain (RFC 8461 section 3.3)."""

    def policy(self, domain: str) -> str:
        """
        Fetch the policy over HTTPS, with the certificate verified, no redirect followed, and no more than 64 KiB read.

        Raises:
            EdgeError: It cannot be had, or is none; says why.
        """
        ...


class Resolver(Records, Protocol):
    """
    How DNS is asked. Every answer is one of now; nothing but which servers hold a zone is cached, and that for a run.

    Must not ask a recursive resolver for a name, nor for one above it that may not exist yet, unless that is what the
    call says: a resolver remembers that there was nothing (RFC 2308, RFC 8020).
    """

    def authoritative(self, name: str) -> dict[str, tuple[bytes, ...]]:
        """
        Ask each authoritative server of the zone directly for TXT, following CNAMEs to the servers of their targets.

        Returns:
            For each server (`name[address]:port`, with ` for TARGET` behind it when a CNAME led there) the texts at
            `name`, none when there is no such record.

        Raises:
            DnsError: A server gave no usable answer (`transient` when it may later), which is named with its fault as
                is every other such one; or the zone's servers cannot be found.
        """
        ...

    def delegation(self, zone: str) -> tuple[str, ...]:
        """
        Ask the parent's servers which servers `zone` is delegated to: their names, sorted, none when it is no zone.

        Raises:
            DnsError: The parent's servers did not say.
        """
        ...

    def recursive(self, name: str) -> dict[str, tuple[bytes, ...]]:
        """Ask each configured recursive resolver for TXT, as `authoritative`."""
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


class KeyStore(Protocol):
    """
    Where private keys are kept, each under the reference of its domain and selector.

    Must not be able to overwrite: a name that is taken stays what it is. Must give what it was given, whether it is
    encrypted where it is kept or not. Everything is idempotent. Must never show a key in a log or an error. Failures
    are `EdgeError`, refusals `UnsafeChangeError`.
    """

    def reference(self, domain: Domain, selector: Selector) -> str:
        """Return where a key is or would be kept: a text that tells no secret, for `load` and `delete`."""
        ...

    def save(self, key: SigningKey) -> str:
        """
        Keep a key; when it returns, the key outlasts a crash of the machine. Nothing happens when it is kept already.

        Returns:
            Its reference.

        Raises:
            UnsafeChangeError: Another key is kept under that name, or the place is open to others.
        """
        ...

    def load(self, reference: str) -> bytes | None:
        """
        Give a key as PKCS#8 PEM, `None` when there is none.

        Raises:
            ConfigError: The reference is not of this store, or the key cannot be decrypted.
            UnsafeChangeError: Others could have read it.
        """
        ...

    def delete(self, reference: str) -> None:
        """Delete a key; nothing happens when there is none."""
        ...


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


@dataclass(frozen=True, slots=True)
class LostFile:
    """The file of a key that a signer names, and that is not there; `is_ours`: `use` writes it again."""

    selector: Selector
    path: str
    is_ours: bool


@runtime_checkable
class FileKeeping(Protocol):
    """A signer whose keys stand in files, which somebody may take away."""

    def lost(self, domain: Domain) -> Sequence[LostFile]:
        """
        Give the key files that the configuration names for a domain and that are not there; changes nothing.

        Raises:
            SignerError: The configuration cannot be read.
        """
        ...


@runtime_checkable
class Foreseeing(Protocol):
    """A signer that can tell before a switch is due what would stop it."""

    def foresee(self, domain: Domain, algorithm: str) -> Sequence[Finding]:
        """Tell what would; changes nothing, never raises."""
        ...
