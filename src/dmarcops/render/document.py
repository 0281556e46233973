"""
The parts of a document, before it has a form: a page for management, then sections of text, tables and charts.

Every text in it may come from a stranger. Making it harmless is the business of the form that it is written in.
"""

from dataclasses import dataclass
from enum import StrEnum

from dmarcops.render.charts import Chart


class Tone(StrEnum):
    """What a word is to the reader; each tone differs in print without colour too."""

    GOOD = "good"
    ASK = "ask"
    """A person has to look, or to wait."""
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Cell:
    """
    A cell of a table: what stands there, what in smaller letters below it, and its tone when it is a verdict.

    Each note is read by itself, so that one from right to left does not turn the next.
    """

    text: str
    notes: tuple[str, ...] = ()
    tone: Tone | None = None


def notes(*texts: str) -> tuple[str, ...]:
    """Give the texts that are not empty."""
    return tuple(filter(None, texts))


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its head, its share of the width in percent, and how it is set."""

    head: str
    width: int
    is_number: bool = False
    is_code: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table, its first column the head of each row; `empty` is what is said when it has no row."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    empty: str = "None."


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Listing:
    """A list; `empty` is what is said when nothing is in it."""

    items: tuple[str, ...]
    empty: str = "None."


@dataclass(frozen=True, slots=True)
class Code:
    """A text to the letter, such as a record, and what it is."""

    label: str
    text: str


Block = Table | Text | Listing | Code | Chart


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it; of level 2, or 3 when it belongs to the one before it."""

    heading: str
    blocks: tuple[Block, ...]
    level: int = 2


@dataclass(frozen=True, slots=True)
class Rung:
    """A step of the ladder on the first page; `place` is `done`, `now`, `next` or `later`."""

    name: str
    note: str
    place: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A key figure: the number, what it counts, and what to hold it against."""

    value: str
    label: str
    note: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer in plain words: what was asked, one word or two, and the sentence that goes with it."""

    question: str
    answer: str
    tone: Tone
    text: str


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """A line to sign on: filled in when somebody has, else empty; `digest` is what is signed."""

    name: str
    date: str
    digest: str


@dataclass(frozen=True, slots=True)
class Cover:
    """The page for management."""

    verdict: Verdict
    figures: tuple[Figure, ...]
    sections: tuple[Section, ...]
    ladder: tuple[Rung, ...] = ()
    signatures: tuple[SignatureLine, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """
    A whole document.

    `title` says what it is, `subject` whose, `also` the same in another spelling; `running` stands at the head of each
    page, `digest` at the foot; both may be empty, as may `brand`.
    """

    title: str
    subject: str
    also: str = ""
    brand: str = ""
    period: str
    running: str
    digest: str = ""
    cover: Cover
    sections: tuple[Section, ...]
