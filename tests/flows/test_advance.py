"""Policies stepped over fakes of DNS, and a real store: the whole way, killed anywhere, and an outside that meddles."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dmarcops.errors import DmarcopsError, DnsError, ForeignRecordError, Refused, StoreError
from dmarcops.flows.advance import Stepped
from dmarcops.policy.journal import Change, Kind
from dmarcops.policy.stepper import Decision
from dmarcops.ports import TxtSet
from dmarcops.store import audit, keys, policies
from dmarcops.store.engine import Store
from fakes import NAMESERVERS, MemoryResolver
from policy_world import DAY, DOMAIN, NAME, NONE, RULES, START, WEEK, World, decision, reasons
from rotation_fakes import Killed, MortalStore
from rotation_fakes import World as RotationWorld
from rotation_fakes import plan as rotation_plan

NS1, NS2 = NAMESERVERS
QUARANTINE = b"v=DMARC1; p=quarantine; np=reject; rua=mailto:dmarc@example.com; x=a"
REJECT = b"v=DMARC1; p=reject; np=reject; rua=mailto:dmarc@example.com; x=a"
DECIDED = 2
"""The crossing right after the decision is committed: nothing is written yet."""
OTHER = b"v=DMARC1; p=none; rua=mailto:other@example.com"
OWNERS_RECORDS = st.builds(
    lambda space, tags, end: space.join(["v=DMARC1", "p=none", *tags]).encode() + end,
    st.sampled_from([";", "; ", " ; ", ";\t"]),
    st.permutations(["rua=mailto:dmarc@example.com", "fo=1", "adkim=s", "unknown=some thing", "aspf = r", "ri=3600"]),
    st.sampled_from([b"", b";"]),
)
"""Records in which every owner writes the same in another way."""


@pytest.fixture(scope="session")
def seasoned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a month of reports about a domain at none."""
    path = tmp_path_factory.mktemp("seasoned") / "store.db"
    with Store.open(f"sqlite:///{path}") as store:
        World(store).seasoned()
    return path


@pytest.fixture
def fresh(seasoned: Path, tmp_path: Path) -> Iterator[Callable[[], World]]:
    """Gives worlds after a month at none, each with a store of its own that can die."""
    opened: list[Store] = []

    def world() -> World:
        path = tmp_path / f"store{len(opened)}.db"
        shutil.copyfile(seasoned, path)
        store = MortalStore.open(f"sqlite:///{path}")
        opened.append(store)
        made = World(store, now=START + 30 * DAY)
        made.publish(NONE)
        return made

    yield world
    for store in opened:
        store.close()


@pytest.fixture
def world(fresh: Callable[[], World]) -> World:
    return fresh()


def mortal(world: World, dies_at: int = -1) -> World:
    """Count the crossings from here on, and die at one."""
    world.boundary.dies_at, world.boundary.crossed = dies_at, 0
    assert isinstance(world.store, MortalStore)
    world.store.boundary = world.boundary
    return world


def actions(world: World) -> list[str]:
    history = (x.event.action for x in audit.history(world.store, DOMAIN))
    return [action for action in history if action.startswith("policy-")]


def changes(world: World) -> tuple[Change, ...]:
    return policies.load(world.store, [DOMAIN])[DOMAIN].changes


def only(stepped: Stepped) -> DmarcopsError:
    (problem,) = stepped.problems
    return problem


def stepped_up(world: World) -> World:
    world.sign()
    assert world.advance().change is not None
    return world


def suffered(world: World, *, failing: int) -> World:
    """Let some days pass after a step, with mail that fails."""
    today = world.now.date()
    world.now += 9 * DAY
    world.report(today + DAY, world.now.date() - DAY, messages=50 - failing, failing=failing, reporters=("x", "y", "z"))
    return world


def test_it_goes_from_none_to_reject_with_a_signature_for_each_step(store: Store) -> None:
    world = World(store).seasoned()
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
    trail = [x.event for x in audit.history(store, DOMAIN) if x.event.action == "policy-advance"]
    assert [(x.before, x.after) for x in trail] == [
        (NONE.decode(), QUARANTINE.decode()),
        (QUARANTINE.decode(), REJECT.decode()),
    ]
    assert audit.verify(store)


