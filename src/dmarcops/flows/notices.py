"""
What a person is to be told, decided from facts: mailboxes that fail, reporters that fell silent, rejected reports, and
what runs over keys and policies found to be wrong.

A quiet week and a broken intake look alike from outside, so a notice about silence says what else is known: whether
others still report, and whether a mailbox fails in which the reports may be waiting. Whatever a stranger wrote is made
harmless before it goes into a notice. Does no I/O.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from typing import NamedTuple

from dmarcops.settings import NoticeSettings
from dmarcops.store.concerns import Remembered
from dmarcops.store.intake import Outcome
from dmarcops.store.notices import Told
from dmarcops.store.recent import PayloadCount, ReporterDays
from dmarcops.store.runs import SourceRun

DAILY_WINDOW = 10
"""Days up to a reporter's last one that say whether it used to send daily."""
DAILY_DAYS = 7
"""Of these days, on how many it must have sent to count as daily."""
FORGOTTEN_AFTER = timedelta(days=30)
"""How long a reporter that fell silent is missed; one that is gone for longer will not come back by a repair."""
REJECTED_WINDOW = timedelta(days=1)
"""How far back payloads are counted for the rate of rejected ones."""

_SHOWN = 20
_LONGEST = 200
_LONGEST_CONCERN = 1000
_REJECTED = (Outcome.CORRUPT, Outcome.UNSUPPORTED, Outcome.RETRY)
_ACTING = {"@": "(at)", "<": "(", ">": ")"}
_MAY_ACT = re.compile("[@<>]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known: how the runs over the configured mailboxes ended, who sent on which days, how payloads ended."""

    runs: Mapping[str, SourceRun]
    reporters: Sequence[ReporterDays]
    payloads: Sequence[PayloadCount]


class Notice(NamedTuple):
    """Something that a person is to be told once, and again when it is over; an event is not going to be over."""

    key: str
    title: str
    text: str
    is_over: bool = False
    is_event: bool = False


class Due(NamedTuple):
    """What is to be told now, and the keys of what is told anew and of what is over or was an event."""

    notices: tuple[Notice, ...]
    opened: tuple[str, ...]
    closed: tuple[str, ...]


def first_day(thresholds: NoticeSettings, now: datetime) -> date:
    """Return the first day whose reports count for the judgement."""
    return _first(thresholds, now) - timedelta(days=DAILY_WINDOW)


def judge(facts: Facts, thresholds: NoticeSettings, now: datetime) -> tuple[Notice, ...]:
    """Return for everything that can be judged what is wrong with it, or that it is well; the rest is left out."""
    return (
        *_mailboxes(facts, thresholds),
        *_reporters(facts, thresholds, now),
        *_rejections(facts, thresholds),
    )


def due(judged: Collection[Notice], told: Mapping[str, Told], repeat_after: timedelta, now: datetime) -> Due:
    """Return what of the judgement a person does not know yet, or was told too long ago."""
    opened, closed = [], []
    for notice in judged:
        before = told.get(notice.key)
        if notice.is_over:
            if before is not None and before.still_open:
                closed.append(notice)
        elif before is None or (now - before.last_told_at >= repeat_after and not notice.is_event):
            opened.append(notice)
    settled = [*closed, *(one for one in opened if one.is_event)]
    return Due((*opened, *closed), tuple(one.key for one in opened), tuple(one.key for one in settled))


def of_concerns(remembered: Iterable[Remembered], failing_runs: int) -> Iterator[Notice]:
    """
    Give a notice for each concern; what may pass by itself is left out until so many runs in a row found it.

    Args:
        remembered: What is known.
        failing_runs: How many runs that is.
    """
    for one in remembered:
        concern, title = one.concern, harmless(one.concern.title)
        text = harmless(concern.text, longest=_LONGEST_CONCERN)
        if concern.is_event:
            yield Notice(concern.key, title, text, is_event=True)
        elif one.ended_at is not None:
            lasted = f"It lasted from {_at(one.since)} to {_at(one.ended_at)}."
            yield Notice(concern.key, f"over: {title}", lasted, is_over=True)
        elif not concern.is_transient or one.runs >= failing_runs:
            yield Notice(concern.key, title, text)


def message(notices: Sequence[Notice]) -> tuple[str, str]:
    """Return title and text of the one message that tells of all of them."""
    if len(notices) == 1:
        return f"dmarcops: {notices[0].title}", notices[0].text
    parts = [f"{notice.title}\n{notice.text}" for notice in notices[:_SHOWN]]
    if len(notices) > _SHOWN:
        parts.append(f"And {len(notices) - _SHOWN} more.")
    return f"dmarcops: {notices[0].title}, and {len(notices) - 1} more", "\n\n".join(parts)


def harmless(text: str, *, longest: int = _LONGEST) -> str:
    """Return foreign text shortened, without what a terminal, a chat or a mail program would act upon."""
    shown = "".join(character if character.isprintable() else "?" for character in text[:longest])
    return _MAY_ACT.sub(lambda found: _ACTING[found.group()], shown) + ("..." if len(text) > longest else "")


def _mailboxes(facts: Facts, thresholds: NoticeSettings) -> Iterator[Notice]:
    for name, run in facts.runs.items():
        key, shown = f"failing-mailbox {name}", harmless(name)
        if run.failures_in_a_row >= thresholds.failing_runs:
            text = (
                f"{run.failures_in_a_row} runs in a row failed, the last time {_at(run.last_error_at)}:"
                f" {harmless(run.last_error or '')}. It last went well: {_at(run.last_ok_at)}."
                " `dmarcops doctor` says what to mend."
            )
            yield Notice(key, f"mailbox {shown} fails", text)
        elif run.last_ok_at and not run.failures_in_a_row:
            yield Notice(
                key, f"mailbox {shown} works again", f"It last went well: {_at(run.last_ok_at)}.", is_over=True
            )


def _reporters(facts: Facts, thresholds: NoticeSettings, now: datetime) -> Iterator[Notice]:
    """Judge the reporters, unless a mailbox was not read lately for another reason than that it fails."""
    if any(_is_behind(run, thresholds, now) for run in facts.runs.values()):
        return
    alive = Counter(one.policy_domain for one in facts.reporters if not _is_silent(one, thresholds, now))
    failing = ", ".join(harmless(name) for name, run in facts.runs.items() if run.failures_in_a_row)
    for one in facts.reporters:
        name, domain = harmless(one.reporter), harmless(one.policy_domain)
        digest = sha256(f"{one.reporter}\0{one.policy_domain}".encode()).hexdigest()
        key = f"silent-reporter {digest[:32]}"
        if not _is_silent(one, thresholds, now):
            text = f"Its newest report is of {one.days[-1]}."
            yield Notice(key, f"{name} reports about {domain} again", text, is_over=True)
        elif (rate := _daily_rate(one.days)) >= DAILY_DAYS and one.days[-1] >= _first(thresholds, now):
            text = (
                f"Its last report is of {one.days[-1]}; before, it reported on {rate} of {DAILY_WINDOW} days."
                f" {_context(domain, alive[one.policy_domain], failing)}"
            )
            yield Notice(key, f"no reports from {name} about {domain}", text)


def _context(domain: str, alive: int, failing: str) -> str:
    """Say what tells a reporter that stopped from an intake that is broken."""
    if failing:
        return f"The reports may be waiting in a mailbox that fails: {failing}."
    if alive == 1:
        return f"One other reporter still reports about {domain}, so the intake works."
    if alive:
        return f"{alive} other reporters still report about {domain}, so the intake works."
    return (
        f"Nobody else reports about {domain} any more either: see whether the rua address in its DMARC record is right,"
        " and whether mail to it arrives."
    )


def _rejections(facts: Facts, thresholds: NoticeSettings) -> Iterator[Notice]:
    total = sum(one.count for one in facts.payloads if one.outcome != Outcome.NOT_A_REPORT)
    bad = [one for one in facts.payloads if one.outcome in _REJECTED]
    rejected = sum(one.count for one in bad)
    if rejected > thresholds.rejected_rate * total and total >= thresholds.rejected_min:
        told = ", ".join(f"{one.count} {one.outcome} ({one.code})" for one in bad[:_SHOWN])
        text = (
            f"{rejected} of {total} reports of the last day could not be stored: {told}. `dmarcops ledger` lists them."
        )
        yield Notice("rejected", "many reports are rejected", text)
    elif total and rejected <= thresholds.rejected_rate * total:
        text = f"Of the last day's {total} reports {rejected} could not be stored."
        yield Notice("rejected", "few reports are rejected again", text, is_over=True)


def _is_behind(run: SourceRun, thresholds: NoticeSettings, now: datetime) -> bool:
    """Tell whether reports may be in the mailbox that were not taken in yet, as before the first run is through."""
    return run.failures_in_a_row == 0 and (run.last_ok_at is None or now - run.last_ok_at > thresholds.silent_after)


def _is_silent(reporter: ReporterDays, thresholds: NoticeSettings, now: datetime) -> bool:
    return now - _expected(reporter.days[-1]) > thresholds.silent_after


def _first(thresholds: NoticeSettings, now: datetime) -> date:
    """Return the earliest day that the last report of a reporter can be of, for it to be missed."""
    return (now - thresholds.silent_after - FORGOTTEN_AFTER).date()


def _expected(last: date) -> datetime:
    """Return the end of the day on which the report of `last` is sent: reports come on the day after their own."""
    return datetime.combine(last + timedelta(days=2), time(), UTC)


def _daily_rate(days: Sequence[date]) -> int:
    return sum(day > days[-1] - timedelta(days=DAILY_WINDOW) for day in days)


def _at(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
