import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from builders import BEGIN, DAY, FAIL, PASS, ask, dkim, evaluation, incoming, message, messages, rejection, report, spf
from conftest import PostgreSQL
from dmarcops.report.model import (
    AlignmentMode,
    AuthResults,
    Dialect,
    DiscoveryMethod,
    Disposition,
    Extension,
    OverrideReason,
    OverrideType,
    PolicyTesting,
    PolicyValue,
    Repair,
    Report,
)
from dmarcops.store import reports
from dmarcops.store.engine import Store
from dmarcops.store.intake import Chunk, IncomingMessage, Outcome
from dmarcops.store.reports import MessageResult, PayloadResult, identify, record
from dmarcops.store.tables import TABLES

NOW = datetime(2026, 1, 3, 12, 30, tzinfo=UTC)


def outcomes(results: tuple[MessageResult, ...]) -> list[str]:
    return [result.outcome.value for result in results]


def counts(store: Store) -> dict[str, object]:
    tables = ("report", "evaluation", "record", "dkim_result", "spf_result", "override_reason", "ledger")
    return {table: ask(store, f"SELECT count(*) FROM {table}")[0][0] for table in tables}


def full_report() -> Report:
    failing = evaluation(
        aligned=(FAIL, PASS),
        header_from="mail.example.com",
        envelope_from="bounce.example.com",
        disposition=Disposition.QUARANTINE,
        results=AuthResults(
            (dkim("example.net", None, "pass"), replace(dkim(result="fail"), human_result="bad signature")),
            (spf("bounce.example.com"), spf(None, "none", None)),
        ),
        reasons=[OverrideReason(OverrideType.FORWARDED, "list"), OverrideReason(OverrideType.OTHER, None)],
    )
    failing = replace(failing, extensions=(Extension("record/x", "<x/>"),))
    built = report(("192.0.2.1", 3, failing), ("2001:db8::1", 4, evaluation()), ("192.0.2.1", 5, failing))
    metadata, policy = built.report_metadata, built.policy_published
    return replace(
        built,
        dialect=Dialect.RFC9990,
        report_metadata=replace(
            metadata, org_name="  Yahoo!\n Inc. ", extra_contact_info="call", errors=("odd",), generator="G 1"
        ),
        policy_published=replace(
            policy,
            sp=PolicyValue.REJECT,
            np=PolicyValue.QUARANTINE,
            pct=50,
            testing=PolicyTesting.YES,
            fo="1",
            adkim=AlignmentMode.STRICT,
            aspf=AlignmentMode.RELAXED,
            discovery_method=DiscoveryMethod.TREEWALK,
        ),
        extensions=(Extension("feedback/y", "<y/>"),),
        repairs=(Repair("bom", "", "", 0, 1), Repair("unknown-value", "record/row", "Pässé", 1, 7)),
    )


def test_record_stores_all_that_a_report_says_when_it_is_new(store: Store) -> None:
    built = full_report()
    results = record(store, [message(built, origin="a.eml")], NOW.astimezone(timezone(timedelta(hours=5))))

    assert results == (
        MessageResult("a.eml", Outcome.STORED, (PayloadResult("a.eml#1", Outcome.STORED, 3, 12, repairs=8),)),
    )
    with store.read() as connection:
        row = dict(connection.execute(TABLES["report"].select()).mappings().one())
    for name in ("errors", "extensions", "repairs"):
        row[name] = json.loads(row[name])
    assert row == {
        "id": 1,
        "identity": identify(built)[1],
        "content_sha256": built.content_sha256,
        "payload_sha256": built.sha256,
        "conflict": False,
        "dialect": "rfc9990",
        "version": "1.0",
        "org_name": "  Yahoo!\n Inc. ",
        "email": "dmarc@reporter.example",
        "extra_contact_info": "call",
        "report_id": "1",
        "date_begin": BEGIN,
        "date_end": BEGIN + DAY - 1,
        "day": date(2026, 1, 1),
        "reporter": "yahoo! inc.",
        "policy_domain": "example.com",
        "p": "none",
        "sp": "reject",
        "np": "quarantine",
        "pct": 50,
        "testing": "y",
        "fo": "1",
        "adkim": "s",
        "aspf": "r",
        "discovery_method": "treewalk",
        "generator": "G 1",
        "errors": ["odd"],
        "extensions": [{"path": "feedback/y", "xml": "<y/>"}],
        "repairs": [
            {"code": "bom", "path": "", "detail": "", "first": 0, "count": 1},
            {"code": "unknown-value", "path": "record/row", "detail": "Pässé", "first": 1, "count": 7},
        ],
        "record_count": 3,
        "mail_count": 12,
        "origin": "a.eml#1",
        "received_at": NOW,
        "authenticated": "unknown",
        "carrier": None,
    }


