"""A Dovecot of our own, on loopback and free ports, as an ordinary user, with TLS, LMTP and OAuth."""

import grp
import os
import pwd
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from itertools import count
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from imapclient import IMAPClient  # type: ignore[import-untyped]

from conftest import SHORT_FOLDER, free_port, missing

PASSWORD = "secret"  # noqa: S105 - of a server that is gone after the test
ISSUER = "https://login.test/"
_DEADLINE = 20.0
_CONFIGURATION = """
base_dir = {folder}/base
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = imap lmtp
listen = 127.0.0.1
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
ssl = yes
ssl_cert = <{folder}/server.pem
ssl_key = <{folder}/server.key
disable_plaintext_auth = no
auth_failure_delay = 0
auth_mechanisms = plain login xoauth2 oauthbearer
auth_username_chars =
mail_location = maildir:{folder}/mail/%u/Maildir
mail_fsync = never
first_valid_uid = 1
mail_max_userip_connections = 100
maildir_very_dirty_syncs = yes
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {folder}/oauth2.conf.ext
}}
passdb {{
  driver = static
  mechanisms = plain login
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={folder}/mail/%u allow_all_users=yes
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
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
_OAUTH = """
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={folder}/keys/
username_attribute = email
issuers = {issuer}
"""
_numbers = count(1)


@dataclass
class Dovecot:
    """A server; every user name is there, each with `PASSWORD`."""

    folder: Path
    extra: str = ""
    imap: int = field(default_factory=free_port)
    imaps: int = field(default_factory=free_port)
    lmtp: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def ca_file(self) -> Path:
        """The authority that signed the server's certificate."""
        return self.folder / "ca.pem"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the server's certificate."""
        certificate = x509.load_pem_x509_certificate((self.folder / "server.pem").read_bytes())
        return certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def jwt_key(self) -> bytes:
        """The private key (PEM) of the tokens that the server takes."""
        return (self.folder / "jwt.key").read_bytes()

    def start(self) -> None:
        """Start it, and return when it answers."""
        words = ["dovecot", "-F", "-c", str(self.folder / "dovecot.conf")]
        if os.geteuid() == 0:
            words = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--pdeathsig=TERM", "--", *words]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
        end = time.monotonic() + _DEADLINE
        while time.monotonic() < end:
            if self.process.poll() is not None:
                log = self.folder / "dovecot.log"
                pytest.fail(f"Dovecot ended: {log.read_text() if log.exists() else self.process.returncode}")
            try:
                with self.client("probe"):
                    return
            except (OSError, IMAPClient.Error):
                time.sleep(0.02)
        pytest.fail("Dovecot does not answer")

    def stop(self) -> None:
        """End it, and all sessions with it."""
        if self.process is None:
            return
        children = _children(self.process.pid)
        self.process.terminate()
        for child in children:  # they would finish their sessions first
            _kill(child)
        self.process.wait(_DEADLINE)
        self.process = None

    def restart(self) -> None:
        """Stop and start it."""
        self.stop()
        self.start()

    @contextmanager
    def client(self, user: str) -> Iterator[IMAPClient]:
        """Log in as a user."""
        client = IMAPClient("127.0.0.1", self.imap, ssl=False, timeout=_DEADLINE)
        try:
            client.login(user, PASSWORD)
            yield client
        finally:
            client.shutdown()

    def append(self, user: str, *mails: bytes, folder: str = "INBOX") -> None:
        """Put mails into a folder, which is made when it is missing."""
        with self.client(user) as client:
            if not client.folder_exists(folder):
                client.create_folder(folder)
            for mail in mails:
                client.append(folder, mail)

    def deliver(self, user: str, mail: bytes) -> None:
        """Deliver a mail by LMTP."""
        with smtplib.LMTP("127.0.0.1", self.lmtp) as lmtp:
            lmtp.sendmail("sender@example.com", [user], mail)

    def flood(self, user: str, mails: Iterator[bytes]) -> None:
        """Put very many mails into the INBOX, as the server's files."""
        home = self.folder / "mail" / user
        new = home / "Maildir" / "new"
        for path in (new, new.with_name("cur"), new.with_name("tmp")):
            path.mkdir(parents=True, exist_ok=True)
        _give(home.parent, home, *home.rglob("*"))
        for number, mail in enumerate(mails):
            # Dovecot's hash of a name is that of its end: without what is added it compares each with all others.
            end = f"{number * 2_654_435_761 % 2**32:08x}"
            name = f"{1_700_000_000 + number}.M{number}.flood,S={len(mail)},W={len(mail)},N={end}"
            path = new.with_name("tmp") / name
            path.write_bytes(mail)
            _give(path)
            path.rename(new / name)  # whole from the moment that it is seen

    def mails(self, user: str, folder: str = "INBOX") -> list[bytes]:
        """Return the mails of a folder, none when there is no such folder."""
        with self.client(user) as client:
            if not client.folder_exists(folder):
                return []
            client.select_folder(folder, readonly=True)
            uids = client.search("ALL")
            found: list[bytes] = []
            for start in range(0, len(uids), 500):
                answer = client.fetch(uids[start : start + 500], ["BODY.PEEK[]"])
                found += [answer[uid][b"BODY[]"] for uid in uids[start : start + 500]]
            return found

    def flags(self, user: str, folder: str = "INBOX") -> list[set[str]]:
        r"""Return the flags of the mails of a folder, but for `\Recent`."""
        with self.client(user) as client:
            client.select_folder(folder, readonly=True)
            answer = client.get_flags(client.search("ALL"))
            return [{flag.decode() for flag in flags} - {"\\Recent"} for flags in answer.values()]


