"""The law of rotation as scripts: each move, each guard on both sides, and what is refused."""

import re
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import timedelta

import pytest

from dmarcops.dkim.explain import Drawing, explain
from dmarcops.dkim.lifecycle import (
    Answers,
    CreateKey,
    DestroyKey,
    Facts,
    ForgetKey,
    Key,
    Made,
    Orders,
    Plan,
    PublishTxt,
    Reason,
    RemoveTxt,
    Retirement,
    RevokeTxt,
    Signing,
    Stage,
    SwitchSigner,
    Timing,
    Urgency,
    format_effects,
    parse_effects,
)
from dmarcops.dkim.record import Algorithm, revoked_record
from dmarcops.dkim.rotation import MOVES, View, adopt, done, policy_lock, share, step
from dmarcops.errors import ConfigError, IllegalTransition, Refused
from rotation_world import DAY, HOUR, PLAN, SERVERS, START, World, record_of

RSA, ED25519 = Algorithm.RSA, Algorithm.ED25519
NAME = "{}._domainkey.example.com"


def settled(plan: Plan = PLAN) -> World:
    """A world in which `s0` signs and is verified."""
    world = World(plan)
    world.until("s0", Stage.VERIFIED)
    return world


def switched(plan: Plan = PLAN) -> World:
    """A world in which `s1` was just switched to, and `s0` is retiring."""
    world = settled(plan)
    world.turn(Orders(start=True))
    world.turn()
    world.turn()
    world.now += 2 * DAY
    world.turn()
    assert world.stages() == {"s0": Stage.RETIRING, "s1": Stage.ACTIVE}
    return world


def verified(plan: Plan = PLAN) -> World:
    """A world in which `s1` is verified, and `s0` is retiring."""
    world = switched(plan)
    world.prove("s1")
    world.turn()
    assert world.stages() == {"s0": Stage.RETIRING, "s1": Stage.VERIFIED}
    return world


def published(plan: Plan = PLAN) -> World:
    """A world in which `s0` signs, and the record of `s1` is everywhere."""
    world = settled(plan)
    for _ in range(3):
        world.turn(Orders(start=True))
    assert world.stages() == {"s0": Stage.VERIFIED, "s1": Stage.PUBLISHED}
    return world


def said(facts: Facts, kind: str) -> dict[str, Answers]:
    """What the servers of a kind say, to be changed by the test."""
    return dict(facts.authoritative if kind == "authoritative" else facts.recursive)


def told(facts: Facts, kind: str, answers: dict[str, Answers]) -> Facts:
    if kind == "authoritative":
        return replace(facts, authoritative=answers)
    return replace(facts, recursive=answers)


def reason(world: World, selector: str, facts: Facts | None = None, orders: Orders | None = None) -> Reason:
    return next(each for each in world.look(orders, facts).reasons if each.selector == selector)


# --- the whole life ---------------------------------------------------------------------------------------------------


def test_key_goes_through_all_stages_when_time_goes_by() -> None:
    world = World()
    seen: list[tuple[str, str]] = []
    end = START + timedelta(days=140)
    while world.now < end:
        seen += [(each.selector, each.text) for each in world.turn().reasons if each.guard == "moved"]
        for key in world.keys:
            if key.stage is Stage.ACTIVE and not key.pending:
                world.prove(key.selector)
        world.now += HOUR
    first = [text for selector, text in seen if selector == "s0"]
    assert first == [
        "new -> prepared",
        "prepared -> published",
        "published -> active",
        "active -> verified",
        "verified -> retiring",
        "retiring -> retired",
        "retired -> destroyed",
    ]
    assert world.stages() == {"s0": Stage.DESTROYED, "s1": Stage.VERIFIED}
    assert world.key("s0").reference == world.key("s0").published == ""
    assert (world.kept, set(world.zone)) == ({"s1"}, {NAME.format("s1")})
    assert world.asked == set()


def test_waits_are_those_of_the_timings_when_everything_works() -> None:
    world = World()
    world.turn()
    assert world.key("s0").stage is Stage.PREPARED
    world.turn()
    out = world.now
    active = world.until("s0", Stage.ACTIVE)
    assert active - out == timedelta(hours=48)
    proved = world.until("s0", Stage.VERIFIED)
    assert proved == active  # a tick later
    assert world.until("s1", Stage.PREPARED) - active == timedelta(days=90)
    world.until("s1", Stage.VERIFIED)
    assert world.key("s0").stage is Stage.RETIRING
    proved = world.now
    assert world.until("s0", Stage.RETIRED) - proved == timedelta(days=7)
    assert world.zone[NAME.format("s0")] == "v=DKIM1; k=rsa; p="
    gone = world.now
    assert world.until("s0", Stage.DESTROYED) - gone == timedelta(days=30)


def test_moves_are_one_stage_a_tick_when_many_ticks_were_missed() -> None:
    world = switched(replace(PLAN, timing=Timing(jitter=timedelta(), rotate_every=1000 * DAY)))
    world.prove("s1")
    world.now += 300 * DAY
    stages = []
    for _ in range(4):
        world.turn()
        stages.append(world.stages()["s0"])
    assert stages == [Stage.RETIRING, Stage.RETIRING, Stage.RETIRING, Stage.RETIRING]
    assert world.key("s1").stage is Stage.VERIFIED
    # Seven days are counted from the verification, which is now, not from when it could have been.
    world.now += 7 * DAY
    world.turn()
    assert world.stages()["s0"] is Stage.RETIRED


# --- start ------------------------------------------------------------------------------------------------------------


def test_rotation_starts_when_due_and_not_before() -> None:
    world = settled()
    due = world.key("s0").activated
    assert due is not None
    world.now = due + 90 * DAY - timedelta(seconds=1)
    no = reason(world, "s0")
    assert (no.guard, no.not_before, no.is_overdue) == ("due", due + 90 * DAY, False)
    world.now += timedelta(seconds=1)
    assert world.look().keys[-1].pending == (CreateKey("s1", "rsa", 2048),)


