from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from sqlalchemy import event, select

from builders import ask, incoming, message, rejection, report
from dmarcops.store.engine import Store
from dmarcops.store.intake import IncomingMessage, Outcome
from dmarcops.store.ledger import OPEN, Line, merged, retryable, worst
from dmarcops.store.reports import record
from dmarcops.store.tables import TABLES

NOW = datetime(2026, 1, 3, tzinfo=UTC)
LATER = NOW + timedelta(days=1)


def lines(store: Store) -> list[tuple[object, ...]]:
    return ask(store, "SELECT origin, outcome, code, payload_count FROM ledger ORDER BY id")


def payloads(store: Store) -> list[tuple[object, ...]]:
    return ask(store, "SELECT ledger_id, position, origin, outcome, code, report_id FROM ledger_payload ORDER BY 1, 2")


def test_worst_is_the_first_in_the_order_of_outcomes_when_there_are_several() -> None:
    for one, other in permutations(Outcome, 2):
        expected = next(outcome for outcome in Outcome if outcome in {one, other})
        assert worst([Line("a", "", one), Line("b", "", other)]).outcome is expected


@pytest.mark.parametrize("earlier", Outcome)
@pytest.mark.parametrize("now", Outcome)
def test_merged_never_goes_back_when_a_payload_is_met_again(earlier: Outcome, now: Outcome) -> None:
    before, after = Line("a", "1", earlier, "old"), Line("a", "1", now, "new")
    (line,) = merged([before], [after])
    if earlier not in OPEN:
        assert line is before
    else:
        assert line is (after if now not in OPEN or OPEN.index(now) >= OPEN.index(earlier) else before)


def test_merged_keeps_what_is_final_when_a_payload_is_no_longer_found() -> None:
    stored, open_, new = (
        Line("a", "1", Outcome.STORED),
        Line("b", "2", Outcome.CORRUPT),
        Line("c", "3", Outcome.CORRUPT),
    )
    assert merged([stored, open_], [new]) == (stored, new)


def test_record_writes_one_line_a_message_when_it_is_new(store: Store) -> None:
    record(
        store,
        [
            message(report(), rejection(origin="a.eml#2"), origin="a.eml"),
            message(rejection(Outcome.NOT_A_REPORT, origin="b.eml#1", code="no-report"), origin="b.eml"),
            message(origin="c.eml"),
        ],
        NOW,
    )
    assert lines(store) == [
        ("a.eml", "corrupt", "zip-bad", 2),
        ("b.eml", "not-a-report", "no-report", 1),
        ("c.eml", "not-a-report", "no-report", 1),
    ]
    assert payloads(store) == [
        (1, 0, "a.eml#1", "stored", None, 1),
        (1, 1, "a.eml#2", "corrupt", "zip-bad", None),
        (2, 0, "b.eml#1", "not-a-report", "no-report", None),
        (3, 0, "c.eml", "not-a-report", "no-report", None),
    ]


def test_record_keeps_the_line_when_a_stored_message_comes_again(store: Store) -> None:
    again = message(report(), origin="a.eml")
    record(store, [again], NOW)
    (result,) = record(store, [again], LATER)
    assert result.outcome is Outcome.DUPLICATE
    assert lines(store) == [("a.eml", "stored", None, 1)]
    assert payloads(store) == [(1, 0, "a.eml#1", "stored", None, 1)]
    table = TABLES["ledger"]
    with store.read() as connection:
        seen = connection.execute(select(table.c.first_seen, table.c.last_seen)).one()
    assert tuple(seen) == (NOW, LATER)


def test_record_writes_a_line_of_its_own_when_the_origin_or_the_octets_differ(store: Store) -> None:
    record(store, [message(report(), origin="a.eml"), message(report(), origin="b.eml")], NOW)
    record(store, [message(report(), origin="a.eml", raw=b"other octets")], NOW)
    assert [line[:2] for line in lines(store)] == [("a.eml", "stored"), ("b.eml", "duplicate"), ("a.eml", "duplicate")]


def test_record_writes_one_line_when_a_message_is_twice_in_a_batch(store: Store) -> None:
    twice = message(report(), origin="a.eml")
    record(store, [twice, twice], NOW)
    assert lines(store) == [("a.eml", "stored", None, 1)]


