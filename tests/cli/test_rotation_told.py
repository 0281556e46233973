"""People are told what is wrong with a rotation: once, and when it is over; `keys` shows it meanwhile."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import servers_hook
from builders import dkim, evaluation, message, report
from dmarcops.report.model import AuthResults
from dmarcops.store import notices
from dmarcops.store.engine import Store
from dmarcops.store.reports import record
from program import Ended, Program, alone_in
from servers_hook import Hook
from servers_zone import Zone, rotated_by_hand, text_of

hook = servers_hook.hook
DOMAIN = "example.com"
OWN = """#!/bin/sh
[ -e {0}/broken ] && exit 1
[ "$1" = current ] && cat {0}/named 2>/dev/null
exit 0
"""
URL = "sqlite:///store.db"

Rotate = Callable[..., Ended]


@pytest.fixture
def zone() -> Zone:
    return Zone()


@pytest.fixture
def run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, zone: Zone
) -> Iterator[Program]:
    """The program with a zone that is written by hand, and a script as its signer."""
    alone_in(tmp_path, monkeypatch)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with rotated_by_hand(tmp_path, zone, OWN.format(tmp_path)):
        yield Program(URL, capsys)


def configure(folder: Path, text: str) -> None:
    with (folder / "dmarcops.toml").open("a") as file:
        file.write(text)


def notify(folder: Path, hook: Hook, more: str = "") -> None:
    configure(folder, f'\n[notify]\nurls = ["{hook.url}"]\n{more}\n')


def concerns(run: Program) -> list[tuple[str | None, str | None]]:
    rows = json.loads(run("keys", "--format", "json").out)
    return [(row["selector"], row["concerns"]) for row in rows]


def published(run: Program, zone: Zone) -> str:
    """Bring a key as far as its record being out, and return the record's name."""
    run("rotate")
    run("rotate")
    ((selector, _),) = concerns(run)
    name = f"{selector}._domainkey.{DOMAIN}"
    zone[name] = text_of(run("keys", "show", DOMAIN, selector).out)
    run("rotate")
    return name


def test_a_server_that_is_away_is_told_of_when_it_stays_away(
    run: Program, tmp_path: Path, hook: Hook, zone: Zone
) -> None:
    notify(tmp_path, hook)
    published(run, zone)
    zone.is_ill = True
    title = "something fails with the rotation of example.com"
    assert [(run("--quiet", "rotate").code, hook.titles()) for _ in range(4)] == [
        (1, []),
        (1, []),
        (1, [f"dmarcops: {title}"]),
        (1, []),
    ]
    assert [("servfail" in str(told), selector is None) for selector, told in concerns(run)] == [
        (False, False),
        (True, True),
    ]
    zone.is_ill = False
    assert [(run("--quiet", "rotate").code, hook.titles()) for _ in range(2)] == [
        (0, [f"dmarcops: over: {title}"]),
        (0, []),
    ]
    assert [told for _, told in concerns(run)] == [None]


def test_a_signer_that_fails_is_told_of_at_once(run: Program, tmp_path: Path, hook: Hook) -> None:
    notify(tmp_path, hook)
    (tmp_path / "broken").touch()
    title = "something fails with the rotation of example.com"
    assert [(run("rotate").code, hook.titles()) for _ in range(2)] == [(1, [f"dmarcops: {title}"]), (1, [])]


def test_another_record_at_the_name_of_a_key_is_told_at_once(
    run: Program, tmp_path: Path, hook: Hook, zone: Zone
) -> None:
    notify(tmp_path, hook)
    name = published(run, zone)
    assert hook.titles() == []
    zone[name] = b"v=DKIM1; p=other"
    title = f"the record of the key {name.partition('.')[0]} of example.com is not as it should be"
    assert [(run("rotate").code, hook.titles()) for _ in range(2)] == [(0, [f"dmarcops: {title}"]), (0, [])]
    assert "wrong-record" in str(concerns(run)[0][1])


