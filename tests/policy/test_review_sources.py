import pytest

from dmarcops.errors import ConfigError
from dmarcops.policy.sources import Acknowledgement, Origin, Scope, Word, group_name, parse_subject, review
from policy.mailstream import said


def word_for(origin: Origin, *words: Acknowledgement) -> str | None:
    found = review(words)(origin)
    return found.value if found else None


ORIGIN = Origin("192.0.2.1", service="Esp", host="out.mail.example.com")
ADDRESS = said(Word.ACK, Scope.ADDRESS, "192.0.2.1")
NARROW = said(Word.DENY, Scope.NETWORK, "192.0.2.0/28")
WIDE = said(Word.ACK, Scope.NETWORK, "192.0.2.0/24")
SERVICE = said(Word.DENY, Scope.SERVICE, "esp")
DOMAIN = said(Word.ACK, Scope.DOMAIN, "example.com")
SUBDOMAIN = said(Word.DENY, Scope.DOMAIN, "mail.example.com")


def test_the_narrowest_word_holds() -> None:
    words = [DOMAIN, SUBDOMAIN, SERVICE, WIDE, NARROW, ADDRESS]
    held = []
    while words:
        held.append(word_for(ORIGIN, *words))
        words.pop()
    assert held == ["192.0.2.1", "192.0.2.0/28", "192.0.2.0/24", "esp", "mail.example.com", "example.com"]
    assert word_for(ORIGIN) is None


def test_other_sources_are_not_meant() -> None:
    other = Origin("2001:db8::1", service="", host="notexample.com")
    assert word_for(other, ADDRESS, NARROW, WIDE, SERVICE, DOMAIN, SUBDOMAIN) is None
    assert word_for(Origin("no address"), WIDE) is None
    assert word_for(Origin("2001:db8::1"), said(Word.ACK, Scope.NETWORK, "2001:db8::/32")) == "2001:db8::/32"


def test_later_word_holds_and_a_note_decides_nothing() -> None:
    old, new = (
        said(Word.ACK, Scope.ADDRESS, "192.0.2.1", days_ago=2),
        said(Word.DENY, Scope.ADDRESS, "192.0.2.1", days_ago=1),
    )
    assert review([new, old])(ORIGIN) is new
    assert review([said(Word.NOTE, Scope.ADDRESS, "192.0.2.1")])(ORIGIN) is None
    assert review([said(Word.ACK, Scope.NETWORK, "no network")])(ORIGIN) is None


@pytest.mark.parametrize(
    ("text", "scope", "value"),
    [
        ("192.0.2.1", Scope.ADDRESS, "192.0.2.1"),
        (" 2001:DB8::1 ", Scope.ADDRESS, "2001:db8::1"),
        ("::ffff:192.0.2.1", Scope.ADDRESS, "192.0.2.1"),
        ("::ffff:c000:207/120", Scope.NETWORK, "192.0.2.0/24"),
        ("192.0.2.7/24", Scope.NETWORK, "192.0.2.0/24"),
        ("esp", Scope.SERVICE, "Esp"),
        ("Bücher.example.", Scope.DOMAIN, "xn--bcher-kva.example"),
    ],
)
def test_subject_is_told_by_its_form(text: str, scope: Scope, value: str) -> None:
    assert parse_subject(text, ["Esp"]) == (scope, value)


@pytest.mark.parametrize(
    "text", ["", "unknown", "a b.example", "192.0.2.0/33", "192.0.2.300", "192.0.2", "192.0.2.1-9"]
)
def test_subject_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="names no source"):
        parse_subject(text)


@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0", "192.0.0.0/7", "2000::/3", "2001::/15"])
def test_a_network_that_is_no_senders_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="holds more than a /"):
        parse_subject(text)
    assert parse_subject("10.0.0.0/8")[0] is parse_subject("2001::/16")[0] is Scope.NETWORK


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        (ORIGIN, "Esp"),
        (Origin("192.0.2.1", host="out.mail.example.com"), "example.com"),
        (Origin("192.0.2.1"), "192.0.2.0/24"),
        (Origin("2001:db8::1"), "2001:db8::/64"),
        (Origin("redacted"), "redacted"),
        (Origin(""), "unknown"),
    ],
)
def test_group_is_service_or_domain_or_network(origin: Origin, name: str) -> None:
    assert group_name(origin, lambda host: ".".join(host.split(".")[-2:])) == name
