from collections.abc import Sequence

import pytest

from dmarcops.report.align import (
    Alignment,
    DkimFailure,
    SpfFailure,
    alignment,
    classify,
    is_aligned,
    suffix_list,
    tree_walk,
    walk,
)
from dmarcops.report.model import (
    AlignmentMode,
    AuthResults,
    Disposition,
    DkimAuthResult,
    DkimResultType,
    DmarcResult,
    Domain,
    Evaluation,
    Identifiers,
    PolicyEvaluated,
    PolicyPublished,
    PolicyValue,
    SpfAuthResult,
    SpfResultType,
    SpfScope,
)

ORGANIZATIONAL = suffix_list()
RELAXED, STRICT = AlignmentMode.RELAXED, AlignmentMode.STRICT


def dkim(domain: str, result: str) -> DkimAuthResult:
    return DkimAuthResult(Domain(domain), None, DkimResultType(result), None)


def spf(domain: str, result: str, scope: SpfScope | None = SpfScope.MFROM) -> SpfAuthResult:
    return SpfAuthResult(Domain(domain), scope, SpfResultType(result), None)


def explain(
    *results: DkimAuthResult | SpfAuthResult,
    dkim_verdict: DmarcResult = DmarcResult.FAIL,
    spf_verdict: DmarcResult = DmarcResult.FAIL,
    mode: AlignmentMode | None = None,
    author: str | None = "example.com",
) -> Alignment:
    evaluation = Evaluation(
        PolicyEvaluated(Disposition.NONE, dkim_verdict, spf_verdict, ()),
        Identifiers(Domain(author) if author else None, None, None),
        AuthResults(
            tuple(x for x in results if isinstance(x, DkimAuthResult)),
            tuple(x for x in results if isinstance(x, SpfAuthResult)),
        ),
        (),
    )
    policy = PolicyPublished(Domain("example.com"), PolicyValue.NONE, None, None, None, None, None, mode, mode, None)
    return classify(evaluation, policy, ORGANIZATIONAL)


@pytest.mark.parametrize(
    ("results", "failure"),
    [
        ([], DkimFailure.NO_DKIM),
        ([dkim("example.com", "none")], DkimFailure.NO_DKIM),
        ([dkim("example.com", "fail")], DkimFailure.DKIM_FAIL),
        ([dkim("mail.example.com", "permerror")], DkimFailure.DKIM_FAIL),
        ([dkim("esp.example", "pass")], DkimFailure.DKIM_UNALIGNED),
        ([dkim("esp.example", "fail")], DkimFailure.DKIM_FAIL),
        ([dkim("example.com", "fail"), dkim("esp.example", "pass")], DkimFailure.DKIM_FAIL),
        ([dkim("example.com", "pass"), dkim("example.com", "fail")], DkimFailure.DKIM_UNALIGNED),
    ],
)
def test_dkim_failure_names_the_reason(results: list[DkimAuthResult], failure: DkimFailure) -> None:
    assert explain(*results).dkim is failure


@pytest.mark.parametrize(
    ("results", "failure"),
    [
        ([], SpfFailure.NO_SPF),
        ([spf("example.com", "none")], SpfFailure.NO_SPF),
        ([spf("example.com", "pass", SpfScope.HELO)], SpfFailure.NO_SPF),
        ([spf("example.com", "softfail")], SpfFailure.SPF_FAIL),
        ([spf("bounce.esp.example", "pass")], SpfFailure.SPF_UNALIGNED),
        ([spf("bounce.esp.example", "fail")], SpfFailure.SPF_FAIL),
        ([spf("esp.example", "pass", None)], SpfFailure.SPF_UNALIGNED),
        ([spf("esp.example", "fail"), spf("mx.example.com", "pass", SpfScope.HELO)], SpfFailure.SPF_FAIL),
    ],
)
def test_spf_failure_names_the_reason(results: list[SpfAuthResult], failure: SpfFailure) -> None:
    assert explain(*results).spf is failure


def test_mechanism_has_no_failure_when_the_reporter_says_pass() -> None:
    found = explain(dkim("esp.example", "pass"), dkim_verdict=DmarcResult.PASS)
    assert (found.dkim, found.spf) == (None, SpfFailure.NO_SPF)


def test_aligned_flags_follow_the_mode() -> None:
    results = (dkim("mail.example.com", "fail"), dkim("example.com", "fail"), spf("esp.example", "pass"))
    assert explain(*results).dkim_aligned == (True, True)
    assert explain(*results, mode=STRICT).dkim_aligned == (False, True)
    assert explain(*results).spf_aligned == (False,)


def test_nothing_is_aligned_when_the_author_domain_is_missing() -> None:
    assert explain(dkim("example.com", "pass"), author=None).dkim_aligned == (False,)


