"""How moments stand in the database: UTC to the second, as a type of PostgreSQL, as a sortable ISO text in SQLite."""

from datetime import UTC, datetime

from sqlalchemy import DateTime
from sqlalchemy.dialects.sqlite import DATETIME

_TEXT = DATETIME(  # type: ignore[no-untyped-call]  # SQLAlchemy's constructor has no types
    storage_format="%(year)04d-%(month)02d-%(day)02d %(hour)02d:%(minute)02d:%(second)02d+00:00"
)
MOMENT = DateTime(timezone=True).with_variant(_TEXT, "sqlite")
"""Column type; takes and gives aware times, which must be in UTC when they are given to it."""


def timestamp(moment: datetime) -> str:
    """Return a moment as the text that both databases read, for inserts that go past SQLAlchemy's types."""
    return moment.astimezone(UTC).isoformat(sep=" ", timespec="seconds")
