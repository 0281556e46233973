"""
What the options of the commands have in common: the global ones, the format, and the filters of the views.

The filter options are written down once; `filtered` gives them to a command. Imports nothing heavy.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import wraps
from inspect import Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dmarcops import config
from dmarcops.cli.output import Format
from dmarcops.errors import ConfigError
from dmarcops.quantities import parse_duration, parse_network

if TYPE_CHECKING:
    from dmarcops.store.engine import Store
    from dmarcops.store.views import Filter

FormatOption = Annotated[Format, typer.Option("--format", help="How the data is printed.")]


@dataclass(frozen=True, slots=True)
class Invocation:
    """The global options, as they were given; the context of every command holds them."""

    config_file: Path | None
    store_url: str | None
    quiet: bool


class Authenticated(StrEnum):
    """What is known of the mail that carried a report."""

    AUTHENTICATED = "authenticated"
    UNAUTHENTICATED = "unauthenticated"
    UNKNOWN = "unknown"


def invocation_of(context: typer.Context) -> Invocation:
    """Return the global options of the call."""
    invocation: Invocation = context.obj
    return invocation


@contextmanager
def opened_store(context: typer.Context) -> Iterator["Store"]:
    """
    Open the store that the user configured, and close it afterwards.

    Raises:
        ConfigError: The configuration cannot be used.
        StoreError: The store cannot be opened.
    """
    from dmarcops.wiring import open_store

    invocation = invocation_of(context)
    with open_store(config.load(invocation.config_file, store_url=invocation.store_url)) as store:
        yield store


def parse_day(text: str, *, option: str, today: date) -> date:
    """
    Read a day: `2026-11-24`, or a duration such as `30d` back from `today`.

    Raises:
        ConfigError: It is neither, or before the calendar begins; the message names `option`.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        pass
    try:
        return today - parse_duration(text)
    except (ConfigError, OverflowError) as error:
        hint = "a day is a date such as 2026-11-24, or a time back from today: 30d, 2w"
        raise ConfigError(f"{option}: {text!r} is not a day", hint=hint) from error


def today_utc() -> date:
    """Return the day it is in UTC."""
    return datetime.now(UTC).date()


def parse_domain(text: str, *, option: str) -> str:
    """
    Read a domain into the form that the store has: lower-case A-labels without the trailing dot.

    Raises:
        ConfigError: It is none; the message names `option`.
    """
    from dmarcops.domains import a_labels

    name = a_labels(text)
    if not name:
        raise ConfigError(f"{option}: {text!r} is not a domain")
    return name


def filter_of(  # noqa: PLR0913 - an option each
    *,
    domain: Annotated[str | None, typer.Option(metavar="DOMAIN", help="Only mail of this domain.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DAY", help="From this day on: 2026-11-24, or 30d back from today.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="DAY", help="Up to this day, itself included.")] = None,
    source: Annotated[
        str | None, typer.Option(metavar="IP", help="Only mail from this address or network (192.0.2.0/24).")
    ] = None,
    reporter: Annotated[str | None, typer.Option(metavar="NAME", help="Only what this reporter says.")] = None,
    authenticated: Annotated[
        Authenticated | None, typer.Option(help="Only from reports whose carrier mail is so.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="At most N rows.")] = None,
) -> "Filter":
    """
    Return the filter that the options describe.

    Raises:
        ConfigError: A value that cannot be used; the message names the option.
    """
    from dmarcops.store.views import Filter

    today = today_utc()
    first = None if since is None else parse_day(since, option="--since", today=today)
    last = None if until is None else parse_day(until, option="--until", today=today)
    if first is not None and last is not None and first > last:
        raise ConfigError(f"--since {first} is after --until {last}: no day is in between")
    return Filter(
        domain=None if domain is None else parse_domain(domain, option="--domain"),
        since=first,
        until=last,
        source=None if source is None else _address(source),
        reporter=reporter,
        authenticated=None if authenticated is None else authenticated.value,
        limit=limit,
    )


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """
    Give `command` the filter options; it gets what they say as its keyword `where`.

    The options come before those of `command` in the help.
    """
    options = signature(filter_of).parameters
    context, *own = (known for known in signature(command).parameters.values() if known.name != "where")

    @wraps(command)
    def with_filter(context: typer.Context, **given: Any) -> None:  # noqa: ANN401 - what typer read, by their types
        described = {name: given.pop(name) for name in options}
        command(context, where=filter_of(**described), **given)

    parameters = [context, *options.values(), *own]
    vars(with_filter)["__signature__"] = Signature(parameters)
    with_filter.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_filter


def _address(text: str) -> str:
    """Return an IP address or network in its usual form."""
    try:
        return str(parse_network(text))
    except ConfigError as error:
        raise ConfigError(f"--source: {error}", hint=error.hint) from error
