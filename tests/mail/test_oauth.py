"""Access tokens from a real token endpoint, and the file that they are kept in."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import servers_token
from conftest import free_port
from dmarcops.errors import MailError
from dmarcops.mail.oauth import OAuth, Tokens, is_loopback
from servers_token import Endpoint

endpoint = servers_token.endpoint

Make = Callable[..., Tokens]


@pytest.fixture
def make(endpoint: Endpoint, tmp_path: Path) -> Make:
    """Makes token sources of one mailbox."""

    def build(clock: Callable[[], float] = time.time, **settings: Any) -> Tokens:  # noqa: ANN401 - as TOML gives it
        table = {"token_url": endpoint.url, "client_id": "dmarcops", "client_secret": "s3cret"}
        table |= {"refresh_token": "refresh-1"}
        return Tokens(OAuth.model_validate(table | settings), tmp_path / "cache" / "rua.token", clock=clock)

    return build


def test_token_is_kept_in_a_private_file(make: Make, endpoint: Endpoint, tmp_path: Path) -> None:
    token = make().access_token()
    assert token == endpoint.last_token
    [file] = (tmp_path / "cache").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert make().access_token() == token
    assert endpoint.requests == 1
    assert make().access_token(fresh=True) != token
    assert "s3cret" not in file.read_text()


def test_token_is_asked_for_anew_when_it_ends(make: Make, endpoint: Endpoint) -> None:
    now = [0.0]
    make().access_token()
    [file] = Path(str(make()._file)).parent.iterdir()  # noqa: SLF001 - the file that was written
    ends = json.loads(file.read_text())["expires_at"]
    now[0] = ends - 130
    make(clock=lambda: now[0]).access_token()
    assert endpoint.requests == 1
    now[0] = ends - 110
    make(clock=lambda: now[0]).access_token()
    assert endpoint.requests == 2


def test_token_without_a_lifetime_is_used_for_minutes(make: Make, endpoint: Endpoint) -> None:
    endpoint.lifetime = None
    make(clock=lambda: 1000.0).access_token()
    make(clock=lambda: 1100.0).access_token()
    assert endpoint.requests == 1
    make(clock=lambda: 1300.0).access_token()
    assert endpoint.requests == 2


def test_refresh_token_is_replaced_when_the_server_says_so(make: Make, endpoint: Endpoint) -> None:
    endpoint.is_rotating = True
    for _ in range(3):
        make().access_token(fresh=True)
    assert endpoint.refresh_tokens == ["refresh-1", "refresh-2", "refresh-3", "refresh-4"]
    # A person puts another one into the configuration: what was kept is not of it.
    endpoint.refresh_tokens.append("by-hand")
    make(refresh_token="by-hand").access_token()  # noqa: S106 - made up
    assert endpoint.last_form["refresh_token"] == "by-hand"  # noqa: S105 - made up


def test_grants_send_what_they_must(make: Make, endpoint: Endpoint) -> None:
    make(grant="client_credentials", scope="all", refresh_token="").access_token()
    assert endpoint.last_form["grant_type"] == "client_credentials"
    assert endpoint.last_form["scope"] == "all"
    make(scope="mail").access_token()
    assert endpoint.last_form["grant_type"] == "refresh_token"
    assert endpoint.last_form["scope"] == "mail"


@pytest.mark.parametrize(
    ("settings", "words", "hint"),
    [
        ({"client_secret": "wrong"}, "refused: invalid_client", "client_secret"),
        ({"refresh_token": "wrong-token"}, r"refused: invalid_grant \(no such token \*\*\*\)$", "consent again"),
    ],
)
def test_refusal_is_told_without_secrets(make: Make, settings: dict[str, str], words: str, hint: str) -> None:
    with pytest.raises(MailError, match=words) as refused:
        make(**settings).access_token()
    assert not refused.value.transient
    assert hint in refused.value.hint
    assert "wrong" not in repr(refused.value)


@pytest.mark.parametrize(
    ("answer", "words", "transient"),
    [
        ((503, b""), "answered 503", True),
        ((200, b"<html>"), "did not answer as a token endpoint does", False),
        ((200, b'{"token": 1}'), "gave no access token", False),
        ((400, b'{"error": "temporarily_unavailable"}'), "temporarily_unavailable", True),
    ],
)
def test_endpoint_out_of_order_is_told(
    make: Make,
    endpoint: Endpoint,
    answer: tuple[int, bytes],
    words: str,
    *,
    transient: bool,
) -> None:
    endpoint.answer = answer
    with pytest.raises(MailError, match=words) as failed:
        make().access_token()
    assert failed.value.transient == transient


def test_endpoint_that_is_not_there_is_told(make: Make) -> None:
    with pytest.raises(MailError, match=r"127\.0\.0\.1: ConnectError") as failed:
        make(token_url=f"http://127.0.0.1:{free_port()}/").access_token()
    assert failed.value.transient


def test_damaged_file_is_as_none(make: Make, endpoint: Endpoint, tmp_path: Path) -> None:
    file = tmp_path / "own.token"
    for text in ("", "[]", '{"for": 1}'):
        file.write_text(text)
        make(cache=file).access_token()
    assert endpoint.requests == 3
    assert json.loads(file.read_text())["access_token"] == endpoint.last_token


def test_file_that_cannot_be_written_is_told(make: Make, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MailError, match="cannot keep tokens"):
        make(cache=tmp_path / "file" / "token").access_token()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"token_url": "http://login.example.com/token"}, "no https address"),
        ({"token_url": "ftp://127.0.0.1/token"}, "no https address"),
        ({"refresh_token": ""}, "needs a refresh_token"),
        ({"grant": "client_credentials", "client_secret": ""}, "needs a client_secret"),
    ],
)
def test_settings_are_refused_when_they_cannot_work(settings: dict[str, str], words: str) -> None:
    table = {"token_url": "https://login.example.com/token", "client_id": "a", "refresh_token": "hunter2"}
    with pytest.raises(ValidationError, match=words) as refused:
        OAuth.model_validate(table | settings)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.1.2.3", True), ("::1", True), ("[::1]", True), ("10.0.0.1", False), ("a.b", False)],
)
def test_loopback_is_told_from_the_rest(host: str, *, expected: bool) -> None:
    assert is_loopback(host) == expected
