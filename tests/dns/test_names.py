import pytest

from dmarcops.dns.names import canonical, is_within, longest
from dmarcops.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "form"),
    [("S1._DomainKey.Example.COM.", "s1._domainkey.example.com"), ("bücher.example", "xn--bcher-kva.example")],
)
def test_a_name_has_one_form(name: str, form: str) -> None:
    assert canonical(name) == form


@pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".example", ".".join(["x" * 60] * 5)])
def test_what_is_no_name_is_a_configuration_error(name: str) -> None:
    with pytest.raises(ConfigError):
        canonical(name)


def test_zones_are_matched_label_by_label() -> None:
    zones = ("example.com", "mail.example.com", "other.example")
    assert longest("s1._domainkey.mail.example.com", zones) == "mail.example.com"
    assert longest("s1._domainkey.email.example.com", zones) == "example.com"
    assert longest("notexample.com", zones) is None
    assert is_within("example.com", "example.com")
