"""
What is in the store of a report already: the keys of its versions, of which one counts and the others conflict.

The first that comes counts, unless one comes later whose carrier mail is authenticated while that of the first is not:
who forges a report of somebody's must not shadow the real one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, Table, func, select, update

from dmarcops.store.bulk import slices

AUTHENTICATED = "authenticated"
"""What the column of that name has for a report whose carrier mail is; else `unauthenticated` or `unknown`."""


@dataclass(slots=True)
class Versions:
    """
    The reports of one identity that are in the store.

    `keys` are theirs by content, `counted` is the one that counts, `authenticated` those with an authenticated carrier.
    """

    keys: dict[str, int] = field(default_factory=dict)
    counted: int | None = None
    authenticated: set[int] = field(default_factory=set)


class Known:
    """
    The versions that a table has of some reports, kept up to date while more come.

    Args:
        connection: The caller's write transaction.
        table: `report` or `tls_report`.
        identities: Those of all reports that may come.
        flush: Writes what the caller has gathered and not yet written.
    """

    def __init__(
        self, connection: Connection, table: Table, identities: Sequence[str], flush: Callable[[], None]
    ) -> None:
        self._connection, self._table, self._flush = connection, table, flush
        self._versions = _known_versions(connection, table, identities)

    def met(self, identity: str, content: str, authenticated: str, **beside: object) -> int | None:
        """
        Return the key of a report that is in the store already, and note when it is authenticated only now.

        Args:
            identity: Of the report.
            content: Of the report.
            authenticated: What is known of its carrier.
            beside: Other columns that go with it.
        """
        versions = self._versions.get(identity, Versions())
        key = versions.keys.get(content)
        if key is not None and authenticated == AUTHENTICATED and key not in versions.authenticated:
            self._set(key, authenticated=AUTHENTICATED, **beside)
            versions.authenticated.add(key)
            if versions.counted is not None and versions.counted not in versions.authenticated:
                self._set(versions.counted, conflict=True)
                self._set(key, conflict=False)
                versions.counted = key
        return key

    def add(self, identity: str, content: str, key: int, authenticated: str) -> bool:
        """Note a new version; returns whether it conflicts with the one that counts."""
        versions = self._versions.setdefault(identity, Versions())
        versions.keys[content] = key
        if authenticated == AUTHENTICATED:
            versions.authenticated.add(key)
            if versions.counted is not None and versions.counted not in versions.authenticated:
                self._set(versions.counted, conflict=True)
                versions.counted = None
        if versions.counted is not None:
            return True
        versions.counted = key
        return False

    def _set(self, key: int, **values: object) -> None:
        self._flush()
        self._connection.execute(update(self._table).where(self._table.c.id == key).values(values))


def _known_versions(connection: Connection, table: Table, identities: Sequence[str]) -> dict[str, Versions]:
    """Return which of these reports are in their table."""
    found: dict[str, Versions] = {}
    columns = select(table.c.identity, table.c.content_sha256, table.c.id, table.c.conflict, table.c.authenticated)
    for some in slices(identities):
        rows = connection.execute(columns.where(table.c.identity.in_(some)))
        for identity, content, key, conflict, authenticated in rows:
            versions = found.setdefault(identity, Versions())
            versions.keys[content] = key
            if not conflict:
                versions.counted = key
            if authenticated == AUTHENTICATED:
                versions.authenticated.add(key)
    return found


def next_key(connection: Connection, table: Table) -> int:
    """Return the first free key of a table; the caller holds the writer lock."""
    return (connection.scalar(select(func.max(table.c.id))) or 0) + 1
