from datetime import timedelta
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from dmarcops.dns.resolver import Config, DnsResolver
from dmarcops.errors import AnswerError, ConfigError, DnsError
from dmarcops.ports import Resolver
from servers_bind import NEGATIVE_TTL, PARENT, PRIMARY, RECURSIVE, SECONDARY, Bind
from servers_bind import bind as bind  # noqa: PLC0414 - the fixture
from servers_dns import serve_dns

KEY = b"v=DKIM1; k=rsa; p=" + b"A" * 392
WRITTEN = f'TXT "{KEY[:255].decode()}" "{KEY[255:].decode()}"'
SHORT = timedelta(milliseconds=300)


@pytest.fixture
def resolver(bind: Bind) -> DnsResolver:
    config = Config(recursive=(f"{RECURSIVE}:{bind.port}",), timeout=SHORT, tries=1)
    return DnsResolver(config, port=bind.port)


@pytest.fixture
def labels(bind: Bind) -> tuple[str, str]:
    return f"ns1.example.test[{PRIMARY}]:{bind.port}", f"ns2.example.test[{SECONDARY}]:{bind.port}"


def only(zone: str, port: int) -> DnsResolver:
    """A resolver that asks our own server for everything."""
    server = f"127.0.0.1:{port}"
    return DnsResolver(Config(authoritative={zone: (server,)}, recursive=(server,), timeout=SHORT, tries=1))


def test_every_server_is_asked_when_all_have_the_record(
    bind: Bind, resolver: DnsResolver, labels: tuple[str, str]
) -> None:
    checked: Resolver = resolver
    bind.put("s1._domainkey.example.test", WRITTEN)
    bind.catch_up()
    assert checked.authoritative("S1._DomainKey.Example.Test.") == dict.fromkeys(labels, (KEY,))


def test_one_server_behind_is_shown_without_the_record(
    bind: Bind, resolver: DnsResolver, labels: tuple[str, str]
) -> None:
    bind.catch_up()
    bind.put("behind._domainkey.example.test", WRITTEN)
    assert resolver.authoritative("behind._domainkey.example.test") == {labels[0]: (KEY,), labels[1]: ()}
    bind.catch_up()
    assert resolver.authoritative("behind._domainkey.example.test") == dict.fromkeys(labels, (KEY,))


def test_a_silent_server_is_named(bind: Bind, resolver: DnsResolver, labels: tuple[str, str]) -> None:
    resolver.authoritative("any._domainkey.example.test")
    with bind.silent(SECONDARY), pytest.raises(AnswerError) as error:
        resolver.authoritative("any._domainkey.example.test")
    assert error.value.server == labels[1]
    assert error.value.reason == "timeout"
    assert error.value.transient


def test_all_silent_servers_are_named(bind: Bind, resolver: DnsResolver, labels: tuple[str, str]) -> None:
    resolver.negative_ttl("any._domainkey.example.test")
    with bind.silent(SECONDARY), bind.silent(PRIMARY), pytest.raises(DnsError) as error:
        resolver.negative_ttl("any._domainkey.example.test")
    assert all(label in str(error.value) for label in labels)
    assert error.value.transient


@pytest.mark.parametrize(
    ("records", "texts"),
    [
        (('TXT "v=DKIM1; p=other"',), (b"v=DKIM1; p=other",)),
        ((WRITTEN, 'TXT "v=spf1 -all"'), (KEY, b"v=spf1 -all")),
        ((f'TXT "{KEY[:255].decode()}"',), (KEY[:255],)),
        ((), ()),
    ],
    ids=["wrong value", "extra TXT", "truncated", "none"],
)
def test_texts_are_shown_as_they_are(
    bind: Bind, resolver: DnsResolver, records: tuple[str, ...], texts: tuple[bytes, ...]
) -> None:
    bind.put("odd._domainkey.example.test", *records)
    bind.catch_up()
    assert set(resolver.authoritative("odd._domainkey.example.test").values()) == {texts}


def test_a_wildcard_is_shown_as_what_it_answers(resolver: DnsResolver) -> None:
    assert set(resolver.authoritative("s1.wild.example.test").values()) == {(b"wildcard",)}


def test_a_cname_is_followed_to_the_servers_of_its_target(
    bind: Bind, resolver: DnsResolver, labels: tuple[str, str]
) -> None:
    bind.put("led._domainkey.example.test", "CNAME led.provider.test.")
    bind.put("led.provider.test", WRITTEN, zone="provider.test")
    bind.catch_up()
    bind.catch_up("provider.test")
    expected = {f"{label} for led.provider.test": (KEY,) for label in labels}
    assert resolver.authoritative("led._domainkey.example.test") == expected


