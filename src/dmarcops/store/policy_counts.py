"""
How much mail reporters counted, as policies are decided on it: by domain, day, reporter, source and author domain.

The policy domain of a report decides whose mail it is: where the reporter found the record that it applied (RFC 9989
section 4.10.1), be the author domain that one or below it. A subdomain with a record of its own has reports of its own.

Who reports is the organization that the carrier mail is from, where that is authentic, whatever name the report gives:
who has one domain is one reporter, and cannot pass for several. Else it is the name.

Only reports whose carrier mail is authentic count, and with `trusting` those of which nothing is known; a report whose
carrier mail is known not to be authentic never does. Conflicting reports count nowhere, as in the views, and a report
without a period is of no day. Reads only.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Row,
    ScalarSelect,
    Select,
    Table,
    case,
    cast,
    exists,
    func,
    or_,
    select,
)

from dmarcops.policy.evidence import Count
from dmarcops.policy.sources import Origin
from dmarcops.report.model import Disposition, OverrideType
from dmarcops.store.bulk import slices
from dmarcops.store.engine import Store
from dmarcops.store.identity import AUTHENTICATED
from dmarcops.store.relations import EVALUATIONS
from dmarcops.store.tables import TABLES

if TYPE_CHECKING:
    _Question = Select[*tuple[Any, ...]]

NOBODY = "unknown"
"""The reporter of reports that name none."""

_UNKNOWN = "unknown"
_REPORT, _EVALUATION, _RECORD = TABLES["report"], TABLES["evaluation"], TABLES["record"]
_DKIM, _SPF, _REASON = TABLES["dkim_result"], TABLES["spf_result"], TABLES["override_reason"]
_ADDRESS = func.coalesce(_RECORD.c.source_ip, "").label("source_ip")
_BLOCK_ROWS = 5_000
_KEYS = ("policy_domain", "day", "reporter", "header_from", "p", "is_indirect")
_DISPOSITIONS = tuple(kind.value for kind in Disposition)
_REASONS = {kind.value: 1 << bit for bit, kind in enumerate(OverrideType)}
"""One bit each: a mail that has a reason twice counts once for it."""
_TALLIES = 5
"""Sums that come before those of the parts."""
_NO_LIMIT = (1 << 63) - 1

_PARTS = (*(f"disposition_{kind}" for kind in _DISPOSITIONS), *(f"reason_{kind}" for kind in _REASONS))

NameOf = Callable[[str, str], Origin]
"""Gives what is known of an address that sends mail of a policy domain."""


@dataclass(frozen=True, slots=True)
class Signed:
    """How much mail of a source one reporter saw with a valid signature by a domain that is not aligned."""

    policy_domain: str
    address: str
    signing_domain: str
    reporter: str
    messages: int


def _unnamed(_domain: str, address: str) -> Origin:
    return Origin(address)


def counts(
    store: Store,
    domains: Collection[str],
    begin: date,
    end: date,
    *,
    trusting: bool,
    name_of: NameOf = _unnamed,
) -> Iterator[tuple[str, Count]]:
    """
    Give the mail of some policy domains, all of one domain together.

    Args:
        store: The store.
        domains: The policy domains, in A-labels.
        begin: The first day in UTC; a report is of the day that it begins on.
        end: The last day, itself included.
        trusting: Count reports of which it is not known whether their carrier mail is authentic as well.
        name_of: What is known of a source, besides its address.

    Raises:
        StoreError: The database cannot be read.
    """
    for row in _rows(store, domains, lambda some: _counted(_seen(some, begin, end, trusting=trusting))):
        yield _count(row, name_of)


def signed(store: Store, domains: Collection[str], begin: date, end: date, *, trusting: bool) -> Iterator[Signed]:
    """
    Give who else signed mail of some policy domains, and validly; the arguments are those of `counts`.

    Raises:
        StoreError: The database cannot be read.
    """
    for row in _rows(store, domains, lambda some: _signed(_seen(some, begin, end, trusting=trusting))):
        yield Signed(*tuple(row))


def addresses(store: Store, domains: Collection[str], begin: date, end: date, *, trusting: bool) -> tuple[str, ...]:
    """
    Give the addresses that mail of some policy domains came from, those of the most mail first; as `counts`.

    Raises:
        StoreError: The database cannot be read.
    """
    sums: dict[str, int] = {}
    for row in _rows(store, domains, lambda some: _sending(_seen(some, begin, end, trusting=trusting))):
        sums[row.source_ip] = sums.get(row.source_ip, 0) + row.messages
    return tuple(sorted(sums, key=lambda address: (-sums[address], address)))


def _rows(store: Store, domains: Collection[str], ask: "Callable[[Collection[str]], _Question]") -> Iterator[Row[Any]]:
    with store.read() as connection:
        for some in slices(sorted(set(domains))):
            yield from connection.execution_options(yield_per=_BLOCK_ROWS).execute(ask(some))


def _seen(domains: Collection[str], begin: date, end: date, *, trusting: bool) -> CTE:
    """
    Give the evaluations that count, each once with all that a sum needs of it.

    The limit, that of a 64-bit number, keeps SQLite from working each of its columns out anew wherever it is used.
    """
    kinds = (AUTHENTICATED, _UNKNOWN) if trusting else (AUTHENTICATED,)
    flat = EVALUATIONS.c
    passed = or_(
        flat.dkim_aligned,
        flat.spf_aligned,
        _has(_DKIM, _DKIM.c.result == "pass"),
        _has(_SPF, _SPF.c.result == "pass"),
    )
    return (
        select(
            flat.evaluation_id,
            flat.policy_domain,
            flat.day,
            func.coalesce(_REPORT.c.carrier, flat.reporter, NOBODY).label("reporter"),
            func.coalesce(flat.header_from, flat.policy_domain).label("header_from"),
            func.coalesce(flat.p, "").label("p"),
            flat.received_at,
            flat.disposition,
            _one(flat.dkim_aligned).label("dkim"),
            _one(flat.spf_aligned).label("spf"),
            _one(passed).label("authenticated"),
            _reasons().label("reasons"),
            _one(or_(_has(_REASON, _says_arc()), _has_extension())).label("is_indirect"),
        )
        .join_from(EVALUATIONS, _REPORT, _REPORT.c.id == flat.report_pk)
        .where(flat.policy_domain.in_(domains), flat.day.between(begin, end), flat.authenticated.in_(kinds))
        .limit(_NO_LIMIT)
        .cte("seen")
    )


def _has(table: Table, condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(table.c.evaluation_id == EVALUATIONS.c.evaluation_id, condition)


def _reasons() -> ScalarSelect[int]:
    bits = case(_REASONS, value=_REASON.c.type, else_=0)
    added = select(func.coalesce(func.sum(bits.distinct()), 0)).where(
        _REASON.c.evaluation_id == EVALUATIONS.c.evaluation_id
    )
    return added.scalar_subquery()


def _says_arc() -> ColumnElement[bool]:
    """The comment of a reason that tells of a valid chain (RFC 8617 section 7.2.2): the mail came by way of others."""
    return func.lower(_REASON.c.comment).startswith("arc=pass")


def _has_extension() -> ColumnElement[bool]:
    """An element such as `auth_results/x-arc` or `arc` that says pass; `extensions` is JSON with path and XML."""
    said = func.lower(_EVALUATION.c.extensions)
    return exists().where(
        _EVALUATION.c.id == EVALUATIONS.c.evaluation_id,
        _EVALUATION.c.extensions != "[]",
        or_(said.contains('/arc"'), said.contains("/x-arc")),
        said.contains(">pass<"),
    )


def _one(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)


def _sum(value: ColumnElement[Any], name: str) -> ColumnElement[Any]:
    # PostgreSQL's sum of BIGINT is a NUMERIC.
    return cast(func.sum(value), BigInteger).label(name)


def _counted(seen: CTE) -> "_Question":
    keys = [*(seen.c[name] for name in _KEYS), _ADDRESS]
    mail = _RECORD.c.mail_count
    dispositions = (case((seen.c.disposition == kind, mail), else_=0) for kind in _DISPOSITIONS)
    reasons = (case((seen.c.reasons.bitwise_and(bit) != 0, mail), else_=0) for bit in _REASONS.values())
    return (
        select(
            *keys,
            _sum(mail, "messages"),
            _sum(mail * seen.c.dkim, "dkim"),
            _sum(mail * seen.c.spf, "spf"),
            _sum(mail * seen.c.dkim * seen.c.spf, "both"),
            _sum(mail * seen.c.authenticated, "authenticated"),
            *(_sum(value, name) for name, value in zip(_PARTS, (*dispositions, *reasons), strict=True)),
            func.max(seen.c.received_at).label("received_at"),
        )
        .join(_RECORD, _RECORD.c.evaluation_id == seen.c.evaluation_id)
        .group_by(*keys)
        # In the order of the grouping, which SQLite has sorted by already.
        .order_by(*keys)
    )


def _signed(seen: CTE) -> "_Question":
    by = (
        select(seen.c.evaluation_id, seen.c.policy_domain, _DKIM.c.domain.label("signing_domain"), seen.c.reporter)
        .join(_DKIM, _DKIM.c.evaluation_id == seen.c.evaluation_id)
        .where(_DKIM.c.result == "pass", ~_DKIM.c.aligned, _DKIM.c.domain.is_not(None))
        # A mail counts once for a domain, however many signatures by it are listed.
        .distinct()
        .subquery()
    )
    keys = (by.c.policy_domain, _ADDRESS, by.c.signing_domain, by.c.reporter)
    return (
        select(*keys, _sum(_RECORD.c.mail_count, "messages"))
        .join(_RECORD, _RECORD.c.evaluation_id == by.c.evaluation_id)
        .group_by(*keys)
        .order_by(*keys)
    )


def _sending(seen: CTE) -> "_Question":
    return (
        select(_ADDRESS, _sum(_RECORD.c.mail_count, "messages"))
        .join_from(seen, _RECORD, _RECORD.c.evaluation_id == seen.c.evaluation_id)
        .group_by(_ADDRESS)
    )


def _count(row: Row[Any], name_of: NameOf) -> tuple[str, Count]:
    domain, day, reporter, author, policy, is_indirect, address, *parts, received_at = tuple(row)
    messages, dkim, spf, both, authenticated = parts[:_TALLIES]
    split = len(_DISPOSITIONS) + _TALLIES
    return domain, Count(
        day=day,
        reporter=reporter,
        origin=name_of(domain, address),
        header_from=author,
        messages=messages,
        dkim=dkim,
        spf=spf,
        both=both,
        authenticated=authenticated,
        dispositions={kind: n for kind, n in zip(_DISPOSITIONS, parts[_TALLIES:split], strict=True) if n},
        reasons={kind: n for kind, n in zip(_REASONS, parts[split:], strict=True) if n},
        policy=policy,
        is_indirect=bool(is_indirect),
        # A report that came before its day was over has a clock that is wrong.
        lag_days=max((received_at.astimezone(UTC).date() - day).days, 0),
    )
