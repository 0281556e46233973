"""Every finding: there when its fault is, and not in a domain that is in order."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from check_zone import KNOWN, OURS, POLICY, checked, public_key, txt
from dmarcops.check.dkim import Selector
from dmarcops.check.findings import Area, Code
from dmarcops.dkim.record import Record, format_record
from dmarcops.flows.check import Known
from dmarcops.policy.lint import Severity

S1 = Selector(name="s1")
KEY = Record(public_key=public_key(2048))


@dataclass
class Case:
    """A fault: the lines that are not as in the domain in order, and what is known besides."""

    lines: Mapping[str, str] = field(default_factory=dict)
    known: Known = KNOWN
    policy: str | None = None


def spf(*terms: str, **lines: str) -> Case:
    return Case({"spf": f"@ {txt(' '.join(('v=spf1', *terms)))}", **lines})


def dkim(record: str, selector: Selector = S1) -> Case:
    return Case({"dkim": f"s1._domainkey {txt(record)}" if record else ""}, Known(selectors=(selector,)))


def key(record: Record = KEY) -> str:
    return format_record(record).decode()


def dmarc(*tags: str, **lines: str) -> Case:
    return Case({"dmarc": f"_dmarc {txt('; '.join(('v=DMARC1', *tags)))}", "bimi": "", **lines})


def mx(*lines: str) -> Case:
    return Case({"mx": "\n".join(f"@ MX {line}" for line in lines)})


def bimi(record: str, **lines: str) -> Case:
    return Case({"bimi": f"default._bimi {txt(record)}", **lines})


WEAK_KEY = "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKyZnVnGcLkYsdZ6l3zXYXkjZ0sNXfJnRCCu8Q8r2y1Pq5G1K5UOKQ1tO2ZB5lDk0w1b2Qx8Qm0e3v7Zk3b1l8cCAwEAAQ=="  # noqa: E501 - one key
LOGO = "l=https://example.test/logo.svg; a=https://example.test/vmc.pem"
CASES: Mapping[Code, Case] = {
    Code.SPF_MISSING: Case({"spf": ""}),
    Code.SPF_SEVERAL: Case({"more": '@ TXT "v=spf1 -all"'}),
    Code.SPF_VERSION: Case({"more": '@ TXT "v=spf10 -all"', "spf": ""}),
    Code.SPF_SYNTAX: spf("mx:", "-all"),
    Code.SPF_LOOKUPS: spf(*["mx"] * 11, "-all"),
    Code.SPF_VOIDS: spf("a:no.example.test", "mx:no.example.test", "exists:no.example.test", "-all"),
    Code.SPF_VOID: spf("a:no.example.test", "-all"),
    Code.SPF_LOOP: spf("include:example.test", "-all"),
    Code.SPF_TARGET: spf("include:mail.example.test", "-all"),
    Code.SPF_MX_MANY: Case({"mx": "\n".join(f"@ MX {n} mail\n@ MX {n} h{n}\nh{n} A 192.0.2.1" for n in range(11))}),
    Code.SPF_ALL_PASS: spf("+all"),
    Code.SPF_ALL_NEUTRAL: spf("mx", "?all"),
    Code.SPF_ALL_MISSING: spf("mx"),
    Code.SPF_UNREAD: spf("-all", "mx"),
    Code.SPF_PTR: spf("ptr", "-all"),
    Code.SPF_LONG: spf(*[f"ip4:192.0.2.{n}" for n in range(40)], "-all"),
    Code.SPF_MACRO: spf("exists:%{i}.example.test", "-all"),
    Code.DKIM_NONE_KNOWN: Case(known=Known()),
    Code.DKIM_MISSING: dkim(""),
    Code.DKIM_GONE: dkim("", replace(S1, is_wanted=False)),
    Code.DKIM_MULTIPLE: Case({"more": f"s1._domainkey {txt(key())}"}),
    Code.DKIM_SYNTAX: dkim("v=DKIM1; p=?"),
    Code.DKIM_VERSION: dkim("v=DKIM2; p="),
    Code.DKIM_SERVICE: dkim(key(replace(KEY, services=("other",)))),
    Code.DKIM_HASH: dkim(key(replace(KEY, hashes=("sha1",)))),
    Code.DKIM_TYPE: dkim(key(replace(KEY, key_type="other"))),
    Code.DKIM_REVOKED: dkim("v=DKIM1; p="),
    Code.DKIM_REVOKED_OURS: dkim("v=DKIM1; p=", replace(S1, ours=OURS)),
    Code.DKIM_WEAK: dkim(f"v=DKIM1; p={WEAK_KEY}"),
    Code.DKIM_SHORT: dkim(key(Record(public_key=public_key(1024)))),
    Code.DKIM_MISMATCH: dkim(key(), replace(S1, ours=OURS)),
    Code.DKIM_TESTING: dkim(key(replace(KEY, flags=("y",)))),
    Code.DMARC_MISSING: Case({"dmarc": "", "bimi": ""}),
    Code.DMARC_NONE: dmarc("p=none", "rua=mailto:x@example.test"),
    Code.DMARC_DIFFERENCE: dmarc("adkim=s"),
    Code.DMARC_DESTINATION: dmarc("p=reject", "rua=mailto:x@example.in-addr.arpa"),
    Code.MTA_STS_MISSING: Case({"mta-sts": ""}),
    Code.MTA_STS_SEVERAL: Case({"more": '_mta-sts TXT "v=STSv1; id=2;"'}),
    Code.MTA_STS_SYNTAX: Case({"mta-sts": '_mta-sts TXT "v=STSv1; id=a-b;"'}),
    Code.MTA_STS_HOST: Case({"mta-sts-host": ""}),
    Code.MTA_STS_FETCH: Case(policy=""),
    Code.MTA_STS_POLICY: Case(policy=POLICY.replace("86400", "soon")),
    Code.MTA_STS_MX: Case(policy=POLICY.replace("mail.example", "other.example")),
    Code.MTA_STS_MODE: Case(policy=POLICY.replace("enforce", "testing")),
    Code.TLS_RPT_MISSING: Case({"tls-rpt": ""}),
    Code.TLS_RPT_SEVERAL: Case({"more": '_smtp._tls TXT "v=TLSRPTv1; rua=mailto:x@example.test"'}),
    Code.TLS_RPT_SYNTAX: Case({"tls-rpt": '_smtp._tls TXT "v=TLSRPTv1"'}),
    Code.TLS_RPT_RUA: Case({"tls-rpt": '_smtp._tls TXT "v=TLSRPTv1; rua=ftp://example.test"'}),
    Code.BIMI_SEVERAL: Case({"more": f'default._bimi TXT "v=BIMI1; {LOGO}; x=1"'}),
    Code.BIMI_SYNTAX: bimi("v=BIMI1; a=https://example.test/vmc.pem"),
    Code.BIMI_LOCATION: bimi("v=BIMI1; l=http://example.test/logo.svg; a=https://example.test/vmc.pem"),
    Code.BIMI_POLICY: Case({"dmarc": '_dmarc TXT "v=DMARC1; p=none; rua=mailto:dmarc@example.test"'}),
    Code.BIMI_EVIDENCE: bimi("v=BIMI1; l=https://example.test/logo.svg; a="),
    Code.BIMI_DECLINED: bimi("v=BIMI1; l=; a=;"),
    Code.MX_MISSING: Case({"mx": "@ A 192.0.2.1"}),
    Code.MX_NOWHERE: Case({"mx": ""}),
    Code.MX_NULL: mx("0 ."),
    Code.MX_NULL_WRONG: mx("0 .", "10 mail"),
    Code.MX_ADDRESS: mx("10 192.0.2.1."),
    Code.MX_UNRESOLVED: mx("10 no"),
    Code.MX_ALIAS: Case({"mx": "@ MX 10 alias\nalias CNAME mail"}),
    Code.PTR_MISSING: Case({"ptr": ""}),
    Code.PTR_UNCONFIRMED: Case({"ptr": "1.2.0.192.in-addr.arpa. PTR mta-sts.example.test."}),
    Code.DNS_OUTSIDE: spf("include:example.com", "-all"),
}
"""How each is brought about; a failing server is in the flow's own tests."""


def test_a_domain_in_order_has_no_findings(tmp_path: Path) -> None:
    found = checked(tmp_path, {}, policy=POLICY)
    assert (found.findings, found.problems, found.has_errors) == ((), (), False)
    assert {verdict for result in found.bulk if (verdict := result.verdict.value) == "fail"} == set()
    assert json.loads(json.dumps(found.as_json()))["spf"]["lookups"] == 1
    assert all(isinstance(found.summary(area), str) for area in Area)


def test_every_code_has_a_case() -> None:
    assert set(Code) - set(CASES) == {Code.DNS_FAILED}


@pytest.mark.parametrize("code", CASES, ids=lambda code: code.value)
def test_a_fault_is_found(code: Code, tmp_path: Path) -> None:
    case = CASES[code]
    found = checked(tmp_path, case.lines, known=case.known, policy=case.policy)
    those = [finding for finding in found.findings if finding.code == code.value]
    assert those, [finding.code for finding in found.findings]
    assert all(x.section == code.section or code is Code.DMARC_DIFFERENCE for x in those)
    assert found.has_errors == any(x.severity is Severity.ERROR for x in found.findings)
    assert json.dumps(found.as_json())
