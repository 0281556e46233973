"""`doctor`: is all that the configuration names there, and does it work?"""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

import typer

from dmarcops import config
from dmarcops.cli.options import FormatOption, invocation_of
from dmarcops.cli.output import Format, show
from dmarcops.errors import EdgeError

if TYPE_CHECKING:
    from dmarcops.ports import Checkable, Finding

app = typer.Typer()


@app.command()
def doctor(context: typer.Context, *, form: FormatOption = Format.TABLE) -> None:
    """Try out all that the configuration names (store, clock, mailboxes), and say what to mend."""
    invocation = invocation_of(context)
    settings = config.load(invocation.config_file, store_url=invocation.store_url)
    rows = []
    for part, finding in _findings(settings):
        rows.append((part, finding.kind, finding.text))
    show(("part", "is", "what"), rows, form)
    problems = sum(kind == "problem" for _, kind, _ in rows)
    if problems:
        raise EdgeError(f"{problems} {'problem' if problems == 1 else 'problems'} found", hint="see the list above")


def _findings(settings: config.Config) -> "Iterator[tuple[str, Finding]]":
    from dmarcops import wiring
    from dmarcops.flows.doctor import check_part, check_store

    yield from (("store", found) for found in check_store(partial(wiring.open_store, settings), wiring.clock()))
    for name in settings.names("mailboxes"):
        made = partial(_mailbox, settings, name)
        yield from ((f"mailboxes.{name}", found) for found in check_part(made))


def _mailbox(settings: config.Config, name: str) -> "Checkable":
    from dmarcops import wiring

    return cast("Checkable", wiring.mailbox(settings, name)[0])
