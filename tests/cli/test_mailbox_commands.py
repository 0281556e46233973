"""`ingest` without paths and `doctor`, over mailboxes on disk: all of them, and none stops another."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dmarcops.cli import systemd
from program import Program, alone_in
from sources import document

CONFIG = """
[mailboxes.one]
kind = "maildir"
path = "{folder}/one"
archive = "Done"

[mailboxes.two]
kind = "maildir"
path = "{folder}/two"

[mailboxes.seed]
kind = "maildir"
path = "{folder}/seed"
reports = false
"""


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Program:
    """The program in a directory with a configuration of three mailboxes."""
    alone_in(tmp_path, monkeypatch)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    (tmp_path / "dmarcops.toml").write_text(CONFIG.format(folder=tmp_path))
    for name in ("one", "two", "seed"):
        for part in ("cur", "new", "tmp"):
            (tmp_path / name / part).mkdir(parents=True)
    return Program(f"sqlite:///{tmp_path}/store.db", capsys)


def deliver(folder: Path, number: int) -> None:
    mail = b"From: dmarc@receiver.example\r\nContent-Type: text/xml\r\n\r\n" + document(number)
    (folder / "tmp" / f"{number}.M1.host").write_bytes(mail)
    (folder / "tmp" / f"{number}.M1.host").rename(folder / "new" / f"{number}.M1.host")


def test_all_mailboxes_are_taken_in_but_those_for_other_use(run: Program, tmp_path: Path) -> None:
    deliver(tmp_path / "one", 1)
    deliver(tmp_path / "two", 2)
    deliver(tmp_path / "seed", 3)
    ended = run("ingest", "--jobs", "1", "--format", "json")
    assert (ended.code, ended.json["reports"]["new"]) == (0, 2)
    assert len(list((tmp_path / "one/.Done/cur").iterdir())) == 1
    assert len(list((tmp_path / "seed/new").iterdir())) == 1
    again = run("ingest", "--jobs", "1", "--format", "json")
    assert (again.code, again.json["messages"]) == (0, 0)


def test_mailbox_that_fails_is_told_of_and_stops_no_other(run: Program, tmp_path: Path) -> None:
    for part in ("cur", "new", "tmp"):
        (tmp_path / "one" / part).rmdir()
    (tmp_path / "one").rmdir()
    deliver(tmp_path / "two", 2)
    ended = run("ingest", "--jobs", "1", "--format", "json")
    assert (ended.code, ended.json["reports"]["new"]) == (1, 1)
    assert "one: " in ended.err


def test_configuration_of_one_mailbox_that_is_wrong_is_named(run: Program, tmp_path: Path) -> None:
    text = (tmp_path / "dmarcops.toml").read_text().replace('archive = "Done"', 'archiv = "Done"')
    (tmp_path / "dmarcops.toml").write_text(text)
    deliver(tmp_path / "two", 2)
    ended = run("ingest", "--jobs", "1", "--format", "json")
    assert (ended.code, ended.json["reports"]["new"]) == (2, 1)
    assert "[mailboxes.one]: unknown key archiv" in ended.err
    assert "did you mean archive?" in ended.err


def test_doctor_finds_what_is_well_and_what_is_not(run: Program, tmp_path: Path) -> None:
    ended = run("doctor", "--format", "json")
    parts = {row["part"] for row in ended.json}
    assert {"store", "mailboxes.one", "mailboxes.two", "mailboxes.seed"} <= parts
    (tmp_path / "dmarcops.toml").write_text('[mailboxes.one]\nkind = "imaap"\n')
    ended = run("doctor", "--format", "json")
    assert ended.code == 1
    assert [row["what"] for row in ended.json if row["is"] == "hint"] == ["did you mean imap?"]


def test_watch_takes_in_what_comes_and_ends_when_told(run: Program, tmp_path: Path) -> None:
    """SIGHUP reads the configuration anew unless it cannot be used; SIGTERM ends it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        command = [sys.executable, "-m", "dmarcops", "-v", "--store", run.store_url, "ingest", "--watch", "--jobs", "1"]
        environ = os.environ | {
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "DMARCOPS_MAILBOXES__ONE__POLL_EVERY": "1s",
            "DMARCOPS_MAILBOXES__TWO__POLL_EVERY": "1s",
        }
        with (tmp_path / "log").open("w") as log, subprocess.Popen(command, env=environ, stderr=log) as watch:
            try:
                assert manager.recv(100) == b"READY=1"
                deliver(tmp_path / "one", 7)
                _until(lambda: _count(run) == 1)
                assert _next(manager, b"WATCHDOG=1")
                good = (tmp_path / "dmarcops.toml").read_text()
                (tmp_path / "dmarcops.toml").write_text("[stoer]\n")
                watch.send_signal(signal.SIGHUP)
                _until(lambda: "the configuration was not read anew" in (tmp_path / "log").read_text())
                (tmp_path / "dmarcops.toml").write_text(good)
                watch.send_signal(signal.SIGHUP)
                assert _next(manager, b"RELOADING=1")
                assert _next(manager, b"READY=1")
                deliver(tmp_path / "two", 8)
                _until(lambda: _count(run) == 2)
                watch.send_signal(signal.SIGTERM)
                assert watch.wait(60) == 0
                assert _next(manager, b"STOPPING=1")
            finally:
                watch.kill()


def _count(run: Program) -> int:
    return len(json.loads(run("reports", "--format", "json").out))


def _until(holds: object) -> None:
    assert callable(holds)
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _next(manager: socket.socket, wanted: bytes) -> bool:
    while not (said := manager.recv(200)).startswith(wanted):
        assert said.startswith((b"WATCHDOG", b"READY", b"RELOADING", b"STOPPING"))
    return True


def test_nobody_is_told_when_nobody_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "absent"))
    systemd.notify("READY=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0dmarcops-test-{os.getpid()}")
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@dmarcops-test-{os.getpid()}")
        systemd.notify("READY=1")
        assert manager.recv(100) == b"READY=1"
