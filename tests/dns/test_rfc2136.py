import base64
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import Any

import dns.message
import dns.opcode
import dns.rcode
import dns.tsigkeyring
import pytest
from pydantic import SecretStr

from dmarcops.dns.rfc2136 import Adapter, Config
from dmarcops.errors import ConfigError, DnsError, ForeignRecordError, UnsafeChangeError
from servers_bind import PARENT, PRIMARY, SECONDARY, Bind
from servers_bind import bind as bind  # noqa: PLC0414 - the fixture
from servers_dns import serve_dns, serve_wire

SECRET = base64.b64encode(bytes(32)).decode()
KEY = b"v=DKIM1; k=rsa; p=" + b"A" * 392
_numbers = count(1)


def adapter(bind: Bind, **changed: Any) -> Adapter:  # noqa: ANN401 - what Config takes
    given = {"server": PRIMARY, "port": bind.port, "key_name": "rotate.", "key_secret": SecretStr(bind.key_secret)}
    return Adapter("bind", Config(**{**given, **changed}))


@contextmanager
def relayed(
    bind: Bind, answered: dns.rcode.Rcode | None = None, *, before_update: Callable[[], object] | None = None
) -> Iterator[int]:
    """Pass questions on to BIND, and updates too unless they are `answered` here, signed."""
    keyring = dns.tsigkeyring.from_text({"rotate.": bind.key_secret})

    def handle(wire: bytes) -> bytes:
        message = dns.message.from_wire(wire, keyring=keyring)
        if message.opcode() == dns.opcode.UPDATE:
            if before_update is not None:
                before_update()
            if answered is not None:
                reply = dns.message.make_response(message)
                reply.set_rcode(answered)
                return reply.to_wire()
        with socket.create_connection((PRIMARY, bind.port), timeout=10) as channel:
            channel.sendall(struct.pack("!H", len(wire)) + wire)
            stream = channel.makefile("rb")
            (length,) = struct.unpack("!H", stream.read(2))
            return stream.read(length)

    with serve_wire(lambda wire, _: handle(wire)) as port:
        yield port


@pytest.fixture
def name() -> str:
    return f"u{next(_numbers)}._domainkey.example.test"


def test_a_key_that_the_server_does_not_know_is_denied(bind: Bind, name: str) -> None:
    with pytest.raises(DnsError, match="denies the key nobody") as error:
        adapter(bind, key_name="nobody.").publish(name, KEY, ttl=60)
    assert not error.value.transient
    assert error.value.hint


def test_a_wrong_secret_is_denied_and_not_shown(bind: Bind, name: str) -> None:
    with pytest.raises(DnsError, match="denies the key rotate") as error:
        adapter(bind, key_secret=SecretStr(SECRET)).publish(name, KEY, ttl=60)
    assert not error.value.transient
    assert SECRET not in str(error.value) + repr(Config(server="a", key_name="b", key_secret=SecretStr(SECRET)))


def test_a_name_that_the_policy_does_not_allow_is_denied(bind: Bind) -> None:
    with pytest.raises(DnsError, match="REFUSED") as error:
        adapter(bind).publish("www.example.test", KEY, ttl=60)
    assert not error.value.transient
    assert "policy" in error.value.hint


def test_a_zone_that_the_server_does_not_hold_is_refused(bind: Bind) -> None:
    with pytest.raises(UnsafeChangeError) as error:
        adapter(bind).fetch("s1._domainkey.elsewhere.example")
    assert error.value.guard == "zone-missing"


def test_a_name_that_is_delegated_away_is_refused(bind: Bind) -> None:
    with pytest.raises(UnsafeChangeError):
        adapter(bind).publish("s1._domainkey.cut.example.test", KEY, ttl=60)


def test_a_cname_that_leads_out_of_the_server_is_refused(bind: Bind, name: str) -> None:
    bind.put(name, "CNAME s1.elsewhere.example.")
    with pytest.raises(ForeignRecordError, match=r"s1\.elsewhere\.example"):
        adapter(bind).publish(name, KEY, ttl=60)


