"""
Locks that outlast a transaction and end with the process that holds them, however it ends.

SQLite: a file beside the database, locked by the kernel. PostgreSQL: an advisory lock of a connection of its own.
Nobody waits: who comes second is refused. Writes nothing into the database.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from sqlalchemy import Engine, text

from dmarcops.errors import LOCK, Refused, StoreError


@contextmanager
def held(engine: Engine, name: str) -> Iterator[None]:
    """
    Hold a lock while the block runs.

    Args:
        engine: The store's engine.
        name: What is locked, in words; each name is a lock of its own.

    Raises:
        Refused: Somebody else holds it.
        StoreError: The lock cannot be made.
    """
    digest = sha256(name.encode()).digest()
    if engine.dialect.name == "sqlite":
        with _file(Path(engine.url.database or ""), digest) as is_ours:
            _refuse(name, is_ours=is_ours)
            yield
        return
    with engine.connect() as connection:
        # Outside the pool, so that closing it ends the session and with it the lock.
        connection.detach()
        key = int.from_bytes(digest[:8], "big", signed=True)
        is_ours = connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key})
        connection.commit()
        _refuse(name, is_ours=bool(is_ours))
        try:
            yield
        finally:
            # The server notices the end of a session a moment later than we do.
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})
            connection.commit()


@contextmanager
def _file(database: Path, digest: bytes) -> Iterator[bool]:
    folder = database.with_name(f"{database.name}-locks")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        # The file stays: one that is removed could be locked by two, each on a file of its own.
        file = os.open(folder / digest.hex()[:32], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(
            f"no lock can be made in {folder}: {error.strerror}", hint="check the permissions of the store's directory"
        ) from error
    try:
        yield _is_locked(file)
    finally:
        os.close(file)


def _is_locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _refuse(name: str, *, is_ours: bool) -> None:
    if not is_ours:
        raise Refused(LOCK, f"another run is at work on {name}", hint="it ends by itself; the next run goes on")
