import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dmarcops.errors import UnsafeChangeError
from dmarcops.policy.grammar import Grammar, is_valid, violations
from dmarcops.policy.record import (
    Part,
    Policy,
    Record,
    Uri,
    changed,
    dmarc_records,
    format_record,
    parse_record,
    parse_uris,
)

WHITE = st.text(" \t", max_size=2)
NAMES = st.text(string.ascii_letters, min_size=1, max_size=8).filter(
    lambda name: (
        name.lower() not in {"v", "p", "sp", "np", "t", "pct", "psd", "adkim", "aspf", "fo", "rua", "ruf", "ri", "rf"}
    )
)
VALUES = st.text([chr(x) for x in range(0x21, 0x7F) if chr(x) != ";"], min_size=1, max_size=12)
POLICIES = st.sampled_from(["none", "quarantine", "reject", "None", "REJECT"])
KNOWN = st.one_of(
    st.tuples(st.just("sp"), POLICIES),
    st.tuples(st.just("np"), POLICIES),
    st.tuples(st.just("t"), st.sampled_from(["y", "n", "Y"])),
    st.tuples(st.just("pct"), st.sampled_from(["0", "50", "100"])),
    st.tuples(st.just("psd"), st.sampled_from(["y", "n", "u"])),
    st.tuples(st.sampled_from(["adkim", "ASPF"]), st.sampled_from(["r", "s"])),
    st.tuples(st.just("fo"), st.sampled_from(["0", "1", "d:s", "1:d:s"])),
    st.tuples(
        st.sampled_from(["rua", "ruf"]),
        st.sampled_from(["mailto:a@example.com", "mailto:a@example.com!10m , https://example.com/x"]),
    ),
    st.tuples(st.just("ri"), st.just("86400")),
    st.tuples(st.just("rf"), st.just("afrf")),
)


@st.composite
def valid_records(draw: st.DrawFn) -> str:
    """Records as owners publish them: valid in both grammars but for the place of `p`."""
    tags = draw(st.lists(st.one_of(KNOWN, st.tuples(NAMES, VALUES)), max_size=6, unique_by=lambda tag: tag[0].lower()))
    if draw(st.booleans()):
        tags.insert(draw(st.integers(0, len(tags))), ("p", draw(POLICIES)))
    parts = [f"{draw(WHITE)}{name}{draw(WHITE)}={draw(WHITE)}{value}" for name, value in tags]
    end = draw(st.sampled_from(["", ";"]))
    return ";".join([f"v{draw(WHITE)}={draw(WHITE)}DMARC1", *parts]) + end


@given(st.text())
@example("")
@example("v=DMARC1;;=;==; =x;p")
@example("\ud800;v=DMARC1")
def test_any_text_is_read_and_given_back_to_the_octet(text: str) -> None:
    record = parse_record(text)
    assert format_record(record) == text
    assert str(record) == text
    assert parse_record(format_record(record)) == record
    for exists in (True, False):
        record.requested_below(exists=exists)
    for name in ("rua", "ruf"):
        assert all(isinstance(uri.is_usable, bool) for uri in record.uris(name))
    assert 0 <= record.pct <= 100


@given(valid_records(), st.sampled_from(Policy), st.sampled_from([None, "", "y"]), st.sampled_from([None, "", "0"]))
def test_change_is_valid_in_both_grammars_and_leaves_all_other_tags(
    text: str, p: Policy, t: str | None, pct: str | None
) -> None:
    before = parse_record(text)
    after = changed(before, p=p, t=t, pct=pct)
    assert [violations(str(after), grammar) for grammar in Grammar] == [(), ()]
    assert after.policy("p") is p
    if t is not None:
        assert after.is_testing == bool(t)
    if pct is not None:
        assert after.value("pct") == (pct or None)

    def others(record: Record) -> list[str]:
        return [part.text for part in record.parts if part.name not in {"p", "t", "pct"}]

    assert others(after) == others(before)


@given(valid_records(), st.sampled_from(Policy), st.sampled_from(Policy))
def test_change_twice_is_the_change_once(text: str, p: Policy, np: Policy) -> None:
    once = changed(parse_record(text), p=p, np=np)
    assert str(changed(once, p=p, np=np)) == str(once)


