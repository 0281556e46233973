"""`prune`: delete what is older than wanted."""

from typing import Annotated

import typer

from dmarcops.cli.options import FormatOption
from dmarcops.cli.output import Format

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
    """Delete reports with all their records, and ledger lines, that are older than a day."""
