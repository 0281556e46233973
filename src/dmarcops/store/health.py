"""What the store knows of the time, for the doctor."""

from datetime import UTC, datetime

from sqlalchemy import func, select, text

from dmarcops.store.engine import Store
from dmarcops.store.tables import TABLES

_LEDGER = TABLES["ledger"]


def server_clock(store: Store) -> datetime | None:
    """
    Return what time it is at the database server; `None` where the database has no clock but ours.

    Raises:
        StoreError: The database cannot be read.
    """
    if store.sqlite_path is not None:
        return None
    with store.read() as connection:
        moment: datetime | None = connection.scalar(text("SELECT clock_timestamp()"))
    return moment


def newest_moment(store: Store) -> datetime | None:
    """
    Return when a message was last looked at, `None` when none ever was.

    Raises:
        StoreError: The database cannot be read.
    """
    with store.read() as connection:
        moment: datetime | None = connection.scalar(select(func.max(_LEDGER.c.last_seen)))
    return None if moment is None else moment.astimezone(UTC)
