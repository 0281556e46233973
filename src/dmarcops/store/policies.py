"""
The DMARC policy of domains in the store: which record was seen since when, and which changes were decided and made.

Whoever changes a policy holds `Store.exclusive` of the domain, the same lock as a rotation of its keys. Each decision
is one transaction with its audit entry, before anything is written into DNS. Nothing here is ever deleted.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Select, Table, insert, or_, select, update

from dmarcops.dkim.lifecycle import Stage, SwitchSigner
from dmarcops.errors import StoreError
from dmarcops.policy.answers import text_of
from dmarcops.policy.journal import Change, Kind
from dmarcops.policy.rules import Hold
from dmarcops.store import audit
from dmarcops.store.bulk import slices
from dmarcops.store.engine import Store
from dmarcops.store.identity import next_key
from dmarcops.store.tables import TABLES

_SEEN, _STEP, _HOLD, _KEY = (TABLES[name] for name in ("policy_seen", "policy_step", "hold", "dkim_key"))
_SWITCHING = (Stage.ACTIVE.value, Stage.RETIRING.value)
"""From the switch to a new key until the old one is no longer needed."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A record that stood in DNS from a time on; no octets when there was none."""

    at: datetime
    record: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainPolicy:
    """
    What the store knows of a domain's policy, the earliest first.

    `rotation` are the selectors of a DKIM rotation in flight.
    """

    domain: str
    seen: tuple[Seen, ...] = ()
    changes: tuple[Change, ...] = ()
    hold: Hold | None = None
    rotation: tuple[str, ...] = ()


def load(store: Store, domains: Collection[str]) -> Mapping[str, DomainPolicy]:
    """
    Return what is known of some domains, by a few questions for all of them together.

    Raises:
        StoreError: The database cannot be read.
    """
    seen: dict[str, list[Seen]] = defaultdict(list)
    changes: dict[str, list[Change]] = defaultdict(list)
    holds: dict[str, Hold] = {}
    rotation: dict[str, list[str]] = defaultdict(list)
    with store.read() as connection:
        for row in _rows(connection, select(_SEEN).order_by(_SEEN.c.id), _SEEN, domains):
            seen[row["domain"]].append(Seen(row["at"], row["record"]))
        for row in _rows(connection, select(_STEP).order_by(_STEP.c.id), _STEP, domains):
            changes[row["domain"]].append(Change(**row | {"kind": Kind(row["kind"])}))
        for row in _rows(connection, select(_HOLD).where(_HOLD.c.what == "policy"), _HOLD, domains):
            holds[row["domain"]] = Hold(row["who"], row["at"], row["reason"], row["until"])
        for row in _rows(connection, _switching(), _KEY, domains):
            rotation[row["domain"]].append(row["selector"])
    return {
        domain: DomainPolicy(
            domain=domain,
            seen=tuple(seen[domain]),
            changes=tuple(changes[domain]),
            hold=holds.get(domain),
            rotation=tuple(rotation[domain]),
        )
        for domain in domains
    }


def note_seen(store: Store, found: Mapping[str, bytes], asked_at: datetime) -> None:
    """
    Note what DNS holds, where it is not what was seen last.

    Args:
        store: The store.
        found: The record of each domain, as all its servers have it.
        asked_at: When they were asked; what was noted since then is newer, and stays.

    Raises:
        StoreError: The database cannot be written.
    """
    at = _whole(asked_at)
    with store.write() as connection:
        for domain, record in sorted(found.items()):
            _note(connection, domain, record, at)


def decide(store: Store, change: Change, *, detail: str, now: datetime) -> Change:
    """
    Save what is to be written, before it is.

    Args:
        store: The store.
        change: What was decided; its number is given here.
        detail: For the audit trail.
        now: When.

    Raises:
        StoreError: The database cannot be written.
    """
    with store.write() as connection:
        return add(connection, change, detail=detail, now=now)


def add(connection: Connection, change: Change, *, detail: str, now: datetime) -> Change:
    """Add a change and its audit entry, within the caller's write transaction."""
    numbered = replace(change, id=next_key(connection, _STEP), decided_at=_whole(now))
    values = {name: getattr(numbered, name) for name in _STEP.c.keys()}  # noqa: SIM118 - no mapping
    for name in ("written_at", "acknowledged_at"):
        values[name] = values[name] and _whole(values[name])
    connection.execute(insert(_STEP).values(values | {"kind": change.kind.value}))
    audit.append(connection, [_event(numbered, f"policy-{change.kind}", detail)], now)
    if numbered.acknowledged_at is not None:
        _note(connection, numbered.domain, numbered.after, _whole(now))
    return numbered


