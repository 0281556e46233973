"""
Header fields of mails and feedback reports as texts (RFC 5322 section 2.2, RFC 5965 section 3), bounded.

Unlike `email`, it goes on after a line that is no field, as real reports have them. Does no I/O.
"""

import re
from collections.abc import Iterator

from dmarcops.report.limits import KIB

FIELD_LENGTH = 2_000
"""Characters of one value that are read."""
_OCTETS = 256 * KIB
_MOST_FIELDS = 1_000
_LINE_END = re.compile(r"\r\n|\n|\r")
_FIELD = re.compile(r"([!-9;-~]{1,100})[ \t]*:(.*)", re.DOTALL)
_COMMENT = re.compile(r"\([^()]*\)")
_COMMENT_DEPTH = 5


class HeaderFields:
    """
    The fields of one block.

    Args:
        data: The octets.
        all_lines: Whether fields may follow after a blank line; else a blank line ends them.
    """

    def __init__(self, data: bytes, *, all_lines: bool = False) -> None:
        self._values: dict[str, list[str]] = {}
        self.junk_lines = 0
        """How many lines are no field."""
        name, value, count = "", list[str](), 0
        for line in _lines(data, all_lines=all_lines):
            if line[0] in " \t" and name:
                value.append(line)
                continue
            match = _FIELD.fullmatch(line)
            if match is None:
                self.junk_lines += 1
                continue
            self._add(name, value)
            name, value = match.group(1).lower(), [match.group(2)]
            count += 1
            if count == _MOST_FIELDS:
                break
        self._add(name, value)

    def _add(self, name: str, lines: list[str]) -> None:
        if name:
            self._values.setdefault(name, []).append(_cleaned(lines))

    def all(self, name: str) -> list[str]:
        """All values of that name (in lower case) that are not empty."""
        return [value for value in self._values.get(name, ()) if value]

    def first(self, name: str) -> str | None:
        """The first value of that name that is not empty."""
        return next(iter(self.all(name)), None)


def _lines(data: bytes, *, all_lines: bool) -> Iterator[str]:
    text = data[:_OCTETS].removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").lstrip()
    for line in _LINE_END.split(text):
        if line.strip():
            yield line
        elif not all_lines:
            return


def _cleaned(lines: list[str]) -> str:
    """Join the lines of a value; a word that would be cut is left out, as half an address is not known as one."""
    joined = " ".join("".join(lines).split())
    if len(joined) > FIELD_LENGTH:
        joined = joined[: FIELD_LENGTH + 1].rpartition(" ")[0]
    if joined.isprintable():
        return joined
    return "".join(character if character.isprintable() else " " for character in joined).strip()


def uncommented(value: str) -> str:
    """Give a value without its comments (RFC 5322 section 3.2.2)."""
    for _ in range(_COMMENT_DEPTH):
        if "(" not in value:
            break
        value = _COMMENT.sub(" ", value)
    return value.strip()
