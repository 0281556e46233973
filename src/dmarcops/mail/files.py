"""
Messages on disk: files, directories, Maildir, mbox, and standard input.

What a file is, is found by its content; a name only says where to look. Nothing is written but a temporary copy of
standard input, and of a pipe that is named.
"""

import io
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from dmarcops.errors import ConfigError
from dmarcops.mail.mbox_format import Part, is_mbox, mails
from dmarcops.ports import Handling, Message

BATCH_MESSAGES = 500
"""Messages given in one batch."""
STDIN = "-"
"""The path that means standard input."""
_MAILDIR = frozenset(("cur", "new", "tmp"))


@dataclass(frozen=True, slots=True)
class FileMessage:
    """A file that is one message; `origin` is its absolute path, `-` for standard input."""

    origin: str
    path: Path

    def open(self) -> BinaryIO:
        """Open the file."""
        return self.path.open("rb")


@dataclass(frozen=True, slots=True)
class MboxMessage:
    """A mail of an mbox: its octets after the `From ` line, from `start` to before `stop`."""

    origin: str
    path: Path
    start: int
    stop: int

    def open(self) -> BinaryIO:
        """Open that part of the mbox."""
        return io.BufferedReader(Part(self.path, self.start, self.stop))


class PathSource:
    """
    Whatever stands at some paths, as a source of messages; nothing there is changed.

    Args:
        paths: Where to look.
        stdin: Standard input.
        folder: Where copies go; it must stay as long as the messages are in use.
    """

    name = "paths"

    def __init__(self, paths: Sequence[str], *, stdin: BinaryIO, folder: Path) -> None:
        self._paths, self._stdin, self._folder = paths, stdin, folder

    def batches(self, checkpoint: str) -> Iterator[Sequence[Message]]:  # noqa: ARG002 - all is looked at each time
        """Give all messages, in the order of their names."""
        remaining = messages(self._paths, stdin=self._stdin, folder=self._folder)
        while batch := list(islice(remaining, BATCH_MESSAGES)):
            yield batch

    def settle(self, handled: Sequence[tuple[Message, Handling]]) -> str:  # noqa: ARG002 - nothing moves
        """Leave all where it is."""
        return ""

    def keep_alive(self) -> None:
        """Do nothing: files wait."""

    def wait(self, seconds: float) -> bool:  # noqa: ARG002 - paths are looked at once
        """Say at once that nothing more will come."""
        return False

    def close(self) -> None:
        """Do nothing."""


def check_paths(paths: Sequence[str]) -> None:
    """
    See that every path is there, before anything is done.

    Raises:
        ConfigError: One is not.
    """
    for path in paths:
        if path != STDIN and not os.path.lexists(path):
            raise ConfigError(f"no such file or directory: {path}", hint="give files, directories, an mbox or -")


def messages(paths: Sequence[str], *, stdin: BinaryIO, folder: Path) -> Iterator[FileMessage | MboxMessage]:
    """
    Give all messages at the paths, directories walked in the order of their names.

    A directory that cannot be listed comes as a message that cannot be opened, so that it is accounted for.

    Args:
        paths: Where to look.
        stdin: Standard input.
        folder: Where copies go; it must stay as long as the messages are in use.
    """
    for number, path in enumerate(paths):
        if path == STDIN:
            yield from _of_file(_copied(stdin, folder / "stdin"), origin=STDIN)
        elif Path(path).is_dir():
            yield from _below(Path(path).absolute())
        elif Path(path).is_fifo():
            with Path(path).open("rb") as pipe:
                copy = _copied(pipe, folder / f"pipe-{number}")
            yield from _of_file(copy, origin=str(Path(path).absolute()))
        else:
            yield from _of_file(Path(path).absolute())


def reopened(origin: str) -> FileMessage | MboxMessage | None:
    """Give the message that an origin of ours names, if it is still there."""
    path = Path(origin)
    if path.is_absolute() and path.is_file():
        return FileMessage(origin, path)
    name, _, number = origin.rpartition(":")
    mbox = Path(name)
    if not (number.isascii() and number.isdigit() and mbox.is_absolute() and mbox.is_file() and _is_mbox(mbox)):
        return None
    return next((message for message in _of_file(mbox) if message.origin == origin), None)


def _copied(stream: BinaryIO, copy: Path) -> Path:
    """Copy what can be read but once."""
    with copy.open("wb") as file:
        shutil.copyfileobj(stream, file)
    return copy


def _below(top: Path) -> Iterator[FileMessage | MboxMessage]:
    """Walk a folder, all that is in it in the order of the names; links to folders are not followed."""
    waiting = [top]
    while waiting:
        path = waiting.pop()
        if not path.is_dir():
            yield from _of_file(path)
            continue
        try:
            entries = sorted(path.iterdir())
        except OSError:
            yield FileMessage(str(path), path)
            continue
        is_maildir = _MAILDIR.issubset(entry.name for entry in entries)
        waiting += [entry for entry in reversed(entries) if _is_looked_at(entry, in_maildir=is_maildir)]


def _is_looked_at(path: Path, *, in_maildir: bool) -> bool:
    """Leave out what a Maildir has for itself (its delivery under way, its indexes), and hidden files."""
    if path.is_dir():
        return not path.is_symlink() and not (in_maildir and path.name == "tmp")
    return not in_maildir and not path.name.startswith(".") and _is_regular(path)


def _is_regular(path: Path) -> bool:
    """Tell whether it is a file to open; a dangling link is, so that it is accounted for."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True


def _of_file(path: Path, origin: str | None = None) -> Iterator[FileMessage | MboxMessage]:
    origin = origin or str(path)
    if not _is_mbox(path):
        yield FileMessage(origin, path)
        return
    with path.open("rb") as file:
        for number, span in enumerate(mails(file), start=1):
            yield MboxMessage(f"{origin}:{number}", path, span.start, span.stop)


def _is_mbox(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return is_mbox(file)
    except OSError:
        return False
