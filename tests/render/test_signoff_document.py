"""What the report of a domain says, whatever form it has."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

import pytest

from dmarcops.policy.evidence import Evidence
from dmarcops.policy.record import parse_record
from dmarcops.policy.rules import Freeze, Rules
from dmarcops.policy.signoff import SigningRules, Signoff
from dmarcops.policy.signoff_report import SignoffReport
from dmarcops.policy.stepper import Decision, propose
from dmarcops.render.charts import Chart
from dmarcops.render.document import Block, Cell, Code, Column, Document, Listing, Section, Table, Text, Tone, Verdict
from dmarcops.render.facts import Facts
from dmarcops.render.signoff import document
from dmarcops.render.wording import NOTHING
from policy.mailstream import GOOD, NOW, evidence
from render.cases import (
    CASES,
    HOSTILE,
    LONG,
    NONE,
    WORDS,
    blocked,
    crowded,
    done,
    empty,
    many,
    of,
    ready,
    report,
    usual,
    usual_mail,
    world,
)


def section(made: Document, heading: str) -> Section:
    return next(x for x in (*made.cover.sections, *made.sections) if x.heading == heading)


def tables(part: Section) -> list[Table]:
    return [block for block in part.blocks if isinstance(block, Table)]


def texts(table: Table) -> list[tuple[str, ...]]:
    return [tuple(cell.text for cell in row) for row in table.rows]


def every_table(made: Document) -> Iterator[Table]:
    for part in (*made.cover.sections, *made.sections):
        yield from tables(part)


def good(**changes: object) -> Evidence:
    return evidence(usual_mail(), words=WORDS, context=replace(GOOD, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("case", CASES)
def test_every_table_is_whole(case: str) -> None:
    for table in every_table(document(CASES[case]())):
        assert sum(column.width for column in table.columns) in (99, 100), table.caption
        assert {len(row) for row in table.rows} <= {len(table.columns)}, table.caption


def test_sections_are_in_their_order() -> None:
    made = document(usual())
    assert [x.heading for x in made.cover.sections] == [
        "What the step is",
        "What would have been touched",
        "What stands in the way",
    ]
    assert [x.heading for x in made.sections] == [
        "The record",
        "Schedule",
        "Conditions",
        "What would have been touched, by source",
        "The price of every rung",
        "Mail over time",
        "Sources",
        "Reporters",
        "Open findings",
        "DKIM keys of the domain",
        "What was done so far",
        "Signatures and digest",
    ]


# The first page.


SAFE, AT_GOAL = "Is the next step safe?", "Is the domain where it should be?"
EVERY = "The evidence supports the step: every condition is met."


@pytest.mark.parametrize(
    ("case", "verdict"),
    [
        ("usual", Verdict(SAFE, "Yes, once it is signed", Tone.GOOD, EVERY)),
        ("ready", Verdict(SAFE, "Yes", Tone.GOOD, f"{EVERY} Nothing else is asked for.")),
        ("held", Verdict(SAFE, "On hold", Tone.ASK, f"{EVERY} A person has put the domain on hold.")),
        ("blocked", Verdict(SAFE, "No", Tone.BAD, "The step is not to be made. 8 of 13 conditions are not met.")),
        ("world", Verdict(SAFE, "No", Tone.BAD, "The step is not to be made. 1 of 12 conditions is not met.")),
        ("done", Verdict(AT_GOAL, "Yes", Tone.GOOD, "There is no further step: the schedule ends at reject.")),
    ],
)
def test_first_page_answers_in_plain_words(case: str, verdict: Verdict) -> None:
    assert document(CASES[case]()).cover.verdict == verdict


def test_time_alone_is_said_to_be_missing() -> None:
    found = good(since=NOW - timedelta(days=5))
    made = document(report(found))
    assert made.cover.verdict.answer == "Not yet"
    assert made.cover.verdict.text.endswith("It is not the time yet.")
    [listing] = section(made, "What stands in the way").blocks
    assert listing == Listing(("not before 23 April 2026", "nobody has signed"))


def test_obstacle_beside_the_gates_is_not_said_to_be_safe() -> None:
    made = usual()
    reasons = ("somebody else changed the record",)
    foreign = replace(made, proposal=replace(made.proposal, decision=Decision.BLOCKED, reasons=reasons))
    verdict = document(foreign).cover.verdict
    assert (verdict.answer, verdict.tone) == ("No", Tone.BAD)
    assert verdict.text.endswith("Something else stands in the way.")


def test_record_that_cannot_be_changed_is_not_said_to_be_safe() -> None:
    found = good()
    made = document(report(found, of(found, record="v=DMARC1; p=none; rua=mailto:a@example.com; sp=none; sp=none")))
    assert made.cover.verdict.answer == "No"
    assert "record-not-valid" in section(made, "What stands in the way").blocks[0].items[0]  # type: ignore[union-attr]
    assert made.digest == ""
    assert made.cover.signatures == ()


def test_three_figures_say_what_is_at_stake() -> None:
    assert [(x.value, x.label, x.note) for x in document(usual()).cover.figures] == [
        ("99.72%", "of acknowledged mail passes", "15,378 of 15,420 messages; 98% is asked for"),
        ("0", "legitimate messages the next step would touch", "up to 42 at receivers that read the policy alone"),
        ("0", "messages of denied senders it would touch", "and none of senders nobody has reviewed"),
    ]
    assert [(x.value, x.label, x.note) for x in document(done()).cover.figures][1:] == [
        ("42", "legitimate messages the policy touches", "at any receiver"),
        ("675", "messages of denied senders it touches", "and 84 of senders nobody has reviewed"),
    ]


def test_without_mail_no_figure_is_told() -> None:
    figures = document(empty()).cover.figures
    assert [x.value for x in figures] == [NOTHING] * 3
    assert {x.note for x in figures[1:]} == {"there is nothing to tell it by"}


def test_ladder_shows_where_the_domain_is() -> None:
    assert [(x.name, x.note, x.place) for x in document(usual()).cover.ladder] == [
        ("none", "since 19 February 2026", "now"),
        ("quarantine, test mode", "due since 19 March 2026", "next"),
        ("quarantine", "later", "later"),
        ("reject", "later", "later"),
    ]
    assert [x.place for x in document(done()).cover.ladder] == ["done", "done", "done", "now"]
    assert [x.place for x in document(empty()).cover.ladder] == ["next", "later", "later", "later"]


def test_long_ladder_shows_the_steps_around_the_next() -> None:
    made = crowded()
    assert len(made.proposal.rules.steps()) == 12
    assert [(x.name, x.place) for x in document(made).cover.ladder] == [
        ("quarantine, 30%", "done"),
        ("quarantine, 40%", "done"),
        ("quarantine, 50%", "now"),
        ("quarantine, 60%", "next"),
        ("quarantine, 70%", "later"),
        ("quarantine, 80%", "later"),
        ("quarantine, 90%", "later"),
    ]


def test_first_page_names_some_obstacles_and_counts_the_rest() -> None:
    [listing] = section(document(blocked()), "What stands in the way").blocks
    assert listing == Listing(
        (
            "not before 28 April 2026: since when the published record stands is not known",
            "nobody has signed",
            "DKIM rotations in flight: 1 (asked for: none)",
            "Complaints about the domain's mail: 0.4% (asked for: at most 0.3%)",
            "6 more. The rest is under open findings.",
        )
    )


def test_findings_have_every_reason_in_full() -> None:
    made = blocked()
    [table] = tables(section(document(made), "Open findings"))
    obstacles = [row[1].text for row in table.rows if row[0].text == "obstacle"]
    assert tuple(obstacles) == made.proposal.reasons


def step_in_words(record: str) -> Block:
    found = good()
    made = document(report(found, of(found, record=NONE.replace("p=none", record))))
    [told] = made.cover.sections[0].blocks
    return told


def test_step_is_told_in_words() -> None:
    assert step_in_words("p=none") == Text(
        "The policy published now is none. The next is quarantine, test mode, due since 19 March 2026. Mail in the name"
        " of this domain that fails the check is then to be treated as suspicious, which is the spam folder as a rule,"
        " and one level less by receivers that know the test mode."
    )
    assert step_in_words("p=quarantine") == Text(
        "The policy published now is quarantine. The next is reject, not before 2 April 2026. Mail in the name of this"
        " domain that fails the check is then to be refused."
    )
    assert step_in_words("p=reject") == Text(
        "The policy published now is reject. Mail in the name of this domain that fails the check is refused."
    )
    assert "where the share is read for 60 of 100 messages." in str(document(crowded()).cover.sections[0].blocks)


def test_signature_lines_are_for_all_who_have_to_sign() -> None:
    found = good()
    two = Rules(signing=SigningRules(signers=2))

    def lines(*signers: str, rules: Rules = two) -> list[tuple[str, str]]:
        made = document(report(found, of(found, rules=rules, signers=signers)))
        assert {x.digest for x in made.cover.signatures} <= {made.digest}
        return [(x.name, x.date) for x in made.cover.signatures]

    assert lines() == [("", ""), ("", "")]
    assert lines("Kim") == [("Kim", "2026-03-31"), ("", "")]
    assert lines("Kim", "Robin") == [("Kim", "2026-03-31"), ("Robin", "2026-03-31")]
    assert lines(rules=Rules(require_signature=False)) == []


def test_signature_that_holds_over_other_evidence_is_shown_with_its_digest() -> None:
    before = good()
    signed = of(before, signers=["Kim"]).signoff
    assert signed is not None
    now = evidence([*usual_mail(), *usual_mail()[:1]], words=WORDS)
    made = document(report(now, propose(parse_record(NONE), now, Rules(), NOW, signoff=signed)))
    assert made.digest != signed.statement.digest
    [line] = made.cover.signatures
    assert (line.name, line.digest) == ("Kim", signed.statement.digest)
    [table] = tables(section(made, "Signatures and digest"))
    assert table.rows[0][3] == Cell("holds", (f"of the digest {signed.statement.digest}",), Tone.GOOD)


def test_signature_that_lapsed_leaves_an_empty_line() -> None:
    before = good()
    signed = of(before, signers=["Kim"]).signoff
    now = good(since=None)
    record = parse_record(f"{NONE}; fo=1")
    made = document(report(now, propose(record, now, Rules(), NOW, signoff=signed)))
    assert [x.name for x in made.cover.signatures] == [""]
    [table] = tables(section(made, "Signatures and digest"))
    assert (table.rows[0][0].text, table.rows[0][3].text) == ("Kim", "does not suffice")


def test_signature_that_expired_is_no_line_that_is_filled_in() -> None:
    found = good()
    signed = of(found, signers=["Kim"]).signoff
    rules = Rules(signing=SigningRules(signers=2, valid_for=timedelta(hours=1)))
    made = document(report(found, propose(parse_record(NONE), found, rules, NOW, signoff=signed)))
    assert [x.name for x in made.cover.signatures] == ["", ""]
    [table] = tables(section(made, "Signatures and digest"))
    assert (table.rows[0][0].text, table.rows[0][3]) == ("Kim", Cell("has expired", tone=Tone.ASK))


def test_changed_signature_is_not_to_be_trusted() -> None:
    found = good()
    signed = of(found, signers=["Kim"]).signoff
    assert signed is not None
    forged = Signoff(signed.statement, (replace(signed.signatures[0], by="Robin"),))
    part = section(
        document(report(found, propose(parse_record(NONE), found, Rules(), NOW, signoff=forged))),
        "Signatures and digest",
    )
    assert tables(part)[0].rows[0][3] == Cell("not to be trusted", tone=Tone.BAD)
    assert Listing(("the signature of Robin was changed",)) in part.blocks


# The evidence.


def test_records_are_compared_tag_by_tag() -> None:
    found = good()
    record = "v=DMARC1; p=quarantine; t=y; pct=0; sp=none; rua=mailto:a@example.com; odd"
    published = "v=DMARC1; p=quarantine; t=y; pct=0; sp=none; rua=mailto:a@example.com; x=1"
    [table, *_] = tables(section(document(report(found, of(found, record=published))), "The record"))
    assert texts(table) == [
        ("v", "DMARC1", "DMARC1", "as it is", "version"),
        ("p", "quarantine", "quarantine", "as it is", "what is asked for mail of the domain that fails"),
        ("sp", "none", "none", "as it is", "the same for its subdomains; absent: as p"),
        ("np", NOTHING, "reject", "added", "the same for subdomains that do not exist; absent: as sp"),
        ("rua", "mailto:a@example.com", "mailto:a@example.com", "as it is", "where aggregate reports go"),
        ("x", "1", "1", "as it is", "no tag that is known: left as it is"),
        ("t", "y", NOTHING, "taken out", "test mode: y asks to act one level below; absent: n"),
        ("pct", "0", NOTHING, "taken out", "share of the mail, for old receivers; absent: 100"),
    ]
    [alone, *_] = tables(section(document(report(found, of(found, record=record))), "The record"))
    assert alone.columns[1] == Column("Now", 50, is_code=True)
    assert texts(alone)[-1] == ("not a tag", " odd", "no tag that is known: left as it is")


def test_tag_that_stands_twice_is_shown_twice() -> None:
    found = good()
    record = "v=DMARC1; p=none; rua=mailto:a@example.com; sp=none; sp=reject"
    [table, *_] = tables(section(document(report(found, of(found, record=record))), "The record"))
    assert [row[1] for row in texts(table) if row[0] == "sp"] == ["none", "reject"]


def test_policy_is_told_for_all_names_and_receivers() -> None:
    found = good()
    record = NONE.replace("p=none", "p=quarantine; t=y; sp=none")
    part = section(document(report(found, of(found, record=record))), "The record")
    _, asked, effects = tables(part)
    assert texts(asked) == [
        ("The domain itself", "quarantine", "quarantine"),
        ("Its subdomains", "none", "none"),
        ("Subdomains that do not exist", "none", "reject"),
    ]
    assert [row[1:] for row in texts(effects)] == [("none", "quarantine"), *[("quarantine", "quarantine")] * 3]
    _, asked, effects = tables(section(document(empty()), "The record"))
    assert {row[1:] for row in texts(asked)} == {("no DMARC", NOTHING)}
    assert section(document(empty()), "The record").blocks[0] == Text("Nothing is published at _dmarc.example.com.")


def test_schedule_is_dated_from_the_report_on() -> None:
    """A step that was due long ago is made now at the earliest, and all others after it."""
    [table] = tables(section(document(usual()), "Schedule"))
    assert [row[:4] for row in texts(table)] == [
        ("none", "now", "since 19 February 2026", "4 weeks"),
        ("quarantine, test mode", "next", "2026-03-31", "2 weeks"),
        ("quarantine", "later", "2026-04-14", "6 weeks"),
        ("reject", "later", "2026-05-26", "stays"),
    ]
    assert texts(table)[2][4] == "v=DMARC1; p=quarantine; np=reject"


def test_freezes_move_the_dates_and_are_told() -> None:
    found = good()
    rules = Rules(freezes=(Freeze(date(2026, 4, 10), date(2026, 4, 20), "spring sale"),))
    part = section(document(report(found, of(found, rules=rules))), "Schedule")
    assert [row[2] for row in texts(tables(part)[0])][1:] == ["2026-03-31", "2026-04-21", "2026-06-02"]
    assert part.blocks[-1] == Listing(("No step from 2026-04-10 to 2026-04-20: spring sale",))


def test_each_gate_has_figure_threshold_and_verdict() -> None:
    made = blocked()
    [table] = tables(section(document(made), "Conditions"))
    assert [row[0].notes[0] for row in table.rows] == [gate.name for gate in made.proposal.gates]
    assert [row[3].text for row in table.rows] == ["met" if gate.ok else "not met" for gate in made.proposal.gates]
    assert [row[4].text for row in table.rows] == [gate.detail for gate in made.proposal.gates]
    rate = next(row for row in table.rows if row[0].notes == ("min_pass_rate",))
    assert [cell.text for cell in rate[:3]] == ["Acknowledged mail that passes", "78.94%", "at least 98%"]


def test_touched_mail_is_told_by_source() -> None:
    [table] = tables(section(document(blocked()), "What would have been touched, by source"))
    assert [(row[0].text, row[0].notes, row[1].text, row[3].text, row[5].text) for row in table.rows] == [
        ("Esp", ("198.51.100.1",), "1,680", "1,680", "legitimate, fails"),
        ("cheap.example", ("198.18.0.9",), "1,620", "1,620", "denied"),
        ("vendor.example", ("198.51.100.77",), "1,008", "1,008", "to be reviewed"),
    ]
    assert (table.rows[1][4].text, table.rows[1][4].notes) == ("2026-03-12", ("2026-03-29",))


def test_price_of_each_rung_is_told_by_verdict_and_receiver() -> None:
    made = many()
    by_verdict, by_receiver = tables(section(document(made), "The price of every rung"))
    assert len(by_verdict.rows) == len(by_receiver.rows) == len(made.prices) == 7
    for row, again, price in zip(texts(by_verdict), texts(by_receiver), made.prices, strict=True):
        numbers = [int(text.replace(",", "")) for text in row[1:]]
        assert sum(numbers[:3]) == numbers[3] == price.affected()
        assert int(again[1].replace(",", "")) == numbers[3]


def test_charts_and_days_are_shown_and_days_around_a_change_told() -> None:
    made = ready()
    left_out = (date(2026, 3, 9), date(2026, 3, 10))
    found = replace(made.evidence, window=replace(made.evidence.window, left_out=left_out))
    part = section(document(replace(made, evidence=found)), "Mail over time")
    assert [block.name for block in part.blocks if isinstance(block, Chart)] == ["pass-rate", "dispositions"]
    assert any(isinstance(x, Text) and x.text.endswith("2026-03-09, 2026-03-10.") for x in part.blocks)
    [table] = tables(part)
    assert len(table.rows) == 24
    assert texts(table)[0] == ("2026-03-02", "567", "552", "99.45%", "none 567")


def test_all_sources_are_there_with_what_was_said_of_them() -> None:
    made = many()
    [table] = tables(section(document(made), "Sources"))
    assert len(table.rows) == len(made.evidence.sources) == 106
    names = {row[0].text: row for row in table.rows}
    assert names["cheap.example"][1] == Cell("denied", ("kim", "2026-03-01"), Tone.BAD)
    assert names["club.example"][1] == Cell("mailing list")
    assert names["sender-95.example"][1] == Cell("not reviewed", ("to be reviewed",), Tone.ASK)
    assert names["sender-59.example"][0].notes == ("198.18.59.0, 198.18.59.1, 198.18.59.10, 198.18.59.11 and 8 more",)


def test_internationalized_names_stand_beside_their_a_labels() -> None:
    made = document(world())
    assert (made.subject, made.also) == ("xn--fsqu00a.xn--0zwm56d", "例子.测试")
    [table] = tables(section(made, "Sources"))
    assert table.rows[-1][0] == Cell("xn--bcher-kva.example", ("bücher.example", "203.0.113.41"))


def test_silent_reporter_is_told() -> None:
    [table] = tables(section(document(blocked()), "Reporters"))
    states = {row[0].text: (row[5].text, row[5].notes) for row in table.rows}
    assert states["gone.example"] == ("silent", ("since 2026-03-15",))
    assert states["large.example"] == ("usual", ())


def test_findings_are_those_of_both_records_the_rules_and_the_flow() -> None:
    [table] = tables(section(document(blocked()), "Open findings"))
    found = [(row[0].text, row[1].text, row[2].text) for row in table.rows if row[0].text != "obstacle"]
    assert ("note", "pct is historic: new receivers ignore it", "the published record: pct-historic") in found
    assert [x[2] for x in found if x[2].startswith("the next")] == ["the next record: t-unread"]
    assert found[-2:] == [
        ("warning", "ns2.example.com did not answer", ""),
        ("warning", "the key of esp1 has 1024 bits", ""),
    ]
    [table] = tables(section(document(replace(done(), remarks=())), "Open findings"))
    assert "obstacle" not in {row[0].text for row in table.rows}


def test_keys_steps_and_history_are_told() -> None:
    made = document(usual())
    [keys] = tables(section(made, "DKIM keys of the domain"))
    assert texts(keys)[2] == ("esp1", "rsa, 1024 bits", "not ours", "seen in reports; short")
    [steps] = tables(section(made, "What was done so far"))
    assert texts(steps) == [("2026-02-19 12:00 UTC", "adopt", "v=DMARC1; p=none", NONE, "Kim Example")]
    assert section(made, "What was done so far").blocks[1] == Listing(usual().history, "Nothing else is noted.")  # type: ignore[arg-type]


def test_digest_is_told_with_what_it_is_over() -> None:
    made = usual()
    assert made.proposal.statement is not None
    part = section(document(made), "Signatures and digest")
    assert Code("Digest (SHA-256)", made.proposal.statement.digest) in part.blocks
    [asked] = [x.text for x in part.blocks if isinstance(x, Text) and "asked for" in x.text]
    assert asked == (
        "1 signature is asked for. A signature holds for 2 weeks, and lapses before that when a rate moves by more than"
        " 1%, or the mail doubles or halves."
    )


def test_report_that_has_nothing_to_sign_says_so() -> None:
    assert Text("There is nothing to sign.") in section(document(done()), "Signatures and digest").blocks
    found = good()
    made = document(report(found, of(found, rules=Rules(require_signature=False))))
    assert Text("No signature is asked for.") in section(made, "Signatures and digest").blocks


def test_names_that_are_too_long_for_a_head_are_shortened_there_alone() -> None:
    made = document(crowded())
    assert made.subject == LONG
    assert len(made.running) < 130
    assert made.running.endswith(".example")
    assert len(made.brand) == len(made.title) == 60


def test_obstacle_of_a_closed_gate_is_told_once() -> None:
    assert Facts(done()).earliest == ""
    facts = Facts(blocked())
    assert facts.obstacles == (
        "not before 2026-04-28T12:00:00+00:00: since when the published record stands is not known",
        "nobody has signed",
    )
    assert len(facts.closed) == 8


def test_title_and_brand_of_the_owner_stand_above() -> None:
    made: SignoffReport = replace(usual(), title="Quarterly review", brand="ACME")
    shown = document(made)
    assert (shown.title, shown.brand, shown.running) == ("Quarterly review", "ACME", "Quarterly review · example.com")
    assert HOSTILE[1] == document(CASES["hostile"]()).title