def test_servers_that_disagree_on_a_cname_are_all_shown(
    bind: Bind, resolver: DnsResolver, labels: tuple[str, str]
) -> None:
    bind.put("half._domainkey.example.test", 'TXT "old"')
    bind.catch_up()
    bind.put("half.provider.test", WRITTEN, zone="provider.test")
    bind.catch_up("provider.test")
    bind.put("half._domainkey.example.test", "CNAME half.provider.test.")
    shown = resolver.authoritative("half._domainkey.example.test")
    assert shown == {labels[1]: (b"old",)} | {f"{label} for half.provider.test": (KEY,) for label in labels}


def test_a_cname_loop_is_a_fault_of_the_servers_that_give_up_on_it(
    bind: Bind, resolver: DnsResolver, labels: tuple[str, str]
) -> None:
    bind.put("loop._domainkey.example.test", "CNAME pool._domainkey.example.test.")
    bind.put("pool._domainkey.example.test", "CNAME loop._domainkey.example.test.")
    bind.catch_up()
    with pytest.raises(DnsError) as error:
        resolver.authoritative("loop._domainkey.example.test")
    assert labels[0] in str(error.value)
    with pytest.raises(DnsError, match=r"127\.0\.0\.3"):
        resolver.txt("loop._domainkey.example.test")


@pytest.mark.parametrize(("length", "last"), [(1, "s0"), (2, "s1"), (100, "s8")])
def test_a_cname_loop_is_named(length: int, last: str) -> None:
    def respond(query: dns.message.Message) -> dns.message.Message:
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.AA
        name = query.question[0].name
        number = int(name.labels[0][1:])
        target = f"s{(number + 1) % length}.x.example.test."
        reply.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", target))
        return reply

    with serve_dns(respond) as port, pytest.raises(AnswerError) as error:
        only("example.test", port).authoritative("s0.x.example.test")
    assert error.value.reason == "loop"
    assert error.value.server.startswith(f"127.0.0.1:{port}")
    assert error.value.question.startswith(f"TXT {last}.x.example.test, a CNAME of ")
    assert not error.value.transient


def test_a_cut_below_the_domain_is_followed(bind: Bind, resolver: DnsResolver) -> None:
    shown = resolver.authoritative("below._domainkey.cut.example.test")
    assert shown == {f"ns2.example.test[{SECONDARY}]:{bind.port}": (b"cut",)}


def test_recursive_resolvers_remember_that_nothing_was_there(bind: Bind, resolver: DnsResolver) -> None:
    name = "stale._domainkey.example.test"
    server = f"{RECURSIVE}:{bind.port}"
    assert resolver.recursive(name) == {server: ()}
    bind.put(name, WRITTEN)
    bind.catch_up()
    assert set(resolver.authoritative(name).values()) == {(KEY,)}
    assert resolver.recursive(name) == {server: ()}
    assert resolver.txt(name) is None


def test_asking_authoritative_servers_leaves_nothing_in_resolvers(bind: Bind, resolver: DnsResolver) -> None:
    name = "fresh._domainkey.example.test"
    assert set(resolver.authoritative(name).values()) == {()}
    assert resolver.negative_ttl(name) == NEGATIVE_TTL
    bind.put(name, WRITTEN)
    bind.catch_up()
    assert resolver.txt(name) == (KEY,)


def test_the_negative_ttl_is_the_smaller_of_the_two(resolver: DnsResolver) -> None:
    assert resolver.negative_ttl("x._domainkey.example.test") == NEGATIVE_TTL


def test_everybody_is_told_none_when_the_name_does_not_exist(resolver: DnsResolver) -> None:
    assert resolver.txt("never.example.test") is None
    assert resolver.txt("mail.example.test") == ()
    assert resolver.records("never.example.test", "MX") is None
    assert resolver.records("mail.example.test", "AAAA") == ()
    assert resolver.records("example.test", "MX") == ("10 mail.example.test.",)


def test_delegation_is_what_the_parent_says(resolver: DnsResolver) -> None:
    assert resolver.delegation("example.test") == ("ns1.example.test", "ns2.example.test")
    assert resolver.delegation("nothing.test") == ()


