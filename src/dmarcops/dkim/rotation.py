"""
The law of rotation: one table of moves, the guards that say no, `step` and `done`. Nothing else moves a key.

A tick reads all facts, asks `step` once, saves what it returns, then runs the pending effects one by one and
acknowledges each with `done`, saved again. Killed anywhere, it goes on: an effect whose acknowledgement is missing is
run once more. A key moves by at most one stage a tick, so that ticks that were missed are caught up one at a time.

Each algorithm has keys and turns of its own (RFC 8463 section 6: two algorithms are two selectors). Does no I/O; knows
no clock but `now`.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from types import MappingProxyType

from dmarcops.dkim.lifecycle import (
    UPCOMING,
    Answers,
    CreateKey,
    DestroyKey,
    Effect,
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
    Step,
    SwitchSigner,
    Urgency,
)
from dmarcops.dkim.record import Algorithm, Outcome, compare, judge, revoked_record
from dmarcops.errors import ConfigError, IllegalTransition, Refused

_PASS, _FAIL = "pass", "fail"
_NEEDED = frozenset((Stage.ACTIVE, Stage.VERIFIED, Stage.RETIRING))
_ASKED = frozenset((Stage.PUBLISHED, Stage.ACTIVE, Stage.VERIFIED, Stage.RETIRING))


@dataclass(frozen=True, slots=True)
class No:
    """Why a guard does not let a key move: its name, for a person, and until when if that is known."""

    guard: str
    text: str
    not_before: datetime | None = None
    is_wrong: bool = False
    """Whether time alone does not mend it."""


_FAILS = No("evidence", "mail signed with it fails; `dmarcops rotate --rollback` goes back", is_wrong=True)


@dataclass(frozen=True, slots=True)
class View:
    """All that guards and effects see: the keys as they are by now in this tick, and what it was called with."""

    keys: tuple[Key, ...]
    facts: Facts
    plan: Plan
    now: datetime
    orders: Orders = field(default_factory=Orders)

    def line(self, algorithm: Algorithm) -> tuple[Key, ...]:
        """Return the keys of one algorithm."""
        return tuple(key for key in self.keys if key.algorithm is algorithm)

    def signing(self, algorithm: Algorithm) -> Key | None:
        """Return the key that signs, or is about to: the one that was switched to last."""
        return max((key for key in self.line(algorithm) if key.is_signing), key=lambda key: key.turn, default=None)

    def upcoming(self, algorithm: Algorithm) -> Key | None:
        """Return the key that is next."""
        return next((key for key in self.line(algorithm) if key.stage in UPCOMING and not key.is_leaked), None)

    def is_emergency(self, algorithm: Algorithm) -> bool:
        """Whether the key that signs has leaked."""
        signing = self.signing(algorithm)
        return signing is not None and signing.is_leaked

    def named(self, key: Key) -> Iterator[tuple[str, str, str | None, bool]]:
        """Give for each place its signer, domain, what it names for the key's algorithm, and whether it was asked."""
        known = {(each.signer, each.domain, each.algorithm): each for each in self.facts.signing}
        for signer, domain in self.plan.places:
            signing = known.get((signer, domain, key.algorithm))
            yield signer, domain, signing.selector if signing else None, signing is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """
    One row of the law.

    Attributes:
        source: The stage it starts from; `None`: no key yet.
        target: The stage it leads to.
        guard: Returns None when it may happen, else why not.
        effects: What is to be done outside then.
        when: The guard, in words.
        does: The effects, in words.
        mark: What else changes in the key.
        interrupts: Whether it happens although effects are pending; they are dropped.
        is_silent: Whether its "no" is not worth a word, as another row of the same stage says more.
        is_held: Whether a hold of the domain stops it.
    """

    source: Stage | None
    target: Stage
    guard: Callable[[Key, View], No | None]
    effects: Callable[[Key, View], tuple[Effect, ...]]
    when: str
    does: str = ""
    mark: Callable[[Key, View], Key] = lambda key, _view: key
    interrupts: bool = False
    is_silent: bool = False
    is_held: bool = True


# --- guards -----------------------------------------------------------------------------------------------------------


def _may_start(key: Key, view: View) -> No | None:
    line = key.algorithm
    signing, upcoming, now = view.signing(line), view.upcoming(line), view.now
    if upcoming is not None:
        return _awaited(upcoming, signing, view)
    if view.is_emergency(line) or signing is None:
        return None if view.is_emergency(line) else _policy(view)
    if signing.stage is not Stage.VERIFIED:
        return No("verification", f"{signing.selector} is not verified yet")
    if view.plan.standby and not view.orders.start:
        return None
    due = _due(signing, view)
    if due is not None and now < due and not view.orders.start:
        return No("due", "signs; the next rotation is not due", due)
    return _policy(view)


