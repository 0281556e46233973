from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import inspect

from builders import BEGIN, DAY, ask, evaluation, message, rejection, report
from dmarcops.store import retention
from dmarcops.store.concerns import REMEMBERED, Concern, save
from dmarcops.store.engine import Store
from dmarcops.store.notices import load_told, save_told
from dmarcops.store.reports import record
from dmarcops.store.retention import Pruned, prune
from dmarcops.store.tables import TABLES

RECEIVED = datetime(2026, 1, 5, tzinfo=UTC)
LATE = datetime(2026, 3, 1, tzinfo=UTC)


def fill(store: Store) -> None:
    """Five reports and a rejected message received on the 5th, one report a good deal later."""
    old = [
        message(report(("192.0.2.1", 10, evaluation()), ("192.0.2.2", 5, evaluation())), origin="inclusive.eml"),
        message(report(report_id="2", period=(BEGIN, BEGIN + DAY)), origin="exclusive.eml"),
        message(report(report_id="3", period=(BEGIN, BEGIN + DAY + 1)), origin="longer.eml"),
        message(report(report_id="4", period=(BEGIN, None)), origin="no-end.eml"),
        message(report(report_id="5", period=(None, None)), origin="no-period.eml"),
        message(rejection(), origin="bad.eml", raw=b"bad"),
    ]
    record(store, old, RECEIVED)
    new = message(report(report_id="6", period=(BEGIN + 60 * DAY, BEGIN + 61 * DAY)), origin="new.eml")
    record(store, [new, message(rejection(), origin="bad-too.eml", raw=b"bad too")], LATE)


def left(store: Store) -> dict[str, object]:
    return {name: ask(store, f"SELECT count(*) FROM {name}")[0][0] for name in TABLES}


def test_prune_deletes_what_was_over_when_a_day_began(store: Store) -> None:
    fill(store)
    expected = Pruned(reports=3, records=4, mail_count=17, ledger_lines=0, kept_messages=0)
    assert prune(store, date(2026, 1, 2), dry_run=True) == expected
    assert ask(store, "SELECT count(*) FROM report") == [(6,)]

    assert prune(store, date(2026, 1, 2)) == expected

    assert ask(store, "SELECT report_id FROM report ORDER BY id") == [("3",), ("5",), ("6",)]
    assert ask(store, "SELECT count(*) FROM record") == [(3,)]
    assert ask(store, "SELECT report_id FROM ledger_payload WHERE outcome = 'stored' ORDER BY ledger_id") == [
        *[(None,)] * 2,
        *[(3,), (None,), (5,), (6,)],
    ]
    assert prune(store, date(2026, 1, 2)) == Pruned(0, 0, 0, 0, 0)


def test_prune_deletes_ledger_and_octets_when_they_are_old(store: Store) -> None:
    fill(store)
    assert prune(store, date(2026, 1, 5)) == Pruned(4, 5, 18, 0, 0)
    assert prune(store, date(2026, 1, 6)) == Pruned(1, 1, 1, 6, 1)
    assert ask(store, "SELECT origin FROM ledger ORDER BY id") == [("new.eml",), ("bad-too.eml",)]
    assert {table: number for table, number in left(store).items() if number or table == "override_reason"} == {
        **dict.fromkeys(("report", "evaluation", "record", "dkim_result", "spf_result"), 1),
        "override_reason": 0,
        "ledger": 2,
        "ledger_payload": 2,
        "kept": 1,
    }


def test_prune_deletes_notices_that_are_told_no_more(store: Store) -> None:
    open_still = Concern(subject="dkim", domain="example.com", kind="stuck", title="t", text="x")
    save(store, "dkim", {"example.com": [open_still]}, RECEIVED)
    save_told(store, ["old", open_still.key], ["old"], RECEIVED)
    save_told(store, ["lasts"], [], RECEIVED)
    save_told(store, ["lasts"], [], LATE)
    assert prune(store, date(2026, 1, 5)) == Pruned(0, 0, 0, 0, 0)
    assert prune(store, date(2026, 2, 1)) == Pruned(0, 0, 0, 0, 0, notices=1)
    assert set(load_told(store)) == {open_still.key, "lasts"}
    save(store, "dkim", {"example.com": []}, LATE)
    assert prune(store, date(2026, 3, 1)) == Pruned(0, 0, 0, 0, 0)
    save(store, "dkim", {"example.com": []}, LATE + REMEMBERED + timedelta(days=1))
    assert prune(store, date(2026, 3, 1)) == Pruned(0, 0, 0, 0, 0, notices=1)


def test_prune_leaves_an_empty_store_when_all_is_old(store: Store) -> None:
    fill(store)
    prune(store, date(2027, 1, 1))
    assert set(left(store).values()) == {0}
    (result,) = record(store, [message(report())], LATE)
    assert result.outcome == "stored"


def test_prune_goes_batch_by_batch_when_there_is_much(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH_RECORDS", 3)
    reports = [report(*[("192.0.2.1", 1, evaluation())] * (1 + n % 5), report_id=str(n)) for n in range(20)]
    record(store, [message(built, origin=f"{n}.eml") for n, built in enumerate(reports)], RECEIVED)
    assert prune(store, date(2027, 1, 1)) == Pruned(20, 60, 60, 20, 0)
    assert set(left(store).values()) == {0}


def test_prune_finds_children_by_an_index_when_a_parent_goes(store: Store) -> None:
    """A cascade without an index reads a whole table for each row that goes."""
    with store.read() as connection:
        catalogue = inspect(connection)
        for table in TABLES:
            indexed = {index["column_names"][0] for index in catalogue.get_indexes(table)}
            indexed.add(catalogue.get_pk_constraint(table)["constrained_columns"][0])
            for key in catalogue.get_foreign_keys(table):
                assert key["constrained_columns"][0] in indexed, (table, key)