def _kill(pid: int) -> None:
    """Kill a process of the server, unless it is gone."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in found.read_text().split()] if found.exists() else []


def _give(*paths: Path) -> None:
    """Make the server's user the owner."""
    if os.geteuid() == 0:
        account = pwd.getpwnam("nobody")
        for path in paths:
            os.chown(path, account.pw_uid, account.pw_gid)


def _account() -> tuple[str, str]:
    if os.geteuid() == 0:
        return "nobody", "nogroup"
    account = pwd.getpwuid(os.geteuid())
    return account.pw_name, grp.getgrgid(account.pw_gid).gr_name


def certificates(folder: Path, host: str = "127.0.0.1") -> None:
    """Make an authority (`ca.pem`) and a certificate of it (`server.pem`, `server.key`)."""
    authority, key = rsa.generate_private_key(65537, 2048), rsa.generate_private_key(65537, 2048)
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of tests")])
    now = datetime.now(UTC)

    def signed(name: x509.Name, public: rsa.RSAPublicKey, *extensions: tuple[x509.ExtensionType, bool]) -> bytes:
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(public)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=2))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority.public_key())
    of_authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))])
    basic = x509.BasicConstraints(ca=True, path_length=None)
    (folder / "ca.pem").write_bytes(
        signed(issuer, authority.public_key(), (basic, True), (usage, True), (identifier, False))
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    (folder / "server.pem").write_bytes(signed(subject, key.public_key(), (names, False), (of_authority, False)))
    (folder / "server.key").write_bytes(_private(key))


def _private(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _prepare(server: Dovecot) -> None:
    folder = server.folder
    certificates(folder)
    key = rsa.generate_private_key(65537, 2048)
    (folder / "jwt.key").write_bytes(_private(key))
    public = folder / "keys" / "default" / "RS256" / "default"
    public.parent.mkdir(parents=True)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, form))
    user, group = _account()
    (folder / "oauth2.conf.ext").write_text(_OAUTH.format(folder=folder, issuer=ISSUER))
    text = _CONFIGURATION.format(
        folder=folder,
        user=user,
        group=group,
        password=PASSWORD,
        imap=server.imap,
        imaps=server.imaps,
        lmtp=server.lmtp,
    )
    (folder / "dovecot.conf").write_text(text + server.extra)
    _give(folder, *folder.rglob("*"))


@contextmanager
def running_dovecot(extra: str = "") -> Iterator[Dovecot]:
    """Run a server in a folder that is gone afterwards; `extra` is added to its configuration."""
    if shutil.which("dovecot") is None:
        missing("Dovecot is not installed (Debian: apt-get install dovecot-imapd dovecot-lmtpd)")
    with tempfile.TemporaryDirectory(prefix="dmarcops-imap-", dir=SHORT_FOLDER, ignore_cleanup_errors=True) as folder:
        server = Dovecot(Path(folder), extra)
        _prepare(server)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def dovecot() -> Iterator[Dovecot]:
    """A server that can do everything; a test uses users of its own."""
    with running_dovecot() as server:
        yield server


@pytest.fixture
def user() -> str:
    """A user that no other test has."""
    return f"user{next(_numbers)}"


def wait_until_listening(port: int) -> None:
    """Return when somebody listens on a port."""
    end = time.monotonic() + _DEADLINE
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    pytest.fail(f"nobody listens on port {port}")
