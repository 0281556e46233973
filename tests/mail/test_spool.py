import pickle
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from dmarcops.errors import BadInput, MailError
from dmarcops.mail.spool import Batch, Bounds, Fetched, Spool, printable


def test_spool_keeps_a_message_for_its_owner_alone_until_it_is_forgotten(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "new" / "spool")
    message = spool.write("a", [b"one", b"two"], 6)
    assert isinstance(message, Fetched)
    assert message.path.stat().st_mode & 0o777 == 0o600
    assert message.path.parent.stat().st_mode & 0o777 == 0o700
    with pickle.loads(pickle.dumps(message)).open() as stream:  # noqa: S301 - as it goes to a worker process
        assert stream.read() == b"onetwo"
    spool.write("a", [b"again"], 6)
    assert len(list(message.path.parent.iterdir())) == 1
    spool.forget("a")
    spool.forget("a")
    spool.write("b", [b""], 6)
    spool.clear()
    assert list((tmp_path / "new" / "spool").iterdir()) == []


def test_spool_withholds_what_is_over_the_limit(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    message = spool.write("a", [b"x" * 6, b"x"], 6)
    with pytest.raises(BadInput, match="7 octets, more than the 6") as caught:
        message.open()
    assert (caught.value.code, caught.value.outcome) == ("mail-too-big", "unsupported")
    assert list(tmp_path.rglob("*.mail")) == []


@pytest.mark.parametrize("size", [100, 100_000])
def test_spool_says_that_it_cannot_write_when_the_disk_is_full(tmp_path: Path, size: int) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(MailError, match="cannot write") as caught:
            Spool(tmp_path).write("a", [b"x" * size], size)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.transient


def test_spool_says_that_it_cannot_write_when_there_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MailError, match="cannot write"):
        Spool(tmp_path / "file").write("a", [], 1)


def test_spool_lets_errors_of_a_source_pass(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x"
        raise TimeoutError

    with pytest.raises(TimeoutError):
        Spool(tmp_path).write("a", broken(), 10)


def test_batch_is_full_by_count_or_octets() -> None:
    batch: Batch[str] = Batch(Bounds(batch_messages=2, batch_bytes=10))
    batch.add("a", 9)
    assert not batch.is_full
    batch.add("b", 0)
    assert batch.is_full
    batch = Batch(Bounds(batch_messages=2, batch_bytes=10))
    batch.add("a", 10)
    assert batch.is_full


@pytest.mark.parametrize(
    ("name", "text"),
    [(b"a\xffb", r"a\xffb"), ("a\udcffb", r"a\xffb"), ("a\0b", r"a\x00b"), ("ü", "ü"), (b"a\nb", "a\nb")],
)
def test_printable_is_text_that_every_database_takes(name: bytes | str, text: str) -> None:
    assert printable(name) == text
