"""Which days count for a decision: complete ones, and none around a change. Does no I/O."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

LAG_DAYS = 2
"""Reports come a day or two late: the days after the window's end are not complete yet."""
CHANGE_DAYS = 3
"""The day of a change and the two after it, whose reports may mix both policies (RFC 9990 section 3.3)."""
RECENT_DAYS = 7
"""The end of the window, by which a trend is seen."""


@dataclass(frozen=True, slots=True)
class Window:
    """Days that count, both ends included, without those around a change."""

    begin: date
    end: date
    left_out: tuple[date, ...] = ()

    def days(self) -> tuple[date, ...]:
        """Give the days that count."""
        length = (self.end - self.begin).days + 1
        every = (self.begin + timedelta(days=at) for at in range(max(length, 0)))
        return tuple(day for day in every if day not in self.left_out)


def window_before(now: datetime, changes: Iterable[datetime] = (), *, days: int = 28) -> Window:
    """Give the window for a decision at `now`: it ends two days ago, and leaves out the days around each change."""
    end = now.date() - timedelta(days=LAG_DAYS)
    return _window(end - timedelta(days=days - 1), end, changes)


def window_since(change: datetime, now: datetime) -> Window:
    """Give the window after a change, up to what is there now: a regression shows in incomplete days too."""
    return _window(change.date(), now.date(), (change,))


def _window(begin: date, end: date, changes: Iterable[datetime]) -> Window:
    around = {change.date() + timedelta(days=at) for change in changes for at in range(CHANGE_DAYS)}
    return Window(begin, end, tuple(sorted(day for day in around if begin <= day <= end)))
