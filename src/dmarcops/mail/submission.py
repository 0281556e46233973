"""
Message submission (RFC 6409): a mail of ours is handed in, over TLS, to the server that sends for us.

No adapter of a mailbox: it is configured once, as `[submission]`.
"""

import smtplib
import ssl
from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from dmarcops.errors import MailError
from dmarcops.settings import Duration, Settings

_PORTS = {"implicit": 465, "starttls": 587, "none": 25}
_LOOPBACK = ("127.", "::1", "localhost")
_PERMANENT = 500


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
        if self.tls == "none" and not self.host.startswith(_LOOPBACK):
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
        try:
            with self._session() as session:
                session.sendmail(sender, [recipient], mail)
        except smtplib.SMTPResponseException as error:
            raise self._refused(error.smtp_code, error.smtp_error, recipient) from error
        except smtplib.SMTPRecipientsRefused as error:
            code, said = error.recipients[recipient]
            raise self._refused(code, said, recipient) from error
        except ssl.SSLCertVerificationError as error:
            raise MailError(f"{self._where}: its certificate is not trusted: {error.verify_message}") from error
        except (smtplib.SMTPException, OSError) as error:
            raise MailError(
                f"{self._where}: {error}", transient=not isinstance(error, smtplib.SMTPException)
            ) from error

    def _session(self) -> smtplib.SMTP:
        config, seconds = self._config, self._config.timeout.total_seconds()
        context = ssl.create_default_context(cafile=config.ca_file)
        if config.tls == "implicit":
            session: smtplib.SMTP = smtplib.SMTP_SSL(config.host, self._port, timeout=seconds, context=context)
        else:
            session = smtplib.SMTP(config.host, self._port, timeout=seconds)
        try:
            if config.tls == "starttls":
                session.starttls(context=context)
            if config.username:
                session.login(config.username, config.password.get_secret_value())
        except BaseException:
            session.close()
            raise
        return session

    def _refused(self, code: int, said: bytes | str, recipient: str) -> MailError:
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
        return MailError(
            f"{self._where} does not take mail for {recipient}: {code} {text}", transient=code < _PERMANENT
        )
