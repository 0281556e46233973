"""From the configuration to the objects that the flows work with. Decides nothing, and does no I/O but opening them."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from dmarcops.config import Config
from dmarcops.flows.ingest import Ingest
from dmarcops.flows.look import Found, Rules, look
from dmarcops.flows.lookers import Lookers
from dmarcops.flows.retry import RetrySource
from dmarcops.mail.files import messages, reopened
from dmarcops.ports import Progress
from dmarcops.report.align import suffix_list
from dmarcops.report.limits import Limits
from dmarcops.store.engine import Store
from dmarcops.store.intake import IncomingRejection

_FOLDER = "dmarcops-run-"
_LOCK = "lock"


def open_store(config: Config) -> Store:
    """
    Open the store, and create or migrate its schema when needed.

    Raises:
        ConfigError: Its address cannot be used.
        StoreError: It cannot be opened.
    """
    settings = config.store
    return Store.open(settings.url, kept_bytes=settings.kept_bytes, kept_message_bytes=settings.kept_message_bytes)


@contextmanager
def private_folder() -> Iterator[Path]:
    """
    Give a temporary folder that only this user can look into; it is deleted afterwards.

    What a killed process has left is deleted too: a folder is in use as long as its process holds the lock in it.
    """
    _delete_abandoned()
    with tempfile.TemporaryDirectory(prefix=_FOLDER) as folder, Path(folder, "new").open("wb") as lock:
        # Only under its name when it is held, so that nobody takes the folder for abandoned in between.
        fcntl.flock(lock, fcntl.LOCK_EX)
        Path(lock.name).rename(Path(folder, _LOCK))
        yield Path(folder)


def _delete_abandoned() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        # Not locked: it is in use, or gone already.
        with suppress(OSError):
            if _is_ours(folder):
                with Path(folder, _LOCK).open("rb") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder)


def _is_ours(folder: Path) -> bool:
    """Tell whether this user made it: others may have put anything under such a name."""
    status = folder.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()


def clock() -> datetime:
    """Return the time it is."""
    return datetime.now(UTC)


@contextmanager
def ingest(store: Store, *, jobs: int, folder: Path, progress: Progress) -> Iterator[Ingest]:
    """
    Give an ingest that is ready to run, and end its processes afterwards.

    Args:
        store: Where to.
        jobs: Worker processes that parse; 0: none, this process does.
        folder: Where large reports wait for their transaction.
        progress: Is told of each message that is done.
    """
    rules = Rules(limits=Limits(), kept_bytes=store.kept_message_bytes, folder=folder)
    with Lookers(rules, jobs) as lookers:
        yield Ingest(
            store=store,
            lookers=lookers,
            organizational_domain=suffix_list(),
            clock=clock,
            progress=progress,
            save_checkpoint=lambda _: None,
        )


def parsed(
    paths: Sequence[str], *, stdin: BinaryIO, folder: Path, problems: list[str]
) -> Iterator[Found | IncomingRejection]:
    """
    Give what is found at some paths, one payload at a time, without a store.

    Args:
        paths: Where to look.
        stdin: Standard input.
        folder: Where it and large reports are kept meanwhile.
        problems: Is added to for each message that cannot be read.
    """
    rules = Rules(limits=Limits(), kept_bytes=0, folder=folder)
    for message in messages(paths, stdin=stdin, folder=folder):
        looked = look(message, rules)
        yield from looked.payloads
        looked.release()
        if looked.problem:
            problems.append(looked.problem)


def retry_source(store: Store) -> RetrySource:
    """Give the open messages of the ledger; those that are not kept are looked for where they were."""
    return RetrySource(store, reopened)
