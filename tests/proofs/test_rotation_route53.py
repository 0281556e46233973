"""Rotations whose DNS is Route 53, by moto behind a layer that refuses what Route 53 refuses."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
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
from pollers import IS_FULL
from program import Ended, Program
from rotation_fakes import HOUR, QUICK, MortalStore, World, plan
from servers_route53 import Route53
from servers_route53 import route53 as route53  # noqa: PLC0414 - the fixture
from servers_route53 import route53_server as route53_server  # noqa: PLC0414 - same

_numbers = count(1)
CONFIGURATION = """
[keys]
directory = "{folder}/private"
[dns.aws]
kind = "route53"
tries = {tries}
[signers.mta]
kind = "exim"
config = "{folder}/selectors"
key_dir = "{folder}/keys"
[resolver]
recursive = ["{at}"]
[resolver.authoritative]
"""
DOMAIN = """
[domains."{domain}"]
dns = "aws"
signers = ["mta"]
[domains."{domain}".dkim]
algorithms = ["ed25519"]
propagation = "1s"
jitter = "0s"
"""


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


# --- through the program ----------------------------------------------------------------------------------------------


@dataclass
class Fleet:
    """The program, with any number of domains whose zones are hosted by Route 53, and what signs their mail."""

    folder: Path
    program: Program
    server: Route53

    def configure(self, zones: Sequence[str], domains: Sequence[str], *, tries: int = 2) -> None:
        """Write the configuration."""
        at = f"127.0.0.1:{self.server.dns_port}"
        parts = [
            CONFIGURATION.format(folder=self.folder, at=at, tries=tries),
            *(f'"{zone}" = ["{at}"]\n' for zone in zones),
            *(DOMAIN.format(domain=domain) for domain in domains),
        ]
        (self.folder / "dmarcops.toml").write_text("".join(parts))

    def run(self, *domains: str) -> Ended:
        """Run once."""
        return self.program("--config", self.folder / "dmarcops.toml", "rotate", *domains, "--format", "json")

    def stages(self, ended: Ended) -> Counter[str]:
        """Count keys by stage and by what is pending."""
        keys = [key for domain in ended.json["domains"] for key in domain["keys"]]
        return Counter(" ".join([key["stage"], *(effect.split()[0] for effect in key["pending"])]) for key in keys)

    def signing(self) -> list[str]:
        """Give the lines by which the signer signs."""
        file = self.folder / "selectors"
        lines = file.read_text().splitlines() if file.exists() else []
        return [line for line in lines if not line.startswith("#")]

    def until_active(self) -> Ended:
        """Run until every key is switched to."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            ended = self.run()
            if ended.code == 0 and set(self.stages(ended)) == {"active"}:
                return ended
        pytest.fail(f"no switch: {ended}")


@pytest.fixture
def fleet(route53: Route53, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Fleet:
    route53.negative_ttl = 1
    return Fleet(tmp_path, Program(f"sqlite:///{tmp_path}/store.db", capsys), route53)


WAITS, IS_THERE = "published PublishTxt", "published"


def broken(route53: Route53, zone: str, fault: str) -> None:
    """Have something fail."""
    match fault:
        case "denied":
            route53.denied = {"ChangeResourceRecordSets"}
        case "throttled":
            route53.throttled = 100
        case "busy":
            route53.busy = 100
        case "lost":
            route53.lost = 1
        case "twins":
            route53.zone(zone)
        case "pending":
            route53.is_pending = True
        case "status denied":
            route53.denied = {"GetChange"}


def mended(route53: Route53, zone: str) -> str:
    """Have all be well; gives the id of the zone."""
    route53.throttled = route53.busy = 0
    route53.denied = set()
    route53.settle()
    ids = [hosted for hosted, (name, _) in route53.zones.items() if name == f"{zone}."]
    for twin in ids[1:]:
        route53.admin.delete_hosted_zone(Id=twin)
        route53.zones.pop(twin)
    return ids[0] if ids else route53.zone(zone)


@pytest.mark.parametrize(
    ("fault", "told", "outcomes"),
    [
        ("denied", "AccessDenied", [(1, WAITS), (1, WAITS)]),
        ("throttled", "Throttling", [(1, WAITS), (1, WAITS)]),
        ("busy", "PriorRequestNotComplete", [(1, WAITS), (1, WAITS)]),
        ("lost", "", [(0, IS_THERE), (0, IS_THERE)]),
        ("no zone", "zone-missing", [(3, WAITS), (3, WAITS)]),
        ("twins", "twin-zones", [(3, WAITS), (3, WAITS)]),
        # The next run finds the record in Route 53, and asks its servers themselves.
        ("pending", "", [(0, WAITS), (0, IS_THERE), (0, IS_THERE)]),
        ("status denied", "AccessDenied", [(1, WAITS)]),
    ],
)
def test_what_fails_is_told_by_the_exit_code_and_the_next_run_goes_on(  # noqa: PLR0917 - a table
    fleet: Fleet, route53: Route53, zone: str, fault: str, told: str, outcomes: list[tuple[int, str]]
) -> None:
    if fault != "no zone":
        route53.zone(zone)
    fleet.configure([zone], [zone])
    assert fleet.run().code == 0
    broken(route53, zone, fault)
    for code, stage in outcomes:
        ended = fleet.run()
        assert (ended.code, fleet.stages(ended)) == (code, {stage: 1}), ended.err
        assert told in ended.err
        assert fleet.signing() == []
    records = [
        name
        for hosted in route53.zones.values()
        for name, kind in hosted[1]
        if (hosted[0], kind) == (f"{zone}.", "TXT")
    ]
    assert len(records) == (fault in {"lost", "pending", "status denied"})
    hosted = mended(route53, zone)
    fleet.until_active()
    assert len(fleet.signing()) == len([name for name, kind in route53.sets(hosted) if kind == "TXT"]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("rate", [10.0, 4.0] if IS_FULL else [10.0])
def test_five_hundred_domains_go_in_one_run_within_the_limits_of_the_account(
    fleet: Fleet, route53: Route53, zone: str, rate: float
) -> None:
    """Half of them in zones of fifty, most others in somewhat smaller ones; twenty have zones of their own."""
    zones = {f"z{number}.{zone}": size for number, size in enumerate((50,) * 5 + (46,) * 5 + (1,) * 20)}
    domains = [f"d{number}.{each}" for each, size in zones.items() for number in range(size)]
    hosted = [route53.zone(each) for each in zones]
    fleet.configure(list(zones), domains, tries=8)
    route53.limit(rate)
    created = fleet.run()
    assert (created.code, fleet.stages(created)) == (0, {"prepared": 500})
    published = fleet.run()
    assert (published.code, fleet.stages(published)) == (0, {"published": 500}), published.err
    assert sum(route53.batches) == 500
    # Locks are held for 32 domains at a time, so that a zone of 50 may need three batches.
    assert len(route53.batches) <= 10 * 3 + 20
    assert (route53.refused == 0) == (rate == 10)
    assert [len([name for name, kind in route53.sets(each) if kind == "TXT"]) for each in hosted] == [*zones.values()]
