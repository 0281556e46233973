"""
Data on stdout, as a table for people, as JSON for programs, as CSV for spreadsheets.

JSON holds what the report said, exactly. In the other two, what could act on a terminal is shown as a visible escape,
and in CSV what could act on a spreadsheet is defused (`neutralise`). Rows are written as they come: memory does not
grow with their number. Nothing but data goes to stdout.
"""

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from enum import StrEnum
from shutil import get_terminal_size
from typing import TextIO

from dmarcops.errors import DmarcopsError
from dmarcops.neutralise import defused, visible


class Format(StrEnum):
    """The forms that every command which prints data knows."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


class ReaderGoneError(DmarcopsError):
    """Who reads our stdout has closed it, as `head` does when it has enough: no error, but no reason to go on."""


@contextmanager
def standard_output() -> Iterator[TextIO]:
    """
    Give stdout to write data to.

    Raises:
        ReaderGoneError: Nobody reads it any more.
    """
    try:
        yield sys.stdout
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise ReaderGoneError("nobody reads the output any more") from error


def show(names: Sequence[str], rows: Iterable[Sequence[object]], form: Format) -> None:
    """
    Print `rows` on stdout.

    Raises:
        ReaderGoneError: Nobody reads it any more.
    """
    with standard_output() as stream:
        if form is Format.TABLE:
            _write_table(names, rows, stream)
        elif form is Format.JSON:
            write_json(names, rows, stream)
        else:
            write_csv(names, rows, stream)


def say_done(domain: str, text: str) -> None:
    """Print in a line what was done with a domain."""
    with standard_output() as stream:
        stream.write(visible(f"{domain}: {text}") + "\n")


def write_csv(names: Sequence[str], rows: Iterable[Sequence[object]], stream: TextIO) -> None:
    """
    Write `rows` as CSV with a head line, one line a row (RFC 4180, lines end as Unix lines do).

    A number stays a number; a text is made harmless for spreadsheet and terminal.
    """
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_csv_cell(value) for value in row] for row in rows)


def write_json(names: Sequence[str], rows: Iterable[Sequence[object]], stream: TextIO) -> None:
    """Write `rows` as one JSON list of objects, a line each."""
    separator = "[\n"
    for row in rows:
        stream.write(separator + json_object(names, row))
        separator = ",\n"
    stream.write("[]\n" if separator == "[\n" else "\n]\n")


def json_object(names: Sequence[str], row: Sequence[object]) -> str:
    """
    Return `row` as a JSON object in one line of ASCII.

    Times are in RFC 3339 form. JSON escapes control characters; DEL, which it need not escape, is escaped too.
    """
    text = json.dumps(dict(zip(names, row, strict=True)), default=_time_text)
    return text.replace("\x7f", "\\u007f")


def _write_table(names: Sequence[str], rows: Iterable[Sequence[object]], stream: TextIO) -> None:
    from dmarcops.cli.table import lines_of

    width = get_terminal_size().columns if stream.isatty() else None
    stream.writelines(f"{line}\n" for line in lines_of(names, rows, width=width))


def _csv_cell(value: object) -> str | int | float | None:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float() | None:
            return value
        case date():
            return _time_text(value)
        case _:
            return visible(defused(str(value)))


def _time_text(value: date) -> str:
    """Return a date as `2026-11-24`, a time as `2026-11-24T20:43:00Z`."""
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value.isoformat()
