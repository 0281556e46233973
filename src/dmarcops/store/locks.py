"""
Locks by name that hold between processes and end with them, however they end.

In PostgreSQL an advisory lock of a connection of its own, in SQLite a locked file beside the store. Nobody waits: who
does not get a lock is told so.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from sqlalchemy import text

from dmarcops.errors import StoreError
from dmarcops.store.engine import Store


@contextmanager
def exclusive(store: Store, name: str) -> Iterator[bool]:
    """
    Hold the lock of that name while the block runs, if nobody else does; gives whether it is held.

    Args:
        store: The store that all who ask for the lock use.
        name: What is locked, such as `mailbox rua`.

    Raises:
        StoreError: The store cannot be reached, or the directory of an SQLite store not be written to.
    """
    digest = sha256(name.encode()).digest()
    if store.sqlite_path is None:
        key = int.from_bytes(digest[:8], "big", signed=True)
        with store.read() as connection:
            held = bool(connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}))
            # The lock is the session's; an open transaction would keep the server from cleaning up.
            connection.commit()
            try:
                yield held
            finally:
                if held:
                    connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})
        return
    path = Path(f"{store.sqlite_path}.{digest.hex()[:16]}.lock")
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(
            f"cannot make the lock file {path}: {error.strerror}",
            hint="check the permissions of the directory that the store is in",
        ) from error
    try:
        yield _is_ours(file)
    finally:
        # The file stays: to delete it would let two hold a lock, each on a file of its own.
        os.close(file)


def _is_ours(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
