import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmarcops.dkim.authres import MAX_LENGTH, AuthenticationResults, Deviation, Property, parse
from dmarcops.dkim.header_fields import parse_header

CORPUS = Path(__file__).parents[2] / "../shared/corpus-ar"
SHAPES = CORPUS / "generated-here/shapes.jsonl"

NOTED = {
    "method has a dot": Deviation.METHOD_SYNTAX,
    "no authserv-id": Deviation.NO_AUTHSERV_ID,
    "bare property action": Deviation.BARE_PROPERTY,
    "unknown dkim result": Deviation.UNREGISTERED_RESULT,
    "stray recipient domains": Deviation.STRAY_TEXT,
    "RFC 2047 encoded-words in a structured field": Deviation.ENCODED_WORDS,
    "trailing semicolon": Deviation.TRAILING_SEMICOLON,
    "selector with @": Deviation.UNQUOTED_VALUE,
    "pvalue starts with a colon": Deviation.UNQUOTED_VALUE,
    "unquoted URL pvalue": Deviation.UNQUOTED_VALUE,
    "bare key=value between semicolons": Deviation.DETACHED_PROPERTY,
    "angle brackets in pvalue": Deviation.UNQUOTED_VALUE,
    "header.i without @": Deviation.IDENTITY_WITHOUT_AT,
    "unquoted / in header.b": Deviation.UNQUOTED_VALUE,
    "unquoted IPv6": Deviation.UNQUOTED_VALUE,
    "two results without separator": Deviation.MISSING_SEMICOLON,
    'no result and no "none"': Deviation.NO_RESULT,
}
CONFORMANT = "reason after property"
"""Said of `compauth=pass reason=100`, which is a reason before any property."""


def shapes() -> list[dict[str, Any]]:
    return [json.loads(line) for line in SHAPES.read_text().splitlines()] if SHAPES.exists() else []


def header_dkim(results: AuthenticationResults) -> list[dict[str, str]]:
    return [
        {"result": x.result} | {y.property: y.value for y in x.properties if y.ptype == "header"}
        for x in results.of("dkim")
    ]


@pytest.mark.parametrize("shape", shapes(), ids=lambda shape: shape["name"])
def test_parse_gives_the_expected_reading_of_each_provider(shape: dict[str, Any]) -> None:
    results = parse(shape["value"])
    expected = shape["expect"]
    found: list[dict[str, str]] | None = header_dkim(results) if results.version == 1 else None
    if shape["name"] == "mixed case":  # its expected values are in lower case, ours as they are written
        found = [{name: value.lower() for name, value in x.items()} for x in found or []]
    assert (results.authserv_id, found) == (expected["authserv_id"], expected["dkim"])
    notes = [note for note in expected["nonconformant"] if note != CONFORMANT]
    assert {NOTED[note] for note in notes} <= set(results.deviations)
    assert bool(notes) == bool(results.deviations)


def corpus_values() -> Iterator[str]:
    for path in sorted(x for x in CORPUS.rglob("*") if x.is_file() and x.name != "INDEX.tsv"):
        if path.suffix != ".jsonl":
            yield from parse_header(path.read_bytes()).values("authentication-results")
            continue
        for line in path.read_text().splitlines():
            row = json.loads(line)
            yield re.sub(r"^Authentication-Results:", "", row.get("value", row.get("header")))


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is not here")
def test_parse_reads_every_field_of_the_corpus() -> None:
    counts: Counter[str] = Counter()
    for value in corpus_values():
        results = parse(value)
        said_none = re.fullmatch(r"[^;]*;\s*none\s*;?\s*", value)
        is_empty = not results.results and results.version == 1 and not said_none
        counts["nothing" if is_empty else "deviating" if results.deviations else "strict"] += 1
    # The six are an empty value, and an id alone, with a version or a semicolon or without.
    assert counts == {"strict": 183, "deviating": 61, "nothing": 6}


def result(value: str) -> tuple[str, str, int, str, list[tuple[str, str, str]], list[str]]:
    """Read a value with exactly one result."""
    results = parse(value)
    (only,) = results.results
    properties = [(x.ptype, x.property, x.value) for x in only.properties]
    return only.method, only.result, only.method_version, only.reason, properties, [str(x) for x in results.deviations]