def _may_publish(_key: Key, _view: View) -> No | None:
    return None


def _is_discarded(key: Key, _view: View) -> No | None:
    return None if key.is_leaked else No("leak", "it has not leaked")


def _may_switch(key: Key, view: View) -> No | None:
    signing = view.signing(key.algorithm)
    recalled = next((each for each in view.line(key.algorithm) if each.is_recalled), None)
    if recalled is not None:
        return No("recall", f"{recalled.selector} is being switched back to")
    if view.is_emergency(key.algorithm):
        return _unproved(key, view) or _unusable(key, view)
    if signing is not None and signing.stage is not Stage.VERIFIED:
        return No("verification", f"{signing.selector} is not verified yet")
    return (
        _reserved(key, signing, view)
        or _policy(view)
        or _unproved(key, view)
        or _differs(key, view, view.facts.recursive, "recursive")
        or _too_early(key, view)
        or _unusable(key, view)
        or _refused(key, view)
    )


def _is_recalled(key: Key, view: View) -> No | None:
    return (
        _unproved(key, view) or _unusable(key, view) if key.is_recalled else No("recall", "it is not switched back to")
    )


def _is_replaced(key: Key, view: View) -> No | None:
    signing = view.signing(key.algorithm)
    if signing is not None and signing.turn > key.turn:
        return None
    return No("signing", "it signs")


def _is_strayed_from(key: Key, view: View) -> No | None:
    if all(selector == key.selector or not asked for _, _, selector, asked in view.named(key)):
        return No("signer", "every signer that could be asked names it")
    return _unproved(key, view)


def _is_verified(key: Key, view: View) -> No | None:
    verdict = view.facts.evidence.get(key.selector, "waiting")
    no = _unasked(key, view) or _unproved(key, view)
    if no is not None or verdict == _PASS:
        return no
    if verdict == _FAIL:
        return _FAILS
    return No("evidence", f"no proof yet in mail that was received ({verdict})")


def _has_drained(key: Key, view: View) -> No | None:
    successor = view.signing(key.algorithm)
    if successor is None or key.is_recalled:
        return _unproved(key, view) or _unusable(key, view) or No("recall", "it is being switched back to")
    no = _unreplaced(key, successor, view) or _unproved(successor, view) or _still_named(key, view)
    if no is not None or key.is_leaked:
        return no
    return _in_flight(key, view) or _still_reported(key, view)


def _may_destroy(key: Key, view: View) -> No | None:
    due = key.since + view.plan.timing.revoked_for
    if view.now < due:
        return No("revoked", "it is revoked, and kept for the record", due)
    return _still_named(key, view)


def _awaited(upcoming: Key, signing: Key | None, view: View) -> No:
    """Say what is next; until when is known of a stand-by key only, all others go on as DNS allows."""
    if view.is_emergency(upcoming.algorithm):
        return No("next", f"it has leaked; {upcoming.selector} is next")
    reserved = _reserved(upcoming, signing, view)
    return No("next", f"{upcoming.selector} is next", None if reserved is None else reserved.not_before)


def _due(signing: Key | None, view: View) -> datetime | None:
    """Return when the next rotation is due; `None` when nothing signs."""
    return None if signing is None else (signing.activated or signing.since) + view.plan.timing.rotate_every


def _reserved(key: Key, signing: Key | None, view: View) -> No | None:
    """Keep a stand-by key for when it is due; it has waited for DNS long before, so its jitter comes here."""
    due = _due(signing, view)
    if key.urgency is not Urgency.RESERVE or due is None:
        return None
    due += share(key.domain) * view.plan.timing.spread
    return No("due", "a stand-by key; the next rotation is not due", due) if view.now < due else None


def _policy(view: View) -> No | None:
    """Keep a rotation and a policy step apart, so that what goes wrong has one cause."""
    if view.facts.policy_pending:
        return No("policy", "a change of the DMARC policy is under way")
    if view.facts.policy_step is None:
        return None
    due = view.facts.policy_step + view.plan.timing.after_policy_step
    return No("policy", "the DMARC policy was changed lately", due) if view.now < due else None


