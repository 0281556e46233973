"""The view of sources, and what is known of each beside its mail: its host, its service, and what people said of it."""

from collections.abc import Callable, Iterator
from functools import cache

from dmarcops.policy.services import service_of_host
from dmarcops.policy.sources import Origin, Review, review
from dmarcops.store import source_names, source_words
from dmarcops.store.engine import Store
from dmarcops.store.source_words import EVERYWHERE
from dmarcops.store.views import Filter, Table, sources

COLUMNS = ("host", "service", "word")
"""What is added to the view: a confirmed name, the service that it is of, and the word that holds."""


def reviewed_sources(store: Store, where: Filter) -> Table:
    """
    Give each source with what is known of it.

    Raises:
        StoreError: The database cannot be read.
    """
    table = sources(store, where)
    return Table((*table.columns, *COLUMNS), _with_words(table, source_names.hosts(store), _reviews(store)))


def _with_words(
    table: Table, hosts: dict[str, str], review_of: Callable[[str], Review]
) -> Iterator[tuple[object, ...]]:
    address_at, domain_at = table.columns.index("source_ip"), table.columns.index("policy_domain")
    for row in table.rows:
        address, domain = str(row[address_at] or ""), str(row[domain_at] or "")
        host = hosts.get(address, "")
        service = service_of_host(host)
        word = review_of(domain)(Origin(address, service, host))
        yield (*row, host or None, service or None, word and word.word.value)


def _reviews(store: Store) -> Callable[[str], Review]:
    """Give what people said of the mail of a domain."""
    words = source_words.said(store)

    @cache
    def review_of(domain: str) -> Review:
        return review([x.word for x in words if x.domain in {domain, EVERYWHERE}])

    return review_of