@pytest.mark.parametrize(
    ("value", "authserv_id", "version", "deviations"),
    [
        ("Example.ORG; none", "example.org", 1, []),
        ("example.org 1; none", "example.org", 1, []),
        ("example.org(a)1(b) ; none", "example.org", 1, []),
        ('"a b;c"; none', "a b;c", 1, []),
        ('"a b" 1; none', "a b", 1, []),
        ("example.org 2; dkim=pass", "example.org", 2, []),
        ("example.org 1234567890; dkim=pass", "example.org", 0, ["stray-text"]),
        ("example.org x; none", "example.org", 1, ["stray-text"]),
        ("example.org 1 x; none", "example.org", 1, ["stray-text"]),
        ("[192.0.2.1]; none", "[192.0.2.1]", 1, ["authserv-id-syntax"]),
        ('a"b"; none', 'a"b"', 1, ["authserv-id-syntax"]),
        ("example.org; none;", "example.org", 1, ["trailing-semicolon", "misplaced-none"]),
        ("example.org; none; spf=pass", "example.org", 1, ["misplaced-none"]),
        ("example.org;; spf=pass", "example.org", 1, ["empty-result"]),
        ("example.org spf=pass", "example.org", 1, ["missing-semicolon"]),
        ("example.org 1 spf=pass", "example.org", 1, ["missing-semicolon"]),
        ("spf=pass", "", 1, ["no-authserv-id"]),
        ("; spf=pass", "", 1, ["no-authserv-id"]),
        ("=", "", 1, ["no-authserv-id", "stray-text", "no-result"]),
        ("", "", 1, ["no-authserv-id", "no-result"]),
        ("   ", "", 1, ["no-authserv-id", "no-result"]),
        ("(example.org; dkim=pass", "", 1, ["unterminated-comment", "no-authserv-id", "no-result"]),
        ('"example.org; dkim=pass', "", 1, ["unterminated-quoted-string", "no-authserv-id", "no-result"]),
        ("example.org; (dkim=pass)", "example.org", 1, ["trailing-semicolon", "no-result"]),
    ],
)
def test_parse_reads_the_authserv_id(value: str, authserv_id: str, version: int, deviations: list[str]) -> None:
    results = parse(value)
    assert (results.authserv_id, results.version, list(results.deviations)) == (authserv_id, version, deviations)


def test_parse_gives_no_result_when_the_version_is_not_supported() -> None:
    assert parse("example.org 2; dkim=pass").results == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dkim=pass", ("dkim", "pass", 1, "", [], [])),
        ("DKIM / 2 = Pass", ("dkim", "pass", 2, "", [], [])),
        ("dkim/x=pass", ("dkim", "pass", 0, "", [], ["method-syntax"])),
        ("dkim/1/1=pass", ("dkim", "pass", 0, "", [], ["method-syntax"])),
        ("dkim/=pass", ("dkim", "pass", 0, "", [], ["method-syntax"])),
        ('dkim=fail reason="a; b"', ("dkim", "fail", 1, "a; b", [], [])),
        ("dkim=fail reason = bad", ("dkim", "fail", 1, "bad", [], [])),
        ("dkim=fail reason=a@b", ("dkim", "fail", 1, "a@b", [], ["unquoted-value"])),
        (
            "dkim=fail header.d=a.example reason=bad",
            ("dkim", "fail", 1, "bad", [("header", "d", "a.example")], ["reason-after-property"]),
        ),
        ("dkim=fail reason=a reason=b", ("dkim", "fail", 1, "a", [], ["repeated-reason"])),
        (
            "dkim=pass header(x).(y)d(z)=(w)a.example(v)",
            ("dkim", "pass", 1, "", [("header", "d", "a.example")], []),
        ),
        (
            "dkim=pass header.b=ab= header.s=x",
            ("dkim", "pass", 1, "", [("header", "b", "ab="), ("header", "s", "x")], ["unquoted-value"]),
        ),
        ("dkim=pass header.b= ab==", ("dkim", "pass", 1, "", [("header", "b", "ab==")], ["unquoted-value"])),
        (
            "dkim=pass header.b= header.s=x",
            ("dkim", "pass", 1, "", [("header", "b", ""), ("header", "s", "x")], ["empty-value"]),
        ),
        ("dkim=pass header.b=", ("dkim", "pass", 1, "", [("header", "b", "")], ["empty-value"])),
        ("dkim=pass header.d=a.ex(x)ample", ("dkim", "pass", 1, "", [("header", "d", "a.ex")], ["stray-text"])),
        (
            "dkim=pass header.d=a header.d=a",
            ("dkim", "pass", 1, "", [("header", "d", "a"), ("header", "d", "a")], []),
        ),
        (
            "dkim=pass header.d=a header.d=b",
            ("dkim", "pass", 1, "", [("header", "d", "a"), ("header", "d", "b")], ["repeated-property"]),
        ),
        ("dkim=pass; header.d=a", ("dkim", "pass", 1, "", [("header", "d", "a")], ["detached-property"])),
        ("dkim=pass; reason=a", ("dkim", "pass", 1, "a", [], [])),
        ("dkim=pass h%.d=a", ("dkim", "pass", 1, "", [("h%", "d", "a")], ["property-syntax"])),
        ("dkim=pass header.=a", ("dkim", "pass", 1, "", [("header", "", "a")], ["property-syntax"])),
        ("spf=pass smtp.mailfrom=@a.example", ("spf", "pass", 1, "", [("smtp", "mailfrom", "@a.example")], [])),
        ('spf=pass smtp.helo="a b"@c.example', ("spf", "pass", 1, "", [("smtp", "helo", '"a b"@c.example')], [])),
        ("spf=pass smtp.helo=a@local", ("spf", "pass", 1, "", [("smtp", "helo", "a@local")], ["unquoted-value"])),
        ("spf=pass smtp.mailfrom=\x00", ("spf", "pass", 1, "", [("smtp", "mailfrom", "\x00")], ["unquoted-value"])),
        ("x-own=yes", ("x-own", "yes", 1, "", [], [])),
        ('dkim=pass "x" header.d=a', ("dkim", "pass", 1, "", [("header", "d", "a")], ["stray-text"])),
        ("dkim=pass word header.d=a", ("dkim", "pass", 1, "", [("header", "d", "a")], ["stray-text"])),
        ("header.d=a; dkim=pass", ("dkim", "pass", 1, "", [], ["stray-text"])),
        ('dkim="pass"; spf=none', ("spf", "none", 1, "", [], ["stray-text"])),
    ],
)  # fmt: skip
def test_parse_reads_a_result(text: str, expected: tuple[object, ...]) -> None:
    assert result(f"example.org; {text}") == expected


