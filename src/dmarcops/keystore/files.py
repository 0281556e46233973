"""
Private keys in files, one each: `DIRECTORY/DOMAIN/SELECTOR.pem`, mode 0600 in directories of mode 0700.

A file appears whole, is on the disk when `save` returns, and is never overwritten. Never widens or repairs permissions:
a place that others can read or write is refused, since a key that lay there may be known.
"""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from dmarcops.dkim.key import parse_key
from dmarcops.errors import ConfigError, EdgeError, UnsafeChangeError
from dmarcops.ports import Finding, SigningKey
from dmarcops.settings import Settings

_SCHEME = "file:"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_NAME = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?")


class Config(Settings):
    """Section `[keys]` with `kind = "files"`."""

    kind: Literal["files"] = "files"
    """The kind of key store."""
    directory: Path
    """Where the keys are; made when it is not there."""
    passphrase: SecretStr | None = None
    """What the files are encrypted with (PKCS#8); plain when not given."""


class Adapter:
    """The `KeyStore` port on a directory."""

    def __init__(self, config: Config) -> None:
        self._directory = config.directory.absolute()
        self._passphrase = config.passphrase.get_secret_value().encode() if config.passphrase else None

    def reference(self, domain: str, selector: str) -> str:
        """Return `file:` and the path."""
        for name in (domain, selector):
            if not _NAME.fullmatch(name):
                raise ConfigError(
                    f"{name!r} is no name for a file", hint="domains and selectors are lower-case A-labels"
                )
        return f"{_SCHEME}{self._directory / domain / selector}.pem"

    def save(self, key: SigningKey) -> str:
        """Write the file of a key; the one that is there already must hold the same key."""
        reference = self.reference(key.domain, key.selector)
        ours = parse_key(key.pem, override=True)
        path = self._path(reference)
        with _told(path):
            self._make(path.parent)
            _write(path, ours.pem(self._passphrase))
        kept = self.load(reference)
        if kept != ours.pem():
            raise UnsafeChangeError(
                "overwrite", f"another key is kept in {path}", hint="a key file is never overwritten"
            )
        return reference

    def load(self, reference: str) -> bytes | None:
        """Read the file of a key."""
        path = self._path(reference)
        with _told(path):
            try:
                file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
            with os.fdopen(file, "rb") as opened:
                _refuse_others(path, os.fstat(file))
                pem = opened.read()
        return parse_key(pem, self._passphrase, override=True).pem()

    def delete(self, reference: str) -> None:
        """Remove the file of a key."""
        path = self._path(reference)
        with _told(path):
            try:
                path.unlink()
            except FileNotFoundError:
                return
            _sync(path.parent)

    def check(self) -> Sequence[Finding]:
        """See that the directory and all in it are ours alone, and can be written to, for `doctor`."""
        if not self._directory.exists():
            above = next(parent for parent in self._directory.parents if parent.exists())
            return (*_writable(above), Finding("hint", f"{self._directory} is made with the first key"))
        try:
            places = [self._directory, *sorted(self._directory.rglob("*"))]
            faults = [fault for place in places for fault in _faults(place)]
        except OSError as error:
            return (Finding("problem", f"{self._directory} cannot be looked at: {error.strerror}"),)
        closed = Finding("ok", f"{self._directory} is closed to others, with all {len(places) - 1} entries in it")
        return (*(faults or [closed]), *_writable(self._directory))

    def _path(self, reference: str) -> Path:
        path = Path(reference.removeprefix(_SCHEME))
        if not reference.startswith(_SCHEME) or path.parent.parent != self._directory:
            raise ConfigError(
                f"the key is kept as {reference}, not in {self._directory}",
                hint="configure the key store it is kept in",
            )
        return path

    def _make(self, folder: Path) -> None:
        """Make a directory and those above it as far as they are ours, and see that they are closed to others."""
        for each in (self._directory, folder):
            try:
                each.mkdir(mode=0o700, parents=each is self._directory)
            except FileExistsError:
                _refuse_others(each, each.stat())
            else:
                _sync(each.parent)


def _write(path: Path, pem: bytes) -> None:
    """Write a file beside, then give it its name, unless that is taken."""
    beside = path.with_name(f".{path.name}.new")
    # What a killed run left behind; runs of one domain never meet.
    beside.unlink(missing_ok=True)
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(file, "wb") as opened:
            opened.write(pem)
            opened.flush()
            os.fsync(file)
        # Unlike a rename, a link never takes the place of another file.
        _link(beside, path)
    finally:
        beside.unlink()
    _sync(path.parent)


def _link(beside: Path, path: Path) -> None:
    try:
        path.hardlink_to(beside)
    except FileExistsError:
        return


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _refuse_others(path: Path, found: os.stat_result) -> None:
    if found.st_mode & _OTHERS:
        mode = "700" if stat.S_ISDIR(found.st_mode) else "600"
        raise UnsafeChangeError(
            "key-permissions",
            f"{path} is open to others (mode {stat.S_IMODE(found.st_mode):o})",
            hint=f"chmod {mode} {path}, and if a key lay open: dmarcops rotate --emergency",
        )


def _faults(place: Path) -> Iterator[Finding]:
    try:
        _refuse_others(place, place.lstat())
    except UnsafeChangeError as error:
        yield Finding("problem", error.reason)
        yield Finding("hint", error.hint)


def _writable(directory: Path) -> Iterator[Finding]:
    if os.access(directory, os.W_OK | os.X_OK):
        yield Finding("ok", f"{directory} can be written to")
    else:
        yield Finding("problem", f"{directory} cannot be written to")
        yield Finding("hint", "run as the user whose it is; under systemd: StateDirectory= or ReadWritePaths=")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EdgeError(
            f"the key file {path} cannot be used: {error.strerror}", hint="check the directory, its owner and the disk"
        ) from error
