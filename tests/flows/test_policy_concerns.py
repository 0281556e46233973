"""What people are told of policies, once each, and when it is over."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from dmarcops.errors import ConfigError, DnsError, MailError
from dmarcops.flows.policy_concerns import LATE_AFTER, SUBJECT, remember
from dmarcops.flows.watchdog import tell_concerns
from dmarcops.settings import NoticeSettings
from dmarcops.store.concerns import load
from dmarcops.store.engine import Store
from fakes import NAMESERVERS
from policy_world import DAY, NAME, NONE, World

SETTINGS = NoticeSettings(repeat_after=3 * DAY)


@dataclass
class Told:
    """Keeps what is told."""

    titles: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    fails: bool = False

    def tell(self, title: str, text: str) -> None:
        """Keep it."""
        if self.fails:
            raise MailError("nobody can be told")
        self.titles.append(title)
        self.texts.append(text)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        yield World(store).seasoned()


@pytest.fixture
def told() -> Told:
    return Told()


def run(world: World, told: Told) -> list[str]:
    """Advance, tell, and return what is new."""
    told.titles.clear()
    told.texts.clear()
    remember(world.store, [world.advance()], world.now, unusable={}, is_all=True)
    tell_concerns(world.store, told, SETTINGS, subject=SUBJECT, now=world.now)
    return told.titles


def test_a_missing_signature_is_told_once_again_later_and_when_it_is_there(world: World, told: Told) -> None:
    assert run(world, told) == ["dmarcops: the policy of example.com waits for a signature"]
    assert "dmarcops policy sign example.com" in told.texts[0]
    assert run(world, told) == []
    world.now += 3 * DAY
    world.report((world.now - 3 * DAY).date(), world.now.date(), reporters=("a", "b"))
    assert len(run(world, told)) == 1
    world.sign()
    (title,) = run(world, told)
    assert "is stricter now, and 1 more" in title
    assert "over: the policy of example.com waits for a signature" in told.texts[0]
    assert "p=quarantine" in told.texts[0]
    assert run(world, told) == []
    world.now += 3 * DAY
    assert run(world, told) == [], "a step is told once"


def test_a_step_is_told_although_the_run_that_made_it_could_not(world: World, told: Told) -> None:
    world.sign()
    told.fails = True
    with pytest.raises(MailError):
        run(world, told)
    told.fails = False
    assert run(world, told) == ["dmarcops: the policy of example.com is stricter now"]


def test_a_record_of_somebody_else_is_told(world: World, told: Told) -> None:
    world.sign()
    run(world, told)
    world.publish(NONE.replace(b"dmarc@", b"other@"))
    assert run(world, told) == ["dmarcops: somebody else changed the policy of example.com"]
    assert "policy resume example.com" in told.texts[0]
    assert "other(at)example.com" in told.texts[0]
    world.resume()
    assert run(world, told) == ["dmarcops: over: somebody else changed the policy of example.com"]


def test_a_change_that_does_not_get_on_is_told(world: World, told: Told) -> None:
    world.sign()
    world.dns.servers[NAME] = {NAMESERVERS[1]: (NONE,)}
    assert run(world, told) == []
    world.now += LATE_AFTER + timedelta(hours=1)
    assert run(world, told) == ["dmarcops: a change of the policy of example.com does not get on"]
    assert NAMESERVERS[1] in told.texts[0]
    world.dns.servers.clear()
    run(world, told)
    assert "over: a change of the policy of example.com does not get on" in told.texts[0]


def test_mail_that_suffers_is_told_and_the_step_back(world: World, told: Told) -> None:
    world.sign()
    run(world, told)
    world.now += 9 * DAY
    world.report((world.now - 8 * DAY).date(), world.now.date(), messages=30, failing=20, reporters=("x", "y"))
    assert run(world, told) == ["dmarcops: mail of example.com suffers from its policy"]
    assert "policy rollback example.com" in told.texts[0]
    world.auto_rollback = True
    assert run(world, told) == ["dmarcops: a step of the policy of example.com was taken back"]
    assert run(world, told) == ["dmarcops: over: mail of example.com suffers from its policy"]


def test_mail_that_suffers_and_is_helped_at_once_is_told_so(world: World, told: Told) -> None:
    world.sign()
    run(world, told)
    world.auto_rollback = True
    world.now += 9 * DAY
    world.report((world.now - 8 * DAY).date(), world.now.date(), messages=30, failing=20, reporters=("x", "y"))
    assert "was taken back, and 1 more" in run(world, told)[0]
    assert "The step was taken back." in told.texts[0]


def test_nothing_is_told_while_another_program_is_at_it(world: World, told: Told) -> None:
    with world.store.exclusive("notices"):
        assert run(world, told) == []
    assert len(run(world, told)) == 1


def test_a_dns_that_fails_is_told_when_it_fails_again_and_again(world: World, told: Told) -> None:
    run(world, told)
    world.dns.servers[NAME] = {NAMESERVERS[0]: DnsError("ns1 is silent", transient=True)}
    assert [run(world, told), run(world, told)] == [[], []]
    assert run(world, told) == ["dmarcops: something fails with the policy of example.com"]
    assert told.texts == ["ns1 is silent"]
    world.dns.servers.clear()
    assert run(world, told) == ["dmarcops: over: something fails with the policy of example.com"]


def test_what_is_configured_wrongly_is_told_until_it_is_not_configured_any_more(world: World, told: Told) -> None:
    wrong = {"example.net": ConfigError("no such thing", hint="write another")}
    remember(world.store, [], world.now, unusable=wrong, is_all=False)
    tell_concerns(world.store, told, SETTINGS, subject=SUBJECT, now=world.now)
    assert told.texts == ["no such thing (write another)"]
    remember(world.store, [], world.now, unusable={}, is_all=False)
    assert [each.ended_at for each in load(world.store, SUBJECT)] == [None], "nobody has looked"
    assert "over: something fails with the policy of example.net" in " ".join([*run(world, told), *told.texts])
