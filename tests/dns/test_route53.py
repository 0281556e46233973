import sys
from datetime import timedelta
from itertools import count

import pytest

from dmarcops.dns.resolver import Config as ResolverConfig
from dmarcops.dns.resolver import DnsResolver
from dmarcops.dns.route53 import Adapter, Config
from dmarcops.errors import ConfigError, DnsError, ForeignRecordError, UnsafeChangeError
from dmarcops.ports import BatchDnsProvider, Resolver, TxtChange, TxtSet
from fakes import NAMESERVERS, MemoryDns, MemoryResolver
from servers_route53 import Route53
from servers_route53 import route53 as route53  # noqa: PLC0414 - the fixture
from servers_route53 import route53_server as route53_server  # noqa: PLC0414 - same

KEY = b"v=DKIM1; k=rsa; p=" + b"A" * 392
_numbers = count(1)


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds


@pytest.fixture
def domain() -> str:
    return f"d{next(_numbers)}.example.org"


@pytest.fixture
def zone(route53: Route53, domain: str) -> str:
    return route53.zone(domain)


@pytest.fixture
def resolver(route53: Route53) -> DnsResolver:
    """A resolver that sees what Route 53's servers serve."""
    server = f"127.0.0.1:{route53.dns_port}"
    return DnsResolver(ResolverConfig(authoritative={"org": (server,)}, recursive=(server,)), port=route53.dns_port)


@pytest.fixture
def adapter(route53: Route53, resolver: DnsResolver) -> Adapter:
    route53.calls.clear()
    return Adapter("aws", Config(), resolver)


def name_of(domain: str) -> str:
    return f"s1._domainkey.{domain}"


def test_a_key_is_published_in_strings_of_255_octets(
    route53: Route53, adapter: Adapter, zone: str, domain: str
) -> None:
    provider: BatchDnsProvider = adapter
    assert isinstance(provider, BatchDnsProvider)
    token = provider.publish(name_of(domain).upper(), KEY, ttl=600)
    written = f'"{KEY[:255].decode()}" "{KEY[255:].decode()}"'
    assert route53.sets(zone)[f"{name_of(domain)}.", "TXT"] == (600, (written,))
    assert provider.is_settled(token)
    assert provider.publish(name_of(domain), KEY, ttl=600) == ""


@pytest.mark.usefixtures("zone")
def test_a_change_is_pending_until_all_servers_have_it(
    route53: Route53, adapter: Adapter, resolver: DnsResolver, domain: str
) -> None:
    route53.is_pending = True
    token = adapter.publish(name_of(domain), KEY, ttl=600)
    assert not any(adapter.is_settled(token) for _ in range(5))
    assert set(resolver.authoritative(name_of(domain)).values()) == {()}
    later = Adapter("aws", Config(), resolver)
    route53.settle()
    assert later.is_settled(token)
    assert set(resolver.authoritative(name_of(domain)).values()) == {(KEY,)}


@pytest.mark.usefixtures("route53")
def test_a_change_that_nobody_knows_is_an_error(adapter: Adapter) -> None:
    assert adapter.is_settled("")
    with pytest.raises(DnsError, match="NoSuchChange") as error:
        adapter.is_settled("CNOBODY")
    assert error.value.hint


def test_texts_written_in_any_way_are_read(route53: Route53, adapter: Adapter, zone: str, domain: str) -> None:
    values = [{"Value": r'"a\"b""c"   "\303\251"'}, {"Value": "bare words"}]
    route53.put(zone, {"Name": name_of(domain), "Type": "TXT", "TTL": 60, "ResourceRecords": values})
    expected = TxtSet(name_of(domain), (b'a"bc\xc3\xa9', b"barewords"), 60)
    assert adapter.fetch(name_of(domain)) == expected


def test_texts_that_cannot_be_read_are_not_touched(route53: Route53, adapter: Adapter, zone: str, domain: str) -> None:
    values = [{"Value": '"open'}]
    route53.put(zone, {"Name": name_of(domain), "Type": "TXT", "TTL": 60, "ResourceRecords": values})
    with pytest.raises(ForeignRecordError, match="cannot be read"):
        adapter.fetch(name_of(domain))


