"""What DNS says of a domain's policy: the record that every authoritative server has, and whether reports can come."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from dmarcops.domains import Domain, OrganizationalDomain
from dmarcops.errors import DmarcopsError, DnsError, UnsafeChangeError
from dmarcops.policy.answers import Answer, AnswerKind, answered, text_of
from dmarcops.policy.destinations import Authorisation, verify_destination
from dmarcops.policy.discovery import Discovery, discover
from dmarcops.policy.record import parse_record
from dmarcops.policy.stepper import parse_published
from dmarcops.ports import Resolver

AT_A_TIME = 16
"""Domains that are asked about at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """
    What DNS has at `_dmarc.<domain>`.

    `servers` is what each says; `octets` the one record that all of them have, empty for none, and None when that
    cannot be told, for what `problem` says. `is_rua_authorised` tells whether reports can come, None: not established.
    `inherited` is what holds from a domain above, where there is no DMARC record at the name itself.
    """

    servers: Mapping[str, tuple[bytes, ...]]
    octets: bytes | None
    problem: DmarcopsError | None = None
    is_rua_authorised: bool | None = None
    inherited: Discovery | None = None

    @property
    def alias(self) -> str:
        """Where the CNAME at the name leads; empty when there is none."""
        return next((target for server in self.servers if (target := server.partition(" for ")[2])), "")


def record_name(domain: str) -> str:
    """Return where the policy of a domain is."""
    return f"_dmarc.{domain}"


def ask(
    resolver: Resolver, domains: Sequence[str], organizational_domain: OrganizationalDomain
) -> Mapping[str, Published]:
    """Ask for many domains, some at a time; what cannot be asked is told with the domain."""

    def published(domain: str) -> Published:
        return _published(resolver, domain, organizational_domain)

    with ThreadPoolExecutor(max_workers=min(AT_A_TIME, max(1, len(domains)))) as pool:
        return dict(zip(domains, pool.map(published, domains), strict=True))


def _published(resolver: Resolver, domain: str, organizational_domain: OrganizationalDomain) -> Published:
    try:
        servers = resolver.authoritative(record_name(domain))
    except DnsError as error:
        return Published(servers={}, octets=None, problem=error)
    try:
        octets = agreed(domain, servers)
    except UnsafeChangeError as error:
        return Published(servers=servers, octets=None, problem=error)
    authorised = _is_rua_authorised(resolver, domain, octets, organizational_domain)
    inherited = None if parse_record(text_of(octets)).is_dmarc else _inherited(resolver, domain)
    return Published(servers=servers, octets=octets, is_rua_authorised=authorised, inherited=inherited)


def _inherited(resolver: Resolver, domain: str) -> Discovery:
    """Find what holds from above; nothing is asked about the domain itself, which sends mail, so that it exists."""

    def lookup(name: str) -> Answer:
        is_own = name in (domain, record_name(domain))
        return Answer(AnswerKind.NODATA) if is_own else _answer(resolver, name)

    return discover(Domain(domain), lookup)


def agreed(domain: str, servers: Mapping[str, tuple[bytes, ...]]) -> bytes:
    """
    Give the one record that all servers have, empty when all have none.

    Raises:
        UnsafeChangeError: They do not agree, or there is more at the name than one record.
    """
    distinct = sorted(set(servers.values()))
    if len(distinct) > 1:
        said = "; ".join(f"{server} has {shown(texts)}" for server, texts in sorted(servers.items()))
        raise UnsafeChangeError(
            "servers-disagree",
            f"the servers of {domain} do not have the same record: {said}",
            hint="a change may be on its way; if it stays so, look at the servers' zone transfers",
        )
    texts = distinct[0] if distinct else ()
    parse_published(tuple(map(text_of, texts)))
    if len(texts) > 1:
        raise UnsafeChangeError(
            "other-texts",
            f"beside the DMARC record other texts stand at {record_name(domain)}: {shown(texts)}",
            hint="take away what is no DMARC record",
        )
    return texts[0] if texts else b""


def shown(texts: Sequence[bytes]) -> str:
    """Give the texts at a name for a person."""
    return " and ".join(repr(text_of(text)) for text in texts if text) or "no record"


def _is_rua_authorised(
    resolver: Resolver, domain: str, octets: bytes, organizational_domain: OrganizationalDomain
) -> bool | None:
    def lookup(name: str) -> Answer:
        return _answer(resolver, name)

    verdicts = {
        verify_destination(Domain(domain), uri, lookup, organizational_domain).verdict
        for uri in parse_record(text_of(octets)).uris("rua")
        if uri.is_usable
    }
    if Authorisation.AUTHORISED in verdicts:
        return True
    return None if Authorisation.UNKNOWN in verdicts else False


def _answer(resolver: Resolver, name: str) -> Answer:
    try:
        texts = resolver.txt(name)
    except DnsError:
        return Answer(AnswerKind.TEMPERROR)
    return answered(None if texts is None else [*map(text_of, texts)])
