"""The page for management of a domain's report: where it is, what is next, whether that is safe, who signs."""

from collections.abc import Iterator
from dataclasses import replace

from dmarcops.policy.evidence import ratio
from dmarcops.policy.record import Policy
from dmarcops.policy.rungs import Receiver, rung_of
from dmarcops.policy.what_if import Verdict, WhatIf
from dmarcops.render.document import (
    Cell,
    Column,
    Cover,
    Figure,
    Listing,
    Rung,
    Section,
    Table,
    Text,
)
from dmarcops.render.facts import Dated, Facts
from dmarcops.render.wording import (
    MEANINGS,
    NOTHING,
    RUNGS,
    VERDICTS,
    count,
    figure_of,
    long_date,
    name_of,
    percent,
    shortened,
    step_name,
    threshold_of,
)

_OBSTACLES = 4
"""What the first page has room for; the rest is among the findings."""
_LINES = 3
_RUNGS = 7
_SIGNER = 28
_REASON = 80
_IN_FULL = "The rest is under open findings."


def cover(facts: Facts) -> Cover:
    """Give the page for management."""
    return Cover(
        verdict=facts.answer,
        figures=figures(facts),
        sections=tuple(_sections(facts)),
        ladder=tuple(Rung(step_name(x.step), when(facts, x), x.place) for x in _in_sight(facts.schedule)),
        signatures=tuple(replace(x, name=shortened(x.name, _SIGNER)) for x in facts.lines[-_LINES:]),
    )


def _in_sight(schedule: tuple[Dated, ...]) -> tuple[Dated, ...]:
    """Give as many steps as there is room for, those around the next one."""
    at = next((at for at, x in enumerate(schedule) if x.place == "next"), len(schedule))
    begin = max(0, min(at - _RUNGS // 2, len(schedule) - _RUNGS))
    return schedule[begin : begin + _RUNGS]


def when(facts: Facts, dated: Dated) -> str:
    """Give when a step was, is or can be, in words."""
    since = facts.report.evidence.context.since
    if dated.place == "now":
        return f"since {long_date(since.date())}" if since else "in force"
    return facts.earliest if dated.place == "next" else dated.place


def figures(facts: Facts) -> tuple[Figure, ...]:
    """Give the three key figures: what passes, what legitimate mail is at stake, what of others is stopped."""
    whole = facts.report.evidence.acknowledged
    least = percent(facts.report.proposal.rules.thresholds.min_pass_rate)
    passes = Figure(
        percent(ratio(whole.passed, whole.messages)),
        "of acknowledged mail passes",
        f"{whole.passed:,} of {count(whole.messages, 'message')}; {least} is asked for",
    )
    subject = ("the policy touches", "it touches") if facts.is_done else ("the next step would touch", "it would touch")
    return (passes, *_at_stake(facts, *subject))


def _at_stake(facts: Facts, touches: str, it_touches: str) -> Iterator[Figure]:
    known = facts.price is not None and bool(facts.report.evidence.acknowledged.messages)
    at_most, unknown = facts.touched_at_most, facts.touched(Verdict.UNKNOWN)
    touched, denied = facts.touched(Verdict.LEGITIMATE_FAILING), facts.touched(Verdict.SPOOF)
    more = f"up to {at_most:,} at receivers that read the policy alone" if at_most > touched else "at any receiver"
    others = f"and {f'{unknown:,}' if unknown else 'none'} of senders nobody has reviewed"
    for figure, label, note in (
        (touched, f"legitimate messages {touches}", more),
        (denied, f"messages of denied senders {it_touches}", others),
    ):
        yield Figure(f"{figure:,}" if known else NOTHING, label, note if known else "there is nothing to tell it by")


def _sections(facts: Facts) -> Iterator[Section]:
    yield Section("What is published" if facts.is_done else "What the step is", (Text(_step_in_words(facts)),))
    if facts.price is not None:
        heading = "What the policy asks to touch" if facts.is_done else "What would have been touched"
        yield Section(heading, (_by_verdict(facts, facts.price),))
    todo = open_points(facts)
    if todo and not facts.is_done:
        shown = [shortened(item, _REASON) for item in todo[:_OBSTACLES]]
        more = [f"{len(todo) - _OBSTACLES} more. {_IN_FULL}"] if len(todo) > _OBSTACLES else []
        yield Section("What stands in the way", (Listing((*shown, *more)),))


def _step_in_words(facts: Facts) -> str:
    now = rung_of(facts.record)
    published = (
        f"The policy published now is {RUNGS[now.name]}." if now else "No DMARC record that can be used is published."
    )
    if facts.step is None or facts.record_next is None:
        policy = facts.record.requested() or Policy.NONE
        return f"{published} Mail in the name of this domain that fails the check is {MEANINGS[policy]}."
    step = facts.step
    told = f"{published} The next is {step_name(step)}, {facts.earliest}."
    asked = f"Mail in the name of this domain that fails the check is then to be {MEANINGS[step.definition.p]}"
    if step.definition.is_testing:
        return f"{told} {asked}, and one level less by receivers that know the test mode."
    if step.definition.is_sampled:
        return f"{told} {asked}, where the share is read for {step.pct} of 100 messages."
    return f"{told} {asked}."


_MEANT = {
    Verdict.LEGITIMATE_FAILING: "Of acknowledged senders: lost unless it is put right.",
    Verdict.UNKNOWN: "Of forwarders, lists, strangers: to be looked at.",
    Verdict.SPOOF: "Of denied senders: what the policy is for.",
}


def _by_verdict(facts: Facts, price: WhatIf) -> Table:
    rows = []
    for verdict in Verdict:
        sources = [x for x in price.sources if x.verdict is verdict and max(x.affected.values(), default=0)]
        word, tone = VERDICTS[verdict]
        rows.append(
            (
                Cell(word, tone=tone if sources else None),
                Cell(f"{price.affected(verdict=verdict):,}"),
                Cell(f"{max(price.affected(kind, verdict) for kind in Receiver):,}"),
                Cell(f"{len(sources):,}"),
                Cell(_MEANT[verdict]),
            )
        )
    columns = (
        Column("Mail", 20),
        Column("Messages", 12, is_number=True),
        Column("At most", 12, is_number=True),
        Column("Sources", 11, is_number=True),
        Column("What it means", 45),
    )
    at_most = "at most: by the strictest kind of receiver"
    what = "by the policy in force" if facts.is_done else "by the next step"
    return Table(f"Mail of the window touched {what}; {at_most}", columns, tuple(rows))


def open_points(facts: Facts) -> list[str]:
    """Give what stands in the way, each in a line."""
    obstacles = [facts.earliest_and_why if facts.is_early(x) else x for x in facts.obstacles]
    gates = [f"{name_of(x)}: {figure_of(x)} (asked for: {threshold_of(x)})" for x in facts.closed]
    return [*obstacles, *gates]
