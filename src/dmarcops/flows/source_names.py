"""
Names for sending addresses: what DNS calls them, confirmed in both directions, kept in the store for a while.

A name in the reverse zone is written by whoever has the address; it is believed only when it leads back there. Nothing
depends on a name being found: a look-up that fails is made again some other day.
"""

import ipaddress
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import islice

from dmarcops.domains import a_labels
from dmarcops.errors import DnsError
from dmarcops.ports import Resolver
from dmarcops.store import source_names
from dmarcops.store.engine import Store

MOST = 100
"""Addresses looked up in one run, those of the most mail first; the others follow in later ones."""
KEPT = timedelta(days=30)
"""How long a name is taken as known."""
KEPT_NAMELESS = timedelta(days=7)
"""How long an address is taken to have none."""
RETRY = timedelta(days=1)
"""How long an address is let be about which DNS did not say; what was known of it is taken as known meanwhile."""
_FAILURES = 3
"""Failures one after the other after which DNS is left alone for this run."""
_CANDIDATES = 4
"""Names of one address that are tried; who gives an address a hundred gets no hundred questions."""

_IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def refresh(store: Store, resolver: Resolver, addresses: Iterable[str], now: datetime, *, most: int = MOST) -> int:
    """
    Look up the names of addresses that are not known or were looked up long ago.

    Args:
        store: The store.
        resolver: Asks DNS.
        addresses: The addresses, the most important first; what is none is passed over.
        now: When.
        most: How many are asked about at most.

    Returns:
        How many DNS was asked about.

    Raises:
        StoreError: The store cannot be read or written.
    """
    known = source_names.looked_up(store)
    due = ((text, address) for text in addresses if (address := _due(text, known.get(text), now)) is not None)
    found: dict[str, tuple[str, datetime]] = {}
    failures = 0
    for text, address in islice(due, most):
        try:
            found[text] = confirmed_name(resolver, address), now
            failures = 0
        except DnsError:
            host, _ = known.get(text, ("", now))
            found[text] = host, now + RETRY - _lifetime(host)
            failures += 1
            if failures == _FAILURES:
                break
    if found:
        source_names.save(store, found)
    return len(found)


def _due(text: str, known: tuple[str, datetime] | None, now: datetime) -> _IPAddress | None:
    if known is not None and now - known[1] < _lifetime(known[0]):
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _lifetime(host: str) -> timedelta:
    return KEPT if host else KEPT_NAMELESS


def confirmed_name(resolver: Resolver, address: _IPAddress) -> str:
    """
    Give the name of an address that leads back to it, in A-labels; empty when there is none (RFC 8601 section 2.7.3).

    Raises:
        DnsError: DNS did not say.
    """
    names = resolver.records(address.reverse_pointer, "PTR") or ()
    for name in [known for text in names if (known := a_labels(text))][:_CANDIDATES]:
        if address in _addresses(resolver, name, "A" if address.version == 4 else "AAAA"):  # noqa: PLR2004 - of IP
            return name
    return ""


def _addresses(resolver: Resolver, name: str, kind: str) -> set[_IPAddress]:
    return {ipaddress.ip_address(text) for text in resolver.records(name, kind) or ()}