def test_rotation_starts_when_ordered_although_not_due() -> None:
    world = settled()
    result = world.tick(Orders(start=True))
    assert world.key("s1").urgency is Urgency.NOW
    assert {each.selector: each.text for each in result.reasons}["s1"] == "new -> prepared"
    assert reason(world, "s0").guard == "next"


@pytest.mark.parametrize("orders", [None, Orders(start=True)])
def test_rotation_does_not_start_when_the_policy_was_changed_lately(orders: Orders | None) -> None:
    world = settled()
    world.now += 90 * DAY
    world.policy_step = world.now - 7 * DAY + HOUR
    (no,) = world.look(orders).reasons
    assert (no.guard, no.not_before) == ("policy", world.now + HOUR)
    world.policy_step -= HOUR
    assert len(world.look(orders).keys) == 2
    world.policy_pending = True
    (no,) = world.look(orders).reasons
    assert (no.guard, no.not_before) == ("policy", None)


def test_first_rotation_does_not_start_when_the_policy_was_changed_lately() -> None:
    world = World(policy_step=START)
    (no,) = world.look().reasons
    assert (no.selector, no.stage, no.guard) == ("", None, "policy")
    assert world.look(facts=Facts()).keys[0].stage is Stage.PREPARED


def test_rotation_does_not_start_when_the_last_switch_is_not_verified() -> None:
    world = switched()
    assert len(world.look(Orders(start=True)).keys) == 2
    assert reason(world, "s1").guard == "evidence"
    world.prove("s1")
    world.turn()
    assert len(world.look(Orders(start=True)).keys) == 3


def test_rotation_does_not_start_when_there_is_no_new_selector() -> None:
    world = settled()
    for fresh in ({}, {RSA: "s0"}):
        result = step(world.keys, world.facts(), PLAN, world.now, fresh=fresh, orders=Orders(start=True))
        assert [(each.guard, each.is_overdue) for each in result.reasons] == [("selector", True)]
    (no,) = step((), Facts(), PLAN, START).reasons
    assert (no.selector, no.guard) == ("", "selector")


def test_key_is_not_created_twice_when_the_tick_is_repeated() -> None:
    world = World()
    world.tick()
    again = world.tick()
    assert [key.selector for key in again.keys] == ["s0"]
    assert [each.guard for each in again.reasons] == ["pending"]


# --- the switch -------------------------------------------------------------------------------------------------------


def test_switch_waits_for_the_propagation_when_the_record_is_everywhere() -> None:
    world = published(replace(PLAN, timing=Timing(jitter=timedelta(), propagation=2 * DAY)))
    seen = world.key("s1").seen
    assert seen is not None
    no = reason(world, "s1")
    assert (no.guard, no.not_before) == ("propagation", seen + 2 * DAY)
    world.now = seen + 2 * DAY - timedelta(seconds=1)
    assert reason(world, "s1").guard == "propagation"
    world.now += timedelta(seconds=1)
    assert reason(world, "s1").text == "published -> active"


def test_switch_waits_for_the_negative_ttl_when_it_is_longer() -> None:
    world = published()
    facts = replace(world.facts(), negative_ttl=3 * DAY)
    world.now += 2 * DAY
    assert reason(world, "s1", replace(facts, negative_ttl=3 * DAY)).guard == "propagation"
    world.now += DAY
    assert reason(world, "s1", replace(facts, negative_ttl=3 * DAY)).guard == "moved"


LIES: list[tuple[Callable[[str], tuple[bytes, ...] | None], str]] = [
    (lambda _: (), "no_key"),
    (lambda _: None, "temp_unavailable"),
    (lambda right: (right.encode(), b"v=spf1 -all"), "multiple"),
    (lambda _: (record_of("other").encode(),), "mismatch"),
    (lambda right: (right[:255].encode(),), "syntax_error"),
    (lambda _: (b"v=spf1 -all",), "wrong_version"),
    (lambda right: (right.replace("k=rsa", "t=y").encode(),), "testing"),
]


@pytest.mark.parametrize(("lie", "outcome"), LIES)
@pytest.mark.parametrize("kind", ["authoritative", "recursive"])
def test_switch_does_not_happen_when_a_server_lies(
    kind: str, lie: Callable[[str], tuple[bytes, ...] | None], outcome: str
) -> None:
    world = published()
    world.now += 3 * DAY
    name, truth = NAME.format("s1"), world.facts()
    answers = said(truth, kind)
    answers[name] = {**answers[name], "the liar": lie(record_of("s1"))}
    no = reason(world, "s1", told(truth, kind, answers))
    assert no.guard == kind
    assert no.text.startswith(f"the liar for {name}: ")
    assert no.text.endswith(f"({outcome})")


@pytest.mark.parametrize("kind", ["authoritative", "recursive"])
@pytest.mark.parametrize("answers", [None, {}])
def test_switch_does_not_happen_when_servers_were_not_asked(kind: str, answers: dict[str, None] | None) -> None:
    world = published()
    world.now += 3 * DAY
    name, truth = NAME.format("s1"), world.facts()
    left = said(truth, kind)
    del left[name]
    facts = told(truth, kind, left if answers is None else {**left, name: answers})
    assert reason(world, "s1", facts).text == f"{kind} servers for {name}: not asked yet"
    facts = replace(facts, unanswered={name: "SERVFAIL of ns1"})
    assert reason(world, "s1", facts).text.endswith(": SERVFAIL of ns1")


def test_wait_begins_anew_when_a_server_lost_the_record_but_not_when_it_is_silent() -> None:
    world = published()
    seen = world.key("s1").seen
    world.now += DAY
    name, truth = NAME.format("s1"), world.facts()
    silent = {**truth.authoritative[name], SERVERS[0]: None}
    world.tick(facts=replace(truth, authoritative={**truth.authoritative, name: silent}))
    assert world.key("s1").seen == seen
    del world.servers[SERVERS[0]][name]
    world.tick()
    assert world.key("s1").seen is None
    world.settle()
    world.tick()
    assert world.key("s1").seen == world.now


