"""
A year of a made-up domain: the whole program, from none to reject, on real report files and with real DNS.

Each day the mails with reports that have come are taken in, people say what they know of sources and sign, and the
policy is advanced, all by the commands that people and cron call. What `mail_year` writes about a day depends on what
the authoritative servers had on it. The program is told the time by `wiring.clock`, which stands still during a day.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import dns.message
import dns.opcode
import dns.query
import pytest

from dmarcops import wiring
from mail_year import BILLING, DOMAIN, LOUD, RECEIVER, START, Plot, Postbox, Year, midnight
from program import Ended, Program
from proofs.command import SRC
from servers_bind import PRIMARY, RECURSIVE, SECONDARY, Bind, bind  # noqa: F401 - a fixture
from servers_dns import serve_wire

pytestmark = pytest.mark.slow

SOURCES = {"PYTHONPATH": SRC}
PROGRAM_AT = Path(__file__).parents[1] / "program_at.py"
NAME = f"_dmarc.{DOMAIN}"
BESIDE = f" rua=mailto:dmarc@{DOMAIN};owner=kim"
RECORD = f"v=DMARC1;p=none;{BESIDE}"
"""The owner's record, which has spaces in some places, and a tag that nobody knows."""
TESTING = f"v=DMARC1;p=quarantine;t=y;{BESIDE}"
QUARANTINE = f"v=DMARC1;p=quarantine;np=reject;{BESIDE}"
REJECT = f"v=DMARC1;p=reject;np=reject;{BESIDE}"
BILLING_HOST = "out.provider.test"
"""The one sender with a name."""
CONFIG = """
[mailboxes.rua]
kind = "maildir"
path = "{folder}/box"
archive = "Done"
authserv_ids = ["{receiver}"]

[dns.bind]
kind = "rfc2136"
server = "{primary}"
port = {port}
key_name = "rotate."
key_secret = "{secret}"

[resolver]
recursive = ["{recursive}:{bind_port}"]
[resolver.authoritative]
"{domain}" = ["{primary}:{port}", "{secondary}:{bind_port}"]

[domains."{domain}"]
dns = "bind"

[domains."{domain}".policy]
auto_rollback = true
{policy}
"""
SHORT = """
window_days = 21
schedule = [{ rung = "none", weeks = 2 }, { rung = "quarantine", weeks = 2 }, { rung = "reject" }]
"""
"""For lives in which the steps are not the point."""

Orders = Mapping[int, Sequence[Sequence[str]]]
"""What people say, by the day on which they do."""
ACKNOWLEDGED: Orders = {
    3: [
        ("sources", "ack", "192.0.2.0/28", "--by", "Kim Lee", "--comment", "own servers"),
        ("sources", "ack", "SendGrid", "--domain", DOMAIN, "--by", "Kim Lee"),
        ("sources", "ack", "provider.test", "--by", "Kim Lee", "--comment", "billing"),
    ],
}
YEAR: Orders = {
    **ACKNOWLEDGED,
    30: [("policy", "sign", DOMAIN, "--by", "Hasty", "--comment", "it will be all right")],
    64: [("sources", "deny", LOUD.addresses[0], "--by", "Kim Lee")],
}


