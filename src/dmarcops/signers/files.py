"""
How configuration and key files are written: beside, synced, renamed; a key file once and never again.

A file that is replaced keeps its owner, mode and extended attributes, and stays beside as `.NAME.former` until the
change is settled: putting it back is a rename, which works on a full disk too. What a killed run left beside is found
by the next one. No error holds what is in a file.
"""

import errno
import fcntl
import grp
import os
import pwd
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator

from dmarcops.errors import ConfigError, SignerError, UnsafeChangeError
from dmarcops.ports import SigningKey
from dmarcops.report.model import Domain, Selector
from dmarcops.settings import Settings
from dmarcops.signers.keys import check_names, load

_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._+@~-")
_PASSING = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EINTR, errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE))
_PEM = b"-----BEGIN"
_POLL_SECONDS = 0.02
_FOREIGN_WRITE = stat.S_IWGRP | stat.S_IWOTH


def _plain(path: Path) -> Path:
    if not path.is_absolute() or ".." in path.parts:
        raise ValueError("must be an absolute path without ..")
    if not _PLAIN.issuperset(str(path)):
        raise ValueError("must have letters, digits and /._+@~- only, as it goes into the MTA's configuration")
    return path


PlainPath = Annotated[Path, AfterValidator(_plain)]
"""A field that holds an absolute path, of characters that mean nothing in any MTA's configuration."""


class KeyFiles(Settings):
    """Where key files stand, and who may read them."""

    key_dir: PlainPath
    """Directory of the key files, `DOMAIN/SELECTOR.key` below it; made when its parent is there."""
    key_mode: Literal["0600", "0640", "0400", "0440"] = "0600"
    """Mode of a key file; with the group's bit the directories, else 0700, are 0750."""
    key_owner: str | None = None
    """Account that key files and their directories belong to; only root can give one. Default: who runs this."""
    key_group: str | None = None
    """Group that they belong to, for an MTA that reads them as another user."""

    def path(self, domain: Domain, selector: Selector) -> Path:
        """Give the file of a key."""
        return self.key_dir / domain / f"{selector}.key"


@contextmanager
def _faults(deed: str, path: Path) -> Iterator[None]:
    """Turn what the system says into an error of ours."""
    try:
        yield
    except OSError as error:
        raise SignerError(
            f"cannot {deed} {path}: {error.strerror}", transient=error.errno in _PASSING, hint=_hint(error)
        ) from error


def _hint(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "run as a user who may write there, and who may keep the owner of the file"
    if error.errno == errno.EBUSY:
        return "a file that is a mount point of its own cannot be replaced by a rename: mount its directory"
    return ""


@contextmanager
def locked(path: Path, *, wait: timedelta) -> Iterator[None]:
    """
    Hold the lock of a configuration file, `.NAME.lock` beside it, which is never deleted.

    Raises:
        SignerError: It cannot be had in that time (`transient`), or not be made.
    """
    real = path.resolve()
    file = real.with_name(f".{real.name}.lock")
    with _faults("lock", file):
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _wait_for(descriptor, file, time.monotonic() + wait.total_seconds())
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, file: Path, deadline: float) -> None:
    while True:
        try:
            with _faults("lock", file):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except SignerError as error:
            if not error.transient:
                raise
            if time.monotonic() >= deadline:
                raise SignerError(f"another run holds {file}", transient=True) from error
            time.sleep(_POLL_SECONDS)
        else:
            return


def read(path: Path) -> bytes:
    """
    Give what is in a file; nothing when it is not there.

    Raises:
        SignerError: It cannot be read.
    """
    with _faults("read", path):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return b""


class Replacement:
    """
    A file that is about to have other content; use it under `locked`.

    Args:
        path: The file; a symbolic link is followed, and stays.
        edit: Makes the new content of the former, and the same of its own result.

    Raises:
        UnsafeChangeError: `edit` says no.
        SignerError: The file cannot be read.
    """

    def __init__(self, path: Path, edit: Callable[[bytes], bytes]) -> None:
        self._path = path.resolve()
        self._former = self._path.with_name(f".{self._path.name}.former")
        self._beside = self._path.with_name(f".{self._path.name}.new")
        now = read(self._path)
        self._new = edit(now)
        self._is_due = now != self._new
        # A run that was killed after its rename left this: still the way back, unless somebody edited the file since.
        self._can_restore = not self._is_due and self._leads_here(edit)

    def _leads_here(self, edit: Callable[[bytes], bytes]) -> bool:
        if not self._former.exists():
            return False
        with suppress(UnsafeChangeError):
            return edit(read(self._former)) == self._new
        return False

    def prepare(self) -> None:
        """
        Write the new content beside, and keep the former; nothing is changed yet.

        Raises:
            SignerError: It cannot be written.
        """
        if not self._is_due:
            return
        with _faults("write", self._path):
            self._beside.unlink(missing_ok=True)
            self._former.unlink(missing_ok=True)
            try:
                self._write()
                self._keep()
            except OSError:
                self._beside.unlink(missing_ok=True)
                self._former.unlink(missing_ok=True)
                raise

    def _write(self) -> None:
        descriptor = os.open(self._beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(self._new)
            file.flush()
            if self._path.exists():
                status = self._path.stat()
                os.fchown(file.fileno(), status.st_uid, status.st_gid)
                shutil.copystat(self._path, self._beside)
                os.utime(file.fileno())
            else:
                os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())

    def _keep(self) -> None:
        if self._path.exists():
            self._former.hardlink_to(self._path)
        else:
            self._former.touch(mode=0o644)

    def commit(self) -> None:
        """
        Put the new content in the place of the former.

        Raises:
            SignerError: It cannot be put there; the former stands.
        """
        if self._is_due:
            with _faults("replace", self._path):
                self._beside.replace(self._path)
                self._can_restore = True
                _sync(self._path.parent)

    def restore(self) -> bool:
        """
        Put the former content back.

        Returns:
            Whether the file is now as it was: not when the former content is not known any more.

        Raises:
            SignerError: It cannot be put back.
        """
        with _faults("restore", self._path):
            self._beside.unlink(missing_ok=True)
            if self._can_restore:
                self._former.replace(self._path)
                # Who watches the file by its time has to see that it is another one again
                os.utime(self._path)
                _sync(self._path.parent)
            elif self._is_due:
                self._former.unlink(missing_ok=True)
        return self._can_restore or self._is_due

    def settle(self) -> None:
        """
        Give up the former content.

        Raises:
            SignerError: It cannot be deleted.
        """
        with _faults("delete", self._former):
            self._former.unlink(missing_ok=True)


