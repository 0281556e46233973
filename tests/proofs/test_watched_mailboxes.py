"""`ingest --watch` with a real server: mail is taken in as it comes, through whatever happens meanwhile."""

import random
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

import servers_dovecot
from pollers import IS_FULL, Poller, assert_once, imap, ledger_size, report_mail, until
from proxy import proxied
from servers_dovecot import Dovecot, running_dovecot

dovecot, user = servers_dovecot.dovecot, servers_dovecot.user

RECONNECTS = 300 if IS_FULL else 20
_PAGES = 4096


class Manager:
    """The socket of a service manager, and what it was told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.told: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    def heard(self, word: str) -> bool:
        """Tell whether it was told so."""
        while True:
            try:
                self.told += self._socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return word in self.told

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """A service manager that listens."""
    listening = Manager(tmp_path / "notify")
    yield listening
    listening.close()


def sqlite(folder: Path) -> str:
    return f"sqlite:///{folder}/store.db"


def memory(pid: int) -> tuple[int, int]:
    """Return the resident octets and the number of open files of a process."""
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGES
    return resident, len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_mail_is_in_the_store_soon_after_it_was_delivered(
    dovecot: Dovecot, user: str, store_url: str, tmp_path: Path
) -> None:
    poller = Poller(tmp_path, store_url, {"rua": imap(dovecot, user)})
    with poller.watching():
        for number in range(1, 4):
            dovecot.deliver(user, report_mail(number))
            until(lambda: ledger_size(store_url) == number, "it is in the store")  # noqa: B023 - now
            until(lambda: dovecot.mails(user) == [], "it is archived")
    assert len(dovecot.mails(user, "DMARC.Archive")) == 3
    assert (poller.leftovers(), poller.spool()) == ([], [])


def test_what_is_in_hand_is_finished_when_the_watch_is_terminated(
    dovecot: Dovecot, user: str, tmp_path: Path, manager: Manager
) -> None:
    mails = [report_mail(number) for number in range(400)]
    url, environment = sqlite(tmp_path), {"NOTIFY_SOCKET": str(manager.path)}
    poller = Poller(tmp_path, url, {"rua": imap(dovecot, user, batch_messages=10)}, environment)
    with poller.watching():
        dovecot.flood(user, iter(mails))
        until(lambda: ledger_size(url) > 0, "it has begun")
    done = ledger_size(url)
    assert manager.heard("STOPPING=1")
    assert manager.heard("READY=1")
    archived, left = dovecot.mails(user, "DMARC.Archive"), dovecot.mails(user)
    assert (len(archived), len(left)) == (done, len(mails) - done)
    poller.run()
    assert_once(dovecot, user, mails)


def test_configuration_is_read_anew_and_refused_when_it_is_none(
    dovecot: Dovecot, user: str, tmp_path: Path, manager: Manager
) -> None:
    url, other = sqlite(tmp_path), f"{user}other"
    poller = Poller(tmp_path, url, {"rua": imap(dovecot, user)}, {"NOTIFY_SOCKET": str(manager.path)})
    with poller.watching() as process:
        until(lambda: manager.heard("READY=1"), "it is ready")
        until(lambda: manager.heard("WATCHDOG=1"), "it lives")
        good = poller.configuration.read_text()
        for text in (good.replace("username", "usrname"), good.replace('"imap"', '"imapp"'), "[[", "[mailboxes]"):
            said = poller.log.count("was not read anew")
            poller.configuration.write_text(text)
            process.send_signal(signal.SIGHUP)
            until(lambda: poller.log.count("was not read anew") > said, "it refuses")  # noqa: B023 - now
        dovecot.deliver(user, report_mail(1))
        until(lambda: ledger_size(url) == 1, "it goes on as before")
        assert not manager.heard("RELOADING=1")
        poller.mailboxes["other"] = imap(dovecot, other)
        poller.configure()
        manager.told.clear()
        process.send_signal(signal.SIGHUP)
        until(lambda: manager.heard("RELOADING=1") and manager.heard("READY=1"), "it is ready again")
        dovecot.deliver(other, report_mail(2))
        dovecot.deliver(user, report_mail(3))
        until(lambda: ledger_size(url) == 3, "it follows both")
    assert manager.heard("STOPPING=1")


def test_watch_goes_on_when_the_server_is_started_anew_while_it_idles(user: str, tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    with running_dovecot() as server:
        poller = Poller(tmp_path, url, {"rua": imap(server, user)})
        with poller.watching():
            for number in range(1, 4):
                server.restart()
                server.deliver(user, report_mail(number))
                until(lambda: ledger_size(url) == number, "it is in the store")  # noqa: B023 - now
            server.stop()
            until(lambda: "cannot connect" in poller.log, "it has seen that nobody is there")
            server.start()
            server.deliver(user, report_mail(4))
            until(lambda: ledger_size(url) == 4, "it is in the store")


def test_nothing_leaks_when_it_has_to_connect_again_and_again(dovecot: Dovecot, user: str, tmp_path: Path) -> None:
    chance, url, warm = random.Random(300), sqlite(tmp_path), 5
    with proxied(dovecot.imaps) as proxy:
        poller = Poller(tmp_path, url, {"rua": imap(dovecot, user, proxy.port, idle="2s")})
        with poller.watching() as process:
            before = (0, 0)
            for number in range(1, warm + RECONNECTS + 1):
                connections = proxy.connections
                if chance.random() < 0.2:
                    proxy.cut_after(chance.randrange(1, 6000))
                proxy.cut()
                until(lambda: proxy.connections > connections, "it connects anew")  # noqa: B023 - now
                dovecot.deliver(user, report_mail(number))
                until(lambda: ledger_size(url) == number, "it is in the store")  # noqa: B023 - now
                if number == warm:
                    before = memory(process.pid)
            after = memory(process.pid)
    print(f"{RECONNECTS} reconnects: {before} -> {after} octets and files")  # noqa: T201 - the figures are asked for
    assert after[0] - before[0] < 6 << 20
    assert after[1] <= before[1] + 1
