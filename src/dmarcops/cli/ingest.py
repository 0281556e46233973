"""`ingest` and `parse`: reports from files, folders, mails and archives, into the store or onto the screen."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dmarcops.cli.options import FormatOption, invocation_of, opened_store
from dmarcops.cli.output import Format, show, standard_output
from dmarcops.cli.progress import progress
from dmarcops.errors import ConfigError, DmarcopsError, EdgeError

if TYPE_CHECKING:
    from dmarcops.flows.ingest import Totals
    from dmarcops.flows.look import Looking
    from dmarcops.report.model import Repair
    from dmarcops.store.intake import IncomingFailure, IncomingRejection, IncomingTls

app = typer.Typer()

PathsArgument = Annotated[
    list[str],
    typer.Argument(metavar="PATH", help="Files, folders, Maildir, mbox, mails, archives; - is standard input."),
]
JobsOption = Annotated[
    int | None, typer.Option("--jobs", min=1, metavar="N", help="Parse in N processes (default: the cores).")
]
SYSEXITS = "--sysexits"
"""The option of an MTA's pipe."""
EX_TEMPFAIL = 75
"""What sysexits.h has for: it is to be tried again."""
_UNREADABLE_SHOWN = 3
_PARSED = ("origin", "kind", "reporter", "policy_domain", "report_id", "records", "mail_count", "repairs", "reason")


@app.command()
def ingest(
    context: typer.Context,
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH",
            help="Files, folders, Maildir, mbox, mails, archives; - is standard input. None: all configured mailboxes.",
        ),
    ] = None,
    *,
    jobs: JobsOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Stay, and follow all configured mailboxes.")] = False,
    sysexits: Annotated[
        bool, typer.Option(SYSEXITS, help="For an MTA's pipe: exit 75 when it is to try again; a table is not printed.")
    ] = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """
    Store the reports in files, folders, mails and archives, or in all configured mailboxes.

    What is in the store already is not counted again.
    """
    if paths and watch:
        raise ConfigError("--watch follows mailboxes, not paths", hint="leave the paths out, or leave --watch out")
    from dmarcops.flows.lookers import collect_seldom

    collect_seldom()
    if not paths:
        from dmarcops.cli.mailboxes import follow, look_once

        follow(context, jobs) if watch else look_once(context, jobs, form)
        return
    with _told_to_the_mta() if sysexits else nullcontext():
        started = monotonic()
        totals = _ingest_paths(context, paths, jobs)
        # Some MTAs bounce the mail of a program that prints something (Exim, `return_output`)
        if not sysexits or form is not Format.TABLE:
            show_totals(totals, monotonic() - started, form)
        raise_for_unreadable(totals)


def _ingest_paths(context: typer.Context, paths: list[str], jobs: int | None) -> "Totals":
    from dmarcops import wiring
    from dmarcops.flows.ingest import Totals
    from dmarcops.flows.lookers import Lookers
    from dmarcops.mail.files import PathSource, check_paths

    check_paths(paths)
    totals = Totals()
    quiet = invocation_of(context).quiet
    with (
        opened_store(context) as store,
        wiring.private_folder() as folder,
        progress("reading messages", total=None, quiet=quiet) as bar,
        Lookers(workers(jobs)) as lookers,
    ):
        source = PathSource(paths, stdin=sys.stdin.buffer, folder=folder)
        wiring.ingest(store, lookers, folder=folder, progress=bar).run(source, totals)
    return totals


@contextmanager
def _told_to_the_mta() -> Iterator[None]:
    """
    End with an exit code that makes an MTA keep the mail and try again, whatever went wrong (sysexits.h).

    A mistake in the configuration too: it will be mended, and a bounced report is lost.
    """
    try:
        yield
    except DmarcopsError as error:
        error.exit_code = EX_TEMPFAIL
        raise
    except Exception as error:
        # The disk is full, or a defect of ours: whatever it is, the mail is not to bounce.
        failed = EdgeError(f"{type(error).__name__}: {error}")
        failed.exit_code = EX_TEMPFAIL
        raise failed from error


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


