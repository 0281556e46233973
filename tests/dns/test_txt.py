import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmarcops.dns.txt import DECIMAL, OCTAL, chunks, format_txt, parse_txt


@given(st.binary(max_size=1000), st.sampled_from([DECIMAL, OCTAL]))
def test_what_is_written_is_read(text: bytes, base: int) -> None:
    written = format_txt(text, base=base)
    assert written.isascii()
    assert b"".join(parse_txt(written, base=base)) == text


@given(st.binary(max_size=1000))
def test_no_string_is_longer_than_255_octets(text: bytes) -> None:
    strings = chunks(text)
    assert b"".join(strings) == text
    assert all(len(string) <= 255 for string in strings)
    assert len(strings) == max(1, -(-len(text) // 255))


@given(st.text(max_size=50))
def test_any_text_is_read_or_refused(written: str) -> None:
    try:
        parse_txt(written, base=OCTAL)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - either way is right


@pytest.mark.parametrize(
    ("written", "strings"),
    [
        ('"a" "b"', (b"a", b"b")),
        ('"a""b"', (b"a", b"b")),
        ('  "a"\t\n"b" ', (b"a", b"b")),
        ("bare words", (b"bare", b"words")),
        ('"a;b"', (b"a;b",)),
        (r'"a\;b\"\\"', (rb'a;b"' + b"\\",)),
        (r'"\101\303"', (b"A\xc3",)),
        ('""', (b"",)),
        ("", ()),
    ],
)
def test_strings_are_read_in_any_form(written: str, strings: tuple[bytes, ...]) -> None:
    assert parse_txt(written, base=OCTAL) == strings


@pytest.mark.parametrize("written", ['"open', r'"\777"', r'"\999"', '"a\\', 'a"b'])
def test_what_is_no_txt_data_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"octet|cannot be read"):
        parse_txt(written, base=OCTAL)
