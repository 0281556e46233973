"""Signatures under a step: what they bind, when they lapse, and who has to sign."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import delete, update

from dmarcops.errors import ConfigError, Refused
from dmarcops.flows.policy_sign import show
from dmarcops.policy.proof import Ring
from dmarcops.policy.signoff import SigningRules
from dmarcops.policy.stepper import Decision
from dmarcops.store import audit, signoffs
from dmarcops.store.engine import Store
from dmarcops.store.tables import TABLES
from policy_world import DAY, DOMAIN, NONE, PAYROLL, RULES, STRANGER, World, decision, reasons
from signing_keys import pem as key_of


@pytest.fixture
def world(store: Store) -> World:
    return World(store).seasoned()


def shown(world: World) -> str:
    """Show the plan, and return its digest."""
    outlook = world.look()
    show(world.policies, [outlook])
    assert outlook.judged is not None
    assert outlook.judged.statement is not None
    return outlook.judged.statement.digest


def two(world: World) -> World:
    world.rules = replace(RULES, signing=SigningRules(signers=2))
    return world


def test_who_signs_is_kept_and_stands_in_the_trail(world: World) -> None:
    digest = shown(world)
    signoff = world.sign("Kim  Doe", comment="fine\0")
    (signature,) = signoff.signatures
    assert (signature.by, signature.comment, signature.digest) == ("Kim Doe", "fine\\x00", digest)
    (entry,) = [x.event for x in audit.history(world.store, DOMAIN) if x.event.action == "policy-sign"]
    assert (entry.who, entry.detail) == ("kim", f"Kim Doe signed {digest}: fine\\x00")
    assert (entry.before, entry.after) == (NONE.decode(), signoff.statement.record_next)
    assert decision(world) is Decision.READY


def test_who_signs_twice_has_signed_once(world: World) -> None:
    assert world.sign() == world.sign("KIM")
    assert two(world).look().proposal is not None
    assert "1 of 2 signatures" in reasons(world)


def test_two_have_to_sign_where_two_are_asked_for(world: World) -> None:
    two(world).sign("Kim")
    assert decision(world) is Decision.UNSIGNED
    world.now += DAY
    world.report(world.now.date() - DAY, world.now.date() - DAY, reporters=("late.example",))
    signoff = world.sign("Robin")
    assert [x.by for x in signoff.signatures] == ["Kim", "Robin"], "the second signs what the first has signed"
    assert decision(world) is Decision.READY
    assert world.advance().change is not None


def test_what_was_shown_some_days_ago_can_be_signed(world: World) -> None:
    digest = shown(world)
    world.now += 2 * DAY
    world.report((world.now - DAY).date(), world.now.date(), reporters=("late.example",))
    assert world.sign(digest=digest).statement.digest == digest
    assert decision(world) is Decision.READY


def test_what_was_never_shown_cannot_be_signed(world: World) -> None:
    with pytest.raises(Refused, match="0123 was not shown") as caught:
        world.sign(digest="0123")
    assert shown(world) in caught.value.reason
    assert decision(world) is Decision.UNSIGNED


def test_what_the_facts_have_moved_away_from_cannot_be_signed(world: World) -> None:
    digest = shown(world)
    world.acknowledge(PAYROLL)
    world.report((world.now - 10 * DAY).date(), world.now.date(), messages=0, failing=30, source=PAYROLL)
    with pytest.raises(Refused, match=r"pass_rate was 1\.0 when it was signed"):
        world.sign(digest=digest)
    world.publish(NONE + b"; fo=1")
    with pytest.raises(Refused, match="the record in DNS is not the one"):
        world.sign(digest=digest)


def test_a_signature_lapses_when_the_evidence_moves(world: World) -> None:
    world.sign()
    world.report((world.now - 10 * DAY).date(), world.now.date(), messages=10, source=STRANGER)
    assert decision(world) is Decision.BLOCKED
    world.acknowledge(STRANGER)
    assert "203.0.113.0/24 is acknowledged, and was not when it was signed" in reasons(world)
    assert world.advance().change is None


def test_a_signature_lapses_with_time(world: World) -> None:
    world.sign()
    world.now += 14 * DAY
    world.report((world.now - 13 * DAY).date(), world.now.date())
    assert "expired: Kim" in reasons(world)
    assert [x.by for x in world.sign("Robin").signatures] == ["Robin"], "what has lapsed is not signed any more"
    assert decision(world) is Decision.READY


def test_who_signed_too_long_ago_signs_again(world: World) -> None:
    two(world).sign("Kim")
    world.now += 10 * DAY
    world.report((world.now - 10 * DAY).date(), world.now.date(), messages=1, reporters=("late.example",))
    world.sign("Robin")
    world.now += 5 * DAY
    world.report((world.now - 15 * DAY).date(), world.now.date(), messages=49)
    assert "1 of 2 signatures; expired: Kim" in reasons(world)
    assert [x.by for x in world.sign("kim").signatures] == ["Kim", "Robin", "kim"]
    assert decision(world) is Decision.READY
    assert world.advance().change is not None


def test_a_signature_is_for_one_step(world: World) -> None:
    world.sign()
    world.advance()
    world.rollback()
    world.now += 15 * DAY
    world.report((world.now - 15 * DAY).date(), world.now.date(), reporters=("a", "b", "c"))
    assert "nobody has signed" in reasons(world)


def test_what_was_changed_in_the_store_does_not_count(world: World) -> None:
    signoff = world.sign()
    table = TABLES["policy_signature"]
    with world.store.write() as connection:
        connection.execute(update(table).values(signer="Somebody"))
    assert "the signature of Somebody was changed" in reasons(world)
    assert world.advance().change is None
    with pytest.raises(Refused, match="was changed"):
        world.sign("Robin", digest=replaced(world, signoff.statement.digest))


def replaced(world: World, digest: str) -> str:
    """Let the facts go on, so that a digest is no longer that of now."""
    world.now += DAY
    assert shown(world) != digest
    return digest


def test_nobody_signs_nothing(world: World) -> None:
    with pytest.raises(ConfigError, match="names nobody"):
        world.sign("  ")
    world.publish(b"v=spf1 -all")
    with pytest.raises(Refused, match="has no next step"):
        world.sign()


def test_what_nobody_has_signed_is_forgotten_after_a_while(world: World) -> None:
    digest = shown(world)
    assert shown(world) == digest
    world.sign()
    world.now += DAY
    unsigned = shown(world)
    world.now += signoffs.KEPT_UNSIGNED + timedelta(days=1)
    shown(world)
    assert signoffs.find(world.store, DOMAIN, digest) is not None
    assert signoffs.find(world.store, DOMAIN, unsigned) is None


def test_where_signatures_are_to_be_proved_a_name_is_not_enough(world: World) -> None:
    ours = Ring(key_of("s1", "ed25519"))
    world.sign()
    assert decision(world) is Decision.READY
    world.ring = ours
    assert "the signature of Kim is not proved" in reasons(world)
    assert world.advance().change is None
    world.sign("Robin", digest=shown(world))
    assert decision(world) is Decision.UNSIGNED, "what nobody proved stays under it"
    world.now += DAY
    world.sign("Robin")
    assert decision(world) is Decision.READY
    world.rules = replace(RULES, require_signature=False)
    world.ring = Ring(key_of("s2", "ed25519"))
    assert decision(world) is Decision.READY, "no signature is asked for, and so no proof"


def test_a_signature_whose_statement_is_gone_is_none(world: World) -> None:
    world.sign()
    with world.store.write() as connection:
        connection.execute(delete(TABLES["policy_statement"]))
    assert "nobody has signed" in reasons(world)
