"""
How far each source of messages has been read, kept over restarts.

The value is the source's own text; nothing here reads it. It is saved after the messages before it were recorded, so
that a crash between the two means that some are read again, never that one is left out.
"""

from datetime import UTC, datetime

from sqlalchemy import select

from dmarcops.store.engine import Store
from dmarcops.store.tables import TABLES
from dmarcops.store.upsert import upsert

_CHECKPOINT = TABLES["checkpoint"]


def load_checkpoint(store: Store, name: str) -> str:
    """
    Return what was saved last for a source, empty when nothing was.

    Raises:
        StoreError: The database cannot be read.
    """
    with store.read() as connection:
        value: str | None = connection.scalar(select(_CHECKPOINT.c.value).where(_CHECKPOINT.c.source == name))
    return value or ""


def save_checkpoint(store: Store, name: str, value: str, now: datetime) -> None:
    """
    Save how far a source has been read, in a transaction of its own.

    Raises:
        StoreError: The store is locked or cannot be written.
    """
    with store.write() as connection:
        upsert(connection, _CHECKPOINT, {"source": name, "value": value, "updated_at": now.astimezone(UTC)})