def test_an_advance_that_is_killed_anywhere_ends_the_same(fresh: Callable[[], World]) -> None:
    world = fresh()
    world.sign()
    mortal(world).advance()
    crossings = world.boundary.crossed
    assert crossings == 8, "decided, written, noted and acknowledged, each with a crossing before and after"
    for dies_at in range(1, crossings + 1):
        world = fresh()
        world.sign()
        with pytest.raises(Killed):
            mortal(world, dies_at).advance()
        decided = [change for change in changes(world) if change.withdrawn_at is None]
        assert world.octets == NONE or decided, "nothing is in DNS that was not decided before"
        mortal(world).advance()
        (change,) = changes(world)
        assert world.octets == QUARANTINE
        assert change.acknowledged_at is not None
        assert len(world.dns.calls) == 1
        assert [x for x in actions(world) if x != "policy-sign"] == ["policy-advance", "policy-in-dns"]
        assert world.advance().change is None


def test_a_step_back_that_is_killed_anywhere_ends_the_same(fresh: Callable[[], World]) -> None:
    world = stepped_up(fresh())
    mortal(world).rollback()
    crossings = world.boundary.crossed
    for dies_at in range(1, crossings + 1):
        world = stepped_up(fresh())
        with pytest.raises(Killed):
            mortal(world, dies_at).rollback()
        mortal(world).rollback()
        assert world.octets == NONE
        assert [change.kind for change in changes(world)] == [Kind.ADVANCE, Kind.ROLLBACK]
        assert all(change.acknowledged_at for change in changes(world))
        assert len(world.dns.calls) == 2


