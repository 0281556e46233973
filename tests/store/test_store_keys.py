"""DKIM keys in the store: the same when loaded, one run a domain, selectors never twice; a trail that shows damage."""

import multiprocessing
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta, timezone
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from sqlalchemy import text

from builders import ask
from dmarcops.dkim.lifecycle import Key, PublishTxt, RevokeTxt, Stage, Urgency
from dmarcops.dkim.record import Algorithm
from dmarcops.errors import Refused, StoreError
from dmarcops.store import audit
from dmarcops.store.engine import Store
from dmarcops.store.keys import DomainKeys, Hold, domains, hold, holds, load, note_used, resume, save
from dmarcops.store.retention import prune
from dmarcops.store.tables import TABLES
from rotation_world import DAY, START, World

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["dmarcops.store.keys", "dmarcops.store.migrations"])
NOW = datetime(2026, 3, 1, 12, 0, 0, 987654, tzinfo=UTC)
DOMAIN = "example.com"
BARE = Key(
    domain=DOMAIN,
    selector="s1",
    algorithm=Algorithm.RSA,
    bits=2048,
    stage=Stage.PREPARED,
    since=START,
    created=START,
)
FULL = Key(
    domain=DOMAIN,
    selector="s0",
    algorithm=Algorithm.ED25519,
    bits=256,
    stage=Stage.RETIRING,
    since=START,
    created=START - DAY,
    pending=(RevokeTxt("s0", "s0._domainkey.example.com", 'v=DKIM1; n="x"; p=AA==', "v=DKIM1; p="),),
    record="v=DKIM1; p=AA==",
    published="v=DKIM1; p=AA==",
    reference="file:s0",
    urgency=Urgency.RESERVE,
    turn=3,
    seen=START + DAY,
    activated=START + 2 * DAY,
    relieved=START + 3 * DAY,
    last_signed=START + 4 * DAY,
    replaced_by="s1",
    is_leaked=True,
    is_recalled=True,
)


def event(action: str = "publish", domain: str = DOMAIN) -> audit.Event:
    return audit.Event(domain=domain, who="cron", action=action, detail="s1", before=None, after="v=DKIM1; p=AA==")


def test_nothing_is_known_when_the_domain_is_new(store: Store) -> None:
    assert load(store, DOMAIN) == DomainKeys(domain=DOMAIN)
    assert domains(store) == ()
    assert holds(store, DOMAIN) == ()


def test_keys_are_the_same_when_saved_and_loaded(store: Store) -> None:
    saved = save(store, load(store, DOMAIN), (BARE, FULL), NOW)
    assert load(store, DOMAIN) == saved
    assert saved.keys == (BARE, FULL)
    assert (saved.revision, sorted(saved.used), saved.last_run) == (1, ["s0", "s1"], NOW.replace(microsecond=0))
    again = save(store, saved, (FULL, replace(BARE, stage=Stage.PUBLISHED)), NOW)
    assert load(store, DOMAIN) == again
    assert again.revision == 2
    assert domains(store) == (DOMAIN,)


def test_moments_are_of_whole_seconds_in_utc_when_saved(store: Store) -> None:
    east = NOW.astimezone(timezone(timedelta(hours=2)))
    saved = save(store, load(store, DOMAIN), (replace(BARE, since=east, seen=NOW),), NOW)
    assert load(store, DOMAIN) == saved
    assert saved.keys[0].since == NOW.replace(microsecond=0)


def test_table_has_a_column_for_each_field_when_compared() -> None:
    assert {*TABLES["dkim_key"].c.keys()} == {"position", *(each.name for each in fields(Key))}
    assert not [name for name in TABLES["dkim_key"].c.keys() if "private" in name or "pem" in name]  # noqa: SIM118


def test_domains_are_apart_when_several_are_saved(store: Store) -> None:
    save(store, load(store, DOMAIN), (BARE,), NOW)
    save(store, load(store, "example.net"), (replace(BARE, domain="example.net"),), NOW)
    assert domains(store) == (DOMAIN, "example.net")
    assert [key.domain for key in load(store, "example.net").keys] == ["example.net"]


def test_save_is_refused_when_somebody_saved_meanwhile(store: Store) -> None:
    known = load(store, DOMAIN)
    save(store, known, (BARE,), NOW)
    with pytest.raises(StoreError, match="were changed by another program meanwhile"):
        save(store, known, (FULL,), NOW, events=[event()])
    assert load(store, DOMAIN).keys == (BARE,)
    assert audit.history(store) == ()