def test_resolvers_are_not_asked_when_an_authoritative_server_is_behind() -> None:
    world = settled()
    world.turn(Orders(start=True))
    world.tick()
    assert NAME.format("s1") not in world.facts().authoritative
    world.run()
    assert set(world.facts().authoritative) == {NAME.format("s0"), NAME.format("s1")}
    assert world.facts().recursive == {}
    world.settle()
    assert set(world.facts().recursive) == {NAME.format("s1")}


def test_switch_is_stopped_when_the_policy_was_changed_meanwhile() -> None:
    world = published()
    world.now += 3 * DAY
    world.policy_step = world.now - DAY
    assert reason(world, "s1").guard == "policy"


@pytest.mark.parametrize(("fault", "guard"), [("is_kept", "private-key"), ("is_refused", "refusal")])
def test_old_key_goes_on_when_a_signer_could_not_be_switched(fault: str, guard: str) -> None:
    world = published()
    world.now += 3 * DAY
    setattr(world, fault, guard == "refusal")
    told = reason(world, "s1")
    assert (told.guard, told.is_overdue) == (guard, True)
    world.tick()
    assert world.stages() == {"s0": Stage.VERIFIED, "s1": Stage.PUBLISHED}
    assert world.pending() == []
    setattr(world, fault, guard != "refusal")
    world.tick()
    assert world.stages() == {"s0": Stage.RETIRING, "s1": Stage.ACTIVE}


def test_record_that_vanishes_before_the_switch_is_told_and_one_that_is_coming_is_not() -> None:
    world = settled()
    world.turn(Orders(start=True))
    world.turn()
    for zone in world.servers.values():
        zone.pop(NAME.format("s1"), None)
    assert world.key("s1").stage is Stage.PUBLISHED
    assert reason(world, "s1").is_overdue is False
    world.settle()
    world.tick()
    assert world.key("s1").seen == world.now
    world.servers[SERVERS[0]].pop(NAME.format("s1"))
    told = reason(world, "s1")
    assert (told.guard, told.is_overdue) == ("authoritative", True)
    world.tick()
    assert world.key("s1").seen is None
    assert reason(world, "s1", replace(world.facts(), missed=frozenset({"s1"}))).is_overdue is True
    world.settle()
    assert reason(world, "s1", replace(world.facts(), missed=frozenset({"s1"}))).is_overdue is False


def test_leaked_key_is_replaced_wherever_it_can_be() -> None:
    world = published()
    world.is_refused = True
    world.tick(Orders(emergency="s0"))
    assert world.stages() == {"s0": Stage.RETIRING, "s1": Stage.ACTIVE}


def test_leaked_key_is_not_replaced_by_one_that_is_not_kept() -> None:
    world = published()
    world.is_kept = False
    world.tick(Orders(emergency="s0"))
    assert world.stages() == {"s0": Stage.VERIFIED, "s1": Stage.PUBLISHED}
    assert reason(world, "s1").guard == "private-key"


def test_rollback_waits_when_the_private_half_of_the_former_key_is_not_kept() -> None:
    world = switched()
    world.is_kept = False
    world.tick(Orders(rollback=True))
    assert world.stages() == {"s0": Stage.RETIRING, "s1": Stage.ACTIVE}
    assert reason(world, "s0").guard == "private-key"
    world.is_kept = True
    assert world.look().keys[0].stage is Stage.ACTIVE


def test_next_key_is_not_switched_to_when_the_signing_one_has_to_be_verified_again() -> None:
    world = published()
    world.now += 3 * DAY
    world.evidence.clear()
    del world.signers["mta2", "example.com", RSA]
    # The switch is due in this very tick, and goes first; a tick earlier the strayed signer would have.
    assert reason(world, "s1").guard == "moved"
    world.now -= 2 * DAY
    world.tick()
    world.run()
    world.now += 2 * DAY
    assert world.stages() == {"s0": Stage.ACTIVE, "s1": Stage.PUBLISHED}
    assert reason(world, "s1").guard == "verification"
    world.prove("s0")
    world.tick()
    assert reason(world, "s1").guard == "moved"


def test_old_key_retires_in_the_same_step_when_the_new_one_is_switched_to() -> None:
    world = published()
    world.now += 3 * DAY
    result = world.tick()
    assert world.stages() == {"s0": Stage.RETIRING, "s1": Stage.ACTIVE}
    assert [each.text for each in result.reasons] == ["verified -> retiring", "published -> active"]
    assert world.key("s1").pending == (
        SwitchSigner("s1", "mta1", "example.com"),
        SwitchSigner("s1", "mta2", "example.com"),
    )
    first, second = world.key("s1").pending
    world.now += HOUR
    world.run([first])
    assert world.key("s0").since == world.now - HOUR
    assert reason(world, "s0").guard == "switch"
    assert reason(world, "s1").guard == "pending"
    world.run([second])
    assert world.key("s0").since == world.key("s1").since == world.now


def test_jitter_is_a_share_of_its_own_when_domains_differ() -> None:
    shares = [share(f"d{number}.example") for number in range(300)]
    assert all(0 <= each < 1 for each in shares)
    hours = [int(each * 24) for each in shares]
    assert max(hours.count(hour) for hour in range(24)) < 30
    plan = replace(PLAN, timing=Timing())
    world = published(plan)
    no = reason(world, "s1")
    assert no.guard == "propagation"
    assert world.key("s1").urgency is Urgency.NOW
    now_due = no.not_before
    assert now_due is not None
    world.keys = tuple(replace(key, urgency=Urgency.ROUTINE) for key in world.keys)
    assert reason(world, "s1").not_before == now_due + share("example.com") * DAY


def test_jitter_is_half_of_the_propagation_when_not_given() -> None:
    assert Timing().spread == DAY
    assert Timing(jitter=HOUR).spread == HOUR


