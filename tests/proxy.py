"""A TCP proxy on loopback between a client and a server, which cuts, stalls and truncates when it is told to."""

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class Proxy:
    """
    Passes connections on to a port.

    Args:
        target: The server's port.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.passed = 0
        """Octets that were passed on to clients."""
        self.is_refusing = False
        self.rewrites: list[tuple[bytes, bytes]] = []
        """What the server says, and what is passed on for it; looked for in each piece alone."""
        self._cuts: list[int] = []
        self._unheard = b""
        self._said = b""
        self._stalls = threading.Event()
        self._closed = False
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._start(self._accept)

    def cut_after(self, *octets: int) -> None:
        """Close each of the next connections when so many octets came from the server, the last of them passed on."""
        self._cuts.extend(octets)

    def cut(self) -> None:
        """Close every connection now."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def stall(self) -> None:
        """Pass nothing on any more, and keep every connection."""
        self._stalls.set()

    def go_on(self) -> None:
        """End a stall."""
        self._stalls.clear()

    def lose_answers_after(self, words: bytes) -> None:
        """Cut the next connection on which a client says this, when the server has answered, its answer unheard."""
        self._unheard = words

    def count(self, words: bytes) -> int:
        """Return how often clients said this."""
        return self._said.count(words)

    def close(self) -> None:
        """End everything."""
        self._closed = True
        self.go_on()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join()

    def _start(self, function: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=function, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if self.is_refusing:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._start(self._pass_on, client, server, self._cuts.pop(0) if self._cuts else None)

    def _pass_on(self, client: socket.socket, server: socket.socket, cut: int | None) -> None:
        with self._lock:
            self._open |= {client, server}
        left = cut
        try:
            while not self._closed:
                readable, _, _ = select.select([client, server], [], [], 0.1)
                if self._stalls.is_set():
                    time.sleep(0.02)
                    continue
                if client in readable and not self._to_server(client, server):
                    return
                if server in readable:
                    left = self._to_client(server, client, left)
                    if left == 0:
                        return
        except OSError:
            return
        finally:
            with self._lock:
                self._open -= {client, server}
            client.close()
            server.close()

    def _to_server(self, client: socket.socket, server: socket.socket) -> bool:
        """Pass on what the client said; tell whether to go on."""
        octets = client.recv(65536)
        self._said += octets
        server.sendall(octets)
        if self._unheard and self._unheard in octets:
            self._unheard = b""
            server.recv(65536)
            return False
        return bool(octets)

    def _to_client(self, server: socket.socket, client: socket.socket, left: int | None) -> int | None:
        """Pass on what the server said, at most `left` octets; return how many are left, 0 to stop."""
        octets = server.recv(65536)
        for said, told in self.rewrites:
            octets = octets.replace(said, told)
        octets = octets[:left]
        client.sendall(octets)
        self.passed += len(octets)
        if not octets:
            return 0
        return None if left is None else left - len(octets)


@contextmanager
def proxied(target: int) -> Iterator[Proxy]:
    """Run a proxy to a port."""
    proxy = Proxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
