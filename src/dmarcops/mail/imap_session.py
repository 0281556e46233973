"""
A session with an IMAP server: connection, TLS, login, and the folder that is selected.

Every command passes through `Session.call`, which ends an IDLE before it and makes errors of ours of what fails. A
certificate is always checked, against the system's authorities, a file of authorities, or its exact fingerprint; there
is no way to leave that out. Without TLS only this machine is spoken to.
"""

import hashlib
import hmac
import imaplib
import re
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, Self, TypeVar

from pydantic import Field, SecretStr, field_validator, model_validator

from dmarcops.errors import MailError
from dmarcops.mail.imap_client import Client
from dmarcops.mail.imap_faults import LIBRARY, fault, is_lost, tls_fault
from dmarcops.mail.oauth import OAuth, Tokens, is_loopback
from dmarcops.settings import Duration, Settings, parse_duration

UIDS = 100
"""Messages named in one command, so that it stays near the 1,000 octets of RFC 2683 section 3.2.1.5."""
_CLOSING_SECONDS = 2.0
_PORTS = {"implicit": 993, "starttls": 143, "none": 143}
_MECHANISMS = {"xoauth2": "XOAUTH2", "oauthbearer": "OAUTHBEARER"}
_NOT_THERE = (b"\\noselect", b"\\nonexistent")

T = TypeVar("T")


class Server(Settings):
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
        return self.port or _PORTS[self.tls]

    @property
    def where(self) -> str:
        """The server, for messages."""
        return f"{self.host}:{self.effective_port}"


