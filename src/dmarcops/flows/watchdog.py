"""
The watchdog: looks whether something needs a person, and tells each thing once, again after a while, and when it is
over.

A person is told first and that is noted then: killed in between, it is told twice, never not at all.
"""

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from datetime import datetime, timedelta

from dmarcops.errors import Refused
from dmarcops.flows.notices import (
    REJECTED_WINDOW,
    Facts,
    Notice,
    due,
    first_day,
    judge,
    message,
    of_concerns,
)
from dmarcops.ports import Notifier
from dmarcops.settings import NoticeSettings
from dmarcops.store.concerns import load
from dmarcops.store.engine import Store
from dmarcops.store.notices import load_told, save_told
from dmarcops.store.recent import payload_counts, reporter_days
from dmarcops.store.runs import SourceRun, load_runs


def keep_watch(
    store: Store, notifier: Notifier, thresholds: NoticeSettings, *, mailboxes: Collection[str], now: datetime
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

    def look() -> Iterable[Notice]:
        return judge(_facts(store, thresholds, mailboxes, now), thresholds, now)

    return _tell(store, notifier, look, repeat_after=thresholds.repeat_after, now=now)


def tell_concerns(
    store: Store, notifier: Notifier, thresholds: NoticeSettings, *, subject: str, now: datetime
) -> tuple[Notice, ...]:
    """
    Tell what is to be told now of what runs found to be wrong (`store.concerns`); returns that.

    Does nothing while another program is at it.

    Args:
        store: The store.
        notifier: Who tells.
        thresholds: From when on, and how often of the same.
        subject: Of what: `dkim` or `policy`.
        now: The time it is.

    Raises:
        StoreError: The store failed.
        ConfigError: The notifier cannot be used as it is configured.
        EdgeError: Nobody could be told; it is tried again the next time.
    """

    def look() -> Iterable[Notice]:
        return of_concerns(load(store, subject), thresholds.failing_runs)

    return _tell(store, notifier, look, repeat_after=thresholds.repeat_after, now=now)


def _tell(
    store: Store,
    notifier: Notifier,
    look: Callable[[], Iterable[Notice]],
    *,
    repeat_after: timedelta,
    now: datetime,
) -> tuple[Notice, ...]:
    with suppress(Refused), store.exclusive("notices"):
        news = due(tuple(look()), load_told(store), repeat_after, now)
        if news.notices:
            notifier.tell(*message(news.notices))
            save_told(store, news.opened, news.closed, now)
        return news.notices
    return ()


def _facts(store: Store, thresholds: NoticeSettings, mailboxes: Collection[str], now: datetime) -> Facts:
    runs = load_runs(store)
    return Facts(
        runs={name: runs.get(name, SourceRun(name)) for name in mailboxes},
        reporters=reporter_days(store, first_day(thresholds, now)),
        payloads=payload_counts(store, now - REJECTED_WINDOW),
    )
