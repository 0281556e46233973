"""Policies stepped over fakes of DNS, and a real store: the whole way, killed anywhere, and an outside that meddles."""

import pytest

from dmarcops.errors import DmarcopsError
from dmarcops.flows.advance import Stepped
from dmarcops.policy.stepper import Decision
from dmarcops.store import audit
from dmarcops.store.engine import Store
from fakes import NAMESERVERS
from policy_world import DAY, DOMAIN, World

NS1, NS2 = NAMESERVERS
QUARANTINE = b"v=DMARC1; p=quarantine; np=reject; rua=mailto:dmarc@example.com; x=a"
REJECT = b"v=DMARC1; p=reject; np=reject; rua=mailto:dmarc@example.com; x=a"


@pytest.fixture
def world(store: Store) -> World:
    return World(store).seasoned()


def decision(world: World) -> Decision:
    proposal = world.look().proposal
    assert proposal is not None
    return proposal.decision


def reasons(world: World) -> str:
    proposal = world.look().proposal
    assert proposal is not None
    return "; ".join(proposal.reasons)


def actions(world: World) -> list[str]:
    return [x.event.action for x in audit.history(world.store, DOMAIN) if x.event.action.startswith("policy-")]


def only(stepped: Stepped) -> DmarcopsError:
    (problem,) = stepped.problems
    return problem


def test_it_goes_from_none_to_reject_with_a_signature_for_each_step(world: World) -> None:
    assert decision(world) is Decision.UNSIGNED
    assert world.advance().change is None
    world.sign()
    assert decision(world) is Decision.READY
    stepped = world.advance()
    assert not stepped.problems
    assert world.octets == QUARANTINE
    assert stepped.change is not None
    assert stepped.change.acknowledged_at == world.now
    assert decision(world) is Decision.WAIT
    world.now += 30 * DAY
    world.report((world.now - 30 * DAY).date(), world.now.date(), reporters=("a.example", "b.example", "c.example"))
    assert decision(world) is Decision.UNSIGNED
    world.sign()
    assert world.advance().change is not None
    assert world.octets == REJECT
    assert decision(world) is Decision.DONE
    assert actions(world) == ["policy-sign", "policy-advance", "policy-in-dns"] * 2