# --- verification -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "wrong"), [("waiting", False), ("inconclusive", False), ("fail", True), (None, False)]
)
def test_key_is_not_verified_when_the_evidence_is_no_pass(verdict: str | None, wrong: bool) -> None:  # noqa: FBT001 - a parameter
    world = switched()
    if verdict is not None:
        world.evidence["s1"] = verdict
    no = reason(world, "s1")
    assert (no.guard, no.is_overdue) == ("evidence", wrong)
    world.prove("s1")
    assert reason(world, "s1").text == "active -> verified"


def test_key_is_not_verified_when_a_signer_could_not_be_asked() -> None:
    world = switched()
    world.prove("s1")
    facts = world.facts()
    facts = replace(facts, signing=tuple(each for each in facts.signing if each.signer != "mta2"))
    assert reason(world, "s1", facts).text == "the signer mta2 could not be asked what it signs example.com with"


def test_key_is_not_verified_when_its_record_is_not_out() -> None:
    world = switched()
    world.prove("s1")
    del world.servers[SERVERS[1]][NAME.format("s1")]
    no = reason(world, "s1")
    assert (no.guard, no.is_overdue) == ("authoritative", True)
    assert no.text.startswith(SERVERS[1])


@pytest.mark.parametrize(("found", "is_overdue"), [(None, False), ("v=DKIM1; p=other", True)])
def test_a_server_that_lags_is_waited_for_and_one_with_another_record_is_told(
    found: str | None, *, is_overdue: bool
) -> None:
    world = published()
    world.keys = tuple(replace(key, seen=None) for key in world.keys)
    if found is None:
        world.servers[SERVERS[1]].pop(NAME.format("s1"), None)
    else:
        world.servers[SERVERS[1]][NAME.format("s1")] = found
    no = reason(world, "s1")
    assert (no.stage, no.guard, no.is_overdue) == (Stage.PUBLISHED, "authoritative", is_overdue)
    assert no.text.startswith(SERVERS[1])


@pytest.mark.parametrize("stray", ["s0", None])
@pytest.mark.parametrize("make", [switched, verified])
def test_signer_is_switched_again_when_it_strayed(make: Callable[[], World], stray: str | None) -> None:
    world = make()
    world.now += DAY
    place = ("mta2", "example.com", RSA)
    if stray is None:
        del world.signers[place]
    else:
        world.signers[place] = stray
    turn, activated = world.key("s1").turn, world.key("s1").activated
    world.tick()
    assert world.key("s1").stage is Stage.ACTIVE
    assert world.key("s1").pending == (SwitchSigner("s1", "mta2", "example.com"),)
    world.run()
    assert world.signers[place] == "s1"
    assert (world.key("s1").turn, world.key("s1").activated) == (turn, activated)
    # Until now it may have signed with the old key.
    assert world.key("s0").since == world.now


def test_signer_is_not_switched_again_when_the_record_is_not_out() -> None:
    world = switched()
    world.signers["mta2", "example.com", RSA] = "s0"
    world.servers[SERVERS[0]].clear()
    assert world.look().keys == world.keys


def test_failure_is_told_when_the_key_was_verified_already() -> None:
    world = verified()
    assert not reason(world, "s1").is_overdue
    world.evidence["s1"] = "fail"
    no = reason(world, "s1")
    assert (no.stage, no.guard, no.is_overdue) == (Stage.VERIFIED, "evidence", True)


# --- retirement -------------------------------------------------------------------------------------------------------


def test_old_key_stays_when_the_new_one_is_not_verified() -> None:
    world = switched()
    world.now += 100 * DAY
    no = reason(world, "s0")
    assert (no.guard, no.is_overdue) == ("verification", True)


def test_old_key_stays_when_mail_signed_with_it_may_be_under_way() -> None:
    world = verified()
    proved = world.key("s1").since
    world.now = proved + 7 * DAY - timedelta(seconds=1)
    no = reason(world, "s0")
    assert (no.guard, no.not_before) == ("drain", proved + 7 * DAY)
    world.last_signed["s0"] = proved + 4 * DAY
    assert reason(world, "s0").not_before == proved + 10 * DAY
    world.tick()
    # What was seen once is not forgotten with the mailbox.
    world.last_signed.clear()
    world.now = proved + 10 * DAY - timedelta(seconds=1)
    assert reason(world, "s0").guard == "drain"
    world.now += timedelta(seconds=1)
    assert reason(world, "s0").text == "retiring -> retired"


def test_signature_of_the_future_keeps_the_old_key_no_longer_than_one_of_now() -> None:
    world = verified()
    world.last_signed["s0"] = world.now + 1000 * DAY
    assert reason(world, "s0").not_before == max(world.key("s1").since + 7 * DAY, world.now + 6 * DAY)


@pytest.mark.parametrize("heed", [True, False])
def test_old_key_stays_when_reports_still_show_it(heed: bool) -> None:  # noqa: FBT001 - a parameter
    world = verified(replace(PLAN, timing=Timing(jitter=timedelta(), heed_reports=heed)))
    world.now += 20 * DAY
    world.reported_until = world.now
    world.last_reported["s0"] = world.now - DAY
    assert reason(world, "s0").guard == ("drain" if heed else "moved")
    world.last_reported["s0"] = world.now - 19 * DAY
    world.reported_until = world.now - 18 * DAY
    assert reason(world, "s0").guard == ("reports" if heed else "moved")
    world.reported_until = world.now - 17 * DAY
    assert reason(world, "s0").guard == "moved"


def test_old_key_stays_when_it_is_the_only_one_that_works() -> None:
    world = verified()
    world.now += 20 * DAY
    world.evidence["s1"] = "fail"
    no = reason(world, "s0")
    assert (no.guard, no.is_overdue) == ("only-key", True)
    world.prove("s1")
    world.servers[SERVERS[0]].clear()
    assert reason(world, "s0").guard == "authoritative"
    world.settle()
    world.tick(Orders(emergency="s1"))
    assert reason(world, "s0").guard == "only-key"


