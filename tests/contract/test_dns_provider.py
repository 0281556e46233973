"""What every provider of DNS has to do, on each of them."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from pydantic import SecretStr

from dmarcops.dns import lexicon, manual, rfc2136
from dmarcops.dns import route53 as amazon
from dmarcops.dns.resolver import Config as ResolverConfig
from dmarcops.dns.resolver import DnsResolver
from dmarcops.dns.txt import DECIMAL, parse_txt
from dmarcops.errors import ForeignRecordError, UnsafeChangeError
from dmarcops.ports import BatchDnsProvider, DnsProvider, TxtChange, TxtSet
from fakes import MemoryDns, MemoryResolver
from servers_bind import PRIMARY, Bind
from servers_bind import bind as bind  # noqa: PLC0414 - the fixture
from servers_powerdns import ZONE, PowerDns
from servers_powerdns import powerdns as powerdns  # noqa: PLC0414 - same
from servers_route53 import Route53
from servers_route53 import route53 as route53  # noqa: PLC0414 - same
from servers_route53 import route53_server as route53_server  # noqa: PLC0414 - same

KEY = b"v=DKIM1; k=rsa; p=" + b"A" * 392
OTHER = b"v=DKIM1; k=rsa; p=" + b"B" * 392
REVOKED = b"v=DKIM1; p="


@dataclass
class Bed:
    """A provider, its zone, and the hand that writes the zone behind its back (`TYPE data` each)."""

    provider: DnsProvider
    zone: str
    put: Callable[..., None]
    knows_ttl: bool = True
    checks_zone: bool = True
    compares: bool = True
    keeps_quotes: bool = True

    def name(self) -> str:
        """Give a name that was never used."""
        return f"s{secrets.token_hex(4)}._domainkey.{self.zone}"


@pytest.fixture(params=["rfc2136", "route53", "powerdns", "powerdns-split", "manual", "memory"])
def bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    kind: str = request.param
    beds = {"rfc2136": _bind, "route53": _route53, "manual": _manual, "memory": _memory}
    if kind in beds:
        yield beds[kind](request)
    else:
        yield _powerdns(request, is_split=kind.endswith("split"))


def _bind(request: pytest.FixtureRequest) -> Bed:
    server: Bind = request.getfixturevalue("bind")
    config = rfc2136.Config(
        server=PRIMARY, port=server.port, key_name="rotate.", key_secret=SecretStr(server.key_secret)
    )
    return Bed(rfc2136.Adapter("bind", config), "example.test", server.put)


def _route53(request: pytest.FixtureRequest) -> Bed:
    server: Route53 = request.getfixturevalue("route53")
    domain = f"c{secrets.token_hex(4)}.example.org"
    zone = server.zone(domain)
    place = f"127.0.0.1:{server.dns_port}"
    resolver = DnsResolver(ResolverConfig(authoritative={"org": (place,)}, recursive=(place,)))

    def put(name: str, *records: str, ttl: int = 60) -> None:
        for kind in {record.split(" ", 1)[0] for record in records}:
            values = [{"Value": record.split(" ", 1)[1]} for record in records if record.startswith(kind)]
            server.put(zone, {"Name": name, "Type": kind, "TTL": ttl, "ResourceRecords": values})

    return Bed(amazon.Adapter("aws", amazon.Config(), resolver), domain, put)


def _powerdns(request: pytest.FixtureRequest, *, is_split: bool) -> Bed:
    server: PowerDns = request.getfixturevalue("powerdns")
    options = {"pdns_server": SecretStr(server.url), "auth_token": SecretStr(server.key)}
    config = lexicon.Config(provider="powerdns", zone=ZONE, options=options, split=is_split)

    def put(name: str, *records: str, ttl: int = 60) -> None:
        for kind in {record.split(" ", 1)[0] for record in records}:
            server.put(name, kind, *(record.split(" ", 1)[1] for record in records if record.startswith(kind)), ttl=ttl)

    return Bed(lexicon.Adapter("pdns", config), ZONE, put, compares=False, keeps_quotes=False)


def _memory(request: pytest.FixtureRequest) -> Bed:  # noqa: ARG001 - as the others
    world = MemoryDns()
    return Bed(world, "example.com", _hand(world), checks_zone=False)


def _manual(request: pytest.FixtureRequest) -> Bed:  # noqa: ARG001 - as the others
    world = MemoryDns()

    def person(told: manual.Instruction) -> None:
        world.records.pop(told.name, None)
        for line in told.add:
            owner, _, text = line.partition(" IN TXT ")
            ttl = int(owner.partition(" ")[2] or 60)
            world.records[told.name] = TxtSet(told.name, (b"".join(parse_txt(text, base=DECIMAL)),), ttl)

    provider = manual.Adapter("by hand", manual.Config(), MemoryResolver(world), tell=person)
    return Bed(provider, "example.com", _hand(world), knows_ttl=False, checks_zone=False)


def _hand(world: MemoryDns) -> Callable[..., None]:
    def put(name: str, *records: str, ttl: int = 60) -> None:
        texts = [data for kind, data in (record.split(" ", 1) for record in records) if kind == "TXT"]
        for alias in (record.split(" ", 1)[1] for record in records if record.startswith("CNAME")):
            world.aliases[name] = alias.rstrip(".")
        if texts:
            values = tuple(sorted(b"".join(parse_txt(text, base=DECIMAL)) for text in texts))
            world.records[name] = TxtSet(name, values, ttl)

    return put


def texts(bed: Bed, name: str) -> tuple[bytes, ...]:
    found = bed.provider.fetch(name)
    return () if found is None else found.values


def test_nothing_is_found_when_nothing_is_there(bed: Bed) -> None:
    assert bed.provider.fetch(bed.name()) is None


def test_a_record_is_found_as_it_was_published(bed: Bed) -> None:
    name = bed.name()
    token = bed.provider.publish(name, KEY, ttl=300)
    assert token
    assert bed.provider.is_settled(token)
    assert bed.provider.fetch(f"{name}.".upper()) == TxtSet(name, (KEY,), 300 if bed.knows_ttl else 0)


@pytest.mark.parametrize("value", [b"a; b", b'with "quotes" and \\ in it', b"x" * 255, b"x" * 256, b"y" * 700])
def test_a_value_of_any_form_arrives_whole(bed: Bed, value: bytes) -> None:
    name = bed.name()
    if b'"' in value and not bed.keeps_quotes:
        pytest.skip(lexicon.LIMITS["quotes"])
    bed.provider.publish(name, value, ttl=300)
    assert texts(bed, name) == (value,)


def test_publishing_again_does_nothing(bed: Bed) -> None:
    name = bed.name()
    bed.provider.publish(name, KEY, ttl=300)
    assert bed.provider.publish(name, KEY, ttl=600) == ""
    assert bed.provider.is_settled("")


def test_publishing_over_another_value_is_refused(bed: Bed) -> None:
    name = bed.name()
    bed.put(name, 'TXT "theirs"')
    with pytest.raises(ForeignRecordError):
        bed.provider.publish(name, KEY, ttl=300)
    assert texts(bed, name) == (b"theirs",)


def test_publishing_beside_a_cname_is_refused(bed: Bed) -> None:
    name = bed.name()
    bed.put(name, f"CNAME elsewhere.{bed.zone}.")
    with pytest.raises(ForeignRecordError, match="CNAME"):
        bed.provider.fetch(name)
    with pytest.raises(ForeignRecordError, match="CNAME"):
        bed.provider.publish(name, KEY, ttl=300)


def test_a_record_is_replaced_and_keeps_its_ttl(bed: Bed) -> None:
    name = bed.name()
    bed.put(name, f'TXT "{KEY[:200].decode()}" "{KEY[200:].decode()}"', ttl=77)
    found = bed.provider.fetch(name)
    assert found is not None
    token = bed.provider.replace(found, REVOKED)
    assert bed.provider.is_settled(token)
    after = bed.provider.fetch(name)
    assert after is not None
    assert after.values == (REVOKED,)
    assert after.ttl == found.ttl
    assert bed.provider.replace(found, REVOKED) == ""


def test_several_records_are_replaced_by_one(bed: Bed) -> None:
    name = bed.name()
    bed.put(name, 'TXT "one"', 'TXT "two"')
    found = bed.provider.fetch(name)
    assert found is not None
    assert found.values == (b"one", b"two")
    bed.provider.replace(found, KEY)
    assert texts(bed, name) == (KEY,)


@pytest.mark.parametrize("there", [('TXT "theirs"',), ('TXT "ours"', 'TXT "theirs"')])
def test_replacing_another_record_is_refused(bed: Bed, there: tuple[str, ...]) -> None:
    name = bed.name()
    bed.put(name, *there)
    before = texts(bed, name)
    with pytest.raises(ForeignRecordError):
        bed.provider.replace(TxtSet(name, (b"ours",), 60), KEY)
    assert texts(bed, name) == before


def test_replacing_nothing_is_refused(bed: Bed) -> None:
    name = bed.name()
    if not bed.compares:
        # LIMITS: a replacement that was killed half way is finished.
        bed.provider.replace(TxtSet(name, (b"ours",), 60), KEY)
        assert texts(bed, name) == (KEY,)
        return
    with pytest.raises(ForeignRecordError):
        bed.provider.replace(TxtSet(name, (b"ours",), 60), KEY)
    assert texts(bed, name) == ()


def test_a_record_is_removed_once(bed: Bed) -> None:
    name = bed.name()
    bed.provider.publish(name, KEY, ttl=300)
    found = TxtSet(name, (KEY,), 300)
    token = bed.provider.remove(found)
    assert token
    assert bed.provider.is_settled(token)
    assert texts(bed, name) == ()
    assert bed.provider.remove(found) == ""


def test_removing_another_record_is_refused(bed: Bed) -> None:
    name = bed.name()
    bed.put(name, 'TXT "theirs"', 'TXT "ours"')
    with pytest.raises(ForeignRecordError):
        bed.provider.remove(TxtSet(name, (b"ours",), 60))
    assert texts(bed, name) == (b"ours", b"theirs")


def test_a_name_of_another_s_zone_is_refused(bed: Bed) -> None:
    if not bed.checks_zone:
        pytest.skip("it has no zones")
    with pytest.raises(UnsafeChangeError):
        bed.provider.publish(f"s1._domainkey.not{bed.zone}", KEY, ttl=60)


def test_a_batch_is_each_change_by_itself(bed: Bed) -> None:
    if not isinstance(bed.provider, BatchDnsProvider):
        pytest.skip("it has no batches")
    one, two, three = bed.name(), bed.name(), bed.name()
    bed.put(two, 'TXT "theirs"')
    bed.provider.publish(three, KEY, ttl=60)
    changes = (
        TxtChange(one, None, KEY),
        TxtChange(two, None, KEY),
        TxtChange(three, TxtSet(three, (KEY,), 60), OTHER),
    )
    first, second, third = bed.provider.change_all(changes)
    assert isinstance(first, str)
    assert isinstance(second, ForeignRecordError)
    assert isinstance(third, str)
    assert (texts(bed, one), texts(bed, two), texts(bed, three)) == ((KEY,), (b"theirs",), (OTHER,))
