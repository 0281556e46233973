"""An mbox of our own, with an MTA's deliveries and locks, and crashes at every step of a move."""

import json
import mailbox
import multiprocessing
import os
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from dmarcops.errors import BadInput, MailError
from dmarcops.mail.mbox import Adapter, Config
from dmarcops.ports import Handling, Message

DATE = b"Tue Nov 24 10:00:00 2026"


class Box:
    """An mbox, and adapters for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "mbox"
        self.archive = folder / "archive"
        self.invalid = folder / "invalid"
        self.path.touch()
        self.made: list[Adapter] = []

    def __call__(self, **keys: object) -> Adapter:
        config = Config.model_validate({"path": self.path, "lock_timeout": "20s"} | keys)
        self.made.append(Adapter("box", config, self.folder / f"spool{len(self.made)}"))
        return self.made[-1]

    def moving(self, **keys: object) -> Adapter:
        return self(archive=self.archive, invalid=self.invalid, **keys)

    def deliver(self, *names: str) -> None:
        with self.path.open("ab") as file:
            for name in names:
                file.write(b"From sender@example.com %s\nSubject: %s\n\nbody\n\n" % (DATE, name.encode()))

    @staticmethod
    def subjects(path: Path) -> list[str]:
        """Read an mbox as another program does."""
        if not path.exists():
            return []
        box = mailbox.mbox(path)
        found = [str(message["Subject"]) for message in box]
        box.close()
        return found


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path)
    yield made
    for source in made.made:
        source.close()
    assert list(tmp_path.rglob("*.mail")) == list(tmp_path.glob("*.lock")) == list(tmp_path.glob("*journal*")) == []


def subject(message: Message) -> str:
    with message.open() as stream:
        return stream.readline().decode().removeprefix("Subject: ").strip()


def run(source: Adapter, checkpoint: str = "", handling: Handling = Handling.ARCHIVE) -> tuple[list[str], str]:
    subjects = []
    for batch in source.batches(checkpoint):
        subjects += [subject(message) for message in batch]
        checkpoint = source.settle([(message, handling) for message in batch])
    return subjects, checkpoint


def test_batches_give_mails_by_digest(box: Box) -> None:
    box.deliver("one", "two")
    [batch] = box().batches("")
    messages = pickle.loads(pickle.dumps(batch))  # noqa: S301 - as they go to a worker process
    assert [subject(message) for message in messages] == ["one", "two"]
    assert all(message.origin.startswith(f"{box.path}/") for message in messages)
    assert next(iter(box.moving().batches("")))[0].origin == messages[0].origin


def test_settle_moves_to_archive_and_invalid_and_leaves_the_rest(box: Box) -> None:
    box.deliver(*"abcde")
    source = box.moving()
    [batch] = source.batches("")
    box.deliver("f")
    wanted = {
        "a": Handling.LEAVE,
        "b": Handling.ARCHIVE,
        "c": Handling.INVALID,
        "d": Handling.LEAVE,
        "e": Handling.ARCHIVE,
    }
    handled = [(message, wanted[subject(message)]) for message in batch]
    assert source.settle(handled) == ""
    assert source.settle(handled) == ""
    assert box.subjects(box.path) == ["a", "d", "f"]
    assert box.subjects(box.archive) == ["b", "e"]
    assert box.subjects(box.invalid) == ["c"]
    assert box.archive.stat().st_mode & 0o777 == 0o600
    assert run(box.moving())[0] == ["a", "d", "f"]
    assert box.path.read_bytes() == b""
    assert box.subjects(box.archive) == ["b", "e", "a", "d", "f"]


def test_settle_keeps_the_file_that_an_mta_has_open(box: Box) -> None:
    box.deliver("a")
    with box.path.open("ab") as mta:
        assert run(box.moving())[0] == ["a"]
        mta.write(b"From sender@example.com %s\nSubject: b\n\n\n" % DATE)
    assert run(box.moving())[0] == ["b"]


def test_mail_without_an_empty_line_at_its_end_is_parted_in_the_archive(box: Box) -> None:
    for end in ("", "\n", "\n\n"):
        box.path.write_text(f"From a@example.com {DATE.decode()}\nSubject: x{len(end)}\n\nbody{end}")
        run(box.moving())
    assert box.subjects(box.archive) == ["x0", "x1", "x2"]


def test_mails_with_the_same_octets_are_one(box: Box) -> None:
    box.deliver("a", "a")
    assert run(box.moving())[0] == ["a"]
    assert box.path.read_bytes() == b""
    assert box.subjects(box.archive) == ["a", "a"]


def test_checkpoint_writes_nothing_and_knows_what_was_handled(box: Box) -> None:
    box.deliver("a", "b")
    before = box.path.read_bytes()
    subjects, checkpoint = run(box())
    assert subjects == ["a", "b"]
    assert run(box(), checkpoint)[0] == []
    box.deliver("c")
    subjects, checkpoint = run(box(), checkpoint)
    assert subjects == ["c"]
    assert box.path.read_bytes().startswith(before)
    assert len(checkpoint) < 200


def test_checkpoint_meets_what_was_left_again(box: Box) -> None:
    box.deliver("a", "b", "c")
    source = box()
    [batch] = source.batches("")
    wanted = {"a": Handling.ARCHIVE, "b": Handling.LEAVE, "c": Handling.INVALID}
    checkpoint = source.settle([(message, wanted[subject(message)]) for message in batch])
    subjects, checkpoint = run(box(), checkpoint)
    assert subjects == ["b"]
    assert run(box(), checkpoint)[0] == []


def test_checkpoint_of_a_part_forgets_nothing(box: Box) -> None:
    box.deliver(*"abcd")
    source = box(batch_messages=2)
    first, second = list(source.batches(""))
    checkpoint = source.settle([(message, Handling.ARCHIVE) for message in second])
    assert run(box(), checkpoint)[0] == ["a", "b", "c", "d"]
    checkpoint = source.settle([(message, Handling.ARCHIVE) for message in first])
    assert run(box(), checkpoint)[0] == []


def test_checkpoint_of_a_file_that_was_replaced_is_void(box: Box) -> None:
    box.deliver("a", "b")
    _, checkpoint = run(box())
    box.path.write_bytes(b"")
    box.deliver("c", "d", "e")
    assert run(box(), checkpoint)[0] == ["c", "d", "e"]
    box.path.write_bytes(b"")
    assert run(box(), checkpoint)[0] == []


def test_mails_come_again_when_killed_before_settle(box: Box) -> None:
    box.deliver(*"abc")
    assert len(next(iter(box.moving(batch_messages=2).batches("")))) == 2
    assert run(box.moving())[0] == ["a", "b", "c"]


NAMES = [f"{kind}{number}" for number in range(3) for kind in "abc"]
WANTED = {"a": Handling.ARCHIVE, "b": Handling.LEAVE, "c": Handling.INVALID, "n": Handling.LEAVE}


def settle_and_die(box: Box, left: int) -> None:
    """Settle in this process, which ends hard after so many steps: files opened, renamed, removed, synced."""
    source = box.moving()
    handled = [(message, WANTED[subject(message)[0]]) for batch in source.batches("") for message in batch]
    steps = iter(range(left))
    sync = os.fsync

    def step() -> None:
        if next(steps, None) is None:
            os._exit(9)

    def fsync(descriptor: int) -> None:
        step()
        sync(descriptor)
        step()

    os.fsync = fsync  # type: ignore[assignment]
    sys.addaudithook(lambda event, _: step() if event in ("open", "os.rename", "os.remove", "os.link") else None)
    source.settle(handled)
    os._exit(0)


def settle_killed_at_each_step(folder: Path, results: "multiprocessing.Queue[list[object]]") -> None:
    """Settle, killed after 0, 1, 2 ... steps, and say what was found when all was settled after that."""
    box = Box(folder)
    for left in count():
        for path in (box.path, box.archive, box.invalid):
            path.write_bytes(b"")
        box.deliver(*NAMES)
        child = os.fork()
        if child == 0:
            settle_and_die(box, left)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        box.deliver("new")
        source = box.moving(lock_timeout="5s")
        for batch in source.batches(""):
            source.settle([(message, WANTED[subject(message)[0]]) for message in batch])
        source.close()
        results.put([status, *(box.subjects(path) for path in (box.path, box.archive, box.invalid))])
        if status == 0:
            break


def test_move_loses_and_doubles_nothing_when_killed_at_any_step(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[list[object]] = context.Queue()
    process = context.Process(target=settle_killed_at_each_step, args=(tmp_path, results))
    process.start()
    kept, archived, invalid = ([name for name in NAMES if name[0] == kind] for kind in "bac")
    killed = 0
    while (found := results.get(timeout=60))[0] == 9:
        assert found == [9, [*kept, "new"], archived, invalid], killed
        killed += 1
    process.join()
    assert found == [0, [*kept, "new"], archived, invalid]
    assert killed > 20
    for path in tmp_path.rglob("*.mail"):
        path.unlink()


def test_batches_are_bounded_when_there_are_very_many(box: Box) -> None:
    box.deliver(*(f"{number}" for number in range(10_000)))
    source = box.moving(batch_messages=1_000)
    sizes = []
    for batch in source.batches(""):
        sizes.append(len(batch))
        source.settle([(message, Handling.ARCHIVE) for message in batch])
    assert sizes == [1_000] * 10
    assert box.path.stat().st_size == 0
    assert box.subjects(box.archive) == [f"{number}" for number in range(10_000)]


def test_batches_are_bounded_by_octets_and_a_large_mail_is_not_copied(box: Box) -> None:
    box.deliver("a", "x" * 1_000, "b", "c")
    source = box.moving(batch_bytes=30, max_message_bytes=500)
    batches = list(source.batches(""))
    assert [len(batch) for batch in batches] == [3, 1]
    with pytest.raises(BadInput, match="more than the 500"):
        batches[0][1].open()
    source.settle([(message, Handling.INVALID) for batch in batches for message in batch])
    assert box.path.stat().st_size == 0
    assert len(box.subjects(box.invalid)) == 4


@pytest.mark.parametrize("is_moved", [True, False])
def test_nothing_is_lost_when_an_mta_delivers_while_reading(box: Box, *, is_moved: bool) -> None:
    mta = subprocess.Popen([sys.executable, "-c", DELIVER, box.path])
    taken: list[str] = []
    checkpoint = ""
    while True:
        is_last = mta.poll() is not None
        source = box.moving(batch_messages=3) if is_moved else box(batch_messages=3)
        subjects, checkpoint = run(source, checkpoint)
        taken += subjects
        if is_last:
            break
    assert mta.wait() == 0
    assert taken == [f"{number}" for number in range(100)]
    assert box.subjects(box.archive) == (taken if is_moved else [])


DELIVER = """
import fcntl, sys, time
for number in range(100):
    with open(sys.argv[1], "ab") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        file.write(b"From s@example.com Tue Nov 24 10:00:00 2026\\nSubject: %d\\n\\nx\\n\\n" % number)
    time.sleep(0.005)
