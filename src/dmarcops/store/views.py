"""
What the store can be asked: the questions of the command line, over the views that the migrations make.

Each question is one SELECT, run when its rows are first asked for; rows come as the database gives them, so that memory
does not grow with their number. Mail of conflicting reports is counted nowhere. Reads only.

A question that does not ask for sources is answered from `evaluation_flat`, which has a row for each distinct
evaluation of a report, with the mail of all its records; only the others read the many rows of `record_flat`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Float,
    FromClause,
    Select,
    and_,
    case,
    cast,
    distinct,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy import Table as Relation

from dmarcops.errors import ConfigError
from dmarcops.quantities import parse_network
from dmarcops.store.engine import Store
from dmarcops.store.normal import reporter_name
from dmarcops.store.relations import (
    DKIM_RESULT,
    EVALUATION,
    EVALUATIONS,
    FAILURE_REPORT,
    KEPT,
    LEDGER,
    OVERRIDE_REASON,
    RECORD,
    RECORDS,
    REPORT,
    TEXTS,
    TLS_FAILURE,
    TLS_POLICY,
    TLS_REPORT,
)

if TYPE_CHECKING:
    _Question = Select[*tuple[Any, ...]]

_BLOCK_ROWS = 1_000
"""Rows fetched at a time."""
_MOST_ROWS = 2**63 - 1
"""The greatest limit that the databases take: more than any table has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """
    Which mail a question is about; `None` is all.

    `domain` is a policy domain or an author domain, or a parent of one. `since` and `until` are days in UTC, both
    included, of the begin of a report; a report without one is then left out. `source` is an IP address or a network
    (`192.0.2.0/24`), `reporter` the name of an organization. At most `limit` rows are given.
    """

    domain: str | None = None
    since: date | None = None
    until: date | None = None
    source: str | None = None
    reporter: str | None = None
    authenticated: str | None = None
    limit: int | None = None

    @property
    def most(self) -> int | None:
        """The limit, as far as a database can count."""
        return None if self.limit is None else min(self.limit, _MOST_ROWS)


@dataclass(frozen=True, slots=True)
class Table:
    """
    The answer to a question: names of columns, and rows that can be walked through once.

    Walking raises StoreError when the database cannot be read.
    """

    columns: tuple[str, ...]
    rows: Iterable[tuple[object, ...]]


def is_empty(store: Store) -> bool:
    """
    Tell whether there is no report of any kind.

    Raises:
        StoreError: The database cannot be read.
    """
    kinds = (REPORT, FAILURE_REPORT, TLS_REPORT)
    with store.read() as connection:
        return all(connection.scalar(select(kind.c.id).limit(1)) is None for kind in kinds)


def summary(store: Store, where: Filter) -> Table:
    """
    For each policy domain: how much mail, how much of it passes, and the policy of its newest report.

    One whose reports have no record has a row too, as long as no source is asked for: somebody looks after its mail.
    """
    source = _with_empty_reports(where)
    newest = func.max(source.c.date_begin)
    domains = (
        select(source.c.policy_domain, *_counts(source), *_seen(source), newest.label("newest"))
        .add_columns(func.count(distinct(source.c.report_pk)).label("report_count"))
        .group_by(source.c.policy_domain)
        .subquery()
    )
    # Reports of the same begin may differ; the strictest policy is the greatest word.
    policy = (
        select(func.max(REPORT.c.p))
        .where(
            REPORT.c.day == domains.c.last_day,
            REPORT.c.date_begin == domains.c.newest,
            REPORT.c.policy_domain == domains.c.policy_domain,
            ~REPORT.c.conflict,
        )
        .scalar_subquery()
    )
    rate = cast(domains.c.pass_count, Float) / func.nullif(domains.c.mail_count, 0)
    statement = select(
        domains.c.policy_domain,
        policy.label("p"),
        domains.c.mail_count,
        domains.c.pass_count,
        domains.c.fail_count,
        rate.label("pass_rate"),
        domains.c.dkim_aligned_count,
        domains.c.spf_aligned_count,
        domains.c.report_count,
        domains.c.reporter_count,
        domains.c.first_day,
        domains.c.last_day,
    )
    return _answer(store, _most_first(statement, domains.c.policy_domain), where)