@given(st.text())
@example("v=DMARC1; p=none; p=none")
@example("v=DMARC1; p=none; rua=")
def test_change_of_any_text_gives_a_valid_record_or_is_refused(text: str) -> None:
    try:
        after = changed(parse_record(text), p=Policy.REJECT)
    except UnsafeChangeError as error:
        assert error.guard == "record-not-valid"  # noqa: PT017 - either end is right
    else:
        assert all(is_valid(str(after), grammar) for grammar in Grammar)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("v=DMARC1; p=none; rua=mailto:a@b.example", "v=DMARC1; p=reject; rua=mailto:a@b.example"),
        ("v=DMARC1;p=none;x=1", "v=DMARC1;p=reject;x=1"),
        ("v=DMARC1; adkim=s; p=none ;", "v=DMARC1; p=reject ; adkim=s;"),
        ("v=DMARC1; rua=mailto:a@b.example", "v=DMARC1; p=reject; rua=mailto:a@b.example"),
        ("v=DMARC1", "v=DMARC1; p=reject"),
        ("v=DMARC1;", "v=DMARC1; p=reject;"),
        ("v=DMARC1; P = \tReject; aspf=r", "v=DMARC1; P = \tReject; aspf=r"),
    ],
)
def test_change_keeps_the_owners_spelling(before: str, after: str) -> None:
    assert str(changed(parse_record(before), p=Policy.REJECT)) == after


def test_change_writes_new_tags_after_p_in_one_order() -> None:
    record = parse_record("v=DMARC1; p=none; rua=mailto:a@b.example")
    after = changed(record, p=Policy.QUARANTINE, sp=Policy.NONE, np=Policy.REJECT, t="y", pct="0")
    assert str(after) == "v=DMARC1; p=quarantine; sp=none; np=reject; t=y; pct=0; rua=mailto:a@b.example"


def test_change_writes_and_takes_out_in_place() -> None:
    record = parse_record("v=DMARC1; p=quarantine; fo=1; t=y; ruf=mailto:a@b.example; pct=0; np=none")
    after = changed(record, t="", pct="", np=Policy.REJECT)
    assert str(after) == "v=DMARC1; p=quarantine; fo=1; ruf=mailto:a@b.example; np=reject"
    assert str(changed(record, t="n")) == str(record).replace("t=y", "t=n")


def test_change_without_p_leaves_its_absence_which_the_old_grammar_refuses() -> None:
    with pytest.raises(UnsafeChangeError, match="p is not the second tag"):
        changed(parse_record("v=DMARC1; rua=mailto:a@b.example"), t="y")
    assert str(changed(parse_record("v=DMARC1; p=none"), t="")) == "v=DMARC1; p=none"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v=spf1 -all",
        "v=dmarc1; p=none",
        "p=none; v=DMARC1",
        "v=DMARC1; p=none; sp=",
        "v=DMARC1; p=none;; rua=mailto:a@b.example",
        "v=DMARC1; p=none; rua=mailto:a@b.example; rua=mailto:c@b.example",
        "v=DMARC1; p=none; v=DMARC1",
        "v=DMARC1; p=none; adkim=x",
        "v=DMARC1; p=none; fo=0:1",
        "v=DMARC1; p=none; pct=abc",
        "v=DMARC1; p=none; x=ä",
        " v=DMARC1; p=none",
        "v=DMARC1; p=none; x=1 ",
    ],
)
def test_change_is_refused_when_the_rest_is_not_valid(text: str) -> None:
    with pytest.raises(UnsafeChangeError) as caught:
        changed(parse_record(text), p=Policy.QUARANTINE)
    assert caught.value.guard == "record-not-valid"
    assert caught.value.hint


# RFC 9989 section 4.8 and RFC 7489 section 6.4.
@pytest.mark.parametrize(
    ("text", "new", "old"),
    [
        ("v=DMARC1; p=none", True, True),
        ("V=DMARC1;P=None;", True, True),
        ("v=DMARC1", True, False),
        ("v=DMARC1; adkim=r; p=none", True, False),
        ("v=DMARC1; p=none; fo=0:1", False, True),
        ("v=DMARC1; p=none; fo=d:d", False, True),
        ("v=DMARC1; p=none; fo=1:d:s", True, True),
        ("v=DMARC1; p=none; np=maybe", False, True),
        ("v=DMARC1; p=none; pct=1000", True, False),
        ("v=DMARC1; p=none; ri=x", True, False),
        ("v=DMARC1; p=none; rua=mailto:a@b.example!10m,mailto:c@d.example", True, True),
        ("v=DMARC1; p=none; rua=a@b.example", False, False),
        ("v=dmarc1; p=none", False, False),
    ],
)
def test_grammars_are_told_apart(text: str, new: bool, old: bool) -> None:  # noqa: FBT001 - expected values
    assert (is_valid(text, Grammar.RFC9989), is_valid(text, Grammar.RFC7489)) == (new, old)


