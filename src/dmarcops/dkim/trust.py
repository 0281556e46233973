"""
Which Authentication-Results of a mail may be believed (RFC 8601 sections 4.1, 5 and 7.1).

Only those with a configured authserv-id, and only in the topmost block: the trace fields that the receiving side put
above what the sender sent. ARC-Authentication-Results are never read, nor is anything in an attached message. Does no
I/O.

Where the topmost block is: fields are looked at from the top down.

- Above its first Authentication-Results may stand trace fields and `X-` fields, and the Received of hops on the
  receiving side: their `by` host is one of the configured ids, aligned with one, or no public name (`localhost`,
  `mx3`, `*.internal`, an address). A hop `by` any other host may stand above only when it is configured, too.
- The hop that took the mail from outside (its `from` is none of these) is the last one that may stand above.
- It ends at the next Received, or at the first field that is neither a trace field nor an `X-` field.

For the id `""`, of a provider that writes none (Outlook), no hop that took the mail from outside may stand above, every
hop above must be within the organization of the topmost one, and only the first Authentication-Results counts.
"""

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dmarcops.dkim.authres import SUPPORTED_VERSION, AuthenticationResults, parse
from dmarcops.dkim.domain_name import a_labels
from dmarcops.dkim.header_fields import Header, HeaderField
from dmarcops.dkim.lexemes import Kind, lexemes

IsAligned = Callable[[str, str], bool]
"""Tells whether a domain is aligned with another one, both in lower-case A-labels (RFC 9989 section 4.4)."""

_RESULTS = "authentication-results"
_TRACE = frozenset(
    {
        _RESULTS,
        "authentication-results-original",
        "bimi-indicator",
        "bimi-location",
        "delivered-to",
        "delivery-date",
        "dkim-filter",
        "dmarc-filter",
        "envelope-to",
        "received",
        "received-spf",
        "return-path",
    }
)
_TRACE_PREFIXES = ("x-", "arc-")
_NOT_PUBLIC = (".internal", ".local", ".localdomain", ".localhost", ".lan", ".home.arpa")
_COMMENT_WORD = re.compile(r"[^\s()\[\]=,;]+")
_MAX_RECEIVED = 4_096


@dataclass(frozen=True, slots=True)
class Trust:
    """
    Whose results are believed.

    Args:
        authserv_ids: Ids as they are written; `.example.com` for every id below that domain, label by label, but not
            the domain itself; `""` for a provider that writes none.
        is_aligned: Relaxed alignment, to tell which hosts belong to the same organization.
    """

    authserv_ids: tuple[str, ...]
    is_aligned: IsAligned

    def entry_for(self, authserv_id: str) -> str | None:
        """Give the configured id that this one is, None when it is not trusted (RFC 8601 section 5)."""
        own = _comparable(authserv_id)
        for entry in self.authserv_ids:
            wanted = _comparable(entry.removeprefix("."))
            if own.endswith("." + wanted) if entry.startswith(".") else own == wanted:
                return entry
        return None

    def is_own_host(self, host: str) -> bool:
        """Tell whether a host belongs to the receiving side, as far as the configured ids say."""
        names = (_comparable(entry.removeprefix(".")) for entry in self.authserv_ids)
        return any(host == name or self.is_aligned(host, name) for name in names if name)


@dataclass(frozen=True, slots=True)
class Trusted:
    """A field that may be believed, and the configured id that says so: the receiver."""

    receiver: str
    results: AuthenticationResults


@dataclass(frozen=True, slots=True)
class Block:
    """
    What of the topmost block may be believed.

    `reason` says why nothing may; `authserv_id` is the first one of the block, trusted or not; `node` is the host that
    the receiving side took the mail from, by its own words, empty when that is not told.
    """

    trusted: tuple[Trusted, ...]
    reason: str
    authserv_id: str
    node: str


def topmost_block(header: Header, trust: Trust) -> Block:
    """Give the results of the topmost block that may be believed."""
    start = next((at for at, field in enumerate(header.fields) if field.name == _RESULTS), None)
    if start is None:
        return Block((), "no Authentication-Results", "", "")
    above, below = header.fields[:start], header.fields[start:]
    hops = [_hop(field.value) for field in above if field.name == "received"]
    block = _block(below)
    taken = next((hop for hop in hops if not hop.is_within(trust.is_own_host)), None) or _next_hop(below)
    parsed = [parse(field.value) for field in block]
    fault = _fault_above(above) or _fault_of_hops(hops, trust.is_own_host)
    idless_fault = _fault_above(above) or _fault_without_id(hops, trust)
    trusted, reasons = [], []
    for number, results in enumerate(parsed):
        entry = trust.entry_for(results.authserv_id)
        reason = _fault_of(results, entry, idless_fault if entry == "" else fault, is_first=number == 0)
        if entry is not None and not reason:
            trusted.append(Trusted(entry, results))
        else:
            reasons.append(reason)
    return Block(tuple(trusted), "" if trusted else reasons[0], parsed[0].authserv_id, taken.host if taken else "")


