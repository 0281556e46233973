"""
A POP3 mailbox (RFC 1939): implicit TLS, STLS (RFC 2595), or plaintext on loopback only.

What was handled is known by its unique-id, in the checkpoint; the checkpoint holds no id that the server does not list
any more. Mail is deleted only when the configuration says so, and then at QUIT, as POP3 has it. Size is asked before a
message is fetched. Certificates are always checked: by the authorities of the system, by a CA file, or by fingerprint.
"""

import hmac
import json
import poplib
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from threading import RLock
from typing import BinaryIO, Literal, Self
from urllib.parse import quote

from pydantic import SecretStr, model_validator

from dmarcops.errors import MailError
from dmarcops.mail.spool import Batch, Bounds, Spool, Withheld, bad, good, printable, too_big
from dmarcops.mail.tls_port import PORT_OF_IMPLICIT, PORT_OF_STARTTLS, is_no_tls
from dmarcops.ports import Finding, Handling, Message
from dmarcops.settings import Duration

_LINE = 64 * 1024
_PORTS = {"implicit": 995, "starttls": 110, "none": 110}
_TRANSIENT = ("[IN-USE]", "[LOGIN-DELAY]", "[SYS/TEMP]", "-ERR EOF")
"""What time can mend: response codes of RFC 2449 section 8 and RFC 3206, and poplib's word for a lost connection."""


class Config(Bounds):
    """`kind = "pop3"`."""

    host: str
    """The server's name, as its certificate has it."""
    port: int = 0
    """Its port; absent: 995 for implicit TLS, else 110."""
    tls: Literal["implicit", "starttls", "none"] = "implicit"
    """How the session is encrypted; `none` is for loopback only."""
    ca_file: Path | None = None
    """Certificates of the authorities to trust instead of the system's."""
    fingerprint: str | None = None
    """SHA-256 of the server's certificate in hexadecimal digits: this one and no other, whoever signed it."""
    username: str
    """Who logs in."""
    password: SecretStr
    """The password."""
    delete: bool = False
    """Delete handled mail from the server; otherwise it stays there."""
    timeout: Duration = timedelta(seconds=60)
    """How long an answer may take."""

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if self.tls == "none" and not _is_loopback(self.host):
            raise ValueError('tls = "none" is for loopback only; use "implicit" or "starttls"')
        if self.fingerprint is not None and len(_digits(self.fingerprint)) != sha256().digest_size * 2:
            raise ValueError("a fingerprint is the SHA-256 of a certificate: 64 hexadecimal digits")
        return self