"""

HOLD = """
import fcntl, sys, time
with open(sys.argv[1], "ab") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    print(flush=True)
    sys.stdin.read()
"""


def test_lock_of_another_process_is_waited_for(box: Box) -> None:
    box.deliver("a")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, box.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(MailError, match="locked by another program") as caught:
            run(box.moving(lock_timeout="0s"))
        assert caught.value.transient
        process.communicate()
    assert run(box.moving())[0] == ["a"]


def test_lock_is_waited_for_by_a_clock_that_nobody_sets(box: Box) -> None:
    """The time of day is set back for an hour with each look; the wait ends all the same."""
    box.deliver("a")
    (box.folder / "mbox.lock").write_text("1:elsewhere")
    now = count(time.time(), -3600)
    config = Config(path=box.path, lock_timeout=timedelta(seconds=1))
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        assert len(naps) < 50, "it waits for ever"
        time.sleep(seconds)

    source = Adapter("box", config, box.folder / "spool", sleep=nap, clock=lambda: next(now))
    with pytest.raises(MailError, match="locked by another program"):
        run(source)
    (box.folder / "mbox.lock").unlink()


def test_dotlock_is_waited_for_unless_it_was_left_behind(box: Box) -> None:
    box.deliver("a")
    lock = box.folder / "mbox.lock"
    for owner in ("", "0", f"{os.getpid()}:{socket.gethostname()}", "1:elsewhere", "9" * 30):
        lock.write_text(owner)
        with pytest.raises(MailError, match="locked by another program"):
            run(box(lock_timeout="0s"))
        assert lock.exists()
    assert run(box(dotlock=False))[0] == ["a"]
    dead = subprocess.Popen(["true"])
    dead.wait()
    lock.write_text(f"{dead.pid}:{socket.gethostname()}")
    assert run(box())[0] == ["a"]
    lock.write_text("1:elsewhere")
    os.utime(lock, (0, 0))
    assert run(box())[0] == ["a"]


def test_fcntl_lock_is_held_while_mails_are_copied(box: Box) -> None:
    box.deliver("a")
    source = box.moving()
    with source._locked() as file:  # noqa: SLF001 - what a batch does
        held = subprocess.run([sys.executable, "-c", PROBE, box.path], check=True, capture_output=True, text=True)
        assert file.readable()
    free = subprocess.run([sys.executable, "-c", PROBE, box.path], check=True, capture_output=True, text=True)
    assert (held.stdout.strip(), free.stdout.strip()) == ("held", "free")


PROBE = """
import fcntl, sys
with open(sys.argv[1], "ab") as file:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        print("free")
    except OSError:
        print("held")
