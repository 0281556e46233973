"""Connecting to a real Dovecot: TLS with good, bad and pinned certificates, passwords, tokens."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import servers_dovecot
import servers_token
from dmarcops.errors import MailError
from dmarcops.mail.imap import Adapter, Config
from proxy import proxied
from servers_dovecot import PASSWORD, Dovecot, certificates, running_dovecot
from servers_token import Endpoint

dovecot, user = servers_dovecot.dovecot, servers_dovecot.user
endpoint = servers_token.endpoint

Try = Callable[..., Adapter]


@pytest.fixture
def log_in(dovecot: Dovecot, user: str, tmp_path: Path) -> Iterator[Try]:
    """Logs in with settings, and looks into the INBOX."""
    made: list[Adapter] = []

    def attempt(**settings: Any) -> Adapter:  # noqa: ANN401 - as TOML gives it
        table = {"host": "127.0.0.1", "port": dovecot.imaps, "username": user, "password": PASSWORD, "timeout": "5s"}
        table |= {} if "fingerprint" in settings else {"ca_file": dovecot.ca_file}
        made.append(Adapter("rua", Config.model_validate(table | settings), tmp_path))
        assert list(made[-1].batches("")) == []
        return made[-1]

    yield attempt
    for adapter in made:
        adapter.close()


@pytest.fixture
def oauth(endpoint: Endpoint, dovecot: Dovecot, user: str) -> dict[str, Any]:
    """The table of a refresh token that the endpoint knows."""
    endpoint.issue_for(user, dovecot.jwt_key)
    return {
        "token_url": endpoint.url,
        "client_id": "dmarcops",
        "client_secret": "s3cret",
        "refresh_token": "refresh-1",
        "scope": "mail",
    }


# --- TLS


def test_login_over_implicit_tls(log_in: Try) -> None:
    assert "TLSv1.3" in log_in().check()[0].text


def test_login_over_starttls(log_in: Try, dovecot: Dovecot) -> None:
    adapter = log_in(tls="starttls", port=dovecot.imap)
    assert "TLSv1.3" in adapter.check()[0].text


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_certificate_is_refused_when_nobody_known_signed_it(
    log_in: Try,
    dovecot: Dovecot,
    tls: str,
) -> None:
    port = dovecot.imaps if tls == "implicit" else dovecot.imap
    with pytest.raises(MailError, match="its certificate is not trusted") as refused:
        log_in(tls=tls, port=port, ca_file=None)
    assert not refused.value.transient
    assert "ca_file" in refused.value.hint


def test_certificate_is_refused_when_it_is_of_another_host(log_in: Try) -> None:
    with pytest.raises(MailError, match="not trusted: Hostname mismatch"):
        log_in(host="localhost")


def test_certificate_is_refused_when_another_authority_signed_it(log_in: Try, tmp_path: Path) -> None:
    certificates(tmp_path)
    with pytest.raises(MailError, match="not trusted"):
        log_in(ca_file=tmp_path / "ca.pem")


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_fingerprint_replaces_the_authorities_and_is_exact(
    log_in: Try,
    dovecot: Dovecot,
    tls: str,
) -> None:
    port = dovecot.imaps if tls == "implicit" else dovecot.imap
    good = dovecot.fingerprint
    log_in(tls=tls, port=port, fingerprint=good)
    pairs = ":".join(good[at : at + 2] for at in range(0, 64, 2)).upper()
    log_in(tls=tls, port=port, fingerprint=pairs, host="localhost")
    with pytest.raises(MailError, match="not the one of the fingerprint") as refused:
        log_in(tls=tls, port=port, fingerprint=good[:-1] + ("0" if good[-1] != "0" else "1"))
    assert good in refused.value.hint


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_ca_file_is_told_when_it_cannot_be_used(log_in: Try, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "none.pem"
    if content:
        path.write_bytes(content)
    with pytest.raises(MailError, match=r"cannot read ca_file .*none\.pem"):
        log_in(ca_file=path)


def test_tls_on_the_port_of_starttls_is_told(log_in: Try, dovecot: Dovecot) -> None:
    with pytest.raises(MailError, match="does not speak TLS on this port") as failed:
        log_in(port=dovecot.imap)
    assert "starttls" in failed.value.hint


def test_starttls_on_the_port_of_implicit_tls_is_told(log_in: Try, dovecot: Dovecot) -> None:
    with pytest.raises(MailError, match="cannot connect: timed out") as failed:
        log_in(tls="starttls", port=dovecot.imaps, timeout="1s")
    assert "implicit" in failed.value.hint


def test_starttls_is_required_when_it_is_configured(user: str, tmp_path: Path) -> None:
    with running_dovecot("ssl = no\n") as server:
        table = {"host": "127.0.0.1", "port": server.imap, "tls": "starttls", "username": user, "password": PASSWORD}
        config = Config.model_validate(table)
        with pytest.raises(MailError, match="does not offer STARTTLS"):
            list(Adapter("rua", config, tmp_path).batches(""))


def test_server_that_takes_no_password_in_the_clear_is_told(log_in: Try, dovecot: Dovecot) -> None:
    with proxied(dovecot.imap) as proxy:
        proxy.rewrites = [(b"AUTH=PLAIN", b"LOGINDISABLED")]
        with pytest.raises(MailError, match="takes no passwords here") as refused:
            log_in(tls="none", port=proxy.port, ca_file=None)
    assert not refused.value.transient
    assert "TLS" in refused.value.hint


# --- passwords


def test_wrong_password_is_told_without_it(
    log_in: Try,
    user: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(MailError, match=f"cannot log in as {user}") as refused:
        log_in(password="hunter2")  # noqa: S106 - made up
    assert not refused.value.transient
    assert "check username and password" in refused.value.hint
    assert "hunter2" not in caplog.text
    assert "hunter2" not in f"{refused.value!r} {refused.value.__cause__!r} {refused.value.__context__!r}"


def test_password_may_be_any_text(user: str, tmp_path: Path) -> None:
    password = 'pä"ß\\w{5}'  # noqa: S105 - made up
    extra = f"passdb {{\n  driver = static\n  mechanisms = plain\n  args = password={password}\n}}\n"
    with running_dovecot(extra) as server:
        table = {"host": "127.0.0.1", "port": server.imap, "tls": "none", "username": user, "password": password}
        config = Config.model_validate(table)
        adapter = Adapter("rua", config, tmp_path)
        assert list(adapter.batches("")) == []
        adapter.close()


@pytest.mark.parametrize(
    ("name", "word", "reason"),
    [('we"ird user', PASSWORD, ""), ("u", "wrong", "check username"), ("ü", "ß", "ASCII only")],
)
def test_login_command_is_used_when_the_server_has_no_plain(
    log_in: Try,
    dovecot: Dovecot,
    *,
    name: str,
    word: str,
    reason: str,
) -> None:
    with proxied(dovecot.imap) as proxy:
        proxy.rewrites = [(b"AUTH=PLAIN", b"AUTH=NOTHING")]
        settings = {"tls": "none", "port": proxy.port, "ca_file": None, "username": name, "password": word}
        if not reason:
            log_in(**settings).close()
            return
        with pytest.raises(MailError) as refused:
            log_in(**settings)
        assert reason in f"{refused.value} {refused.value.hint}"
        assert not refused.value.transient


# --- tokens


@pytest.mark.parametrize("auth", ["xoauth2", "oauthbearer"])
@pytest.mark.parametrize("grant", ["refresh_token", "client_credentials"])
def test_login_with_a_token(log_in: Try, oauth: dict[str, Any], endpoint: Endpoint, *, auth: str, grant: str) -> None:
    settings = {"auth": auth, "password": "", "oauth": oauth | {"grant": grant}}
    log_in(**settings)
    log_in(**settings)
    assert endpoint.requests == 1  # the second one was kept


@pytest.mark.parametrize("auth", ["xoauth2", "oauthbearer"])
def test_kept_token_is_replaced_when_the_server_does_not_take_it(
    log_in: Try,
    oauth: dict[str, Any],
    endpoint: Endpoint,
    auth: str,
) -> None:
    endpoint.broken_tokens = 1
    log_in(auth=auth, oauth=oauth)
    assert endpoint.requests == 2


def test_token_that_is_not_taken_is_told_without_it(
    log_in: Try,
    oauth: dict[str, Any],
    endpoint: Endpoint,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    endpoint.broken_tokens = 2
    with pytest.raises(MailError, match="cannot log in") as refused:
        log_in(auth="xoauth2", oauth=oauth)
    assert not refused.value.transient
    assert "scope" in refused.value.hint
    assert endpoint.last_token
    assert endpoint.last_token not in caplog.text + repr(refused.value)


def test_mechanism_that_the_server_has_not_is_told(oauth: dict[str, Any], tmp_path: Path) -> None:
    with running_dovecot("auth_mechanisms = plain\n") as server:
        table = {"host": "127.0.0.1", "port": server.imap, "tls": "none", "username": "u"}
        config = Config.model_validate(table | {"auth": "xoauth2", "oauth": oauth})
        with pytest.raises(MailError, match="does not offer XOAUTH2"):
            list(Adapter("rua", config, tmp_path).batches(""))
