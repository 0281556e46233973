from pathlib import Path

import pytest

from dmarcops.dns.zonefile import ZoneFile
from dmarcops.errors import AnswerError, ConfigError
from dmarcops.ports import Resolver

ZONE = """\
$ORIGIN example.com.
$TTL 300
@ 900 IN SOA ns1 hostmaster 1 7200 900 1209600 600
@ NS ns1
@ NS ns2.example.net.
@ MX 10 mail
@ TXT "v=spf1 mx -all"
ns1 A 192.0.2.1
mail A 192.0.2.2
s1._domainkey TXT "v=DKIM1; k=rsa; " "p=AAAA"
s2._domainkey CNAME s1._domainkey
s3._domainkey CNAME s3.provider.example.
loop CNAME pool
pool CNAME loop
*.wild TXT "wildcard"
is.there.wild A 192.0.2.3
child NS ns.child.example.net.
"""


@pytest.fixture
def zone(tmp_path: Path) -> ZoneFile:
    (tmp_path / "zone").write_text(ZONE)
    return ZoneFile(tmp_path / "zone")


def test_it_answers_as_a_server_would(zone: ZoneFile, tmp_path: Path) -> None:
    resolver: Resolver = zone
    key = (b"v=DKIM1; k=rsa; p=AAAA",)
    assert resolver.txt("S1._domainkey.Example.com.") == key
    assert resolver.txt("s2._domainkey.example.com") == key
    assert resolver.authoritative("s2._domainkey.example.com") == {str(tmp_path / "zone"): key}
    assert resolver.recursive("s9._domainkey.example.com") == {str(tmp_path / "zone"): ()}


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("nothing.example.com", None),
        ("deep.nothing.example.com", None),
        ("mail.example.com", ()),
        ("_domainkey.example.com", ()),
        ("a.wild.example.com", (b"wildcard",)),
        ("a.b.wild.example.com", (b"wildcard",)),
        ("there.wild.example.com", ()),
        ("not.there.wild.example.com", None),
    ],
)
def test_names_exist_as_in_dns(zone: ZoneFile, name: str, texts: tuple[bytes, ...] | None) -> None:
    assert zone.txt(name) == texts


def test_other_records_are_given_as_written(zone: ZoneFile) -> None:
    assert zone.records("example.com", "MX") == ("10 mail.example.com.",)
    assert zone.records("mail.example.com", "AAAA") == ()
    assert zone.records("nothing.example.com", "A") is None


def test_delegations_are_those_of_the_file(zone: ZoneFile) -> None:
    assert zone.delegation("example.com") == ("ns1.example.com", "ns2.example.net")
    assert zone.delegation("child.example.com") == ("ns.child.example.net",)
    assert zone.delegation("mail.example.com") == ()
    assert zone.delegation("nothing.example.com") == ()


def test_the_negative_ttl_is_the_smaller_of_the_two(zone: ZoneFile) -> None:
    assert zone.negative_ttl("s1._domainkey.example.com") == 600


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("s3._domainkey.example.com", "outside of the zone"),
        ("example.net", "outside of the zone"),
        ("loop.example.com", "loop"),
        ("s1._domainkey.child.example.com", "delegated to another zone"),
    ],
)
def test_what_the_file_cannot_tell_is_an_error(zone: ZoneFile, name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(AnswerError) as error:
        zone.txt(name)
    assert error.value.reason == reason
    assert error.value.server == str(tmp_path / "zone")
    assert not error.value.transient


def test_a_file_without_origin_needs_one(tmp_path: Path) -> None:
    text = ZONE.replace("$ORIGIN example.com.\n", "")
    (tmp_path / "zone").write_text(text)
    with pytest.raises(ConfigError):
        ZoneFile(tmp_path / "zone").txt("example.com")
    assert ZoneFile(tmp_path / "zone", origin="example.com").txt("example.com") == (b"v=spf1 mx -all",)


@pytest.mark.parametrize("text", [b"", b"not a zone\n", b"\xff\xfe", ZONE.replace('"v=spf1', "v=spf1").encode()])
def test_what_is_no_zone_file_is_told(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "zone").write_bytes(text)
    with pytest.raises(ConfigError, match="zone"):
        ZoneFile(tmp_path / "zone").txt("example.com")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        ZoneFile(tmp_path / "none").txt("example.com")
