"""
How DNS is asked: every authoritative server by itself, and recursive resolvers as everybody asks them.

Recursive resolvers are asked for what exists already: the zone of a mail domain, its servers and their addresses.
Everything below is asked of the authoritative servers, with recursion off: a question for a record that is yet to come
would make a resolver remember that there is none (RFC 2308 section 5), and one for `_domainkey` that nothing is beneath
it (RFC 8020). Only TXT at the name itself is ever taken from an authoritative answer; where a CNAME leads, the servers
of its target are asked. Writes nothing.
"""

import ipaddress
import re
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset
from dns.rdtypes.ANY.CNAME import CNAME
from dns.rdtypes.ANY.SOA import SOA
from dns.rdtypes.ANY.TXT import TXT
from pydantic import Field

from dmarcops.dns.names import absolute, canonical, longest, text_of
from dmarcops.errors import AnswerError, ConfigError, DnsError
from dmarcops.settings import Duration, Settings

_PORT = 53
_PAYLOAD = 1232
"""Octets of an answer that are sure to come in one piece over UDP; more comes over TCP."""
_DEPTH = 8
"""CNAMEs that are followed one after the other."""
_CUTS = 8
"""Zone cuts that are followed below a domain's zone."""
_TRANSIENT = frozenset({"timeout", "unreachable", "garbled", "servfail"})
_ADDRESS = re.compile(r"(\[[^]]+\]|[^:]+)(?::([0-9]+))?")
_T = TypeVar("_T")


class Config(Settings):
    """Section `[resolver]`: how DNS is asked."""

    recursive: tuple[str, ...] = ()
    """Recursive resolvers, each `address` or `address:port` (IPv6: `[address]:port`); none: the system's."""
    authoritative: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Servers to ask for a zone instead of those that it is delegated to; for test beds and split DNS only."""
    timeout: Duration = timedelta(seconds=5)
    """How long a server may take for an answer."""
    tries: int = 2
    """How often a server that does not answer is asked."""


@dataclass(frozen=True, slots=True)
class _Server:
    """Where a question goes, and what it is called in answers and errors."""

    label: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class _Zone:
    name: dns.name.Name
    servers: tuple[_Server, ...]


@dataclass(frozen=True, slots=True)
class _Alias:
    """What a server said instead of TXT: that the name is another's."""

    target: dns.name.Name


