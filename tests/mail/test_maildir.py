"""A Maildir of our own, with deliveries and flags by the hand of an MTA or MUA."""

import os
import pickle
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from dmarcops.errors import BadInput, MailError
from dmarcops.mail.maildir import Adapter, Config
from dmarcops.ports import Handling, Message


@pytest.fixture
def box(tmp_path: Path) -> Path:
    path = tmp_path / "Maildir"
    for name in ("cur", "new", "tmp"):
        (path / name).mkdir(parents=True)
    return path


def deliver(box: Path, name: str, octets: bytes = b"Subject: x\n\nx\n", *, subfolder: str = "new") -> None:
    (box / "tmp" / name).write_bytes(octets)
    (box / "tmp" / name).rename(box / subfolder / name)


def adapter(box: Path, **keys: object) -> Adapter:
    return Adapter("rua", Config.model_validate({"path": box} | keys), box / "unused", sleep=lambda _: None)


def taken(source: Adapter, handling: Handling = Handling.ARCHIVE) -> list[str]:
    origins = []
    for batch in source.batches(""):
        origins += [message.origin for message in batch]
        source.settle([(message, handling) for message in batch])
    return origins


def given(source: Adapter) -> list[Message]:
    return [message for batch in source.batches("") for message in batch]


def content(message: Message) -> bytes:
    with message.open() as stream:
        return stream.read()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_batches_give_new_and_cur_without_flags_in_the_origin(box: Path) -> None:
    deliver(box, "1.a.host", b"one")
    deliver(box, "2.b.host:2,RS", b"two", subfolder="cur")
    messages = pickle.loads(pickle.dumps(given(adapter(box))))  # noqa: S301 - as they go to a worker process
    assert {message.origin: content(message) for message in messages} == {
        f"{box}/1.a.host": b"one",
        f"{box}/2.b.host": b"two",
    }


def test_settle_moves_to_archive_and_invalid_with_flags_kept(box: Path) -> None:
    deliver(box, "1.a.host")
    deliver(box, "2.b.host:2,F", subfolder="cur")
    deliver(box, "3.c.host")
    source = adapter(box, archive="DMARC/Archive", invalid="DMARC/Invalid")
    handlings = {"1": Handling.ARCHIVE, "2": Handling.ARCHIVE, "3": Handling.INVALID}
    handled = [(message, handlings[Path(message.origin).name[0]]) for message in given(source)]
    assert source.settle(handled) == ""
    assert source.settle(handled) == ""
    assert names(box / ".DMARC.Archive/cur") == ["1.a.host:2,S", "2.b.host:2,FS"]
    assert names(box / ".DMARC.Invalid/cur") == ["3.c.host:2,S"]
    assert given(source) == []


def test_settle_without_archive_flags_and_is_not_misled_by_a_reader(box: Path) -> None:
    deliver(box, "1.a.host")
    deliver(box, "2.b.host:2,S", subfolder="cur")
    assert len(taken(adapter(box))) == 2
    assert names(box / "cur") == ["1.a.host:2,PS", "2.b.host:2,PS"]
    assert names(box / "new") == []
    assert taken(adapter(box)) == []


def test_settle_leaves_what_could_not_be_read(box: Path) -> None:
    deliver(box, "1.a.host")
    source = adapter(box, archive="Archive")
    assert len(taken(source, Handling.LEAVE)) == 1
    assert names(box / "new") == ["1.a.host"]
    assert source.wait(1) is False
    assert len(taken(source)) == 1


def test_messages_come_again_when_killed_before_settle(box: Path) -> None:
    for number in range(5):
        deliver(box, f"{number}.host")
    first = next(iter(adapter(box, batch_messages=3).batches("")))
    assert len(first) == 3
    assert len(taken(adapter(box, archive="Archive"))) == 5
    assert len(names(box / ".Archive/cur")) == 5


def test_message_opens_and_settles_when_a_reader_moves_it(box: Path) -> None:
    deliver(box, "1.a.host", b"one")
    source = adapter(box, archive="Archive")
    [message] = given(source)
    (box / "new/1.a.host").rename(box / "cur/1.a.host:2,S")
    with message.open() as stream:
        assert stream.read() == b"one"
    (box / "cur/1.a.host:2,S").rename(box / "cur/1.a.host:2,FS")
    source.settle([(message, Handling.ARCHIVE)])
    assert names(box / ".Archive/cur") == ["1.a.host:2,FS"]


def test_settle_is_content_when_the_mail_is_gone(box: Path) -> None:
    deliver(box, "1.a.host")
    source = adapter(box, archive="Archive")
    [message] = given(source)
    (box / "new/1.a.host").unlink()
    with pytest.raises(FileNotFoundError):
        message.open()
    source.settle([(message, Handling.ARCHIVE)])
    assert not (box / ".Archive").exists()


def test_settle_overwrites_no_mail_of_the_same_name_in_the_archive(box: Path) -> None:
    for octets in (b"one", b"two", b"three"):
        deliver(box, "same", octets)
        assert len(taken(adapter(box, archive="Archive"))) == 1
    assert {path.read_bytes() for path in (box / ".Archive/cur").iterdir()} == {b"one", b"two", b"three"}


def test_batches_are_bounded_when_there_are_very_many(box: Path) -> None:
    for number in range(10_000):
        (box / "new" / f"{number}.host").touch()
    source = adapter(box, archive="Archive")
    sizes = []
    origins = set()
    for batch in source.batches(""):
        sizes.append(len(batch))
        origins |= {message.origin for message in batch}
        source.settle([(message, Handling.ARCHIVE) for message in batch])
    assert max(sizes) == 200
    assert sum(sizes) == len(origins) == len(names(box / ".Archive/cur")) == 10_000


