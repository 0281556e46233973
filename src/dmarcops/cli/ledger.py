"""`ledger`: what became of every message that was ever looked at, and `ledger retry`: try again what was kept."""

from typing import Annotated

import typer

from dmarcops.cli.options import FormatOption, opened_store, parse_day, today_utc
from dmarcops.cli.output import Format, show
from dmarcops.store.intake import Outcome

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
