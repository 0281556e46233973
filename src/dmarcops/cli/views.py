"""`summary`, `failures`, `reports`, `selectors`: the store's views, filtered. Reads only."""

import logging
from collections.abc import Callable
from enum import StrEnum
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated

import typer

from dmarcops.cli.options import FormatOption, filtered, opened_store
from dmarcops.cli.output import Format, show

if TYPE_CHECKING:
    from dmarcops.store.engine import Store
    from dmarcops.store.views import Filter, Table

app = typer.Typer()
_LOG = logging.getLogger(__name__)


class Grouping(StrEnum):
    """What a row of `failures` stands for."""

    SOURCE = "source"
    DOMAIN = "domain"
    REPORTER = "reporter"
    DAY = "day"
    SELECTOR = "selector"
    REASON = "reason"


class ReportKind(StrEnum):
    """Which reports `reports` shows."""

    AGGREGATE = "aggregate"
    FAILURE = "failure"
    TLS = "tls"


@app.command()
@filtered
def summary(context: typer.Context, *, where: "Filter", form: FormatOption = Format.TABLE) -> None:
    """Show for each domain how much mail passes DMARC, DKIM and SPF, and the policy it publishes."""
    from dmarcops.store import views

    _show(context, lambda store: views.summary(store, where), where, form)


@app.command()
@filtered
def failures(
    context: typer.Context,
    *,
    where: "Filter",
    by: Annotated[Grouping, typer.Option("--by", help="What a row stands for.")] = Grouping.SOURCE,
    form: FormatOption = Format.TABLE,
) -> None:
    """Show who sends mail that fails DMARC, how much, and why; the most mail first."""
    from dmarcops.store import views

    _show(context, lambda store: views.failures(store, where, by=by.value), where, form)


@app.command()
@filtered
def reports(
    context: typer.Context,
    *,
    where: "Filter",
    kind: Annotated[
        ReportKind, typer.Option("--kind", help="Aggregate, failure (and other feedback), or TLS reports.")
    ] = ReportKind.AGGREGATE,
    form: FormatOption = Format.TABLE,
) -> None:
    """Show the reports in the store."""
    from dmarcops.store import views

    ask = {
        ReportKind.AGGREGATE: views.reports,
        ReportKind.FAILURE: views.failure_reports,
        ReportKind.TLS: views.tls_reports,
    }[kind]
    _show(context, lambda store: ask(store, where), where, form, kind=kind)


@app.command()
@filtered
def selectors(context: typer.Context, *, where: "Filter", form: FormatOption = Format.TABLE) -> None:
    """Show the DKIM selectors that mail is signed with, and how their signatures do."""
    from dmarcops.store import views

    _show(context, lambda store: views.selectors(store, where), where, form)


def show_answer(
    store: "Store", table: "Table", where: "Filter", form: Format, *, kind: ReportKind = ReportKind.AGGREGATE
) -> None:
    """
    Print an answer of the store; when it is empty, which reads like good news, it is said what may be the reason.

    Args:
        store: The store.
        table: The answer.
        where: The filter that was asked with.
        form: How it is printed.
        kind: Which reports it is of.

    Raises:
        ReaderGoneError: Nobody reads it any more.
        StoreError: The database cannot be read.
    """
    from dmarcops.store.near import meant
    from dmarcops.store.views import is_empty

    rows = iter(table.rows)
    first = list(islice(rows, 1))
    show(table.columns, chain(first, rows), form)
    if first or not _LOG.isEnabledFor(logging.WARNING):
        return
    if is_empty(store):
        _LOG.warning("there is no report yet in the store %s", store.shown)
    elif names := meant(store, where, kind.value):
        _LOG.warning("no report of %s; did you mean %s?", *names)


def _show(
    context: typer.Context,
    ask: Callable[["Store"], "Table"],
    where: "Filter",
    form: Format,
    *,
    kind: ReportKind = ReportKind.AGGREGATE,
) -> None:
    with opened_store(context) as store:
        show_answer(store, ask(store), where, form, kind=kind)
