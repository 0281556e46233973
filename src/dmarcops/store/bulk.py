"""Many rows in few statements: no object and no SQL text a row."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Table

MANY = 500
"""Values of one `IN (...)`; any SQLite takes at least 999."""

T = TypeVar("T")


def slices(values: Sequence[T], size: int = MANY) -> Iterator[Sequence[T]]:
    """Give `values` in runs of at most `size`."""
    return (values[start : start + size] for start in range(0, len(values), size))


def bulk_insert(connection: Connection, table: Table, rows: Sequence[tuple[object, ...]]) -> None:
    """
    Insert rows by the fastest way each driver has: `executemany` on SQLite, `COPY` on PostgreSQL.

    Args:
        connection: The caller's write transaction.
        table: Where to.
        rows: Values of all columns in the table's order. No type of SQLAlchemy converts them: dates and times are ISO
            texts, which both databases read.
    """
    if not rows:
        return
    names = ", ".join(table.c.keys())
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(table.c))
        statement = f"INSERT INTO {table.name} ({names}) VALUES ({marks})"  # noqa: S608 - names of ours
        connection.exec_driver_sql(statement, list(rows))
        return
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def bulk_execute(connection: Connection, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Run a statement, its values marked by `?`, once for each of `rows`, of which there is at least one."""
    if connection.dialect.name != "sqlite":
        statement = statement.replace("?", "%s")
    connection.exec_driver_sql(statement, list(rows))
