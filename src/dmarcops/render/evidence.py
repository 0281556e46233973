"""The evidence of a domain's report, section by section: all that the page for management sums up. Does no I/O."""

from collections.abc import Iterator, Sequence

from dmarcops.domains import u_labels
from dmarcops.policy.evidence import Evidence, Reporter, Source, SourceKind, ratio, shares
from dmarcops.policy.gates import unknown_sources
from dmarcops.policy.lint import Severity
from dmarcops.policy.record import Part, Record
from dmarcops.policy.rules import warnings
from dmarcops.policy.rungs import Receiver, Tags, effects, example
from dmarcops.policy.signoff import Signature
from dmarcops.policy.signoff_report import SignoffReport
from dmarcops.policy.what_if import Touched, Verdict, WhatIf
from dmarcops.render import charts
from dmarcops.render.cover import when
from dmarcops.render.document import (
    Block,
    Cell,
    Code,
    Column,
    Listing,
    Section,
    Table,
    Text,
    Tone,
    notes,
)
from dmarcops.render.facts import Facts
from dmarcops.render.wording import (
    NOTHING,
    RECEIVER_HEADS,
    RECEIVERS,
    RUNGS,
    SOURCES,
    TAGS,
    VERDICTS,
    count,
    duration,
    effect_of,
    figure_of,
    minute,
    name_of,
    percent,
    step_name,
    threshold_of,
)

_ADDRESSES = 4
"""Addresses of a source that are shown; the JSON form has all."""


def sections(facts: Facts) -> Iterator[Section]:
    """Give the sections."""
    report = facts.report
    yield Section("The record", tuple(_records(facts)))
    yield Section("Schedule", tuple(_schedule(facts)))
    yield Section("Conditions", (_gates(facts),))
    if facts.price is not None:
        yield Section("What would have been touched, by source", (_touched(facts.price),))
    yield Section("The price of every rung", tuple(_prices(report.prices)))
    yield Section("Mail over time", tuple(_over_time(report)))
    yield Section("Sources", (_sources(report),))
    yield Section("Reporters", (_reporters(report.evidence),))
    yield Section("Open findings", (_findings(facts),))
    yield Section("DKIM keys of the domain", (_keys(report),))
    yield Section("What was done so far", (_steps(report), Listing(tuple(report.history), "Nothing else is noted.")))
    yield Section("Signatures and digest", tuple(_signed(facts)))


def _records(facts: Facts) -> Iterator[Block]:
    now, following = facts.record, facts.record_next
    if str(now):
        yield Code(f"Published now at _dmarc.{facts.report.domain}", str(now))
    else:
        yield Text(f"Nothing is published at _dmarc.{facts.report.domain}.")
    if following is not None:
        yield Code("Published next", str(following))
    yield _tags(now, following)
    yield _asked_for(now, following)
    yield _effects(now, following)


def _tags(now: Record, following: Record | None) -> Table:
    before = _by_tag(now)
    if following is None:
        alone = (Column("Tag", 15, is_code=True), Column("Now", 50, is_code=True), Column("What it is", 35))
        rows = [(_tag(name), Cell(value), _meaning(name)) for (name, _), value in before.items()]
        return Table("Tag by tag", alone, tuple(rows), "There is no tag.")
    after = _by_tag(following)
    compared = [
        (_tag(key[0]), *_compared(before.get(key), after.get(key)), _meaning(key[0]))
        for key in (*after, *(key for key in before if key not in after))
    ]
    columns = (
        Column("Tag", 9, is_code=True),
        Column("Now", 27, is_code=True),
        Column("Next", 27, is_code=True),
        Column("Change", 13),
        Column("What it is", 24),
    )
    return Table("Tag by tag", columns, tuple(compared))


def _tag(name: str) -> Cell:
    return Cell(name or "not a tag")


def _meaning(name: str) -> Cell:
    return Cell(TAGS.get(name, "no tag that is known: left as it is"))


def _by_tag(record: Record) -> dict[tuple[str, int], str]:
    """Give the tags in their order, each under its name and how often that stood before."""
    found: dict[tuple[str, int], str] = {}
    for part in record.parts:
        if not part.is_empty:
            at = sum(name == part.name for name, _ in found)
            found[part.name, at] = _written(part)
    return found


def _written(part: Part) -> str:
    return part.value if part.name else part.text


def _compared(was: str | None, will: str | None) -> tuple[Cell, Cell, Cell]:
    change, tone = ("as it is", None) if was == will else ("changed", Tone.ASK)
    if was is None or will is None:
        change = "added" if was is None else "taken out"
    return Cell(NOTHING if was is None else was), Cell(NOTHING if will is None else will), Cell(change, tone=tone)


