import sys

import pytest
from pydantic import SecretStr

from dmarcops.dns.lexicon import Adapter, Config
from dmarcops.errors import ConfigError, DnsError, ForeignRecordError, UnsafeChangeError
from servers_powerdns import ZONE, PowerDns
from servers_powerdns import powerdns as powerdns  # noqa: PLC0414 - the fixture

NAME = f"s1._domainkey.{ZONE}"


def adapter(url: str, key: str, *, zone: str = ZONE, provider: str = "powerdns") -> Adapter:
    options = {"pdns_server": SecretStr(url), "auth_token": SecretStr(key)}
    return Adapter("pdns", Config(provider=provider, zone=zone, options=options))


def test_a_wrong_token_is_denied_and_not_shown(powerdns: PowerDns) -> None:
    with pytest.raises(DnsError, match="answers 401") as error:
        adapter(powerdns.url, "wrong-token").publish(NAME, b"v=DKIM1; p=", ttl=60)
    assert not error.value.transient
    assert "token" in error.value.hint
    assert "wrong-token" not in str(error.value)


def test_options_that_are_missing_are_told(powerdns: PowerDns) -> None:
    incomplete = Config(provider="powerdns", zone=ZONE, options={"pdns_server": SecretStr(powerdns.url)})
    with pytest.raises(DnsError, match="auth_token"):
        Adapter("pdns", incomplete).fetch(NAME)


def test_nobody_listening_is_transient() -> None:
    with pytest.raises(DnsError, match="does not answer") as error:
        adapter("http://127.0.0.1:9", "key").fetch(NAME)
    assert error.value.transient


def test_a_zone_that_the_provider_does_not_have_is_told(powerdns: PowerDns) -> None:
    with pytest.raises(DnsError, match="answers 404") as error:
        adapter(powerdns.url, powerdns.key, zone="other.test").fetch("s1._domainkey.other.test")
    assert not error.value.transient


def test_a_name_outside_of_the_zone_is_refused(powerdns: PowerDns) -> None:
    with pytest.raises(UnsafeChangeError):
        adapter(powerdns.url, powerdns.key).fetch(f"s1._domainkey.not{ZONE}")


def test_a_provider_that_dns_lexicon_does_not_know_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="cannot load"):
        adapter("http://127.0.0.1:9", "key", provider="nobody").fetch(NAME)


def test_dns_lexicon_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lexicon.config", None)
    with pytest.raises(ConfigError) as error:
        adapter("http://127.0.0.1:9", "key").fetch(NAME)
    assert "dmarcops[lexicon]" in error.value.hint


def test_what_else_a_provider_raises_is_told_without_secrets() -> None:
    options = {"auth_token": SecretStr("hmac-odd:key:c2VjcmV0"), "ddns_server": SecretStr("127.0.0.1")}
    with pytest.raises(DnsError, match=r"ddns \(x\) fails for s1") as error:
        Adapter("x", Config(provider="ddns", zone=ZONE, options=options)).fetch(NAME)
    assert "c2VjcmV0" not in str(error.value)


def test_what_the_provider_made_something_else_of_is_told(powerdns: PowerDns) -> None:
    with pytest.raises(DnsError, match="shows something else"):
        adapter(powerdns.url, powerdns.key).publish(NAME, b'"v=DKIM1; p="', ttl=60)
    powerdns.put(NAME, "TXT")


def test_a_text_that_cannot_be_read_is_foreign(powerdns: PowerDns) -> None:
    powerdns.put(NAME, "TXT", r'"a" "b\"" "c"')
    with pytest.raises((ForeignRecordError, DnsError)):
        adapter(powerdns.url, powerdns.key).publish(NAME, b"v=DKIM1; p=", ttl=60)
    powerdns.put(NAME, "TXT")
