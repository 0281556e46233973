"""From the configuration to objects."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from dmarcops import wiring
from dmarcops.config import Config
from dmarcops.errors import ConfigError
from dmarcops.mail import maildir


def config(tmp_path: Path, **mailboxes: Mapping[str, object]) -> Config:
    return Config(tables={"mailboxes": mailboxes}, environ={"STATE_DIRECTORY": str(tmp_path / "state")})


def test_adapters_are_the_modules_with_an_adapter() -> None:
    assert wiring.adapters("mail") == ["gmail", "graph", "imap", "maildir", "mbox", "pop3", "s3", "sqs"]
    assert wiring.adapters("notify") == ["apprise"]


@pytest.mark.parametrize(("name", "folder"), [("rua", "rua"), ("../a/b c", "..%2Fa%2Fb%20c"), ("ä", "%C3%A4")])
def test_mailbox_has_a_folder_of_its_own_that_is_closed_to_others(tmp_path: Path, name: str, folder: str) -> None:
    given = config(tmp_path, **{name: {"kind": "maildir", "path": "x", "poll_every": "1s"}})
    source, settings = wiring.mailbox(given, name)
    assert (type(source), source.name) == (maildir.Adapter, name)
    assert settings.poll_every.total_seconds() == 1
    assert [path.name for path in (tmp_path / "state/mailboxes").iterdir()] == [folder]
    assert (tmp_path / "state/mailboxes" / folder).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"path": "x"}, r"\[mailboxes.rua\] kind is missing"),
        ({"kind": "files", "path": "x"}, r"\[mailboxes.rua\] unknown kind 'files'"),
        ({"kind": "maildir"}, r"\[mailboxes.rua\]: the key path is missing"),
    ],
)
def test_mailbox_that_cannot_be_made_is_named(tmp_path: Path, table: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        wiring.mailbox(config(tmp_path, rua=table), "rua")
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("one", "two", "message"),
    [
        (
            {"archive": "done"},
            {"archive": "./done"},
            r"\[mailboxes.one\] archive is the same file as \[mailboxes.two\] archive",
        ),
        (
            {"archive": "a", "invalid": "bad"},
            {"archive": "b", "invalid": "bad"},
            r"\[mailboxes.one\] invalid is the same file as \[mailboxes.two\] invalid",
        ),
        ({"archive": "two"}, {}, r"\[mailboxes.one\] archive is the same file as \[mailboxes.two\] path"),
        ({}, {"archive": "one"}, r"\[mailboxes.one\] path is the same file as \[mailboxes.two\] archive"),
        ({"archive": "one"}, {}, r"\[mailboxes.one\]: archive is the same file as path"),
        ({"archive": "a", "invalid": "./one"}, {}, r"\[mailboxes.one\]: invalid is the same file as path"),
    ],
)
def test_mbox_that_shares_what_it_writes_is_refused(
    tmp_path: Path, one: dict[str, object], two: dict[str, object], message: str
) -> None:
    given = config(tmp_path, one={"kind": "mbox", "path": "one"} | one, two={"kind": "mbox", "path": "two"} | two)
    with pytest.raises(ConfigError, match=message):
        wiring.mailbox(given, "one")


def test_mboxes_with_files_of_their_own_are_taken(tmp_path: Path) -> None:
    given = config(
        tmp_path,
        one={"kind": "mbox", "path": "one", "archive": "a", "invalid": "a"},
        two={"kind": "mbox", "path": "two", "archive": "b"},
        bad={"kind": "mbox", "archive": "a"},
        dir={"kind": "maildir", "path": "one", "archive": "a"},
    )
    assert wiring.mailbox(given, "one")[0].name == "one"


def test_notifier_has_the_thresholds_of_its_section() -> None:
    given = Config(tables={"notify": {"urls": ["json://h"], "silent_after": "4d", "rejected_min": 7}})
    _, thresholds = wiring.notifier(given)
    assert (thresholds.silent_after.days, thresholds.rejected_min, thresholds.failing_runs) == (4, 7, 3)
    with pytest.raises(ConfigError, match="urls is missing"):
        wiring.notifier(Config())


@pytest.mark.parametrize(
    ("mailboxes", "trusting"),
    [
        ({}, True),
        ({"rua": {}}, True),
        ({"rua": {}, "more": {"authserv_ids": ["mx.example.com"]}}, False),
        ({"rua": {"authserv_ids": [""]}}, False),
        ({"rua": {"verify_dkim": True}}, False),
        ({"rua": {}, "seed": {"authserv_ids": ["mx.example.com"], "reports": False}}, True),
    ],
)
def test_unknown_carriers_count_while_no_mailbox_of_reports_can_tell(
    tmp_path: Path, mailboxes: Mapping[str, Mapping[str, object]], *, trusting: bool
) -> None:
    given = {name: {"kind": "maildir", "path": "x", **table} for name, table in mailboxes.items()}
    assert wiring.trusts_unknown(config(tmp_path, **given)) is trusting