def test_batches_are_bounded_by_octets(box: Path) -> None:
    for number in range(4):
        deliver(box, f"{number}", b"x" * 600)
    assert [len(batch) for batch in adapter(box, batch_bytes=1000).batches("")] == [2, 2]


def test_message_over_the_limit_is_not_read_but_settled(box: Path) -> None:
    deliver(box, "big", b"x" * 600)
    source = adapter(box, max_message_bytes=500, invalid="Invalid")
    [message] = given(source)
    with pytest.raises(BadInput, match="600 octets, more than the 500") as caught:
        message.open()
    assert caught.value.code == "mail-too-big"
    source.settle([(message, Handling.INVALID)])
    assert names(box / ".Invalid/cur") == ["big:2,S"]


def test_batches_ignore_what_is_no_mail(box: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (box / "new/link").symlink_to(tmp_path / "secret")
    (box / "new/folder").mkdir()
    (box / "new/.hidden").write_text("x")
    (box / "tmp/unfinished").write_text("x")
    os.mkfifo(box / "new/pipe")
    assert given(adapter(box)) == []


def test_message_is_no_link_when_it_becomes_one(box: Path, tmp_path: Path) -> None:
    deliver(box, "1.host")
    [message] = given(adapter(box))
    (tmp_path / "secret").write_text("x")
    (box / "new/1.host").unlink()
    (box / "new/1.host").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic links"):
        message.open()


@pytest.mark.parametrize(
    "name", [b"a\nb", b"a b;rm -rf", b"\xff\xfe", "ü".encode(), b"-rf", b"x:3,abc", b":2,", b"a:2,S:2,S"]
)
def test_hostile_names_are_only_names(box: Path, name: bytes) -> None:
    (box / "new" / os.fsdecode(name)).write_bytes(b"one")
    source = adapter(box, archive="Archive")
    [message] = given(source)
    message.origin.encode()
    assert content(message) == b"one"
    source.settle([(message, Handling.ARCHIVE)])
    assert len(names(box / ".Archive/cur")) == 1
    assert given(source) == []


def test_nothing_is_lost_when_mail_is_delivered_while_reading(box: Path) -> None:
    def deliveries() -> None:
        for number in range(500):
            deliver(box, f"{number}.host", str(number).encode())

    source = adapter(box, archive="Archive", batch_messages=7)
    origins: list[str] = []
    mta = threading.Thread(target=deliveries)
    mta.start()
    while mta.is_alive():
        origins += taken(source)
    origins += taken(source)
    assert len(origins) == len(set(origins)) == 500
    assert len(names(box / ".Archive/cur")) == 500


def test_two_pollers_lose_and_double_nothing(box: Path) -> None:
    for number in range(300):
        deliver(box, f"{number}.host")
    sources = [adapter(box, archive="Archive", batch_messages=5) for _ in range(2)]
    batches: list[Iterable[object]] = []

    def poll(source: Adapter) -> None:
        batches.append(taken(source))

    threads = [threading.Thread(target=poll, args=(source,)) for source in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {origin for batch in batches for origin in batch} == {f"{box}/{number}.host" for number in range(300)}
    assert len(names(box / ".Archive/cur")) == 300
    assert names(box / "new") == names(box / "cur") == []


def test_wait_ends_when_mail_comes(box: Path) -> None:
    naps = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            deliver(box, "1.host")

    source = Adapter("rua", Config(path=box), box, sleep=sleep)
    assert source.wait(60) is True
    assert len(naps) == 3
    assert taken(source) == [f"{box}/1.host"]
    source.keep_alive()
    source.close()


def test_batches_fail_when_there_is_no_maildir(tmp_path: Path) -> None:
    with pytest.raises(MailError, match=r"cannot list .*new: No such file") as caught:
        list(adapter(tmp_path).batches(""))
    assert not caught.value.transient


def test_settle_fails_when_the_archive_cannot_be_written(box: Path) -> None:
    (box / ".Archive").write_text("a file")
    deliver(box, "1.host")
    source = adapter(box, archive="Archive")
    messages = given(source)
    with pytest.raises(MailError, match="cannot move a mail"):
        source.settle([(messages[0], Handling.ARCHIVE)])
    (box / ".Archive").unlink()
    source.settle([(messages[0], Handling.ARCHIVE)])
    assert names(box / ".Archive/cur") == ["1.host:2,S"]


def test_check_takes_a_folder_that_settle_makes(box: Path) -> None:
    assert [line.kind for line in adapter(box).check()] == ["ok"]
    deliver(box, "1.host")
    source = adapter(box, archive="DMARC/Archive", invalid="DMARC/Invalid")
    assert [line.kind for line in source.check()] == ["ok", "ok", "ok"]
    assert not (box / ".DMARC.Archive").exists()
    source.settle([(message, Handling.ARCHIVE) for message in given(source)])
    assert [line.text for line in source.check()] == [
        f"{box} can be read and written",
        f"{box}/.DMARC.Archive can be read and written",
        f"{box}/.DMARC.Invalid is made when the first mail is moved there",
    ]


def test_check_says_what_is_missing(box: Path) -> None:
    (box / ".Archive").mkdir()
    first, second, third = adapter(box, archive="Archive").check()
    assert [first.kind, second.kind, third.kind] == ["ok", "problem", "hint"]
    assert ".Archive/new is not there" in second.text
    problem, hint = adapter(box / "wrong", archive="Archive").check()
    assert (problem.kind, hint.kind) == ("problem", "hint")
    assert "wrong/new is not there" in problem.text