def test_record_replaces_the_line_of_an_unreadable_message_when_it_was_read(store: Store) -> None:
    unreadable = rejection(Outcome.RETRY, origin="a.eml", code="unreadable")
    record(store, [IncomingMessage(origin, "", (unreadable,), None) for origin in ("a.eml", "b.eml")], NOW)
    assert [(origin, digest, raw) for origin, digest, raw in retryable(store)] == [
        ("a.eml", "", None),
        ("b.eml", "", None),
    ]
    record(store, [message(report(), origin="a.eml")], LATER)
    assert lines(store) == [("b.eml", "retry", "unreadable", 1), ("a.eml", "stored", None, 1)]


def tried_again(*outcomes: Outcome, raw: bytes | None = b"raw") -> list[IncomingMessage]:
    return [message(rejection(x, origin="a.eml#1", code=f"is-{x}"), origin="a.eml", raw=raw) for x in outcomes]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (Outcome.RETRY, Outcome.CORRUPT, "corrupt"),
        (Outcome.CORRUPT, Outcome.RETRY, "corrupt"),
        (Outcome.CORRUPT, Outcome.UNSUPPORTED, "unsupported"),
        (Outcome.NOT_A_REPORT, Outcome.UNSUPPORTED, "not-a-report"),
    ],
)
def test_record_changes_an_open_line_only_when_it_ends_better(
    store: Store, first: Outcome, second: Outcome, expected: str
) -> None:
    for batch in tried_again(first, second):
        record(store, [batch], NOW)
    assert lines(store) == [("a.eml", expected, f"is-{expected}", 1)]
    assert payloads(store) == [(1, 0, "a.eml#1", expected, f"is-{expected}", None)]


def test_record_turns_a_line_to_stored_when_a_retry_succeeds(store: Store) -> None:
    record(store, tried_again(Outcome.RETRY), NOW)
    assert list(retryable(store)) == [("a.eml", tried_again(Outcome.RETRY)[0].sha256, b"raw")]

    record(store, [message(report(), origin="a.eml", raw=b"raw")], LATER)

    assert lines(store) == [("a.eml", "stored", None, 1)]
    assert payloads(store) == [(1, 0, "a.eml#1", "stored", None, 1)]
    assert list(retryable(store)) == []
    assert ask(store, "SELECT count(*) FROM kept") == [(0,)]


def test_record_merges_payload_by_payload_when_only_one_succeeds(store: Store) -> None:
    bad, worse = rejection(origin="a.eml#2"), rejection(Outcome.RETRY, origin="a.eml#3", code="cut")
    record(store, [message(report(), bad, worse, origin="a.eml", raw=b"raw")], NOW)
    cured = incoming(replace(report(report_id="2"), sha256=worse.sha256), origin="a.eml#3")
    record(store, [message(report(), bad, cured, origin="a.eml", raw=b"raw")], LATER)
    assert lines(store) == [("a.eml", "corrupt", "zip-bad", 3)]
    assert payloads(store) == [
        (1, 0, "a.eml#1", "stored", None, 1),
        (1, 1, "a.eml#2", "corrupt", "zip-bad", None),
        (1, 2, "a.eml#3", "stored", None, 2),
    ]
    assert [raw for *_, raw in retryable(store)] == [b"raw"]


def test_record_leaves_the_line_when_what_is_found_now_is_worse_as_a_whole(store: Store) -> None:
    record(store, [message(rejection(Outcome.UNSUPPORTED, origin="a.eml#1", code="7z"), origin="a.eml")], NOW)
    record(store, [message(rejection(Outcome.CORRUPT, origin="a.eml#1/b", code="xml"), origin="a.eml")], LATER)
    assert lines(store) == [("a.eml", "unsupported", "7z", 1)]
    assert payloads(store) == [(1, 0, "a.eml#1", "unsupported", "7z", None)]


def test_record_keeps_a_stored_message_stored_when_its_other_payload_is_read_later(store: Store) -> None:
    odd = rejection(Outcome.NOT_A_REPORT, origin="a.eml#2")
    record(store, [message(report(), odd, origin="a.eml", raw=b"raw")], NOW)
    assert [raw for *_, raw in retryable(store)] == [b"raw"]
    record(store, [message(report(), report(report_id="2"), odd, origin="a.eml", raw=b"raw")], LATER)
    assert lines(store) == [("a.eml", "stored", None, 3)]
    assert [row[3] for row in payloads(store)] == ["stored", "stored", "not-a-report"]


