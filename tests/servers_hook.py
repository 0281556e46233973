"""A web hook on loopback that keeps what is posted to it, for notifications."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest


@dataclass
class Hook:
    """A running server; it answers with `status`."""

    port: int = 0
    status: int = 200
    posted: list[dict[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its address as apprise has it, with a secret in it."""
        return f"json://user:hush@127.0.0.1:{self.port}/hook"

    def titles(self) -> list[str]:
        """Return the titles of the messages, and forget them."""
        titles = [str(message["title"]) for message in self.posted]
        self.posted.clear()
        return titles


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A server that is gone after the test."""
    found = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if found.status < 400:
                found.posted.append(said)
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.port = server.server_address[1]
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()
