"""
The header of a mail as ordered fields, and who its author claims to be.

Only the header at the top is read: what stands in an attached message, or below the first empty line, does not exist
here. Tolerant, bounded, linear; never raises on any octets, does no I/O.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dmarcops.dkim.domain_name import domain_part
from dmarcops.dkim.lexemes import Kind, lexemes

MAX_OCTETS = 1_048_576
"""Octets of a header that are read."""
MAX_FIELDS = 2_000
"""Fields of a header that are read."""

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:(.*)", re.DOTALL)
_FROM_LINE = re.compile(rb"(?:[ \t]*+\r?\n)*+(?:>?From [^\n]*\n)?")
_HEADER_END = re.compile(rb"(?:\A|\n)\r?\n")
_NO_ADDRESS = re.compile(r'[:<>()"]')
_ADDRESS_LIST_MARKS = re.compile(r"([<>,:])")


@dataclass(frozen=True, slots=True)
class HeaderField:
    """One field: its name in lower case, its value still folded; octets that are no UTF-8 are U+FFFD."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Header:
    """
    The fields from the top down.

    `is_complete` is false when there is more than was read, or when a line among them is no field: a receiver may then
    have seen another header than this one.
    """

    fields: tuple[HeaderField, ...]
    is_complete: bool

    def values(self, name: str) -> tuple[str, ...]:
        """Give the values of the fields so called, from the top down."""
        return tuple(field.value for field in self.fields if field.name == name)


def parse_header(mail: bytes) -> Header:
    """Read the header of a mail, or a header alone; a line of an mbox before it is skipped."""
    start = _FROM_LINE.match(mail, 0, MAX_OCTETS)
    head = mail[start.end() if start else 0 :][:MAX_OCTETS]
    end = _HEADER_END.search(head)
    fields: list[HeaderField] = []
    is_complete = end is not None or len(mail) <= MAX_OCTETS
    for line in _unfolded_lines(head[: end.start()] if end else head):
        match = _FIELD.fullmatch(line)
        if match is None:
            is_complete = False
        elif len(fields) == MAX_FIELDS:
            return Header(tuple(fields), is_complete=False)
        else:
            name, value = match.groups()
            fields.append(HeaderField(name.decode("ascii").lower(), value.decode("utf-8", "replace").strip(" \t\r\n")))
    return Header(tuple(fields), is_complete)


def _unfolded_lines(head: bytes) -> Iterator[bytes]:
    """Give each line with those that continue it."""
    lines: list[bytes] = []
    for line in head.split(b"\n"):
        if lines and line[:1] not in (b" ", b"\t"):
            yield b"\n".join(lines)
            lines = []
        lines.append(line)
    if lines != [b""]:
        yield b"\n".join(lines)


def author_domain(header: Header) -> str:
    """
    Give the author domain (RFC 9989 section 3.2.2), empty when it is not exactly one.

    Several From fields, several domains in one, or an address that can be read in two ways give none.
    """
    values = header.values("from")
    if len(values) != 1:
        return ""
    domains = {_mailbox_domain(mailbox) for mailbox in _mailboxes(values[0])}
    return domains.pop() if len(domains) == 1 else ""


def _mailboxes(value: str) -> list[list[str]]:
    """Split an address list at its commas into words and angle brackets; display names and comments say nothing."""
    mailboxes: list[list[str]] = [[]]
    for lexeme in lexemes(value):
        if lexeme.kind is Kind.COMMENT:
            continue
        text = "q" if lexeme.kind is Kind.QUOTED else lexeme.raw
        for part in _ADDRESS_LIST_MARKS.split(text):
            if part == ",":
                mailboxes.append([])
            elif part:
                mailboxes[-1].append(part)
    return mailboxes


def _mailbox_domain(mailbox: list[str]) -> str:
    """Give the domain of `words <address>` or of a bare address (RFC 5322 section 3.4)."""
    if "<" not in mailbox:
        address = mailbox
    elif mailbox[-1] == ">" and mailbox.count("<") == 1:
        address = mailbox[mailbox.index("<") + 1 : -1]
    else:
        return ""
    text = "".join(address)
    return domain_part(text) if "@" in text and not _NO_ADDRESS.search(text) else ""
