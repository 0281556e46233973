"""The `PolicyHost` port: an MTA-STS policy over HTTPS, as RFC 8461 section 3.3 has it fetched. Follows no redirect."""

import socket
import ssl
from http.client import HTTPConnection, HTTPException, HTTPResponse
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
        whole: Seconds for the body.
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
        host = f"mta-sts.{domain}"
        try:
            with (
                socket.create_connection(self._at or (host, _PORT), timeout=self._step) as plain,
                self._context.wrap_socket(plain, server_hostname=host) as secured,
            ):
                return self._fetched(host, secured)
        except (OSError, HTTPException, ValueError) as error:
            raise EdgeError(f"https://{host}{PATH}: {_why(error)}", transient=True) from error

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
            return self._body(response).decode("utf-8", "replace")

    def _body(self, response: HTTPResponse) -> bytes:
        until, body = monotonic() + self._whole, b""
        while chunk := response.read1(_CHUNK):
            body += chunk
            if len(body) > MAX_OCTETS:
                raise HTTPException(f"more than {MAX_OCTETS} octets")
            if monotonic() > until:
                raise HTTPException(f"more than {self._whole:g} seconds")
        return body


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    return str(error) or type(error).__name__
