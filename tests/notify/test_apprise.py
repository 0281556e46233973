"""Notifications through apprise, to a real server."""

import logging
import sys

import pytest
from pydantic import ValidationError

import servers_hook
from conftest import free_port
from dmarcops.errors import ConfigError, EdgeError
from dmarcops.notify.apprise import Adapter, Config
from dmarcops.ports import Finding
from servers_hook import Hook

hook = servers_hook.hook


def adapter(*urls: str) -> Adapter:
    return Adapter(Config.model_validate({"urls": urls}))


def test_message_arrives_as_it_is(hook: Hook) -> None:
    adapter(hook.url).tell("dmarcops: *title*", "one <b>line</b>\n\nand another :smile: \\n")
    [message] = hook.posted
    assert message["title"] == "dmarcops: *title*"
    assert message["message"] == "one <b>line</b>\n\nand another :smile: \\n"


def test_others_are_told_when_one_cannot_be(hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    adapter(f"json://127.0.0.1:{free_port()}/", "nonsense://hush", hook.url).tell("t", "x")
    assert hook.titles() == ["t"]
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("a notification was not delivered to urls[0], urls[1] of [notify] (")


def test_error_shows_no_address_when_nobody_can_be_told(
    hook: Hook,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hook.status = 500
    caplog.set_level(logging.DEBUG)
    with pytest.raises(EdgeError, match=r"not delivered to urls\[0\] of") as caught:
        adapter(hook.url).tell("t", "x")
    assert caught.value.transient
    shown = f"{caught.value}{caught.value.hint}{caplog.text}{capsys.readouterr()}{vars(adapter(hook.url))}"
    assert "hush" not in shown


def test_check_says_which_addresses_are_understood(hook: Hook) -> None:
    findings = adapter(hook.url, "nonsense://hush", "garbage").check()
    assert [finding.kind for finding in findings] == ["ok", "problem", "hint", "problem", "hint"]
    assert findings[0] == Finding("ok", "urls[0]: JSON")
    assert findings[1] == Finding("problem", "apprise does not understand urls[1]")
    assert "hush" not in str(findings)
    assert hook.posted == []


def test_extra_is_named_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(ConfigError) as caught:
        adapter("json://127.0.0.1/").tell("t", "x")
    assert caught.value.hint == "pip install 'dmarcops[notify]'"
    assert [finding.kind for finding in adapter("json://127.0.0.1/").check()] == ["problem", "hint"]


@pytest.mark.parametrize("wrong", [{"urls": []}, {}, {"urls": ["a"], "rejected_rate": 2}, {"urls": ["a"], "url": 1}])
def test_settings_are_refused_when_they_make_no_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Config.model_validate(wrong)
