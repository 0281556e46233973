from dataclasses import replace

from dmarcops.policy.signoff_report import FleetReport, SignoffReport
from dmarcops.render.document import Code, Document, Listing, Section, Table, Text, Tone
from dmarcops.render.fleet import document
from dmarcops.render.wording import NOTHING
from render.cases import done, fleet, many, usual


def section(made: Document, heading: str) -> Section:
    return next(x for x in (*made.cover.sections, *made.sections) if x.heading == heading)


def rows(part: Section) -> list[tuple[str, ...]]:
    [table] = [block for block in part.blocks if isinstance(block, Table)]
    assert sum(column.width for column in table.columns) in (99, 100)
    return [tuple(cell.text for cell in row) for row in table.rows]


def test_first_page_sums_up() -> None:
    made = document(fleet())
    assert (made.subject, made.title, made.running) == (
        "Example Holding",
        "DMARC policies",
        "DMARC policies · Example Holding",
    )
    assert made.period == "7 domains: 2 March 2026 to 29 March 2026, 80,565 messages reported"
    verdict = made.cover.verdict
    assert (verdict.answer, verdict.tone) == ("Not yet", Tone.ASK)
    assert verdict.text == "1 of 7 domains are at the goal. 4 domains need work before the next step."
    assert [(x.value, x.note) for x in made.cover.figures] == [
        ("97.26%", "64,278 of 66,084 messages"),
        ("42", "by each domain's next step, or its last"),
        ("675", "and 84 of senders nobody has reviewed"),
    ]
    assert [row[:2] for row in rows(section(made, "How the domains stand"))] == [
        ("at its goal", "1"),
        ("on hold", "1"),
        ("blocked", "3"),
        ("to be signed", "1"),
        ("not known", "1"),
    ]
    assert rows(section(made, "What they publish")) == [
        ("none", "4"),
        ("reject", "1"),
        ("no record that can be used", "1"),
    ]


def test_domains_stand_by_brand_and_those_without_one_at_the_end() -> None:
    made = document(fleet())
    assert [(row[0], row[1]) for row in rows(section(made, "All domains"))] == [
        ("alpha.example", "Alpha Outdoor"),
        ("shop.example", "Alpha Outdoor"),
        ("beta.example", "Beta Foods"),
        ("news.beta.example", "Beta Foods"),
        ("xn--bcher-kva.example", "ガンマ書店"),
        ("old.example", NOTHING),
    ]
    assert [x.heading for x in made.sections if x.level == 2] == [
        "Brands",
        "All domains",
        "Alpha Outdoor",
        "Beta Foods",
        "ガンマ書店",
        "Domains without a brand",
        "Could not be looked at",
    ]
    assert rows(section(made, "Brands"))[:2] == [
        ("Alpha Outdoor", "2", "1", "0", "0", "0", "1", "0", "99.72%"),
        ("Beta Foods", "2", "0", "1", "0", "1", "0", "0", "92.64%"),
    ]


def test_each_domain_has_its_records_and_what_is_to_be_done() -> None:
    shop = section(document(fleet()), "shop.example")
    assert shop.level == 3
    text, now, following, todo, digest = shop.blocks
    assert text == Text(
        "Is the next step safe? Yes, once it is signed. The evidence supports the step: every condition is met."
    )
    assert isinstance(now, Code)
    assert isinstance(following, Code)
    assert (now.text, following.text) == (
        str(usual().proposal.record),
        "v=DMARC1; p=quarantine; t=y; rua=mailto:dmarc@example.com; ruf=mailto:forensics@example.com; adkim=s",
    )
    assert following.label == "Next, due since 19 March 2026"
    assert todo == Listing(("nobody has signed",))
    assert isinstance(digest, Code)
    statement = usual().proposal.statement
    assert statement is not None
    assert digest.text == statement.digest


def test_a_domain_is_counted_by_what_its_paragraph_says() -> None:
    made = document(fleet())
    text = section(made, "beta.example").blocks[0]
    assert isinstance(text, Text)
    assert "No. The step is not to be made." in text.text
    states = {row[0]: row[-1] for row in rows(section(made, "All domains"))}
    assert (states["beta.example"], states["news.beta.example"]) == ("blocked", "on hold")


def test_internationalized_domain_is_shown_in_both_spellings() -> None:
    made = document(fleet())
    assert section(made, "xn--bcher-kva.example").blocks[0].text.startswith("bücher.example: ")  # type: ignore[union-attr]


def test_domain_that_could_not_be_looked_at_is_told_with_the_reason() -> None:
    assert rows(section(document(fleet()), "Could not be looked at")) == [
        ("lost.example", "Beta Foods", "ns1.lost.example[192.0.2.1]:53: timeout for TXT _dmarc"),
    ]


def of(*reports: SignoffReport) -> Document:
    return document(FleetReport(reports=reports))


def test_fleet_at_its_goal_is_said_to_be() -> None:
    made = of(done(), replace(done(), brand="Other"))
    assert (made.cover.verdict.answer, made.cover.verdict.tone) == ("Yes", Tone.GOOD)
    assert made.cover.verdict.text == "2 of 2 domains are at the goal."
    assert (made.subject, made.running) == ("2 domains", "DMARC policies")


def test_fleet_that_only_waits_says_for_whom() -> None:
    made = of(usual(), done())
    assert made.cover.verdict.text.endswith("stands in the way of the others but time, people and signatures.")
    assert of(many()).cover.verdict.text.endswith("1 domain needs work before the next step.")


def test_empty_fleet_can_be_told() -> None:
    made = of()
    assert (made.subject, made.period) == ("0 domains", "no evidence")
    assert made.cover.verdict.answer == "No domain"
    assert made.cover.figures[0].value == NOTHING
