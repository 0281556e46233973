"""
What a person is to know of policies: steps that were made, mail that suffers, records of others, signatures that lack.

Each is saved by the run that finds it, and over with the run that finds it no more.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from dmarcops.errors import DmarcopsError, EdgeError, ForeignRecordError, Refused, StoreError
from dmarcops.flows.advance import Stepped
from dmarcops.policy.answers import text_of
from dmarcops.policy.journal import Change, Kind, deciding
from dmarcops.policy.stepper import Decision
from dmarcops.store.concerns import Concern, load, save
from dmarcops.store.engine import Store

SUBJECT = "policy"
"""What policies are called among the concerns."""
LATE_AFTER = timedelta(days=1)
"""How long a change may take until every server has it, before somebody is told."""
NEWS_FOR = timedelta(days=1)
"""How long a step is news: the run that made it may have died before it could say so."""
_TITLES = {
    Kind.ADVANCE: "the policy of {domain} is stricter now",
    Kind.ROLLBACK: "a step of the policy of {domain} was taken back",
}


def remember(
    store: Store, stepped: Sequence[Stepped], now: datetime, *, unusable: Mapping[str, DmarcopsError], is_all: bool
) -> None:
    """
    Save what a person is to know of some domains, until a later run finds that it is over.

    Args:
        store: Where to.
        stepped: What became of the domains.
        now: When.
        unusable: The domains whose configuration cannot be used, and why.
        is_all: They are all that are configured: what is known of others is over.

    Raises:
        StoreError: The store is locked or cannot be written.
    """
    found: dict[str, list[Concern]] = {each.domain: list(concerns(each, now)) for each in stepped}
    found |= {domain: [_failure(domain, error)] for domain, error in unusable.items()}
    if is_all:
        found = {**{each.concern.domain: [] for each in load(store, SUBJECT)}, **found}
    unsure = {each.domain for each in stepped if any(not isinstance(problem, Refused) for problem in each.problems)}
    save(store, SUBJECT, found, now, unsure=unsure)


def concerns(stepped: Stepped, now: datetime) -> Iterator[Concern]:
    """Give what there is to know of a domain."""
    change = stepped.change or deciding(stepped.outlook.stored.changes)
    if change is not None:
        yield from _step(change, now)
        yield from _late(stepped, change, now)
    yield from _suffering(stepped)
    yield from _unsigned(stepped)
    for problem in stepped.problems:
        if isinstance(problem, ForeignRecordError):
            title = f"somebody else changed the policy of {stepped.domain}"
            yield _concern(stepped.domain, "foreign-record", title, problem.told)
        elif not isinstance(problem, Refused):
            yield _failure(stepped.domain, problem)


def _step(change: Change, now: datetime) -> Iterator[Concern]:
    at = change.acknowledged_at
    if at is not None and change.kind in _TITLES and now - at <= NEWS_FOR:
        text = f"In DNS since {_at(at)}: {text_of(change.after)} - before: {text_of(change.before)}"
        title = _TITLES[change.kind].format(domain=change.domain)
        yield _concern(change.domain, f"{change.kind}", title, text, is_event=True)


def _late(stepped: Stepped, change: Change, now: datetime) -> Iterator[Concern]:
    if change.is_open and now - change.decided_at > LATE_AFTER:
        text = f"Decided {_at(change.decided_at)}, and not done yet: {stepped.late or 'it cannot be written'}."
        title = f"a change of the policy of {stepped.domain} does not get on"
        yield _concern(stepped.domain, "late", title, text)


def _suffering(stepped: Stepped) -> Iterator[Concern]:
    outlook, domain = stepped.outlook, stepped.domain
    if outlook.is_failing and outlook.watch is not None:
        taken = stepped.change is not None and stepped.change.kind is Kind.ROLLBACK
        what = "The step was taken back." if taken else f"`dmarcops policy rollback {domain}` takes the step back."
        text = f"{'; '.join(outlook.watch.reasons)}. {what}"
        yield _concern(domain, "suffering", f"mail of {domain} suffers from its policy", text)


def _unsigned(stepped: Stepped) -> Iterator[Concern]:
    domain, proposal = stepped.domain, stepped.outlook.proposal
    if proposal is not None and proposal.decision is Decision.UNSIGNED and proposal.next is not None:
        text = (
            f"The date has come and all gates are open for {proposal.next.step.rung}."
            f" `dmarcops policy report {domain}` shows it, `dmarcops policy sign {domain}` signs it."
        )
        yield _concern(domain, "unsigned", f"the policy of {domain} waits for a signature", text)


def _failure(domain: str, error: DmarcopsError) -> Concern:
    is_transient = isinstance(error, StoreError) or (isinstance(error, EdgeError) and error.transient)
    title = f"something fails with the policy of {domain}"
    return _concern(domain, "failed", title, error.told, is_transient=is_transient)


def _concern(
    domain: str, kind: str, title: str, text: str, *, is_event: bool = False, is_transient: bool = False
) -> Concern:
    return Concern(
        subject=SUBJECT,
        domain=domain,
        kind=kind,
        title=title,
        text=text,
        is_event=is_event,
        is_transient=is_transient,
    )


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
