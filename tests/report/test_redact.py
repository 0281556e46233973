import re

import pytest

from dmarcops.report.redact import HASH_LENGTH, Redactor

REDACTOR = Redactor(b"key")
HASHED = rf"[0-9a-f]{{{HASH_LENGTH}}}"


def test_equal_addresses_are_equal_when_they_are_redacted() -> None:
    redacted = REDACTOR.address("Ann.Example@Example.COM")
    assert re.fullmatch(f"{HASHED}@example\\.com", redacted)
    assert redacted == REDACTOR.address(" ann.example@example.com ") == REDACTOR.text("ann.example@example.com")
    assert redacted != REDACTOR.address("ann.example@example.net").replace("net", "com")
    assert redacted != Redactor(b"other").address("ann.example@example.com")


def test_key_is_not_shown_when_a_redactor_is_printed() -> None:
    assert repr(Redactor(b"secret")) == "Redactor()"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("", ""),
        ("@example.com", "@example.com"),
        ("ann", HASHED),
        ("ann@", f"{HASHED}@"),
        ("a@b@example.com", f"{HASHED}@example\\.com"),
        ("ann@ example.com", f"{HASHED}@example\\.com"),
    ],
)
def test_address_keeps_its_domain_only(address: str, expected: str) -> None:
    assert re.fullmatch(expected, REDACTOR.address(address))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no address", "no address"),
        ("mx.example.com; spf=fail smtp.mail=ann@example.com", r"mx\.example\.com; spf=fail smtp\.mail=#@example\.com"),
        ("(bounce+ann=example.com@esp.example:", r"\(#@esp\.example"),
        ("<ann@example.com>, Bob <b@[192.0.2.1]>", r"<#@example\.com>, Bob <#@\[192\.0\.2\.1\]>"),
        ('smtp.mailfrom="ann x"@example.com', r"smtp\.mailfrom=#@example\.com"),
        ("mailto:ann@example.com?subject=hello", r"mailto:#@example\.com"),
        ("spf=pass (ann@example.com. is fine)", r"spf=pass \(#@example\.com is fine\)"),
        ("ann @ example.com", r"#@example\.com"),
        ("i=@example.com", r"i=@example\.com"),
    ],
)  # fmt: skip
def test_text_keeps_all_but_local_parts(text: str, expected: str) -> None:
    assert re.fullmatch(expected.replace("#", HASHED), REDACTOR.text(text))


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("http://Example.net/earn?user=ann", "http://example.net"),
        ("https://ann:secret@example.net:8443/", "https://example.net"),
        ("<https://example.net/x>", "https://example.net"),
        ("mailto:ann@example.com?subject=x", "mailto:#@example.com"),
        ("tel:+123", "tel:"),
        ("ann", "#"),
    ],
)
def test_uri_keeps_scheme_and_host_only(uri: str, expected: str) -> None:
    assert re.fullmatch(expected.replace("#", HASHED), REDACTOR.uri(uri))
