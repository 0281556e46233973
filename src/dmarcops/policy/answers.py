"""What DNS says to a question for TXT records, as discovery and verification need to tell it apart. Does no I/O."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

_OCTETS = "latin-1"
"""Records are octets; this gives each of them a character, and back."""


class AnswerKind(StrEnum):
    """How a question for TXT records ended."""

    FOUND = "found"
    NODATA = "nodata"
    """The name exists, and has no TXT records."""
    NXDOMAIN = "nxdomain"
    """The name does not exist, nor anything below it (RFC 8020)."""
    TEMPERROR = "temperror"
    """Nothing is known: no answer, or a server's failure."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The TXT records at a name, the strings of each joined with nothing between (RFC 9989 section 4.5)."""

    kind: AnswerKind
    texts: tuple[str, ...] = ()


def answered(texts: Sequence[str] | None) -> Answer:
    """Give the answer that texts are: None when the name does not exist, none when there are no records at it."""
    if texts is None:
        return Answer(AnswerKind.NXDOMAIN)
    return Answer(AnswerKind.FOUND, tuple(texts)) if texts else Answer(AnswerKind.NODATA)


def text_of(record: bytes) -> str:
    """Give a record as a text, a character an octet."""
    return record.decode(_OCTETS)


def octets_of(text: str) -> bytes:
    """Give the octets of such a text."""
    return text.encode(_OCTETS)


Lookup = Callable[[str], Answer]
"""Asks for the TXT records at a name."""
