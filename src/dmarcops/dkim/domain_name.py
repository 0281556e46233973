"""Domain names as they are compared: lower-case A-labels (RFC 5890 section 2.3.2.1). Does no I/O."""

import re

import idna

MAX_LENGTH = 253
"""Characters of a domain name (RFC 1035 section 2.3.4, without the root's dot)."""
_NAME = re.compile(r"(?!.*\.\.)[a-z0-9_-][a-z0-9_.-]*")


def a_labels(text: str) -> str:
    """Give a domain name in the form that is compared; empty when the text is none."""
    name = text.strip(" \t\r\n").lower().removesuffix(".")
    if len(name) > MAX_LENGTH:
        return ""
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii").lower()
        except (idna.IDNAError, UnicodeError):
            return ""
    return name if _NAME.fullmatch(name) else ""


def domain_part(address: str) -> str:
    """Give the domain of an address or of a bare domain (`a@d`, `@d`, `d`); empty when it has none."""
    return a_labels(address.rpartition("@")[2])
