"""What is found of providers and zones, in memory: delegations, lagging servers, many domains."""

import pytest

from dmarcops.dkim.lifecycle import Stage
from dmarcops.errors import ConfigError, DnsError, SignerError, UnsafeChangeError
from dmarcops.flows.inspection import check_domain, check_provider, check_resolver, check_zone
from dmarcops.ports import Finding, TxtSet
from dmarcops.store import keys
from dmarcops.store.concerns import Concern, Remembered
from dmarcops.store.engine import Store
from fakes import NAMESERVERS, MemoryDns, MemoryResolver
from rotation_fakes import HOUR, MemoryKeyStore, World, plan

RECORD = b"v=DMARC1; p=none"


def dns(*domains: str) -> MemoryDns:
    names = [f"_dmarc.{domain}" for domain in domains]
    return MemoryDns(records={name: TxtSet(name, (RECORD,), 60) for name in names})


def told(findings: list[Finding], kind: str = "problem") -> list[str]:
    return [finding.text for finding in findings if finding.kind == kind]


@pytest.mark.parametrize(
    ("parent", "own", "is_well"),
    [
        (NAMESERVERS, tuple(f"{name.upper()}." for name in NAMESERVERS), True),
        (NAMESERVERS, ("ns1.example.net.", "ns3.example.net."), False),
        ((), NAMESERVERS, True),
        (NAMESERVERS, None, True),
    ],
)
def test_a_parent_that_names_other_servers_is_told(
    parent: tuple[str, ...], own: tuple[str, ...] | None, *, is_well: bool
) -> None:
    resolver = MemoryResolver(dns("example.com"), {("example.com", "NS"): own}, nameservers={"example.com": parent})
    findings = list(check_zone("example.com", resolver, has_policy=False))
    if is_well:
        assert told(findings) == []
    else:
        (problem,) = told(findings)
        assert problem == (
            "its parent delegates it to ns1.example.net, ns2.example.net,"
            " itself it names ns1.example.net, ns3.example.net"
        )


def test_several_records_are_told() -> None:
    world = dns("example.com")
    world.records["_dmarc.example.com"] = TxtSet("_dmarc.example.com", (RECORD, b"v=DMARC1; p=reject"), 60)
    findings = list(check_zone("example.com", MemoryResolver(world), has_policy=True))
    assert ["several DMARC records" in text for text in told(findings)] == [True]
    assert [text for text in told(findings, "ok") if "v=DMARC1" in text] == []


def test_a_zone_whose_servers_do_not_answer_is_told_once() -> None:
    world = dns("example.com")
    world.servers["_dmarc.example.com"] = {NAMESERVERS[0]: DnsError("no answer", transient=True)}
    resolver = MemoryResolver(world)
    assert list(check_zone("example.com", resolver, has_policy=True)) == [Finding("problem", "no answer")]
    assert list(check_provider(world, ["example.com"], resolver)) == [
        Finding("ok", "it lets us read the zone of example.com")
    ]


def test_many_domains_of_a_provider_are_one_line() -> None:
    names = [f"d{number}.example" for number in range(8)]
    world = dns(*names)
    findings = list(check_provider(world, names, MemoryResolver(world)))
    shown = ", ".join(names[:5])
    assert findings == [Finding("ok", f"it lets us read the zone of {shown} and 3 more")]
    assert list(check_provider(world, [], MemoryResolver(world))) == [
        Finding("hint", "no domain is configured with it")
    ]


def test_a_provider_that_lets_nobody_in_is_asked_only_once() -> None:
    world = dns("a.example", "b.example")
    world.faults = [DnsError("denied", hint="see the token"), DnsError("never")]
    findings = list(check_provider(world, ["a.example", "b.example"], MemoryResolver(world)))
    assert findings == [
        Finding("problem", "denied"),
        Finding("hint", "see the token"),
        Finding("hint", "the zones of its other domains were not asked for"),
    ]


def test_one_zone_that_is_missing_keeps_no_other_from_being_asked() -> None:
    world = dns("a.example", "b.example")
    world.faults = [UnsafeChangeError("zone-missing", "no zone for a.example")]
    findings = list(check_provider(world, ["a.example", "b.example"], MemoryResolver(world)))
    assert findings == [
        Finding("problem", "zone-missing: no zone for a.example"),
        Finding("ok", "it lets us read the zone of b.example"),
    ]


def test_a_policy_that_is_an_alias_can_be_read_and_not_written() -> None:
    world = dns("a.example")
    world.aliases["_dmarc.a.example"] = "_dmarc.b.example"
    findings = list(check_provider(world, ["a.example"], MemoryResolver(world)))
    assert [finding.kind for finding in findings] == ["hint", "ok"]
    assert "its policy cannot be written" in findings[0].text


