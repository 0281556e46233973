from dataclasses import replace
from datetime import UTC, date, datetime
from typing import cast

import pytest

from builders import BEGIN, DAY, FAIL, PASS, ask, dkim, evaluation, message, messages, rejection, report, spf
from dmarcops.errors import ConfigError, StoreError
from dmarcops.report.model import AuthResults, Disposition, OverrideReason, OverrideType, PolicyValue, Repair
from dmarcops.store import views
from dmarcops.store.engine import Store
from dmarcops.store.intake import Outcome
from dmarcops.store.reports import record
from dmarcops.store.views import Filter, Table

NOW = datetime(2026, 1, 5, tzinfo=UTC)
FIRST, SECOND = date(2026, 1, 1), date(2026, 1, 2)

PASSING = evaluation()
SPOOFED = evaluation(
    aligned=(FAIL, FAIL), disposition=Disposition.QUARANTINE, results=AuthResults((), (spf("spoof.example", "fail"),))
)
FORWARDED = evaluation(
    aligned=(FAIL, FAIL),
    envelope_from="bounce.example.net",
    # One signature listed twice, once with another result, and two reasons: no mail may count twice for it.
    results=AuthResults(
        (dkim("example.net", "k1", "fail"), dkim("example.net", "k1"), dkim("example.org", None)),
        (spf("bounce.example.net"),),
    ),
    reasons=[
        OverrideReason(OverrideType.FORWARDED, "list a"),
        OverrideReason(OverrideType.FORWARDED, "list b"),
        OverrideReason(OverrideType.OTHER, None),
    ],
)
BY_SPF = evaluation(
    aligned=(FAIL, PASS),
    header_from="mail.example.com",
    results=AuthResults((dkim(result="fail"),), (spf("mail.example.com"),)),
    reasons=[OverrideReason(OverrideType.OTHER, None)],
)
NAKED = evaluation(aligned=(FAIL, FAIL), header_from="example.org", results=AuthResults((), ()))


