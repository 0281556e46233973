"""
Connecting to an IMAP server: TLS, and the login by password or access token.

A certificate is always checked, against the system's authorities, a file of authorities, or its exact fingerprint;
there is no way to leave that out. Without TLS only this machine is spoken to. Shows no secret.
"""

import hashlib
import hmac
import re
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from dmarcops.errors import MailError
from dmarcops.mail.imap_client import Client
from dmarcops.mail.imap_faults import LIBRARY, fault, tls_fault
from dmarcops.mail.imap_session import Session
from dmarcops.mail.oauth import OAuth, Tokens, is_loopback
from dmarcops.mail.tls_port import PORT_OF_IMPLICIT
from dmarcops.quantities import parse_duration
from dmarcops.settings import Duration, MailboxSettings

_PORTS = {"implicit": 993, "starttls": 143, "none": 143}
_MECHANISMS = {"xoauth2": "XOAUTH2", "oauthbearer": "OAUTHBEARER"}


class Server(MailboxSettings):
    """Where the server is, and how to log in."""

    host: str = Field(min_length=1)
    """Name or address of the server."""
    port: int | None = Field(default=None, ge=1, le=65535)
    """Its port; by default 993 for implicit TLS, else 143."""
    tls: Literal["implicit", "starttls", "none"] = "implicit"
    """`implicit`, `starttls`, or `none` on loopback only."""
    ca_file: Path | None = None
    """Authorities (PEM) that are trusted instead of the system's."""
    fingerprint: str = ""
    """SHA-256 of the server's certificate, in hex; replaces the check by authorities, and must match exactly."""
    username: str = Field(min_length=1)
    """The user to log in as."""
    auth: Literal["password", "xoauth2", "oauthbearer"] = "password"
    """How to log in: with the password, or with an access token."""
    password: SecretStr = SecretStr("")
    """The user's password."""
    oauth: OAuth | None = None
    """How access tokens are had; needed for `xoauth2` and `oauthbearer`."""
    timeout: Duration = Field(default=parse_duration("60s"), gt=parse_duration("0s"))
    """How long the server may take for anything."""

    @field_validator("fingerprint")
    @classmethod
    def _is_sha256(cls, value: str) -> str:
        digits = value.replace(":", "").lower()
        if value and not re.fullmatch("[0-9a-f]{64}", digits):
            raise ValueError("a fingerprint is the SHA-256 of the certificate: 64 hexadecimal digits")
        return digits

    @field_validator("username")
    @classmethod
    def _is_one_line(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("the username has characters that cannot be shown")
        return value

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if self.tls == "none":
            if not is_loopback(self.host):
                raise ValueError('tls = "none" is for this machine only; use "implicit" or "starttls"')
            if self.ca_file or self.fingerprint:
                raise ValueError("ca_file and fingerprint mean nothing without TLS")
        if self.ca_file and self.fingerprint:
            raise ValueError("give ca_file or fingerprint, not both: the fingerprint replaces the authorities")
        if self.auth == "password" and not self.password.get_secret_value():
            raise ValueError("a password is missing")
        if self.auth != "password" and self.oauth is None:
            raise ValueError(f'auth = "{self.auth}" needs the table oauth')
        return self

    @property
    def effective_port(self) -> int:
        """The port to connect to."""
        return self.port or self.usual_port

    @property
    def usual_port(self) -> int:
        """The port that goes without saying."""
        return _PORTS[self.tls]

    @property
    def where(self) -> str:
        """The server, for messages."""
        return f"{self.host}:{self.effective_port}"


def connect(server: Server, tokens: Tokens | None) -> Session:
    """
    Connect and log in.

    Raises:
        MailError: It is not there or not to be trusted, or does not take the login.
    """
    client = _connected(server)
    try:
        if server.tls == "none":
            _check_peer(client, server)
        if server.tls == "starttls":
            _start_tls(client, server)
        if server.fingerprint:
            _check_fingerprint(client, server)
        _log_in(client, server, tokens)
    except BaseException:
        with suppress(*LIBRARY):
            client.shutdown()
        raise
    return Session(client, server.where)


def _connected(server: Server) -> Client:
    context = _context(server) if server.tls == "implicit" else None
    timeout = server.timeout.total_seconds()
    try:
        return Client(server.host, server.effective_port, context=context, timeout=timeout)
    except OSError as error:
        told = tls_fault(server.where, error)
        if isinstance(error, TimeoutError) and server.tls != "implicit":
            raise MailError(str(told), transient=True, hint=PORT_OF_IMPLICIT) from error
        raise told from error
    except LIBRARY as error:
        told = fault(server.where, "connect", error)
        # A server that greets with BYE, or hangs up, is busy or going down (RFC 3501 section 7.1.5).
        raise MailError(str(told), transient=True, hint=told.hint) from error


def _context(server: Server) -> ssl.SSLContext:
    if server.fingerprint:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # Not unchecked: `_check_fingerprint` compares the whole certificate, before anything of ours is sent.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        return ssl.create_default_context(cafile=server.ca_file)
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or str(error)
        raise MailError(f"cannot read ca_file {server.ca_file}: {reason}", hint="it must be a PEM file") from error


def _check_peer(client: Client, server: Server) -> None:
    """See that a name such as `localhost` has not led elsewhere."""
    if not is_loopback(client.peer()):
        raise MailError(f"{server.where} is not this machine", hint='use tls = "implicit" or "starttls"')


def _start_tls(client: Client, server: Server) -> None:
    if not client.has_capability("STARTTLS"):
        hint = 'use tls = "implicit" and its port; somebody in between may take the offer away'
        raise MailError(f"{server.where} does not offer STARTTLS", hint=hint)
    context = _context(server)
    try:
        client.starttls(context)
    except OSError as error:
        raise tls_fault(server.where, error) from error
    except LIBRARY as error:
        raise fault(server.where, "start TLS", error) from error


def _check_fingerprint(client: Client, server: Server) -> None:
    found = hashlib.sha256(client.certificate()).hexdigest()
    if not hmac.compare_digest(found, server.fingerprint):
        hint = f"it is {found}; put that in only when you know that the server changed its certificate"
        raise MailError(f"{server.where}: the certificate is not the one of the fingerprint", hint=hint)


def _log_in(client: Client, server: Server, tokens: Tokens | None) -> None:
    mechanism = _MECHANISMS.get(server.auth)
    if mechanism is None:
        if client.has_capability("LOGINDISABLED") and not client.has_capability("AUTH=PLAIN"):
            hint = 'it wants TLS, or a token: auth = "xoauth2"'
            raise MailError(f"{server.where} takes no passwords here", hint=hint)
        try:
            client.login_with_password(server.username, server.password.get_secret_value())
        except LIBRARY as error:
            raise _refused(server, error, "check username and password; some providers want an app password") from None
        return
    if not client.has_capability(f"AUTH={mechanism}"):
        raise MailError(f"{server.where} does not offer {mechanism}", hint='try auth = "xoauth2" or "oauthbearer"')
    if tokens is None:
        raise AssertionError("Server sees to it that there is an oauth table")
    token = tokens.access_token()
    try:
        _log_in_by_token(client, server, mechanism, token)
    except MailError as error:
        if error.transient:
            raise
        # A kept token may have been revoked; a fresh one is asked for once.
        _log_in_by_token(client, server, mechanism, tokens.access_token(fresh=True))


def _log_in_by_token(client: Client, server: Server, mechanism: str, token: str) -> None:
    try:
        client.login_with_token(mechanism, server.username, token, port=server.effective_port)
    except LIBRARY as error:
        hint = "check username, scope, and that the application may use this mailbox"
        raise _refused(server, error, hint) from None


def _refused(server: Server, error: Exception, hint: str) -> MailError:
    """Make our error of a refused login; the library's own may hold what was sent, and is not kept as its cause."""
    if isinstance(error, UnicodeError):
        return MailError(f"{server.where} takes names and passwords of ASCII only", hint=hint)
    told = fault(server.where, f"log in as {server.username}", error)
    return told if told.transient else MailError(str(told), hint=hint)
