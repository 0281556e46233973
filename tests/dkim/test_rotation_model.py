"""
Rotations in any order of events: ticks, effects, crashes before and after each of them, orders, slow DNS, strays.

What must hold at every moment, whatever happens, is said by the invariants of the machine, and what a tick may do by
the oracle; at the end of each run the world is left alone, and has to come to rest.
"""

from collections.abc import Iterable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dmarcops.dkim.lifecycle import (
    UPCOMING,
    Effect,
    Facts,
    Key,
    Orders,
    Plan,
    Retirement,
    Stage,
    Step,
    SwitchSigner,
    Timing,
)
from dmarcops.dkim.record import Algorithm, judge
from dmarcops.errors import Refused
from rotation_oracle import Oracle, Tick
from rotation_world import DAY, HOUR, PLAN, SERVERS, World

QUEUE, NOW = 5 * DAY, timedelta()
HOURS = st.sampled_from((0.01, 1, 13, 30))
PLANS = (
    replace(PLAN, algorithms=(Algorithm.ED25519,), timing=Timing()),
    # No time is waited for but that of mail and of resolvers, so that only what is known keeps a key.
    replace(
        PLAN,
        algorithms=(Algorithm.ED25519,),
        timing=Timing(propagation=NOW, jitter=NOW, retire_after=NOW, revoked_for=NOW, heed_reports=False),
    ),
    replace(PLAN, algorithms=(Algorithm.ED25519,), timing=Timing(rotate_every=4 * DAY), standby=True),
    Plan(
        domain="example.com",
        signers=("mta1",),
        aliases=("example.net",),
        algorithms=(Algorithm.ED25519, Algorithm.RSA),
        retire=Retirement.DELETE,
        timing=Timing(rotate_every=10 * DAY, revoked_for=3 * DAY),
    ),
)
GONE = (Stage.RETIRED, Stage.DESTROYED)
SIGNED = frozenset((Stage.ACTIVE, Stage.VERIFIED, Stage.RETIRING))
VERDICTS = ("waiting", "inconclusive", "fail")
OBSTACLES = (
    "policy step",
    "policy pending",
    "hold",
    "server behind",
    "resolver behind",
    "dumb server",
    "dumb signer",
    "dumb servers",
    "stray, dumb server",
    "stray, waiting",
    "stray, dumb signer",
    "waiting",
    "inconclusive",
    "fail",
    "reports",
    "lost",
    "flicker",
    "rollback",
    "rollback, lost",
    "not kept",
    "rollback, not kept",
    "refused",
)
"""What is not well at a time, each of them a thing that some guard is there for."""


@dataclass
class Watched(World):
    """A world whose every tick the oracle looks at; signers and servers of it may not answer."""

    oracle: Oracle = field(default_factory=Oracle)
    dumb: str | None = None
    """A signer that cannot be asked, or a server that does not answer, or `all` servers."""
    backups: list[tuple[Key, ...]] = field(default_factory=list)
    """The keys as they were saved before."""

    def facts(self) -> Facts:
        facts = super().facts()
        said = {
            name: {server: None if server == self.dumb else texts for server, texts in answers.items()}
            for name, answers in facts.authoritative.items()
            if self.dumb != "all"
        }
        facts = replace(
            facts, authoritative=said, signing=tuple(each for each in facts.signing if each.signer != self.dumb)
        )
        # More than would be asked for: nothing may rest on it that something was not asked.
        names = [name for key in self.keys if key.stage is Stage.PUBLISHED for name in self.plan.names(key.selector)]
        return replace(facts, recursive={name: {"192.0.2.53": self.texts(self.resolver, name)} for name in names})

    def tick(self, orders: Orders | None = None, facts: Facts | None = None) -> Step:
        facts, before = facts or self.facts(), {key.selector: key for key in self.keys}
        self.backups = [*self.backups[-5:], self.keys]
        result = super().tick(orders, facts)
        after = {key.selector: key for key in self.keys}
        self.oracle.check(Tick(before, after, facts, self.plan, self.now, orders or Orders()))
        return result

    def pending(self) -> list[Effect]:
        """Give what can be done: a signer is never switched to what is not on every server at that moment."""
        return [
            effect
            for effect in super().pending()
            if not isinstance(effect, SwitchSigner) or self.is_everywhere(self.key(effect.selector))
        ]

    def is_everywhere(self, key: Key) -> bool:
        """Whether every server has the record of a key."""
        return all(zone.get(key.name) == key.record for zone in self.servers.values())

    def run(self, effects: Iterable[Effect] | None = None) -> None:
        for effect in list(self.pending() if effects is None else effects):
            super().run([effect])
            if isinstance(effect, SwitchSigner) and not self.key(effect.selector).pending:
                self.oracle.forget([key for key in self.keys if key.replaced_by == effect.selector])


