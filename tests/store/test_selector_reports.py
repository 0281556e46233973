"""What reports show of selectors: the newest that passes, and how much authenticated mail passed since."""

from dataclasses import replace
from datetime import UTC, datetime

from builders import BEGIN, DAY, dkim, evaluation, incoming, message, report
from dmarcops.report.model import AuthResults
from dmarcops.store.engine import Store
from dmarcops.store.reports import record
from dmarcops.store.selector_reports import Reported, passed, reported

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def put(store: Store, selector: str | None, day: int, *, result: str = "pass", authenticated: str = "unknown") -> None:
    said = evaluation(results=AuthResults((dkim("example.com", selector, result),), ()))
    of = report(
        ("192.0.2.1", 5, said), report_id=f"{selector}{day}", period=(BEGIN + day * DAY, BEGIN + day * DAY + 100)
    )
    payload = replace(incoming(of), authenticated=authenticated)
    record(store, [message(payload, origin=f"{selector}{day}.eml")], NOW)


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_the_newest_report_that_shows_a_selector_passing_counts(store: Store) -> None:
    assert reported(store, "example.com", NOW) == Reported()
    put(store, "s1", 0)
    put(store, "s1", 2)
    put(store, "s1", 4, result="fail")
    put(store, None, 5)
    found = reported(store, "example.com", NOW)
    assert found.last == {"s1": moment(BEGIN + 2 * DAY + 100)}
    assert found.until == moment(BEGIN + 5 * DAY + 100)
    assert reported(store, "example.net", NOW) == Reported()


def test_reports_of_a_time_to_come_show_nothing(store: Store) -> None:
    put(store, "s1", 0)
    said = evaluation(results=AuthResults((dkim("example.com", "s1"),), ()))
    for number, end in enumerate((int(NOW.timestamp()) + 2 * DAY, 253_402_300_799)):
        forged = report(("192.0.2.1", 5, said), report_id=f"forged{number}", period=(BEGIN, end))
        record(store, [message(incoming(forged), origin=f"{number}.eml")], NOW)
    found = reported(store, "example.com", NOW)
    assert (found.last, found.until) == ({"s1": moment(BEGIN + 100)}, moment(BEGIN + 100))


def test_only_authenticated_reports_that_began_later_prove_a_key(store: Store) -> None:
    put(store, "s1", 0, authenticated="authenticated")
    put(store, "s1", 1)
    assert passed(store, "example.com", "s1", moment(BEGIN - 1)) == 5
    assert passed(store, "example.com", "s1", moment(BEGIN + 1)) == 0
    assert passed(store, "example.com", "s2", moment(BEGIN - 1)) == 0