def _asked_for(now: Record, following: Record | None) -> Table:
    whose = ("The domain itself", "Its subdomains", "Subdomains that do not exist")
    columns = (Column("Mail in the name of", 40), Column("Now", 30), Column("Next", 30))
    rows = zip(whose, _policies(now), _policies(following), strict=True)
    return Table("Policy that is asked for", columns, tuple((Cell(name), *cells) for name, *cells in rows))


def _policies(record: Record | None) -> tuple[Cell, ...]:
    if record is None:
        return (Cell(NOTHING),) * 3
    if not record.is_dmarc:
        return (Cell("no DMARC"),) * 3
    below = (record.requested_below(exists=exists) for exists in (True, False))
    return tuple(Cell(policy.value if policy else "no DMARC") for policy in (record.requested(), *below))


def _effects(now: Record, following: Record | None) -> Table:
    before, after = effects(now), effects(following) if following else None
    rows = [
        (Cell(RECEIVERS[kind]), Cell(effect_of(before[kind])), Cell(effect_of(after[kind]) if after else NOTHING))
        for kind in Receiver
    ]
    columns = (Column("Kind of receiver", 40), Column("Now", 30), Column("Next", 30))
    return Table("What becomes of failing mail of the domain, by kind of receiver", columns, tuple(rows))


_PLACES = {"done": None, "now": Tone.GOOD, "next": Tone.ASK, "later": None}


def _schedule(facts: Facts) -> Iterator[Block]:
    rules = facts.report.proposal.rules
    rows = []
    for x in facts.schedule:
        step = x.step
        written = example(step.definition, Tags(step.pct, step.sp, step.np, rules.has_pct_zero))
        rows.append(
            (
                Cell(step_name(step)),
                Cell(x.place, tone=_PLACES[x.place]),
                Cell(f"{x.earliest:%Y-%m-%d}" if x.earliest else when(facts, x)),
                Cell(duration(step.duration) if step.duration else "stays"),
                Cell(str(written)),
            )
        )
    columns = (
        Column("Step", 22),
        Column("State", 10),
        Column("When", 20),
        Column("For at least", 13),
        Column("Policy that it publishes", 35, is_code=True),
    )
    caption = "Steps of the schedule; what is to come is dated as early as it can be"
    yield Table(caption, columns, tuple(rows), "The schedule has no step that is allowed.")
    frozen = [
        f"No step from {x.begin.isoformat()} to {x.end.isoformat()}" + (f": {x.reason}" if x.reason else "")
        for x in rules.freezes
    ]
    if frozen:
        yield Listing(tuple(frozen))


def _gates(facts: Facts) -> Table:
    rows = [
        (
            Cell(name_of(gate), (gate.name,)),
            Cell(figure_of(gate)),
            Cell(threshold_of(gate)),
            Cell("met", tone=Tone.GOOD) if gate.ok else Cell("not met", tone=Tone.BAD),
            Cell(gate.detail),
        )
        for gate in facts.report.proposal.gates
    ]
    columns = (
        Column("Condition", 27),
        Column("Figure", 11, is_number=True),
        Column("Asked for", 14, is_number=True),
        Column("Verdict", 12),
        Column("What it rests on", 36),
    )
    return Table("Conditions of the next step", columns, tuple(rows), "There is no next step to set conditions for.")


def _touched(price: WhatIf) -> Table:
    columns = (
        Column("Source", 32),
        Column("Failing", 10, is_number=True),
        Column("Touched", 11, is_number=True),
        Column("At most", 10, is_number=True),
        Column("First and last seen", 15),
        Column("Verdict", 22),
    )
    rows = tuple(_touched_row(x) for x in price.sources)
    caption = f"Mail that {RUNGS[price.rung]} would have touched; at most: by the strictest kind of receiver"
    return Table(caption, columns, rows, "No mail failed.")


def _touched_row(touched: Touched) -> tuple[Cell, ...]:
    source = touched.source
    word, tone = VERDICTS[touched.verdict]
    return (
        Cell(source.name, _named(source)),
        Cell(f"{source.total.failing:,}"),
        Cell(f"{touched.affected[Receiver.RFC9989]:,}"),
        Cell(f"{max(touched.affected.values()):,}"),
        Cell(source.first_seen.isoformat(), (source.last_seen.isoformat(),)),
        Cell(word, (SOURCES[source.kind],), tone),
    )


