"""How the zone of a name is found, in worlds of our own making: one server that is resolver and authority at once."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import dns.rrset
import pytest

from dmarcops.dns.resolver import Config, DnsResolver
from dmarcops.errors import AnswerError, DnsError
from servers_dns import serve_dns, serve_wire

SHORT = timedelta(milliseconds=300)
SOA = "SOA ns.example.test. hostmaster.example.test. 1 2 3 4 5"
Section = tuple[str, ...]
World = Mapping[tuple[str, str], tuple[Section, Section]]
"""By name and type, the answer's records and the authority's, each `NAME TYPE DATA`."""


def rrset(record: str) -> dns.rrset.RRset:
    name, kind, data = record.split(" ", 2)
    return dns.rrset.from_text(name, 60, "IN", kind, data)


@contextmanager
def resolver_in(world: World, *, is_authority: bool = True) -> Iterator[DnsResolver]:
    def respond(query: dns.message.Message) -> dns.message.Message:
        reply = dns.message.make_response(query)
        question = query.question[0]
        answer, authority = world.get(
            (question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)), ((), ())
        )
        reply.answer.extend(map(rrset, answer))
        reply.authority.extend(map(rrset, authority))
        if is_authority and not any(record.split(" ")[1] == "NS" for record in authority):
            reply.flags |= dns.flags.AA
        return reply

    with serve_dns(respond) as port:
        yield DnsResolver(Config(recursive=(f"127.0.0.1:{port}",), timeout=SHORT, tries=1), port=port)


APEX: World = {
    ("example.test", "SOA"): ((f"example.test. {SOA}",), ()),
    ("example.test", "NS"): (("example.test. NS ns.example.test.",), ()),
    ("ns.example.test", "A"): (("ns.example.test. A 127.0.0.1",), ()),
}


def test_a_cut_that_one_server_hides_is_seen_by_its_soa() -> None:
    name, child = "s1._domainkey.example.test", "_domainkey.example.test"
    world = {
        **APEX,
        (name, "SOA"): ((), (f"{child}. {SOA}",)),
        (child, "NS"): ((f"{child}. NS ns2.example.test.",), ()),
        ("ns2.example.test", "A"): (("ns2.example.test. A 127.0.0.1",), ()),
        (name, "TXT"): ((f'{name}. TXT "key"',), ()),
    }
    with resolver_in(world) as resolver:
        (answer,) = resolver.authoritative(name).items()
    assert answer[0].startswith("ns2.example.test[127.0.0.1]:")
    assert answer[1] == (b"key",)


def test_a_domain_that_is_a_cname_is_in_the_zone_above() -> None:
    world = {
        **APEX,
        ("www.example.test", "SOA"): (("www.example.test. CNAME elsewhere.example.",), ()),
        ("s1._domainkey.www.example.test", "TXT"): (('s1._domainkey.www.example.test. TXT "key"',), ()),
    }
    with resolver_in(world) as resolver:
        assert set(resolver.authoritative("s1._domainkey.www.example.test").values()) == {(b"key",)}


def test_a_world_without_zones_is_an_error() -> None:
    with resolver_in({}) as resolver, pytest.raises(AnswerError, match="no SOA"):
        resolver.authoritative("s1._domainkey.example.test")


def test_servers_without_addresses_are_an_error() -> None:
    world = {key: said for key, said in APEX.items() if key[1] != "A"}
    with resolver_in(world) as resolver, pytest.raises(DnsError, match="no address of a server of the zone example"):
        resolver.authoritative("s1._domainkey.example.test")


def test_an_address_that_we_have_no_way_to_is_passed_over_when_there_is_another() -> None:
    name = "s1._domainkey.example.test"
    # 255.255.255.255 cannot be sent to by anybody.
    host: World = {
        ("ns.example.test", "A"): (("ns.example.test. A 127.0.0.1", "ns.example.test. A 255.255.255.255"), ())
    }
    with resolver_in({**APEX, **host}) as resolver:
        assert len(resolver.authoritative(name)) == 1
    host = {("ns.example.test", "A"): (("ns.example.test. A 255.255.255.255",), ())}
    with resolver_in({**APEX, **host}) as resolver, pytest.raises(AnswerError, match="unreachable") as error:
        resolver.authoritative(name)
    assert error.value.server.startswith("ns.example.test[255.255.255.255]")
    assert error.value.transient


def test_cuts_without_end_are_an_error() -> None:
    names = ["example.test"]
    for number in range(12):
        names.insert(0, f"a{number}.{names[0]}")
    cuts = iter(names[-2::-1])
    referral: dict[str, str] = {}

    def respond(query: dns.message.Message) -> dns.message.Message:
        reply = dns.message.make_response(query)
        key = (query.question[0].name.to_text(omit_final_dot=True), dns.rdatatype.to_text(query.question[0].rdtype))
        if key == (names[0], "SOA"):
            referral["cut"] = next(cuts)
            reply.authority.append(rrset(f"{referral['cut']}. NS ns.example.test."))
            return reply
        reply.answer.extend(map(rrset, APEX.get(key, ((), ()))[0]))
        reply.flags |= dns.flags.AA
        return reply

    with serve_dns(respond) as port:
        resolver = DnsResolver(Config(recursive=(f"127.0.0.1:{port}",), timeout=SHORT, tries=1), port=port)
        resolver.negative_ttl("_x.example.test")
        with pytest.raises(DnsError, match="zone cuts"):
            resolver._zone(dns.name.from_text(names[0]), dns.name.from_text("example.test"))  # noqa: SLF001 - the domain above all cuts


def test_a_resolver_that_gives_a_loop_is_named() -> None:
    loop = (("a.example.test. CNAME b.example.test.", "b.example.test. CNAME a.example.test."), ())
    with resolver_in({("a.example.test", "TXT"): loop}) as resolver, pytest.raises(AnswerError, match="loop"):
        resolver.txt("a.example.test")


def test_a_zone_whose_server_shows_no_soa_is_an_error() -> None:
    def respond(query: dns.message.Message) -> dns.message.Message:
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.AA
        key = (query.question[0].name.to_text(omit_final_dot=True), dns.rdatatype.to_text(query.question[0].rdtype))
        # To the resolver it is shown, to us as an authority not.
        if key[1] != "SOA" or query.flags & dns.flags.RD:
            reply.answer.extend(map(rrset, APEX.get(key, ((), ()))[0]))
        return reply

    with serve_dns(respond) as port, pytest.raises(AnswerError, match="no SOA"):
        DnsResolver(Config(recursive=(f"127.0.0.1:{port}",), timeout=SHORT, tries=1), port=port).negative_ttl(
            "s1._domainkey.example.test"
        )


def test_an_answer_cut_anywhere_is_an_answer_or_a_fault() -> None:
    lengths = iter(range(2, 1000))

    def handle(wire: bytes, _: int) -> bytes:
        return reply_with_key(wire)[: next(lengths)]

    outcomes = set()
    with serve_wire(handle) as port:
        server = f"127.0.0.1:{port}"
        resolver = DnsResolver(Config(authoritative={"example.test": (server,)}, timeout=SHORT, tries=1))
        for _ in range(90):
            try:
                outcomes.add(str(resolver.authoritative("s1.example.test")))
            except AnswerError as error:
                outcomes.add(error.reason)
    assert outcomes == {"garbled", str({server: (b"key",)})}


def reply_with_key(wire: bytes) -> bytes:
    reply = dns.message.make_response(dns.message.from_wire(wire))
    reply.flags |= dns.flags.AA
    reply.answer.append(rrset('s1.example.test. TXT "key"'))
    return reply.to_wire()