@dataclass
class Clock:
    """The time that the program is told."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Life:
    """The domain, its mail and its people, day by day."""

    program: Program
    config: Path
    bind: Bind
    clock: Clock
    year: Year
    postbox: Postbox
    log: dict[int, str] = field(default_factory=dict)
    """What the primary had at the end of each day."""
    seen: dict[int, dict[str, Any]] = field(default_factory=dict)
    """What the first `advance` of a day printed."""
    kill: "Callable[[Life], None] | None" = None
    """What starts, and kills, an `advance` that would write, before one is let live."""

    def run(self, *arguments: str) -> Ended:
        """Run the program to its good end."""
        ended = self.program("--config", self.config, *arguments)
        assert ended.code == 0, ended.err
        return ended

    def live(self, days: Iterable[int], orders: Orders) -> None:
        """Live these days; the program is run on them alone, and mail is sent on those between as well."""
        for day in days:
            for before in range(max(self.log, default=-1) + 1, day):
                self._end(before)
            self.clock.now = midnight(day) + timedelta(hours=9)
            self._take_in(day)
            for words in orders.get(day, ()):
                self.run(*words)
            self._advance(day)
            self._end(day)

    def _take_in(self, day: int) -> None:
        arrived = self.postbox.deliver(day)
        taken = self.run("ingest", "--jobs", "1", "--format", "json").json
        assert (taken["messages"], taken["rejected"], taken["retry"]) == (len(arrived), 0, 0)

    def _advance(self, day: int) -> None:
        stepped = seen = self.seen[day] = self.policy("status" if self.kill else "advance")
        is_signed = seen["decision"] == "unsigned"
        if is_signed:
            self.run("policy", "sign", DOMAIN, "--by", "Kim Lee")
        if self.kill and (is_signed or suffers(seen)):
            self.kill(self)
        if self.kill or is_signed:
            stepped = self.policy("advance")
        if stepped["step"]:
            # The secondary has it later, and the step is acknowledged when it has.
            assert stepped["step"]["acknowledged_at"] is None
            self.bind.catch_up()
            assert self.policy("advance")["step"]["acknowledged_at"] is not None

    def _end(self, day: int) -> None:
        self.log[day] = self.published(PRIMARY)
        assert self.published(SECONDARY) == self.log[day]
        self.postbox.send(self.year.letters(day, self.log[day]))

    def policy(self, command: str) -> dict[str, Any]:
        """Run a command about the policy, and give what it prints."""
        found: dict[str, Any] = self.run("policy", command, DOMAIN, "--format", "json").json
        return found

    def published(self, server: str) -> str:
        """Give the one record that a server has, to the octet."""
        query = dns.message.make_query(f"{NAME}.", "TXT", flags=0)
        (text,) = dns.query.udp(query, PRIMARY, port=self.bind.ports[server], timeout=10).answer[0]
        octets: bytes = b"".join(text.strings)
        return octets.decode("ascii")

    def days(self, decision: str) -> list[int]:
        """Give the days on which a decision was found."""
        return [day for day, seen in self.seen.items() if seen["decision"] == decision]

    def gate(self, name: str, day: int) -> dict[str, Any]:
        """Give a gate as it was on a day."""
        (found,) = (gate for gate in self.seen[day]["gates"] if gate["name"] == name)
        return dict(found)

    def closed(self, name: str) -> list[int]:
        """Give the days on which a gate was closed."""
        gates = ((day, gate) for day, seen in self.seen.items() for gate in seen["gates"])
        return [day for day, gate in gates if gate["name"] == name and not gate["ok"]]


def suffers(seen: Mapping[str, Any]) -> bool:
    """Tell whether mail is seen to suffer from the last step."""
    return seen["watch"] is not None and seen["watch"]["outcome"] == "regression"


def standing(steps: Mapping[int, str], last: int) -> dict[int, str]:
    """Give what stands on each day, when these records are written on these days."""
    return {day: next(record for at, record in reversed([*steps.items()]) if at <= day) for day in range(last + 1)}


@dataclass
class Killer:
    """
    Stands between the program and the primary, and kills the program around what it writes.

    `moments` says for each time that something is to be written when the runs are killed, one after the other: `before`
    the primary has it, `unanswered` when it has and has not said so, `answered` at the first question after that.
    """

    bind: Bind
    moments: Iterator[Sequence[str]]
    moment: str = ""
    is_written: bool = False
    process: "subprocess.Popen[bytes] | None" = None
    killed: list[str] = field(default_factory=list)

    def __call__(self, life: Life) -> None:
        before = life.published(PRIMARY)
        for moment in next(self.moments):
            self.moment, self.is_written = moment, False
            words = [life.clock.now.isoformat(), "--store", life.program.store_url, "--config", str(life.config)]
            self.process = subprocess.Popen(
                [sys.executable, PROGRAM_AT, *words, "policy", "advance", DOMAIN],
                env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")} | SOURCES,
                stdout=subprocess.DEVNULL,
            )
            assert self.process.wait(60) == -signal.SIGKILL
            self.killed.append(self.moment)
            assert (life.published(PRIMARY) == before) is (self.moment == "before")
        self.moment = ""

    def relay(self, wire: bytes, _size: int) -> bytes | None:
        """Answer the program as the primary does, or kill it."""
        is_update = dns.opcode.from_flags(int.from_bytes(wire[2:4])) == dns.opcode.UPDATE
        if (is_update and self.moment == "before") or (self.is_written and self.moment == "answered"):
            self._kill()
            return None
        answer = self._asked(wire)
        if is_update and self.moment == "unanswered":
            self._kill()
            return None
        self.is_written = self.is_written or is_update
        return answer

    def _kill(self) -> None:
        assert self.process is not None
        self.process.kill()

    def _asked(self, wire: bytes) -> bytes:
        with socket.create_connection((PRIMARY, self.bind.port), timeout=10) as connection:
            connection.sendall(len(wire).to_bytes(2) + wire)
            with connection.makefile("rb") as stream:
                return stream.read(int.from_bytes(stream.read(2)))


@dataclass
class Lives:
    """Makes a domain with its servers, for one test."""

    bind: Bind
    folder: Path
    clock: Clock
    capsys: pytest.CaptureFixture[str]

    def __call__(self, plot: Plot, store_url: str, *, policy: str = "", port: int = 0) -> Life:
        """Make one; `port` is where the program finds the primary, by itself where it is."""
        config = self.folder / "dmarcops.toml"
        config.write_text(
            CONFIG.format(
                folder=self.folder,
                receiver=RECEIVER,
                primary=PRIMARY,
                secondary=SECONDARY,
                recursive=RECURSIVE,
                port=port or self.bind.port,
                bind_port=self.bind.port,
                secret=self.bind.key_secret,
                domain=DOMAIN,
                policy=policy,
            )
        )
        postbox = Postbox(self.folder / "box")
        return Life(Program(store_url, self.capsys), config, self.bind, self.clock, Year(plot), postbox)


@pytest.fixture
def lives(
    bind: Bind,  # noqa: F811 - the fixture
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Lives]:
    clock = Clock()
    monkeypatch.setattr(wiring, "clock", clock)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (billing,) = BILLING.addresses
    reverse = ip_address(billing).reverse_pointer
    bind.put(NAME, f'TXT "{RECORD}"')
    bind.put(reverse, f"PTR {BILLING_HOST}.", zone="in-addr.arpa")
    bind.put(BILLING_HOST, f"A {billing}", zone="provider.test")
    bind.catch_up()
    yield Lives(bind, tmp_path, clock, capsys)
    bind.put(NAME)
    bind.put(reverse, zone="in-addr.arpa")
    bind.put(BILLING_HOST, zone="provider.test")
    bind.catch_up()


def actions(life: Life) -> list[str]:
    """Give what the audit trail says was done to the policy, as the program tells it."""
    return [str(entry["action"]) for entry in life.run("policy", "history", DOMAIN, "--format", "json").json]


def test_a_year_from_none_to_reject_on_the_days_that_the_mail_allows(lives: Lives, tmp_path: Path) -> None:
    """
    The calendar alone would step on days 28, 42 and 84.

    The billing service is aligned from day 42 on. The window of 28 days ends two days ago, so it has none of the days
    before on 42 + 28 + 1 = 71 for the first time; two weeks later comes the next step, and six weeks later the last.
    """
    life = lives(Plot(), f"sqlite:///{tmp_path}/store.db")
    life.live([*range(141), *range(147, 366, 7)], YEAR)
    assert life.log == standing({0: RECORD, 71: TESTING, 85: QUARANTINE, 127: REJECT}, max(life.log))
    assert life.days("unsigned") == [71, 85, 127]
    assert life.days("wait") == [*range(28), *range(72, 85), *range(86, 127)]
    assert life.days("blocked") == [*range(28, 71)]
    # The service that is not aligned stands in the way until its last day has left the window, and is named.
    assert life.closed("failing_sources")[-1] == 70
    assert all("provider.test" in life.gate("failing_sources", day)["detail"] for day in range(28, 71))
    # The campaign closes nothing, but for a spoofer as large as a service, until a person says what it is.
    assert [day for day in life.closed("max_unknown_share") if day > 3] == [62, 63]
    assert all("198.19.255.0/24" in life.gate("max_unknown_share", day)["detail"] for day in (62, 63))
    # Nobody hears of Yahoo after day 49: it is seen when a week of the window is without it, as long as it was usual.
    silent = [day for day in range(141) if "yahoo" in detail_of_silence(life, day)]
    assert silent == [*range(58, 69)]
    assert actions(life) == ["policy-sign", *["policy-sign", "policy-advance", "policy-in-dns"] * 3]


def detail_of_silence(life: Life, day: int) -> str:
    gates = life.seen[day]["gates"]
    return "".join(gate["detail"].partition("silent: ")[2] for gate in gates if gate["name"] == "max_silent_share")


BREAKING = Plot(aligned_from=0, campaign=range(5, 60), loud=range(0), silent_from=99, broken=range(40, 50))
SHORTER = {0: RECORD, 15: QUARANTINE, 29: REJECT, 42: QUARANTINE, 72: REJECT}
"""
The first step waits for two weeks of reports, whoever is left out. After reject, signatures break on days 40 to 49: one
such day in a week leaves more than 90 % of DKIM passes, two do not, so that on day 42 the record is put back. It is
time again after two weeks, on day 56; but the window of 21 days that ends two days ago has none of the days of the
break from 50 + 21 + 1 = 72 on.
"""


def test_a_break_of_dkim_after_reject_brings_back_the_former_octets(lives: Lives, store_url: str) -> None:
    life = lives(BREAKING, store_url, policy=SHORT)
    back = ("policy", "rollback", DOMAIN)
    life.live(range(82), {**ACKNOWLEDGED, 80: [back], 81: [(*back, "--again")]})
    assert life.log == standing({**SHORTER, 80: QUARANTINE, 81: RECORD}, 81)
    assert [day for day, seen in life.seen.items() if suffers(seen)] == [42]
    stepped, taken_back = ["policy-sign", "policy-advance", "policy-in-dns"], ["policy-rollback", "policy-in-dns"]
    assert actions(life) == [*stepped * 2, *taken_back, *stepped, *taken_back * 2]


def test_a_life_killed_around_each_write_has_the_same_days(lives: Lives, tmp_path: Path) -> None:
    moments = [("before", "unanswered"), ("before", "answered"), ("before", "unanswered"), ("answered",)]
    killer = Killer(lives.bind, iter(moments))
    with serve_wire(killer.relay) as port:
        life = lives(BREAKING, f"sqlite:///{tmp_path}/store.db", policy=SHORT, port=port)
        life.kill = killer
        life.live(range(74), ACKNOWLEDGED)
    assert life.log == standing(SHORTER, 73)
    assert killer.killed == [moment for each in moments for moment in each]
    stepped, taken_back = ["policy-sign", "policy-advance", "policy-in-dns"], ["policy-rollback", "policy-in-dns"]
    assert actions(life) == [*stepped * 2, *taken_back, *stepped]
