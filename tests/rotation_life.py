"""
The whole life of keys, all of it real: three domains, each with a provider, a signer and readers of its own.

Mail goes as it does in the world: SMTP to a Postfix that signs, over to a Postfix whose milter verifies and writes
Authentication-Results, into the mailboxes of a Dovecot. All keys are moved by the program, a process for each tick.
Nothing that a test asks here is asked by the program's own code: tables, zones and rows are read as they are.
"""

import json
import os
import re
import smtplib
import sqlite3
import subprocess
import sys
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.utils import formatdate
from functools import cache, partial
from pathlib import Path
from threading import Event, Thread

import dns.message
import dns.name
import dns.query
import dns.rdatatype
import dns.zone
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from servers_bind import PRIMARY, RECURSIVE, SECONDARY, Bind
from servers_dns import serve_dns
from servers_dovecot import PASSWORD, Dovecot
from servers_mailway import AUTHSERV_ID, RECEIVER, running_verifier
from servers_opendkim import OpenDkim
from servers_postfix import Postfix, postfix_folder, receiving
from servers_route53 import Route53
from servers_rspamd import MAP, Rspamd

PASSPHRASE = "correct horse"  # noqa: S105 - of keys that are gone after the test
"""What the private keys are encrypted with at rest."""
SESSION_MAILS = 4
"""Mails that one held SMTP session hands in: a signer may go on with its old key until the session ends."""
_P = re.compile(rb";\s*p=([A-Za-z0-9+/=]*)")
_WORD = re.compile(r"dkim=(\w+)")
_CONFIGURATION = """
[store]
url = "sqlite:///{folder}/store.db"
[keys]
directory = "{folder}/private"
passphrase = {{ file = "{folder}/passphrase" }}
[dns.bind]
kind = "rfc2136"
server = "{bind}"
port = {bind_port}
key_name = "rotate."
key_secret = "{secret}"
[dns.aws]
kind = "route53"
[signers.milter]
kind = "opendkim"
key_table = "{opendkim}/KeyTable"
signing_table = "{opendkim}/SigningTable"
key_dir = "{opendkim}/keys"
pid_file = "{opendkim}/pid"
check = ["opendkim", "-n", "-x", "{opendkim}/opendkim.conf"]
[signers.rspamd]
kind = "rspamd"
config = "{rspamd}/selectors"
key_dir = "{rspamd}/keys"
key_group = "_rspamd"
key_mode = "0640"
check = ["rspamadm", "configtest", "-c", "{rspamd}/rspamd.conf"]
[resolver]
recursive = ["127.0.0.1:{relay}"]
[resolver.authoritative]
"""
_DOMAIN = """
[mailboxes."{domain}"]
kind = "imap"
host = "127.0.0.1"
port = {imap}
tls = "none"
username = "{user}"
password = "{password}"
authserv_ids = ["{id}"]
reports = false
[domains."{domain}"]
dns = "{dns}"
signers = ["{signer}"]
[domains."{domain}".dkim]
ttl = "5s"
rotate_every = "{rotate_every}"
propagation = "2s"
jitter = "0s"
retire_after = "4s"
queue_lifetime = "4s"
queue_margin = "2s"
heed_reports = false
revoked_for = "3s"
verify = {{ mailboxes = ["{domain}"], min_messages = 2 }}
"""


@dataclass(frozen=True)
class Site:
    """A domain: who writes its zone, who signs its mail, where that is handed in and arrives, and who has its zone."""

    domain: str
    dns: str
    signer: str
    smtp: int
    user: str
    servers: tuple[str, ...]
    """Each as address and port, as the configuration has them."""

    def texts(self, name: str) -> Iterator[bytes | None]:
        """Give what each authoritative server has at a name."""
        for server in self.servers:
            address, _, port = server.rpartition(":")
            query = dns.message.make_query(f"{name}.", "TXT", flags=0)
            reply, _ = dns.query.udp_with_fallback(query, address, port=int(port), timeout=10)
            found = [b"".join(rdata.strings) for rrset in reply.answer for rdata in rrset]
            assert len(found) <= 1
            yield found[0] if found else None