class Session:
    """
    A connection that is logged in; make one with `connect`.

    `is_lost` says that it is of no more use, `used_at` when it was used last, in seconds of the monotonic clock.
    """

    def __init__(self, client: Client, where: str) -> None:
        self.client = client
        self.where = where
        self.is_lost = False
        self.is_idling = False
        self.used_at = time.monotonic()
        self.uidvalidity = 0
        self.permanent_flags: frozenset[str] = frozenset()
        self._folders: dict[str, str] = {}

    def call(self, what: str, function: Callable[[], T]) -> T:
        """
        Run a command.

        Raises:
            MailError: It failed, `transient` when it may work later; `is_lost` is set when the connection is gone.
        """
        try:
            if self.is_idling:
                self.is_idling = False
                self.client.end_idle()
            return function()
        except LIBRARY as error:
            if is_lost(error):
                self.drop()
            raise fault(self.where, what, error) from error
        finally:
            self.used_at = time.monotonic()

    def has(self, capability: str) -> bool:
        """Tell whether the server has said that it can do something."""
        found: bool = self.client.has_capability(capability)
        return found

    def begin_idle(self) -> None:
        """Begin IDLE; the next command ends it."""
        self.call("wait for mail", self.client.begin_idle)
        self.is_idling = True

    def select(self, name: str, *, read_only: bool) -> None:
        """
        Select a folder, anew when it is selected already, so that UIDVALIDITY is that of now.

        Raises:
            MailError: It cannot be selected; when there is no such folder, the hint names those like it.
        """
        folder = self.resolve(name)
        try:
            answer = self.call(f"open the folder {name}", lambda: self.client.select_folder(folder, readonly=read_only))
        except MailError as error:
            if error.transient or self.is_lost or self.is_there(folder):
                raise
            raise MailError(f"{self.where}: there is no folder {name}", hint=self._near(name)) from error
        self.uidvalidity = int(answer.get(b"UIDVALIDITY", 0))
        flags = answer.get(b"PERMANENTFLAGS", answer.get(b"FLAGS", ()))
        self.permanent_flags = frozenset(flag.decode("ascii", "replace").strip("()").lower() for flag in flags)

    def takes_keyword(self, keyword: str) -> bool:
        r"""Tell whether the selected folder keeps a keyword: it, or any (`\*`, RFC 3501 section 7.1)."""
        return "\\*" in self.permanent_flags or keyword.lower() in self.permanent_flags

    def is_there(self, folder: str) -> bool:
        """Tell whether a folder of exactly that name can be selected."""
        found = self.call("list folders", lambda: self.client.list_folders("", folder))
        return any(
            _same(name, folder) and not any(flag.lower() in _NOT_THERE for flag in flags) for flags, _, name in found
        )

    def resolve(self, name: str) -> str:
        """
        Give the server's own name of a folder: with its delimiter for `/`, and below the prefix where folders must be.

        The name itself is taken when there is such a folder. When there is none at all, it is the name that one would
        be created by.
        """
        if name.upper() == "INBOX":
            return "INBOX"
        if name not in self._folders:
            self._folders[name] = self._resolved(name)
        return self._folders[name]

    def _resolved(self, name: str) -> str:
        candidates = [name]
        delimiter = self._delimiter()
        native = name.replace("/", delimiter) if delimiter else name
        candidates.append(native)
        prefix = self._prefix()
        if prefix and not native.startswith(prefix):
            candidates.append(prefix + native)
        for candidate in dict.fromkeys(candidates):
            if self.is_there(candidate):
                return candidate
        return candidates[-1]

    def _delimiter(self) -> str:
        """Ask for the hierarchy delimiter (RFC 3501 section 6.3.8)."""
        found = self.call("list folders", lambda: self.client.list_folders("", ""))
        delimiter = found[0][1] if found else b"/"
        return delimiter.decode("ascii", "replace") if isinstance(delimiter, bytes) else ""

    def _prefix(self) -> str:
        """Ask where the user's own folders are (RFC 2342)."""
        if not self.has("NAMESPACE"):
            return ""
        personal = self.call("ask for namespaces", self.client.namespace).personal
        return str(personal[0][0]) if personal else ""

    def create(self, name: str) -> None:
        """Create a folder, subscribed to, unless it is there; another program may do the same at the same time."""
        folder = self.resolve(name)
        if self.is_there(folder):
            return
        try:
            self.call(f"create the folder {name}", lambda: self.client.create_folder(folder))
        except MailError:
            if self.is_lost or not self.is_there(folder):
                raise
        with suppress(MailError):  # only a convenience for people's mail programs
            self.call("subscribe", lambda: self.client.subscribe_folder(folder))

    def _near(self, name: str) -> str:
        names = [str(found) for _, _, found in self.call("list folders", lambda: self.client.list_folders("", "*"))]
        by_fold = {known.casefold(): known for known in names}
        near = [by_fold[match] for match in get_close_matches(name.casefold(), by_fold, n=3)]
        return f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(sorted(names)[:20])}"

    def drop(self) -> None:
        """Give the connection up without a word."""
        self.is_lost = True
        with suppress(*LIBRARY):
            self.client.shutdown()

    def close(self) -> None:
        """Log out, without waiting long for the answer; never fails."""
        if self.is_lost:
            return
        try:
            self.client.socket().settimeout(_CLOSING_SECONDS)
            if self.is_idling:
                self.client.end_idle()
            self.client.logout()
        except LIBRARY:
            self.drop()
        self.is_lost = True


def _same(name: str, folder: str) -> bool:
    return name == folder or name.upper() == folder.upper() == "INBOX"


def connect(server: Server, tokens: Tokens | None) -> Session:
    """
    Connect and log in.

    Raises:
        MailError: It is not there or not to be trusted, or does not take the login.
    """
    client = _connected(server)
    try:
        if server.tls == "none" and not is_loopback(client.peer()):
            raise MailError(f"{server.where} is not this machine", hint='use tls = "implicit" or "starttls"')
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
        raise tls_fault(server.where, error) from error
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
    try:
        _log_in_by_token(client, server, mechanism, tokens.access_token())
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
        return MailError(f"{server.where} takes no passwords beyond ASCII", hint=hint)
    told = fault(server.where, f"log in as {server.username}", error)
    if told.transient or not isinstance(error, imaplib.IMAP4.error):
        return told
    return MailError(str(told), hint=told.hint if "[AUTHENTICATIONFAILED]" not in str(told) and told.hint else hint)