"""


def test_wait_ends_when_mail_comes(box: Box) -> None:
    naps = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            box.deliver("a")

    source = Adapter("box", Config(path=box.path), box.folder / "spool", sleep=sleep)
    assert run(source)[0] == []
    assert source.wait(0.2) is False
    assert source.wait(60) is True
    assert run(source)[0] == ["a"]
    source.keep_alive()
    source.close()


def test_file_that_is_no_mbox_or_not_there_is_no_source(box: Box) -> None:
    box.path.unlink()
    assert run(box.moving())[0] == []
    assert [line.kind for line in box.moving().check()] == ["problem", "hint", "ok"]
    with pytest.raises(MailError, match="/nowhere is not there"):
        run(box(path=box.folder / "nowhere" / "mbox"))
    box.path.write_text("Subject: a mail\n\nx\n")
    with pytest.raises(MailError, match="no mbox"):
        run(box())
    box.path.unlink()
    box.path.mkdir()
    with pytest.raises(MailError, match="Is a directory"):
        run(box())


def test_check_names_what_is_good(box: Box) -> None:
    assert [line.kind for line in box.moving().check()] == ["ok", "ok"]
    assert [line.kind for line in box(archive=box.folder / "nowhere" / "archive").check()] == ["ok", "problem"]


def test_checkpoint_is_json_that_a_store_can_keep(box: Box) -> None:
    box.deliver("a")
    _, checkpoint = run(box())
    assert set(json.loads(checkpoint)) == {"last", "digest", "left"}
