"""
What was shown to be signed, and the signatures under it.

A statement that nobody has signed is kept for a while, so that a person may sign what they were shown some days ago; a
signed one is kept for ever.
"""

import json
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, exists, insert, select

from dmarcops.policy.journal import Change
from dmarcops.policy.signoff import Signature, Signoff, Statement, canonical
from dmarcops.store import audit, policies
from dmarcops.store.bulk import slices
from dmarcops.store.engine import Store
from dmarcops.store.tables import TABLES

KEPT_UNSIGNED = timedelta(days=30)
"""How long a statement that nobody has signed is kept."""

_STATEMENT, _SIGNATURE = TABLES["policy_statement"], TABLES["policy_signature"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A sign-off as it is kept; `proofs` are the signatures of the seals by keys, empty where there was none."""

    signoff: Signoff
    proofs: tuple[str, ...]


def show(store: Store, statements: Iterable[Statement], now: datetime) -> None:
    """
    Keep statements that are shown to a person.

    Raises:
        StoreError: The database cannot be written.
    """
    with store.write() as connection:
        for statement in statements:
            _keep(connection, statement, now)


def find(store: Store, domain: str, digest: str) -> Signed | None:
    """
    Return a statement of a domain that was shown, and what was signed under it.

    Raises:
        StoreError: The database cannot be read.
    """
    with store.read() as connection:
        return _signed(connection, domain, digest)


def unused(store: Store, used: Mapping[str, Collection[str]]) -> Mapping[str, Signed]:
    """
    Return for each of some domains the sign-off with the newest signature, if one is left: a signature is for one step.

    Args:
        store: The store.
        used: The domains, each with the digests by which steps were made already.

    Raises:
        StoreError: The database cannot be read.
    """
    found: dict[str, Signed] = {}
    with store.read() as connection:
        for domain, digest in _digests(connection, used):
            if domain not in found and digest not in used[domain]:
                signed = _signed(connection, domain, digest)
                if signed is not None:
                    found[domain] = signed
    return found


def sign(store: Store, signoff: Signoff, *, who: str, proof: str, adopted: Change | None, now: datetime) -> None:
    """
    Keep the last signature of a sign-off.

    Args:
        store: The store.
        signoff: The statement with its signatures.
        who: The user of the system.
        proof: The signature of the last seal by a key, empty without one.
        adopted: The record that was changed by somebody else, and that the signature takes for right.
        now: When.

    Raises:
        StoreError: The database cannot be written.
    """
    statement, signature = signoff.statement, signoff.signatures[-1]
    values = {"domain": statement.domain, "digest": signature.digest, "position": len(signoff.signatures) - 1}
    values |= {"signer": signature.by, "at": signature.at, "comment": signature.comment}
    values |= {"previous": signature.previous, "seal": signature.seal, "who": who, "proof": proof}
    said = f": {signature.comment}" if signature.comment else ""
    event = audit.Event(
        domain=statement.domain,
        who=who,
        action="policy-sign",
        detail=f"{signature.by} signed {signature.digest}{said}",
        before=statement.record_now,
        after=statement.record_next,
    )
    with store.write() as connection:
        _keep(connection, statement, now)
        connection.execute(insert(_SIGNATURE).values(values))
        audit.append(connection, [event], now)
        if adopted is not None:
            policies.add(connection, adopted, detail=f"by the signature of {signature.by}", now=now)


def _keep(connection: Connection, statement: Statement, now: datetime) -> None:
    now = now.astimezone(UTC).replace(microsecond=0)
    domain, digest = statement.domain, statement.digest
    is_signed = exists().where(_SIGNATURE.c.domain == _STATEMENT.c.domain, _SIGNATURE.c.digest == _STATEMENT.c.digest)
    connection.execute(
        delete(_STATEMENT).where(_STATEMENT.c.domain == domain, _STATEMENT.c.shown_at < now - KEPT_UNSIGNED, ~is_signed)
    )
    is_this = (_STATEMENT.c.domain == domain, _STATEMENT.c.digest == digest)
    if connection.execute(select(_STATEMENT.c.digest).where(*is_this)).first() is None:
        packed = zlib.compress(canonical(statement.fields()))
        connection.execute(insert(_STATEMENT).values(domain=domain, digest=digest, shown_at=now, statement=packed))


def _digests(connection: Connection, domains: Collection[str]) -> Iterator[tuple[str, str]]:
    """Give the statements that are signed, in the order of their last signatures, the newest first."""
    last: dict[tuple[str, str], datetime] = {}
    for some in slices(sorted(domains)):
        rows = select(_SIGNATURE.c.domain, _SIGNATURE.c.digest, _SIGNATURE.c.at).where(_SIGNATURE.c.domain.in_(some))
        for row in connection.execute(rows):
            key = row.domain, row.digest
            last[key] = max(row.at, last.get(key, row.at))
    yield from sorted(last, key=lambda key: (last[key], key), reverse=True)


def _signed(connection: Connection, domain: str, digest: str) -> Signed | None:
    is_this = (_STATEMENT.c.domain == domain, _STATEMENT.c.digest == digest)
    packed = connection.scalar(select(_STATEMENT.c.statement).where(*is_this))
    if packed is None:
        return None
    is_under = (_SIGNATURE.c.domain == domain, _SIGNATURE.c.digest == digest)
    rows = connection.execute(select(_SIGNATURE).where(*is_under).order_by(_SIGNATURE.c.position)).mappings().all()
    fields: dict[str, Any] = json.loads(zlib.decompress(packed).decode("utf-8", "surrogatepass"))
    return Signed(
        signoff=Signoff(Statement(**fields), tuple(_signature(row) for row in rows)),
        proofs=tuple(row["proof"] for row in rows),
    )


def _signature(row: Mapping[Any, Any]) -> Signature:
    return Signature(
        by=row["signer"],
        at=row["at"].astimezone(UTC),
        comment=row["comment"],
        digest=row["digest"],
        previous=row["previous"],
        seal=row["seal"],
    )
