"""Runs `dmarcops` as a user does, in a session of its own, and looks at its processes from outside."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SRC = str(Path(__file__).parents[2] / "src")
_POLL_SECONDS = 0.02
_GONE_SECONDS = 20


@dataclass(frozen=True)
class Ended:
    """How a call ended; `peak_kib` is the memory of its largest process, workers too, at its highest."""

    code: int
    stdout: str
    stderr: str
    peak_kib: int
    seconds: float

    @property
    def totals(self) -> dict[str, Any]:
        """What `ingest --format json` printed."""
        found: dict[str, Any] = json.loads(self.stdout)
        return found


def start(
    *arguments: str | Path, before: Sequence[str] = (), env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> "subprocess.Popen[str]":
    """Start `dmarcops` in a session of its own; `before` is what runs it."""
    # A worker that is killed writes no coverage, and one that is timed is not to be slowed down by it.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE_", "DMARCOPS_"))}
    return subprocess.Popen(
        [*before, sys.executable, "-m", "dmarcops", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment | {"PYTHONPATH": SRC} | dict(env or {}),
        cwd=cwd,
    )


def dmarcops(
    *arguments: str | Path,
    timeout: float = 120,
    before: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Ended:
    """Run `dmarcops` to its end; fails when that takes longer than `timeout` seconds."""
    started = time.monotonic()
    process = start(*arguments, before=before, env=env, cwd=cwd)
    peak = 0
    while process.poll() is None:
        peak = max(peak, *(peak_kib(pid) for pid in of_session(process.pid)), 0)
        if time.monotonic() - started > timeout:
            os.killpg(process.pid, signal.SIGKILL)
            raise AssertionError(f"still running after {timeout} s: {arguments}")
        time.sleep(_POLL_SECONDS)
    stdout, stderr = process.communicate()
    return Ended(process.returncode, stdout, stderr, peak, time.monotonic() - started)


def of_session(session: int) -> list[int]:
    """Return the processes of a session that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # proc(5): after the name in parentheses come state, parent, group and session.
            state, _, _, of, *_ = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(of) == session and state != "Z":
            found.append(int(path.parent.name))
    return found


def peak_kib(pid: int) -> int:
    """Return the most memory that a process has had so far (proc(5): VmHWM), 0 when it has ended."""
    try:
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(peak.group(1)) if peak else 0


def wait_until_gone(session: int) -> None:
    """Return when no process of the session is left; fails when one stays."""
    deadline = time.monotonic() + _GONE_SECONDS
    while left := of_session(session):
        if time.monotonic() > deadline:
            raise AssertionError(f"left running: {left}")
        time.sleep(_POLL_SECONDS)
