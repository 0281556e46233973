"""What an ingest leaves in the store, tells its source, and counts."""

import multiprocessing
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import pytest

from builders import ask
from dmarcops.errors import MailError, StoreError
from dmarcops.flows import ingest as module
from dmarcops.flows import lookers
from dmarcops.flows.ingest import Totals
from dmarcops.flows.look import Looked
from dmarcops.flows.lookers import Lookers, Task
from dmarcops.flows.retry import RetrySource
from dmarcops.flows.rules import Rules
from dmarcops.ports import Handling, Message
from dmarcops.report.limits import Limits
from dmarcops.report.model import Domain
from dmarcops.store.engine import Store
from dmarcops.store.ledger import retryable
from flows_ingest import Steps, ingest
from sources import Deadly, Held, Mine, Source, TooBig, Unreadable, document


def run(store: Store, folder: Path, *batches: Sequence[Message], jobs: int = 0) -> tuple[Totals, Source]:
    """Ingest some batches."""
    totals, source = Totals(), Source(batches)
    with ingest(store, folder, jobs=jobs) as flow:
        flow.run(source, totals)
    return totals, source


@pytest.mark.parametrize("jobs", [0, 2])
def test_everything_is_counted_and_settled_when_it_is_committed(store: Store, tmp_path: Path, jobs: int) -> None:
    truncated = document(8)[:-20]
    batch: list[Message] = [
        Held("new", document(1, records=3)),
        Held("again", document(1, records=3)),
        Held("other", document(1, records=2)),
        Held("empty", b""),
        Held("html", b"<html></html>"),
        Held("cut", truncated),
        Held("bad", b"<feedback><a></b></feedback>"),
        TooBig("big"),
        Unreadable("gone"),
        Held("repaired", document(2).replace(b"receiver.example<", b"A & B<")),
    ]
    totals, source = run(store, tmp_path, batch, jobs=jobs)
    assert totals == Totals(
        messages=10,
        payloads=10,
        new=2,
        duplicate=1,
        conflict=1,
        rejected=2,
        not_a_report=2,
        retry=2,
        records=4,
        mail_count=7,
        repaired=1,
        unreadable=["gone: Input/output error"],
    )
    kept = {"new", "again", "other", "repaired"}
    assert source.settled == [(message.origin, _handling(message.origin, archived=kept)) for message in batch]
    assert ask(store, "SELECT outcome, count(*) FROM ledger GROUP BY outcome ORDER BY outcome") == [
        ("conflict", 1),
        ("corrupt", 1),
        ("duplicate", 1),
        ("not-a-report", 2),
        ("retry", 2),
        ("stored", 2),
        ("unsupported", 1),
    ]


def _handling(origin: str, *, archived: set[str]) -> Handling:
    if origin == "gone":
        return Handling.LEAVE
    return Handling.ARCHIVE if origin in archived else Handling.INVALID


def test_nothing_happens_when_a_batch_is_empty(store: Store, tmp_path: Path) -> None:
    totals, source = run(store, tmp_path, [])
    assert (totals, source.settled) == (Totals(), [])


def test_totals_stay_when_the_same_is_ingested_again(store: Store, tmp_path: Path) -> None:
    batch = [Held(f"{n}.xml", document(n)) for n in range(5)]
    assert run(store, tmp_path, batch)[0].new == 5
    before = ask(store, "SELECT outcome, origin FROM ledger ORDER BY id")
    totals, _ = run(store, tmp_path, batch)
    assert (totals.new, totals.duplicate, totals.messages) == (0, 5, 5)
    assert ask(store, "SELECT outcome, origin FROM ledger ORDER BY id") == before
    assert ask(store, "SELECT count(*), sum(mail_count) FROM report") == [(5, 5)]


@pytest.mark.parametrize("jobs", [0, 1])
def test_what_was_committed_stays_when_the_source_fails(store: Store, tmp_path: Path, jobs: int) -> None:
    batches = [[Held("1", document(1))], [Held("2", document(2))], [Held("3", document(3))]]
    source = Source(batches, fails_after=2)
    totals = Totals()
    with ingest(store, tmp_path, jobs=jobs) as flow, pytest.raises(MailError):
        flow.run(source, totals)
    settled = [origin for origin, _ in source.settled]
    assert [origin for (origin,) in ask(store, "SELECT origin FROM ledger ORDER BY id")] == settled
    assert totals.new == len(settled)
    assert settled == ["1", "2"][: len(settled)]


