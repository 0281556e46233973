"""Mail is taken in over a network that is cut, stalls and truncates, from a server that goes and comes."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import servers_dovecot
from pollers import IS_FULL, Poller, assert_once, clean_totals, ended, imap, kill_group, report_mail, totals, until
from proxy import Proxy, proxied
from servers_dovecot import Dovecot, running_dovecot

user = servers_dovecot.user

MAILS, ROUNDS = (10_000, 50) if IS_FULL else (500, 10)
TIMEOUT = 1
BATCH = 50 if IS_FULL else 20


def cut(server: Dovecot, proxy: Proxy) -> None:
    del server
    proxy.cut()


def truncate(server: Dovecot, proxy: Proxy) -> None:
    """Cut the next connections in the middle of what they say too."""
    del server
    proxy.cut_after(9_000, 30_000)
    proxy.cut()


def lose_the_answer(server: Dovecot, proxy: Proxy) -> None:
    """Stop what the server says; what the client said before is still done."""
    del server
    proxy.stall()
    time.sleep(0.1)  # the server may do what it was told
    proxy.cut()
    proxy.go_on()


def stall(server: Dovecot, proxy: Proxy) -> None:
    """Say nothing for longer than the client waits."""
    del server
    proxy.stall()
    time.sleep(TIMEOUT + 0.5)
    proxy.go_on()


def restart(server: Dovecot, proxy: Proxy) -> None:
    del proxy
    server.restart()


FAULTS: tuple[Callable[[Dovecot, Proxy], None], ...] = (cut, truncate, lose_the_answer, stall, restart)


def test_mails_are_stored_and_archived_once_when_everything_fails_now_and_then(
    user: str, store_url: str, tmp_path: Path
) -> None:
    chance = random.Random(9)
    mails = [report_mail(number) for number in range(MAILS)]
    with running_dovecot() as server, proxied(server.imaps) as proxy:
        server.flood(user, iter(mails))
        table = imap(server, user, proxy.port, batch_messages=BATCH, timeout=f"{TIMEOUT}s")
        poller = Poller(tmp_path, store_url, {"rua": table})
        for left in range(ROUNDS, 0, -1):
            remaining = sum(map(len, server.mails(user)))
            fault = FAULTS[left % len(FAULTS)]
            start, octets = proxy.passed, chance.randrange(2 * remaining // (left + 1) + 2)
            with ended(poller.start("ingest", "--jobs", "2")) as process:
                until(lambda: proxy.passed - start >= octets or process.poll() is not None, "it reads")  # noqa: B023 - now
                if process.poll() is None:
                    fault(server, proxy)
                if left % 3 == 0:
                    until(lambda: proxy.passed - start >= 2 * octets or process.poll() is not None, "it reads on")  # noqa: B023 - now
                    kill_group(process)
                _, err = process.communicate()
                assert (process.returncode in (0, 1, -signal.SIGKILL), "Traceback" in err) == (True, False), err
        poller.run("--jobs", "2")
        assert_once(server, user, mails)
        assert (poller.leftovers(), poller.spool()) == ([], [])
        assert totals(store_url) == clean_totals(server, f"{user}clean", mails, tmp_path / "c")