def write_key(files: KeyFiles, key: SigningKey, content: bytes | None = None) -> Path:
    """
    Write the file of a key, or see that it is there with that key in it; its owner and mode are put right.

    Args:
        files: Where, and for whom.
        key: The key.
        content: The key in the form that the MTA reads; `None`: its PEM.

    Raises:
        SignerError: It cannot be written.
        UnsafeChangeError: Another key is in it, or others can write to its directory.
    """
    path = files.path(key.domain, key.selector)
    owner = _owner(files)
    for directory in (files.key_dir, path.parent):
        _make_directory(directory, files, owner)
    beside = path.with_name(f".{path.name}.new")
    with _faults("write the key file", path):
        # Of a run that was killed: perhaps a second name of the file itself
        beside.unlink(missing_ok=True)
        if not path.exists():
            try:
                _write_beside(beside, content or key.pem)
                # Not a rename: a link fails when there is a file by now, whoever put it there
                path.hardlink_to(beside)
            finally:
                beside.unlink(missing_ok=True)
            _sync(path.parent)
    _check_content(path, content or key.pem)
    with _faults("set the owner and mode of", path):
        os.chown(path, *owner)
        path.chmod(int(files.key_mode, 8))
    return path


def _write_beside(beside: Path, content: bytes) -> None:
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _check_content(path: Path, wanted: bytes) -> None:
    """See that a key file, ours of now or one that was there, holds the key of its name as the MTA reads it."""
    with _faults("read the key file", path):
        found = path.read_bytes()
    if found == wanted:
        return
    if not _is_same_key(found, wanted):
        raise UnsafeChangeError(
            "key-file",
            f"{path} holds another key; key files are never overwritten",
            hint="a selector is never used again: rotate to a new one",
        )
    if found.startswith(_PEM) != wanted.startswith(_PEM):
        raise UnsafeChangeError(
            "key-file", f"{path} holds the key in a form for another MTA", hint="give each signer a key_dir of its own"
        )


def _is_same_key(one: bytes, other: bytes) -> bool:
    with suppress(SignerError):
        return load(one).public == load(other).public
    return False


def see_key_directory(files: KeyFiles) -> None:
    """
    See that nobody but its owner can write to the directory of keys, and that their account and group are there.

    Raises:
        ConfigError: There is no such account or group.
        SignerError: The directory cannot be looked at.
        UnsafeChangeError: Others can write to it.
    """
    _owner(files)
    if files.key_dir.exists():
        with _faults("look at the directory", files.key_dir):
            _check_directory(files.key_dir)


def remove_key(files: KeyFiles, domain: Domain, selector: Selector) -> None:
    """
    Delete the file of a key, and its directory when it was the last; nothing happens when there is none.

    Raises:
        SignerError: It cannot be deleted.
    """
    check_names(domain, selector)
    path = files.path(domain, selector)
    with _faults("delete the key file", path):
        path.with_name(f".{path.name}.new").unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            _sync(path.parent)
    with suppress(OSError):
        path.parent.rmdir()


def _owner(files: KeyFiles) -> tuple[int, int]:
    """Give the ids of the account and group, -1 for as it is."""
    try:
        user = pwd.getpwnam(files.key_owner).pw_uid if files.key_owner else -1
        group = grp.getgrnam(files.key_group).gr_gid if files.key_group else -1
    except KeyError as error:
        raise ConfigError(f"no such account or group: {error.args[0]}", hint="see key_owner and key_group") from error
    return user, group


def _make_directory(directory: Path, files: KeyFiles, owner: tuple[int, int]) -> None:
    with _faults("make the directory", directory):
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            _check_directory(directory)
            return
        os.chown(directory, *owner)
        directory.chmod(0o750 if int(files.key_mode, 8) & stat.S_IRGRP else 0o700)
        _sync(directory.parent)


def check_directories(lowest: Path) -> None:
    """
    See that only the owners of a directory and of all above it can write to them.

    Raises:
        SignerError: One cannot be looked at.
        UnsafeChangeError: Others can write to one.
    """
    for directory in (lowest.resolve(), *lowest.resolve().parents):
        with _faults("look at the directory", directory):
            _check_directory(directory)


def _check_directory(directory: Path) -> None:
    if directory.stat().st_mode & _FOREIGN_WRITE:
        raise UnsafeChangeError(
            "key-directory", f"others than its owner can write to {directory}", hint=f"chmod go-w {directory}"
        )


def _sync(directory: Path) -> None:
    """Make renames in a directory last."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
