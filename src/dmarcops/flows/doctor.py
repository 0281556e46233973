"""The doctor: tries out all that the configuration names, and says what to mend. Changes nothing."""

import stat
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from dmarcops.errors import DmarcopsError
from dmarcops.ports import Checkable, Finding, problem
from dmarcops.store.engine import Store
from dmarcops.store.health import newest_moment, server_clock

CLOCK_TOLERANCE = timedelta(minutes=2)
"""How far our clock may be from the database server's before it is a problem."""


def check_store(open_store: Callable[[], Store], now: datetime) -> Iterator[Finding]:
    """Open the store, take its writer's lock, and hold our clock against what it knows of the time."""
    try:
        with open_store() as store:
            with store.write():
                pass
            yield Finding("ok", "it can be opened and written")
            yield from _check_clock(store, now)
    except DmarcopsError as error:
        yield from problem(error)


def check_part(make: Callable[[], Checkable]) -> Iterator[Finding]:
    """Make a part from its section, and have it try itself out."""
    try:
        part = make()
    except DmarcopsError as error:
        yield from problem(error)
    else:
        yield from part.check()


def check_secrets(files: Iterable[tuple[str, Path]]) -> Iterator[Finding]:
    """See whether anybody on the machine can read the files that secrets stand in; those of a key that is named."""
    for key, file in files:
        try:
            mode = file.stat().st_mode
        except OSError:
            # Whoever reads the key says that the file is missing.
            continue
        if mode & (stat.S_IROTH | stat.S_IWOTH):
            yield Finding("hint", f"every user of the machine can get at {file} ({key}): chmod o-rwx {file}")
        else:
            yield Finding("ok", f"{file} ({key}) is closed to other users")


def _check_clock(store: Store, now: datetime) -> Iterator[Finding]:
    theirs, newest = server_clock(store), newest_moment(store)
    if theirs is not None and abs(theirs - now) > CLOCK_TOLERANCE:
        yield Finding("problem", f"the clock here is {_apart(now - theirs)} that of the database server")
        yield Finding("hint", "have both follow a time server: chrony or systemd-timesyncd")
    elif newest is not None and newest > now + CLOCK_TOLERANCE:
        yield Finding(
            "problem", f"the ledger knows of {newest:%Y-%m-%d %H:%M} UTC, which is still to come by the clock"
        )
        yield Finding("hint", "set the clock, or restore the store that belongs to this time")
    else:
        yield Finding("ok", "the clock agrees with it")


def _apart(difference: timedelta) -> str:
    seconds = round(abs(difference.total_seconds()))
    return f"{seconds} s {'ahead of' if difference > timedelta(0) else 'behind'}"