def _unproved(key: Key, view: View) -> No | None:
    """Ask for the exact record on every authoritative server, at every name of it."""
    return _differs(key, view, view.facts.authoritative, "authoritative")


def _differs(key: Key, view: View, said: Mapping[str, Answers], guard: str) -> No | None:
    for name in view.plan.names(key.selector):
        answers = said.get(name)
        if not answers:
            return No(guard, f"{guard} servers for {name}: {view.facts.unanswered.get(name, 'not asked yet')}")
        for server, texts in sorted(answers.items()):
            found = compare(texts, key.record.encode())
            if not found.is_ours:
                told = f"{found.detail}{key.missing_at(name, texts)}"
                return No(guard, f"{server} for {name}: {told} ({found.outcome})")
    return None


def _unusable(key: Key, view: View) -> No | None:
    """Ask for the private half before anything is switched: without it no signer can be, and the old key goes on."""
    told = view.facts.unusable.get(key.selector)
    return None if told is None else No("private-key", told, is_wrong=True)


def _refused(key: Key, view: View) -> No | None:
    """Switch no signer as long as another would refuse it; in an emergency each that can be is."""
    told = view.facts.refusing.get(key.selector)
    return None if told is None else No("refusal", told, is_wrong=True)


def _unreplaced(key: Key, successor: Key, view: View) -> No | None:
    """Keep a key as long as it may be the only one that works."""
    if successor.pending:
        return No("switch", f"the switch to {successor.selector} is not done everywhere")
    if successor.stage is not Stage.VERIFIED and not key.is_leaked:
        return No("verification", f"{successor.selector} is not verified yet")
    if successor.is_leaked:
        return No("only-key", f"{successor.selector} has leaked, and is not replaced yet")
    if view.facts.evidence.get(successor.selector) == _FAIL:
        return No("only-key", f"mail signed with {successor.selector} fails", is_wrong=True)
    return None


def _too_early(key: Key, view: View) -> No | None:
    """Wait after the record is everywhere: for slow caches, and so that not all domains switch at once."""
    timing = view.plan.timing
    due = (key.seen or view.now) + max(timing.propagation, view.facts.negative_ttl)
    if key.urgency is not Urgency.NOW:
        due += share(key.domain) * timing.spread
    if view.now < due:
        return No("propagation", "its record is everywhere, and has to be for a while before the switch", due)
    return None


def _unasked(key: Key, view: View) -> No | None:
    for signer, domain, _, asked in view.named(key):
        if not asked:
            return No("signer", f"the signer {signer} could not be asked what it signs {domain} with")
    return None


def _still_named(key: Key, view: View) -> No | None:
    for signer, domain, selector, _ in view.named(key):
        if selector == key.selector:
            return No("signer", f"the signer {signer} signs {domain} with it", is_wrong=True)
    return _unasked(key, view)


def _in_flight(key: Key, view: View) -> No | None:
    """Keep the record for all mail that may still be delivered: counted from the last signature, not the switch."""
    timing = view.plan.timing
    last = max(key.since, key.last_signed or key.since)
    relieved = key.relieved or view.now
    due = max(relieved + timing.retire_after, last + timing.queue_lifetime + timing.queue_margin)
    if view.now < due:
        return No("drain", f"mail signed with it may be under way; the last was seen {last:%Y-%m-%d %H:%M}Z", due)
    return None


def _still_reported(key: Key, view: View) -> No | None:
    timing, until = view.plan.timing, view.facts.reported_until
    if not timing.heed_reports or until is None:
        return None
    shown = max(key.since, view.facts.last_reported.get(key.selector, key.since))
    if until >= shown + timing.report_quiet:
        return None
    return No("reports", f"aggregate reports up to {until:%Y-%m-%d} do not show yet that it is out of use")


# --- effects and marks ------------------------------------------------------------------------------------------------


def _create(key: Key, _view: View) -> tuple[Effect, ...]:
    return (CreateKey(key.selector, key.algorithm.value, key.bits),)


def _publish(key: Key, _view: View) -> tuple[Effect, ...]:
    return (PublishTxt(key.selector, key.name, key.record),)


def _switch(key: Key, view: View) -> tuple[Effect, ...]:
    return tuple(SwitchSigner(key.selector, signer, domain) for signer, domain in view.plan.places)


def _switch_strays(key: Key, view: View) -> tuple[Effect, ...]:
    return tuple(
        SwitchSigner(key.selector, signer, domain)
        for signer, domain, selector, asked in view.named(key)
        if asked and selector != key.selector
    )


