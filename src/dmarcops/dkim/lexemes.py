"""
The lexical tokens of a structured header field (RFC 5322 section 3.2), told apart before anything is split.

Comments go first, so that nothing in them or in a quoted string is ever taken for syntax. Linear in the length of the
text, without recursion. Does no I/O.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

_PIECE = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    | (?P<quoted>"(?:[^"\\]++|\\.)*+"?)
    | (?P<equals>=)
    | (?P<semicolon>;)
    | (?P<open>\()
    | (?P<close>\))
    | (?P<word>[^ \t\r\n"=;()]+)""",
    re.VERBOSE | re.DOTALL,
)
_PARENTHESIS = re.compile(r"\\.|[()]", re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_FOLD = re.compile(r"\r?\n(?=[ \t])")
_WHOLE_QUOTED = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)


class Kind(Enum):
    """What a lexeme is."""

    WORD = auto()
    QUOTED = auto()
    COMMENT = auto()
    EQUALS = auto()
    SEMICOLON = auto()
    UNTERMINATED_QUOTED = auto()
    """A quoted string without its end: the rest of the text."""
    UNTERMINATED_COMMENT = auto()
    """A comment without its end: the rest of the text."""
    STRAY_PARENTHESIS = auto()
    """A closing parenthesis that closes nothing."""


@dataclass(frozen=True, slots=True)
class Lexeme:
    """
    One token.

    `text` is what it says, without the quotes or the outer parentheses; `raw` how it is written; `spaced` tells whether
    white space or a comment stands before it.
    """

    kind: Kind
    text: str
    raw: str
    spaced: bool


_KINDS = {"equals": Kind.EQUALS, "semicolon": Kind.SEMICOLON, "word": Kind.WORD, "close": Kind.STRAY_PARENTHESIS}


def lexemes(text: str) -> Iterator[Lexeme]:
    """Give the tokens of a field's value in order, comments among them."""
    at, spaced = 0, False
    while match := _PIECE.match(text, at):
        at = match.end()
        group = match.lastgroup or ""
        raw = match.group()
        if group == "space":
            spaced = True
            continue
        if group == "open":
            at, is_whole = _comment_end(text, match.start())
            raw = text[match.start() : at]
            kind = Kind.COMMENT if is_whole else Kind.UNTERMINATED_COMMENT
            yield Lexeme(kind, raw[1:-1] if is_whole else raw[1:], raw, spaced)
        elif group == "quoted":
            is_whole = bool(_WHOLE_QUOTED.fullmatch(raw))
            kind = Kind.QUOTED if is_whole else Kind.UNTERMINATED_QUOTED
            yield Lexeme(kind, _unquoted(raw[1:-1] if is_whole else raw[1:]), raw, spaced)
        else:
            yield Lexeme(_KINDS[group], raw, raw, spaced)
        spaced = group in ("open", "close")


def _comment_end(text: str, start: int) -> tuple[int, bool]:
    """Give where the comment that opens at `start` ends, and whether it does."""
    depth = 0
    for match in _PARENTHESIS.finditer(text, start):
        depth += {"(": 1, ")": -1}.get(match.group(), 0)
        if depth == 0:
            return match.end(), True
    return len(text), False


def _unquoted(text: str) -> str:
    return _QUOTED_PAIR.sub(r"\1", _FOLD.sub("", text))
