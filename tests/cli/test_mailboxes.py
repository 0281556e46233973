"""`ingest` without paths: several mailboxes at once, what is printed of them, and who is told."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import servers_dovecot
import servers_hook
from conftest import free_port
from dmarcops.cli import mailboxes as module
from dmarcops.store.engine import Store
from dmarcops.store.notices import load_told
from dmarcops.store.runs import load_runs
from program import Ended, Program, alone_in
from servers_dovecot import PASSWORD, Dovecot
from servers_hook import Hook
from sources import document

dovecot, user, hook = servers_dovecot.dovecot, servers_dovecot.user, servers_hook.hook

Configure = Callable[[str], None]
URL = "sqlite:///store.db"


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Give a function that writes the configuration, in a directory of its own."""
    alone_in(tmp_path, monkeypatch)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))

    def write(text: str) -> None:
        (tmp_path / "dmarcops.toml").write_text(text)

    return write


@pytest.fixture
def run(configure: Configure, capsys: pytest.CaptureFixture[str]) -> Program:  # noqa: ARG001 - for its directory
    """The program in that directory."""
    return Program(URL, capsys)


def ingest(run: Program, *options: str, form: str = "json") -> Ended:
    return run(*options, "ingest", "--jobs", "1", "--format", form)


def maildir(name: str, *reports: int, extra: str = "") -> str:
    """Make a Maildir with these reports, and give its section."""
    for folder in ("new", "cur", "tmp"):
        Path(name, folder).mkdir(parents=True)
    for number in reports:
        deliver(name, number)
    return f'[mailboxes.{name}]\nkind = "maildir"\npath = "{name}"\narchive = "Done"\npoll_every = "1s"\n{extra}\n'


def deliver(name: str, number: int) -> None:
    """Put a mail with a report into a Maildir, as an MTA does."""
    head = b"Subject: report\r\nMIME-Version: 1.0\r\nContent-Type: text/xml\r\n\r\n"
    written = Path(name, "tmp", f"{number}.M1.host")
    written.write_bytes(head + document(number))
    written.rename(Path(name, "new", f"{number}.M1.host"))


def dead(name: str) -> str:
    """Give the section of a mailbox whose server is not there."""
    return (
        f'[mailboxes.{name}]\nkind = "imap"\nhost = "127.0.0.1"\nport = {free_port()}\ntls = "none"\n'
        'username = "u"\npassword = "hush"\n'
    )


def test_one_mailbox_is_taken_in_with_the_contract_s_figures_alone(run: Program, configure: Configure) -> None:
    configure(maildir("a", 1, 2))
    figures = ingest(run).json
    assert (figures["messages"], figures["reports"]) == (2, {"new": 2, "duplicate": 0, "conflict": 0})
    assert "mailboxes" not in figures
    assert len(list(Path("a/.Done").rglob("*.host*"))) == 2
    assert ingest(run).json["messages"] == 0


def test_mailboxes_are_taken_in_side_by_side_with_figures_of_each(
    run: Program, configure: Configure, dovecot: Dovecot, user: str
) -> None:
    dovecot.append(user, b"Content-Type: text/xml\r\n\r\n" + document(3))
    section = dead("imap").replace('"u"', f'"{user}"').replace("hush", PASSWORD)
    port = next(line for line in section.splitlines() if line.startswith("port"))
    configure(maildir("a", 1, 2) + maildir("b", 2) + section.replace(port, f"port = {dovecot.imap}"))
    ended = ingest(run)
    assert (ended.code, ended.err) == (0, "")
    figures = ended.json
    assert figures["messages"] == 4
    assert figures["reports"] == {"new": 3, "duplicate": 1, "conflict": 0}
    own: dict[str, dict[str, Any]] = figures["mailboxes"]
    assert {name: (one["state"], one["messages"]) for name, one in own.items()} == {
        "a": ("done", 2),
        "b": ("done", 1),
        "imap": ("done", 1),
    }
    assert sum(one["reports"]["duplicate"] for one in own.values()) == 1


