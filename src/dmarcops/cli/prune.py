"""`prune`: delete what is older than wanted."""

from dataclasses import astuple, fields
from typing import Annotated

import typer

from dmarcops.cli.options import FormatOption, opened_store, parse_day, today_utc
from dmarcops.cli.output import Format, show

app = typer.Typer()


@app.command()
def prune(
    context: typer.Context,
    *,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="DAY", help="Delete what is older: 400d, or a date as 2026-01-01.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be deleted.")] = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Delete reports with all their records, ledger lines and notices that are older than a day."""
    from dmarcops.store.retention import prune as prune_store

    first = parse_day(older_than, option="--older-than", today=today_utc())
    with opened_store(context) as store:
        pruned = prune_store(store, first, dry_run=dry_run)
    names = ("older_than", "deleted", *(field.name for field in fields(pruned)))
    show(names, [(first, not dry_run, *astuple(pruned))], form)