def _retire(key: Key, view: View) -> tuple[Effect, ...]:
    if any(isinstance(effect, PublishTxt) for effect in key.pending):
        # Nobody knows whether it is there.
        return (RemoveTxt(key.selector, key.name, key.published),)
    if key.is_leaked or view.plan.retire is Retirement.REVOKE_THEN_DELETE:
        revoked = revoked_record(key.algorithm).decode()
        return (RevokeTxt(key.selector, key.name, key.published, revoked),)
    return (RemoveTxt(key.selector, key.name, key.published),)


def _destroy(key: Key, view: View) -> tuple[Effect, ...]:
    remove = (RemoveTxt(key.selector, key.name, key.published),) if key.published else ()
    forget = tuple(ForgetKey(key.selector, signer, domain) for signer, domain in view.plan.places)
    return (*remove, *forget, DestroyKey(key.selector, key.reference))


def _nothing(_key: Key, _view: View) -> tuple[Effect, ...]:
    return ()


def _as_published(key: Key, _view: View) -> Key:
    return replace(key, published=key.record)


def _as_signing(key: Key, view: View) -> Key:
    turn = max(each.turn for each in view.line(key.algorithm)) + 1
    return replace(
        key, turn=turn, activated=view.now, is_recalled=False, replaced_by=None, relieved=None, last_signed=None
    )


def _as_replaced(key: Key, view: View) -> Key:
    signing = view.signing(key.algorithm)
    return replace(key, replaced_by=None if signing is None else signing.selector)


MOVES: tuple[Move, ...] = (
    Move(
        source=Stage.PREPARED,
        target=Stage.RETIRED,
        guard=_is_discarded,
        effects=_nothing,
        when="it leaked",
        interrupts=True,
        is_silent=True,
        is_held=False,
    ),
    Move(
        source=Stage.PUBLISHED,
        target=Stage.RETIRED,
        guard=_is_discarded,
        effects=_retire,
        when="it leaked",
        does="RevokeTxt, or RemoveTxt",
        interrupts=True,
        is_silent=True,
        is_held=False,
    ),
    Move(
        source=Stage.RETIRING,
        target=Stage.ACTIVE,
        guard=_is_recalled,
        effects=_switch,
        when="rollback, and its record is on every authoritative server; its private half is kept",
        does="SwitchSigner for each signer and domain",
        mark=_as_signing,
        is_silent=True,
        is_held=False,
    ),
    Move(
        source=Stage.PUBLISHED,
        target=Stage.ACTIVE,
        guard=_may_switch,
        effects=_switch,
        when="its record is on every authoritative server and resolver and has been for the propagation time; "
        "the key before it is verified; no policy step is near; its private half is kept; "
        "no signer would refuse it",
        does="SwitchSigner for each signer and domain",
        mark=_as_signing,
    ),
    Move(
        source=Stage.ACTIVE,
        target=Stage.RETIRING,
        guard=_is_replaced,
        effects=_nothing,
        when="another key is switched to",
        mark=_as_replaced,
        interrupts=True,
        is_silent=True,
        is_held=False,
    ),
    Move(
        source=Stage.VERIFIED,
        target=Stage.RETIRING,
        guard=_is_replaced,
        effects=_nothing,
        when="another key is switched to",
        mark=_as_replaced,
        is_silent=True,
        is_held=False,
    ),
    Move(
        source=Stage.ACTIVE,
        target=Stage.ACTIVE,
        guard=_is_strayed_from,
        effects=_switch_strays,
        when="a signer names another key, or none",
        does="SwitchSigner for that signer",
        is_silent=True,
    ),
    Move(
        source=Stage.VERIFIED,
        target=Stage.ACTIVE,
        guard=_is_strayed_from,
        effects=_switch_strays,
        when="a signer names another key, or none",
        does="SwitchSigner for that signer",
        is_silent=True,
    ),
    Move(
        source=Stage.ACTIVE,
        target=Stage.VERIFIED,
        guard=_is_verified,
        effects=_nothing,
        when="real mail that was received verifies with it; every signer names it",
    ),
    Move(
        source=Stage.RETIRING,
        target=Stage.RETIRED,
        guard=_has_drained,
        effects=_retire,
        when="the new key is verified and its record stands; no signer names the old one; all mail signed with it is "
        "delivered or given up; aggregate reports show it no more (a leaked key goes once the switch is done)",
        does="RevokeTxt, or RemoveTxt",
    ),
    Move(
        source=Stage.RETIRED,
        target=Stage.DESTROYED,
        guard=_may_destroy,
        effects=_destroy,
        when="it was revoked for long enough; no signer names it",
        does="RemoveTxt, ForgetKey for each signer and domain, DestroyKey",
    ),
    Move(
        source=Stage.PREPARED,
        target=Stage.PUBLISHED,
        guard=_may_publish,
        effects=_publish,
        when="its private half is kept",
        does="PublishTxt",
        mark=_as_published,
    ),
    Move(
        source=None,
        target=Stage.PREPARED,
        guard=_may_start,
        effects=_create,
        when="a rotation is due, ordered or an emergency, or a stand-by key is missing; the key that signs is "
        "verified; no policy step is near",
        does="CreateKey",
    ),
)
"""The law; in a tick its rows are gone through in this order."""


