"""The HTML form: whole, harmless, accessible, and in need of nothing from elsewhere."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from lxml import etree, html

from conftest import missing
from dmarcops.neutralise import defused, visible
from dmarcops.render.report import as_html
from render.cases import CASES, HOSTILE, fleet, hostile, many, usual, world

PAGES = [*CASES, "fleet"]


def page(case: str) -> str:
    return as_html(fleet() if case == "fleet" else CASES[case]())


def parsed(case: str) -> html.HtmlElement:
    return html.document_fromstring(page(case))


def text_of(root: html.HtmlElement) -> str:
    [body] = root.xpath("//body")
    return flat(body.text_content())


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("case", PAGES)
def test_nothing_is_taken_from_elsewhere(case: str) -> None:
    root = parsed(case)
    names = {str(element.tag) for element in root.iter() if isinstance(element.tag, str)}
    assert names & {"script", "link", "img", "image", "iframe", "object", "embed", "base", "form", "a", "use"} == set()
    attributes = {str(name) for element in root.iter() for name in element.attrib}
    assert attributes & {"src", "href", "xlink:href", "srcset", "action", "background"} == set()
    assert not any(name.startswith("on") for name in attributes)
    [style] = root.iter("style")
    assert not re.search(r"url\(|@import|expression", style.text_content())
    [policy] = root.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


@pytest.mark.parametrize("case", PAGES)
def test_page_can_be_read_without_eyes(case: str) -> None:
    root = parsed(case)
    assert root.get("lang") == "en"
    levels = [int(element.tag[1]) for element in root.iter("h1", "h2", "h3")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    for table in root.iter("table"):
        assert table.find("caption") is not None
        assert {head.get("scope") for head in table.iterfind("thead/tr/th")} == {"col"}
        assert all(head.get("scope") == "row" for head in table.iterfind("tbody/tr/th"))
    for svg in root.iter("svg"):
        if svg.get("aria-hidden") is None:
            assert svg.get("role") == "img"
            labels = [root.get_element_by_id(name) for name in svg.get("aria-labelledby").split()]
            assert all(label.text_content().strip() for label in labels)
    identifiers = root.xpath("//@id")
    assert len(identifiers) == len(set(identifiers))


def charts(case: str) -> Iterator[etree._Element]:
    for text in re.findall(r"<svg.*?</svg>", page(case), re.DOTALL):
        yield etree.fromstring(text.encode())


@pytest.mark.parametrize("case", PAGES)
def test_each_chart_is_xml_by_itself(case: str) -> None:
    for root in charts(case):
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        _, _, width, height = map(float, root.get("viewBox", "").split())
        for element in root.iter("{*}rect"):
            if element.getparent() is root:
                assert (
                    0
                    <= float(element.get("x", 0))
                    <= float(element.get("x", 0)) + float(element.get("width", 0))
                    <= width
                )
                assert float(element.get("y", 0)) + float(element.get("height", 0)) <= height


def test_usual_page_has_both_charts_with_axes() -> None:
    large = [root for root in charts("usual") if root.get("role") == "img"]
    assert [root.findtext("{*}title") for root in large] == [
        "Pass rate of acknowledged mail by day",
        "What receivers did, by day",
    ]
    for root in large:
        words = [str(element.text) for element in root.iter("{*}text")]
        assert "day (month-day, UTC)" in words
        assert {"aligned pass", "messages"} & set(words)
        assert "03-02" in words


def test_line_of_the_chart_stops_at_a_gap() -> None:
    [chart] = [root for root in charts("ready") if root.findtext("{*}title", "").startswith("Pass rate")]
    lines = [path for path in chart.iter("{*}path") if path.get("stroke-width") == "1.8"]
    assert len(lines) == 3
    assert all(path.get("d", "").count("M") == 1 for path in lines)


def test_hostile_text_is_read_and_nothing_else() -> None:
    """Each text stands there as a person reads it: one line, no markup, no formula, no control character."""
    text = flat(parsed("hostile").text_content())
    for each in HOSTILE:
        assert flat(visible(defused(each))) in text
    raw = as_html(hostile())
    assert visible(raw.replace("\n", "")) == raw.replace("\n", "")
    assert "<script" not in raw
    assert raw.count("</style>") == 1
    raw.encode()


def test_formula_is_none_in_any_cell() -> None:
    for cell in parsed("hostile").iter("td", "th", "bdi"):
        assert not re.match(r"\s*[=+\-@]", cell.text_content())


def test_all_that_people_named_is_there() -> None:
    text = flat(parsed("world").text_content())
    for source in world().evidence.sources:
        assert source.name in text
    assert "bücher.example" in text
    text = flat(parsed("many").text_content())
    assert all(source.name in text for source in many().evidence.sources)


def test_text_keeps_its_direction_to_itself() -> None:
    for name in ("דנה כהן", "خدمة البريد العربية"):
        holders = parsed("world").xpath(f"//text()[contains(., '{name}')]/..")
        assert holders
        assert {holder.tag for holder in holders} <= {"bdi"}


def test_same_report_gives_the_same_page() -> None:
    assert [as_html(usual()) for _ in range(2)] == [page("usual")] * 2


# In a browser.


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    return found


def browse(chromium: str, folder: Path, case: str, *options: str) -> str:
    source = folder / f"{case}.html"
    source.write_text(page(case), encoding="utf-8")
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile"]
    done = subprocess.run(
        [*command, *options, source.as_uri()], check=True, capture_output=True, text=True, timeout=120
    )
    return done.stdout


@pytest.mark.parametrize("case", ["usual", "hostile", "fleet"])
def test_browser_makes_the_same_of_the_page(chromium: str, tmp_path: Path, case: str) -> None:
    root = html.document_fromstring(browse(chromium, tmp_path, case, "--dump-dom"))
    assert text_of(root) == text_of(parsed(case))
    assert root.xpath("//script") == []


@pytest.mark.parametrize("case", ["usual", "long", "crowded"])
def test_browser_prints_nothing_outside_of_the_paper(chromium: str, tmp_path: Path, case: str) -> None:
    if shutil.which("pdftotext") is None:
        missing("pdftotext is not installed (Debian: apt-get install poppler-utils)")
    printed = tmp_path / "printed.pdf"
    browse(chromium, tmp_path, case, "--no-pdf-header-footer", f"--print-to-pdf={printed}")
    boxes = subprocess.run(["pdftotext", "-bbox", printed, "-"], check=True, capture_output=True, text=True).stdout
    assert boxes.count("<page") > 3
    for x_min, x_max in re.findall(r'<word xMin="([-0-9.]+)" yMin="[-0-9.]+" xMax="([-0-9.]+)"', boxes):
        assert 40 < float(x_min) < float(x_max) < 595 - 40