class DnsResolver:
    """
    The `Resolver` port over the network.

    Args:
        config: What the configuration says.
        port: Where authoritative servers are found at; other than 53 in test beds only.
        system: The file that names the system's resolvers.
    """

    def __init__(self, config: Config, *, port: int = _PORT, system: str = "/etc/resolv.conf") -> None:
        self._config = config
        self._port = port
        self._system = system
        self._fixed = {
            canonical(zone): tuple(_server(text) for text in servers) for zone, servers in config.authoritative.items()
        }
        self._recursive = tuple(_server(text) for text in config.recursive)
        self._zones: dict[dns.name.Name, _Zone] = {}

    @property
    def fixed(self) -> tuple[str, ...]:
        """The zones whose servers are configured, instead of found by asking."""
        return tuple(self._fixed)

    def authoritative(self, name: str) -> dict[str, tuple[bytes, ...]]:
        """Ask each authoritative server of the zone directly for TXT, following CNAMEs."""
        return self._texts(absolute(name), ())

    def recursive(self, name: str) -> dict[str, tuple[bytes, ...]]:
        """Ask each recursive resolver for TXT."""
        asked = absolute(name)
        return _each(self._resolvers(), lambda server: _texts(self._looked_up(server, asked, "TXT")) or ())

    def txt(self, name: str) -> tuple[bytes, ...] | None:
        """Ask as everybody does: the first recursive resolver that answers."""
        asked = absolute(name)
        return _texts(self._first(self._resolvers(), lambda server: self._looked_up(server, asked, "TXT")))

    def records(self, name: str, kind: str) -> tuple[str, ...] | None:
        """Ask as everybody does for records of another type."""
        asked = absolute(name)
        found = self._first(self._resolvers(), lambda server: self._looked_up(server, asked, kind))
        return None if found is None else tuple(sorted(rdata.to_text() for rdata in found))

    def negative_ttl(self, name: str) -> int:
        """Give the seconds that resolvers may remember that nothing was at `name` (RFC 2308 section 5)."""
        asked = absolute(name)
        zone = self._zone(asked, _existing(asked))
        return max(
            _each(
                zone.servers, lambda server: _negative_ttl(self._told(server, zone.name, "SOA"), zone, server)
            ).values()
        )

    def delegation(self, zone: str) -> tuple[str, ...]:
        """Ask the parent's servers which servers `zone` is delegated to."""
        child = absolute(zone)
        fixed = self._fixed.get(text_of(child))
        servers = fixed or self._zone(child.parent(), child.parent()).servers
        return self._first(servers, lambda server: _nameservers(self._told(server, child, "NS"), child))

    def _texts(self, name: dns.name.Name, met: tuple[dns.name.Name, ...]) -> dict[str, tuple[bytes, ...]]:
        zone = self._zone(name, _existing(name))
        said = _each(zone.servers, lambda server: _own_texts(self._told(server, name, "TXT"), name, server))
        answers = {server: texts for server, texts in said.items() if not isinstance(texts, _Alias)}
        aliases = {server: alias.target for server, alias in said.items() if isinstance(alias, _Alias)}
        for target in sorted(set(aliases.values())):
            of = next(server for server, alias in aliases.items() if alias == target)
            if target in (*met, name) or len(met) == _DEPTH:
                raise AnswerError(
                    of, "loop", question=f"TXT {text_of(name)}, a CNAME of {text_of(target)}", transient=False
                )
            led = self._texts(target, (*met, name))
            answers |= {_led(server, target): texts for server, texts in led.items()}
        return answers

    def _zone(self, name: dns.name.Name, existing: dns.name.Name) -> _Zone:
        """Find the zone that holds `name`, and its servers; resolvers are asked for `existing` only."""
        fixed = longest(text_of(name), self._fixed)
        if fixed is not None:
            return _Zone(absolute(fixed), self._fixed[fixed])
        if existing not in self._zones:
            apex = self._first(self._resolvers(), lambda server: self._apex(server, existing))
            self._zones[existing] = self._served(apex, self.records(apex.to_text(), "NS") or ())
        zone = self._zones[existing]
        for _ in range(_CUTS):
            nearer = self._first(zone.servers, partial(self._nearer, zone=zone, name=name))
            if nearer is zone:
                return zone
            zone = nearer
        raise DnsError(f"more than {_CUTS} zone cuts above {text_of(name)}")

    def _apex(self, server: _Server, domain: dns.name.Name) -> dns.name.Name:
        """Ask a resolver for the zone that an existing name is in."""
        reply = self._asked(server, domain, "SOA", recursion=True)
        for rrset in (*reply.answer, *reply.authority):
            if rrset.rdtype == dns.rdatatype.SOA and domain.is_subdomain(rrset.name):
                return rrset.name.canonicalize()
        # A CNAME at the domain hides its zone; the name above is in it, or in one above that.
        if domain == dns.name.root:
            raise _fault(server, "no SOA", domain, "SOA")
        return self._apex(server, domain.parent())

    def _nearer(self, server: _Server, zone: _Zone, name: dns.name.Name) -> _Zone:
        """Ask a server of a zone whether there is a cut between it and the name."""
        if name == zone.name:
            return zone
        reply = self._told(server, name, "SOA")
        if _target(reply, name) is not None:
            name = name.parent()
            reply = self._told(server, name, "SOA")
        for rrset in (*reply.answer, *reply.authority):
            cut = rrset.name.canonicalize()
            if cut == zone.name or not (name.is_subdomain(cut) and cut.is_subdomain(zone.name)):
                continue
            if rrset.rdtype == dns.rdatatype.NS:
                return self._served(cut, tuple(str(rdata.target) for rdata in rrset))
            if rrset.rdtype == dns.rdatatype.SOA:
                return self._served(cut, tuple(_nameservers(self._told(server, cut, "NS"), cut)))
        return zone

    def _served(self, zone: dns.name.Name, hosts: Iterable[str]) -> _Zone:
        servers = tuple(server for host in sorted(hosts) for server in self._addresses(host))
        if not servers:
            raise DnsError(f"no address of a server of the zone {text_of(zone)} can be found", transient=True)
        return _Zone(zone, servers)

    def _addresses(self, host: str) -> Sequence[_Server]:
        """Give a server at each of its addresses; where we have no IPv6, its others do."""
        name = canonical(host)
        found = [
            _named(address, self._port, name=name)
            for kind in ("A", "AAAA")
            for address in self.records(host, kind) or ()
        ]
        return [server for server in found if _has_route(server)] or found

    def _resolvers(self) -> tuple[_Server, ...]:
        if not self._recursive:
            try:
                system = dns.resolver.Resolver(self._system)
            except dns.resolver.NoResolverConfiguration as error:
                raise ConfigError(
                    "the system names no resolver", hint='write [resolver] recursive = ["192.0.2.1"]'
                ) from error
            self._recursive = tuple(_named(str(address), system.port) for address in system.nameservers)
        return self._recursive

    def _first(self, servers: Sequence[_Server], ask: Callable[[_Server], _T]) -> _T:
        """Give the answer of the first server that has one; raise the faults of all when none has."""
        faults = []
        for server in servers:
            try:
                return ask(server)
            except DnsError as fault:
                faults.append(fault)
        raise _all_of(faults)

    def _looked_up(self, server: _Server, name: dns.name.Name, kind: str) -> dns.rrset.RRset | Sequence[TXT] | None:
        """Ask a recursive resolver; give the records, none, or `None` when the name does not exist."""
        reply = self._asked(server, name, kind, recursion=True)
        if reply.rcode() == dns.rcode.NXDOMAIN:
            return None
        try:
            return reply.resolve_chaining().answer or ()
        except dns.exception.DNSException as error:
            raise _fault(server, "loop", name, kind) from error

    def _told(self, server: _Server, name: dns.name.Name, kind: str) -> dns.message.QueryMessage:
        """Ask an authoritative server, which speaks for itself or refers to others."""
        reply = self._asked(server, name, kind, recursion=False)
        refers = any(rrset.rdtype == dns.rdatatype.NS for rrset in reply.authority)
        if not reply.flags & dns.flags.AA and not refers:
            raise _fault(server, "lame", name, kind)
        return reply

    def _asked(self, server: _Server, name: dns.name.Name, kind: str, *, recursion: bool) -> dns.message.QueryMessage:
        flags = dns.flags.RD if recursion else 0
        query = dns.message.make_query(name, kind, use_edns=0, payload=_PAYLOAD, flags=flags)
        reply = self._sent(server, query)
        rcode = reply.rcode()
        if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise _fault(server, dns.rcode.to_text(rcode).lower(), name, kind)
        return reply

    def _sent(self, server: _Server, query: dns.message.QueryMessage) -> dns.message.QueryMessage:
        name, kind = query.question[0].name, dns.rdatatype.to_text(query.question[0].rdtype)
        seconds = self._config.timeout.total_seconds()
        for left in reversed(range(max(1, self._config.tries))):
            try:
                reply, _ = dns.query.udp_with_fallback(
                    query, server.address, timeout=seconds, port=server.port, ignore_unexpected=True
                )
            except dns.exception.Timeout as error:
                if not left:
                    raise _fault(server, "timeout", name, kind) from error
            except OSError as error:
                raise _fault(server, "unreachable", name, kind) from error
            except dns.exception.DNSException as error:
                raise _fault(server, "garbled", name, kind) from error
            else:
                return reply  # type: ignore[return-value]  # a query's reply is a QueryMessage
        raise AssertionError