@pytest.fixture(autouse=True)
def _filled(store: Store) -> None:
    """
    Fill the store with six reports.

    Reporter.example: example.com twice on the first day, overlapping, and once more with other content; example.net on
    the second; example.org without a date. Yahoo: example.com on the second.
    """
    first = [
        report(("192.0.2.1", 10, PASSING), ("198.51.100.7", 5, SPOOFED), ("192.0.2.200", 2, FORWARDED), report_id="1"),
        report(("192.0.2.1", 1000, PASSING), report_id="1"),
        report(("192.0.2.1", 1, PASSING), report_id="2", period=(BEGIN + DAY // 2, BEGIN + DAY), p=PolicyValue.REJECT),
        report(
            ("2001:db8::5", 4, evaluation(header_from="example.net")),
            domain="example.net",
            report_id="3",
            period=(BEGIN + DAY, BEGIN + 2 * DAY - 1),
        ),
        report(("not-an-ip", 1, NAKED), domain="example.org", report_id="4", period=(None, None)),
    ]
    yahoo = report(
        ("2001:db8:0:1::5", 7, BY_SPF),
        ("198.51.100.7", 3, SPOOFED),
        org_name="Yahoo",
        period=(BEGIN + DAY, BEGIN + 2 * DAY),
        repairs=[Repair("bom", "", "")],
        p=PolicyValue.QUARANTINE,
    )
    record(store, messages([*first, yahoo]), NOW)


def rows(table: Table, *columns: str) -> list[tuple[object, ...]]:
    """Return the rows, of the columns asked for."""
    places = [table.columns.index(column) for column in columns or table.columns]
    return [tuple(row[place] for place in places) for row in table.rows]


def test_alignment_failures_say_who_and_why_when_asked(store: Store) -> None:
    assert ask(
        store,
        "SELECT reporter, policy_domain, header_from, source_ip, mail_count, disposition, dkim_failure, spf_failure,"
        " failure, envelope_from, dkim_domains, dkim_selectors, spf_domains, override_reasons"
        " FROM alignment_failures ORDER BY mail_count DESC, reporter",
    ) == [
        (
            *("reporter.example", "example.com", "example.com", "198.51.100.7", 5, "quarantine", "no-dkim", "spf-fail"),
            *("no-dkim+spf-fail", None, None, None, "spoof.example", None),
        ),
        (
            *("yahoo", "example.com", "example.com", "198.51.100.7", 3, "quarantine", "no-dkim", "spf-fail"),
            *("no-dkim+spf-fail", None, None, None, "spoof.example", None),
        ),
        (
            *("reporter.example", "example.com", "example.com", "192.0.2.200", 2, "none"),
            *("dkim-unaligned", "spf-unaligned", "dkim-unaligned+spf-unaligned", "bounce.example.net"),
            *("example.net example.net example.org", "k1 k1 -", "bounce.example.net"),
            "forwarded (list a); forwarded (list b); other",
        ),
        (
            *("reporter.example", "example.org", "example.org", "not-an-ip", 1, "none", "no-dkim", "no-spf"),
            *("no-dkim+no-spf", None, None, None, None, None),
        ),
    ]


def test_every_view_counts_all_mail_once_when_added_up(store: Store) -> None:
    for view, column in (
        ("record_flat", "mail_count"),
        ("evaluation_flat", "mail_count"),
        ("source_summary", "mail_count"),
        ("source_summary", "pass_count + fail_count"),
        ("domain_daily", "mail_count"),
        ("domain_daily", "pass_count + fail_count"),
        ("reporter_summary", "mail_count"),
        ("reporter_summary", "pass_count + fail_count"),
    ):
        assert ask(store, f"SELECT CAST(sum({column}) AS BIGINT) FROM {view}") == [(33,)], (view, column)
    assert ask(store, "SELECT CAST(sum(mail_count) AS BIGINT) FROM alignment_failures") == [(11,)]


def test_domain_daily_counts_by_day_when_asked(store: Store) -> None:
    assert ask(
        store,
        "SELECT policy_domain, day, mail_count, pass_count, fail_count, dkim_aligned_count, spf_aligned_count,"
        " quarantine_count, reject_count, record_count, report_count, reporter_count"
        " FROM domain_daily ORDER BY policy_domain, day",
    ) == [
        ("example.com", "2026-01-01", 18, 11, 7, 11, 11, 5, 0, 4, 2, 1),
        ("example.com", "2026-01-02", 10, 7, 3, 0, 7, 3, 0, 2, 1, 1),
        ("example.net", "2026-01-02", 4, 4, 0, 4, 4, 0, 0, 1, 1, 1),
        ("example.org", None, 1, 0, 1, 0, 0, 0, 0, 1, 1, 1),
    ]


def test_source_summary_counts_by_source_when_asked(store: Store) -> None:
    assert ask(store, "SELECT * FROM source_summary ORDER BY policy_domain, source_ip") == [
        ("example.com", "192.0.2.1", 11, 11, 0, 11, 11, 2, 1, "2026-01-01", "2026-01-01"),
        ("example.com", "192.0.2.200", 2, 0, 2, 0, 0, 1, 1, "2026-01-01", "2026-01-01"),
        ("example.com", "198.51.100.7", 8, 0, 8, 0, 0, 2, 2, "2026-01-01", "2026-01-02"),
        ("example.com", "2001:db8:0:1::5", 7, 7, 0, 0, 7, 1, 1, "2026-01-02", "2026-01-02"),
        ("example.net", "2001:db8::5", 4, 4, 0, 4, 4, 1, 1, "2026-01-02", "2026-01-02"),
        ("example.org", "not-an-ip", 1, 0, 1, 0, 0, 1, 1, None, None),
    ]


def test_reporter_summary_tells_conflicts_and_overlaps_when_asked(store: Store) -> None:
    assert ask(store, "SELECT * FROM reporter_summary ORDER BY reporter") == [
        ("reporter.example", 4, 1, 1, 23, 15, 8, 6, 3, "2026-01-01", "2026-01-02", "2026-01-05 00:00:00+00:00"),
        ("yahoo", 1, 0, 0, 10, 7, 3, 2, 1, "2026-01-02", "2026-01-02", "2026-01-05 00:00:00+00:00"),
    ]


SELECTORS = [
    # policy_domain, dkim_domain, selector, mail, pass, fail, aligned, reporters, first and last day
    ("example.com", "example.com", "s1", 18, 11, 7, 18, 2, FIRST, SECOND),
    ("example.net", "example.com", "s1", 4, 4, 0, 0, 1, SECOND, SECOND),
    ("example.com", "example.net", "k1", 2, 2, 0, 0, 1, FIRST, FIRST),
    ("example.com", "example.org", None, 2, 2, 0, 0, 1, FIRST, FIRST),
]


def test_selector_usage_counts_a_mail_once_a_selector_when_it_is_listed_twice(store: Store) -> None:
    said = ask(store, "SELECT * FROM selector_usage ORDER BY mail_count DESC, dkim_domain")
    assert said == [(*row[:8], str(row[8]), str(row[9])) for row in SELECTORS]


def test_override_reasons_count_a_mail_once_a_comment_when_asked(store: Store) -> None:
    assert ask(store, "SELECT * FROM override_reasons ORDER BY policy_domain, type, comment") == [
        ("example.com", "forwarded", "list a", 2, 2, 1, "2026-01-01", "2026-01-01"),
        ("example.com", "forwarded", "list b", 2, 2, 1, "2026-01-01", "2026-01-01"),
        ("example.com", "other", None, 9, 2, 2, "2026-01-01", "2026-01-02"),
    ]


def test_summary_shows_each_domain_with_its_newest_policy_when_asked(store: Store) -> None:
    table = views.summary(store, Filter())
    assert table.columns == (
        *("policy_domain", "p", "mail_count", "pass_count", "fail_count", "pass_rate"),
        *("dkim_aligned_count", "spf_aligned_count", "report_count", "reporter_count", "first_day", "last_day"),
    )
    assert rows(table) == [
        ("example.com", "quarantine", 28, 18, 10, 18 / 28, 11, 18, 3, 2, FIRST, SECOND),
        ("example.net", "none", 4, 4, 0, 1.0, 4, 4, 1, 1, SECOND, SECOND),
        ("example.org", None, 1, 0, 1, 0.0, 0, 0, 1, 1, None, None),
    ]


def test_summary_has_no_rate_when_there_is_no_mail(store: Store) -> None:
    record(store, [message(report(("192.0.2.1", 0, PASSING), domain="example.edu"), origin="0.eml")], NOW)
    assert rows(views.summary(store, Filter(domain="example.edu")), "mail_count", "pass_rate") == [(0, None)]


def test_summary_shows_a_domain_whose_reports_have_no_record(store: Store) -> None:
    before = rows(views.summary(store, Filter()))
    said = [report(domain="mail.example.edu", report_id="7"), report(report_id="8")]
    record(store, messages([replace(one, records=(), record_count=0, mail_count=0) for one in said]), NOW)
    zeros = ("mail.example.edu", "none", 0, 0, 0, None, 0, 0, 1, 1, FIRST, FIRST)
    [(domain, *counts, report_count, reporter_count, first, last), *others] = before
    com = (domain, *counts, cast("int", report_count) + 1, reporter_count, first, last)
    assert rows(views.summary(store, Filter())) == [com, *others, zeros]
    assert rows(views.summary(store, Filter(domain="example.edu", since=FIRST, authenticated="unknown"))) == [zeros]
    for other in (Filter(reporter="yahoo"), Filter(since=SECOND), Filter(source="0.0.0.0/0"), Filter(domain="edu.org")):
        assert zeros not in rows(views.summary(store, other))


def test_sources_are_those_of_the_view_when_all_are_asked(store: Store) -> None:
    table = views.sources(store, Filter())
    said = rows(table)
    assert [row[:3] for row in said][:2] == [("192.0.2.1", "example.com", 11), ("198.51.100.7", "example.com", 8)]
    view = ask(store, f"SELECT {', '.join(table.columns)} FROM source_summary")
    assert sorted(map(str, view)) == sorted(str((*row[:9], *(x and str(x) for x in row[9:]))) for row in said)


def test_selectors_are_those_of_the_view_when_all_are_asked(store: Store) -> None:
    assert rows(views.selectors(store, Filter())) == SELECTORS


def test_rows_of_as_much_mail_have_one_order_in_every_database(store: Store) -> None:
    signed = AuthResults((dkim("tie.example", "k9", "fail"), dkim("tie.example", None, "fail")), ())
    evaluated = evaluation(aligned=(FAIL, FAIL), results=signed)
    record(store, messages([report(("192.0.2.9", 3, evaluated), report_id="9")]), NOW)
    columns = ("dkim_domain", "selector")
    for table in (views.selectors(store, Filter()), views.failures(store, Filter(), by="selector")):
        tied = [selector for domain, selector in rows(table, *columns) if domain == "tie.example"]
        assert tied == ["k9", None]


def test_selectors_count_only_mail_of_the_source_when_asked_for_one(store: Store) -> None:
    said = rows(views.selectors(store, Filter(source="2001:db8::/32")), "policy_domain", "selector", "mail_count")
    assert said == [("example.com", "s1", 7), ("example.net", "s1", 4)]


def test_failures_are_those_of_the_view_when_not_grouped(store: Store) -> None:
    table = views.failures(store, Filter())
    view = ask(store, f"SELECT {', '.join(table.columns)} FROM alignment_failures ORDER BY mail_count DESC")
    assert [row[1:] for row in view] == [row[1:] for row in rows(table)]
    assert rows(views.failures(store, Filter(limit=1)), "day", "mail_count") == [(FIRST, 5)]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (
            "source",
            [
                ("198.51.100.7", "no-dkim+spf-fail", 8, 2, 2, FIRST, SECOND),
                ("192.0.2.200", "dkim-unaligned+spf-unaligned", 2, 1, 1, FIRST, FIRST),
                ("not-an-ip", "no-dkim+no-spf", 1, 1, 1, None, None),
            ],
        ),
        (
            "domain",
            [
                ("example.com", "no-dkim+spf-fail", 8, 2, 2, FIRST, SECOND),
                ("example.com", "dkim-unaligned+spf-unaligned", 2, 1, 1, FIRST, FIRST),
                ("example.org", "no-dkim+no-spf", 1, 1, 1, None, None),
            ],
        ),
        (
            "reporter",
            [
                ("reporter.example", "no-dkim+spf-fail", 5, 1, 1, FIRST, FIRST),
                ("yahoo", "no-dkim+spf-fail", 3, 1, 1, SECOND, SECOND),
                ("reporter.example", "dkim-unaligned+spf-unaligned", 2, 1, 1, FIRST, FIRST),
                ("reporter.example", "no-dkim+no-spf", 1, 1, 1, None, None),
            ],
        ),
        (
            "day",
            [
                (FIRST, "no-dkim+spf-fail", 5, 1, 1, FIRST, FIRST),
                (SECOND, "no-dkim+spf-fail", 3, 1, 1, SECOND, SECOND),
                (FIRST, "dkim-unaligned+spf-unaligned", 2, 1, 1, FIRST, FIRST),
                (None, "no-dkim+no-spf", 1, 1, 1, None, None),
            ],
        ),
        (
            "selector",
            [
                (None, None, "no-dkim+spf-fail", 8, 2, 2, FIRST, SECOND),
                ("example.net", "k1", "dkim-unaligned+spf-unaligned", 2, 1, 1, FIRST, FIRST),
                ("example.org", None, "dkim-unaligned+spf-unaligned", 2, 1, 1, FIRST, FIRST),
                (None, None, "no-dkim+no-spf", 1, 1, 1, None, None),
            ],
        ),
        (
            "reason",
            [
                (None, "no-dkim+spf-fail", 8, 2, 2, FIRST, SECOND),
                ("forwarded", "dkim-unaligned+spf-unaligned", 2, 1, 1, FIRST, FIRST),
                ("other", "dkim-unaligned+spf-unaligned", 2, 1, 1, FIRST, FIRST),
                (None, "no-dkim+no-spf", 1, 1, 1, None, None),
            ],
        ),
    ],
)
def test_failures_say_how_much_and_why_when_grouped(store: Store, by: str, expected: list[object]) -> None:
    table = views.failures(store, Filter(), by)
    assert table.columns[-6:] == ("failure", "mail_count", "record_count", "reporter_count", "first_day", "last_day")
    assert rows(table) == expected


