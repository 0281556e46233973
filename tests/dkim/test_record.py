"""The key record: the text, and what a verifier makes of it (checklist 62 to 71)."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmarcops.dkim.key import generate_key
from dmarcops.dkim.record import (
    Algorithm,
    Finding,
    Outcome,
    Record,
    chunks,
    compare,
    format_record,
    judge,
    parse_record,
    public_form,
    record_name,
    revoked_record,
)
from dmarcops.errors import BadInput

# RFC 8463 appendix A.2.
ED25519 = b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
RSA = (
    b"v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3id"
    b"Y6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lx"
    b"j+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
)
WEAK = (
    b"v=DKIM1; p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBANUQWS4NYA2gi/1vOAdxD5MaBtFYugTl+4QtF7+G0apM"
    b"Ax+kT4jNO/jvLgdo4oYypFFXTmhKFBzY4FZomJNOzn0CAwEAAQ=="
)
EC = (
    b"v=DKIM1; p=MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/"
    b"m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q=="
)


def body(text: bytes) -> bytes:
    return text.partition(b"p=")[2]


@pytest.mark.parametrize(
    ("texts", "outcome"),
    [
        (None, Outcome.TEMP_UNAVAILABLE),
        ((), Outcome.NO_KEY),
        ((RSA, RSA), Outcome.MULTIPLE),
        ((RSA,), Outcome.OK),
        ((ED25519,), Outcome.OK),
        ((b"p=" + body(RSA),), Outcome.OK),
        ((b"v=DKIM1;k=rsa;t=s;p=" + body(RSA) + b";",), Outcome.OK),
        ((b" v = DKIM1 ;\r\n\tp = " + body(RSA)[:40] + b" " + body(RSA)[40:] + b" ; ",), Outcome.OK),
        ((b"v=DKIM1; x_1=a=b; p=" + body(RSA),), Outcome.OK),
        ((b"v=DKIM1; h=sha1:sha256; s=email:tlsrpt; p=" + body(RSA),), Outcome.OK),
        ((b"v=DKIM1; g=; p=" + body(RSA),), Outcome.OK),
        ((b"v=DKIM1; t=y:s; p=" + body(RSA),), Outcome.TESTING),
        ((b"v=DKIM1; p=",), Outcome.REVOKED),
        ((b"v=DKIM1; k=rsa; p= ;",), Outcome.REVOKED),
        ((b"v=DKIM1; h=sha1; p=" + body(RSA),), Outcome.WRONG_HASH),
        ((b"v=DKIM1; s=tlsrpt; p=" + body(RSA),), Outcome.WRONG_SERVICE),
        ((b"v=DKIM1; k=dsa; p=" + body(RSA),), Outcome.WRONG_TYPE),
        ((b"v=DKIM1.0; p=" + body(RSA),), Outcome.WRONG_VERSION),
        ((b"v=dkim1; p=" + body(RSA),), Outcome.WRONG_VERSION),
        ((b"p=" + body(RSA) + b"; v=DKIM1",), Outcome.WRONG_VERSION),
        ((b"v=spf1 include:example.net -all",), Outcome.WRONG_VERSION),
        ((WEAK,), Outcome.WEAK),
        ((b"v=DKIM1; k=rsa",), Outcome.SYNTAX_ERROR),
        ((b"v=DKIM1; p=" + body(RSA) + b"; p=" + body(RSA),), Outcome.SYNTAX_ERROR),
        ((b"v=DKIM1; p=" + body(RSA)[:-1] + b"!",), Outcome.SYNTAX_ERROR),
        ((b"v=DKIM1; p=" + body(RSA)[:200],), Outcome.SYNTAX_ERROR),
        ((b"v=DKIM1; p=" + body(RSA)[:201],), Outcome.SYNTAX_ERROR),
        ((EC,), Outcome.SYNTAX_ERROR),
        ((b"v=DKIM1; k=ed25519; p=" + body(RSA),), Outcome.SYNTAX_ERROR),
        ((b"v=DKIM1;; p=" + body(RSA),), Outcome.SYNTAX_ERROR),
        ((b"v=DKIM1; 1x=a; p=" + body(RSA),), Outcome.SYNTAX_ERROR),
        ((b"v=DKIM1; n=\xc3\xa4; p=" + body(RSA),), Outcome.SYNTAX_ERROR),
        ((b"google-site-verification",), Outcome.SYNTAX_ERROR),
        ((b"",), Outcome.SYNTAX_ERROR),
    ],
)
def test_outcome_is_that_of_rfc_6376_when_judged(texts: tuple[bytes, ...] | None, outcome: Outcome) -> None:
    found = judge(texts)
    assert found.outcome is outcome
    assert found.is_ours == (outcome is Outcome.OK)
    assert bool(found.detail) == (outcome is not Outcome.OK)


def test_type_is_wrong_when_the_signature_has_another_algorithm() -> None:
    assert judge((ED25519,), Algorithm.RSA).outcome is Outcome.WRONG_TYPE
    assert judge((ED25519,), Algorithm.ED25519).outcome is Outcome.OK


def test_every_tag_is_read_when_there() -> None:
    record = parse_record(b"v=DKIM1; k=rsa; g=*; h=sha256 : sha1; n=a note; s=*; t=s; x=1; y=; p=AAEC")
    assert record == Record(
        public_key=b"\x00\x01\x02",
        hashes=("sha256", "sha1"),
        services=("*",),
        flags=("s",),
        notes="a note",
        granularity="*",
        unknown=(("x", "1"), ("y", "")),
    )


WORD = st.from_regex(r"[A-Za-z0-9*._-]{1,8}", fullmatch=True)
WORDS = st.none() | st.lists(WORD, min_size=1, max_size=3).map(tuple)
# "=" and inner blanks may stand in a value; ";" and blanks at its ends may not.
VALUE = st.from_regex(r"([!-:<-~]([!-:<-~ ]{0,20}[!-:<-~])?)?", fullmatch=True)
NAME = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{1,6}", fullmatch=True)


@given(
    st.builds(
        Record,
        public_key=st.binary(max_size=600),
        key_type=WORD,
        hashes=WORDS,
        services=WORDS,
        flags=st.lists(WORD, max_size=3).map(tuple),
        notes=st.none() | VALUE,
        granularity=st.none() | VALUE,
        unknown=st.dictionaries(NAME, VALUE, max_size=3).map(lambda tags: tuple(tags.items())),
    )
)
def test_record_is_the_same_when_formatted_and_parsed(record: Record) -> None:
    text = format_record(record)
    assert parse_record(text) == record
    parts = chunks(text)
    assert b"".join(parts) == text
    assert all(0 < len(part) <= 255 for part in parts)


@given(
    st.binary(max_size=300)
    | st.lists(st.sampled_from([b"v=DKIM1", b";", b"p=", b"AA==", b" ", b"=", b"k"])).map(b"".join)
)
def test_any_text_has_an_outcome_when_judged(text: bytes) -> None:
    assert isinstance(judge((text,)), Finding)


@pytest.mark.parametrize(
    "record",
    [
        Record(public_key=b"k", notes="a;b"),
        Record(public_key=b"k", notes=" a"),
        Record(public_key=b"k", notes="\xe4"),
        Record(public_key=b"k", hashes=()),
        Record(public_key=b"k", services=("a:b",)),
        Record(public_key=b"k", unknown=(("p", "x"),)),
        Record(public_key=b"k", unknown=(("k", "x"),)),
        Record(public_key=b"k", unknown=(("a b", "x"),)),
    ],
)
def test_record_is_refused_when_it_would_read_differently(record: Record) -> None:
    with pytest.raises(BadInput):
        format_record(record)


def test_chunks_are_one_empty_string_when_the_text_is_empty() -> None:
    assert chunks(b"") == (b"",)


@pytest.mark.parametrize(("bits", "octets", "strings"), [(2048, 410, 2), (3072, 582, 3), (4096, 754, 3)])
def test_text_has_the_known_length_when_made_of_an_rsa_key(bits: int, octets: int, strings: int) -> None:
    text = format_record(generate_key(Algorithm.RSA, bits).record)
    assert (len(text), len(chunks(text))) == (octets, strings)


def test_revoked_record_is_revoked_when_judged() -> None:
    assert revoked_record(Algorithm.ED25519) == b"v=DKIM1; k=ed25519; p="
    assert judge((revoked_record(Algorithm.RSA),)).outcome is Outcome.REVOKED


@pytest.mark.parametrize(
    ("texts", "outcome"),
    [
        ((RSA,), Outcome.OK),
        ((b"p=" + body(RSA),), Outcome.OK),
        ((b"v=DKIM1; t=y; p=" + body(RSA),), Outcome.TESTING),
        ((ED25519,), Outcome.WRONG_TYPE),
        ((b"v=DKIM1; p=",), Outcome.REVOKED),
        ((), Outcome.NO_KEY),
        ((RSA[:-20],), Outcome.SYNTAX_ERROR),
        ((format_record(generate_key(Algorithm.RSA).record),), Outcome.MISMATCH),
    ],
)
def test_record_is_compared_with_ours_when_found(texts: tuple[bytes, ...], outcome: Outcome) -> None:
    assert compare(texts, RSA).outcome is outcome


def test_key_is_the_same_when_the_record_holds_it_as_pkcs1() -> None:
    # SubjectPublicKeyInfo is a header of 22 octets, then RSAPublicKey, for this size.
    spki = base64.b64decode(body(RSA))
    old = format_record(Record(public_key=spki[22:]))
    assert compare((old,), RSA).outcome is Outcome.OK
    assert public_form(spki[22:], "rsa") == spki


def test_record_stands_below_domainkey_when_named() -> None:
    assert record_name("s1", "example.com") == "s1._domainkey.example.com"
