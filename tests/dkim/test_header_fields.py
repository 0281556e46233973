import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmarcops.dkim.domain_name import a_labels, domain_part
from dmarcops.dkim.header_fields import MAX_FIELDS, MAX_OCTETS, author_domain, parse_header


def names(mail: bytes) -> list[tuple[str, str]]:
    return [(x.name, x.value) for x in parse_header(mail).fields]


@pytest.mark.parametrize(
    ("mail", "expected"),
    [
        (b"A: 1\r\nb : 2\r\n\r\nC: 3\r\n", [("a", "1"), ("b", "2")]),
        (b"A: 1\nB: 2\n\nC: 3\n", [("a", "1"), ("b", "2")]),
        (b"A: 1\r\n\t2\r\n 3\r\nB:\r\n\r\n", [("a", "1\r\n\t2\r\n 3"), ("b", "")]),
        (b"From x@y.example Mon Jan 1 00:00:00 2026\nA: 1\n\n", [("a", "1")]),
        (b"\n\n>From x\nA: 1\n\n", [("a", "1")]),
        (b"A: 1", [("a", "1")]),
        (b"A: \xc3\xa9\xff\n\n", [("a", "\u00e9\ufffd")]),
        (b"A: a:b\n\n", [("a", "a:b")]),
        (b"", []),
        (b"\r\n\r\nA: 1\r\n", [("a", "1")]),
        (b"A: 1\n", [("a", "1")]),
        (b"\n", []),
    ],
)
def test_parse_header_gives_the_fields_in_order(mail: bytes, expected: list[tuple[str, str]]) -> None:
    assert names(mail) == expected


def test_parse_header_does_not_read_an_attached_message() -> None:
    mail = (
        b"From: a@example.com\r\nContent-Type: message/rfc822\r\n\r\n"
        b"Authentication-Results: mx.example.com; dkim=pass\r\n\r\n"
    )
    assert parse_header(mail).values("authentication-results") == ()


@pytest.mark.parametrize(
    ("mail", "count"),
    [
        (b"A: 1\njunk\nB: 2\n\n", 2),
        (b" A: 1\nB: 2\n\n", 1),
        (b"junk", 0),
        (b"A: " + b"x" * MAX_OCTETS + b"\nB: 2\n\n", 1),
        (b"A: 1\n" * (MAX_FIELDS + 1) + b"\n", MAX_FIELDS),
    ],
)
def test_header_is_not_complete_when_something_of_it_is_not_read(mail: bytes, count: int) -> None:
    header = parse_header(mail)
    assert (len(header.fields), header.is_complete) == (count, False)


@pytest.mark.parametrize("mail", [b"A: 1\n" * MAX_FIELDS + b"\n", b"A: 1", b"A: 1\n\njunk"])
def test_header_is_complete_when_all_of_it_is_read(mail: bytes) -> None:
    assert parse_header(mail).is_complete


@pytest.mark.parametrize(
    ("value", "domain"),
    [
        ("a@example.com", "example.com"),
        ("A <a@Example.COM.>", "example.com"),
        ('"x@other.example" <a@example.com>', "example.com"),
        ("x@other.example <a@example.com>", "example.com"),
        ("(x@other.example) a@example.com (b)", "example.com"),
        ('"<x@other.example>, " <a@example.com>', "example.com"),
        ('"a@b"@example.com', "example.com"),
        ("<a@example.com>, B <b@example.com>", "example.com"),
        ("a@b\u00fccher.example", "xn--bcher-kva.example"),
        ("<a@example.com>, <b@other.example>", ""),
        ("<a@example.com> <b@other.example>", ""),
        ("<a@example.com> x", ""),
        ("<a@example.com", ""),
        ("a@example.com>", ""),
        ("<@route.example:a@example.com>", ""),
        ("group: a@example.com;", ""),
        ("undisclosed", ""),
        ("", ""),
        ("a@", ""),
        ("(a@example.com", ""),
        ('"a@example.com', ""),
        ("a)@example.com", ""),
    ],
)
def test_author_domain_is_that_of_the_one_address(value: str, domain: str) -> None:
    assert author_domain(parse_header(f"From: {value}\n\n".encode())) == domain


@pytest.mark.parametrize("mail", [b"Subject: x\n\n", b"From: a@example.com\nFrom: a@example.com\n\n"])
def test_author_domain_is_none_when_there_is_not_one_field(mail: bytes) -> None:
    assert author_domain(parse_header(mail)) == ""


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (" Example.COM. ", "example.com"),
        ("s1._domainkey.example.com", "s1._domainkey.example.com"),
        ("B\u00dcCHER.example", "xn--bcher-kva.example"),
        ("\u2260\u200d.example", ""),
        ("a..b", ""),
        (".a", ""),
        ("a b", ""),
        ("a\x00", ""),
        ("", ""),
        ("a" * 254, ""),
    ],
)
def test_a_labels_gives_the_form_that_is_compared(text: str, name: str) -> None:
    assert a_labels(text) == name


@pytest.mark.parametrize("text", ["a@example.com", "@example.com", "example.com", '"@"@example.com'])
def test_domain_part_is_what_stands_behind_the_last_at(text: str) -> None:
    assert domain_part(text) == "example.com"


@given(
    st.binary(max_size=300)
    | st.lists(st.sampled_from([b"A", b":", b" ", b"\n", b"\r\n", b"From: a@b.c"])).map(b"".join)
)
def test_parse_header_never_raises(mail: bytes) -> None:
    author_domain(parse_header(mail))


@given(st.text(max_size=100) | st.text(alphabet='<>@,:;"() a.', max_size=40))
def test_author_domain_never_raises(value: str) -> None:
    author_domain(parse_header(b"From: " + value.encode("utf-8", "replace")))


@pytest.mark.parametrize("piece", [b"(", b"<", b",", b'"', b"\n", b" \n", b"a:\n", b":"])
def test_parse_header_is_done_at_once_with_any_repetition(piece: bytes) -> None:
    header = parse_header(b"From: " + piece * MAX_OCTETS)
    assert author_domain(header) == ""
    assert len(header.fields) <= MAX_FIELDS
