"""
imapclient, with what it lacks: ESEARCH, an IDLE that loses no wake-up, logins that are safe for any text.

Speaks the protocol only: no decision, no error of ours. Logs no octet of a mail and no secret.
"""

import re
import select
import socket
import ssl
from collections.abc import Iterable, Sequence
from contextlib import suppress

from imapclient import IMAPClient  # type: ignore[import-untyped] # it ships no types

WINDOW = 50_000
"""Messages searched at a time, so that no answer is a line longer than imaplib takes (a million octets)."""
_MOST = 4 * WINDOW
"""Messages in one answer: those of a window, and such as came meanwhile."""
_ALL = re.compile(rb"\bALL ([0-9:,]+)")


class Client(IMAPClient):  # type: ignore[misc] # it ships no types
    """
    A connection to an IMAP server (RFC 3501, RFC 9051).

    Args:
        host: Its name or address.
        port: Its port.
        context: For implicit TLS; none for a connection that starts in the clear.
        timeout: Seconds that connecting, and each read, may take.
    """

    def __init__(self, host: str, port: int, *, context: ssl.SSLContext | None, timeout: float) -> None:
        super().__init__(host, port, ssl=context is not None, ssl_context=context, timeout=timeout)
        # imapclient has imaplib format every octet for its debug log, whether or not anybody reads it.
        self._imap.debug = 0
        # A command is sent in pieces; without this each would wait for the server's delayed acknowledgement.
        self.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def peer(self) -> str:
        """Return the address at the other end."""
        address: str = self.socket().getpeername()[0]
        return address

    def certificate(self) -> bytes:
        """Return the server's certificate (DER)."""
        found: bytes | None = self.socket().getpeercert(binary_form=True)
        return found or b""

    def tls_version(self) -> str:
        """Return the version of TLS in use, such as `TLSv1.3`; empty without."""
        connection = self.socket()
        return str(connection.version()) if isinstance(connection, ssl.SSLSocket) else ""

    def login_with_password(self, username: str, password: str) -> None:
        """Log in by SASL PLAIN, which takes any text (RFC 4616), where it is offered, else by LOGIN."""
        if self.has_capability("AUTH=PLAIN"):
            self.plain_login(username, password)
        else:
            quoted = username.replace("\\", "\\\\").replace('"', '\\"')
            self.login(f'"{quoted}"', password)  # imaplib quotes the password only

    def login_with_token(self, mechanism: str, username: str, token: str, *, port: int) -> bytes:
        """
        Log in by XOAUTH2 or OAUTHBEARER (RFC 7628 section 3).

        Returns:
            What the server said about the token when it was refused; the exception has only a NO.
        """
        challenges: list[bytes] = []
        if mechanism == "XOAUTH2":
            initial, abandon = f"user={username}\1auth=Bearer {token}\1\1", b""
        else:
            name = username.replace("=", "=3D").replace(",", "=2C")
            initial = f"n,a={name},\1host={self.host}\1port={port}\1auth=Bearer {token}\1\1"
            abandon = b"\1"

        def answer(challenge: bytes) -> bytes:
            challenges.append(challenge)
            return initial.encode() if len(challenges) == 1 else abandon

        self.sasl_login(mechanism, answer)
        return challenges[-1]

    def uids(self, criteria: Sequence[str]) -> list[int]:
        """
        Search the selected folder: one ESEARCH (RFC 4731) or SEARCH, several when the folder is very large.

        Windows go from the end to the start: a message that another client expunges meanwhile shifts later ones
        down, so that one may be found twice, but none is missed.
        """
        exists = self.exists()
        if exists <= WINDOW:
            return sorted(set(self._search(criteria, None)))
        found: set[int] = set()
        for last in range(exists, 0, -WINDOW):
            found.update(self._search([f"{max(1, last - WINDOW + 1)}:{last}", *criteria], None))
        return sorted(found)

    def _search(self, criteria: Sequence[str], charset: str | None) -> list[int]:
        if not self.has_capability("ESEARCH"):
            found: list[int] = super()._search(criteria, charset)
            return found
        self._imap.untagged_responses.pop("ESEARCH", None)
        words = [word.encode("ascii") for word in criteria]
        [answer, *_] = self._raw_command_untagged(b"SEARCH", [b"RETURN", b"(ALL)", *words], "ESEARCH")
        match = _ALL.search(answer or b"")
        return parse_uid_set(match[1].decode()) if match else []

    def exists(self) -> int:
        """Return the number of messages in the selected folder, as last announced."""
        announced = self._imap.untagged_responses.get("EXISTS", [b"0"])
        return int(announced[-1])

    def forget_news(self) -> None:
        """Forget what was announced, but for the number of messages; whatever comes after is news."""
        for kind in ("EXPUNGE", "FETCH", "RECENT", "VANISHED", "ESEARCH", "SEARCH"):
            self._imap.untagged_responses.pop(kind, None)
        self._imap.untagged_responses["EXISTS"] = [str(self.exists()).encode()]

    def has_news(self) -> bool:
        """Tell whether the number of messages was announced anew since `forget_news`."""
        return len(self._imap.untagged_responses.get("EXISTS", [])) > 1

    def begin_idle(self) -> None:
        """Begin IDLE (RFC 2177); what the server announces before it agrees is kept as news."""
        self._idle_tag = self._imap._command("IDLE")  # noqa: SLF001 - imapclient's own way to send it
        while self._imap._get_response() is not None:  # noqa: SLF001 - same
            if self._imap.tagged_commands[self._idle_tag]:
                kind, data = self._imap.tagged_commands.pop(self._idle_tag)
                self._checkok("IDLE", kind, data)

    def end_idle(self) -> None:
        """End IDLE; what the server announced meanwhile is kept as news."""
        self.idle_done()

    def is_readable(self, seconds: float) -> bool:
        """
        Wait until there is something to read, at most so long.

        The system's poll alone is not enough: what came in one TLS record with the last answer is in a buffer already.
        """
        connection: socket.socket = self.socket()
        timeout = connection.gettimeout()
        connection.setblocking(False)
        try:
            with suppress(ssl.SSLWantReadError, BlockingIOError):
                if self._imap.file.peek(1):
                    return True
        finally:
            connection.settimeout(timeout)
        poller = select.poll()
        poller.register(connection, select.POLLIN)
        return bool(poller.poll(seconds * 1000))

    def rights(self, folder: str) -> str:
        """Return what the user may do with a folder (RFC 4314 section 3.8)."""
        answer: list[bytes] = self._command_and_check("myrights", self._normalise_folder(folder))
        return answer[0].rpartition(b" ")[2].decode("ascii", "replace").strip('"')


def format_uid_set(uids: Iterable[int]) -> str:
    """Write UIDs as a sequence set, with ranges."""
    ranges: list[list[int]] = []
    for uid in sorted(uids):
        if ranges and uid == ranges[-1][1] + 1:
            ranges[-1][1] = uid
        else:
            ranges.append([uid, uid])
    return ",".join(str(low) if low == high else f"{low}:{high}" for low, high in ranges)


def parse_uid_set(text: str) -> list[int]:
    """
    Read a sequence set without `*` (RFC 3501 section 9), such as `1:3,7`.

    Raises:
        ValueError: It is none, or one of more messages than a server was asked for: a few digits can name millions.
    """
    uids: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition(":")
        low, high = sorted((int(first), int(last or first)))
        if len(uids) + high - low >= _MOST:
            raise ValueError(f"the server names more than {_MOST} messages")
        uids.extend(range(low, high + 1))
    return uids
