"""
The ledger: what became of every message, one line each, with the lines of its payloads.

A message is known by where it came from and what its octets are; one that could not be read has no digest, and its line
gives way once it can be. Seen again it keeps its line: a payload that ended for
good (stored, a duplicate, a conflict) stays what it was, so that mail delivered again after a crash does not turn
"stored" into "duplicate"; one that did not may end better than before. The octets of messages with such payloads are
kept under a cap, to be tried again.
"""

import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from sqlalchemy import Connection, delete, exists, func, select, update

from dmarcops.store.bulk import bulk_insert, slices
from dmarcops.store.engine import Store
from dmarcops.store.intake import Outcome
from dmarcops.store.moments import timestamp
from dmarcops.store.tables import TABLES

OPEN = (Outcome.RETRY, Outcome.CORRUPT, Outcome.UNSUPPORTED, Outcome.NOT_A_REPORT)
"""How a payload ends that may end better when it is tried again, worst first; all other ends are for good."""

_WORST = {outcome: place for place, outcome in enumerate(Outcome)}
_GOODNESS = {outcome: place for place, outcome in enumerate((*OPEN, Outcome.CONFLICT, Outcome.STORED))}
_GOODNESS[Outcome.DUPLICATE] = _GOODNESS[Outcome.STORED]
_OPEN_VALUES = [outcome.value for outcome in OPEN]

_LEDGER = TABLES["ledger"]
_PAYLOAD = TABLES["ledger_payload"]
_KEPT = TABLES["kept"]


@dataclass(frozen=True, slots=True)
class Line:
    """How one payload ended; `report_key` is that of the report it is, or that it duplicates."""

    origin: str
    sha256: str
    outcome: Outcome
    code: str | None = None
    reason: str | None = None
    report_key: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A message that was looked at: at least one line, and its octets when not all of it was stored."""

    origin: str
    message_sha256: str
    raw: bytes | None
    lines: tuple[Line, ...]

    @property
    def is_open(self) -> bool:
        """Whether something of it may end better when it is tried again."""
        return any(line.outcome in OPEN for line in self.lines)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the ledger says of a message already."""

    id: int
    outcome: Outcome
    lines: tuple[Line, ...]


def worst(lines: Iterable[Line]) -> Line:
    """Return the line that a message takes its outcome from."""
    return min(lines, key=lambda line: _WORST[line.outcome])


def merged(earlier: Iterable[Line], now: Iterable[Line]) -> tuple[Line, ...]:
    """
    Return the lines of a message that was looked at again.

    A payload keeps what it ended as for good, also when it is no longer found; else what it ended as now counts,
    unless that is worse.
    """
    left = {(line.origin, line.sha256): line for line in earlier}
    lines = [_better(left.pop((line.origin, line.sha256), line), line) for line in now]
    return (*(line for line in left.values() if line.outcome not in OPEN), *lines)


def _better(earlier: Line, now: Line) -> Line:
    if earlier.outcome in OPEN and _GOODNESS[now.outcome] >= _GOODNESS[earlier.outcome]:
        return now
    return earlier


def note(connection: Connection, store: Store, entries: Sequence[Entry], now: datetime) -> None:
    """
    Write messages into the ledger, and keep or drop their octets.

    Args:
        connection: The caller's write transaction; the reports that the lines name are in it already.
        store: The store, for its caps.
        entries: What was looked at. Of the same message twice the first counts.
        now: When.
    """
    by_key: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        by_key.setdefault((entry.message_sha256, _origin_key(entry.origin)), entry)
    known = _known(connection, by_key)
    _drop_unread(connection, [origin_key for digest, origin_key in by_key if digest])
    _add(connection, {key: entry for key, entry in by_key.items() if key not in known}, now)
    _touch(connection, [line.id for line in known.values()], now)
    settled = set()
    for key, earlier in known.items():
        entry = _update(connection, earlier, by_key[key])
        if not entry.is_open and any(line.outcome in OPEN for line in earlier.lines):
            settled.add(entry.message_sha256)
        by_key[key] = entry
    _keep(connection, store, [entry for entry in by_key.values() if entry.raw is not None and entry.is_open], now)
    _drop_settled(connection, settled)


