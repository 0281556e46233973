"""The watchdog over a real store: what it tells, once, again, and when it is over."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from builders import BEGIN, DAY, message, rejection, report
from dmarcops.errors import EdgeError
from dmarcops.flows.watchdog import keep_watch, tell_concerns
from dmarcops.settings import NoticeSettings
from dmarcops.store.concerns import Concern, save
from dmarcops.store.engine import Store
from dmarcops.store.notices import load_told
from dmarcops.store.reports import record
from dmarcops.store.runs import save_error, save_ok

NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
THRESHOLDS = NoticeSettings(
    failing_runs=2, silent_after=timedelta(days=3), rejected_rate=0.2, rejected_min=5, repeat_after=timedelta(days=1)
)


@dataclass
class People:
    """Who is told."""

    heard: list[str] = field(default_factory=list)
    are_away: bool = False

    def tell(self, title: str, text: str) -> None:
        """Remember."""
        if self.are_away:
            raise EdgeError("nobody is there", transient=True)
        assert text
        self.heard.append(title)


def look(store: Store, now: datetime, people: People) -> list[str]:
    """Let the watchdog look, and return what people heard."""
    people.heard.clear()
    keep_watch(store, people, THRESHOLDS, mailboxes=["rua"], now=now)
    return list(people.heard)


def test_failing_mailbox_is_told_of_once_again_and_when_it_is_over(store: Store) -> None:
    people = People()
    save_error(store, "rua", "login refused", NOW)
    save_error(store, "removed", "login refused", NOW)
    save_error(store, "removed", "login refused", NOW)
    assert look(store, NOW, people) == []
    save_error(store, "rua", "login refused", NOW)
    assert look(store, NOW, people) == ["dmarcops: mailbox rua fails"]
    assert look(store, NOW + HOUR, people) == []
    assert look(store, NOW + 24 * HOUR, people) == ["dmarcops: mailbox rua fails"]
    save_ok(store, "rua", NOW + 25 * HOUR)
    assert look(store, NOW + 25 * HOUR, people) == ["dmarcops: mailbox rua works again"]
    assert look(store, NOW + 26 * HOUR, people) == []
    told = load_told(store)["failing-mailbox rua"]
    assert (told.last_told_at, told.still_open) == (NOW + 24 * HOUR, False)


def test_it_is_tried_again_when_nobody_could_be_told(store: Store) -> None:
    people = People(are_away=True)
    save_error(store, "rua", "login refused", NOW)
    save_error(store, "rua", "login refused", NOW)
    with pytest.raises(EdgeError):
        look(store, NOW, people)
    assert load_told(store) == {}
    people.are_away = False
    assert look(store, NOW, people) == ["dmarcops: mailbox rua fails"]


def test_silent_reporter_is_told_of_until_it_sends_again(store: Store) -> None:
    people = People()
    save_ok(store, "rua", NOW)

    def sent(number: int, name: str) -> None:
        begin = BEGIN + number * DAY
        one = report(org_name=name, report_id=f"{name} {number}", period=(begin, begin + DAY - 1))
        record(store, [message(one, origin=f"{name}{number}.eml")], NOW)

    for number in range(19):  # the last is of 2026-01-19
        if number < 14:
            sent(number, "Google.com")
        sent(number, "Other.example")
    assert look(store, NOW, people) == ["dmarcops: no reports from google.com about example.com"]
    assert look(store, NOW + HOUR, people) == []
    sent(19, "Google.com")
    assert look(store, NOW + HOUR, people) == ["dmarcops: google.com reports about example.com again"]


def test_rejected_reports_of_the_last_day_are_told_of(store: Store) -> None:
    people = People()
    for number in range(5):
        record(store, [message(rejection(), origin=f"{number}.eml")], NOW)
    record(store, [message(report(), origin="good.eml")], NOW)
    assert look(store, NOW, people) == ["dmarcops: many reports are rejected"]
    assert look(store, NOW + 25 * HOUR, people) == []
    record(store, [message(report(report_id="2"), origin="better.eml")], NOW + 25 * HOUR)
    assert look(store, NOW + 25 * HOUR, people) == ["dmarcops: few reports are rejected again"]


def test_watchdog_leaves_it_to_another_that_is_at_it(store: Store) -> None:
    people = People()
    save_error(store, "rua", "login refused", NOW)
    save_error(store, "rua", "login refused", NOW)
    with store.exclusive("notices"):
        assert look(store, NOW, people) == []
    assert look(store, NOW, people) == ["dmarcops: mailbox rua fails"]


def test_concerns_are_told_of_once_again_and_when_they_are_over(store: Store) -> None:
    people = People()
    stuck = Concern(subject="policy", domain="example.com", kind="k", title="a step went wrong", text="more fails")
    happened = Concern(subject="policy", domain="example.com", kind="e", title="it was", text="so", is_event=True)

    def run(hours: int, *found: Concern) -> list[str]:
        now = NOW + hours * HOUR
        people.heard.clear()
        save(store, "policy", {"example.com": found}, now)
        tell_concerns(store, people, THRESHOLDS, subject="policy", now=now)
        return list(people.heard)

    assert run(0, stuck, happened) == ["dmarcops: it was, and 1 more"]
    assert run(1, stuck) == []
    assert run(24, stuck) == ["dmarcops: a step went wrong"]
    assert run(25) == ["dmarcops: over: a step went wrong"]
    assert run(26, stuck) == []
    assert run(27) == []
    assert tell_concerns(store, people, THRESHOLDS, subject="dkim", now=NOW) == ()


def test_concern_that_was_over_before_anybody_heard_of_it_is_not_told(store: Store) -> None:
    people = People(are_away=True)
    stuck = Concern(subject="dkim", domain="example.com", kind="k", title="t", text="x")
    save(store, "dkim", {"example.com": [stuck]}, NOW)
    with pytest.raises(EdgeError):
        tell_concerns(store, people, THRESHOLDS, subject="dkim", now=NOW)
    people.are_away = False
    save(store, "dkim", {"example.com": []}, NOW + HOUR)
    assert tell_concerns(store, people, THRESHOLDS, subject="dkim", now=NOW + HOUR) == ()
