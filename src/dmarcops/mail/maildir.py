"""
A Maildir: `new/` and `cur/` of one folder, on a local or network file system.

Mails are read where they lie. A handled mail goes to the archive, or stays and gets the flags `P` and `S` (passed on,
seen; seen alone is what a person's reading does, and such a mail is still given). Flags and folders changed by others
at the same time are no trouble, as a mail is known by the unique part of its name. Never writes or deletes a mail.
"""

import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import BinaryIO

from dmarcops.errors import MailError
from dmarcops.mail.spool import Batch, Bounds, bad, good, printable, too_big
from dmarcops.ports import Finding, Handling, Message

_SUBFOLDERS = ("new", "cur")
_INFO = ":2,"
_HANDLED = frozenset("PS")
_LOOK_SECONDS = 0.5


class Config(Bounds):
    """`kind = "maildir"`."""

    path: Path
    """The Maildir: the folder with `cur`, `new` and `tmp` in it."""
    archive: str | None = None
    """Handled mail goes to this folder of the Maildir (`DMARC/Archive` is `.DMARC.Archive`); absent: flags only."""
    invalid: str | None = None
    """Mail of which something was not stored goes there; absent: where all handled mail goes."""


@dataclass(frozen=True, slots=True)
class MaildirMessage:
    """A mail in a Maildir; `path` is where it was last, `unique` the part of its name that stays."""

    origin: str
    path: Path
    unique: str

    def open(self) -> BinaryIO:
        """Open the mail, wherever in the Maildir it is now; never a link or a pipe."""
        try:
            return _open(self.path)
        except FileNotFoundError:
            found = _find(self.path.parent.parent, self.unique)
            if found is None:
                raise
            return _open(found)


class Adapter:
    """
    The mails of one Maildir folder.

    Args:
        name: Its name in the configuration.
        config: What was configured.
        folder: Not used: nothing is fetched.
        sleep: How it waits.
    """

    def __init__(self, name: str, config: Config, folder: Path, *, sleep: Callable[[float], None] = time.sleep) -> None:
        del folder
        self._name = name
        self._config = config
        self._path = Path(os.path.abspath(config.path.expanduser()))  # noqa: PTH100 - no look at the disk, no links followed
        self._sleep = sleep
        self._given: dict[str, Path] = {}
        self._left: set[str] = set()

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self._name

    def batches(self, checkpoint: str) -> Iterator[Sequence[Message]]:
        """Give the mails that have not both flags of a handled one."""
        del checkpoint
        self._left.clear()
        batch: Batch[Message] = Batch(self._config)
        for path in self._paths():
            unique, _, flags = path.name.partition(_INFO)
            message, size = self._message(path, unique)
            if message is None or message.origin in self._given or _HANDLED.issubset(flags):
                continue
            self._given[message.origin] = path
            batch.add(message, size)
            if batch.is_full:
                yield batch.messages
                batch = Batch(self._config)
        if batch.messages:
            yield batch.messages

    def settle(self, handled: Sequence[tuple[Message, Handling]]) -> str:
        """Move handled mails to the archive, or set their flags."""
        for message, handling in handled:
            if handling is Handling.LEAVE:
                self._left.add(message.origin)
            elif message.origin in self._given:
                self._file(self._given[message.origin], self._destination(handling))
            self._given.pop(message.origin, None)
        return ""

    def keep_alive(self) -> None:
        """Do nothing: there is no session."""

    def wait(self, seconds: float) -> bool:
        """Look into `new/` until there is a mail that was not left there; others are found by the next `batches`."""
        looks = max(1, round(seconds / _LOOK_SECONDS))
        for _ in range(looks):
            if any(self._origin(path.name.partition(_INFO)[0]) not in self._left for path in self._listed("new")):
                return True
            self._sleep(min(seconds, _LOOK_SECONDS))
        return False

    def close(self) -> None:
        """Forget what was given and not settled."""
        self._given.clear()

    def check(self) -> Sequence[Finding]:
        """See that the Maildir is there and mails can be moved; folders that they go to are made then."""
        targets = dict.fromkeys((self._destination(Handling.ARCHIVE), self._destination(Handling.INVALID)))
        findings = list(_checked(self._path))
        if all(finding.kind == "ok" for finding in findings):
            findings += [finding for target in targets if target != self._path for finding in _checked_target(target)]
        return findings

    def _paths(self) -> Iterator[Path]:
        for subfolder in _SUBFOLDERS:
            yield from self._listed(subfolder)

    def _listed(self, subfolder: str) -> Iterator[Path]:
        """Give the names in a folder as they come, since there may be very many."""
        try:
            with os.scandir(self._path / subfolder) as entries:
                for entry in entries:
                    if not entry.name.startswith("."):
                        yield Path(entry.path)
        except OSError as error:
            raise MailError(
                f"{self._name}: cannot list {self._path / subfolder}: {error.strerror}",
                hint="`path` is the folder that holds cur, new and tmp",
            ) from error

    def _message(self, path: Path, unique: str) -> tuple[Message | None, int]:
        try:
            status = path.lstat()
        except OSError:
            return None, 0  # renamed since it was listed: met again under its other name, or gone
        if not stat.S_ISREG(status.st_mode):
            return None, 0  # no mail: an MTA delivers files
        origin = self._origin(unique)
        if status.st_size > self._config.max_message_bytes:
            return too_big(origin, status.st_size, self._config.max_message_bytes), 0
        return MaildirMessage(origin, path, unique), status.st_size

    def _origin(self, unique: str) -> str:
        return printable(f"{self._path}/{unique}")

    def _destination(self, handling: Handling) -> Path:
        name = self._config.archive
        if handling is Handling.INVALID and self._config.invalid is not None:
            name = self._config.invalid
        return self._path if name is None else self._path / f".{name.strip('/').replace('/', '.')}"

    def _file(self, path: Path, destination: Path) -> None:
        """Move a mail to `cur` of a folder with its flags and ours; one that is not there any more was moved before."""
        unique = path.name.partition(_INFO)[0]
        found = path if os.path.lexists(path) else _find(self._path, unique)
        if found is None:
            return
        flags = set(found.name.partition(_INFO)[2]) | (_HANDLED if destination == self._path else {"S"})
        try:
            for subfolder in (*_SUBFOLDERS, "tmp"):
                (destination / subfolder).mkdir(mode=0o700, parents=True, exist_ok=True)
            found.rename(_free(destination / "cur", unique, "".join(sorted(flags))))
        except FileNotFoundError:
            return  # somebody else moved it in between; where to, is theirs to say
        except OSError as error:
            raise MailError(
                f"{self._name}: cannot move a mail to {destination}: {error.strerror}",
                hint="folders of one Maildir are on one file system, and writable",
            ) from error


