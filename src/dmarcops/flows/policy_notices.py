"""
What a person is told of policies: steps that were made, mail that suffers, records of others, signatures that lack.

Each is told once, again after a while, and when it is over; a step is told once.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from dmarcops.errors import Refused
from dmarcops.flows.advance import Stepped
from dmarcops.flows.notices import Notice, harmless
from dmarcops.flows.watchdog import tell
from dmarcops.policy.journal import Change, Kind, standing, text_of
from dmarcops.policy.stepper import Decision
from dmarcops.policy.watch import Outcome
from dmarcops.ports import Notifier
from dmarcops.settings import NoticeSettings
from dmarcops.store.engine import Store
from dmarcops.store.notices import load_told

LATE_AFTER = timedelta(days=1)
"""How long a change may take until every server has it, before somebody is told."""
NEWS_FOR = timedelta(days=7)
"""How long a step is news."""
_STEP = "policy-step "


def tell_of(
    store: Store, notifier: Notifier, stepped: Sequence[Stepped], *, thresholds: NoticeSettings, now: datetime
) -> tuple[Notice, ...]:
    """
    Tell what is to be told now, and return that; does nothing while another program is at it.

    Args:
        store: The store.
        notifier: Who tells.
        stepped: What became of each domain.
        thresholds: How often the same is told.
        now: When.

    Raises:
        StoreError: The store failed.
        ConfigError: The notifier cannot be used as it is configured.
        EdgeError: Nobody could be told; it is tried again the next time.
    """
    with suppress(Refused), store.exclusive("notices"):
        told = load_told(store)
        judged = [notice for each in stepped for notice in notices(each, now)]
        new = [notice for notice in judged if not (notice.key.startswith(_STEP) and notice.key in told)]
        return tell(store, notifier, new, repeat_after=thresholds.repeat_after, now=now)
    return ()


def notices(stepped: Stepped, now: datetime) -> Iterator[Notice]:
    """Give for everything that can be judged what is wrong with it, or that it is well; the rest is left out."""
    outlook = stepped.outlook
    if outlook.proposal is None:
        return
    change = stepped.change or standing(outlook.stored.changes)
    if change is not None:
        yield from _step(change, now)
        yield _late(stepped, change, now)
    yield _foreign(stepped)
    yield _unsigned(stepped)
    yield from _suffering(stepped)


def _step(change: Change, now: datetime) -> Iterator[Notice]:
    at = change.acknowledged_at
    if at is None or change.kind is Kind.ADOPT or now - at > NEWS_FOR:
        return
    what = "is stricter now" if change.kind is Kind.ADVANCE else "was taken back"
    text = f"In DNS since {_at(at)}: {harmless(text_of(change.after))} - before: {harmless(text_of(change.before))}"
    yield Notice(f"{_STEP}{change.id}", f"the policy of {harmless(change.domain)} {what}", text)


def _late(stepped: Stepped, change: Change, now: datetime) -> Notice:
    key, domain = f"policy-late {stepped.domain}", harmless(stepped.domain)
    if change.is_open and now - change.decided_at > LATE_AFTER:
        text = (
            f"Decided {_at(change.decided_at)}, and not done yet: {harmless(stepped.late) or 'it cannot be written'}."
        )
        return Notice(key, f"a change of the policy of {domain} does not get on", text)
    return Notice(key, f"the change of the policy of {domain} is done", "Every server has it.", is_over=True)


def _foreign(stepped: Stepped) -> Notice:
    key, domain = f"policy-foreign {stepped.domain}", harmless(stepped.domain)
    refusals = [problem for problem in stepped.problems if isinstance(problem, Refused) and "foreign" in problem.guard]
    if refusals:
        text = f"{harmless(refusals[0].reason)}. Nothing is written: {harmless(refusals[0].hint)}."
        return Notice(key, f"somebody else changed the policy of {domain}", text)
    return Notice(key, f"the policy of {domain} is known again", "It is stepped on.", is_over=True)


def _unsigned(stepped: Stepped) -> Notice:
    key, domain = f"policy-unsigned {stepped.domain}", harmless(stepped.domain)
    proposal = stepped.outlook.proposal
    if proposal is not None and proposal.decision is Decision.UNSIGNED and proposal.next is not None:
        text = (
            f"The date has come and all gates are open for {proposal.next.step.rung}."
            f" `dmarcops policy report {domain}` shows it, `dmarcops policy sign {domain}` signs it."
        )
        return Notice(key, f"the policy of {domain} waits for a signature", text)
    return Notice(key, f"the policy of {domain} waits for no signature", "It goes its way.", is_over=True)


def _suffering(stepped: Stepped) -> Iterator[Notice]:
    outlook = stepped.outlook
    key, domain = f"policy-failing {stepped.domain}", harmless(stepped.domain)
    if outlook.is_failing and outlook.watch is not None:
        taken = stepped.change is not None and stepped.change.kind is Kind.ROLLBACK
        what = "The step was taken back." if taken else f"`dmarcops policy rollback {domain}` takes the step back."
        yield Notice(key, f"mail of {domain} suffers", f"{harmless('; '.join(outlook.watch.reasons))}. {what}")
    elif outlook.watch is None or outlook.watch.outcome is Outcome.FINE:
        yield Notice(key, f"mail of {domain} is well again", "Nothing suffers from the policy.", is_over=True)


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
