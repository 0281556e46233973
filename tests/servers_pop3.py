"""Dovecot's POP3 server on loopback, as whoever runs the tests, or as nobody when that is root."""

import os
import poplib
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import SHORT_FOLDER, free_port, missing

PASSWORD = "correct-horse"  # noqa: S105 - of a server that lives as long as the tests
CONFIGURATION = """
base_dir = {folder}/base
state_dir = {folder}/state
log_path = {folder}/log
protocols = pop3
listen = 127.0.0.1
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
ssl = yes
ssl_cert = <{folder}/cert.pem
ssl_key = <{folder}/key.pem
disable_plaintext_auth = no
auth_failure_delay = 0
auth_mechanisms = plain
mail_location = maildir:{folder}/mail/%n
mail_fsync = never
pop3_lock_session = yes
mail_max_lock_timeout = 1s
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={folder}/mail/%n allow_all_users=yes
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {port}
  }}
  inet_listener pop3s {{
    port = {tls_port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
"""


@dataclass(frozen=True)
class Pop3:
    """A running server: any user name is good with `PASSWORD`."""

    folder: Path
    port: int
    tls_port: int

    @property
    def certificate(self) -> Path:
        """The server's certificate, which signs itself."""
        return self.folder / "cert.pem"

    def maildir(self, user: str) -> Path:
        """Return where a user's mail is, made as an MTA would."""
        top = self.folder / "mail" / user
        for path in (top, *(top / name for name in ("cur", "new", "tmp"))):
            path.mkdir(exist_ok=True)
            own(path)
        return top

    def deliver(self, user: str, name: str, octets: bytes) -> None:
        """Deliver a mail."""
        top = self.maildir(user)
        (top / "tmp" / name).write_bytes(octets)
        own(top / "tmp" / name)
        (top / "tmp" / name).rename(top / "new" / name)

    def names(self, user: str) -> list[str]:
        """Return the names of the mails that the server has."""
        top = self.maildir(user)
        return sorted(path.name.partition(":")[0] for part in ("new", "cur") for path in (top / part).iterdir())


def account() -> pwd.struct_passwd:
    """Return who the server runs as."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


def own(path: Path) -> None:
    """Give a file to the server."""
    os.chown(path, account().pw_uid, account().pw_gid)


@pytest.fixture(scope="session")
def pop3() -> Iterator[Pop3]:
    """A server that lasts as long as the tests."""
    program = shutil.which("dovecot", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None or not Path("/usr/lib/dovecot/pop3-login").exists():
        missing("Dovecot's POP3 server is not installed (Debian: apt-get install dovecot-pop3d)")
    with tempfile.TemporaryDirectory(prefix="dmarcops-pop3-", dir=SHORT_FOLDER, ignore_cleanup_errors=True) as name:
        server = Pop3(Path(name), free_port(), free_port())
        prepare(server)
        user = ["setpriv", "--reuid=nobody", f"--regid={account().pw_gid}", "--clear-groups", "--"]
        command = [*(user if os.geteuid() == 0 else []), str(program), "-F", "-c", f"{name}/dovecot.conf"]
        with (server.folder / "out").open("wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out, cwd="/")
        try:
            wait_for(server, process)
            yield server
        finally:
            process.terminate()
            process.wait()


def prepare(server: Pop3) -> None:
    """Write the certificate and the configuration."""
    folder = server.folder
    (folder / "mail").mkdir()
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", folder / "key.pem", "-out", folder / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )
    group = subprocess.run(["id", "-gn", account().pw_name], check=True, capture_output=True, text=True).stdout.strip()
    words = {"folder": folder, "port": server.port, "tls_port": server.tls_port, "password": PASSWORD}
    text = CONFIGURATION.format(user=account().pw_name, group=group, **words)
    (folder / "dovecot.conf").write_text(text)
    for path in (folder, *folder.iterdir()):
        own(path)


def wait_for(server: Pop3, process: "subprocess.Popen[bytes]") -> None:
    """Return when the server answers; fail when it ended instead."""
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        try:
            poplib.POP3("127.0.0.1", server.port, timeout=5).quit()
        except (OSError, poplib.error_proto):
            time.sleep(0.05)
        else:
            return
    log = server.folder / "log"
    pytest.fail(
        f"Dovecot did not start: {(server.folder / 'out').read_text()} {log.read_text() if log.exists() else ''}"
    )
