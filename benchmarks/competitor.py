"""parsedmarc in an environment of its own, from pinned and hashed packages."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / "requirements" / "bench.txt"
ENVIRONMENT = ROOT / "build" / "bench-parsedmarc"


class NotInstalledError(Exception):
    """It could not be installed; the message is what the installer said last."""


def python_with_parsedmarc() -> Path:
    """
    Return the interpreter that has parsedmarc; installs it when that was not done yet.

    Raises:
        NotInstalledError: The package registry cannot be reached, or has no packages for this Python.
    """
    python = ENVIRONMENT / "bin" / "python"
    installed = ENVIRONMENT / "installed.txt"
    wanted = REQUIREMENTS.read_bytes()
    if installed.exists() and installed.read_bytes() == wanted:
        return python
    _run(sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT))
    options = ("--quiet", "--disable-pip-version-check", "--require-hashes", "--requirement", str(REQUIREMENTS))
    _run(str(python), "-m", "pip", "install", *options)
    installed.write_bytes(wanted)
    return python


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise NotInstalledError(lines[-1] if lines else f"{command[0]} ended with {done.returncode}")