@pytest.mark.parametrize("by", ["domain", "reporter", "day", "selector", "reason"])
def test_failures_count_only_mail_of_the_source_when_grouped(store: Store, by: str) -> None:
    said = rows(views.failures(store, Filter(source="198.51.100.0/24", reporter="yahoo"), by), "mail_count")
    assert said == [(3,)]


def test_failures_are_refused_when_the_grouping_is_unknown(store: Store) -> None:
    with pytest.raises(ConfigError, match="cannot be grouped by colour") as caught:
        views.failures(store, Filter(), "colour")
    assert "selector" in caught.value.hint


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Filter(), 33),
        (Filter(domain="example.com"), 28),
        (Filter(domain=" Example.COM. "), 28),
        (Filter(domain="mail.example.com"), 7),
        (Filter(domain="xample.com"), 0),
        (Filter(domain="example_com"), 0),
        (Filter(domain="com"), 28),
        (Filter(domain="example.org"), 1),
        (Filter(since=SECOND), 14),
        (Filter(until=FIRST), 18),
        (Filter(since=FIRST, until=SECOND), 32),
        (Filter(source="192.0.2.1"), 11),
        (Filter(source="192.0.2.0/24"), 13),
        (Filter(source="192.0.2.77/24"), 13),
        (Filter(source="::ffff:192.0.2.1"), 11),
        (Filter(source="::ffff:192.0.2.0/120"), 13),
        (Filter(source="0.0.0.0/0"), 21),
        (Filter(source="::/0"), 11),
        (Filter(source="2001:0db8:0:0::5"), 4),
        (Filter(source="2001:db8::/48"), 11),
        (Filter(source="2001:db8:0:1::/64"), 7),
        (Filter(source="c000:0200::/24"), 0),
        (Filter(reporter=" YAHOO "), 10),
        (Filter(reporter="nobody"), 0),
        (Filter(authenticated="unknown"), 33),
        (Filter(authenticated="pass"), 0),
        (Filter(domain="example.com", since=SECOND, source="198.51.100.7", reporter="yahoo"), 3),
    ],
)
def test_every_question_is_about_the_mail_of_the_filter_when_there_is_one(
    store: Store, where: Filter, expected: int
) -> None:
    for question in (views.summary, views.sources, views.export):
        counted = [count for (count,) in rows(question(store, where), "mail_count") if isinstance(count, int)]
        assert sum(counted) == expected, question