def test_nothing_is_settled_when_the_store_fails(store: Store, tmp_path: Path) -> None:
    source = Source([[Held("1", document(1))]])
    with ingest(store, tmp_path) as flow:
        with store.write() as connection:
            connection.exec_driver_sql("DROP VIEW override_reasons")
            connection.exec_driver_sql("DROP VIEW selector_usage")
            connection.exec_driver_sql("ALTER TABLE override_reason RENAME TO elsewhere")
            connection.exec_driver_sql("ALTER TABLE ledger RENAME TO gone")
        with pytest.raises(StoreError):
            flow.run(source, Totals())
    assert source.settled == []
    assert list(tmp_path.glob("*.records")) == []


def test_checkpoint_is_saved_after_each_settled_batch_unless_it_is_empty(store: Store, tmp_path: Path) -> None:
    batches = [[Held("1", document(1))], [Held("2", document(2))]]
    with ingest(store, tmp_path) as flow:
        for given, expected in (("7:2", ""), ("", "7:2"), ("8:1", "7:2"), ("", "8:1")):
            source = Source(batches, checkpoint=given)
            flow.run(source, Totals())
            assert source.began_at == [expected]


def test_no_batch_is_begun_when_it_is_to_stop(store: Store, tmp_path: Path) -> None:
    source = Source([[Held(f"{n}", document(n))] for n in range(3)])
    with ingest(store, tmp_path, jobs=1) as flow:
        asked = iter([False, True])
        replace(flow, is_stopped=lambda: next(asked)).run(source, Totals())
    assert [origin for origin, _ in source.settled] == ["0"]


def test_large_reports_have_transactions_of_their_own_and_leave_no_file(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_RECORDS", 5_000)
    large = [Held(f"{n}.xml", document(n, records=12_000, selectors=7)) for n in (1, 2)]
    steps = Steps()
    totals = Totals()
    with ingest(store, tmp_path, steps=steps) as flow:
        flow.run(Source([[*large, Held("small", document(3))]]), totals)
    assert (totals.new, totals.records, steps.done) == (3, 24_001, 3)
    assert ask(store, "SELECT sum(mail_count) FROM record") == [(totals.mail_count,)]
    assert ask(store, "SELECT sum(mail_count) FROM evaluation") == [(totals.mail_count,)]
    assert list(tmp_path.glob("*.records")) == []


CULPRIT = document(5).replace(b"header_from>example.com", b"header_from>culprit.example")


def test_message_that_a_defect_keeps_out_keeps_no_other_out(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def organizational_domain(name: Domain) -> Domain:
        if name == "culprit.example" and not is_mended:
            raise ZeroDivisionError("a defect")
        return name

    is_mended = False
    batch = [Held("1", document(1)), Held("culprit", CULPRIT), Held("html", b"<html/>"), Held("3", document(3))]
    totals, source = Totals(), Source([batch])
    with ingest(store, tmp_path) as flow:
        replace(flow, organizational_domain=organizational_domain).run(source, totals)
    assert totals == Totals(
        messages=4, payloads=4, new=2, retry=1, not_a_report=1, records=2, mail_count=2, unreadable=[]
    )
    assert source.settled == [(m.origin, _handling(m.origin, archived={"1", "3"})) for m in batch]
    assert [record.getMessage() for record in caplog.records] == ["culprit: ZeroDivisionError"]
    [(code, reason)] = ask(store, "SELECT code, reason FROM ledger WHERE origin = 'culprit' AND outcome = 'retry'")
    assert (code, reason) == ("defect", "a defect of dmarcops: ZeroDivisionError")
    assert (None, CULPRIT) in [(None, data) for _, _, data in retryable(store)]
    is_mended, again = True, Totals()
    with ingest(store, tmp_path) as flow:
        replace(flow, organizational_domain=organizational_domain).run(RetrySource(store, lambda _: None), again)
    assert (again.new, again.retry) == (1, 0)
    assert ask(store, "SELECT outcome FROM ledger WHERE origin = 'culprit'") == [("stored",)]


def test_message_with_values_that_the_database_refuses_keeps_no_other_out(store: Store, tmp_path: Path) -> None:
    refusing = (
        "CREATE TRIGGER refuse BEFORE INSERT ON evaluation WHEN NEW.header_from = 'culprit.example'"
        " BEGIN SELECT RAISE(ABORT, 'refused'); END"
        if store.sqlite_path
        else "ALTER TABLE evaluation ADD CONSTRAINT refuse CHECK (header_from <> 'culprit.example')"
    )
    with store.write() as connection:
        connection.exec_driver_sql(refusing)
    totals, _ = run(store, tmp_path, [Held("1", document(1)), Held("culprit", CULPRIT), Held("3", document(3))])
    assert (totals.new, totals.retry) == (2, 1)
    assert ask(store, "SELECT origin, code FROM ledger WHERE outcome = 'retry'") == [("culprit", "defect")]


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), StoreError("the store is full")])
def test_nothing_is_settled_when_it_is_no_defect(store: Store, tmp_path: Path, failure: Exception) -> None:
    def organizational_domain(_name: Domain) -> Domain:
        raise failure

    source = Source([[Held("1", CULPRIT)]])
    with ingest(store, tmp_path) as flow, pytest.raises(type(failure)):
        replace(flow, organizational_domain=organizational_domain).run(source, Totals())
    assert (source.settled, ask(store, "SELECT count(*) FROM ledger")) == ([], [(0,)])