def _with_empty_reports(where: Filter) -> FromClause:
    """Return the mail that the filter lets through, and a row without mail for each report that has no record."""
    source = _base(where)
    names = "report_pk policy_domain reporter day date_begin dmarc mail_count dkim_aligned spf_aligned"
    mail = select(*_columns(source, names)).where(*_conditions(where, source))
    if where.source is not None:
        return mail.subquery()
    conditions = _conditions(replace(where, domain=None), REPORT)
    if where.domain is not None:
        conditions.append(_is_under(where.domain, REPORT.c.policy_domain))
    empty = select(
        REPORT.c.id,
        *_columns(REPORT, "policy_domain reporter day date_begin"),
        *(literal("none"), literal(0, BigInteger), false(), false()),
    ).where(REPORT.c.record_count == 0, ~REPORT.c.conflict, *conditions)
    return union_all(mail, empty).subquery()


def failures(store: Store, where: Filter, by: str | None = None) -> Table:
    """
    Mail that fails DMARC, the most first.

    Args:
        store: The store.
        where: Which mail.
        by: None gives a row for each record. `source`, `domain`, `reporter`, `day`, `selector` and `reason` give a row
            for each of these and each failure. By selector or reason a mail counts once for each that it has, or under
            none.

    Raises:
        ConfigError: Grouping or filter cannot be used.
    """
    if by is None:
        return _answer(store, _failing_records(where), where)
    if by in _PARTS:
        source, keys = _failing_parts(where, *_PARTS[by])
    elif by in _GROUPS:
        source = (RECORDS if by == "source" else _base(where)).alias()
        keys = [source.c[_GROUPS[by]]]
    else:
        raise ConfigError(f"failures cannot be grouped by {by}", hint=f"known are {', '.join((*_GROUPS, *_PARTS))}")
    statement = select(*keys, source.c.failure, _sum(source.c.mail_count, "mail_count"), _records(source))
    statement = statement.add_columns(*_seen(source)).group_by(*keys, source.c.failure)
    if by in _GROUPS:
        statement = statement.where(source.c.dmarc == "fail", *_conditions(where, source))
    return _answer(store, _most_first(statement, *keys, source.c.failure), where)


_GROUPS = {"source": "source_ip", "domain": "policy_domain", "reporter": "reporter", "day": "day"}
_PARTS = {
    "selector": (DKIM_RESULT, {"dkim_domain": DKIM_RESULT.c.domain, "selector": DKIM_RESULT.c.selector}),
    "reason": (OVERRIDE_REASON, {"type": OVERRIDE_REASON.c.type}),
}


def sources(store: Store, where: Filter) -> Table:
    """For each policy domain and source of mail: how much, how much of it passes, and who reports it."""
    keys = (RECORDS.c.source_ip, RECORDS.c.policy_domain)
    statement = (
        select(*keys, *_counts(RECORDS), _records(RECORDS), *_seen(RECORDS))
        .where(*_conditions(where, RECORDS))
        .group_by(*keys)
    )
    return _answer(store, _most_first(statement, *keys), where)


def reports(store: Store, where: Filter) -> Table:
    """List the reports, conflicting ones too, the newest day first; with a filter, those that hold any such mail."""
    conditions = _conditions(replace(where, domain=None, source=None), REPORT)
    if where.domain is not None:
        authors = select(EVALUATION.c.report_id).where(_is_under(where.domain, EVALUATION.c.header_from))
        conditions.append(or_(_is_under(where.domain, REPORT.c.policy_domain), REPORT.c.id.in_(authors)))
    if where.source is not None:
        senders = (
            select(EVALUATION.c.report_id)
            .join(RECORD, RECORD.c.evaluation_id == EVALUATION.c.id)
            .where(_is_from(where.source, RECORD.c.source_key))
        )
        conditions.append(REPORT.c.id.in_(senders))
    passed = (
        select(cast(func.coalesce(func.sum(EVALUATION.c.mail_count), 0), BigInteger))
        .where(EVALUATION.c.report_id == REPORT.c.id, EVALUATION.c.dmarc == "pass")
        .scalar_subquery()
    )
    statement = select(
        REPORT.c.day,
        REPORT.c.reporter,
        REPORT.c.policy_domain,
        REPORT.c.p,
        REPORT.c.mail_count,
        passed.label("pass_count"),
        (REPORT.c.mail_count - passed).label("fail_count"),
        REPORT.c.record_count,
        REPORT.c.conflict,
        REPORT.c.authenticated,
        (REPORT.c.repairs != "[]").label("repaired"),
        REPORT.c.report_id,
        REPORT.c.dialect,
        REPORT.c.received_at,
        REPORT.c.origin,
    ).where(*conditions)
    ordered = statement.order_by(REPORT.c.day.desc().nulls_last(), REPORT.c.mail_count.desc(), REPORT.c.id)
    return _answer(store, ordered, where)