def test_exactly_what_was_read_is_deleted(route53: Route53, adapter: Adapter, zone: str, domain: str) -> None:
    values = [{"Value": '"a""b"'}]
    route53.put(zone, {"Name": name_of(domain), "Type": "TXT", "TTL": 77, "ResourceRecords": values})
    found = adapter.fetch(name_of(domain))
    assert found is not None
    assert adapter.replace(found, b"v=DKIM1; p=") != ""
    assert route53.sets(zone)[f"{name_of(domain)}.", "TXT"] == (77, ('"v=DKIM1; p="',))
    assert route53.batches == [2]


def test_a_weighted_set_is_refused(route53: Route53, adapter: Adapter, zone: str, domain: str) -> None:
    record = {"Name": name_of(domain), "Type": "TXT", "TTL": 60, "ResourceRecords": [{"Value": '"a"'}]}
    route53.put(zone, {**record, "SetIdentifier": "one", "Weight": 1})
    with pytest.raises(ForeignRecordError, match="routing policy"):
        adapter.publish(name_of(domain), KEY, ttl=60)


def test_the_nearest_zone_is_taken_label_by_label(route53: Route53, adapter: Adapter, zone: str, domain: str) -> None:
    nearer = route53.zone(f"mail.{domain}")
    adapter.publish(f"s1._domainkey.mail.{domain}", KEY, ttl=60)
    adapter.publish(f"s1._domainkey.notmail.{domain}", KEY, ttl=60)
    assert (f"s1._domainkey.mail.{domain}.", "TXT") in route53.sets(nearer)
    assert (f"s1._domainkey.notmail.{domain}.", "TXT") in route53.sets(zone)


@pytest.mark.usefixtures("zone")
def test_a_name_of_no_zone_is_refused(adapter: Adapter, domain: str) -> None:
    with pytest.raises(UnsafeChangeError) as error:
        adapter.publish(f"s1._domainkey.x{domain}", KEY, ttl=60)
    assert error.value.guard == "zone-missing"


def test_a_private_zone_is_refused(route53: Route53, adapter: Adapter, domain: str) -> None:
    route53.zone(domain, is_private=True)
    with pytest.raises(UnsafeChangeError) as error:
        adapter.publish(name_of(domain), KEY, ttl=60)
    assert error.value.guard == "zone-private"


def test_a_private_zone_of_the_same_name_is_passed_over(
    route53: Route53, adapter: Adapter, zone: str, domain: str
) -> None:
    route53.zone(domain, is_private=True)
    adapter.publish(name_of(domain), KEY, ttl=60)
    assert (f"{name_of(domain)}.", "TXT") in route53.sets(zone)


def test_twin_zones_are_refused_until_one_is_chosen(
    route53: Route53, resolver: DnsResolver, zone: str, domain: str
) -> None:
    twin = route53.zone(domain, is_delegated=False)
    with pytest.raises(UnsafeChangeError) as error:
        Adapter("aws", Config(), resolver).publish(name_of(domain), KEY, ttl=60)
    assert error.value.guard == "twin-zones"
    assert zone in str(error.value)
    assert twin in str(error.value)
    chosen = Adapter("aws", Config(zone_ids={domain: zone}), resolver)
    chosen.publish(name_of(domain), KEY, ttl=60)
    assert (f"{name_of(domain)}.", "TXT") in route53.sets(zone)
    assert (f"{name_of(domain)}.", "TXT") not in route53.sets(twin)
    with pytest.raises(UnsafeChangeError, match="none of the public"):
        Adapter("aws", Config(zone_ids={domain: "ZNOBODY"}), resolver).fetch(name_of(domain))


@pytest.mark.usefixtures("zone")
def test_a_zone_that_is_delegated_elsewhere_is_refused(route53: Route53, domain: str) -> None:
    elsewhere = MemoryResolver(MemoryDns())
    adapter = Adapter("aws", Config(), elsewhere)
    with pytest.raises(UnsafeChangeError, match=NAMESERVERS[0]) as error:
        adapter.publish(name_of(domain), KEY, ttl=60)
    assert error.value.guard == "zone-not-delegated"
    with pytest.raises(UnsafeChangeError, match=NAMESERVERS[0]):
        adapter.check_zone(name_of(domain))
    assert route53.batches == []