def step(
    keys: tuple[Key, ...],
    facts: Facts,
    plan: Plan,
    now: datetime,
    *,
    fresh: Mapping[Algorithm, str] = MappingProxyType({}),
    orders: Orders | None = None,
) -> Step:
    """
    Move the keys of a domain as far as the facts allow, each by at most one stage.

    Args:
        keys: The keys as they were saved.
        facts: All that is known.
        plan: What is wanted.
        now: The time.
        fresh: For each algorithm a selector that was never used, for a rotation that starts.
        orders: What a person asks for.

    Raises:
        Refused: The clock, the store or the signers do not fit what is known, or an order cannot be carried out;
            nothing changes.
        ConfigError: An order names a key that there is not.
    """
    orders = orders or Orders()
    _refuse_clock(keys, facts, plan, now)
    keys = _ordered(keys, orders)
    _refuse_store(keys, facts, plan)
    observed = _observed(keys, facts, plan, now)
    # Who is observed to be without its record is not seen any more: that it was is known of the keys before.
    facts = replace(facts, missed=facts.missed | {key.selector for key in keys if key.seen})
    tick = _Tick(View(observed, facts, plan, now, orders))
    for move in MOVES:
        tick.go_through(move, fresh)
    return tick.result()


def done(keys: tuple[Key, ...], effect: Effect, now: datetime, made: Made | None = None) -> tuple[Key, ...]:
    """
    Acknowledge that a pending effect succeeded; the clock of its stage starts with the last one.

    Args:
        keys: The keys as they were saved.
        effect: What was run.
        now: When it had succeeded.
        made: What `CreateKey` made; nothing for all others.

    Raises:
        IllegalTransition: It is not pending; nothing changes.
    """
    key = next((each for each in keys if effect in each.pending), None)
    if key is None or isinstance(effect, CreateKey) != (made is not None):
        raise IllegalTransition("no stage" if key is None else key.stage, f"the end of {type(effect).__name__}")
    left = tuple(each for each in key.pending if each != effect)
    after = _acknowledged(replace(key, pending=left), effect, made)
    if left:
        return _put(keys, after)
    after = replace(after, since=now)
    if not isinstance(effect, SwitchSigner):
        return _put(keys, after)
    # From now on nothing is signed with the key that was replaced: its clock starts too.
    replaced = [
        replace(each, since=now, relieved=None)
        for each in keys
        if each.replaced_by == key.selector and _is_draining(each)
    ]
    return _put(keys, after, *replaced)


def adopt(keys: tuple[Key, ...], key: Key) -> tuple[Key, ...]:
    """
    Take in a key that mail is signed with already; it has to be verified like any other.

    Args:
        keys: The keys as they were saved.
        key: The key, with the record that is in DNS.

    Raises:
        Refused: Its selector is known, or another key of the algorithm signs.
    """
    if any(each.selector == key.selector for each in keys):
        raise Refused("selector", f"the key {key.selector} of {key.domain} is known already")
    signing = next((each for each in keys if each.algorithm is key.algorithm and each.is_signing), None)
    if signing is not None:
        raise Refused("signing", f"{key.domain} is signed with {signing.selector} already", hint="rotate instead")
    turn = 1 + max((each.turn for each in keys if each.algorithm is key.algorithm), default=0)
    return (*keys, replace(key, stage=Stage.ACTIVE, turn=turn, published=key.record, activated=key.since))


def policy_lock(keys: Collection[Key]) -> str | None:
    """Return why the DMARC policy must not be changed now, `None` when it may be."""
    key = next((each for each in keys if each.stage is Stage.ACTIVE), None)
    return None if key is None else f"the DKIM key {key.selector} of {key.domain} was switched to and is not verified"


