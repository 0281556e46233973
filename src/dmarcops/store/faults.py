"""
What a database says when it cannot do something, as a `StoreError` with a hint. Does no I/O.

Told by code, never by translated text: SQLite's result codes and PostgreSQL's SQLSTATE. Only a failed connection to
PostgreSQL has no code; there the hint depends on libpq's words, and a general one is given when they are not known.
"""

import sqlite3

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from dmarcops.errors import StoreError, UnstorableError

_SQLITE = {
    "SQLITE_BUSY": ("is locked by another program", "wait until the other program is done, then run again to go on"),
    "SQLITE_FULL": ("is full", "make room on the disk, or `dmarcops prune --older-than`, then run again to go on"),
    "SQLITE_READONLY": ("is read-only", "check the permissions of the file and of the directory it is in"),
    "SQLITE_CANTOPEN": ("cannot be opened", "check that the directory exists and may be written to"),
    "SQLITE_NOTADB": ("is not an SQLite database", "give another file with --store; this one was not changed"),
    "SQLITE_CORRUPT": ("is damaged", "restore it from a backup, or ingest the reports again into a new store"),
    "SQLITE_IOERR": ("cannot be read or written", "check the disk and the file system, then run again to go on"),
    "SQLITE_PERM": ("cannot be opened", "check the permissions of the file and of the directory it is in"),
}

_POSTGRESQL = {
    "55P03": ("is locked by another program", "wait until the other program is done, then run again to go on"),
    "53100": ("is full", "make room on the server's disk, or `dmarcops prune --older-than`, then run again to go on"),
    "25006": ("is read-only", "give the address of the primary server with --store"),
    "42501": ("refuses this user", "grant the user of the store URL all rights on its schema"),
    "57P01": ("was shut down", "start the server, then run again to go on"),
}

_CONNECTING = (
    ("password authentication failed", ("refuses user or password", "check user and password of the store URL")),
    ("no password supplied", ("asks for a password", "give it in the store URL, or in ~/.pgpass")),
    ("does not exist", ("does not exist", "create the user or the database of the store URL, or name another one")),
)
_UNREACHABLE = ("cannot be reached", "check that the server runs, and host and port of the store URL")
_UNKNOWN = ("failed", "run again; if it stays so, please report it")


def shown(url: URL) -> str:
    """Return the address of a store for messages: without its password, and without options that may hold one."""
    return url.set(drivername=url.get_backend_name(), query={}).render_as_string(hide_password=True)


def store_error(error: Exception, url: URL, refusals: tuple[type[Exception], ...] = ()) -> StoreError:
    """
    Return what is told of an error of the database or its driver; raise it `from` the error.

    Args:
        error: The error.
        url: The address of the store.
        refusals: Errors of the driver that say that the values are at fault, not the database.
    """
    cause = error.orig if isinstance(error, DBAPIError) and isinstance(error.orig, Exception) else error
    what, hint = _sqlite(cause) if isinstance(cause, sqlite3.Error) else _postgresql(cause)
    said = " ".join(str(cause).split())
    kind = UnstorableError if isinstance(cause, refusals) else StoreError
    return kind(f"the store {shown(url)} {what}: {said}", hint=hint)


def _sqlite(cause: sqlite3.Error) -> tuple[str, str]:
    # Extended codes begin with the plain one: SQLITE_READONLY_DIRECTORY. Errors of the module itself have none.
    name = getattr(cause, "sqlite_errorname", "")
    return next((said for code, said in _SQLITE.items() if name.startswith(code)), _UNKNOWN)


def _postgresql(cause: Exception) -> tuple[str, str]:
    code: str | None = getattr(cause, "sqlstate", None)
    if code is not None:
        return _POSTGRESQL.get(code, _UNKNOWN)
    if type(cause).__name__ not in {"OperationalError", "ConnectionTimeout"}:
        return _UNKNOWN
    text = str(cause)
    return next((said for words, said in _CONNECTING if words in text), _UNREACHABLE)