def test_a_zone_with_name_servers_of_its_own_name_is_ours_by_their_addresses(
    route53: Route53, zone: str, domain: str
) -> None:
    theirs = route53.admin.get_hosted_zone(Id=zone)["DelegationSet"]["NameServers"]
    own = tuple(f"ns{number}.{domain}" for number in range(len(theirs)))
    addresses = {(name, "A"): (f"192.0.2.{number}",) for names in (theirs, own) for number, name in enumerate(names)}
    resolver = MemoryResolver(MemoryDns(), others=dict(addresses), nameservers={domain: own})
    adapter = Adapter("aws", Config(), resolver)
    assert adapter.publish(name_of(domain), KEY, ttl=60)


@pytest.mark.parametrize("call", ["ListHostedZones", "GetHostedZone", "ListResourceRecordSets"])
@pytest.mark.usefixtures("zone")
def test_what_is_denied_is_told_and_nothing_is_done(route53: Route53, adapter: Adapter, domain: str, call: str) -> None:
    route53.denied.add(call)
    with pytest.raises(DnsError, match="AccessDenied") as error:
        adapter.publish(name_of(domain), KEY, ttl=60)
    assert not error.value.transient
    assert "iam-route53.json" in error.value.hint
    assert route53.batches == []
    assert route53.calls[call] == 1


@pytest.mark.usefixtures("zone")
def test_a_denied_change_is_told(route53: Route53, adapter: Adapter, domain: str) -> None:
    route53.denied.add("ChangeResourceRecordSets")
    with pytest.raises(DnsError, match="AccessDenied"):
        adapter.publish(name_of(domain), KEY, ttl=60)
    assert adapter.fetch(name_of(domain)) is None


@pytest.mark.usefixtures("zone")
def test_throttled_and_busy_calls_are_made_again(route53: Route53, adapter: Adapter, domain: str) -> None:
    route53.throttled = 2
    route53.busy = 1
    assert adapter.publish(name_of(domain), KEY, ttl=60)
    assert route53.calls["ListHostedZones"] == 3
    assert route53.calls["ChangeResourceRecordSets"] == 2


@pytest.mark.usefixtures("zone")
def test_throttling_without_end_is_transient(route53: Route53, resolver: DnsResolver, domain: str) -> None:
    route53.throttled = 1000
    adapter = Adapter("aws", Config(tries=1), resolver)
    with pytest.raises(DnsError, match="Throttling") as error:
        adapter.publish(name_of(domain), KEY, ttl=60)
    assert error.value.transient


@pytest.mark.usefixtures("zone")
def test_a_change_whose_answer_is_lost_counts_as_made(route53: Route53, adapter: Adapter, domain: str) -> None:
    route53.lost = 1
    assert adapter.publish(name_of(domain), KEY, ttl=60) == ""
    assert route53.calls["ChangeResourceRecordSets"] == 2
    assert route53.batches == [1]


def test_another_value_that_came_in_between_stops_it(
    route53: Route53, resolver: DnsResolver, zone: str, domain: str
) -> None:
    record = {"Name": name_of(domain), "Type": "TXT", "TTL": 60, "ResourceRecords": [{"Value": '"theirs"'}]}

    class Racing(Time):
        def clock(self) -> float:
            # The last call before the change itself: what was read is not true any more.
            if route53.calls["ListResourceRecordSets"] and not route53.sets(zone).get((f"{name_of(domain)}.", "TXT")):
                route53.put(zone, record)
            return super().clock()

    racing = Racing()
    adapter = Adapter("aws", Config(), resolver, clock=racing.clock, sleep=racing.sleep)
    with pytest.raises(ForeignRecordError):
        adapter.publish(name_of(domain), KEY, ttl=60)
    assert route53.sets(zone)[f"{name_of(domain)}.", "TXT"][1] == ('"theirs"',)


def test_a_protected_record_is_told(route53: Route53, adapter: Adapter, zone: str, domain: str) -> None:
    adapter.publish(name_of(domain), KEY, ttl=60)
    found = adapter.fetch(name_of(domain))
    assert found is not None
    route53.protected.add((zone, name_of(domain), "TXT"))
    with pytest.raises(UnsafeChangeError) as error:
        adapter.remove(found)
    assert error.value.guard == "record-protected"
    assert adapter.fetch(name_of(domain)) == found


@pytest.mark.usefixtures("zone")
def test_a_batch_that_route_53_does_not_take_is_told_in_its_words(adapter: Adapter, domain: str) -> None:
    with pytest.raises(DnsError, match="TXTRDATATooLong") as error:
        adapter.publish(name_of(domain), b"x" * 4001, ttl=60)
    assert not error.value.transient


