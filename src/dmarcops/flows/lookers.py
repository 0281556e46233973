"""
Who looks at messages: this process, or several worker processes.

A worker that dies, whatever a message did to it, loses nothing: its messages are looked at again one by one, each in a
process that only it can bring down, and the one that does so is told of in the ledger.
"""

import gc
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from threading import Lock, Thread
from types import TracebackType
from typing import Self

from dmarcops.flows.look import Looked, look, with_raw, without_raw
from dmarcops.flows.rules import Rules
from dmarcops.ports import Message
from dmarcops.store.intake import IncomingRejection, Outcome

TASK_MESSAGES = 16
"""Messages that a worker process looks at in one go."""
ALIVE_SECONDS = 30.0
"""How often a source is told that work goes on while a worker is at a long report."""
_COLLECT_AFTER = (10_000, 20, 20)
"""Thresholds of the three generations of `gc`; by default 700, 10 and 10."""
_MOST_OF_FOLDER = 103 - len("/pymp-12345678/listener-12345678")
"""Octets that a temporary directory's name may have: 103 is what the path of a socket may on any system."""
_NOT_TOLD = "ignore:resource_tracker:UserWarning"
"""That semaphores of a killed run were cleared up, which is of no use to anybody."""


@dataclass(frozen=True, slots=True)
class Task:
    """Messages given to a worker; without a future they are looked at when asked for."""

    messages: Sequence[Message]
    rules: Rules
    future: "Future[list[Looked]] | None"


class Lookers:
    """
    Looks at messages, in order; a context manager that ends its processes. May be shared between threads.

    Args:
        jobs: Worker processes; 0 looks at them in this process.
    """

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._replacing = Lock()
        self._pool = self._new_pool() if jobs else None

    @property
    def most_batches(self) -> int:
        """How many batches may be under way before the first is waited for."""
        return 1 if self._jobs else 0

    def submit(self, messages: Sequence[Message], rules: Rules) -> list[Task]:
        """Have the messages looked at by these rules."""
        if self._pool is None:
            return [Task(messages, rules, None)]
        tasks = []
        for at in range(0, len(messages), TASK_MESSAGES):
            run = messages[at : at + TASK_MESSAGES]
            tasks.append(Task(run, rules, self._submit(self._pool, run, rules)))
        return tasks

    def results(self, tasks: Sequence[Task], meanwhile: Callable[[], None]) -> Iterator[Looked]:
        """
        Give what became of the messages of the tasks, in order.

        Args:
            tasks: What `submit` gave.
            meanwhile: Called now and then while a worker is waited for.
        """
        for task in tasks:
            if task.future is None:
                yield from (look(message, task.rules) for message in task.messages)
                continue
            while not wait((task.future,), timeout=ALIVE_SECONDS).done:
                meanwhile()
            try:
                looked = task.future.result()
            except BrokenProcessPool:
                looked = [_look_alone(message, task.rules) for message in task.messages]
            yield from map(with_raw, task.messages, looked)

    def give_up(self, tasks: Sequence[Task]) -> None:
        """Begin no more of the tasks, and keep nothing of what has begun."""
        for task in tasks:
            if task.future is not None and not task.future.cancel():
                task.future.add_done_callback(_release)

    def close(self) -> None:
        """End the processes; what they have in hand is given up."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._jobs, mp_context=_context(), initializer=_live_with_the_parent)

    def _submit(self, pool: ProcessPoolExecutor, messages: Sequence[Message], rules: Rules) -> "Future[list[Looked]]":
        with suppress(BrokenProcessPool):
            return pool.submit(_look_at, messages, rules)
        with self._replacing:
            whole = self._pool
            if whole is None or whole is pool:
                pool.shutdown(wait=True, cancel_futures=True)
                whole = self._pool = self._new_pool()
        return whole.submit(_look_at, messages, rules)


def _release(future: "Future[list[Looked]]") -> None:
    if future.exception() is None:
        for looked in future.result():
            looked.release()


def _look_alone(message: Message, rules: Rules) -> Looked:
    """Look at a message that may have killed a worker, in a process of its own."""
    try:
        with ProcessPoolExecutor(1, mp_context=_context(), initializer=_live_with_the_parent) as alone:
            return alone.submit(look, message, rules).result()
    except BrokenProcessPool:
        reason = "looking at it ended the process: out of memory, or killed"
        rejection = IncomingRejection(message.origin, "", "worker-died", reason, Outcome.RETRY)
        return Looked(message.origin, "", (rejection,), None, f"{message.origin}: {reason}")


def _context() -> BaseContext:
    """
    Give how processes are started: anew, so that neither threads nor an open database go over into them.

    By a server that has loaded everything already; one by one and slower where the temporary directory has so long a
    name that its socket could not stand in it.
    """
    if _NOT_TOLD not in sys.warnoptions:
        # What outlives a kill is cleared up by a process of Python's, which is started with our options.
        sys.warnoptions.append(_NOT_TOLD)
    if len(os.fsencode(tempfile.gettempdir())) > _MOST_OF_FOLDER:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dmarcops.flows.look"])
    return context


def _live_with_the_parent() -> None:
    """
    Make a worker end when its parent does, however that ends, and not before.

    Workers wait at a pipe that they hold both ends of, so that none would find out by itself. A Ctrl-C at the terminal
    goes to all processes: what to make of it is the parent's to say.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    collect_seldom()
    Thread(target=_end_after, args=(multiprocessing.parent_process(),), daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def collect_seldom() -> None:
    """
    Make this process look for garbage in cycles less often.

    Reports are many small objects and hardly a cycle: what the default spends on the search is a tenth of an ingest.
    """
    gc.set_threshold(*_COLLECT_AFTER)


def _look_at(messages: Sequence[Message], rules: Rules) -> list[Looked]:
    return [without_raw(look(message, rules)) for message in messages]
