"""OpenDKIM as a signing milter on loopback, with tables of its own."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conftest import free_port, missing
from dmarcops.signers import opendkim


@dataclass
class OpenDkim:
    """A signing milter: its folder, and the port it listens on."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def conf(self) -> Path:
        """Its configuration file."""
        return self.folder / "opendkim.conf"

    def signer(self, **options: Any) -> opendkim.Adapter:  # noqa: ANN401 - any setting
        """Make the adapter for it."""
        settings: dict[str, Any] = {
            "key_table": self.folder / "KeyTable",
            "signing_table": self.folder / "SigningTable",
            "key_dir": self.folder / "keys",
            "pid_file": self.folder / "pid",
            "check": ("opendkim", "-n", "-x", str(self.conf)),
            **options,
        }
        return opendkim.Adapter("milter", opendkim.Config(**settings))

    def start(self, *lines: str, user: str = "root") -> None:
        """Start it, with more lines in its configuration."""
        self.conf.write_text(
            "\n".join(
                [
                    "Syslog no",
                    "Mode s",
                    f"UserID {user}",
                    "Background no",
                    "AutoRestart no",
                    "OversignHeaders From",
                    "Canonicalization relaxed/simple",
                    f"KeyTable refile:{self.folder}/KeyTable",
                    f"SigningTable refile:{self.folder}/SigningTable",
                    "InternalHosts 127.0.0.1",
                    f"Socket inet:{self.port}@127.0.0.1",
                    f"PidFile {self.folder}/pid",
                    *lines,
                    "",
                ]
            )
        )
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(["opendkim", "-f", "-x", self.conf], stdout=log, stderr=log, cwd="/")
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0 and (self.folder / "pid").exists():
                    return
            time.sleep(0.02)
        pytest.fail(f"OpenDKIM did not start: {(self.folder / 'log').read_text()}")

    def reload(self) -> None:
        """Have it read its tables again, at the next connection."""
        assert self.process
        self.process.send_signal(signal.SIGUSR1)

    def stop(self) -> None:
        """Stop it; libmilter takes seconds to see a SIGTERM."""
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def opendkim_server() -> Iterator[OpenDkim]:
    """An OpenDKIM that is not started yet, in a folder that its own user can enter."""
    if not shutil.which("opendkim"):
        missing("OpenDKIM is not installed (Debian: apt-get install opendkim opendkim-tools)")
    if os.geteuid() != 0:
        pytest.skip("its user can be set by root only")
    # Not below /tmp: RequireSafeKeys looks at all directories above a key
    with tempfile.TemporaryDirectory(prefix="dmarcops-opendkim-", dir="/run") as folder:
        Path(folder).chmod(0o755)
        server = OpenDkim(Path(folder), free_port())
        try:
            yield server
        finally:
            server.stop()
