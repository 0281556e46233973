"""Submission to a real SMTP server of the tests: what is taken, and how a refusal is told."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from pydantic import ValidationError

from conftest import free_port
from dmarcops.errors import MailError
from dmarcops.mail.submission import Config, SmtpSubmission
from servers_dovecot import certificates


class Taker:
    """Takes mail, or says no."""

    def __init__(self, recipient: str = "250 OK", data: str = "250 OK") -> None:
        self.recipient, self.data = recipient, data
        self.taken: list[Envelope] = []

    async def handle_RCPT(  # noqa: N802, PLR0917 - aiosmtpd's
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        del server, session, options
        if self.recipient.startswith("2"):
            envelope.rcpt_tos.append(address)
        return self.recipient

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        del server, session
        self.taken.append(envelope)
        return self.data


@contextmanager
def server(taker: Taker) -> Iterator[SmtpSubmission]:
    controller = Controller(taker, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        yield SmtpSubmission(Config(host="127.0.0.1", port=controller.port, tls="none"))
    finally:
        controller.stop()


def send(submission: SmtpSubmission) -> None:
    submission.send(b"Subject: x\r\n\r\nHello\r\n", sender="a@example.com", recipient="b@example.net")


def test_a_mail_is_handed_in() -> None:
    taker = Taker()
    with server(taker) as submission:
        send(submission)
    (envelope,) = taker.taken
    assert (envelope.mail_from, envelope.rcpt_tos) == ("a@example.com", ["b@example.net"])


@pytest.mark.parametrize(
    ("taker", "is_transient"),
    [
        (Taker(recipient="550 no such user"), False),
        (Taker(recipient="450 later"), True),
        (Taker(data="554 no"), False),
        (Taker(data="451 later"), True),
    ],
)
def test_a_refusal_is_told(taker: Taker, *, is_transient: bool) -> None:
    with (
        server(taker) as submission,
        pytest.raises(MailError, match=r"does not take mail for b@example\.net") as caught,
    ):
        send(submission)
    assert caught.value.transient is is_transient


@pytest.mark.parametrize("tls", ["implicit", "starttls", "none"])
def test_a_server_that_is_not_there_is_told(tls: str) -> None:
    config = Config.model_validate({"host": "127.0.0.1", "port": free_port(), "tls": tls})
    with pytest.raises(MailError) as caught:
        send(SmtpSubmission(config))
    assert caught.value.transient


def test_starttls_and_login_are_insisted_on() -> None:
    for extra in ({"tls": "starttls"}, {"tls": "none", "username": "me", "password": "secret"}):
        controller = Controller(Taker(), hostname="127.0.0.1", port=free_port())
        controller.start()
        try:
            config = Config.model_validate({"host": "127.0.0.1", "port": controller.port, **extra})
            with pytest.raises(MailError) as caught:
                send(SmtpSubmission(config))
            assert not caught.value.transient
            assert "secret" not in str(caught.value)
        finally:
            controller.stop()


def test_port_of_the_other_kind_of_tls_is_told(tmp_path: Path) -> None:
    certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    for served, tls, other in ((context, "starttls", "implicit"), (None, "implicit", "starttls")):
        controller = Controller(Taker(), hostname="127.0.0.1", port=free_port(), ssl_context=served)
        controller.start()
        given = {"host": "127.0.0.1", "port": controller.port, "tls": tls, "timeout": "1s"}
        try:
            problem, hint = SmtpSubmission(Config.model_validate(given)).check()
        finally:
            controller.stop()
        assert problem.text.startswith(f"127.0.0.1:{controller.port}: ")
        assert f'tls = "{other}"' in hint.text


@pytest.mark.parametrize("host", ["smtp.example.com", "localhost.example.com", "127.example.com"])
def test_no_tls_is_for_loopback_only(host: str) -> None:
    with pytest.raises(ValidationError, match="this machine only"):
        Config(host=host, tls="none")


class Knower:
    """Knows one user."""

    def __call__(self, *given: object) -> AuthResult:
        data = given[-1]
        assert isinstance(data, LoginPassword)
        return AuthResult(success=(data.login, data.password) == (b"me", b"hush"), handled=False)


@pytest.fixture
def protected(tmp_path: Path) -> Iterator[dict[str, object]]:
    """A server that wants TLS and a login: what is to be configured for it."""
    certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    taker = Taker()
    controller = Controller(
        taker, hostname="127.0.0.1", port=free_port(), tls_context=context, authenticator=Knower(), auth_required=True
    )
    controller.start()
    yield {
        "host": "127.0.0.1",
        "port": controller.port,
        "ca_file": tmp_path / "ca.pem",
        "username": "me",
        "password": "hush",
    }
    controller.stop()
    assert taker.taken == []


@pytest.mark.parametrize(
    ("changes", "kinds", "told"),
    [
        ({}, ["ok"], "TLS (starttls), as me"),
        ({"password": "wr0ng"}, ["problem", "hint"], "does not let us in: 535"),
        ({"ca_file": None}, ["problem", "hint"], "its certificate is not trusted"),
        ({"tls": "implicit"}, ["problem", "hint"], "does not speak TLS on this port"),
        ({"port": 1}, ["problem"], "Connection refused"),
    ],
)
def test_doctor_logs_in_and_sends_nothing(
    protected: dict[str, object], changes: dict[str, object], kinds: list[str], told: str
) -> None:
    findings = SmtpSubmission(Config.model_validate({**protected, **changes})).check()
    assert [finding.kind for finding in findings] == kinds, findings
    assert told in findings[0].text
    assert not [finding for finding in findings if "hush" in finding.text or "wr0ng" in finding.text]


def test_doctor_says_when_nobody_logs_in() -> None:
    with server(Taker()) as submission:
        (found,) = submission.check()
    assert found.kind == "ok"
    assert found.text.endswith("without TLS, without a login")
