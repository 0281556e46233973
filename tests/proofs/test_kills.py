"""
The same folder ingested twice, by two processes at once, and by processes that are killed: the same is in the store.

Kills fall at random points of a run, seeded; the whole process group dies, or the main process alone.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from builders import ask
from dmarcops.store.engine import Store
from proofs.command import dmarcops, of_session, start, wait_until_gone
from store.test_store_processes import ORPHANS

INPUTS = Path(__file__).parents[2] / "benchmarks" / "inputs.py"
SAMPLES = Path(__file__).parents[2] / "sample-reports"
KILLS = 8
Content = list[list[tuple[object, ...]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 small mails, a report so large that it waits in a file, and the samples with all that is wrong with them."""
    path = tmp_path_factory.mktemp("messages") / "all"
    subprocess.run([sys.executable, INPUTS, path, "400", "1", "20000"], check=True)
    for kind in ("awkward", "story"):
        for number, sample in enumerate(sorted((SAMPLES / kind).iterdir())):
            if sample.is_file():
                (path / f"{kind}-{number:03}-{sample.name}").write_bytes(sample.read_bytes())
    return path


@pytest.fixture(scope="module")
def expected(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Content:
    """What one run leaves that nothing disturbs."""
    url = f"sqlite:///{tmp_path_factory.mktemp('expected')}/store.db"
    ended = dmarcops("--store", url, "ingest", "--jobs", "1", folder)
    assert ended.code == 0, ended.stderr
    return content(url)


def content(url: str) -> Content:
    """Return what is in a store: reports, their sums, the ledger; checks that it is whole and each line there once."""
    with Store.open(url) as store:
        for orphans in ORPHANS:
            assert ask(store, orphans) == [(0,)], orphans
        assert ask(store, "SELECT origin FROM ledger GROUP BY origin HAVING count(*) > 1") == []
        return [
            sorted(map(tuple, ask(store, question)), key=repr)
            for question in (
                "SELECT identity, content_sha256, conflict, record_count, mail_count, origin FROM report",
                "SELECT count(*), CAST(sum(mail_count) AS BIGINT) FROM record",
                "SELECT count(*), CAST(sum(mail_count) AS BIGINT) FROM evaluation",
                "SELECT origin, message_sha256, outcome, code, payload_count FROM ledger",
                "SELECT message_sha256 FROM kept",
            )
        ]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_nothing_changes_when_the_same_folder_is_ingested_again(
    folder: Path, expected: Content, empty_url: str, jobs: str
) -> None:
    first = dmarcops("--store", empty_url, "ingest", "--jobs", jobs, "--format", "json", folder)
    assert content(empty_url) == expected
    again = dmarcops("--store", empty_url, "ingest", "--jobs", jobs, "--format", "json", folder)
    assert (first.code, first.stderr, again.code, again.stderr) == (0, "", 0, "")
    assert content(empty_url) == expected
    assert again.totals["reports"]["new"] == again.totals["records"] == again.totals["mail_count"] == 0
    assert again.totals["messages"] == first.totals["messages"]


def test_totals_are_right_when_two_processes_ingest_the_same_folder_at_once(
    folder: Path, expected: Content, empty_url: str
) -> None:
    processes = [start("--store", empty_url, "ingest", "--jobs", jobs, folder) for jobs in ("1", "2")]
    for process in processes:
        _, stderr = process.communicate(timeout=120)
        assert (process.returncode, stderr) == (0, "")
    assert content(empty_url) == expected


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_totals_are_right_when_ingest_is_killed_at_random_and_run_again(
    folder: Path, expected: Content, empty_url: str, tmp_path: Path, *, jobs: str
) -> None:
    dice = random.Random(f"{jobs} {empty_url.partition(':')[0]}")
    (tmp_path / "tmp").mkdir()
    environment = {"TMPDIR": str(tmp_path / "tmp")}
    command = ("--store", empty_url, "ingest", "--jobs", jobs, folder)
    killed = 0
    for number in range(KILLS):
        process = start(*command, env=environment)
        time.sleep(dice.uniform(0.2, 2.0))
        if process.poll() is None:
            killed += 1
            if number % 2:
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        wait_until_gone(process.pid)
        content(empty_url)
    assert killed
    ended = dmarcops(*command, env=environment)
    assert (ended.code, ended.stderr) == (0, "")
    assert content(empty_url) == expected
    # What the killed left is deleted by who comes next; only Python's own `pymp-*`, with a socket in it, stays.
    assert list((tmp_path / "tmp").glob("dmarcops-*")) == []


def test_worker_ends_when_the_main_process_is_killed(folder: Path, tmp_path: Path) -> None:
    process = start("--store", f"sqlite:///{tmp_path}/store.db", "ingest", "--jobs", "2", folder)
    deadline = time.monotonic() + 30
    while len(of_session(process.pid)) < 4:  # main, fork server, and its two workers
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.communicate()
    wait_until_gone(process.pid)