def names_to_ask(keys: Collection[Key], plan: Plan) -> tuple[str, ...]:
    """Return the record names at which the authoritative servers are to be asked; no name that was never published."""
    asked = (key for key in keys if key.stage in _ASKED and not any(isinstance(x, PublishTxt) for x in key.pending))
    return tuple(name for key in asked for name in plan.names(key.selector))


def names_to_resolve(keys: Collection[Key], facts: Facts, plan: Plan, now: datetime) -> tuple[str, ...]:
    """
    Return the record names at which recursive resolvers are to be asked.

    Only those that every authoritative server has: asked earlier, a resolver would remember that there is nothing.
    """
    view = View(tuple(keys), facts, plan, now)
    proved = (key for key in keys if key.stage is Stage.PUBLISHED and not key.pending and not _unproved(key, view))
    return tuple(name for key in proved for name in plan.names(key.selector))


def share(domain: str) -> float:
    """Return the domain's own share of the jitter, from 0 to below 1 and always the same."""
    return int.from_bytes(sha256(domain.encode()).digest()[:6], "big") / (1 << 48)


# --- how the table is gone through ------------------------------------------------------------------------------------


class _Tick:
    """One run through the table."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._moved: dict[str, Reason] = {}
        self._noes: dict[str, No] = {}
        self._unstarted: list[Reason] = []

    def go_through(self, move: Move, fresh: Mapping[Algorithm, str]) -> None:
        """Try one row of the table on all keys in its stage."""
        if move.source is None:
            for algorithm in self._view.plan.algorithms:
                self._start(move, algorithm, fresh.get(algorithm))
            return
        for key in self._view.keys:
            if key.stage is move.source and key.selector not in self._moved:
                self._try(move, key)

    def result(self) -> Step:
        """Return keys and reasons."""
        view = self._view
        reasons = [self._moved.get(key.selector) or self._reason(key) for key in view.keys]
        return Step(view.keys, (*reasons, *self._unstarted))

    def _try(self, move: Move, key: Key) -> None:
        no = self._no(move, key)
        if no is None:
            self._enter(move, key)
        elif not move.is_silent:
            self._noes[key.selector] = no

    def _no(self, move: Move, key: Key) -> No | None:
        view = self._view
        if key.pending and not move.interrupts:
            return _undone(key)
        if move.is_held and view.facts.holds and not (key.is_leaked or view.is_emergency(key.algorithm)):
            return No("hold", f"held: {'; '.join(view.facts.holds)}")
        return move.guard(key, view)

    def _enter(self, move: Move, key: Key) -> None:
        view = self._view
        after = replace(move.mark(key, view), stage=move.target, since=view.now, pending=move.effects(key, view))
        self._view = replace(view, keys=_put(view.keys, after))
        moved = No("moved", f"{move.source or 'new'} -> {move.target}")
        self._moved[key.selector] = _reason_of(key.selector, key.algorithm, move.target, moved)

    def _start(self, move: Move, algorithm: Algorithm, selector: str | None) -> None:
        view = self._view
        key = _candidate(view, algorithm, selector or "")
        no = self._no(move, key)
        if no is None and (selector is None or any(each.selector == selector for each in view.keys)):
            no = No("selector", "a rotation is due, but there is no new selector for it", is_wrong=True)
        signing = view.signing(algorithm)
        if no is None:
            self._enter(move, key)
            no = _awaited(key, signing, self._view)
        if signing is not None and signing.is_leaked:
            self._noes[signing.selector] = no
        elif signing is not None:
            self._noes.setdefault(signing.selector, no)
        elif self._view.upcoming(algorithm) is None:
            self._unstarted.append(_reason_of("", algorithm, None, no))

    def _reason(self, key: Key) -> Reason:
        no = self._ill(key) or self._noes.get(key.selector) or _undone(key)
        no = no or No(key.stage, "nothing is to be done with it")
        if no.not_before is None and no.guard != "hold" and self._is_stuck(key):
            no = replace(no, is_wrong=True)
        return _reason_of(key.selector, key.algorithm, key.stage, no)

    def _ill(self, key: Key) -> No | None:
        """Tell when mail fails, a record that verifiers need, or that was there, is not, or another is in its place."""
        if key.stage is Stage.VERIFIED and self._view.facts.evidence.get(key.selector) == _FAIL:
            return _FAILS
        is_new = key.stage is Stage.PUBLISHED and not key.pending
        is_coming = is_new and key.selector not in self._view.facts.missed
        if not (key.stage in _NEEDED or is_new) or not _is_contradicted(key, self._view, only_by_another=is_coming):
            return None
        no = _unproved(key, self._view)
        return None if no is None else replace(no, is_wrong=True)

    def _is_stuck(self, key: Key) -> bool:
        timing = self._view.plan.timing
        usual = {
            Stage.PREPARED: timedelta(),
            Stage.PUBLISHED: timing.propagation + timing.spread,
            Stage.ACTIVE: timedelta(),
            Stage.RETIRING: timing.retire_after + timing.queue_lifetime + timing.queue_margin,
            Stage.RETIRED: timing.revoked_for,
        }.get(key.stage)
        return usual is not None and self._view.now > key.since + usual + timing.stuck_after


def _undone(key: Key) -> No | None:
    names = ", ".join(sorted({type(effect).__name__ for effect in key.pending}))
    return No("pending", f"not done yet: {names}") if names else None


def _reason_of(selector: str, algorithm: Algorithm, stage: Stage | None, no: No) -> Reason:
    return Reason(
        selector=selector,
        algorithm=algorithm,
        stage=stage,
        guard=no.guard,
        text=no.text,
        not_before=no.not_before,
        is_overdue=no.is_wrong,
    )


def _candidate(view: View, algorithm: Algorithm, selector: str) -> Key:
    due = _due(view.signing(algorithm), view)
    urgency = Urgency.ROUTINE
    if view.orders.start:
        urgency = Urgency.NOW
    elif view.plan.standby and due is not None and view.now < due:
        urgency = Urgency.RESERVE
    return Key(
        domain=view.plan.domain,
        selector=selector,
        algorithm=algorithm,
        bits=view.plan.bits,
        stage=Stage.PREPARED,
        since=view.now,
        created=view.now,
        urgency=urgency,
    )


def _put(keys: tuple[Key, ...], *after: Key) -> tuple[Key, ...]:
    """Return the keys with some of them in the place of their former selves, or at the end when they are new."""
    changed = {key.selector: key for key in after}
    known = tuple(changed.pop(key.selector, key) for key in keys)
    return (*known, *changed.values())


def _acknowledged(key: Key, effect: Effect, made: Made | None) -> Key:
    match effect:
        case CreateKey() if made is not None:
            return replace(key, bits=made.bits, record=made.record, reference=made.reference)
        case RevokeTxt():
            return replace(key, published=effect.record)
        case RemoveTxt():
            return replace(key, published="")
        case DestroyKey():
            return replace(key, reference="")
        case _:
            return key


def _is_draining(key: Key) -> bool:
    return key.stage is Stage.RETIRING


def _observed(keys: tuple[Key, ...], facts: Facts, plan: Plan, now: datetime) -> tuple[Key, ...]:
    """Take down since when a record is everywhere, and the last signature by a key that is replaced."""
    view = View(keys, facts, plan, now)
    return tuple(_looked_at(key, view) for key in keys)


def _looked_at(key: Key, view: View) -> Key:
    if key.stage is Stage.PUBLISHED and not key.pending:
        return replace(key, seen=_seen(key, view))
    if key.stage is Stage.RETIRING:
        verified = next((each for each in view.line(key.algorithm) if each.stage is Stage.VERIFIED), None)
        relieved = key.relieved or (verified.since if verified is not None else None)
        return replace(key, relieved=relieved, last_signed=_last_signed(key, view))
    return key


def _last_signed(key: Key, view: View) -> datetime | None:
    """Return the last moment a signature by a key that is replaced was seen; never one before what was seen before."""
    facts = view.facts
    sources = [facts.last_signed, facts.last_reported] if view.plan.timing.heed_reports else [facts.last_signed]
    moments = [source[key.selector] for source in sources if key.selector in source]
    if key.last_signed is not None:
        moments.append(key.last_signed)
    # A signature's own time is a claim: one of the future must not keep a key for ever.
    return min(max(moments), view.now) if moments else None


def _seen(key: Key, view: View) -> datetime | None:
    """Return since when every authoritative server has the record; a server that says otherwise starts it anew."""
    if _unproved(key, view) is None:
        return key.seen or view.now
    return None if _is_contradicted(key, view) else key.seen


def _is_contradicted(key: Key, view: View, *, only_by_another: bool = False) -> bool:
    """Whether an authoritative server says that the record is another one, or none; silence is not."""
    answers = [view.facts.authoritative.get(name) or {} for name in view.plan.names(key.selector)]
    said = [
        texts for each in answers for texts in each.values() if texts or (texts is not None and not only_by_another)
    ]
    return any(not compare(texts, key.record.encode()).is_ours for texts in said)


# --- orders and refusals ----------------------------------------------------------------------------------------------


def _ordered(keys: tuple[Key, ...], orders: Orders) -> tuple[Key, ...]:
    if orders.emergency is not None:
        keys = _put(keys, _leaked(keys, orders.emergency))
    if orders.rollback:
        keys = _rolled_back(keys)
    if orders.start:
        keys = tuple(replace(key, urgency=Urgency.NOW) if key.stage in UPCOMING else key for key in keys)
    return keys


def _leaked(keys: tuple[Key, ...], selector: str) -> Key:
    key = next((each for each in keys if each.selector == selector), None)
    if key is None:
        raise ConfigError(f"there is no key {selector!r}", hint="`dmarcops keys` lists them")
    if key.stage in {Stage.RETIRED, Stage.DESTROYED}:
        raise Refused(
            "emergency",
            f"{selector} is {key.stage} already: no signer is to use it, and its record is revoked or taken away",
        )
    return replace(key, is_leaked=True, is_recalled=False)


def _rolled_back(keys: tuple[Key, ...]) -> tuple[Key, ...]:
    """Mark for each algorithm the key that signed before; what is published already then waits until it is due."""
    signing = {key.algorithm: key for key in keys if key.is_signing}
    before: dict[Algorithm, Key] = {}
    for key in sorted(keys, key=lambda key: key.turn):
        if _is_draining(key) and not key.is_leaked and key.algorithm in signing:
            before[key.algorithm] = replace(key, is_recalled=True)
    if not before:
        raise Refused("rollback", "there is no former key whose record is still out")
    waiting = [replace(key, urgency=Urgency.RESERVE) for key in keys if key.stage in UPCOMING]
    return _put(keys, *before.values(), *waiting)


def _refuse_clock(keys: tuple[Key, ...], facts: Facts, plan: Plan, now: datetime) -> None:
    """Refuse a time before what is known to have happened: all waits would be wrong."""
    moments = [moment for key in keys for moment in (key.since, key.created, key.seen, key.activated) if moment]
    latest = max([*moments, *([facts.last_run] if facts.last_run else [])], default=now)
    if now + plan.timing.clock_slack < latest:
        raise Refused(
            "clock",
            f"it is {now:%Y-%m-%dT%H:%M:%SZ} by the clock, but the store knows of {latest:%Y-%m-%dT%H:%M:%SZ}",
            not_before=f"{latest:%Y-%m-%dT%H:%M:%SZ}",
            hint="set the clock of this machine",
        )


def _refuse_store(keys: tuple[Key, ...], facts: Facts, plan: Plan) -> None:
    """Refuse a store that is behind the world, as one that was restored from a backup is."""
    known = {key.selector: key for key in keys}
    for signing in facts.signing:
        if signing.selector is not None:
            _refuse_signing(signing, signing.selector, known)
    for key in keys:
        if key.stage in _ASKED and not key.is_leaked and not key.pending:
            _refuse_revoked(key, facts, plan)


def _refuse_signing(signing: Signing, selector: str, known: Mapping[str, Key]) -> None:
    key = known.get(selector)
    if key is None:
        raise Refused(
            "unknown-key",
            f"the signer {signing.signer} signs {signing.domain} with {selector}, a key that the store does not know",
            hint="`dmarcops keys import` adopts it; if the store was restored from a backup, restore a later one",
        )
    if key.stage in UPCOMING:
        raise Refused(
            "store-behind",
            f"the signer {signing.signer} signs {signing.domain} with {selector}, "
            f"which is only {key.stage} by the store",
            hint="the store seems to be restored from a backup: restore a later one, or see to the signer",
        )


def _refuse_revoked(key: Key, facts: Facts, plan: Plan) -> None:
    for name in plan.names(key.selector):
        for server, texts in (facts.authoritative.get(name) or {}).items():
            if judge(texts).outcome is Outcome.REVOKED:
                raise Refused(
                    "store-behind",
                    f"{server} says that {name} is revoked, but by the store it is {key.stage}",
                    hint="the store seems to be restored from a backup, or somebody else revoked the key: "
                    "`dmarcops rotate --emergency` replaces it",
                )
