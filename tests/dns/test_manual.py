import pytest

from dmarcops.dns.manual import Adapter, Config, Instruction
from dmarcops.errors import AnswerError, DnsError, ForeignRecordError
from dmarcops.ports import TxtSet
from fakes import NAMESERVERS, MemoryDns, MemoryResolver

NAME = "s1._domainkey.example.com"
KEY = b"v=DKIM1; k=rsa; p=" + b"A" * 392


@pytest.fixture
def world() -> MemoryDns:
    return MemoryDns()


@pytest.fixture
def told() -> list[Instruction]:
    return []


@pytest.fixture
def adapter(world: MemoryDns, told: list[Instruction]) -> Adapter:
    return Adapter("by hand", Config(), MemoryResolver(world), tell=told.append)


def test_the_record_is_told_as_a_line_of_a_zone_file(adapter: Adapter, told: list[Instruction]) -> None:
    adapter.publish(NAME, KEY, ttl=3600)
    line = f'{NAME}. 3600 IN TXT "{KEY[:255].decode()}" "{KEY[255:].decode()}"'
    assert told == [Instruction(NAME, delete=(), add=(line,))]
    assert str(told[0]) == f"In the zone of {NAME}\nadd:  {line}"


def test_it_waits_until_every_server_shows_the_record(adapter: Adapter, world: MemoryDns) -> None:
    token = adapter.publish(NAME, KEY, ttl=3600)
    assert not adapter.is_settled(token)
    world.records[NAME] = TxtSet(NAME, (KEY,), 3600)
    world.servers[NAME] = {NAMESERVERS[1]: ()}
    assert not adapter.is_settled(token)
    world.servers.clear()
    assert adapter.is_settled(token)
    assert adapter.publish(NAME, KEY, ttl=3600) == ""


def test_a_value_that_was_typed_wrong_does_not_settle(adapter: Adapter, world: MemoryDns) -> None:
    token = adapter.publish(NAME, KEY, ttl=3600)
    world.records[NAME] = TxtSet(NAME, (KEY[:255],), 3600)
    assert not adapter.is_settled(token)
    with pytest.raises(ForeignRecordError):
        adapter.publish(NAME, KEY, ttl=3600)


def test_removal_waits_until_no_server_shows_the_record(
    adapter: Adapter, world: MemoryDns, told: list[Instruction]
) -> None:
    world.records[NAME] = TxtSet(NAME, (b"v=DKIM1; p=",), 60)
    token = adapter.remove(TxtSet(NAME, (b"v=DKIM1; p=",), 60))
    assert told[0].delete == (f'{NAME}. IN TXT "v=DKIM1; p="',)
    assert not adapter.is_settled(token)
    del world.records[NAME]
    assert adapter.is_settled(token)


def test_servers_that_disagree_are_no_ground_to_tell_anything(
    adapter: Adapter, world: MemoryDns, told: list[Instruction]
) -> None:
    world.servers[NAME] = {NAMESERVERS[0]: (b"old",)}
    with pytest.raises(DnsError, match="disagree") as error:
        adapter.publish(NAME, KEY, ttl=60)
    assert error.value.transient
    assert told == []


def test_a_server_that_does_not_answer_is_told(adapter: Adapter, world: MemoryDns) -> None:
    world.servers[NAME] = {NAMESERVERS[0]: AnswerError(NAMESERVERS[0], "timeout", question="TXT", transient=True)}
    with pytest.raises(AnswerError, match=NAMESERVERS[0]):
        adapter.fetch(NAME)