def _own_texts(reply: dns.message.QueryMessage, name: dns.name.Name, server: _Server) -> tuple[bytes, ...] | _Alias:
    """Read what a server says about the name itself, whatever else it put into the answer."""
    if not reply.flags & dns.flags.AA:
        raise _fault(server, "lame", name, "TXT")
    target = _target(reply, name)
    if target is not None:
        return _Alias(target)
    found = reply.get_rrset(dns.message.ANSWER, name, dns.rdataclass.IN, dns.rdatatype.TXT)
    return _texts(found or ()) or ()


def _target(reply: dns.message.QueryMessage, name: dns.name.Name) -> dns.name.Name | None:
    found = reply.get_rrset(dns.message.ANSWER, name, dns.rdataclass.IN, dns.rdatatype.CNAME)
    if not found:
        return None
    alias: CNAME = found[0]
    return alias.target.canonicalize()


def _texts(found: Sequence[TXT] | dns.rrset.RRset | None) -> tuple[bytes, ...] | None:
    return None if found is None else tuple(sorted(b"".join(rdata.strings) for rdata in found))


def _nameservers(reply: dns.message.QueryMessage, zone: dns.name.Name) -> tuple[str, ...]:
    for section in (dns.message.ANSWER, dns.message.AUTHORITY):
        found = reply.get_rrset(section, zone, dns.rdataclass.IN, dns.rdatatype.NS)
        if found:
            return tuple(sorted(text_of(rdata.target) for rdata in found))
    return ()


