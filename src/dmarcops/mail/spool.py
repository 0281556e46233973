"""
Messages that were fetched from a server: a file each in a private folder until they are handled.

What the source adapters have in common: the messages they give, how a batch is bounded, what they tell `doctor`. Speaks
to no server.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar

from pydantic import Field

from dmarcops.errors import BadInput, MailError
from dmarcops.mail.scratch import Scratch
from dmarcops.ports import Finding
from dmarcops.settings import MailboxSettings, Size

MIB = 1024 * 1024
M = TypeVar("M")
SPOOL_PREFIX = "spool-"
"""What the names of the folders begin with that fetched messages are in."""
TOO_BIG = "mail-too-big"
"""Code of a message that is over the limit and was not fetched."""


class Bounds(MailboxSettings):
    """What a source may fetch at a time; parent of the adapters' `Config`."""

    batch_messages: int = Field(default=200, ge=1)
    """Messages fetched before they are handed on, at most."""
    batch_bytes: Size = Field(default=16 * MIB, ge=1)
    """Octets after which no further message is added to a batch."""
    max_message_bytes: Size = Field(default=64 * MIB, ge=1)
    """A larger message is not fetched; the ledger has a line for it."""


def good(text: str) -> tuple[Finding, ...]:
    """Give the line of what is as it should be."""
    return (Finding("ok", text),)


def bad(text: str, hint: str = "") -> tuple[Finding, ...]:
    """Give the line of what is not, and one of what to do about it if that is known."""
    return (Finding("problem", text), *((Finding("hint", hint),) if hint else ()))


@dataclass(frozen=True, slots=True)
class Fetched:
    """A message in a file of ours."""

    origin: str
    path: Path

    def open(self) -> BinaryIO:
        """Open the file."""
        return self.path.open("rb")


@dataclass(frozen=True, slots=True)
class Withheld:
    """A message that is not to be read, with the reason that the ledger is to have."""

    origin: str
    code: str
    reason: str
    outcome: str = "corrupt"

    def open(self) -> BinaryIO:
        """
        Refuse.

        Raises:
            BadInput: Always.
        """
        raise BadInput(self.code, self.reason, outcome=self.outcome)


def too_big(origin: str, size: int, limit: int) -> Withheld:
    """Give what stands for a message that is over the limit."""
    return Withheld(origin, TOO_BIG, f"{size} octets, more than the {limit} that are fetched", "unsupported")


def printable(name: bytes | str) -> str:
    r"""Give a name as text that every database takes: NUL and what is no UTF-8 as `\xNN`."""
    octets = name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")
    return octets.decode("utf-8", "backslashreplace").replace("\0", "\\x00")


@dataclass(slots=True)
class Batch(Generic[M]):
    """Messages that are handed on together, until they are enough."""

    bounds: Bounds
    messages: list[M] = field(default_factory=list)
    size: int = 0

    def add(self, message: M, size: int) -> None:
        """Add a message of so many octets."""
        self.messages.append(message)
        self.size += size

    @property
    def is_full(self) -> bool:
        """Whether it is to be handed on before anything is added."""
        return len(self.messages) >= self.bounds.batch_messages or self.size >= self.bounds.batch_bytes


class Spool:
    """
    The files of fetched messages, in a folder that is ours alone.

    Args:
        folder: Where that folder is made, and `sweep` finds it when we were killed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._scratch = Scratch(folder, SPOOL_PREFIX)
        self._files: dict[str, Path] = {}

    def write(self, origin: str, chunks: Iterable[bytes], limit: int) -> Fetched | Withheld:
        """
        Write a message as it comes in; one that is over the limit, whatever its server said of it, is withheld.

        Raises:
            MailError: It cannot be written.
        """
        size = 0
        self.forget(origin)
        with _written(self._folder):
            descriptor, name = tempfile.mkstemp(".mail", dir=self._scratch.path())
        path = self._files[origin] = Path(name)
        file = os.fdopen(descriptor, "wb")
        try:
            # What fails while a chunk is had is not ours.
            for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    self.forget(origin)
                    return too_big(origin, size, limit)
                with _written(self._folder):
                    file.write(chunk)
            with _written(self._folder):
                file.flush()
        finally:
            with suppress(OSError):
                file.close()
        return Fetched(origin, path)

    def forget(self, origin: str) -> None:
        """Delete the file of a message, if there is one."""
        if path := self._files.pop(origin, None):
            path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Delete all files, and their folder."""
        self._files.clear()
        self._scratch.close()


@contextmanager
def _written(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        text = f"cannot write to {folder}: {error.strerror}"
        raise MailError(text, transient=True, hint="is the disk full?") from error