def test_limit_beyond_what_a_database_counts_is_no_limit(store: Store) -> None:
    where = Filter(limit=2**63)
    for question in (views.summary, views.sources, views.reports, views.export, views.failures):
        assert list(question(store, where).rows) == list(question(store, Filter()).rows)
    assert list(views.ledger(store, limit=10**30).rows) == list(views.ledger(store).rows)


@pytest.mark.parametrize("source", ["192.0.2", "192.0.2.0/33", "example.com", ""])
def test_a_question_is_refused_when_the_source_is_no_address(store: Store, source: str) -> None:
    for question in (views.summary, views.sources, views.reports, views.export, views.failures):
        with pytest.raises(ConfigError, match="neither an IP address nor a network"):
            question(store, Filter(source=source))


def test_reports_list_all_with_their_totals_when_asked(store: Store) -> None:
    columns = ("day", "reporter", "policy_domain", "p", "report_id", "mail_count", "pass_count", "fail_count")
    known = {row[4:6]: row for row in rows(views.reports(store, Filter()), *columns)}
    assert len(known) == 6
    assert known["1", 17] == (FIRST, "reporter.example", "example.com", "none", "1", 17, 10, 7)
    assert known["1", 10] == (SECOND, "yahoo", "example.com", "quarantine", "1", 10, 7, 3)


