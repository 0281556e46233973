"""
Steps of policies made and taken back: decide, commit, write, acknowledge. It can be killed anywhere.

What is decided is in the store before it is in DNS; it is written only where the provider has what was judged, and
acknowledged when every authoritative server has it, in this run or a later one. The lock of the domain is held all the
while, the same as that of a rotation of its keys.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from dmarcops.errors import DmarcopsError, ForeignRecordError, UnsafeChangeError
from dmarcops.flows.policy import Governed, Outlook, Policies, foreign_record
from dmarcops.flows.policy_dns import record_name, shown
from dmarcops.policy.answers import octets_of, text_of
from dmarcops.policy.journal import Change, Kind, deciding, former, standing, under_way
from dmarcops.policy.stepper import Decision, check
from dmarcops.ports import TxtSet
from dmarcops.store import policies

_NEW = 0
"""The number of a change before the store gives it one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped:
    """
    What became of one domain.

    `outlook` is how it stood when it was looked at last; `change` what was, is being or would be written, None when
    nothing; `late` says which servers do not have it yet.
    """

    outlook: Outlook
    change: Change | None = None
    late: str = ""
    problems: tuple[DmarcopsError, ...] = ()

    @property
    def domain(self) -> str:
        """The domain."""
        return self.outlook.domain


