"""
What may happen in a tick of a rotation, said once more and otherwise than `rotation` says it: by what is so outside.

A tick is looked at from outside: the keys before and after it, and the facts that it was given. Each move that it made
must be one of those that there are, and have what it needs; some must not be put off. Beside the facts only a short
memory is kept, of since when a record is everywhere and since when a key that was replaced is relieved.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from dmarcops.dkim.lifecycle import UPCOMING, Facts, Key, Orders, Plan, Stage, Urgency
from dmarcops.dkim.record import Algorithm

INTERRUPTING = frozenset(
    (
        (Stage.PREPARED, Stage.RETIRED),
        (Stage.PUBLISHED, Stage.RETIRED),
        (Stage.ACTIVE, Stage.RETIRING),
    )
)
"""Moves that do not wait for what is pending."""
UNHELD = INTERRUPTING | {(Stage.RETIRING, Stage.ACTIVE), (Stage.VERIFIED, Stage.RETIRING)}
"""Moves that a hold does not stop."""


@dataclass
class Tick:
    """One tick: the keys before and after, and all that it was given."""

    before: Mapping[str, Key]
    after: Mapping[str, Key]
    facts: Facts
    plan: Plan
    now: datetime
    orders: Orders

    def line(self, key: Key, keys: Mapping[str, Key]) -> list[Key]:
        """Give the other keys of a key's algorithm."""
        return [each for each in keys.values() if each.algorithm is key.algorithm and each.selector != key.selector]

    def signing(self, algorithm: Algorithm, keys: Mapping[str, Key]) -> Key | None:
        """Give the key that signs."""
        found = [key for key in keys.values() if key.algorithm is algorithm and key.is_signing]
        return max(found, key=lambda key: key.turn, default=None)

    def is_leaked(self, key: Key | None) -> bool:
        """Whether a key has leaked, by now."""
        return key is not None and (key.is_leaked or self.orders.emergency == key.selector)

    def is_everywhere(self, key: Key) -> bool:
        """Whether every authoritative server has the record and nothing else, at all names."""
        return self._agree(key, self.facts.authoritative)

    def is_resolved(self, key: Key) -> bool:
        """Whether the resolvers have it."""
        return self._agree(key, self.facts.recursive)

    def _agree(self, key: Key, said: Mapping[str, Mapping[str, tuple[bytes, ...] | None]]) -> bool:
        names = self.plan.names(key.selector)
        return all(said.get(name) and set(said[name].values()) == {(key.record.encode(),)} for name in names)

    def is_contradicted(self, key: Key) -> bool:
        """Whether a server that answered has something else."""
        answers = [self.facts.authoritative.get(name, {}) for name in self.plan.names(key.selector)]
        said = [texts for each in answers for texts in each.values() if texts is not None]
        return any(texts != (key.record.encode(),) for texts in said)

    def named(self, key: Key) -> list[str | None]:
        """Give what each place names for the key's algorithm; `?` for a signer that could not be asked."""
        found = {
            (each.signer, each.domain): each.selector for each in self.facts.signing if each.algorithm is key.algorithm
        }
        return [found.get(place, "?") for place in self.plan.places]

    def is_policy_near(self) -> bool:
        """Whether the policy is being changed, or was lately."""
        step = self.facts.policy_step
        return self.facts.policy_pending or (step is not None and self.now < step + self.plan.timing.after_policy_step)


