"""
A policy stepped and taken back in BIND by the program, killed for real right around the write of DNS, and at random.

The program reaches BIND through a relay that sees the update pass, and kills the program at that moment.
"""

import json
import os
import random
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from datetime import time as midnight
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import pytest

from builders import evaluation, incoming, message, report
from dmarcops.policy.sources import Acknowledgement, Scope, Word
from dmarcops.store import source_words
from dmarcops.store.engine import Store
from dmarcops.store.reports import record
from proofs.command import Ended, dmarcops, start
from servers_bind import PRIMARY, SECONDARY, Bind, bind  # noqa: F401 - a fixture
from servers_dns import serve_wire

DOMAIN = "example.test"
NAME = f"_dmarc.{DOMAIN}"
NONE = "v=DMARC1;p=none;  rua=mailto:dmarc@example.test; x=old"
QUARANTINE = "v=DMARC1;p=quarantine;np=reject;  rua=mailto:dmarc@example.test; x=old"
OTHER = "v=DMARC1; p=none; rua=mailto:other@example.test"
_UPDATE = 5
"""The operation of a dynamic update (RFC 2136 section 1.3)."""


@dataclass
class Relay:
    """Stands between the program and BIND; `moments` are when the program is killed, the first update at the first."""

    bind: Bind
    moments: list[str] = field(default_factory=list)
    victim: "subprocess.Popen[str] | None" = None
    updates: int = 0

    def handle(self, wire: bytes, size: int) -> bytes | None:  # noqa: ARG002 - the handler's
        """Pass a message on, and kill whoever sent it when its moment has come."""
        is_update = wire[2] >> 3 & 15 == _UPDATE
        moment = self.moments.pop(0) if is_update and self.moments else ""
        if moment == "before it arrives":
            self._kill()
            return None
        self.updates += is_update
        answer = self._passed(wire)
        if moment == "before it is answered":
            self._kill()
            return None
        return answer

    def _passed(self, wire: bytes) -> bytes:
        with socket.create_connection((PRIMARY, self.bind.port), timeout=10) as server:
            server.sendall(struct.pack("!H", len(wire)) + wire)
            with server.makefile("rb") as stream:
                (length,) = struct.unpack("!H", stream.read(2))
                return stream.read(length)

    def _kill(self) -> None:
        assert self.victim is not None
        os.killpg(self.victim.pid, signal.SIGKILL)
        self.victim.wait()


@dataclass
class World:
    """The program, its store and its configuration, and BIND."""

    folder: Path
    store_url: str
    bind: Bind
    relay: Relay

    def run(self, *words: str) -> Ended:
        """Run `policy`."""
        return dmarcops("--store", self.store_url, "policy", *words, cwd=self.folder)

    def killed(self, moment: str, *words: str) -> None:
        """Run `policy`, and have it killed."""
        self.relay.moments = [moment]
        self.relay.victim = start("--store", self.store_url, "policy", *words, cwd=self.folder)
        self.relay.victim.communicate(timeout=60)
        assert self.relay.victim.returncode == -signal.SIGKILL
        assert not self.relay.moments

    def json(self, *words: str) -> Any:  # noqa: ANN401 - what the program prints
        """Run `policy`, and read what it prints."""
        ended = self.run(*words, "--format", "json")
        assert ended.code == 0, ended.stderr
        return json.loads(ended.stdout)

    def texts(self) -> tuple[str, ...]:
        """What the primary has."""
        query = dns.message.make_query(f"{NAME}.", "TXT", flags=0)
        reply = dns.query.tcp(query, PRIMARY, port=self.bind.port, timeout=10)
        return tuple(b"".join(rdata.strings).decode() for rrset in reply.answer for rdata in rrset)

    def trail(self) -> list[str]:
        """What was done to the policy."""
        return [entry["action"] for entry in self.json("history")]


@pytest.fixture
def world(bind: Bind, store_url: str, tmp_path: Path) -> Iterator[World]:  # noqa: F811 - the fixture
    relay = Relay(bind)
    bind.put(NAME, f'TXT "{NONE}"')
    bind.catch_up()
    seed(store_url)
    with serve_wire(relay.handle) as port:
        (tmp_path / "dmarcops.toml").write_text(
            f"""
[dns.bind]
kind = "rfc2136"
server = "127.0.0.1"
port = {port}
key_name = "rotate."
key_secret = "{bind.key_secret}"
[resolver]
recursive = ["{PRIMARY}:{bind.port}"]
[resolver.authoritative]
"{DOMAIN}" = ["{PRIMARY}:{bind.ports[PRIMARY]}", "{PRIMARY}:{bind.ports[SECONDARY]}"]
[domains."{DOMAIN}"]
dns = "bind"
[domains."{DOMAIN}".policy]
schedule = [{{ rung = "none" }}, {{ rung = "quarantine", weeks = 6 }}, {{ rung = "reject" }}]
gates = {{ min_messages = 100, min_days = 7 }}
"""
        )
        yield World(tmp_path, store_url, bind, relay)