@pytest.mark.usefixtures("zone")
def test_names_of_one_zone_go_in_one_batch_and_one_read(route53: Route53, adapter: Adapter, domain: str) -> None:
    changes = [TxtChange(f"s{number}._domainkey.{domain}", None, KEY, 60) for number in range(50)]
    outcomes = adapter.change_all(changes)
    assert len(set(outcomes)) == 1
    assert route53.batches == [50]
    expected = {"ListHostedZones": 1, "GetHostedZone": 1, "ListResourceRecordSets": 1, "ChangeResourceRecordSets": 1}
    assert dict(route53.calls) == expected
    assert set(adapter.change_all(changes)) == {""}


@pytest.mark.usefixtures("zone")
def test_a_batch_holds_no_more_than_route_53_takes(route53: Route53, adapter: Adapter, domain: str) -> None:
    changes = [TxtChange(f"s{number}._domainkey.{domain}", None, KEY, 60) for number in range(200)]
    outcomes = adapter.change_all(changes)
    assert all(isinstance(outcome, str) and outcome for outcome in outcomes)
    assert sum(route53.batches) == 200
    assert len(route53.batches) == 3


def test_one_that_does_not_fit_keeps_no_other_back(route53: Route53, adapter: Adapter, zone: str, domain: str) -> None:
    foreign = {"Name": f"s1._domainkey.{domain}", "Type": "TXT", "TTL": 60, "ResourceRecords": [{"Value": '"x"'}]}
    route53.put(zone, foreign)
    route53.protected.add((zone, f"s2._domainkey.{domain}", "TXT"))
    names = [f"s{number}._domainkey.{domain}" for number in range(4)] + ["s1._domainkey.nobody.example"]
    outcomes = adapter.change_all([TxtChange(name, None, KEY, 60) for name in names])
    assert isinstance(outcomes[0], str)
    assert isinstance(outcomes[1], ForeignRecordError)
    assert isinstance(outcomes[2], UnsafeChangeError)
    assert isinstance(outcomes[3], str)
    assert isinstance(outcomes[4], UnsafeChangeError)
    assert (f"s0._domainkey.{domain}.", "TXT") in route53.sets(zone)
    assert (f"s3._domainkey.{domain}.", "TXT") in route53.sets(zone)


@pytest.mark.usefixtures("route53")
def test_credentials_that_are_missing_are_told(
    adapter: Adapter, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    folder = tmp_path_factory.mktemp("aws")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "none"))
    with pytest.raises(DnsError, match="no AWS credentials"):
        adapter.fetch("s1._domainkey.example.org")
    with pytest.raises(DnsError, match="nobody"):
        Adapter("aws", Config(profile="nobody"), MemoryResolver(MemoryDns())).fetch("s1._domainkey.example.org")


@pytest.mark.usefixtures("route53")
def test_an_endpoint_that_is_not_there_is_transient(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_ROUTE_53", "http://127.0.0.1:9")
    adapter = Adapter("aws", Config(tries=1, timeout=timedelta(seconds=1)), resolver)
    with pytest.raises(DnsError) as error:
        adapter.fetch("s1._domainkey.example.org")
    assert error.value.transient


def test_boto3_that_is_missing_is_told(adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore.exceptions", None)
    with pytest.raises(ConfigError) as error:
        adapter.fetch("s1._domainkey.example.org")
    assert "dmarcops[aws]" in error.value.hint


def test_500_domains_keep_to_the_account_s_rate(route53: Route53, resolver: DnsResolver) -> None:
    run = next(_numbers)
    domains = [f"r{run}-{number}.example.org" for number in range(500)]
    for domain in domains:
        route53.zone(domain)
    route53.calls.clear()
    time = Time()
    adapter = Adapter("aws", Config(), resolver, clock=time.clock, sleep=time.sleep)
    outcomes = adapter.change_all([TxtChange(name_of(domain), None, KEY, 60) for domain in domains])
    assert all(isinstance(outcome, str) and outcome for outcome in outcomes)
    zones = len(route53.admin.list_hosted_zones(MaxItems="1000")["HostedZones"])
    calls = route53.calls.total()
    assert route53.calls["ChangeResourceRecordSets"] == 500
    assert calls <= 3 * 500 + zones / 100 + 2
    # The bucket's own figures: the burst at once, all others at ten a second.
    assert time.slept == pytest.approx((calls - 50) / 10)
