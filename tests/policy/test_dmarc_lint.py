import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmarcops.policy.lint import Lint, Severity, lint, lint_texts
from dmarcops.policy.record import parse_record

RUA = "rua=mailto:a@example.com"
CLEAN = f"v=DMARC1; p=reject; {RUA}"

# One row a finding: the text, what is found beside nothing else, and the section that says so.
CASES = [
    ("p=none", [Lint.V_MISSING], "RFC 9989 section 4.7"),
    ("", [Lint.V_MISSING], "RFC 9989 section 4.7"),
    ("p=none; v=DMARC1", [Lint.V_NOT_FIRST], "RFC 9989 section 4.7"),
    ("v=dmarc1; p=none", [Lint.V_CASE], "RFC 9989 section 4.8"),
    ("v=DMARC1.0; p=none", [Lint.V_UNKNOWN], "RFC 9989 section 4.7"),
    ("v=DMARC1\\; p=none", [Lint.V_UNKNOWN], "RFC 9989 section 4.7"),
    (f"{CLEAN}; x=ä", [Lint.CHARACTERS, Lint.TAG_UNKNOWN], "RFC 9989 section 4.8"),
    (f" {CLEAN}", [Lint.SPACE_OUTSIDE], "RFC 9989 section 4.8"),
    (f"{CLEAN};;", [Lint.TAG_MALFORMED], "RFC 9989 section 4.8"),
    (f"{CLEAN}; reject", [Lint.TAG_MALFORMED], "RFC 9989 section 4.8"),
    (f"{CLEAN}; x1=y", [Lint.TAG_MALFORMED], "RFC 9989 section 4.8"),
    (f"{CLEAN}; sp=", [Lint.TAG_EMPTY], "RFC 9989 section 4.8"),
    (f"{CLEAN}; adkim=r; adkim=s", [Lint.TAG_DUPLICATE], "RFC 6376 section 3.2"),
    (f"{CLEAN}; x=y", [Lint.TAG_UNKNOWN], "RFC 9989 section 4.7"),
    (f"v=DMARC1; p=Reject; {RUA}", [Lint.CASE], "RFC 5234 section 2.3"),
    (f"v=DMARC1; P=reject; {RUA}", [Lint.CASE], "RFC 5234 section 2.3"),
    (f"v=DMARC1; {RUA}", [Lint.P_MISSING], "RFC 9989 section 4.7"),
    (f"v=DMARC1; {RUA}; p=none", [Lint.P_NOT_SECOND], "RFC 7489 section 6.4"),
    (f"v=DMARC1; p=maybe; {RUA}", [Lint.P_INVALID], "RFC 9989 section 4.10.1"),
    (f"v=DMARC1; p=none; sp=maybe; {RUA}", [Lint.SP_INVALID], "RFC 9989 section 4.10.1"),
    (f"v=DMARC1; p=none; np=maybe; {RUA}", [Lint.NP_INVALID], "RFC 9989 section 4.10.1"),
    (f"{CLEAN}; sp=quarantine", [Lint.SP_WEAKER], "RFC 9989 section 4.7"),
    (f"{CLEAN}; np=none", [Lint.NP_WEAKER], "RFC 9989 section 4.7"),
    (f"{CLEAN}; t=yes", [Lint.T_INVALID], "RFC 9989 section 4.8"),
    (f"v=DMARC1; p=none; t=y; {RUA}", [Lint.T_WITHOUT_EFFECT], "RFC 9989 section 4.7"),
    (f"v=DMARC1; p=quarantine; t=y; {RUA}", [Lint.T_UNREAD], "RFC 9989 appendix A.6"),
    (f"v=DMARC1; p=quarantine; t=y; pct=0; {RUA}", [Lint.PCT_HISTORIC], "RFC 9989 section 9.3"),
    (f"v=DMARC1; p=none; sp=quarantine; t=y; {RUA}", [Lint.T_UNREAD], "RFC 9989 appendix A.6"),
    (f"{CLEAN}; t=y", [Lint.REJECT_TESTING], "RFC 9989 appendix A.6"),
    (f"{CLEAN}; psd=yes", [Lint.PSD_INVALID], "RFC 9989 section 4.8"),
    (f"{CLEAN}; adkim=x", [Lint.ADKIM_INVALID], "RFC 9989 section 4.8"),
    (f"{CLEAN}; aspf=x", [Lint.ASPF_INVALID], "RFC 9989 section 4.8"),
    (f"{CLEAN}; fo=2; ruf=mailto:a@example.com", [Lint.FO_INVALID], "RFC 9989 section 4.8"),
    (f"{CLEAN}; fo=0:1; ruf=mailto:a@example.com", [Lint.FO_CONTRADICTION], "RFC 9989 section 4.7"),
    (f"{CLEAN}; fo=1", [Lint.FO_WITHOUT_RUF], "RFC 9989 section 4.7"),
    (f"{CLEAN}; fo=1:d:s; ruf=mailto:a@example.com", [], ""),
    (f"{CLEAN}; pct=100", [Lint.PCT_HISTORIC], "RFC 9989 section 9.3"),
    (f"{CLEAN}; pct=101", [Lint.PCT_HISTORIC, Lint.PCT_INVALID], "RFC 7489 section 6.3"),
    (f"{CLEAN}; pct=25", [Lint.PCT_RAMP, Lint.PCT_HISTORIC], "RFC 9989 appendix A.6"),
    (f"v=DMARC1; p=none; pct=25; {RUA}", [Lint.PCT_HISTORIC], "RFC 9989 section 9.3"),
    (f"{CLEAN}; ri=3600", [Lint.RI_HISTORIC], "RFC 9989 section 9.3"),
    (f"{CLEAN}; ri=4294967296", [Lint.RI_HISTORIC, Lint.RI_INVALID], "RFC 7489 section 6.3"),
    (f"{CLEAN}; rf=afrf", [Lint.RF_HISTORIC], "RFC 9989 section 9.3"),
    (f"{CLEAN}; rf=iodef", [Lint.RF_HISTORIC, Lint.RF_INVALID], "RFC 7489 section 6.3"),
    ("v=DMARC1; p=none", [Lint.RUA_MISSING], "RFC 9989 section 4.7"),
    ("v=DMARC1; p=none; rua=a@example.com", [Lint.URI_INVALID, Lint.URI_UNUSABLE], "RFC 9989 section 4.8"),
    ("v=DMARC1; p=none; rua=mailto:x", [Lint.URI_INVALID, Lint.URI_UNUSABLE], "RFC 9989 section 4.8"),
    ("v=DMARC1; p=none; rua=mailto:a!b@example.com", [Lint.URI_INVALID], "RFC 9989 section 4.8"),
    ("v=DMARC1; p=none; rua=https://example.com/x", [Lint.URI_SCHEME, Lint.URI_UNUSABLE], "RFC 9989 section 4.7"),
    (f"v=DMARC1; p=none; {RUA},https://example.com/x", [Lint.URI_SCHEME], "RFC 9989 section 4.7"),
    (f"v=DMARC1; p=none; {RUA}!10m", [Lint.URI_SIZE], "RFC 9989 section 4.8"),
    (f"v=DMARC1; p=none; {RUA},mailto:b@example.com,mailto:c@example.com", [Lint.URI_MANY], "RFC 7489 section 6.2"),
    (CLEAN, [], ""),
    (f"{CLEAN};", [], ""),
]


