from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from dmarcops.policy.evidence import (
    Context,
    Count,
    Source,
    SourceKind,
    Tally,
    ratio,
    shares,
    total,
)
from dmarcops.policy.sources import Origin, Scope, Word
from dmarcops.policy.window import Window, window_before, window_since
from policy.mailstream import DAYS, ESP, NOW, OWN, PAYROLL, REPORTERS, WINDOW, evidence, failing, said, stream

STRANGER = Origin("198.18.0.1", host="host.stranger.example")


def only(counts: list[Count]) -> Source:
    (source,) = evidence(counts).sources
    return source


def test_window_ends_two_days_ago_and_leaves_changes_out() -> None:
    change = datetime(2026, 3, 10, 23, 59, tzinfo=UTC)
    window = window_before(NOW, [change, NOW - timedelta(days=300)])
    assert (window.begin, window.end) == (date(2026, 3, 2), date(2026, 3, 29))
    assert window.left_out == (date(2026, 3, 10), date(2026, 3, 11), date(2026, 3, 12))
    assert len(window.days()) == 25
    assert Window(date(2026, 3, 2), date(2026, 3, 1)).days() == ()


def test_window_since_a_change_begins_after_it_and_goes_on_to_now() -> None:
    window = window_since(NOW - timedelta(days=5), NOW)
    assert window.days() == (date(2026, 3, 29), date(2026, 3, 30), date(2026, 3, 31))


def test_days_outside_of_the_window_do_not_count() -> None:
    outside = [DAYS[0] - timedelta(days=1), DAYS[-1] + timedelta(days=1)]
    assert evidence(stream(OWN, 10, days=outside)).sources == ()
    with_hole = replace(WINDOW, left_out=(DAYS[3],))
    assert len(evidence(stream(OWN, 10), window=with_hole).covered_days) == 27


def test_counts_are_added_up_by_source_and_reporter() -> None:
    found = evidence(
        stream(OWN, 10),
        stream(replace(OWN, address="192.0.2.2"), 10, dkim=8, spf=6, both=5, dispositions={"none": 10}),
        failing(ESP, 5, policy="none", reasons={"local_policy": 1}, dispositions={"quarantine": 5}),
    )
    own, esp = found.sources
    assert (own.name, own.kind, own.addresses) == ("example.com", SourceKind.ACKNOWLEDGED, ("192.0.2.1", "192.0.2.2"))
    assert own.by_reporter["large.example"] == Tally(560, 18 * 28, 16 * 28, 15 * 28, units=28, clean=0)
    assert (own.total.passed, own.total.failing) == (19 * 84, 84)
    assert total(own.recent.values()).messages == 20 * 7 * 3
    assert (own.first_seen, own.last_seen, own.days) == (DAYS[0], DAYS[-1], 28)
    assert (esp.reasons, esp.dispositions, esp.failing_from) == (
        {"local_policy": 84},
        {"quarantine": 420},
        {"example.com": 420},
    )
    assert found.policies == {"unknown": 20 * 84, "none": 420}
    assert found.acknowledged.messages == 25 * 84
    assert found.of_kind(SourceKind.DENIED) == ()


def test_nothing_reported_is_evidence_of_nothing() -> None:
    found = evidence()
    assert (found.sources, found.reporters, found.covered_days, found.trend) == ((), (), (), None)
    assert found.figures() == {
        "messages": 0,
        "pass_rate": None,
        "source_pass_rate": None,
        "dkim_rate": None,
        "spf_rate": None,
        "unknown_share": None,
        "reporters": 0,
        "days": 0,
    }
    assert (total(()), ratio(0, 0), shares([])) == (Tally(), None, {})


def test_one_sender_is_split_by_what_people_said_of_its_addresses() -> None:
    words = [said(Word.ACK, Scope.ADDRESS, "198.18.0.1"), said(Word.DENY, Scope.ADDRESS, "198.18.0.2")]
    origins = [replace(STRANGER, address=f"198.18.0.{last}") for last in (1, 2, 3)]
    found = evidence(*(stream(origin, 10) for origin in origins), words=words)
    assert [(x.name, x.kind) for x in found.sources] == [
        ("stranger.example", SourceKind.ACKNOWLEDGED),
        ("stranger.example", SourceKind.DENIED),
        ("stranger.example", SourceKind.UNREVIEWED),
    ]


# How forwarders and lists are told apart: by what two reporters or more say, or by DKIM that survives.
@pytest.mark.parametrize(
    ("counts", "kind"),
    [
        (failing(STRANGER, 10), SourceKind.UNREVIEWED),
        (failing(STRANGER, 10, reasons={"forwarded": 6}), SourceKind.FORWARDER),
        (failing(STRANGER, 10, reasons={"trusted_forwarder": 6}), SourceKind.FORWARDER),
        (failing(STRANGER, 10, reasons={"forwarded": 4}), SourceKind.UNREVIEWED),
        (failing(STRANGER, 10, reasons={"mailing_list": 6}), SourceKind.MAILING_LIST),
        (failing(STRANGER, 10, reasons={"mailing_list": 4}), SourceKind.UNREVIEWED),
        (failing(STRANGER, 10, reasons={"local_policy": 10, "other": 10}), SourceKind.UNREVIEWED),
        (failing(STRANGER, 10, is_indirect=True), SourceKind.FORWARDER),
        (stream(STRANGER, 10, reporters=REPORTERS[:1], reasons={"forwarded": 10}), SourceKind.UNREVIEWED),
        (stream(STRANGER, 100, dkim=95), SourceKind.FORWARDER),
        (stream(STRANGER, 100, dkim=94), SourceKind.UNREVIEWED),
        (stream(STRANGER, 100, dkim=100, spf=1, both=1), SourceKind.UNREVIEWED),
        (stream(STRANGER, 100, dkim=100, reporters=REPORTERS[:1]), SourceKind.UNREVIEWED),
    ],
)
def test_kind_of_an_unreviewed_source(counts: list[Count], kind: SourceKind) -> None:
    assert only(counts).kind is kind


