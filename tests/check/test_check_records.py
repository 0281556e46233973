"""MTA-STS, TLS-RPT, BIMI, MX and PTR in themselves, and texts of any kind."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmarcops.check.bimi import check_bimi, weakness
from dmarcops.check.dkim import Selector, check_selector
from dmarcops.check.dmarc import check_dmarc
from dmarcops.check.findings import Ask
from dmarcops.check.hosts import check_mx, check_reverse
from dmarcops.check.mta_sts import check_mta_sts, check_policy, is_match, parse_policy
from dmarcops.check.spf import check_spf
from dmarcops.check.tags import is_near, is_version, parse_tags
from dmarcops.check.tls_rpt import check_tls_rpt
from dmarcops.domains import Domain, suffix_list
from dmarcops.policy.answers import Answer, AnswerKind
from dmarcops.policy.discovery import Discovery, Method, Status, discover
from dmarcops.policy.record import Policy, parse_record

D = Domain("example.test")
POLICY = "version: STSv1\nmode: enforce\nmx: mail.example.test\nmx: *.example.net\nmax_age: 86400\n"


def answering(*texts: str, kind: AnswerKind = AnswerKind.FOUND) -> Ask:
    return lambda _name, _kind: Answer(kind, texts)


def unanswered(_name: str, _kind: str) -> Answer:
    return Answer(AnswerKind.TEMPERROR)


_OCTETS = st.text(st.characters(max_codepoint=255))


@given(st.lists(_OCTETS, min_size=1, max_size=3))
def test_no_content_of_dns_raises(texts: list[str]) -> None:
    ask = answering(*texts)
    dmarc = check_dmarc(D, ask, suffix_list())
    for found in (check_mta_sts(D, ask), check_tls_rpt(D, ask), check_bimi(D, ask, dmarc.comparison.treewalk)):
        assert all(finding.as_json() for finding in found[1])
    assert check_selector(D, Selector(name="s"), ask)[0].as_json()
    assert check_spf(D, ask).as_json()
    assert all(host.as_json() for host in check_mx(D, ask).hosts)
    assert check_reverse("192.0.2.1", ask)[0].as_json()


@given(st.sampled_from(["v=STSv1;", "v=TLSRPTv1;", "v=BIMI1;", "v=DMARC1;", "v=DKIM1;", "10 "]), _OCTETS)
def test_no_content_behind_a_version_raises(version: str, text: str) -> None:
    test_no_content_of_dns_raises.hypothesis.inner_test([version + text])  # type: ignore[attr-defined]
    parse_policy(version + text)


def test_nothing_is_found_where_dns_does_not_answer() -> None:
    dmarc = check_dmarc(D, unanswered, suffix_list())
    assert (dmarc.is_known, dmarc.findings, dmarc.destinations) == (False, (), ())
    assert check_mta_sts(D, unanswered) == (None, ())
    assert check_tls_rpt(D, unanswered) == (None, ())
    assert check_bimi(D, unanswered, dmarc.comparison.treewalk) == (None, ())
    state, findings = check_selector(D, Selector(name="s"), unanswered)
    assert (state.outcome.value, state.is_usable, findings) == ("temp_unavailable", False, ())
    mx = check_mx(D, unanswered)
    assert (mx.hosts, mx.takes_mail, mx.findings) == ((), None, ())
    reverse, told = check_reverse("2001:db8::1", unanswered)
    assert (reverse.is_confirmed, told) == (None, ())


def test_other_texts_that_a_wildcard_puts_there_are_no_fault_and_the_record_above_holds() -> None:
    def wildcard(name: str, _kind: str) -> Answer:
        above = "v=DMARC1; p=reject; rua=mailto:a@example.test"
        return Answer(AnswerKind.FOUND, (above if name == f"_dmarc.{D}" else "v=spf1 -all",))

    dmarc = check_dmarc(Domain(f"news.{D}"), wildcard, suffix_list())
    assert (dmarc.comparison.treewalk.found_at, dmarc.comparison.treewalk.policy) == (D, Policy.REJECT)
    assert dmarc.findings == ()


def test_hosts_whose_addresses_are_not_known_are_not_blamed() -> None:
    def half(_name: str, kind: str) -> Answer:
        return Answer(AnswerKind.FOUND, ("10 mail.example.test.",)) if kind == "MX" else unanswered(_name, kind)

    mx = check_mx(D, half)
    assert ([host.name for host in mx.hosts], mx.takes_mail, mx.findings) == (["mail.example.test"], None, ())

    def named(_name: str, kind: str) -> Answer:
        return Answer(AnswerKind.FOUND, ("mail.example.test.",)) if kind == "PTR" else unanswered(_name, kind)

    assert check_reverse("192.0.2.1", named)[0].is_confirmed is None

    def implicit(_name: str, kind: str) -> Answer:
        return Answer(AnswerKind.NODATA) if kind == "MX" else unanswered(_name, kind)

    assert check_mx(D, implicit).takes_mail is None


def test_tags_are_read_part_by_part() -> None:
    tags = parse_tags("v=X; a = 1 ;b=;;a=2; what; c=\x07;")
    assert tags.values == {"v": "X", "a": "1", "b": ""}
    assert (tags.faults, tags.repeated) == (("", " what", " c=\x07"), ("a",))
    texts = ("v=X1;", "v=X1", "v=X1 ;", "v = X1;", " v=X1;", "v=x1;", "v=X10;", "a=1;v=X1;")
    assert [is_version(text, "X1") for text in texts] == [True] * 3 + [False] * 5
    assert [is_version(text, "X1", is_spaced=True) for text in texts] == [True] * 5 + [False] * 3
    assert [is_near(text, "X1") for text in ("v=X1;", "v=x1;", "a=1;v=X1", "hello")] == [False, True, True, False]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        *(("version: STSv1\n", "", "version: "), ("STSv1", "STSv2", "version: STSv2"), ("enforce", "on", "mode: on")),
        *(("86400", "", "max_age: "), ("86400", "31557601", "max_age: 31557601"), ("86400", "-1", "max_age: -1")),
        *(("mx: *.example.net", "mx: *", "mx: *"), ("mx: *.example.net", "mx: a.*.b", "mx: a.*.b")),
        ("mx: *.example.net", "hello", "hello"),
        ("mx: mail.example.test\nmx: *.example.net\n", "", "no mx"),
    ],
)
def test_a_policy_is_judged_line_by_line(old: str, new: str, fault: str) -> None:
    assert parse_policy(POLICY).faults == ()
    assert parse_policy(POLICY.replace("\n", "\r\n")).faults == ()
    policy = parse_policy(POLICY.replace(old, new))
    assert policy.faults == (fault,)
    assert [x.code for x in check_policy(D, policy, ()) if x.code == "mta-sts-policy"] == ["mta-sts-policy"]


def test_a_policy_names_hosts_and_one_label_below() -> None:
    assert is_match("Mail.example.test.", "mail.example.test")
    assert is_match("a.example.net", "*.example.net")
    assert not is_match("a.b.example.net", "*.example.net")
    assert not is_match("example.net", "*.example.net")
    hosts = ("mail.example.test", "a.example.net", "other.test")
    assert [x.at for x in check_policy(D, parse_policy(POLICY), hosts)] == ["other.test"]
    off = parse_policy("version: STSv1\nmode: none\nmax_age: 86400\n")
    assert (off.faults, [x.code for x in check_policy(D, off, hosts)]) == ((), ["mta-sts-mode"])


@pytest.mark.parametrize(
    ("record", "why"),
    [
        *(("p=reject", ""), ("p=quarantine", ""), ("p=none", "p=none"), ("p=reject; sp=none", "sp=none")),
        *(("p=quarantine; pct=99", "pct=99"), ("p=quarantine; pct=100", ""), ("p=reject; pct=50", "")),
    ],
)
def test_a_logo_needs_a_policy_that_is_enforced(record: str, why: str) -> None:
    def lookup(name: str) -> Answer:
        is_own = name == f"_dmarc.{D}"
        return Answer(AnswerKind.FOUND, (f"v=DMARC1; {record}",)) if is_own else Answer(AnswerKind.NXDOMAIN)

    assert weakness(discover(D, lookup)) == why


def test_a_logo_needs_a_record_and_an_unknown_one_is_not_blamed() -> None:
    none = Discovery(
        method=Method.TREEWALK, domain=D, status=Status.NONE, queries=(), organizational_domain=Domain("example.test")
    )
    assert weakness(none) == "no DMARC policy"
    assert weakness(replace(none, status=Status.TEMPERROR, organizational_domain=None)) == ""
    below = replace(none, record=parse_record("v=DMARC1; p=reject; sp=none"), policy=Policy.NONE)
    assert weakness(below) == "p=none"


def test_an_address_is_confirmed_by_any_of_its_names() -> None:
    def ask(name: str, kind: str) -> Answer:
        if kind == "PTR":
            return Answer(AnswerKind.FOUND, ("a.example.test.", "b.example.test."))
        texts = {"b.example.test": ("2001:DB8:0::1", "no address")}.get(name, ())
        return Answer(AnswerKind.FOUND, texts) if texts else Answer(AnswerKind.NODATA)

    assert check_reverse("2001:db8::1", ask)[0].is_confirmed is True
    assert check_reverse("2001:db8::2", ask)[0].is_confirmed is False


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ("v=DKIM1; p=AAAA", "dkim-syntax-error"),
        ("v=DKIM1; k=ed25519; p=AAAA", "dkim-syntax-error"),
        ("v=DKIM1; k=ed25519; p=" + "A" * 43 + "=", None),
    ],
)
def test_what_is_no_key_has_no_length(record: str, code: str | None) -> None:
    state, findings = check_selector(D, Selector(name="s"), answering(record))
    assert ([x.code for x in findings], state.bits) == (([code], None) if code else ([], 256))
    assert state.is_usable == (code is None)


@pytest.mark.parametrize(
    ("uri", "is_good"),
    [
        *(("https://a.test/x.pem", True), ("https://[::1/x.pem", False), ("https://192.0.2.1/x.pem", False)),
        *(("https:///x.pem", False), ("https://localhost/x.pem", False), ("https://a.test/x,y", False)),
    ],
)
def test_a_certificate_is_named_by_a_host(uri: str, is_good: bool) -> None:  # noqa: FBT001 - a case
    dmarc = Discovery(method=Method.TREEWALK, domain=D, status=Status.TEMPERROR, queries=())
    _, findings = check_bimi(D, answering(f"v=BIMI1; l=https://a.test/x.svg; a={uri}"), dmarc)
    assert [x.code for x in findings] == ([] if is_good else ["bimi-location"])


@pytest.mark.parametrize(
    ("text", "code"),
    [("v=stsv1; id=1;", "mta-sts-syntax"), ("hello", "mta-sts-missing"), ("v=STSv1", "mta-sts-syntax")],
)
def test_a_text_that_is_nearly_a_record_is_named(text: str, code: str) -> None:
    record, findings = check_mta_sts(D, answering(text))
    assert (record, [x.code for x in findings]) == (None, [code])