class Adapter:
    """
    The messages of one POP3 maildrop.

    Args:
        name: Its name in the configuration.
        config: What was configured.
        folder: Where fetched messages go (0700).
        sleep: How it waits.
    """

    def __init__(self, name: str, config: Config, folder: Path, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._name = name
        self._config = config
        self._spool = Spool(folder)
        self._sleep = sleep
        # A batch may be fetched in one thread and another be settled in a second one, over one session.
        self._lock = RLock()
        self._session: poplib.POP3 | None = None
        self._numbers: dict[str, list[int]] = {}
        self._given: dict[str, str] = {}
        self._seen: set[str] = set()

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self._name

    def batches(self, checkpoint: str) -> Iterator[Sequence[Message]]:
        """Give the messages that the checkpoint does not know."""
        with self._lock:
            self._seen = set(json.loads(checkpoint or "[]"))
            # Mail is listed at the login: an old session does not see what is new.
            self._quit()
            with self._connected() as session:
                self._seen &= self._numbers.keys()
                sizes = _sizes(session)
                todo = [
                    (uid, max(sizes.get(number, 0) for number in numbers))
                    for uid, numbers in self._numbers.items()
                    if uid not in self._seen and self._origin(uid) not in self._given
                ]
                if self._config.delete:
                    # Handled in an earlier session whose QUIT did not get through.
                    for uid in self._seen:
                        self._delete(session, uid)
        batch: Batch[Message] = Batch(self._config)
        for uid, size in todo:
            message = self._fetched(uid, size)
            if message is None:
                continue
            self._given[message.origin] = uid
            batch.add(message, 0 if isinstance(message, Withheld) else size)
            if batch.is_full:
                yield batch.messages
                batch = Batch(self._config)
        if batch.messages:
            yield batch.messages

    def settle(self, handled: Sequence[tuple[Message, Handling]]) -> str:
        """Remember handled messages, and mark them to be deleted at the end of the session if that is wanted."""
        uids = {self._given[message.origin]: handling for message, handling in handled if message.origin in self._given}
        done = [uid for uid, handling in uids.items() if handling is not Handling.LEAVE]
        with self._lock:
            if self._config.delete and done:
                with self._connected() as session:
                    for uid in done:
                        self._delete(session, uid)
            self._seen.update(done)
            for message, _ in handled:
                self._given.pop(message.origin, None)
                self._spool.forget(message.origin)
            return json.dumps(sorted(self._seen), separators=(",", ":"))

    def keep_alive(self) -> None:
        """Say NOOP, so that the session lasts; one that broke is begun anew when it is needed."""
        with self._lock:
            if self._session is not None:
                with suppress(MailError), self._connected() as session:
                    session.noop()

    def wait(self, seconds: float) -> bool:
        """Leave the server and wait, since it shows new mail at the next login only."""
        with self._lock:
            self._quit()
        self._sleep(seconds)
        return False

    def close(self) -> None:
        """Leave the server, which then deletes what is marked."""
        with self._lock:
            self._quit()
            self._given.clear()
            self._spool.clear()

    def check(self) -> Sequence[Finding]:
        """See that the login works and the server gives its messages unique-ids."""
        where = f"{self._config.username} at {self._config.host}"
        try:
            with self._lock, self._connected() as session:
                count, size = session.stat()
        except MailError as error:
            return bad(str(error), error.hint)
        finally:
            self.close()
        return good(f"{where}: {count} messages, {size} octets")

    def _origin(self, uid: str) -> str:
        user = quote(self._config.username, safe="")
        return f"pop3://{user}@{self._config.host}:{self._port}/{uid}"

    @property
    def _port(self) -> int:
        return self._config.port or _PORTS[self._config.tls]

    @contextmanager
    def _connected(self) -> Iterator[poplib.POP3]:
        """Give the session, and make what fails in it ours; after a failure the next one is a new one."""
        try:
            if self._session is None:
                self._session = self._opened()
                self._session.user(self._config.username)
                self._session.pass_(self._config.password.get_secret_value())
                self._numbers = _numbers(self._session)
            yield self._session
        except (OSError, EOFError, poplib.error_proto, UnicodeError) as error:
            self._drop()
            raise self._failure(error) from error

    def _greeted(self) -> poplib.POP3:
        """Connect, by TLS when that comes first, and hear the greeting."""
        host, timeout = self._config.host, self._config.timeout.total_seconds()
        is_implicit = self._config.tls == "implicit"
        try:
            if is_implicit:
                return poplib.POP3_SSL(host, self._port, timeout=timeout, context=self._context())
            return poplib.POP3(host, self._port, timeout=timeout)
        except OSError as error:
            told = self._failure(error)
            if is_no_tls(error):
                raise MailError(str(told), hint=PORT_OF_STARTTLS) from error
            if isinstance(error, TimeoutError) and not is_implicit:
                raise MailError(str(told), transient=True, hint=PORT_OF_IMPLICIT) from error
            raise

    def _opened(self) -> poplib.POP3:
        session = self._greeted()
        try:
            if self._config.tls == "starttls":
                session.stls(self._context())
            self._check_fingerprint(session.sock)
        except BaseException:
            with suppress(OSError):
                session.close()
            raise
        return session

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._config.ca_file)
        if self._config.fingerprint is not None:
            # The certificate itself is compared, before anything secret is said.
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _check_fingerprint(self, sock: socket.socket) -> None:
        if self._config.fingerprint is None or not isinstance(sock, ssl.SSLSocket):
            return
        found = sha256(sock.getpeercert(binary_form=True) or b"").hexdigest()
        if not hmac.compare_digest(found, _digits(self._config.fingerprint)):
            raise ssl.SSLCertVerificationError(f"the certificate's fingerprint is {found}")

    def _failure(self, error: Exception) -> MailError:
        text = printable(error.args[0]) if error.args and isinstance(error.args[0], bytes) else str(error)
        what = f"{self._name}: {self._config.host}:{self._port}: {text or type(error).__name__}"
        if isinstance(error, ssl.SSLCertVerificationError):
            return MailError(what, hint="set ca_file, or the fingerprint after you compared it with the server's")
        if isinstance(error, FileNotFoundError):
            return MailError(what, hint="look at ca_file")
        if isinstance(error, poplib.error_proto):
            transient = any(code in text.upper() for code in _TRANSIENT)
            hint = "" if transient or self._numbers else "look at username and password"
            return MailError(what, transient=transient, hint=hint)
        return MailError(what, transient=True)

    def _fetched(self, uid: str, size: int) -> Message | None:
        """Fetch a message; `None` when somebody else deleted it."""
        origin = self._origin(uid)
        if size > self._config.max_message_bytes:
            return too_big(origin, size, self._config.max_message_bytes)
        with self._lock, self._connected() as session:
            if uid not in self._numbers:
                return None
            session.sock.sendall(b"RETR %d\r\n" % self._numbers[uid][0])
            answer = session.file.readline(_LINE)
            if answer.startswith(b"-ERR"):
                return Withheld(origin, "unreadable", printable(answer.strip()), "retry")
            message = self._spool.write(origin, _octets(answer, session.file), self._config.max_message_bytes)
            if isinstance(message, Withheld):
                # The server said less than it sends: its end is not waited for.
                self._drop()
        return message

    def _delete(self, session: poplib.POP3, uid: str) -> None:
        """Mark a message as deleted; one that is marked or gone already is no matter."""
        for number in self._numbers.pop(uid, ()):
            session.dele(number)

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with suppress(OSError):
                session.close()

    def _quit(self) -> None:
        if self._session is not None:
            with suppress(OSError, EOFError, poplib.error_proto):
                self._session.quit()
        self._drop()


