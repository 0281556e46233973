"""A key that is in use is adopted only when DNS has it, and is then verified and rotated like any other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dmarcops.dkim.key import PrivateKey, generate_key
from dmarcops.dkim.lifecycle import Stage
from dmarcops.dkim.record import Algorithm, format_record
from dmarcops.errors import Refused, UnsafeChangeError
from dmarcops.flows.adoption import adopt_key
from dmarcops.ports import SigningKey, TxtSet
from dmarcops.report.model import Domain, Selector
from rotation_fakes import START, MortalStore, World, plan

KEY = generate_key(Algorithm.ED25519)
NAME = "old._domainkey.example.com"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with MortalStore.open(f"sqlite:///{tmp_path}/store.db") as store:
        world = World(store, (plan(),))
        world.boundary.check = lambda: None
        world.signers["mta"].use(SigningKey(Domain("example.com"), Selector("old"), "ed25519", KEY.pem()))
        world.dns.records[NAME] = TxtSet(NAME, (format_record(KEY.record),), 60)
        yield world


def adopt(world: World, key: PrivateKey = KEY) -> None:
    adopt_key(world.store, world.outside(world.plans[0]), "old", key, now=START, who="me")


def test_an_adopted_key_is_verified_and_replaced(world: World) -> None:
    adopt(world)
    assert world.stages() == {"old": Stage.ACTIVE}
    world.boundary.check = world.check
    world.hours(2)
    assert world.stages() == {"old": Stage.VERIFIED}
    world.hours(40)
    assert world.stages()["old"] is Stage.DESTROYED


def test_a_key_that_dns_does_not_have_is_refused(world: World) -> None:
    with pytest.raises(UnsafeChangeError, match="ns1"):
        adopt(world, generate_key(Algorithm.ED25519))
    assert world.stages() == {}


def test_a_key_is_adopted_once(world: World) -> None:
    adopt(world)
    with pytest.raises(Refused, match="known already"):
        adopt(world)
