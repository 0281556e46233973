"""
JSON over HTTPS with an access token: what the Graph and Gmail sources have in common.

Waits as long as a server asks for (`Retry-After`), within reason; asks for a new token once when one is refused; goes
to no other server, where the token is not to go. Never shows a token.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import model_validator

from dmarcops.errors import ConfigError, MailError
from dmarcops.mail.oauth import OAuth, Tokens, is_loopback
from dmarcops.mail.spool import Bounds
from dmarcops.settings import Duration

_TRIES = 5
_LONGEST_WAIT = 120.0
_UNAUTHORIZED = 401
_FORBIDDEN = 403
_BUSY = frozenset((408, 429, 500, 502, 503, 504))
_GONE = frozenset((404, 410))
_ERROR_BYTES = 64 * 1024
_RATE = frozenset(("rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded"))

Answer = dict[str, Any]


class RestConfig(Bounds):
    """What the sources over HTTPS are all told."""

    oauth: OAuth
    """How access tokens are had."""
    endpoint: str
    """The address of the API; https, but on loopback."""
    timeout: Duration = timedelta(seconds=60)
    """How long an answer may take."""

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        url = urlsplit(self.endpoint)
        if not url.hostname or not (url.scheme == "https" or (url.scheme == "http" and is_loopback(url.hostname))):
            raise ValueError("endpoint is no https address")
        return self


class Rest:
    """
    An API.

    Args:
        name: The mailbox's name, for errors.
        config: What was configured.
        folder: Where tokens are kept, unless the configuration has another place.
        headers: What is said with every request.
        clock: The time, in seconds since 1970.
        sleep: How it waits.
    """

    def __init__(
        self,
        name: str,
        config: RestConfig,
        folder: Path,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._name = name
        self._endpoint = config.endpoint.rstrip("/")
        self._timeout = config.timeout.total_seconds()
        self._tokens = Tokens(config.oauth, folder / "token.json", timeout=self._timeout, clock=clock)
        self._headers = dict(headers or {})
        self._clock = clock
        self._sleep = sleep
        self._client: Any = None

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Answer | None:
        """
        Ask for something; `None` when it is not there.

        Raises:
            MailError: It cannot be had.
        """
        return self.send("GET", path, params=params)

    def send(
        self, method: str, path: str, *, params: Mapping[str, str | int] | None = None, body: object = None
    ) -> Answer | None:
        """
        Say something; `None` when what it is about is not there.

        Raises:
            MailError: It cannot be done.
        """
        with self._answered(method, path, params=params, body=body) as response:
            if response is None:
                return None
            try:
                answer = response.json() if response.read() else {}
            except (ValueError, RecursionError) as error:
                raise MailError(
                    f"{self._name}: {self._host} did not answer in JSON", hint="look at endpoint"
                ) from error
        return answer if isinstance(answer, dict) else {}

    def pages(self, path: str, params: Mapping[str, str | int], *, token: str = "") -> Iterator[Answer]:
        """
        Give the pages of a list.

        Args:
            path: The list.
            params: How it is asked for.
            token: The key of the next page's token; without one a page has the next one's address (OData).

        Raises:
            MailError: A page cannot be had.
        """
        page = self.get(path, params)
        while page is not None:
            yield page
            if token:
                page = self.get(path, {**params, "pageToken": page[token]}) if page.get(token) else None
            else:
                page = self.get(page["@odata.nextLink"]) if page.get("@odata.nextLink") else None

    @contextmanager
    def stream(self, path: str, params: Mapping[str, str | int] | None = None) -> Iterator[Iterator[bytes] | None]:
        """
        Fetch something as it comes in; `None` when it is not there.

        Raises:
            MailError: It cannot be had.
        """
        with self._answered("GET", path, params=params) as response:
            yield None if response is None else response.iter_bytes()

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    @property
    def _host(self) -> str:
        return urlsplit(self._endpoint).netloc

    def _url(self, path: str) -> str:
        if path.startswith("/"):
            return self._endpoint + path
        if not path.startswith(f"{self._endpoint}/"):
            raise MailError(f"{self._name}: {self._host} names a next page on another server")
        return path

    @contextmanager
    def _answered(
        self, method: str, path: str, *, params: Mapping[str, str | int] | None = None, body: object = None
    ) -> Iterator[Any]:
        """Give a good answer, not yet read; `None` for what is not there."""
        httpx = self._httpx()
        url = self._url(path)
        token = self._tokens.access_token()
        is_fresh = False
        for number in range(_TRIES):
            is_last = number == _TRIES - 1
            try:
                # An address of a next page has its parameters already, which httpx would replace.
                arguments = {"params": dict(params)} if params else {}
                headers = self._headers | {"Authorization": f"Bearer {token}"}
                with self._client.stream(method, url, json=body, headers=headers, **arguments) as response:
                    if response.is_success or response.status_code in _GONE:
                        yield response if response.is_success else None
                        return
                    error, seconds = self._refusal(response, 2.0**number)
                    if response.status_code == _UNAUTHORIZED and not is_fresh:
                        is_fresh, seconds = True, 0.0
                        token = self._tokens.access_token(fresh=True)
            except httpx.HTTPError as failure:
                # Also when it breaks off while it is read, which is not begun again here.
                raise MailError(f"{self._name}: {self._host}: {type(failure).__name__}", transient=True) from failure
            if seconds is None or is_last:
                raise error
            self._sleep(seconds)

    def _refusal(self, response: Any, usual: float) -> tuple[MailError, float | None]:  # noqa: ANN401 - httpx is an extra
        """Say what a refusal means, and after how many seconds to ask again if that is any use."""
        status: int = response.status_code
        code, reasons = _said_of(_start(response))
        is_busy = status in _BUSY or (status == _FORBIDDEN and bool(reasons & _RATE))
        hint = ""
        if status in (_UNAUTHORIZED, _FORBIDDEN) and not is_busy:
            hint = "look at the permissions of the application, and at the scope"
        what = f"{self._name}: {self._host} answered {status}" + (f" ({code})" if code else "")
        error = MailError(what, transient=is_busy, hint=hint)
        if not is_busy:
            return error, None
        seconds = self._retry_after(response.headers.get("Retry-After", ""), usual)
        return error, seconds if seconds <= _LONGEST_WAIT else None

    def _retry_after(self, text: str, usual: float) -> float:
        """Read `Retry-After` (RFC 9110 section 10.2.3): seconds, or a date."""
        if text.isascii() and text.isdigit():
            return float(text)
        try:
            then = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return usual
        # `-0000`, a zone that is not told, comes without one
        then = then if then.tzinfo else then.replace(tzinfo=UTC)
        return max(0.0, (then - datetime.fromtimestamp(self._clock(), UTC)).total_seconds())

    def _httpx(self) -> Any:  # noqa: ANN401 - an extra
        try:
            import httpx  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ConfigError("Graph and Gmail need httpx", hint="pip install 'dmarcops[oauth]'") from error
        if self._client is None:
            self._client = httpx.Client(timeout=self._timeout)
        return httpx


def _start(response: Any) -> bytes:  # noqa: ANN401 - httpx is an extra
    """Give the first octets of an answer, which may be anything."""
    found = b""
    for chunk in response.iter_bytes():
        found += chunk
        if len(found) > _ERROR_BYTES:
            break
    return found


def _said_of(octets: bytes) -> tuple[str, set[str]]:
    """Read the error of an answer: its code, and Google's reasons."""
    try:
        error = json.loads(octets)["error"]
        reasons = {str(found.get("reason")) for found in error.get("errors", ())}
        return str(error.get("code", ""))[:80], reasons
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "", set()