def _open(path: Path) -> BinaryIO:
    # NOFOLLOW, NONBLOCK: what was a file when it was listed may be a link or a pipe now
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")


def _find(maildir: Path, unique: str) -> Path | None:
    """Find a mail by the unique part of its name, whatever its flags are."""
    direct = maildir / "new" / unique
    if unique and os.path.lexists(direct):
        return direct
    for subfolder in reversed(_SUBFOLDERS):
        try:
            with os.scandir(maildir / subfolder) as entries:
                for entry in entries:
                    if entry.name.partition(_INFO)[0] == unique:
                        return Path(entry.path)
        except FileNotFoundError:
            continue
    return None


def _free(folder: Path, unique: str, flags: str) -> Path:
    """Give a name that nothing in the folder has: the unique part of a mail need not be unique."""
    target = folder / f"{unique}{_INFO}{flags}"
    for number in count(2):
        if not os.path.lexists(target):
            break
        target = folder / f"{unique}-{number}{_INFO}{flags}"
    return target


def _checked(folder: Path) -> Sequence[Finding]:
    for subfolder in _SUBFOLDERS:
        if not (folder / subfolder).is_dir():
            return bad(f"{folder / subfolder} is not there", "`maildirmake` or `mkdir` makes it")
        if not os.access(folder / subfolder, os.R_OK | os.W_OK | os.X_OK):
            return bad(f"{folder / subfolder} is not ours to write", "look at owner and mode")
    return good(f"{folder} can be read and written")


def _checked_target(folder: Path) -> Sequence[Finding]:
    """Check a folder that mails are moved to: one that is missing can be made when the first is."""
    if not os.path.lexists(folder):
        if not os.access(folder.parent, os.W_OK | os.X_OK):
            return bad(f"{folder} is not there, and {folder.parent} is not ours to write", "look at owner and mode")
        return good(f"{folder} is made when the first mail is moved there")
    return _checked(folder)
