"""Nothing of a report's text acts on a terminal or a spreadsheet."""

import csv
import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmarcops.neutralise import defused, visible

DANGEROUS_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}
ANY_TEXT = st.text(st.characters())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, [bold]markup[/bold] too", "plain text, [bold]markup[/bold] too"),
        ("Bücher für München", "Bücher für München"),
        ("漢字", "漢字"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("one\ntwo\rthree\tfour", "one\\ntwo\\rthree\\tfour"),
        ("\x00\x07\x7f\x9b", "\\x00\\x07\\x7f\\x9b"),
        ("user\u202egpj.exe", "user\\u202egpj.exe"),
        ("\u2066a\u2069\u200b\ufeff", "\\u2066a\\u2069\\u200b\\ufeff"),
        ("\U000e0041", "\\U000e0041"),
        ("name\udcff.eml", "name\\udcff.eml"),
    ],
)
def test_visible_shows_what_acts_on_a_terminal_and_leaves_the_rest(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(ANY_TEXT)
def test_visible_leaves_no_character_that_acts_whatever_the_text(text: str) -> None:
    assert not {char for char in visible(text) if unicodedata.category(char) in DANGEROUS_CATEGORIES - {"Cf"}}


@given(st.text(st.characters(categories=["Cc", "Cs", "Zl", "Zp"])))
def test_visible_drops_nothing_when_all_is_dangerous(text: str) -> None:
    assert visible(text).encode("ascii").decode("unicode_escape") == text


@given(ANY_TEXT)
def test_visible_changes_nothing_when_applied_again(text: str) -> None:
    assert visible(visible(text)) == visible(text)


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        " =1",
        '"=1',
        "'=1",
        "'\"-1",
        "\uff1d1",
        '=HYPERLINK("https://phish.example/","x")',
    ],
)
def test_defused_puts_an_apostrophe_before_what_could_be_a_formula(text: str) -> None:
    assert defused(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "a=1", "192.0.2.1", "example.com", "2026-11-24", '"quoted"', "3-4"])
def test_defused_leaves_alone_what_is_no_formula(text: str) -> None:
    assert defused(text) == text


@given(st.text(st.sampled_from("=+-@\t\r\n'\" ,;a1\uff0b")))
def test_defused_cell_never_begins_as_a_formula_when_read_back_from_csv(text: str) -> None:
    out = io.StringIO()
    csv.writer(out).writerow([defused(text), "end"])
    [[cell, end]] = csv.reader(io.StringIO(out.getvalue(), newline=""))
    assert end == "end"
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert not cell.lstrip(' "').startswith(("=", "+", "-", "@"))