@dataclass
class Traffic:
    """Who writes mail for a domain: one a second by a session of its own, and one a second by sessions that last."""

    site: Site
    sent: list[str] = field(default_factory=list)
    """The ids of the mails that were taken."""
    faults: list[BaseException] = field(default_factory=list)

    def run(self, over: Event, per_session: int) -> None:
        """Write until it is over."""
        try:
            while not over.is_set():
                self._session(over, per_session)
        except BaseException as error:  # noqa: BLE001 - the test tells it
            self.faults.append(error)

    def _session(self, over: Event, mails: int) -> None:
        with smtplib.SMTP("127.0.0.1", self.site.smtp, timeout=30) as session:
            for _ in range(mails):
                self._write(session)
                if over.wait(1):
                    return

    def _write(self, session: smtplib.SMTP) -> None:
        name = f"{len(self.sent)}.{time.monotonic_ns()}@{self.site.domain}"
        fields = {
            "From": f"news@{self.site.domain}",
            "To": self.site.user,
            "Subject": f"mail {name}",
            "Date": formatdate(),
            "Message-ID": f"<{name}>",
        }
        text = "".join(f"{key}: {value}\r\n" for key, value in fields.items())
        session.sendmail(fields["From"], [self.site.user], f"{text}\r\nHello.\r\n".encode())
        self.sent.append(name)


@dataclass(frozen=True)
class Arrived:
    """A mail as it was found in a mailbox: its id, who signed, and the receiving side's word."""

    name: str
    selector: str | None
    word: str


