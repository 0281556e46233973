"""
A document as Markdown: CommonMark, with tables as GitHub has them. Charts are left out: their figures are in a table.

Whatever was written by a stranger stands there as it is read: each text becomes one visible line, and all that could be
markup in it is escaped, links and addresses that are made out of plain text too.
"""

import re
from collections.abc import Iterator

from dmarcops.neutralise import visible
from dmarcops.render.charts import Chart
from dmarcops.render.document import Block, Cell, Code, Column, Document, Listing, Section, SignatureLine, Table, Text

_MARKUP = re.compile(r"[\\`*_{}\[\]<>#|~&!$^@]|:(?!\s|$)")
_STARTS_A_BLOCK = re.compile(r"[-+=]|[0-9]+(?=[.)](?:\s|$))")
_WWW = re.compile(r"(?i)\b(www)\.")
_BACKTICKS = re.compile("`+")


def markdown(document: Document) -> str:
    """Give the text."""
    return "\n".join(_lines(document)).rstrip("\n") + "\n"


def escaped(text: str) -> str:
    """Give a text as it is to be read, in one line: nothing in it is markup, nor becomes a link."""
    harmless = _MARKUP.sub(r"\\\g<0>", visible(text))
    harmless = _WWW.sub(r"\1\\.", harmless)
    start = _STARTS_A_BLOCK.match(harmless)
    if start is None:
        return harmless
    at = start.end() if start.group().isdigit() else 0
    return f"{harmless[:at]}\\{harmless[at:]}"


def code(text: str) -> str:
    """Give a text to the letter, as a code span."""
    shown = visible(text)
    fence = "`" * (max(map(len, _BACKTICKS.findall(shown)), default=0) + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") or not shown.strip() else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def _lines(document: Document) -> Iterator[str]:
    cover = document.cover
    yield f"# {escaped(document.title)}: {escaped(document.subject)}"
    yield ""
    for text in (document.also, document.brand, document.period):
        if text:
            yield from (escaped(text), "")
    yield from (f"**{escaped(cover.verdict.question)} {escaped(cover.verdict.answer)}.**", "")
    yield from (escaped(cover.verdict.text), "")
    yield from (f"- **{escaped(x.value)}** {escaped(x.label)} ({escaped(x.note)})" for x in cover.figures)
    yield ""
    for section in (*cover.sections, *_signing(cover.signatures), *document.sections):
        yield from _section(section)


def _signing(lines: tuple[SignatureLine, ...]) -> Iterator[Section]:
    if lines:
        columns = (Column("Name", 30), Column("Date", 20), Column("Digest", 50, is_code=True))
        rows = tuple((Cell(x.name or "…"), Cell(x.date or "…"), Cell(x.digest)) for x in lines)
        yield Section("Who signs", (Table("Signatures", columns, rows),))


def _section(section: Section) -> Iterator[str]:
    yield f"{'#' * section.level} {escaped(section.heading)}"
    yield ""
    for block in section.blocks:
        yield from _block(block)
        yield ""


def _block(block: Block) -> Iterator[str]:
    match block:
        case Text():
            yield escaped(block.text)
        case Listing():
            yield from (f"- {escaped(item)}" for item in block.items)
            if not block.items:
                yield escaped(block.empty)
        case Code():
            yield f"{escaped(block.label)}: {code(block.text)}"
        case Table():
            yield from _table(block)
        case Chart():
            yield f"{escaped(block.title)}. {escaped(block.description)}"


def _table(table: Table) -> Iterator[str]:
    yield f"*{escaped(table.caption)}*"
    yield ""
    if not table.rows:
        yield escaped(table.empty)
        return
    yield f"| {' | '.join(escaped(column.head) for column in table.columns)} |"
    yield f"|{'|'.join('---:' if column.is_number else '---' for column in table.columns)}|"
    for row in table.rows:
        cells = (_cell(cell, column) for cell, column in zip(row, table.columns, strict=True))
        yield f"| {' | '.join(cells)} |"


def _cell(cell: Cell, column: Column) -> str:
    text = code(cell.text).replace("|", "\\|") if column.is_code and cell.text else escaped(cell.text)
    return f"{text} ({', '.join(map(escaped, cell.notes))})" if cell.notes else text
