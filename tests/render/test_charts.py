from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmarcops.policy.evidence import Day, Evidence
from dmarcops.policy.window import Window
from dmarcops.render.charts import Chart, dispositions, pass_rate
from policy.mailstream import evidence

BEGIN = date(2026, 3, 2)
EMPTY = evidence()


def of(days: Sequence[Day], length: int = 28) -> Evidence:
    window = Window(BEGIN, BEGIN + timedelta(days=length - 1))
    return replace(EMPTY, window=window, daily=tuple(days))


def day(at: int, acknowledged: int = 100, passed: int = 100, **kinds: int) -> Day:
    messages = max(acknowledged, sum(kinds.values()))
    return Day(BEGIN + timedelta(days=at), messages, kinds, acknowledged, passed)


def points(chart: Chart) -> Iterator[tuple[float, float]]:
    for line in chart.lines:
        yield from line
    for box in (*chart.boxes, *chart.gaps):
        yield box.x, box.y
        yield box.x + box.width, box.y + box.height
    for x in chart.dates:
        yield x.at, chart.bottom
    for y in (*chart.levels, *([chart.rule] if chart.rule else [])):
        yield chart.left, y.at


def test_no_line_leads_over_a_missing_day() -> None:
    chart = pass_rate(of([day(0), day(1), day(3), day(7), day(8)]), 0.98)
    assert chart is not None
    assert [len(line) for line in chart.lines] == [2, 1, 2]
    assert [(round(gap.x), round(gap.width)) for gap in chart.gaps] == [(102, 22), (145, 65), (254, 414)]


def test_day_without_acknowledged_mail_has_no_rate() -> None:
    chart = pass_rate(of([day(0), day(1, 0, 0, none=9), day(2)]), None)
    assert chart is not None
    assert [len(line) for line in chart.lines] == [1, 1]
    assert chart.rule is None


@pytest.mark.parametrize(
    ("passed", "threshold", "lowest"),
    [(100, 0.98, "90%"), (90, 0.98, "90%"), (89, 0.98, "50%"), (100, 0.5, "50%"), (49, 0.98, "0%"), (0, None, "0%")],
)
def test_scale_begins_below_all_that_is_shown_and_is_told(passed: int, threshold: float | None, lowest: str) -> None:
    chart = pass_rate(of([day(0), day(1, 100, passed)]), threshold)
    assert chart is not None
    assert chart.levels[0].text == lowest
    assert chart.levels[0].at == chart.bottom
    assert chart.levels[-1].text == "100%"
    assert chart.levels[-1].at == chart.top
    assert f"The scale begins at {lowest}" in chart.description


def test_height_is_the_rate() -> None:
    chart = pass_rate(of([day(0, 100, 95)]), 0.98)
    assert chart is not None
    assert chart.lines[0][0][1] == (chart.top + chart.bottom) / 2
    assert chart.rule is not None
    assert chart.rule.text == "98% asked for"
    assert "Lowest on 2026-03-02: 95.0%" in chart.description


def test_lowest_rate_does_not_look_as_if_it_were_the_one_asked_for() -> None:
    chart = pass_rate(of([day(0, 1_000_000, 979_999)]), 0.98)
    assert chart is not None
    assert "Lowest on 2026-03-02: 97.9%" in chart.description


def test_bar_stacks_what_became_of_the_mail() -> None:
    chart = dispositions(of([day(0, none=50, reject=25, quarantine=20, **{"pass": 100})]))
    assert chart is not None
    assert [box.kind for box in chart.boxes] == ["pass", "none", "quarantine", "reject"]
    assert [level.text for level in chart.levels] == ["0", "50", "100", "150", "200"]
    height = chart.bottom - chart.top
    assert [round(box.height / height * 200) for box in chart.boxes] == [100, 50, 20, 25]
    edges = [box.y + box.height for box in chart.boxes]
    assert edges[0] == chart.bottom
    assert edges[1:] == [pytest.approx(box.y) for box in chart.boxes[:-1]]
    assert [name for _, name in chart.legend] == ["passed", "nothing was done", "quarantined", "rejected"]


def test_mail_whose_disposition_was_not_told_is_in_the_bar() -> None:
    chart = dispositions(of([day(0, acknowledged=30, none=10, sampled=5)]))
    assert chart is not None
    assert [(box.kind, name) for box, (_, name) in zip(chart.boxes, chart.legend, strict=True)] == [
        ("none", "nothing was done"),
        ("other", "not told, or otherwise"),
    ]
    assert "not told, or otherwise 20" in chart.description


@pytest.mark.parametrize(
    ("messages", "levels"),
    [
        (1, ["0", "1"]),
        (7, ["0", "2", "4", "6", "8"]),
        (81_000, ["0", "50 k", "100 k"]),
        (9_999, ["0", "5,000", "10 k"]),
        (120_000_000, ["0", "50 M", "100 M", "150 M"]),
        (3 * 10**10, ["0", "10 G", "20 G", "30 G"]),
    ],
)
def test_levels_are_round_numbers_in_few_characters(messages: int, levels: list[str]) -> None:
    chart = dispositions(of([day(0, messages, messages)]))
    assert chart is not None
    assert [level.text for level in chart.levels] == levels


def test_gaps_are_told_where_there_are_any() -> None:
    for length, told in ((2, False), (3, True)):
        found = of([day(0), day(1)], length)
        for chart in (pass_rate(found, 0.98), dispositions(found)):
            assert chart is not None
            assert (bool(chart.gaps), "hatched over the full height" in chart.description) == (told, told)


def test_nothing_is_drawn_of_nothing() -> None:
    assert pass_rate(EMPTY, 0.98) is None
    assert dispositions(EMPTY) is None
    assert pass_rate(of([day(0, 0, 0, none=5)]), 0.98) is None


DAYS = st.builds(
    lambda at, acknowledged, part, kinds: day(at, acknowledged, acknowledged * part // 100, **kinds),
    st.integers(0, 89),
    st.integers(0, 10**12),
    st.integers(0, 100),
    st.dictionaries(st.sampled_from(["pass", "none", "quarantine", "reject", "else"]), st.integers(0, 10**12)),
)


@given(st.lists(DAYS, max_size=40, unique_by=lambda x: x.day), st.sampled_from([None, 0.0, 0.5, 0.98, 1.0]))
def test_nothing_is_drawn_outside_of_the_axes(days: list[Day], threshold: float | None) -> None:
    found = of(sorted(days, key=lambda x: x.day), 90)
    for chart in filter(None, (pass_rate(found, threshold), dispositions(found))):
        for x, y in points(chart):
            assert chart.left - 0.01 <= x <= chart.right + 0.01
            assert chart.top - 0.01 <= y <= chart.bottom + 0.01
        for line in chart.lines:
            assert [x for x, _ in line] == sorted({x for x, _ in line})
        assert len(chart.dates) <= 9
        assert all(len(level.text) <= 7 for level in chart.levels)
        drawn = {x.day for x in days if x.acknowledged} if chart.name == "pass-rate" else {x.day for x in days}
        slots = sum(gap.width for gap in chart.gaps) / (chart.right - chart.left) * 90
        assert round(slots) == 90 - len(drawn)