class Rotations(RuleBasedStateMachine):
    """All that can happen to the keys of a domain."""

    def __init__(self) -> None:
        super().__init__()
        self.world = Watched()
        self.mails: list[tuple[str, datetime]] = []
        """Selector and time of each mail that may still arrive."""
        self.is_slow = False

    @initialize(plan=st.sampled_from(PLANS), rotations=st.integers(0, 2), is_slow=st.booleans())
    def begin(self, plan: Plan, rotations: int, is_slow: bool) -> None:  # noqa: FBT001 - hypothesis calls it
        """Begin with nothing, a verified key, or right after a rotation; or with a switch that hangs for two days."""
        world = self.world
        world.plan = plan
        self.is_slow = is_slow
        for rotation in range(rotations):
            if rotation:
                world.turn(Orders(start=True))
            while not world.keys or not any(
                key.stage is Stage.VERIFIED and key.turn == rotation + 1 for key in world.keys
            ):
                world.now += HOUR
                world.turn()
                self.receive_mail("pass")
                self.sign()
        if is_slow and rotations:
            world.turn(Orders(start=True))
            while not any(isinstance(effect, SwitchSigner) for effect in world.pending()):
                world.run()
                world.settle()
                world.now += HOUR
                world.tick()
            self.pass_time(48)

    # --- the world ---

    def sign(self) -> None:
        """Have each signer sign a mail with what it is set to now."""
        world = self.world
        self.mails = [mail for mail in self.mails if mail[1] + QUEUE >= world.now]
        for selector in set(world.signers.values()):
            if world.key(selector).stage is Stage.RETIRING:
                world.last_signed[selector] = world.now
            self.mails.append((selector, world.now))

    @rule(hours=st.sampled_from((0.01, 1, 6, 24, 48, 100, 200, 24 * 35)))
    def pass_time(self, hours: float) -> None:
        self.sign()
        self.world.now += timedelta(hours=hours)
        self.sign()

    @rule(ticks=st.integers(1, 8), hours=HOURS, is_ordered=st.booleans())
    def go_well(self, ticks: int, hours: float, is_ordered: bool) -> None:  # noqa: FBT001 - hypothesis calls it
        """Have all be well for a while."""
        self.live(ticks, hours, "start" if is_ordered else "")

    @rule(well=st.integers(0, 5), ticks=st.integers(1, 6), hours=HOURS, obstacle=st.sampled_from(OBSTACLES))
    def go_wrong(self, well: int, ticks: int, hours: float, obstacle: str) -> None:
        """Have all be well for a while, and then all but one thing."""
        self.live(well, hours, "")
        self.live(ticks, hours, obstacle)

    @rule(well=st.integers(0, 5), ticks=st.integers(1, 6), hours=HOURS, obstacle=st.sampled_from(OBSTACLES))
    def rotate_wrong(self, well: int, ticks: int, hours: float, obstacle: str) -> None:
        """Have the same while a rotation was ordered."""
        self.live(well, hours, "start")
        self.live(ticks, hours, f"start, {obstacle}")

    def live(self, ticks: int, hours: float, obstacles: str) -> None:
        """Tick and let time pass, with something in the way."""
        world = self.world
        for number in range(ticks):
            self._hinder(obstacles, number)
            world.run()
            orders = Orders(start="start" in obstacles, rollback="rollback" in obstacles and not number)
            with suppress(Refused) if orders.rollback else nullcontext():
                world.tick(orders)
            world.run()
            for server in sorted(world.servers)["server behind" in obstacles :]:
                self.reach_a_server(sorted(world.servers).index(server))
            if "resolver behind" not in obstacles:
                self.reach_the_resolver()
            self.receive_mail(next((verdict for verdict in VERDICTS if verdict in obstacles), "pass"))
            self.pass_time(hours)
        world.holds, world.dumb, world.policy_pending, world.is_kept, world.is_refused = (), None, False, True, False

    def _hinder(self, obstacles: str, number: int) -> None:
        world = self.world
        if "policy step" in obstacles:
            world.policy_step = world.now
        if "policy pending" in obstacles:
            world.policy_pending = True
        world.is_kept, world.is_refused = "not kept" not in obstacles, "refused" in obstacles
        if "hold" in obstacles:
            world.holds = ("a person",)
        if "stray" in obstacles and world.signers:
            del world.signers[min(world.signers)]
        if "reports" in obstacles:
            self.report()
        if "dumb" in obstacles:
            world.dumb = {"dumb signer": world.plan.signers[-1], "dumb server": SERVERS[-1]}.get(obstacles[-11:], "all")
        if "lost" in obstacles or ("flicker" in obstacles and number % 2 == 0):
            for key in world.keys:
                if key.published and key.selector not in self.signing():
                    world.servers[min(world.servers)].pop(key.name, None)

    @rule(dumb=st.sampled_from((None, None, "mta1", "mta2", *SERVERS, "all")))
    def answer(self, dumb: str | None) -> None:
        """Have a signer or a server not answer any more, or all again."""
        self.world.dumb = dumb

    @precondition(lambda self: any(key.published for key in self.world.keys))
    @rule(data=st.data(), number=st.integers(0, 1))
    def lose(self, data: st.DataObject, number: int) -> None:
        """Have a server fall back behind the publication of a key that nothing signs with."""
        world = self.world
        others = [key for key in world.keys if key.published and key.selector not in self.signing()]
        if others:
            world.servers[sorted(world.servers)[number]].pop(data.draw(st.sampled_from(others)).name, None)

    def signing(self) -> set[str]:
        """Give what any signer signs with."""
        return set(self.world.signers.values())

    @rule(number=st.integers(0, 1))
    def reach_a_server(self, number: int) -> None:
        server = sorted(self.world.servers)[number]
        self.world.servers[server] = dict(self.world.zone)

    @rule()
    def reach_the_resolver(self) -> None:
        self.world.resolver = dict(self.world.zone)

    @rule(verdict=st.sampled_from(("pass", "pass", "pass", "inconclusive", "fail")))
    def receive_mail(self, verdict: str) -> None:
        for key in self.world.keys:
            if key.stage is Stage.ACTIVE and not key.pending:
                self.world.evidence[key.selector] = verdict

    @rule()
    def report(self) -> None:
        """Receive the aggregate reports of yesterday."""
        self.world.reported_until = self.world.now - DAY
        for selector, signed in self.mails:
            if signed <= self.world.now - DAY:
                self.world.last_reported[selector] = self.world.now - DAY

    @precondition(lambda self: self.world.signers)
    @rule(data=st.data())
    def stray(self, data: st.DataObject) -> None:
        """Have a signer come back with a former configuration, or with none."""
        world = self.world
        place = data.draw(st.sampled_from(sorted(world.signers)))
        former = [
            key.selector
            for key in world.keys
            if key.stage is Stage.RETIRING and key.algorithm is place[2] and world.is_everywhere(key)
        ]
        selector = data.draw(st.sampled_from([None, *former]))
        if selector is None:
            del world.signers[place]
        else:
            world.signers[place] = selector
        self.sign()

    @rule()
    def sign_in_a_held_session(self) -> None:
        """Have a session that was open before the switch send one more mail, by the old key; it is seen."""
        for key in self.world.keys:
            if key.stage is Stage.RETIRING:
                self.world.last_signed[key.selector] = self.world.now
                self.mails.append((key.selector, self.world.now))

    # --- the program ---

    @rule()
    def tick(self) -> None:
        self.world.tick()

    @rule()
    def do_all(self) -> None:
        self.world.run()

    @precondition(lambda self: self.world.pending())
    @rule(data=st.data(), survives=st.booleans())
    def do_one(self, data: st.DataObject, survives: bool) -> None:  # noqa: FBT001 - hypothesis calls it
        """Run one effect; killed before it is acknowledged or not."""
        effect = data.draw(st.sampled_from(self.world.pending()))
        if survives:
            self.world.run([effect])
        else:
            self.world.act(effect)

    @rule(hours=st.integers(1, 1000))
    def jump_back(self, hours: int) -> None:
        """Have a clock that jumped back: nothing may move then."""
        world, before = self.world, self.world.keys
        now, world.now = world.now, world.now - timedelta(hours=hours)
        with pytest.raises(Refused, match="clock"):
            world.tick(facts=replace(world.facts(), last_run=now))
        world.now = now
        assert world.keys == before

    @precondition(lambda self: self.world.backups)
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        """Have a store that was restored from a backup: where it is behind the world, nothing may move."""
        world = self.world
        keys = data.draw(st.sampled_from(world.backups))
        other = World(
            **{each.name: getattr(world, each.name) for each in fields(World)} | {"keys": keys, "asked": set()}
        )
        known = {key.selector: key for key in keys}
        unknown = [x for x in world.signers.values() if x not in known or known[x].stage in UPCOMING]
        revoked = [
            key
            for key in keys
            if key.stage in SIGNED | {Stage.PUBLISHED} and not key.is_leaked and not key.pending
            for zone in world.servers.values()
            if zone.get(key.name, "").endswith("p=")
        ]
        is_behind = bool(unknown or revoked)
        with pytest.raises(Refused, match="the store") if is_behind else nullcontext():
            other.look()

    # --- people ---

    @rule()
    def order_a_start(self) -> None:
        self.world.tick(Orders(start=True))

    @precondition(lambda self: any(key.is_signing and not key.pending for key in self.world.keys))
    @rule(survives=st.booleans(), reached=st.integers(0, 2))
    def replace_a_leaked_key(self, survives: bool, reached: int) -> None:  # noqa: FBT001 - hypothesis calls it
        """Have the key that signs leak, and its successor be made and published, on some servers only."""
        world = self.world
        leaked = next(key for key in world.keys if key.is_signing and not key.pending)
        world.tick(Orders(emergency=leaked.selector))
        for _ in range(2):
            world.run()
            world.tick()
        if survives:
            world.run()
        for server in sorted(world.servers)[:reached]:
            world.servers[server] = dict(world.zone)

    @rule()
    def order_a_rollback(self) -> None:
        before = self.world.keys
        try:
            self.world.tick(Orders(rollback=True))
        except Refused:
            assert self.world.keys == before

    @precondition(lambda self: self.world.keys)
    @rule(data=st.data())
    def order_an_emergency(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(self.world.keys))
        try:
            self.world.tick(Orders(emergency=key.selector))
        except Refused:
            assert key.stage in GONE

    @rule(holds=st.sampled_from(((), (), ("a person",))))
    def hold(self, holds: tuple[str, ...]) -> None:
        self.world.holds = holds

    @rule(is_pending=st.booleans())
    def step_the_policy(self, is_pending: bool) -> None:  # noqa: FBT001 - hypothesis calls it
        """Have a change of the policy begin, or end."""
        self.world.policy_pending = is_pending
        if not is_pending:
            self.world.policy_step = self.world.now

    # --- what must hold ---

    @invariant()
    def what_signs_is_published_and_proved(self) -> None:
        world = self.world
        for selector in world.signers.values():
            key = world.key(selector)
            if not key.is_leaked:
                assert world.zone[key.name] == key.record
                assert all(zone[key.name] == key.record for zone in world.servers.values()), "not everywhere"

    @invariant()
    def mail_under_way_can_be_verified(self) -> None:
        world = self.world
        for selector, signed in self.mails:
            key = world.key(selector)
            if not key.is_leaked and signed + QUEUE >= world.now:
                assert world.zone[key.name] == key.record

    @invariant()
    def one_key_of_each_algorithm_signs(self) -> None:
        for algorithm in self.world.plan.algorithms:
            assert sum(key.is_signing for key in self.world.keys if key.algorithm is algorithm) <= 1
            assert sum(key.stage in UPCOMING for key in self.world.keys if key.algorithm is algorithm) <= 2

    @invariant()
    def what_is_published_is_kept(self) -> None:
        for key in self.world.keys:
            text = self.world.zone.get(key.name)
            if text is not None and judge((text.encode(),)).is_ours:
                assert key.selector in self.world.kept

    @invariant()
    def nothing_is_asked_before_it_is_published(self) -> None:
        self.world.facts()
        assert not self.world.asked

    @invariant()
    def selectors_are_never_used_twice(self) -> None:
        assert len(self.world.used) == len(set(self.world.used)) == len(self.world.keys)

    def teardown(self) -> None:
        """Leave the world alone: all comes to rest, with one key that signs and is verified."""
        world = self.world
        world.holds, world.policy_step, world.policy_pending, world.dumb = (), None, False, None
        world.evidence.clear()
        world.plan = replace(
            world.plan, timing=replace(world.plan.timing, rotate_every=1000 * DAY, heed_reports=False), standby=False
        )
        end = world.now + 40 * DAY
        while world.now < end:
            world.turn()
            for key in world.keys:
                if key.stage is Stage.ACTIVE and not key.pending:
                    world.prove(key.selector)
            self.sign()
            if not self.is_slow and world.now < end - 36 * DAY:
                self.sign_in_a_held_session()
            self.check_all()
            world.now += 6 * HOUR
        for algorithm in world.plan.algorithms:
            line = [key for key in world.keys if key.algorithm is algorithm]
            (signing,) = (key for key in line if key.is_signing)
            assert signing.stage is Stage.VERIFIED
            assert not signing.is_leaked
            assert {key.stage for key in line if key is not signing} <= {*UPCOMING, *GONE}
            assert set(world.signers.values()) >= {signing.selector}

    def check_all(self) -> None:
        self.what_signs_is_published_and_proved()
        self.mail_under_way_can_be_verified()
        self.one_key_of_each_algorithm_signs()
        self.what_is_published_is_kept()


TestRotations = Rotations.TestCase
TestRotations.settings = settings(
    max_examples=40,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    # A run that fails is long; made shorter, it takes minutes: remove this line to have that done.
    phases=[Phase.reuse, Phase.generate],
)
