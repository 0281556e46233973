"""
What people said of sources: who, when, of which source, for one domain or for all. Kept for ever.

A word is never changed: who thinks otherwise later says so, and the later word holds (`policy.sources`). Each stands in
the audit trail as well, written in the same transaction. `prune` leaves them alone.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC

from sqlalchemy import RowMapping, insert, select

from dmarcops.policy.sources import Acknowledgement, Scope, Word
from dmarcops.store import audit
from dmarcops.store.bulk import slices
from dmarcops.store.engine import Store
from dmarcops.store.identity import next_key
from dmarcops.store.normal import storable
from dmarcops.store.tables import TABLES

EVERYWHERE = ""
"""The domain of a word that is about the mail of all domains."""

_WORD = TABLES["source_word"]


@dataclass(frozen=True, slots=True)
class Said:
    """A word as it was said: `domain` is `EVERYWHERE` when it is for all."""

    domain: str
    word: Acknowledgement


def add(store: Store, domain: str, word: Acknowledgement) -> Acknowledgement:
    """
    Keep a word.

    Args:
        store: The store.
        domain: The policy domain whose mail it is about, in A-labels, or `EVERYWHERE`.
        word: What was said, and by whom.

    Returns:
        The word as it is kept: at a whole second in UTC, its texts as any database takes them.

    Raises:
        StoreError: The store is locked or cannot be written.
    """
    kept = replace(
        word,
        value=storable(word.value),
        by=storable(word.by),
        at=word.at.astimezone(UTC).replace(microsecond=0),
        note=storable(word.note),
    )
    detail = f"{kept.scope} {kept.value}" + (f": {kept.note}" if kept.note else "")
    event = audit.Event(domain=domain, who=kept.by, action=f"source-{kept.word}", detail=detail)
    values = {"domain": domain, "scope": kept.scope.value, "value": kept.value, "word": kept.word.value}
    values |= {"who": kept.by, "note": kept.note}
    with store.write() as connection:
        connection.execute(insert(_WORD).values(id=next_key(connection, _WORD), at=kept.at, **values))
        audit.append(connection, [event], kept.at)
    return kept


def of(store: Store, domains: Collection[str]) -> Mapping[str, tuple[Acknowledgement, ...]]:
    """
    Return for each of some domains the words about its mail, those for all domains among them, the earliest first.

    Raises:
        StoreError: The database cannot be read.
    """
    found: dict[str, list[tuple[int, Acknowledgement]]] = {domain: [] for domain in (EVERYWHERE, *domains)}
    with store.read() as connection:
        for some in slices(sorted(found)):
            for row in connection.execute(select(_WORD).where(_WORD.c.domain.in_(some))).mappings():
                found[row["domain"]].append((row["id"], _word(row)))
    everywhere = found.pop(EVERYWHERE)
    return {domain: tuple(_in_order([*own, *everywhere])) for domain, own in found.items()}


def said(store: Store, domain: str | None = None) -> tuple[Said, ...]:
    """
    Return all words, or those that are about the mail of one domain, the earliest first.

    Raises:
        StoreError: The database cannot be read.
    """
    statement = select(_WORD).order_by(_WORD.c.id)
    if domain is not None:
        statement = statement.where(_WORD.c.domain.in_({domain, EVERYWHERE}))
    with store.read() as connection:
        return tuple(Said(row["domain"], _word(row)) for row in connection.execute(statement).mappings())


def _in_order(said: Iterable[tuple[int, Acknowledgement]]) -> Iterator[Acknowledgement]:
    return (word for _, word in sorted(said, key=lambda numbered: numbered[0]))


def _word(row: RowMapping) -> Acknowledgement:
    return Acknowledgement(
        scope=Scope(row["scope"]),
        value=row["value"],
        word=Word(row["word"]),
        by=row["who"],
        at=row["at"].astimezone(UTC),
        note=row["note"],
    )
