"""Evidence for many domains at once: what reports counted, what people said, and what sending hosts are called."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from itertools import groupby

from dmarcops.flows.source_names import MOST, refresh
from dmarcops.policy.compute import compute
from dmarcops.policy.evidence import MIN_WITNESSES, Context, Count, Evidence
from dmarcops.policy.services import service_of_host, service_of_signer
from dmarcops.policy.sources import Origin, review
from dmarcops.policy.window import Window
from dmarcops.ports import Resolver
from dmarcops.store import policy_counts, source_names, source_words
from dmarcops.store.engine import Store
from dmarcops.store.policy_counts import Signed

Requests = Mapping[str, tuple[Window, Context]]
"""For each policy domain, in A-labels, the days that count and what is not in reports."""


def gather(
    store: Store, requests: Requests, *, trusting: bool, organizational_domain: Callable[[str], str]
) -> Mapping[str, Evidence]:
    """
    Give the evidence for each of some policy domains, by two questions to the store for all with the same days.

    Args:
        store: The store.
        requests: The domains.
        trusting: Count reports of which it is not known whether their carrier mail is authentic as well.
        organizational_domain: Of the name of a sending host; addresses of one are one source.

    Raises:
        StoreError: The store cannot be read.
    """
    hosts, words = source_names.hosts(store), source_words.of(store, requests)

    def evidence(domain: str, counts: Iterable[Count]) -> Evidence:
        window, context = requests[domain]
        return compute(
            counts, window, review(words[domain]), organizational_domain=organizational_domain, context=context
        )

    found: dict[str, Evidence] = {}
    for (begin, end), domains in _by_span(requests).items():
        signed = policy_counts.signed(store, domains, begin, end, trusting=trusting)
        origins = Origins(hosts, signed, organizational_domain)
        rows = policy_counts.counts(store, domains, begin, end, trusting=trusting, name_of=origins.of)
        for domain, of_domain in groupby(rows, key=lambda row: row[0]):
            found[domain] = evidence(domain, (count for _, count in of_domain))
    return {domain: found.get(domain) or evidence(domain, ()) for domain in requests}


def _by_span(requests: Requests) -> Mapping[tuple[date, date], list[str]]:
    """Put the domains together that ask for the same days, as all do that are looked at on the same day."""
    spans: dict[tuple[date, date], list[str]] = defaultdict(list)
    for domain, (window, _) in requests.items():
        spans[window.begin, window.end].append(domain)
    return spans


def name_sources(
    store: Store, resolver: Resolver, requests: Requests, now: datetime, *, trusting: bool, most: int = MOST
) -> int:
    """
    Look up the names of the addresses whose mail the evidence is about, those of the most mail first.

    Args:
        store: The store.
        resolver: Asks DNS.
        requests: The domains, as for `gather`, which should come after.
        now: When.
        trusting: As for `gather`.
        most: How many are looked up at most; the others follow in later runs.

    Returns:
        How many were looked up.

    Raises:
        StoreError: The store cannot be read or written.
    """
    if not requests:
        return 0
    spans = _by_span(requests)
    begin, end = min(begin for begin, _ in spans), max(end for _, end in spans)
    sending = policy_counts.addresses(store, requests, begin, end, trusting=trusting)
    return refresh(store, resolver, sending, now, most=most)


class Origins:
    """
    What is known of the addresses that send mail of some policy domains.

    A service is known by its hosts. By its signatures it is where nothing else is known of the host, or the host has a
    name of the policy domain's own, as services give it to their customers: any other host may be forwarding what the
    service sent. As one reporter alone may be forged, `MIN_WITNESSES` have to have seen the signatures.

    Args:
        hosts: The names of addresses.
        signed: Who signed the mail.
        organizational_domain: Of a name.
    """

    def __init__(
        self, hosts: Mapping[str, str], signed: Iterable[Signed], organizational_domain: Callable[[str], str]
    ) -> None:
        self._hosts = hosts
        self._signing = _signing_services(signed)
        self._organizational_domain = organizational_domain
        self._known: dict[tuple[str, str], Origin] = {}

    def of(self, domain: str, address: str) -> Origin:
        """Give what is known of an address that sends mail of a policy domain."""
        key = domain, address
        if key not in self._known:
            host = self._hosts.get(address, "")
            service = service_of_host(host)
            if not service and self._may_be_a_services(host, domain):
                service = self._signing.get(key, "")
            self._known[key] = Origin(address, service, host)
        return self._known[key]

    def _may_be_a_services(self, host: str, domain: str) -> bool:
        return not host or self._organizational_domain(host) == self._organizational_domain(domain)


def _signing_services(signed: Iterable[Signed]) -> dict[tuple[str, str], str]:
    """Give the service that signed the most mail of a domain from an address, as enough reporters saw it."""
    messages: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    witnesses: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for row in signed:
        service = service_of_signer(row.signing_domain)
        if service:
            messages[row.policy_domain, row.address][service] += row.messages
            witnesses[row.policy_domain, row.address, service].add(row.reporter)
    return {
        key: max(proven, key=lambda service: (counted[service], service))
        for key, counted in messages.items()
        if (proven := [service for service in counted if len(witnesses[*key, service]) >= MIN_WITNESSES])
    }
