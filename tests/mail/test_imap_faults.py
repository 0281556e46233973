"""The IMAP mailbox over a network that drops, stalls and truncates, and with servers that go, come and refuse."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import servers_dovecot
from dmarcops.errors import MailError
from dmarcops.mail.imap import Adapter, Config
from dmarcops.ports import Handling, Message
from proxy import Proxy, proxied
from servers_dovecot import PASSWORD, Dovecot, running_dovecot

dovecot, user = servers_dovecot.dovecot, servers_dovecot.user

Make = Callable[..., Adapter]


def mail(number: int, size: int = 2000) -> bytes:
    return b"Message-ID: <%d@example.com>\r\nSubject: %d\r\n\r\n" % (number, number) + b"y" * size + b"\r\n"


@pytest.fixture
def proxy(dovecot: Dovecot) -> Iterator[Proxy]:
    """A proxy before the server."""
    with proxied(dovecot.imap) as running:
        yield running


@pytest.fixture
def make(user: str, tmp_path: Path) -> Iterator[Make]:
    """Makes mailboxes of the test's user at a port, and closes them."""
    made: list[Adapter] = []

    def build(port: int, **settings: Any) -> Adapter:  # noqa: ANN401 - as TOML gives it
        table = {"host": "127.0.0.1", "port": port, "tls": "none", "username": user, "password": PASSWORD}
        made.append(Adapter("rua", Config.model_validate(table | {"timeout": "5s"} | settings), tmp_path))
        return made[-1]

    yield build
    for adapter in made:
        adapter.close()


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time is lost between attempts."""
    monkeypatch.setattr("dmarcops.mail.imap._BACKOFF", (0.01, 0.1))


def handled(messages: Any) -> list[tuple[Message, Handling]]:  # noqa: ANN401 - a batch
    return [(message, Handling.ARCHIVE) for message in messages]


def taken_in(adapter: Adapter, checkpoint: str = "", tries: int = 1) -> dict[str, bytes]:
    """Read and settle all, again after a transient failure as the flow does; return what was read."""
    found: dict[str, bytes] = {}
    for number in range(tries):
        try:
            for batch in adapter.batches(checkpoint):
                for message in batch:
                    with message.open() as stream:
                        found[message.origin] = stream.read()
                checkpoint = adapter.settle(handled(batch))
        except MailError as error:
            assert error.transient, error  # noqa: PT017 - any other is a failure of the test
            if number == tries - 1:
                raise
        else:
            break
    return found


def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


# --- the network


def test_mailbox_goes_on_when_the_connection_is_cut_once(
    dovecot: Dovecot,
    user: str,
    make: Make,
    proxy: Proxy,
) -> None:
    mails = [mail(number) for number in range(40)]
    dovecot.append(user, *mails)
    adapter = make(proxy.port, archive="A", batch_messages=10)
    batches = adapter.batches("")
    adapter.settle(handled(next(batches)))
    proxy.cut()
    second = next(batches)
    proxy.cut()
    adapter.settle(handled(second))
    for batch in batches:
        adapter.settle(handled(batch))
    assert dovecot.mails(user, "A") == mails
    assert dovecot.mails(user) == []
    assert proxy.connections == 3


def test_mailbox_is_as_patient_as_before_when_it_was_closed(
    dovecot: Dovecot,
    user: str,
    make: Make,
    proxy: Proxy,
) -> None:
    mails = [mail(number) for number in range(20)]
    dovecot.append(user, *mails)
    adapter = make(proxy.port, archive="A", batch_messages=10)
    adapter.settle(handled(next(iter(adapter.batches("")))))
    adapter.close()
    rest = next(iter(adapter.batches("")))
    proxy.cut()
    adapter.settle(handled(rest))
    assert dovecot.mails(user, "A") == mails


@pytest.mark.parametrize("capability", ["", "imap_capability = IMAP4rev1 UIDPLUS\n", "imap_capability = IMAP4rev1\n"])
def test_every_mail_is_archived_once_when_answers_are_truncated_anywhere(
    user: str,
    make: Make,
    capability: str,
) -> None:
    chance = random.Random(7)
    with running_dovecot(capability) as server, proxied(server.imap) as proxy:
        mails = [mail(number) for number in range(30)]
        server.append(user, *mails)
        adapter = make(proxy.port, archive="A", batch_messages=7)
        proxy.cut_after(*(chance.randrange(700, 24_000) for _ in range(12)))
        found = taken_in(adapter, tries=20)
        assert sorted(found.values()) == sorted(mails)
        assert sorted(server.mails(user, "A")) == sorted(mails)
        deleted = [flags for flags in server.flags(user) if "\\Deleted" in flags]
        assert len(server.mails(user)) == len(deleted) == (30 if capability.endswith("IMAP4rev1\n") else 0)
        adapter.close()


@pytest.mark.parametrize("capability", ["", "imap_capability = IMAP4rev1 UIDPLUS\n"])
def test_mail_is_archived_once_when_the_answer_to_a_settling_is_lost(
    user: str,
    make: Make,
    capability: str,
) -> None:
    """The server has done it, and we do not know."""
    with running_dovecot(capability) as server, proxied(server.imap) as proxy:
        mails = [mail(number) for number in range(5)]
        server.append(user, *mails)
        adapter = make(proxy.port, archive="A", timeout="2s")
        [batch] = adapter.batches("")
        adapter.settle([])
        proxy.lose_answers_after(b"UID MOVE" if not capability else b"UID COPY")
        adapter.settle(handled(batch))
        assert proxy.connections == 2
        assert server.mails(user, "A") == mails
        assert server.mails(user) == []
        adapter.close()


def test_stalled_connection_is_given_up_in_time(
    dovecot: Dovecot,
    user: str,
    make: Make,
    proxy: Proxy,
) -> None:
    dovecot.append(user, mail(1))
    adapter = make(proxy.port, timeout="1s")
    batches = adapter.batches("")
    proxy.stall()
    with pytest.raises(MailError, match="timed out") as failed:
        next(batches)
    assert failed.value.transient
    proxy.go_on()
    assert len(taken_in(adapter)) == 1


def test_mailbox_fails_for_a_while_when_nobody_is_there(make: Make, proxy: Proxy) -> None:
    proxy.is_refusing = True
    with pytest.raises(MailError) as failed:
        list(make(proxy.port).batches(""))
    assert failed.value.transient
    assert proxy.connections == 3


def test_mailbox_goes_on_when_the_server_restarts(user: str, make: Make) -> None:
    with running_dovecot() as server:
        mails = [mail(number) for number in range(20)]
        server.append(user, *mails)
        adapter = make(server.imap, archive="A", batch_messages=5)
        batches = adapter.batches("")
        adapter.settle(handled(next(batches)))
        server.restart()
        second = next(batches)
        server.restart()
        adapter.settle(handled(second))
        for batch in batches:
            adapter.settle(handled(batch))
        assert server.mails(user, "A") == mails
        adapter.close()


def test_settle_refuses_when_the_folder_was_made_anew_while_the_connection_was_lost(
    dovecot: Dovecot,
    user: str,
    make: Make,
    proxy: Proxy,
) -> None:
    dovecot.append(user, mail(1), folder="Box")
    adapter = make(proxy.port, folder="Box", archive="A")
    [batch] = adapter.batches("")
    proxy.cut()
    with dovecot.client(user) as client:
        client.delete_folder("Box")
    dovecot.append(user, mail(2), folder="Box")
    with pytest.raises(MailError, match="made anew"):
        adapter.settle(handled(batch))
    assert dovecot.mails(user, "Box") == [mail(2)]
    assert list(taken_in(adapter).values()) == [mail(2)]


# --- what servers answer


@pytest.mark.parametrize(
    ("code", "transient", "hint"),
    [
        (b"[INUSE] held", True, "another program"),
        (b"[THROTTLED] slow", True, "ask less often"),
        (b"[UNAVAILABLE] db", True, "out of order"),
        (b"[LIMIT] rate", True, "a limit"),
        (b"[OVERQUOTA] full", True, "make room"),
        (b"[SERVERBUG] oops", True, "log"),
        (b"[NOPERM] no", False, "may not do this"),
        (b"Request is throttled", True, ""),
        (b"whatever", False, ""),
    ],
)
def test_refusal_of_the_server_says_whether_to_try_again(
    make: Make, proxy: Proxy, *, code: bytes, hint: str, transient: bool
) -> None:
    proxy.rewrites = [(b"OK Search completed", b"NO " + code)]
    with pytest.raises(MailError, match="cannot search the folder") as failed:
        list(make(proxy.port).batches(""))
    assert failed.value.transient == transient
    assert hint in failed.value.hint
    assert proxy.connections == 1  # the connection is good


def test_mail_that_another_program_moved_at_the_same_time_is_settled(
    dovecot: Dovecot, user: str, make: Make, proxy: Proxy
) -> None:
    dovecot.append(user, mail(1), mail(2))
    adapter = make(proxy.port, archive="A")
    [batch] = adapter.batches("")
    proxy.rewrites = [(b"OK Move completed", b"NO [EXPUNGEISSUED] gone")]
    adapter.settle(handled(batch))
    assert dovecot.mails(user, "A") == [mail(1), mail(2)]


def test_mail_stays_when_the_server_refuses_to_move_it(user: str, make: Make) -> None:
    acl = "mail_plugins = acl\nprotocol imap {\n  mail_plugins = acl imap_acl\n}\nplugin {\n  acl = vfile\n}\n"
    with running_dovecot(acl) as server:
        server.append(user, mail(1), folder="A")
        server.append(user, mail(2))
        adapter = make(server.imap, archive="A")
        [batch] = adapter.batches("")
        with server.client(user) as client:
            client.setacl("A", "owner", "lr")
        with pytest.raises(MailError, match="cannot move mail to A") as refused:
            adapter.settle(handled(batch))
        assert not refused.value.transient
        assert server.mails(user) == [mail(2)]
        adapter.close()


def test_greeting_of_a_busy_server_is_for_later(make: Make, proxy: Proxy) -> None:
    proxy.rewrites = [(b"* OK [CAPABILITY", b"* BYE [UNAVAILABLE] going down [CAPABILITY")]
    with pytest.raises(MailError, match="going down") as failed:
        list(make(proxy.port).batches(""))
    assert failed.value.transient


def test_answer_that_makes_no_sense_is_a_lost_connection(
    dovecot: Dovecot,
    user: str,
    make: Make,
    proxy: Proxy,
) -> None:
    dovecot.append(user, mail(1))
    proxy.rewrites = [(b"* ESEARCH", b"%$&")]
    with pytest.raises(MailError, match="unexpected response") as failed:
        list(make(proxy.port).batches(""))
    assert failed.value.transient
    proxy.rewrites = []
    assert len(taken_in(make(proxy.port))) == 1


def test_folder_that_may_only_be_read_is_told(user: str, make: Make) -> None:
    acl = "mail_plugins = acl\nprotocol imap {\n  mail_plugins = acl imap_acl\n}\nplugin {\n  acl = vfile\n}\n"
    with running_dovecot(acl) as server:
        server.append(user, mail(1), folder="Box")
        with server.client(user) as client:
            client.setacl("Box", "owner", "lr")
        with pytest.raises(MailError, match="not writable") as refused:
            list(make(server.imap, folder="Box").batches(""))
        assert "read_only = true" in refused.value.hint
        assert not refused.value.transient
        assert len(taken_in(make(server.imap, folder="Box", read_only=True))) == 1


# --- waiting


def test_wait_returns_at_once_before_anything_was_read(make: Make) -> None:
    assert make(1).wait(60)


def test_wait_is_woken_by_a_delivery(dovecot: Dovecot, user: str, make: Make) -> None:
    dovecot.append(user, mail(1))
    adapter = make(dovecot.imap, archive="A")
    taken_in(adapter)
    assert not adapter.wait(0.2)
    timer = threading.Timer(0.5, dovecot.deliver, (user, mail(2)))
    timer.start()
    assert adapter.wait(30)
    timer.join()
    assert len(taken_in(adapter)) == 1
    assert not adapter.wait(0.2)


def test_wait_loses_nothing_that_came_between(dovecot: Dovecot, user: str, make: Make) -> None:
    adapter = make(dovecot.imap, archive="A")
    dovecot.append(user)
    taken_in(adapter)
    dovecot.append(user, mail(1))
    assert adapter.wait(30)
    taken_in(adapter)
    assert not adapter.wait(0)  # IDLE begins
    dovecot.append(user, mail(2))
    assert adapter.wait(30)
    assert list(taken_in(adapter).values()) == [mail(2)]
    for number in range(8):  # at any moment
        timer = threading.Timer(number / 1000, dovecot.append, (user, mail(number)))
        timer.start()
        assert adapter.wait(30)
        timer.join()
        assert list(taken_in(adapter).values()) == [mail(number)]


def test_idle_is_kept_over_calls_and_renewed(dovecot: Dovecot, user: str, make: Make, proxy: Proxy) -> None:
    dovecot.append(user)
    adapter = make(proxy.port, archive="A", idle="1s")
    taken_in(adapter)
    seen = proxy.count(b" IDLE\r\n")
    for _ in range(5):
        assert not adapter.wait(0.01)
    assert proxy.count(b" IDLE\r\n") == seen + 1
    assert not adapter.wait(1.5)
    assert proxy.count(b" IDLE\r\n") == seen + 2
    dovecot.append(user, mail(1))
    assert adapter.wait(30)


def test_wait_connects_anew_when_the_connection_is_cut(
    dovecot: Dovecot,
    user: str,
    make: Make,
    proxy: Proxy,
) -> None:
    dovecot.append(user)
    adapter = make(proxy.port, archive="A")
    taken_in(adapter)
    assert not adapter.wait(0)
    proxy.cut()
    dovecot.append(user, mail(1))
    assert adapter.wait(30)
    assert len(taken_in(adapter)) == 1
    proxy.is_refusing = True
    proxy.cut()
    with pytest.raises(MailError) as failed:
        adapter.wait(30)
    assert failed.value.transient


def test_server_without_idle_is_asked_now_and_then(user: str, make: Make) -> None:
    with running_dovecot("imap_capability = IMAP4rev1 MOVE\n") as server:
        server.append(user)
        adapter = make(server.imap, archive="A", poll="1s")
        taken_in(adapter)
        assert not adapter.wait(0.1)
        server.append(user, mail(1))
        assert adapter.wait(30)
        assert len(taken_in(adapter)) == 1
        adapter.close()


def test_close_ends_a_wait(user: str, make: Make) -> None:
    with running_dovecot("imap_capability = IMAP4rev1 MOVE\n") as server:
        server.append(user)
        adapter = make(server.imap, poll="10m")
        taken_in(adapter)
        adapter.wait(0)
        adapter.close()
        assert not adapter.wait(0)


def test_keep_alive_speaks_only_after_a_while(
    dovecot: Dovecot,
    user: str,
    make: Make,
    proxy: Proxy,
    *,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dovecot.append(user, mail(1))
    adapter = make(proxy.port, archive="A")
    adapter.keep_alive()
    [batch] = adapter.batches("")
    adapter.keep_alive()
    assert proxy.count(b" NOOP\r\n") == 0
    monkeypatch.setattr("dmarcops.mail.imap._KEEP_ALIVE", 0.0)
    adapter.keep_alive()
    assert proxy.count(b" NOOP\r\n") == 1
    proxy.cut()
    adapter.keep_alive()  # fails, and nobody minds
    adapter.settle(handled(batch))
    assert dovecot.mails(user, "A") == [mail(1)]


def test_keep_alive_does_not_wait_for_another_command(dovecot: Dovecot, user: str, make: Make) -> None:
    dovecot.append(user)
    adapter = make(dovecot.imap, archive="A")
    taken_in(adapter)
    waiting = threading.Thread(target=adapter.wait, args=(3,))
    waiting.start()
    for _ in range(50):
        adapter.keep_alive()
    assert waiting.is_alive()
    waiting.join()


def test_reconnects_leak_no_descriptor(dovecot: Dovecot, user: str, make: Make, proxy: Proxy) -> None:
    dovecot.append(user)
    adapter = make(proxy.port, archive="A")
    counts = []
    for number in range(30):
        taken_in(adapter, tries=3)
        adapter.wait(0)
        if number % 2:
            proxy.cut()
        counts.append(len(list(Path("/proc/self/fd").iterdir())))
    assert max(counts[20:]) <= max(counts[:10])
    assert proxy.connections >= 15


def test_mail_can_be_loaded_while_other_mail_is_settled(dovecot: Dovecot, user: str, make: Make) -> None:
    mails = [mail(number) for number in range(60)]
    dovecot.append(user, *mails)
    adapter = make(dovecot.imap, archive="A", batch_messages=5)
    batches = adapter.batches("")
    ready = next(batches, None)
    while ready is not None:
        loaded: list[Any] = []
        loading = threading.Thread(target=lambda into=loaded: into.append(next(batches, None)))
        loading.start()
        adapter.settle(handled(ready))
        loading.join()
        [ready] = loaded
    assert dovecot.mails(user, "A") == mails
    assert dovecot.mails(user) == []
