"""
A zone's primary that takes dynamic updates (RFC 2136) signed with TSIG (RFC 8945): BIND, Knot, PowerDNS and others.

Each change is one message whose prerequisites are what was read, so that the server itself refuses it when something
else is there by then. Everything goes over TCP, signed, and is believed only when the answer is signed too. What other
types stand at a name is never touched.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Literal

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.tsig
import dns.tsigkeyring
import dns.update
from dns.rdtypes.ANY.TXT import TXT
from pydantic import SecretStr

from dmarcops.dns.compare import foreign_alias, is_due
from dmarcops.dns.names import absolute, text_of
from dmarcops.dns.txt import chunks
from dmarcops.errors import ConfigError, DnsError, UnsafeChangeError
from dmarcops.ports import TxtChange, TxtSet
from dmarcops.settings import Duration, Settings

_DENIED = "the server must know the key, with the same secret and algorithm, and its update policy must allow the name"
_CHANGED = (dns.rcode.YXDOMAIN, dns.rcode.YXRRSET, dns.rcode.NXDOMAIN, dns.rcode.NXRRSET)
_TRIES = 3
"""How often a change is tried anew when what is there changed between the reading and the writing."""


class Config(Settings):
    """Section `[dns.NAME]` with `kind = "rfc2136"`."""

    server: str
    """The zone's primary: a name or an address."""
    port: int = 53
    """Its port."""
    key_name: str
    """The TSIG key's name."""
    key_secret: SecretStr
    """The TSIG key's secret, Base64."""
    key_algorithm: Literal["hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"] = "hmac-sha256"
    """The TSIG key's algorithm."""
    timeout: Duration = timedelta(seconds=10)
    """How long the server may take for an answer."""