@dataclass
class _Work:
    """A domain while its lock is held: how it stood before, and stands now."""

    before: Outlook
    outlook: Outlook
    change: Change | None = None
    late: str = ""
    problems: list[DmarcopsError] = field(default_factory=list)

    @property
    def domain(self) -> str:
        return self.outlook.domain

    def stepped(self) -> Stepped:
        return Stepped(outlook=self.outlook, change=self.change, late=self.late, problems=tuple(self.problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepping:
    """
    Steps of policies, ready to be made.

    Args:
        policies: Looks at them.
        who: Who runs it, for the audit trail.
    """

    policies: Policies
    who: str

    def advance(self, domains: Sequence[Governed], *, dry_run: bool = False) -> Iterator[Stepped]:
        """
        Make every step that the date, the gates and the signatures allow, and go on with those under way.

        A step of ours that legitimate mail suffers from is taken back where the owner wants that. What fails with one
        domain keeps no other back.

        Args:
            domains: Which.
            dry_run: Only say what would be done.
        """
        for outlook in self.policies.look(domains):
            if not _is_due(outlook):
                refusals = (outlook.foreign,) if outlook.foreign else ()
                yield Stepped(outlook=outlook, problems=(*outlook.problems, *refusals))
            elif dry_run:
                work = _Work(outlook, outlook)
                with _guarded(work):
                    work.change = outlook.under_way or self._writable(work, self._wanted(outlook, outlook))
                yield work.stepped()
            else:
                yield self._locked(outlook, self._advance)

    def rollback(self, governed: Governed, *, again: bool = False, dry_run: bool = False) -> Stepped:
        """
        Put exactly the former record back, at once.

        Nothing happens when that was done already, unless it is to be done again, for the step before.

        Args:
            governed: The domain.
            again: Take back the step before the one that was taken back already.
            dry_run: Only say what would be done.
        """
        (outlook,) = self.policies.look([governed])
        if not dry_run:
            return self._locked(outlook, lambda work: self._rollback(work, again=again))
        work = _Work(outlook, outlook)
        with _guarded(work):
            work.change = _done_already(outlook, again=again) or self._back(outlook)
        return work.stepped()

    def _locked(self, before: Outlook, act: Callable[[_Work], None]) -> Stepped:
        """Look again under the lock, and act on what is there then."""
        work = _Work(before, before)
        with _guarded(work), self.policies.store.exclusive(before.domain):
            (work.outlook,) = self.policies.look([before.governed])
            act(work)
        return work.stepped()

    def _advance(self, work: _Work) -> None:
        outlook = work.outlook
        change = outlook.under_way
        if change is not None:
            self._go_on(work, change)
        elif outlook.foreign is not None:
            raise outlook.foreign
        elif outlook.octets != work.before.octets:
            there, expected = outlook.octets or b"", work.before.octets or b""
            raise foreign_record(work.domain, shown((there,)), shown((expected,)))
        elif _is_due(outlook):
            wanted = self._writable(work, self._wanted(work.before, outlook))
            is_back = wanted.kind is Kind.ROLLBACK
            reason = "mail suffers" if is_back else "the date, the gates and the signatures allow it"
            self._decide(work, wanted, reason)

    def _wanted(self, before: Outlook, outlook: Outlook) -> Change:
        """Give the change that is due: a step back before a step up, which is decided anew on the facts of now."""
        if _is_to_be_taken_back(outlook):
            return self._back(outlook)
        judged, proposed, evidence = outlook.judged, before.judged, outlook.evidence
        if judged is None or proposed is None or evidence is None or outlook.octets is None:
            raise AssertionError(outlook.domain)
        proposed = replace(proposed, hold=judged.hold)
        again = check(proposed, judged.signoff, judged.record, evidence, now=self._now())
        after = again.next.record if again.next else None
        digest = again.signoff.statement.digest if again.signoff is not None and again.is_signed else ""
        return self._change(outlook.domain, Kind.ADVANCE, outlook.octets, octets_of(str(after)), digest=digest)

    def _writable(self, work: _Work, change: Change) -> Change:
        """
        Give a change back when its provider has the name to write it at.

        One that refuses it, as where a CNAME stands, would do so every time: the change would be under way for ever.
        """
        self._fetched(work)
        return change

    def _go_on(self, work: _Work, change: Change) -> None:
        """Go on with a change that was decided before; a step that nothing was written of is judged anew."""
        if change.kind is Kind.ADVANCE and self._is_unwritten(work, change) and not _still_holds(work.outlook, change):
            judged = work.outlook.judged
            reasons = judged.reasons if judged is not None else ()
            self._withdraw(work, change, f"it would not be decided any more: {'; '.join(reasons)}")
            return
        self._carry_out(work, change)

    def _rollback(self, work: _Work, *, again: bool) -> None:
        changes = work.outlook.stored.changes
        done = _done_already(work.outlook, again=again)
        if done is not None:
            work.change = done
            if done.is_open:
                self._carry_out(work, done)
            return
        back, forward = self._back(work.outlook), under_way(changes)
        if forward is not None and self._is_unwritten(work, forward):
            self._withdraw(work, forward, "taken back before anything was written")
            return
        there = _values(self._fetched(work))
        if there != (back.before,):
            raise foreign_record(work.domain, shown(there), shown((back.before,)))
        self._decide(work, back, "asked for by a person")

    def _back(self, outlook: Outlook) -> Change:
        """Give the change that takes our newest step back."""
        newest, octets = standing(outlook.stored.changes), former(outlook.stored.changes)
        if octets is None or newest is None:
            raise UnsafeChangeError(
                "nothing-to-take-back",
                f"no step of ours stands in DNS for {outlook.domain}, so there is no former record",
            )
        return self._change(outlook.domain, Kind.ROLLBACK, newest.after, octets)

    def _decide(self, work: _Work, change: Change, reason: str) -> None:
        self._carry_out(work, policies.decide(self.policies.store, change, detail=reason, now=self._now()))

    def _carry_out(self, work: _Work, change: Change) -> None:
        """Write what is decided, and acknowledge it when every server has it; goes on wherever it was killed."""
        work.change = change
        provider, store = work.outlook.governed.provider(), self.policies.store
        found, token = self._fetched(work), ""
        if found is not None and found.values == (change.before,) and change.written_at is None:
            token = self._replaced(work, change, found)
        elif _values(found) != (change.after,):
            raise self._withdrawn_as_foreign(work, change, _values(found))
        if not provider.is_settled(token):
            work.late = "the provider has not put it on all of its servers yet"
            return
        if change.written_at is None:
            work.change = change = policies.mark_written(store, change, self._now())
        servers = self.policies.resolver.authoritative(record_name(work.domain))
        late = [f"{server} has {shown(texts)}" for server, texts in servers.items() if texts != (change.after,)]
        if late:
            work.late = "; ".join(late)
            return
        work.change = policies.acknowledge(store, change, self._now())

    def _replaced(self, work: _Work, change: Change, found: TxtSet) -> str:
        try:
            return work.outlook.governed.provider().replace(found, change.after)
        except ForeignRecordError as error:
            raise self._withdrawn_as_foreign(work, change, _values(self._fetched(work))) from error

    def _withdrawn_as_foreign(self, work: _Work, change: Change, there: tuple[bytes, ...]) -> ForeignRecordError:
        expected = change.before if change.written_at is None else change.after
        error = foreign_record(work.domain, shown(there), shown((expected,)))
        self._withdraw(work, change, error.reason)
        return error

    def _withdraw(self, work: _Work, change: Change, reason: str) -> None:
        work.change = policies.withdraw(self.policies.store, change, who=self.who, reason=reason, now=self._now())

    def _is_unwritten(self, work: _Work, change: Change) -> bool:
        return change.written_at is None and _values(self._fetched(work)) == (change.before,)

    def _fetched(self, work: _Work) -> TxtSet | None:
        return work.outlook.governed.provider().fetch(record_name(work.domain))

    def _change(self, domain: str, kind: Kind, before: bytes, after: bytes, *, digest: str = "") -> Change:
        return Change(
            id=_NEW,
            domain=domain,
            kind=kind,
            before=before,
            after=after,
            digest=digest,
            who=self.who,
            decided_at=self._now(),
        )

    def _now(self) -> datetime:
        return self.policies.clock()


@contextmanager
def _guarded(work: _Work) -> Iterator[None]:
    """Keep an error with the domain that it is of."""
    try:
        yield
    except DmarcopsError as error:
        work.problems.append(error)


def _is_due(outlook: Outlook) -> bool:
    """Tell whether there is something to do."""
    is_ready = outlook.proposal is not None and outlook.proposal.decision is Decision.READY
    return outlook.under_way is not None or is_ready or _is_to_be_taken_back(outlook)


def _is_to_be_taken_back(outlook: Outlook) -> bool:
    is_held = outlook.judged is not None and outlook.judged.decision is Decision.HELD
    return outlook.is_failing and outlook.governed.auto_rollback and not is_held


def _still_holds(outlook: Outlook, change: Change) -> bool:
    """Tell whether the same change would be decided now."""
    judged = outlook.judged
    if judged is None or judged.decision is not Decision.READY or judged.next is None:
        return False
    return str(judged.next.record) == text_of(change.after)


def _done_already(outlook: Outlook, *, again: bool) -> Change | None:
    """Give the step back that is decided or made already, so that the same order twice is one."""
    newest = deciding(outlook.stored.changes)
    if newest is None or newest.kind is not Kind.ROLLBACK or (again and not newest.is_open):
        return None
    return newest


def _values(found: TxtSet | None) -> tuple[bytes, ...]:
    return () if found is None else found.values
