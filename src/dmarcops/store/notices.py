"""What people were told of, so that they are not told the same at every run, and hear when it is well again."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select, update

from dmarcops.store.bulk import slices
from dmarcops.store.engine import Store
from dmarcops.store.tables import TABLES
from dmarcops.store.upsert import upsert

_NOTICE = TABLES["notice"]


@dataclass(frozen=True, slots=True)
class Told:
    """
    When a person was last told of something, and whether it is still so as far as that person knows.

    What is over is remembered too: something that comes and goes is not told at each turn.
    """

    last_told_at: datetime
    still_open: bool


def load_told(store: Store) -> dict[str, Told]:
    """
    Return what was told, by the notices' keys.

    Raises:
        StoreError: The database cannot be read.
    """
    with store.read() as connection:
        rows = connection.execute(select(_NOTICE)).all()
    return {row.key: Told(row.last_told_at.astimezone(UTC), row.still_open) for row in rows}


def save_told(store: Store, opened: Collection[str], closed: Collection[str], now: datetime) -> None:
    """
    Note what was told now, and what is over.

    Args:
        store: The store.
        opened: Keys of what a person was told of.
        closed: Keys of what is over, or not looked at any more.
        now: When.

    Raises:
        StoreError: The store is locked or cannot be written.
    """
    with store.write() as connection:
        for key in opened:
            upsert(connection, _NOTICE, {"key": key, "last_told_at": now.astimezone(UTC), "still_open": True})
        for keys in slices(list(closed)):
            connection.execute(update(_NOTICE).where(_NOTICE.c.key.in_(keys)).values(still_open=False))
