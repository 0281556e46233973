"""
Two hundred made-up domains with every kind of record and its faults, the same ones each time.

Each domain has a variant of each topic. A variant is its name and its lines, with `{d}` for the domain; what comes of a
topic depends on nothing else, so that a variant says what a domain shows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

COUNT = 200
REVERSE = "2.0.192.in-addr.arpa"
LONG = "a" * 63

SPF: Mapping[str, str] = {
    "none": "",
    "plain": '@ TXT "v=spf1 mx:shared.test -all"',
    "addresses": '@ TXT "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 ip4:192.0.2.1 a:mail.{d}/24//64 ~all"',
    "upper-case": '@ TXT "V=SPF1 MX:SHARED.TEST IP4:192.0.2.1 -ALL"',
    "several-strings": '@ TXT "v=spf1 ip4:192.0.2.1 " "ip4:192.0.2.2 -all"',
    "strings-without-space": '@ TXT "v=spf1 ip4:192.0.2.1" "ip4:192.0.2.2 -all"',
    "beside-others": '@ TXT "v=spf1 -all"\n@ TXT "verification=1"\n@ TXT "v=spf2.0/pra -all"',
    "several": '@ TXT "v=spf1 -all"\n@ TXT "v=spf1 mx:shared.test -all"',
    "version-10": '@ TXT "v=spf10 -all"',
    "version-led": '@ TXT " v=spf1 -all"',
    "version-alone": '@ TXT "v=spf1"',
    "version-tab": '@ TXT "v=spf1\\009-all"',
    "ends-in-spaces": '@ TXT "v=spf1 -all   "',
    "many-spaces": '@ TXT "v=spf1   mx:shared.test    -all"',
    "tab-between": '@ TXT "v=spf1 mx:shared.test\\009-all"',
    "no-all": '@ TXT "v=spf1 mx:shared.test"',
    "all-neutral": '@ TXT "v=spf1 mx:shared.test ?all"',
    "all-pass": '@ TXT "v=spf1 +all"',
    "all-with-value": '@ TXT "v=spf1 -all:{d}"',
    "all-glued": '@ TXT "v=spf1 ip4:192.0.2.1-all"',
    "after-all": '@ TXT "v=spf1 mx:shared.test -all a"',
    "broken-after-all": '@ TXT "v=spf1 mx:shared.test -all ip4:none"',
    "unknown-mechanism": '@ TXT "v=spf1 foo:{d} -all"',
    "unknown-modifier": '@ TXT "v=spf1 mx:shared.test foo=bar -all"',
    "modifier-with-bad-macro": '@ TXT "v=spf1 mx:shared.test foo=%(x -all"',
    "qualified-modifier": '@ TXT "v=spf1 -redirect={d}"',
    "ip4-out-of-range": '@ TXT "v=spf1 ip4:192.0.2.256 -all"',
    "ip4-prefix-33": '@ TXT "v=spf1 ip4:192.0.2.0/33 -all"',
    "ip4-prefix-zeros": '@ TXT "v=spf1 ip4:192.0.2.0/024 -all"',
    "ip4-short": '@ TXT "v=spf1 ip4:192.0.2 -all"',
    "ip4-host-bits": '@ TXT "v=spf1 ip4:192.0.2.77/24 -all"',
    "ip4-empty": '@ TXT "v=spf1 ip4: -all"',
    "ip4-is-ip6": '@ TXT "v=spf1 ip4:2001:db8::1 -all"',
    "ip4-without-colon": '@ TXT "v=spf1 ip4 -all"',
    "ip4-slash": '@ TXT "v=spf1 ip4:192.0.2.1/ -all"',
    "ip6-prefix-129": '@ TXT "v=spf1 ip6:2001:db8::/129 -all"',
    "ip6-is-ip4": '@ TXT "v=spf1 ip6:192.0.2.1 -all"',
    "ip6-mapped": '@ TXT "v=spf1 ip6:::ffff:192.0.2.1 -all"',
    "a-empty": '@ TXT "v=spf1 a: -all"',
    "a-prefix": '@ TXT "v=spf1 a/24 a//64 a/24//64 -all"\n@ A 192.0.2.1',
    "a-prefix-33": '@ TXT "v=spf1 a/33 -all"\n@ A 192.0.2.1',
    "a-one-label": '@ TXT "v=spf1 a:localhost -all"',
    "a-top-of-digits": '@ TXT "v=spf1 a:192.0.2.1 -all"',
    "a-final-dot": '@ TXT "v=spf1 a:mail.{d}. -all"',
    "a-label-too-long": f'@ TXT "v=spf1 a:{LONG}a.{{d}} -all"',
    "a-void": '@ TXT "v=spf1 a:no.{d} -all"',
    "a-voids": '@ TXT "v=spf1 a:no1.{d} a:no2.{d} a:no3.{d} -all"',
    "mx-void": '@ TXT "v=spf1 mx:mail.{d} -all"',
    "mx-of-many": '@ TXT "v=spf1 mx:many.shared.test -all"',
    "mx-null": '@ TXT "v=spf1 mx:takes-none.shared.test -all"',
    "exists": '@ TXT "v=spf1 exists:mail.{d} -all"',
    "exists-empty": '@ TXT "v=spf1 exists -all"',
    "exists-void": '@ TXT "v=spf1 exists:no.{d} -all"',
    "exists-macro": '@ TXT "v=spf1 exists:%{i}._spf.{d} -all"',
    "macro-unknown-letter": '@ TXT "v=spf1 exists:%{z}.{d} -all"',
    "macro-open": '@ TXT "v=spf1 exists:%{i.{d} -all"',
    "macro-of-exp": '@ TXT "v=spf1 exists:%{c}.{d} -all"',
    "macro-zero-digits": '@ TXT "v=spf1 exists:%{i0}.{d} -all"',
    "macro-at-the-end": '@ TXT "v=spf1 include:_spf.%{d2} -all"',
    "percent-alone": '@ TXT "v=spf1 exists:%.{d} -all"',
    "ptr": '@ TXT "v=spf1 ptr -all"\n@ A 192.0.2.1',
    "ptr-elsewhere": '@ TXT "v=spf1 ptr:mail.{d} -all"',
    "ptr-without-address": '@ TXT "v=spf1 ptr:_dmarc.{d} -all"',
    "include": '@ TXT "v=spf1 include:good.shared.test -all"',
    "include-upper-case": '@ TXT "v=spf1 include:GOOD.Shared.Test -all"',
    "include-twice": '@ TXT "v=spf1 include:good.shared.test include:good.shared.test -all"',
    "include-empty": '@ TXT "v=spf1 include: -all"',
    "include-nowhere": '@ TXT "v=spf1 include:no.shared.test -all"',
    "include-no-spf": '@ TXT "v=spf1 include:text.shared.test -all"',
    "include-several": '@ TXT "v=spf1 include:two.shared.test -all"',
    "include-broken": '@ TXT "v=spf1 include:broken.shared.test -all"',
    "include-itself": '@ TXT "v=spf1 include:{d} -all"',
    "include-circle": '@ TXT "v=spf1 include:circle1.shared.test -all"',
    "include-after-all": '@ TXT "v=spf1 -all include:no.shared.test"',
    "include-prefix": '@ TXT "v=spf1 include:good.shared.test/24 -all"',
    "lookups-10": '@ TXT "v=spf1 include:nine.shared.test -all"',
    "lookups-11": '@ TXT "v=spf1 mx:shared.test include:nine.shared.test -all"',
    "lookups-many": '@ TXT "v=spf1 include:nine.shared.test include:nine.shared.test -all"',
    "redirect": '@ TXT "v=spf1 redirect=good.shared.test"',
    "redirect-and-all": '@ TXT "v=spf1 redirect=no.shared.test -all"',
    "redirect-twice": '@ TXT "v=spf1 redirect=good.shared.test redirect=good.shared.test"',
    "redirect-nowhere": '@ TXT "v=spf1 redirect=no.shared.test"',
    "redirect-no-spf": '@ TXT "v=spf1 redirect=text.shared.test"',
    "redirect-itself": '@ TXT "v=spf1 redirect={d}"',
    "redirect-colon": '@ TXT "v=spf1 redirect:good.shared.test"',
    "redirect-first": '@ TXT "v=spf1 redirect=good.shared.test mx:shared.test"',
    "exp": '@ TXT "v=spf1 mx:shared.test -all exp=why.{d}"\nwhy TXT "no"',
    "exp-twice": '@ TXT "v=spf1 mx:shared.test -all exp=why.{d} exp=why.{d}"\nwhy TXT "no"',
    "exp-empty": '@ TXT "v=spf1 mx:shared.test exp= -all"',
    "not-ascii": '@ TXT "v=spf1 include:b\\195\\188cher.test -all"',
    "control": '@ TXT "v=spf1 \\027 -all"',
    "long": '@ TXT "v=spf1 {long}" "-all"',
}
DMARC: Mapping[str, str] = {
    "none": "",
    "plain": '_dmarc TXT "v=DMARC1; p=reject; rua=mailto:dmarc@takes.test"',
    "no-space": '_dmarc TXT "v=DMARC1;p=none;rua=mailto:dmarc@takes.test"',
    "all-tags": '_dmarc TXT "v=DMARC1; p=quarantine; sp=reject; np=reject; adkim=s; aspf=s; rua=mailto:a@takes.test"',
    "testing": '_dmarc TXT "v=DMARC1; p=reject; t=y; rua=mailto:a@takes.test"',
    "psd": '_dmarc TXT "v=DMARC1; p=reject; psd=n; rua=mailto:a@takes.test"',
    "historic": '_dmarc TXT "v=DMARC1; p=reject; pct=50; ri=3600; rf=afrf; rua=mailto:a@takes.test"',
    "pct-200": '_dmarc TXT "v=DMARC1; p=reject; pct=200; rua=mailto:a@takes.test"',
    "pct-word": '_dmarc TXT "v=DMARC1; p=reject; pct=half; rua=mailto:a@takes.test"',
    "no-p": '_dmarc TXT "v=DMARC1; rua=mailto:a@takes.test"',
    "p-not-second": '_dmarc TXT "v=DMARC1; rua=mailto:a@takes.test; p=reject"',
    "p-wrong": '_dmarc TXT "v=DMARC1; p=nothing; rua=mailto:a@takes.test"',
    "p-wrong-no-rua": '_dmarc TXT "v=DMARC1; p=nothing"',
    "p-upper-case": '_dmarc TXT "v=DMARC1; p=REJECT; rua=mailto:a@takes.test"',
    "sp-wrong": '_dmarc TXT "v=DMARC1; p=reject; sp=all; rua=mailto:a@takes.test"',
    "adkim-wrong": '_dmarc TXT "v=DMARC1; p=reject; adkim=x; rua=mailto:a@takes.test"',
    "t-wrong": '_dmarc TXT "v=DMARC1; p=reject; t=x; rua=mailto:a@takes.test"',
    "fo-wrong": '_dmarc TXT "v=DMARC1; p=reject; fo=9; rua=mailto:a@takes.test; ruf=mailto:a@takes.test"',
    "tag-unknown": '_dmarc TXT "v=DMARC1; p=reject; foo=bar; rua=mailto:a@takes.test"',
    "tag-twice": '_dmarc TXT "v=DMARC1; p=reject; p=none; rua=mailto:a@takes.test"',
    "tag-empty": '_dmarc TXT "v=DMARC1; p=reject; sp=; rua=mailto:a@takes.test"',
    "tag-broken": '_dmarc TXT "v=DMARC1; p=reject; what; rua=mailto:a@takes.test"',
    "commas": '_dmarc TXT "v=DMARC1, p=reject, rua=mailto:a@takes.test"',
    "version-case": '_dmarc TXT "v=dmarc1; p=reject; rua=mailto:a@takes.test"',
    "version-2": '_dmarc TXT "v=DMARC2; p=reject; rua=mailto:a@takes.test"',
    "version-not-first": '_dmarc TXT "p=reject; v=DMARC1; rua=mailto:a@takes.test"',
    "version-spaced": '_dmarc TXT "v = DMARC1 ; p = reject ; rua = mailto:a@takes.test"',
    "space-before": '_dmarc TXT " v=DMARC1; p=reject; rua=mailto:a@takes.test"',
    "several": '_dmarc TXT "v=DMARC1; p=reject"\n_dmarc TXT "v=DMARC1; p=none"',
    "beside-others": '_dmarc TXT "v=DMARC1; p=reject; rua=mailto:a@takes.test"\n_dmarc TXT "hello"',
    "spf-there": '_dmarc TXT "v=spf1 -all"',
    "at-the-domain": '@ TXT "v=DMARC1; p=reject"',
    "rua-no-scheme": '_dmarc TXT "v=DMARC1; p=reject; rua=a@takes.test"',
    "rua-https": '_dmarc TXT "v=DMARC1; p=reject; rua=https://takes.test/x"',
    "rua-size": '_dmarc TXT "v=DMARC1; p=reject; rua=mailto:a@takes.test!10m"',
    "rua-two": '_dmarc TXT "v=DMARC1; p=reject; rua=mailto:a@takes.test,mailto:b@takes.test"',
    "rua-three": '_dmarc TXT "v=DMARC1; p=reject; rua=mailto:a@takes.test,mailto:b@takes.test,mailto:c@takes.test"',
    "rua-refused": '_dmarc TXT "v=DMARC1; p=reject; rua=mailto:a@refuses.test"',
    "semicolon-at-the-end": '_dmarc TXT "v=DMARC1; p=reject; rua=mailto:a@takes.test;"',
    "several-strings": '_dmarc TXT "v=DMARC1; p=rej" "ect; rua=mailto:a@takes.test"',
    "alias": "_dmarc CNAME _dmarc.takes.test.",
}
MTA_STS: Mapping[str, str] = {
    "none": "",
    "plain": '_mta-sts TXT "v=STSv1; id=20260101;"\nmta-sts A 192.0.2.1',
    "no-semicolon": '_mta-sts TXT "v=STSv1; id=1"\nmta-sts A 192.0.2.1',
    "no-id": '_mta-sts TXT "v=STSv1;"\nmta-sts A 192.0.2.1',
    "id-empty": '_mta-sts TXT "v=STSv1; id=;"\nmta-sts A 192.0.2.1',
    "id-hyphen": '_mta-sts TXT "v=STSv1; id=2026-01-01;"\nmta-sts A 192.0.2.1',
    "id-33": f'_mta-sts TXT "v=STSv1; id={"1" * 33};"\nmta-sts A 192.0.2.1',
    "extension": '_mta-sts TXT "v=STSv1; id=1; foo=bar;"\nmta-sts A 192.0.2.1',
    "extension-broken": '_mta-sts TXT "v=STSv1; id=1; foo=a=b;"\nmta-sts A 192.0.2.1',
    "id-first": '_mta-sts TXT "id=1; v=STSv1;"\nmta-sts A 192.0.2.1',
    "version-case": '_mta-sts TXT "v=stsv1; id=1;"\nmta-sts A 192.0.2.1',
    "version-spaced": '_mta-sts TXT "v = STSv1; id=1;"\nmta-sts A 192.0.2.1',
    "version-led": '_mta-sts TXT " v=STSv1; id=1;"\nmta-sts A 192.0.2.1',
    "version-2": '_mta-sts TXT "v=STSv2; id=1;"\nmta-sts A 192.0.2.1',
    "several": '_mta-sts TXT "v=STSv1; id=1;"\n_mta-sts TXT "v=STSv1; id=2;"\nmta-sts A 192.0.2.1',
    "beside-others": '_mta-sts TXT "v=STSv1; id=1;"\n_mta-sts TXT "hello"\nmta-sts A 192.0.2.1',
    "broken": '_mta-sts TXT "v=STSv1; id=1; what;"\nmta-sts A 192.0.2.1',
    "id-twice": '_mta-sts TXT "v=STSv1; id=1; id=2;"\nmta-sts A 192.0.2.1',
}
TLS_RPT: Mapping[str, str] = {
    "none": "",
    "plain": '_smtp._tls TXT "v=TLSRPTv1; rua=mailto:tls@{d}"',
    "https": '_smtp._tls TXT "v=TLSRPTv1;rua=https://{d}/tls"',
    "two": '_smtp._tls TXT "v=TLSRPTv1; rua=mailto:a@{d},https://{d}/tls"',
    "no-rua": '_smtp._tls TXT "v=TLSRPTv1;"',
    "rua-empty": '_smtp._tls TXT "v=TLSRPTv1; rua="',
    "http": '_smtp._tls TXT "v=TLSRPTv1; rua=http://{d}/tls"',
    "no-scheme": '_smtp._tls TXT "v=TLSRPTv1; rua=tls@{d}"',
    "version-case": '_smtp._tls TXT "v=tlsrptv1; rua=mailto:a@{d}"',
    "version-spaced": '_smtp._tls TXT "v = TLSRPTv1; rua=mailto:a@{d}"',
    "version-led": '_smtp._tls TXT " v=TLSRPTv1; rua=mailto:a@{d}"',
    "space-before-semicolon": '_smtp._tls TXT "v=TLSRPTv1 ; rua=mailto:a@{d}"',
    "version-2": '_smtp._tls TXT "v=TLSRPTv2; rua=mailto:a@{d}"',
    "several": '_smtp._tls TXT "v=TLSRPTv1; rua=mailto:a@{d}"\n_smtp._tls TXT "v=TLSRPTv1; rua=mailto:b@{d}"',
    "extension": '_smtp._tls TXT "v=TLSRPTv1; rua=mailto:a@{d}; foo=bar"',
    "extension-broken": '_smtp._tls TXT "v=TLSRPTv1; rua=mailto:a@{d}; foo=a b"',
    "size": '_smtp._tls TXT "v=TLSRPTv1; rua=mailto:a@{d}!10m"',
    "broken": '_smtp._tls TXT "v=TLSRPTv1; rua=mailto:a@{d}; what"',
}
BIMI: Mapping[str, str] = {
    "none": "",
    "plain": 'default._bimi TXT "v=BIMI1; l=https://127.0.0.1:1/logo.svg; a=;"',
    "no-evidence": 'default._bimi TXT "v=BIMI1; l=https://127.0.0.1:1/logo.svg"',
    "evidence-at-an-address": 'default._bimi TXT "v=BIMI1; l=https://127.0.0.1:1/x.svg; a=https://127.0.0.1:1/x.pem"',
    "evidence-by-http": 'default._bimi TXT "v=BIMI1; l=https://127.0.0.1:1/x.svg; a=http://takes.test/x.pem"',
    "avatar": 'default._bimi TXT "v=BIMI1; l=; avp=personal"',
    "avatar-wrong": 'default._bimi TXT "v=BIMI1; l=; avp=both"',
    "declined": 'default._bimi TXT "v=BIMI1; l=; a=;"',
    "no-l": 'default._bimi TXT "v=BIMI1; a=https://127.0.0.1:1/vmc.pem"',
    "http": 'default._bimi TXT "v=BIMI1; l=http://127.0.0.1:1/logo.svg"',
    "several": 'default._bimi TXT "v=BIMI1; l=;"\ndefault._bimi TXT "v=BIMI1; l=; a=;"',
    "version-spaced": 'default._bimi TXT "v = BIMI1; l=https://127.0.0.1:1/logo.svg"',
    "version-led": 'default._bimi TXT " v=BIMI1; l=https://127.0.0.1:1/logo.svg"',
    "tag-twice": 'default._bimi TXT "v=BIMI1; l=; l=https://127.0.0.1:1/logo.svg"',
    "version-2": 'default._bimi TXT "v=BIMI2; l=https://127.0.0.1:1/logo.svg"',
    "broken": 'default._bimi TXT "v=BIMI1; l=https://127.0.0.1:1/logo.svg; what"',
    "unknown-tag": 'default._bimi TXT "v=BIMI1; l=https://127.0.0.1:1/logo.svg; zzz=1"',
}
MX: Mapping[str, str] = {
    "plain": "@ MX 10 mail\nmail A 192.0.2.1",
    "two": "@ MX 10 mail\n@ MX 20 two\nmail A 192.0.2.1\ntwo AAAA 2001:db8::1",
    "none": "mail A 192.0.2.1",
    "null": "@ MX 0 .\nmail A 192.0.2.1",
    "null-mixed": "@ MX 0 .\n@ MX 10 mail\nmail A 192.0.2.1",
    "null-with-preference": "@ MX 10 .\nmail A 192.0.2.1",
    "unresolved": "@ MX 10 mail\n@ MX 20 nowhere\nmail A 192.0.2.1",
    "alias": "@ MX 10 other\nother CNAME mail\nmail A 192.0.2.1",
    "address": "@ MX 10 192.0.2.1.\nmail A 192.0.2.1",
    "no-ptr": "@ MX 10 mail\nmail A 192.0.2.9",
    "unconfirmed": "@ MX 10 mail\nmail A 192.0.2.2",
    "one-of-two-names": "@ MX 10 mail\nmail A 192.0.2.3",
    "elsewhere": "@ MX 10 mx.shared.test.\nmail A 192.0.2.1",
}
TOPICS: Mapping[str, Mapping[str, str]] = {
    "spf": SPF,
    "dmarc": DMARC,
    "mta-sts": MTA_STS,
    "tls-rpt": TLS_RPT,
    "bimi": BIMI,
    "mx": MX,
}
RANDOM = "random"
"""The variant of an SPF record that is made up of terms by chance."""
_TERMS = (
    *("mx:shared.test", "a:mail.{d}", "ip4:192.0.2.{n}", "ip4:198.51.100.0/24", "ip6:2001:db8::{n}", "a:mail.{d}/24"),
    *("include:nested.shared.test", "a:mx.shared.test", "?mx:shared.test", "~ip4:192.0.2.{n}", "exists:mail.{d}"),
    *("exists:%{{i}}._spf.{d}", "a:no.{d}"),
)
_ENDS = ("-all", "~all", "redirect=shared.test")

SHARED = f"""@ A 192.0.2.1
@ MX 10 mx
@ TXT "v=spf1 -all"
mx A 192.0.2.1
good TXT "v=spf1 ip4:192.0.2.0/24 a:mx.shared.test -all"
nested TXT "v=spf1 include:good.shared.test ~all"
text TXT "hello"
takes-none MX 0 .
two TXT "v=spf1 -all"
two TXT "v=spf1 ~all"
broken TXT "v=spf1 ip4:none -all"
circle1 TXT "v=spf1 include:circle2.shared.test -all"
circle2 TXT "v=spf1 include:circle1.shared.test -all"
nine TXT "v=spf1 {"mx:shared.test " * 9}-all"
{"".join(f"many MX {n} h{n}{chr(10)}h{n} A 192.0.2.1{chr(10)}" for n in range(11))}"""
PARENTS: Mapping[str, str] = {
    ".": "ns1.test. A 127.0.0.1",
    "test": "ns1 A 127.0.0.1",
    "shared.test": SHARED,
    "takes.test": '@ MX 10 mail\nmail A 192.0.2.1\n*._report._dmarc TXT "v=DMARC1"\n_dmarc TXT "v=DMARC1; p=reject"',
    "refuses.test": "@ MX 10 mail\nmail A 192.0.2.1",
    REVERSE: "1 PTR mx.shared.test.\n2 PTR text.shared.test.\n3 PTR text.shared.test.\n3 PTR mx.shared.test.",
}
"""Zones beside those of the domains."""


@dataclass(frozen=True)
class MadeUp:
    """A domain, its variants by topic, and its zone."""

    domain: str
    variants: Mapping[str, str]
    zone: str


def made_up() -> list[MadeUp]:
    """Give the domains."""
    chance = Random("check")
    decks = {topic: _deck(variants, chance) for topic, variants in TOPICS.items()}
    return [_made(number, {topic: deck[number] for topic, deck in decks.items()}, chance) for number in range(COUNT)]


def _deck(variants: Mapping[str, str], chance: Random) -> list[str]:
    """Give a variant for each domain, each often enough; what is left of SPF is made by chance."""
    names = list(variants)
    if variants is SPF:
        names += [RANDOM] * (COUNT - len(names))
    else:
        names *= COUNT // len(names) + 1
        names = names[:COUNT]
    chance.shuffle(names)
    return names


def _made(number: int, variants: Mapping[str, str], chance: Random) -> MadeUp:
    domain = f"d{number:03}.test"
    lines = [TOPICS[topic].get(variant, "") for topic, variant in variants.items()]
    if variants["spf"] == RANDOM:
        terms = [*chance.sample(_TERMS, chance.randint(0, 8)), chance.choice(_ENDS)]
        words = [term.format(d=domain, n=chance.randint(1, 99)) for term in terms]
        lines.append(f'@ TXT "{" ".join(["v=spf1", *words])}"')
    long = '" "'.join(f"ip4:192.0.2.{n} " for n in range(40))
    zone = "\n".join(lines).replace("{long}", long).replace("{d}", domain)
    return MadeUp(domain, variants, zone)
