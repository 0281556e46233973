"""How the runs over each source of messages ended: what a notification or the doctor asks."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select

from dmarcops.store.engine import Store
from dmarcops.store.normal import storable
from dmarcops.store.tables import TABLES
from dmarcops.store.upsert import upsert

_RUN = TABLES["source_run"]


@dataclass(frozen=True, slots=True)
class SourceRun:
    """
    How the latest runs over a source ended.

    `failures_in_a_row` counts the runs that failed since the last that did not; `last_error` is kept when one succeeds.
    """

    source: str
    last_ok_at: datetime | None = None
    last_error_at: datetime | None = None
    last_error: str | None = None
    failures_in_a_row: int = 0


def load_runs(store: Store) -> dict[str, SourceRun]:
    """
    Return how the latest runs ended, by source.

    Raises:
        StoreError: The database cannot be read.
    """
    with store.read() as connection:
        rows = connection.execute(select(_RUN).order_by(_RUN.c.source)).all()
    return {row.source: SourceRun(*row) for row in rows}


def save_ok(store: Store, source: str, now: datetime) -> SourceRun:
    """
    Note that a run over a source went well; returns what is known of it now.

    Raises:
        StoreError: The store is locked or cannot be written.
    """
    return _save(store, source, {"last_ok_at": now.astimezone(UTC)}, failed=False)


def save_error(store: Store, source: str, error: str, now: datetime) -> SourceRun:
    """
    Note that a run over a source failed, and why; returns what is known of it now.

    Raises:
        StoreError: The store is locked or cannot be written.
    """
    return _save(store, source, {"last_error_at": now.astimezone(UTC), "last_error": storable(error)}, failed=True)


def _save(store: Store, source: str, changes: dict[str, object], *, failed: bool) -> SourceRun:
    known = select(_RUN).where(_RUN.c.source == source)
    with store.write() as connection:
        before = connection.execute(known).one_or_none()
        failures = (before.failures_in_a_row if before else 0) + 1 if failed else 0
        upsert(connection, _RUN, {"source": source, **changes, "failures_in_a_row": failures})
        return SourceRun(*connection.execute(known).one())
