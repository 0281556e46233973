"""
TXT data: a text and its character strings (RFC 1035 section 3.3.14), written one way and read in any.

Does no I/O.
"""

import re

STRING_OCTETS = 255
"""What one character string holds (RFC 1035 section 3.3)."""
DECIMAL = 10
"""The base of `\\DDD` in master files (RFC 1035 section 5.1)."""
OCTAL = 8
"""The base of `\\OOO` in Route 53's API."""
_STRING = re.compile(rb'"((?:[^"\\]|\\.)*)"|((?:[^\s"\\]|\\.)+)', re.DOTALL)
_ESCAPE = re.compile(rb"\\([0-9]{3}|.)", re.DOTALL)
_QUOTED = b'"\\'
_DIGITS = {DECIMAL: "03d", OCTAL: "03o"}


def chunks(text: bytes) -> tuple[bytes, ...]:
    """Split a text into character strings, none longer than 255 octets and at least one."""
    return tuple(text[i : i + STRING_OCTETS] for i in range(0, len(text), STRING_OCTETS)) or (b"",)


def format_txt(text: bytes, *, base: int) -> str:
    """
    Write a text as quoted strings with one space between.

    Args:
        text: What the record says.
        base: Of the number in an escape, `DECIMAL` or `OCTAL`.
    """
    return " ".join('"' + "".join(_escaped(octet, base) for octet in chunk) + '"' for chunk in chunks(text))


def parse_txt(written: str, *, base: int) -> tuple[bytes, ...]:
    """
    Read character strings as anybody may have written them: quoted or not, with any space between or none.

    Raises:
        ValueError: They cannot be read, since a quote is left open or an escape is no octet.
    """
    data, strings, place = written.encode().strip(), [], 0
    while place < len(data):
        found = _STRING.match(data, place)
        if found is None:
            raise ValueError(f"TXT data that cannot be read from its character {place} on")
        strings.append(_ESCAPE.sub(lambda escape: _octet(escape[1], base), found[1] if found[2] is None else found[2]))
        place = found.end()
        place += len(data[place:]) - len(data[place:].lstrip())
    return tuple(strings)


def _escaped(octet: int, base: int) -> str:
    if octet in _QUOTED:
        return "\\" + chr(octet)
    return chr(octet) if 0x20 <= octet < 0x7F else "\\" + format(octet, _DIGITS[base])  # noqa: PLR2004 - printable ASCII


def _octet(escape: bytes, base: int) -> bytes:
    if len(escape) == 1:
        return escape
    try:
        return bytes([int(escape, base)])
    except ValueError as error:
        raise ValueError(f"\\{escape.decode()} is no octet") from error
