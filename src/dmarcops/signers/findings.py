"""
What `doctor` finds of a signer: its files, the directory of its keys, its commands. Changes nothing.

A check command is run when it says something of the configuration as a whole; a reload command is only looked for.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from dmarcops.errors import DmarcopsError
from dmarcops.ports import Finding, SigningKey, problem
from dmarcops.report.model import Domain, Selector
from dmarcops.signers.files import KeyFiles, read, see_key_directory
from dmarcops.signers.reload import ENVIRONMENT, Command, run, signal_process
from dmarcops.signers.switch import Change, FileSettings


def of_files(
    settings: FileSettings, *configurations: Path, pid_file: tuple[Path | None, str] = (None, "")
) -> list[Finding]:
    """
    Look at a signer whose configuration is files.

    Args:
        settings: Its settings.
        configurations: The files that a switch changes.
        pid_file: The file with the process that is signalled, if any, and its program.
    """
    findings = [finding for path in configurations for finding in _of_configuration(path)]
    findings += of_keys(settings)
    findings += _of_check(settings.check, settings.timeout)
    findings += of_program(settings.reload, "reload")
    path, program = pid_file
    if path is not None:
        findings += tried(lambda: signal_process(path, 0, program=program), f"{program} runs ({path})")
    return findings


def foreseen(changes: Callable[[], Sequence[Change]]) -> list[Finding]:
    """
    Tell what would stop a switch.

    Args:
        changes: Gives the changes of a switch; they are made in memory only.
    """

    def attempt() -> None:
        for change in changes():
            change.edit(read(change.path))

    return [finding for finding in tried(attempt, "") if finding.kind != "ok"]


def stand_in(domain: Domain, algorithm: str) -> SigningKey:
    """Give a key for `foreseen`, of which only the names count."""
    return SigningKey(domain, Selector("next"), algorithm, b"")


def of_keys(settings: KeyFiles) -> list[Finding]:
    """Look at the directory of a signer's keys, and at whom they are to belong to."""
    directory = settings.key_dir
    if directory.exists():
        findings = list(_writable(directory))
    else:
        findings = list(_writable(directory.parent))
        findings.append(Finding("hint", f"{directory} is made with the first key"))
    return [*findings, *tried(lambda: see_key_directory(settings), f"{directory} is closed to other writers")]


def of_program(command: Command, what: str) -> Iterator[Finding]:
    """Look whether the program of a command can be found as it will be when it is run."""
    if not command:
        return
    if shutil.which(command[0], path=ENVIRONMENT["PATH"]) is None:
        yield Finding("problem", f"{what}: {command[0]} cannot be run")
        yield Finding("hint", f"give its full path, or put it in {ENVIRONMENT['PATH']}")
    else:
        yield Finding("ok", f"{what}: {command[0]} is there")


def _of_configuration(path: Path) -> Iterator[Finding]:
    if not path.exists():
        yield from _writable(path.parent)
        yield Finding("hint", f"{path} is not there yet: it is made at the first switch; see that the MTA reads it")
        return
    if not os.access(path, os.R_OK):
        yield Finding("problem", f"{path} cannot be read")
        yield Finding("hint", "run as a user who may")
        return
    yield Finding("ok", f"{path} can be read")
    # A file is replaced by a rename: what counts is its directory.
    yield from _writable(path.resolve().parent)


def _of_check(command: Command, timeout: timedelta) -> Iterable[Finding]:
    if not command:
        return ()
    if any("{" in word for word in command):
        return of_program(command, "check")
    return tried(lambda: run(command, timeout=timeout), f"check: {command[0]} takes the configuration")


def _writable(directory: Path) -> Iterator[Finding]:
    if not directory.is_dir():
        yield Finding("problem", f"there is no directory {directory}")
        yield Finding("hint", f"make it: install -d -m 0750 {directory}")
    elif os.access(directory, os.W_OK | os.X_OK):
        yield Finding("ok", f"{directory} can be written to")
    else:
        yield Finding("problem", f"{directory} cannot be written to")
        yield Finding("hint", "run as a user who may, or mount it so; under systemd: ReadWritePaths=")


def tried(deed: Callable[[], object], done: str) -> Sequence[Finding]:
    """Do something, and give what came of it: `done`, or its error."""
    try:
        deed()
    except DmarcopsError as error:
        return problem(error)
    return (Finding("ok", done),)
