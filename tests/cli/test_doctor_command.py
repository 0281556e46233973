"""`doctor` with real servers: what it finds, what it says to mend, and that it shows no secret."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import servers_dovecot
import servers_hook
from builders import message, report
from conftest import free_port
from dmarcops.store.engine import Store
from dmarcops.store.reports import record
from program import Ended, Program, alone_in
from servers_dovecot import PASSWORD, Dovecot
from servers_hook import Hook

dovecot, user, hook = servers_dovecot.dovecot, servers_dovecot.user, servers_hook.hook

Doctor = Callable[..., Ended]


@pytest.fixture
def doctor(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Give a function that runs the doctor over a configuration."""
    alone_in(tmp_path, monkeypatch)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))

    def run(text: str, *options: str, store_url: str = "sqlite:///store.db") -> Ended:
        (tmp_path / "dmarcops.toml").write_text(text)
        return Program(store_url, capsys)("doctor", "--format", "json", *options)

    return run


def imap(server: Dovecot, name: str, user: str, extra: str = "") -> str:
    return (
        f'[mailboxes.{name}]\nkind = "imap"\nhost = "127.0.0.1"\nport = {server.imap}\ntls = "none"\n'
        f'username = "{user}"\npassword = "{PASSWORD}"\n{extra}\n'
    )


def found(ended: Ended, part: str) -> list[tuple[str, str]]:
    return [(row["is"], row["what"]) for row in ended.json if row["part"] == part]


def test_everything_is_well(doctor: Doctor, dovecot: Dovecot, user: str, hook: Hook) -> None:
    dovecot.append(user, b"Subject: x\r\n\r\nx\r\n")
    mailbox = imap(dovecot, "rua", user, 'archive = "DMARC/Archive"\ninvalid = "DMARC/Invalid"')
    ended = doctor(mailbox + f'[notify]\nurls = ["{hook.url}"]\n')
    assert (ended.code, ended.err) == (0, "")
    assert {row["is"] for row in ended.json} <= {"ok", "hint"}
    assert found(ended, "store") == [("ok", "it can be opened and written"), ("ok", "the clock agrees with it")]
    assert ("ok", "folder INBOX: 1 messages") in found(ended, "mailboxes.rua")
    assert ("ok", "folder DMARC/Archive: writable") in found(ended, "mailboxes.rua")
    assert found(ended, "notify") == [("ok", "urls[0]: JSON")]
    assert hook.posted == []


def test_each_mailbox_s_problem_is_named_and_keeps_no_other_from_being_looked_at(
    doctor: Doctor, dovecot: Dovecot, user: str
) -> None:
    ended = doctor(
        imap(dovecot, "wrong", user).replace(PASSWORD, "n0t-it")
        + imap(dovecot, "folder", user, 'folder = "No/Such"')
        + '[mailboxes.kind]\nkind = "imaap"\nreports = false\n'
        + imap(dovecot, "key", user, "hots = 1")
        + f'[mailboxes.gone]\nkind = "imap"\nhost = "127.0.0.1"\nport = {free_port()}\ntls = "none"\n'
        + f'username = "u"\npassword = "{PASSWORD}"\n'
        + imap(dovecot, "good", user)
    )
    assert ended.code == 1
    assert "5 problems found" in ended.err
    assert PASSWORD not in ended.out
    assert "n0t-it" not in ended.out
    [said] = [what for kind, what in found(ended, "mailboxes.folder") if kind == "problem"]
    assert "No/Such" in said
    assert found(ended, "mailboxes.wrong")[0][0] == "problem"
    assert found(ended, "mailboxes.gone")[0][0] == "problem"
    assert found(ended, "mailboxes.kind") == [
        ("problem", "dmarcops.toml: [mailboxes.kind] unknown kind 'imaap'"),
        ("hint", "did you mean imap?"),
    ]
    assert found(ended, "mailboxes.key") == [
        ("problem", "dmarcops.toml: [mailboxes.key]: unknown key hots"),
        ("hint", "did you mean host?"),
    ]
    assert "problem" not in [kind for kind, _ in found(ended, "mailboxes.good")]