def test_record_stores_each_evaluation_once_with_its_children_when_records_share_it(store: Store) -> None:
    record(store, [message(full_report())], NOW)
    assert ask(store, "SELECT * FROM evaluation ORDER BY id") == [
        (
            *(1, 1, 2, 8, "quarantine", "fail", "pass", "pass", "dkim-unaligned", None),
            *("mail.example.com", "bounce.example.com", None, '[{"path": "record/x", "xml": "<x/>"}]'),
        ),
        (2, 1, 1, 4, "none", "pass", "pass", "pass", None, None, "example.com", None, None, "[]"),
    ]
    assert ask(store, "SELECT * FROM dkim_result ORDER BY 1, 2") == [
        (1, 0, "example.net", None, "pass", None, False),
        (1, 1, "example.com", "s1", "fail", "bad signature", False),
        (2, 0, "example.com", "s1", "pass", None, True),
    ]
    assert ask(store, "SELECT * FROM spf_result ORDER BY 1, 2") == [
        (1, 0, "bounce.example.com", "mfrom", "pass", None, True),
        (1, 1, None, None, "none", None, False),
        (2, 0, "example.com", "mfrom", "pass", None, True),
    ]
    assert ask(store, "SELECT * FROM override_reason ORDER BY 1, 2") == [
        (1, 0, "forwarded", "list"),
        (1, 1, "other", None),
    ]
    assert ask(store, "SELECT evaluation_id, position, source_ip, mail_count FROM record ORDER BY position") == [
        (1, 0, "192.0.2.1", 3),
        (2, 1, "2001:db8::1", 4),
        (1, 2, "192.0.2.1", 5),
    ]


def test_record_keeps_what_is_no_address_when_a_source_is_none(store: Store) -> None:
    record(store, [message(report(("X.X.X.X", 1, evaluation()), (None, 2, evaluation()), ("é", 3, evaluation())))], NOW)
    stored = ask(store, "SELECT source_ip, source_key, mail_count FROM record ORDER BY position")
    assert stored == [("X.X.X.X", None, 1), (None, None, 2), ("é", None, 3)]


def test_record_says_duplicate_when_the_same_report_comes_again(store: Store) -> None:
    first = report(org_name="Reporter.example")
    again = replace(
        first, sha256="f" * 64, report_metadata=replace(first.report_metadata, org_name=" REPORTER.example")
    )
    assert outcomes(record(store, [message(first)], NOW)) == ["stored"]
    before = counts(store)

    results = record(store, [message(again, origin="again.eml")], NOW)

    assert outcomes(results) == ["duplicate"]
    assert results[0].payloads == (PayloadResult("again.eml#1", Outcome.DUPLICATE, 1, 1),)
    assert counts(store) == {**before, "ledger": 2}
    assert ask(store, "SELECT report_id FROM ledger_payload") == [(1,), (1,)]


