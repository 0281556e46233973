"""`policy`: how the DMARC policies stand, what comes next and why not yet; signatures, steps, steps back, holds."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dmarcops.cli.export import replacing
from dmarcops.cli.options import FormatOption, invocation_of, opened_store
from dmarcops.cli.output import Format, say_done, show, standard_output
from dmarcops.cli.rotate import parts_of, raise_for
from dmarcops.cli.telling import tell_concerns
from dmarcops.errors import ConfigError, DmarcopsError, NotEnoughEvidence, StoreError

if TYPE_CHECKING:
    from dmarcops.flows.advance import Stepped
    from dmarcops.flows.policy import Governed, Outlook
    from dmarcops.flows.policy_sign import Word
    from dmarcops.policy.signoff import SigningRules, Signoff
    from dmarcops.policy_parts import PolicyParts
    from dmarcops.render.report import Report
    from dmarcops.store.engine import Store

app = typer.Typer()
policy_app = typer.Typer(help="Step DMARC policies from none to reject, on evidence, and signed.")
app.add_typer(policy_app, name="policy")

_Unusable = dict[str, DmarcopsError]
"""The domains whose configuration cannot be used, and why."""
_Domains = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[DOMAIN]...", help="Only these domains, instead of all with a policy section.", show_default=False
    ),
]
_Named = Annotated[list[str], typer.Argument(metavar="DOMAIN...", help="The domains.", show_default=False)]
_Domain = Annotated[str, typer.Argument(metavar="DOMAIN", help="The domain.", show_default=False)]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")]
_Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.")]
_STATUS = ("domain", "rung", "next", "not_before", "decision", "affected", "signed", "why")
_STEPPED = ("domain", "decision", "step", "before", "after", "decided_at", "acknowledged_at", "why")
_GATES = ("domain", "gate", "value", "threshold", "ok", "detail")
_HISTORY = ("number", "at", "domain", "who", "action", "detail", "before", "after", "digest")


@policy_app.command()
def status(context: typer.Context, domains: _Domains = None, *, form: FormatOption = Format.TABLE) -> None:
    """Show all domains: the rung in DNS, the next one, the date, and what stands in the way."""
    unusable: _Unusable = {}
    with opened_store(context) as store:
        parts = _parts(context, store)
        outlooks = parts.policies().look(list(_governed(parts, domains, unusable)))
    if form is Format.JSON:
        _print_json([each.as_json() for each in outlooks], domains)
    else:
        show(_STATUS, [_status_row(each.as_json()) for each in outlooks], form)
    raise_for([*unusable.values(), *(problem for each in outlooks for problem in each.problems)])


@policy_app.command()
def plan(context: typer.Context, domains: _Domains = None, *, form: FormatOption = Format.TABLE) -> None:
    """Show the schedule, every gate with its figure, and which mail each rung would have touched."""
    from dmarcops.cli.policy_plan import plan_lines

    unusable: _Unusable = {}
    with opened_store(context) as store:
        parts = _parts(context, store)
        outlooks = _to_be_signed(parts, domains, unusable)
    if form is Format.JSON:
        _print_json([each.as_json() for each in outlooks], domains)
    elif form is Format.CSV:
        rows = [
            (each.domain, *gate.as_json().values()) for each in outlooks if each.judged for gate in each.judged.gates
        ]
        show(_GATES, rows, form)
    else:
        with standard_output() as stream:
            stream.writelines(f"{line}\n" for each in outlooks for line in plan_lines(each))
    raise_for([*unusable.values(), *(problem for each in outlooks for problem in each.problems)])


@policy_app.command()
def report(
    context: typer.Context,
    domains: _Domains = None,
    *,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Write to this .html, .pdf, .md or .json.", show_default=False)
    ],
    title: Annotated[str, typer.Option("--title", metavar="TEXT", help="What stands above it.")] = "",
) -> None:
    """Write the sign-off report of a domain, or one report of several, to be read and signed by people."""
    from dmarcops.flows.policy_report import fleet_of, report_of
    from dmarcops.policy.signoff_report import SignoffReport

    rendered = _renderer(out)
    unusable: _Unusable = {}
    with opened_store(context) as store:
        parts = _parts(context, store)
        outlooks = _to_be_signed(parts, domains, unusable)
        reports = [report_of(store, each, brand=parts.brand(each.domain), title=title) for each in outlooks]
    one = reports[0] if len(reports) == 1 and isinstance(reports[0], SignoffReport) else None
    with replacing(out) as file:
        file.write(rendered(one or fleet_of(reports, title=title)))
    raise_for([*unusable.values(), *(problem for each in outlooks for problem in each.problems)])


@policy_app.command()
def sign(
    context: typer.Context,
    domain: _Domain,
    *,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who signs.", show_default=False)],
    comment: Annotated[str, typer.Option("--comment", metavar="TEXT", help="What the signer says.")] = "",
    digest: Annotated[
        str, typer.Option("--digest", metavar="DIGEST", help="What was shown to the signer (default: what is now).")
    ] = "",
    form: FormatOption = Format.TABLE,
) -> None:
    """Sign the next step of a domain: the record now, the record next, and the evidence."""
    from dmarcops.flows.policy_sign import sign_step

    with opened_store(context) as store:
        parts = _parts(context, store)
        (governed,) = _governed_all(parts, [domain])
        parts.name_sources([governed])
        signoff = sign_step(parts.policies(), governed, _word(by, comment), digest=digest)
    _show_signoff(signoff, governed.rules.signing, form)


@policy_app.command()
def advance(
    context: typer.Context,
    domains: _Domains = None,
    *,
    dry_run: _DryRun = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 when a step is not made yet.")] = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Make every step that the date, the gates and the signatures allow; from cron, as often as one likes."""
    unusable: _Unusable = {}
    with opened_store(context) as store:
        parts = _parts(context, store)
        governed = list(_governed(parts, domains, unusable))
        if not dry_run:
            parts.name_sources(governed)
        stepped = list(parts.stepping().advance(governed, dry_run=dry_run))
        _show_stepped(stepped, domains, form)
        problems = [*unusable.values(), *(problem for each in stepped for problem in each.problems)]
        if not dry_run:
            problems += _tell(context, parts, store, stepped, unusable=unusable, is_all=not domains)
    if strict:
        problems += [refusal for each in stepped for refusal in _not_yet(each)]
    raise_for(problems, leaves_busy=not strict)


