"""
BIND for tests: four servers on loopback addresses and one free port, with TSIG keys and update policies.

BIND listens only where an interface has an address, so that all but the primary stand behind a relay.

`test.` is on the parent's server, which delegates; `example.test` and `lagging.test` are on a primary and a secondary
that is told of changes only when a test says so; a recursive resolver knows where each zone is, and caches.
"""

import base64
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.query
import dns.rcode
import dns.tsigkeyring
import dns.update
import pytest

from conftest import missing
from servers_dns import serve_dns

PRIMARY, SECONDARY, RECURSIVE, PARENT = "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"
ZONES = ("example.test", "provider.test")
"""On the primary and the secondary."""
REVERSE = "2.0.192.in-addr.arpa"
"""On the primary: 192.0.2.1 is `mail.example.test`, which leads back, and so is 192.0.2.2, which does not."""
OTHER_REVERSE = ("in-addr.arpa", "ip6.arpa")
"""On the primary: nothing, until a test puts something there; with none, whoever asks would ask the root servers."""
NEGATIVE_TTL = 7
"""Of these zones: their SOA's last field."""
_SOA = f"@ 60 IN SOA ns1.example.test. hostmaster.example.test. 1 86400 86400 86400 {NEGATIVE_TTL}\n"
_SERVED = "@ 60 IN NS ns1.example.test.\n@ 60 IN NS ns2.example.test.\n"
_HOSTS = f"ns1 60 IN A {PRIMARY}\nns2 60 IN A {SECONDARY}\n"
_MAIL = "mail 60 IN A 192.0.2.1\n@ 60 IN MX 10 mail\n*.wild 60 IN TXT wildcard\n"
_CUT = "_domainkey.cut 60 IN NS ns2.example.test.\n"
_DELEGATIONS = "".join(f"{zone}. 60 IN NS ns{n}.example.test.\n" for zone in ZONES for n in (1, 2))


@dataclass
class Bind:
    """The servers, and what a test does to them behind the program's back."""

    ports: dict[str, int]
    key_secret: str
    admin_secret: str
    processes: dict[str, "subprocess.Popen[bytes]"]

    @property
    def port(self) -> int:
        """Where each is found, at its own address."""
        return self.ports[PRIMARY]

    def put(self, name: str, *records: str, ttl: int = 60, zone: str = "example.test") -> None:
        """Make `records` (`TXT "..."`) all that there is at a name of the primary, and nothing with none."""
        update = dns.update.UpdateMessage(zone, keyring=self._admin(), keyname=dns.name.from_text("admin."))
        update.delete(f"{name}.")
        for record in records:
            kind, data = record.split(" ", 1)
            update.add(f"{name}.", ttl, kind, data)
        reply = dns.query.tcp(update, PRIMARY, port=self.port, timeout=10)
        assert reply.rcode() == dns.rcode.NOERROR, reply

    def catch_up(self, zone: str = "example.test") -> None:
        """Have the secondary fetch the zone, and return when it has it."""
        notify = dns.message.make_query(f"{zone}.", "SOA")
        notify.set_opcode(dns.opcode.NOTIFY)
        notify.flags = dns.opcode.to_flags(dns.opcode.NOTIFY) | dns.flags.AA
        deadline = time.monotonic() + 20
        while self.serial(SECONDARY, zone) != self.serial(PRIMARY, zone):
            if time.monotonic() > deadline:
                pytest.fail(f"the secondary does not fetch {zone}")
            dns.query.udp(notify, PRIMARY, port=self.ports[SECONDARY], timeout=10)
            time.sleep(0.05)

    def serial(self, server: str, zone: str) -> int:
        """Tell which state of a zone a server has; -1 for none."""
        query = dns.message.make_query(f"{zone}.", "SOA", flags=0)
        reply = dns.query.udp(query, PRIMARY, port=self.ports[server], timeout=10)
        return int(reply.answer[0][0].serial) if reply.answer else -1

    @contextmanager
    def silent(self, server: str) -> Iterator[None]:
        """Let a server be there, and answer nothing."""
        process = self.processes[server]
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)  # it may answer until it has stopped
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def _admin(self) -> dict[dns.name.Name, dns.tsig.Key]:
        return dns.tsigkeyring.from_text({"admin.": self.admin_secret})