def test_sign_is_any_authentication() -> None:
    assert only(failing(STRANGER, 10)).signs == ()
    assert only(failing(STRANGER, 10, authenticated=1)).signs == REPORTERS
    assert only(stream(STRANGER, 10, spf=1)).signs == REPORTERS
    assert only(stream(STRANGER, 10, dkim=1)).signs == REPORTERS


def test_usual_reporter_that_is_not_heard_of_any_more_is_silent() -> None:
    found = evidence(
        stream(OWN, 10, reporters=["usual", "silent"], days=DAYS[:21]),
        stream(OWN, 10, reporters=["usual", "new"], days=DAYS[21:]),
        stream(OWN, 10, reporters=["seldom"], days=DAYS[:10]),
        stream(OWN, 10, reporters=["half"], days=DAYS[:11]),
    )
    flags = {x.name: (x.is_usual, x.is_silent, x.is_recent) for x in found.reporters}
    assert flags == {
        "usual": (True, False, True),
        "silent": (True, True, False),
        "new": (False, False, True),
        "seldom": (False, False, False),
        "half": (True, True, False),
    }
    assert found.reporters[0].name == "usual"
    assert shares(found.reporters)["usual"] == pytest.approx(280 / 770)


def test_trend_is_the_end_of_the_window_less_what_was_before() -> None:
    found = evidence(stream(OWN, 10, days=DAYS[:21]), failing(OWN, 10, days=DAYS[21:]))
    assert found.trend == -1.0
    assert evidence(stream(OWN, 10, days=DAYS[21:])).trend is None
    assert evidence(stream(OWN, 10)).figures()["pass_rate"] == 1.0


def test_evidence_is_printed_the_same_whatever_the_order_of_counts() -> None:
    counts = [*stream(OWN, 10), *failing(PAYROLL, 3, reasons={"other": 1}), *stream(STRANGER, 2, spf=1)]
    context = Context(domain="example.com", since=NOW, rotation=("s1",), is_rua_authorised=None)
    printed = evidence(counts, context=context).as_json()
    assert printed == evidence(reversed(counts), context=context).as_json()
    assert printed["context"] == {
        "domain": "example.com",
        "since": "2026-03-31T12:00:00+00:00",
        "rotation": ["s1"],
        "rua_authorised": None,
        "complaint_rate": None,
    }
    assert printed["window"] == {"begin": "2026-03-02", "end": "2026-03-29", "left_out": []}
    assert printed["sources"][1]["reviewed"] == {
        "word": "ack",
        "by": "kim",
        "at": "2026-03-01T12:00:00+00:00",
        "note": "",
    }
    assert printed["sources"][2]["reviewed"] is None
    assert printed["sources"][2]["reporters"]["large.example"] == {
        "messages": 56,
        "passed": 28,
        "dkim": 0,
        "spf": 28,
        "both": 0,
        "failing": 28,
    }
    assert printed["reporters"][0] == {
        "name": "large.example",
        "messages": 420,
        "days": 28,
        "first_seen": "2026-03-02",
        "last_seen": "2026-03-29",
        "lag_days": 0,
        "usual": True,
        "silent": False,
    }
    assert printed["figures"]["unknown_share"] == pytest.approx(2 / 13, abs=1e-6)
    assert printed["daily"][0] == {
        "day": "2026-03-02",
        "messages": 45,
        "dispositions": {},
        "acknowledged": 39,
        "passed": 30,
    }


def test_every_source_weighs_the_same_in_the_rate_by_source() -> None:
    figures = evidence(stream(OWN, 999), failing(PAYROLL, 1)).figures()
    assert (figures["pass_rate"], figures["source_pass_rate"]) == (0.999, 0.5)


def test_days_are_charted_with_what_became_of_the_mail() -> None:
    found = evidence(
        stream(OWN, 10, days=DAYS[:1], dkim=9, dispositions={"none": 9, "quarantine": 1}, lag_days=1),
        failing(STRANGER, 5, days=DAYS[:1], dispositions={"quarantine": 5}, lag_days=4, reporters=REPORTERS[:1]),
    )
    (day,) = found.daily
    assert (day.messages, day.acknowledged, day.passed) == (35, 30, 27)
    assert day.dispositions == {"none": 27, "quarantine": 8}
    assert [reporter.lag_days for reporter in found.reporters] == [4, 1, 1]