def _fault_of(results: AuthenticationResults, entry: str | None, fault: str, *, is_first: bool) -> str:
    if entry is None:
        named = f"authserv-id {results.authserv_id!r}" if results.authserv_id else "a field without authserv-id"
        return f"{named} is not trusted"
    if results.version != SUPPORTED_VERSION:
        return f"version {results.version} is not supported"
    if entry == "" and not is_first:
        return "without authserv-id only the topmost field counts"
    return fault


def _comparable(authserv_id: str) -> str:
    return a_labels(authserv_id) or authserv_id.strip().lower()


def _is_trace(field: HeaderField) -> bool:
    return field.name in _TRACE or field.name.startswith(_TRACE_PREFIXES)


def _block(fields: Sequence[HeaderField]) -> list[HeaderField]:
    """Give the Authentication-Results from the first field down to the next hop, or to what the sender wrote."""
    block = []
    for field in fields:
        if field.name == "received" or not _is_trace(field):
            break
        if field.name == _RESULTS:
            block.append(field)
    return block


def _fault_above(above: Sequence[HeaderField]) -> str:
    odd = next((field.name for field in above if not _is_trace(field)), "")
    return f"{odd} stands above the topmost Authentication-Results" if odd else ""


@dataclass(frozen=True, slots=True)
class _Hop:
    """A Received field: who wrote it, and whom it took the mail from."""

    by: str
    host: str
    """What the other side called itself."""
    seen: tuple[str, ...]
    """What the writer itself found out about the other side: names and addresses."""

    def is_within(self, is_own_host: Callable[[str], bool]) -> bool:
        """Tell whether it took the mail from the receiving side itself."""
        if not self.host:
            return True
        if _names_outside(self.host, is_own_host) or any(_names_outside(name, is_own_host) for name in self.seen):
            return False
        return is_own_host(self.host) or not any(_is_public_address(name) for name in (self.host, *self.seen))


def _hop(received: str) -> _Hop:
    """Read a Received field (RFC 5321 section 4.4) as far as its clauses can be told."""
    words: list[str] = []
    comments: list[tuple[int, str]] = []
    for lexeme in lexemes(received[:_MAX_RECEIVED]):
        if lexeme.kind is Kind.SEMICOLON:
            break
        if lexeme.kind is Kind.COMMENT:
            comments.append((len(words), lexeme.text.lower()))
        else:
            words.append(lexeme.raw.lower())
    by = words.index("by") if "by" in words else len(words)
    host = words[1] if words[:1] == ["from"] and by > 1 else ""
    # The first comment after the host is the TCP-info; OpenSMTPD and qmail put the HELO name before it.
    seen = next((_COMMENT_WORD.findall(text) for at, text in comments if at <= by), []) if host else []
    return _Hop(_host(words[by + 1]) if by + 1 < len(words) else "", _host(host), tuple(_host(word) for word in seen))


def _host(word: str) -> str:
    return word.strip("[]").removesuffix(".")


def _next_hop(fields: Sequence[HeaderField]) -> _Hop | None:
    return next((_hop(field.value) for field in fields if field.name == "received"), None)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name.removeprefix("ipv6:"))
    except ValueError:
        return None


def _is_public_address(name: str) -> bool:
    address = _address(name)
    return address is not None and not address.is_private


def _names_outside(name: str, is_own_host: Callable[[str], bool]) -> bool:
    """Tell whether a name is one of another organization; `unknown` is how a host without a name is written."""
    if name == "unknown":
        return True
    if "." not in name or _address(name):
        return False
    return not name.endswith(_NOT_PUBLIC) and not is_own_host(name)


def _fault_of_hops(hops: Sequence[_Hop], is_own_host: Callable[[str], bool]) -> str:
    entered = False
    for hop in hops:
        if entered:
            taker = f"the hop by {hop.by or 'an unnamed host'} stands above it"
            return f"{taker}, below the one that took the mail in; if both are yours, add their hosts to authserv_ids"
        if _names_outside(hop.by, is_own_host):
            return f"the hop by {hop.by} stands above it; if that host is yours, add it to authserv_ids"
        entered = not hop.is_within(is_own_host)
    return ""


def _fault_without_id(hops: Sequence[_Hop], trust: Trust) -> str:
    def is_of_topmost(host: str) -> bool:
        return host == hops[0].by or trust.is_aligned(host, hops[0].by)

    for hop in hops:
        if not hop.by or _names_outside(hop.by, is_of_topmost) or not hop.is_within(is_of_topmost):
            return f"the hop by {hop.by or 'an unnamed host'} stands above it"
    return ""