def _named(source: Source) -> tuple[str, ...]:
    """Give the name in other letters where it has one, and the first addresses."""
    rest = len(source.addresses) - _ADDRESSES
    addresses = [x for x in source.addresses[:_ADDRESSES] if x != source.name]
    shown = ", ".join(addresses) + (f" and {rest:,} more" if rest > 0 else "")
    return notes(u_labels(source.name), shown)


def _prices(prices: Sequence[WhatIf]) -> Iterator[Block]:
    by_verdict = [
        (
            Cell(RUNGS[x.rung], (str(x.record),)),
            *(Cell(f"{x.affected(verdict=verdict):,}") for verdict in Verdict),
            Cell(f"{x.affected():,}"),
        )
        for x in prices
    ]
    columns = (
        Column("Rung", 44),
        *(Column(VERDICTS[verdict][0], 14, is_number=True) for verdict in Verdict),
        Column("In all", 14, is_number=True),
    )
    caption = "Messages that receivers that follow RFC 9989 would have touched"
    yield Table(caption, columns, tuple(by_verdict), "Not worked out.")
    by_receiver = [(Cell(RUNGS[x.rung]), *(Cell(f"{x.affected(kind):,}") for kind in Receiver)) for x in prices]
    heads = (Column("Rung", 32), *(Column(RECEIVER_HEADS[kind], 17, is_number=True) for kind in Receiver))
    if by_receiver:
        yield Table("The same by kind of receiver, all mail", heads, tuple(by_receiver))


def _over_time(report: SignoffReport) -> Iterator[Block]:
    evidence = report.evidence
    for chart in (
        charts.pass_rate(evidence, report.proposal.rules.thresholds.min_pass_rate),
        charts.dispositions(evidence),
    ):
        if chart is not None:
            yield chart
    if evidence.window.left_out:
        days = ", ".join(day.isoformat() for day in evidence.window.left_out)
        yield Text(f"Left out, since the record was changed then and reports may mix both policies: {days}.")
    rows = [
        (
            Cell(day.day.isoformat()),
            Cell(f"{day.messages:,}"),
            Cell(f"{day.acknowledged:,}"),
            Cell(percent(ratio(day.passed, day.acknowledged))),
            Cell(
                ", ".join(f"{name} {number:,}" for name, number in sorted(day.dispositions.items()) if number)
                or NOTHING
            ),
        )
        for day in evidence.daily
    ]
    columns = (
        Column("Day", 16),
        Column("Messages", 15, is_number=True),
        Column("Acknowledged", 18, is_number=True),
        Column("Of them pass", 17, is_number=True),
        Column("What receivers did", 34),
    )
    yield Table("Day by day", columns, tuple(rows), "No mail was reported in the window.")


def _sources(report: SignoffReport) -> Table:
    asked = unknown_sources(report.evidence, report.proposal.rules.thresholds)
    columns = (
        Column("Source", 30),
        Column("Who said what", 20),
        Column("Messages", 11, is_number=True),
        Column("Pass", 9, is_number=True),
        Column("DKIM", 9, is_number=True),
        Column("SPF", 9, is_number=True),
        Column("Reporters", 12, is_number=True),
    )
    rows = tuple(_source_row(source, is_asked=source in asked) for source in report.evidence.sources)
    return Table("All sources of the window, the largest first", columns, rows, "No mail was reported in the window.")


def _source_row(source: Source, *, is_asked: bool) -> tuple[Cell, ...]:
    whole = source.total
    tone = {SourceKind.ACKNOWLEDGED: Tone.GOOD, SourceKind.DENIED: Tone.BAD}.get(source.kind)
    word = source.word
    said = notes(word.by, f"{word.at:%Y-%m-%d}", word.note) if word else ()
    return (
        Cell(source.name, _named(source)),
        Cell(SOURCES[source.kind], ("to be reviewed",) if is_asked else said, Tone.ASK if is_asked else tone),
        Cell(f"{whole.messages:,}"),
        *(Cell(percent(ratio(part, whole.messages))) for part in (whole.passed, whole.dkim, whole.spf)),
        Cell(f"{len(source.by_reporter):,}"),
    )


def _reporters(evidence: Evidence) -> Table:
    share = shares(evidence.reporters)
    columns = (
        Column("Reporter", 34),
        Column("Messages", 14, is_number=True),
        Column("Share", 11, is_number=True),
        Column("Days", 9, is_number=True),
        Column("Longest lag", 14, is_number=True),
        Column("State", 18),
    )
    rows = tuple(
        (
            Cell(x.name, notes(u_labels(x.name))),
            Cell(f"{x.messages:,}"),
            Cell(percent(share[x.name])),
            Cell(f"{len(x.days):,}"),
            Cell(count(x.lag_days, "day")),
            _state(x),
        )
        for x in evidence.reporters
    )
    return Table("Reporters whose reports count", columns, rows, "Nobody reported in the window.")


