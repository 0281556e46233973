"""
How the policies of any number of domains stand: what DNS has, what reports say, what is signed, what may come next.

All facts are asked for once, for all domains together; the stepper says what they allow; what else stands in the way is
put beside it: servers that do not agree, a record that somebody else changed, a change under way, mail that suffers.
The one thing that is written is which record was seen since when.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Any

from dmarcops.domains import Domain, OrganizationalDomain
from dmarcops.errors import DmarcopsError, EdgeError, ForeignRecordError, UnsafeChangeError
from dmarcops.flows.policy_dns import Published, ask, record_name, shown
from dmarcops.flows.policy_evidence import Requests, gather
from dmarcops.policy.answers import text_of
from dmarcops.policy.evidence import Context, Evidence
from dmarcops.policy.journal import Change, deciding, former, standing, under_way, undoable
from dmarcops.policy.proof import Ring
from dmarcops.policy.record import Policy, parse_record, policy_tags
from dmarcops.policy.rules import Rules
from dmarcops.policy.stepper import Decision, Proposal, price_of_next, propose
from dmarcops.policy.watch import Outcome, Watch, watch
from dmarcops.policy.what_if import WhatIf
from dmarcops.policy.window import window_before, window_since
from dmarcops.ports import DnsProvider, Resolver
from dmarcops.store import policies, signoffs
from dmarcops.store.engine import Store
from dmarcops.store.policies import DomainPolicy, Seen
from dmarcops.store.signoffs import Signed

_WATCHED = timedelta(days=28)
"""How much mail since a step is looked at: the end of it decides, and a step may have been long ago."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Governed:
    """
    A domain whose policy is stepped.

    `provider` gives who writes its zone, `window_days` is how long the window of a decision is; with `auto_rollback` a
    step that legitimate mail suffers from is taken back at once.
    """

    domain: str
    rules: Rules
    provider: Callable[[], DnsProvider]
    window_days: int = 28
    auto_rollback: bool = False


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """
    How the policy of one domain stands.

    `octets` is the record that was judged: what is in DNS, or was seen last when DNS cannot tell; None when nothing is
    known. `judged` is what the stepper says by the facts alone, `proposal` the same with all that stands in the way.
    `watch` is how mail fares since our last step, when one of ours stands. `unproved` says which signatures lack the
    proof of a trusted key.
    """

    governed: Governed
    stored: DomainPolicy
    published: Published
    octets: bytes | None = None
    evidence: Evidence | None = None
    judged: Proposal | None = None
    watch: Watch | None = None
    signed: Signed | None = None
    unproved: tuple[str, ...] = ()

    @property
    def domain(self) -> str:
        """The domain."""
        return self.governed.domain

    @property
    def under_way(self) -> Change | None:
        """The change that is decided, and not yet on every server."""
        return under_way(self.stored.changes)

    @property
    def undoable(self) -> Change | None:
        """The step that would be taken back."""
        return undoable(self.stored.changes)

    @property
    def is_failing(self) -> bool:
        """Whether legitimate mail suffers from our last step."""
        return self.watch is not None and self.watch.outcome is Outcome.REGRESSION

    @property
    def problems(self) -> tuple[DmarcopsError, ...]:
        """What could not be asked."""
        problem = self.published.problem
        return (problem,) if isinstance(problem, EdgeError) else ()

    @cached_property
    def foreign(self) -> ForeignRecordError | None:
        """What is in DNS and was not written by us, after something was."""
        newest, there = standing(self.stored.changes), self.published.octets
        if newest is None or there is None or there == newest.after:
            return None
        if newest.is_open and there == newest.before:
            return None
        return foreign_record(self.domain, shown((there,)), shown((newest.after,)))

    @cached_property
    def proposal(self) -> Proposal | None:
        """What comes next, and all that stands in the way."""
        if self.judged is None:
            return None
        obstacles, decision = list(self._obstacles()), self.judged.decision
        if obstacles and decision is not Decision.HELD:
            decision = obstacles[0][0]
        reasons = (*(reason for _, reason in obstacles), *self.unproved_reasons, *self.judged.reasons)
        return replace(self.judged, decision=decision, reasons=reasons)

    @property
    def unproved_reasons(self) -> tuple[str, ...]:
        """Why signatures do not count, where they are asked for."""
        is_asked_for = (
            self.governed.rules.require_signature and self.judged is not None and self.judged.next is not None
        )
        return self.unproved if is_asked_for else ()

    @property
    def price(self) -> WhatIf | None:
        """What the next rung would have touched."""
        if self.judged is None or self.evidence is None:
            return None
        return price_of_next(self.judged, self.evidence)

    def as_json(self) -> dict[str, Any]:
        """Give the contract's form of plan and status."""
        change = self.under_way
        beside = {
            "dns": str(self.published.problem) if self.published.problem else None,
            "under_way": change and change.as_json(),
            "watch": self.watch and self.watch.as_json(),
        }
        if self.proposal is None:
            nothing: dict[str, Any] = {"domain": self.domain, "current": None, "next": None, "gates": []}
            nothing |= {"what_if": None, "signed": None, "digest": None, "decision": Decision.BLOCKED.value}
            return {**nothing, "reasons": [str(self.published.problem)], "warnings": [], **beside}
        return {**self.proposal.as_json(self.price), **beside}

    def _obstacles(self) -> Iterator[tuple[Decision, str]]:
        change, problem = self.under_way, self.published.problem
        if self.foreign is not None:
            yield Decision.BLOCKED, self.foreign.reason
        elif change is not None and not isinstance(problem, EdgeError):
            yield Decision.WAIT, f"a change of {change.decided_at:%Y-%m-%d %H:%M} UTC is not on every server yet"
        elif problem is not None:
            yield Decision.BLOCKED, f"{problem}; what is judged is the record that was seen last"
        if self.published.alias and self.judged is not None and self.judged.next is not None:
            there = f"{record_name(self.domain)} is a CNAME of {self.published.alias}"
            yield Decision.BLOCKED, f"{there}: the record is to be written where it leads"
        if self.is_failing and self.watch is not None:
            yield Decision.BLOCKED, f"since the last step mail suffers: {'; '.join(self.watch.reasons)}"


