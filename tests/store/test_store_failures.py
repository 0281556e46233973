import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from builders import ask, message, rejection, report
from dmarcops.errors import ConfigError
from dmarcops.report.failure import FailureReport, parse_failure
from dmarcops.report.redact import Redactor
from dmarcops.store.address_key import address_key
from dmarcops.store.engine import Store
from dmarcops.store.intake import IncomingFailure, IncomingMessage, Outcome
from dmarcops.store.near import meant
from dmarcops.store.reports import MessageResult, PayloadResult, record
from dmarcops.store.retention import Pruned, prune
from dmarcops.store.tables import TABLES
from dmarcops.store.views import Filter, failure_reports

NOW = datetime(2026, 1, 3, 12, 30, tzinfo=UTC)
REDACTOR = Redactor(b"key")
REQUIRED = "Feedback-Type: auth-failure\nUser-Agent: A/1\nVersion: 1\nAuth-Failure: dmarc\n"


def failure(*lines: str, domain: str = "example.com", ip: str = "192.0.2.1", day: int = 1) -> FailureReport:
    fields = f"{REQUIRED}Reported-Domain: {domain}\nSource-IP: {ip}\nArrival-Date: {day} Jan 2026 10:00:00 +0000\n"
    return parse_failure((fields + "\n".join(lines)).encode(), REDACTOR)


def mailed(reporter: str, author: str) -> FailureReport:
    """Build a report that came in a mail, with the header of the reported message."""
    body = f"--b\nContent-Type: message/feedback-report\n\n{REQUIRED}Source-IP: 2001:db8::1\n"
    body += f"--b\nContent-Type: text/rfc822-headers\n\nFrom: <a@{author}>\nSubject: x\n--b--\n"
    head = f"From: <r@{reporter}>\nDate: 2 Jan 2026 00:00:00 +0000\nContent-Type: multipart/report; boundary=b; "
    return parse_failure(f"{head}report-type=feedback-report\n\n{body}".encode(), REDACTOR)


def stored(store: Store, *reports: FailureReport, now: datetime = NOW) -> list[str]:
    messages = [message(IncomingFailure(f"{n}.eml", x), origin=f"{n}.eml") for n, x in enumerate(reports)]
    return [result.outcome.value for result in record(store, messages, now)]


def rows(store: Store, where: Filter, *columns: str) -> list[tuple[object, ...]]:
    table = failure_reports(store, where)
    places = [table.columns.index(column) for column in columns]
    return [tuple(row[place] for place in places) for row in table.rows]


def test_record_stores_all_that_a_failure_report_says(store: Store) -> None:
    built = failure(
        "Authentication-Results: mx.example; dkim=fail; spf=pass; dmarc=fail",
        "Original-Rcpt-To: a@example.org",
        "Original-Mail-From: b@example.com",
        "Identity-Alignment: dkim",
        "Source-Port: 25",
        "Delivery-Result: odd",
        "Reported-URI: https://example.net/x",
    )
    results = record(store, [message(IncomingFailure("a.eml#1", built), origin="a.eml")], NOW)
    assert results == (MessageResult("a.eml", Outcome.STORED, (PayloadResult("a.eml#1", Outcome.STORED, repairs=1),)),)
    with store.read() as connection:
        row = dict(connection.execute(TABLES["failure_report"].select()).mappings().one())
    lists = ("reported_domains", "reported_uris", "authentication_results", "original_rcpt_to", "repairs")
    for name in lists:
        row[name] = json.loads(row[name])
    nothing = [
        *("reporter", "header_from", "dkim_domain", "dkim_identity", "dkim_selector", "dkim_selector_dns"),
        *("spf_dns", "original_envelope_id", "removal_recipient", "message_id", "reporting_mta"),
    ]
    assert row == {
        **dict.fromkeys(nothing),
        "id": 1,
        "content_sha256": built.content_sha256,
        "payload_sha256": built.sha256,
        "kind": "failure",
        "feedback_type": "auth-failure",
        "user_agent": "A/1",
        "version": "1",
        "auth_failure": "dmarc",
        "delivery_result": "other",
        "identity_alignment": "dkim",
        "reported_domain": "example.com",
        "reported_domains": ["example.com"],
        "reported_uris": ["https://example.net"],
        "source_ip": "192.0.2.1",
        "source_key": bytes((192, 0, 2, 1)),
        "source_port": 25,
        "arrival_date": datetime(2026, 1, 1, 10, tzinfo=UTC),
        "day": date(2026, 1, 1),
        "incidents": 1,
        "dkim_result": "fail",
        "spf_result": "pass",
        "dmarc_result": "fail",
        "authentication_results": ["mx.example; dkim=fail; spf=pass; dmarc=fail"],
        "original_mail_from": REDACTOR.address("b@example.com"),
        "original_rcpt_to": [REDACTOR.address("a@example.org")],
        "repairs": [{"code": "unknown-value", "path": "delivery-result", "detail": "odd", "first": 0, "count": 1}],
        "origin": "a.eml#1",
        "received_at": NOW,
        "authenticated": "unknown",
    }
    assert ask(store, "SELECT outcome, payload_sha256 FROM ledger") == [("stored", built.sha256)]
    assert ask(store, "SELECT outcome, report_id FROM ledger_payload") == [("stored", None)]