@pytest.fixture(scope="session")
def bind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bind]:
    """The four servers, gone at the end of the session."""
    named = shutil.which("named", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if named is None:
        missing("BIND is not installed (Debian: apt-get install bind9)")
    folder = tmp_path_factory.mktemp("bind")
    ports = {address: _free_port() for address in (PRIMARY, SECONDARY, RECURSIVE, PARENT)}
    server = Bind(ports, _secret(), _secret(), {})
    with ExitStack() as relays:
        try:
            for address, zones in _zones(server).items():
                config = _written(folder / address, address, zones, server)
                log = relays.enter_context((folder / address / "log").open("wb"))
                server.processes[address] = subprocess.Popen(
                    ["setpriv", "--pdeathsig=KILL", "--", str(named), "-g", "-n", "1", "-c", str(config)],
                    stdout=log,
                    stderr=log,
                )
                if address != PRIMARY:
                    relay = partial(dns.query.tcp, where=PRIMARY, port=ports[address], timeout=10)
                    relays.enter_context(serve_dns(relay, address=address, port=server.port))
            for address in server.processes:
                _wait_for(server, address, folder / address / "log")
            for zone in ZONES:
                server.catch_up(zone)
            yield server
        finally:
            for process in server.processes.values():
                process.kill()
                process.wait()


def _zones(server: Bind) -> dict[str, dict[str, str]]:
    """Give what each server says of each zone: its statement's body."""
    policy = (
        "update-policy {{ grant rotate. wildcard *._domainkey.{0}. TXT; grant rotate. name _dmarc.{0}. TXT;"
        " grant admin. zonesub ANY; }};"
    )
    primary = {zone: f'type primary; file "{zone}"; notify no; {policy.format(zone)}' for zone in ZONES}
    secondary = dict.fromkeys(ZONES, f"type secondary; primaries {{ {PRIMARY} port {server.port}; }};")
    to = {
        **dict.fromkeys((*ZONES, REVERSE, *OTHER_REVERSE), PRIMARY),
        "test": PARENT,
        "_domainkey.cut.example.test": SECONDARY,
    }
    forwards = {
        zone: f"type forward; forward only; forwarders {{ {PRIMARY} port {server.ports[at]}; }};"
        for zone, at in to.items()
    }
    primary[REVERSE] = f'type primary; file "{REVERSE}";'
    for zone in OTHER_REVERSE:
        primary[zone] = f'type primary; file "{zone}"; update-policy {{ grant admin. zonesub ANY; }};'
    return {
        PRIMARY: primary,
        SECONDARY: secondary | {"_domainkey.cut.example.test": 'type primary; file "cut";'},
        RECURSIVE: forwards,
        PARENT: {"test": 'type primary; file "test";'},
    }


def _written(folder: Path, address: str, zones: dict[str, str], server: Bind) -> Path:
    folder.mkdir()
    (folder / "example.test").write_text(_SOA + _SERVED + _HOSTS + _MAIL + _CUT)
    (folder / "provider.test").write_text(_SOA + _SERVED)
    (folder / REVERSE).write_text(
        _SOA + "@ 60 IN NS ns1.example.test.\n1 PTR mail.example.test.\n2 PTR mail.example.test.\n"
    )
    for zone in OTHER_REVERSE:
        (folder / zone).write_text(_SOA + "@ 60 IN NS ns1.example.test.\n")
    (folder / "cut").write_text(_SOA + "@ 60 IN NS ns2.example.test.\nbelow 60 IN TXT cut\n")
    (folder / "test").write_text(_SOA + f"@ 60 IN NS ns0\nns0 60 IN A {PARENT}\n{_DELEGATIONS}")
    keys = {"rotate.": server.key_secret, "admin.": server.admin_secret}
    text = [f'key "{name}" {{ algorithm hmac-sha256; secret "{secret}"; }};' for name, secret in keys.items()]
    recursion = "yes" if address == RECURSIVE else "no"
    text.append(
        f'options {{ directory "{folder}"; pid-file none; session-keyfile none; lock-file none; recursion {recursion};'
        f" listen-on port {server.ports[address]} {{ {PRIMARY}; }}; listen-on-v6 {{ none; }}; dnssec-validation no;"
        " allow-transfer { any; }; empty-zones-enable no; minimal-responses no; };"
    )
    text.append("controls { };")
    text += [f'zone "{zone}" {{ {body} }};' for zone, body in zones.items()]
    (folder / "named.conf").write_text("\n".join(text))
    return folder / "named.conf"


def _wait_for(server: Bind, address: str, log: Path) -> None:
    query = dns.message.make_query("version.bind.", "TXT", "CH")
    deadline = time.monotonic() + 20
    while server.processes[address].poll() is None and time.monotonic() < deadline:
        try:
            dns.query.udp(query, PRIMARY, port=server.ports[address], timeout=0.2)
        except (OSError, dns.exception.DNSException):
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"BIND does not answer on {address}: {log.read_text()[-2000:]}")


def _secret() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _free_port() -> int:
    """Return a port that nobody listens on at any of the addresses, over UDP nor TCP."""
    for _ in range(100):
        with socket.socket() as listener:
            listener.bind((PRIMARY, 0))
            port: int = listener.getsockname()[1]
        if all(_is_free(address, port) for address in (PRIMARY, SECONDARY, RECURSIVE, PARENT)):
            return port
    pytest.fail("no port is free")


def _is_free(address: str, port: int) -> bool:
    kinds: Sequence[socket.SocketKind] = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
    for kind in kinds:
        with socket.socket(type=kind) as probe:
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True
