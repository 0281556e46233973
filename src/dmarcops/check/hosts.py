"""
Where mail of a domain goes, and what its addresses are called: MX and PTR. Does no I/O: DNS is asked of a function.

RFC 5321 section 5.1, RFC 7505, and the confirmation of a name as in RFC 8601 section 2.7.3.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from dmarcops.check.findings import Area, Ask, Code, Finding, found
from dmarcops.policy.answers import AnswerKind

MAX_HOSTS = 30
"""Mail hosts that are looked at."""
MAX_NAMES = 5
"""Names of an address that are tried."""
_MX = re.compile(r"(?P<preference>[0-9]+) (?P<host>\S+)")


@dataclass(frozen=True, slots=True)
class Host:
    """A mail host; `is_alias` that it is a CNAME, `is_known` whether DNS said what its addresses are."""

    preference: int
    name: str
    addresses: tuple[str, ...]
    is_alias: bool = False
    is_known: bool = True

    def as_json(self) -> dict[str, Any]:
        """Give what is printed."""
        return {
            "preference": self.preference,
            "host": self.name,
            "addresses": list(self.addresses),
            "alias": self.is_alias,
        }


@dataclass(frozen=True, slots=True)
class Mx:
    """
    Who takes the mail of a domain.

    `takes_mail` is None when it is not known.
    """

    hosts: tuple[Host, ...]
    takes_mail: bool | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Reverse:
    """The names of an address; `is_confirmed` that one leads back to it, None when it is not known."""

    address: str
    names: tuple[str, ...]
    is_confirmed: bool | None

    def as_json(self) -> dict[str, Any]:
        """Give what is printed."""
        return {"address": self.address, "names": list(self.names), "confirmed": self.is_confirmed}


def check_mx(domain: str, ask: Ask) -> Mx:
    """Say who takes the mail of a domain, and what is wrong with that."""
    answer = ask(domain, "MX")
    if answer.kind is AnswerKind.TEMPERROR:
        return Mx((), None, ())
    pairs = sorted((int(match["preference"]), match["host"]) for text in answer.texts if (match := _MX.fullmatch(text)))
    if not pairs:
        return _implicit(domain, ask)
    if pairs == [(0, ".")]:
        return Mx((), takes_mail=False, findings=(found(Area.MX, Code.MX_NULL, domain),))
    findings = [
        found(Area.MX, Code.MX_NULL_WRONG, domain, f"{preference} {host}") for preference, host in pairs if host == "."
    ]
    hosts = tuple(_host(preference, host, ask) for preference, host in pairs[:MAX_HOSTS] if host != ".")
    for host in hosts:
        findings += _judged(host)
    takes = True if any(host.addresses for host in hosts) else None if any(not x.is_known for x in hosts) else False
    return Mx(hosts, takes, tuple(findings))


def check_reverse(address: str, ask: Ask) -> tuple[Reverse, tuple[Finding, ...]]:
    """Say what an address is called, and whether a name of it leads back."""
    parsed = ip_address(address)
    answer = ask(parsed.reverse_pointer, "PTR")
    if answer.kind is AnswerKind.TEMPERROR:
        return Reverse(address, (), None), ()
    names = tuple(name.rstrip(".").lower() for name in answer.texts)
    if not names:
        return Reverse(address, (), is_confirmed=False), (found(Area.PTR, Code.PTR_MISSING, address),)
    confirmed = _is_confirmed(parsed, names[:MAX_NAMES], ask)
    reverse = Reverse(address, names[:MAX_NAMES], confirmed)
    findings = (found(Area.PTR, Code.PTR_UNCONFIRMED, address, " ".join(names)),) if confirmed is False else ()
    return reverse, findings


def _is_confirmed(address: IPv4Address | IPv6Address, names: Sequence[str], ask: Ask) -> bool | None:
    kind = "A" if address.version == 4 else "AAAA"  # noqa: PLR2004 - IPv4
    answers = [ask(name, kind) for name in names]
    if any(_is_address(text, address) for answer in answers for text in answer.texts):
        return True
    return None if any(answer.kind is AnswerKind.TEMPERROR for answer in answers) else False


def _is_address(text: str, address: IPv4Address | IPv6Address) -> bool:
    try:
        return ip_address(text) == address
    except ValueError:
        return False


def _implicit(domain: str, ask: Ask) -> Mx:
    host = _host(0, domain, ask)
    if host.addresses:
        return Mx((host,), takes_mail=True, findings=(found(Area.MX, Code.MX_MISSING, domain),))
    if not host.is_known:
        return Mx((), None, ())
    return Mx((), takes_mail=False, findings=(found(Area.MX, Code.MX_NOWHERE, domain),))


def _host(preference: int, name: str, ask: Ask) -> Host:
    name = name.rstrip(".").lower()
    alias = ask(name, "CNAME")
    answers = [ask(name, kind) for kind in ("A", "AAAA")]
    is_known = all(answer.kind is not AnswerKind.TEMPERROR for answer in answers)
    addresses = tuple(text for answer in answers for text in answer.texts)
    return Host(preference, name, addresses, alias.kind is AnswerKind.FOUND, is_known)


def _judged(host: Host) -> Iterator[Finding]:
    if _looks_like_address(host.name):
        yield found(Area.MX, Code.MX_ADDRESS, host.name)
    elif not host.addresses and host.is_known:
        yield found(Area.MX, Code.MX_UNRESOLVED, host.name)
    if host.is_alias:
        yield found(Area.MX, Code.MX_ALIAS, host.name)


def _looks_like_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