def test_record_tells_duplicates_by_content_in_a_batch_and_later(store: Store) -> None:
    one, other = failure(), failure(ip="192.0.2.2")
    assert stored(store, one, other, one) == ["stored", "stored", "duplicate"]
    again = message(IncomingFailure("again.eml", one), origin="again.eml")
    assert [result.outcome for result in record(store, [again], NOW)] == [Outcome.DUPLICATE]
    assert ask(store, "SELECT id FROM failure_report ORDER BY id") == [(1,), (2,)]


def test_record_takes_all_kinds_in_one_message(store: Store) -> None:
    mixed = message(report(), IncomingFailure("m#2", failure()), rejection(), origin="m", raw=b"m")
    (result,) = record(store, [mixed], NOW)
    assert [payload.outcome.value for payload in result.payloads] == ["stored", "stored", "corrupt"]
    assert ask(store, "SELECT outcome, payload_count FROM ledger") == [("corrupt", 3)]


@pytest.mark.parametrize(("alignment", "expected"), [("none", "none"), ("spf, dkim", "dkim,spf"), ("", None)])
def test_alignment_is_a_list_of_what_failed(store: Store, alignment: str, expected: str | None) -> None:
    stored(store, failure(f"Identity-Alignment: {alignment}"))
    assert rows(store, Filter(), "identity_alignment") == [(expected,)]


def test_day_is_that_of_receipt_when_the_mail_is_of_the_future_or_of_no_time(store: Store) -> None:
    undated = parse_failure(REQUIRED.encode(), REDACTOR)
    stored(store, failure(day=31), undated, failure(day=2))
    assert rows(store, Filter(), "day", "arrival_date") == [
        (date(2026, 1, 3), datetime(2026, 1, 31, 10, tzinfo=UTC)),
        (date(2026, 1, 3), None),
        (date(2026, 1, 2), datetime(2026, 1, 2, 10, tzinfo=UTC)),
    ]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Filter(), ["192.0.2.9", "2001:db8::1", "192.0.2.1"]),
        (Filter(limit=1), ["192.0.2.9"]),
        (Filter(domain="example.com"), ["192.0.2.9", "192.0.2.1"]),
        (Filter(domain="author.example"), ["2001:db8::1"]),
        (Filter(since=date(2026, 1, 2)), ["192.0.2.9", "2001:db8::1"]),
        (Filter(until=date(2026, 1, 1)), ["192.0.2.1"]),
        (Filter(source="192.0.2.8/29"), ["192.0.2.9"]),
        (Filter(reporter="Receiver.example"), ["2001:db8::1"]),
        (Filter(authenticated="authenticated"), []),
    ],
)
def test_list_holds_what_the_filter_lets_through(store: Store, where: Filter, expected: list[str]) -> None:
    late = failure(domain="mail.example.com", ip="192.0.2.9", day=2)
    stored(store, failure(), late, mailed("receiver.example", "author.example"))
    assert [row[0] for row in rows(store, where, "source_ip")] == expected


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Filter(reporter="receiver"), ("receiver", "receiver.example")),
        (Filter(reporter="receiver.example", since=date(2037, 1, 1)), None),
        (Filter(domain="autor.example"), ("autor.example", "author.example")),
        (Filter(domain="com", since=date(2037, 1, 1)), None),
        (Filter(domain="org", reporter="zzz"), None),
    ],
)
def test_name_that_was_meant_is_one_of_a_failure_report(
    store: Store, where: Filter, expected: tuple[str, str] | None
) -> None:
    stored(store, failure(), mailed("receiver.example", "author.example"))
    assert meant(store, where, "failure") == expected
    assert meant(store, where) is None


def test_list_refuses_a_source_that_is_none(store: Store) -> None:
    with pytest.raises(ConfigError, match="neither an IP address nor a network"):
        failure_reports(store, Filter(source="x"))


def test_list_says_what_was_repaired(store: Store) -> None:
    stored(store, failure(), failure("Delivery-Result: odd"))
    assert sorted(rows(store, Filter(), "repaired", "delivery_result"), key=str) == [(False, None), (True, "other")]


def test_prune_deletes_failure_reports_that_are_older(store: Store) -> None:
    stored(store, failure(), failure(day=2), failure(day=31))
    assert prune(store, date(2026, 1, 2), dry_run=True).failure_reports == 1
    assert prune(store, date(2026, 1, 2)) == Pruned(0, 0, 0, 0, 0, failure_reports=1)
    assert ask(store, "SELECT id FROM failure_report ORDER BY id") == [(2,), (3,)]
    assert prune(store, date(2026, 1, 4)).failure_reports == 2


def test_file_names_that_are_no_text_are_stored(store: Store) -> None:
    odd = IncomingMessage("a\udcff", "1", (IncomingFailure("a\udcff#1", failure()),), None)
    record(store, [odd], NOW)
    assert rows(store, Filter(), "origin") == [("a\\udcff#1",)]


def test_address_key_stays_the_same_and_is_another_in_another_store(store: Store, tmp_path: Path) -> None:
    key = address_key(store)
    assert len(key) == 32
    assert address_key(store) == key
    with Store.open(f"sqlite:///{tmp_path}/other.db") as other:
        assert address_key(other) != key
