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
        self.junk: list[str] = []
        """Lines that are no field."""
        for name, value in _read(data, self.junk, all_lines=all_lines):
            self._values.setdefault(name, []).append(value)

    def all(self, name: str) -> list[str]:
        """All values of that name (in lower case) that are not empty."""
        return [value for value in self._values.get(name, ()) if value]

    def first(self, name: str) -> str | None:
        """The first value of that name that is not empty."""
        return next(iter(self.all(name)), None)

    def __len__(self) -> int:
        return len(self._values)


def _read(data: bytes, junk: list[str], *, all_lines: bool) -> Iterator[tuple[str, str]]:
    text = data[:_OCTETS].removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").lstrip()
    name, value, count = "", list[str](), 0
    for line in _LINE_END.split(text):
        if not line.strip():
            if all_lines:
                continue
            break
        if line[0] in " \t" and name:
            value.append(line)
            continue
        match = _FIELD.fullmatch(line)
        if match is None:
            junk.append(line)
            continue
        if name:
            yield name, _cleaned(value)
        count += 1
        if count > _MOST_FIELDS:
            return
        name, value = match.group(1).lower(), [match.group(2)]
    if name:
        yield name, _cleaned(value)


def _cleaned(lines: list[str]) -> str:
    joined = " ".join("".join(lines)[: 2 * FIELD_LENGTH].split())[:FIELD_LENGTH]
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
