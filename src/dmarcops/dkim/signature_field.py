"""The DKIM-Signature field (RFC 6376 section 3.5), as far as a result has to be joined with it. Does no I/O."""

import re
from dataclasses import dataclass

from dmarcops.dkim.domain_name import a_labels

MAX_LENGTH = 16_384
"""Characters of a field above which it is not read."""
_SPACE = re.compile(r"[ \t\r\n]+")
_TIME = re.compile(r"[0-9]{1,12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Signature:
    """
    What one signature says of itself.

    `domain` and `selector` are in lower-case A-labels; both are empty when the field cannot be read, a receiver may
    read it all the same.
    """

    domain: str
    selector: str
    b: str = ""
    """The signature in base64 without white space."""
    algorithm: str = ""
    fields: tuple[str, ...] = ()
    """The names of the signed fields (`h=`), in lower case."""
    has_length: bool = False
    """Whether `l=` is there, so that anything can stand below what is signed (RFC 6376 section 8.2)."""
    has_expiry: bool = False
    signed_at: int | None = None
    """When it was made by its own word (`t=`), in seconds since 1970."""

    @property
    def is_readable(self) -> bool:
        """Whether it is known whose signature it is."""
        return bool(self.domain and self.selector)


def parse_signature(value: str) -> Signature:
    """Read a DKIM-Signature field; one that is no tag list, or has a tag twice, is not readable (section 3.2)."""
    unreadable = Signature("", "")
    if len(value) > MAX_LENGTH:
        return unreadable
    tags: dict[str, str] = {}
    for tag in _SPACE.sub("", value).removesuffix(";").split(";"):
        name, equals, text = tag.partition("=")
        if not equals or name in tags:
            return unreadable
        tags[name] = text
    names = tuple(tags.get("h", "").lower().split(":"))
    domain, selector = a_labels(tags.get("d", "")), a_labels(tags.get("s", ""))
    if not domain or not selector:
        return unreadable
    algorithm = tags.get("a", "").lower()
    time = int(tags["t"]) if _TIME.fullmatch(tags.get("t", "")) else None
    return Signature(domain, selector, tags.get("b", ""), algorithm, names, "l" in tags, "x" in tags, time)
