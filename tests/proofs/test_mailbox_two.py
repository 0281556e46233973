"""Two pollers at one mailbox, in one store: the same totals as of one alone."""

import threading
from pathlib import Path
from typing import Any

import servers_dovecot
from pollers import Poller, assert_once, clean_totals, ended, imap, report_mail, totals, until
from proxy import proxied
from servers_dovecot import Dovecot

dovecot, user = servers_dovecot.dovecot, servers_dovecot.user

MAILS = 200


def test_second_poller_leaves_the_mailbox_to_the_first(
    dovecot: Dovecot, user: str, store_url: str, tmp_path: Path
) -> None:
    mails = [report_mail(number) for number in range(MAILS)]
    dovecot.flood(user, iter(mails))
    with proxied(dovecot.imaps) as proxy:
        poller = Poller(tmp_path, store_url, {"rua": imap(dovecot, user, proxy.port, batch_messages=20)})
        with ended(poller.start("ingest")) as first:
            until(lambda: proxy.passed > 40_000 or first.poll() is not None, "the first reads")
            proxy.stall()
            with ended(poller.start("ingest", "--format", "json")) as second:
                out, err = second.communicate()
            proxy.go_on()
            assert (second.returncode, "another dmarcops is at it" in err, '"messages": 0' in out) == (0, True, True)
            first.communicate()
            assert first.returncode == 0
    assert_once(dovecot, user, mails)
    assert totals(store_url) == clean_totals(dovecot, f"{user}clean", mails, tmp_path / "c")


def test_totals_are_those_of_one_when_many_pollers_start_at_once(
    dovecot: Dovecot, user: str, store_url: str, tmp_path: Path
) -> None:
    mails = [report_mail(number) for number in range(MAILS)]
    dovecot.flood(user, iter(mails))
    poller = Poller(tmp_path, store_url, {"rua": imap(dovecot, user, batch_messages=20)})
    done: list[Any] = []
    threads = [threading.Thread(target=lambda: done.append(poller.run())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(one["reports"]["new"] for one in done) == MAILS
    assert_once(dovecot, user, mails)
    assert totals(store_url) == clean_totals(dovecot, f"{user}clean", mails, tmp_path / "c")


def test_totals_are_those_of_one_when_two_mailboxes_are_one_folder(
    dovecot: Dovecot, user: str, store_url: str, tmp_path: Path
) -> None:
    """Two sections, so two locks: the two meet in the folder, and nothing is lost or twice in the store."""
    mails = [report_mail(number) for number in range(MAILS)]
    dovecot.flood(user, iter(mails))
    table = imap(dovecot, user, batch_messages=20)
    poller = Poller(tmp_path, store_url, {"one": table, "two": table})
    poller.run(code=None)
    poller.run()
    assert dovecot.mails(user) == []
    assert set(dovecot.mails(user, "DMARC.Archive")) == set(mails)
    found, clean = totals(store_url), clean_totals(dovecot, f"{user}clean", mails, tmp_path / "c")
    assert found == clean
