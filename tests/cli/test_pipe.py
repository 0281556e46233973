"""`ingest - --sysexits` as an MTA runs it: whatever goes wrong, the mail stays in the queue (sysexits.h)."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from builders import ask
from conftest import free_port
from dmarcops.cli import ingest as module
from dmarcops.cli.ingest import EX_TEMPFAIL
from dmarcops.store.engine import HEAD, VERSION_TABLE, Store
from program import Ended, Program, alone_in
from sources import document

MAIL = b"Subject: report\r\nMIME-Version: 1.0\r\nContent-Type: text/xml\r\n\r\n" + document(1)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment without settings of the program."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DMARCOPS_")}
    return kept | {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}


def piped(
    environ: dict[str, str], folder: Path, store: str, *, before: str = "", options: str = ""
) -> "subprocess.CompletedProcess[bytes]":
    """Give the mail to a shell that runs the program, as local(8) of Postfix does."""
    (folder / "mail").write_bytes(MAIL)
    line = f"{before or 'exec'} '{sys.executable}' -m dmarcops --store '{store}' ingest - --sysexits --jobs 1 {options}"
    with (folder / "mail").open("rb") as mail:
        return subprocess.run(
            ["sh", "-c", line], stdin=mail, capture_output=True, env=environ, cwd=folder, check=False, timeout=120
        )


def test_mail_that_is_stored_is_done(environ: dict[str, str], tmp_path: Path) -> None:
    for outcome in ("new", "duplicate", "duplicate"):
        done = piped(environ, tmp_path, "sqlite:///store.db", options="--format json")
        assert (done.returncode, done.stderr) == (0, b"")
        assert json.loads(done.stdout)["reports"][outcome] == 1


def test_nothing_is_printed_when_it_is_done(environ: dict[str, str], tmp_path: Path) -> None:
    """Exim takes it for a failure when a pipe prints something (`return_output`)."""
    done = piped(environ, tmp_path, "sqlite:///store.db")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        assert ask(store, "SELECT count(*) FROM report") == [(1,)]


@pytest.mark.parametrize(
    "store",
    ["postgresql://u:hush@127.0.0.1:{port}/d", "sqlite:////proc/nowhere/store.db", "nonsense", "mysql://h/d"],
)
def test_mail_is_to_be_kept_when_the_store_cannot_be_had(environ: dict[str, str], tmp_path: Path, store: str) -> None:
    done = piped(environ, tmp_path, store.format(port=free_port()))
    assert done.returncode == EX_TEMPFAIL
    assert done.stderr.startswith(b"dmarcops: ")
    assert b"hush" not in done.stderr


def test_mail_is_to_be_kept_when_the_configuration_is_wrong(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "dmarcops.toml").write_text("[stoer]\n")
    assert piped(environ, tmp_path, "sqlite:///store.db").returncode == EX_TEMPFAIL


def test_mail_is_to_be_kept_when_the_configuration_may_not_be_read(environ: dict[str, str], tmp_path: Path) -> None:
    """As when the MTA runs the program as another user than the one that the file is for."""
    (tmp_path / "private.toml").touch(mode=0)
    # root reads every file, unless it is without its privileges
    before = "exec setpriv --inh-caps=-all --bounding-set=-all" if os.geteuid() == 0 else ""
    done = piped(environ | {"DMARCOPS_CONFIG": "private.toml"}, tmp_path, "sqlite:///store.db", before=before)
    assert done.returncode == EX_TEMPFAIL
    assert done.stderr == b"dmarcops: cannot read the configuration file private.toml: Permission denied\n"


@pytest.mark.parametrize("slip", [("--job", "2"), ("--jobs", "none"), ("--format", "xml"), ("--watch",)])
def test_mail_is_to_be_kept_when_the_call_is_wrong(run: Program, slip: tuple[str, ...]) -> None:
    assert (pipe(run, *slip).code, pipe(run, "--sysexits", *slip).code) == (2, EX_TEMPFAIL)


def test_mail_is_to_be_kept_when_files_may_not_grow(environ: dict[str, str], tmp_path: Path) -> None:
    """As on a full disk: not even the store's schema can be written."""
    done = piped(environ, tmp_path, "sqlite:///store.db", before="ulimit -f 8; trap '' XFSZ; exec")
    assert done.returncode == EX_TEMPFAIL, done.stderr


def test_reader_that_is_gone_is_no_reason_to_send_it_again(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "mail").write_bytes(MAIL)
    program = f"'{sys.executable}' -m dmarcops --store sqlite:///store.db ingest - --sysexits --jobs 1 --format json"
    line = f"{{ {program} < mail; echo $? > code; }} | true"
    subprocess.run(["sh", "-c", line], env=environ, cwd=tmp_path, check=True, timeout=120)
    assert (tmp_path / "code").read_text() == "0\n"
    assert (
        b'"duplicate": 1'
        in subprocess.run(
            ["sh", "-c", f"{program} < mail"], env=environ, cwd=tmp_path, check=True, capture_output=True
        ).stdout
    )


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, store_url: str) -> Program:
    """The program in this process, with the mail on its standard input."""
    alone_in(tmp_path, monkeypatch)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(MAIL)))
    return Program(store_url, capsys)


def pipe(run: Program, *options: str) -> Ended:
    return run("ingest", "-", "--jobs", "1", *options)


@pytest.mark.parametrize(("options", "code"), [(("--sysexits",), EX_TEMPFAIL), ((), 1)])
def test_mail_is_to_be_kept_when_the_store_is_locked(
    run: Program, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], code: int
) -> None:
    monkeypatch.setitem(Store.open.__kwdefaults__ or {}, "timeout_seconds", 0.1)
    with Store.open(run.store_url) as store, store.write() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '{HEAD}'")
        ended = pipe(run, *options)
    assert (ended.code, ended.out) == (code, "")


def test_mail_is_to_be_kept_when_the_program_has_a_defect(run: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(module, "raise_for_unreadable", broken)
    ended = pipe(run, "--sysexits")
    assert (ended.code, ended.err) == (EX_TEMPFAIL, "dmarcops: ZeroDivisionError: a defect\n")
