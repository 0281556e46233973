"""What is in the store of a report already: the keys of its versions, of which one counts and the others conflict."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, Table, func, select

from dmarcops.store.bulk import slices


@dataclass(slots=True)
class Versions:
    """The reports of one identity that are in the store: their keys by content, and whether one of them counts."""

    keys: dict[str, int] = field(default_factory=dict)
    is_counted: bool = False


def known_versions(connection: Connection, table: Table, identities: Sequence[str]) -> dict[str, Versions]:
    """Return which of these reports are in their table."""
    found: dict[str, Versions] = {}
    columns = select(table.c.identity, table.c.content_sha256, table.c.id, table.c.conflict)
    for some in slices(identities):
        for identity, content, key, conflict in connection.execute(columns.where(table.c.identity.in_(some))):
            versions = found.setdefault(identity, Versions())
            versions.keys[content] = key
            versions.is_counted |= not conflict
    return found


def next_key(connection: Connection, table: Table) -> int:
    """Return the first free key of a table; the caller holds the writer lock."""
    return (connection.scalar(select(func.max(table.c.id))) or 0) + 1
