"""
What is not as it should be with a domain, from the run that finds it to the one that finds it no more.

A run saves all that it found of a subject (`dkim`, `policy`); what it does not find any more is over. Nobody is told
here: `flows.watchdog.tell_concerns` does that, later and again when nobody could be reached.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import Row, delete, select

from dmarcops.store.engine import Store
from dmarcops.store.normal import storable
from dmarcops.store.tables import TABLES
from dmarcops.store.upsert import upsert

REMEMBERED = timedelta(days=7)
"""How long what is over is remembered, so that a person can still be told."""

_CONCERN = TABLES["concern"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Concern:
    """
    Something that a person is to know of.

    Args:
        subject: Whose it is: `dkim` or `policy`.
        domain: The domain, as A-labels.
        kind: What it is, in a word; with subject, domain and selector it is told apart by it.
        selector: Of which key; empty when it is about the whole domain.
        title: What is wrong, in one line that names the domain, without what changes from run to run.
        text: All that is known of it.
        is_transient: It may pass by itself, as a server that does not answer: told when several runs in a row find it.
        is_event: It happened, and is not going to be over: told once.
    """

    subject: str
    domain: str
    kind: str
    selector: str = ""
    title: str
    text: str
    is_transient: bool = False
    is_event: bool = False

    @property
    def key(self) -> str:
        """What it is told apart by; two events are the same when they say the same."""
        words = [self.subject, self.domain, self.kind, self.selector]
        if self.is_event:
            words.append(sha256(storable(self.text).encode()).hexdigest()[:16])
        return storable(" ".join(word for word in words if word))


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A concern, since when it is known, how many runs in a row found it, and when it was over if it is."""

    concern: Concern
    since: datetime
    runs: int
    ended_at: datetime | None


def load(store: Store, subject: str, domain: str | None = None) -> tuple[Remembered, ...]:
    """
    Return what is known of a subject, by domain and selector; what is over too, for `REMEMBERED`.

    Raises:
        StoreError: The database cannot be read.
    """
    rows = select(_CONCERN).where(_CONCERN.c.subject == subject)
    if domain is not None:
        rows = rows.where(_CONCERN.c.domain == domain)
    with store.read() as connection:
        found = connection.execute(rows.order_by(_CONCERN.c.domain, _CONCERN.c.selector, _CONCERN.c.key)).all()
    return tuple(map(_remembered, found))


def save(
    store: Store,
    subject: str,
    found: Mapping[str, Iterable[Concern]],
    now: datetime,
    *,
    unsure: Collection[str] = (),
) -> None:
    """
    Note what a run found. What was so before in these domains and is not found any more is over.

    Args:
        store: The store.
        subject: Of what.
        found: By domain; a domain that is well has none. Of other domains nothing changes.
        now: When.
        unsure: Domains that could not be looked at wholly: nothing is over in them.

    Raises:
        StoreError: The store is locked or cannot be written.
    """
    merged = {concern.key: concern for concern in _merged(each for several in found.values() for each in several)}
    known = {each.concern.key: each for each in load(store, subject)}
    over = [
        key
        for key, each in known.items()
        if each.ended_at is None
        and key not in merged
        and each.concern.domain in found
        and each.concern.domain not in unsure
    ]
    forgotten = [key for key, each in known.items() if each.ended_at is not None and each.ended_at < now - REMEMBERED]
    if not (merged or over or forgotten):
        return
    with store.write() as connection:
        connection.execute(delete(_CONCERN).where(_CONCERN.c.key.in_(forgotten)))
        for key, concern in merged.items():
            upsert(connection, _CONCERN, _row(concern, known.get(key), now.astimezone(UTC)))
        for key in over:
            upsert(connection, _CONCERN, {"key": key, "ended_at": now.astimezone(UTC)})


def _merged(concerns: Iterable[Concern]) -> Collection[Concern]:
    """Give one concern for each key; of several, all that they say."""
    merged: dict[str, Concern] = {}
    for concern in concerns:
        before = merged.get(concern.key)
        if before is not None and concern.text not in before.text:
            texts = f"{before.text}; {concern.text}"
            is_transient = before.is_transient and concern.is_transient
            merged[concern.key] = replace(before, text=texts, is_transient=is_transient)
        elif before is None:
            merged[concern.key] = concern
    return merged.values()


def _row(concern: Concern, before: Remembered | None, now: datetime) -> dict[str, object]:
    goes_on = before if before is not None and (before.ended_at is None or concern.is_event) else None
    return {
        "key": concern.key,
        "subject": concern.subject,
        "domain": concern.domain,
        "kind": concern.kind,
        "selector": storable(concern.selector),
        "title": storable(concern.title),
        "text": storable(concern.text),
        "is_transient": concern.is_transient,
        "is_event": concern.is_event,
        "since": goes_on.since if goes_on else now,
        "runs": goes_on.runs + 1 if goes_on else 1,
        "ended_at": now if concern.is_event else None,
    }


def _remembered(row: Row[Any]) -> Remembered:
    concern = Concern(
        subject=row.subject,
        domain=row.domain,
        kind=row.kind,
        selector=row.selector,
        title=row.title,
        text=row.text,
        is_transient=row.is_transient,
        is_event=row.is_event,
    )
    ended_at = None if row.ended_at is None else row.ended_at.astimezone(UTC)
    return Remembered(concern=concern, since=row.since.astimezone(UTC), runs=row.runs, ended_at=ended_at)
