"""
Making hostile text harmless: for a terminal, and for a spreadsheet.

Everything in a report was written by a stranger (RFC 9990 section 8.1), so it may hold escape sequences that move the
cursor, overrides that turn the reading direction, or a formula. Nothing is dropped: what is dangerous is shown as a
visible escape. Does no I/O.
"""

import re

_FORMULA_STARTS = "=+\\-@\uff0b\uff0d\uff1d\uff20"
_STARTS_A_FORMULA = re.compile(rf"[\t\r\n]|[\s\"']*[{_FORMULA_STARTS}]")

# What a terminal acts upon or shows as nothing: C0, DEL, C1; marks, overrides and isolates of the bidirectional
# algorithm; zero-width and invisible characters, tags among them; line and paragraph separators; lone surrogates.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)


def _escape(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode("ascii")


def visible(text: str) -> str:
    r"""
    Return `text` with every character that a terminal would act upon, or show as nothing, as an escape.

    `"a\x1b[2Jb"` becomes `"a\\x1b[2Jb"`. Line ends and tabs are escaped too: the result is one line, so a value cannot
    forge a further row.
    """
    return text if text.isascii() and text.isprintable() else _UNSAFE.sub(_escape, text)


def defused(text: str) -> str:
    """
    Return `text` so that no spreadsheet takes it for a formula: with an apostrophe before it where it could.

    A cell counts as a formula when it begins with ``= + - @`` (their full-width forms too), also behind blanks or
    quotes, or with a tab or line end.
    """
    return f"'{text}" if _STARTS_A_FORMULA.match(text) else text
