"""The Markdown form, read by a parser that knows GitHub's tables and makes links out of plain text."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from dmarcops.neutralise import visible
from dmarcops.render.markdown import code, escaped
from dmarcops.render.report import as_markdown
from render.cases import CASES, HOSTILE, fleet, many, usual, world

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
PLAIN = {"paragraph_open", "paragraph_close", "inline", "text"}
PAGES = [*CASES, "fleet"]


def text_of(case: str) -> str:
    return as_markdown(fleet() if case == "fleet" else CASES[case]())


def inline(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from inline(token.children or [])


def read(markdown: str) -> str:
    return "".join(x.content for x in inline(PARSER.parse(markdown)) if x.type in ("text", "code_inline"))


TEXT = st.text() | st.text(st.sampled_from("|`*_[]()<>#!\\&~:@-+=.1 \n\twWhtps/e;{}$^\"'"), max_size=30)


@given(TEXT)
def test_escaped_text_is_read_as_it_was(text: str) -> None:
    """In a paragraph, in an item of a list, in a cell: one line of text, and nothing else."""
    shown = visible(text)
    tokens = list(inline(PARSER.parse(f"x {escaped(text)}")))
    assert {token.type for token in tokens} <= PLAIN
    assert read(f"x {escaped(text)}").split() == ["x", *shown.split()]
    item = list(inline(PARSER.parse(f"- {escaped(text)}\n- z\n")))
    assert [token.type for token in item if token.nesting == 1] in (
        ["bullet_list_open", "list_item_open", "paragraph_open", "list_item_open", "paragraph_open"],
        ["bullet_list_open", "list_item_open", "list_item_open", "paragraph_open"],
    )
    assert "".join(read(f"- {escaped(text)}\n- z\n").split()) == "".join(f"{shown}z".split())
    table = list(inline(PARSER.parse(f"| a | b |\n|---|---|\n| {escaped(text)} | z |\n")))
    assert sum(token.type == "td_open" for token in table) == 2
    assert {token.type for token in table if token.type.endswith("_open")} <= {
        f"{name}_open" for name in ("table", "thead", "tbody", "tr", "th", "td")
    }


@given(TEXT)
def test_code_is_read_to_the_letter(text: str) -> None:
    shown = visible(text)
    [paragraph] = [token for token in PARSER.parse(f"x {code(text)} y") if token.type == "inline"]
    assert paragraph.children is not None
    [span] = [token for token in paragraph.children if token.type == "code_inline"]
    assert span.content.strip() == shown.strip()


@pytest.mark.parametrize(
    "text",
    [
        "http://evil.example",
        "see HTTPS://evil.example",
        "www.evil.example",
        "WWW.evil.example",
        "me@evil.example",
        "mailto:me@evil.example",
        "xmpp:me@evil.example",
        "<http://evil.example>",
        "[a](http://evil.example)",
    ],
)
def test_plain_text_becomes_no_link(text: str) -> None:
    """GitHub makes links of what looks like one; an escaped character in it is where that ends."""
    found = re.findall(r"(?i)\bwww\.|https?://|ftp://|mailto:|xmpp:|[\w.+-]@", escaped(text))
    assert found == []
    assert read(escaped(text)) == text


def test_hostile_text_becomes_no_markup() -> None:
    tokens = list(inline(PARSER.parse(text_of("hostile"))))
    allowed = {"heading", "paragraph", "strong", "em", "bullet_list", "list_item", "table", "thead", "tbody", "tr"}
    opened = {token.type.removesuffix("_open") for token in tokens if token.nesting == 1}
    assert opened <= allowed | {"th", "td"}
    assert {token.type for token in tokens if token.nesting == 0} <= {"inline", "text", "code_inline"}
    words = " ".join(read(text_of("hostile")).split())
    for text in HOSTILE:
        assert " ".join(visible(text).split()) in words
    assert [token.type for token in PARSER.parse(text_of("usual")) if token.level == 0 and token.nesting == 1] == [
        token.type
        for token in PARSER.parse(text_of("usual").replace("example.com", "example.org"))
        if token.level == 0 and token.nesting == 1
    ]


@pytest.mark.parametrize("case", PAGES)
def test_every_table_is_one(case: str) -> None:
    text = text_of(case)
    heads = re.findall(r"^\|[-:|]+\|$", text, re.MULTILINE)
    tokens = PARSER.parse(text)
    assert sum(token.type == "table_open" for token in tokens) == len(heads)
    lines = sum(line.startswith("|") for line in text.splitlines())
    assert sum(token.type == "tr_open" for token in tokens) == lines - len(heads)


def test_all_names_are_read() -> None:
    words = read(text_of("many"))
    assert all(source.name in words for source in many().evidence.sources)
    words = read(text_of("world"))
    assert all(source.name in words for source in world().evidence.sources)
    assert "bücher.example" in words


def test_first_lines_are_for_people() -> None:
    assert as_markdown(usual()).startswith(
        "# DMARC policy sign-off: example.com\n"
        "\n"
        "Example Brands\n"
        "\n"
        "2 March 2026 to 29 March 2026: 16,431 messages reported by 3 reporters on 28 of 28 days\n"
        "\n"
        "**Is the next step safe? Yes, once it is signed.**\n"
    )


def test_text_ends_with_one_line_end_and_no_line_has_blanks_at_its_end() -> None:
    text = text_of("usual")
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert [line for line in text.splitlines() if line != line.rstrip()] == []
