"""The names of sending hosts as DNS had them lately: a cache, which can be deleted at any time."""

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import select

from dmarcops.store.engine import Store
from dmarcops.store.tables import TABLES
from dmarcops.store.upsert import upsert

_NAME = TABLES["source_name"]


def hosts(store: Store) -> dict[str, str]:
    """
    Return the name of each address that is known to have one.

    Raises:
        StoreError: The database cannot be read.
    """
    with store.read() as connection:
        rows = connection.execute(select(_NAME.c.address, _NAME.c.host).where(_NAME.c.host != ""))
        return {row.address: row.host for row in rows}


def looked_up(store: Store) -> dict[str, tuple[str, datetime]]:
    """
    Return for each address that was looked up the name, empty without one, and when that was.

    Raises:
        StoreError: The database cannot be read.
    """
    with store.read() as connection:
        rows = connection.execute(select(_NAME.c.address, _NAME.c.host, _NAME.c.looked_up_at))
        return {row.address: (row.host, row.looked_up_at.astimezone(UTC)) for row in rows}


def save(store: Store, names: Mapping[str, tuple[str, datetime]]) -> None:
    """
    Note the names of addresses, in A-labels, empty for one that has none, and when they were looked up.

    Raises:
        StoreError: The store is locked or cannot be written.
    """
    with store.write() as connection:
        for address, (host, at) in names.items():
            when = at.astimezone(UTC).replace(microsecond=0)
            upsert(connection, _NAME, {"address": address, "host": host, "looked_up_at": when})
