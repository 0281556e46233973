"""
The report of many domains as a document: a page that sums up, all domains in one table, then a part for each brand.

It shows what to do; the evidence of a domain is in the domain's own report. Does no I/O.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

from dmarcops.domains import u_labels
from dmarcops.policy.evidence import ratio, total
from dmarcops.policy.rungs import RungName, rung_of
from dmarcops.policy.signoff_report import FleetReport
from dmarcops.policy.stepper import Decision
from dmarcops.policy.what_if import Verdict
from dmarcops.render.cover import open_points
from dmarcops.render.document import (
    Block,
    Cell,
    Code,
    Column,
    Cover,
    Document,
    Figure,
    Listing,
    Section,
    Table,
    Text,
    Tone,
    notes,
)
from dmarcops.render.document import Verdict as Answer
from dmarcops.render.facts import Facts
from dmarcops.render.signoff import NAME
from dmarcops.render.wording import DECISIONS, NOTHING, RUNGS, count, long_date, percent, shortened, step_name

TITLE = "DMARC policies"
_NO_BRAND = "Domains without a brand"


def document(report: FleetReport) -> Document:
    """Give the document of a report."""
    facts = tuple(Facts(each) for each in report.by_brand())
    title = shortened(report.title or TITLE, NAME)
    subject = count(len(facts) + len(report.unknown), "domain")
    return Document(
        title=title,
        subject=report.brand or subject,
        period=f"{subject}: {_period(facts)}" if report.brand else _period(facts),
        running=f"{title} \N{MIDDLE DOT} {shortened(report.brand, NAME)}" if report.brand else title,
        cover=_cover(facts, report),
        sections=tuple(_sections(facts, report)),
    )


def _period(facts: Sequence[Facts]) -> str:
    windows = [x.report.evidence.window for x in facts]
    if not windows:
        return "no evidence"
    begin, end = min(window.begin for window in windows), max(window.end for window in windows)
    messages = sum(day.messages for x in facts for day in x.report.evidence.daily)
    return f"{long_date(begin)} to {long_date(end)}, {count(messages, 'message')} reported"


# The first page.


def _cover(facts: Sequence[Facts], report: FleetReport) -> Cover:
    return Cover(
        verdict=_answer(facts, report),
        figures=_figures(facts),
        sections=(
            Section("How the domains stand", (_by_decision(facts, report),)),
            Section("What they publish", (_by_rung(facts),)),
        ),
    )


def _answer(facts: Sequence[Facts], report: FleetReport) -> Answer:
    question = "Are the domains where they should be?"
    decisions = Counter(x.state for x in facts)
    done, whole = decisions[Decision.DONE], len(facts) + len(report.unknown)
    if not whole:
        return Answer(question, "No domain", Tone.ASK, "There is no domain to tell of.")
    blocked = decisions[Decision.BLOCKED] + len(report.unknown)
    text = f"{done:,} of {count(whole, 'domain is', 'domains are')} at the goal."
    if blocked:
        text += f" {count(blocked, 'domain needs', 'domains need')} work before the next step."
    elif done < whole:
        text += " Nothing that was found stands in the way of the others but time, people and signatures."
    answer, tone = ("Yes", Tone.GOOD) if done == whole else ("Not yet", Tone.ASK)
    return Answer(question, answer, tone, text)


def _figures(facts: Sequence[Facts]) -> tuple[Figure, ...]:
    whole = total(x.report.evidence.acknowledged for x in facts)
    stopped, unknown = (sum(x.touched(verdict) for x in facts) for verdict in (Verdict.SPOOF, Verdict.UNKNOWN))
    at_stake = sum(x.touched(Verdict.LEGITIMATE_FAILING) for x in facts)
    return (
        Figure(
            percent(ratio(whole.passed, whole.messages)),
            "of acknowledged mail passes",
            f"{whole.passed:,} of {count(whole.messages, 'message')}",
        ),
        Figure(f"{at_stake:,}", "legitimate messages at stake", "by each domain's next step, or its last"),
        Figure(f"{stopped:,}", "messages of denied senders", f"and {unknown:,} of senders nobody has reviewed"),
    )


_MEANT = {
    Decision.DONE: "The schedule has no further step.",
    Decision.READY: "The next step can be made.",
    Decision.UNSIGNED: "The evidence supports the next step; a signature is missing.",
    Decision.WAIT: "It is not the time yet.",
    Decision.HELD: "A person has put it on hold.",
    Decision.BLOCKED: "Something has to be put right first.",
}


def _by_decision(facts: Sequence[Facts], report: FleetReport) -> Table:
    decisions = Counter(x.state for x in facts)
    rows = [
        (Cell(DECISIONS[x][0], tone=DECISIONS[x][1]), Cell(f"{decisions[x]:,}"), Cell(_MEANT[x]))
        for x in Decision
        if decisions[x]
    ]
    if report.unknown:
        unknown = f"{len(report.unknown):,}"
        rows.append((Cell("not known", tone=Tone.BAD), Cell(unknown), Cell("It could not be looked at.")))
    columns = (Column("State", 22), Column("Domains", 14, is_number=True), Column("What it means", 64))
    return Table("Domains by state", columns, tuple(rows))


def _by_rung(facts: Sequence[Facts]) -> Table:
    rungs = Counter(rung.name if (rung := rung_of(x.record)) else None for x in facts)
    rows = [(Cell(RUNGS[x]), Cell(f"{rungs[x]:,}")) for x in RungName if rungs[x]]
    if rungs[None]:
        rows.append((Cell("no record that can be used"), Cell(f"{rungs[None]:,}")))
    columns = (Column("Policy", 50), Column("Domains", 50, is_number=True))
    return Table("Domains by the policy that is published", columns, tuple(rows))


# All domains, and each.


def _sections(facts: Sequence[Facts], report: FleetReport) -> Iterator[Section]:
    yield Section("Brands", (_by_brand(facts),))
    yield Section("All domains", (_all(facts),))
    for brand, of_brand in groupby(facts, key=lambda x: x.report.brand):
        for at, each in enumerate(of_brand):
            if not at:
                yield Section(brand or _NO_BRAND, ())
            yield Section(each.report.domain, tuple(_domain(each)), level=3)
    if report.unknown:
        columns = (Column("Domain", 30), Column("Brand", 20), Column("Why", 50))
        unknown = sorted(report.unknown, key=lambda x: (x.brand, x.domain))
        rows = tuple(
            (Cell(x.domain, notes(u_labels(x.domain))), Cell(x.brand or NOTHING), Cell(x.reason)) for x in unknown
        )
        yield Section("Could not be looked at", (Table("Domains that nothing can be said about", columns, rows),))


def _by_brand(facts: Sequence[Facts]) -> Table:
    rows = []
    for brand, each in groupby(facts, key=lambda x: x.report.brand):
        of_brand = list(each)
        decisions = Counter(x.state for x in of_brand)
        whole = total(x.report.evidence.acknowledged for x in of_brand)
        cells = (Cell(f"{decisions[x]:,}") for x in Decision)
        passes = Cell(percent(ratio(whole.passed, whole.messages)))
        rows.append((Cell(brand or _NO_BRAND), Cell(f"{len(of_brand):,}"), *cells, passes))
    columns = (
        Column("Brand", 25),
        Column("Domains", 11, is_number=True),
        *(Column(DECISIONS[x][0], 9, is_number=True) for x in Decision),
        Column("Passes", 10, is_number=True),
    )
    return Table("Domains by brand and state, and the share of acknowledged mail that passes", columns, tuple(rows))


def _all(facts: Sequence[Facts]) -> Table:
    columns = (
        Column("Domain", 27),
        Column("Brand", 14),
        Column("Now", 12),
        Column("Next", 16),
        Column("Passes", 9, is_number=True),
        Column("At stake", 9, is_number=True),
        Column("State", 13),
    )
    caption = "At stake: legitimate messages that the next step would touch; at its goal, that the policy touches"
    return Table(caption, columns, tuple(_row(x) for x in facts), "There is no domain to tell of.")


def _row(facts: Facts) -> tuple[Cell, ...]:
    whole, now, following = facts.report.evidence.acknowledged, rung_of(facts.record), facts.report.proposal.next
    word, tone = DECISIONS[facts.state]
    return (
        Cell(facts.report.domain, notes(u_labels(facts.report.domain))),
        Cell(facts.report.brand or NOTHING),
        Cell(RUNGS[now.name] if now else "no record"),
        Cell(step_name(following.step), (f"{following.not_before:%Y-%m-%d}",)) if following else Cell(NOTHING),
        Cell(percent(ratio(whole.passed, whole.messages)), (f"of {whole.messages:,}",)),
        Cell(f"{facts.touched(Verdict.LEGITIMATE_FAILING):,}" if facts.price else NOTHING),
        Cell(word, tone=tone),
    )


def _domain(facts: Facts) -> Iterator[Block]:
    also = u_labels(facts.report.domain)
    answer = facts.answer
    yield Text(f"{also + ': ' if also else ''}{answer.question} {answer.answer}. {answer.text}")
    if str(facts.record):
        yield Code("Now", str(facts.record))
    if facts.record_next is not None:
        yield Code(f"Next, {facts.earliest}", str(facts.record_next))
    points = open_points(facts)
    if points and not facts.is_done:
        yield Listing(tuple(points))
    if facts.digest:
        yield Code("Digest", facts.digest)