def test_table_has_a_row_for_each_figure_of_a_mailbox_that_is_not_nought(run: Program, configure: Configure) -> None:
    configure(maildir("a", 1) + maildir("b"))
    rows = [line.rsplit(maxsplit=1) for line in ingest(run, form="table").out.splitlines()]
    told = {row[0].strip(): row[1] for row in rows if row[0].startswith("mailbox")}
    assert told == {
        "mailbox a: state": "done",
        "mailbox a: messages": "1",
        "mailbox a: payloads": "1",
        "mailbox a: reports new": "1",
        "mailbox a: records": "1",
        "mailbox a: mail_count": "1",
        "mailbox b: state": "done",
        "mailbox b: messages": "0",
    }


def test_one_that_fails_stops_no_other(run: Program, configure: Configure) -> None:
    configure(dead("x") + maildir("a", 1) + dead("y"))
    ended = ingest(run)
    assert ended.code == 1
    assert ended.json["reports"]["new"] == 1
    assert [ended.json["mailboxes"][name]["state"] for name in "xay"] == ["failed", "done", "failed"]
    lines = [line for line in ended.err.splitlines() if not line.startswith("hint")]
    assert [line[: len("dmarcops: x: ")] for line in lines] == ["dmarcops: x: ", "dmarcops: y: "]
    assert "hush" not in ended.err
    with Store.open(URL) as store:
        assert {name: run.failures_in_a_row for name, run in load_runs(store).items()} == {"a": 0, "x": 1, "y": 1}


def test_mailbox_that_failed_is_named_once(run: Program, configure: Configure) -> None:
    configure(maildir("a", 1) + maildir("b", 2))
    for name in "ab":
        Path(name, "new").rename(Path(name, "renamed"))
    lines = [line for line in ingest(run).err.splitlines() if not line.startswith("hint")]
    assert lines == [
        f"dmarcops: {name}: cannot list {Path(name, 'new').absolute()}: No such file or directory" for name in "ab"
    ]


def test_exit_code_is_that_of_the_configuration_when_that_is_wrong(run: Program, configure: Configure) -> None:
    configure('[mailboxes.x]\nkind = "imaap"\n' + dead("y") + maildir("a", 1))
    ended = ingest(run)
    assert (ended.code, ended.json["reports"]["new"]) == (2, 1)
    assert "dmarcops: y: " in ended.err
    assert "dmarcops: x: dmarcops.toml: [mailboxes.x] unknown kind 'imaap'" in ended.err
    with Store.open(URL) as store:
        assert load_runs(store)["x"].failures_in_a_row == 1


def test_busy_mailbox_is_left_to_who_has_it(run: Program, configure: Configure) -> None:
    configure(maildir("a", 1) + maildir("b", 2))
    with Store.open(URL) as store, store.exclusive("mailbox a"):
        ended = ingest(run)
    assert (ended.code, ended.json["mailboxes"]["a"]["state"], ended.json["messages"]) == (0, "busy", 1)
    assert ended.err == "dmarcops: warning: a: another dmarcops is at it; left to that one\n"
    assert ingest(run).json["mailboxes"]["a"]["reports"]["new"] == 1


@pytest.mark.parametrize("text", ["", "[mailboxes.a]\nreports = false\n"])
@pytest.mark.parametrize("options", [(), ("--watch",)])
def test_nothing_configured_is_a_mistake_in_the_configuration(
    run: Program, configure: Configure, text: str, options: tuple[str, ...]
) -> None:
    configure(text)
    ended = run("ingest", *options)
    assert ended.code == 2
    assert "no mailbox is configured" in ended.err


