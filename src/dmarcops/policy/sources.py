"""
Who sends as a domain: what people said of a source, and what its mail shows. Does no I/O.

People acknowledge or deny an address, a network, a service or a domain. What they said of the narrowest holds; of two
words about the same thing, the later one.
"""

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache

from dmarcops.domains import a_labels
from dmarcops.errors import ConfigError
from dmarcops.quantities import parse_network

_IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
_WIDEST = {4: 8, 6: 16}
"""The shortest prefixes of networks that one can speak of, by version of IP: no sender has a larger one."""
_REMEMBERED = 65_536
"""Addresses that are remembered as read: the domains of a fleet have most of theirs in common."""


class Scope(StrEnum):
    """What a word is about, from narrow to wide."""

    ADDRESS = "address"
    NETWORK = "network"
    SERVICE = "service"
    DOMAIN = "domain"
    """The name of the sending host is this domain, or below it."""


class Word(StrEnum):
    """What a person said of a source."""

    ACK = "ack"
    DENY = "deny"
    NOTE = "note"
    """A remark that decides nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """What a person said of a source, and when."""

    scope: Scope
    value: str
    word: Word
    by: str
    at: datetime
    note: str = ""


def parse_subject(text: str, services: Sequence[str] = ()) -> tuple[Scope, str]:
    """
    Tell what a text names: an address, a network, a service that is known, or a domain.

    Raises:
        ConfigError: It is none of them, or a network of so many addresses that nobody's mail servers are all of it.
    """
    stripped = text.strip()
    network = _network(stripped)
    if network is not None:
        least = _WIDEST[network.version]
        if network.prefixlen < least:
            raise ConfigError(
                f"{text!r} holds more than a /{least}: it would speak of senders whom nobody has looked at",
                hint="name the networks that mail comes from",
            )
        is_address = network.prefixlen == network.max_prefixlen
        return (Scope.ADDRESS, str(network.network_address)) if is_address else (Scope.NETWORK, str(network))
    service = next((name for name in services if name.casefold() == stripped.casefold()), None)
    if service is not None:
        return Scope.SERVICE, service
    domain = a_labels(stripped)
    # An address with a slip of the pen, or a range, is no domain: no top-level domain is without letters (RFC 3696
    # section 2).
    has_letters = any(letter.isalpha() for letter in domain.rpartition(".")[2])
    if "." not in domain or not has_letters:
        hint = "an address, a network such as 192.0.2.0/24, the name of a service, or a domain"
        raise ConfigError(f"{text!r} names no source", hint=hint)
    return Scope.DOMAIN, domain


@dataclass(frozen=True, slots=True)
class Origin:
    """What is known of a sending address; `service` and `host` are empty when unknown, `host` is in A-labels."""

    address: str
    service: str = ""
    host: str = ""


Review = Callable[[Origin], Acknowledgement | None]
"""Gives the word that holds for a source; None: nobody has reviewed it."""


def review(words: Sequence[Acknowledgement]) -> Review:
    """Give what people said, to be asked source by source."""
    deciding = sorted((word for word in words if word.word is not Word.NOTE), key=lambda word: word.at)
    by_address = {word.value: word for word in deciding if word.scope is Scope.ADDRESS}
    by_service = {word.value.casefold(): word for word in deciding if word.scope is Scope.SERVICE}
    by_domain = {word.value: word for word in deciding if word.scope is Scope.DOMAIN}
    networks = {net: word for word in deciding if word.scope is Scope.NETWORK and (net := _network(word.value))}
    narrow_first = sorted(networks, key=lambda net: -net.prefixlen)

    def word_for(origin: Origin) -> Acknowledgement | None:
        if origin.address in by_address:
            return by_address[origin.address]
        address = _address(origin.address)
        net = next((net for net in narrow_first if address is not None and address in net), None)
        if net is not None:
            return networks[net]
        if origin.service.casefold() in by_service:
            return by_service[origin.service.casefold()]
        labels = origin.host.split(".")
        return next((by_domain[x] for at in range(len(labels)) if (x := ".".join(labels[at:])) in by_domain), None)

    return word_for


def group_name(origin: Origin, organizational_domain: Callable[[str], str]) -> str:
    """
    Give the name under which mail of one sender is counted: its service, its host's domain, or its network.

    A sender with many addresses is one source that way, and weighs as much as all of them together.
    """
    if origin.service:
        return origin.service
    if origin.host:
        return organizational_domain(origin.host)
    return _network_name(origin.address)


@lru_cache(maxsize=_REMEMBERED)
def _network_name(text: str) -> str:
    address = _address(text)
    if address is None:
        return text or "unknown"
    length = 24 if address.version == 4 else 64  # noqa: PLR2004 - the version of IP
    return str(ipaddress.ip_network((address, length), strict=False))


@lru_cache(maxsize=_REMEMBERED)
def _address(text: str) -> _IPAddress | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _network(text: str) -> _IPNetwork | None:
    try:
        return parse_network(text)
    except ConfigError:
        return None
