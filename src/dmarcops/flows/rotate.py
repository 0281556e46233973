"""
Rotations: one tick of any number of domains.

Of each domain: what is pending from before is carried out; then all facts are asked for, the law says once what moves,
that is saved, and only then carried out, each effect acknowledged and saved again. So it can be killed anywhere. The
lock of the domain is held all the while. Domains go in groups, whose DNS changes are made together; one that fails
stops no other.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from dmarcops.dkim.domain_name import a_labels
from dmarcops.dkim.lifecycle import (
    CreateKey,
    Effect,
    Facts,
    Key,
    Orders,
    PublishTxt,
    Reason,
    RemoveTxt,
    RevokeTxt,
    Stage,
    Step,
    SwitchSigner,
)
from dmarcops.dkim.record import Algorithm
from dmarcops.dkim.rotation import done, step
from dmarcops.dkim.selectors import fresh_selector
from dmarcops.errors import DmarcopsError, ForeignRecordError, Refused, SignerError
from dmarcops.flows.concerns import SUBJECT, concern, failure, failures
from dmarcops.flows.effects import DnsEffect, Done, Outcome, Waiting, carry_out, change_dns
from dmarcops.flows.facts import gather, look_at_switched
from dmarcops.flows.key_files import lost_files, write_again
from dmarcops.flows.outside import Outside
from dmarcops.store import audit, keys, policies
from dmarcops.store.concerns import Concern, load, save
from dmarcops.store.engine import Store
from dmarcops.store.selector_reports import Reported, reported

GROUP = 32
"""Domains whose locks are held at the same time: in PostgreSQL each takes a connection."""
POLICY_ACTIONS = ("policy-advance", "policy-rollback")
"""What the audit trail calls a change of the DMARC policy."""
_NO_ORDERS = Orders()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticked:
    """
    What became of a domain: its keys, for each why it is where it is, what failed, and what a person is to be told.

    `reasons` is empty when the law was not asked, as something failed before.
    """

    domain: str
    keys: tuple[Key, ...]
    reasons: tuple[Reason, ...]
    problems: tuple[DmarcopsError, ...]
    notices: tuple[Concern, ...]


@dataclass
class _Session:
    """A domain while its lock is held."""

    outside: Outside
    orders: Orders
    known: keys.DomainKeys
    reasons: tuple[Reason, ...] = ()
    problems: list[DmarcopsError] = field(default_factory=list)
    notices: list[Concern] = field(default_factory=list)
    evidence: Mapping[str, str] = field(default_factory=dict)
    is_over: bool = False

    @property
    def domain(self) -> str:
        return self.outside.plan.domain

    def key(self, selector: str) -> Key:
        return next(key for key in self.known.keys if key.selector == selector)

    def tell(self, kind: str, selector: str, text: str, *, is_event: bool = False) -> None:
        self.notices.append(concern(self.domain, kind, selector, text, is_event=is_event))

    def fail(self, selector: str, error: DmarcopsError) -> None:
        """Tell that something failed with a key."""
        self.problems.append(error)
        self.notices.append(failure(self.domain, selector, error))

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Keep an error with the domain that it is of; nothing more is done with that one."""
        try:
            yield
        except DmarcopsError as error:
            self.problems.append(error)
            self.is_over = True

    def ticked(self) -> Ticked:
        more = failures(self.domain, self.problems, self.notices) if self.orders == _NO_ORDERS else ()
        return Ticked(
            domain=self.domain,
            keys=self.known.keys,
            reasons=self.reasons,
            problems=tuple(self.problems),
            notices=(*self.notices, *more),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """
    Rotations, ready to be run.

    Args:
        store: Where keys are.
        clock: Tells the time.
        who: Who runs it, for the audit trail.
        chance: Gives a random number from 0 to below its argument.
    """

    store: Store
    clock: Callable[[], datetime]
    who: str
    chance: Callable[[int], int]

    def run(
        self, domains: Sequence[Outside], orders: Mapping[str, Orders] | None = None, *, dry_run: bool = False
    ) -> Iterator[Ticked]:
        """
        Tick.

        Args:
            domains: What each works with.
            orders: What a person asks for, by domain.
            dry_run: Only say what the law would do; nothing is changed anywhere.
        """
        # Domains of one zone come together.
        ordered = sorted(domains, key=lambda outside: outside.plan.domain.split(".")[::-1])
        for first in range(0, len(ordered), GROUP):
            group = ordered[first : first + GROUP]
            if dry_run:
                yield from (self._foreseen(outside, (orders or {}).get(outside.plan.domain)) for outside in group)
            else:
                yield from self._group(group, orders or {})

    def _foreseen(self, outside: Outside, orders: Orders | None) -> Ticked:
        session = _Session(outside, orders or _NO_ORDERS, keys.DomainKeys(domain=outside.plan.domain))
        with session.guarded():
            session.known = keys.load(self.store, session.domain)
            for lost in lost_files(session.known.keys, session.outside):
                session.fail(lost.key.selector, SignerError(str(lost), hint="without --dry-run it is written again"))
            result, _, _ = self._asked(session)
            session.reasons = result.reasons
        return session.ticked()

    def _group(self, group: Sequence[Outside], orders: Mapping[str, Orders]) -> Iterator[Ticked]:
        with ExitStack() as locks:
            sessions = [self._opened(outside, orders, locks) for outside in group]
            self._run_pending(sessions)
            for session in sessions:
                self._tick(session)
            self._run_pending(sessions)
            for session in sessions:
                _probe(session)
        yield from (session.ticked() for session in sessions)

    def _opened(self, outside: Outside, orders: Mapping[str, Orders], locks: ExitStack) -> _Session:
        domain = outside.plan.domain
        session = _Session(outside, orders.get(domain, _NO_ORDERS), keys.DomainKeys(domain=domain))
        with session.guarded():
            try:
                locks.enter_context(self.store.exclusive(domain))
            finally:  # they are shown when they are another run's, too
                session.known = keys.load(self.store, domain)
        return session

    def _tick(self, session: _Session) -> None:
        if session.is_over:
            return
        with session.guarded():
            self._write_lost_files(session)
            result, facts, now = self._asked(session)
            session.reasons, session.evidence = result.reasons, facts.evidence
            moves = [
                audit.Event(
                    domain=session.domain, who=self.who, action="dkim-moved", detail=f"{reason.selector}: {reason.text}"
                )
                for reason in result.reasons
                if reason.guard == "moved"
            ]
            ordered = _ordered_events(session, self.who)
            session.known = keys.save(self.store, session.known, result.keys, now, events=[*ordered, *moves])

    def _write_lost_files(self, session: _Session) -> None:
        """Write the key files again that are gone: what signs is not moved, so the law is not asked."""
        for lost in lost_files(session.known.keys, session.outside):
            selector = lost.key.selector
            try:
                write_again(lost, session.outside)
            except SignerError as error:
                session.fail(selector, error)
                continue
            now = self.clock()
            detail = f"{lost.signer}: {lost.file.path}"
            event = audit.Event(domain=session.domain, who=self.who, action="dkim-file", detail=detail)
            session.known = keys.save(self.store, session.known, session.known.keys, now, events=[event])
            told = f"{lost}; it was written again from the key store at {now:%Y-%m-%d %H:%M}Z"
            session.tell("key-file", selector, told, is_event=True)

    def _asked(self, session: _Session) -> tuple[Step, Facts, datetime]:
        """Ask for all facts, and the law what they allow."""
        domain, now = session.domain, self.clock()
        reports = reported(self.store, domain, now)
        held = keys.holds(self.store, domain)
        known = Facts(
            last_reported=reports.last,
            reported_until=reports.until,
            policy_step=audit.newest(self.store, domain, POLICY_ACTIONS),
            policy_pending=policies.is_under_way(self.store, domain),
            holds=tuple(
                f"{hold.reason or 'no reason given'} (by {hold.who}, {hold.at:%Y-%m-%d %H:%M}Z)"
                for hold in held
                if hold.what == "dkim"
            ),
            missed=self._missed(session),
            last_run=session.known.last_run,
        )
        facts, problems = gather(session.known.keys, session.outside, known, now)
        session.problems += problems
        fresh = self._fresh(session, reports, now)
        try:
            ask = partial(
                step, session.known.keys, plan=session.outside.plan, now=now, fresh=fresh, orders=session.orders
            )
            result = ask(facts)
            facts, problems = look_at_switched(session.known.keys, result.keys, session.outside, facts)
            if problems:
                session.problems += problems
                result = ask(facts)
        except Refused as refusal:
            # Who gives an order is told at once.
            if session.orders == _NO_ORDERS:
                session.tell("stuck", "", refusal.reason)
            raise
        _tell_of(result, session)
        _tell_unknown(reports, session, now)
        return result, facts, now

    def _missed(self, session: _Session) -> frozenset[str]:
        """Name the keys whose record is told to be wrong, until every server has it again."""
        if not any(key.stage is Stage.PUBLISHED and key.seen is None for key in session.known.keys):
            return frozenset()
        told = load(self.store, SUBJECT, session.domain)
        return frozenset(
            each.concern.selector for each in told if each.concern.kind == "wrong-record" and each.ended_at is None
        )

    def _fresh(self, session: _Session, reports: Reported, now: datetime) -> dict[Algorithm, str]:
        """Name a selector for each algorithm that has never been used, nor by anybody else."""
        fresh: dict[Algorithm, str] = {}
        for algorithm in session.outside.plan.algorithms:
            used = session.known.used | set(reports.last) | session.outside.foreign | set(fresh.values())
            fresh[algorithm] = fresh_selector(session.outside.template, now=now, used=used, chance=self.chance)
        return fresh

    def _run_pending(self, sessions: Sequence[_Session]) -> None:
        """Carry out what is pending: what changes DNS together first, as no effect of a key comes before it."""
        going = [session for session in sessions if not session.is_over]
        due = [
            (session, key, effect)
            for session in going
            for key in session.known.keys
            for effect in key.pending
            if isinstance(effect, DnsEffect)
        ]
        changes = [(effect, session.outside.provider, session.outside.ttl) for session, _, effect in due]
        for (session, key, effect), outcome in zip(due, change_dns(changes), strict=True):
            with session.guarded():
                self._acknowledge(session, key, effect, outcome)
        for session in going:
            with session.guarded():
                for key in () if session.is_over else session.known.keys:
                    self._run_others(session, key)

    def _run_others(self, session: _Session, key: Key) -> None:
        for effect in key.pending:
            if isinstance(effect, DnsEffect):
                # It was not done: what comes after it is for later.
                return
            outcome = carry_out(effect, session.key(key.selector), session.outside)
            self._acknowledge(session, key, effect, outcome)
            if isinstance(outcome, DmarcopsError) and not isinstance(effect, SwitchSigner):
                return

    def _acknowledge(self, session: _Session, key: Key, effect: Effect, outcome: Outcome) -> None:
        """Save that an effect is done, or keep why it is not."""
        if isinstance(outcome, DmarcopsError):
            session.problems.append(outcome)
            if isinstance(outcome, ForeignRecordError):
                session.tell("foreign-record", key.selector, str(outcome))
            elif isinstance(outcome, Refused):
                session.tell("stuck", key.selector, outcome.told)
            else:
                session.notices.append(failure(session.domain, key.selector, outcome))
            return
        if isinstance(outcome, Waiting):
            return
        if outcome.note:
            session.tell("foreign-record", key.selector, outcome.note, is_event=True)
        now = self.clock()
        after = done(session.known.keys, effect, now, outcome.made)
        event = _event(session.domain, self.who, effect, outcome)
        session.known = keys.save(self.store, session.known, after, now, events=[event])


def failed(domain: str, error: DmarcopsError) -> Ticked:
    """Give what became of a domain that nothing can be done with, as its configuration cannot be used."""
    name = a_labels(domain)
    return Ticked(domain=name, keys=(), reasons=(), problems=(error,), notices=(failure(name, "", error),))


def remember(store: Store, ticked: Sequence[Ticked], now: datetime, *, is_all: bool) -> None:
    """
    Save what a person is to know of some domains, until a later run finds that it is over.

    Args:
        store: Where to.
        ticked: The domains.
        now: When.
        is_all: They are all that are configured: what is known of others is over.

    Raises:
        StoreError: The store is locked or cannot be written.
    """
    gone = {each.concern.domain for each in load(store, SUBJECT)} if is_all else set()
    found = {**dict.fromkeys(gone, ()), **{each.domain: each.notices for each in ticked}}
    save(store, SUBJECT, found, now, unsure={each.domain for each in ticked if not each.reasons})


def _probe(session: _Session) -> None:
    """Send a mail that will prove a key that was switched to, as long as none has."""
    is_due = any(
        key.stage is Stage.ACTIVE and not key.pending and session.evidence.get(key.selector) != "pass"
        for key in session.known.keys
    )
    if session.outside.probe is not None and is_due and not session.is_over:
        with session.guarded():
            session.outside.probe()


def _tell_of(result: Step, session: _Session) -> None:
    """Tell of each key that is stuck, or whose record is not as it should be."""
    for reason in result.reasons:
        if reason.is_overdue:
            kind = "wrong-record" if reason.guard == "authoritative" else "stuck"
            session.tell(kind, reason.selector, reason.text)


def _tell_unknown(reports: Reported, session: _Session, now: datetime) -> None:
    """Tell of selectors by which mail passed lately, and that nobody told us of: somebody else signs for the domain."""
    known = {key.selector for key in session.known.keys} | session.outside.foreign | session.known.used
    recent = now - session.outside.plan.timing.rotate_every
    for selector, last in sorted(reports.last.items()):
        if selector not in known and last >= recent:
            session.tell(
                "unknown-selector",
                selector,
                f"reports up to {last:%Y-%m-%d} show mail signed with it, which is not ours",
            )


def _ordered_events(session: _Session, who: str) -> Iterator[audit.Event]:
    orders = session.orders
    if orders.start:
        yield audit.Event(domain=session.domain, who=who, action="dkim-now")
    if orders.emergency is not None:
        yield audit.Event(domain=session.domain, who=who, action="dkim-emergency", detail=orders.emergency)
    if orders.rollback:
        yield audit.Event(domain=session.domain, who=who, action="dkim-rollback")


def _event(domain: str, who: str, effect: Effect, outcome: Done) -> audit.Event:
    match effect:
        case CreateKey(selector, algorithm):
            action, detail = "dkim-create", f"{selector} ({algorithm})"
        case PublishTxt(_, name) | RevokeTxt(_, name) | RemoveTxt(_, name):
            action, detail = (
                {PublishTxt: "dkim-publish", RevokeTxt: "dkim-revoke"}.get(type(effect), "dkim-remove"),
                name,
            )
        case SwitchSigner(selector, signer, of):
            action, detail = "dkim-switch", f"{signer} signs {of} with {selector}"
        case _:
            action, detail = f"dkim-{type(effect).__name__.removesuffix('Key').lower()}", effect.selector
    return audit.Event(
        domain=domain,
        who=who,
        action=action,
        detail=f"{detail}; {outcome.note}" if outcome.note else detail,
        before=outcome.before,
        after=outcome.after,
    )
