"""What long work says meanwhile, on stderr alone: a progress bar, and the log. Never writes to stdout."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from dmarcops.cli.faults import causes
from dmarcops.neutralise import visible
from dmarcops.ports import Progress

_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


class NoProgress:
    """Tells nobody: for `--quiet`, and where stderr is no terminal."""

    def advance(self, steps: int = 1, /) -> None:
        """Do nothing."""


class _Bar:
    """A bar on the terminal."""

    def __init__(self, move: Callable[[int], None]) -> None:
        self._move = move

    def advance(self, steps: int = 1, /) -> None:
        """Move the bar; it is redrawn a few times a second, however often this is called."""
        self._move(steps)


@contextmanager
def progress(what: str, *, total: int | None, quiet: bool) -> Iterator[Progress]:
    """
    Show a progress bar on stderr while the block runs, when stderr is a terminal and the user did not ask for quiet.

    Args:
        what: What is being worked on, in our own words.
        total: How many steps there are; `None` when nobody knows, then the bar shows what is done and how long it took.
        quiet: The user's `--quiet`.
    """
    if quiet or not sys.stderr.isatty():
        yield NoProgress()
        return
    from rich import progress as rich
    from rich.console import Console

    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TimeElapsedColumn(),
        rich.TimeRemainingColumn(),
    )
    with rich.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield _Bar(lambda steps: bar.advance(task, steps))


class _Formatter(logging.Formatter):
    """One harmless line a record; of an exception its chain of causes and no traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return `record` as text; what it quotes may be hostile."""
        lines = [f"dmarcops: {record.levelname.lower()}: {visible(record.getMessage())}"]
        if record.exc_info and record.exc_info[1] is not None:
            lines += [f"  {line}" for line in causes(record.exc_info[1])]
        return "\n".join(lines)


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to what `sys.stderr` is at that moment, so that a line goes above a progress bar and not through it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write `record`."""
        self.stream = sys.stderr
        super().emit(record)


def set_up_log(verbosity: int, *, quiet: bool) -> None:
    """
    Send the program's log to stderr.

    Args:
        verbosity: How many `-v` were given: 0 warnings, 1 what is done, 2 and more every step.
        quiet: Errors only, whatever `verbosity` says.
    """
    handler = _StderrHandler()
    handler.setFormatter(_Formatter())
    log = logging.getLogger("dmarcops")
    log.handlers = [handler]
    log.propagate = False
    log.setLevel(logging.ERROR if quiet else _LEVELS[min(verbosity, len(_LEVELS) - 1)])
