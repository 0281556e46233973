from pathlib import Path

import pytest

from dmarcops.dns.zonefile import DELEGATED, OUTSIDE, ZoneFile, ZoneFiles
from dmarcops.errors import AnswerError, ConfigError
from dmarcops.ports import Records, Resolver

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


@pytest.fixture
def zones(tmp_path: Path) -> ZoneFiles:
    (tmp_path / "one").write_text(ZONE + "far CNAME mail.example.org.\nout CNAME mail.example.net.\n")
    head = ZONE.partition("@ MX")[0].replace("example.com", "example.org").replace("ns1", "mail")
    (tmp_path / "two").write_text(
        f"{head}mail A 192.0.2.7\nback CNAME far.example.com.\nwheel CNAME round.example.com.\n"
    )
    with (tmp_path / "one").open("a") as file:
        file.write("round CNAME wheel.example.org.\n")
    return ZoneFiles([tmp_path / "one", tmp_path / "two"])


def test_several_zones_are_asked_as_one(zones: ZoneFiles) -> None:
    records: Records = zones
    assert records.txt("example.com") == (b"v=spf1 mx -all",)
    assert records.records("Mail.example.ORG.", "A") == ("192.0.2.7",)
    assert records.records("far.example.com", "A") == ("192.0.2.7",)
    assert records.records("back.example.org", "A") == ("192.0.2.7",)
    assert records.records("far.example.com", "CNAME") == ("mail.example.org.",)
    assert (records.txt("mail.example.org"), records.txt("none.example.org")) == ((), None)


def test_what_is_above_all_zones_does_not_exist_and_what_is_beside_them_is_not_known(zones: ZoneFiles) -> None:
    assert [zones.txt(name) for name in ("_dmarc.com", "com", "_dmarc.org")] == [None] * 3
    for name in ("example.net", "_dmarc.net", "out.example.com", "x.child.example.com", "_dmarc.example.co"):
        with pytest.raises(AnswerError) as raised:
            zones.records(name, "A")
        assert raised.value.reason in (OUTSIDE, DELEGATED)
    with pytest.raises(AnswerError, match="loop"):
        zones.records("wheel.example.org", "A")


def test_two_files_of_one_zone_are_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(ZONE)
    with pytest.raises(ConfigError, match=r"two is another file of the zone example\.com"):
        ZoneFiles([tmp_path / "one", tmp_path / "two"])