class Adapter:
    """
    The `DnsProvider` port by dynamic updates.

    Args:
        name: What the configuration calls it.
        config: What the configuration says.
    """

    def __init__(self, name: str, config: Config) -> None:
        self._name = name
        self._config = config
        self._server = f"{name} ({config.server}:{config.port})"
        self._zones: dict[dns.name.Name, dns.name.Name] = {}
        try:
            self._key_name = absolute(config.key_name)
            self._keyring = dns.tsigkeyring.from_text({config.key_name: config.key_secret.get_secret_value()})
        except ValueError:
            # Not `from` the library's error, which may tell of the secret.
            raise ConfigError(f"[dns.{name}] key_secret is no Base64") from None

    def fetch(self, name: str) -> TxtSet | None:
        """Give the TXT records at `name` as the server has them now."""
        asked = absolute(name)
        found = self._found(asked)
        return None if found is None else _read(asked, found)

    def publish(self, name: str, value: bytes, *, ttl: int) -> str:
        """Make `value` the TXT record at a name that has none."""
        return self._change(TxtChange(text_of(absolute(name)), None, value, ttl))

    def replace(self, expected: TxtSet, value: bytes) -> str:
        """Put `value` in the place of exactly `expected`."""
        return self._change(TxtChange(expected.name, expected, value, expected.ttl))

    def remove(self, expected: TxtSet) -> str:
        """Take away exactly `expected`."""
        return self._change(TxtChange(expected.name, expected, None))

    def is_settled(self, token: str) -> bool:  # noqa: ARG002 - the port's
        """Say yes: a server that acknowledged a change has it, and the secondaries are the resolver's to ask."""
        return True

    def _change(self, change: TxtChange) -> str:
        name = absolute(change.name)
        for _ in range(_TRIES):
            found = self._found(name)
            if not is_due(change, None if found is None else _read(name, found), where=self._server):
                return ""
            update = self._update(name)
            if found is None:
                update.absent(name, dns.rdatatype.TXT)
                # A record beside a CNAME is left out without an error (RFC 2136 section 3.4.2.2).
                update.absent(name, dns.rdatatype.CNAME)
            else:
                update.present(name, *found)  # as it was read: strings split elsewhere are another record
                update.delete(name, dns.rdatatype.TXT)
            if change.after is not None:
                update.add(name, change.ttl if found is None else found.ttl, _data(change.after))
            if self._is_made(update, name):
                return change.name
        raise DnsError(f"{change.name} is being changed by somebody else too", transient=True)

    def _found(self, name: dns.name.Name) -> dns.rdataset.Rdataset | None:
        self._zone(name)
        reply = self._asked(name, dns.rdatatype.TXT)
        alias = reply.get_rrset(dns.message.ANSWER, name, dns.rdataclass.IN, dns.rdatatype.CNAME)
        if alias:
            raise foreign_alias(text_of(name), text_of(alias[0].target))
        found = reply.get_rrset(dns.message.ANSWER, name, dns.rdataclass.IN, dns.rdatatype.TXT)
        return found.to_rdataset() if found else None

    def _zone(self, name: dns.name.Name) -> dns.name.Name:
        """Ask the server which of its zones holds the name."""
        if name not in self._zones:
            reply = self._asked(name, dns.rdatatype.SOA)
            zones = [rrset.name for rrset in (*reply.answer, *reply.authority) if rrset.rdtype == dns.rdatatype.SOA]
            above = [zone for zone in zones if name.is_subdomain(zone)]
            if not above and reply.get_rrset(dns.message.ANSWER, name, dns.rdataclass.IN, dns.rdatatype.CNAME):
                return self._zone(name.parent())
            if not above or not reply.flags & dns.flags.AA:
                raise self._no_zone(name)
            self._zones[name] = above[0].canonicalize()
        return self._zones[name]

    def _no_zone(self, name: dns.name.Name) -> UnsafeChangeError:
        reason = f"{self._server} holds no zone for {text_of(name)}"
        return UnsafeChangeError("zone-missing", reason, hint="name the zone's primary in [dns], or delegate the zone")

    def _asked(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> dns.message.Message:
        query = dns.message.make_query(name, kind, flags=0)
        query.use_tsig(self._keyring, self._key_name, algorithm=self._config.key_algorithm)
        reply = self._sent(query)
        rcode = reply.rcode()
        if rcode == dns.rcode.REFUSED:
            raise self._no_zone(name)
        if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise self._failed(rcode, name)
        return reply

    def _update(self, name: dns.name.Name) -> dns.update.UpdateMessage:
        return dns.update.UpdateMessage(
            self._zone(name),
            keyring=self._keyring,
            keyname=self._key_name,
            keyalgorithm=dns.name.from_text(self._config.key_algorithm),
        )

    def _is_made(self, update: dns.update.UpdateMessage, name: dns.name.Name) -> bool:
        """Send an update; tell whether it is made, and not that something else is there by now."""
        rcode = self._sent(update).rcode()
        if rcode in _CHANGED:
            return False
        if rcode != dns.rcode.NOERROR:
            raise self._failed(rcode, name)
        return True

    def _failed(self, rcode: dns.rcode.Rcode, name: dns.name.Name) -> DnsError:
        message = f"{self._server} answers {dns.rcode.to_text(rcode)} for {text_of(name)}"
        hints = {
            dns.rcode.REFUSED: _DENIED,
            dns.rcode.NOTAUTH: "the server is not the zone's primary, or does not know the key",
            dns.rcode.NOTZONE: "the name is in another zone, delegated by this one",
            dns.rcode.NOTIMP: "the server takes no dynamic updates",
        }
        return DnsError(message, transient=rcode == dns.rcode.SERVFAIL, hint=hints.get(rcode, ""))

    def _sent(self, message: dns.message.Message) -> dns.message.Message:
        with self._told():
            address = _address(self._config.server, self._config.port)
            timeout = self._config.timeout.total_seconds()
            reply = dns.query.tcp(message, address, port=self._config.port, timeout=timeout)
        if not reply.had_tsig:
            raise self._unsigned()
        return reply

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except dns.tsig.PeerBadTime as error:
            raise DnsError(f"{self._server} has another time than we", hint="set both clocks") from error
        except (dns.tsig.PeerError, dns.tsig.BadSignature, dns.tsig.BadKey, dns.message.UnknownTSIGKey) as error:
            raise DnsError(f"{self._server} denies the key {text_of(self._key_name)}", hint=_DENIED) from error
        except (dns.exception.Timeout, OSError, EOFError) as error:
            raise DnsError(f"{self._server} does not answer: {error}", transient=True) from error
        except dns.exception.DNSException as error:
            if "requires a TSIG" in str(error):  # dnspython sees it by itself since 2.8
                raise self._unsigned() from error
            raise DnsError(f"{self._server} gives no proper answer: {type(error).__name__}", transient=True) from error

    def _unsigned(self) -> DnsError:
        return DnsError(f"{self._server} did not sign its answer", hint=_DENIED)


def _read(name: dns.name.Name, found: dns.rdataset.Rdataset) -> TxtSet:
    texts: list[TXT] = list(found)
    return TxtSet(text_of(name), tuple(sorted(b"".join(text.strings) for text in texts)), found.ttl)


def _data(value: bytes) -> TXT:
    """Make data of octets: from text, an unquoted `;` would start a comment and cut the record without an error."""
    return TXT(dns.rdataclass.IN, dns.rdatatype.TXT, chunks(value))


def _address(host: str, port: int) -> str:
    return str(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0])
