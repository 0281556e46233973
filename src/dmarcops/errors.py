"""
Every error that dmarcops raises on purpose, in one tree.

::

    DmarcopsError
    ├── ConfigError          the user's: a wrong option, path, key or value        exit 2
    ├── BadInput             the sender's: bytes that are no usable report
    │   ├── UnpackError      a container, a mail or a limit of unpacking
    │   └── ReportError      a document that cannot be read as a report
    ├── EdgeError            the outside's: a file, a server                       exit 1
    │   ├── MailError        a mailbox, a bucket, a queue
    │   ├── DnsError         a DNS server or provider
    │   │   └── AnswerError  a DNS server that gave no usable answer
    │   └── SignerError      an MTA's configuration or its reload
    ├── StoreError           the store's: locked, full, newer, unreachable         exit 1
    │   └── UnstorableError  ours: values that the database refuses
    ├── IllegalTransition    ours: a move that a state machine does not know       exit 1
    └── Refused              a safety guard says no                                exit 3
        ├── ForeignRecordError   what is in DNS is not what we wrote or were shown
        ├── UnsafeChangeError    the change itself is not safe
        └── NotEnoughEvidence    the facts do not allow it yet

The class says by whose fault; `hint` says what to do about it. Imports nothing.
"""


class DmarcopsError(Exception):
    """
    Root of all errors of dmarcops.

    Args:
        message: What happened, for a person.
        hint: What the person can do about it; empty when there is nothing.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def told(self) -> str:
        """What happened and what to do about it, in one line."""
        return f"{self} ({self.hint})" if self.hint else str(self)


class ConfigError(DmarcopsError):
    """A usage or configuration error: the call cannot work as it was given."""

    exit_code = 2


class BadInput(DmarcopsError):
    """
    Input that cannot be used as a report.

    Args:
        code: Stable, machine-readable name of the reason (`xml-truncated`, `too-many-members`, ...).
        message: The reason, for a person.
        outcome: The ledger's word for it: `not-a-report`, `unsupported`, `corrupt` or `retry`.
    """

    def __init__(self, code: str, message: str, *, outcome: str = "corrupt") -> None:
        super().__init__(message)
        self.code = code
        self.outcome = outcome


class UnpackError(BadInput):
    """A container or mail that cannot be opened, or that is over a limit."""


class ReportError(BadInput):
    """A document that cannot be read as the report that it should be."""


class EdgeError(DmarcopsError):
    """
    Something outside failed: a file, a mailbox, a server.

    Args:
        message: What failed, for a person.
        transient: True when the same call may work later.
        hint: What the person can do about it.
    """

    def __init__(self, message: str, *, transient: bool = False, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.transient = transient


class StoreError(DmarcopsError):
    """The store cannot be opened, read or written."""


class UnstorableError(StoreError):
    """The database is well, but refuses the values it was given: out of range, or against a constraint."""


class MailError(EdgeError):
    """A mailbox, bucket or queue cannot be reached, read or written."""


class DnsError(EdgeError):
    """A DNS server or provider did not answer, or answered with an error."""


class AnswerError(DnsError):
    """
    A DNS server gave no usable answer.

    Args:
        server: Which one: `name[address]:port`.
        reason: Stable, machine-readable name of the fault: `timeout`, `servfail`, `refused`, `lame`, `loop`, ...
        question: What it was asked, for a person.
        transient: True when the same question may be answered later.
    """

    def __init__(self, server: str, reason: str, *, question: str, transient: bool) -> None:
        super().__init__(f"{server}: {reason} for {question}", transient=transient)
        self.server = server
        self.reason = reason
        self.question = question


class SignerError(EdgeError):
    """An MTA's signing configuration cannot be read, written, checked or reloaded."""


class IllegalTransition(DmarcopsError):
    """
    A state machine was asked for a move that it does not know; nothing changed.

    Args:
        stage: Where it is.
        event: What was asked of it.
    """

    def __init__(self, stage: str, event: str) -> None:
        super().__init__(f"{event} is no move from {stage}")
        self.stage = stage
        self.event = event


LOCK = "lock"
"""The guard of a refusal because another run is at work on the same."""


class Refused(DmarcopsError):
    """
    A safety guard said no; nothing was written.

    Args:
        guard: Its stable name, by which it may be overridden where it can be.
        reason: Why, for a person.
        not_before: From when it would say yes (RFC 3339), empty when time alone does not change it.
        hint: What the person can do about it.
    """

    exit_code = 3

    def __init__(self, guard: str, reason: str, *, not_before: str = "", hint: str = "") -> None:
        super().__init__(f"{guard}: {reason}" + (f" (not before {not_before})" if not_before else ""), hint=hint)
        self.guard = guard
        self.reason = reason
        self.not_before = not_before


class ForeignRecordError(Refused):
    """What is in DNS is not what we wrote or were shown."""


class UnsafeChangeError(Refused):
    """The change is not safe to make: a zone not ours, a key that does not match, a domain signed elsewhere too."""


class NotEnoughEvidence(Refused):
    """The facts do not allow it, or not yet."""