def test_old_key_stays_when_a_signer_names_it_or_was_not_asked() -> None:
    world = verified()
    world.now += 20 * DAY
    world.signers["mta2", "example.com", RSA] = "s0"
    assert reason(world, "s0").guard == "switch"  # for the signer is switched again at once
    facts = replace(world.facts(), signing=())
    assert reason(world, "s0", facts).text.startswith("the signer mta1 could not be asked")


def test_old_key_goes_in_time_when_rotations_follow_each_other_closely() -> None:
    world = World(replace(PLAN, timing=Timing(jitter=timedelta(), rotate_every=2 * DAY)))
    world.until("s1", Stage.VERIFIED)
    begin = world.now
    assert world.until("s0", Stage.RETIRED) - begin <= 8 * DAY
    assert world.key("s1").stage is Stage.RETIRING


@pytest.mark.parametrize("retire", list(Retirement))
def test_record_goes_as_configured_when_the_key_retires(retire: Retirement) -> None:
    world = verified(replace(PLAN, retire=retire))
    world.now += 7 * DAY
    world.tick()
    name, record = NAME.format("s0"), record_of("s0")
    revoke = RevokeTxt("s0", name, record, revoked_record(RSA).decode())
    is_revoked = retire is Retirement.REVOKE_THEN_DELETE
    assert world.key("s0").pending == ((revoke if is_revoked else RemoveTxt("s0", name, record)),)
    world.run()
    assert world.key("s0").published == (revoke.record if is_revoked else "")
    world.now += 30 * DAY - timedelta(seconds=1)
    assert reason(world, "s0").guard == "revoked"
    world.now += timedelta(seconds=1)
    world.tick()
    gone = (
        ForgetKey("s0", "mta1", "example.com"),
        ForgetKey("s0", "mta2", "example.com"),
        DestroyKey("s0", "file:s0"),
    )
    assert world.key("s0").pending == ((RemoveTxt("s0", name, revoke.record), *gone) if is_revoked else gone)
    world.run()
    assert name not in world.zone
    assert reason(world, "s0").text == "nothing is to be done with it"


def test_private_key_stays_when_a_signer_names_it_again() -> None:
    world = verified()
    world.now += 7 * DAY
    world.turn()
    world.now += 40 * DAY
    world.signers["mta1", "example.com", RSA] = "s0"
    result = world.tick()
    # The current key is put back by itself; until then the old one's private half stays.
    assert world.key("s1").pending == (SwitchSigner("s1", "mta1", "example.com"),)
    assert [each.guard for each in result.reasons if each.selector == "s0"] == ["signer"]


# --- emergency --------------------------------------------------------------------------------------------------------


def test_leaked_key_is_replaced_without_waiting_and_revoked_when_it_signs() -> None:
    world = settled()
    world.policy_step = world.now
    world.holds = ("not now",)
    begin = world.now
    world.turn(Orders(emergency="s0"))
    assert world.stages() == {"s0": Stage.VERIFIED, "s1": Stage.PREPARED}
    world.tick()
    world.run()
    assert world.key("s1").stage is Stage.PUBLISHED
    no = reason(world, "s1")
    assert no.guard == "authoritative"  # never without the proof
    for server in SERVERS:
        world.servers[server] = dict(world.zone)
    world.tick()
    assert world.stages() == {"s0": Stage.RETIRING, "s1": Stage.ACTIVE}
    assert reason(world, "s0").guard == "switch"
    world.run()
    world.tick()
    assert world.stages() == {"s0": Stage.RETIRED, "s1": Stage.ACTIVE}
    assert isinstance(world.key("s0").pending[0], RevokeTxt)
    assert world.now == begin


def test_leaked_key_stays_when_mail_signed_with_the_new_one_fails() -> None:
    world = switched()
    world.evidence["s1"] = "fail"
    world.tick(Orders(emergency="s0"))
    assert reason(world, "s0").guard == "only-key"


def test_leaked_key_is_revoked_at_once_when_it_is_retiring_although_records_are_deleted_by_plan() -> None:
    world = switched(replace(PLAN, retire=Retirement.DELETE))
    world.tick(Orders(emergency="s0"))
    assert isinstance(world.key("s0").pending[0], RevokeTxt)


def test_standby_key_is_switched_to_at_once_when_the_signing_key_leaks() -> None:
    world = settled(replace(PLAN, standby=True))
    for _ in range(3):
        world.turn()
    assert world.stages() == {"s0": Stage.VERIFIED, "s1": Stage.PUBLISHED}
    assert world.key("s1").urgency is Urgency.RESERVE
    assert reason(world, "s1").guard == "due"
    world.tick(Orders(emergency="s0"))
    assert world.stages() == {"s0": Stage.RETIRING, "s1": Stage.ACTIVE}


def test_standby_key_is_switched_to_when_the_rotation_is_due_and_another_one_made() -> None:
    world = settled(replace(PLAN, standby=True))
    for _ in range(3):
        world.turn()
    activated = world.key("s0").activated
    assert activated is not None
    assert world.until("s1", Stage.ACTIVE) - activated == 90 * DAY
    world.until("s2", Stage.PUBLISHED, most=DAY)
    assert world.key("s2").urgency is Urgency.RESERVE


def test_standby_key_waits_for_the_share_of_its_domain_when_due() -> None:
    world = settled(replace(PLAN, standby=True, timing=Timing(jitter=10 * DAY)))
    for _ in range(3):
        world.turn()
    activated = world.key("s0").activated
    assert activated is not None
    due = activated + 90 * DAY + share("example.com") * 10 * DAY
    world.now = due - timedelta(seconds=1)
    no = reason(world, "s1")
    assert (no.guard, no.not_before) == ("due", due)
    world.now = due
    assert reason(world, "s1").guard == "moved"


