"""
The switch of a signer whose configuration is files: one order of steps for all of them.

Key file, then the configuration beside, then the renames, the MTA's own checker, the reload, and the reading back.
When a step fails, what was renamed is renamed back and the MTA reloaded once more. A run that was killed between two
steps is gone on with by the next: each step is done again, and does no harm.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dmarcops.errors import SignerError, UnsafeChangeError
from dmarcops.ports import LostFile, SigningKey
from dmarcops.quantities import parse_duration
from dmarcops.report.model import Domain, Selector
from dmarcops.settings import Duration
from dmarcops.signers.files import KeyFiles, Replacement, locked, read, remove_key, write_key
from dmarcops.signers.keys import load
from dmarcops.signers.reload import Command, run


class FileSettings(KeyFiles):
    """What every signer with configuration files is told."""

    reload: Command = ()
    """Command that makes the MTA read its configuration again; none when it does so by itself."""
    check: Command = ()
    """
    Command that says, by an exit code of 0, that the configuration as it stands can be used. In its arguments
    `{domain}`, `{selector}`, `{algorithm}` and `{key_file}` stand for the change that is being made.
    """
    timeout: Duration = parse_duration("60s")
    """How long a command may take, and how long another run is waited for."""


@dataclass(frozen=True, slots=True)
class Change:
    """A file and how it becomes what it is to be: a pure function of its content, the same of its own result."""

    path: Path
    edit: Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Switch:
    """
    A signer's configuration and what is done to it.

    Args:
        settings: Its settings.
        lock: The file beside which the lock stands.
        named: Gives the selectors that the configuration names for a domain.
        reload: Makes the MTA read its configuration again.
    """

    settings: FileSettings
    lock: Path
    named: Callable[[Domain], Sequence[Selector]]
    reload: Callable[[], object]

    def use(self, key: SigningKey, changes: Callable[[], Sequence[Change]], content: bytes | None = None) -> None:
        """
        Do all steps of a switch to `key`, which was checked already.

        Args:
            key: The key.
            changes: Gives the files to change, in the order of their renames; called under the lock.
            content: The key in the form that the MTA reads; `None`: its PEM.

        Raises:
            SignerError: One failed; the message says what stands now.
            UnsafeChangeError: An edit says no; nothing was changed.
        """
        with locked(self.lock, wait=self.settings.timeout):
            files = [Replacement(change.path, change.edit) for change in changes()]
            write_key(self.settings, key, content)
            try:
                for file in files:
                    file.prepare()
                for file in files:
                    file.commit()
                self._check(key)
                self.reload()
            except SignerError as error:
                raise self._back(files, error) from error
            if key.selector not in self.named(key.domain):
                raise SignerError(
                    f"{self.lock} does not name {key.selector} for {key.domain} after it was written",
                    transient=True,
                    hint="another program writes that file too",
                )
            for file in files:
                file.settle()

    def forget(self, domain: Domain, selector: Selector) -> None:
        """
        Delete a key file that the configuration does not need.

        Raises:
            SignerError: It cannot be deleted.
            UnsafeChangeError: The configuration names its selector.
        """
        with locked(self.lock, wait=self.settings.timeout):
            if selector in self.named(domain):
                raise UnsafeChangeError("key-in-use", f"{self.lock} names {selector} for {domain}")
            remove_key(self.settings, domain, selector)

    def lost(self, domain: Domain, entries: Iterable["Entry"]) -> list[LostFile]:
        """
        Give the key files that are not there, of those that the configuration names for a domain.

        Args:
            domain: The domain.
            entries: What it names.
        """
        return [
            LostFile(selector, str(path), path == self.settings.path(domain, selector))
            for selector, path in dict.fromkeys(entries)
            if _is_missing(path)
        ]

    def _check(self, key: SigningKey) -> None:
        if self.settings.check:
            values = {
                "domain": key.domain,
                "selector": key.selector,
                "algorithm": key.algorithm,
                "key_file": str(self.settings.path(key.domain, key.selector)),
            }
            run(self.settings.check, timeout=self.settings.timeout, values=values)

    def _back(self, files: Sequence[Replacement], error: SignerError) -> SignerError:
        """Put the former files back, the last first, and give the error that says what became of it."""
        try:
            restored = [file.restore() for file in reversed(files)]
        except SignerError as second:
            outcome = f"AND THE FORMER CONFIGURATION COULD NOT BE PUT BACK: {second}"
        else:
            outcome = "the former configuration stands" if any(restored) else "this run changed nothing"
            try:
                self.reload()
            except SignerError as third:
                outcome = f"{outcome}, but its reload failed too: {third}"
        return SignerError(f"{error}; {outcome}", transient=error.transient, hint=error.hint)


def only(selectors: Sequence[Selector], domain: Domain, name: str) -> Selector | None:
    """
    Give the one selector of a domain, if there is any.

    Raises:
        UnsafeChangeError: There are several.
    """
    different = sorted(set(selectors))
    if len(different) > 1:
        raise UnsafeChangeError("ambiguous", f"{name} names several selectors for {domain}: {', '.join(different)}")
    return different[0] if different else None


Entry = tuple[Selector, Path]
"""What a line that can name several keys says of one: its selector and its file."""


def with_key(entries: Sequence[Entry], key: SigningKey, path: Path) -> list[Entry]:
    """
    Give the entries of a line with `key` in the place of the one of its algorithm, the others as they are.

    Raises:
        SignerError: The key file of an entry cannot be loaded, so its algorithm is not known.
    """
    kept = [None if _is_replaced(entry, key) else entry for entry in entries]
    place = kept.index(None) if None in kept else len(kept)
    return [*filter(None, kept[:place]), (key.selector, path), *filter(None, kept[place:])]


def of_algorithm(entries: Sequence[Entry], algorithm: str) -> list[Selector]:
    """
    Give the selectors whose keys are of an algorithm.

    Raises:
        SignerError: The key file of an entry cannot be loaded.
    """
    return [selector for selector, path in entries if _algorithm(selector, path) == algorithm]


def _is_replaced(entry: Entry, key: SigningKey) -> bool:
    return entry[0] == key.selector or _algorithm(*entry) == key.algorithm


def _is_missing(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def _algorithm(selector: Selector, path: Path) -> str:
    try:
        return load(read(path)).algorithm
    except SignerError as error:
        raise SignerError(f"cannot tell the algorithm of selector {selector} by {path}: {error}") from error
