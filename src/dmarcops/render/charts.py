"""
Charts as geometry: where each line, bar and label stands. How they are drawn is the template's to say.

A day without reports is a gap: no line leads over it, and it is marked. Tones are told apart without colour.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil, floor, log10

from dmarcops.policy.evidence import Day, Evidence, ratio

WIDTH, HEIGHT = 680, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 14, 42
_MAX_DATES = 8
_STEPS_OF_RATE = (0.9, 0.5, 0.0)
"""Where the scale of a rate may begin: at the highest that is below all of it."""
_HATCHED = " Days hatched over the full height have none."
OTHER = "other"
DISPOSITIONS = {
    "pass": "passed",
    "none": "nothing was done",
    "quarantine": "quarantined",
    "reject": "rejected",
    OTHER: "not told, or otherwise",
}
"""What became of mail in words, from the bottom of a bar to its top."""


@dataclass(frozen=True, slots=True)
class Label:
    """A text at a place along an axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle; `kind` says what it shows."""

    x: float
    y: float
    width: float
    height: float
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """
    A chart: its axes, and lines, points and boxes within them.

    `description` says in words what is to be seen; `rule` is a level to hold the line against; `legend` has the
    kinds of boxes, each with its name, in the order in which they are drawn.
    """

    name: str
    title: str
    description: str
    across: str
    up: str
    dates: tuple[Label, ...]
    levels: tuple[Label, ...]
    gaps: tuple[Box, ...] = ()
    lines: tuple[tuple[tuple[float, float], ...], ...] = ()
    boxes: tuple[Box, ...] = ()
    rule: Label | None = None
    legend: tuple[tuple[str, str], ...] = ()

    @property
    def left(self) -> int:
        """Where the area of the chart begins."""
        return _LEFT

    @property
    def right(self) -> int:
        """Where it ends."""
        return WIDTH - _RIGHT

    @property
    def top(self) -> int:
        """Its upper edge."""
        return _TOP

    @property
    def bottom(self) -> int:
        """Its lower edge."""
        return HEIGHT - _BOTTOM


class _Days:
    """The days of a window along the axis: one slot each, those without reports too."""

    def __init__(self, begin: date, end: date) -> None:
        self.begin = begin
        self.count = (end - begin).days + 1
        self.slot = (WIDTH - _LEFT - _RIGHT) / self.count

    def left(self, day: date) -> float:
        return _LEFT + (day - self.begin).days * self.slot

    def middle(self, day: date) -> float:
        return round(self.left(day) + self.slot / 2, 2)

    def labels(self) -> tuple[Label, ...]:
        """Give a date every so many days, so that none stands over another."""
        every = ceil(self.count / _MAX_DATES)
        shown = (self.begin + timedelta(days=at) for at in range(0, self.count, every))
        return tuple(Label(self.middle(day), f"{day:%m-%d}") for day in shown)

    def gaps(self, covered: Iterable[date]) -> tuple[Box, ...]:
        """Give the days that are not among these, each run of them as one box."""
        seen = set(covered)
        missing = [day for at in range(self.count) if (day := self.begin + timedelta(days=at)) not in seen]
        found = []
        for run in _runs(missing):
            width = round(len(run) * self.slot, 2)
            found.append(Box(round(self.left(run[0]), 2), _TOP, width, HEIGHT - _BOTTOM - _TOP))
        return tuple(found)


def _runs(days: Sequence[date]) -> list[list[date]]:
    """Give the days in runs without a gap."""
    runs: list[list[date]] = []
    for day in days:
        if runs and day - runs[-1][-1] == timedelta(days=1):
            runs[-1].append(day)
        else:
            runs.append([day])
    return runs


def _level(share: float) -> float:
    """Give where a share of the height stands, from the bottom."""
    return round(HEIGHT - _BOTTOM - share * (HEIGHT - _BOTTOM - _TOP), 2)


def pass_rate(evidence: Evidence, threshold: float | None) -> Chart | None:
    """
    Draw the pass rate of acknowledged mail, day by day; None when no day has any.

    Args:
        evidence: Of the window.
        threshold: The rate that is asked for, if one is.
    """
    rates = {day.day: rate for day in evidence.daily if (rate := ratio(day.passed, day.acknowledged)) is not None}
    if not rates:
        return None
    days = _Days(evidence.window.begin, evidence.window.end)
    lowest = min(rates.values() if threshold is None else (*rates.values(), threshold))
    base = next(step for step in _STEPS_OF_RATE if lowest >= step)

    def height(rate: float) -> float:
        return _level((rate - base) / (1 - base))

    ticks = [base + (1 - base) * part / 5 for part in range(6)]
    runs = _runs(sorted(rates))
    worst = min((day for day in evidence.daily if day.day in rates), key=lambda day: (rates[day.day], day.day))
    lowest_shown = worst.passed * 1000 // worst.acknowledged / 10  # to the careful side, as everywhere
    return Chart(
        name="pass-rate",
        title="Pass rate of acknowledged mail by day",
        description=(
            f"Share of the mail of acknowledged sources with an aligned pass, {len(rates)} days with such mail of"
            f" {days.count}. Lowest on {worst.day.isoformat()}: {lowest_shown:.1f}%."
            f" The scale begins at {base:.0%}.{_HATCHED if len(rates) < days.count else ''}"
        ),
        across="day (month-day, UTC)",
        up="aligned pass",
        dates=days.labels(),
        levels=tuple(Label(height(tick), f"{tick:.0%}") for tick in ticks),
        gaps=days.gaps(rates),
        lines=tuple(tuple((days.middle(day), height(rates[day])) for day in run) for run in runs),
        rule=None if threshold is None else Label(height(threshold), f"{threshold * 100:.4g}% asked for"),
    )


def dispositions(evidence: Evidence) -> Chart | None:
    """Draw what receivers did with all mail, day by day; None when no mail was reported."""
    parts = {day.day: _parts(day) for day in evidence.daily}
    most = max((sum(part.values()) for part in parts.values()), default=0)
    if not most:
        return None
    days = _Days(evidence.window.begin, evidence.window.end)
    step = _round_step(most / 4)
    top = step * ceil(most / step)
    boxes = []
    for day, part in parts.items():
        below = 0
        for kind in DISPOSITIONS:
            if part[kind]:
                lower, upper = _level(below / top), _level((below + part[kind]) / top)
                x = round(days.left(day) + days.slot * 0.14, 2)
                boxes.append(Box(x, upper, round(days.slot * 0.72, 2), round(lower - upper, 2), kind))
                below += part[kind]
    sums = {kind: sum(part[kind] for part in parts.values()) for kind in DISPOSITIONS}
    told = ", ".join(f"{DISPOSITIONS[kind]} {count:,}" for kind, count in sums.items() if count)
    return Chart(
        name="dispositions",
        title="What receivers did, by day",
        description=(
            f"Messages of all sources by disposition, in all: {told}.{_HATCHED if len(parts) < days.count else ''}"
        ),
        across="day (month-day, UTC)",
        up="messages",
        dates=days.labels(),
        levels=tuple(Label(_level(at * step / top), _compact(at * step)) for at in range(top // step + 1)),
        gaps=days.gaps(parts),
        boxes=tuple(boxes),
        legend=tuple((kind, DISPOSITIONS[kind]) for kind, count in sums.items() if count),
    )


def _parts(day: Day) -> dict[str, int]:
    """Give the messages of a day by disposition; those that no disposition was told of are other."""
    known = {kind: day.dispositions.get(kind, 0) for kind in DISPOSITIONS if kind != OTHER}
    return {**known, OTHER: max(0, day.messages - sum(known.values()))}


def _round_step(least: float) -> int:
    """Give the first of 1, 2, 5, 10, 20, 50, ... that is no less."""
    if least <= 1:
        return 1
    power = 10 ** floor(log10(least))
    return int(next(power * each for each in (1, 2, 5, 10) if power * each >= least))


def _compact(number: int) -> str:
    """Give a round number in few characters."""
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= 10 * unit:
            return f"{number / unit:g} {name}"
    return f"{number:,}"
