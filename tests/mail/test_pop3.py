"""Against Dovecot's POP3 server, and against a few lines of TCP for what Dovecot would never say."""

import gc
import json
import pickle
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from itertools import count
from pathlib import Path

import pytest
from pydantic import ValidationError

from dmarcops.errors import BadInput, MailError
from dmarcops.flows.poll import Watch
from dmarcops.mail.pop3 import Adapter, Config
from dmarcops.ports import Handling, Message
from dmarcops.store.engine import Store
from flows_ingest import ingest
from servers_pop3 import PASSWORD, Pop3, pop3  # noqa: F401 - fixtures

_users = count(1)


class Box:
    """A maildrop of its own, and adapters for it."""

    def __init__(self, server: Pop3, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.user = f"user{next(_users)}"
        self.made: list[Adapter] = []

    def __call__(self, **keys: object) -> Adapter:
        given = {"host": "127.0.0.1", "port": self.server.port, "tls": "none", "username": self.user}
        config = Config.model_validate(given | {"password": PASSWORD, "timeout": "10s"} | keys)
        self.made.append(Adapter("pop", config, self.folder / f"spool{len(self.made)}", sleep=lambda _: None))
        return self.made[-1]

    def deliver(self, name: str, octets: bytes = b"Subject: x\r\n\r\nx\r\n") -> None:
        self.server.deliver(self.user, name, octets)

    @property
    def names(self) -> list[str]:
        return self.server.names(self.user)


@pytest.fixture
def box(pop3: Pop3, tmp_path: Path) -> Iterator[Box]:  # noqa: F811 - pytest's way
    made = Box(pop3, tmp_path)
    yield made
    for source in made.made:
        source.close()
    assert list(tmp_path.rglob("*.mail")) == []


def content(message: Message) -> bytes:
    with message.open() as stream:
        return stream.read()


def run(source: Adapter, checkpoint: str = "", handling: Handling = Handling.ARCHIVE) -> tuple[list[str], str]:
    origins = []
    for batch in source.batches(checkpoint):
        origins += [message.origin for message in batch]
        checkpoint = source.settle([(message, handling) for message in batch])
    source.close()
    return origins, checkpoint


def test_batches_give_messages_as_they_are(box: Box) -> None:
    mails = [
        b"Subject: dots\r\n\r\n.\r\n..\r\n.a\r\n",
        b"Subject: long\r\n\r\n" + b"x" * 200_000 + b"\r\n",
        b"\r\nNUL \0 \xff\r\n",
    ]
    for number, octets in enumerate(mails):
        box.deliver(f"{number}.host", octets)
    source = box()
    [batch] = source.batches("")
    messages = pickle.loads(pickle.dumps(batch))  # noqa: S301 - as they go to a worker process
    assert [content(message).replace(b"\x80", b"\0") for message in messages] == mails
    assert messages[0].origin.startswith(f"pop3://{box.user}@127.0.0.1:{box.server.port}/")
    assert source.settle([(message, Handling.ARCHIVE) for message in batch])
    assert len(box.names) == 3


def test_checkpoint_knows_what_was_settled_and_no_more_than_the_server_has(box: Box) -> None:
    box.deliver("1.host")
    box.deliver("2.host")
    origins, checkpoint = run(box())
    assert len(origins) == 2
    assert run(box(), checkpoint) == ([], checkpoint)
    box.deliver("3.host")
    next((box.server.maildir(box.user) / "cur").glob("1.host*")).unlink()
    source = box()
    origins, checkpoint = run(source, checkpoint)
    assert len(origins) == 1
    assert len(json.loads(checkpoint)) == 2


def test_messages_come_again_when_killed_before_settle(box: Box) -> None:
    for number in range(5):
        box.deliver(f"{number}.host")
    killed = box(batch_messages=2, delete=True)
    first = next(iter(killed.batches("")))
    killed.close()
    origins, _ = run(box(delete=True))
    assert len(origins) == 5
    assert {message.origin for message in first} < set(origins)


def test_settled_mail_is_deleted_at_the_end_of_the_session_when_that_is_wanted(box: Box) -> None:
    for number in range(3):
        box.deliver(f"{number}.host")
    source = box(delete=True)
    [batch] = source.batches("")
    handled = [(batch[0], Handling.ARCHIVE), (batch[1], Handling.INVALID), (batch[2], Handling.LEAVE)]
    checkpoint = source.settle(handled)
    assert source.settle(handled) == checkpoint
    assert len(box.names) == 3
    source.close()
    assert len(box.names) == 1
    assert len(run(box(delete=True), checkpoint)[0]) == 1


def test_deletion_that_was_lost_is_made_up_for(box: Box) -> None:
    box.deliver("1.host")
    _, checkpoint = run(box())
    source = box(delete=True)
    assert run(source, checkpoint)[0] == []
    assert box.names == []


def test_second_session_takes_up_what_the_first_left(box: Box) -> None:
    for number in range(4):
        box.deliver(f"{number}.host")
    source = box(batch_messages=2, delete=True)
    for batch in source.batches(""):
        source.settle([(message, Handling.ARCHIVE) for message in batch])
        source.wait(1)
    assert box.names == []


def test_mail_that_comes_while_reading_is_met_next_time(box: Box) -> None:
    for number in range(4):
        box.deliver(f"{number}.host")
    source = box(batch_messages=2)
    checkpoint = ""
    for batch in source.batches(""):
        box.deliver(f"new{len(box.names)}.host")
        checkpoint = source.settle([(message, Handling.ARCHIVE) for message in batch])
    assert source.wait(60) is False
    assert len(run(source, checkpoint)[0]) == 2


def test_watch_logs_in_as_often_as_its_user_wants(box: Box, store: Store, tmp_path: Path) -> None:
    signs, stop = count(1), threading.Event()

    def beat() -> None:
        if next(signs) == 50:
            stop.set()

    with ingest(store, tmp_path) as flow:
        Watch(source=box(), ingest=flow, poll_every=timedelta(minutes=5), stop=stop, tell=print, beat=beat).run()
    assert (box.server.folder / "log").read_text().count(f"Login: user=<{box.user}>") == 1


def test_messages_are_bounded_when_there_are_many(box: Box) -> None:
    top = box.server.maildir(box.user)
    for number in range(1_000):
        (top / "cur" / f"{number}.host:2,").write_bytes(b"Subject: x\r\n\r\nx\r\n")
    source = box()
    sizes = [len(batch) for batch in source.batches("")]
    assert sizes == [200] * 5


def test_messages_are_bounded_by_octets(box: Box) -> None:
    for number in range(4):
        box.deliver(f"{number}.host", b"\r\n" + b"x" * 600 + b"\r\n")
    assert [len(batch) for batch in box(batch_bytes=1000).batches("")] == [2, 2]


def test_message_over_the_limit_is_not_fetched(box: Box) -> None:
    box.deliver("big.host", b"\r\n" + b"x" * 600 + b"\r\n")
    source = box(max_message_bytes=500)
    [[message]] = source.batches("")
    with pytest.raises(BadInput, match="more than the 500") as caught:
        message.open()
    assert caught.value.code == "mail-too-big"
    assert len(json.loads(source.settle([(message, Handling.INVALID)]))) == 1


def test_session_is_begun_anew_when_it_broke(box: Box) -> None:
    for number in range(3):
        box.deliver(f"{number}.host")
    source = box(batch_messages=1)
    batches = iter(source.batches(""))
    next(batches)
    source.keep_alive()
    session = source._session  # noqa: SLF001 - the connection is cut behind its back
    assert session is not None
    session.sock.shutdown(socket.SHUT_RDWR)
    source.keep_alive()
    assert len(list(batches)) == 2


def test_wrong_password_is_not_transient_and_not_told(box: Box) -> None:
    wrong: dict[str, object] = {"password": "wrong secret"}
    source = box(**wrong)
    with pytest.raises(MailError, match="AUTH") as caught:
        run(source)
    assert not caught.value.transient
    assert "wrong secret" not in f"{caught.value} {caught.value.hint} {source.check()}"
    assert "password" in caught.value.hint


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
@pytest.mark.parametrize("trust", ["ca_file", "fingerprint"])
def test_tls_trusts_a_ca_file_or_a_fingerprint(box: Box, tls: str, trust: str) -> None:
    box.deliver("1.host")
    pem = box.server.certificate.read_text()
    digest = sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    port = box.server.tls_port if tls == "implicit" else box.server.port
    keys = {"tls": tls, "port": port}
    keys |= {trust: box.server.certificate if trust == "ca_file" else digest.upper()}
    assert len(run(box(**keys))[0]) == 1
    assert [line.kind for line in box(**keys).check()] == ["ok"]
    for wrong in ({"tls": tls, "port": port}, {"tls": tls, "port": port, "fingerprint": "00" * 32}):
        with pytest.raises(MailError, match="certificate") as caught:
            run(box(**wrong))
        assert not caught.value.transient
        assert caught.value.hint


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # of poplib, when no greeting comes
def test_port_of_the_other_kind_of_tls_is_told(box: Box) -> None:
    for tls, port, other in (("implicit", "port", "starttls"), ("starttls", "tls_port", "implicit")):
        with pytest.raises(MailError) as told:
            run(box(tls=tls, port=getattr(box.server, port), timeout="1s"))
        assert f'tls = "{other}"' in told.value.hint
        del told
        gc.collect()


def test_configuration_refuses_plaintext_over_a_network_and_nonsense() -> None:
    given = {"host": "pop.example.com", "username": "u", "password": "p"}
    with pytest.raises(ValidationError, match="loopback"):
        Config.model_validate(given | {"tls": "none"})
    with pytest.raises(ValidationError, match="fingerprint"):
        Config.model_validate(given | {"fingerprint": "ab:cd"})
    assert Config.model_validate(given | {"host": "localhost", "tls": "none"}).tls == "none"


class Scripted:
    """A server that says what it was told, a line for each line it gets; it is not Dovecot's way."""

    def __init__(self, *answers: bytes) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._answers = answers
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with self._listener.accept()[0] as connection, connection.makefile("rwb", buffering=0) as file:
            for answer in self._answers:
                file.write(answer)
                if not file.readline():
                    return

    def close(self) -> None:
        self._listener.close()
        self._thread.join()


OK = b"+OK\r\n"
ONE = (OK, OK, OK, b"+OK\r\n1 uid\r\nnonsense\r\n2 \r\n.\r\n", b"+OK\r\n1 5\r\nx\r\n.\r\n")


def scripted(tmp_path: Path, *answers: bytes, **keys: object) -> tuple[Scripted, Adapter]:
    server = Scripted(*answers)
    given = {"host": "127.0.0.1", "port": server.port, "tls": "none", "username": "a@b", "password": "p"}
    return server, Adapter("pop", Config.model_validate(given | {"timeout": "5s"} | keys), tmp_path)


def test_server_that_sends_more_than_it_said_is_cut_off(tmp_path: Path) -> None:
    server, source = scripted(tmp_path, *ONE, b"+OK\r\n" + b"x" * 2000 + b"\r\n.\r\n", max_message_bytes=1000)
    [[message]] = source.batches("")
    assert message.origin.endswith(f"a%40b@127.0.0.1:{server.port}/uid")
    with pytest.raises(BadInput, match="more than the 1000"):
        message.open()
    source.close()
    server.close()


def test_message_that_the_server_cannot_give_is_left(tmp_path: Path) -> None:
    server, source = scripted(tmp_path, *ONE, b"-ERR [SYS/PERM] corrupt\r\n", OK)
    [[message]] = source.batches("")
    with pytest.raises(BadInput, match="corrupt") as caught:
        message.open()
    assert caught.value.outcome == "retry"
    source.close()
    server.close()


@pytest.mark.parametrize("last", [b"", b"+OK\r\nSubject: x\r\n"])
def test_connection_that_ends_within_a_message_is_transient(tmp_path: Path, last: bytes) -> None:
    server, source = scripted(tmp_path, *ONE, last)
    threading.Timer(0.2, server._listener.close).start()  # noqa: SLF001 - no more connections
    with pytest.raises(MailError) as caught:
        list(source.batches(""))
    assert caught.value.transient
    source.close()
    server.close()


@pytest.mark.parametrize("code", ["IN-USE", "LOGIN-DELAY", "SYS/TEMP", "AUTH"])
def test_login_that_may_work_later_is_transient(tmp_path: Path, code: str) -> None:
    server, source = scripted(tmp_path, OK, OK, f"-ERR [{code}] no\r\n".encode())
    with pytest.raises(MailError, match="no") as caught:
        list(source.batches(""))
    assert caught.value.transient is (code != "AUTH")
    server.close()


def test_server_without_unique_ids_is_no_source(tmp_path: Path) -> None:
    server, source = scripted(tmp_path, OK, OK, OK, b"-ERR unknown command\r\n")
    line = source.check()[0]
    assert line.kind == "problem"
    assert "unknown command" in line.text
    server.close()
