"""
An mbox file that an MTA delivers to (RFC 4155), locked as MTAs lock it: a dotlock and fcntl.

A batch is copied out under the lock, so that the MTA never waits for our parsing. With an archive, handled mails are
moved to it: first a journal is written, then the archive, then the mbox in place (an MTA may have it open already), so
that a crash anywhere is made good by whoever comes next. Without an archive nothing is written, and a checkpoint tells
what was handled. Mails are known by their digest, as a place in the file does not last.
"""

import fcntl
import json
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Self

from pydantic import Field, model_validator

from dmarcops.errors import MailError
from dmarcops.mail.mbox_format import Span, is_mbox, mails
from dmarcops.mail.mbox_journal import Journal
from dmarcops.mail.spool import Batch, Bounds, Spool, bad, good, printable, too_big
from dmarcops.ports import Finding, Handling, Message
from dmarcops.settings import Duration

_CHUNK = 1024 * 1024
_NAP = 0.2
_STALE_SECONDS = 500
"""After so long Postfix takes a dotlock for one that was left behind (`stale_lock_time`)."""


class Config(Bounds):
    """`kind = "mbox"`."""

    path: Path
    """The mbox."""
    archive: Path | None = None
    """The mbox that handled mails are moved to, written by this mailbox alone; absent: they stay where they are."""
    invalid: Path | None = None
    """The one for mails of which something was not stored; absent: `archive`."""
    dotlock: bool = True
    """Lock by a file `PATH.lock` too, which needs leave to write in its folder."""
    lock_timeout: Duration = timedelta(seconds=30)
    """How long to wait for the lock."""
    batch_messages: int = Field(default=500, ge=1)
    """Messages copied out before they are handed on, at most; each batch that is settled rewrites the mbox once."""

    @property
    def files(self) -> tuple[tuple[str, Path], ...]:
        """Its files, each with its key and by its real name."""
        given = (("path", self.path), ("archive", self.archive), ("invalid", self.invalid))
        return tuple((key, Path(os.path.realpath(file.expanduser()))) for key, file in given if file is not None)

    @model_validator(mode="after")
    def _is_moved_elsewhere(self) -> Self:
        (_, path), *targets = self.files
        for key, target in targets:
            if target == path:
                raise ValueError(f"{key} is the same file as path; leave it out, or name another one")
        return self

    def clash(self, other: "Config") -> tuple[str, str] | None:
        """Give the keys of this mbox and of another one that are the same file, though one of the two writes it."""
        pairs = ((own, its) for own, file in self.files for its, theirs in other.files if file == theirs)
        return next((keys for keys in pairs if keys != ("path", "path")), None)


