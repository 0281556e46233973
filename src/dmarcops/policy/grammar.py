"""
The two grammars of a DMARC record, as written (RFC 9989 section 4.8, RFC 7489 section 6.4). Does no I/O.

Stricter than a reader has to be: it tells whether what is to be published is valid to the letter in both. Tags that a
grammar does not know are valid in it when their syntax is, since both have them ignored.
"""

import re
from enum import StrEnum


class Grammar(StrEnum):
    """Which standard's grammar."""

    RFC9989 = "rfc9989"
    RFC7489 = "rfc7489"


_WSP = r"[ \t]*"
_URI = r"[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~:/?#\[\]@$&'()*+=-]|%[0-9A-Fa-f]{2})+"
_URIS = rf"{_URI}(?:![0-9]+[kmgt]?)?(?:{_WSP},{_WSP}{_URI}(?:![0-9]+[kmgt]?)?)*"
_REQUEST = "none|quarantine|reject"
_BOTH = {"p": _REQUEST, "sp": _REQUEST, "adkim": "[rs]", "aspf": "[rs]", "rua": _URIS, "ruf": _URIS}
_FO = "[01ds]"

TAGS: dict[Grammar, dict[str, re.Pattern[str]]] = {
    grammar: {name: re.compile(pattern, re.IGNORECASE) for name, pattern in tags.items()}
    for grammar, tags in {
        Grammar.RFC9989: {
            **_BOTH,
            "np": _REQUEST,
            "t": "[yn]",
            "psd": "[ynu]",
            # 0 and 1 shut each other out; d and s stand once each at most.
            "fo": r"(?!.*d.*d)(?!.*s.*s)(?!.*[01].*[01])[01ds](?::[01ds])*",
        },
        Grammar.RFC7489: {
            **_BOTH,
            "ri": "[0-9]+",
            "rf": rf"[a-z0-9-]+(?:{_WSP}:{_WSP}[a-z0-9-]+)*",
            "pct": "[0-9]{1,3}",
            "fo": rf"{_FO}(?:{_WSP}:{_WSP}{_FO})*",
        },
    }.items()
}
"""What the value of each tag that a grammar knows looks like."""

_VERSION = re.compile(rf"[vV]{_WSP}={_WSP}DMARC1{_WSP}")
_TAG = re.compile(rf"{_WSP}([A-Za-z]+){_WSP}={_WSP}([\x20-\x3a\x3c-\x7e]*[\x21-\x3a\x3c-\x7e]){_WSP}")


def violations(text: str, grammar: Grammar) -> tuple[str, ...]:
    """Say where a text breaks the grammar, part by part; nothing when it is valid in it."""
    parts = text.split(";")
    if len(parts) > 1 and not parts[-1].strip(" \t"):
        parts = parts[:-1]
    found = [] if _VERSION.fullmatch(parts[0]) else [f"{parts[0]!r} is not the version"]
    names = ["v"]
    for part in parts[1:]:
        match = _TAG.fullmatch(part)
        if match is None:
            found.append(f"{part!r} is no tag")
            continue
        name = match[1].lower()
        names.append(name)
        known = TAGS[grammar].get(name)
        if known and not known.fullmatch(match[2]):
            found.append(f"{match[2]!r} is no value of {name}")
    if grammar is Grammar.RFC7489 and names[1:2] != ["p"]:
        found.append("p is not the second tag")
    found += [f"{name} stands twice" for name in sorted(set(names)) if names.count(name) > 1]
    if text != text.strip(" \t"):
        found.append("white space stands before or after the record")
    return tuple(found)


def is_valid(text: str, grammar: Grammar) -> bool:
    """Tell whether a text is a record to the letter of the grammar."""
    return not violations(text, grammar)
