"""One row by its primary key: updated when it is there, else inserted. For single rows, not for many."""

from collections.abc import Mapping

from sqlalchemy import Connection, Table, insert, update


def upsert(connection: Connection, table: Table, row: Mapping[str, object]) -> None:
    """
    Write one row; the writer lock of the caller's transaction makes the two steps one.

    Args:
        connection: The caller's write transaction.
        table: Where to.
        row: Values by column, the primary key's among them; columns not named stay as they are.
    """
    keys = [column == row[column.name] for column in table.primary_key]
    if not connection.execute(update(table).where(*keys).values(dict(row))).rowcount:
        connection.execute(insert(table).values(dict(row)))
