"""Exim as a server that signs what it passes on, and the server that it passes it on to."""

import os
import shutil
import smtplib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from conftest import free_port, missing
from dmarcops.signers import exim

UNPACKED = Path(__file__).parents[1] / "build" / "exim" / "usr" / "sbin" / "exim4"
"""Where it is when another MTA is installed, beside which it cannot be."""

CONFIGURATION = """
exim_path = {program}
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
pid_file_path = {folder}/pid
primary_hostname = mail.example.com
never_users =
tls_advertise_hosts =
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
acl_smtp_rcpt = accept
keep_environment =
begin routers
all:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = out
begin transports
out:
  driver = smtp
  port = {next_port}
  allow_localhost
  dkim_domain = ${{lookup{{${{lc:${{domain:$h_from:}}}}}}lsearch,ret=key{{{folder}/selectors}}}}
  dkim_selector = ${{lookup{{$dkim_domain}}lsearch{{{folder}/selectors}}}}
  dkim_private_key = {folder}/keys/$dkim_domain/$dkim_selector.key
  dkim_canon = relaxed
  dkim_strict = true
begin retry
* * F,1h,1m
"""


class _Keeper:
    """Takes all mail."""

    def __init__(self) -> None:
        self.mails: Queue[bytes] = Queue()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd
        del server, session
        assert isinstance(envelope.content, bytes)
        self.mails.put(envelope.content)
        return "250 taken"


@dataclass
class Exim:
    """A server that signs: its folder, its port, and what it passed on."""

    program: str
    folder: Path
    port: int = field(default_factory=free_port)
    kept: _Keeper = field(default_factory=_Keeper)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def conf(self) -> Path:
        """Its configuration file."""
        return self.folder / "exim.conf"

    def signer(self, **options: Any) -> exim.Adapter:  # noqa: ANN401 - any setting
        """Make the adapter for it."""
        settings: dict[str, Any] = {
            "config": self.folder / "selectors",
            "key_dir": self.folder / "keys",
            "key_group": "Debian-exim",
            "key_mode": "0640",
            "check": (self.program, "-C", str(self.conf), "-bV"),
            **options,
        }
        return exim.Adapter("exim", exim.Config(**settings))

    def start(self, next_port: int) -> None:
        """Start it, passing mail on to a port."""
        self.conf.write_text(
            CONFIGURATION.format(program=self.program, folder=self.folder, port=self.port, next_port=next_port)
        )
        with (self.folder / "start").open("ab") as log:
            self.process = subprocess.Popen(
                [self.program, "-C", self.conf, "-bdf"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
            )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        pytest.fail(f"Exim did not start: {(self.folder / 'start').read_text()}")

    def pass_on(self, message: bytes) -> bytes:
        """Send a mail through it, and give what came out."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=30) as session:
            session.sendmail("news@example.com", ["rcpt@receiver.example"], message)
        return self.kept.mails.get(timeout=30)

    def stop(self) -> None:
        """Stop it."""
        if self.process:
            self.process.terminate()
            self.process.wait()


@pytest.fixture
def exim_server() -> Iterator[Exim]:
    """An Exim that signs, with nothing to sign with yet."""
    if os.geteuid() != 0:
        pytest.skip("it can be started by root only")
    program = shutil.which("exim4") or shutil.which("exim") or shutil.which(str(UNPACKED))
    if not program:
        missing("Exim is not there (Debian: infra/install-test-servers.sh unpacks it)")
    assert program
    with tempfile.TemporaryDirectory(prefix="dmarcops-exim-", dir="/run") as name:
        folder = Path(name)
        for path in (folder / "spool", folder / "log"):
            path.mkdir()
            shutil.chown(path, "Debian-exim", "Debian-exim")
        folder.chmod(0o755)
        server = Exim(program, folder)
        keeper = Controller(server.kept, hostname="127.0.0.1", port=free_port())
        keeper.start()
        try:
            server.start(keeper.port)
            yield server
        finally:
            server.stop()
            keeper.stop()