def test_the_key_that_signs_says_until_when_only_while_a_standby_key_waits() -> None:
    world = settled(replace(PLAN, standby=True))
    for _ in range(3):
        world.turn()
    activated = world.key("s0").activated
    assert activated is not None
    no = reason(world, "s0")
    assert (no.text, no.not_before) == ("s1 is next", activated + 90 * DAY)
    # Ordered, or in an emergency, it is a matter of DNS alone.
    del world.servers[SERVERS[0]][NAME.format("s1")]
    assert reason(world, "s0", orders=Orders(start=True)).not_before is None
    no = reason(world, "s0", orders=Orders(emergency="s0"))
    assert (no.text, no.not_before) == ("it has leaked; s1 is next", None)


def test_the_key_that_signs_names_the_one_that_is_made_in_the_same_tick() -> None:
    world = settled()
    assert reason(world, "s0", orders=Orders(start=True)).text == "s1 is next"
    assert reason(world, "s0", orders=Orders(emergency="s0")).text == "it has leaked; s1 is next"


def test_a_key_that_cannot_be_destroyed_yet_says_so() -> None:
    world = verified()
    world.until("s0", Stage.RETIRED)
    world.now += 31 * DAY
    world.run()
    world.tick()
    assert world.key("s0").stage is Stage.DESTROYED
    assert reason(world, "s0").text == "not done yet: DestroyKey, ForgetKey, RemoveTxt"


def test_standby_key_is_routine_when_it_is_made_after_the_rotation_was_due() -> None:
    world = settled()
    world.now += 91 * DAY
    world.plan = replace(PLAN, standby=True)
    world.tick()
    assert world.key("s1").urgency is Urgency.ROUTINE


def test_standby_key_is_switched_to_when_ordered_after_its_wait() -> None:
    world = settled(replace(PLAN, standby=True))
    for _ in range(3):
        world.turn()
    world.now += 2 * DAY
    world.tick(Orders(start=True))
    assert world.stages() == {"s0": Stage.RETIRING, "s1": Stage.ACTIVE}


@pytest.mark.parametrize(("ticks", "effects"), [(0, []), (1, [RemoveTxt]), (2, [RevokeTxt])])
def test_key_that_never_signed_is_dropped_when_it_leaks(ticks: int, effects: list[type]) -> None:
    world = settled()
    world.tick(Orders(start=True))  # its key is about to be made
    if ticks:
        world.run()
        world.tick()  # its record is about to be published
    if ticks > 1:
        world.run()
    world.tick(Orders(emergency="s1"))
    assert world.key("s1").stage is Stage.RETIRED
    assert [type(effect) for effect in world.key("s1").pending] == effects
    world.run()
    world.now += 30 * DAY
    world.tick()
    world.run()
    assert world.key("s1").stage is Stage.DESTROYED
    assert world.kept == {"s0"}


def test_emergency_is_refused_when_there_is_no_such_key_or_it_is_gone() -> None:
    world = verified()
    before = world.keys
    with pytest.raises(ConfigError, match="there is no key 'x'"):
        world.tick(Orders(emergency="x"))
    world.now += 7 * DAY
    world.turn()
    before = world.keys
    with pytest.raises(Refused, match="s0 is retired already") as caught:
        world.tick(Orders(emergency="s0"))
    assert caught.value.guard == "emergency"
    assert world.keys == before


def test_revoked_record_is_no_refusal_when_the_key_leaked() -> None:
    world = settled()
    world.zone[NAME.format("s0")] = revoked_record(RSA).decode()
    world.settle()
    with pytest.raises(Refused) as caught:
        world.look()
    assert caught.value.guard == "store-behind"
    assert world.look(Orders(emergency="s0")).keys[-1].stage is Stage.PREPARED


# --- rollback ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [switched, verified])
def test_former_key_signs_again_when_rolled_back(make: Callable[[], World]) -> None:
    world = make()
    world.now += DAY
    world.evidence = {"s1": "fail"}
    world.tick(Orders(rollback=True))
    assert world.stages() == {"s0": Stage.ACTIVE, "s1": Stage.RETIRING}
    world.run()
    assert world.signers["mta1", "example.com", RSA] == "s0"
    # It has to be verified like any other, and the next rotation is due from now.
    assert reason(world, "s0").guard == "evidence"
    world.prove("s0")
    world.turn()
    assert reason(world, "s0").not_before == world.now + 90 * DAY
    world.until("s1", Stage.RETIRED, most=8 * DAY)


def test_rollback_goes_through_when_the_switch_is_half_done() -> None:
    world = published()
    world.now += 3 * DAY
    world.tick()
    world.run(world.key("s1").pending[:1])
    world.tick(Orders(rollback=True))
    assert world.stages() == {"s0": Stage.ACTIVE, "s1": Stage.RETIRING}
    assert world.key("s1").pending == ()
    world.run()
    assert set(world.signers.values()) == {"s0"}


def test_rollback_waits_when_the_record_of_the_former_key_is_not_out() -> None:
    world = switched()
    world.servers[SERVERS[0]].pop(NAME.format("s0"))
    world.tick(Orders(rollback=True))
    assert world.stages() == {"s0": Stage.RETIRING, "s1": Stage.ACTIVE}
    assert reason(world, "s0").guard == "authoritative"
    world.settle()
    assert world.look().keys[0].stage is Stage.ACTIVE


def test_rollback_leaves_the_next_key_for_later_when_there_is_one() -> None:
    world = verified()
    for _ in range(3):
        world.turn(Orders(start=True))
    world.now += 3 * DAY
    world.tick(Orders(rollback=True))
    assert world.stages() == {"s0": Stage.ACTIVE, "s1": Stage.RETIRING, "s2": Stage.PUBLISHED}
    assert world.key("s2").urgency is Urgency.RESERVE


def test_next_key_is_not_switched_to_when_the_former_one_is_being_recalled() -> None:
    world = verified()
    for _ in range(3):
        world.turn(Orders(start=True))
    world.now += 3 * DAY
    world.servers[SERVERS[0]].pop(NAME.format("s0"))
    world.tick(Orders(rollback=True))
    assert reason(world, "s2").guard == "recall"
    facts = world.facts()
    silent = {**facts.authoritative, NAME.format("s0"): {SERVERS[0]: None}}
    assert reason(world, "s0", replace(facts, authoritative=silent)).guard == "authoritative"