@pytest.mark.parametrize("place", ["file", "environment"])
def test_mailbox_without_reports_is_left_out(
    run: Program, configure: Configure, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    configure(maildir("a", 1) + maildir("seed", 2, extra="reports = false" if place == "file" else ""))
    if place == "environment":
        monkeypatch.setenv("DMARCOPS_MAILBOXES__SEED__REPORTS", "false")
    figures = ingest(run).json
    assert (figures["messages"], "mailboxes" in figures) == (1, False)


def test_watch_follows_no_paths(run: Program) -> None:
    ended = run("ingest", "--watch", ".")
    assert (ended.code, "--watch follows mailboxes, not paths" in ended.err) == (2, True)


def test_state_directory_that_cannot_be_made_is_named(
    run: Program, configure: Configure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    configure(maildir("a", 1))
    (tmp_path / "file").touch()
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "file"))
    ended = ingest(run)
    assert ended.code == 2
    assert f"a: cannot make the directory {tmp_path}/file/mailboxes/a: Not a directory" in ended.err


def notified(hook: Hook) -> str:
    return f'[notify]\nurls = ["{hook.url}"]\nfailing_runs = 2\n'


def test_person_is_told_when_a_mailbox_keeps_failing_and_when_it_works_again(
    run: Program, configure: Configure, hook: Hook
) -> None:
    configure(maildir("a", 1) + dead("x") + notified(hook))
    assert [ingest(run).code, hook.titles()] == [1, []]
    assert [ingest(run).code, hook.titles()] == [1, ["dmarcops: mailbox x fails"]]
    assert [ingest(run).code, hook.titles()] == [1, []]
    configure(maildir("x") + notified(hook))
    assert [ingest(run).code, hook.titles()] == [0, ["dmarcops: mailbox x works again"]]


@pytest.mark.parametrize("how", ["refused", "unusable"])
def test_run_goes_well_when_nobody_can_be_told(run: Program, configure: Configure, hook: Hook, how: str) -> None:
    hook.status = 500
    notify = notified(hook) if how == "refused" else "[notify]\nurl = 1\n"
    configure(dead("x") + notify)
    ingest(run)
    configure(dead("x") + notify.replace("= 2", "= 1"))
    ended = ingest(run)
    assert ended.code == 1
    warnings = [line for line in ended.err.splitlines() if line.startswith("dmarcops: warning: nobody was notified: ")]
    assert len(warnings) == 1
    assert "hush" not in ended.err
    with Store.open(URL) as store:
        assert load_told(store) == {}


def told_of(hook: Hook, title: str) -> None:
    """Return when somebody was told of it, or it takes too long, and end the program either way."""
    end = time.monotonic() + 60
    while time.monotonic() < end and title not in [message["title"] for message in hook.posted]:
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def _survives() -> Iterator[None]:
    """Outside of the program the signal that ends it does no harm to the tests."""
    former = signal.signal(signal.SIGTERM, lambda *_: None)
    yield
    signal.signal(signal.SIGTERM, former)


@pytest.mark.usefixtures("_survives")
def test_person_is_told_while_mailboxes_are_followed(
    run: Program, configure: Configure, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WATCHDOG_SECONDS", 0.1)
    configure(dead("x") + notified(hook).replace("= 2", "= 1"))
    thread = threading.Thread(target=told_of, args=(hook, "dmarcops: mailbox x fails"))
    thread.start()
    ended = run("-v", "ingest", "--watch", "--jobs", "1")
    thread.join()
    assert (ended.code, ended.out) == (0, "")
    assert hook.titles() == ["dmarcops: mailbox x fails"]
    assert "dmarcops: info: following x" in ended.err
    assert "dmarcops: warning: x: " in ended.err
    assert "dmarcops: info: told: mailbox x fails" in ended.err
    assert "hush" not in ended.err


def test_watch_does_not_begin_with_a_configuration_that_cannot_be_used(run: Program, configure: Configure) -> None:
    configure('[mailboxes.x]\nkind = "imaap"\n')
    ended = run("ingest", "--watch")
    assert (ended.code, "unknown kind 'imaap'" in ended.err) == (2, True)