@dataclass
class Life:
    """All servers, and the program with its configuration."""

    folder: Path
    bind: Bind
    route53: Route53
    dovecot: Dovecot
    opendkim: OpenDkim
    rspamd: Rspamd
    relay: int
    sites: tuple[Site, ...]
    zone_id: str
    traffic: dict[str, Traffic] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    """How often a domain was looked at while a key signed for it."""

    def configure(self, rotate_every: Mapping[str, str]) -> None:
        """Write the configuration, with how long a key of each domain signs."""
        (self.folder / "passphrase").write_text(PASSPHRASE)
        parts = [
            _CONFIGURATION.format(
                folder=self.folder,
                bind=PRIMARY,
                bind_port=self.bind.port,
                secret=self.bind.key_secret,
                opendkim=self.opendkim.folder,
                rspamd=self.rspamd.folder,
                relay=self.relay,
            ),
            *(f'"{site.domain}" = {json.dumps(site.servers)}\n' for site in self.sites),
            *(
                _DOMAIN.format(
                    domain=site.domain,
                    dns=site.dns,
                    signer=site.signer,
                    imap=self.dovecot.imap,
                    user=site.user,
                    password=PASSWORD,
                    id=AUTHSERV_ID,
                    rotate_every=rotate_every[site.domain],
                )
                for site in self.sites
            ),
        ]
        (self.folder / "dmarcops.toml").write_text("".join(parts))

    # --- the program ---

    def start(self, *words: str, by: tuple[str, ...] = ("-m", "dmarcops")) -> "subprocess.Popen[bytes]":
        """Start it."""
        configuration = ("--config", str(self.folder / "dmarcops.toml"))
        environment = {**os.environ, "XDG_STATE_HOME": str(self.folder / "state")}
        return subprocess.Popen(
            [sys.executable, *by, *configuration, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )

    def run(self, *words: str, by: tuple[str, ...] = ("-m", "dmarcops")) -> "subprocess.CompletedProcess[bytes]":
        """Run it to its end, whatever that is."""
        process = self.start(*words, by=by)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def go_on(self) -> None:
        """Let the world go on after a tick: the secondary fetches, Route 53's changes of it are on all servers now."""
        for zone in ("example.test", "provider.test"):
            self.bind.catch_up(zone)
        self.route53.settle()
        self.route53.is_pending = True

    # --- what is looked at ---

    def rows(self) -> dict[str, list[tuple[str, str]]]:
        """
        Give selector and stage of the keys of each domain, in the order of their making.

        A stage whose effects are not all done has dots behind it.
        """
        found: dict[str, list[tuple[str, str]]] = {site.domain: [] for site in self.sites}
        file = self.folder / "store.db"
        if not file.exists():
            return found
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as connection:
            if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'dkim_key'").fetchone():
                for domain, selector, stage, pending in connection.execute(
                    "SELECT domain, selector, stage, pending FROM dkim_key ORDER BY domain, position"
                ):
                    found[domain].append((selector, f"{stage}..." if json.loads(pending) else stage))
        return found

    def named(self, site: Site) -> tuple[str, Path] | None:
        """Give the selector that a signer's own file names for a domain, and the key file that it reads."""
        if site.signer == "milter":
            rows = re.findall(
                rf"^dmarcops\.{re.escape(site.domain)}\s+{re.escape(site.domain)}:([^:]+):(\S+)$",
                (self.opendkim.folder / "KeyTable").read_text(),
                re.MULTILINE,
            )
        else:
            rows = [
                (selector, f"{self.rspamd.folder}/keys/{site.domain}/{selector}.key")
                for selector in re.findall(
                    rf"^{re.escape(site.domain)}\s+(\S+)$", (self.rspamd.folder / "selectors").read_text(), re.MULTILINE
                )
            ]
        assert len(rows) <= 1, "two keys sign"
        return (rows[0][0], Path(rows[0][1])) if rows else None

    def records(self, site: Site) -> dict[str, bytes]:
        """Give the DKIM records of a domain's zone that publish a key: name and `p`."""
        if site.dns == "aws":
            sets = self.route53.zones[self.zone_id][1]
            texts = {name: values[0].encode() for (name, kind), (_, values) in sets.items() if kind == "TXT"}
        else:
            zone = dns.zone.from_xfr(
                dns.query.xfr(PRIMARY, f"{site.domain}.", port=self.bind.port, relativize=False), relativize=False
            )
            found = zone.iterate_rdatas(dns.rdatatype.TXT)
            texts = {name.to_text(): rdata.to_text().encode() for name, _, rdata in found}
        keys = {name: _P.search(text.replace(b'" "', b"")) for name, text in texts.items() if "._domainkey." in name}
        return {name.rstrip("."): match[1] for name, match in keys.items() if match and match[1]}

    def look(self) -> None:
        """
        See that all is as it must be at every moment.

        What a signer signs with is in DNS, on every server, exactly; one key of a domain is in use; what is published
        has its private half on the disk.
        """
        for site in self.sites:
            named = self.named(site)
            if named is not None:
                self.seen[site.domain] += 1
                selector, file = named
                public = public_half(file.read_bytes())
                for text in site.texts(f"{selector}._domainkey.{site.domain}"):
                    assert text is not None, f"{selector} of {site.domain} signs, and has no record"
                    match = _P.search(text)
                    assert match, text
                    assert match[1] == public, f"{selector} of {site.domain} signs, and its record is another one"
            published = self.records(site)
            kept = self.kept(site)
            for name, value in published.items():
                assert value in kept.values(), f"{name} is published, and nobody has its private half"
        for domain, keys in self.rows().items():
            assert sum(stage.rstrip(".") in {"active", "verified"} for _, stage in keys) <= 1, (
                f"{domain} has two keys: {keys}"
            )

    def kept(self, site: Site) -> dict[str, bytes]:
        """Give the private keys of a domain that are on the disk: file and public half."""
        found = (self.folder / "private" / site.domain).glob("*.pem")
        return {file.name: public_half(file.read_bytes(), PASSPHRASE.encode()) for file in found}

    def arrived(self, site: Site) -> list[Arrived]:
        """Give the mails of a domain's mailbox."""
        return [_arrived(mail) for mail in self.dovecot.mails(site.user)]

    def end(self) -> dict[str, dict[str, object]]:
        """
        Give all that is left when a life has come to its end, but for names.

        Of each domain whether record, private half, the signer's key file and what it names are of the last key and
        no other, what lies about beside its files, and the events of the audit trail.
        """
        return {site.domain: self._end_of(site) for site in self.sites}

    def _end_of(self, site: Site) -> dict[str, object]:
        last = self.rows()[site.domain][-1][0]
        signer = self.opendkim.folder if site.signer == "milter" else self.rspamd.folder
        private = self.folder / "private" / site.domain
        named = self.named(site)
        history = json.loads(self.run("keys", "history", site.domain, "--format", "json").stdout)
        return {
            "is_of_last": (
                list(self.records(site)) == [f"{last}._domainkey.{site.domain}"],
                [file.name for file in private.iterdir()] == [f"{last}.pem"],
                [file.name for file in (signer / "keys" / site.domain).iterdir()] == [f"{last}.key"],
                named is not None and named[0] == last,
            ),
            "left": sorted(file.name for file in signer.glob(".*") if not file.name.endswith(".lock")),
            "events": Counter(event["action"] for event in history if event["action"] != "dkim-moved"),
        }

    @contextmanager
    def mail(self) -> Iterator[None]:
        """Have mail written for all domains, and everything looked at five times a second, while the block runs."""
        over, faults = Event(), list[BaseException]()
        self.traffic = {site.domain: Traffic(site) for site in self.sites}
        workers = [
            *(
                Thread(target=traffic.run, args=(over, mails))
                for traffic in self.traffic.values()
                for mails in (1, SESSION_MAILS)
            ),
            Thread(target=self._watch, args=(over, faults)),
        ]
        for worker in workers:
            worker.start()
        try:
            yield
        finally:
            over.set()
            for worker in workers:
                worker.join()
        for traffic in self.traffic.values():
            faults += traffic.faults
        assert not faults, faults

    def check_mail(self) -> dict[str, list[str]]:
        """
        See that every mail arrived once and that every one since the first that was signed passed.

        Returns:
            The selectors by which each domain's mail was signed, in their order.
        """
        return {site.domain: self._check_mail_of(site) for site in self.sites}

    def _check_mail_of(self, site: Site) -> list[str]:
        sent = self.traffic[site.domain].sent
        deadline = time.monotonic() + 60
        while len(arrived := self.arrived(site)) < len(sent) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert sorted(mail.name for mail in arrived) == sorted(sent)
        order = {name: number for number, name in enumerate(sent)}
        arrived.sort(key=lambda mail: order[mail.name])
        signed = [mail for mail in arrived if mail.selector is not None]
        assert [mail for mail in signed if mail.word != "pass"] == []
        # A session that was open when the first key came goes on without one.
        first = next(number for number, mail in enumerate(arrived) if mail.selector is not None)
        unsigned = [mail for mail in arrived[first + 2 * SESSION_MAILS :] if mail.selector is None]
        assert unsigned == []
        return list(dict.fromkeys(str(mail.selector) for mail in signed))

    def _watch(self, over: Event, faults: list[BaseException]) -> None:
        try:
            while not over.wait(0.2):
                self.look()
        except BaseException as error:  # noqa: BLE001 - the test tells it
            faults.append(error)


@cache  # as deriving a key of a passphrase takes long
def public_half(pem: bytes, passphrase: bytes | None = None) -> bytes:
    """Give what a record says in `p` of a private key."""
    key = load_pem_private_key(pem, passphrase)
    assert isinstance(key, RSAPrivateKey)
    return b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _arrived(mail: bytes) -> Arrived:
    message = message_from_bytes(mail)
    results = " ".join(message.get_all("Authentication-Results", []))
    word = _WORD.search(results)
    signature = re.search(r"\bs=([^;\s]+)", message["DKIM-Signature"] or "")
    assert results.startswith(f"{AUTHSERV_ID};")
    return Arrived(message["Message-ID"].strip("<>"), signature and signature[1], word[1] if word else results)


@contextmanager
def running_postfix(dovecot: Dovecot, verifier: int, signers: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """Run the sending and the receiving side; gives for each signer where mail that it signs is handed in."""
    with postfix_folder() as folder, ExitStack() as stack:
        incoming = receiving(folder / "in", AUTHSERV_ID, RECEIVER, lmtp=dovecot.lmtp)
        verified = incoming.listen(smtpd_milters=f"inet:127.0.0.1:{verifier}")
        outgoing = Postfix(
            folder / "out",
            "mail.sender.test",
            {
                "relayhost": f"[127.0.0.1]:{verified}",
                "smtpd_relay_restrictions": "permit_mynetworks, reject",
                # Debian's OpenDKIM ends when libunbound looks up for two mails at a time.
                "default_destination_concurrency_limit": "1",
                "initial_destination_concurrency": "1",
            },
        )
        ports = {name: outgoing.listen(smtpd_milters=f"inet:127.0.0.1:{milter}") for name, milter in signers.items()}
        for server in (incoming, outgoing):
            stack.callback(server.stop)
            server.start()
        yield ports


@contextmanager
def running_life(  # noqa: PLR0913 - a server each
    folder: Path, *, bind: Bind, route53: Route53, dovecot: Dovecot, opendkim: OpenDkim, rspamd: Rspamd, name: str
) -> Iterator[Life]:
    """Run all that is not running yet; `name` is of no other life, and goes into names of zones and mailboxes."""
    zone = f"{name}.example.org"
    of_route53 = f"127.0.0.1:{route53.dns_port}"
    servers = (f"{PRIMARY}:{bind.port}", f"{SECONDARY}:{bind.port}")
    plain = partial(dns.query.udp_with_fallback, timeout=10)

    def relay(query: dns.message.Message) -> dns.message.Message:
        """Resolve for the program: by BIND, and Route 53's zone by the server that has it."""
        if query.question[0].name.is_subdomain(dns.name.from_text(zone)):
            return plain(query, "127.0.0.1", port=route53.dns_port)[0]
        return plain(query, RECURSIVE, port=bind.port)[0]

    with ExitStack() as stack:
        for table in ("KeyTable", "SigningTable"):
            (opendkim.folder / table).touch()
        opendkim.start()
        (rspamd.folder / "selectors").touch()
        rspamd.start(MAP)
        verifier = stack.enter_context(running_verifier(bind, zones={zone: route53.dns_port}))
        milters = {"milter": opendkim.port, "rspamd": rspamd.port}
        ports = stack.enter_context(running_postfix(dovecot, verifier, milters))
        told = (
            ("example.test", "bind", "milter", servers),
            ("provider.test", "bind", "rspamd", servers),
            (zone, "aws", "milter", (of_route53,)),
        )
        sites = tuple(
            Site(domain, dns, signer, ports[signer], f"{dns}{signer}.{name}@{RECEIVER}", asked)
            for domain, dns, signer, asked in told
        )
        life = Life(
            folder=folder,
            bind=bind,
            route53=route53,
            dovecot=dovecot,
            opendkim=opendkim,
            rspamd=rspamd,
            relay=stack.enter_context(serve_dns(relay)),
            sites=sites,
            zone_id=route53.zone(zone),
        )
        try:
            yield life
        finally:
            for site in life.sites:
                for record in life.records(site) if site.dns == "bind" else ():
                    bind.put(record, zone=site.domain)
