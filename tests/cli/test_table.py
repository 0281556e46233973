"""The table, on a terminal and in a pipe."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from dmarcops.cli.table import BLOCK_ROWS, WIDEST_ELSEWHERE, lines_of, text_of

NAMES = ("source_ip", "mail_count", "failure", "first_day")
ROWS = (
    ("192.0.2.1", 1234567, "dkim-fail, spf-unaligned", date(2026, 11, 1)),
    ("2001:db8::1", 5, None, date(2026, 11, 2)),
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "yes"),
        (False, "no"),
        (1234567, "1,234,567"),
        (-1234, "-1,234"),
        (0.12345, "12.3%"),
        (date(2026, 11, 24), "2026-11-24"),
        (datetime(2026, 11, 24, 20, 43, 1, tzinfo=UTC), "2026-11-24 20:43"),
        ("[red]a[/red]\x1b[31mb", "[red]a[/red]\\x1b[31mb"),
    ],
)
def test_text_of_each_kind_of_value(value: object, text: str) -> None:
    assert text_of(value) == text


def test_lines_of_are_one_a_row_when_the_output_is_no_terminal() -> None:
    assert list(lines_of(NAMES, ROWS, width=None)) == [
        "source_ip    mail_count  failure                   first_day",
        "-----------  ----------  ------------------------  ----------",
        "192.0.2.1     1,234,567  dkim-fail, spf-unaligned  2026-11-01",
        "2001:db8::1           5                            2026-11-02",
    ]


def test_lines_of_wrap_at_blanks_when_the_terminal_is_narrow() -> None:
    assert list(lines_of(NAMES, ROWS, width=50)) == [
        "source_ip    mail_count  failure        first_day",
        "-----------  ----------  -------------  ----------",
        "192.0.2.1     1,234,567  dkim-fail,     2026-11-01",
        "                         spf-unaligned",
        "2001:db8::1           5                 2026-11-02",
    ]


def test_lines_of_put_columns_below_their_row_when_the_terminal_is_too_narrow() -> None:
    assert list(lines_of(NAMES, ROWS, width=38)) == [
        "source_ip    mail_count  failure",
        "-----------  ----------  -------------",
        "192.0.2.1     1,234,567  dkim-fail,",
        "                         spf-unaligned",
        "    first_day: 2026-11-01",
        "2001:db8::1           5",
        "    first_day: 2026-11-02",
    ]


def test_lines_of_give_nothing_below_when_the_values_there_are_unknown() -> None:
    assert list(lines_of(("a", "b" * 30), [("1", None)], width=20)) == ["a", "-", "1"]


def test_lines_of_keep_to_the_width_of_wide_characters() -> None:
    assert list(lines_of(("org_name",), [("漢字漢字漢字",)], width=8)) == ["org_name", "--------", "漢字漢字", "漢字"]


def test_lines_of_fold_a_text_that_is_beyond_measure_when_the_output_is_no_terminal() -> None:
    *_, first, second = lines_of(("comment",), [("x" * (WIDEST_ELSEWHERE + 1),)], width=None)
    assert (first, second) == ("x" * WIDEST_ELSEWHERE, "x")


def test_lines_of_keep_their_head_when_a_later_block_is_wider() -> None:
    rows = [("a", 1)] * BLOCK_ROWS + [("a long name", 2)]
    lines = list(lines_of(("name", "count"), rows, width=80))
    assert len(lines) == 2 + len(rows)
    assert lines[0] == "name  count"
    assert lines[-1] == "a long name      2"


def test_lines_of_show_the_head_again_when_a_later_block_has_other_columns() -> None:
    rows = [("a", 1)] * BLOCK_ROWS + [("a-very-long-name", 2)]
    lines = list(lines_of(("name", "count"), rows, width=20))
    assert lines[-4:] == ["name", "----------------", "a-very-long-name", "    count: 2"]


def test_lines_of_nothing_are_none() -> None:
    assert list(lines_of(NAMES, [], width=80)) == []


VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(0, 1), st.dates(), st.text(max_size=80))


@given(st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=5), st.integers(8, 100))
def test_lines_of_fit_the_terminal_whatever_the_values(rows: list[tuple[object, ...]], width: int) -> None:
    lines = list(lines_of(("first", "second", "third"), rows, width=width))
    assert max(cell_len(line) for line in lines) <= width
    assert all("\n" not in line and "\x1b" not in line for line in lines)


@given(st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=5), st.integers(8, 100))
def test_lines_of_cut_nothing_but_blanks_whatever_the_values(rows: list[tuple[object, ...]], width: int) -> None:
    printed = "".join(lines_of(("first", "second", "third"), rows, width=width))
    wanted = sorted(char for row in rows for value in row for char in text_of(value) if not char.isspace())
    missing = sorted(printed)
    for char in wanted:
        missing.remove(char)  # raises when the table has it fewer times than the values do