def _state(reporter: Reporter) -> Cell:
    if reporter.is_silent:
        return Cell("silent", (f"since {reporter.days[-1].isoformat()}",), Tone.BAD)
    return Cell("usual" if reporter.is_usual else "occasional")


_SEVERITIES = {Severity.ERROR: Tone.BAD, Severity.WARNING: Tone.ASK, Severity.NOTE: None}


def _findings(facts: Facts) -> Table:
    report = facts.report
    reasons = () if facts.is_done else report.proposal.reasons
    rows = [(Cell("obstacle", tone=Tone.BAD), Cell(reason), Cell("")) for reason in reasons]
    for place, finding in facts.findings:
        lint = finding.lint
        detail = f"{finding.tag}: {finding.detail}" if finding.tag and finding.detail else finding.detail
        where = Cell(f"the {place} record: {lint.code}", (lint.section,))
        rows.append((Cell(lint.severity.value, tone=_SEVERITIES[lint.severity]), Cell(lint.text, notes(detail)), where))
    remarks = (*warnings(report.proposal.rules), *report.remarks)
    rows += [(Cell("warning", tone=Tone.ASK), Cell(remark), Cell("")) for remark in remarks]
    columns = (Column("Kind", 17), Column("What", 55), Column("Where", 28))
    return Table("All that is open", columns, tuple(rows), "Nothing is open.")


def _keys(report: SignoffReport) -> Table:
    columns = (
        Column("Selector", 28, is_code=True),
        Column("Algorithm", 17),
        Column("State", 18),
        Column("What else is known", 37),
    )
    rows = tuple((Cell(x.selector), Cell(x.algorithm), Cell(x.state), Cell(x.detail)) for x in report.keys)
    return Table("DKIM keys", columns, rows, "No DKIM key of this domain is known here.")


def _steps(report: SignoffReport) -> Table:
    columns = (
        Column("When", 17),
        Column("What", 14),
        Column("Record before", 27, is_code=True),
        Column("Record after", 27, is_code=True),
        Column("Who", 15),
    )
    rows = tuple(
        (Cell(minute(x.at)), Cell(x.kind), Cell(x.before or NOTHING), Cell(x.after or NOTHING), Cell(x.by or NOTHING))
        for x in report.steps
    )
    return Table("Changes of the record, the oldest first", columns, rows, "No step was made yet.")


def _worth(facts: Facts, signature: Signature) -> tuple[str, Tone]:
    """Tell what a signature is worth."""
    proposal = facts.report.proposal
    if facts.broken_seals:
        return "not to be trusted", Tone.BAD
    if signature in proposal.expired:
        return "has expired", Tone.ASK
    return ("holds", Tone.GOOD) if proposal.is_signed else ("does not suffice", Tone.ASK)


def _signed(facts: Facts) -> Iterator[Block]:
    rows = []
    for x in facts.signatures:
        state, tone = _worth(facts, x)
        beside = () if x.digest == facts.digest else (f"of the digest {x.digest}",)
        rows.append((Cell(x.by), Cell(minute(x.at)), Cell(x.comment or NOTHING), Cell(state, beside, tone)))
    columns = (Column("Who", 25), Column("When", 20), Column("What was said", 31), Column("State", 24))
    yield Table("Signatures", columns, tuple(rows), "Nobody has signed.")
    if facts.broken_seals:
        yield Listing(facts.broken_seals)
    yield Text(_asked_of_signers(facts))
    if facts.statement is not None:
        yield Code("Digest (SHA-256)", facts.digest)
        yield Text(
            "The digest is over the domain, the record now, the record next and the evidence of this report, as JSON"
            " with sorted keys and no white space, in UTF-8. The JSON form of this report holds all four. Whoever signs"
            " names it; before the record is written all is worked out again and held against it."
        )


def _asked_of_signers(facts: Facts) -> str:
    rules = facts.report.proposal.rules
    if facts.statement is None:
        return "There is nothing to sign."
    if not rules.require_signature:
        return "No signature is asked for."
    signing = rules.signing
    asked = f"{count(signing.signers, 'signature')} {'is' if signing.signers == 1 else 'are'} asked for"
    moved = f"a rate moves by more than {percent(signing.tolerance)}, or the mail doubles or halves"
    return f"{asked}. A signature holds for {duration(signing.valid_for)}, and lapses before that when {moved}."