def test_record_says_conflict_and_counts_once_when_the_content_differs(store: Store) -> None:
    first, other = report(("192.0.2.1", 5, evaluation())), report(("192.0.2.1", 6, evaluation()))
    batches = [record(store, [message(built, origin=f"{n}.eml")], NOW) for n, built in enumerate((first, other, other))]

    assert [outcomes(batch) for batch in batches] == [["stored"], ["conflict"], ["duplicate"]]
    assert ask(store, "SELECT id, conflict, mail_count FROM report ORDER BY id") == [(1, False, 5), (2, True, 6)]
    assert ask(store, "SELECT mail_count FROM domain_daily") == [(5,)]
    assert ask(store, "SELECT sum(mail_count) FROM record") == [(11,)]


def test_record_sees_duplicates_and_conflicts_when_they_are_in_one_batch(store: Store) -> None:
    first, other = report(("192.0.2.1", 5, evaluation())), report(("192.0.2.1", 6, evaluation()))
    results = record(store, messages([first, first, other, other, first]), NOW)
    assert outcomes(results) == ["stored", "duplicate", "conflict", "duplicate", "duplicate"]
    assert counts(store)["report"] == 2
    both = record(store, [message(report(report_id="2"), report(report_id="2"), origin="two.eml")], NOW)
    assert [x.outcome for x in both[0].payloads] == [Outcome.STORED, Outcome.DUPLICATE]
    assert outcomes(both) == ["stored"]


@pytest.mark.parametrize(
    "other",
    [
        report(report_id="2"),
        report(org_name="Other.example"),
        report(domain="example.net"),
        report(period=(BEGIN + 1, BEGIN + DAY - 1)),
        report(period=(BEGIN, BEGIN + DAY)),
        report(period=(None, None)),
    ],
)
def test_record_stores_both_when_any_part_of_the_identity_differs(store: Store, other: Report) -> None:
    assert outcomes(record(store, messages([report(), other]), NOW)) == ["stored", "stored"]


def test_identify_takes_the_domain_of_the_address_when_there_is_no_name() -> None:
    nameless = report(org_name=None)
    assert identify(nameless)[0] == "reporter.example"
    assert identify(replace(nameless, report_metadata=replace(nameless.report_metadata, email=None)))[0] is None
    assert identify(report(org_name=" ")) == identify(nameless)


def test_identify_goes_by_content_when_there_is_no_id(store: Store) -> None:
    one, two = (report(("192.0.2.1", n, evaluation()), report_id=None) for n in (1, 2))
    blank = replace(one, report_metadata=replace(one.report_metadata, report_id="  "))
    assert identify(one) == identify(blank) != identify(two)
    assert outcomes(record(store, messages([one, two, blank]), NOW)) == ["stored", "stored", "duplicate"]


def test_record_refuses_a_report_when_its_mail_could_overflow_a_sum(store: Store) -> None:
    built = report(*[("192.0.2.1", 10**12, evaluation())] * 2)
    results = record(store, [message(built, origin="a.eml")], NOW)
    assert results[0].payloads == (PayloadResult("a.eml#1", Outcome.CORRUPT),)
    assert ask(store, "SELECT outcome, code FROM ledger") == [("corrupt", "too-much-mail")]
    assert counts(store)["report"] == 0


def test_record_gives_a_message_the_worst_outcome_when_it_has_several(store: Store) -> None:
    results = record(
        store,
        [
            message(report(), rejection(Outcome.NOT_A_REPORT), origin="a.eml"),
            message(report(report_id="2"), rejection(Outcome.RETRY), rejection(Outcome.CORRUPT), origin="b.eml"),
            message(rejection(Outcome.UNSUPPORTED), origin="c.eml"),
            message(origin="d.eml"),
        ],
        NOW,
    )
    assert outcomes(results) == ["stored", "retry", "unsupported", "not-a-report"]
    assert [len(result.payloads) for result in results] == [2, 3, 1, 0]


