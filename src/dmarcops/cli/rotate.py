"""`rotate`: one tick of the DKIM key rotations, from cron; and orders: now, emergency, rollback, hold, resume."""

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from dmarcops import config
from dmarcops.cli.faults import fault_of
from dmarcops.cli.options import FormatOption, invocation_of, opened_store
from dmarcops.cli.output import Format, say_done, show, standard_output
from dmarcops.cli.telling import tell_concerns
from dmarcops.errors import LOCK, ConfigError, DmarcopsError, Refused, StoreError
from dmarcops.neutralise import visible

if TYPE_CHECKING:
    from dmarcops.dkim.lifecycle import Effect, Key, Orders, Reason
    from dmarcops.dns.manual import Instruction
    from dmarcops.flows.outside import Outside
    from dmarcops.flows.rotate import Ticked
    from dmarcops.rotation_parts import Parts
    from dmarcops.store.engine import Store

EXPLAIN = "explain"
"""What stands in the place of the domains when the law is to be shown; no mail domain has but one label."""
_COLUMNS = ("selector", "algorithm", "bits", "stage", "since", "pending", "reason", "not_before")

app = typer.Typer()
_LOG = logging.getLogger(__name__)


class DrawingOption(StrEnum):
    """How the law is drawn."""

    TEXT = "text"
    MERMAID = "mermaid"
    DOT = "dot"


@app.command()
def rotate(  # noqa: PLR0913 - an option each
    context: typer.Context,
    domains: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DOMAIN]... | explain",
            help="Only these domains, instead of all that are configured; `explain` shows the law of rotation.",
            show_default=False,
        ),
    ] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")] = False,
    now: Annotated[bool, typer.Option("--now", help="Start a rotation although none is due.")] = False,
    emergency: Annotated[
        str | None, typer.Option(metavar="SELECTOR", help="This key has leaked: replace and revoke it at once.")
    ] = None,
    rollback: Annotated[bool, typer.Option("--rollback", help="Sign with the previous key again.")] = False,
    hold: Annotated[
        bool, typer.Option("--hold", help="Let the keys of the domain as they are until --resume.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="End a hold.")] = False,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why it is held.")] = "",
    drawing: Annotated[DrawingOption, typer.Option("--as", help="How `explain` shows it.")] = DrawingOption.TEXT,
    form: FormatOption = Format.TABLE,
) -> None:
    """Move the DKIM keys of all domains as far as the facts allow; safe to run as often as one likes, and to kill."""
    asked = domains or []
    if asked == [EXPLAIN]:
        _explain(drawing)
        return
    given = {
        "--emergency": emergency is not None,
        "--now": now,
        "--rollback": rollback,
        "--hold": hold,
        "--resume": resume,
        "--dry-run": dry_run,
        "--reason": bool(reason),
    }
    _see_that_they_agree([option for option, is_given in given.items() if is_given])
    if (now or rollback or hold or resume or emergency is not None) and not asked:
        raise ConfigError("an order is for one or more domains", hint="name them: dmarcops rotate --now example.com")
    with opened_store(context) as store:
        if hold or resume:
            _hold_or_resume(context, store, asked, reason=reason if hold else None)
            return
        _tick(context, store, asked, _orders(now, emergency, rollback=rollback), dry_run=dry_run, form=form)


def _see_that_they_agree(given: Sequence[str]) -> None:
    """Refuse options of which one would be carried out and another be forgotten."""
    alone = next((option for option in ("--hold", "--resume") if option in given), None)
    others = [option for option in given if option not in {alone, "--reason"}]
    if alone is not None and others:
        raise ConfigError(f"{alone} goes with no other order, but {others[0]} is there too", hint="one by one")
    if "--now" in given and "--rollback" in given:
        raise ConfigError("--now and --rollback contradict each other", hint="give one of them")
    if "--reason" in given and "--hold" not in given:
        raise ConfigError("--reason says why a domain is held, and there is no --hold")


def raise_for(problems: Sequence[DmarcopsError], *, leaves_busy: bool = False) -> None:
    """
    Tell problems on stderr, and end the program when there are any: the call's own faults first, refusals last.

    Args:
        problems: What went wrong.
        leaves_busy: A domain that another run is at work on is left to that one: with runs that overlap, as from cron,
            nothing is wrong.

    Raises:
        typer.Exit: There are some.
    """
    if leaves_busy:
        busy = [problem for problem in problems if isinstance(problem, Refused) and problem.guard == LOCK]
        for problem in busy:
            _LOG.warning("%s; left to that one", problem)
        problems = [problem for problem in problems if problem not in busy]
    for line in dict.fromkeys(line for problem in problems for line in fault_of(problem).lines()):
        sys.stderr.write(f"{line}\n")
    codes = {problem.exit_code for problem in problems}
    for code in (ConfigError.exit_code, DmarcopsError.exit_code, Refused.exit_code):
        if code in codes:
            raise typer.Exit(code)


def parts_of(context: typer.Context, store: "Store") -> "Parts":
    """Return the parts that the configuration names."""
    from dmarcops.rotation_parts import Parts

    invocation = invocation_of(context)
    settings = config.load(invocation.config_file, store_url=invocation.store_url)
    return Parts(settings, store, _tell_instruction)