def test_reports_show_the_newest_first_and_flag_conflicts_when_asked(store: Store) -> None:
    shown = rows(views.reports(store, Filter(since=FIRST)), "day", "mail_count", "conflict", "repaired", "origin")
    assert shown == [
        (SECOND, 10, False, True, "5.eml#1"),
        (SECOND, 4, False, False, "3.eml#1"),
        (FIRST, 1000, True, False, "1.eml#1"),
        (FIRST, 17, False, False, "0.eml#1"),
        (FIRST, 1, False, False, "2.eml#1"),
    ]
    assert rows(views.reports(store, Filter(since=FIRST, limit=1)), "received_at") == [(NOW,)]
    assert rows(views.reports(store, Filter()), "day")[-2:] == [(FIRST,), (None,)]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Filter(domain="example.com"), {17, 1000, 1, 10}),
        (Filter(domain="mail.example.com"), {10}),
        (Filter(source="2001:db8::/32"), {4, 10}),
        (Filter(reporter="Yahoo", until=FIRST), set()),
        (Filter(domain="example.com", source="198.51.100.7", authenticated="unknown"), {17, 10}),
    ],
)
def test_reports_are_those_that_hold_such_mail_when_filtered(
    store: Store, where: Filter, expected: set[object]
) -> None:
    assert {count for (count,) in rows(views.reports(store, where), "mail_count")} == expected