def _negative_ttl(reply: dns.message.QueryMessage, zone: _Zone, server: _Server) -> int:
    found = reply.get_rrset(dns.message.ANSWER, zone.name, dns.rdataclass.IN, dns.rdatatype.SOA)
    if not found:
        raise _fault(server, "no SOA", zone.name, "SOA")
    soa: SOA = found[0]
    return min(found.ttl, soa.minimum)


def _existing(name: dns.name.Name) -> dns.name.Name:
    """Give a name above that exists although the record may not yet: without `_domainkey` and all before it."""
    underscored = [place for place, label in enumerate(name.labels) if label.startswith(b"_")]
    return dns.name.Name(name.labels[underscored[-1] + 1 :]) if underscored else name.parent()


def _has_route(server: _Server) -> bool:
    """Tell whether this machine has a way to the server's address at all; nothing is sent."""
    family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((server.address, server.port))
    except OSError:
        return False
    return True


def _each(servers: Sequence[_Server], ask: Callable[[_Server], _T]) -> dict[str, _T]:
    """Ask every server; raise the faults of all that have no answer when one has none."""
    answers, faults = {}, []
    for server in servers:
        try:
            answers[server.label] = ask(server)
        except DnsError as fault:
            faults.append(fault)
    if faults:
        raise _all_of(faults)
    return answers


def _all_of(faults: Sequence[DnsError]) -> DnsError:
    if len(faults) == 1:
        return faults[0]
    return DnsError("; ".join(map(str, faults)), transient=all(fault.transient for fault in faults))


def _fault(server: _Server, reason: str, name: dns.name.Name, kind: str) -> AnswerError:
    question = f"{kind} {name.to_text(omit_final_dot=True)}"
    return AnswerError(server.label, reason, question=question, transient=reason in _TRANSIENT)


def _led(server: str, target: dns.name.Name) -> str:
    return server if " for " in server else f"{server} for {text_of(target)}"


def _named(address: str, port: int, *, name: str = "") -> _Server:
    bracketed = f"[{address}]" if name or ":" in address else address
    return _Server(f"{name}{bracketed}:{port}", address, port)


def _server(text: str) -> _Server:
    """Read `address`, `address:port` or `[address]:port`."""
    try:
        match = _ADDRESS.fullmatch(text)
        address, port = (match[1].strip("[]"), match[2] or _PORT) if match else (text, _PORT)
        return _named(str(ipaddress.ip_address(address)), int(port))
    except ValueError as error:
        raise ConfigError(
            f"{text!r} is no address of a DNS server", hint='write "192.0.2.1", "192.0.2.1:53" or "[2001:db8::1]:53"'
        ) from error
