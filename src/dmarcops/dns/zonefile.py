"""
The `Resolver` port on a master file (RFC 1035 section 5): what the world would see if the zone were served. Offline.

Asks no network and writes nothing. What the file leaves to another zone, it cannot tell.
"""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import dns.exception
import dns.name
import dns.node
import dns.rdataset
import dns.rdatatype
import dns.zone
from dns.rdtypes.ANY.CNAME import CNAME
from dns.rdtypes.ANY.SOA import SOA

from dmarcops.dns.names import absolute, canonical, is_within, longest, text_of
from dmarcops.errors import AnswerError, ConfigError

OUTSIDE = "outside of the zone"
"""The reason of an error: the file is of another zone."""
DELEGATED = "delegated to another zone"
"""The reason of an error: the file leaves the name to another."""
_DEPTH = 8


class ZoneFile:
    """
    A zone as a file has it; read at the first question.

    Args:
        path: The file.
        origin: The zone's name, where the file does not say it by `$ORIGIN`.
    """

    def __init__(self, path: Path, *, origin: str = "") -> None:
        self._path = path
        self._origin = absolute(origin) if origin else None

    @property
    def name(self) -> str:
        """
        The zone's name.

        Raises:
            ConfigError: The file cannot be read.
        """
        return text_of(self._zone.origin or dns.name.root)

    def authoritative(self, name: str) -> dict[str, tuple[bytes, ...]]:
        """Give the file's texts, as those of the one server there is."""
        return {str(self._path): self.txt(name) or ()}

    def recursive(self, name: str) -> dict[str, tuple[bytes, ...]]:
        """Give the file's texts, as those of the one resolver there is."""
        return self.authoritative(name)

    def txt(self, name: str) -> tuple[bytes, ...] | None:
        """Give the file's texts at `name`."""
        found = self._found(absolute(name), "TXT")
        return None if found is None else tuple(sorted(b"".join(rdata.strings) for rdata in found))

    def records(self, name: str, kind: str) -> tuple[str, ...] | None:
        """Give the file's records of a type at `name`."""
        found = self._found(absolute(name), kind)
        return None if found is None else tuple(sorted(rdata.to_text() for rdata in found))

    def delegation(self, zone: str) -> tuple[str, ...]:
        """Give the servers that the file delegates `zone` to, or its own when it is the file's."""
        asked = absolute(zone)
        node = self._zone.get_node(self._inside(asked, "NS"))
        servers = node.get_rdataset(dns.rdataclass.IN, dns.rdatatype.NS) if node else None
        return tuple(sorted(text_of(rdata.target) for rdata in servers or ()))

    def negative_ttl(self, name: str) -> int:
        """Give the smaller of the SOA's TTL and its last field (RFC 2308 section 5)."""
        self._inside(absolute(name), "SOA")
        found = self._zone.find_rdataset(self._apex, dns.rdatatype.SOA)
        soa: SOA = found[0]
        return min(found.ttl, soa.minimum)

    @cached_property
    def _zone(self) -> dns.zone.Zone:
        try:
            text = self._path.read_text(encoding="utf-8")
            zone = dns.zone.from_text(
                text, origin=self._origin, relativize=False, filename=str(self._path), check_origin=False
            )
            if zone.origin is None:
                raise ConfigError(f"{self._path} does not say which zone it is", hint="begin it with $ORIGIN")
            zone.check_origin()
        except OSError as error:
            raise ConfigError(f"{self._path} cannot be read: {error.strerror}") from error
        except (dns.exception.DNSException, UnicodeDecodeError, KeyError) as error:
            hint = "a zone file has $ORIGIN, SOA and NS records; quote every TXT string"
            raise ConfigError(f"{self._path} is no zone file: {error}", hint=hint) from error
        return zone

    @property
    def _apex(self) -> dns.name.Name:
        return self._zone.origin or dns.name.root

    def _inside(self, name: dns.name.Name, kind: str) -> dns.name.Name:
        if not name.is_subdomain(self._apex):
            raise self._fault(OUTSIDE, name, kind)
        return name

    def _found(self, name: dns.name.Name, kind: str) -> dns.rdataset.Rdataset | tuple[()] | None:
        """Give the records of a type, none, or `None` when there is no such name."""
        wanted = dns.rdatatype.from_text(kind)
        for _ in range(_DEPTH + 1):
            node = self._node(self._inside(name, kind), kind)
            if node is None:
                return None
            found = node.get_rdataset(dns.rdataclass.IN, wanted)
            alias = node.get_rdataset(dns.rdataclass.IN, dns.rdatatype.CNAME)
            if found or not alias:
                return found or ()
            target: CNAME = alias[0]
            name = target.target.canonicalize()
        raise self._fault("loop", name, kind)

    def _node(self, name: dns.name.Name, kind: str) -> dns.node.Node | None:
        """Find a name as a server does: cuts, empty names above others, wildcards (RFC 4592)."""
        above = name
        while above != self._apex:
            node = self._zone.get_node(above)
            if node and node.get_rdataset(dns.rdataclass.IN, dns.rdatatype.NS):
                raise self._fault(DELEGATED, name, kind)
            above = above.parent()
        node = self._zone.get_node(name)
        if node is None and self._has_below(name):
            return dns.node.Node()  # type: ignore[no-untyped-call]  # its constructor has no types
        if node is None:
            encloser = name.parent()
            while not self._has_below(encloser):
                encloser = encloser.parent()
            node = self._zone.get_node(dns.name.Name((b"*", *encloser.labels)))
        return node

    def _has_below(self, name: dns.name.Name) -> bool:
        """Tell whether a name is there, be it only above another."""
        return any(other.is_subdomain(name) for other in self._zone)

    def _fault(self, reason: str, name: dns.name.Name, kind: str) -> AnswerError:
        return AnswerError(str(self._path), reason, question=f"{kind} {text_of(name)}", transient=False)