def test_save_is_refused_when_a_selector_was_used_before(store: Store) -> None:
    first = save(store, load(store, DOMAIN), (BARE,), NOW)
    gone = save(store, first, (), NOW)
    assert gone.used == {"s1"}
    with pytest.raises(Refused) as caught:
        save(store, gone, (BARE,), NOW)
    assert caught.value.guard == "selector"
    assert load(store, DOMAIN) == gone
    # Another domain's selectors are its own.
    save(store, load(store, "example.net"), (replace(BARE, domain="example.net"),), NOW)


def test_selectors_of_others_are_never_used_when_noted(store: Store) -> None:
    note_used(store, DOMAIN, ["google", "s1"], NOW)
    note_used(store, DOMAIN, ["google", "k1"], NOW)
    known = load(store, DOMAIN)
    assert (sorted(known.used), known.keys, known.revision) == (["google", "k1", "s1"], (), 0)
    with pytest.raises(Refused):
        save(store, known, (BARE,), NOW)


def test_whole_life_is_the_same_when_every_step_goes_through_the_store(store: Store) -> None:
    world, shadow = World(), World()
    known = load(store, DOMAIN)
    for each in (world, shadow):
        each.plan = replace(each.plan, signers=("mta1",))
    for _ in range(60):
        for each in (world, shadow):
            each.turn()
            each.now += timedelta(days=4)
            each.evidence = {key.selector: "pass" for key in each.keys if key.stage is Stage.ACTIVE}
        known = save(store, known, world.keys, world.now)
        world.keys = load(store, DOMAIN).keys
        assert world.keys == shadow.keys
    assert {Stage.DESTROYED, Stage.VERIFIED} <= set(world.stages().values())


def test_keys_and_trail_stay_when_the_store_is_pruned(store: Store) -> None:
    known = save(store, load(store, DOMAIN), (BARE,), NOW, events=[event()])
    prune(store, date(2030, 1, 1))
    assert load(store, DOMAIN) == known
    assert len(audit.history(store)) == 1


# --- the lock ---------------------------------------------------------------------------------------------------------


def hold_lock(url: str, name: str, pipe: Connection) -> None:
    """Hold the lock until told, or killed."""
    with Store.open(url) as store, store.exclusive(name):
        pipe.send("held")
        pipe.recv()
    pipe.send("released")
    pipe.recv()


def test_second_process_is_refused_while_the_first_holds_the_lock(store: Store, store_url: str) -> None:
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=hold_lock, args=(store_url, DOMAIN, theirs))
    process.start()
    try:
        assert ours.recv() == "held"
        with pytest.raises(Refused, match="another run is at work on") as caught, store.exclusive(DOMAIN):
            raise AssertionError
        assert caught.value.guard == "lock"
        with store.exclusive("example.net"):
            save(store, load(store, DOMAIN), (BARE,), NOW)  # the lock is no lock of the database
        ours.send("go on")
        assert ours.recv() == "released"
        with store.exclusive(DOMAIN):
            pass
    finally:
        process.kill()
        process.join()


def test_lock_is_given_up_when_the_process_is_killed(store: Store, store_url: str) -> None:
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=hold_lock, args=(store_url, DOMAIN, theirs))
    process.start()
    assert ours.recv() == "held"
    process.kill()
    process.join()
    deadline = datetime.now(UTC) + timedelta(seconds=20)
    while True:
        try:
            with store.exclusive(DOMAIN):
                return
        except Refused:
            # PostgreSQL notices only when it next looks at the connection.
            assert datetime.now(UTC) < deadline


