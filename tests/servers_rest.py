"""
A small HTTP server for fakes of services that cannot be reached from a test: Microsoft Graph and the Gmail API.

It is a fake of an outside service, made after its documentation and never compared with the service itself; what is
real is HTTP, the token endpoint's protocol, and everything on our side.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True)
class Request:
    """What was asked: the path's parts decoded, and one value a parameter."""

    method: str
    parts: tuple[str, ...]
    params: dict[str, str]
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """What is answered; `cut` octets of it are left out, as by a broken line."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0


def as_json(document: object, status: int = 200, **headers: str) -> Reply:
    """Answer in JSON."""
    return Reply(
        status, json.dumps(document).encode(), {name.replace("_", "-"): text for name, text in headers.items()}
    )


@dataclass
class Service:
    """A fake: a token endpoint, and an API that a subclass answers for; `troubles` come first, one a request."""

    url: str = ""
    tokens: int = 0
    is_revoked: bool = False
    requests: list[Request] = field(default_factory=list)
    troubles: list[Reply | None] = field(default_factory=list)

    def answer(self, request: Request) -> Reply:
        """Answer a request of the API."""
        raise NotImplementedError

    def reply(self, request: Request) -> Reply:
        """Answer a request, as far as its token is good."""
        if request.parts == ("token",):
            self.tokens += 1
            self.is_revoked = False
            return as_json({"access_token": f"secret-token-{self.tokens}", "token_type": "Bearer", "expires_in": 3600})
        self.requests.append(request)
        is_known = request.headers.get("authorization") == f"Bearer secret-token-{self.tokens}"
        if not is_known or self.is_revoked:
            return as_json({"error": {"code": "InvalidAuthenticationToken", "message": "expired"}}, 401)
        if self.troubles and (trouble := self.troubles.pop(0)) is not None:
            return trouble
        return self.answer(request)

    def oauth(self) -> dict[str, str]:
        """Return the settings with which a token is to be had."""
        return {"token_url": f"{self.url}/token", "client_id": "id", "client_secret": "hush", "refresh_token": "again"}


@contextmanager
def serving(service: Service) -> Iterator[None]:
    """Serve on loopback for a while."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(service.reply))
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def handler(reply_to: Callable[[Request], Reply]) -> type[BaseHTTPRequestHandler]:
    """Return what `http.server` wants: a class that answers through a function."""

    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            octets = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            url = urlsplit(self.path)
            is_json = "json" in self.headers.get("Content-Type", "")
            reply = reply_to(
                Request(
                    self.command,
                    tuple(unquote(part) for part in url.path.strip("/").split("/")),
                    {name: values[0] for name, values in parse_qs(url.query).items()},
                    {name.lower(): value for name, value in self.headers.items()},
                    json.loads(octets) if is_json else {},
                )
            )
            self.send_response(reply.status)
            for name, value in ({"Content-Type": "application/json"} | reply.headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(reply.body[: len(reply.body) - reply.cut])
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in http.server
            """Say nothing."""

    return Handler