def retryable(store: Store) -> Iterator[tuple[str, str, bytes | None]]:
    """
    Give each message of which something may end better when it is tried again, the oldest first.

    Recording while this runs is fine: what is to be tried is settled at the first step.

    Returns:
        Origin, SHA-256 and octets of the message; no octets when they are not kept.

    Raises:
        StoreError: The database cannot be read.
    """
    is_open = select(_PAYLOAD.c.ledger_id).where(_PAYLOAD.c.outcome.in_(_OPEN_VALUES))
    messages = (
        select(_LEDGER.c.origin, _LEDGER.c.message_sha256).where(_LEDGER.c.id.in_(is_open)).order_by(_LEDGER.c.id)
    )
    with store.read() as connection:
        waiting = connection.execute(messages).all()
    for origin, digest in waiting:
        with store.read() as connection:
            data = connection.scalar(select(_KEPT.c.data).where(_KEPT.c.message_sha256 == digest))
        yield origin, digest, None if data is None else zlib.decompress(data)


def _origin_key(origin: str) -> str:
    return sha256(origin.encode()).hexdigest()[:32]


def _known(connection: Connection, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], _Known]:
    """Return what the ledger has of these messages already; lines only of those that are open."""
    found: dict[tuple[str, str], tuple[int, Outcome]] = {}
    columns = select(_LEDGER.c.message_sha256, _LEDGER.c.origin_key, _LEDGER.c.id, _LEDGER.c.outcome)
    for digests in slices(list({digest for digest, _ in keys})):
        for digest, origin_key, number, outcome in connection.execute(
            columns.where(_LEDGER.c.message_sha256.in_(digests))
        ):
            if (digest, origin_key) in keys:
                found[digest, origin_key] = (number, Outcome(outcome))
    lines = _lines(connection, [number for number, _ in found.values()])
    return {key: _Known(number, outcome, lines.get(number, ())) for key, (number, outcome) in found.items()}


def _lines(connection: Connection, ids: Sequence[int]) -> Mapping[int, tuple[Line, ...]]:
    """Return the lines of those of the messages that are open."""
    lines: dict[int, list[Line]] = {}
    for some in slices(ids):
        is_open = select(_PAYLOAD.c.ledger_id).where(
            _PAYLOAD.c.ledger_id.in_(some), _PAYLOAD.c.outcome.in_(_OPEN_VALUES)
        )
        rows = (
            select(_PAYLOAD)
            .where(_PAYLOAD.c.ledger_id.in_(is_open))
            .order_by(_PAYLOAD.c.ledger_id, _PAYLOAD.c.position)
        )
        for row in connection.execute(rows):
            line = Line(row.origin, row.sha256, Outcome(row.outcome), row.code, row.reason, row.report_id)
            lines.setdefault(row.ledger_id, []).append(line)
    return {number: tuple(of_message) for number, of_message in lines.items()}


def _drop_unread(connection: Connection, origin_keys: Sequence[str]) -> None:
    """Drop the lines of messages that could not be read before and now were."""
    for some in slices(origin_keys):
        connection.execute(delete(_LEDGER).where(_LEDGER.c.message_sha256 == "", _LEDGER.c.origin_key.in_(some)))


def _add(connection: Connection, entries: Mapping[tuple[str, str], Entry], now: datetime) -> None:
    """Write the lines of messages that are new."""
    first = (connection.scalar(select(func.max(_LEDGER.c.id))) or 0) + 1
    seen = timestamp(now)
    rows: list[tuple[object, ...]] = []
    lines: list[tuple[object, ...]] = []
    for number, ((digest, origin_key), entry) in enumerate(entries.items(), first):
        line = worst(entry.lines)
        told = (line.outcome.value, line.code, line.reason, line.sha256, len(entry.lines))
        rows.append((number, digest, origin_key, entry.origin, *told, seen, seen))
        lines += _line_rows(number, entry.lines)
    bulk_insert(connection, _LEDGER, rows)
    bulk_insert(connection, _PAYLOAD, lines)


