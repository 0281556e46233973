"""Names of sending addresses: believed when they lead back, cached, and never worth a failure."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_address

import pytest

from dmarcops.dns.resolver import Config, DnsResolver
from dmarcops.errors import DnsError
from dmarcops.flows.source_names import KEPT, KEPT_NAMELESS, RETRY, confirmed_name, refresh
from dmarcops.store import source_names
from dmarcops.store.engine import Store
from dmarcops.store.retention import prune
from fakes import MemoryDns, MemoryResolver
from servers_bind import RECURSIVE, Bind
from servers_bind import bind as bind  # noqa: PLC0414 - the fixture

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ONE, TWO, SIX = "192.0.2.1", "192.0.2.2", "2001:db8::1"


@dataclass
class Asked(MemoryResolver):
    """A resolver that notes what it was asked, and fails where a test says so."""

    asked: list[str] = field(default_factory=list)
    failing: frozenset[str] = frozenset()

    def records(self, name: str, kind: str) -> tuple[str, ...] | None:
        """Note it, and give what the test says."""
        self.asked.append(name)
        if name in self.failing:
            raise DnsError("no answer", transient=True)
        return super().records(name, kind)


def resolver(**names: tuple[str, ...]) -> Asked:
    """Know `v4_1` as the PTR of 192.0.2.1 and so on, each name with that very address."""
    known: dict[tuple[str, str], tuple[str, ...] | None] = {}
    for key, hosts in names.items():
        address = ip_address(f"192.0.2.{key.removeprefix('v4_')}")
        known[address.reverse_pointer, "PTR"] = hosts
        known |= {(host.rstrip("."), "A"): (str(address),) for host in hosts}
    return Asked(MemoryDns(), known)


def test_a_name_that_leads_back_is_kept_for_its_time(store: Store) -> None:
    asks = resolver(v4_1=("mx.example.com.",))
    assert refresh(store, asks, [ONE, TWO], NOW) == 2
    assert source_names.looked_up(store) == {ONE: ("mx.example.com", NOW), TWO: ("", NOW)}
    assert source_names.hosts(store) == {ONE: "mx.example.com"}
    asks.asked.clear()
    for later, due in ((KEPT_NAMELESS - timedelta(seconds=1), 0), (KEPT_NAMELESS, 1), (KEPT, 2)):
        assert refresh(store, asks, [ONE, TWO], NOW + later) == due, later
    assert source_names.looked_up(store)[ONE] == ("mx.example.com", NOW + KEPT)


def test_a_name_gives_way_when_it_is_gone(store: Store) -> None:
    refresh(store, resolver(v4_1=("mx.example.com.",)), [ONE], NOW)
    refresh(store, resolver(), [ONE], NOW + KEPT)
    assert source_names.looked_up(store) == {ONE: ("", NOW + KEPT)}


@pytest.mark.parametrize(
    ("answers", "address", "name"),
    [
        ({"PTR": ("mx.bank.example.",), "A": ("192.0.2.99",)}, ONE, ""),
        ({"PTR": ("mx.bank.example.",), "A": None}, ONE, ""),
        ({"PTR": ("mx.bank.example.",), "A": ()}, ONE, ""),
        ({"PTR": ("MX.Example.COM.",), "A": (TWO, ONE)}, ONE, "mx.example.com"),
        ({"PTR": ("mx.example.com.",), "A": (ONE,)}, SIX, ""),
        ({"PTR": ("mx.example.com.",), "AAAA": ("2001:db8:0:0:0:0:0:1",)}, SIX, "mx.example.com"),
        ({"PTR": ("a\\032b.example.", "<i>.example.", ".", "mx.example.com."), "A": (ONE,)}, ONE, "mx.example.com"),
        ({"PTR": ()}, ONE, ""),
        ({"PTR": None}, ONE, ""),
    ],
)
def test_a_name_is_believed_only_when_it_leads_back(
    answers: dict[str, tuple[str, ...] | None], address: str, name: str
) -> None:
    parsed = ip_address(address)
    known = {(parsed.reverse_pointer, "PTR"): answers["PTR"]}
    for host in answers["PTR"] or ():
        known |= {(host.rstrip(".").lower(), kind): answers.get(kind) for kind in ("A", "AAAA")}
    assert confirmed_name(MemoryResolver(MemoryDns(), known), parsed) == name


def test_an_address_with_a_hundred_names_gets_few_questions() -> None:
    hosts = tuple(f"h{number:03}.example." for number in range(100))
    asks = Asked(MemoryDns(), {(ip_address(ONE).reverse_pointer, "PTR"): hosts})
    assert confirmed_name(asks, ip_address(ONE)) == ""
    assert len(asks.asked) == 5


def test_no_more_addresses_are_looked_up_than_a_run_may(store: Store) -> None:
    addresses = [f"192.0.2.{number}" for number in range(1, 10)]
    asks = resolver()
    assert [refresh(store, asks, ["", "nonsense", *addresses], NOW, most=4) for _ in range(4)] == [4, 4, 1, 0]
    assert len(asks.asked) == 9


def test_dns_that_is_down_is_left_alone_and_asked_another_day(store: Store) -> None:
    addresses = [f"192.0.2.{number}" for number in range(1, 10)]
    reverse = [ip_address(address).reverse_pointer for address in addresses]
    asks = resolver()
    asks.failing = frozenset(reverse[:2] + reverse[3:6])
    assert refresh(store, asks, addresses, NOW) == 6
    assert asks.asked == reverse[:6]
    asks.failing = frozenset()
    assert refresh(store, asks, addresses, NOW) == 3
    assert asks.asked[6:] == reverse[6:]
    assert refresh(store, asks, addresses, NOW + RETRY - timedelta(seconds=1)) == 0
    assert refresh(store, asks, addresses, NOW + RETRY) == 5
    assert sorted(asks.asked[9:]) == sorted(reverse[:2] + reverse[3:6])


def test_a_known_name_stays_when_dns_does_not_say(store: Store) -> None:
    asks = resolver(v4_1=("mx.example.com.",))
    refresh(store, asks, [ONE], NOW)
    asks.failing = frozenset({ip_address(ONE).reverse_pointer})
    assert refresh(store, asks, [ONE], NOW + KEPT) == 1
    assert source_names.hosts(store) == {ONE: "mx.example.com"}
    assert refresh(store, asks, [ONE], NOW + KEPT + RETRY) == 1


def test_names_looked_up_long_ago_are_pruned(store: Store) -> None:
    refresh(store, resolver(), [ONE], NOW)
    refresh(store, resolver(), [TWO], NOW + timedelta(days=1))
    prune(store, date(2026, 3, 2), dry_run=True)
    assert source_names.looked_up(store).keys() == {ONE, TWO}
    prune(store, date(2026, 3, 2))
    assert source_names.looked_up(store).keys() == {TWO}


def test_a_server_of_dns_names_what_leads_back(bind: Bind, store: Store) -> None:
    asks = DnsResolver(Config(recursive=(f"{RECURSIVE}:{bind.port}",)), port=bind.port)
    assert refresh(store, asks, [ONE, TWO, "192.0.2.3"], NOW) == 3
    assert source_names.looked_up(store) == {ONE: ("mail.example.test", NOW), TWO: ("", NOW), "192.0.2.3": ("", NOW)}
