"""A token endpoint of our own (RFC 6749), on loopback, that signs tokens which the tests' Dovecot takes."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ISSUER = "https://login.test/"


class Endpoint:
    """Gives tokens to the client `dmarcops` with the secret `s3cret`, for `refresh-1` and what it makes of that."""

    def __init__(self) -> None:
        self.requests = 0
        self.broken_tokens = 0
        self.last_token = ""
        self.last_form: dict[str, str] = {}
        self.lifetime: int | None = 3600
        self.refresh_tokens = ["refresh-1"]
        self.is_rotating = False
        self.answer: tuple[int, bytes] | None = None
        self._email = "nobody"
        self._key: rsa.RSAPrivateKey | None = None
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                form = {name: values[0] for name, values in parse_qs(self.rfile.read(length).decode()).items()}
                status, body = endpoint.respond(form)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/token"

    def issue_for(self, email: str, key: bytes) -> None:
        """Say for whom tokens are, and the key (PEM) that signs them."""
        loaded = serialization.load_pem_private_key(key, None)
        assert isinstance(loaded, rsa.RSAPrivateKey)
        self._email, self._key = email, loaded

    def respond(self, form: dict[str, str]) -> tuple[int, bytes]:
        """Answer a request."""
        self.requests += 1
        self.last_form = form
        if self.answer is not None:
            return self.answer
        if (form.get("client_id"), form.get("client_secret")) != ("dmarcops", "s3cret"):
            return 401, b'{"error": "invalid_client"}'
        if form["grant_type"] == "refresh_token" and form.get("refresh_token") != self.refresh_tokens[-1]:
            reason = f"no such token {form.get('refresh_token')}\nTrace ID: 1"
            return 400, json.dumps({"error": "invalid_grant", "error_description": reason}).encode()
        self.last_token = self._token()
        answer: dict[str, object] = {"access_token": self.last_token, "token_type": "Bearer"}
        if self.lifetime is not None:
            answer["expires_in"] = self.lifetime
        if self.is_rotating:
            self.refresh_tokens.append(f"refresh-{len(self.refresh_tokens) + 1}")
            answer["refresh_token"] = self.refresh_tokens[-1]
        return 200, json.dumps(answer).encode()

    def _token(self) -> str:
        now = int(time.time())
        claims = {
            "sub": self._email,
            "email": self._email,
            "iss": ISSUER,
            "iat": now,
            "nbf": now - 5,
            "exp": now + 600,
            "n": self.requests,
        }
        signed = b".".join((_part({"alg": "RS256", "typ": "JWT"}), _part(claims)))
        if self._key is None:
            return signed.decode()
        signature = self._key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        if self.broken_tokens:
            self.broken_tokens -= 1
            signature = bytes(len(signature))
        return (signed + b"." + _base64(signature)).decode()


def _part(value: dict[str, object] | dict[str, str]) -> bytes:
    return _base64(json.dumps(value).encode())


def _base64(octets: bytes) -> bytes:
    return base64.urlsafe_b64encode(octets).rstrip(b"=")


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A token endpoint that runs during the test."""
    made = Endpoint()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()