def test_retryable_gives_no_octets_when_they_are_not_kept(store: Store) -> None:
    record(store, tried_again(Outcome.RETRY, raw=None), NOW)
    assert [(origin, raw) for origin, _, raw in retryable(store)] == [("a.eml", None)]


def test_retryable_gives_each_message_when_recording_goes_on_meanwhile(store: Store) -> None:
    record(store, [message(rejection(), origin=f"{n}.eml", raw=b"%d" % n) for n in range(3)], NOW)
    seen = []
    for n, (origin, _, raw) in enumerate(retryable(store)):
        seen.append((origin, raw))
        record(store, [message(report(report_id=str(n)), origin=origin, raw=raw)], LATER)
    assert seen == [("0.eml", b"0"), ("1.eml", b"1"), ("2.eml", b"2")]
    assert [line[1] for line in lines(store)] == ["stored"] * 3


def test_kept_octets_stay_when_the_same_message_came_from_elsewhere_too(store: Store) -> None:
    one, two = (message(rejection(), origin=origin, raw=b"raw") for origin in ("a.eml", "b.eml"))
    record(store, [one, two], NOW)
    assert ask(store, "SELECT size FROM kept") == [(3,)]
    for origin, left in (("a.eml", 1), ("b.eml", 0)):
        record(store, [message(report(), origin=origin, raw=b"raw")], LATER)
        assert ask(store, "SELECT count(*) FROM kept") == [(left,)]


def test_kept_octets_are_compressed_and_whole_when_they_are_large(store: Store) -> None:
    raw = b"all the same " * 100_000
    record(store, [message(rejection(), raw=raw)], NOW)
    ((size, stored),) = ask(store, "SELECT size, stored_size FROM kept")
    assert (size, [given for *_, given in retryable(store)]) == (len(raw), [raw])
    assert isinstance(stored, int)
    assert stored < len(raw) / 100


def test_kept_octets_are_left_out_when_the_message_is_over_the_cap(store_url: str) -> None:
    with Store.open(store_url, kept_message_bytes=10) as store:
        batch = [message(rejection(), origin=f"{n}.eml", raw=bytes(n)) for n in (10, 11)]
        record(store, batch, NOW)
        assert [raw for *_, raw in retryable(store)] == [bytes(10), None]


def test_the_oldest_octets_go_when_all_are_over_the_cap(store_url: str) -> None:
    with Store.open(store_url, kept_bytes=300) as store:
        for n in range(10):
            raw = bytes(range(n, n + 90))
            record(store, [message(rejection(), origin=f"{n}.eml", raw=raw)], NOW + timedelta(minutes=n))
        ((total,),) = ask(store, "SELECT CAST(sum(stored_size) AS BIGINT) FROM kept")
        assert [origin for origin, _, raw in retryable(store) if raw is not None] == ["7.eml", "8.eml", "9.eml"]
        assert isinstance(total, int)
        assert total <= 300


def test_kept_octets_are_not_walked_through_when_they_are_under_the_cap(store: Store) -> None:
    said: list[str] = []
    with store.read() as connection:
        engine = connection.engine
    event.listen(engine, "before_cursor_execute", lambda *given: said.append(given[2]))
    record(store, [message(rejection(), raw=b"kept")], NOW)
    assert [statement for statement in said if "ORDER BY kept.kept_at" in statement] == []
    assert [raw for *_, raw in retryable(store)] == [b"kept"]


def test_no_octets_are_kept_when_the_newest_alone_are_over_the_cap(store_url: str) -> None:
    with Store.open(store_url, kept_bytes=10) as store:
        record(store, [message(rejection(), raw=bytes(range(90)))], NOW)
        assert [raw for *_, raw in retryable(store)] == [None]


def test_octets_are_kept_again_when_a_message_whose_octets_went_comes_again(store: Store) -> None:
    record(store, tried_again(Outcome.CORRUPT, raw=None), NOW)
    again = replace(tried_again(Outcome.CORRUPT, raw=None)[0], raw=b"now given")
    record(store, [again], LATER)
    assert [raw for *_, raw in retryable(store)] == [b"now given"]
