"""What aggregate reports say of the selectors of a signing domain: until when they show each, and how much passes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select

from dmarcops.store.engine import Store
from dmarcops.store.relations import DKIM_RESULT, EVALUATIONS

_SLACK = timedelta(days=1)
"""So far the clock of a reporter may be ahead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """
    What reports show of a domain's selectors.

    `last` is selector -> the end of the newest report that shows it passing; `until` is the end of the newest report of
    the domain at all, `None` when there is none.
    """

    last: Mapping[str, datetime] = field(default_factory=dict)
    until: datetime | None = None


def reported(store: Store, domain: str, now: datetime) -> Reported:
    """
    Return what reports show of a domain's selectors; a result without a selector says nothing.

    Nor does a report of a time that is yet to come: a forged one would hold a key, or let one go, for ever.

    Args:
        store: The store.
        domain: The signing domain.
        now: When.

    Raises:
        StoreError: The database cannot be read.
    """
    is_over = EVALUATIONS.c.date_end <= int((now + _SLACK).timestamp())
    newest = (
        select(DKIM_RESULT.c.selector, func.max(EVALUATIONS.c.date_end))
        .join(EVALUATIONS, EVALUATIONS.c.evaluation_id == DKIM_RESULT.c.evaluation_id)
        .where(DKIM_RESULT.c.domain == domain, DKIM_RESULT.c.result == "pass", DKIM_RESULT.c.selector.is_not(None))
        .where(is_over)
        .group_by(DKIM_RESULT.c.selector)
    )
    until = select(func.max(EVALUATIONS.c.date_end)).where(
        is_over, (EVALUATIONS.c.policy_domain == domain) | (EVALUATIONS.c.header_from == domain)
    )
    with store.read() as connection:
        last = {selector: _moment(end) for selector, end in connection.execute(newest) if selector}
        end = connection.scalar(until)
    return Reported(last=last, until=None if end is None else _moment(end))


def passed(store: Store, domain: str, selector: str, since: datetime) -> int:
    """
    Return how much aligned mail passed with a selector, by authenticated reports that began after a moment.

    Raises:
        StoreError: The database cannot be read.
    """
    proving = (
        select(EVALUATIONS.c.evaluation_id, EVALUATIONS.c.mail_count)
        .join(DKIM_RESULT, EVALUATIONS.c.evaluation_id == DKIM_RESULT.c.evaluation_id)
        .where(DKIM_RESULT.c.domain == domain, DKIM_RESULT.c.selector == selector, DKIM_RESULT.c.result == "pass")
        .where(DKIM_RESULT.c.aligned, EVALUATIONS.c.authenticated == "authenticated")
        .where(EVALUATIONS.c.date_begin >= int(since.timestamp()))
        .distinct()
        .subquery()
    )
    with store.read() as connection:
        return int(connection.scalar(select(func.coalesce(func.sum(proving.c.mail_count), 0))) or 0)


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
