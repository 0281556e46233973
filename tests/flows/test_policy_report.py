"""What a sign-off report is put together from."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dmarcops.errors import DnsError
from dmarcops.flows.policy_report import fleet_of, report_of
from dmarcops.policy.signoff_report import SignoffReport, Unknown
from dmarcops.store import keys, source_words
from dmarcops.store.engine import Store
from fakes import NAMESERVERS
from policy_world import DAY, DOMAIN, NAME, NONE, OWN, World
from rotation_fakes import World as RotationWorld
from rotation_fakes import plan


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        yield World(store).seasoned()


def reported(world: World) -> SignoffReport:
    report = report_of(world.store, world.look(), brand="Brand")
    assert isinstance(report, SignoffReport)
    return report


def test_keys_steps_and_words_are_in_it(world: World) -> None:
    RotationWorld(world.store, (plan(),), now=world.now).hours(8)
    world.acknowledge(OWN, source_words.EVERYWHERE)
    world.sign(comment="fine")
    keys.hold(world.store, keys.Hold(domain=DOMAIN, what="policy", reason="wait", who="kim", at=world.now))
    keys.resume(world.store, DOMAIN, "policy", who="kim", now=world.now)
    world.advance()
    report = reported(world)
    (key,) = report.keys
    assert (key.algorithm, key.state, key.detail) == ("ed25519", "verified", "256 bits, since 2026-04-01")
    (step,) = report.steps
    assert (step.kind, step.before, step.after, step.by) == ("advance", NONE.decode(), world.text, "cron")
    told = "\n".join(report.history)
    for words in ("2026-03-02 kim: source-ack address 192.0.2.1", "Kim signed", "policy-hold wait", "policy-resume"):
        assert words in told
    assert told.index("source-ack (all domains) address 192.0.2.1") < told.index("Kim signed")
    assert "policy-advance" not in told
    assert "dkim-" not in told


def test_what_is_open_is_in_it(world: World) -> None:
    world.sign()
    world.advance()
    world.now += 9 * DAY
    world.report((world.now - 8 * DAY).date(), world.now.date(), messages=30, failing=20, reporters=("x", "y"))
    (suffering,) = reported(world).remarks
    assert suffering.startswith("since the last step mail suffers")
    world.dns.servers[NAME] = {NAMESERVERS[1]: (NONE,)}
    assert any(NAMESERVERS[1] in remark for remark in reported(world).remarks)


def test_what_is_doubtful_in_the_record_is_in_it(world: World) -> None:
    world.publish(NONE.replace(b"@example.com", b"@example.com!10m") + b"; ri=3600")
    (remark,) = reported(world).remarks
    assert remark.startswith("uri-size: a size suffix is obsolete"), "and a note such as ri-historic is none"


def test_a_domain_that_nothing_is_known_of_is_named(world: World) -> None:
    world.domains = ("example.net",)
    world.dns.servers["_dmarc.example.net"] = {"ns": DnsError("ns is silent", transient=True)}
    unknown = report_of(world.store, world.look(), brand="Brand")
    assert unknown == Unknown("example.net", "ns is silent", "Brand")
    world.domains = (DOMAIN,)
    fleet = fleet_of([unknown, reported(world)], title="All")
    assert (fleet.title, [x.domain for x in fleet.reports], fleet.unknown) == ("All", [DOMAIN], (unknown,))