@dataclass
class Oracle:
    """The memory of all ticks of a domain."""

    everywhere: dict[str, datetime] = field(default_factory=dict)
    """Selector -> since when no server was seen without the record."""
    relieved: dict[str, datetime] = field(default_factory=dict)
    """Selector of a key that is replaced -> since when one that came after it was seen verified."""

    def forget(self, keys: Sequence[Key]) -> None:
        """Start anew for keys whose switch was acknowledged right now."""
        for key in keys:
            self.relieved.pop(key.selector, None)

    def check(self, tick: Tick) -> None:
        """See that a tick did nothing that it must not, and all that it must."""
        self._remember(tick)
        for selector, key in tick.after.items():
            former = tick.before.get(selector)
            source = former.stage if former else None
            if former is None:
                _check_start(key, tick)
            elif source is not key.stage:
                move = (former.stage, key.stage)
                assert move in _CHECKS, f"{selector}: {source} -> {key.stage}"
                assert not former.pending or move in INTERRUPTING, f"{selector} moves although {former.pending}"
                _CHECKS[move](self, former, key, tick)
            elif former.pending != key.pending:
                _check_stray(self, former, key, tick)
            _check_hold(former, key, tick)
        self._remember_after(tick)
        for problem in self._put_off(tick):
            raise AssertionError(problem)

    def _remember(self, tick: Tick) -> None:
        for selector, key in tick.before.items():
            if key.stage is Stage.PUBLISHED and not key.pending:
                if tick.is_everywhere(key):
                    self.everywhere.setdefault(selector, tick.now)
                elif tick.is_contradicted(key):
                    self.everywhere.pop(selector, None)

    def _remember_after(self, tick: Tick) -> None:
        for selector, key in tick.after.items():
            if key.stage is not Stage.RETIRING:
                self.relieved.pop(selector, None)
            elif any(each.stage is Stage.VERIFIED for each in tick.line(key, tick.after)):
                self.relieved.setdefault(selector, tick.now)

    def _put_off(self, tick: Tick) -> Iterator[str]:
        """Say what should have happened: in an emergency nothing is put off."""
        for selector, key in tick.after.items():
            former = tick.before.get(selector)
            if former is None or former.stage is not key.stage or key.pending:
                continue
            signing = tick.signing(key.algorithm, tick.after)
            if tick.is_leaked(key) and key.stage in UPCOMING:
                yield f"{selector} has leaked, and is kept"
            if tick.is_leaked(key) and key.stage is Stage.RETIRING and _may_go(key, signing, tick):
                yield f"{selector} has leaked, is replaced and no signer names it, and is kept"
            is_emergency = tick.is_leaked(signing)
            recalled = any(each.is_recalled for each in tick.line(key, tick.before))
            if is_emergency and key.stage is Stage.PUBLISHED and tick.is_everywhere(key) and not recalled:
                if selector in tick.facts.unusable:
                    continue
                yield f"{selector} is everywhere, and not switched to in an emergency"


def _may_go(key: Key, signing: Key | None, tick: Tick) -> bool:
    if signing is None or signing.pending or tick.is_leaked(signing) or key.is_recalled:
        return False
    if tick.facts.evidence.get(signing.selector) == "fail" or not tick.is_everywhere(signing):
        return False
    return not {key.selector, "?"} & set(tick.named(key))


def _check_hold(former: Key | None, key: Key, tick: Tick) -> None:
    is_same = former is not None and (former.stage, former.pending) == (key.stage, key.pending)
    if is_same or not tick.facts.holds or (former is not None and (former.stage, key.stage) in UNHELD):
        return
    signers = (tick.signing(key.algorithm, tick.before), tick.signing(key.algorithm, tick.after))
    assert tick.is_leaked(key) or any(map(tick.is_leaked, signers)), f"{key.selector} moves although it is held"


def _check_start(key: Key, tick: Tick) -> None:
    line = tick.line(key, tick.after)
    assert key.stage is Stage.PREPARED
    assert not [each for each in line if each.stage in UPCOMING and not tick.is_leaked(each)], "another one is next"
    signing = tick.signing(key.algorithm, tick.after)
    if tick.is_leaked(signing):
        return
    is_reserve = signing is not None and tick.plan.standby and not tick.orders.start
    assert is_reserve or not tick.is_policy_near()
    if signing is None:
        return
    assert signing.stage is Stage.VERIFIED
    due = (signing.activated or signing.since) + tick.plan.timing.rotate_every
    assert is_reserve or tick.orders.start or tick.now >= due


def _check_publication(_oracle: Oracle, former: Key, key: Key, _tick: Tick) -> None:
    assert former.reference, "its private half is not kept"
    assert [type(effect).__name__ for effect in key.pending] == ["PublishTxt"]


def _check_discard(_oracle: Oracle, former: Key, _key: Key, tick: Tick) -> None:
    assert tick.is_leaked(former)


