"""
A year of a made-up domain: the whole program, from none to reject, on real report files and with real DNS.

Each day the mails with reports that have come are taken in, people say what they know of sources and sign, and the
policy is advanced, all by the commands that people and cron call. What `mail_year` writes about a day depends on what
the authoritative servers had on it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import pytest

from dmarcops import wiring
from mail_year import DOMAIN, RECEIVER, Plot, Postbox, Year, midnight
from program import Ended, Program
from servers_bind import PRIMARY, RECURSIVE, SECONDARY, Bind, bind  # noqa: F401 - a fixture

pytestmark = pytest.mark.slow

NAME = f"_dmarc.{DOMAIN}"
RECORD = f"v=DMARC1;p=none; rua=mailto:dmarc@{DOMAIN};owner=kim"
"""The owner's record: spaces here and there, and a tag that nobody knows."""
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
"""


@dataclass
class Clock:
    """The time that the program is told."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Life:
    """The domain, its mail and its people, day by day."""

    run: Program
    config: Path
    bind: Bind
    clock: Clock
    year: Year
    postbox: Postbox
    log: dict[int, str] = field(default_factory=dict)
    """What the primary had at the end of each day."""
    seen: dict[int, dict[str, Any]] = field(default_factory=dict)
    """What the first `advance` of each day printed."""

    def __call__(self, *arguments: object) -> Ended:
        ended = self.run("--config", self.config, *arguments)
        assert ended.code == 0, ended.err
        return ended

    def published(self, server: str = PRIMARY) -> str:
        """Ask a server."""
        query = dns.message.make_query(f"{NAME}.", "TXT", flags=0)
        reply = dns.query.udp(query, PRIMARY, port=self.bind.ports[server], timeout=10)
        (text,) = reply.answer[0]
        octets: bytes = b"".join(text.strings)
        return octets.decode()

    def live(self, days: range, people: dict[int, list[tuple[object, ...]]]) -> None:
        for day in days:
            self.clock.now = midnight(day) + timedelta(hours=9)
            arrived = self.postbox.deliver(day)
            taken = self("ingest", "--jobs", 1, "--format", "json").json
            assert taken["messages"] == len(arrived)
            for words in people.get(day, ()):
                self(*words)
            seen = self.seen[day] = self.advance()
            if seen["decision"] == "unsigned":
                self("policy", "sign", DOMAIN, "--by", "Kim Lee")
                seen = self.advance()
            if seen["step"]:
                self.bind.catch_up()
                self.advance()
            self.log[day] = self.published()
            assert self.published(SECONDARY) == self.log[day]
            self.postbox.send(self.year.letters(day, self.log[day]))

    def advance(self) -> dict[str, Any]:
        found: dict[str, Any] = self("policy", "advance", DOMAIN, "--format", "json").json
        return found

    def steps(self) -> dict[int, str]:
        """Give the days on which DNS had something new, with what it was."""
        return {day: record for day, record in self.log.items() if record != self.log.get(day - 1)}


PEOPLE: dict[int, list[tuple[object, ...]]] = {
    3: [
        ("sources", "ack", "192.0.2.0/28", "--by", "Kim Lee", "--comment", "own servers"),
        ("sources", "ack", "SendGrid", "--domain", DOMAIN, "--by", "Kim Lee"),
        ("sources", "ack", "203.0.113.40", "--by", "Kim Lee", "--comment", "billing"),
    ],
    30: [("policy", "sign", DOMAIN, "--by", "Hasty")],
    63: [("sources", "deny", "198.19.255.7", "--by", "Kim Lee")],
}


@pytest.fixture
def lives(
    bind: Bind,  # noqa: F811 - the fixture
    store_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[Plot], Life]]:
    clock = Clock(midnight(0))
    monkeypatch.setattr(wiring, "clock", clock)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    bind.put(NAME, f'TXT "{RECORD}"'.replace(";", "\\;"))
    bind.catch_up()
    config = tmp_path / "dmarcops.toml"
    config.write_text(
        CONFIG.format(
            folder=tmp_path,
            receiver=RECEIVER,
            primary=PRIMARY,
            secondary=SECONDARY,
            recursive=RECURSIVE,
            port=bind.port,
            bind_port=bind.port,
            secret=bind.key_secret,
            domain=DOMAIN,
        )
    )
    yield lambda plot: Life(Program(store_url, capsys), config, bind, clock, Year(plot), Postbox(tmp_path / "box"))
    bind.put(NAME)
    bind.catch_up()


def test_explore(lives) -> None:
    life = lives(Plot())
    import time, json
    t=time.time()
    life.live(range(int(__import__("os").environ["DAYS"])), PEOPLE)
    out=open("/tmp/pyear-explore","w")
    for day, seen in life.seen.items():
        print(day, seen["decision"], seen["reasons"][:3], [ (g["name"],g["value"]) for g in seen["gates"] if not g["ok"]], [g["detail"] for g in seen["gates"] if g["name"]=="max_silent_share"], file=out)
    print(json.dumps(life.seen[day],indent=1), file=out)
    print(life.steps(), time.time()-t, file=out); out.close()
