"""
The key that addresses in failure reports are hashed with: one a store, made by chance when it is first needed.

With one key for all its reports a store can tell that two of them are about the same person; another store cannot.
"""

import secrets

from sqlalchemy import select

from dmarcops.store.engine import Store
from dmarcops.store.tables import TABLES
from dmarcops.store.upsert import upsert

_NAME = "address_key"
_SETTING = TABLES["setting"]


def address_key(store: Store) -> bytes:
    """
    Return the store's key.

    Raises:
        StoreError: The store cannot be read, or the key not be written.
    """
    known = select(_SETTING.c.value).where(_SETTING.c.name == _NAME)
    with store.read() as connection:
        key: str | None = connection.scalar(known)
    if key is None:
        with store.write() as connection:
            # Another process may have been first.
            key = connection.scalar(known)
            if key is None:
                key = secrets.token_hex()
                upsert(connection, _SETTING, {"name": _NAME, "value": key})
    return bytes.fromhex(key)
