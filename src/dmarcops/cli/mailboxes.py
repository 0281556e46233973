"""`ingest` without paths: all configured mailboxes, once or (`--watch`) for as long as the process lives."""

import logging
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Semaphore, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

import typer

from dmarcops import config
from dmarcops.cli import systemd
from dmarcops.cli.faults import fault_of
from dmarcops.cli.ingest import figures_of, raise_for_unreadable, show_totals, workers
from dmarcops.cli.options import invocation_of, opened_store
from dmarcops.cli.output import Format
from dmarcops.cli.progress import progress
from dmarcops.cli.telling import tell_by_notify
from dmarcops.errors import ConfigError, DmarcopsError

if TYPE_CHECKING:
    from dmarcops.flows.lookers import Lookers
    from dmarcops.flows.poll import Polled, Watch
    from dmarcops.ports import Progress
    from dmarcops.store.engine import Store

AT_ONCE = 8
"""Mailboxes that are looked into at the same time."""
WATCHDOG_SECONDS = 300.0
"""How often `--watch` looks whether a person is to be told of something."""
SILENCE_SECONDS = 900.0
"""Seconds without a sign of life from a mailbox after which systemd is no longer told that all is well."""

_LOG = logging.getLogger(__name__)


def look_once(context: typer.Context, jobs: int | None, form: Format) -> None:
    """
    Take in what all mailboxes have now; one that fails stops no other.

    Raises:
        DmarcopsError: One or more failed; each had its line on stderr.
    """
    from dmarcops import wiring
    from dmarcops.flows.ingest import Totals
    from dmarcops.flows.lookers import Lookers

    settings = _config(context)
    names = _mailboxes(settings)
    started = monotonic()
    with (
        opened_store(context) as store,
        wiring.private_folder() as folder,
        progress("reading mailboxes", total=None, quiet=invocation_of(context).quiet) as bar,
        # At least one process of its own: the session to the server is looked after meanwhile.
        Lookers(max(1, workers(jobs))) as lookers,
        ThreadPoolExecutor(min(AT_ONCE, len(names))) as threads,
    ):
        polls = [threads.submit(_poll, name, settings, store, lookers, folder=folder, bar=bar) for name in names]
        polled = [future.result() for future in polls]
        _keep_watch(settings, store, names)
    totals = Totals()
    for one in polled:
        totals.include(one.totals)
        if one.is_busy:
            _LOG.warning("%s: another dmarcops is at it; left to that one", one.name)
    show_totals(totals, monotonic() - started, form, mailboxes=_by_mailbox(polled))
    _raise_for_failed(polled)
    raise_for_unreadable(totals)


def follow(context: typer.Context, jobs: int | None) -> None:
    """
    Follow all mailboxes until SIGTERM or SIGINT; SIGHUP reads the configuration anew.

    What is in hand when a signal comes is finished first.
    """
    from dmarcops.flows.lookers import Lookers

    with _signals() as (stop, reload), Lookers(max(1, workers(jobs))) as lookers:
        while not stop.is_set():
            reload.clear()
            _follow_until(stop, reload, context, lookers)


def _follow_until(stop: Event, reload: Event, context: typer.Context, lookers: "Lookers") -> None:
    """Follow the mailboxes of the configuration as it now is, until one of the events comes."""
    from dmarcops import wiring

    settings = _config(context)
    with opened_store(context) as store, wiring.private_folder() as folder:
        over, names = Event(), _mailboxes(settings)
        watches, beats = _watches(names, settings, store, lookers, folder=folder, over=over)
        threads = [Thread(target=watch.run, name=watch.source.name) for watch in watches]
        threads.append(Thread(target=_keep_watching, args=(settings, store, names, over), name="notify"))
        for thread in threads:
            thread.start()
        _LOG.info("following %s", ", ".join(names))
        systemd.notify("READY=1")
        try:
            while not stop.wait(1):
                _keep_watchdog(beats)
                if reload.is_set() and _is_usable(context):
                    systemd.notify(f"RELOADING=1\nMONOTONIC_USEC={int(monotonic() * 1e6)}")
                    return
                reload.clear()
            systemd.notify("STOPPING=1")
        finally:
            over.set()
            for thread in threads:
                while thread.is_alive():
                    thread.join(1)
                    _keep_watchdog(beats)


def _keep_watchdog(beats: dict[str, float]) -> None:
    """Tell systemd that all is well, if every mailbox has given a sign of life."""
    if min(beats.values()) > monotonic() - SILENCE_SECONDS:
        systemd.notify("WATCHDOG=1")


def _is_usable(context: typer.Context) -> bool:
    """Tell whether the configuration as it now is can be followed; if not, say why."""
    from dmarcops import wiring

    try:
        settings = _config(context)
        for name in _mailboxes(settings):
            wiring.mailbox_settings(settings, name)
        with opened_store(context):
            pass
    except DmarcopsError as error:
        _LOG.error("the configuration was not read anew: %s", error)
        return False
    return True


