"""
Takes persons out of texts of reported mail: the local part of every address becomes a hash, its domain stays.

As RFC 6590 section 3 has it, equal addresses become equal texts, so that they can still be compared and counted; the
key keeps others from finding an address by hashing all that they can think of. Does no I/O.
"""

import hmac
import re
from dataclasses import dataclass, field
from hashlib import sha256

HASH_LENGTH = 16
"""Hexadecimal digits that stand for a local part."""

_BLANKS = re.compile(r" ?@ ?")
_RUN = re.compile(r'(?:"[^"\r\n]{0,128}"(?=@)|[^\s<>()\[\]{};,"])+')
_KNOWN_KEY = re.compile(
    r"(?:(?:(?:smtp|header|policy|body)\.[a-z-]+|envelope-?from|envelope-?to|mail-?from|mfrom|from|to|for|identity"
    r"|x-sender|client-ip|i|a)=|(?:mailto|rfc822|utf-8):)+",
    re.IGNORECASE,
)
_DOMAIN = re.compile(r"[^\s'`:/?#&=%!*|\\]*[^\s'`:/?#&=%!*|\\.]")
_URI = re.compile(r"\s*<?([a-z][a-z0-9+.-]{0,30}):(?://(?:[^/?#@]*@)?([^/?#:@>]*))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Redactor:
    """
    Hashes local parts with one key.

    Args:
        key: The key; what it hashed can be compared with what it hashed elsewhere.
    """

    key: bytes = field(repr=False)

    def address(self, address: str) -> str:
        """Give an address with its local part hashed; what has no domain is hashed altogether."""
        local, at, domain = (part.strip() for part in address.rpartition("@"))
        if not at:
            local, domain = domain, ""
        if not local:
            return f"@{domain.lower()}" if domain else ""
        name = f"{local}@{domain}".lower()
        return hmac.digest(self.key, name.encode("utf-8", "replace"), sha256).hex()[:HASH_LENGTH] + at + domain.lower()

    def text(self, text: str) -> str:
        """Give a text with all addresses in it redacted; blanks may stand around an `@` (RFC 5322 section 4.4)."""
        if "@" not in text:
            return text
        return _RUN.sub(lambda match: self._run(match.group()), _BLANKS.sub("@", text))

    def _run(self, run: str) -> str:
        if "@" not in run:
            return run
        key = _KNOWN_KEY.match(run)
        label = key.group() if key else ""
        # What follows the domain may be about a person as well (`mailto:` with a subject).
        local, _, rest = run[len(label) :].rpartition("@")
        domain = _DOMAIN.match(rest)
        return label + self.address(f"{local}@{domain.group() if domain else ''}")

    def uri(self, uri: str) -> str:
        """Give the scheme and the host of a URI, or its redacted address: the rest may tell who clicked."""
        match = _URI.match(uri)
        if match is None:
            return self.address(uri.strip("<> "))
        scheme, host = match.group(1).lower(), match.group(2)
        if host is not None:
            return f"{scheme}://{host.lower()}"
        rest = uri[match.end() :].partition("?")[0].strip("<> ")
        return f"{scheme}:{self.address(rest)}" if scheme == "mailto" else f"{scheme}:"