def _line_rows(number: int, lines: Iterable[Line]) -> Iterator[tuple[object, ...]]:
    for position, line in enumerate(lines):
        yield number, position, line.origin, line.sha256, line.outcome.value, line.code, line.reason, line.report_key


def _touch(connection: Connection, ids: Sequence[int], now: datetime) -> None:
    for some in slices(ids):
        connection.execute(update(_LEDGER).where(_LEDGER.c.id.in_(some)).values(last_seen=now.astimezone(UTC)))


def _update(connection: Connection, earlier: _Known, entry: Entry) -> Entry:
    """Take over what ended better than before; returns the entry as it now stands in the ledger."""
    if not earlier.lines:
        return Entry(entry.origin, entry.message_sha256, None, ())
    lines = merged(earlier.lines, entry.lines)
    line = worst(lines)
    if earlier.outcome in OPEN and _GOODNESS[line.outcome] < _GOODNESS[earlier.outcome]:
        lines = earlier.lines
    if lines != earlier.lines:
        connection.execute(delete(_PAYLOAD).where(_PAYLOAD.c.ledger_id == earlier.id))
        bulk_insert(connection, _PAYLOAD, list(_line_rows(earlier.id, lines)))
        told: dict[str, object] = {"payload_count": len(lines)}
        if earlier.outcome in OPEN:
            told |= {"outcome": line.outcome.value, "code": line.code, "reason": line.reason}
            told["payload_sha256"] = line.sha256
        connection.execute(update(_LEDGER).where(_LEDGER.c.id == earlier.id).values(told))
    return Entry(entry.origin, entry.message_sha256, entry.raw, lines)


def _keep(connection: Connection, store: Store, entries: Iterable[Entry], now: datetime) -> None:
    """Keep the octets of messages, each once; the oldest of all go when there are too many."""
    raws = {
        entry.message_sha256: entry.raw
        for entry in entries
        if entry.raw is not None and len(entry.raw) <= store.kept_message_bytes
    }
    for some in slices(list(raws)):
        for digest in connection.scalars(select(_KEPT.c.message_sha256).where(_KEPT.c.message_sha256.in_(some))):
            del raws[digest]
    packed = [(digest, len(raw), zlib.compress(raw)) for digest, raw in raws.items()]
    kept_at = timestamp(now)
    bulk_insert(connection, _KEPT, [(digest, size, len(data), kept_at, data) for digest, size, data in packed])
    if packed:
        _drop_oldest(connection, store.kept_bytes)


def _drop_oldest(connection: Connection, cap: int) -> None:
    surplus = (connection.scalar(select(func.sum(_KEPT.c.stored_size))) or 0) - cap
    if surplus <= 0:
        return  # without a look at all there is, which may be very many
    oldest = select(_KEPT.c.message_sha256, _KEPT.c.stored_size).order_by(_KEPT.c.kept_at, _KEPT.c.message_sha256)
    dropped = []
    for digest, size in connection.execute(oldest).all():
        if surplus <= 0:
            break
        dropped.append(digest)
        surplus -= size
    for some in slices(dropped):
        connection.execute(delete(_KEPT).where(_KEPT.c.message_sha256.in_(some)))


def _drop_settled(connection: Connection, digests: Collection[str]) -> None:
    """Drop what is kept of messages that need not be tried again, unless they do as they came from elsewhere too."""
    is_open = exists().where(
        _LEDGER.c.message_sha256 == _KEPT.c.message_sha256,
        _PAYLOAD.c.ledger_id == _LEDGER.c.id,
        _PAYLOAD.c.outcome.in_(_OPEN_VALUES),
    )
    for some in slices(list(digests)):
        connection.execute(delete(_KEPT).where(_KEPT.c.message_sha256.in_(some), ~is_open))