def test_selector_that_nobody_knows_is_told_again_after_a_while(run: Program, tmp_path: Path, hook: Hook) -> None:
    notify(tmp_path, hook, 'repeat_after = "2h"')
    end = int(datetime.now(UTC).timestamp())
    signed = evaluation(results=AuthResults((dkim(DOMAIN, "news@all"),), ()))
    with Store.open(URL) as store:
        one = report(("192.0.2.1", 3, signed), period=(end - 86400, end - 60))
        record(store, [message(one)], datetime.now(UTC))
    title = "dmarcops: mail of example.com passes with the selector news(at)all, which is not ours"
    assert [(run("rotate").code, hook.titles()) for _ in range(2)] == [(0, [title]), (0, [])]
    assert ("news@all", True) in [(selector, "unknown-selector" in str(told)) for selector, told in concerns(run)]
    with Store.open(URL) as store:
        notices.save_told(store, list(notices.load_told(store)), (), datetime.now(UTC) - timedelta(hours=3))
    assert (run("rotate").code, hook.titles()) == (0, [title])


def test_domain_that_is_badly_configured_is_told_of_until_it_is_mended_or_gone(
    run: Program, tmp_path: Path, hook: Hook
) -> None:
    notify(tmp_path, hook)
    well = (tmp_path / "dmarcops.toml").read_text()
    configure(tmp_path, '[domains."b.example"]\ndns = "gone"\nsigners = ["own"]\n[domains."b.example".dkim]\n')
    title = "something fails with the rotation of b.example"
    assert (run("rotate").code, hook.titles()) == (2, [f"dmarcops: {title}"])
    assert (run("rotate", DOMAIN).code, hook.titles()) == (0, [])
    (tmp_path / "dmarcops.toml").write_text(well)
    assert (run("rotate", DOMAIN).code, hook.titles()) == (0, [])
    assert (run("rotate").code, hook.titles()) == (0, [f"dmarcops: over: {title}"])


@pytest.mark.parametrize("how", ["refused", "unusable"])
def test_notifier_that_fails_stops_no_rotation(run: Program, tmp_path: Path, hook: Hook, how: str) -> None:
    hook.status = 500
    if how == "refused":
        notify(tmp_path, hook)
    else:
        configure(tmp_path, '\n[notify]\nurls = "hush"\n')
    configure(tmp_path, '[domains."b.example"]\ndns = "gone"\n[domains."b.example".dkim]\n')
    ended = run("rotate", "--format", "json")
    assert ended.code == 2
    assert [key["stage"] for key in ended.json["domains"][0]["keys"]] == ["prepared"]
    assert len([line for line in ended.err.splitlines() if "warning: nobody was notified: " in line]) == 1
    assert "hush" not in ended.err
    with Store.open(URL) as store:
        assert notices.load_told(store) == {}


def test_orders_and_dry_runs_tell_nobody(run: Program, tmp_path: Path, hook: Hook) -> None:
    notify(tmp_path, hook)
    (tmp_path / "named").write_text("unknown\n")
    assert (run("rotate", "--dry-run").code, hook.titles(), concerns(run)) == (3, [], [])
    assert (run("rotate", "--rollback", DOMAIN).code, hook.titles(), concerns(run)) == (3, [], [])
    assert run("rotate").code == 3
    assert hook.titles() == ["dmarcops: the rotation of example.com does not move on"]


def test_quiet_run_without_notify_says_on_stderr_once_what_is_wrong(run: Program, zone: Zone) -> None:
    name = published(run, zone)
    selector = name.partition(".")[0]
    zone[name] = b"v=DKIM1; p=other"
    first, second = run("--quiet", "rotate"), run("--quiet", "rotate")
    assert first.err.startswith(f"dmarcops: the record of the key {selector} of example.com is not as it should be\n")
    assert (first.code, second.code, second.err) == (0, 0, "")
    assert all("wrong-record" in run("rotate").err for _ in range(2))
