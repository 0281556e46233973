"""SPF: the grammar, what a record costs, the limits on both sides, and records that are meant to do harm."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmarcops.check.spf import EXPLORED, MAX_LOOKUPS, MAX_MX, MAX_VOIDS, Spf, check_spf, is_spf, parse_terms
from dmarcops.policy.answers import Answer, AnswerKind

D = "example.test"
FAILS = "fails"


class Dns:
    """Records by name and type; counts the questions."""

    def __init__(self, texts: Mapping[str, str | list[str]], **other: list[str]) -> None:
        self._texts = texts
        self._other = other
        self.asked: list[tuple[str, str]] = []

    def __call__(self, name: str, kind: str) -> Answer:
        self.asked.append((name, kind))
        if name.startswith(FAILS):
            return Answer(AnswerKind.TEMPERROR)
        texts = self._texts.get(name, []) if kind == "TXT" else self._other.get(kind, [])
        texts = [texts] if isinstance(texts, str) else texts
        if name.startswith("no."):
            return Answer(AnswerKind.NXDOMAIN)
        return Answer(AnswerKind.FOUND, tuple(texts)) if texts else Answer(AnswerKind.NODATA)


def check(record: str, below: Mapping[str, str | list[str]] | None = None, **other: list[str]) -> Spf:
    return check_spf(D, Dns({D: record, **(below or {})}, **{"A": ["192.0.2.1"], "MX": ["10 mail."], **other}))


def codes(spf: Spf) -> set[str]:
    return {finding.code for finding in spf.findings}


@pytest.mark.parametrize(
    "term",
    [
        *("all", "-all", "ALL", "a", "a:x.test", "a/24", "a//64", "a/24//64", "a:x.test/0//0", "a:x.test.", "mx"),
        *("ptr", "ptr:x.test", "ip4:192.0.2.1", "ip4:192.0.2.0/32", "ip4:192.0.2.0/0", "ip6:::1", "ip6:2001:db8::/128"),
        *("ip6:::ffff:192.0.2.1", "include:x.test", "include:_spf.x-1.test", "exists:%{ir}.%{v}._spf.%{d2}"),
        *("exists:%{l1r+-}.x.test", "include:%{d}", "exists:%%.x.test", "exists:%_%-.x.test", "redirect=x.test"),
        *("exp=x.test", "foo=", "foo=%{i}", "a-b.c_d=x", "include:x.1-2", "exists:a/b.x.test", "REDIRECT=x.test"),
    ],
)
def test_a_term_by_the_grammar_is_valid(term: str) -> None:
    assert [each.is_valid for each in parse_terms(f"v=spf1 {term}")] == [True]


@pytest.mark.parametrize(
    "term",
    [
        *("all:", "all/1", "-", "--all", "a:", "a:x", "a:x.1", "a:x.test..", "a:.test", "a:x..test", "a/33", "a//129"),
        *("a/024", "a/", "a//", "a/24/64", "mx:", "mx:/24", "ptr:", "ptr/24", "ip4", "ip4:", "ip4:192.0.2", "ip4:::1"),
        *("ip4:192.0.2.1/33", "ip4:192.0.2.1/", "ip4:192.0.2.1/024", "ip6:192.0.2.1", "ip6:::1/129", "ip6:fe80::1%1"),
        *("include", "include:", "include:x", "include:x.test/24", "exists", "exists:%{z}.x.test", "exists:%{i.x.test"),
        *("exists:%.x.test", "exists:%{c}.x.test", "exists:%{i0}.x.test", "redirect=", "redirect=x", "redirect:x.test"),
        *(
            "exp=",
            "-redirect=x.test",
            "foo=%(",
            "1=x",
            "foo",
            "foo:x.test",
            "ip4:192.0.2.1-all",
            "a\tmx",
            "é",
            "a:x.-t",
        ),
        *("a:x.-t", "include:%{d}x", f"a:{'a' * 64}.test", "ip4:1.2.3.4/٣"),
    ],
)
def test_a_term_beside_the_grammar_is_not(term: str) -> None:
    assert [each.is_valid for each in parse_terms(f"v=spf1 {term}")] == [False]
    assert "spf-syntax" in codes(check(f"v=spf1 {term} -all"))


@given(st.text(), st.lists(st.text()))
def test_no_text_raises(text: str, more: list[str]) -> None:
    parse_terms(text)
    spf = check(f"v=spf1 {text}", {D: ["v=spf1 " + text, *more], "x.test": text})
    assert check_spf(text, Dns({text: more})).tree.domain == text
    assert len(spf.findings) < 1000
    assert spf.as_json()["lookups"] == spf.tree.lookups


@given(st.lists(st.sampled_from(["a", "mx", "ptr", "exists:x.test", "a:%{i}.test", "include:x.test", "ip4:192.0.2.1"])))
def test_the_cost_is_the_number_of_terms_that_ask(terms: list[str]) -> None:
    spf = check(" ".join(["v=spf1", *terms, "-all"]), {"x.test": "v=spf1 a -all"})
    expected = sum(2 if term.startswith("include") else term != "ip4:192.0.2.1" for term in terms)
    assert spf.tree.lookups == min(expected, spf.tree.lookups if not spf.is_complete else expected)
    assert ("spf-lookups" in codes(spf)) == (expected > MAX_LOOKUPS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("v=spf1", True), ("v=spf1 -all", True), ("V=SPF1 a", True), ("v=spf10 a", False), ("v=spf1\ta", False)),
        *((" v=spf1 a", False), ("", False), ("spf1", False)),
    ],
)
def test_a_record_begins_with_the_version_and_a_space(text: str, expected: bool) -> None:  # noqa: FBT001 - a case
    assert is_spf(text) is expected


def test_limits_hold_from_the_first_beyond() -> None:
    assert "spf-lookups" not in codes(check(f"v=spf1 {'a ' * MAX_LOOKUPS}-all"))
    assert "spf-lookups" in codes(check(f"v=spf1 {'a ' * (MAX_LOOKUPS + 1)}-all"))
    void = "a:no.x.test "
    assert "spf-voids" not in codes(check(f"v=spf1 {void * MAX_VOIDS}-all"))
    assert "spf-voids" in codes(check(f"v=spf1 {void * (MAX_VOIDS + 1)}-all"))
    hosts = [f"{n} h{n}." for n in range(MAX_MX + 1)]
    assert "spf-mx-many" not in codes(check("v=spf1 mx -all", MX=hosts[1:]))
    assert "spf-mx-many" in codes(check("v=spf1 mx -all", MX=hosts))
    assert "spf-long" not in codes(check("v=spf1 -all" + " " * (450 - len(D) - 11)))
    assert "spf-long" in codes(check("v=spf1 -all" + " " * (451 - len(D) - 11)))


def test_the_tree_shows_what_each_include_costs() -> None:
    below = {"one.test": "v=spf1 a include:two.test ~all", "two.test": "v=spf1 mx a:no.x.test ?all"}
    spf = check("v=spf1 include:one.test mx -all", below)
    assert spf.as_json() == {
        "domain": D,
        "record": "v=spf1 include:one.test mx -all",
        "lookups": 6,
        "voids": 1,
        "terms": [
            {
                "term": "include:one.test",
                "target": "one.test",
                "lookups": 5,
                "voids": 1,
                "below": {
                    "domain": "one.test",
                    "record": "v=spf1 a include:two.test ~all",
                    "lookups": 4,
                    "voids": 1,
                    "terms": [
                        {"term": "a", "target": "one.test", "lookups": 1, "voids": 0, "below": None},
                        {
                            "term": "include:two.test",
                            "target": "two.test",
                            "lookups": 3,
                            "voids": 1,
                            "below": {
                                "domain": "two.test",
                                "record": "v=spf1 mx a:no.x.test ?all",
                                "lookups": 2,
                                "voids": 1,
                                "terms": [
                                    {"term": "mx", "target": "two.test", "lookups": 1, "voids": 0, "below": None},
                                    {
                                        "term": "a:no.x.test",
                                        "target": "no.x.test",
                                        "lookups": 1,
                                        "voids": 1,
                                        "below": None,
                                    },
                                ],
                            },
                        },
                    ],
                },
            },
            {"term": "mx", "target": D, "lookups": 1, "voids": 0, "below": None},
        ],
        "complete": True,
    }
    assert codes(spf) == {"spf-void"}  # ?all of an included record denies nobody, nor is it asked to


def test_all_of_an_included_record_that_lets_everybody_in_counts() -> None:
    assert "spf-all-pass" in codes(check("v=spf1 include:one.test -all", {"one.test": "v=spf1 +all"}))
    assert "spf-all-pass" in codes(check("v=spf1 ip4:0.0.0.0/0 -all"))
    assert "spf-all-pass" in codes(check("v=spf1 a/0 -all"))
    assert "spf-all-pass" not in codes(check("v=spf1 -all +all"))
    assert "spf-all-pass" not in codes(check("v=spf1 -ip4:0.0.0.0/0 ip4:192.0.2.0/24 -all"))


def test_redirect_is_followed_unless_there_is_an_all() -> None:
    below = {"one.test": "v=spf1 a -all"}
    assert check("v=spf1 redirect=one.test", below).tree.lookups == 2
    ignored = check("v=spf1 redirect=one.test -all", below)
    assert (ignored.tree.lookups, codes(ignored)) == (0, {"spf-unread"})
    twice = check("v=spf1 redirect=one.test redirect=one.test", below)
    assert "spf-syntax" in codes(twice)


def test_a_is_void_when_there_is_no_address_of_either_kind() -> None:
    assert check("v=spf1 a -all", A=[], AAAA=["2001:db8::1"]).tree.voids == 0
    assert check("v=spf1 a -all", A=[], AAAA=[]).tree.voids == 1
    assert check("v=spf1 exists:x.test -all", A=[], AAAA=["2001:db8::1"]).tree.voids == 1


def test_dns_that_fails_is_neither_a_pass_nor_a_fail() -> None:
    assert (check("v=spf1 a -all").can_pass, check("v=spf1 foo -all").can_pass) == (True, False)
    assert check(f"v=spf1 include:{FAILS}.test -all").can_pass is None
    assert check(f"v=spf1 a:{FAILS}.test -all").can_pass is None
    assert check(f"v=spf1 a:{FAILS}.test foo -all").can_pass is False
    failing = check_spf(FAILS, Dns({}))
    assert (failing.can_pass, failing.tree.record, failing.findings) == (None, None, ())


@pytest.mark.parametrize(
    ("record", "below", "can_pass"),
    [
        ("v=spf1 -all", "", False),
        ("v=spf1", "", False),
        ("v=spf1 ~all", "", False),
        ("v=spf1 -a ?mx -all +a", "", False),
        ("v=spf1 ip4:192.0.2.1 -all", "", True),
        ("v=spf1 +all", "", True),
        ("v=spf1 include:one.test -all", "v=spf1 -all", False),
        ("v=spf1 include:one.test -all", "v=spf1 a -all", True),
        ("v=spf1 include:one.test mx -all", "v=spf1 -all", True),
        ("v=spf1 redirect=one.test", "v=spf1 -all", False),
        ("v=spf1 redirect=one.test", "v=spf1 mx -all", True),
        ("v=spf1 -all redirect=one.test", "v=spf1 mx -all", False),
        ("v=spf1 include:%{i}.one.test -all", "", True),
    ],
)
def test_a_record_that_no_mail_passes_by_cannot_pass(record: str, below: str, can_pass: bool) -> None:  # noqa: FBT001
    assert check(record, {"one.test": below} if below else {}).can_pass is can_pass


def test_a_record_that_is_made_to_do_harm_is_asked_for_a_little_only() -> None:
    thousand = " ".join(f"include:i{n}.test" for n in range(1000))
    dns = Dns({D: f"v=spf1 {thousand}", **{f"i{n}.test": f"v=spf1 {thousand}" for n in range(1000)}})
    spf = check_spf(D, dns)
    assert not spf.is_complete
    assert spf.tree.lookups == EXPLORED
    assert len(dns.asked) <= 2 * EXPLORED + 1
    assert {"spf-lookups", "spf-loop"} <= codes(spf)
    assert any(x.detail == f"{EXPLORED} or more" for x in spf.findings)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "a" * 10_000,
            "%{" * 5_000,
            "." * 10_000,
            "a:" + "a." * 5_000,
            "exists:" + "%{i}" * 2_500 + "!",
            "/" * 10_000,
        ),
        *("a:" + "a" * 10_000 + "!.", "ip4:" + "1" * 10_000, "ip6:" + ":" * 10_000, "x=" + "%" * 10_000),
        *("foo " * 2_500, "exists:%{i}.x.test " * 500, "\x1b[2J\x00" * 1_000, "a/" + "0" * 10_000, "/" * 10_000),
    ],
    ids=lambda text: ascii(text[:10]),
)
def test_ten_thousand_octets_give_few_findings_and_short_ones(text: str) -> None:
    spf = check(f"v=spf1 {text} -all")
    assert len(spf.findings) < 50
    assert all(len(finding.detail) <= 120 for finding in spf.findings)