def failure_reports(store: Store, where: Filter) -> Table:
    """
    List the failure and feedback reports, the mail that arrived last first.

    `domain` is a reported domain or an author domain, `reporter` the domain that sent the report.
    """
    columns = """
        day reporter user_agent feedback_type reported_domain header_from source_ip auth_failure delivery_result
        identity_alignment dkim_domain dkim_selector dkim_result spf_result original_mail_from incidents arrival_date
    """
    conditions = _conditions(replace(where, domain=None), FAILURE_REPORT)
    if where.domain is not None:
        names = (FAILURE_REPORT.c.reported_domain, FAILURE_REPORT.c.header_from)
        conditions.append(or_(*(_is_under(where.domain, name) for name in names)))
    statement = select(
        *_columns(FAILURE_REPORT, columns),
        (FAILURE_REPORT.c.repairs != "[]").label("repaired"),
        *_columns(FAILURE_REPORT, "received_at origin"),
    ).where(*conditions)
    latest = (
        FAILURE_REPORT.c.day.desc().nulls_last(),
        FAILURE_REPORT.c.arrival_date.desc().nulls_last(),
        FAILURE_REPORT.c.id.desc(),
    )
    return _answer(store, statement.order_by(*latest), where)


def tls_reports(store: Store, where: Filter) -> Table:
    """
    List the policies of all TLS reports, conflicting ones too, the newest day first.

    `result_types` are those of the sessions that failed. `source` is the address of a sending MTA with failed sessions.
    """
    conditions = _conditions(replace(where, domain=None, source=None), TLS_REPORT)
    if where.domain is not None:
        conditions.append(_is_under(where.domain, TLS_POLICY.c.policy_domain))
    if where.source is not None:
        senders = select(TLS_FAILURE.c.position).where(
            *_of_policy(), _is_from(where.source, TLS_FAILURE.c.sending_mta_key)
        )
        conditions.append(exists(senders.correlate(TLS_POLICY)))
    statement = (
        select(
            *_columns(TLS_REPORT, "day reporter"),
            *_columns(TLS_POLICY, "policy_domain policy_type successful_count failed_count"),
            _result_types().label("result_types"),
            TLS_REPORT.c.conflict,
            (TLS_REPORT.c.repairs != "[]").label("repaired"),
            *_columns(TLS_REPORT, "report_id received_at origin"),
        )
        .join(TLS_POLICY, TLS_POLICY.c.tls_report_id == TLS_REPORT.c.id)
        .where(*conditions)
    )
    ordered = statement.order_by(
        TLS_REPORT.c.day.desc().nulls_last(), TLS_POLICY.c.failed_count.desc(), TLS_REPORT.c.id, TLS_POLICY.c.position
    )
    return _answer(store, ordered, where)


def _of_policy() -> Iterator[ColumnElement[bool]]:
    yield TLS_FAILURE.c.tls_report_id == TLS_POLICY.c.tls_report_id
    yield TLS_FAILURE.c.policy_position == TLS_POLICY.c.position


def _result_types() -> ColumnElement[Any]:
    """Join the different result types of a policy, in alphabetical order."""
    types = select(TLS_FAILURE.c.result_type).where(*_of_policy()).correlate(TLS_POLICY).distinct()
    ordered = types.order_by(TLS_FAILURE.c.result_type).subquery()
    return select(func.aggregate_strings(ordered.c.result_type, ", ")).scalar_subquery()


