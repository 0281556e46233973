"""
What fails around a rotation, through the program: DNS that lies, a signer that cannot be switched, a disk that is full.

Nothing is half done then: mail goes on signed by the key before, the reason says who it is, and a later run goes on.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from milter_client import MilterSession, mail, signatures
from program import Program
from rotating import Rotating
from servers_bind import PRIMARY, RECURSIVE, SECONDARY, Bind, bind  # noqa: F401 - a fixture
from servers_dns import serve_dns
from servers_opendkim import OpenDkim, opendkim_server  # noqa: F401 - a fixture
from servers_route53 import Route53, route53, route53_server  # noqa: F401 - fixtures

RECEIVER = "mx.receiver.example"
KEY = "v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"
_numbers = count(1)

pytestmark = pytest.mark.slow


# --- DNS that lies ----------------------------------------------------------------------------------------------------

LYING = """
[keys]
directory = "{folder}/private"
[dns.bind]
kind = "rfc2136"
server = "{bind}"
port = {port}
key_name = "rotate."
key_secret = "{secret}"
[signers.mta]
kind = "exim"
config = "{folder}/selectors"
key_dir = "{folder}/keys"
[resolver]
recursive = ["{recursive}:{port}", "127.0.0.1:{stale}"]
tries = 1
timeout = "2s"
[resolver.authoritative]
"example.test" = ["{bind}:{port}", "{secondary}:{port}", "127.0.0.1:{liar}"]
[domains."example.test"]
dns = "bind"
signers = ["mta"]
[domains."example.test".dkim]
ttl = "5s"
propagation = "1s"
jitter = "0s"
"""


@dataclass
class Liar:
    """A server that says of DKIM records what a test wants, and for all else what another says."""

    port: int
    address: str = PRIMARY
    lie: Callable[[dns.message.Message], dns.message.Message | None] | None = None

    def respond(self, query: dns.message.Message) -> dns.message.Message | None:
        """Answer."""
        question = query.question[0]
        if self.lie and question.rdtype == dns.rdatatype.TXT and b"_domainkey" in question.name.labels:
            return self.lie(query)
        return dns.query.udp_with_fallback(query, self.address, port=self.port, timeout=10)[0]


def reply_of(
    query: dns.message.Message, *records: str, rcode: dns.rcode.Rcode = dns.rcode.NOERROR
) -> dns.message.Message:
    """Write an answer: records as `TXT "..."`."""
    reply = dns.message.make_response(query)
    reply.flags |= dns.flags.AA
    reply.set_rcode(rcode)
    for record in records:
        kind, data = record.split(" ", 1)
        reply.answer.append(dns.rrset.from_text(query.question[0].name, 5, "IN", kind, data))
    if not records:
        reply.authority.append(
            dns.rrset.from_text("example.test.", 5, "IN", "SOA", "ns1.example.test. h.example.test. 1 1 1 1 1")
        )
    return reply


def loop(query: dns.message.Message) -> dns.message.Message:
    """Say that a name is an alias of another one, and that of the first."""
    first, *rest = query.question[0].name.labels
    other = first.removesuffix(b"-x") if first.endswith(b"-x") else first + b"-x"
    return reply_of(query, f"CNAME {dns.name.Name([other, *rest])}")


LIES: Mapping[str, Callable[[dns.message.Message], dns.message.Message | None]] = {
    "SERVFAIL": lambda query: reply_of(query, rcode=dns.rcode.SERVFAIL),
    "behind": lambda query: reply_of(query, rcode=dns.rcode.NXDOMAIN),
    "a wrong value": lambda query: reply_of(query, f'TXT "{KEY}"'),
    "an extra TXT": lambda query: reply_of(query, f'TXT "{KEY}"', 'TXT "v=spf1 -all"'),
    "a truncated chunk": lambda query: reply_of(query, f'TXT "{KEY[:40]}"'),
    "a CNAME loop": loop,
    "silence": lambda _query: None,
}
NO_ANSWERS = ("SERVFAIL", "a CNAME loop", "silence")
"""What cannot be compared with anything: something outside fails then."""


def test_one_server_that_lies_stops_the_switch_and_is_named(
    bind: Bind,  # noqa: F811 - the fixture
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    liar, stale = Liar(bind.port), Liar(bind.port)
    rotating = Rotating(tmp_path, Program(f"sqlite:///{tmp_path}/store.db", capsys), "example.test")

    def is_refused(server: str, code: int = 0) -> bool:
        ended = rotating.run()
        (key,) = rotating.keys(ended)
        assert (key["stage"], ended.code) == ("published", code)
        assert not (tmp_path / "selectors").exists()
        return server in key["reason"]

    with serve_dns(liar.respond) as at, serve_dns(stale.respond) as stale_at:
        (tmp_path / "dmarcops.toml").write_text(
            LYING.format(
                folder=tmp_path,
                bind=PRIMARY,
                secondary=SECONDARY,
                recursive=RECURSIVE,
                port=bind.port,
                secret=bind.key_secret,
                liar=at,
                stale=stale_at,
            )
        )
        rotating.run()
        (key,) = rotating.keys(rotating.run())
        name = f"{key['selector']}._domainkey.example.test"
        try:
            assert is_refused(f"{SECONDARY}:{bind.port}"), "it was not told yet"
            bind.catch_up()
            # Who does not answer does not start the wait anew: with that the switch would be due at the end of it.
            assert is_refused("has to be for a while")
            liar.lie = LIES["silence"]
            time.sleep(8)
            for what, lie in LIES.items():
                liar.lie = lie
                assert is_refused(f"127.0.0.1:{at}", code=int(what in NO_ANSWERS)), what
            liar.lie = None
            stale.lie = LIES["behind"]
            rotating.until(lambda ended: f"127.0.0.1:{stale_at}" in rotating.keys(ended)[0]["reason"])
            time.sleep(8)
            assert is_refused(f"127.0.0.1:{stale_at}"), "a stale negative answer"
            stale.lie = None
            assert rotating.until_stages("active") == [key["selector"]]
            assert key["selector"] in (tmp_path / "selectors").read_text()
        finally:
            bind.put(name)


# --- signers ----------------------------------------------------------------------------------------------------------

SIGNING = """
[keys]
directory = "{folder}/private/keys"
[dns.aws]
kind = "route53"
[signers.milter]
kind = "opendkim"
key_table = "{opendkim}/KeyTable"
signing_table = "{opendkim}/SigningTable"
key_dir = "{opendkim}/keys"
reload = ["{folder}/reload"]
check = ["{folder}/check"]
[resolver]
recursive = ["127.0.0.1:{port}"]
[resolver.authoritative]
"{domain}" = ["127.0.0.1:{port}"]
[mailboxes.seed]
kind = "maildir"
path = "{folder}/Maildir"
authserv_ids = ["{receiver}"]
reports = false
[domains."{domain}"]
dns = "aws"
signers = ["milter"]
[domains."{domain}".dkim]
propagation = "1s"
jitter = "0s"
verify = {{ mailboxes = ["seed"], min_messages = 1 }}
"""


@dataclass
class Signed(Rotating):
    """The program with a domain that an OpenDKIM signs for, whose files are on a small disk."""

    opendkim: OpenDkim = field(kw_only=True)

    @property
    def disk(self) -> Path:
        """The small disk."""
        return self.opendkim.folder

    def write(self) -> tuple[str, bytes]:
        """Have a mail signed by a new session; give the selector, and the mail."""
        headers, body = mail(self.domain, f"m{next(_numbers)}")
        with MilterSession(self.opendkim.port) as session:
            verdict, message = session.passed(headers, body)
        assert verdict[:1] in {b"a", b"c"}, verdict
        return signatures(message)[0][b"s"].decode(), message

    def receive(self, message: bytes, selector: str) -> None:
        """Put a mail into the mailbox, with the receiving side's word."""
        said = f"Authentication-Results: {RECEIVER}; dkim=pass header.d={self.domain} header.s={selector}\r\n"
        (self.folder / "Maildir" / "new" / f"{next(_numbers)}.mail").write_bytes(said.encode() + message)


