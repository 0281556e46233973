"""What a new user gets to see when something is not as it should be: the right words and exit codes, no traceback."""

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from builders import ask
from dmarcops.store.engine import Store
from proofs.command import SRC, Ended, dmarcops

SAMPLES = Path(__file__).parents[2] / "sample-reports"
REPORT = SAMPLES / "awkward" / "23-utf8-bom.xml"
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")
AS_ROOT = os.geteuid() == 0


def assert_told(ended: Ended, code: int, *words: str) -> None:
    assert ended.code == code, ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stderr.startswith("dmarcops: ")
    for word in words:
        assert word in ended.stderr


def ingest(url: str, *paths: Path, before: tuple[str, ...] = (), env: dict[str, str] | None = None) -> Ended:
    return dmarcops("--store", url, "ingest", "--jobs", "1", "--format", "json", *paths, before=before, env=env)


def stored(url: str) -> int:
    with Store.open(url) as store:
        ((count,),) = ask(store, "SELECT count(*) FROM report")
    assert isinstance(count, int)
    return count


def test_wrong_path_is_a_usage_error_and_nothing_is_done(tmp_path: Path) -> None:
    ended = ingest(f"sqlite:///{tmp_path}/store.db", REPORT, tmp_path / "no-such-folder")
    assert_told(ended, 2, f"no such file or directory: {tmp_path}/no-such-folder", "hint: ")
    assert list(tmp_path.iterdir()) == []


def test_unreadable_file_is_told_and_the_others_are_stored(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    folder, work = tmp_path / "in", tmp_path / "work"
    folder.mkdir()
    (folder / "a.xml").write_bytes(REPORT.read_bytes())
    (folder / "b.xml").write_bytes(REPORT.read_bytes())
    (folder / "b.xml").chmod(0)
    (folder / "c.eml").write_bytes((SAMPLES / "awkward" / "19-plain-gzip.eml").read_bytes())
    work.mkdir()
    work.chmod(0o777)
    if AS_ROOT and subprocess.run([*NOBODY, "test", "-r", SRC], check=False, cwd="/").returncode:
        pytest.skip("the project cannot be read by another user")
    if AS_ROOT and subprocess.run([*NOBODY, "test", "-r", tmp_path / "in"], check=False, cwd="/").returncode:
        for parent in tmp_path.parents[:3]:  # pytest's own, which are private
            if parent.stat().st_mode & 0o005 == 0:
                parent.chmod(parent.stat().st_mode | 0o005)
    url = f"sqlite:///{work}/store.db"
    before = NOBODY if AS_ROOT else ()
    ended = ingest(url, folder, before=before, env={"HOME": str(work)})
    assert_told(ended, 1, "b.xml: Permission denied", "the others are in the store")
    assert ended.totals["reports"]["new"] == 2
    assert ended.totals["retry"] == 1
    (folder / "b.xml").chmod(0o644)
    again = ingest(url, folder, before=before, env={"HOME": str(work)})
    assert (again.code, again.totals["reports"]["duplicate"], again.totals["retry"]) == (0, 3, 0)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of two megabytes; not in a folder of pytest's, which it may move before this is unmounted."""
    mount = Path(tempfile.mkdtemp(prefix="dmarcops-test-disk-"))
    command = ("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mount))
    if not AS_ROOT or subprocess.run(command, check=False, capture_output=True).returncode:
        mount.rmdir()
        pytest.skip("only root may mount a small file system")
    yield mount
    subprocess.run(["umount", mount], check=True)
    mount.rmdir()


def test_full_disk_is_told_and_what_was_done_stays(small_disk: Path, tmp_path: Path) -> None:
    inputs = Path(__file__).parents[2] / "benchmarks" / "inputs.py"
    subprocess.run([sys.executable, inputs, tmp_path / "in", "3000", "0", "0"], check=True)
    url = f"sqlite:///{small_disk}/store.db"
    ended = ingest(url, tmp_path / "in")
    assert_told(ended, 1, f"the store {url} is full", "hint: make room on the disk")
    with closing(sqlite3.connect(small_disk / "store.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        reports = connection.execute("SELECT count(*) FROM report").fetchone()[0]
        assert connection.execute("SELECT count(*) FROM ledger").fetchone()[0] == reports
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    again = ingest(url, tmp_path / "in")
    assert (again.code, again.totals["reports"]) == (0, {"new": 3000 - reports, "duplicate": reports, "conflict": 0})


def test_locked_database_is_told_when_the_wait_is_over(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    assert ingest(url, REPORT).code == 0
    with closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        # The same program, but for how long it waits.
        start = (
            "from dmarcops.store.engine import Store; Store.open.__func__.__kwdefaults__['timeout_seconds'] = 0.5;"
            "import sys; from dmarcops.cli.main import outcome; sys.exit(outcome(sys.argv[1:]))"
        )
        done = subprocess.run(
            [sys.executable, "-c", start, "--store", url, "ingest", "--jobs", "1", SAMPLES / "story"],
            check=False,
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": SRC},
        )
        other.execute("ROLLBACK")
    assert_told(Ended(done.returncode, done.stdout, done.stderr, 0, 0), 1, "is locked by another program", "hint: wait")
    assert stored(url) == 1
    assert ingest(url, SAMPLES / "story").code == 0


def test_store_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    assert ingest(url, REPORT).code == 0
    with closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as connection:
        connection.execute("UPDATE dmarcops_version SET version_num = '9999'")
    assert_told(ingest(url, REPORT), 1, "is newer than this program", "9999", "hint: upgrade dmarcops")


def test_unreachable_server_is_told_without_its_password() -> None:
    ended = ingest("postgresql://someone:topsecret@127.0.0.1:1/reports", REPORT)
    assert_told(ended, 1, "cannot be reached", "hint: check that the server runs")
    assert "topsecret" not in ended.stderr