class Adapter:
    """
    The mails of an mbox.

    Args:
        name: Its name in the configuration.
        config: What was configured.
        folder: Where mails are copied to (0700).
        sleep: How it waits.
        clock: The time, in seconds since 1970.
        timer: Seconds that only go forward.
    """

    def __init__(
        self,
        name: str,
        config: Config,
        folder: Path,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._config = config
        self._path = _absolute(config.path)
        self._spool = Spool(folder)
        self._sleep = sleep
        self._clock = clock
        self._timer = timer
        self._given: dict[str, Span] = {}
        self._known = _Checkpoint("")
        self._next = 0
        self._state: tuple[int, int] | None = None
        archive = _absolute(config.archive or config.path)
        self._journal = Journal(archive.with_name(f"{archive.name}.journal")) if config.archive else None

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self._name

    def batches(self, checkpoint: str) -> Iterator[Sequence[Message]]:
        """Give the mails that are there, without those that the checkpoint knows."""
        self._known = _Checkpoint(checkpoint)
        self._next = 0
        self._state = _state(self._path)
        if self._state is None and self._path.parent.is_dir():
            return  # an MTA makes it with the first mail
        met: set[str] = set()
        while batch := self._batch(met):
            yield batch

    def settle(self, handled: Sequence[tuple[Message, Handling]]) -> str:
        """Move handled mails to the archive; without one, say what was handled."""
        known = {message.origin: handling for message, handling in handled if message.origin in self._given}
        if self._journal is not None:
            self._move({origin: handling for origin, handling in known.items() if handling is not Handling.LEAVE})
        for origin, handling in known.items():
            span = self._given.pop(origin)
            self._spool.forget(origin)
            if self._journal is None:
                self._known.add(span, origin, is_left=handling is Handling.LEAVE)
        if self._journal is not None:
            return ""
        return self._known.text(min((span.line for span in self._given.values()), default=None))

    def keep_alive(self) -> None:
        """Do nothing: there is no session, and the lock is not held."""

    def wait(self, seconds: float) -> bool:
        """Wait until the mbox is another one than the last `batches` saw."""
        for _ in range(max(1, round(seconds / _NAP))):
            if _state(self._path) != self._state:
                return True
            self._sleep(min(seconds, _NAP))
        return False

    def close(self) -> None:
        """Delete what was copied."""
        self._given.clear()
        self._spool.clear()

    def check(self) -> Sequence[Finding]:
        """See that the mbox can be locked and is one, and that the archive can be written."""
        findings: list[Finding] = []
        try:
            with self._locked() as file:
                self._check(file)
            findings += good(f"{self._path} is an mbox, and can be locked")
        except MailError as error:
            findings += bad(str(error), error.hint)
        targets = [target for target in (self._config.archive, self._config.invalid) if target is not None]
        for folder in dict.fromkeys(_absolute(target).parent for target in targets):
            is_good = os.access(folder, os.W_OK | os.X_OK)
            findings += good(f"{folder} can be written") if is_good else bad(f"{folder} cannot be written")
        return findings

    def _target(self, handling: Handling) -> Path:
        target = self._config.archive
        if handling is Handling.INVALID and self._config.invalid is not None:
            target = self._config.invalid
        return _absolute(target or self._path)

    def _batch(self, met: set[str]) -> Sequence[Message]:
        """Copy out the next mails that were not met yet."""
        batch: Batch[Message] = Batch(self._config)
        with self._locked() as file:
            self._check(file)
            is_known = self._known.is_of(file)
            for span in mails(file, self._begin(file)):
                origin = "" if is_known and self._known.has(span) else self._origin(file, span)
                if origin and origin not in met and origin not in self._given:
                    met.add(origin)
                    self._given[origin] = span
                    batch.add(*self._copied(file, span, origin))
                self._next = span.stop
                if batch.is_full:
                    break
        return batch.messages

    def _begin(self, file: BinaryIO) -> int:
        """Give the place from which on nothing was looked at, or the start when the file is not what it was."""
        file.seek(self._next)
        if self._next and not (is_mbox(file) or file.seek(0, os.SEEK_END) == self._next):
            self._next = 0
        return self._next

    def _check(self, file: BinaryIO) -> None:
        file.seek(0)
        if not is_mbox(file) and file.seek(0, os.SEEK_END):
            raise MailError(f"{self._name}: {self._path} is no mbox", hint="look at `path`")

    def _origin(self, file: BinaryIO, span: Span) -> str:
        return printable(f"{self._path}/{digest_of(file, span)}")

    def _copied(self, file: BinaryIO, span: Span, origin: str) -> tuple[Message, int]:
        size = span.stop - span.start
        if size > self._config.max_message_bytes:
            return too_big(origin, size, self._config.max_message_bytes), 0
        return self._spool.write(origin, octets(file, span.start, span.stop), size), size

    def _move(self, handled: Mapping[str, Handling]) -> None:
        """Move mails to their archives; those that are not there any more were moved before."""
        if not handled or self._journal is None:
            return
        with self._locked() as file:
            spans = []
            targets = {}
            for span in mails(file):
                spans.append(span)
                if handling := handled.get(self._origin(file, span)):
                    targets[span] = self._target(handling)
            if targets:
                self._journal.move(file, spans, targets)
                self._next = 0

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        """Give the mbox, locked, with nothing left to be done of an earlier move."""
        deadline = self._timer() + self._config.lock_timeout.total_seconds()
        try:
            with ExitStack() as stack:
                if self._config.dotlock:
                    stack.enter_context(self._dotlock(deadline))
                file = stack.enter_context(_opened(self._path, is_written=self._journal is not None))
                self._fcntl(file, deadline)
                if self._journal is not None:
                    self._journal.finish(file)
                yield file
        except FileNotFoundError as error:
            folder = self._path.parent  # without it, it is the lock that could not be made
            missing = error.filename if folder.is_dir() else folder
            raise MailError(f"{self._name}: {missing} is not there", hint="look at `path`") from error
        except OSError as error:
            hint = "it is to be readable and, with an archive or a dotlock, writable, as is its folder"
            raise MailError(f"{self._name}: {error.filename or self._path}: {error.strerror}", hint=hint) from error

    @contextmanager
    def _dotlock(self, deadline: float) -> Iterator[None]:
        path = self._path.with_name(f"{self._path.name}.lock")
        # Linked to its place with its owner in it, so that a lock left behind by a crash always names one.
        new = path.with_name(f"{path.name}-{secrets.token_hex(4)}")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w") as file:
            file.write(_owner())
        try:
            while True:
                try:
                    path.hardlink_to(new)
                    break
                except FileExistsError:
                    self._break(path)
                    self._nap(deadline)
        finally:
            new.unlink()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)

    def _break(self, path: Path) -> None:
        """Remove a dotlock whose owner is dead, or which is so old that MTAs would remove it too."""
        with suppress(FileNotFoundError):
            is_old = self._clock() - path.stat().st_mtime > _STALE_SECONDS
            if is_old or _is_dead(path.read_text(errors="replace")):
                path.unlink()

    def _fcntl(self, file: BinaryIO, deadline: float) -> None:
        how = fcntl.LOCK_EX if file.writable() else fcntl.LOCK_SH
        while True:
            try:
                fcntl.lockf(file, how | fcntl.LOCK_NB)
                break
            except (BlockingIOError, PermissionError):
                self._nap(deadline)
        if not os.path.samestat(os.fstat(file.fileno()), self._path.stat()):
            raise MailError(f"{self._name}: {self._path} was replaced while its lock was waited for", transient=True)

    def _nap(self, deadline: float) -> None:
        if self._timer() > deadline:
            raise MailError(f"{self._name}: {self._path} is locked by another program", transient=True)
        self._sleep(_NAP)