@pytest.fixture
def signed(
    opendkim_server: OpenDkim,  # noqa: F811 - the fixture
    route53: Route53,  # noqa: F811 - the fixture
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Signed]:
    domain = f"f{next(_numbers)}.example.org"
    route53.zone(domain)
    route53.negative_ttl = 1
    for name in ("cur", "new", "tmp"):
        (tmp_path / "Maildir" / name).mkdir(parents=True)
    opendkim = opendkim_server
    small = ["mount", "-t", "tmpfs", "-o", "size=256k,mode=755", "tmpfs", str(opendkim.folder)]
    if subprocess.run(small, check=False).returncode:
        pytest.skip("only root can mount a file system")
    try:
        for table in ("KeyTable", "SigningTable"):
            (opendkim.folder / table).touch()
        # A file that is open for writing keeps a file system from being made read-only.
        (opendkim.folder / "log").symlink_to(tmp_path / "log")
        opendkim.start()
        tell(tmp_path / "reload", f"kill -USR1 $(cat {opendkim.folder}/pid)")
        tell(tmp_path / "check", f"opendkim -n -x {opendkim.conf}")
        (tmp_path / "dmarcops.toml").write_text(
            SIGNING.format(
                folder=tmp_path,
                opendkim=opendkim.folder,
                port=route53.dns_port,
                domain=domain,
                receiver=RECEIVER,
            )
        )
        program = Program(f"sqlite:///{tmp_path}/store.db", capsys)
        yield Signed(tmp_path, program, domain, opendkim=opendkim)
    finally:
        opendkim.stop()
        subprocess.run(["umount", "--lazy", opendkim.folder], check=True)


