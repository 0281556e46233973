"""
The way of a mail, all of it real: submission with a login (Postfix), a signer (OpenDKIM), the receiving side (Postfix,
and OpenDKIM that verifies and writes Authentication-Results), the mailbox (Dovecot), and DNS (BIND).
"""

import shutil
import smtplib
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email.utils import formatdate, make_msgid
from itertools import count
from pathlib import Path
from types import MappingProxyType

import pytest

from conftest import free_port, missing
from dmarcops.ports import SigningKey
from servers_bind import PRIMARY, Bind
from servers_dovecot import PASSWORD, Dovecot, running_dovecot, wait_until_listening
from servers_opendkim import OpenDkim
from servers_postfix import Postfix, postfix_folder, receiving

DOMAIN = "example.test"
RECEIVER = "receiver.test"
AUTHSERV_ID = f"mx.{RECEIVER}"
_SASL = """
hostname = {host}
service auth {{
  inet_listener {{
    port = {port}
    address = 127.0.0.1
  }}
}}
"""
_UNBOUND = """
server:
  module-config: "iterator"
  do-not-query-localhost: no
  cache-max-ttl: 0
  cache-max-negative-ttl: 0
  local-zone: "test." nodefault
"""
_FORWARD = """
forward-zone:
  name: "{zone}"
  forward-addr: {address}@{port}
"""
_VERIFIER = """
Syslog no
Mode v
UserID root
Background no
AutoRestart no
AuthservID {host}
AlwaysAddARHeader yes
ResolverConfiguration {folder}/unbound.conf
Socket inet:{port}@127.0.0.1
PidFile {folder}/pid
"""
_numbers = count(1)


@dataclass
class MailWay:
    """All servers of the way, and their ports."""

    bind: Bind
    dovecot: Dovecot
    signer: OpenDkim
    outgoing: Postfix
    incoming: Postfix
    submission: int
    """Takes mail with a login, over TLS; signs it."""
    unsigned: int
    """The same without a signer."""
    unverified: int
    """The receiving side without a verifier, as a second MX that somebody forgot."""

    @property
    def ca_file(self) -> Path:
        """Who signed the certificate of the submission server."""
        return self.outgoing.folder.parent / "ca.pem"

    def address(self) -> str:
        """Return the address of a mailbox that nobody else has, which is also its user."""
        return f"seed{next(_numbers)}@{RECEIVER}"

    def sign_with(self, key: SigningKey) -> None:
        """Have the signer sign with a key; by a session that begins from now on."""
        self.signer.signer().use(key)

    def sign_nothing(self) -> None:
        """Have the signer sign nothing."""
        for name in ("KeyTable", "SigningTable"):
            (self.signer.folder / name).write_text("")
        self.signer.reload()

    def submit(self, mail: bytes, sender: str, recipient: str, *, port: int = 0) -> None:
        """Hand a mail in by the submission server, with a login, or by another of its ports."""
        with smtplib.SMTP("127.0.0.1", port or self.submission, timeout=30) as session:
            session.starttls(context=ssl.create_default_context(cafile=self.ca_file))
            session.login(sender, PASSWORD)
            session.sendmail(sender, [recipient], mail)

    def hand_over(self, mail: bytes, recipient: str) -> None:
        """Hand a mail over to the receiving side's port that verifies nothing."""
        with smtplib.SMTP("127.0.0.1", self.unverified, timeout=30) as session:
            session.sendmail("sender@elsewhere.test", [recipient], mail)

    def arrived(self, user: str, number: int = 1, folder: str = "INBOX") -> list[bytes]:
        """Return the mails of a folder when there are so many."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            found = self.dovecot.mails(user, folder)
            if len(found) >= number:
                return found
            time.sleep(0.1)
        pytest.fail(f"no mail arrived for {user}: {self.outgoing.log()[-2000:]} {self.incoming.log()[-2000:]}")


def written(recipient: str, *fields: str, author: str = f"news@{DOMAIN}", body: str = "Hello.\r\n") -> bytes:
    """Write a mail, with some more fields on top."""
    lines = [
        *fields,
        f"From: {author}",
        f"To: {recipient}",
        "Subject: news",
        f"Date: {formatdate()}",
        f"Message-ID: {make_msgid(domain=DOMAIN)}",
    ]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body.encode()


@contextmanager
def running_verifier(
    bind: Bind, host: str = AUTHSERV_ID, *, zones: Mapping[str, int] = MappingProxyType({})
) -> Iterator[int]:
    """Run an OpenDKIM that verifies, and give its port; zones that BIND does not have are asked for on other ports."""
    with tempfile.TemporaryDirectory(prefix="dmarcops-verifier-") as name:
        folder, port = Path(name), free_port()
        forwards = {".": bind.port, **zones}
        lines = [_FORWARD.format(zone=zone, address=PRIMARY, port=at) for zone, at in forwards.items()]
        (folder / "unbound.conf").write_text(_UNBOUND + "".join(lines))
        (folder / "opendkim.conf").write_text(_VERIFIER.format(host=host, folder=folder, port=port))
        words = ["setpriv", "--pdeathsig=KILL", "--", "opendkim", "-f", "-x", str(folder / "opendkim.conf")]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
        try:
            wait_until_listening(port)
            yield port
        finally:
            process.kill()
            process.wait()


@contextmanager
def running_signer() -> Iterator[OpenDkim]:
    """Run an OpenDKIM that signs, with tables in which there is nothing yet."""
    # Not below /tmp: RequireSafeKeys looks at all directories above a key
    with tempfile.TemporaryDirectory(prefix="dmarcops-signer-", dir="/run") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for table in ("KeyTable", "SigningTable"):
            (folder / table).touch()
        signer = OpenDkim(folder, free_port())
        signer.start()
        try:
            yield signer
        finally:
            signer.stop()


@contextmanager
def running_mail_way(bind: Bind) -> Iterator[MailWay]:
    """Run all servers of the way."""
    if not shutil.which("opendkim"):
        missing("OpenDKIM is not installed (Debian: apt-get install opendkim)")
    with ExitStack() as stack:
        folder = stack.enter_context(postfix_folder())
        sasl = free_port()
        dovecot = stack.enter_context(running_dovecot(_SASL.format(host=AUTHSERV_ID, port=sasl)))
        signer = stack.enter_context(running_signer())
        verifier = stack.enter_context(running_verifier(bind))
        incoming = receiving(folder / "in", AUTHSERV_ID, RECEIVER, lmtp=dovecot.lmtp)
        verified = incoming.listen(smtpd_milters=f"inet:127.0.0.1:{verifier}")
        unverified = incoming.listen()
        outgoing = Postfix(
            folder / "out",
            f"mail.{DOMAIN}",
            {
                "relayhost": f"[127.0.0.1]:{verified}",
                "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
                "smtpd_sasl_auth_enable": "yes",
                "smtpd_sasl_type": "dovecot",
                "smtpd_sasl_path": f"inet:127.0.0.1:{sasl}",
                "smtpd_tls_security_level": "encrypt",
                "smtpd_tls_auth_only": "yes",
                "smtpd_tls_cert_file": f"{folder}/server.pem",
                "smtpd_tls_key_file": f"{folder}/server.key",
            },
        )
        submission = outgoing.listen(smtpd_milters=f"inet:127.0.0.1:{signer.port}")
        unsigned = outgoing.listen()
        for server in (incoming, outgoing):
            stack.callback(server.stop)
            server.start()
        yield MailWay(bind, dovecot, signer, outgoing, incoming, submission, unsigned, unverified)
