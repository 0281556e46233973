"""Rotations over fakes of all ports, and a real store: the whole life, killed anywhere, and an outside that lies."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from builders import BEGIN, DAY, dkim, evaluation, message, report
from dmarcops.dkim.key import generate_key
from dmarcops.dkim.lifecycle import DestroyKey, Orders, Retirement, Stage
from dmarcops.dkim.record import Algorithm
from dmarcops.errors import (
    AnswerError,
    DmarcopsError,
    DnsError,
    EdgeError,
    MailError,
    SignerError,
    StoreError,
    UnsafeChangeError,
)
from dmarcops.flows.effects import Done, carry_out
from dmarcops.flows.inspection import check_domain
from dmarcops.flows.rotate import remember
from dmarcops.ports import Finding, SigningKey, TxtChange, TxtSet
from dmarcops.report.model import AuthResults, Domain, Selector
from dmarcops.store import audit, keys
from dmarcops.store.engine import Store
from dmarcops.store.reports import record
from fakes import NAMESERVERS, MemoryResolver
from rotation_fakes import HOUR, QUICK, START, Boundary, Killed, MortalDns, MortalStore, World, plan

DOMAIN = "example.com"
NS1, NS2 = NAMESERVERS


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with MortalStore.open(f"sqlite:///{tmp_path}/store.db") as store:
        yield World(store, (plan(),))


def text_of(world: World, selector: str) -> bytes:
    (value,) = world.dns.records[f"{selector}._domainkey.{DOMAIN}"].values
    return value


def test_a_key_is_made_published_switched_to_and_verified(world: World) -> None:
    world.tick()
    assert list(world.stages().values()) == [Stage.PREPARED]
    world.hours(2)
    (published,) = world.stages()
    assert world.stages() == {published: Stage.PUBLISHED}
    assert world.signers["mta"].named == {}
    ticked = world.hours(4)
    assert world.stages() == {published: Stage.VERIFIED}
    assert world.signers["mta"].named == {(DOMAIN, "ed25519"): published}
    assert ticked[DOMAIN].reasons[0].not_before is not None
    assert not ticked[DOMAIN].problems


def test_the_old_key_goes_when_the_new_one_is_verified(world: World) -> None:
    world.hours(6)
    (old,) = world.stages()
    world.hours(34)
    assert world.stages()[old] is Stage.DESTROYED
    assert Counter(world.stages().values()) == {Stage.DESTROYED: 1, Stage.VERIFIED: 1}
    assert f"{old}._domainkey.{DOMAIN}" not in world.dns.records
    assert len(world.keystore.kept) == 1
    actions = [entry.event.action for entry in audit.history(world.store, DOMAIN)]
    for action in ["create", "publish", "switch", "moved", "revoke", "remove", "forget", "destroy"]:
        assert f"dkim-{action}" in actions
    revoked = next(entry.event for entry in audit.history(world.store) if entry.event.action == "dkim-revoke")
    assert revoked.before is not None
    assert revoked.after is not None
    assert revoked.after.endswith("p=")


def test_a_record_is_deleted_at_once_when_that_is_wanted(world: World) -> None:
    world.plans = (replace(plan(), retire=Retirement.DELETE),)
    world.hours(6)
    (old,) = world.stages()
    world.hours(34)
    assert world.stages()[old] is Stage.DESTROYED
    assert "dkim-revoke" not in {entry.event.action for entry in audit.history(world.store)}


SHORT = plan(DOMAIN, "mta1", "mta2", timing=replace(QUICK, rotate_every=10 * HOUR))
LIFE = 25
"""Hours that the first key lives with these timings, and a few more."""


def crossings(folder: Path) -> int:
    """Count the boundary crossings of a whole life."""
    boundary = Boundary()
    with MortalStore.open(f"sqlite:///{folder}/count.db") as store:
        MortalStore.boundary = boundary
        World(store, (SHORT,), boundary).hours(LIFE)
    return boundary.crossed


@pytest.mark.slow
def test_killed_at_every_crossing_it_comes_to_the_same_end(tmp_path: Path) -> None:
    count = crossings(tmp_path)
    assert count > 60
    for dies_at in range(1, count + 1):
        boundary = Boundary(dies_at)
        with MortalStore.open(f"sqlite:///{tmp_path}/store{dies_at}.db") as store:
            MortalStore.boundary = boundary
            world = World(store, (SHORT,), boundary)
            try:
                world.hours(LIFE)
            except Killed:
                world.hours(LIFE + 1 - (world.now - START) // HOUR)
            world.check()
            assert Counter(world.stages().values()) == {Stage.DESTROYED: 1, Stage.VERIFIED: 1}, dies_at
            assert len(world.keystore.kept) == 1
            assert len({signer.named[DOMAIN, "ed25519"] for signer in world.signers.values()}) == 1
            audit.verify(store)
    MortalStore.boundary = Boundary()


def test_killed_while_pending_it_goes_on_with_the_same_key(world: World) -> None:
    MortalStore.boundary = world.boundary
    world.boundary.dies_at = world.boundary.crossed + 3
    with pytest.raises(Killed):
        world.tick()
    assert len(world.keystore.kept) <= 1
    world.hours(8)
    assert list(world.stages().values()) == [Stage.VERIFIED]
    assert len(world.keystore.kept) == 1
    MortalStore.boundary = Boundary()


@pytest.mark.parametrize(
    "said",
    [
        (),
        (b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",),
        (b"v=DKIM1; k=ed25519; p=", b"v=spf1 -all"),
        (b"v=DKIM1; k=ed25519; p=11qYAYKx",),
        AnswerError(NS2, "servfail", question="TXT", transient=True),
        AnswerError(NS2, "loop", question="TXT", transient=False),
    ],
    ids=["behind", "other", "extra", "truncated", "servfail", "loop"],
)
def test_no_switch_when_one_server_lies_and_the_reason_names_it(
    world: World, said: tuple[bytes, ...] | AnswerError
) -> None:
    world.hours(2)
    (selector,) = world.stages()
    name = f"{selector}._domainkey.{DOMAIN}"
    world.dns.servers[name] = {NS2: said}
    ticked = world.hours(10)
    assert world.stages() == {selector: Stage.PUBLISHED}
    assert world.signers["mta"].named == {}
    assert NS2 in ticked[DOMAIN].reasons[0].text
    assert bool(ticked[DOMAIN].problems) == isinstance(said, AnswerError)
    del world.dns.servers[name]
    world.hours(6)
    assert world.stages() == {selector: Stage.VERIFIED}


def test_no_switch_when_a_resolver_has_a_stale_negative_cache(world: World) -> None:
    world.hours(2)
    (selector,) = world.stages()
    world.dns.recursives[f"{selector}._domainkey.{DOMAIN}"] = {"198.51.100.1:53": ()}
    ticked = world.hours(10)
    assert world.stages() == {selector: Stage.PUBLISHED}
    assert "198.51.100.1" in ticked[DOMAIN].reasons[0].text


def test_a_record_that_is_changed_between_the_decision_and_the_switch_stops_the_switch(world: World) -> None:
    world.hours(2)
    (selector,) = world.stages()
    world.signers["mta"].faults = [SignerError("no reload")]
    world.hours(3)
    assert world.stages() == {selector: Stage.ACTIVE}
    world.dns.servers[f"{selector}._domainkey.{DOMAIN}"] = {NS1: ()}
    ticked = world.tick()
    assert world.signers["mta"].named == {}
    assert any(NS1 in str(problem) for problem in ticked[DOMAIN].problems)


def test_another_value_at_the_new_name_stops_the_rotation(world: World) -> None:
    world.tick()
    (selector,) = world.stages()
    name = f"{selector}._domainkey.{DOMAIN}"
    world.boundary.check = lambda: None
    world.dns.records[name] = TxtSet(name, (b"v=DKIM1; p=other",), 60)
    ticked = world.tick()
    assert [problem.exit_code for problem in ticked[DOMAIN].problems] == [3]
    assert text_of(world, selector) == b"v=DKIM1; p=other"
    assert {notice.kind for notice in ticked[DOMAIN].notices} == {"foreign-record"}


def test_a_foreign_record_is_left_alone_at_the_end(world: World) -> None:
    world.hours(6)
    (old,) = world.stages()
    name = f"{old}._domainkey.{DOMAIN}"
    world.boundary.check = lambda: None
    while world.stages()[old] is not Stage.RETIRED:
        world.hours(1)
    world.dns.records[name] = TxtSet(name, (b"v=DKIM1; p=theirs",), 60)
    notices = [notice for _ in range(6) for notice in world.hours(1)[DOMAIN].notices]
    assert world.stages()[old] is Stage.DESTROYED
    assert text_of(world, old) == b"v=DKIM1; p=theirs"
    assert [(notice.kind, notice.selector) for notice in notices] == [("foreign-record", old)]


def test_a_record_that_somebody_took_away_counts_as_revoked(world: World) -> None:
    world.hours(6)
    (old,) = world.stages()
    name = f"{old}._domainkey.{DOMAIN}"
    while world.stages()[old] is not Stage.RETIRING:
        world.hours(1)
    before = world.dns.records.pop(name)
    world.dns.servers[name] = {NS1: before.values, NS2: before.values}
    while world.stages()[old] is Stage.RETIRING:
        ticked = world.hours(1)
    assert [notice.kind for notice in ticked[DOMAIN].notices] == ["foreign-record"]
    world.hours(5)
    assert world.stages()[old] is Stage.DESTROYED


def test_what_is_foreign_is_not_revoked(world: World) -> None:
    world.hours(6)
    (old,) = world.stages()
    name = f"{old}._domainkey.{DOMAIN}"
    while world.stages()[old] is not Stage.RETIRING:
        world.hours(1)
    world.boundary.check = lambda: None
    world.dns.records[name] = TxtSet(name, (b"theirs",), 60)
    while world.stages()[old] is Stage.RETIRING:
        ticked = world.hours(1)
    assert [problem.exit_code for problem in ticked[DOMAIN].problems] == [3]
    assert text_of(world, old) == b"theirs"


def test_a_signer_that_refuses_the_switch_is_no_record_of_somebody_else(world: World) -> None:
    world.hours(3)
    (selector,) = world.stages()
    refusal = UnsafeChangeError("outside-definition", "line 1 defines it", hint="move that line")
    world.signers["mta"].faults = [refusal]
    while not (ticked := world.hours(1)[DOMAIN]).problems:
        pass
    assert ticked.problems[0] is refusal
    assert [(notice.kind, notice.selector, notice.text) for notice in ticked.notices] == [
        ("stuck", selector, "outside-definition: line 1 defines it (move that line)")
    ]


def test_a_record_that_vanishes_before_the_switch_is_told_until_it_is_back(world: World) -> None:
    def told() -> list[tuple[str, str]]:
        ticked = list(world.tick().values())
        remember(world.store, ticked, world.now, is_all=True)
        world.now += HOUR / 4
        return [(each.kind, each.selector) for each in ticked[0].notices]

    world.tick()
    (selector,) = world.stages()
    name = f"{selector}._domainkey.{DOMAIN}"
    world.dns.servers[name] = {NS1: ()}
    for _ in range(3):
        assert told() == []
    world.dns.servers.clear()
    assert told() == []
    world.dns.servers[name] = {NS1: ()}
    for _ in range(3):
        assert told() == [("wrong-record", selector)]
    assert world.stages() == {selector: Stage.PUBLISHED}
    world.dns.servers.clear()
    for _ in range(2):
        assert told() == []


def test_no_signer_is_switched_when_one_would_refuse_it(world: World) -> None:
    world.plans = (plan(DOMAIN, "mta1", "mta2"),)
    world.__post_init__()
    world.hours(6)
    (old,) = world.stages()
    world.signers["mta2"].foreseen = [Finding("problem", "line 1 defines it"), Finding("hint", "move that line")]
    while not (ticked := world.hours(1)[DOMAIN]).problems:
        pass
    assert world.stages()[old] is Stage.VERIFIED
    assert {signer.named[DOMAIN, "ed25519"] for signer in world.signers.values()} == {old}
    (new,) = [selector for selector in world.stages() if selector != old]
    told = f"refusal: mta2 cannot be switched for {DOMAIN}: line 1 defines it (move that line)"
    assert [(each.kind, each.selector, each.text) for each in ticked.notices] == [("stuck", new, told)]
    assert [problem.exit_code for problem in ticked.problems] == [3]
    world.signers["mta2"].foreseen = []
    world.hours(1)
    assert world.stages()[new] is Stage.ACTIVE


def test_a_private_half_that_is_lost_before_the_switch_is_replaced_as_the_hint_says(world: World) -> None:
    world.hours(6)
    (old,) = world.stages()
    while len(world.stages()) == 1:
        world.hours(1)
    new = next(selector for selector in world.stages() if selector != old)
    while world.stages()[new] is not Stage.PUBLISHED:
        world.hours(1)
    world.boundary.check = lambda: None
    del world.keystore.kept[f"memory:{DOMAIN}/{new}"]
    while not (ticked := world.hours(1)[DOMAIN]).problems:
        pass
    assert f"`dmarcops rotate --emergency {new} {DOMAIN}` replaces it" in ticked.problems[0].hint
    assert world.stages() == {old: Stage.VERIFIED, new: Stage.PUBLISHED}
    assert [(each.kind, each.selector) for each in ticked.notices] == [("stuck", new)]
    assert next(each.guard for each in ticked.reasons if each.selector == new) == "private-key"
    (told,) = [
        finding.text
        for finding in check_domain(
            world.outside(world.plans[0]), keys.load(world.store, DOMAIN).keys, (), has_policy=False
        )
        if "restore it" in finding.text
    ]
    assert told == f"restore it from a backup, or replace it: dmarcops rotate --emergency {new} {DOMAIN}"
    world.tick(orders=Orders(emergency=new))
    world.hours(6)
    assert world.stages()[new] in {Stage.RETIRED, Stage.DESTROYED}
    assert Stage.VERIFIED in world.stages().values()


def test_mail_goes_on_signed_by_the_old_key_when_the_reload_fails(world: World) -> None:
    world.hours(6)
    (old,) = world.stages()
    world.hours(20)
    world.signers["mta"].faults = [SignerError("reload failed", transient=True)] * 3
    while len(world.stages()) == 1 or Stage.ACTIVE not in world.stages().values():
        ticked = world.hours(1)
    assert world.signers["mta"].named[DOMAIN, "ed25519"] == old
    assert [str(problem) for problem in ticked[DOMAIN].problems] == ["reload failed"]
    assert {notice.kind for notice in ticked[DOMAIN].notices} == {"failed"}
    world.hours(20)
    assert Counter(world.stages().values()) == {Stage.DESTROYED: 1, Stage.VERIFIED: 1}


def test_one_signer_that_fails_keeps_no_other_back_and_the_old_record_stays(world: World) -> None:
    world.plans = (plan(DOMAIN, "mta", "other"),)
    world.__post_init__()
    world.hours(26)
    (old,) = world.stages()
    world.signers["mta"].faults = [SignerError("reload failed")] * 100
    world.hours(20)
    new = world.signers["other"].named[DOMAIN, "ed25519"]
    assert new != old
    assert world.signers["mta"].named[DOMAIN, "ed25519"] == old
    assert world.stages() == {old: Stage.RETIRING, new: Stage.ACTIVE}


def test_a_signer_that_cannot_be_asked_stops_the_end_and_is_told(world: World) -> None:
    world.hours(5)
    world.signers["mta"].asking_faults = [SignerError("cannot be read")]
    ticked = world.tick()
    assert [str(problem) for problem in ticked[DOMAIN].problems] == ["cannot be read"]


def test_an_unproved_key_is_probed_and_the_old_one_stays(world: World) -> None:
    world.hours(6)
    (old,) = world.stages()
    world.is_proved = False
    world.problems = (MailError("seed: no answer"),)
    ticked = world.hours(60)
    assert world.stages()[old] is Stage.RETIRING
    assert world.probes
    assert [str(problem) for problem in ticked[DOMAIN].problems] == ["seed: no answer"]
    assert Stage.ACTIVE in world.stages().values()


def test_a_change_that_is_not_on_all_servers_is_looked_after_later(world: World) -> None:
    world.tick()
    world.dns.is_pending = True
    world.tick()
    (key,) = keys.load(world.store, DOMAIN).keys
    assert key.pending
    world.dns.is_pending = False
    world.tick()
    (key,) = keys.load(world.store, DOMAIN).keys
    assert not key.pending
    assert len(world.dns.calls) == 1


def test_a_provider_that_fails_is_asked_again(world: World) -> None:
    world.tick()
    world.dns.faults = [DnsError("throttled", transient=True)]
    ticked = world.tick()
    assert [str(problem) for problem in ticked[DOMAIN].problems] == ["throttled"]
    world.hours(6)
    assert list(world.stages().values()) == [Stage.VERIFIED]


def test_a_key_store_that_fails_leaves_nothing_published(world: World) -> None:
    world.keystore.faults = [EdgeError("disk full")]
    ticked = world.tick()
    assert [str(problem) for problem in ticked[DOMAIN].problems] == ["disk full"]
    assert world.dns.records == {}
    world.hours(7)
    assert list(world.stages().values()) == [Stage.VERIFIED]


def test_a_key_file_that_is_gone_is_told_and_written_again_at_once(world: World) -> None:
    world.hours(6)
    (selector,) = world.stages()
    files = world.signers["mta"].files
    octets = files[DOMAIN, selector]
    world.boundary.check = lambda: None
    files.clear()
    foreseen = world.tick(dry_run=True)[DOMAIN]
    assert "/keys/" in str(foreseen.problems[0])
    assert not files
    ticked = world.tick()[DOMAIN]
    assert files == {(DOMAIN, selector): octets}
    assert not ticked.problems
    (told,) = ticked.notices
    assert (told.kind, told.selector, told.is_event) == ("key-file", selector, True)
    assert "written again from the key store" in told.text
    assert audit.history(world.store, DOMAIN)[-1].event.action == "dkim-file"
    assert world.stages() == {selector: Stage.VERIFIED}
    assert not world.tick()[DOMAIN].notices


def test_a_key_file_that_cannot_be_written_again_is_told_at_once(world: World) -> None:
    world.hours(6)
    (selector,) = world.stages()
    world.boundary.check = lambda: None
    world.signers["mta"].files.clear()
    world.keystore.kept.clear()
    ticked = world.tick()[DOMAIN]
    assert [problem.exit_code for problem in ticked.problems] == [1]
    assert "is gone" in str(ticked.problems[0])
    assert "not in the key store" in str(ticked.problems[0])
    assert [(each.kind, each.selector, each.is_transient) for each in ticked.notices] == [("failed", selector, False)]
    assert world.signers["mta"].files == {}


def test_a_private_key_that_is_lost_is_never_switched_to(world: World) -> None:
    world.hours(2)
    world.boundary.check = lambda: None
    world.keystore.kept.clear()
    ticked = world.hours(3)
    assert world.signers["mta"].named == {}
    assert "not in the key store" in str(ticked[DOMAIN].problems[0])


def test_a_private_key_that_is_another_one_is_never_switched_to(world: World) -> None:
    world.hours(2)
    world.boundary.check = lambda: None
    (reference,) = world.keystore.kept
    world.keystore.kept[reference] = generate_key(Algorithm.ED25519).pem()
    ticked = world.hours(3)
    assert world.signers["mta"].named == {}
    assert "is not the one" in str(ticked[DOMAIN].problems[0])


def test_a_signer_that_is_not_configured_any_more_is_told(world: World) -> None:
    world.hours(2)
    world.signers["mta"].faults = [SignerError("no reload")]
    world.hours(3)
    world.plans = (plan(DOMAIN, "new"),)
    world.signers = {"new": world.signers["mta"]}
    ticked = world.tick()
    assert any("mta is not configured" in str(problem) for problem in ticked[DOMAIN].problems)


def test_dry_run_changes_nothing_and_says_what_would_happen(world: World) -> None:
    ticked = world.tick(dry_run=True)
    assert ticked[DOMAIN].reasons[0].text == "new -> prepared"
    assert world.stages() == {}
    assert world.keystore.kept == {}


def test_dry_run_tells_a_refusal(world: World) -> None:
    world.hours(2)
    world.now -= 10 * HOUR
    ticked = world.tick(dry_run=True)
    assert [problem.exit_code for problem in ticked[DOMAIN].problems] == [3]
    assert ticked[DOMAIN].reasons == ()


def test_an_emergency_switches_at_once_and_revokes_the_leaked_key(world: World) -> None:
    world.hours(6)
    (leaked,) = world.stages()
    world.tick(order=Orders(emergency=leaked))
    world.hours(7)
    assert world.stages()[leaked] in {Stage.RETIRED, Stage.DESTROYED}
    assert Stage.VERIFIED in world.stages().values()
    assert "dkim-emergency" in {entry.event.action for entry in audit.history(world.store)}


def test_a_rollback_signs_with_the_key_before(world: World) -> None:
    world.hours(6)
    (old,) = world.stages()
    world.tick(order=Orders(start=True))
    while world.signers["mta"].named[DOMAIN, "ed25519"] == old:
        world.hours(1)
    world.tick(order=Orders(rollback=True))
    assert world.signers["mta"].named[DOMAIN, "ed25519"] == old
    assert {"dkim-now", "dkim-rollback"} <= {entry.event.action for entry in audit.history(world.store)}


def test_a_held_domain_does_not_move(world: World) -> None:
    keys.hold(world.store, keys.Hold(domain=DOMAIN, what="dkim", reason="migration", who="me", at=world.now))
    ticked = world.hours(3)
    assert world.stages() == {}
    assert "migration" in ticked[DOMAIN].reasons[0].text


def test_a_signer_with_a_key_that_nobody_knows_is_refused_and_told(world: World) -> None:
    key = generate_key(Algorithm.ED25519)
    world.boundary.check = lambda: None
    world.signers["mta"].use(SigningKey(Domain(DOMAIN), Selector("old"), "ed25519", key.pem()))
    ticked = world.tick()
    assert [problem.exit_code for problem in ticked[DOMAIN].problems] == [3]
    assert [notice.kind for notice in ticked[DOMAIN].notices] == ["stuck"]
    assert world.stages() == {}


def test_a_record_that_is_changed_behind_our_back_is_told(world: World) -> None:
    world.hours(6)
    (selector,) = world.stages()
    world.dns.servers[f"{selector}._domainkey.{DOMAIN}"] = {NS2: (b"v=DKIM1; p=other",)}
    ticked = world.tick()
    assert [(notice.kind, notice.selector) for notice in ticked[DOMAIN].notices] == [("wrong-record", selector)]


def test_a_domain_that_another_run_has_is_left_to_it_and_the_others_go_on(world: World) -> None:
    world.plans = (plan("a.example"), plan("b.example"))
    with world.store.exclusive("a.example"):
        ticked = world.tick()
    assert [problem.exit_code for problem in ticked["a.example"].problems] == [3]
    assert world.stages("a.example") == {}
    assert list(world.stages("b.example").values()) == [Stage.PREPARED]


def test_a_store_that_somebody_else_writes_stops_that_domain_only(world: World) -> None:
    world.plans = (plan("a.example"), plan("b.example"))
    world.__post_init__()
    world.tick()

    def meddle() -> None:
        known = keys.load(world.store, "a.example")
        world.boundary.check = lambda: None
        keys.save(world.store, known, known.keys, world.now)

    world.boundary.check = meddle
    ticked = world.tick()
    assert [type(problem) for problem in ticked["a.example"].problems] == [StoreError]
    assert world.stages("b.example") != {}
    world.hours(8)
    assert list(world.stages("a.example").values()) == [Stage.VERIFIED]


@pytest.mark.slow
def test_five_hundred_domains_go_together_and_one_that_fails_stops_none(world: World) -> None:
    names = [f"d{number}.example" for number in range(500)]
    world.plans = tuple(plan(name) for name in names)
    world.__post_init__()
    world.boundary.check = lambda: None
    world.tick()
    bad = world.key(Stage.PREPARED, "d7.example")
    world.dns.records[bad.name] = TxtSet(bad.name, (b"theirs",), 60)
    ticked = world.tick()
    assert len(ticked) == 500
    assert [domain for domain, each in ticked.items() if each.problems] == ["d7.example"]
    assert len(world.dns.records) == 500


def test_selectors_of_others_are_not_told_when_they_are_known(store: Store) -> None:
    world = World(store, (replace(plan(), timing=replace(plan().timing, heed_reports=True)),))
    world.hours(3)
    assert world.tick()[DOMAIN].notices == ()


def test_a_signer_that_cannot_forget_a_key_keeps_the_private_half(world: World) -> None:
    world.hours(6)
    (old,) = world.stages()
    while world.stages()[old] is not Stage.RETIRED:
        world.hours(1)
    world.signers["mta"].faults = [SignerError("read-only")] * 3
    while world.stages()[old] is not Stage.DESTROYED:
        ticked = world.hours(1)
    assert [str(problem) for problem in ticked[DOMAIN].problems] == ["read-only"]
    assert len(world.keystore.kept) == 2
    world.hours(4)
    assert len(world.keystore.kept) == 1


def test_the_whole_batch_fails_when_the_provider_does(world: World) -> None:
    class Broken(MortalDns):
        def change_all(self, changes: Sequence[TxtChange]) -> Sequence[str | DmarcopsError]:
            raise DnsError(f"no zones for {len(changes)} changes")

    world.plans = (plan("a.example"), plan("b.example"))
    world.__post_init__()
    world.tick()
    world.dns = Broken(boundary=world.boundary)
    ticked = world.tick()
    assert [str(problem) for each in ticked.values() for problem in each.problems] == ["no zones for 2 changes"] * 2
    assert world.dns.records == {}


def test_the_state_of_a_change_that_cannot_be_asked_is_a_failure(world: World) -> None:
    class Mute(MortalDns):
        def is_settled(self, token: str) -> bool:
            raise DnsError(f"no answer for {token}", transient=True)

    world.dns = Mute(boundary=world.boundary)
    world.resolver.world = world.dns
    world.hours(1)
    ticked = world.tick()
    assert [str(problem) for problem in ticked[DOMAIN].problems] == ["no answer for change 1"]


def test_a_resolver_that_does_not_answer_is_waited_for(world: World) -> None:
    class Silent(MemoryResolver):
        def recursive(self, name: str) -> dict[str, tuple[bytes, ...]]:
            raise DnsError(f"no answer for {name}", transient=True)

    world.resolver = Silent(world.dns)
    ticked = world.hours(8)
    assert list(world.stages().values()) == [Stage.PUBLISHED]
    assert "no answer" in ticked[DOMAIN].reasons[0].text
    assert len(ticked[DOMAIN].problems) == 1


def test_a_selector_of_somebody_else_is_told(world: World) -> None:
    signed = evaluation(results=AuthResults((dkim("example.com", "newsletter"),), ()))
    world.now = datetime.fromtimestamp(BEGIN + DAY, UTC) + HOUR
    record(world.store, [message(report(("192.0.2.1", 3, signed)))], world.now)
    ticked = world.tick()
    assert [(notice.kind, notice.selector) for notice in ticked[DOMAIN].notices] == [("unknown-selector", "newsletter")]
    world.foreign = frozenset({"newsletter"})
    assert world.tick()[DOMAIN].notices == ()


def test_a_key_that_was_never_kept_needs_no_deletion(world: World) -> None:
    outside = world.outside(world.plans[0])
    world.tick()
    key = world.key(Stage.PREPARED)
    assert carry_out(DestroyKey(key.selector, ""), key, outside) == Done()
    assert len(world.keystore.kept) == 1
