"""`ledger`: what became of every message that was ever looked at, and `ledger retry`: try again what was kept."""

import logging
from time import monotonic
from typing import Annotated

import typer

from dmarcops.cli.ingest import JobsOption, raise_for_unreadable, show_totals, workers
from dmarcops.cli.options import FormatOption, invocation_of, opened_store, parse_day, today_utc
from dmarcops.cli.output import Format, show
from dmarcops.cli.progress import progress
from dmarcops.store.intake import Outcome

_LOG = logging.getLogger(__name__)

app = typer.Typer()
ledger_app = typer.Typer()
app.add_typer(ledger_app, name="ledger")


@ledger_app.callback(invoke_without_command=True)
def ledger(
    context: typer.Context,
    *,
    outcome: Annotated[Outcome | None, typer.Option("--outcome", help="Only messages that ended so.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DAY", help="Looked at from this day on: 2026-11-24, or 30d back from today.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="At most N rows.")] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Show what became of every message that was looked at, the newest first."""
    if context.invoked_subcommand is not None:
        return
    from dmarcops.store import views

    first = None if since is None else parse_day(since, option="--since", today=today_utc())
    with opened_store(context) as store:
        table = views.ledger(store, outcome=outcome and outcome.value, since=first, limit=limit)
        show(table.columns, table.rows, form)


@ledger_app.command()
def retry(
    context: typer.Context,
    *,
    jobs: JobsOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Look again at what was not stored in full, as after an upgrade of dmarcops."""
    from dmarcops import wiring
    from dmarcops.flows.ingest import Totals
    from dmarcops.flows.lookers import Lookers

    started = monotonic()
    totals = Totals()
    with (
        opened_store(context) as store,
        wiring.private_folder() as folder,
        progress("trying again", total=None, quiet=invocation_of(context).quiet) as bar,
        Lookers(workers(jobs)) as lookers,
    ):
        source = wiring.retry_source(store)
        wiring.ingest(store, lookers, folder=folder, progress=bar).run(source, totals)
    show_totals(totals, monotonic() - started, form)
    if source.gone:
        _LOG.warning("%d messages are neither kept nor where they were: they cannot be tried again", source.gone)
    raise_for_unreadable(totals)