def selectors(store: Store, where: Filter) -> Table:
    """
    For each policy domain and DKIM selector: how much mail is signed with it, and how its signatures do.

    `pass_count` is mail with a signature that verifies, `aligned_count` mail whose signing domain is aligned.
    """
    mail = _chosen(where)
    known = (mail.c.evaluation_id, mail.c.policy_domain, mail.c.reporter, mail.c.day, mail.c.mail_count)
    # A mail counts once for each selector, however many signatures by it are listed.
    signed = (
        select(
            *known,
            DKIM_RESULT.c.domain.label("dkim_domain"),
            DKIM_RESULT.c.selector,
            func.max(case((DKIM_RESULT.c.result == "pass", 1), else_=0)).label("passed"),
            func.max(case((DKIM_RESULT.c.aligned, 1), else_=0)).label("aligned"),
        )
        .join(DKIM_RESULT, DKIM_RESULT.c.evaluation_id == mail.c.evaluation_id)
        .group_by(*known, DKIM_RESULT.c.domain, DKIM_RESULT.c.selector)
        .subquery()
    )
    keys = (signed.c.policy_domain, signed.c.dkim_domain, signed.c.selector)
    statement = select(
        *keys,
        _sum(signed.c.mail_count, "mail_count"),
        _sum(signed.c.mail_count * signed.c.passed, "pass_count"),
        _sum(signed.c.mail_count * (1 - signed.c.passed), "fail_count"),
        _sum(signed.c.mail_count * signed.c.aligned, "aligned_count"),
        *_seen(signed),
    ).group_by(*keys)
    return _answer(store, _most_first(statement, *keys), where)


_EXPORTED = """
    day date_begin date_end reporter org_name report_id policy_domain p sp np pct testing adkim aspf source_ip
    mail_count disposition dmarc dkim_aligned spf_aligned dkim_failure spf_failure failure header_from envelope_from
    envelope_to
"""


def export(store: Store, where: Filter) -> Table:
    """Give every record, flat, in the order of the reports; authentication results are joined as text."""
    statement = (
        select(
            *_columns(RECORDS, _EXPORTED),
            TEXTS.c.dkim_results,
            TEXTS.c.spf_results,
            TEXTS.c.override_reasons,
            *_columns(RECORDS, "authenticated dialect generator received_at"),
        )
        .join(TEXTS, TEXTS.c.evaluation_id == RECORDS.c.evaluation_id)
        .where(*_conditions(where, RECORDS))
        .order_by(RECORDS.c.report_pk, RECORDS.c.evaluation_id, RECORDS.c.position)
    )
    return _answer(store, statement, where)


def ledger(store: Store, *, outcome: str | None = None, since: date | None = None, limit: int | None = None) -> Table:
    """List what became of the messages that were looked at, the last seen first."""
    kept = exists().where(KEPT.c.message_sha256 == LEDGER.c.message_sha256)
    names = "last_seen outcome origin code reason payload_sha256 payload_count message_sha256 first_seen"
    statement = select(*_columns(LEDGER, names), kept.label("kept"))
    if outcome is not None:
        statement = statement.where(LEDGER.c.outcome == outcome)
    if since is not None:
        statement = statement.where(LEDGER.c.last_seen >= datetime.combine(since, time(), UTC))
    ordered = statement.order_by(LEDGER.c.last_seen.desc(), LEDGER.c.id.desc())
    return _answer(store, ordered, Filter(limit=limit))


def _answer(store: Store, statement: "_Question", where: Filter) -> Table:
    limited = statement if where.most is None else statement.limit(where.most)
    return Table(tuple(column.name for column in statement.selected_columns), _rows(store, limited))


def _rows(store: Store, statement: "_Question") -> Iterator[tuple[object, ...]]:
    with store.read() as connection:
        yield from map(tuple, connection.execution_options(yield_per=_BLOCK_ROWS).execute(statement))


def _columns(source: FromClause, names: str) -> list[ColumnElement[Any]]:
    return [source.c[name] for name in names.split()]


def _base(where: Filter) -> Relation:
    return EVALUATIONS if where.source is None else RECORDS


def _conditions(where: Filter, source: FromClause) -> list[ColumnElement[bool]]:
    """Return what the filter asks of a row: the one place where that is said."""
    conditions = []
    if where.domain is not None:
        conditions.append(
            or_(_is_under(where.domain, source.c.policy_domain), _is_under(where.domain, source.c.header_from))
        )
    if where.since is not None:
        conditions.append(source.c.day >= where.since)
    if where.until is not None:
        conditions.append(source.c.day <= where.until)
    if where.source is not None:
        conditions.append(_is_from(where.source, source.c.source_key))
    if where.reporter is not None:
        conditions.append(source.c.reporter == reporter_name(where.reporter))
    if where.authenticated is not None:
        conditions.append(source.c.authenticated == where.authenticated)
    return conditions


