"""Postfix on loopback and free ports."""

import os
import pwd
import shutil
import smtplib
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from conftest import free_port, missing
from servers_dovecot import certificates

_DAEMONS = Path("/usr/lib/postfix/sbin")
_SERVICES = """
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
_SETTINGS = {
    "compatibility_level": "3.6",
    "mail_owner": "postfix",
    "setgid_group": "postdrop",
    "command_directory": "/usr/sbin",
    "daemon_directory": str(_DAEMONS),
    "mydestination": "",
    "inet_interfaces": "127.0.0.1",
    "inet_protocols": "ipv4",
    "mynetworks": "127.0.0.0/8",
    "alias_maps": "",
    "alias_database": "",
    "local_recipient_maps": "",
    "biff": "no",
    "append_dot_mydomain": "no",
    "smtpd_peername_lookup": "no",
    "smtp_dns_support_level": "disabled",
    "smtp_tls_security_level": "none",
    "milter_default_action": "tempfail",
    "milter_protocol": "6",
    "queue_run_delay": "1s",
    "minimal_backoff_time": "1s",
    "maximal_backoff_time": "2s",
    "smtpd_client_connection_rate_limit": "0",
}


@dataclass
class Postfix:
    """A server: the options of each port that it listens on, and what its configuration has besides."""

    folder: Path
    host: str
    settings: Mapping[str, str]
    ports: dict[int, Mapping[str, str]] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    def listen(self, **options: str) -> int:
        """Add a port, with options of its own."""
        port = free_port()
        self.ports[port] = options
        return port

    def start(self) -> None:
        """Start it, and return when all ports answer."""
        self.folder.mkdir()
        for name in ("queue", "data"):
            (self.folder / name).mkdir()
        os.chown(self.folder / "data", pwd.getpwnam("postfix").pw_uid, -1)
        own = {
            "config_directory": str(self.folder),
            "queue_directory": f"{self.folder}/queue",
            "data_directory": f"{self.folder}/data",
            "maillog_file": f"{self.folder}/log",
            "maillog_file_prefixes": str(self.folder.parent),
            "myhostname": self.host,
        }
        lines = [f"{name} = {value}" for name, value in {**_SETTINGS, **own, **self.settings}.items()]
        (self.folder / "main.cf").write_text("\n".join([*lines, ""]))
        smtpd = [
            f"127.0.0.1:{port} inet n - n - - smtpd"
            + "".join(f"\n  -o {name}={value}" for name, value in given.items())
            for port, given in self.ports.items()
        ]
        (self.folder / "master.cf").write_text("\n".join(smtpd) + _SERVICES)
        subprocess.run(["postfix", "-c", self.folder, "check"], check=True, capture_output=True)
        words = ["setpriv", "--pdeathsig=TERM", "--", str(_DAEMONS / "master"), "-c", str(self.folder), "-d"]
        with (self.folder / "stderr").open("wb") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log, cwd="/")
        for port in self.ports:
            self._wait_for(port)

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()

    @contextmanager
    def held(self, transport: str) -> Iterator[None]:
        """Keep back what goes by a transport while the block runs, and let it go then."""
        self._defer(transport)
        try:
            yield
        finally:
            self._defer("")
            self._control("postqueue", "-f")

    def log(self) -> str:
        """Return what it has logged."""
        file = self.folder / "log"
        return file.read_text() if file.exists() else ""

    def _defer(self, transport: str) -> None:
        self._control("postconf", "-e", f"defer_transports = {transport}")
        self._control("postfix", "reload")

    def _control(self, program: str, *words: str) -> None:
        subprocess.run([program, "-c", str(self.folder), *words], check=True, capture_output=True)

    def _wait_for(self, port: int) -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end and self.process is not None and self.process.poll() is None:
            try:
                smtplib.SMTP("127.0.0.1", port, timeout=10).close()
            except (OSError, smtplib.SMTPException):
                time.sleep(0.05)
            else:
                return
        pytest.fail(f"Postfix does not answer: {self.log()[-2000:]} {(self.folder / 'stderr').read_text()}")


def receiving(folder: Path, host: str, domain: str, *, lmtp: int) -> Postfix:
    """Give a Postfix that takes mail for a domain, and hands it on by LMTP."""
    return Postfix(
        folder,
        host,
        {
            "virtual_mailbox_domains": domain,
            "virtual_transport": f"lmtp:inet:[127.0.0.1]:{lmtp}",
            "smtpd_relay_restrictions": "reject_unauth_destination",
        },
    )


@contextmanager
def postfix_folder() -> Iterator[Path]:
    """Give a folder for servers that every daemon can enter, with a certificate; it is gone afterwards."""
    if shutil.which("postfix") is None:
        if shutil.which("sendmail"):
            pytest.skip("another MTA than Postfix is installed")
        missing("Postfix is not installed (Debian: apt-get install postfix)")
    if os.geteuid() != 0:
        pytest.skip("Postfix is started by root only")
    with tempfile.TemporaryDirectory(prefix="dmarcops-postfix-", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        certificates(folder)
        yield folder
