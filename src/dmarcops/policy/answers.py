"""What DNS says to a question for TXT records, as discovery and verification need to tell it apart. Does no I/O."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


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


Lookup = Callable[[str], Answer]
"""Asks for the TXT records at a name."""