def test_unknown_section_is_named(doctor: Doctor) -> None:
    ended = doctor("[mailboxs.rua]\n")
    assert (ended.code, ended.out) == (2, "")
    assert "unknown key [mailboxs]" in ended.err
    assert "did you mean mailboxes?" in ended.err


@pytest.mark.parametrize(
    ("store_url", "said"),
    [
        ("sqlite:////proc/nowhere/store.db", "/proc/nowhere"),
        ("sqlite:///:memory:", "a store in memory"),
        ("postgresql://u:hush@127.0.0.1:{port}/d", "127.0.0.1"),
    ],
)
def test_store_that_cannot_be_used_is_a_problem(doctor: Doctor, store_url: str, said: str) -> None:
    ended = doctor("", store_url=store_url.format(port=free_port()))
    assert ended.code == 1
    assert "1 problem found" in ended.err
    kind, what = found(ended, "store")[0]
    assert kind == "problem"
    assert said in what
    assert "hush" not in ended.out + ended.err


def test_store_is_well_in_both_databases(doctor: Doctor, store_url: str) -> None:
    assert [kind for kind, _ in found(doctor("", store_url=store_url), "store")] == ["ok", "ok"]


def test_clock_behind_the_ledger_is_a_problem(doctor: Doctor, store_url: str) -> None:
    with Store.open(store_url) as store:
        record(store, [message(report())], datetime.now(UTC) + timedelta(days=2))
    ended = doctor("", store_url=store_url)
    assert ended.code == 1
    assert "still to come by the clock" in found(ended, "store")[1][1]


def test_files_of_secrets_that_others_can_read_are_hinted_at(
    doctor: Doctor, dovecot: Dovecot, user: str, tmp_path: Path
) -> None:
    for name, mode in (("open", 0o644), ("closed", 0o640)):
        (tmp_path / name).write_text(PASSWORD)
        (tmp_path / name).chmod(mode)
    text = "".join(
        imap(dovecot, name, user).replace(f'"{PASSWORD}"', f'{{ file = "{file}" }}')
        for name, file in (("a", "open"), ("b", "closed"), ("c", "absent"))
    )
    ended = doctor(text)
    assert found(ended, "configuration") == [
        ("hint", "every user of the machine can get at open (mailboxes.a.password): chmod o-rwx open"),
        ("ok", "closed (mailboxes.b.password) is closed to other users"),
    ]
    assert found(ended, "mailboxes.c") == [
        ("problem", "dmarcops.toml: [mailboxes.c] password: cannot read absent: No such file or directory")
    ]


def test_test_message_is_sent_when_asked_for(doctor: Doctor, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("URL", hook.url)
    ended = doctor(f'[notify]\nurls = ["{hook.url}", {{ env = "URL" }}]\n', "--notify")
    assert (ended.code, hook.titles()) == (0, ["dmarcops: test"] * 2)
    assert found(ended, "notify")[-1] == ("ok", "a test message is sent")


def test_test_message_that_nobody_gets_is_a_problem(doctor: Doctor, hook: Hook) -> None:
    hook.status = 500
    ended = doctor(f'[notify]\nurls = ["{hook.url}"]\n', "--notify")
    assert (ended.code, "hush" in ended.out + ended.err) == (1, False)
    assert ("problem", "the notification was not delivered to urls[0] of [notify]") in found(ended, "notify")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", ": [notify]: the key urls is missing"),
        ('[notify]\nurls = ["garbage"]\n', "apprise does not understand urls[0]"),
        ('[notify]\nurls = ["json://h"]\nurl = 1\n', "dmarcops.toml: [notify]: unknown key url"),
        ('[notify]\nurls = [{ env = "UNSET" }]\n', "the environment variable UNSET is not set"),
    ],
)
def test_notify_that_cannot_be_used_is_a_problem(doctor: Doctor, text: str, problem: str) -> None:
    ended = doctor(text, *(() if text else ("--notify",)))
    assert (ended.code, "1 problem found" in ended.err) == (1, True)
    assert problem in found(ended, "notify")[0][1]