# RFC 9989 section 4.4, table 1.
@pytest.mark.parametrize(
    ("authenticated", "mode", "aligned"),
    [
        ("foo.example.com", RELAXED, True),
        ("foo.example.com", STRICT, False),
        ("news.example.com", STRICT, True),
        ("foo.example.net", RELAXED, False),
        ("example.com", None, True),
    ],
)
def test_is_aligned_by_table_1(authenticated: str, mode: AlignmentMode | None, aligned: bool) -> None:  # noqa: FBT001 - an expected value
    assert is_aligned(Domain(authenticated), Domain("news.example.com"), mode, ORGANIZATIONAL) is aligned


@pytest.mark.parametrize(
    ("domain", "organizational"),
    [
        ("a.b.example.co.uk", "example.co.uk"),
        ("example.co.uk", "example.co.uk"),
        ("co.uk", "co.uk"),
        ("mail.user.github.io", "user.github.io"),
        ("localhost", "localhost"),
    ],
)
def test_suffix_list_finds_the_organizational_domain(domain: str, organizational: str) -> None:
    assert ORGANIZATIONAL(Domain(domain)) == organizational


def lookup_in(*records: str) -> "Records":
    return Records(records)


class Records:
    """DNS data: `domain` or `domain psd=x`; remembers what was asked."""

    def __init__(self, records: Sequence[str]) -> None:
        self.asked: list[str] = []
        self._txt = {}
        for record in records:
            domain, _, psd = record.partition(" ")
            self._txt[f"_dmarc.{domain}"] = f"v=DMARC1; p=none; {psd}"

    def __call__(self, name: str) -> Sequence[str]:
        self.asked.append(name)
        return [self._txt[name]] if name in self._txt else []


# RFC 9989 sections 4.10, 4.10.2, 5.1.8 and appendix B.
@pytest.mark.parametrize(
    ("start", "records", "organizational"),
    [
        ("a.mail.example.com", ["mail.example.com", "example.com"], "example.com"),
        ("a.mail.example.com", ["mail.example.com psd=n", "example.com"], "mail.example.com"),
        ("a.mail.example.com", ["com psd=y"], "example.com"),
        ("giant.bank.example", ["giant.bank.example", "bank.example psd=y"], "giant.bank.example"),
        ("mail.giant.bank.example", ["giant.bank.example", "bank.example psd=y"], "giant.bank.example"),
        ("mail.mega.bank.example", ["bank.example psd=y"], "mega.bank.example"),
        ("mail.a.b.c.d.e.f.g.example.com", ["b.c.d.e.f.g.example.com psd=n", "example.com"], "example.com"),
        ("bank.example", ["bank.example psd=y"], "bank.example"),
        ("x.example.org", [], "x.example.org"),
    ],
)
def test_tree_walk_finds_the_organizational_domain(start: str, records: list[str], organizational: str) -> None:
    assert tree_walk(lookup_in(*records))(Domain(start)) == organizational


def test_tree_walk_asks_each_name_once() -> None:
    records = lookup_in("example.com")
    organizational = tree_walk(records)
    organizational(Domain("a.example.com"))
    organizational(Domain("b.example.com"))
    assert records.asked == [
        "_dmarc.a.example.com",
        "_dmarc.example.com",
        "_dmarc.com",
        "_dmarc.b.example.com",
    ]


@pytest.mark.parametrize(
    "records",
    [
        ["v=DMARC1; p=none", "v=DMARC1; p=reject"],
        ["v=spf1 -all"],
        ["v=dmarc1; p=none"],
        ["p=none; v=DMARC1"],
    ],
)
def test_tree_walk_takes_no_policy_from_other_records(records: list[str]) -> None:
    found = tree_walk(lambda name: records if name == "_dmarc.example.com" else [])(Domain("a.example.com"))
    assert found == "a.example.com"


def test_tree_walk_reads_an_unknown_psd_as_u() -> None:
    found = tree_walk(lambda name: ["v=DMARC1; psd=maybe"] if name == "_dmarc.example.com" else [])
    assert found(Domain("a.example.com")) == "example.com"


@pytest.mark.parametrize(
    ("start", "names"),
    [
        (
            "a.b.c.d.e.f.g.h.i.j.mail.example.com",
            [
                "a.b.c.d.e.f.g.h.i.j.mail.example.com", "g.h.i.j.mail.example.com", "h.i.j.mail.example.com",
                "i.j.mail.example.com", "j.mail.example.com", "mail.example.com", "example.com", "com",
            ],
        ),
        (
            "mail.a.b.c.d.e.f.g.example.com",
            [
                "mail.a.b.c.d.e.f.g.example.com", "c.d.e.f.g.example.com", "d.e.f.g.example.com",
                "e.f.g.example.com", "f.g.example.com", "g.example.com", "example.com", "com",
            ],
        ),
        ("example.com", ["example.com", "com"]),
    ],
)  # fmt: skip
def test_walk_asks_at_most_eight_names_in_order(start: str, names: list[str]) -> None:
    assert list(walk(start)) == names


def test_alignment_is_relaxed_without_a_mode() -> None:
    assert alignment(None, ORGANIZATIONAL)("mail.example.com", "example.com")
    assert not alignment(STRICT, ORGANIZATIONAL)("mail.example.com", "example.com")
    assert not alignment(None, ORGANIZATIONAL)("", "example.com")
