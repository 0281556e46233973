"""
The store's schema, created and brought up to date by alembic from inside the package, without an `alembic.ini`.

Runs in the caller's transaction: a migration is whole or not there, in both databases.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect

from dmarcops.errors import StoreError
from dmarcops.store.engine import HEAD
from dmarcops.store.tables import Row


def migrate(connection: Connection, revision: str | None) -> None:
    """
    Bring the schema up to `HEAD`; the caller holds the writer lock and commits.

    Args:
        connection: The connection, in a transaction.
        revision: The revision of the schema now, None when there is none.

    Raises:
        StoreError: The database is someone else's.
    """
    if revision is None:
        _refuse_foreign(connection)
    command.upgrade(configuration(connection), HEAD)


def configuration(connection: Connection) -> Config:
    """Return alembic's configuration for this package's revisions."""
    config = Config(attributes={"connection": connection})
    # Config interpolates `%` in a value.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _refuse_foreign(connection: Connection) -> None:
    """Refuse a database that has tables of our names but was not made by us."""
    taken = sorted(Row.metadata.tables.keys() & set(inspect(connection).get_table_names()))
    if taken:
        raise StoreError(
            f"the database holds tables that are not of dmarcops: {', '.join(taken)}",
            hint="give the store a database of its own with --store",
        )
