"""
Message submission (RFC 6409): a mail of ours is handed in, over TLS, to the server that sends for us.

No adapter of a mailbox: it is configured once, as `[submission]`.
"""

import smtplib
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from dmarcops.errors import MailError
from dmarcops.mail.oauth import is_loopback
from dmarcops.mail.tls_port import PORT_OF_IMPLICIT, PORT_OF_STARTTLS, is_no_tls
from dmarcops.ports import Finding, problem
from dmarcops.settings import Duration, Settings

_PORTS = {"implicit": 465, "starttls": 587, "none": 25}
_PERMANENT = 500
_DENIED = frozenset((530, 534, 535, 538))
"""What a server answers to a login that it does not take (RFC 4954 section 6)."""


class Config(Settings):
    """Section `[submission]`."""

    host: str = Field(min_length=1)
    """The server's name or address."""
    port: int | None = Field(default=None, ge=1, le=65535)
    """Its port; by default 465 for implicit TLS, 587 for `starttls`, 25 without."""
    tls: Literal["implicit", "starttls", "none"] = "starttls"
    """`implicit`, `starttls`, or `none` on loopback only."""
    ca_file: Path | None = None
    """Authorities (PEM) that are trusted instead of the system's."""
    username: str = ""
    """The user to log in as; none: without a login."""
    password: SecretStr = SecretStr("")
    """The user's password."""
    sender: str = "postmaster@{domain}"
    """From whom probes are; `{domain}` is the domain that is probed."""
    timeout: Duration = timedelta(seconds=60)
    """How long the server may take for anything."""

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if self.tls == "none" and not is_loopback(self.host):
            raise ValueError('tls = "none" is for this machine only; use "implicit" or "starttls"')
        return self


class SmtpSubmission:
    """
    The `Submission` port by SMTP; each mail has a session of its own.

    Args:
        config: What the configuration says.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._port = config.port or _PORTS[config.tls]
        self._where = f"{config.host}:{self._port}"

    def send(self, mail: bytes, *, sender: str, recipient: str) -> None:
        """Hand a mail in."""
        with self._told(f"does not take mail for {recipient}"), self._session() as session:
            session.sendmail(sender, [recipient], mail)

    def check(self) -> Sequence[Finding]:
        """Log in and send nothing, for `doctor`; never raises."""
        try:
            with self._told("does not let us in"), self._session() as session:
                session.noop()
        except MailError as error:
            return problem(error)
        how = "without TLS" if self._config.tls == "none" else f"TLS ({self._config.tls})"
        who = f"as {self._config.username}" if self._config.username else "without a login"
        return (Finding("ok", f"{self._where}: {how}, {who}"),)

    @contextmanager
    def _told(self, refused: str) -> Iterator[None]:
        """Turn what the library raises into our error; a refused login holds no password."""
        try:
            yield
        except smtplib.SMTPResponseException as error:
            raise self._refused(error.smtp_code, error.smtp_error, refused) from error
        except smtplib.SMTPRecipientsRefused as error:
            ((code, said),) = error.recipients.values()
            raise self._refused(code, said, refused) from error
        except ssl.SSLCertVerificationError as error:
            hint = "name the authority in ca_file, and the server as its certificate does"
            message = f"{self._where}: its certificate is not trusted: {error.verify_message}"
            raise MailError(message, hint=hint) from error
        except (smtplib.SMTPException, OSError) as error:
            raise MailError(
                f"{self._where}: {error}", transient=not isinstance(error, smtplib.SMTPException)
            ) from error

    def _session(self) -> smtplib.SMTP:
        config = self._config
        context = ssl.create_default_context(cafile=config.ca_file)
        session = self._greeted(context)
        try:
            if config.tls == "starttls":
                session.starttls(context=context)
            if config.username:
                session.login(config.username, config.password.get_secret_value())
        except BaseException:
            session.close()
            raise
        return session

    def _greeted(self, context: ssl.SSLContext) -> smtplib.SMTP:
        """Connect; tells when the port looks like one of the other kind of TLS."""
        config, seconds = self._config, self._config.timeout.total_seconds()
        try:
            if config.tls == "implicit":
                return smtplib.SMTP_SSL(config.host, self._port, timeout=seconds, context=context)
            return smtplib.SMTP(config.host, self._port, timeout=seconds)
        except ssl.SSLError as error:
            if is_no_tls(error):
                raise MailError(f"{self._where}: it does not speak TLS on this port", hint=PORT_OF_STARTTLS) from error
            raise
        except smtplib.SMTPServerDisconnected as error:
            if config.tls != "implicit":
                message = f"{self._where}: no greeting came: {error}"
                raise MailError(message, transient=True, hint=PORT_OF_IMPLICIT) from error
            raise

    def _refused(self, code: int, said: bytes | str, what: str) -> MailError:
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
        hint = "check username and password" if code in _DENIED else ""
        return MailError(f"{self._where} {what}: {code} {text}", transient=code < _PERMANENT, hint=hint)
