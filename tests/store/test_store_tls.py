import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from builders import BEGIN, DAY, ask, message
from dmarcops.report.tls import TlsReport, parse_tls
from dmarcops.store.engine import Store
from dmarcops.store.intake import IncomingTls, Outcome
from dmarcops.store.near import meant
from dmarcops.store.reports import MessageResult, PayloadResult, record
from dmarcops.store.retention import Pruned, prune
from dmarcops.store.tables import TABLES
from dmarcops.store.tls_reports import identify_tls
from dmarcops.store.views import Filter, tls_reports

NOW = datetime(2026, 1, 3, 12, 30, tzinfo=UTC)


def failed(result_type: str, ip: str | None = "192.0.2.1", count: int = 1) -> dict[str, Any]:
    return {"result-type": result_type, "sending-mta-ip": ip, "failed-session-count": count}


def policy(*details: dict[str, Any], domain: str = "example.com", sessions: tuple[int, int] = (5, 0)) -> dict[str, Any]:
    return {
        "policy": {"policy-type": "sts", "policy-domain": domain, "mx-host": ["mx.example.com"]},
        "summary": {"total-successful-session-count": sessions[0], "total-failure-session-count": sessions[1]},
        "failure-details": list(details),
    }


def tls(
    *policies: dict[str, Any],
    organization: str | None = "Receiver",
    report_id: str | None = "1",
    day: int | None = 1,
    end: bool = True,
) -> TlsReport:
    period = {} if day is None else {"start-datetime": f"2026-01-{day:02}T00:00:00Z"}
    if end and day is not None:
        period["end-datetime"] = f"2026-01-{day:02}T23:59:59Z"
    said = {
        "organization-name": organization,
        "contact-info": "tls@receiver.example",
        "report-id": report_id,
        "date-range": period,
        "policies": policies or (policy(),),
    }
    return parse_tls(json.dumps(said).encode())


def stored(store: Store, *reports: TlsReport) -> list[str]:
    messages = [message(IncomingTls(f"{n}.json", x), origin=f"{n}.json") for n, x in enumerate(reports)]
    return [result.outcome.value for result in record(store, messages, NOW)]


def rows(store: Store, where: Filter, *columns: str) -> list[tuple[object, ...]]:
    table = tls_reports(store, where)
    places = [table.columns.index(column) for column in columns]
    return [tuple(row[place] for place in places) for row in table.rows]


def test_record_stores_all_that_a_tls_report_says(store: Store) -> None:
    detail = failed("certificate-expired", count=2) | {
        "receiving-mx-hostname": "mx.example.com",
        "receiving-mx-helo": "mx",
        "receiving-ip": "192.0.2.2",
        "additional-information": "https://receiver.example/",
        "failure-reason-code": "X",
    }
    built = tls(policy(detail, failed("validation-failure", None), sessions=(50, 3)), policy(domain="example.org"))
    results = record(store, [message(IncomingTls("a.json", built), origin="a.json")], NOW)
    assert results == (MessageResult("a.json", Outcome.STORED, (PayloadResult("a.json", Outcome.STORED),)),)
    with store.read() as connection:
        found = {
            name: [tuple(row) for row in connection.execute(TABLES[name].select().order_by(*TABLES[name].primary_key))]
            for name in ("tls_report", "tls_policy", "tls_failure")
        }
    head = (
        1,
        identify_tls(built)[1],
        built.content_sha256,
        built.sha256,
        False,
        "Receiver",
        "tls@receiver.example",
        "1",
    )
    period = (BEGIN, BEGIN + DAY - 1, date(2026, 1, 1))
    assert found == {
        "tls_report": [(*head, *period, "receiver", 2, 55, 3, "[]", "a.json", NOW, "unknown")],
        "tls_policy": [
            (1, 0, "sts", "example.com", "[]", '["mx.example.com"]', 50, 3),
            (1, 1, "sts", "example.org", "[]", '["mx.example.com"]', 5, 0),
        ],
        "tls_failure": [
            (
                *(1, 0, 0, "certificate-expired", "192.0.2.1", bytes((192, 0, 2, 1)), "mx.example.com", "mx"),
                *("192.0.2.2", 2, "https://receiver.example/", "X"),
            ),
            (1, 0, 1, "validation-failure", None, None, None, None, None, 1, None, None),
        ],
    }
    assert ask(store, "SELECT outcome, payload_sha256 FROM ledger") == [("stored", built.sha256)]


