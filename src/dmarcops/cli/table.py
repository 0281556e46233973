"""
A table as lines of text: fits the terminal, cuts nothing, acts on no markup or control character. Does no I/O.

Columns are squeezed by wrapping at blanks first. Those that still find no room go below their row, as `name: value`,
so that the first columns stay a table on any terminal.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice, zip_longest
from textwrap import wrap

from rich.cells import cell_len, chop_cells

from dmarcops.neutralise import visible

BLOCK_ROWS = 1000
"""Rows laid out at a time: memory stays flat, and the widths of a block hold for the next one unless they grow."""
WIDEST_ON_TERMINAL = 40
WIDEST_ELSEWHERE = 100

_GAP = "  "
_INDENT = "    "


def text_of(value: object) -> str:
    """Return `value` as one harmless line for a person: thousands separated, fractions as percentages."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.1%}"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M}"
        case _:
            return visible(str(value))


def lines_of(names: Sequence[str], rows: Iterable[Sequence[object]], *, width: int | None) -> Iterator[str]:
    """
    Give the lines of a table, block by block as `rows` come; a column of numbers is aligned to the right.

    Args:
        names: The names of the columns.
        rows: The values.
        width: The columns of the terminal; `None` when the output is not one, then a row is as long as it has to be.
    """
    widest = WIDEST_ELSEWHERE if width is None else min(WIDEST_ON_TERMINAL, width)
    natural = floors = [cell_len(name) for name in names]
    columns_shown = 0
    remaining = iter(rows)
    while block := list(islice(remaining, BLOCK_ROWS)):
        cells = [[text_of(value) for value in row] for row in block]
        natural = _widths(natural, cells, widest, by_word=False)
        floors = _widths(floors, cells, widest, by_word=True)
        widths = natural if width is None else _squeezed(natural, floors, width)
        right = [all(_is_number(value) for value in column) for column in zip(*block, strict=True)]
        if len(widths) != columns_shown:
            columns_shown = len(widths)
            yield from _table_lines(names, widths, right)
            yield _GAP.join("-" * column for column in widths)
        for row in cells:
            yield from _table_lines(row, widths, right)
            yield from _lines_below(names, row, columns_shown, width)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _widths(sofar: Sequence[int], cells: Sequence[Sequence[str]], widest: int, *, by_word: bool) -> list[int]:
    """Return how wide each column is, or with `by_word` how wide at least if no word of it is to be broken."""
    measure = _longest_word if by_word else cell_len
    columns = zip(*cells, strict=True)
    return [min(widest, max(least, *map(measure, column))) for least, column in zip(sofar, columns, strict=True)]


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split(" ")))


def _squeezed(natural: Sequence[int], floors: Sequence[int], width: int) -> list[int]:
    """Return the widths of as many of the first columns as find room, the widest narrowed until they do."""
    fitting = 1
    while fitting < len(floors) and _total(floors[: fitting + 1]) <= width:
        fitting += 1
    widths = list(natural[:fitting])
    while _total(widths) > width:
        slack = [have - floor for have, floor in zip(widths, floors, strict=False)]
        widths[slack.index(max(slack))] -= 1
    return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _table_lines(texts: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> Iterator[str]:
    """Give the lines of the table's part of a row: several when a text is wrapped."""
    wrapped = [_wrapped(text, width) for text, width in zip(texts, widths, strict=False)]
    for line in zip_longest(*wrapped, fillvalue=""):
        padded = [
            " " * (width - cell_len(text)) + text if is_right else text + " " * (width - cell_len(text))
            for text, width, is_right in zip(line, widths, right, strict=False)
        ]
        yield _GAP.join(padded).rstrip()


def _lines_below(names: Sequence[str], row: Sequence[str], shown: int, width: int | None) -> Iterator[str]:
    """Give the lines for the columns that found no room in the table."""
    if width is None or shown == len(names):
        return
    pairs = [f"{name}: {text}" for name, text in zip(names[shown:], row[shown:], strict=True) if text]
    if pairs:
        yield from (_INDENT + line for line in _wrapped(" | ".join(pairs), max(1, width - len(_INDENT))))


def _wrapped(text: str, width: int) -> list[str]:
    """Return `text` in lines of at most `width` columns; a wide character, as of Chinese, takes two."""
    if cell_len(text) <= width:
        return [text]
    if cell_len(text) == len(text):
        return wrap(text, width, break_on_hyphens=False)
    return chop_cells(text, width)
