"""
Access tokens for mailboxes (OAuth 2.0, RFC 6749), kept until they end in a file that nobody else may read.

Two ways: client credentials (section 4.4; Microsoft 365 with an application of its own) and a refresh token (section 6;
Gmail, and Microsoft 365 on behalf of a person). A refresh token that the server replaces is kept beside the access
token. Never shows a token or a secret, never asks a person.
"""

import hashlib
import json
import os
import secrets
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from dmarcops.errors import ConfigError, MailError
from dmarcops.settings import Settings

_MARGIN = 120
"""Seconds before its end at which a token is not used any more."""
_UNKNOWN_LIFE = 300
"""Seconds for which a token is used whose answer does not say how long it lives (RFC 6749 section 5.1 only recommends
it)."""


_EXTRA = "pip install 'dmarcops[oauth]'"


def is_loopback(host: str) -> bool:
    """Tell whether a host name means this machine and nothing else."""
    with suppress(ValueError):
        return ip_address(host.strip("[]")).is_loopback
    return host.lower() == "localhost"


class OAuth(Settings):
    """How access tokens are had."""

    token_url: str
    """The token endpoint; https, but on loopback."""
    client_id: str = Field(min_length=1)
    """The id of the registered application."""
    client_secret: SecretStr = SecretStr("")
    """Its secret; empty for a public client."""
    grant: Literal["client_credentials", "refresh_token"] = "refresh_token"
    """`client_credentials` for an application of its own right, `refresh_token` for the consent of a person."""
    refresh_token: SecretStr = SecretStr("")
    """The refresh token that the consent gave; needed for the grant of that name."""
    scope: str = ""
    """What is asked for, such as `https://outlook.office365.com/.default`; Gmail needs none with a refresh token."""
    cache: Path | None = None
    """File in which tokens are kept, mode 0600; by default one in the mailbox's own folder."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        url = urlsplit(self.token_url)
        if not url.hostname or not (url.scheme == "https" or (url.scheme == "http" and is_loopback(url.hostname))):
            raise ValueError("token_url is no https address")
        if self.grant == "refresh_token" and not self.refresh_token.get_secret_value():
            raise ValueError("the grant refresh_token needs a refresh_token")
        if self.grant == "client_credentials" and not self.client_secret.get_secret_value():
            raise ValueError("the grant client_credentials needs a client_secret")
        return self


def _libraries() -> tuple[Any, Any, Any]:
    """
    Load the optional packages: authlib's client, its exception, and the httpx or httpx2 that the client is made of.

    Which of the two authlib takes depends on its version and on what is installed.
    """
    try:
        # authlib warns everybody of a successor of httpx, whatever the filters are: the warning is taken, not shown.
        with warnings.catch_warnings(record=True):
            # Loaded only where a mailbox asks for tokens.
            from authlib.integrations import base_client, httpx_client  # type: ignore[import-untyped] # noqa: PLC0415
    except ImportError as error:
        raise ConfigError("OAuth logins need the packages authlib and httpx", hint=_EXTRA) from error
    client = httpx_client.OAuth2Client
    packages = (base.__module__.partition(".")[0] for base in client.__mro__)
    httpx = import_module(next(name for name in packages if name.startswith("httpx")))
    return httpx, client, base_client.OAuthError


class Tokens:
    """
    Gives access tokens of one mailbox.

    Args:
        settings: How they are had.
        file: Where they are kept.
        timeout: Seconds that the endpoint may take.
        clock: Seconds since the epoch.
    """

    def __init__(
        self, settings: OAuth, file: Path, *, timeout: float = 30, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._file = settings.cache or file
        self._timeout = timeout
        self._clock = clock

    def access_token(self, *, fresh: bool = False) -> str:
        """
        Give a token that is good for now, from the file when it holds one.

        Args:
            fresh: Ask for a new one whatever the file holds, since the server did not take that.

        Raises:
            MailError: There is none to be had.
        """
        kept = self._kept()
        token = kept.get("access_token")
        ends = kept.get("expires_at")
        if not fresh and isinstance(token, str) and isinstance(ends, int | float) and ends - _MARGIN > self._clock():
            return token
        refresh = kept.get("refresh_token")
        answer = self._ask(refresh if isinstance(refresh, str) else "")
        token = answer.get("access_token")
        if not isinstance(token, str) or not token:
            raise MailError(f"{self._where()} gave no access token", hint="is token_url the token endpoint?")
        self._keep(token, answer, refresh)
        return token

    def _ask(self, refresh_token: str) -> Mapping[str, object]:
        httpx, client_class, refusal = _libraries()
        settings = self._settings
        secret = settings.client_secret.get_secret_value()
        client = client_class(
            settings.client_id,
            secret or None,
            scope=settings.scope or None,
            token_endpoint_auth_method="client_secret_post" if secret else "none",
            timeout=self._timeout,
        )
        arguments: dict[str, str] = {"grant_type": settings.grant}
        if settings.grant == "refresh_token":
            arguments["refresh_token"] = refresh_token or settings.refresh_token.get_secret_value()
            if settings.scope:
                arguments["scope"] = settings.scope
        try:
            with client:
                answer: Mapping[str, object] = client.fetch_token(settings.token_url, **arguments)
        except refusal as error:
            raise self._refused(error.error, error.description) from None  # it may quote what was sent
        except httpx.HTTPStatusError as error:
            raise MailError(f"{self._where()} answered {error.response.status_code}", transient=True) from None
        except httpx.HTTPError as error:
            raise MailError(f"{self._where()}: {type(error).__name__}", transient=True) from error
        except ValueError as error:
            hint = "is token_url the token endpoint?"
            raise MailError(f"{self._where()} did not answer as a token endpoint does", hint=hint) from error
        return answer

    def _refused(self, code: str, description: str) -> MailError:
        """Say what the endpoint's error means (RFC 6749 section 5.2)."""
        hints = {
            "invalid_client": "check client_id and client_secret; a secret may have run out",
            "invalid_grant": "the refresh token has run out or was revoked: consent again and put the new one in",
            "invalid_scope": "check scope",
            "unauthorized_client": "the application may not use this grant",
        }
        transient = code in ("temporarily_unavailable", "server_error", "slow_down")
        # Endpoints put a page of trace ids and links behind the first line.
        reason = (description or "").partition("\n")[0].strip()[:200]
        for secret in (self._settings.client_secret, self._settings.refresh_token):
            if secret.get_secret_value():
                reason = reason.replace(secret.get_secret_value(), "***")
        text = f"{self._where()} refused: {code}" + (f" ({reason})" if reason else "")
        return MailError(text, transient=transient, hint=hints.get(code, ""))

    def _where(self) -> str:
        return f"the token endpoint {urlsplit(self._settings.token_url).hostname}"

    def _mark(self) -> str:
        """Name what the kept tokens belong to, so that others are asked for when the settings change."""
        settings = self._settings
        parts = (settings.token_url, settings.client_id, settings.grant, settings.scope)
        text = "\0".join((*parts, settings.refresh_token.get_secret_value()))
        return hashlib.sha256(text.encode()).hexdigest()

    def _kept(self) -> Mapping[str, object]:
        try:
            kept = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            return {}
        return kept if isinstance(kept, dict) and kept.get("for") == self._mark() else {}

    def _keep(self, token: str, answer: Mapping[str, object], refresh_token: object) -> None:
        ends = answer.get("expires_at")
        kept = {
            "for": self._mark(),
            "access_token": token,
            "expires_at": ends if isinstance(ends, int | float) else self._clock() + _UNKNOWN_LIFE,
            "refresh_token": answer.get("refresh_token") or refresh_token,
        }
        beside = self._file.with_name(f"{self._file.name}.{secrets.token_hex(4)}")
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(kept, file)
            beside.replace(self._file)
        except OSError as error:
            with suppress(OSError):
                beside.unlink()
            hint = "the mailbox's folder must be writable, or name another file as oauth.cache"
            raise MailError(f"cannot keep tokens in {self._file}: {error.strerror}", hint=hint) from error
