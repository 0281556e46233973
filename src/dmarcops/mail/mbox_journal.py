"""
How mails are moved from an mbox that others deliver to into archives, so that a crash neither loses nor doubles one.

All that is to be written stands in a journal first: what archives get, and what of the mbox is to follow its first
removed mail. From then on the move is only repeated, by whoever comes next, until it is done. The mbox is written in
place, since an MTA may have it open and wait for its lock. The caller holds the mbox's lock.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from dmarcops.mail.mbox_format import Span

_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Move:
    """
    A move that is committed: its archives (path, size before, octets to add, in the order of the data file), and the
    mbox: up to `start` it stays, then come `kept` octets, which are in the data file from `kept_at` on.

    `length` is its size before, `rest` the digest of what is cut off: by it is known whether that was done already.
    """

    archives: tuple[tuple[str, int, int], ...]
    start: int
    kept: int
    kept_at: int
    length: int
    rest: str


class Journal:
    """
    The journal of one mbox.

    Args:
        path: Where it is, on a disk that lasts; its data is beside it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._data = path.with_name(f"{path.name}-data")

    def move(self, mbox: BinaryIO, spans: Sequence[Span], targets: Mapping[Span, Path]) -> None:
        """
        Move mails of an mbox to archives.

        Args:
            mbox: The mbox, open for reading and writing, and locked.
            spans: All its mails.
            targets: The mails to be moved, and the archive of each.
        """
        start = min(span.line for span in targets)
        after = [span for span in spans if span.line > start and span not in targets]
        archives = []
        with _opened(self._data) as data:
            for archive in dict.fromkeys(targets.values()):
                begin = data.tell()
                for span in spans:
                    if targets.get(span) == archive:
                        _copy(_mail(mbox, span), data)
                size = archive.stat().st_size if archive.exists() else 0
                archives.append((str(archive), size, data.tell() - begin))
            kept_at = data.tell()
            for span in after:
                _copy(_part(mbox, span.line, span.stop), data)
            kept = data.tell() - kept_at
            _sync(data)
        length = mbox.seek(0, os.SEEK_END)
        rest = _digest(_part(mbox, start + kept, length))
        self._commit(_Move(archives=tuple(archives), start=start, kept=kept, kept_at=kept_at, length=length, rest=rest))
        self.finish(mbox)

    def finish(self, mbox: BinaryIO) -> None:
        """Do what is committed and not done, if there is any."""
        move = self._committed()
        if move is None:
            return
        self._add(move)
        stop = move.start + move.kept
        size = mbox.seek(0, os.SEEK_END)
        is_cut = size < move.length or _digest(_part(mbox, stop, move.length)) != move.rest
        if not is_cut and size > move.length:
            # Delivered after the crash: it is kept behind what is kept.
            move = self._extended(mbox, move, size)
            stop = move.start + move.kept
        if not is_cut:
            with self._data.open("rb") as data:
                mbox.seek(move.start)
                _copy(_part(data, move.kept_at, move.kept_at + move.kept), mbox)
            mbox.truncate(stop)
            _sync(mbox)
        self._path.unlink()
        self._data.unlink(missing_ok=True)

    def _add(self, move: _Move) -> None:
        """Write the archives, anew if a part was written already."""
        position = 0
        with ExitStack() as stack:
            data = stack.enter_context(self._data.open("rb")) if move.archives else None
            for name, size, length in move.archives:
                archive = stack.enter_context(os.fdopen(os.open(name, os.O_RDWR | os.O_CREAT, 0o600), "r+b"))
                archive.truncate(size)
                archive.seek(size)
                if data is not None:
                    _copy(_part(data, position, position + length), archive)
                _sync(archive)
                position += length

    def _extended(self, mbox: BinaryIO, move: _Move, size: int) -> _Move:
        with self._data.open("r+b") as data:
            data.truncate(move.kept_at + move.kept)
            data.seek(0, os.SEEK_END)
            _copy(_part(mbox, move.length, size), data)
            _sync(data)
        kept = move.kept + size - move.length
        rest = _digest(_part(mbox, move.start + kept, size))
        extended = _Move(archives=(), start=move.start, kept=kept, kept_at=move.kept_at, length=size, rest=rest)
        self._commit(extended)
        return extended

    def _commit(self, move: _Move) -> None:
        new = self._path.with_name(f"{self._path.name}-new")
        with _opened(new) as file:
            file.write(json.dumps(asdict(move)).encode())
            _sync(file)
        new.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _committed(self) -> _Move | None:
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return None
        return _Move(**json.loads(text))


def _opened(path: Path) -> BinaryIO:
    """Open a file of ours anew, for us alone."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb")


def _part(file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    while start < stop:
        file.seek(start)
        chunk = file.read(min(_CHUNK, stop - start))
        if not chunk:
            return
        start += len(chunk)
        yield chunk


def _mail(mbox: BinaryIO, span: Span) -> Iterator[bytes]:
    """Give a mail with its `From ` line, and an empty line at its end, without which the next would not be found."""
    end = b""
    for chunk in _part(mbox, span.line, span.stop):
        end = (end + chunk)[-3:]
        yield chunk
    if not end.endswith((b"\n\n", b"\n\r\n")):
        yield b"\n" if end.endswith(b"\n") else b"\n\n"


def _copy(chunks: Iterable[bytes], file: BinaryIO) -> None:
    file.writelines(chunks)


def _digest(chunks: Iterable[bytes]) -> str:
    digest = sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