def test_record_tells_duplicates_and_conflicts_when_a_report_comes_again(store: Store) -> None:
    one, changed = tls(), tls(policy(sessions=(6, 0)))
    assert stored(store, one, changed, one, changed) == ["stored", "conflict", "duplicate", "duplicate"]
    later = [
        message(IncomingTls("x", x), origin=f"x{n}") for n, x in enumerate((one, changed, tls(policy(), policy())))
    ]
    assert [result.outcome.value for result in record(store, later, NOW)] == ["duplicate", "duplicate", "conflict"]
    assert ask(store, "SELECT id, conflict FROM tls_report ORDER BY id") == [
        *((number, conflict) for number, conflict in ((1, False), (2, True), (3, True))),
    ]


@pytest.mark.parametrize(
    "other",
    [tls(organization="Other"), tls(report_id="2"), tls(day=2), tls(end=False), tls(organization=None)],
)
def test_report_is_another_when_its_identity_is(store: Store, other: TlsReport) -> None:
    assert stored(store, tls(), other) == ["stored", "stored"]


def test_identity_is_of_the_address_and_the_content_when_names_are_missing() -> None:
    assert identify_tls(tls(organization=None))[0] == "receiver.example"
    assert identify_tls(tls(report_id=None))[1] != identify_tls(tls(policy(sessions=(9, 9)), report_id=None))[1]
    nameless = parse_tls(b'{"organization-name": "", "contact-info": null, "policies": []}')
    assert identify_tls(nameless)[0] is None


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Filter(), ["c.example", "a.example", "b.example", "d.example"]),
        (Filter(limit=2), ["c.example", "a.example"]),
        (Filter(domain="b.example"), ["b.example"]),
        (Filter(since=date(2026, 1, 2)), ["c.example"]),
        (Filter(until=date(2026, 1, 1)), ["a.example", "b.example"]),
        (Filter(source="192.0.2.0/24"), ["a.example"]),
        (Filter(source="192.0.2.2"), []),
        (Filter(reporter="OTHER"), ["c.example"]),
    ],
)
def test_list_holds_what_the_filter_lets_through(store: Store, where: Filter, expected: list[str]) -> None:
    stored(
        store,
        tls(policy(domain="b.example"), policy(failed("x"), domain="a.example", sessions=(0, 1))),
        tls(policy(domain="c.example"), organization="Other", day=2),
        tls(policy(domain="d.example"), report_id="2", day=None),
    )
    assert [row[0] for row in rows(store, where, "policy_domain")] == expected


def test_list_shows_sessions_and_why_they_failed(store: Store) -> None:
    details = [failed("validation-failure"), failed("certificate-expired"), failed("validation-failure", "192.0.2.9")]
    stored(store, tls(policy(*details, sessions=(50, 3)), policy(domain="example.org")), tls(policy(sessions=(1, 0))))
    columns = ("day", "reporter", "policy_type", "successful_count", "failed_count", "result_types", "conflict")
    day = date(2026, 1, 1)
    assert rows(store, Filter(), *columns, "repaired") == [
        (day, "receiver", "sts", 50, 3, "certificate-expired, validation-failure", False, False),
        (day, "receiver", "sts", 5, 0, None, False, False),
        (day, "receiver", "sts", 1, 0, None, True, False),
    ]


def test_prune_deletes_tls_reports_whose_period_is_over(store: Store) -> None:
    stored(store, tls(policy(failed("x"))), tls(day=2), tls(report_id="2", day=None))
    assert prune(store, date(2026, 1, 2)) == Pruned(0, 0, 0, 0, 0, tls_reports=1)
    assert ask(store, "SELECT id FROM tls_report ORDER BY id") == [(2,), (3,)]
    assert ask(store, "SELECT count(*) FROM tls_failure") == [(0,)]
    assert prune(store, date(2026, 1, 4)).tls_reports == 2
    assert ask(store, "SELECT count(*) FROM tls_policy") == [(0,)]


def test_many_reports_are_stored_in_one_batch(store: Store) -> None:
    outcomes = stored(store, *(tls(report_id=str(number)) for number in range(600)))
    assert outcomes == ["stored"] * 600
    assert stored(store, tls(report_id="599")) == ["duplicate"]


def test_name_that_was_meant_is_one_of_a_tls_report(store: Store) -> None:
    stored(store, tls(organization="Google Inc."))
    assert meant(store, Filter(reporter="google"), "tls") == ("google", "google inc.")
    assert meant(store, Filter(domain="exmple.com"), "tls") == ("exmple.com", "example.com")
    assert meant(store, Filter(reporter="GOOGLE  inc.", domain="com"), "tls") is None
