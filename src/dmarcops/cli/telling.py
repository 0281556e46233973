"""Telling people what needs them: by `[notify]`, or on stderr. That nobody could be told stops nothing."""

import logging
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from dmarcops import config
from dmarcops.errors import DmarcopsError
from dmarcops.neutralise import visible

if TYPE_CHECKING:
    from dmarcops.flows.notices import Notice
    from dmarcops.ports import Notifier
    from dmarcops.settings import NoticeSettings
    from dmarcops.store.engine import Store

_LOG = logging.getLogger(__name__)


class _Stderr:
    """A `Notifier` for who reads stderr, as of cron."""

    def tell(self, title: str, text: str) -> None:
        """Write it."""
        sys.stderr.write("".join(f"{visible(line)}\n" for line in (title, *text.splitlines())))


def tell_by_notify(settings: config.Config, look: "Callable[[Notifier, NoticeSettings], Iterable[Notice]]") -> None:
    """
    Tell people by `[notify]`, if there is one; that this fails is a line in the log, no more.

    Args:
        settings: The configuration.
        look: Looks at something, and tells what there is to be told; returns that.
    """
    from dmarcops import wiring

    if "notify" not in settings.tables:
        return
    try:
        for notice in look(*wiring.notifier(settings)):
            _LOG.info("told: %s", notice.title)
    except DmarcopsError as error:
        _LOG.warning("nobody was notified: %s", error.told)


def tell_concerns(settings: config.Config, store: "Store", subject: str, *, quiet: bool) -> None:
    """
    Tell what runs found to be wrong with a subject: once, again after a while, and when it is over.

    Without a `[notify]`, and when all else is quiet, stderr is where it is told.

    Args:
        settings: The configuration.
        store: Where it is.
        subject: `dkim` or `policy`.
        quiet: The user's `--quiet`.
    """
    from dmarcops import wiring
    from dmarcops.flows import watchdog
    from dmarcops.settings import NoticeSettings

    def look(notifier: "Notifier", thresholds: "NoticeSettings") -> "Iterable[Notice]":
        return watchdog.tell_concerns(store, notifier, thresholds, subject=subject, now=wiring.clock())

    if "notify" not in settings.tables and quiet:
        look(_Stderr(), NoticeSettings())
    else:
        tell_by_notify(settings, look)
