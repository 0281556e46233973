"""
What the name in a filter was most likely meant to be, when no report has it. Reads only.

To be asked when a question had no answer: it looks through all names of reporters or domains.
"""

from collections.abc import Collection
from difflib import get_close_matches

from sqlalchemy import ColumnElement, select

from dmarcops.store.engine import Store
from dmarcops.store.normal import reporter_name
from dmarcops.store.relations import EVALUATION, FAILURE_REPORT, REPORT, TLS_POLICY, TLS_REPORT
from dmarcops.store.views import Filter

_REPORTERS: dict[str, ColumnElement[str]] = {
    "aggregate": REPORT.c.reporter,
    "failure": FAILURE_REPORT.c.reporter,
    "tls": TLS_REPORT.c.reporter,
}
_DOMAINS: dict[str, tuple[ColumnElement[str], ...]] = {
    "aggregate": (REPORT.c.policy_domain, EVALUATION.c.header_from),
    "failure": (FAILURE_REPORT.c.reported_domain, FAILURE_REPORT.c.header_from),
    "tls": (TLS_POLICY.c.policy_domain,),
}


def meant(store: Store, where: Filter, kind: str = "aggregate") -> tuple[str, str] | None:
    """
    Return a name of the filter that no report has, and the name nearest to it that one has; `None`: there is none.

    Args:
        store: The store.
        where: The filter.
        kind: Which reports: `aggregate`, `failure` or `tls`.

    Raises:
        StoreError: The database cannot be read.
    """
    if where.reporter is not None:
        asked = reporter_name(where.reporter)
        known = _names(store, _REPORTERS[kind])
        near = "" if asked in known else _nearest(asked, known)
        if near:
            return where.reporter, near
    if where.domain is not None:
        asked = where.domain
        known = {name for column in _DOMAINS[kind] for name in _names(store, column)}
        is_known = any(name == asked or name.endswith(f".{asked}") for name in known)
        near = "" if is_known else _nearest(asked, known)
        if near:
            return where.domain, near
    return None


def _names(store: Store, column: ColumnElement[str]) -> set[str]:
    with store.read() as connection:
        return set(connection.scalars(select(column).where(column.is_not(None)).distinct()))


def _nearest(asked: str, known: Collection[str]) -> str:
    """Return the known name that has the one asked for in it, else the one most like it, else nothing."""
    within = sorted((name for name in known if asked in name), key=lambda name: (len(name), name)) if asked else []
    return next(iter([*within, *get_close_matches(asked, sorted(known), n=1)]), "")
