"""
The audit trail: who did what to a domain, when, and what was in DNS before and after.

Each entry holds a digest over itself and the digest before it, so that an entry that is changed, taken out or put in
later breaks the chain from there on. What was cut off at the end shows only to who has noted the newest digest. Entries
are written in the transaction of what they tell of, and never changed; `prune` leaves them alone.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from sqlalchemy import Connection, RowMapping, func, insert, select

from dmarcops.errors import StoreError
from dmarcops.store.engine import Store
from dmarcops.store.moments import timestamp
from dmarcops.store.normal import storable
from dmarcops.store.tables import TABLES

_AUDIT = TABLES["audit"]
_BEGINNING = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """
    Something that was done. `before` and `after` are the texts in DNS, `None` when there was or is no record, or when
    it is not about DNS.
    """

    domain: str
    who: str
    action: str
    detail: str = ""
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An event as it stands in the trail."""

    number: int
    at: datetime
    event: Event
    digest: str


def append(connection: Connection, events: Sequence[Event], now: datetime) -> None:
    """
    Add events to the trail.

    Args:
        connection: The write transaction of what they tell of.
        events: What was done, the earliest first.
        now: When.
    """
    newest = connection.execute(select(_AUDIT.c.id, _AUDIT.c.digest).order_by(_AUDIT.c.id.desc()).limit(1)).first()
    number, digest = (0, _BEGINNING) if newest is None else (newest.id, newest.digest)
    at = now.astimezone(UTC).replace(microsecond=0)
    for event in events:
        number += 1
        values = {
            "id": number,
            "at": at,
            "domain": event.domain,
            "who": storable(event.who),
            "action": storable(event.action),
            "detail": storable(event.detail),
            "dns_before": None if event.before is None else storable(event.before),
            "dns_after": None if event.after is None else storable(event.after),
        }
        digest = _digest(digest, [*values.values()])
        connection.execute(insert(_AUDIT).values(**values, digest=digest))


def history(store: Store, domain: str | None = None) -> tuple[Entry, ...]:
    """
    Return the trail of a domain, or of all, the earliest first.

    Raises:
        StoreError: The database cannot be read.
    """
    rows = select(_AUDIT).order_by(_AUDIT.c.id)
    if domain is not None:
        rows = rows.where(_AUDIT.c.domain == domain)
    with store.read() as connection:
        return tuple(_entry(row) for row in connection.execute(rows).mappings())


def newest(store: Store, domain: str, actions: Collection[str]) -> datetime | None:
    """
    Return when one of some actions was done to a domain last, `None` when none ever was.

    Raises:
        StoreError: The database cannot be read.
    """
    rows = select(_AUDIT.c.at).where(_AUDIT.c.domain == domain, _AUDIT.c.action.in_(actions))
    with store.read() as connection:
        return connection.scalar(rows.order_by(_AUDIT.c.id.desc()).limit(1))


def verify(store: Store, noted: str = "") -> str:
    """
    Go through the whole trail and see that nothing of it was changed.

    Args:
        store: The store.
        noted: A digest that was noted earlier; it must be in the trail.

    Returns:
        The newest digest, to be noted; 64 zeros when there is no entry.

    Raises:
        StoreError: The chain is broken, at the entry that is named, or the database cannot be read.
    """
    digest, seen = _BEGINNING, {_BEGINNING, ""}
    with store.read() as connection:
        count = connection.scalar(select(func.count()).select_from(_AUDIT)) or 0
        rows = connection.execute(select(_AUDIT).order_by(_AUDIT.c.id)).mappings()
        for number, row in enumerate(rows, 1):
            digest = _digest(digest, [value for name, value in row.items() if name != "digest"])
            if row["id"] != number or row["digest"] != digest:
                raise StoreError(
                    f"the audit trail is not as it was written: entry {min(row['id'], number)} of {count} was changed, "
                    "taken out or put in",
                    hint="compare it with a backup",
                )
            seen.add(digest)
    if noted not in seen:
        raise StoreError(
            "the audit trail is not as it was written: the digest that was noted is not in it",
            hint="its end was cut off, or the store was restored from a backup",
        )
    return digest


def _digest(before: str, values: Sequence[object]) -> str:
    texts = [timestamp(value) if isinstance(value, datetime) else value for value in values]
    return sha256(json.dumps([before, *texts]).encode()).hexdigest()


def _entry(row: RowMapping) -> Entry:
    event = Event(
        domain=row["domain"],
        who=row["who"],
        action=row["action"],
        detail=row["detail"],
        before=row["dns_before"],
        after=row["dns_after"],
    )
    return Entry(number=row["id"], at=row["at"], event=event, digest=row["digest"])
