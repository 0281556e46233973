"""
Mailboxes: each looked into once, or followed for as long as it takes. One that fails stops no other.

A lock by mailbox keeps two programs from meeting in one; who comes second leaves it to the first.
"""

import logging
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event, Semaphore
from time import monotonic

from dmarcops.errors import ConfigError, DmarcopsError, EdgeError, Refused
from dmarcops.flows.ingest import Ingest, Totals
from dmarcops.ports import MailSource
from dmarcops.store.runs import save_error, save_ok

FIRST_BACKOFF = 5.0
"""Seconds before a mailbox that failed is tried again; they double with each failure in a row."""
LONGEST_BACKOFF = 300.0
WAIT_SECONDS = 1.0
"""Seconds that a source may wait for something new before it is asked whether to stop."""

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Polled:
    """What became of one look into a mailbox; `error` is why it ended early, `is_busy` that another program has it."""

    name: str
    totals: Totals = field(default_factory=Totals)
    error: DmarcopsError | None = None
    is_busy: bool = False


def poll(source: MailSource, ingest: Ingest, *, is_shared: bool = False) -> Polled:
    """
    Take in what a mailbox has now, and note in the store how that went.

    Args:
        source: The mailbox.
        ingest: What it is taken in with.
        is_shared: Others may be at it too: there is no lock.

    Raises:
        StoreError: The store failed.
    """
    polled = Polled(source.name)
    try:
        with nullcontext() if is_shared else ingest.store.exclusive(f"mailbox {source.name}"):
            _poll(source, ingest, polled)
    except Refused:
        polled.is_busy = True
    return polled


def _poll(source: MailSource, ingest: Ingest, polled: Polled) -> None:
    try:
        ingest.run(source, polled.totals)
    except (EdgeError, ConfigError) as error:
        polled.error = error
    except DmarcopsError:
        raise
    except OSError as error:
        polled.error = EdgeError(str(error))
    except Exception as error:  # noqa: BLE001 - a defect of ours in one mailbox must not stop the others
        _LOG.error("%s: %s", source.name, type(error).__name__, exc_info=error)
        polled.error = EdgeError(f"a defect of dmarcops: {type(error).__name__}")
    if polled.error is not None:
        save_error(ingest.store, source.name, str(polled.error), ingest.clock())
    else:
        save_ok(ingest.store, source.name, ingest.clock())


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """
    Follows one mailbox.

    `tell` is given each look that did something or failed; `beat` is called whenever the watch shows that it lives.
    `turns` bounds how many watches look at the same time; `is_shared` is that of `poll`.
    """

    source: MailSource
    ingest: Ingest
    poll_every: timedelta
    stop: Event
    tell: Callable[[Polled], None]
    beat: Callable[[], None]
    turns: Semaphore = field(default_factory=Semaphore)
    is_shared: bool = False

    def run(self) -> None:
        """Look, wait, look again, until it is to stop; a failure is waited out, longer each time."""
        failures = 0
        while not self.stop.is_set():
            polled = self._look()
            if polled.totals.messages or polled.error is not None:
                self.tell(polled)
            if polled.error is None and (polled.is_busy or self._wait()):
                failures = 0
                if polled.is_busy:
                    self._pause(self.poll_every.total_seconds())
                continue
            self.source.close()
            self._pause(min(FIRST_BACKOFF * 2**failures, LONGEST_BACKOFF))
            failures = min(failures + 1, 10)
        self.source.close()

    def _look(self) -> Polled:
        self.beat()
        while not self.turns.acquire(timeout=WAIT_SECONDS):
            self.beat()
            if self.stop.is_set():
                return Polled(self.source.name)
        try:
            return poll(self.source, self.ingest, is_shared=self.is_shared)
        except DmarcopsError as error:
            return Polled(self.source.name, error=error)
        except Exception as error:  # noqa: BLE001 - a defect of ours must not end a service
            _LOG.error("%s: %s", self.source.name, type(error).__name__, exc_info=error)
            return Polled(self.source.name, error=EdgeError(f"a defect of dmarcops: {type(error).__name__}"))
        finally:
            self.turns.release()

    def _wait(self) -> bool:
        """Wait until there may be something new, or it is time, or to stop; False when the source failed meanwhile."""
        until = monotonic() + self.poll_every.total_seconds()
        while not self.stop.is_set() and monotonic() < until:
            self.beat()
            try:
                if self.source.wait(min(WAIT_SECONDS, self.poll_every.total_seconds())):
                    return True
            except EdgeError as error:
                _LOG.info("%s: %s", self.source.name, error)
                return False
            except Exception as error:  # noqa: BLE001 - as in `_look`
                _LOG.error("%s: %s", self.source.name, type(error).__name__, exc_info=error)
                return False
        return True

    def _pause(self, seconds: float) -> None:
        until = monotonic() + seconds
        while monotonic() < until and not self.stop.wait(min(WAIT_SECONDS, seconds)):
            self.beat()
