"""What several processes, or one that is killed, leave in a store."""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from multiprocessing.process import BaseProcess

import pytest

from builders import ask, evaluation, incoming, message, messages, rejection, report
from dmarcops.report.model import Report
from dmarcops.store import reports as module
from dmarcops.store.engine import Store
from dmarcops.store.intake import Chunk, IncomingMessage, IncomingReport
from dmarcops.store.reports import record
from dmarcops.store.retention import prune

NOW = datetime(2026, 1, 5, tzinfo=UTC)
REPORTS = 300
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["dmarcops.store.reports", "dmarcops.store.migrations", "builders"])
ORPHANS = (
    "SELECT count(*) FROM evaluation c LEFT JOIN report p ON p.id = c.report_id WHERE p.id IS NULL",
    *(
        f"SELECT count(*) FROM {child} c LEFT JOIN evaluation p ON p.id = c.evaluation_id WHERE p.id IS NULL"
        for child in ("record", "dkim_result", "spf_result", "override_reason")
    ),
    "SELECT count(*) FROM ledger_payload c LEFT JOIN ledger p ON p.id = c.ledger_id WHERE p.id IS NULL",
    # Each message's line is there if and only if its report is.
    # (Failure and TLS reports stand in tables of their own, and are found by their digest.)
    """
    SELECT count(*) FROM ledger_payload
    WHERE report_id IS NULL AND outcome = 'stored'
        AND sha256 NOT IN (SELECT payload_sha256 FROM failure_report UNION SELECT payload_sha256 FROM tls_report)
    """,
    "SELECT count(*) FROM report r LEFT JOIN ledger_payload p ON p.report_id = r.id WHERE p.report_id IS NULL",
    # Evaluations are the sums of their records, reports those of their evaluations.
    """
    SELECT count(*) FROM evaluation e
    WHERE e.mail_count <> (SELECT sum(mail_count) FROM record c WHERE c.evaluation_id = e.id)
    """,
    """
    SELECT count(*) FROM report r
    WHERE r.mail_count <> (SELECT sum(mail_count) FROM evaluation e WHERE e.report_id = r.id)
    """,
)


def batches() -> list[list[IncomingMessage]]:
    """Return the same messages each time: small reports, among them one of 2,000 records in chunks, and a rejection."""
    kinds = [evaluation(header_from=f"m{n}.example.com") for n in range(5)]

    def built(number: int) -> Report:
        rows = 2_000 if number == 100 else 1 + number % 4
        return report(*[(f"192.0.2.{n % 256}", 1 + n, kinds[n % 5]) for n in range(rows)], report_id=str(number))

    whole = messages([built(number) for number in range(REPORTS)])
    whole[100] = message(incoming(built(100), chunk=100), origin="100.eml")
    whole.append(message(rejection(), origin="bad.eml", raw=b"bad"))
    return [whole[start : start + 20] for start in range(0, len(whole), 20)]


def ingest(url: str, seed: int) -> None:
    """Record all batches in an order of our own; several slices a report, so that a kill can fall between them."""
    module.SLICE_RECORDS = 50
    order = batches()
    random.Random(seed).shuffle(order)
    with Store.open(url) as store:
        for batch in order:
            record(store, batch, NOW)


def totals(store: Store) -> list[list[tuple[object, ...]]]:
    return [
        ask(store, "SELECT count(*), CAST(sum(record_count) AS BIGINT), CAST(sum(mail_count) AS BIGINT) FROM report"),
        ask(store, "SELECT count(*), CAST(sum(mail_count) AS BIGINT) FROM record"),
        ask(store, "SELECT outcome, count(*) FROM ledger GROUP BY outcome ORDER BY outcome"),
        ask(store, "SELECT count(*) FROM kept"),
    ]


def expected() -> list[list[tuple[object, ...]]]:
    payloads = [payload for batch in batches() for each in batch for payload in each.payloads]
    found = [payload.report for payload in payloads if isinstance(payload, IncomingReport)]
    records, mails = sum(x.record_count for x in found), sum(x.mail_count for x in found)
    return [[(REPORTS, records, mails)], [(records, mails)], [("corrupt", 1), ("stored", REPORTS)], [(1,)]]


def begin(url: str, seed: int) -> BaseProcess:
    process = PROCESSES.Process(target=ingest, args=(url, seed))
    process.start()
    return process


def assert_whole(store: Store) -> None:
    for orphans in ORPHANS:
        assert ask(store, orphans) == [(0,)], orphans


def test_totals_are_right_when_two_processes_record_the_same_reports(empty_url: str) -> None:
    processes = [begin(empty_url, seed) for seed in (1, 2)]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    with Store.open(empty_url) as store:
        assert totals(store) == expected()
        assert_whole(store)


def test_totals_are_right_when_the_process_was_killed_many_times(empty_url: str) -> None:
    dice = random.Random(7)
    killed = 0
    while killed < 12:
        process = begin(empty_url, killed)
        time.sleep(dice.uniform(0.05, 0.4))
        if process.is_alive():
            process.kill()
            killed += 1
        process.join()
        with Store.open(empty_url) as store:
            assert_whole(store)
            if process.exitcode == 0:
                prune(store, date(2030, 1, 1))
    ingest(empty_url, 99)
    with Store.open(empty_url) as store:
        assert_whole(store)
        assert totals(store) == expected()


def die_in_the_middle(url: str, at: int) -> None:
    """Be killed while the records of the second report of a batch are taken, after some slices went in."""
    module.SLICE_RECORDS = 50
    whole = incoming(report(*[("192.0.2.1", 1, evaluation())] * 2_000, report_id="2"), chunk=100)

    def chunks() -> Iterator[Chunk]:
        for number, chunk in enumerate(whole.chunks()):
            if number == at:
                os.kill(os.getpid(), signal.SIGKILL)
            yield chunk

    with Store.open(url) as store:
        record(store, [message(report(), origin="1.eml"), message(replace(whole, chunks=chunks), origin="2.eml")], NOW)


@pytest.mark.parametrize("at", [0, 1, 19])
def test_nothing_of_a_batch_is_left_when_the_process_is_killed_inside_it(store_url: str, at: int) -> None:
    process = PROCESSES.Process(target=die_in_the_middle, args=(store_url, at))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    with Store.open(store_url) as store:
        for table in ("report", "evaluation", "record", "ledger"):
            assert ask(store, f"SELECT count(*) FROM {table}") == [(0,)]
        assert [x.outcome for x in record(store, [message(report(), origin="1.eml")], NOW)] == ["stored"]