def seed(store_url: str) -> None:
    """Have three reporters tell of a month of mail of one acknowledged source."""
    now, made = datetime.now(UTC), []
    for ago in range(1, 30):
        begin = int(datetime.combine(now.date() - timedelta(days=ago), midnight(), UTC).timestamp())
        for reporter in ("a.example", "b.example", "c.example"):
            given = report(
                ("192.0.2.1", 50, evaluation(header_from=DOMAIN)),
                org_name=reporter,
                report_id=str(begin),
                domain=DOMAIN,
                period=(begin, begin + 86_399),
            )
            payload = replace(incoming(given), authenticated="unknown")
            made.append(message(payload, origin=f"{reporter}{begin}"))
    said = Acknowledgement(scope=Scope.ADDRESS, value="192.0.2.1", word=Word.ACK, by="kim", at=now)
    with Store.open(store_url) as store:
        record(store, made, now)
        source_words.add(store, DOMAIN, said)


MOMENTS = ("before it arrives", "before it is answered")


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_program_killed_around_the_write_of_dns_ends_the_same(world: World, moment: str) -> None:
    world.json("sign", DOMAIN, "--by", "Kim")
    world.killed(moment, "advance")
    assert world.texts() == ((NONE,) if moment == MOMENTS[0] else (QUARANTINE,))
    (stepped,) = world.json("advance")
    assert world.texts() == (QUARANTINE,)
    assert stepped["step"]["acknowledged_at"] is None, "the secondary does not have it yet"
    assert f"{PRIMARY}:{world.bind.ports[SECONDARY]}" in stepped["step"]["late"]
    world.bind.catch_up()
    (stepped,) = world.json("advance")
    assert stepped["step"]["acknowledged_at"]
    assert world.trail() == ["policy-sign", "policy-advance", "policy-in-dns"]
    world.killed(moment, "rollback", DOMAIN)
    assert world.texts() == ((QUARANTINE,) if moment == MOMENTS[0] else (NONE,))
    world.json("rollback", DOMAIN)
    world.bind.catch_up()
    assert world.json("rollback", DOMAIN)["step"]["acknowledged_at"]
    assert world.texts() == (NONE,)
    assert world.trail()[3:] == ["policy-rollback", "policy-in-dns"]
    assert world.relay.updates == 2, "each change is written once"


def test_what_somebody_else_writes_meanwhile_stays(world: World) -> None:
    world.json("sign", DOMAIN, "--by", "Kim")
    world.killed(MOMENTS[1], "advance")
    world.bind.put(NAME, f'TXT "{OTHER}"')
    world.bind.catch_up()
    ended = world.run("advance")
    assert ended.code == 3
    assert OTHER in ended.stderr
    assert QUARANTINE in ended.stderr or NONE in ended.stderr
    assert world.run("rollback", DOMAIN).code == 3
    assert world.texts() == (OTHER,)
    assert "policy-withdrawn" in world.trail()


@pytest.mark.slow
def test_a_program_killed_at_random_ends_the_same(world: World) -> None:
    chance = random.Random(5)
    world.json("sign", DOMAIN, "--by", "Kim")
    started = time.monotonic()
    world.run("status")
    lasts = time.monotonic() - started
    for words in (("advance",), ("rollback", DOMAIN)):
        for _ in range(8):
            process = start("--store", world.store_url, "policy", *words, cwd=world.folder)
            time.sleep(lasts * chance.uniform(0.5, 1.3))
            process.kill()
            process.communicate()
            assert world.texts() in ((NONE,), (QUARANTINE,))
        assert world.run(*words).code == 0
        world.bind.catch_up()
        assert world.run(*words).code == 0
        assert world.texts() == ((QUARANTINE,) if words == ("advance",) else (NONE,))
    actions = world.trail()
    assert [x for x in actions if x != "policy-in-dns"] == ["policy-sign", "policy-advance", "policy-rollback"]
    assert world.json("history")[-1]["action"] == "policy-in-dns"


def test_a_server_that_is_silent_is_an_error_and_the_step_waits(world: World) -> None:
    world.json("sign", DOMAIN, "--by", "Kim")
    with world.bind.silent(SECONDARY):
        ended = world.run("advance")
    assert ended.code == 1
    assert "timeout" in ended.stderr
    assert world.texts() == (NONE,)
    world.json("advance")
    world.bind.catch_up()
    assert world.json("advance")[0]["step"]["acknowledged_at"]
