"""
The program `dmarcops`: its global options, its commands, and how it ends.

Ends with the exit codes of `errors.py` (0 done, 1 something outside failed, 2 usage, 3 refused), with 130 after Ctrl-C,
and never with a traceback. To keep the start fast, neither this file nor a command's file imports anything heavy
(SQLAlchemy, lxml, rich) before a command runs.
"""

import logging
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Annotated

import typer
from typer.main import get_command

from dmarcops.__about__ import __version__
from dmarcops.cli import check, doctor, export, ingest, keys, ledger, policy, prune, rotate, sources, verify, views
from dmarcops.cli.faults import INTERRUPTED, causes, fault_of
from dmarcops.cli.options import Invocation
from dmarcops.cli.output import ReaderGoneError
from dmarcops.cli.progress import set_up_log
from dmarcops.errors import DmarcopsError

GROUPS = (ingest, views, sources, export, rotate, keys, verify, policy, check, ledger, prune, doctor)
"""Every file of commands, in the order of the help; each has an `app`."""

app = typer.Typer(
    help="DMARC reports: which sources fail alignment, why, and how much mail that is.", rich_markup_mode=None
)
for group in GROUPS:
    app.add_typer(group.app)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if wanted:
        typer.echo(f"dmarcops {__version__}")
        raise typer.Exit


@app.callback()
def global_options(
    context: typer.Context,
    *,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="DMARCOPS_CONFIG",
            readable=False,  # not looked at before the command, which may have an exit code of its own for that
            help="Configuration file (default: ./dmarcops.toml).",
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="DMARCOPS_STORE",
            help="Database of the reports, SQLite or PostgreSQL (default: sqlite:///dmarcops.db).",
        ),
    ] = None,
    verbose: Annotated[int, typer.Option("-v", "--verbose", count=True, help="Say more on stderr; -vv: all.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar, no notes: only data and errors.")] = False,
    version: Annotated[  # noqa: ARG001 - its callback has done all
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """DMARC reports: which sources fail alignment, why, and how much mail that is."""
    set_up_log(verbose, quiet=quiet)
    context.obj = Invocation(config_file=config, store_url=store, quiet=quiet)


def run() -> None:
    """Run the program on the arguments of the process, and end the process. The entry point."""
    sys.excepthook = tell_uncaught
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # a file name need not be text, nor the terminal know every character
            stream.reconfigure(errors="backslashreplace")
    sys.exit(outcome(sys.argv[1:]))


def outcome(arguments: Sequence[str]) -> int:
    """
    Run the program on `arguments`, tell on stderr the error that ended it, and return its exit code.

    A call that is not understood cannot say that it comes from an MTA, but for the option itself: a slip beside it in
    the MTA's aliases is to bounce no mail.
    """
    try:
        ended: int | None = get_command(app).main(
            list(arguments) or ["--help"], prog_name="dmarcops", standalone_mode=False
        )
        sys.stdout.flush()
    except (ReaderGoneError, BrokenPipeError):
        code = 0  # the reader, as `head`, has all it wanted
    except (DmarcopsError, typer.TyperException, OSError) as error:
        code = _tell(error)
        if ingest.SYSEXITS in arguments:
            code = ingest.EX_TEMPFAIL
    else:
        code = _tell(KeyboardInterrupt()) if ended == INTERRUPTED else ended or 0
    _settle_stdout()
    return code


def tell_uncaught(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    """Tell on stderr an error that nothing caught; for `sys.excepthook`."""
    _tell(error)


def _tell(error: BaseException) -> int:
    """Tell `error` on stderr, with `-vv` its causes too, and return the exit code."""
    fault = fault_of(error)
    lines = list(fault.lines())
    if logging.getLogger("dmarcops").isEnabledFor(logging.DEBUG):
        lines += [f"  {line}" for line in causes(error)]
    sys.stderr.write("\n".join([*lines, ""]))
    return fault.exit_code


def _settle_stdout() -> None:
    """Let Python end in peace: what cannot be written any more, on a full disk or a closed pipe, is given up."""
    try:
        sys.stdout.flush()
    except OSError:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
