"""The IMAP mailbox against pymap, a server without ESEARCH, NAMESPACE and keywords."""

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from imapclient import IMAPClient  # type: ignore[import-untyped]

from conftest import free_port
from dmarcops.errors import MailError
from dmarcops.mail.imap import Adapter, Config
from dmarcops.ports import Handling, Message
from proxy import proxied
from servers_dovecot import certificates, wait_until_listening

_PASSWORD = "demo"  # noqa: S105 - of a server that is gone after the test


class Pymap:
    """A running server with one user."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port = port
        self.folder = folder

    def config(self, **settings: Any) -> Config:  # noqa: ANN401 - as TOML gives it
        table = {"host": "127.0.0.1", "port": self.port, "username": "demo", "password": _PASSWORD, "timeout": "10s"}
        tls = {"tls": "starttls", "ca_file": self.folder / "ca.pem"}
        return Config.model_validate(table | tls | settings)

    @contextmanager
    def client(self) -> Iterator[IMAPClient]:
        client = IMAPClient("127.0.0.1", self.port, ssl=False, timeout=10)
        try:
            client.plain_login("demo", _PASSWORD)
            yield client
        finally:
            client.shutdown()

    def append(self, *mails: bytes) -> None:
        with self.client() as client:
            for mail in mails:
                client.append("INBOX", mail)

    def mails(self, folder: str = "INBOX") -> list[bytes]:
        with self.client() as client:
            client.select_folder(folder, readonly=True)
            uids = client.search("ALL")
            answer = client.fetch(uids, ["BODY.PEEK[]"])
            return [answer[uid][b"BODY[]"] for uid in uids]


@pytest.fixture
def pymap(tmp_path: Path) -> Iterator[Pymap]:
    """A fresh server."""
    certificates(tmp_path)
    port = free_port()
    words = [str(Path(sys.executable).parent / "pymap"), "--host", "127.0.0.1", "--port", str(port)]
    words += ["--cert", str(tmp_path / "server.pem"), "--key", str(tmp_path / "server.key")]
    words += ["--no-service", "admin", "--no-service", "managesieve"]
    words += ["dict", "--demo-user", "demo", "--demo-password", _PASSWORD]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
        try:
            wait_until_listening(port)
            yield Pymap(port, tmp_path)
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    path = tmp_path / "spool"
    path.mkdir()
    return path


def mail(number: int, size: int = 0) -> bytes:
    head = b"Message-ID: <%d@example.com>\r\nSubject: %d\r\n\r\n" % (number, number)
    return head + b"x\r\n" + (b"y" * 76 + b"\r\n") * (size // 78)


def handled(messages: Sequence[Message]) -> list[tuple[Message, Handling]]:
    return [(message, Handling.ARCHIVE) for message in messages]


def octets(messages: Sequence[Message]) -> list[bytes]:
    found = []
    for message in messages:
        with message.open() as stream:
            found.append(stream.read())
    return found


def test_mail_is_moved(pymap: Pymap, spool: Path) -> None:
    mails = [mail(number) for number in range(7)]
    pymap.append(*mails)
    adapter = Adapter("rua", pymap.config(archive="DMARC/Ärchiv", batch_messages=3), spool)
    found: list[bytes] = []
    for batch in adapter.batches(""):
        found += octets(batch)
        adapter.settle(handled(batch))
        adapter.settle(handled(batch))
    assert found == mails
    assert pymap.mails("DMARC/Ärchiv") == mails
    assert pymap.mails() == []
    adapter.close()


def test_large_mail_is_loaded_in_pieces(pymap: Pymap, spool: Path) -> None:
    large = mail(1, 5 << 20)
    pymap.append(large)
    adapter = Adapter("rua", pymap.config(), spool)
    [batch] = adapter.batches("")
    assert octets(batch) == [large]
    adapter.close()
    assert list(spool.iterdir()) == []


def test_mail_is_marked_as_seen_where_there_are_no_keywords(pymap: Pymap, spool: Path) -> None:
    pymap.append(mail(1), mail(2))
    adapter = Adapter("rua", pymap.config(), spool)
    [batch] = adapter.batches("")
    checkpoint = adapter.settle(handled(batch))
    with pymap.client() as client:
        client.select_folder("INBOX", readonly=True)
        assert all(b"\\Seen" in flags for flags in client.get_flags(client.search("ALL")).values())
    assert list(adapter.batches(checkpoint)) == []
    pymap.append(mail(3))
    [batch] = adapter.batches(checkpoint)
    assert octets(batch) == [mail(3)]
    assert any("marked as seen" in finding.text for finding in adapter.check())
    adapter.close()


def test_wait_is_woken(pymap: Pymap, spool: Path) -> None:
    pymap.append(mail(1))
    adapter = Adapter("rua", pymap.config(archive="A"), spool)
    [batch] = adapter.batches("")
    adapter.settle(handled(batch))
    assert not adapter.wait(0.1)
    timer = threading.Timer(0.3, pymap.append, (mail(2),))
    timer.start()
    assert adapter.wait(30)
    timer.join()
    [batch] = adapter.batches("")
    assert octets(batch) == [mail(2)]
    adapter.close()


def test_wrong_password_and_missing_folder_are_told(pymap: Pymap, spool: Path) -> None:
    with pytest.raises(MailError, match="cannot log in as demo") as failed:
        list(Adapter("rua", pymap.config(password="wrong"), spool).batches(""))  # noqa: S106 - made up
    assert not failed.value.transient
    with pytest.raises(MailError, match="there is no folder inbix") as failed:
        list(Adapter("rua", pymap.config(folder="inbix"), spool).batches(""))
    assert failed.value.hint == "did you mean INBOX?"


def test_every_mail_is_archived_once_without_move_and_keywords(pymap: Pymap, spool: Path) -> None:
    """Each message is looked for in the archive before it is copied."""
    mails = [mail(number) for number in range(6)]
    pymap.append(*mails)
    with proxied(pymap.port) as proxy:
        proxy.rewrites = [(b" MOVE", b" NONE")]
        adapter = Adapter("rua", pymap.config(port=proxy.port, tls="none", ca_file=None, archive="A"), spool)
        [batch] = adapter.batches("")
        adapter.settle(handled(batch[:3]))
        proxy.lose_answers_after(b"UID COPY")
        adapter.settle(handled(batch))
        adapter.close()
    assert sorted(pymap.mails("A")) == mails
    assert pymap.mails() == []