def _watches(
    names: tuple[str, ...], settings: config.Config, store: "Store", lookers: "Lookers", *, folder: Path, over: Event
) -> "tuple[list[Watch], dict[str, float]]":
    """Return a watch for each mailbox, and when each gave its last sign of life."""
    from dataclasses import replace

    from dmarcops import wiring
    from dmarcops.flows.poll import Watch

    beats = dict.fromkeys(names, monotonic())
    turns = Semaphore(AT_ONCE)
    watches = []
    for name in names:
        source, mailbox = wiring.mailbox(settings, name)

        def beat(name: str = name) -> None:
            beats[name] = monotonic()

        base = wiring.ingest(store, lookers, folder=folder, progress=_Beating(beat))
        own = wiring.for_mailbox(base, settings, mailbox)
        watches.append(
            Watch(
                source=source,
                ingest=replace(own, is_stopped=over.is_set),
                poll_every=mailbox.poll_every,
                stop=over,
                tell=_tell,
                beat=beat,
                turns=turns,
                is_shared=mailbox.is_shared,
            )
        )
    return watches, beats


class _Beating:
    """A `Progress` that is a sign of life: a look at very many mails takes longer than the watchdog waits."""

    def __init__(self, beat: Callable[[], None]) -> None:
        self._beat = beat

    def advance(self, steps: int = 1, /) -> None:
        """Give it."""
        del steps
        self._beat()


def _poll(
    name: str, settings: config.Config, store: "Store", lookers: "Lookers", *, folder: Path, bar: "Progress"
) -> "Polled":

    from dmarcops import wiring
    from dmarcops.flows.poll import Polled, poll
    from dmarcops.store.runs import save_error

    try:
        source, mailbox = wiring.mailbox(settings, name)
        ingest = wiring.ingest(store, lookers, folder=folder, progress=bar)
        own = wiring.for_mailbox(ingest, settings, mailbox)
        try:
            return poll(source, own, is_shared=mailbox.is_shared)
        finally:
            source.close()
    except ConfigError as error:
        # A mailbox that cannot be used any more is to be told of like one that cannot be reached.
        save_error(store, name, str(error), wiring.clock())
        return Polled(name, error=error)
    except DmarcopsError as error:
        return Polled(name, error=error)


def _keep_watching(settings: config.Config, store: "Store", names: tuple[str, ...], over: Event) -> None:
    """Look now and then whether a person is to be told of something, until it is over."""
    while not over.wait(WATCHDOG_SECONDS):
        _keep_watch(settings, store, names)


def _keep_watch(settings: config.Config, store: "Store", names: tuple[str, ...]) -> None:
    """Tell a person of what needs one, if somebody is to be told."""
    from dmarcops import wiring
    from dmarcops.flows.watchdog import keep_watch

    tell_by_notify(
        settings,
        lambda notifier, thresholds: keep_watch(store, notifier, thresholds, mailboxes=names, now=wiring.clock()),
    )


def _tell(polled: "Polled") -> None:
    """Say in one line what a look into a mailbox did."""
    if polled.error is not None:
        _LOG.warning("%s: %s", polled.name, polled.error.told)
    totals = polled.totals
    if totals.messages:
        _LOG.info(
            "%s: %d messages, %d new reports, %d duplicates, %d conflicts, %d not stored",
            polled.name,
            totals.messages,
            totals.new,
            totals.duplicate,
            totals.conflict,
            totals.rejected + totals.not_a_report + totals.retry,
        )


def _by_mailbox(polled: "list[Polled]") -> dict[str, dict[str, Any]]:
    """Return the figures of each mailbox and how its look ended, nothing when there is only one."""
    if len(polled) == 1:
        return {}
    states = {one.name: "failed" if one.error else "busy" if one.is_busy else "done" for one in polled}
    return {one.name: {"state": states[one.name], **figures_of(one.totals)} for one in polled}


def _raise_for_failed(polled: "list[Polled]") -> None:
    """
    Tell of each mailbox that failed in a line, and raise the last of the errors, one of the configuration if there is.

    Raises:
        DmarcopsError: One failed.
    """
    failed = [(one.name, one.error) for one in polled if one.error is not None]
    failed.sort(key=lambda one: one[1].exit_code)
    for name, error in failed:
        if not str(error).startswith(f"{name}: "):  # some kinds of mailboxes name themselves
            error.args = (f"{name}: {error}",)
    for _, error in failed[:-1]:
        sys.stderr.writelines(f"{line}\n" for line in fault_of(error).lines())
    for _, error in failed[-1:]:
        raise error


def _config(context: typer.Context) -> config.Config:
    invocation = invocation_of(context)
    return config.load(invocation.config_file, store_url=invocation.store_url)


def _mailboxes(settings: config.Config) -> tuple[str, ...]:
    """
    Return the names of the mailboxes that reports arrive in.

    Raises:
        ConfigError: There is none.
    """
    tables = settings.tables.get("mailboxes", {})
    names = tuple(name for name, table in tables.items() if not (isinstance(table, dict) and _is_left_out(table)))
    if not names:
        raise ConfigError(
            "there is nothing to ingest: no PATH was given, and no mailbox is configured",
            hint="name files or folders, or write a [mailboxes.NAME] section into dmarcops.toml",
        )
    return names


def _is_left_out(table: dict[str, object]) -> bool:
    """Tell whether no reports arrive in a mailbox; from the environment the word comes as text."""
    return str(table.get("reports")).lower() in {"false", "off", "no", "0"}


@contextmanager
def _signals() -> Iterator[tuple[Event, Event]]:
    """Give the events that SIGTERM or SIGINT, and SIGHUP, set while the block runs."""
    stop, reload = Event(), Event()
    handlers = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: reload}
    former = {number: signal.signal(number, lambda *_, event=event: event.set()) for number, event in handlers.items()}
    try:
        yield stop, reload
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
