"""
Names for sending addresses: what DNS calls them, confirmed in both directions, kept in the store for a while.

A name in the reverse zone is written by whoever has the address; it is believed only when it leads back there. Nothing
depends on a name being found: a look-up that fails is made again in a later run.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

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
_FAILURES = 3
"""Failures one after the other after which DNS is left alone for this run."""
_CANDIDATES = 4
"""Names of one address that are tried; who gives an address a hundred gets no hundred questions."""


def refresh(store: Store, resolver: Resolver, addresses: Iterable[str], now: datetime, *, most: int = MOST) -> int:
    """
    Look up the names of addresses that are not known or were looked up long ago.

    Args:
        store: The store.
        resolver: Asks DNS.
        addresses: The addresses, the most important first; what is none is passed over.
        now: When.
        most: How many are looked up at most.

    Returns:
        How many were looked up.

    Raises:
        StoreError: The store cannot be read or written.
    """
    found = dict(_looked_up(resolver, _due(store, addresses, now), most))
    if found:
        source_names.save(store, found, now)
    return len(found)


def _due(store: Store, addresses: Iterable[str], now: datetime) -> Iterator[str]:
    known = source_names.looked_up(store)
    for address in addresses:
        host, at = known.get(address, ("", None))
        if at is None or now - at >= (KEPT if host else KEPT_NAMELESS):
            yield address


def _looked_up(resolver: Resolver, addresses: Iterable[str], most: int) -> Iterator[tuple[str, str]]:
    failures = 0
    for tried, text in enumerate(addresses):
        if tried >= most or failures >= _FAILURES:
            return
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        try:
            yield text, confirmed_name(resolver, address)
            failures = 0
        except DnsError:
            failures += 1


def confirmed_name(resolver: Resolver, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
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


def _addresses(resolver: Resolver, name: str, kind: str) -> set[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    return {ipaddress.ip_address(text) for text in resolver.records(name, kind) or ()}
