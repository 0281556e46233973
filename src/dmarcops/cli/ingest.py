"""`ingest` and `parse`: reports from files, folders, mails and archives, into the store or onto the screen."""

import json
import os
import sys
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dmarcops.cli.options import FormatOption, invocation_of, opened_store
from dmarcops.cli.output import Format, show, standard_output
from dmarcops.cli.progress import progress
from dmarcops.errors import EdgeError

if TYPE_CHECKING:
    from dmarcops.flows.ingest import Totals
    from dmarcops.flows.look import Found
    from dmarcops.store.intake import IncomingRejection

app = typer.Typer()

PathsArgument = Annotated[
    list[str],
    typer.Argument(metavar="PATH...", help="Files, folders, Maildir, mbox, mails, archives; - is standard input."),
]
_UNREADABLE_SHOWN = 3
_PARSED = ("origin", "kind", "reporter", "policy_domain", "report_id", "records", "mail_count", "repairs", "reason")


@app.command()
def ingest(
    context: typer.Context,
    paths: PathsArgument,
    *,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, metavar="N", help="Parse in N processes (default: the cores).")
    ] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Store the reports in files, folders, mails and archives; what is in the store already is not counted again."""
    from dmarcops import wiring
    from dmarcops.flows.ingest import Totals
    from dmarcops.mail.files import PathSource, check_paths

    check_paths(paths)
    started = monotonic()
    totals = Totals()
    quiet = invocation_of(context).quiet
    with (
        opened_store(context) as store,
        wiring.private_folder() as folder,
        progress("reading messages", total=None, quiet=quiet) as bar,
        wiring.ingest(store, jobs=workers(jobs), folder=folder, progress=bar) as flow,
    ):
        flow.run(PathSource(paths, stdin=sys.stdin.buffer, folder=folder), "", totals)
    show_totals(totals, monotonic() - started, form)
    raise_for_unreadable(totals)


@app.command()
def parse(paths: PathsArgument, *, form: FormatOption = Format.TABLE) -> None:
    """Show what is in files, folders, mails and archives, without a store."""
    from dmarcops import wiring
    from dmarcops.mail.files import check_paths

    check_paths(paths)
    problems: list[str] = []
    with wiring.private_folder() as folder:
        payloads = wiring.parsed(paths, stdin=sys.stdin.buffer, folder=folder, problems=problems)
        if form is Format.JSON:
            with standard_output() as stream:
                for payload in payloads:
                    stream.writelines(_json_line(payload))
        else:
            show(_PARSED, map(_row, payloads), form)
    if problems:
        raise EdgeError(_told(problems), hint="the others were read")


def workers(jobs: int | None) -> int:
    """Return how many worker processes there are to be for `--jobs`, 0 when this process does all."""
    wanted = jobs or len(os.sched_getaffinity(0))
    return wanted if wanted > 1 else 0


def show_totals(totals: "Totals", seconds: float, form: Format) -> None:
    """Print what an ingest did: the contract's JSON, or a line a figure."""
    figures: dict[str, Any] = {
        "messages": totals.messages,
        "payloads": totals.payloads,
        "reports": {"new": totals.new, "duplicate": totals.duplicate, "conflict": totals.conflict},
        "rejected": totals.rejected,
        "not_a_report": totals.not_a_report,
        "retry": totals.retry,
        "records": totals.records,
        "mail_count": totals.mail_count,
        "repaired": totals.repaired,
        "seconds": round(seconds, 3),
    }
    if form is Format.JSON:
        with standard_output() as stream:
            stream.write(f"{json.dumps(figures)}\n")
        return
    rows: list[tuple[str, object]] = []
    for name, figure in figures.items():
        rows += [(f"{name} {part}", count) for part, count in figure.items()] if name == "reports" else [(name, figure)]
    show(("what", "how many"), [row if row[0] != "seconds" else (row[0], f"{row[1]:.1f}") for row in rows], form)


def raise_for_unreadable(totals: "Totals") -> None:
    """
    End with an error when something could not be read at all.

    Raises:
        EdgeError: It names the first few.
    """
    if totals.unreadable:
        raise EdgeError(
            _told(totals.unreadable), hint="the others are in the store; mend this and run the same command again"
        )


def _told(problems: list[str]) -> str:
    shown = "; ".join(problems[:_UNREADABLE_SHOWN])
    more = len(problems) - _UNREADABLE_SHOWN
    return f"cannot read {shown}" + (f"; and {more} more" if more > 0 else "")


def _json_line(payload: "Found | IncomingRejection") -> Iterator[str]:
    """Give a payload as one line, a record at a time: memory does not grow with the number of records."""
    from dmarcops.flows.look import Found
    from dmarcops.report.as_json import record_json, report_json

    if not isinstance(payload, Found):
        said = {"code": payload.code, "reason": payload.reason}
        yield _ascii({"kind": "rejected", "origin": payload.origin, "sha256": payload.sha256} | said) + "\n"
        return
    yield _ascii(report_json(payload.report, payload.origin)).removesuffix("}") + ', "records": ['
    separator = ""
    for record in payload.records.records():
        yield separator + _ascii(record_json(record))
        separator = ", "
    yield "]}\n"


def _ascii(values: dict[str, Any]) -> str:
    return json.dumps(values).replace("\x7f", "\\u007f")


def _row(payload: "Found | IncomingRejection") -> tuple[object, ...]:
    from dmarcops.flows.look import Found

    if not isinstance(payload, Found):
        return payload.origin, "rejected", None, None, None, None, None, None, f"{payload.code}: {payload.reason}"
    report = payload.report
    metadata = report.report_metadata
    codes = ", ".join(dict.fromkeys(repair.code for repair in report.repairs))
    named = (metadata.org_name or metadata.email, report.policy_published.domain, metadata.report_id)
    return payload.origin, "aggregate", *named, report.record_count, report.mail_count, codes, None
