"""Mail is taken in by a poller that is killed again and again: nothing is lost, and nothing is there twice."""

import random
from pathlib import Path

import servers_dovecot
from pollers import (
    IS_FULL,
    Poller,
    assert_once,
    clean_totals,
    ended,
    imap,
    kill_group,
    report_mail,
    session_of,
    totals,
    until,
)
from proxy import Proxy, proxied
from servers_dovecot import Dovecot

dovecot, user = servers_dovecot.dovecot, servers_dovecot.user

MAILS, KILLS = (10_000, 50) if IS_FULL else (600, 6)
BATCH = 50 if IS_FULL else 20


def killed(poller: Poller, proxy: Proxy, octets: int) -> bool:
    """Run a poller, and kill it and its workers when it was told so much; tell whether it came to that."""
    start = proxy.passed
    with ended(poller.start("ingest", "--jobs", "2")) as process:
        until(lambda: proxy.passed - start >= octets or process.poll() is not None, "it reads")
        if process.poll() is not None:
            assert process.returncode == 0, process.communicate()[1]
            return False
        kill_group(process)
        return True


def test_mails_are_stored_and_archived_once_when_the_poller_is_killed(
    dovecot: Dovecot, user: str, store_url: str, tmp_path: Path
) -> None:
    chance = random.Random(50)
    mails = [report_mail(number) for number in range(MAILS)]
    dovecot.flood(user, iter(mails))
    kills = 0
    with proxied(dovecot.imaps) as proxy:
        poller = Poller(tmp_path, store_url, {"rua": imap(dovecot, user, proxy.port, batch_messages=BATCH)})
        for left in range(KILLS, 0, -1):
            remaining = sum(map(len, dovecot.mails(user)))
            kills += killed(poller, proxy, chance.randrange(2 * remaining // (left + 1) + 2))
        done = poller.run("--jobs", "2")
    assert kills >= KILLS * 3 // 4, "it was hardly ever killed"
    assert done["retry"] == done["rejected"] == 0
    assert_once(dovecot, user, mails)
    assert (poller.leftovers(), poller.spool()) == ([], [])
    assert totals(store_url) == clean_totals(dovecot, f"{user}clean", mails, tmp_path / "c")


def test_no_process_is_left_when_only_the_poller_itself_is_killed(dovecot: Dovecot, user: str, tmp_path: Path) -> None:
    dovecot.flood(user, (report_mail(number) for number in range(200)))
    with proxied(dovecot.imaps) as proxy:
        url = f"sqlite:///{tmp_path}/store.db"
        poller = Poller(tmp_path, url, {"rua": imap(dovecot, user, proxy.port, batch_messages=20)})
        with ended(poller.start("ingest", "--jobs", "2")) as process:
            until(lambda: proxy.passed > 40_000, "it reads")
            proxy.stall()
            until(lambda: len(session_of(process.pid)) >= 4, "its workers are there")
            process.kill()
            process.wait()
            until(lambda: not session_of(process.pid), "its workers end with it", 20)