def test_export_gives_each_record_flat_with_its_results_as_text_when_asked(store: Store) -> None:
    table = views.export(store, Filter())
    wanted = [row for row in rows(table) if row[table.columns.index("source_ip")] == "192.0.2.200"]
    assert [dict(zip(table.columns, row, strict=True)) for row in wanted] == [
        {
            "day": FIRST,
            "date_begin": BEGIN,
            "date_end": BEGIN + DAY - 1,
            "reporter": "reporter.example",
            "org_name": "Reporter.example",
            "report_id": "1",
            "policy_domain": "example.com",
            "p": "none",
            "sp": None,
            "np": None,
            "pct": 100,
            "testing": None,
            "adkim": None,
            "aspf": None,
            "source_ip": "192.0.2.200",
            "mail_count": 2,
            "disposition": "none",
            "dmarc": "fail",
            "dkim_aligned": False,
            "spf_aligned": False,
            "dkim_failure": "dkim-unaligned",
            "spf_failure": "spf-unaligned",
            "failure": "dkim-unaligned+spf-unaligned",
            "header_from": "example.com",
            "envelope_from": "bounce.example.net",
            "envelope_to": None,
            "dkim_results": "fail d=example.net s=k1; pass d=example.net s=k1; pass d=example.org s=-",
            "spf_results": "pass mfrom=bounce.example.net",
            "override_reasons": "forwarded (list a); forwarded (list b); other",
            "authenticated": "unknown",
            "dialect": "rfc7489",
            "generator": None,
            "received_at": NOW,
        }
    ]
    assert len(rows(views.export(store, Filter(limit=3)))) == 3


def test_export_says_no_failure_when_a_mail_passes_by_one_mechanism(store: Store) -> None:
    said = rows(views.export(store, Filter(domain="mail.example.com")), "dmarc", "dkim_failure", "failure")
    assert said == [("pass", "dkim-fail", None)]


def test_export_goes_on_when_rows_are_more_than_one_block(store: Store) -> None:
    many = report(*[(f"203.0.113.{n % 256}", 1, PASSING) for n in range(2_500)], report_id="many", domain="example.edu")
    record(store, [message(many, origin="many.eml")], NOW)
    remaining = iter(views.export(store, Filter(domain="example.edu")).rows)
    assert next(remaining)[0] == FIRST
    assert len(list(remaining)) == 2_499


def test_a_question_is_a_store_error_when_its_view_is_gone(store: Store) -> None:
    with store.write() as connection:
        connection.exec_driver_sql("DROP VIEW alignment_failures")
        connection.exec_driver_sql("DROP VIEW evaluation_text")
    table = views.export(store, Filter())
    with pytest.raises(StoreError):
        list(table.rows)


def test_ledger_lists_the_last_seen_first_when_asked(store: Store) -> None:
    later = datetime(2026, 1, 7, tzinfo=UTC)
    record(store, [message(rejection(origin="x.eml#1"), origin="x.eml", raw=b"x")], later)
    record(store, [message(report(report_id="new"), origin="y.eml")], later)
    table = views.ledger(store, limit=3)
    assert table.columns == (
        *("last_seen", "outcome", "origin", "code", "reason", "payload_sha256", "payload_count", "message_sha256"),
        *("first_seen", "kept"),
    )
    assert rows(table, "last_seen", "outcome", "origin", "code", "reason", "kept") == [
        (later, "stored", "y.eml", None, None, False),
        (later, "corrupt", "x.eml", "zip-bad", "it is zip-bad", True),
        (NOW, "stored", "5.eml", None, None, False),
    ]
    assert rows(views.ledger(store, outcome=Outcome.CONFLICT.value), "origin") == [("1.eml",)]
    assert len(rows(views.ledger(store, since=date(2026, 1, 7)))) == 2
    assert len(rows(views.ledger(store, since=date(2026, 1, 8)))) == 0


def test_what_is_absent_comes_last_when_rows_are_ordered(store: Store) -> None:
    nobody = evaluation(aligned=(FAIL, FAIL), results=AuthResults((dkim(None, None, "fail"),), ()))
    undated = report((None, 3, nobody), ("192.0.2.77", 3, nobody), domain="last.example", period=(None, None))
    record(store, [message(undated, origin="last.eml")], NOW)
    where = Filter(domain="last.example")
    assert [row[0] for row in views.sources(store, where).rows] == ["192.0.2.77", None]
    assert [row[0] for row in views.failures(store, where, "source").rows] == ["192.0.2.77", None]
    assert [row[0] for row in views.reports(store, Filter()).rows][-2:] == [None, None]
