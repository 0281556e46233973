import io
import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from dmarcops.errors import ConfigError
from dmarcops.mail.files import FileMessage, MboxMessage, check_paths, messages

MAILS = (
    b"Subject: one\n\nFrom the start of a paragraph\n",
    b"Subject: two\n\nbody\n>From quoted\n",
    b"Subject: three\n\n\n",
)


def mbox(*mails: bytes) -> bytes:
    return b"".join(b"From sender@example.com Tue Nov 24 10:00:00 2026\n" + mail + b"\n" for mail in mails)


def listed(*paths: Path | str, stdin: bytes = b"") -> Iterator[FileMessage | MboxMessage]:
    with TemporaryDirectory() as folder:
        yield from messages([str(path) for path in paths], stdin=io.BytesIO(stdin), folder=Path(folder))


def read(*paths: Path | str, stdin: bytes = b"") -> list[tuple[str, bytes]]:
    found = []
    for message in listed(*paths, stdin=stdin):
        with pickle.loads(pickle.dumps(message)).open() as stream:  # noqa: S301 - as it goes to a worker process
            found.append((message.origin, stream.read()))
    return found


def test_messages_of_a_file_is_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(b"<feedback/>")
    assert read(path) == [(str(path), b"<feedback/>")]


def test_messages_of_a_relative_path_have_an_absolute_origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.xml").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    assert read("a.xml") == [(str(tmp_path / "a.xml"), b"x")]


def test_messages_of_a_directory_are_its_files_in_order(tmp_path: Path) -> None:
    for name in ("b.xml", "a.xml", "sub/c.xml", ".hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    os.mkfifo(tmp_path / "pipe")
    assert [data for _, data in read(tmp_path)] == [b"a.xml", b"b.xml", b"sub/c.xml"]


def test_messages_of_a_maildir_are_its_mails_only(tmp_path: Path) -> None:
    for name in ("cur/1:2,S", "new/2", "tmp/3", "dovecot.index", ".Sent/cur/4", ".Sent/new/5", ".Sent/tmp/6"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    assert sorted(data for _, data in read(tmp_path)) == [b".Sent/cur/4", b".Sent/new/5", b"cur/1:2,S", b"new/2"]


def test_messages_of_an_mbox_are_its_mails(tmp_path: Path) -> None:
    path = tmp_path / "box"
    path.write_bytes(mbox(*MAILS))
    assert read(path) == [(f"{path}:{number}", mail + b"\n") for number, mail in enumerate(MAILS, start=1)]


def test_message_of_an_mbox_can_be_sought(tmp_path: Path) -> None:
    path = tmp_path / "box"
    path.write_bytes(mbox(*MAILS))
    second = list(listed(path))[1]
    with second.open() as stream:
        assert stream.seek(0, os.SEEK_END) == len(MAILS[1]) + 1
        assert stream.seek(9) == 9
        assert stream.read(3) == b"two"
        assert stream.seek(-3, os.SEEK_CUR) == 9
        assert stream.read() == MAILS[1][9:] + b"\n"
        assert stream.seek(-100, os.SEEK_CUR) == 0


def test_messages_of_an_mbox_with_endless_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "box"
    long = b"x" * 200_000 + b"\n"
    path.write_bytes(mbox(long, b"Subject: after\n"))
    assert [data for _, data in read(path)] == [long + b"\n", b"Subject: after\n\n"]


def test_messages_of_stdin_have_the_origin_dash() -> None:
    assert read("-", stdin=b"<feedback/>") == [("-", b"<feedback/>")]
    assert [origin for origin, _ in read("-", stdin=mbox(*MAILS))] == ["-:1", "-:2", "-:3"]


def test_messages_of_a_pipe_can_be_opened_again_and_again(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    def feed(content: bytes) -> threading.Thread:
        writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(content,), daemon=True)
        writer.start()
        return writer

    writer = feed(b"<feedback/>")
    (message,) = list(messages([str(tmp_path / "pipe")], stdin=io.BytesIO(), folder=tmp_path))
    writer.join()
    assert not message.path.is_fifo()
    for _ in range(2):
        with message.open() as file:
            assert file.read() == b"<feedback/>"
    assert message.origin == f"{tmp_path}/pipe"
    feed(mbox(*MAILS))
    assert [origin for origin, _ in read(tmp_path / "pipe")] == [f"{tmp_path}/pipe:{number}" for number in (1, 2, 3)]


def test_messages_account_for_what_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    [message] = listed(tmp_path)
    with pytest.raises(FileNotFoundError):
        message.open()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every directory")
def test_messages_account_for_a_directory_that_cannot_be_listed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    [message] = listed(tmp_path)
    assert message.origin == str(closed)


def test_check_paths_refuses_a_path_that_is_not_there(tmp_path: Path) -> None:
    check_paths(["-", str(tmp_path)])
    with pytest.raises(ConfigError, match=r"no such file or directory: .*/nothing"):
        check_paths([str(tmp_path), str(tmp_path / "nothing")])
