"""The `PolicyHost` port: an MTA-STS policy over HTTPS, as RFC 8461 section 3.3 has it fetched. Follows no redirect."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from threading import Timer
from time import monotonic

from dmarcops.errors import EdgeError

PATH = "/.well-known/mta-sts.txt"
"""Where the policy stands at its host."""
MAX_OCTETS = 64 << 10
"""Octets of a policy (RFC 8461 section 3.3)."""
_CHUNK = 4096
_OK = 200
_PORT = 443


class HttpsPolicyHost:
    """
    Fetches policies.

    Args:
        context: Whose certificates are trusted; None: those that the system trusts.
        at: Where every host is found, for test beds only.
        step: Seconds for one step.
        whole: Seconds for all of it: a host that sends an octet now and then does not hold us for ever.
    """

    def __init__(
        self,
        *,
        context: ssl.SSLContext | None = None,
        at: tuple[str, int] | None = None,
        step: float = 10,
        whole: float = 60,
    ) -> None:
        self._context = context or ssl.create_default_context()
        self._at = at
        self._step = step
        self._whole = whole

    def policy(self, domain: str) -> str:
        """Fetch the policy of a domain."""
        host, until = f"mta-sts.{domain}", monotonic() + self._whole
        try:
            with (
                self._connected(host, until) as plain,
                _cut(plain, until),
                self._context.wrap_socket(plain, server_hostname=host) as secured,
            ):
                text = self._fetched(host, secured)
            if monotonic() >= until:
                raise TimeoutError  # what was cut off looks like a whole body
        except (OSError, HTTPException, ValueError) as error:
            why = f"more than {self._whole:g} seconds" if monotonic() >= until else _why(error)
            raise EdgeError(f"https://{host}{PATH}: {why}", transient=True) from error
        return text

    def _connected(self, host: str, until: float) -> socket.socket:
        """Connect to the first address that takes us; a host may have very many."""
        fault = OSError("it has no address")
        for *_, address in socket.getaddrinfo(*(self._at or (host, _PORT)), type=socket.SOCK_STREAM):
            if monotonic() >= until:
                break
            try:
                return socket.create_connection((str(address[0]), int(address[1])), timeout=self._step)
            except OSError as error:
                fault = error
        raise fault

    def _fetched(self, host: str, secured: ssl.SSLSocket) -> str:
        connection = HTTPConnection(host)
        connection.sock = secured
        connection.request("GET", PATH, headers={"Connection": "close"})
        with connection.getresponse() as response:
            if response.status != _OK:
                raise HTTPException(f"status {response.status}, not {_OK}")
            kind = response.headers.get_content_type()
            if kind != "text/plain":
                raise HTTPException(f"{kind}, not text/plain")
            return _body(response).decode("utf-8", "replace")


def _body(response: HTTPResponse) -> bytes:
    body = b""
    while chunk := response.read1(_CHUNK):
        body += chunk
        if len(body) > MAX_OCTETS:
            raise HTTPException(f"more than {MAX_OCTETS} octets")
    return body


@contextmanager
def _cut(connection: socket.socket, until: float) -> Iterator[None]:
    """End a connection, whatever is made of it, when its time is over."""
    with connection.dup() as same:

        def end() -> None:
            with suppress(OSError):
                same.shutdown(socket.SHUT_RDWR)

        timer = Timer(max(0.0, until - monotonic()), end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    return str(error) or type(error).__name__
