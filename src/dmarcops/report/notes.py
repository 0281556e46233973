"""Collects what was repaired while a report was read, bounded and without repetition. Does no I/O."""

from dmarcops.report.model import Repair

DETAIL_LENGTH = 200
"""Characters of the sender's text that a repair quotes."""


class Notes:
    """
    The repairs of one pass over one document.

    The same repair met again (same code, path and detail) is counted, not listed again; beyond `limit` different ones
    only their number is kept, as one repair of the code `more-repairs`.
    """

    def __init__(self, limit: int, given: tuple[Repair, ...] = ()) -> None:
        self._limit = limit
        self._given = given
        self._met: dict[tuple[str, str, str], list[int]] = {}
        self._more = 0
        self._log: list[tuple[str, str, str]] | None = None
        self.record = 0
        """Number of the record being read, from 1; 0 outside of records."""

    def add(self, code: str, path: str = "", detail: str = "") -> None:
        """Note that `detail` stood at `path` and was read as the repair `code` has it."""
        self.count((code, path, shorten(detail)))

    def count(self, key: tuple[str, str, str]) -> None:
        """Note once more what `add` noted as (code, path, shortened detail)."""
        if self._log is not None:
            self._log.append(key)
        met = self._met.get(key)
        if met is not None:
            met[1] += 1
        elif len(self._met) < self._limit:
            self._met[key] = [self.record, 1]
        else:
            self._more += 1

    def start_log(self) -> None:
        """Remember what is noted from here on, besides noting it."""
        self._log = []

    def end_log(self) -> tuple[tuple[str, str, str], ...]:
        """What was noted since `start_log`, for `count`."""
        log, self._log = self._log or [], None
        return tuple(log)

    def repairs(self) -> tuple[Repair, ...]:
        """All repairs, those of the container first, then in the order they were first met."""
        met = tuple(Repair(*key, first, count) for key, (first, count) in self._met.items())
        more = (Repair("more-repairs", "", "", 0, self._more),) if self._more else ()
        return self._given + met + more


def shorten(text: str) -> str:
    """Cut the text to what a repair quotes."""
    return text if len(text) <= DETAIL_LENGTH else text[: DETAIL_LENGTH - 1] + "…"
