"""A DNS server of our own for tests: it says, over UDP and TCP, whatever a test has it say, lies too."""

import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import dns.exception
import dns.flags
import dns.message

Responder = Callable[[dns.message.Message], dns.message.Message | bytes | None]
"""Gives the answer to a question: a message, octets that are none, or `None` for silence."""
Handler = Callable[[bytes, int], bytes | None]
"""The same for octets, and how long an answer may be."""


def serve_dns(respond: Responder, *, address: str = "127.0.0.1", port: int = 0) -> AbstractContextManager[int]:
    """Serve on a port, a free one if it is 0, until the block ends; gives the port."""
    return serve_wire(lambda wire, size: _answer(respond, wire, size=size), address=address, port=port)


@contextmanager
def serve_wire(handle: Handler, *, address: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """Serve as `serve_dns`, octets for octets."""

    class Udp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            wire, channel = self.request
            answer = handle(wire, 512)
            if answer is not None:
                channel.sendto(answer, self.client_address)

    class Tcp(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            length = self.rfile.read(2)
            if len(length) == 2:
                answer = handle(self.rfile.read(struct.unpack("!H", length)[0]), 65535)
                if answer is not None:
                    self.wfile.write(struct.pack("!H", len(answer)) + answer)

    udp, tcp = _bound(address, port, Udp, Tcp)
    with udp, tcp:
        for server in (udp, tcp):
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield udp.server_address[1]
        finally:
            for server in (udp, tcp):
                server.shutdown()


class _TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True


def _bound(
    address: str,
    port: int,
    udp_handler: type[socketserver.BaseRequestHandler],
    tcp_handler: type[socketserver.StreamRequestHandler],
) -> tuple[socketserver.ThreadingUDPServer, socketserver.ThreadingTCPServer]:
    """Listen on one port over both; one that is free over UDP may be taken over TCP."""
    for tries_left in reversed(range(1 if port else 50)):
        udp = socketserver.ThreadingUDPServer((address, port), udp_handler)
        try:
            return udp, _TcpServer((address, udp.server_address[1]), tcp_handler)
        except OSError:
            udp.server_close()
            if not tries_left:
                raise
    raise AssertionError


def _answer(respond: Responder, wire: bytes, *, size: int) -> bytes | None:
    query = dns.message.from_wire(wire, keyring=False)  # whoever signed it
    reply = respond(query)
    if not isinstance(reply, dns.message.Message):
        return reply
    try:
        return reply.to_wire(max_size=max(size, query.payload) if size == 512 else size)
    except dns.exception.TooBig:
        short = dns.message.make_response(query)
        short.flags |= dns.flags.TC
        return short.to_wire()
