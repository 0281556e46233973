"""The plan of a domain as a person reads it, wherever the domain is."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dmarcops.cli.policy_plan import plan_lines
from dmarcops.errors import DnsError
from dmarcops.policy.record import Policy
from dmarcops.policy.rules import Step
from dmarcops.policy.rungs import RungName
from dmarcops.store.engine import Store
from fakes import NAMESERVERS
from policy_world import DAY, NAME, NONE, RULES, WEEK, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        yield World(store).seasoned()


def plan(world: World) -> str:
    return "\n".join(plan_lines(world.look()))


def test_a_plan_says_who_signed_and_how_mail_fares(world: World) -> None:
    world.sign("Kim\x1b[31m", comment="fine")
    text = plan(world)
    assert "\x1b" not in text
    assert "2026-04-01 12:00 UTC fine" in text
    world.advance()
    world.now += 9 * DAY
    world.report((world.now - 8 * DAY).date(), world.now.date(), messages=30, failing=20, reporters=("x", "y"))
    text = plan(world)
    assert "since the step  regression" in text
    assert "  - 60.0% of acknowledged mail passes" in text


def test_a_plan_of_a_share_says_what_becomes_of_the_rest(world: World) -> None:
    share = Step(rung=RungName.QUARANTINE_PCT, pct=25, duration=WEEK)
    none, quarantine, reject = RULES.schedule
    world.rules = replace(RULES, schedule=(none, share, replace(quarantine, sp=Policy.REJECT), reject))
    text = plan(world)
    assert "quarantine 25 %, none the rest" in text
    assert "sp=reject, np=reject" in text
    assert "ignore pct" in text


def test_a_plan_at_the_end_has_no_gates(world: World) -> None:
    world.rules = replace(RULES, target=Policy.NONE)
    text = plan(world)
    assert "decision        done" in text
    assert "Gates" not in text
    assert "not before" not in text


@pytest.mark.parametrize(("octets", "now"), [(b"", "no policy"), (b"v=DMARC1; p=nothing", "no policy")])
def test_a_plan_without_a_record_that_can_be_used_says_so(world: World, octets: bytes, now: str) -> None:
    world.publish(octets)
    if not octets:
        del world.dns.records[NAME]
    text = plan(world)
    assert f"now             {now}" in text
    assert "(the record cannot be written)" in text


def test_a_plan_without_dns_is_of_what_was_seen_last(world: World) -> None:
    world.dns.servers[NAME] = {NAMESERVERS[0]: DnsError("ns1 is silent", transient=True)}
    text = plan(world)
    assert "ns1 is silent; what is judged is the record that was seen last" in text
    assert NONE.decode() in text
    world.domains = ("example.net",)
    world.dns.servers["_dmarc.example.net"] = {NAMESERVERS[0]: DnsError("ns1 is silent", transient=True)}
    assert "DNS does not say what is published: ns1 is silent" in plan(world)