@pytest.mark.parametrize("folder", ["short", "l" + "o" * 100 + "ng"])
def test_message_that_kills_its_process_gets_its_line_and_the_others_are_stored(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    """However processes are started: by the name of the temporary directory."""
    (tmp_path / folder).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / folder))
    batch: list[Message] = [Held(f"{n}.xml", document(n)) for n in range(20)]
    batch[3] = Deadly("deadly")
    later = [[Held(f"later {n}", document(n))] for n in (30, 31, 32)]
    totals, source = run(store, tmp_path, batch, *later, jobs=2)
    assert (totals.new, totals.retry, totals.messages) == (22, 1, 23)
    assert totals.unreadable == ["deadly: looking at it ended the process: out of memory, or killed"]
    assert ask(store, "SELECT origin, code FROM ledger WHERE outcome = 'retry'") == [("deadly", "worker-died")]
    assert ("deadly", Handling.LEAVE) in source.settled


def test_message_is_stored_when_it_was_not_what_killed_the_process(store: Store, tmp_path: Path) -> None:
    batch: list[Message] = [
        Held("1", document(1)),
        Mine("mine", document(2), tmp_path / "trodden"),
        Held("3", document(3)),
    ]
    totals, _ = run(store, tmp_path, batch, jobs=1)
    assert (totals.new, totals.retry, totals.unreadable) == (3, 0, [])


def test_source_is_kept_alive_while_a_worker_is_at_work(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dmarcops.flows.lookers.ALIVE_SECONDS", 0.001)
    _, source = run(store, tmp_path, [Held("large", document(1, records=20_000))], jobs=1)
    assert source.kept_alive > 0


def test_totals_of_several_runs_add_up() -> None:
    totals = Totals(messages=1, new=1, unreadable=["a"])
    totals.include(Totals(messages=2, retry=1, unreadable=["b"]))
    assert totals == Totals(messages=3, new=1, retry=1, unreadable=["a", "b"])


def test_processes_are_replaced_once_when_several_threads_find_them_dead(tmp_path: Path) -> None:
    rules = Rules(limits=Limits(), kept_bytes=0, folder=tmp_path)
    with Lookers(1) as lookers:
        dead = lookers._pool  # noqa: SLF001 - what a thread holds that was not the first to find out
        assert dead is not None
        [died] = lookers.results(lookers.submit([Deadly("deadly")], rules), lambda: None)
        assert died.problem
        for _ in range(2):
            assert lookers._submit(dead, [Held("1", document(1))], rules).result()[0].problem == ""  # noqa: SLF001


def test_nothing_is_left_of_what_was_begun_when_the_source_fails(store: Store, tmp_path: Path) -> None:
    given = [[Held("1", document(1, records=20_000, selectors=3))], []]
    totals = Totals()
    with ingest(store, tmp_path, jobs=1) as flow, pytest.raises(MailError):
        flow.run(Source(given, fails_after=1), totals)
    assert totals.messages == 0
    assert list(tmp_path.glob("*.records")) == []


def test_giving_up_is_no_trouble_when_the_worker_has_died(tmp_path: Path) -> None:
    future: Future[list[Looked]] = Future()
    future.set_exception(BrokenProcessPool())
    rules = Rules(limits=Limits(), kept_bytes=0, folder=tmp_path)
    Lookers(0).give_up([Task((), rules, future), Task((), rules, None)])
    assert isinstance(future.exception(), BrokenProcessPool)


def test_worker_ends_after_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = list[int]()
    monkeypatch.setattr(os, "_exit", ended.append)
    parent = multiprocessing.get_context("forkserver").Process()
    parent.start()
    lookers._end_after(parent)  # noqa: SLF001 - it runs in a process that is gone before it is measured
    assert (ended, parent.exitcode) == ([1], 0)
