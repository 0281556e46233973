"""
Texts of a report as typed values: what is out of order is noted, and read as the contract has it. Does no I/O.

Every function takes the text as it stood (None: the element is absent or empty), the notes, and the element's path.
"""

import ipaddress
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

import idna

from dmarcops.report.model import (
    DkimResultType,
    DmarcResult,
    Domain,
    OverrideType,
    SpfResultType,
)
from dmarcops.report.notes import Notes

MAX_COUNT = 10**12
"""Messages of one record above which a count is nonsense; the sum of a report's counts then fits 64 bits."""
MAX_DOMAIN = 253
"""Characters of a domain name (RFC 1035 section 2.3.4, without the root's dot)."""
MAX_TIME = 253_402_300_799
"""Epoch seconds of the end of the year 9999."""
_MILLISECONDS_FROM = 10**11

E = TypeVar("E", bound=StrEnum)

_DKIM_SPELLINGS = {"unknown": DkimResultType.PERMERROR, "error": DkimResultType.TEMPERROR}
_SPF_SPELLINGS = {
    "unknown": SpfResultType.PERMERROR,
    "error": SpfResultType.TEMPERROR,
    "hardfail": SpfResultType.FAIL,
}
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_DOMAIN = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_-]{1,63})*")
_GROUPED = re.compile(r"[0-9]{1,3}(?:[, '][0-9]{3})+")
_FLOAT = re.compile(r"[+]?([0-9]{1,30})(?:\.[0-9]*)?")


def enumerated(text: str | None, kind: type[E], notes: Notes, path: str) -> E | None:
    """Read a value of the enumeration in any case; absent and unknown ones are None, unknown ones noted."""
    if text is None:
        return None
    try:
        return kind(text.lower())
    except ValueError:
        notes.add("unknown-value", path, text)
        return None


def evaluated(text: str | None, notes: Notes, path: str) -> DmarcResult:
    """Read `policy_evaluated` dkim or spf: what is no `pass` is a `fail`, so that a defect never makes mail aligned."""
    if text is None:
        notes.add("missing-element", path)
        return DmarcResult.FAIL
    return enumerated(text, DmarcResult, notes, path) or DmarcResult.FAIL


def dkim_result(text: str | None, notes: Notes, path: str) -> DkimResultType:
    """Read a raw DKIM result (RFC 8601 section 2.7.1); unknown ones are `permerror`, as in RFC 7489's own comments."""
    return _result(text, _DKIM_SPELLINGS, notes, path)


def spf_result(text: str | None, notes: Notes, path: str) -> SpfResultType:
    """Read a raw SPF result (RFC 8601 section 2.7.2); `hardfail` is `fail`, unknown ones are `permerror`."""
    return _result(text, _SPF_SPELLINGS, notes, path)


def _result(text: str | None, spellings: Mapping[str, E], notes: Notes, path: str) -> E:
    kind = type(next(iter(spellings.values())))
    if text is None:
        notes.add("missing-element", path)
        return kind("none")
    lowered = text.lower()
    try:
        return kind(lowered)
    except ValueError:
        notes.add("unknown-value", path, text)
        return spellings.get(lowered, kind("permerror"))


def override_type(text: str | None, notes: Notes, path: str) -> OverrideType:
    """Read a reason's type; unknown ones are `other` (RFC 9990 section 3.1.6)."""
    if text is None:
        notes.add("missing-element", path)
        return OverrideType.OTHER
    return enumerated(text, OverrideType, notes, path) or OverrideType.OTHER


def domain(text: str | None, notes: Notes, path: str) -> Domain | None:
    """
    Read a domain as lower-case A-labels without the trailing dot (RFC 9989 section 5.3.1).

    What is no domain name is kept in lower case and noted.
    """
    if text is None:
        return None
    name = text.lower().rstrip(".")
    if _DOMAIN.fullmatch(name) and len(name) <= MAX_DOMAIN:
        return Domain(name)
    if "@" in name:
        notes.add("address-for-domain", path, text)
        return domain(name.rpartition("@")[2] or None, notes, path)
    if not name.isascii():
        try:
            return Domain(idna.encode(name, uts46=True).decode("ascii"))
        except (idna.IDNAError, UnicodeError):
            pass
    notes.add("invalid-domain", path, text)
    return Domain(name)


def source_ip(text: str | None, notes: Notes, path: str) -> str | None:
    """
    Read an IP address in its canonical text form (RFC 5952).

    An IPv4-mapped IPv6 address is read as the IPv4 address; what is no address is kept as it stood; both are noted.
    """
    if text is None:
        notes.add("missing-element", path)
        return None
    if _IPV4.fullmatch(text):
        return text
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        notes.add("invalid-source-ip", path, text)
        return text
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        notes.add("ipv4-mapped", path, text)
        return str(address.ipv4_mapped)
    return str(address)


def count(text: str | None, notes: Notes, path: str) -> int:
    """
    Read a number of messages; what is no number, negative or above `MAX_COUNT` is 0, since no mail may be invented.

    `5.0` and `1,234` are read, and noted.
    """
    if text is None:
        notes.add("missing-element", path)
        return 0
    number = _whole(text, notes, path)
    if number is None or number > MAX_COUNT:
        notes.add("invalid-count", path, text)
        return 0
    if number == 0:
        notes.add("zero-count", path)
    return number


def number(text: str | None, notes: Notes, path: str) -> int | None:
    """Read a whole number such as `pct`; what is none is None, and noted."""
    if text is None:
        return None
    value = _whole(text, notes, path)
    if value is None or value > MAX_COUNT:
        notes.add("unknown-value", path, text)
        return None
    return value


def epoch(text: str | None, notes: Notes, path: str) -> int | None:
    """
    Read a time as UTC epoch seconds; fractions, milliseconds and ISO 8601 are read and noted.

    A time without a zone is UTC. What is no time is None, and noted.
    """
    if text is None:
        notes.add("missing-element", path)
        return None
    value = _whole(text, notes, path)
    if value is not None and value >= _MILLISECONDS_FROM:
        notes.add("time-format", path, text)
        value //= 1000
    if value is None:
        value = _iso_8601(text, notes, path)
    if value is None or value > MAX_TIME:
        notes.add("unknown-value", path, text)
        return None
    return value


def moment(text: str, notes: Notes, path: str) -> int | None:
    """Read a time of RFC 3339 as UTC epoch seconds; one without a zone or as a number is noted."""
    try:
        time = datetime.fromisoformat(text)
        seconds = int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return epoch(text, notes, path)
    # The last day of the calendar in a zone west of UTC is in the year 10000
    if not 0 <= seconds <= MAX_TIME:
        notes.add("unknown-value", path, text)
        return None
    if time.tzinfo is None:
        notes.add("time-format", path, text)
    return seconds


def _whole(text: str, notes: Notes, path: str) -> int | None:
    if text.isascii() and text.isdecimal() and len(text) <= 30:  # noqa: PLR2004 - longer ones are no number of anything
        return int(text)
    if _GROUPED.fullmatch(text):
        notes.add("number-format", path, text)
        return int(re.sub(r"\D", "", text))
    whole = _FLOAT.fullmatch(text)
    if whole is None:
        return None
    notes.add("number-format", path, text)
    return int(whole.group(1))


def _iso_8601(text: str, notes: Notes, path: str) -> int | None:
    try:
        time = datetime.fromisoformat(text)
        seconds = int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return None
    if seconds < 0:
        return None
    notes.add("time-format", path, text)
    return seconds