def test_a_zone_that_is_another_than_the_world_sees_is_told() -> None:
    class Elsewhere(MemoryDns):
        def check_zone(self, name: str) -> None:
            raise UnsafeChangeError("zone-not-delegated", f"{name} is delegated elsewhere")

    findings = list(check_provider(Elsewhere(), ["a.example"], MemoryResolver(MemoryDns())))
    assert told(findings) == ["zone-not-delegated: _dmarc.a.example is delegated elsewhere"]


def test_resolvers_are_asked_for_what_is_there() -> None:
    resolver = MemoryResolver(dns("a.example"), {(".", "NS"): ("a.root.",)})
    assert list(check_resolver(resolver, [], ["a.example"])) == [Finding("ok", "192.0.2.53:53: answers")]
    assert list(check_resolver(resolver, [], [])) == [Finding("ok", "it answers")]
    assert list(check_resolver(MemoryResolver(MemoryDns()), ["a.example"], []))[-1].text.startswith("ns1.example.net")

    class Without(MemoryResolver):
        def recursive(self, name: str) -> dict[str, tuple[bytes, ...]]:
            del name
            raise ConfigError("the system names no resolver", hint="write [resolver]")

    findings = list(check_resolver(Without(MemoryDns()), [], ["a.example"]))
    assert findings == [Finding("problem", "the system names no resolver"), Finding("hint", "write [resolver]")]


def test_a_doubtful_policy_is_hinted_at_and_a_note_is_not() -> None:
    world = dns("example.com")
    text = b"v=DMARC1; p=none; pct=50; rua=mailto:a@x.example,mailto:b@x.example,mailto:c@x.example"
    world.records["_dmarc.example.com"] = TxtSet("_dmarc.example.com", (text,), 60)
    findings = list(check_zone("example.com", MemoryResolver(world), has_policy=True))
    assert told(findings) == []
    assert any("more than two URIs" in hint for hint in told(findings, "hint"))


@pytest.fixture
def world(store: Store) -> World:
    """A domain that gets its first key."""
    return World(store, (plan(),))


def looked_at(world: World, *concerns: Remembered) -> list[Finding]:
    known = keys.load(world.store, "example.com").keys
    return list(check_domain(world.outside(world.plans[0]), known, concerns, has_policy=False))


def test_a_domain_is_well_at_each_stage_of_its_first_key(world: World) -> None:
    assert told(looked_at(world), "ok")[-1] == "mta signs mail of example.com with no key of ours yet"
    seen = set()
    for _ in range(30):
        world.tick()
        found = looked_at(world)
        assert told(found) == []
        seen |= {text.partition(" (")[2].partition(")")[0] for text in told(found, "ok") if "_domainkey" in text}
        world.now += HOUR
    assert {"published", "active", "verified"} <= seen
    assert any(text.startswith("mta signs mail of example.com with s") for text in told(looked_at(world), "ok"))


def test_a_key_that_was_revoked_is_well_and_a_server_that_does_not_follow_is_told(world: World) -> None:
    world.hours(6)
    (old,) = world.stages()
    name = f"{old}._domainkey.example.com"
    before = world.dns.records[name].values
    while world.stages()[old] is not Stage.RETIRED:
        world.hours(1)
    found = looked_at(world)
    assert told(found) == []
    assert f"{name} (retired): 3 servers have its record" in told(found, "ok")
    world.dns.servers[name] = {NAMESERVERS[0]: before}
    assert told(looked_at(world)) == [f"{name}: {NAMESERVERS[0]} has another record: the key is not revoked there yet"]
    world.dns.servers[name] = {NAMESERVERS[0]: ()}
    assert told(looked_at(world)) == [f"{name}: {NAMESERVERS[0]} has another record: there is no TXT record"]


def test_what_cannot_be_asked_of_a_domain_s_parts_is_told(world: World) -> None:
    class Closed(MemoryKeyStore):
        def load(self, reference: str) -> bytes | None:
            raise UnsafeChangeError("key-permissions", f"{reference} is open to others", hint="chmod 600")

    world.hours(6)
    (selector,) = world.stages()
    world.keystore = Closed(world.boundary)
    world.signers["mta"].asking_faults = [SignerError("broken")]
    world.dns.servers[f"{selector}._domainkey.example.com"] = {NAMESERVERS[0]: DnsError("no answer", transient=True)}
    assert told(looked_at(world)) == [
        "no answer",
        f"key-permissions: memory:example.com/{selector} is open to others",
        "broken",
    ]


def test_concerns_that_are_over_are_not_shown(world: World) -> None:
    concern = Concern(subject="dkim", domain="example.com", kind="stuck", title="stuck", text="no proof")
    there = Remembered(concern=concern, since=world.now, runs=1, ended_at=None)
    over = Remembered(concern=concern, since=world.now, runs=1, ended_at=world.now)
    assert [text for text in told(looked_at(world, over, there), "hint") if "stuck" in text] == [
        "since 2026-01-01 00:00 UTC: stuck: no proof"
    ]
