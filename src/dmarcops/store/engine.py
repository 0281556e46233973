"""
The store: one database, SQLite or PostgreSQL, opened, migrated and locked.

All access goes through `Store.read` and `Store.write`. A write holds the store's one writer lock from its first
statement to its commit, in both databases, so that what it reads stays true until then. Errors of the database leave
here as `StoreError`. Nothing here knows a table.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from dmarcops.errors import ConfigError, StoreError
from dmarcops.store.faults import shown, store_error
from dmarcops.store.locks import held

HEAD = "0008"
"""The newest revision of the schema that this program knows."""
REVISIONS = frozenset({"0001", "0002", "0003", "0004", "0005", "0006", "0007", HEAD})
"""All revisions that this program can bring up to `HEAD`."""
VERSION_TABLE = "dmarcops_version"
"""Where the revision of the schema stands; a name of our own, since other programs use alembic too."""
WRITER_LOCK = 0x646D6172636F7073
"""Key of PostgreSQL's advisory lock for writers (`dmarcops` in ASCII)."""

_CONNECT_SECONDS = 10
_CONNECTIONS = 20
_WAL_BYTES = 64 << 20
_CACHE_KIB = 32 << 10
_WAL_RETRY_SECONDS = 0.02

_SQLITE_OPTIONS = ("uri", "timeout", "isolation_level", "detect_types", "check_same_thread", "cached_statements")
"""What SQLAlchemy hands on to the driver; all else, such as `mode`, it leaves out, unless there is `uri=true`."""
_URL_HINT = "an address is sqlite:///dmarcops.db or postgresql://user:password@host/database"


