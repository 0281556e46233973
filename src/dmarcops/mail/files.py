"""
Messages on disk: files, directories, Maildir, mbox, and standard input.

What a file is, is found by its content; a name only says where to look. Nothing is written but a temporary copy of
standard input.
"""

import io
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dmarcops.errors import ConfigError
from dmarcops.mail.mbox_format import Part, is_mbox, mails

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
        folder: Where its copy goes; it must stay as long as the messages are in use.
    """
    for path in paths:
        if path == STDIN:
            copy = folder / "stdin"
            with copy.open("wb") as file:
                shutil.copyfileobj(stdin, file)
            yield from _of_file(copy, origin=STDIN)
        elif Path(path).is_dir():
            yield from _below(Path(path).absolute())
        else:
            yield from _of_file(Path(path).absolute())


def _below(top: Path) -> Iterator[FileMessage | MboxMessage]:
    unlisted: list[OSError] = []
    for folder, folders, names in os.walk(top, onerror=unlisted.append):
        is_maildir = _MAILDIR.issubset(folders)
        folders[:] = sorted(name for name in folders if not (is_maildir and name == "tmp"))
        for name in sorted(names):
            path = Path(folder) / name
            if is_maildir or name.startswith(".") or not _is_regular(path):
                continue
            yield from _of_file(path)
    for error in unlisted:
        yield FileMessage(str(error.filename), Path(error.filename))


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