@pytest.mark.parametrize("make", [World, settled, published])
def test_rollback_is_refused_when_there_is_nothing_to_go_back_to(make: Callable[[], World]) -> None:
    world = make()
    before = world.keys
    with pytest.raises(Refused) as caught:
        world.tick(Orders(rollback=True))
    assert (caught.value.guard, world.keys) == ("rollback", before)


def test_rollback_is_refused_when_the_former_key_leaked() -> None:
    world = switched()
    world.tick(Orders(emergency="s0"))
    with pytest.raises(Refused, match="no former key"):
        world.tick(Orders(rollback=True))


def test_leaked_key_is_not_switched_back_to_when_it_was_recalled() -> None:
    world = switched()
    world.servers[SERVERS[0]].pop(NAME.format("s0"))
    world.tick(Orders(rollback=True))
    world.settle()
    world.tick(Orders(emergency="s0"))
    assert world.stages() == {"s0": Stage.RETIRED, "s1": Stage.ACTIVE}


# --- several algorithms, domains and signers --------------------------------------------------------------------------


def test_algorithms_have_a_selector_each_when_there_are_two() -> None:
    world = World(replace(PLAN, algorithms=(RSA, ED25519)))
    world.until("s1", Stage.VERIFIED)
    assert {key.selector: (key.algorithm, key.stage) for key in world.keys} == {
        "s0": (RSA, Stage.VERIFIED),
        "s1": (ED25519, Stage.VERIFIED),
    }
    world.tick(Orders(emergency="s1"))
    assert [key.algorithm for key in world.keys if key.stage is Stage.PREPARED] == [ED25519]


def test_key_of_an_algorithm_goes_on_signing_when_it_is_no_longer_in_the_plan() -> None:
    world = World(replace(PLAN, algorithms=(RSA, ED25519)))
    world.until("s1", Stage.VERIFIED)
    world.plan = PLAN
    assert reason(world, "s1").guard == "verified"


def test_record_is_asked_for_at_every_name_when_domains_share_a_key() -> None:
    world = World(replace(PLAN, aliases=("example.net",)))
    world.until("s0", Stage.ACTIVE)
    assert set(world.zone) == {NAME.format("s0")}
    assert {(signer, domain) for signer, domain, _ in world.signers} == {
        (signer, domain) for signer in ("mta1", "mta2") for domain in ("example.com", "example.net")
    }
    world.until("s0", Stage.VERIFIED)
    facts = world.facts()
    assert set(facts.authoritative) == {NAME.format("s0"), "s0._domainkey.example.net"}
    dangling = {**facts.authoritative, "s0._domainkey.example.net": {SERVERS[0]: ()}}
    no = reason(world, "s0", replace(facts, authoritative=dangling))
    told = f"there is no TXT record; a CNAME of {NAME.format('s0')} belongs there (no_key)"
    assert (no.is_overdue, no.text) == (True, f"{SERVERS[0]} for s0._domainkey.example.net: {told}")


# --- hold -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [World, settled, published, switched, verified])
def test_nothing_moves_when_the_domain_is_held(make: Callable[[], World]) -> None:
    world = make()
    world.now += 50 * DAY
    world.holds = ("freeze", "audit")
    world.prove("s1")
    before = world.stages()
    result = world.tick(Orders(start=True))
    assert world.stages() == before
    assert {each.text for each in result.reasons} == {"held: freeze; audit"}
    assert not any(each.is_overdue for each in result.reasons)
    world.holds = ()
    world.tick(Orders(start=True))
    assert world.stages() != before


# --- what is refused --------------------------------------------------------------------------------------------------


def test_tick_is_refused_when_the_clock_jumped_back() -> None:
    world = settled()
    latest = max(world.key("s0").since, START)
    world.now = latest - timedelta(seconds=61)
    with pytest.raises(Refused) as caught:
        world.tick()
    assert (caught.value.guard, caught.value.not_before) == ("clock", f"{latest:%Y-%m-%dT%H:%M:%SZ}")
    world.now += timedelta(seconds=1)
    world.tick()
    with pytest.raises(Refused, match="clock"):
        world.tick(facts=replace(world.facts(), last_run=world.now + HOUR))


def test_tick_is_refused_when_a_signer_names_a_key_that_nobody_knows() -> None:
    world = settled()
    world.signers["mta1", "example.com", RSA] = "legacy"
    with pytest.raises(Refused) as caught:
        world.tick()
    assert caught.value.guard == "unknown-key"
    assert "keys import" in caught.value.hint


def test_tick_is_refused_when_the_store_was_restored_from_before_the_switch() -> None:
    world = published()
    backup = world.keys
    world.now += 3 * DAY
    world.turn()
    world.keys = backup
    with pytest.raises(Refused) as caught:
        world.tick()
    assert caught.value.guard == "store-behind"
    assert "only published by the store" in str(caught.value)


def test_tick_is_refused_when_the_store_was_restored_from_before_the_revocation() -> None:
    world = verified()
    backup = world.keys
    world.now += 7 * DAY
    world.turn()
    world.keys = backup
    with pytest.raises(Refused, match="is revoked, but by the store it is retiring"):
        world.tick()


# --- done -------------------------------------------------------------------------------------------------------------


def test_end_of_an_effect_is_illegal_when_it_is_not_pending() -> None:
    world = published()
    before = world.keys
    made = Made(bits=2048, record="", reference="")
    for effect in (
        CreateKey("s1", "rsa", 2048),
        PublishTxt("s1", NAME.format("s1"), record_of("s1")),
        SwitchSigner("s1", "mta1", "example.com"),
        RevokeTxt("s0", "", "", ""),
        RemoveTxt("s0", "", ""),
        ForgetKey("s0", "mta1", "example.com"),
        DestroyKey("s0", ""),
    ):
        with pytest.raises(IllegalTransition, match=type(effect).__name__):
            done(world.keys, effect, world.now, made if isinstance(effect, CreateKey) else None)
    assert world.keys == before