def _numbers(session: poplib.POP3) -> dict[str, list[int]]:
    """Ask for the unique-ids; messages with the same octets may have the same one (RFC 1939 section 7)."""
    numbers: dict[str, list[int]] = {}
    for line in session.uidl()[1]:
        number, _, uid = line.partition(b" ")
        if number.isdigit() and uid.strip():
            numbers.setdefault(printable(uid.strip()), []).append(int(number))
    return numbers


def _sizes(session: poplib.POP3) -> dict[int, int]:
    """Ask for the sizes by number."""
    lines = (line.split() for line in session.list()[1])
    return {
        int(words[0]): int(words[1]) for words in lines if len(words) > 1 and words[0].isdigit() and words[1].isdigit()
    }


def _octets(answer: bytes, file: BinaryIO) -> Iterator[bytes]:
    """Give the octets of a message as they come in, with lines of any length, unlike poplib's `retr`."""
    if not answer.startswith(b"+OK"):
        raise EOFError("the connection was closed")
    is_line_start = True
    while line := file.readline(_LINE):
        if is_line_start and line.startswith(b"."):
            if line in (b".\r\n", b".\n"):
                return
            line = line[1:]
        is_line_start = line.endswith(b"\n")
        yield line
    raise EOFError("the connection was closed within a message")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _digits(fingerprint: str) -> str:
    return fingerprint.replace(":", "").lower()