def figures_of(totals: "Totals") -> dict[str, Any]:
    """Return the figures of the contract's JSON, but the time it took."""
    return {
        "messages": totals.messages,
        "payloads": totals.payloads,
        "reports": {"new": totals.new, "duplicate": totals.duplicate, "conflict": totals.conflict},
        "rejected": totals.rejected,
        "not_a_report": totals.not_a_report,
        "retry": totals.retry,
        "records": totals.records,
        "mail_count": totals.mail_count,
        "repaired": totals.repaired,
    }


def show_totals(
    totals: "Totals", seconds: float, form: Format, *, mailboxes: Mapping[str, Mapping[str, Any]] | None = None
) -> None:
    """
    Print what an ingest did: the contract's JSON, or a line a figure.

    Args:
        totals: All of it.
        seconds: How long it took.
        form: How it is printed.
        mailboxes: The figures of each mailbox and its state, when there were several.
    """
    figures = figures_of(totals) | {"seconds": round(seconds, 3)}
    if form is Format.JSON:
        with standard_output() as stream:
            stream.write(_ascii(figures | ({"mailboxes": mailboxes} if mailboxes else {})) + "\n")
        return
    rows = [(what, count if what != "seconds" else f"{count:.1f}") for what, count in _flat(figures)]
    for name, own in (mailboxes or {}).items():
        rows += [(f"mailbox {name}: {what}", count) for what, count in _flat(own) if count or what == "messages"]
    show(("what", "how many"), rows, form)


def _flat(figures: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, figure in figures.items():
        if name == "reports":
            yield from ((f"{name} {part}", count) for part, count in figure.items())
        else:
            yield name, figure


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


def _json_line(payload: "Looking") -> Iterator[str]:
    """Give a payload as one line, a record at a time: memory does not grow with the number of records."""
    from dmarcops.flows.look import Found
    from dmarcops.report.as_json import record_json, report_json

    if not isinstance(payload, Found):
        yield _ascii(_small_json(payload)) + "\n"
        return
    yield _ascii(report_json(payload.report, payload.origin)).removesuffix("}") + ', "records": ['
    separator = ""
    for record in payload.records.records():
        yield separator + _ascii(record_json(record))
        separator = ", "
    yield "]}\n"


def _small_json(payload: "IncomingFailure | IncomingTls | IncomingRejection") -> dict[str, Any]:
    """Give all of a payload that has no records."""
    from dmarcops.report.failure import failure_json
    from dmarcops.report.tls import tls_json
    from dmarcops.store.intake import IncomingFailure, IncomingTls

    if isinstance(payload, IncomingFailure):
        return failure_json(payload.report, payload.origin)
    if isinstance(payload, IncomingTls):
        return tls_json(payload.report, payload.origin)
    said = {"code": payload.code, "reason": payload.reason}
    return {"kind": "rejected", "origin": payload.origin, "sha256": payload.sha256} | said


def _ascii(values: dict[str, Any]) -> str:
    return json.dumps(values).replace("\x7f", "\\u007f")


def _row(payload: "Looking") -> tuple[object, ...]:
    from dmarcops.store.intake import IncomingFailure, IncomingRejection, IncomingTls

    if isinstance(payload, IncomingRejection):
        return payload.origin, "rejected", None, None, None, None, None, None, f"{payload.code}: {payload.reason}"
    codes = _codes(payload.report.repairs)
    if isinstance(payload, IncomingFailure):
        said = payload.report
        reporter = said.reporter or said.user_agent
        return payload.origin, said.kind.value, reporter, said.reported_domain, None, None, said.incidents, codes, None
    if isinstance(payload, IncomingTls):
        tls = payload.report
        domains = ", ".join(dict.fromkeys(policy.policy_domain for policy in tls.policies if policy.policy_domain))
        return payload.origin, "tls", tls.organization_name, domains or None, tls.report_id, None, None, codes, None
    report = payload.report
    metadata = report.report_metadata
    named = (metadata.org_name or metadata.email, report.policy_published.domain, metadata.report_id)
    return payload.origin, "aggregate", *named, report.record_count, report.mail_count, codes, None


def _codes(repairs: "tuple[Repair, ...]") -> str:
    return ", ".join(dict.fromkeys(repair.code for repair in repairs))