def mark_written(store: Store, change: Change, now: datetime) -> Change:
    """
    Save that the provider has taken a change.

    Raises:
        StoreError: The database cannot be written, or somebody else has got on with it.
    """
    after = replace(change, written_at=_whole(now))
    with store.write() as connection:
        _update(connection, change, written_at=after.written_at)
    return after


def acknowledge(store: Store, change: Change, now: datetime) -> Change:
    """
    Save that every authoritative server has what a change wrote: from now on it stands.

    Raises:
        StoreError: The database cannot be written, or somebody else has got on with it.
    """
    at = _whole(now)
    after = replace(change, acknowledged_at=at, written_at=change.written_at or at)
    with store.write() as connection:
        _update(connection, change, written_at=after.written_at, acknowledged_at=at)
        _note(connection, change.domain, change.after, at)
        audit.append(connection, [_event(change, "policy-in-dns", "on every authoritative server")], now)
    return after


def withdraw(store: Store, change: Change, *, who: str, reason: str, now: datetime) -> Change:
    """
    Save that a change is not made.

    Raises:
        StoreError: The database cannot be written, or somebody else has got on with it.
    """
    after = replace(change, withdrawn_at=_whole(now))
    event = audit.Event(domain=change.domain, who=who, action="policy-withdrawn", detail=reason)
    with store.write() as connection:
        _update(connection, change, withdrawn_at=after.withdrawn_at)
        audit.append(connection, [event], now)
    return after


def is_under_way(store: Store, domain: str) -> bool:
    """
    Tell whether a change of the domain's policy is decided and not yet on every server.

    Raises:
        StoreError: The database cannot be read.
    """
    rows = select(_STEP.c.acknowledged_at).where(_STEP.c.domain == domain, _STEP.c.withdrawn_at.is_(None))
    with store.read() as connection:
        newest = connection.execute(rows.order_by(_STEP.c.id.desc()).limit(1)).first()
    return newest is not None and newest.acknowledged_at is None


def _switching() -> Select[Any]:
    is_switched = _KEY.c.pending.contains(SwitchSigner.__name__, autoescape=True)
    return (
        select(_KEY.c.domain, _KEY.c.selector)
        .where(or_(_KEY.c.stage.in_(_SWITCHING), is_switched))
        .order_by(_KEY.c.position)
    )


def _rows(
    connection: Connection, statement: Select[Any], table: Table, domains: Collection[str]
) -> Iterator[dict[str, Any]]:
    for some in slices(sorted(domains)):
        for row in connection.execute(statement.where(table.c.domain.in_(some))).mappings():
            yield {name: _aware(value) for name, value in row.items()}


def _note(connection: Connection, domain: str, record: bytes, at: datetime) -> None:
    rows = select(_SEEN.c.record, _SEEN.c.at).where(_SEEN.c.domain == domain)
    newest = connection.execute(rows.order_by(_SEEN.c.id.desc()).limit(1)).first()
    if newest is not None and (newest.record == record or newest.at > at):
        return
    connection.execute(insert(_SEEN).values(id=next_key(connection, _SEEN), domain=domain, at=at, record=record))


def _update(connection: Connection, change: Change, **values: datetime | None) -> None:
    is_open = (_STEP.c.acknowledged_at.is_(None), _STEP.c.withdrawn_at.is_(None))
    if not connection.execute(update(_STEP).where(_STEP.c.id == change.id, *is_open).values(values)).rowcount:
        raise StoreError(
            f"the policy of {change.domain} was changed by another program meanwhile", hint="run again to go on"
        )


def _event(change: Change, action: str, detail: str) -> audit.Event:
    return audit.Event(
        domain=change.domain,
        who=change.who,
        action=action,
        detail=detail,
        before=text_of(change.before),
        after=text_of(change.after),
    )


def _aware(value: Any) -> Any:  # noqa: ANN401 - whatever a column holds
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _whole(moment: datetime) -> datetime:
    """Return a moment as both databases keep it: in UTC, to the second."""
    return moment.astimezone(UTC).replace(microsecond=0)