def test_record_adds_up_evaluations_when_they_come_up_in_several_chunks(store: Store) -> None:
    kinds = [evaluation(header_from=f"m{n}.example.com") for n in range(7)]
    rows = [(f"192.0.2.{n}", n, kinds[min(n % 11, n // 20, 6)]) for n in range(200)]
    built = report(*rows)
    record(store, [message(incoming(built, chunk=13)), message(report(report_id="2"), origin="2.eml")], NOW)
    assert ask(store, "SELECT count(*) FROM evaluation") == [(8,)]
    assert_evaluations_are_the_sums_of_their_records(store)


def test_record_streams_in_slices_when_a_report_is_large(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "SLICE_RECORDS", 30)
    kinds = [evaluation(header_from=f"m{n}.example.com") for n in range(7)]
    large = report(*[(f"2001:db8::{n:x}", n, kinds[n % 7]) for n in range(300)])
    record(
        store, [message(incoming(large, chunk=20)), *messages([report(report_id=str(n)) for n in range(2, 50)])], NOW
    )
    assert ask(store, "SELECT count(*), sum(mail_count), max(position) FROM record") == [(348, 44_898, 299)]
    assert_evaluations_are_the_sums_of_their_records(store)


def assert_evaluations_are_the_sums_of_their_records(store: Store) -> None:
    said = ask(store, "SELECT id, record_count, mail_count FROM evaluation ORDER BY id")
    summed = ask(
        store,
        "SELECT evaluation_id, count(*), sum(mail_count) FROM record GROUP BY evaluation_id ORDER BY evaluation_id",
    )
    assert said == summed


def test_record_takes_more_than_one_question_holds_when_a_batch_is_large(store: Store) -> None:
    batch = messages([report(report_id=str(n)) for n in range(1_200)])
    assert set(outcomes(record(store, batch, NOW))) == {"stored"}
    assert set(outcomes(record(store, batch, NOW))) == {"duplicate"}
    assert counts(store)["ledger"] == 1_200


def test_record_stores_nothing_when_reading_the_records_fails(store: Store) -> None:
    def chunks() -> Iterator[Chunk]:
        yield from incoming(report(report_id="2")).chunks()
        raise OSError("the temporary file is gone")

    broken = replace(incoming(report(report_id="2")), chunks=chunks)
    with pytest.raises(OSError, match="temporary file"):
        record(store, [message(report()), message(broken, origin="b.eml")], NOW)
    assert set(counts(store).values()) == {0}


def test_record_takes_origins_that_are_no_text_when_a_file_is_named_so(store: Store) -> None:
    odd = message(report(), rejection(origin="b\udce9\0.zip"), origin="m\udce9.eml")
    record(store, [odd], NOW)
    record(store, [odd], NOW)
    assert ask(store, "SELECT origin FROM ledger") == [("m\\udce9.eml",)]
    assert ask(store, "SELECT origin FROM report") == [("m\\udce9.eml#1",)]
    assert ask(store, "SELECT origin FROM ledger_payload WHERE position = 1") == [("b\\udce9\\x00.zip",)]


def test_record_takes_texts_longer_than_an_index_allows_when_a_report_has_them(store: Store) -> None:
    long = "x" * 60_000
    built = report(("192.0.2.1", 1, evaluation(header_from=long)), org_name=long, report_id=long, domain=long)
    assert outcomes(record(store, [message(built, origin="/" + long)], NOW)) == ["stored"]
    assert outcomes(record(store, [message(built, origin="/" + long)], NOW)) == ["duplicate"]


def test_record_is_right_when_the_server_isolates_by_default(postgresql: PostgreSQL, postgresql_template: str) -> None:
    url = postgresql.create("isolated", template=postgresql_template)
    with Store.open(f"{url}?options=-c%20default_transaction_isolation%3Dserializable") as store, store.write() as one:
        assert one.exec_driver_sql("SHOW transaction_isolation").scalar() == "read committed"


def test_record_does_nothing_when_there_are_no_messages(store: Store) -> None:
    nothing: list[IncomingMessage] = []
    assert record(store, nothing, NOW) == ()
    assert set(counts(store).values()) == {0}
