import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmarcops.dkim.lexemes import Kind, lexemes


def kinds(text: str) -> list[tuple[Kind, str]]:
    return [(x.kind, x.text) for x in lexemes(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=b;c", [(Kind.WORD, "a"), (Kind.EQUALS, "="), (Kind.WORD, "b"), (Kind.SEMICOLON, ";"), (Kind.WORD, "c")]),
        ("(a (b) c) d", [(Kind.COMMENT, "a (b) c"), (Kind.WORD, "d")]),
        (r"(a \) \( b) c", [(Kind.COMMENT, r"a \) \( b"), (Kind.WORD, "c")]),
        ('(a " b) c', [(Kind.COMMENT, 'a " b'), (Kind.WORD, "c")]),
        ("(a; b=c", [(Kind.UNTERMINATED_COMMENT, "a; b=c")]),
        ("a) b", [(Kind.WORD, "a"), (Kind.STRAY_PARENTHESIS, ")"), (Kind.WORD, "b")]),
        (r'"a; \"(b" c', [(Kind.QUOTED, 'a; "(b'), (Kind.WORD, "c")]),
        ('"a\r\n b"', [(Kind.QUOTED, "a b")]),
        ('"a; b', [(Kind.UNTERMINATED_QUOTED, "a; b")]),
        ('"a\\"', [(Kind.UNTERMINATED_QUOTED, 'a"')]),
        ('"', [(Kind.UNTERMINATED_QUOTED, "")]),
        ('"a\\', [(Kind.UNTERMINATED_QUOTED, "a"), (Kind.WORD, "\\")]),
        ("", []),
    ],
)
def test_lexemes_tell_comments_and_quoted_strings_from_syntax(text: str, expected: list[tuple[Kind, str]]) -> None:
    assert kinds(text) == expected


def test_lexemes_know_what_stands_before_them() -> None:
    assert [x.spaced for x in lexemes("a(b)c d\r\n e=f")] == [False, False, True, True, True, False, False]


@given(st.text(alphabet='ab\\"(); =\r\n', max_size=60) | st.text(max_size=60))
def test_lexemes_hold_all_of_any_text_but_white_space(text: str) -> None:
    written = "".join(x.raw for x in lexemes(text))
    dropped = str.maketrans("", "", " \t\r\n")
    assert written.translate(dropped) == text.translate(dropped)
