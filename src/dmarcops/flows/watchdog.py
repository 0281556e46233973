"""
The watchdog: looks whether something needs a person, and tells each thing once, again after a while, and when it is
over.

A person is told first and that is noted then: killed in between, it is told twice, never not at all.
"""

from collections.abc import Collection
from contextlib import suppress
from datetime import datetime

from dmarcops.errors import Refused
from dmarcops.flows.notices import (
    REJECTED_WINDOW,
    Facts,
    Notice,
    Thresholds,
    due,
    first_day,
    judge,
    message,
)
from dmarcops.ports import Notifier
from dmarcops.store.engine import Store
from dmarcops.store.notices import load_told, save_told
from dmarcops.store.recent import payload_counts, reporter_days
from dmarcops.store.runs import SourceRun, load_runs


def keep_watch(
    store: Store, notifier: Notifier, thresholds: Thresholds, *, mailboxes: Collection[str], now: datetime
) -> tuple[Notice, ...]:
    """
    Look once, and tell what is to be told now; returns that.

    Does nothing while another program is at it.

    Args:
        store: The store.
        notifier: Who tells.
        thresholds: From when on.
        mailboxes: The names of those that are configured; what is known of others is not looked at.
        now: The time it is.

    Raises:
        StoreError: The store failed.
        ConfigError: The notifier cannot be used as it is configured.
        EdgeError: Nobody could be told; it is tried again the next time.
    """
    with suppress(Refused), store.exclusive("notices"):
        judged = judge(_facts(store, thresholds, mailboxes, now), thresholds, now)
        return tell(store, notifier, judged, thresholds=thresholds, now=now)
    return ()


def tell(
    store: Store, notifier: Notifier, judged: Collection[Notice], *, thresholds: Thresholds, now: datetime
) -> tuple[Notice, ...]:
    """
    Tell what of a judgement a person does not know yet, and note that; the caller holds the lock `notices`.

    Raises:
        StoreError: The store failed.
        ConfigError: The notifier cannot be used as it is configured.
        EdgeError: Nobody could be told; it is tried again the next time.
    """
    news = due(judged, load_told(store), thresholds.repeat_after, now)
    if news.notices:
        notifier.tell(*message(news.notices))
        save_told(store, news.opened, news.closed, now)
    return news.notices


def _facts(store: Store, thresholds: Thresholds, mailboxes: Collection[str], now: datetime) -> Facts:
    runs = load_runs(store)
    return Facts(
        runs={name: runs.get(name, SourceRun(name)) for name in mailboxes},
        reporters=reporter_days(store, first_day(thresholds, now)),
        payloads=payload_counts(store, now - REJECTED_WINDOW),
    )