@pytest.mark.parametrize(("text", "found", "section"), CASES)
def test_lint_finds_what_is_wrong_and_says_where_it_stands(text: str, found: list[Lint], section: str) -> None:
    findings = lint(parse_record(text))
    assert [finding.lint for finding in findings] == found
    assert not section or section in {finding.lint.section for finding in findings}


def test_every_finding_has_a_case_and_a_stable_code() -> None:
    shown = {each for _, found, _ in CASES for each in found} | {Lint.SEVERAL_RECORDS}
    assert set(Lint) == shown
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", each.code) and each.value == each.code for each in Lint)
    assert all(re.fullmatch(r"RFC [0-9]+ (section|appendix) [0-9A-Z.]+", each.section) for each in Lint)


def test_several_records_at_a_name_are_an_error_and_other_texts_none() -> None:
    findings = lint_texts([CLEAN, "v=DMARC1; p=none", "google-site-verification=x"])
    assert [finding.lint for finding in findings] == [Lint.SEVERAL_RECORDS, Lint.RUA_MISSING]
    assert findings[0].as_json() == {
        "code": "several-records",
        "severity": "error",
        "section": "RFC 9989 section 4.10",
        "text": "several DMARC records at one name: all are ignored",
        "tag": "",
        "detail": "2",
    }


def test_records_that_nearly_are_one_are_explained_when_there_is_none() -> None:
    assert [x.lint for x in lint_texts(["v=dmarc1; p=none", "x"])] == [Lint.V_CASE]
    assert [x.lint for x in lint_texts(["v=DMARK1; p=none"])] == [Lint.V_UNKNOWN]
    for other in ("x", "v=spf1 -all", "v=DKIM1; p=", "v=verifydomain MS=1"):
        assert lint_texts([other]) == ()
    assert lint_texts([]) == ()


@given(st.text())
def test_any_text_is_linted(text: str) -> None:
    for finding in lint(parse_record(text)):
        assert len(finding.detail) <= max(100, len(text)) or finding.lint is Lint.SPACE_OUTSIDE
        assert finding.lint.severity in Severity


def test_detail_is_cut_to_a_readable_length() -> None:
    (finding,) = lint(parse_record(f"{CLEAN}; x={'y' * 500}"))
    assert len(finding.detail) == 100