def test_lock_is_given_up_when_the_block_fails(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.exclusive(DOMAIN):
        _ = 1 / 0
    with store.exclusive(DOMAIN), pytest.raises(Refused), store.exclusive(DOMAIN):
        raise AssertionError


def test_lock_says_why_when_it_cannot_be_made(tmp_path: Path) -> None:
    with Store.open(f"sqlite:///{tmp_path}/s.db") as store:
        (tmp_path / "s.db-locks").write_text("in the way")
        with pytest.raises(StoreError, match="no lock can be made in"), store.exclusive(DOMAIN):
            raise AssertionError


# --- holds ------------------------------------------------------------------------------------------------------------


def test_domain_is_held_until_it_is_resumed(store: Store) -> None:
    first = Hold(domain=DOMAIN, what="dkim", reason="audit", who="ann", at=NOW)
    hold(store, first)
    second = replace(first, reason="freeze", who="bob")
    hold(store, second)
    policy = replace(first, what="policy")
    hold(store, policy)
    at = NOW.replace(microsecond=0)
    assert holds(store, DOMAIN) == (replace(second, at=at), replace(policy, at=at))
    assert resume(store, DOMAIN, "dkim", who="ann", now=NOW)
    assert not resume(store, DOMAIN, "dkim", who="ann", now=NOW)
    assert [each.what for each in holds(store, DOMAIN)] == ["policy"]
    told = [(entry.event.action, entry.event.who, entry.event.detail) for entry in audit.history(store, DOMAIN)]
    assert told == [
        ("dkim-hold", "ann", "audit"),
        ("dkim-hold", "bob", "freeze"),
        ("policy-hold", "ann", "audit"),
        ("dkim-resume", "ann", ""),
    ]


# --- the audit trail --------------------------------------------------------------------------------------------------


def trail(store: Store, *events: audit.Event) -> str:
    for each in events:
        with store.write() as connection:
            audit.append(connection, [each], NOW)
    return audit.verify(store)


def test_trail_has_what_was_written_when_read(store: Store) -> None:
    assert audit.verify(store) == "0" * 64
    other = audit.Event(domain="example.net", who="j\0e", action="policy", before="v=DMARC1; p=none", after=None)
    with store.write() as connection:
        audit.append(connection, [event(), other], NOW)
    entries = audit.history(store)
    assert [(each.number, each.at) for each in entries] == [
        (1, NOW.replace(microsecond=0)),
        (2, NOW.replace(microsecond=0)),
    ]
    assert [each.event for each in entries] == [event(), replace(other, who="j\\x00e")]
    assert audit.history(store, "example.net") == entries[1:]
    assert audit.verify(store) == entries[-1].digest
    assert audit.verify(store, entries[0].digest) == entries[-1].digest


def test_trail_is_written_with_the_keys_or_not_at_all(store: Store) -> None:
    known = save(store, load(store, DOMAIN), (BARE,), NOW, events=[event("create"), event("publish")])
    assert [each.event.action for each in audit.history(store)] == ["create", "publish"]
    with pytest.raises(Refused):
        save(store, replace(known, keys=()), (BARE,), NOW, events=[event("again")])
    assert len(audit.history(store)) == 2


@pytest.mark.parametrize(
    ("damage", "number"),
    [
        ("UPDATE audit SET who = 'nobody' WHERE id = 2", 2),
        ("UPDATE audit SET dns_after = NULL WHERE id = 1", 1),
        ("UPDATE audit SET at = '2026-03-01 12:00:01+00:00' WHERE id = 3", 3),
        ("DELETE FROM audit WHERE id = 2", 2),
        ("DELETE FROM audit WHERE id = 1", 1),
        ("UPDATE audit SET id = 9 WHERE id = 3", 3),
        ("UPDATE audit SET digest = (SELECT digest FROM audit WHERE id = 1) WHERE id = 2", 2),
        ("UPDATE audit SET detail = 's2', digest = 'made up' WHERE id = 4", 4),
    ],
)
def test_trail_is_refused_when_it_was_changed(store: Store, damage: str, number: int) -> None:
    trail(store, event("a"), event("b"), event("c"), event("d"))
    with store.write() as connection:
        connection.execute(text(damage))
    with pytest.raises(StoreError, match=f"entry {number} of "):
        audit.verify(store)


def test_trail_is_refused_when_its_end_was_cut_off_and_the_digest_noted(store: Store) -> None:
    newest = trail(store, event("a"), event("b"))
    with store.write() as connection:
        connection.execute(text("DELETE FROM audit WHERE id = 2"))
    audit.verify(store)
    with pytest.raises(StoreError, match="the digest that was noted is not in it"):
        audit.verify(store, newest)


def test_published_effect_is_loaded_when_it_was_pending(store: Store) -> None:
    effect = PublishTxt("s1", "s1._domainkey.example.com", "v=DKIM1; p=AA==")
    save(store, load(store, DOMAIN), (replace(BARE, pending=(effect,)),), NOW)
    assert load(store, DOMAIN).keys[0].pending == (effect,)
    assert ask(store, "SELECT count(*) FROM dkim_selector") == [(1,)]
