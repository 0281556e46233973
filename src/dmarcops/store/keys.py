"""
The DKIM keys of a domain in the store: loaded, saved with their pending effects, held. Never a private key.

A rotation holds `Store.exclusive` of its domain from `load` to the last `save`. Each save is one transaction with its
audit entries, and only goes through when nobody else has saved in between.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from dmarcops.dkim.lifecycle import Key, Stage, Urgency, format_effects, parse_effects
from dmarcops.dkim.record import Algorithm
from dmarcops.errors import Refused, StoreError
from dmarcops.store import audit
from dmarcops.store.engine import Store
from dmarcops.store.normal import storable
from dmarcops.store.tables import TABLES

_DOMAIN, _KEY, _SELECTOR, _HOLD = (TABLES[name] for name in ("dkim_domain", "dkim_key", "dkim_selector", "hold"))


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainKeys:
    """
    What the store knows of a domain's keys, at a revision that counts the saves.

    `used` are all selectors that were ever used, `last_run` is when it was saved last.
    """

    domain: str
    keys: tuple[Key, ...] = ()
    used: frozenset[str] = frozenset()
    last_run: datetime | None = None
    revision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """
    A domain whose keys or policy stay as they are until a person resumes, or `until` a time.

    `what` is `dkim` or `policy`.
    """

    domain: str
    what: str
    reason: str
    who: str
    at: datetime
    until: datetime | None = None


def domains(store: Store) -> tuple[str, ...]:
    """
    Return the domains that there are keys of.

    Raises:
        StoreError: The database cannot be read.
    """
    with store.read() as connection:
        return tuple(connection.scalars(select(_DOMAIN.c.domain).order_by(_DOMAIN.c.domain)))


def load(store: Store, domain: str) -> DomainKeys:
    """
    Return what is known of a domain's keys, nothing for a domain that is new.

    Raises:
        StoreError: The database cannot be read.
    """
    with store.read() as connection:
        row = connection.execute(select(_DOMAIN).where(_DOMAIN.c.domain == domain)).first()
        rows = connection.execute(select(_KEY).where(_KEY.c.domain == domain).order_by(_KEY.c.position))
        keys = tuple(_key(dict(each)) for each in rows.mappings())
        used = frozenset(connection.scalars(select(_SELECTOR.c.selector).where(_SELECTOR.c.domain == domain)))
    if row is None:
        return DomainKeys(domain=domain, used=used)
    return DomainKeys(domain=domain, keys=keys, used=used, last_run=row.last_run, revision=row.revision)


def save(
    store: Store, known: DomainKeys, keys: Sequence[Key], now: datetime, *, events: Sequence[audit.Event] = ()
) -> DomainKeys:
    """
    Save the keys of a domain, and what was done to get there.

    Args:
        store: The store.
        known: What was loaded, or saved last.
        keys: The keys as they are now, with their pending effects.
        now: When.
        events: For the audit trail.

    Returns:
        What the store knows now, for the next save.

    Raises:
        Refused: A new key has a selector that was used before.
        StoreError: Somebody else saved in between, or the database cannot be written.
    """
    now, keys = _whole(now), tuple(_whole_key(key) for key in keys)
    after = replace(known, keys=keys, last_run=now, revision=known.revision + 1)
    fresh = [key.selector for key in keys if key.selector not in {each.selector for each in known.keys}]
    with store.write() as connection:
        _raise_revision(connection, known, now)
        _note_selectors(connection, known.domain, fresh, now)
        connection.execute(delete(_KEY).where(_KEY.c.domain == known.domain))
        for position, key in enumerate(keys):
            connection.execute(insert(_KEY).values(position=position, **_values(key)))
        audit.append(connection, events, now)
    return replace(after, used=known.used | set(fresh))


def note_used(store: Store, domain: str, selectors: Iterable[str], now: datetime) -> None:
    """
    Note selectors of a domain that somebody else uses or used, so that we never do.

    Raises:
        StoreError: The database cannot be written.
    """
    with store.write() as connection:
        used = set(connection.scalars(select(_SELECTOR.c.selector).where(_SELECTOR.c.domain == domain)))
        _note_selectors(connection, domain, sorted(set(selectors) - used), now)


def hold(store: Store, wanted: Hold) -> None:
    """
    Hold a domain; a hold that there is already gives way.

    Raises:
        StoreError: The database cannot be written.
    """
    at = _whole(wanted.at)
    values = {
        "domain": wanted.domain,
        "what": wanted.what,
        "reason": storable(wanted.reason),
        "who": storable(wanted.who),
        "at": at,
        "until": wanted.until and _whole(wanted.until),
    }
    until = f"until {wanted.until.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if wanted.until else ""
    said = ": ".join(part for part in (until, wanted.reason) if part)
    event = audit.Event(domain=wanted.domain, who=wanted.who, action=f"{wanted.what}-hold", detail=said)
    with store.write() as connection:
        connection.execute(delete(_HOLD).where(_HOLD.c.domain == wanted.domain, _HOLD.c.what == wanted.what))
        connection.execute(insert(_HOLD).values(values))
        audit.append(connection, [event], at)


def resume(store: Store, domain: str, what: str, *, who: str, now: datetime) -> bool:
    """
    End a hold; returns whether there was one.

    Raises:
        StoreError: The database cannot be written.
    """
    with store.write() as connection:
        ended = connection.execute(delete(_HOLD).where(_HOLD.c.domain == domain, _HOLD.c.what == what)).rowcount > 0
        if ended:
            audit.append(connection, [audit.Event(domain=domain, who=who, action=f"{what}-resume")], now)
    return ended


def holds(store: Store, domain: str) -> tuple[Hold, ...]:
    """
    Return what holds a domain.

    Raises:
        StoreError: The database cannot be read.
    """
    with store.read() as connection:
        rows = connection.execute(select(_HOLD).where(_HOLD.c.domain == domain).order_by(_HOLD.c.what))
        return tuple(Hold(**row) for row in rows.mappings())


def _raise_revision(connection: Connection, known: DomainKeys, now: datetime) -> None:
    """Count the save; whoever saved since `known` was loaded has counted too."""
    is_there = connection.scalar(select(_DOMAIN.c.revision).where(_DOMAIN.c.domain == known.domain))
    if (is_there or 0) != known.revision:
        raise StoreError(
            f"the keys of {known.domain} were changed by another program meanwhile", hint="run again to go on"
        )
    if is_there is None:
        connection.execute(insert(_DOMAIN).values(domain=known.domain, revision=1, last_run=now))
        return
    connection.execute(
        update(_DOMAIN).where(_DOMAIN.c.domain == known.domain).values(revision=known.revision + 1, last_run=now)
    )


def _note_selectors(connection: Connection, domain: str, fresh: Sequence[str], now: datetime) -> None:
    rows = select(_SELECTOR.c.selector).where(_SELECTOR.c.domain == domain, _SELECTOR.c.selector.in_(fresh))
    reused = sorted(connection.scalars(rows))
    if reused:
        raise Refused(
            "selector", f"the selector {reused[0]} of {domain} was used before (RFC 6376 section 3.1: never reuse one)"
        )
    for selector in fresh:
        connection.execute(insert(_SELECTOR).values(domain=domain, selector=selector, used_at=_whole(now)))


def _values(key: Key) -> dict[str, Any]:
    values = {each.name: getattr(key, each.name) for each in fields(key)}
    return values | {
        "pending": format_effects(key.pending),
        "algorithm": key.algorithm.value,
        "stage": key.stage.value,
        "urgency": key.urgency.value,
    }


def _key(values: dict[str, Any]) -> Key:
    del values["position"]
    return Key(
        **values
        | {
            "pending": parse_effects(values["pending"]),
            "algorithm": Algorithm(values["algorithm"]),
            "stage": Stage(values["stage"]),
            "urgency": Urgency(values["urgency"]),
        }
    )


def _whole_key(key: Key) -> Key:
    values: dict[str, Any] = {each.name: getattr(key, each.name) for each in fields(key)}
    for name, value in values.items():
        if isinstance(value, datetime):
            values[name] = _whole(value)
    return Key(**values)


def _whole(moment: datetime) -> datetime:
    """Return a moment as both databases keep it: in UTC, to the second."""
    return moment.astimezone(UTC).replace(microsecond=0)
