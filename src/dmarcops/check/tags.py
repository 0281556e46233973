"""
Records that are a version and tags: those of MTA-STS, TLS-RPT and BIMI. Does no I/O.

All three are found by their version, and none counts when there are several.
"""

import re
from dataclasses import dataclass

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_WSP = " \t"
EXTENSION = re.compile(r"[\x21-\x3a\x3c\x3e-\x7e]+")
"""What the value of a tag of MTA-STS and TLS-RPT looks like (RFC 8461 section 3.1, RFC 8460 section 3)."""


@dataclass(frozen=True, slots=True)
class Tags:
    """
    A record, tag by tag; `values` has the first of each name.

    `faults` are the parts that are no tag, `repeated` the names that stand more than once.
    """

    text: str
    values: dict[str, str]
    faults: tuple[str, ...]
    repeated: tuple[str, ...]


def is_version(text: str, version: str, *, is_spaced: bool = False) -> bool:
    """
    Tell whether a text begins with `v=<version>` and a semicolon, or is no more than that.

    Args:
        text: The text.
        version: The version, as it is written.
        is_spaced: Whether white space may stand before and within, as in DKIM's tag lists (RFC 6376 section 3.2).
    """
    head = text.partition(";")[0].rstrip(_WSP)
    name, _, value = head.partition("=")
    return (name.strip(_WSP), value.strip(_WSP)) == ("v", version) if is_spaced else head == f"v={version}"


def is_near(text: str, version: str) -> bool:
    """Tell whether a text that is no such record looks as if it should be one."""
    return not is_version(text, version) and version.lower() in text[: len(version) + 8].lower()


def parse_tags(text: str) -> Tags:
    """Read any text, tag by tag."""
    parts = text.split(";")
    if len(parts) > 1 and not parts[-1].strip(_WSP):
        del parts[-1]
    values: dict[str, str] = {}
    faults, repeated = [], []
    for part in parts:
        name, equals, value = (each.strip(_WSP) for each in part.partition("="))
        if not equals or not _NAME.fullmatch(name) or not all(" " <= each <= "~" for each in value):
            faults.append(part)
        elif name in values:
            repeated.append(name)
        else:
            values[name] = value
    return Tags(text, values, tuple(faults), tuple(repeated))