def test_end_of_an_effect_is_illegal_when_what_was_made_does_not_fit() -> None:
    world = World()
    world.tick()
    (create,) = world.pending()
    with pytest.raises(IllegalTransition, match="CreateKey is no move from prepared"):
        done(world.keys, create, world.now)
    world.run()
    world.tick()
    (publish,) = world.pending()
    with pytest.raises(IllegalTransition):
        done(world.keys, publish, world.now, Made(bits=1, record="", reference=""))


def test_clock_of_a_stage_starts_when_its_last_effect_succeeded() -> None:
    world = World()
    world.tick()
    world.now += DAY
    world.run()
    assert world.key("s0").since == world.now
    assert (world.key("s0").created, world.key("s0").record) == (START, record_of("s0"))


def test_effects_are_the_same_when_saved_and_read() -> None:
    effects = (CreateKey("s", "rsa", 2048), RevokeTxt("s", "n", 'a "quoted" one', "p="), DestroyKey("s", "file:x"))
    assert parse_effects(format_effects(effects)) == effects


# --- keys in use already ----------------------------------------------------------------------------------------------


def in_use(selector: str = "old", algorithm: Algorithm = RSA) -> Key:
    return Key(
        domain="example.com",
        selector=selector,
        algorithm=algorithm,
        bits=2048,
        stage=Stage.ACTIVE,
        since=START,
        created=START,
        record=record_of(selector, algorithm),
        reference=f"file:{selector}",
    )


def test_key_in_use_is_adopted_and_verified_when_imported() -> None:
    world = World(keys=adopt((), in_use()))
    world.zone[NAME.format("old")] = record_of("old")
    world.settle()
    for signer in ("mta1", "mta2"):
        world.signers[signer, "example.com", RSA] = "old"
    assert world.key("old").published == record_of("old")
    world.until("old", Stage.VERIFIED)
    assert reason(world, "old").not_before == START + 90 * DAY
    world.keys = adopt(world.keys, in_use("old-ed", ED25519))
    assert world.key("old-ed").turn == 1


def test_import_is_refused_when_the_selector_is_known_or_another_key_signs() -> None:
    keys = adopt((), in_use())
    with pytest.raises(Refused, match="is known already"):
        adopt(keys, in_use())
    with pytest.raises(Refused, match="is signed with old already"):
        adopt(keys, in_use("other"))


# --- what others ask --------------------------------------------------------------------------------------------------


def test_policy_is_locked_when_between_switch_and_verification() -> None:
    world = published()
    assert policy_lock(world.keys) is None
    world.now += 3 * DAY
    world.tick()
    assert policy_lock(world.keys) == "the DKIM key s1 of example.com was switched to and is not verified"
    world.run()
    assert policy_lock(world.keys)
    world.prove("s1")
    world.turn()
    assert policy_lock(world.keys) is None


def test_stage_is_overdue_when_it_takes_longer_than_its_timings() -> None:
    world = World()
    world.tick()
    world.now += 3 * DAY
    assert not reason(world, "s0").is_overdue
    world.now += timedelta(seconds=1)
    assert reason(world, "s0").is_overdue
    world.until("s0", Stage.VERIFIED)
    world.now += 89 * DAY
    assert not reason(world, "s0").is_overdue


# --- the table --------------------------------------------------------------------------------------------------------


def test_every_stage_can_be_reached_and_left_when_the_table_is_followed() -> None:
    sources = {move.source for move in MOVES}
    targets = {move.target for move in MOVES}
    assert sources == {None, *Stage} - {Stage.DESTROYED}
    assert targets == {*Stage}
    assert len({(move.source, move.target) for move in MOVES}) == len(MOVES)


def test_words_of_the_table_name_the_effects_when_these_are_made() -> None:
    key = replace(in_use(), published="p", stage=Stage.RETIRING)
    signing = tuple(Signing(signer=s, domain=d, algorithm=RSA, selector=None) for s, d in PLAN.places)
    seen = set()
    for move in MOVES:
        for retire in Retirement:
            view = View((key,), Facts(signing=signing), replace(PLAN, retire=retire), START)
            kinds = {type(effect).__name__ for effect in move.effects(key, view)}
            seen |= kinds
            assert kinds <= set(re.findall(r"\w+", move.does))
            assert bool(kinds) == bool(move.does)
    assert seen == {
        "CreateKey",
        "PublishTxt",
        "SwitchSigner",
        "RevokeTxt",
        "RemoveTxt",
        "ForgetKey",
        "DestroyKey",
    }


@pytest.mark.parametrize("drawing", list(Drawing))
def test_drawing_shows_every_row_of_the_table(drawing: Drawing) -> None:
    text = explain(drawing)
    arrow = "-->" if drawing is Drawing.MERMAID else "->"
    start = {Drawing.MERMAID: r"\[\*\]", Drawing.TEXT: "new", Drawing.GRAPHVIZ: "new"}[drawing]
    for move in MOVES:
        assert re.search(rf"^ *{move.source or start} {arrow} {move.target}\b", text, re.MULTILINE)
    assert text.count("\n") >= len(MOVES)


def test_mermaid_can_read_the_drawing_when_made() -> None:
    first, *lines = explain(Drawing.MERMAID).splitlines()
    assert first == "stateDiagram-v2"
    assert all(re.fullmatch(r"    \S+ --> \S+(: [^:;]+)?", line) for line in lines)


def test_defaults_are_those_of_the_contract_when_nothing_is_configured() -> None:
    timing = Timing()
    assert {each.name for each in fields(timing)} >= {"rotate_every", "propagation", "retire_after", "revoked_for"}
    assert (timing.rotate_every, timing.propagation, timing.retire_after, timing.revoked_for) == (
        90 * DAY,
        2 * DAY,
        7 * DAY,
        30 * DAY,
    )
