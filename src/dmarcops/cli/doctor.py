"""`doctor`: is all that the configuration names there, and does it work?"""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, cast

import typer

from dmarcops import config
from dmarcops.cli.options import FormatOption, invocation_of
from dmarcops.cli.output import Format, show
from dmarcops.errors import ConfigError, EdgeError

if TYPE_CHECKING:
    from dmarcops.ports import Checkable, Finding

app = typer.Typer()


@app.command()
def doctor(
    context: typer.Context,
    *,
    notify: Annotated[bool, typer.Option("--notify", help="Send a test message to all of [notify].")] = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Try out all that the configuration names (store, clock, mailboxes, notify), and say what to mend."""
    invocation = invocation_of(context)
    settings = config.load(invocation.config_file, store_url=invocation.store_url)
    rows = [(part, finding.kind, finding.text) for part, finding in _findings(settings, notify=notify)]
    show(("part", "is", "what"), rows, form)
    problems = sum(kind == "problem" for _, kind, _ in rows)
    if problems:
        raise EdgeError(f"{problems} {'problem' if problems == 1 else 'problems'} found", hint="see the list above")


def _findings(settings: config.Config, *, notify: bool) -> "Iterator[tuple[str, Finding]]":
    from dmarcops import wiring
    from dmarcops.flows.doctor import check_part, check_secrets, check_store

    yield from (("configuration", found) for found in check_secrets(settings.secret_files))
    yield from (("store", found) for found in check_store(partial(wiring.open_store, settings), wiring.clock()))
    for name in settings.names("mailboxes"):
        made = partial(_mailbox, settings, name)
        yield from ((f"mailboxes.{name}", found) for found in check_part(made))
    if notify or "notify" in settings.tables:
        yield from (("notify", found) for found in check_part(partial(_notify, settings)))
    if notify:
        yield from (("notify", found) for found in _tried_out(settings))


def _mailbox(settings: config.Config, name: str) -> "Checkable":
    from dmarcops import wiring

    return cast("Checkable", wiring.mailbox(settings, name)[0])


def _notify(settings: config.Config) -> "Checkable":
    from dmarcops import wiring

    return cast("Checkable", wiring.notifier(settings)[0])


def _tried_out(settings: config.Config) -> "Iterator[Finding]":
    """Send a test message."""
    from dmarcops import wiring
    from dmarcops.flows.doctor import problem
    from dmarcops.ports import Finding

    try:
        notifier, _ = wiring.notifier(settings)
        notifier.tell("dmarcops: test", "This is a test of the notifications by `dmarcops doctor --notify`.")
    except ConfigError:
        return  # found before, without sending
    except EdgeError as error:
        yield from problem(error)
    else:
        yield Finding("ok", "a test message is sent")
