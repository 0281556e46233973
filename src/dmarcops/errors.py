"""
Every error that dmarcops raises on purpose, in one tree.

::

    DmarcopsError
    ├── ConfigError          the user's: a wrong option, path, key or value        exit 2
    ├── BadInput             the sender's: bytes that are no usable report
    │   ├── UnpackError      a container, a mail or a limit of unpacking
    │   └── ReportError      an XML document that is no DMARC aggregate report
    ├── EdgeError            the outside's: a file, a mailbox, a server            exit 1
    └── StoreError           the store's: locked, full, newer, unreachable         exit 1

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
    """An XML document that cannot be read as a DMARC aggregate report."""


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
