"""
Temporary folders that do not outlive who made them: what a killed program left, the next one deletes.

Each is locked for as long as its maker lives, so that those of other programs at work are never touched.
"""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path


class Scratch:
    """
    A folder that only this user can look into, made when it is first asked for.

    Args:
        parent: Where it is made; made too when it is not there.
        prefix: What its name begins with, and that of no other kind of folder.
    """

    def __init__(self, parent: Path, prefix: str) -> None:
        self._parent = parent
        self._prefix = prefix
        self._made: tuple[Path, int] | None = None

    def path(self) -> Path:
        """
        Give the folder.

        Raises:
            OSError: It cannot be made.
        """
        while self._made is None:
            self._parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            made = Path(tempfile.mkdtemp(prefix=self._prefix, dir=self._parent))
            # Another program that sweeps may come between the two: then it is gone, or about to be.
            with suppress(FileNotFoundError):
                lock = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                if _is_ours(lock) and made.exists():
                    self._made = made, lock
                else:
                    os.close(lock)
        return self._made[0]

    def close(self) -> None:
        """Delete the folder and all that is in it; never fails."""
        if self._made is not None:
            made, lock = self._made
            self._made = None
            shutil.rmtree(made, ignore_errors=True)
            os.close(lock)


def sweep(parent: Path, prefix: str) -> None:
    """Delete what programs that were killed left of their folders with this prefix; never fails."""
    try:
        left = [Path(entry) for entry in os.scandir(parent) if entry.name.startswith(prefix)]
    except OSError:
        return
    for folder in left:
        with suppress(OSError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if os.fstat(lock).st_uid == os.geteuid() and _is_left(lock):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _is_ours(lock: int) -> bool:
    """Lock a new folder; a file system that locks no folders locks none for those who sweep either."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _is_left(lock: int) -> bool:
    """
    Tell whether nobody works in a folder.

    Raises:
        OSError: Somebody does, or nobody can tell.
    """
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return True