def _is_under(domain: str, name: ColumnElement[Any]) -> ColumnElement[bool]:
    """Say that a name is the domain or below it."""
    normal = domain.strip().rstrip(".").lower()
    return or_(name == normal, name.endswith(f".{normal}", autoescape=True))


def _is_from(source: str, key: ColumnElement[Any]) -> ColumnElement[bool]:
    """Say that a packed address is in a network; the length keeps IPv4 and IPv6 apart."""
    network = parse_network(source)
    first, last = network.network_address.packed, network.broadcast_address.packed
    return and_(key.between(first, last), func.length(key) == len(first))


def _sum(value: ColumnElement[Any], name: str) -> ColumnElement[Any]:
    # PostgreSQL's sum of BIGINT is a NUMERIC.
    return cast(func.sum(value), BigInteger).label(name)


def _counts(source: FromClause) -> Iterator[ColumnElement[Any]]:
    mail = source.c.mail_count
    yield _sum(mail, "mail_count")
    yield _sum(case((source.c.dmarc == "pass", mail), else_=0), "pass_count")
    yield _sum(case((source.c.dmarc == "fail", mail), else_=0), "fail_count")
    yield _sum(case((source.c.dkim_aligned, mail), else_=0), "dkim_aligned_count")
    yield _sum(case((source.c.spf_aligned, mail), else_=0), "spf_aligned_count")


def _records(source: FromClause) -> ColumnElement[Any]:
    """Count records: rows, or their number in rows that stand for several."""
    if "record_count" in source.c:
        return _sum(source.c.record_count, "record_count")
    return func.count().label("record_count")


def _seen(source: FromClause) -> Iterator[ColumnElement[Any]]:
    """Say by how many reporters something was seen, and when."""
    yield func.count(distinct(source.c.reporter)).label("reporter_count")
    yield func.min(source.c.day).label("first_day")
    yield func.max(source.c.day).label("last_day")


def _most_first(statement: "_Question", *keys: ColumnElement[Any]) -> "_Question":
    """Order rows, those of what is absent last: by themselves the databases part there."""
    return statement.order_by(statement.selected_columns.mail_count.desc(), *(key.nulls_last() for key in keys))


def _chosen(where: Filter, *conditions: ColumnElement[bool]) -> FromClause:
    """Return the evaluations that the filter lets through, each with the mail of those of its records that it does."""
    source = _base(where)
    columns = _columns(source, "evaluation_id day reporter policy_domain failure")
    chosen = select(*columns).where(*_conditions(where, source), *conditions)
    if source is EVALUATIONS:
        return chosen.add_columns(source.c.mail_count, source.c.record_count).subquery()
    return chosen.add_columns(_sum(source.c.mail_count, "mail_count"), _records(source)).group_by(*columns).subquery()


def _failing_records(where: Filter) -> "_Question":
    """Give the rows of `alignment_failures`; only those within the limit have their texts gathered."""
    shown = "day reporter policy_domain header_from source_ip mail_count disposition dkim_failure spf_failure failure"
    failing = (
        select(*_columns(RECORDS, f"{shown} envelope_from report_id evaluation_id position"))
        .where(RECORDS.c.dmarc == "fail", *_conditions(where, RECORDS))
        .order_by(RECORDS.c.mail_count.desc(), RECORDS.c.evaluation_id, RECORDS.c.position)
        .limit(where.most)
        .subquery()
    )
    return (
        select(
            *_columns(failing, f"{shown} envelope_from"),
            *_columns(TEXTS, "dkim_domains dkim_selectors spf_domains override_reasons"),
            failing.c.report_id,
        )
        .join(TEXTS, TEXTS.c.evaluation_id == failing.c.evaluation_id)
        .order_by(failing.c.mail_count.desc(), failing.c.evaluation_id, failing.c.position)
    )


def _failing_parts(
    where: Filter, part: Relation, named: Mapping[str, ColumnElement[Any]]
) -> tuple[FromClause, list[ColumnElement[Any]]]:
    """Return the failing evaluations once for each different part that they have, and the columns of the part."""
    mail = _chosen(where, _base(where).c.dmarc == "fail")
    source = (
        select(*mail.c, *(column.label(name) for name, column in named.items()))
        .outerjoin(part, part.c.evaluation_id == mail.c.evaluation_id)
        .distinct()
        .subquery()
    )
    return source, [source.c[name] for name in named]