class _Checkpoint:
    """What was handled of an mbox that is not written: all up to a place, but some that were left."""

    def __init__(self, text: str) -> None:
        known = json.loads(text or "{}")
        self._last = Span(*known.get("last", (0, 0, 0)))
        self._digest: str = known.get("digest", "")
        self._left: set[int] = set(known.get("left", ()))
        self._settled: dict[Span, str] = {}

    def is_of(self, file: BinaryIO) -> bool:
        """Tell whether the file still has the last handled mail where it was; if not, it is another one."""
        if not self._digest or digest_of(file, self._last) == self._digest:
            return True
        self._left.clear()
        self._last, self._digest = Span(0, 0, 0), ""
        return False

    def has(self, span: Span) -> bool:
        """Tell whether a mail was handled."""
        return span.stop <= self._last.stop and span.line not in self._left

    def add(self, span: Span, origin: str, *, is_left: bool) -> None:
        """Remember how a mail was settled."""
        self._settled[span] = origin.rpartition("/")[2]
        if is_left:
            self._left.add(span.line)
        else:
            self._left.discard(span.line)

    def text(self, limit: int | None) -> str:
        """Give the checkpoint; mails from `limit` on are not settled all."""
        done = [span for span in self._settled if limit is None or span.stop <= limit]
        last = max(done, key=lambda span: span.stop, default=self._last)
        if last.stop > self._last.stop:
            self._last, self._digest = last, self._settled[last]
        for span in done:
            del self._settled[span]
        left = sorted(line for line in self._left if line < self._last.stop)
        last_as_list = [self._last.line, self._last.start, self._last.stop]
        return json.dumps({"last": last_as_list, "digest": self._digest, "left": left}, separators=(",", ":"))


def octets(file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    """Give a part of a file, without a change of where it is read; nothing is to be written that is not on disk."""
    while chunk := os.pread(file.fileno(), min(_CHUNK, stop - start), start):
        start += len(chunk)
        yield chunk


def digest_of(file: BinaryIO, span: Span) -> str:
    """Give the digest of a mail with its `From ` line, without the empty lines that only part it from the next."""
    digest = sha256()
    ends = b""
    for chunk in octets(file, span.line, span.stop):
        content = chunk.rstrip(b"\r\n")
        if content:
            digest.update(ends + content)
            ends = b""
        ends += chunk[len(content) :]
    return digest.hexdigest()[:32]


def _opened(path: Path, *, is_written: bool) -> BinaryIO:
    if is_written:
        return path.open("r+b")
    return path.open("rb")


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 - no look at the disk, no links followed


def _state(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _owner() -> str:
    return f"{os.getpid()}:{socket.gethostname()}"


def _is_dead(owner: str) -> bool:
    """Tell whether a lock's owner was a process of this host that is no more."""
    pid, _, host = owner.strip().partition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False
