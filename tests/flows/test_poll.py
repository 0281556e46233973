"""Looking into a mailbox once, and following it through failures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from threading import Event, Semaphore, Thread

import pytest

from dmarcops.errors import MailError, StoreError
from dmarcops.flows import poll as module
from dmarcops.flows.poll import Polled, Watch, poll
from dmarcops.ports import Message
from dmarcops.store.engine import Store
from dmarcops.store.runs import load_runs
from flows_ingest import NOW, ingest
from sources import Held, Source, document


def test_poll_notes_in_the_store_how_it_went(store: Store, tmp_path: Path) -> None:
    given = [[Held("1", document(1))], [Held("2", document(2))]]
    with ingest(store, tmp_path) as flow:
        failed = poll(Source(given, fails_after=1), flow)
        assert (str(failed.error), failed.totals.new, failed.is_busy) == ("the connection is lost", 1, False)
        run = load_runs(store)["test"]
        assert (run.last_error, run.failures_in_a_row, run.last_ok_at) == ("the connection is lost", 1, None)
        done = poll(Source(given), flow)
    assert (done.error, done.totals.new, done.totals.duplicate) == (None, 1, 1)
    run = load_runs(store)["test"]
    assert (run.failures_in_a_row, run.last_ok_at) == (0, NOW)


def test_poll_leaves_a_mailbox_to_who_has_it(store: Store, tmp_path: Path) -> None:
    source = Source([[Held("1", document(1))]])
    with ingest(store, tmp_path) as flow:
        with store.exclusive("mailbox test"), store.exclusive("mailbox other"):
            assert poll(source, flow) == Polled("test", is_busy=True)
        assert poll(source, flow).totals.new == 1


@dataclass
class Followed(Source):
    """A source whose looks give one script entry each: batches, or an error; it stops the watch at the end."""

    script: Sequence[Exception | list[Message]] = ()
    stop: Event | None = None
    waits: Sequence[bool | Exception] = ()
    looks: int = 0
    waited: int = 0
    closed: int = 0

    def batches(self, checkpoint: str) -> Iterator[Sequence[Message]]:  # noqa: ARG002 - a script has none
        """Follow the script."""
        assert self.stop is not None
        entry = self.script[self.looks]
        self.looks += 1
        if self.looks == len(self.script):
            self.stop.set()
        if isinstance(entry, Exception):
            raise entry
        yield entry

    def wait(self, seconds: float) -> bool:
        """Follow the script, then say that something is new."""
        assert seconds <= 1
        self.waited += 1
        entry = self.waits[self.waited - 1] if self.waited <= len(self.waits) else True
        if isinstance(entry, Exception):
            raise entry
        return entry

    def close(self) -> None:
        """Count."""
        self.closed += 1


def follow(store: Store, folder: Path, source: Followed, *, poll_every: float = 60) -> list[Polled]:
    """Run a watch to its end, and give what it told."""
    told: list[Polled] = []
    source.stop = Event()
    beats: list[None] = []
    with ingest(store, folder) as flow:
        watch = Watch(
            source=source,
            ingest=replace(flow, is_stopped=lambda: False),
            poll_every=timedelta(seconds=poll_every),
            stop=source.stop,
            tell=told.append,
            beat=lambda: beats.append(None),
        )
        thread = Thread(target=watch.run)
        thread.start()
        thread.join(30)
        assert not thread.is_alive()
    assert beats
    return told


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_BACKOFF", 0.01)
    monkeypatch.setattr(module, "LONGEST_BACKOFF", 0.02)
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.05)


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (ZeroDivisionError("a defect"), "a defect of dmarcops: ZeroDivisionError"),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
    ],
)
def test_look_that_meets_what_nobody_foresaw_is_an_error_of_its_mailbox(
    store: Store, tmp_path: Path, failure: Exception, said: str
) -> None:
    with ingest(store, tmp_path) as flow:
        polled = poll(Followed([], script=[failure], stop=Event()), flow)
    assert (str(polled.error), load_runs(store)["test"].last_error) == (said, said)


def test_watch_takes_in_what_comes_and_tells_of_it(store: Store, tmp_path: Path) -> None:
    source = Followed(
        [],
        script=[[Held("1", document(1))], [], [Held("2", document(2))]],
        waits=[False, False, True],
    )
    told = follow(store, tmp_path, source)
    assert [polled.totals.new for polled in told] == [1, 1]
    assert (source.waited, source.closed) == (4, 1)


def test_watch_looks_after_its_time_when_nothing_wakes_it(store: Store, tmp_path: Path) -> None:
    source = Followed([], script=[[], [Held("1", document(1))]], waits=[False] * 1000)
    assert [polled.totals.new for polled in follow(store, tmp_path, source, poll_every=0.01)] == [1]


def test_watch_goes_on_after_every_kind_of_failure(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lost = MailError("the connection is lost", transient=True)
    source = Followed(
        [],
        script=[lost, lost, StoreError("the store is locked"), ZeroDivisionError("a defect"), [Held("1", document(1))]],
    )
    told = follow(store, tmp_path, source)
    assert [str(polled.error) for polled in told[:-1]] == [
        "the connection is lost",
        "the connection is lost",
        "the store is locked",
        "a defect of dmarcops: ZeroDivisionError",
    ]
    assert told[-1].totals.new == 1
    assert source.closed == 5
    assert "test: ZeroDivisionError" in caplog.text


def test_watch_connects_anew_when_waiting_fails(store: Store, tmp_path: Path) -> None:
    source = Followed([], script=[[], [Held("1", document(1))]], waits=[MailError("lost", transient=True)])
    assert [polled.totals.new for polled in follow(store, tmp_path, source)] == [1]
    assert source.closed == 2


def test_watch_goes_on_when_waiting_meets_a_defect(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = Followed([], script=[[], [Held("1", document(1))]], waits=[ZeroDivisionError("a defect")])
    assert [polled.totals.new for polled in follow(store, tmp_path, source)] == [1]
    assert (source.closed, "test: ZeroDivisionError" in caplog.text) == (2, True)


def test_watches_look_in_turn(store: Store, tmp_path: Path) -> None:
    stop, told, turns = Event(), list[Polled](), Semaphore()
    source = Followed([], script=[[Held("1", document(1))]], stop=stop)
    with ingest(store, tmp_path) as flow:
        watch = Watch(
            source=source,
            ingest=flow,
            poll_every=timedelta(seconds=1),
            stop=stop,
            tell=told.append,
            beat=Beat(3, stop),
            turns=turns,
        )
        with turns:
            watch.run()
        assert (told, source.looks) == ([], 0)
        stop.clear()
        watch.run()
    assert ([polled.totals.new for polled in told], source.looks) == ([1], 1)


def test_shared_mailbox_has_no_lock(store: Store, tmp_path: Path) -> None:
    source = Source([[Held("1", document(1))]])
    with ingest(store, tmp_path) as flow, store.exclusive("mailbox test"):
        assert poll(source, flow, is_shared=True).totals.new == 1


def test_watch_waits_for_a_mailbox_that_another_has(store: Store, tmp_path: Path) -> None:
    source, told, stop = Followed([], script=[[Held("1", document(1))]]), list[Polled](), Event()
    with store.exclusive("mailbox test"), ingest(store, tmp_path) as flow:
        Watch(
            source=source,
            ingest=flow,
            poll_every=timedelta(seconds=0.01),
            stop=stop,
            tell=told.append,
            beat=Beat(5, stop),
        ).run()
    assert (told, source.looks) == ([], 0)


@dataclass
class Beat:
    """Stops the watch after some signs of life."""

    left: int
    stop: Event

    def __call__(self) -> None:
        """Count down."""
        self.left -= 1
        if self.left <= 0:
            self.stop.set()
