"""Rotations whose DNS is Route 53, by moto behind a layer that refuses what Route 53 refuses."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import pytest

from dmarcops.dkim.key import parse_key
from dmarcops.dkim.lifecycle import Plan, Stage
from dmarcops.dkim.record import compare, format_record
from dmarcops.dns.resolver import Config as ResolverConfig
from dmarcops.dns.resolver import DnsResolver
from dmarcops.dns.route53 import Adapter, Config
from dmarcops.errors import DmarcopsError
from dmarcops.flows.outside import Outside
from rotation_fakes import HOUR, QUICK, MortalStore, World, plan
from servers_route53 import Route53
from servers_route53 import route53 as route53  # noqa: PLC0414 - the fixture
from servers_route53 import route53_server as route53_server  # noqa: PLC0414 - same

_numbers = count(1)


class Clock:
    """Seconds that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class InRoute53(World):
    """A world whose zones are hosted by Route 53."""

    server: Route53 = field(kw_only=True)
    zone: str = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        where = f"127.0.0.1:{self.server.dns_port}"
        config = ResolverConfig(authoritative={self.zone: (where,)}, recursive=(where,))
        self.asking = DnsResolver(config, port=self.server.dns_port)

    def outside(self, plan: Plan) -> Outside:
        time = Clock()
        provider = self._provider or Adapter("aws", Config(), self.asking, clock=time.clock, sleep=time.sleep)
        self._provider = provider
        return replace(super().outside(plan), provider=provider, resolver=self.asking)

    _provider: Adapter | None = field(default=None, kw_only=True)

    def testify_of(self, selector: str, domain: str) -> bool:
        """Whether what signs is what everybody can see."""
        signer = self.signers["mta"]
        record = format_record(parse_key(signer.files[domain, selector]).record)
        return compare(self.asking.txt(f"{selector}._domainkey.{domain}") or (), record).is_ours

    def _verifies(self, key: object) -> bool:
        del key
        return all(self.testify_of(selector, domain) for (domain, _), selector in self.signers["mta"].named.items())

    def check(self) -> None:
        """What a signer signs with is in DNS, exactly."""
        assert self._verifies(None)

    def tick_anew(self) -> list[DmarcopsError]:
        """Run once, as a process of its own would; give what failed."""
        self._provider = None
        found = [problem for each in self.tick().values() for problem in each.problems]
        self.now += HOUR
        return found


@pytest.fixture
def zone() -> str:
    return f"r{next(_numbers)}.example.org"


@pytest.fixture
def world(route53: Route53, zone: str, tmp_path: Path) -> Iterator[InRoute53]:
    with MortalStore.open(f"sqlite:///{tmp_path}/store.db") as store:
        timing = replace(QUICK, rotate_every=10 * HOUR)
        yield InRoute53(store, (plan(zone, timing=timing),), server=route53, zone=zone)


def test_a_whole_life(world: InRoute53, route53: Route53, zone: str) -> None:
    hosted = route53.zone(zone)
    problems = [problem for _ in range(26) for problem in world.tick_anew()]
    assert problems == []
    assert Counter(world.stages(zone).values()) == {Stage.DESTROYED: 1, Stage.VERIFIED: 1}
    assert len([name for name, kind in route53.sets(hosted) if kind == "TXT"]) == 1


def test_a_change_that_is_pending_for_long_is_waited_for(world: InRoute53, route53: Route53, zone: str) -> None:
    route53.zone(zone)
    world.tick_anew()
    route53.is_pending = True
    assert world.tick_anew() == []
    assert [world.tick_anew() for _ in range(3)] == [[]] * 3
    assert world.signers["mta"].named == {}
    route53.settle()
    assert [world.tick_anew() for _ in range(6)] == [[]] * 6
    assert list(world.stages(zone).values()) == [Stage.VERIFIED]


@pytest.mark.parametrize("fault", ["denied", "throttled", "lost", "no zone", "twins"])
def test_what_fails_is_told_and_the_next_run_goes_on(world: InRoute53, route53: Route53, zone: str, fault: str) -> None:
    if fault != "no zone":
        route53.zone(zone)
    world.tick_anew()
    match fault:
        case "denied":
            route53.denied = {"ChangeResourceRecordSets"}
        case "throttled":
            route53.throttled = 8
        case "lost":
            route53.lost = 1
        case "twins":
            twin = route53.zone(zone)
    problems = world.tick_anew()
    codes = {"denied": [1], "throttled": [1], "no zone": [3], "twins": [3], "lost": []}
    assert [problem.exit_code for problem in problems] == codes[fault]
    assert world.signers["mta"].named == {}
    route53.denied = set()
    route53.throttled = 0
    if fault == "no zone":
        route53.zone(zone)
    if fault == "twins":
        route53.admin.delete_hosted_zone(Id=twin)
        route53.zones.pop(twin)
    for _ in range(6):
        world.tick_anew()
    assert list(world.stages(zone).values()) == [Stage.VERIFIED]


def test_domains_of_one_zone_are_changed_in_one_batch(world: InRoute53, route53: Route53, zone: str) -> None:
    route53.zone(zone)
    world.plans = tuple(plan(f"d{number}.{zone}") for number in range(20))
    world.tick_anew()
    route53.calls.clear()
    assert world.tick_anew() == []
    assert (route53.calls["ChangeResourceRecordSets"], route53.calls["GetChange"]) == (1, 1)
    for _ in range(5):
        assert world.tick_anew() == []
    assert all(list(world.stages(each.domain).values()) == [Stage.VERIFIED] for each in world.plans)
