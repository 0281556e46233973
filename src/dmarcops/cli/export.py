"""
`export`: one row a record, flat, for any other tool. Reads only.

Rows go out as the database gives them: memory does not grow with their number. A file is written beside its place and
renamed when it is whole, so what stands there is never half an export.
"""

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from importlib.util import find_spec
from io import BufferedIOBase, TextIOWrapper
from itertools import islice
from os import fsync
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from dmarcops.cli.options import filtered, invocation_of, opened_store
from dmarcops.cli.output import json_object, standard_output, write_csv
from dmarcops.cli.progress import progress
from dmarcops.errors import ConfigError, EdgeError
from dmarcops.ports import Progress

if TYPE_CHECKING:
    import pyarrow as pa
    from _typeshed import ReadableBuffer

    from dmarcops.store.views import Filter

BLOCK_ROWS = 10_000
"""Rows of one row group of a parquet file, and between two steps of the progress bar."""

app = typer.Typer()

Rows = Iterable[Sequence[object]]


class _Lent(BufferedIOBase):
    """A stream to write to that stays open when this is closed, whatever went wrong: standard output is not ours."""

    name = "export"

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def writable(self) -> bool:
        """Say that it can be written to."""
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write `data`."""
        return self._stream.write(data)


class ExportFormat(StrEnum):
    """The forms of an export; CSV is made harmless for spreadsheets, the others are exact."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


@app.command()
@filtered
def export(
    context: typer.Context,
    *,
    where: "Filter",
    form: Annotated[ExportFormat, typer.Option("--format", help="The form of the export.")] = ExportFormat.CSV,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write to this file; default: to standard output.")
    ] = None,
) -> None:
    """Write all records, flat: one row a record, with its report and policy."""
    from dmarcops.store import views

    if form is ExportFormat.PARQUET:
        _check_parquet(out)
    with opened_store(context) as store:
        table = views.export(store, where)
        if out is None:
            with standard_output() as stdout:
                _write(table.columns, table.rows, form, stdout.buffer)
            return
        quiet = invocation_of(context).quiet
        with replacing(out) as file, progress("exporting records", total=None, quiet=quiet) as bar:
            _write(table.columns, _counted(table.rows, bar), form, file)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """
    Give a file to write that takes the place of `path` when the block ends well, and vanishes when it does not.

    What is at `path` keeps its permissions; a pipe or device there is written to as it is.

    Raises:
        EdgeError: It cannot be written.
    """
    target = path.resolve()
    beside = target.with_name(f".{target.name}.{token_hex(8)}.part")
    try:
        if target.exists() and not target.is_file():
            with target.open("wb") as device:
                yield device
            return
        with beside.open("xb") as file:
            if target.exists():
                shutil.copymode(target, beside)
            yield file
            file.flush()
            fsync(file.fileno())
        beside.replace(target)
    except OSError as error:
        raise EdgeError(f"cannot write {path}: {error.strerror}") from error
    finally:
        beside.unlink(missing_ok=True)


def _write(names: Sequence[str], rows: Rows, form: ExportFormat, stream: BinaryIO) -> None:
    if form is ExportFormat.PARQUET:
        _write_parquet(names, rows, stream)
        return
    with TextIOWrapper(_Lent(stream), encoding="utf-8", newline="") as text:
        if form is ExportFormat.CSV:
            write_csv(names, rows, text)
        else:
            text.writelines(f"{json_object(names, row)}\n" for row in rows)


def _write_parquet(names: Sequence[str], rows: Rows, stream: BinaryIO) -> None:
    """Write a row group a block; the columns that are no text are named by the view's types."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([(name, _parquet_type(name)) for name in names])
    with parquet.ParquetWriter(stream, schema, compression="zstd") as writer:
        for block in _blocks(rows):
            columns = zip(*block, strict=True)
            arrays = [pa.array(column, type=kind) for column, kind in zip(columns, schema.types, strict=True)]
            writer.write_table(pa.table(arrays, schema=schema))


def _parquet_type(name: str) -> "pa.DataType":
    import pyarrow as pa

    if name in ("mail_count", "date_begin", "date_end", "pct"):
        return pa.int64()
    if name in ("dkim_aligned", "spf_aligned"):
        return pa.bool_()
    return {"day": pa.date32(), "received_at": pa.timestamp("s", tz="UTC")}.get(name, pa.string())


def _counted(rows: Rows, bar: Progress) -> Iterator[Sequence[object]]:
    """Give `rows`, and move the bar a block at a time."""
    for block in _blocks(rows):
        yield from block
        bar.advance(len(block))


def _blocks(rows: Rows) -> Iterator[list[Sequence[object]]]:
    remaining = iter(rows)
    while block := list(islice(remaining, BLOCK_ROWS)):
        yield block


def _check_parquet(out: Path | None) -> None:
    """
    See that a parquet file can be written, before anything is asked of the store.

    Raises:
        ConfigError: pyarrow is not installed, or the file would go to a terminal.
    """
    if find_spec("pyarrow") is None:
        raise ConfigError("export --format parquet needs the package pyarrow", hint="pip install 'dmarcops[parquet]'")
    if out is None and sys.stdout.isatty():
        raise ConfigError("a parquet file is no text for a terminal", hint="name a file with --out, or use a pipe")