class Store:
    """
    An open store; a context manager that closes it.

    Not to be shared between processes. Between threads it may be.

    Args:
        engine: The engine, set up by `Store.open`.
        kept_bytes: Octets of raw messages kept in all, as stored.
        kept_message_bytes: Octets of one raw message above which it is not kept.
    """

    def __init__(self, engine: Engine, *, kept_bytes: int, kept_message_bytes: int) -> None:
        self._engine = engine
        # What a driver raises goes through SQLAlchemy as a DBAPIError, but not where it is used directly (COPY).
        driver = engine.dialect.loaded_dbapi
        self._errors = (DBAPIError, driver.Error)
        self._refusals = (driver.DataError, driver.IntegrityError)
        self.kept_bytes = kept_bytes
        self.kept_message_bytes = kept_message_bytes

    @classmethod
    def open(
        cls,
        url: str,
        *,
        timeout_seconds: float = 60.0,
        kept_bytes: int = 256 << 20,
        kept_message_bytes: int = 16 << 20,
    ) -> Self:
        """
        Open a store, and create or migrate its schema when needed.

        Args:
            url: SQLAlchemy URL of an SQLite file or a PostgreSQL database.
            timeout_seconds: How long to wait for another writer.
            kept_bytes: Octets of raw messages kept in all, as stored.
            kept_message_bytes: Octets of one raw message above which it is not kept.

        Raises:
            ConfigError: The URL is none, or of another database.
            StoreError: The database cannot be opened, is no store, or is newer than the program.
        """
        engine = _engine(_parsed(url), timeout_seconds)
        store = cls(engine, kept_bytes=kept_bytes, kept_message_bytes=kept_message_bytes)
        try:
            store._prepare()
        except BaseException:
            store.close()
            raise
        return store

    @staticmethod
    def may_be(url: str) -> bool:
        """
        Tell whether there may be a store: there is none where the file of an SQLite store is not there.

        Raises:
            ConfigError: The URL is none.
        """
        parsed = _parsed(url)
        return parsed.get_backend_name() != "sqlite" or Path(parsed.database or "").is_file()

    @property
    def sqlite_path(self) -> str | None:
        """The file of an SQLite store, `None` of another."""
        return self._engine.url.database if self._engine.dialect.name == "sqlite" else None

    @property
    def shown(self) -> str:
        """The address, for messages: without its password."""
        return shown(self._engine.url)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """
        Give a connection to read with; on SQLite all it reads is of one moment.

        Raises:
            StoreError: The database cannot be read.
        """
        with self._translated(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """
        Give a connection that holds the writer lock; what was written is committed at the end, or nothing of it.

        Raises:
            StoreError: The database is locked for too long, or cannot be written.
        """
        writer = self._engine.execution_options(dmarcops_writes=True)
        with self._translated(), writer.begin() as connection:
            yield connection

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """
        Hold a lock of our own while the block runs, over any number of transactions; a killed process gives it up.

        Args:
            name: What is locked, in words for a person; each name is a lock of its own.

        Raises:
            Refused: Another run holds it.
            StoreError: The lock cannot be made.
        """
        with self._translated(), held(self._engine, name):
            yield

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            raise store_error(error, self._engine.url, self._refusals) from error

    def _prepare(self) -> None:
        """Bring the schema up to date; costs a look at the version table when it is."""
        with self.read() as connection:
            revision = _revision(connection)
        if self._is_current(revision):
            return
        # alembic is imported only now: that takes longer than most commands.
        from dmarcops.store.migrations import migrate  # noqa: PLC0415 - see above

        with self.write() as connection:
            # Another process may have been first.
            revision = _revision(connection)
            if not self._is_current(revision):
                migrate(connection, revision)

    def _is_current(self, revision: str | None) -> bool:
        if revision is not None and revision not in REVISIONS:
            raise StoreError(
                f"the store {shown(self._engine.url)} is newer than this program:"
                f" its schema is {revision}, the newest known is {HEAD}",
                hint="upgrade dmarcops: pip install --upgrade dmarcops",
            )
        return revision == HEAD


def _parsed(address: str) -> URL:
    """
    Read the address of a store.

    Raises:
        ConfigError: It is none, or of a database that cannot be a store. The message never quotes it.
    """
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        # `from None`: the error may quote the password
        raise ConfigError("the store's address is not a URL", hint=_URL_HINT) from None
    if url.drivername in {"sqlite", "sqlite+pysqlite"}:
        if not url.database or url.database == ":memory:":
            raise ConfigError("a store in memory would be gone at the end of the command", hint=_URL_HINT)
        return url.set(drivername="sqlite+pysqlite")
    if url.drivername.partition("+")[0] in {"postgresql", "postgres"}:
        return url.set(drivername="postgresql+psycopg")
    raise ConfigError(f"a store cannot be in {url.drivername}, only in SQLite or PostgreSQL", hint=_URL_HINT)


def _engine(url: URL, timeout_seconds: float) -> Engine:
    """
    Set up an engine; connects to nothing yet.

    Raises:
        ConfigError: The address has an option that the driver does not know, or that cannot be what it says.
        StoreError: The driver is not installed.
    """
    # hide_parameters: what a report says has no place in a log
    if url.get_backend_name() == "sqlite":
        if url.query.get("uri") is None:
            _check_options(url, _SQLITE_OPTIONS)
        try:
            engine = create_engine(url, hide_parameters=True, connect_args={"timeout": timeout_seconds})
        except (ValueError, ArgumentError):
            # `from None`: the error may quote the address
            raise ConfigError("the store's address is not one of an SQLite file", hint=_URL_HINT) from None
        event.listen(engine, "connect", lambda driver, _record: _set_up_sqlite(driver, timeout_seconds))
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        engine = create_engine(
            url,
            hide_parameters=True,
            # A statement must see what was committed while it waited for the writer lock.
            isolation_level="READ COMMITTED",
            # Each mailbox that is looked into holds its lock by one and writes by another.
            max_overflow=_CONNECTIONS,
            # A connection of a long run may be gone by the next message.
            pool_pre_ping=True,
            connect_args={} if "connect_timeout" in url.query else {"connect_timeout": _CONNECT_SECONDS},
        )
    except ImportError as error:
        raise StoreError(
            "a store in PostgreSQL needs the package psycopg", hint="pip install 'dmarcops[postgresql]'"
        ) from error
    known = [option.keyword.decode() for option in engine.dialect.loaded_dbapi.pq.Conninfo.get_defaults()]
    _check_options(url, known)
    if not str(url.query.get("connect_timeout", 0)).removeprefix("-").isdecimal():
        raise ConfigError("the store's address: connect_timeout is not a number of seconds")
    milliseconds = int(timeout_seconds * 1000)

    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("dmarcops_writes"):
            connection.execute(text(f"SET LOCAL lock_timeout = {milliseconds}"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})"))

    event.listen(engine, "begin", begin)
    return engine


def _check_options(url: URL, known: Sequence[str]) -> None:
    """Refuse an option that the driver does not know: it would say so in words of its own, or leave it out."""
    for name in url.query:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "leave it out"
            raise ConfigError(f"the store's address: unknown option {name}", hint=hint)


def _set_up_sqlite(driver: sqlite3.Connection, timeout_seconds: float) -> None:
    """
    Set up a new connection.

    FULL: a commit is on the disk when it returns, since mail is moved away after it. WAL: who reads never waits.
    """
    # The module's own transactions begin too late and cannot be IMMEDIATE: we begin ours (`_begin_sqlite`).
    driver.isolation_level = None
    for pragma in (
        "foreign_keys = ON",
        "synchronous = FULL",
        f"cache_size = -{_CACHE_KIB}",
        # What a huge report made the log grow by is given back to the disk.
        f"journal_size_limit = {_WAL_BYTES}",
    ):
        driver.execute(f"PRAGMA {pragma}")
    if driver.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        _switch_to_wal(driver, timeout_seconds)


def _switch_to_wal(driver: sqlite3.Connection, timeout_seconds: float) -> None:
    """Set the journal mode of a new file; SQLite does not wait here by itself when another process does the same."""
    deadline = monotonic() + timeout_seconds
    while True:
        try:
            driver.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or monotonic() > deadline:
                raise
            sleep(_WAL_RETRY_SECONDS)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("dmarcops_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _revision(connection: Connection) -> str | None:
    """Return the revision of the schema, None when there is none yet."""
    if not connection.dialect.has_table(connection, VERSION_TABLE):
        return None
    revision: str | None = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608 - ours
    return revision