def test_a_secondary_does_not_take_changes(bind: Bind, name: str) -> None:
    secondary = adapter(bind, port=bind.ports[SECONDARY])
    with pytest.raises(DnsError) as error:
        secondary.publish(name, KEY, ttl=60)
    assert not error.value.transient


def test_a_server_by_name_is_looked_up(bind: Bind, name: str) -> None:
    assert adapter(bind, server="localhost").fetch(name) is None


def test_a_silent_server_is_transient(bind: Bind, name: str) -> None:
    with bind.silent(PRIMARY), pytest.raises(DnsError, match="does not answer") as error:
        adapter(bind, timeout=timedelta(milliseconds=300)).fetch(name)
    assert error.value.transient


def test_nobody_listening_is_transient(bind: Bind, name: str) -> None:
    with pytest.raises(DnsError, match="does not answer") as error:
        adapter(bind, port=9).fetch(name)
    assert error.value.transient


def test_an_answer_that_is_not_signed_is_not_believed(bind: Bind, name: str) -> None:
    def respond(query: dns.message.Message) -> dns.message.Message:
        plain = dns.message.make_query(query.question[0].name, query.question[0].rdtype)
        plain.id = query.id
        return dns.message.make_response(plain)

    with serve_dns(respond) as port, pytest.raises(DnsError, match="did not sign"):
        adapter(bind, port=port).fetch(name)


def test_a_garbled_answer_is_transient(bind: Bind, name: str) -> None:
    with serve_dns(lambda query: query.id.to_bytes(2, "big") + b"\x84\x00") as port, pytest.raises(DnsError) as error:
        adapter(bind, port=port).fetch(name)
    assert error.value.transient


@pytest.mark.parametrize(
    ("rcode", "transient", "hint"),
    [
        (dns.rcode.SERVFAIL, True, ""),
        (dns.rcode.NOTAUTH, False, "primary"),
        (dns.rcode.NOTZONE, False, "another zone"),
        (dns.rcode.NOTIMP, False, "no dynamic updates"),
    ],
)
def test_what_the_server_answers_is_told(
    bind: Bind, name: str, rcode: dns.rcode.Rcode, *, transient: bool, hint: str
) -> None:
    with relayed(bind, rcode) as port, pytest.raises(DnsError, match=dns.rcode.to_text(rcode)) as error:
        adapter(bind, port=port).publish(name, KEY, ttl=60)
    assert error.value.transient is transient
    assert hint in error.value.hint


@pytest.mark.parametrize("late", ['TXT "theirs"', "CNAME elsewhere.example.test."])
def test_what_came_in_between_stops_the_server_itself(bind: Bind, name: str, late: str) -> None:
    with relayed(bind, before_update=lambda: bind.put(name, late)) as port, pytest.raises(ForeignRecordError):
        adapter(bind, port=port).publish(name, KEY, ttl=60)


def test_what_changed_in_between_is_not_removed(bind: Bind, name: str) -> None:
    adapter(bind).publish(name, KEY, ttl=60)
    found = adapter(bind).fetch(name)
    assert found is not None
    with (
        relayed(bind, before_update=lambda: bind.put(name, 'TXT "theirs"')) as port,
        pytest.raises(ForeignRecordError),
    ):
        adapter(bind, port=port).remove(found)
    after = adapter(bind).fetch(name)
    assert after is not None
    assert after.values == (b"theirs",)


def test_somebody_who_keeps_changing_it_is_told(bind: Bind, name: str) -> None:
    with (
        relayed(bind, dns.rcode.YXRRSET) as port,
        pytest.raises(DnsError, match="somebody else") as error,
    ):
        adapter(bind, port=port).publish(name, KEY, ttl=60)
    assert error.value.transient


def test_a_secret_that_is_no_base64_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="Base64") as error:
        Adapter("bind", Config(server="a", key_name="b", key_secret=SecretStr("not base64!")))
    assert "not base64!" not in str(error.value)
    assert error.value.__cause__ is None


def test_a_parent_is_not_the_zone_of_its_child(bind: Bind, name: str) -> None:
    with pytest.raises(UnsafeChangeError):
        adapter(bind, port=bind.ports[PARENT], key_name="admin.", key_secret=SecretStr(bind.admin_secret)).fetch(name)