def _tick(
    context: typer.Context, store: "Store", asked: Sequence[str], orders: "Orders", *, dry_run: bool, form: Format
) -> None:
    from dmarcops import wiring
    from dmarcops.dkim.lifecycle import Orders
    from dmarcops.flows.concerns import SUBJECT
    from dmarcops.flows.rotate import remember
    from dmarcops.rotation_parts import domains

    parts = parts_of(context, store)
    unusable: list[Ticked] = []
    outsides = list(_outsides(parts, domains(parts.config, asked), unusable))
    given = {outside.plan.domain: orders for outside in outsides}
    ticked = list(parts.rotation().run(outsides, given, dry_run=dry_run))
    _show(ticked, form)
    ticked = [*unusable, *ticked]
    problems = [problem for each in ticked for problem in each.problems]
    quiet = invocation_of(context).quiet
    # What failed is told as an error anyway.
    for notice in [x for each in ticked for x in each.notices if x.kind != "failed" and not quiet]:
        what = f"{notice.domain} {notice.selector}".strip()
        sys.stderr.write(f"dmarcops: {visible(f'{what}: {notice.kind}: {notice.text}')}\n")
    if not dry_run:
        try:
            remember(store, ticked, wiring.clock(), is_all=not asked)
            tell_concerns(parts.config, store, SUBJECT, quiet=quiet)
        except StoreError as error:
            problems.append(error)
    raise_for(problems, leaves_busy=orders == Orders())


def _outsides(parts: "Parts", names: Sequence[str], unusable: "list[Ticked]") -> "Iterator[Outside]":
    """Give what the domains work with; one whose configuration cannot be used stops no other."""
    from dmarcops.flows.rotate import failed

    for name in names:
        try:
            yield parts.outside(name)
        except DmarcopsError as error:
            unusable.append(failed(name, error))


def _orders(now: bool, emergency: str | None, *, rollback: bool) -> "Orders":  # noqa: FBT001 - an option's value
    from dmarcops.dkim.lifecycle import Orders

    return Orders(start=now, emergency=emergency, rollback=rollback)


def _hold_or_resume(context: typer.Context, store: "Store", asked: Sequence[str], *, reason: str | None) -> None:
    from dmarcops import wiring
    from dmarcops.dkim.domain_name import a_labels
    from dmarcops.rotation_parts import domains, user
    from dmarcops.store import keys

    for name in map(a_labels, domains(parts_of(context, store).config, asked)):
        if reason is not None:
            keys.hold(store, keys.Hold(domain=name, what="dkim", reason=reason, who=user(), at=wiring.clock()))
            told = "its keys are held until they are resumed" + (f": {reason}" if reason else "")
        elif keys.resume(store, name, "dkim", who=user(), now=wiring.clock()):
            told = "the hold is over"
        else:
            told = "nothing to resume: its keys are not held"
        say_done(name, told)


def _explain(drawing: DrawingOption) -> None:
    from dmarcops.dkim.explain import Drawing, explain

    wanted = {DrawingOption.MERMAID: Drawing.MERMAID, DrawingOption.DOT: Drawing.GRAPHVIZ}.get(drawing, Drawing.TEXT)
    with standard_output() as stream:
        stream.write(explain(wanted))


def _show(ticked: "Sequence[Ticked]", form: Format) -> None:
    if form is Format.JSON:
        document = {"domains": [{"domain": each.domain, "keys": list(_entries(each))} for each in ticked]}
        with standard_output() as stream:
            stream.write(json.dumps(document, indent=1) + "\n")
        return
    rows = [
        (each.domain, *(", ".join(value) if isinstance(value, list) else value for value in entry.values()))
        for each in ticked
        for entry in _entries(each)
    ]
    show(("domain", *_COLUMNS), rows, form)


def _entries(ticked: "Ticked") -> Iterator[dict[str, object]]:
    """Give an entry for each key that is left, and for each rotation that has not started."""
    reasons = {(reason.selector, reason.algorithm): reason for reason in ticked.reasons}
    failed = "; ".join(str(problem) for problem in ticked.problems)
    for key in ticked.keys:
        yield _entry(key, reasons.pop((key.selector, key.algorithm), None), failed)
    for reason in reasons.values():
        none: list[str] = []
        stage = None if reason.stage is None else reason.stage.value
        told = (reason.selector or None, reason.algorithm.value, None, stage, None, none)
        yield dict(zip(_COLUMNS, (*told, reason.text, _time(reason.not_before)), strict=True))


def _entry(key: "Key", reason: "Reason | None", failed: str) -> dict[str, object]:
    pending = pending_of(key)
    text = reason.text if reason else failed
    known = (key.selector, key.algorithm.value, key.bits, key.stage.value, _time(key.since), pending)
    return dict(zip(_COLUMNS, (*known, text, _time(reason.not_before if reason else None)), strict=True))


def pending_of(key: "Key") -> list[str]:
    """Return what is still to be done with a key, in words."""
    return [_told(effect) for effect in key.pending]


def _told(effect: "Effect") -> str:
    """Return what is still to be done, and to what."""
    words = [str(word) for word in astuple(effect)[1:3]]
    match type(effect).__name__:
        case "SwitchSigner" | "ForgetKey" as kind:
            return f"{kind} {words[0]} {words[1]}"
        case "PublishTxt" | "RevokeTxt" | "RemoveTxt" as kind:
            return f"{kind} {words[0]}"
        case kind:
            return kind


def _time(moment: object) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _tell_instruction(instruction: "Instruction") -> None:
    """Tell on stderr what a person is to do in a zone that nobody else writes."""
    sys.stderr.write("".join(f"{visible(line)}\n" for line in str(instruction).splitlines()))