def tell(script: Path, command: str) -> None:
    """Make a script of a command."""
    script.write_text(f"#!/bin/sh\n{command}\n")
    script.chmod(0o755)


def fill(disk: Path) -> None:
    """Leave nothing free on a disk."""
    free = os.statvfs(disk)
    with (disk / "ballast").open("wb") as file:
        file.write(bytes(free.f_bavail * free.f_bsize))


def broken(signed: Signed, fault: str) -> None:
    """Have the signer fail."""
    match fault:
        case "reload":
            tell(signed.folder / "reload", "echo no; exit 1")
        case "check":
            tell(signed.folder / "check", "echo no; exit 1")
        case "read-only":
            subprocess.run(["mount", "-o", "remount,ro", signed.disk], check=True)
        case "full":
            fill(signed.disk)


def mended(signed: Signed) -> None:
    """Have it be well again."""
    subprocess.run(["mount", "-o", "remount,rw", signed.disk], check=True)
    (signed.disk / "ballast").unlink(missing_ok=True)
    tell(signed.folder / "reload", f"kill -USR1 $(cat {signed.disk}/pid)")
    tell(signed.folder / "check", f"opendkim -n -x {signed.opendkim.conf}")


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("reload", "reload ended with 1: no"),
        ("check", "check ended with 1: no"),
        ("read-only", "Read-only file system"),
        ("full", "No space left on device"),
    ],
)
def test_mail_goes_on_signed_by_the_old_key_when_the_signer_cannot_be_switched(
    signed: Signed, fault: str, told: str
) -> None:
    (old,) = signed.until_stages("active")
    selector, message = signed.write()
    assert selector == old
    signed.receive(message, old)
    signed.until_stages("verified")
    signed.run("--now", signed.domain)
    (new,) = signed.until_stages("published")
    assert new != old
    before = {file.name: file.read_bytes() for file in signed.disk.glob("*Table")}
    broken(signed, fault)
    for _ in range(2):
        ended = signed.until(lambda ended: ended.code != 0)
        assert ended.code == 1
        assert told in ended.err
        assert {file.name: file.read_bytes() for file in signed.disk.glob("*Table")} == before
        assert signed.write()[0] == old
        assert [(key["selector"], key["stage"]) for key in signed.keys(ended)][1:] == [(new, "active")]
    mended(signed)
    assert signed.until_stages("active") == [new]
    assert signed.write()[0] == new
    assert sorted(file.name for file in (signed.disk / "keys" / signed.domain).iterdir()) == sorted(
        f"{each}.key" for each in (old, new)
    )


def test_a_key_file_that_is_gone_is_written_again_and_mail_is_taken(signed: Signed) -> None:
    (selector,) = signed.until_stages("active")
    file = signed.disk / "keys" / signed.domain / f"{selector}.key"
    octets, table = file.read_bytes(), (signed.disk / "KeyTable").read_bytes()
    file.unlink()
    with pytest.raises(AssertionError):
        signed.write()
    ended = signed.run("--dry-run")
    assert (ended.code, file.exists()) == (1, False)
    assert f"the key file {file} is gone" in ended.err
    ended = signed.run()
    assert ended.code == 0
    assert f"{selector}: key-file: the key file {file} is gone" in ended.err
    assert (file.read_bytes(), (signed.disk / "KeyTable").read_bytes()) == (octets, table)
    assert signed.write()[0] == selector
    file.unlink()
    (kept,) = (signed.folder / "private" / "keys").rglob(f"{selector}*")
    kept.unlink()
    ended = signed.run()
    assert ended.code == 1
    assert "it cannot be written again: the private key" in ended.err
    assert "failed: " in signed.program("--config", signed.folder / "dmarcops.toml", "keys").out


def test_no_key_is_published_when_the_disk_of_the_private_keys_is_full(signed: Signed, route53: Route53) -> None:  # noqa: F811 - the fixture
    private = signed.folder / "private"
    private.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", private], check=True)
    try:
        fill(private)
        for _ in range(3):
            ended = signed.run()
            assert ended.code == 1
            assert "No space left on device" in ended.err
            assert [key["stage"] for key in signed.keys(ended)] == ["prepared"]
        names = [name for _, sets in route53.zones.values() for name, kind in sets if kind == "TXT"]
        assert not [name for name in names if name.endswith(f".{signed.domain}.")]
        (private / "ballast").unlink()
        (selector,) = signed.until_stages("active")
        assert signed.write()[0] == selector
    finally:
        subprocess.run(["umount", "--lazy", private], check=True)