def test_parse_takes_long_names_apart_in_bounded_work() -> None:
    results = parse("example.org; dkim=pass " + ". " * 30_000 + "x=y")
    assert Deviation.STRAY_TEXT in results.deviations
    assert all(len(x.property) <= 129 for x in results.results[0].properties)


def test_value_is_the_first_of_its_name() -> None:
    (only,) = parse("example.org; dkim=pass header.d=a.example policy.d=b.example").results
    assert (only.value("header", "d"), only.value("policy", "d"), only.value("header", "s")) == (
        "a.example",
        "b.example",
        "",
    )


def test_of_leaves_out_method_versions_that_are_not_supported() -> None:
    results = parse("example.org; dkim/2=pass header.d=a; dkim/1=fail header.d=b; spf=pass")
    assert [x.result for x in results.of("dkim")] == ["fail"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("=?utf-8?Q?a.example;_dkim=3Dpass?=", ("a.example", ["encoded-words"])),
        ("=?UTF-8?b?YS5leGFtcGxlOyBka2ltPXBhc3M=?=", ("a.example", ["encoded-words"])),
        ("=?utf-8?Q?a.example;?= =?utf-8?Q?_dkim=3Dpass?=", ("a.example", ["encoded-words"])),
        ("=?utf-8?Q?a?= =?us-ascii?Q?b?=", ("", ["encoded-words", "no-authserv-id", "no-result"])),
        ("=?utf-7?Q?a?=", ("", ["encoded-words", "no-authserv-id", "no-result"])),
        ("=?utf-8?B?a?=", ("", ["encoded-words", "no-authserv-id", "no-result"])),
        ("=?utf-8?Q?\u00e9?=", ("", ["encoded-words", "no-authserv-id", "no-result"])),
    ],
)
def test_parse_decodes_encoded_words_once_when_there_is_nothing_else(value: str, expected: tuple[object, ...]) -> None:
    results = parse(value)
    assert (results.authserv_id, list(results.deviations)) == expected
    again = "=?utf-8?Q?=3D=3Futf-8=3FQ=3Fa=3B_dkim=3D3Dpass=3F=3D?="
    assert parse(again).of("dkim") == ()


@pytest.mark.parametrize(
    "value",
    [
        "example.org; dkim=none (x; dkim=pass header.d=example.com header.s=new)",
        "example.org; dkim=none (x (y) ; dkim=pass header.d=example.com)",
        r"example.org; dkim=none (x \) ; dkim=pass header.d=example.com)",
        'example.org; dkim=none reason="; dkim=pass header.d=example.com"',
        r'example.org; dkim=none reason="\"; dkim=pass header.d=example.com"',
        "example.org; dkim=none (x ; dkim=pass header.d=example.com",
        'example.org; dkim=none reason="x; dkim=pass header.d=example.com',
        "example.org; dkim=none header.d=dkim=pass",
    ],
)
def test_parse_takes_no_result_out_of_a_comment_or_a_string(value: str) -> None:
    assert [x.result for x in parse(value).of("dkim")] == ["none"]