# RFC 9989 section 4.7: np, then sp, then p.
@pytest.mark.parametrize(
    ("tags", "domain", "existing", "missing"),
    [
        ("p=reject", "reject", "reject", "reject"),
        ("p=reject; sp=none", "reject", "none", "none"),
        ("p=reject; np=none", "reject", "reject", "none"),
        ("p=none; sp=quarantine; np=reject", "none", "quarantine", "reject"),
        ("sp=quarantine", "none", "quarantine", "quarantine"),
        ("np=reject", "none", "none", "reject"),
        ("sp=reject; np=quarantine", "none", "reject", "quarantine"),
        ("rua=mailto:a@b.example", "none", "none", "none"),
    ],
)
def test_policy_of_subdomains_falls_back(tags: str, domain: str, existing: str, missing: str) -> None:
    record = parse_record(f"v=DMARC1; {tags}")
    found = (record.requested(), record.requested_below(exists=True), record.requested_below(exists=False))
    assert found == (domain, existing, missing)


# RFC 9989 section 4.10.1.
@pytest.mark.parametrize("tag", ["p=maybe", "p=reject; sp=maybe", "p=reject; np=maybe", "p=; sp=reject"])
def test_invalid_policy_is_none_with_a_usable_rua_and_no_dmarc_without(tag: str) -> None:
    with_rua = parse_record(f"v=DMARC1; {tag}; rua=https://b.example/,mailto:a@b.example")
    assert (with_rua.requested(), with_rua.requested_below(exists=True)) == (Policy.NONE, Policy.NONE)
    for without in (f"v=DMARC1; {tag}", f"v=DMARC1; {tag}; rua=https://b.example/"):
        assert parse_record(without).requested() is None
        assert parse_record(without).requested_below(exists=False) is None


@pytest.mark.parametrize(
    ("text", "is_dmarc"),
    [
        ("v=DMARC1; p=none", True),
        ("V = DMARC1 ;", True),
        ("v=dmarc1; p=none", False),
        ("v=DMARC1.0; p=none", False),
        ("p=none; v=DMARC1", False),
        ("p=none", False),
        ("", False),
    ],
)
def test_record_begins_with_the_version(text: str, is_dmarc: bool) -> None:  # noqa: FBT001 - an expected value
    assert parse_record(text).is_dmarc is is_dmarc
    assert len(dmarc_records([text, "v=spf1 -all"])) == is_dmarc


def test_tags_are_read_with_their_defaults() -> None:
    plain, full = parse_record("v=DMARC1"), parse_record("v=DMARC1; PSD=Y; t=Y; pct=25; foo=bar")
    assert (plain.psd, plain.is_testing, plain.pct, plain.value("foo")) == ("u", False, 100, None)
    assert (full.psd, full.is_testing, full.pct, full.value("foo")) == ("y", True, 25, "bar")
    assert [parse_record(f"v=DMARC1; pct={x}").pct for x in ("101", "-1", "", "x", "0099", "²")] == [100] * 6
    assert parse_record("v=DMARC1; psd=x").psd == "u"
    assert Part("x").with_value("y") == Part("x=y")


@pytest.mark.parametrize(
    ("text", "scheme", "host", "size"),
    [
        ("mailto:a@B.example", "mailto", "b.example", ""),
        (" mailto:a@b.example!10m", "mailto", "b.example", "10m"),
        ("MAILTO:a%40x@bücher.example?subject=x", "mailto", "xn--bcher-kva.example", ""),
        ("mailto:b.example", "mailto", "", ""),
        ("mailto:@b.example", "mailto", "", ""),
        ("https://user@b.example:8080/x", "https", "b.example", ""),
        ("https://[::1/x", "https", "", ""),
        ("https:", "https", "", ""),
        ("a@b.example", "", "", ""),
    ],
)
def test_uri_gives_where_reports_go(text: str, scheme: str, host: str, size: str) -> None:
    (uri,) = parse_uris(text)
    assert (uri.scheme, uri.host, uri.size) == (scheme, host, size)
    assert uri.is_usable is (scheme == "mailto" and bool(host))


def test_uris_are_split_at_commas_and_keep_their_text() -> None:
    assert parse_uris("mailto:a@b.example , mailto:c@d.example!1k") == (
        Uri("mailto:a@b.example ", "mailto:a@b.example", ""),
        Uri(" mailto:c@d.example!1k", "mailto:c@d.example", "1k"),
    )
    assert parse_record("v=DMARC1; rua=").uris("rua") == ()
