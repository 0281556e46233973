"""MTA-STS policies over HTTPS, from a server of our own with a certificate that a test may trust or not."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from dmarcops.dns.policy_host import MAX_OCTETS, PATH, HttpsPolicyHost
from dmarcops.errors import EdgeError
from dmarcops.ports import PolicyHost

HOST = "mta-sts.example.test"
POLICY = b"version: STSv1\nmode: enforce\nmx: mail.example.test\nmax_age: 86400\n"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of the host by itself, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    path = tmp_path_factory.mktemp("https") / "certificate"
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + pem)
    return path


@contextmanager
def served(
    certificate: Path, body: bytes = POLICY, *, status: int = 200, kind: str = "text/plain; charset=utf-8"
) -> Iterator[tuple[str, int]]:
    """Serve one answer to everybody; gives where."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_right = (self.path, self.headers["Host"]) == (PATH, HOST)
            self.send_response(status if is_right else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Location", f"https://{HOST}{PATH}")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who does not trust it hangs up
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield "127.0.0.1", server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def host(certificate: Path, at: tuple[str, int]) -> PolicyHost:
    return HttpsPolicyHost(context=ssl.create_default_context(cafile=str(certificate)), at=at)


def test_the_policy_is_fetched_from_its_host(certificate: Path) -> None:
    with served(certificate) as at:
        assert host(certificate, at).policy("example.test") == POLICY.decode()
    with served(certificate, b"mode: \xff") as at:
        assert host(certificate, at).policy("example.test") == "mode: �"
    with served(certificate, b"a" * MAX_OCTETS) as at:
        assert len(host(certificate, at).policy("example.test")) == MAX_OCTETS


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"status": 404}, "status 404, not 200"),
        ({"status": 301}, "status 301, not 200"),
        ({"kind": "text/html"}, "text/html, not text/plain"),
        ({"body": b"a" * (MAX_OCTETS + 1)}, f"more than {MAX_OCTETS} octets"),
    ],
)
def test_what_is_no_policy_is_told_with_its_reason(certificate: Path, answer: dict[str, Any], reason: str) -> None:
    with served(certificate, **answer) as at, pytest.raises(EdgeError) as raised:
        host(certificate, at).policy("example.test")
    assert str(raised.value) == f"https://{HOST}{PATH}: {reason}"


def test_a_certificate_that_is_not_trusted_or_not_the_hosts_is_refused(certificate: Path) -> None:
    with served(certificate) as at:
        with pytest.raises(EdgeError, match=r"certificate: self.signed"):
            HttpsPolicyHost(at=at).policy("example.test")
        with pytest.raises(EdgeError, match=r"certificate: .*[Hh]ostname"):
            host(certificate, at).policy("example.com")


def test_a_host_that_is_not_there_is_told(certificate: Path) -> None:
    with served(certificate) as at:
        pass
    with pytest.raises(EdgeError, match="refused"):
        host(certificate, at).policy("example.test")


def test_a_host_that_takes_too_long_is_left(certificate: Path) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate))
    with served(certificate) as at, pytest.raises(EdgeError, match="more than 0 seconds"):
        HttpsPolicyHost(context=trusting, at=at, whole=0).policy("example.test")


def test_a_host_that_sends_an_octet_now_and_then_is_left(certificate: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)

    def drip(listening: socket.socket) -> None:
        with suppress(OSError), server.wrap_socket(listening.accept()[0], server_side=True) as connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX: ")
            while True:
                connection.sendall(b"x")
                time.sleep(0.05)

    trusting = ssl.create_default_context(cafile=str(certificate))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=drip, args=(listening,), daemon=True)
        thread.start()
        start = time.monotonic()
        with pytest.raises(EdgeError, match=r"more than 0\.5 seconds"):
            HttpsPolicyHost(context=trusting, at=listening.getsockname(), whole=0.5).policy("example.test")
        assert time.monotonic() - start < 5
        thread.join(5)
    assert not thread.is_alive()
