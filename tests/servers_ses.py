"""
Amazon SES: moto's server, behind a strict front for what moto does not have, the DKIM settings of an identity.

The front refuses what the service model and the guide of sesv2 do not allow, forgets the key, and gives the selector
back as AWS does. It was never compared with AWS.
"""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.parse import unquote
from urllib.request import Request, urlopen

import boto3
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key
from moto.server import ThreadedMotoServer

from dmarcops.ports import Signer
from dmarcops.signers import ses as adapter

_SELECTOR = re.compile(r"[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]")
_KEY = re.compile(r"[a-zA-Z0-9+/]+={0,2}")


@dataclass
class Ses:
    """The server, and what it was told."""

    upstream: str
    dkim: dict[str, dict[str, Any]] = field(default_factory=dict)
    puts: list[str] = field(default_factory=list)
    failures: list[tuple[int, str]] = field(default_factory=list)
    """Answers that are given to the next calls in their place."""

    def create(self, domain: str, *, easy: bool = False) -> None:
        """Make an identity."""
        boto3.client("sesv2", endpoint_url=self.upstream).create_email_identity(EmailIdentity=domain)
        tokens = {"Tokens": ["a1", "a2", "a3"], "Status": "SUCCESS"} if easy else {"Status": "NOT_STARTED"}
        self.dkim[domain] = {"SigningEnabled": True, "SigningAttributesOrigin": "AWS_SES", **tokens}

    def put(self, domain: str, told: dict[str, Any]) -> tuple[int, str]:
        """Take a key, as PutEmailIdentityDkimSigningAttributes does."""
        attributes = told.get("SigningAttributes", {})
        selector, key = attributes.get("DomainSigningSelector", ""), attributes.get("DomainSigningPrivateKey", "")
        if told.get("SigningAttributesOrigin") != "EXTERNAL" or not _SELECTOR.fullmatch(selector) or len(selector) > 63:
            return 400, "BadRequestException"
        private = load_der_private_key(base64.b64decode(key, validate=True), None) if _KEY.fullmatch(key) else None
        if not isinstance(private, RSAPrivateKey) or private.key_size not in {1024, 2048}:
            return 400, "BadRequestException"
        self.puts.append(selector)
        self.dkim[domain] |= {"SigningAttributesOrigin": "EXTERNAL", "Tokens": [selector], "Status": "PENDING"}
        return 200, ""


class _Handler(BaseHTTPRequestHandler):
    """The front's side of a connection."""

    ses: Ses

    def do_GET(self) -> None:
        status, answer = self._ask()
        domain = unquote(self.path.rsplit("/", 1)[-1])
        if status == HTTPStatus.OK and domain in self.ses.dkim:
            answer["DkimAttributes"] = self.ses.dkim[domain]
        self._answer(status, answer)

    def do_PUT(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, code = self.ses.put(unquote(self.path.split("/")[-3]), told)
        self._answer(status, {"message": f"refused {told}"} if code else {}, code)

    def log_message(self, *_: object) -> None:
        pass

    def _ask(self) -> tuple[int, dict[str, Any]]:
        if self.ses.failures:
            return self.ses.failures[0][0], {}
        request = Request(self.ses.upstream + self.path, headers=dict(self.headers))  # noqa: S310 - loopback
        try:
            with urlopen(request) as response:  # noqa: S310 - loopback
                return response.status, json.load(response)
        except HTTPError as error:
            with error:
                return error.code, {"message": error.read().decode()}

    def _answer(self, status: int, answer: dict[str, Any], code: str = "") -> None:
        if self.ses.failures:
            status, code = self.ses.failures.pop(0)
        elif status == HTTPStatus.NOT_FOUND:
            code = "NotFoundException"
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if code:
            self.send_header("x-amzn-ErrorType", code)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def ses(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ses]:
    """A server that boto3 finds by its usual variables."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    server = Ses(f"http://{host}:{port}")
    # Its state is the process's
    urlopen(Request(f"{server.upstream}/moto-api/reset", method="POST")).close()  # noqa: S310 - loopback
    front = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"ses": server}))
    thread = Thread(target=front.serve_forever)
    thread.start()
    variables = {
        "AWS_ENDPOINT_URL_SESV2": f"http://127.0.0.1:{front.server_port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    try:
        yield server
    finally:
        front.shutdown()
        front.server_close()
        thread.join()
        moto.stop()


def ses_in(folder: Path, **options: Any) -> Signer:  # noqa: ANN401 - any setting
    """Make the adapter for Amazon SES."""
    del folder
    return adapter.Adapter("ses", adapter.Config(**options))