def test_delegation_is_asked_of_the_servers_that_are_given(bind: Bind) -> None:
    given = DnsResolver(Config(authoritative={"example.test": (f"{PRIMARY}:{bind.port}",)}))
    assert given.delegation("example.test") == ("ns1.example.test", "ns2.example.test")
    assert given.authoritative("x._domainkey.example.test") == {f"{PRIMARY}:{bind.port}": ()}


def test_a_server_that_does_not_hold_the_zone_refuses(bind: Bind) -> None:
    given = DnsResolver(Config(authoritative={"elsewhere.example": (f"{PARENT}:{bind.port}",)}))
    with pytest.raises(AnswerError, match="refused") as error:
        given.authoritative("s1._domainkey.elsewhere.example")
    assert error.value.server == f"{PARENT}:{bind.port}"


@pytest.mark.parametrize(
    ("flag", "rcode", "reason", "transient"),
    [
        (dns.flags.AA, dns.rcode.SERVFAIL, "servfail", True),
        (dns.flags.AA, dns.rcode.REFUSED, "refused", False),
        (0, dns.rcode.NOERROR, "lame", False),
    ],
)
def test_the_fault_of_a_server_is_told(flag: int, rcode: dns.rcode.Rcode, reason: str, *, transient: bool) -> None:
    def respond(query: dns.message.Message) -> dns.message.Message:
        reply = dns.message.make_response(query)
        reply.flags |= flag
        reply.set_rcode(rcode)
        return reply

    with serve_dns(respond) as port, pytest.raises(AnswerError) as error:
        only("example.test", port).authoritative("s1._domainkey.example.test")
    assert error.value.server == f"127.0.0.1:{port}"
    assert error.value.reason == reason
    assert error.value.transient is transient
    assert error.value.question == "TXT s1._domainkey.example.test"


def test_a_server_that_talks_nonsense_is_named() -> None:
    def nonsense(query: dns.message.Message) -> bytes:
        return query.id.to_bytes(2, "big") + b"\x84\x00"

    with serve_dns(nonsense) as port, pytest.raises(AnswerError, match=rf"127\.0\.0\.1:{port}: garbled"):
        only("example.test", port).authoritative("s1._domainkey.example.test")


def test_nobody_listening_is_unreachable_or_silent() -> None:
    with serve_dns(lambda _: None) as port, pytest.raises(AnswerError, match="timeout"):
        only("example.test", port).txt("example.test")


def test_a_record_beside_the_name_is_not_taken_for_it() -> None:
    def respond(query: dns.message.Message) -> dns.message.Message:
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.AA
        reply.answer.append(dns.rrset.from_text("other._domainkey.example.test.", 60, "IN", "TXT", '"v=DKIM1; p=A"'))
        return reply

    with serve_dns(respond) as port:
        assert only("example.test", port).authoritative("s1._domainkey.example.test") == {f"127.0.0.1:{port}": ()}


def test_what_is_too_large_for_udp_comes_over_tcp() -> None:
    text = "x" * 250

    def respond(query: dns.message.Message) -> dns.message.Message:
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.AA
        written = [f'"{text}{number}"' for number in range(10)]
        reply.answer.append(dns.rrset.from_text_list(query.question[0].name, 60, "IN", "TXT", written))
        return reply

    with serve_dns(respond) as port:
        (texts,) = only("example.test", port).authoritative("large.example.test").values()
    assert len(texts) == 10


@pytest.mark.parametrize("text", ["ns1.example.com", "192.0.2.1:dns", "[::1", "2001:db8::1:x"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no address"):
        DnsResolver(Config(recursive=(text,)))


@pytest.mark.parametrize("text", ["192.0.2.1", "192.0.2.1:5300", "[2001:db8::1]:5300", "2001:db8::1", "[2001:db8::1]"])
def test_addresses_are_read_in_every_form(text: str) -> None:
    DnsResolver(Config(recursive=(text,)))


def test_the_system_is_asked_when_no_resolver_is_named(tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("search example.com\nnameserver 127.0.0.9\n")
    resolver = DnsResolver(Config(timeout=SHORT, tries=1), system=str(tmp_path / "resolv.conf"))
    with pytest.raises(AnswerError, match=r"127\.0\.0\.9:53"):
        resolver.txt("example.test")


def test_a_system_that_names_no_resolver_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no resolver"):
        DnsResolver(Config(), system=str(tmp_path / "none")).txt("example.test")