def _check_switch(oracle: Oracle, former: Key, key: Key, tick: Tick) -> None:
    assert tick.is_everywhere(key)
    recalled = [each for each in tick.line(key, tick.before) if each.is_recalled and not tick.is_leaked(each)]
    assert not recalled, "another one is switched back to"
    assert {(type(effect).__name__, effect.selector) for effect in key.pending} == {("SwitchSigner", key.selector)}
    assert len(key.pending) == len(tick.plan.places)
    assert key.turn > max((each.turn for each in tick.line(key, tick.before)), default=0)
    assert key.selector not in tick.facts.unusable
    signing = tick.signing(key.algorithm, tick.before)
    if tick.is_leaked(signing):
        return
    assert key.selector not in tick.facts.refusing
    timing = tick.plan.timing
    assert tick.is_resolved(key)
    assert not tick.is_policy_near()
    assert tick.now >= oracle.everywhere[key.selector] + max(timing.propagation, tick.facts.negative_ttl)
    if signing is not None:
        assert signing.stage is Stage.VERIFIED
        due = (signing.activated or signing.since) + timing.rotate_every
        assert former.urgency is not Urgency.RESERVE or tick.orders.start or tick.now >= due


def _check_recall(_oracle: Oracle, former: Key, key: Key, tick: Tick) -> None:
    assert former.is_recalled or tick.orders.rollback
    assert tick.is_everywhere(key)
    assert not key.is_recalled
    assert key.selector not in tick.facts.unusable
    assert key.turn > max(each.turn for each in tick.line(key, tick.before))


def _check_replacement(_oracle: Oracle, _former: Key, key: Key, tick: Tick) -> None:
    signing = tick.signing(key.algorithm, tick.after)
    assert signing is not None
    assert signing.turn > key.turn
    assert key.replaced_by == signing.selector


def _check_stray(_oracle: Oracle, _former: Key, key: Key, tick: Tick) -> None:
    assert key.stage is Stage.ACTIVE
    assert tick.is_everywhere(key)
    strays = [name for name in tick.named(key) if name not in {key.selector, "?"}]
    assert len(key.pending) == len(strays) > 0


def _check_verification(_oracle: Oracle, _former: Key, key: Key, tick: Tick) -> None:
    assert tick.facts.evidence.get(key.selector) == "pass"
    assert tick.is_everywhere(key)
    assert set(tick.named(key)) == {key.selector}


def _check_retirement(oracle: Oracle, former: Key, key: Key, tick: Tick) -> None:
    signing = tick.signing(key.algorithm, tick.after)
    assert signing is not None
    assert not signing.pending
    assert not former.is_recalled or tick.is_leaked(key), "it is being switched back to"
    assert not tick.is_leaked(signing), "it is the only key that works"
    assert tick.facts.evidence.get(signing.selector) != "fail", "it is the only key that works"
    assert tick.is_everywhere(signing)
    assert not {key.selector, "?"} & set(tick.named(key)), "a signer may sign with it"
    if tick.is_leaked(key):
        return
    assert signing.stage is Stage.VERIFIED
    timing, facts = tick.plan.timing, tick.facts
    last = max(former.since, facts.last_signed.get(key.selector, former.since))
    assert tick.now >= oracle.relieved.get(key.selector, tick.now) + timing.retire_after
    assert tick.now >= last + timing.queue_lifetime + timing.queue_margin
    if timing.heed_reports and facts.reported_until is not None:
        shown = max(former.since, facts.last_reported.get(key.selector, former.since))
        assert facts.reported_until >= shown + timing.report_quiet


def _check_destruction(_oracle: Oracle, former: Key, key: Key, tick: Tick) -> None:
    assert tick.now >= former.since + tick.plan.timing.revoked_for
    assert not {key.selector, "?"} & set(tick.named(key)), "a signer may sign with it"
    kinds = [type(effect).__name__ for effect in key.pending]
    forgotten = ["ForgetKey"] * len(tick.plan.places)
    assert kinds == [*(["RemoveTxt"] if former.published else []), *forgotten, "DestroyKey"]


_CHECKS = {
    (Stage.PREPARED, Stage.PUBLISHED): _check_publication,
    (Stage.PREPARED, Stage.RETIRED): _check_discard,
    (Stage.PUBLISHED, Stage.RETIRED): _check_discard,
    (Stage.PUBLISHED, Stage.ACTIVE): _check_switch,
    (Stage.RETIRING, Stage.ACTIVE): _check_recall,
    (Stage.ACTIVE, Stage.RETIRING): _check_replacement,
    (Stage.VERIFIED, Stage.RETIRING): _check_replacement,
    (Stage.VERIFIED, Stage.ACTIVE): _check_stray,
    (Stage.ACTIVE, Stage.VERIFIED): _check_verification,
    (Stage.RETIRING, Stage.RETIRED): _check_retirement,
    (Stage.RETIRED, Stage.DESTROYED): _check_destruction,
}