def foreign_record(domain: str, there: str, expected: str) -> ForeignRecordError:
    """Give the refusal to touch a record that somebody else wrote; both are shown."""
    return ForeignRecordError(
        "foreign-record",
        f"somebody else changed the record of {domain}: DNS has {there}, where {expected} is expected",
        hint=f"if it is right, `dmarcops policy resume {domain}` takes it as it is; else put ours back",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """
    The policies of domains, ready to be looked at.

    Args:
        store: Where reports, words, steps and signatures are.
        resolver: Asks DNS.
        clock: Tells the time.
        organizational_domain: Of a name.
        trusting: Whether reports of whose carrier mail nothing is known count.
        ring: By which keys signatures are proved.
    """

    store: Store
    resolver: Resolver
    clock: Callable[[], datetime]
    organizational_domain: OrganizationalDomain
    trusting: bool = False
    ring: Ring = field(default_factory=Ring)

    def look(self, domains: Sequence[Governed]) -> tuple[Outlook, ...]:
        """
        Look at some domains, and note which record each has; what fails with one keeps no other back.

        Raises:
            StoreError: The store cannot be read or written.
        """
        names = [governed.domain for governed in domains]
        now = self.clock()
        published = ask(self.resolver, names, self.organizational_domain)
        stored = self._noted(published, policies.load(self.store, names), now)
        signed = signoffs.unused(self.store, {name: _used(each) for name, each in stored.items()})
        outlooks = [
            Outlook(
                governed=governed,
                stored=stored[governed.domain],
                published=published[governed.domain],
                octets=_judged_octets(published[governed.domain], stored[governed.domain]),
                signed=signed.get(governed.domain),
                unproved=self._unproved(signed.get(governed.domain)),
            )
            for governed in domains
        ]
        return self._with_evidence(outlooks, now)

    def _unproved(self, signed: Signed | None) -> tuple[str, ...]:
        return () if signed is None else self.ring.unproved(signed.signoff, signed.proofs)

    def _noted(
        self, published: Mapping[str, Published], stored: Mapping[str, DomainPolicy], now: datetime
    ) -> Mapping[str, DomainPolicy]:
        """Note the records that are not those that were seen last."""
        found = {name: each.octets for name, each in published.items() if each.octets is not None}
        new = {name: octets for name, octets in found.items() if [x.record for x in stored[name].seen[-1:]] != [octets]}
        if not new:
            return stored
        policies.note_seen(self.store, new, now)
        return {**stored, **policies.load(self.store, new)}

    def _with_evidence(self, outlooks: Sequence[Outlook], now: datetime) -> tuple[Outlook, ...]:
        known = [outlook for outlook in outlooks if outlook.octets is not None]
        contexts = {outlook.domain: _context(outlook) for outlook in known}
        requests = {
            outlook.domain: (
                window_before(now, _changes(outlook.stored.seen), days=outlook.governed.window_days),
                contexts[outlook.domain],
            )
            for outlook in known
        }
        watched = {
            outlook.domain: (window_since(max(since, now - _WATCHED), now), contexts[outlook.domain])
            for outlook in known
            if (since := _watched_since(outlook)) is not None
        }
        evidence, lately = self._gathered(requests), self._gathered(watched)
        return tuple(
            outlook if outlook.octets is None else _judged(outlook, evidence[outlook.domain], lately, now)
            for outlook in outlooks
        )

    def _gathered(self, requests: Requests) -> Mapping[str, Evidence]:
        return gather(
            self.store,
            requests,
            trusting=self.trusting,
            organizational_domain=lambda name: self.organizational_domain(Domain(name)),
        )


def _judged(outlook: Outlook, evidence: Evidence, lately: Mapping[str, Evidence], now: datetime) -> Outlook:
    rules, newest = outlook.governed.rules, standing(outlook.stored.changes)
    record = parse_record(text_of(outlook.octets or b""))
    watched = None
    if outlook.domain in lately and newest is not None:
        policy = parse_record(text_of(newest.after)).policy("p") or Policy.NONE
        watched = watch(lately[outlook.domain], rules, former=_former(outlook), policy=policy)
    judged = propose(
        record,
        evidence,
        rules,
        now,
        hold=outlook.stored.hold,
        signoff=None if outlook.signed is None or outlook.unproved else outlook.signed.signoff,
    )
    return replace(outlook, evidence=evidence, judged=judged, watch=watched)


def _used(stored: DomainPolicy) -> frozenset[str]:
    """Give the digests by which something was written."""
    return frozenset(change.digest for change in stored.changes if change.written_at is not None)


def _judged_octets(published: Published, stored: DomainPolicy) -> bytes | None:
    """Give what is in DNS, else what was there last."""
    if published.octets is not None:
        return published.octets
    return stored.seen[-1].record if stored.seen else None


def _watched_since(outlook: Outlook) -> datetime | None:
    """Give since when a step of ours stands, that could be taken back; None when none does."""
    newest, step = standing(outlook.stored.changes), deciding(outlook.stored.changes)
    if newest is None or newest.is_open or step is None or outlook.undoable is None:
        return None
    return step.acknowledged_at if outlook.octets == newest.after else None


def _former(outlook: Outlook) -> str | None:
    """Give the record that a step back writes; None when it would not be safe, which the step back itself says."""
    try:
        octets = former(outlook.stored.changes)
    except UnsafeChangeError:
        return None
    return None if octets is None else text_of(octets)


def _context(outlook: Outlook) -> Context:
    return Context(
        domain=outlook.domain,
        since=_since(outlook.stored.seen),
        rotation=outlook.stored.rotation,
        is_rua_authorised=outlook.published.is_rua_authorised,
        inherited=outlook.published.inherited,
    )


def _since(seen: Sequence[Seen]) -> datetime | None:
    """Give since when the policy is what it is; a change of other tags, such as `rua`, is none of it."""
    since = None
    for each in reversed(seen):
        if _policy(each.record) != _policy(seen[-1].record):
            break
        since = each.at
    return since


def _changes(seen: Sequence[Seen]) -> tuple[datetime, ...]:
    """Give when the policy was changed, by whomever."""
    return tuple(after.at for before, after in pairwise(seen) if _policy(before.record) != _policy(after.record))


def _policy(octets: bytes) -> tuple[str | None, ...]:
    return policy_tags(parse_record(text_of(octets)))