@policy_app.command()
def rollback(
    context: typer.Context,
    domains: _Named,
    *,
    again: Annotated[bool, typer.Option("--again", help="Take the step before it back as well.")] = False,
    dry_run: _DryRun = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Put exactly the former record back, at once."""
    with opened_store(context) as store:
        parts = _parts(context, store)
        governed, stepping = _governed_all(parts, domains), parts.stepping()
        stepped = [stepping.rollback(each, again=again, dry_run=dry_run) for each in governed]
    _show_stepped(stepped, domains, form)
    raise_for([problem for each in stepped for problem in each.problems])


@policy_app.command()
def hold(
    context: typer.Context,
    domains: _Named,
    *,
    until: Annotated[
        str, typer.Option("--until", metavar="DATE", help="From then on steps are made again (default: until resumed).")
    ] = "",
    reason: _Reason = "",
) -> None:
    """Make no step for these domains, until a date or until it is resumed."""
    from dmarcops import wiring
    from dmarcops.rotation_parts import user
    from dmarcops.store import keys

    end, now = _moment(until) if until else None, wiring.clock()
    if end is not None and end <= now:
        hint = "it ends when that day begins, in UTC: name a later one, or none for a hold until it is resumed"
        raise ConfigError(f"--until: {until} is over, nothing would be held", hint=hint)
    with opened_store(context) as store:
        for each in _governed_all(_parts(context, store), domains):
            wanted = keys.Hold(domain=each.domain, what="policy", reason=reason, who=user(), at=now, until=end)
            keys.hold(store, wanted)
            say_done(each.domain, _held(end, reason))


@policy_app.command()
def resume(context: typer.Context, domains: _Named, *, reason: _Reason = "") -> None:
    """End a hold, and take a record that somebody else wrote meanwhile for right."""
    from dmarcops.flows.policy_sign import resume as resume_policy

    with opened_store(context) as store:
        parts = _parts(context, store)
        for each in _governed_all(parts, domains):
            done = resume_policy(parts.policies(), each, _word("", reason))
            say_done(each.domain, "; ".join(done) or "nothing to resume: no hold, and no record of somebody else")


@policy_app.command()
def history(context: typer.Context, domains: _Domains = None, *, form: FormatOption = Format.TABLE) -> None:
    """Show who did what to the policies, when, and what DNS had before and after."""
    from dmarcops.dkim.domain_name import a_labels
    from dmarcops.store import audit

    wanted = {a_labels(name) for name in domains or ()}
    with opened_store(context) as store:
        audit.verify(store)
        entries = audit.history(store)
    rows = [
        (
            x.number,
            x.at,
            x.event.domain,
            x.event.who,
            x.event.action,
            x.event.detail,
            x.event.before,
            x.event.after,
            x.digest,
        )
        for x in entries
        if x.event.action.startswith("policy-") and (not wanted or x.event.domain in wanted)
    ]
    show(_HISTORY, rows, form)


def _renderer(out: Path) -> "Callable[[Report], bytes]":
    """
    Give what makes the form that a file's name ends in.

    Raises:
        ConfigError: It ends in none that is known.
    """
    from dmarcops.render import report

    forms: dict[str, Callable[[Report], bytes]] = {
        ".html": lambda given: report.as_html(given).encode(),
        ".pdf": report.as_pdf,
        ".md": lambda given: report.as_markdown(given).encode(),
        ".json": lambda given: report.as_json(given).encode(),
    }
    if out.suffix.lower() not in forms:
        raise ConfigError(f"--out: {out} ends in no form that is known", hint=f"known are: {', '.join(forms)}")
    return forms[out.suffix.lower()]


def _parts(context: typer.Context, store: "Store") -> "PolicyParts":
    from dmarcops.policy_parts import PolicyParts

    return PolicyParts(parts_of(context, store))


def _to_be_signed(parts: "PolicyParts", asked: Sequence[str] | None, unusable: _Unusable) -> "Sequence[Outlook]":
    """Look at domains with the names of their sources, and keep what is shown, so that it can be signed."""
    from dmarcops.flows.policy_sign import show as keep_shown

    policies, governed = parts.policies(), list(_governed(parts, asked, unusable))
    parts.name_sources(governed)
    outlooks = policies.look(governed)
    keep_shown(policies, outlooks)
    return outlooks


def _governed(parts: "PolicyParts", asked: Sequence[str] | None, unusable: _Unusable) -> "Iterator[Governed]":
    """Give what the domains work with; one whose configuration cannot be used stops no other."""
    from dmarcops.dkim.domain_name import a_labels
    from dmarcops.rotation_parts import domains

    for name in domains(parts.config, asked or (), part="policy"):
        try:
            yield parts.governed(name)
        except DmarcopsError as error:
            unusable[a_labels(name)] = error


def _governed_all(parts: "PolicyParts", asked: Sequence[str]) -> "list[Governed]":
    from dmarcops.rotation_parts import domains

    return [parts.governed(name) for name in domains(parts.config, asked, part="policy")]


def _word(by: str, comment: str) -> "Word":
    from dmarcops import wiring
    from dmarcops.flows.policy_sign import Word
    from dmarcops.rotation_parts import user

    return Word(by=by, who=user(), at=wiring.clock(), comment=comment)


def _moment(text: str) -> datetime:
    """Read a day, which begins at midnight UTC, or a time."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        hint = "write a day such as 2027-01-07, or a time such as 2027-01-07T08:00:00Z"
        raise ConfigError(f"--until: {text!r} is no date", hint=hint) from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _held(end: datetime | None, reason: str) -> str:
    until = f"{end.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if end is not None else "it is resumed"
    return f"held until {until}" + (f": {reason}" if reason else "")


def _print_json(documents: Sequence[dict[str, Any]], asked: Sequence[str] | None) -> None:
    """Print the object of the one domain that was named, else a list of them."""
    document = documents[0] if asked and len(asked) == 1 and len(documents) == 1 else documents
    with standard_output() as stream:
        stream.write(json.dumps(document, indent=1).replace("\x7f", "\\u007f") + "\n")


def _status_row(entry: dict[str, Any]) -> tuple[object, ...]:
    current, following = entry["current"] or {}, entry["next"] or {}
    signed, what_if = entry["signed"] or {}, entry["what_if"] or {}
    by = signed.get("by") if signed.get("valid") else None
    reason = next(iter(entry["reasons"]), None)
    not_before = following.get("not_before")
    return (
        entry["domain"],
        current.get("rung"),
        following.get("rung"),
        None if not_before is None else datetime.fromisoformat(not_before),
        entry["decision"],
        what_if.get("affected"),
        by,
        reason,
    )


def _show_stepped(stepped: "Sequence[Stepped]", asked: Sequence[str] | None, form: Format) -> None:
    if form is Format.JSON:
        _print_json([_stepped_json(each) for each in stepped], asked)
    else:
        show(_STEPPED, [_stepped_row(each) for each in stepped], form)


def _stepped_json(stepped: "Stepped") -> dict[str, Any]:
    problems = [str(problem) for problem in stepped.problems]
    step = stepped.change and {**stepped.change.as_json(), "late": stepped.late or None}
    return {**stepped.outlook.as_json(), "step": step, "problems": problems}


def _stepped_row(stepped: "Stepped") -> tuple[object, ...]:
    from dmarcops.policy.answers import text_of

    change, found = stepped.change, stepped.outlook.as_json()
    reasons = [str(problem) for problem in stepped.problems] or [stepped.late] * bool(stepped.late)
    if not reasons and change is None:
        reasons = found["reasons"]
    decision = found["decision"]
    if change is None:
        return (stepped.domain, decision, None, None, None, None, None, "; ".join(reasons))
    texts = (text_of(change.before), text_of(change.after))
    moments = (change.decided_at, change.acknowledged_at)
    return (stepped.domain, decision, change.kind.value, *texts, *moments, "; ".join(reasons))


def _not_yet(stepped: "Stepped") -> Iterator[DmarcopsError]:
    """Give why no step was made, for who wants to be told by the exit code."""
    from dmarcops.policy.stepper import Decision

    found = stepped.outlook.as_json()
    if stepped.change is None and not stepped.problems and found["decision"] != Decision.DONE.value:
        yield NotEnoughEvidence(found["decision"], f"{stepped.domain}: {'; '.join(found['reasons'])}")


def _tell(
    context: typer.Context,
    parts: "PolicyParts",
    store: "Store",
    stepped: "Sequence[Stepped]",
    *,
    unusable: _Unusable,
    is_all: bool,
) -> list[DmarcopsError]:
    """Save what people are to know, and tell them; give why that could not be saved."""
    from dmarcops import wiring
    from dmarcops.flows.policy_concerns import SUBJECT, remember

    try:
        remember(store, stepped, wiring.clock(), unusable=unusable, is_all=is_all)
        tell_concerns(parts.config, store, SUBJECT, quiet=invocation_of(context).quiet)
    except StoreError as error:
        return [error]
    return []


def _show_signoff(signoff: "Signoff", rules: "SigningRules", form: Format) -> None:
    """Show the signatures that count; those that have expired are in the history."""
    from dmarcops import wiring
    from dmarcops.policy.signoff import expired, signers

    now = wiring.clock()
    old, count = expired(signoff, rules, now=now), len(signers(signoff, rules, now=now))
    names = ("domain", "digest", "by", "at", "comment", "signatures", "needed")
    rows = [
        (signoff.statement.domain, each.digest, each.by, each.at, each.comment, count, rules.signers)
        for each in signoff.signatures
        if each not in old
    ]
    show(names, rows, form)