@given(former=OWNERS_RECORDS)
@settings(
    max_examples=8,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_step_back_gives_the_former_octets_whatever_they_are(fresh: Callable[[], World], former: bytes) -> None:
    world = fresh()
    world.publish(former)
    world.look()
    world.now += 15 * DAY
    world.report((world.now - 14 * DAY).date(), world.now.date())
    stepped_up(world)
    assert world.octets != former
    world.rollback()
    assert world.octets == former


def test_a_step_back_is_refused_when_dns_has_something_else(world: World) -> None:
    stepped_up(world).publish(OTHER)
    error = only(world.rollback())
    assert isinstance(error, ForeignRecordError)
    assert repr(OTHER.decode()) in str(error)
    assert repr(QUARANTINE.decode()) in str(error)
    assert world.octets == OTHER
    assert len(changes(world)) == 1


def test_the_same_step_back_twice_is_one(world: World) -> None:
    stepped_up(world)
    assert world.rollback().change is not None
    again = world.rollback()
    assert not again.problems
    assert again.change is not None
    assert again.change.kind is Kind.ROLLBACK
    assert world.octets == NONE
    assert len(changes(world)) == 2
    error = only(world.rollback(again=True))
    assert isinstance(error, Refused)
    assert "no step of ours" in str(error)


def test_two_steps_are_taken_back_one_after_the_other(world: World) -> None:
    world.rules = replace(RULES, require_signature=False)
    world.advance()
    world.now += 30 * DAY
    world.report((world.now - 30 * DAY).date(), world.now.date(), reporters=("a", "b", "c"))
    world.advance()
    assert world.octets == REJECT
    world.rollback()
    assert world.octets == QUARANTINE
    assert world.rollback(again=True, dry_run=True).change is not None
    assert world.octets == QUARANTINE
    world.rollback(again=True)
    assert world.octets == NONE


def test_a_step_back_before_anything_was_written_withdraws_the_step(world: World) -> None:
    world.sign()
    with pytest.raises(Killed):
        mortal(world, DECIDED).advance()
    mortal(world)
    assert world.octets == NONE
    (change,) = changes(world)
    assert change.is_open
    stepped = world.rollback()
    assert stepped.change is not None
    assert stepped.change.withdrawn_at is not None
    assert world.octets == NONE
    assert not world.dns.calls


def test_a_step_that_is_on_its_way_is_taken_back_too(world: World) -> None:
    world.sign()
    world.dns.servers[NAME] = {NS2: (NONE,)}
    assert world.advance().late
    world.dns.servers.clear()
    world.rollback()
    assert world.octets == NONE
    assert [change.acknowledged_at is None for change in changes(world)] == [True, False]
    assert decision(world) is Decision.WAIT, "the clock starts anew with the step back"


def test_a_step_is_acknowledged_once_every_server_has_it(world: World) -> None:
    world.sign()
    world.dns.servers[NAME] = {NS2: (NONE,)}
    stepped = world.advance()
    assert world.octets == QUARANTINE
    assert stepped.change is not None
    assert stepped.change.acknowledged_at is None
    assert stepped.late == f"{NS2} has {NONE.decode()!r}"
    assert decision(world) is Decision.WAIT
    assert "is not on every server yet" in reasons(world)
    assert policies.is_under_way(world.store, DOMAIN)
    world.now += timedelta(hours=1)
    world.dns.servers[NAME] = {NS2: (OTHER,)}
    assert NS2 in world.advance().late
    world.dns.servers.clear()
    stepped = world.advance()
    assert stepped.change is not None
    assert stepped.change.acknowledged_at == world.now
    assert len(world.dns.calls) == 1
    assert not policies.is_under_way(world.store, DOMAIN)


def test_a_change_that_the_provider_has_not_let_out_is_waited_for(world: World) -> None:
    world.sign()
    world.dns.is_pending = True
    assert world.advance().late == "the provider has not put it on all of its servers yet"
    world.dns.is_pending = False
    stepped = world.advance()
    assert stepped.change is not None
    assert stepped.change.acknowledged_at == world.now


def test_what_was_decided_is_judged_anew_as_long_as_nothing_is_written(world: World) -> None:
    world.sign()
    with pytest.raises(Killed):
        mortal(world, DECIDED).advance()
    mortal(world)
    keys.hold(world.store, keys.Hold(domain=DOMAIN, what="policy", reason="stop", who="kim", at=world.now))
    stepped = world.advance()
    assert stepped.change is not None
    assert stepped.change.withdrawn_at is not None
    assert world.octets == NONE
    assert "held by kim: stop" in audit.history(world.store, DOMAIN)[-1].event.detail
    keys.resume(world.store, DOMAIN, "policy", who="kim", now=world.now)
    world.advance()
    assert world.octets == QUARANTINE, "the signature is for a step that was not made: it holds"


def test_who_changes_the_record_before_it_is_written_is_not_overwritten(world: World) -> None:
    world.sign()
    world.boundary.check = lambda: world.publish(OTHER)
    error = only(world.advance())
    world.boundary.check = lambda: None
    assert isinstance(error, ForeignRecordError)
    assert repr(OTHER.decode()) in str(error)
    assert repr(NONE.decode()) in str(error)
    assert world.octets == OTHER
    (change,) = changes(world)
    assert change.withdrawn_at is not None


def test_who_takes_a_step_back_by_hand_before_it_is_acknowledged_is_not_overwritten(world: World) -> None:
    world.sign()
    world.dns.servers[NAME] = {NS2: (NONE,)}
    world.advance()
    world.publish(NONE)
    world.dns.servers.clear()
    error = only(world.advance())
    assert isinstance(error, ForeignRecordError)
    assert world.octets == NONE
    assert not world.advance().problems
    assert decision(world) is Decision.UNSIGNED


def test_what_somebody_else_wrote_after_a_step_stops_everything_until_a_person_takes_it_for_right(world: World) -> None:
    stepped_up(world)
    theirs = QUARANTINE.replace(b"np=reject", b"np=none")
    world.publish(theirs)
    assert decision(world) is Decision.BLOCKED
    error = only(world.advance())
    assert isinstance(error, ForeignRecordError)
    assert repr(theirs.decode()) in str(error)
    assert repr(QUARANTINE.decode()) in str(error)
    assert world.resume() == (f"the record in DNS is taken for right: {theirs.decode()!r}",)
    assert not world.resume()
    assert not world.advance().problems
    assert decision(world) is Decision.WAIT
    assert "no step of ours" in str(only(world.rollback()))
    assert actions(world)[-1] == "policy-adopt"


THEIRS = QUARANTINE.replace(b"dmarc@", b"other@")


def test_a_step_outlives_a_change_of_other_tags_and_its_way_back_keeps_them(world: World) -> None:
    suffered(stepped_up(world), failing=20).publish(THEIRS)
    assert world.resume()
    outlook, back = world.look(), NONE.replace(b"dmarc@", b"other@")
    assert (outlook.is_failing, outlook.watch and outlook.watch.record) == (True, back.decode())
    assert not world.rollback().problems
    assert world.octets == back
    world.publish(back.replace(b"other@", b"third@"))
    assert world.resume()
    assert not world.rollback().problems, "the same order twice is one"
    assert world.octets == back.replace(b"other@", b"third@")


def test_a_step_is_taken_back_by_itself_after_a_change_of_other_tags(world: World) -> None:
    suffered(stepped_up(world), failing=20).publish(THEIRS)
    world.resume()
    world.auto_rollback = True
    stepped = world.advance()
    assert (stepped.change and stepped.change.kind, stepped.problems) == (Kind.ROLLBACK, ())
    assert world.octets == NONE.replace(b"dmarc@", b"other@")


def test_no_step_back_is_made_into_a_record_that_somebody_else_broke(world: World) -> None:
    suffered(stepped_up(world), failing=20).publish(QUARANTINE + b"; p")
    world.resume()
    world.auto_rollback = True
    outlook = world.look()
    assert (outlook.is_failing, outlook.watch and outlook.watch.record) == (True, None)
    assert "not be valid" in str(only(world.advance()))
    assert world.octets == QUARANTINE + b"; p"


def test_a_signature_takes_a_record_for_right_too(world: World) -> None:
    stepped_up(world).publish(QUARANTINE.replace(b"dmarc@", b"other@"))
    world.sign()
    assert not world.advance().problems
    assert "policy-adopt" in actions(world)


def test_no_record_is_taken_for_right_while_a_change_is_under_way(world: World) -> None:
    world.sign()
    world.dns.servers[NAME] = {NS2: (NONE,)}
    world.advance()
    world.publish(OTHER)
    world.dns.servers.clear()
    with pytest.raises(Refused, match="under way"):
        world.resume()


def test_a_record_that_dns_does_not_tell_is_not_taken_for_right(world: World) -> None:
    stepped_up(world)
    world.dns.servers[NAME] = {NS2: (OTHER,)}
    (told,) = world.resume()
    assert told.startswith("no record was taken for right: ")
    assert NS2 in told


def test_servers_that_disagree_block_and_are_named(world: World) -> None:
    world.sign()
    world.dns.servers[NAME] = {NS2: (OTHER,)}
    assert decision(world) is Decision.BLOCKED
    assert NS2 in reasons(world)
    stepped = world.advance()
    assert not stepped.problems
    assert world.octets == NONE


@pytest.mark.parametrize(
    ("values", "told"),
    [((NONE, OTHER), "2 DMARC records"), ((NONE, b"else"), "other texts"), ((), "no DMARC record that can be used")],
)
def test_what_is_not_one_record_blocks(world: World, values: tuple[bytes, ...], told: str) -> None:
    world.sign()
    world.dns.records[NAME] = TxtSet(NAME, values, 60)
    if not values:
        del world.dns.records[NAME]
    assert decision(world) in {Decision.BLOCKED, Decision.WAIT}
    assert told in reasons(world)
    assert world.advance().change is None


def test_a_domain_without_a_record_of_its_own_is_told_what_holds_from_above(world: World) -> None:
    world.domains = ("news.example.com",)
    world.publish(QUARANTINE.replace(b"quarantine", b"reject"))
    outlook = world.look()
    assert outlook.proposal is not None
    assert "p=reject of example.com holds" in "; ".join(outlook.proposal.reasons)
    assert "p=none would weaken it" in "; ".join(outlook.proposal.reasons)


def test_one_domain_that_fails_keeps_no_other_back(world: World) -> None:
    world.sign()
    world.domains = ("example.net", DOMAIN)
    world.dns.servers["_dmarc.example.net"] = {NS1: DnsError("ns1 is silent", transient=True)}
    net, com = world.stepping.advance([world.governed(domain) for domain in world.domains])
    assert [str(problem) for problem in net.problems] == ["ns1 is silent"]
    assert net.outlook.proposal is None
    assert com.change is not None
    assert world.octets == QUARANTINE


def test_a_dns_that_fails_leaves_the_step_for_later(world: World) -> None:
    world.sign()
    governed = world.governed()
    outlooks = world.policies.look([governed])
    assert outlooks[0].judged is not None
    world.dns.faults = [DnsError("timeout", transient=True)]
    assert str(only(world.advance())) == "timeout"
    assert changes(world) == (), "what the provider cannot be asked about is not decided"
    world.advance()
    assert world.octets == QUARANTINE
    assert len(changes(world)) == 1


def test_a_name_that_the_provider_cannot_write_is_told_and_leaves_nothing_under_way(world: World) -> None:
    world.sign()
    world.dns.aliases[NAME] = "example-com.provider.example"
    world.dns.records["example-com.provider.example"] = world.dns.records[NAME]

    class Behind(MemoryResolver):
        def authoritative(self, name: str) -> dict[str, tuple[bytes, ...]]:
            return {server.partition(" for ")[0]: texts for server, texts in super().authoritative(name).items()}

    world.resolver = Behind(world.dns)
    for dry_run in (True, False, False):
        stepped = world.advance(dry_run=dry_run)
        assert "is a CNAME of example-com.provider.example" in str(only(stepped))
        assert (stepped.change, changes(world)) == (None, ())
    assert decision(world) is Decision.READY


def test_a_cname_is_told_before_anybody_signs(world: World) -> None:
    world.dns.aliases[NAME] = "example-com.provider.example"
    world.dns.records["example-com.provider.example"] = world.dns.records[NAME]
    assert decision(world) is Decision.BLOCKED
    assert "_dmarc.example.com is a CNAME of example-com.provider.example" in reasons(world)
    world.sign()
    stepped = world.advance()
    assert (stepped.change, stepped.problems, decision(world)) == (None, (), Decision.BLOCKED)
    goal = TxtSet(NAME, (NONE.replace(b"p=none", b"p=reject"),), 60)
    world.dns.records["example-com.provider.example"] = goal
    assert decision(world) is Decision.DONE, "nothing is to be written"


def test_dry_runs_change_nothing(world: World) -> None:
    world.sign()
    stepped = world.advance(dry_run=True)
    assert stepped.change is not None
    assert stepped.change.after == QUARANTINE
    assert (world.octets, changes(world)) == (NONE, ())
    stepped_up(world)
    stepped = world.rollback(dry_run=True)
    assert stepped.change is not None
    assert stepped.change.after == NONE
    assert world.octets == QUARANTINE
    world.publish(OTHER)
    assert isinstance(only(world.advance(dry_run=True)), ForeignRecordError)


def test_mail_that_suffers_from_a_step_has_it_taken_back_by_a_person(world: World) -> None:
    suffered(stepped_up(world), failing=20)
    outlook = world.look()
    assert outlook.is_failing
    assert decision(world) is Decision.BLOCKED
    assert "since the last step mail suffers" in reasons(world)
    assert outlook.watch is not None
    assert outlook.watch.record == NONE.decode()
    assert outlook.as_json()["watch"]["outcome"] == "regression"
    assert world.advance().change is None
    assert world.octets == QUARANTINE
    world.rollback()
    assert world.octets == NONE
    assert not world.look().is_failing


def test_mail_that_suffers_from_a_step_has_it_taken_back_at_once_where_that_is_wanted(world: World) -> None:
    suffered(stepped_up(world), failing=20).auto_rollback = True
    keys.hold(world.store, keys.Hold(domain=DOMAIN, what="policy", reason="", who="kim", at=world.now))
    assert world.advance().change is None, "a person's word holds for this too"
    keys.resume(world.store, DOMAIN, "policy", who="kim", now=world.now)
    assert world.advance(dry_run=True).change is not None
    assert world.octets == QUARANTINE
    stepped = world.advance()
    assert stepped.change is not None
    assert stepped.change.kind is Kind.ROLLBACK
    assert world.octets == NONE
    assert world.advance().change is None
    assert "mail suffers" in audit.history(world.store, DOMAIN)[-2].event.detail


def test_mail_that_is_well_leaves_a_step_alone(world: World) -> None:
    suffered(stepped_up(world), failing=1).auto_rollback = True
    assert not world.look().is_failing
    assert world.advance().change is None
    assert world.octets == QUARANTINE


def test_another_run_at_work_on_the_domain_is_not_disturbed(world: World) -> None:
    world.sign()
    with world.store.exclusive(DOMAIN):
        error = only(world.advance())
        assert (type(error), "another run is at work" in str(error)) == (Refused, True)
        assert isinstance(only(world.rollback()), Refused)
        with pytest.raises(Refused):
            world.sign("Another")
        with pytest.raises(Refused):
            world.resume()
    assert world.octets == NONE
    world.advance()
    assert world.octets == QUARANTINE


def test_a_rotation_and_a_step_keep_out_of_each_others_way(world: World) -> None:
    rotation = RotationWorld(world.store, (rotation_plan(),), now=world.now)
    with world.store.exclusive(DOMAIN):
        (problem,) = rotation.tick()[DOMAIN].problems
        assert isinstance(problem, Refused)
    rotation.hours(2)
    world.sign()
    world.dns.servers[NAME] = {NS2: (NONE,)}
    assert world.advance().late
    ticked = rotation.hours(6)[DOMAIN]
    assert [reason.guard for reason in ticked.reasons] == ["policy"]
    assert "a change of the DMARC policy is under way" in ticked.reasons[0].text
    world.dns.servers.clear()
    world.advance()
    (reason,) = rotation.tick()[DOMAIN].reasons
    assert reason.guard == "policy"
    assert reason.not_before is not None


def test_a_rotation_in_flight_blocks_a_step(world: World) -> None:
    rotation = RotationWorld(world.store, (rotation_plan(),), now=world.now, is_proved=False)
    rotation.hours(6)
    world.sign()
    assert decision(world) is Decision.BLOCKED
    assert "a DKIM rotation is in flight" in reasons(world)
    assert world.advance().change is None
    rotation.is_proved = True
    rotation.hours(2)
    assert decision(world) is Decision.READY


def test_since_when_the_policy_stands_survives_a_change_of_other_tags(world: World) -> None:
    world.publish(NONE.replace(b"dmarc@", b"other@"))
    outlook = world.look()
    assert outlook.evidence is not None
    assert outlook.evidence.context.since == START
    world.publish(NONE.replace(b"p=none", b"p=none; sp=none"))
    outlook = world.look()
    assert outlook.evidence is not None
    assert outlook.evidence.context.since == world.now
    assert decision(world) is Decision.WAIT


def test_two_programs_cannot_make_the_same_step(world: World) -> None:
    world.sign()
    world.advance()
    (change,) = changes(world)
    with pytest.raises(StoreError, match="another program"):
        policies.acknowledge(world.store, change, world.now)


def test_the_days_around_a_step_are_left_out(world: World) -> None:
    stepped_up(world)
    world.now += WEEK
    outlook = world.look()
    assert outlook.evidence is not None
    assert (world.now - WEEK).date() in outlook.evidence.window.left_out


def test_reports_that_cannot_come_close_a_gate(world: World) -> None:
    world.publish(NONE.replace(b"@example.com", b"@reports.example.net"))
    world.look()
    world.sign()
    assert "no address of rua can receive reports" in reasons(world)
    name = f"{DOMAIN}._report._dmarc.reports.example.net"
    world.dns.records[name] = TxtSet(name, (b"v=DMARC1",), 60)
    assert "destination" not in reasons(world)


class Turning(MemoryResolver):
    """A resolver in whose world something happens right before it is asked for the record a second time."""

    happens: Callable[[], object] = staticmethod(lambda: None)
    asked = 0

    def authoritative(self, name: str) -> dict[str, tuple[bytes, ...]]:
        self.asked += 1
        if self.asked == 2:
            self.happens()
        return super().authoritative(name)


def turning(world: World, happens: Callable[[], object]) -> World:
    resolver = Turning(world.dns)
    resolver.happens = happens
    world.resolver = resolver
    return world


def test_what_changes_until_the_lock_is_held_is_seen(world: World) -> None:
    world.sign()
    error = only(turning(world, lambda: world.publish(OTHER)).advance())
    assert isinstance(error, ForeignRecordError)
    assert repr(OTHER.decode()) in str(error)
    assert repr(NONE.decode()) in str(error)
    assert world.octets == OTHER
    assert not changes(world)


def test_who_writes_after_a_step_and_before_the_lock_is_held_is_not_overwritten(world: World) -> None:
    suffered(stepped_up(world), failing=20).auto_rollback = True
    error = only(turning(world, lambda: world.publish(OTHER)).advance())
    assert isinstance(error, ForeignRecordError)
    assert world.octets == OTHER


def test_a_hold_that_comes_before_the_lock_is_held_holds(world: World) -> None:
    world.sign()
    wanted = keys.Hold(domain=DOMAIN, what="policy", reason="", who="kim", at=world.now)
    stepped = turning(world, lambda: keys.hold(world.store, wanted)).advance()
    assert (stepped.change, stepped.problems) == (None, ())
    assert world.octets == NONE


def test_whether_reports_can_come_is_open_when_dns_does_not_say(world: World) -> None:
    class Mute(MemoryResolver):
        def txt(self, name: str) -> tuple[bytes, ...] | None:
            if "_report" in name:
                raise DnsError(f"nobody answers for {name}", transient=True)
            return super().txt(name)

    world.publish(NONE.replace(b"@example.com", b"@reports.example.net"))
    world.resolver = Mute(world.dns)
    outlook = world.look()
    assert not outlook.problems
    assert outlook.published.is_rua_authorised is None
    assert "not established whether reports can come" in reasons(world)


def test_nothing_has_a_price_where_nothing_is_known(world: World) -> None:
    world.domains = ("example.net",)
    world.dns.servers["_dmarc.example.net"] = {NS1: DnsError("silent", transient=True)}
    outlook = world.look()
    assert outlook.price is None
    assert (outlook.as_json()["current"], outlook.as_json()["reasons"]) == (None, ["silent"])
