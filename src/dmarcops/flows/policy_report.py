"""What a sign-off report says of a domain, put together from how its policy stands and what was done so far."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from dmarcops.flows.policy import Outlook
from dmarcops.policy.answers import text_of
from dmarcops.policy.lint import Severity, lint
from dmarcops.policy.signoff_report import DkimKey, FleetReport, PastStep, SignoffReport, Unknown
from dmarcops.policy.stepper import prices
from dmarcops.store import audit, keys, source_words
from dmarcops.store.engine import Store

_TOLD = ("policy-sign", "policy-hold", "policy-resume", "policy-adopt", "policy-withdrawn", "source-")


def report_of(store: Store, outlook: Outlook, *, brand: str = "", title: str = "") -> SignoffReport | Unknown:
    """
    Give the report of a domain, or why there is none.

    Args:
        store: Where its keys and its history are.
        outlook: How its policy stands.
        brand: Whose domain it is.
        title: What stands above it.

    Raises:
        StoreError: The store cannot be read.
    """
    proposal, evidence = outlook.proposal, outlook.evidence
    if proposal is None or evidence is None:
        return Unknown(outlook.domain, str(outlook.published.problem), brand)
    return SignoffReport(
        proposal=proposal,
        evidence=evidence,
        prices=prices(evidence, proposal.rules),
        keys=tuple(_keys(store, outlook.domain)),
        steps=tuple(_steps(outlook)),
        history=tuple(_history(store, outlook.domain)),
        remarks=tuple(_remarks(outlook)),
        brand=brand,
        title=title,
    )


def fleet_of(reports: Sequence[SignoffReport | Unknown], *, title: str = "") -> FleetReport:
    """Give the report of many domains."""
    return FleetReport(
        reports=tuple(each for each in reports if isinstance(each, SignoffReport)),
        unknown=tuple(each for each in reports if isinstance(each, Unknown)),
        title=title,
    )


def _keys(store: Store, domain: str) -> Iterator[DkimKey]:
    for key in keys.load(store, domain).keys:
        yield DkimKey(
            selector=key.selector,
            algorithm=key.algorithm.value,
            state=key.stage.value,
            detail=f"{key.bits} bits, since {_day(key.since)}",
        )


def _steps(outlook: Outlook) -> Iterator[PastStep]:
    for change in outlook.stored.changes:
        if change.acknowledged_at is not None:
            yield PastStep(
                at=change.acknowledged_at,
                kind=change.kind.value,
                before=text_of(change.before),
                after=text_of(change.after),
                by=change.who,
            )


def _history(store: Store, domain: str) -> Iterator[str]:
    """Give what people said and did: of the domain, and of sources for all domains, as these words hold here too."""
    of_all = audit.history(store, source_words.EVERYWHERE)
    for entry in sorted((*audit.history(store, domain), *of_all), key=lambda entry: entry.number):
        event = entry.event
        if event.action.startswith(_TOLD):
            of = "" if event.domain else " (all domains)"
            yield f"{_day(entry.at)} {event.who}: {event.action}{of} {event.detail}".rstrip()


def _remarks(outlook: Outlook) -> Iterator[str]:
    if outlook.published.problem is not None:
        yield str(outlook.published.problem)
    if outlook.is_failing and outlook.watch is not None:
        yield f"since the last step mail suffers: {'; '.join(outlook.watch.reasons)}"
    if outlook.proposal is not None:
        for finding in lint(outlook.proposal.record):
            if finding.lint.severity is not Severity.NOTE:
                yield f"{finding.lint.code}: {finding.lint.text} ({finding.detail})"


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
