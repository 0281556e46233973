"""
A made-up domain day by day, from none to reject and back: on which day each step is made, and what moves none.

The mail: a server of its own, a service that is aligned from the start and one from day 42 on, a forwarder, a mailing
list, a campaign of spoofers; one reporter that goes silent, and one that is forged.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache

import pytest

from dmarcops.policy.compute import compute
from dmarcops.policy.evidence import Context, Count, Evidence
from dmarcops.policy.record import Policy, parse_record
from dmarcops.policy.rules import Rules
from dmarcops.policy.signoff import Signoff, sign
from dmarcops.policy.sources import Origin, Scope, Word, review
from dmarcops.policy.stepper import Decision, check, propose
from dmarcops.policy.watch import Outcome, watch
from dmarcops.policy.window import Window, window_before, window_since
from policy.mailstream import failing, said, stream

START = datetime(2026, 1, 1, 9, tzinfo=UTC)
RECORD = "v=DMARC1; p=none; rua=mailto:dmarc@example.com; adkim=s"
OWN = Origin("192.0.2.1", host="mx.example.com")
FIRST = Origin("198.51.100.1", service="First")
SECOND = Origin("198.51.100.2", service="Second")
FORWARDER = Origin("203.0.113.1", host="out.forwarder.example")
LISTS = Origin("203.0.113.2", host="lists.example")
REPORTERS = ("large.example", "medium.example", "small.example")
ALIGNED_FROM, BROKEN_FROM = 42, 150
CAMPAIGN = range(20, 100)
WORDS = review(
    [
        said(Word.ACK, Scope.DOMAIN, "example.com"),
        said(Word.ACK, Scope.SERVICE, "First"),
        said(Word.ACK, Scope.SERVICE, "Second"),
    ]
)
RULES = Rules()


def at(day: int) -> datetime:
    return START + timedelta(days=day)


def usual(day: int) -> Iterator[Count]:
    days = [at(day).date()]
    heard = [name for name in REPORTERS if name != "small.example" or day < 50]
    for reporter, share in zip(heard, (4, 2, 1), strict=False):
        yield from stream(OWN, 60 * share, reporters=[reporter], days=days)
        yield from stream(FIRST, 20 * share, reporters=[reporter], days=days)
        if day < ALIGNED_FROM:
            yield from failing(SECOND, 10 * share, reporters=[reporter], days=days, authenticated=10 * share)
        else:
            yield from stream(SECOND, 10 * share, reporters=[reporter], days=days)
        yield from stream(FORWARDER, share, reporters=[reporter], days=days, dkim=share)
        yield from failing(LISTS, share, reporters=[reporter], days=days, reasons={"mailing_list": share})


def spoofers(day: int) -> Iterator[Count]:
    for number in range(50) if day in CAMPAIGN else ():
        host = f"host{(number * 7 + day) % 500}"
        yield from failing(
            Origin(f"198.18.{day}.{number}", host=f"{host}.{host}.example"),
            2,
            days=[at(day).date()],
            reporters=REPORTERS[:2],
        )


def forged(day: int) -> Iterator[Count]:
    days = [at(day).date()]
    yield from failing(OWN, 10**6, reporters=["forged.example"], days=days)
    yield from stream(SECOND, 10**7, reporters=["forged.example"], days=days)


def with_broken_dkim(day: int) -> Iterator[Count]:
    for count in usual(day):
        is_broken = day >= BROKEN_FROM and count.origin == OWN
        yield replace(count, dkim=0, both=0) if is_broken else count


Mail = Callable[[int], Iterator[Count]]


def everything(day: int) -> Iterator[Count]:
    yield from usual(day)
    yield from spoofers(day)
    yield from forged(day)


def live(mail: Mail, last: int) -> dict[int, str]:
    """Take every step on the day on which it may be taken; give the record of each day on which it changed."""
    record, since, former = parse_record(RECORD), START, RECORD
    changes: list[datetime] = []
    log: dict[int, str] = {}
    reported = cache(lambda day: tuple(mail(day)))

    def evidence(window: Window, day: int) -> Evidence:
        def counted(each: date) -> bool:
            return window.begin <= each <= window.end

        days = [each for each in range(day) if counted(at(each).date())]
        return compute(
            (count for each in days for count in reported(each)),
            window,
            WORDS,
            organizational_domain=lambda host: ".".join(host.split(".")[-2:]),
            context=Context(domain="example.com", since=since, is_rua_authorised=True),
        )

    for day in range(1, last):
        now = at(day)
        if changes:
            seen = watch(
                evidence(window_since(since, now), day), RULES, former=former, policy=record.requested() or Policy.NONE
            )
            if seen.outcome is Outcome.REGRESSION:
                log[day] = f"back to {seen.record}"
                return log
        found = evidence(window_before(now, changes), day)
        proposal = propose(record, found, RULES, now)
        if proposal.decision is not Decision.UNSIGNED or proposal.statement is None:
            continue
        signoff = sign(Signoff(proposal.statement), by="Kim", at=now)
        following = check(proposal, signoff, record, found, now=now).next
        assert following is not None
        assert following.record is not None
        former, record, since = str(record), following.record, now
        changes.append(now)
        log[day] = str(record)
    return log


# The second service is aligned from day 42 on; the window is 28 days and ends two days ago: day 42 + 28 + 1.
STEPS = {
    71: "v=DMARC1; p=quarantine; t=y; rua=mailto:dmarc@example.com; adkim=s",
    85: "v=DMARC1; p=quarantine; np=reject; rua=mailto:dmarc@example.com; adkim=s",
    127: "v=DMARC1; p=reject; np=reject; rua=mailto:dmarc@example.com; adkim=s",
}


@pytest.mark.parametrize("mail", [usual, everything])
def test_steps_are_made_on_their_days_whatever_spoofers_and_forgers_send(mail: Mail) -> None:
    assert live(mail, 160) == STEPS


def test_break_of_dkim_after_reject_brings_back_the_former_record() -> None:
    assert live(with_broken_dkim, 170) == {**STEPS, 151: f"back to {STEPS[85]}"}


def test_without_the_late_service_the_calendar_decides() -> None:
    def aligned(day: int) -> Iterator[Count]:
        return (count for count in usual(day) if count.origin != SECOND)

    assert list(live(aligned, 120)) == [28, 42, 84]