class ZoneFiles:
    """
    Several zones as files have them, asked as one; a name above all of them does not exist, as if they were all of DNS.

    Args:
        paths: The files.

    Raises:
        ConfigError: One cannot be read, or two are of the same zone.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._zones: dict[str, ZoneFile] = {}
        for path in paths:
            zone = ZoneFile(path)
            if self._zones.setdefault(zone.name, zone) is not zone:
                raise ConfigError(f"{path} is another file of the zone {zone.name}")

    def txt(self, name: str) -> tuple[bytes, ...] | None:
        """Give the texts at `name`."""
        zone, name = self._at(name, "TXT")
        return None if zone is None else zone.txt(name)

    def records(self, name: str, kind: str) -> tuple[str, ...] | None:
        """Give the records of a type at `name`."""
        zone, name = self._at(name, kind)
        return None if zone is None else zone.records(name, kind)

    def _at(self, name: str, kind: str) -> tuple[ZoneFile | None, str]:
        """Find the zone that has what is asked for, by way of CNAMEs; none: there is no such name."""
        for _ in range(_DEPTH + 1):
            name = canonical(name)
            zone = self._zones.get(longest(name, self._zones) or "")
            if zone is None and self._is_above(name):
                return None, name
            if zone is None:
                raise AnswerError("the zone files", OUTSIDE, question=f"{kind} {name}", transient=False)
            alias = () if kind == "CNAME" else zone.records(name, "CNAME")
            if not alias:
                return zone, name
            name = alias[0]
        raise AnswerError("the zone files", "loop", question=f"{kind} {name}", transient=False)

    def _is_above(self, name: str) -> bool:
        """Tell whether a name is, but for labels with an underscore, above a zone."""
        labels = name.split(".")
        while labels and labels[0].startswith("_"):
            del labels[0]
        return any(is_within(zone, ".".join(labels)) for zone in self._zones)