@pytest.mark.parametrize(
    ("value", "is_sound"),
    [
        ("example.org; spf=pass (of x); dkim=pass (@evil.example) smtp.mailfrom=x", True),
        ("example.org; spf=pass (of x); dkim=pass header.d=a @evil.example) smtp.mailfrom=x", False),
        ("example.org; spf=pass smtp.mailfrom=x dkim=pass header.d=a", False),
        ("example.org; dkim=pass header.d=a header.d=b", False),
        ("example.org; dkim=pass (", False),
    ],
)
def test_is_sound_tells_whether_a_senders_text_may_have_got_in(value: str, is_sound: bool) -> None:  # noqa: FBT001
    assert parse(value).is_sound is is_sound


def test_parse_reads_nothing_of_a_value_that_is_too_long() -> None:
    results = parse("example.org; dkim=pass" + " " * MAX_LENGTH)
    assert (results.results, results.deviations) == ((), (Deviation.TOO_LONG,))


@pytest.mark.parametrize(
    "piece", ["(", ")", ";", "=", '"', "\\", "a", "a ", "a=", "a;", "a.", "a/", "()", '""', "=?a?Q?b?= "]
)
def test_parse_is_done_at_once_with_any_repetition(piece: str) -> None:
    for start in ("", "example.org; dkim=pass header.d="):
        results = parse((start + piece * MAX_LENGTH)[:MAX_LENGTH])
        assert sum(1 + len(x.properties) for x in results.results) <= MAX_LENGTH
    assert parse(piece * 1_000_000).deviations == (Deviation.TOO_LONG,)


PIECES = st.sampled_from(
    ["dkim", "=", "pass", "; ", " ", "header", ".", "d", "example.com", "(", ")", '"', "\\", "/", "1", "none", "@",
     "reason", "\r\n ", "\x00", "é", "=?utf-8?Q?", "?="]
)  # fmt: skip


@given(st.text(max_size=200) | st.lists(PIECES, max_size=40).map("".join))
def test_parse_never_raises(text: str) -> None:
    results = parse(text)
    assert results.authserv_id == results.authserv_id.lower()
    assert len(set(results.deviations)) == len(results.deviations)


WORD = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True).filter(lambda x: x not in ("none", "reason"))
DOMAIN = st.lists(WORD, min_size=2, max_size=4).map(".".join)
QUOTED = st.text(alphabet='ab ;=()"\\', max_size=8).map(lambda x: ('"' + re.sub(r'(["\\])', r"\\\1", x) + '"', x))
COMMENT = st.recursive(
    st.sampled_from(["x", "", "; dkim=pass", '"', r"\)", r"\("]),
    lambda inner: inner.map(lambda x: f"a({x})b"),
    max_leaves=3,
)
CFWS = st.one_of(st.sampled_from([" ", "\r\n ", "\t"]), COMMENT.map(lambda x: f"({x})"))
PVALUE = st.one_of(
    WORD.map(lambda x: (x, x)),
    QUOTED,
    DOMAIN.map(lambda x: (x, x)),
    DOMAIN.map(lambda x: (f"@{x}", f"@{x}")),
    st.tuples(WORD, DOMAIN).map(lambda x: (f"{x[0]}@{x[1]}",) * 2),
)
PROPERTY = st.tuples(st.sampled_from(["header", "smtp", "policy", "x"]), WORD, PVALUE)
RESINFO = st.tuples(
    st.sampled_from(["dkim", "spf", "dmarc"]),
    st.sampled_from(["pass", "fail", "none"]),
    st.none() | QUOTED,
    st.lists(PROPERTY, max_size=3, unique_by=lambda x: x[:2]),
)


@given(DOMAIN, st.lists(RESINFO, min_size=1, max_size=3), st.data())
def test_parse_gives_back_what_the_grammar_writes(authserv_id: str, resinfos: list[Any], data: st.DataObject) -> None:
    def gap() -> str:
        return data.draw(CFWS | st.just(""))

    def space() -> str:
        return data.draw(CFWS)

    text = gap() + authserv_id + gap()
    for method, outcome, reason, properties in resinfos:
        text += f";{gap()}{method}{gap()}={gap()}{outcome}"
        if reason:
            text += f"{space()}reason{gap()}={gap()}{reason[0]}"
        for ptype, name, (written, _) in properties:
            text += f"{space()}{ptype}{gap()}.{gap()}{name}{gap()}={gap()}{written}"
        text += gap()
    results = parse(text)
    found = [(x.method, x.result, x.reason, x.properties) for x in results.results]
    assert found == [
        (method, outcome, reason[1] if reason else "", tuple(Property(a, b, c[1]) for a, b, c in properties))
        for method, outcome, reason, properties in resinfos
    ]
    assert set(results.deviations) <= {Deviation.IDENTITY_WITHOUT_AT}


def test_parse_of_every_short_mix_of_syntax_never_raises() -> None:
    for pieces in itertools.product(["dkim", "=", ";", " ", "(", ")", '"', "."], repeat=5):
        parse("".join(pieces))
