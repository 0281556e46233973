"""
How an MTA is told: a command without a shell, or a signal to the process of a pid file.

Commands get a fixed, small environment, so that they do the same from cron as from a shell, and no secret of ours; no
standard input, a time limit, and a working directory of `/`. What they print is shortened in errors, and anything that
may be key material is cut out of it.
"""

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from dmarcops.errors import SignerError

Command = tuple[str, ...]
"""A program and its arguments; no shell reads them."""

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
"""All the environment that commands get."""

TRY_AGAIN = 75
"""The exit code of a command that may work later (`EX_TEMPFAIL` of sysexits.h)."""

_SHOWN = 400
_READ = 64 * 1024
_PEM = re.compile(r"-----BEGIN.*?(-----END[^\n]*|\Z)", re.DOTALL)
# A line of base64 and what may be its next lines, shorter at the end, with real or escaped ends between
_BASE64 = re.compile(r"[A-Za-z0-9+/=_]{40,}((\s|\\n)+[A-Za-z0-9+/=_]+(?![^\s\\]))*")


def run(
    command: Command,
    *,
    timeout: timedelta,
    values: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """
    Run a command to its end, and give what it wrote to standard output.

    Args:
        command: The program and its arguments; `{name}` in one stands for a value of that name.
        timeout: After that it is killed, with all it started.
        values: What may be put into arguments.
        environment: What it gets besides `ENVIRONMENT`.

    Raises:
        SignerError: It cannot be started, takes too long or ends with another code than 0.
    """
    words = [_filled(word, values or {}) for word in command]
    try:
        # Files, not pipes: a daemon that a reload starts may keep them open for ever
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            code = _code(words, timeout, {**ENVIRONMENT, **(environment or {})}, (output.fileno(), errors.fileno()))
            said, complained = (_tail(file.fileno()) for file in (output, errors))
    except OSError as error:
        raise SignerError(
            f"cannot run {words[0]}: {error.strerror}", hint=f"give its full path, or put it in {ENVIRONMENT['PATH']}"
        ) from error
    if code != 0:
        raise SignerError(
            f"{words[0]} ended with {code}: {shown(complained or said) or 'it said nothing'}",
            transient=code == TRY_AGAIN,
        )
    return said


def _code(words: Sequence[str], timeout: timedelta, environment: Mapping[str, str], outputs: tuple[int, int]) -> int:
    with subprocess.Popen(  # noqa: S603 - the user's own command, no shell
        words,
        stdin=subprocess.DEVNULL,
        stdout=outputs[0],
        stderr=outputs[1],
        env=environment,
        cwd="/",
        start_new_session=True,
    ) as process:
        try:
            return process.wait(timeout.total_seconds())
        except subprocess.TimeoutExpired as error:
            raise SignerError(
                f"{words[0]} took longer than {timeout.total_seconds():g} s and was killed", transient=True
            ) from error
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def signal_process(pid_file: Path, number: int, *, program: str) -> None:
    """
    Send a signal to the process that a pid file names, if it is `program`; number 0 only sees whether that can be done.

    Raises:
        SignerError: There is no such process.
    """
    try:
        pid = int(pid_file.read_text(encoding="ascii").strip())
        name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
        # A pid file outlives its process, and a signal that it does not expect would kill another one
        if name != program:
            raise SignerError(f"process {pid} of {pid_file} is not {program}", hint=f"is {program} running?")
        os.kill(pid, number)
    except ValueError:
        raise SignerError(f"there is no process id in {pid_file}") from None
    except OSError as error:
        raise SignerError(
            f"cannot signal the process of {pid_file}: {error.strerror}", hint=f"is {program} running?"
        ) from error


def shown(output: str) -> str:
    """Give the end of what a command said, on one line, without anything that may be a key."""
    clean = _BASE64.sub("[...]", _PEM.sub("[...]", output))
    parts = (" ".join(part.split()) for part in clean.splitlines())
    line = "".join(filter(str.isprintable, "; ".join(filter(None, parts))))
    return line if len(line) <= _SHOWN else f"...{line[-_SHOWN:]}"


def _filled(word: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(f"{{{name}}}", value)
    return word


def _tail(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, _READ, max(0, size - _READ)).decode("utf-8", "replace")
