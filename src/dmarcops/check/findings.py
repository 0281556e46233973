"""
What `check` finds in DNS: stable codes with severity and section, and how DNS is asked. Does no I/O.

What is found in a DMARC record has the codes of `policy.lint`, after `dmarc-`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dmarcops.policy.answers import Answer
from dmarcops.policy.lint import Coded, Severity

Ask = Callable[[str, str], Answer]
"""Asks for the records of a type at a name; those of TXT with their strings joined, others as in a master file."""

_SHOWN = 120


class Area(StrEnum):
    """What is looked at, in the order that it is shown in."""

    SPF = "spf"
    DKIM = "dkim"
    DMARC = "dmarc"
    MTA_STS = "mta-sts"
    TLS_RPT = "tls-rpt"
    BIMI = "bimi"
    MX = "mx"
    PTR = "ptr"


_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE


class Code(Coded):
    """All that is found outside of DMARC records; a code begins with the area's name."""

    SPF_MISSING = "spf-missing", _WARNING, "RFC 7208 section 4.5", "no SPF record: nobody is authorised, nobody denied"
    SPF_SEVERAL = "spf-several", _ERROR, "RFC 7208 section 4.5", "several SPF records at one name: a permanent error"
    SPF_VERSION = (
        "spf-version",
        _WARNING,
        "RFC 7208 section 4.5",
        "it looks like an SPF record, and is none: v=spf1 and a space have to stand first",
    )
    SPF_SYNTAX = "spf-syntax", _ERROR, "RFC 7208 section 4.6", "a term that is none: a permanent error"
    SPF_LOOKUPS = "spf-lookups", _ERROR, "RFC 7208 section 4.6.4", "more than 10 lookups: a permanent error"
    SPF_VOIDS = (
        "spf-voids",
        _ERROR,
        "RFC 7208 section 4.6.4",
        "more than 2 lookups without an answer: a permanent error at most receivers",
    )
    SPF_VOID = "spf-void", _WARNING, "RFC 7208 section 4.6.4", "a lookup without an answer: the term never matches"
    SPF_LOOP = "spf-loop", _ERROR, "RFC 7208 section 4.6.4", "it includes itself: a permanent error"
    SPF_TARGET = (
        "spf-target",
        _ERROR,
        "RFC 7208 section 5.2",
        "it leads to a name without an SPF record: a permanent error",
    )
    SPF_MX_MANY = "spf-mx-many", _ERROR, "RFC 7208 section 4.6.4", "mx with more than 10 hosts: a permanent error"
    SPF_ALL_PASS = "spf-all-pass", _ERROR, "RFC 7208 section 11.1", "everybody in the world is authorised"
    SPF_ALL_NEUTRAL = "spf-all-neutral", _WARNING, "RFC 7208 section 8.2", "?all denies nobody: as without a record"
    SPF_ALL_MISSING = "spf-all-missing", _WARNING, "RFC 7208 section 4.7", "neither all nor redirect: ends as ?all"
    SPF_UNREAD = "spf-unread", _WARNING, "RFC 7208 section 5.1", "what stands behind all is ignored"
    SPF_PTR = "spf-ptr", _WARNING, "RFC 7208 section 5.5", "ptr should not be used: slow, and often not asked"
    SPF_LONG = (
        "spf-long",
        _NOTE,
        "RFC 7208 section 3.4",
        "over 450 octets with all texts beside it: DNS may need TCP",
    )
    SPF_MACRO = "spf-macro", _NOTE, "RFC 7208 section 7", "a macro is for each mail another name: not looked up here"

    DKIM_NONE_KNOWN = (
        "dkim-none-known",
        _NOTE,
        "RFC 6376 section 3.1",
        "no selector is known: DNS does not list them; ingest reports, or name one by --selector",
    )
    DKIM_MISSING = "dkim-no-key", _ERROR, "RFC 6376 section 6.1.2", "no key at a selector that is in use"
    DKIM_GONE = "dkim-gone", _NOTE, "RFC 6376 section 6.1.2", "reports have shown the selector, and its key is gone"
    DKIM_MULTIPLE = "dkim-multiple", _ERROR, "RFC 6376 section 3.6.2.2", "several texts at a selector"
    DKIM_SYNTAX = "dkim-syntax-error", _ERROR, "RFC 6376 section 3.6.1", "no key record, or no key in it"
    DKIM_VERSION = "dkim-wrong-version", _ERROR, "RFC 6376 section 3.6.1", "v is not DKIM1, or not first"
    DKIM_SERVICE = "dkim-wrong-service", _ERROR, "RFC 6376 section 3.6.1", "the key is not for mail"
    DKIM_HASH = "dkim-wrong-hash", _ERROR, "RFC 6376 section 3.6.1", "the key is not for SHA-256"
    DKIM_TYPE = "dkim-wrong-type", _ERROR, "RFC 6376 section 3.6.1", "another algorithm than that of the signatures"
    DKIM_REVOKED = "dkim-revoked", _NOTE, "RFC 6376 section 3.6.1", "the key is revoked: signatures by it fail"
    DKIM_REVOKED_OURS = "dkim-revoked-ours", _ERROR, "RFC 6376 section 3.6.1", "a key that we hold is revoked in DNS"
    DKIM_WEAK = "dkim-weak", _ERROR, "RFC 8301 section 3.2", "an RSA key under 1024 bits: signatures fail"
    DKIM_SHORT = "dkim-short", _WARNING, "RFC 8301 section 3.2", "an RSA key under 2048 bits, which signers should have"
    DKIM_MISMATCH = "dkim-mismatch", _ERROR, "RFC 6376 section 6.1.3", "the record is not of the key that we hold"
    DKIM_TESTING = "dkim-testing", _WARNING, "RFC 6376 section 3.6.1", "t=y: a failing signature counts as none"

    DMARC_MISSING = "dmarc-missing", _ERROR, "RFC 9989 section 4.10", "no DMARC record holds for the domain"
    DMARC_NONE = "dmarc-none", _NOTE, "RFC 9989 section 4.7", "p=none: nothing is asked of receivers but reports"
    DMARC_DIFFERENCE = (
        "dmarc-difference",
        _WARNING,
        "RFC 9989 section 4.10",
        "receivers by tree walk and by Public Suffix List see another record or policy",
    )
    DMARC_DESTINATION = (
        "dmarc-destination",
        _ERROR,
        "RFC 9990 section 4",
        "reports do not go there: the destination does not say that it wants them",
    )

    MTA_STS_MISSING = "mta-sts-missing", _NOTE, "RFC 8461 section 3.1", "no MTA-STS: senders may fall back to no TLS"
    MTA_STS_SEVERAL = "mta-sts-several", _ERROR, "RFC 8461 section 3.1", "several records: senders see none"
    MTA_STS_SYNTAX = "mta-sts-syntax", _ERROR, "RFC 8461 section 3.1", "no MTA-STS record: senders see none"
    MTA_STS_HOST = "mta-sts-host", _ERROR, "RFC 8461 section 3.3", "the policy's host has no address"
    MTA_STS_FETCH = "mta-sts-fetch", _ERROR, "RFC 8461 section 3.3", "the policy cannot be had over HTTPS"
    MTA_STS_POLICY = "mta-sts-policy", _ERROR, "RFC 8461 section 3.2", "the policy is not as it has to be"
    MTA_STS_MX = "mta-sts-mx", _ERROR, "RFC 8461 section 4.1", "a mail host that the policy does not name gets no mail"
    MTA_STS_MODE = "mta-sts-mode", _NOTE, "RFC 8461 section 5", "the policy is not enforced"

    TLS_RPT_MISSING = "tls-rpt-missing", _NOTE, "RFC 8460 section 3", "no TLS-RPT: nobody tells of failing TLS"
    TLS_RPT_SEVERAL = "tls-rpt-several", _ERROR, "RFC 8460 section 3", "several records: senders see none"
    TLS_RPT_SYNTAX = "tls-rpt-syntax", _ERROR, "RFC 8460 section 3", "no TLS-RPT record: senders see none"
    TLS_RPT_RUA = "tls-rpt-rua", _ERROR, "RFC 8460 section 3", "an address that is neither mailto: nor https:"

    BIMI_SEVERAL = "bimi-several", _ERROR, "BIMI draft section 7.2", "several records: no logo"
    BIMI_SYNTAX = "bimi-syntax", _ERROR, "BIMI draft section 4.3", "no BIMI record: no logo"
    BIMI_LOCATION = "bimi-location", _ERROR, "BIMI draft section 4.3", "l or a is no https: address"
    BIMI_POLICY = "bimi-policy", _ERROR, "BIMI draft section 7.1", "no logo without a DMARC policy that is enforced"
    BIMI_EVIDENCE = "bimi-evidence", _NOTE, "BIMI draft section 4.3", "no certificate: most mailbox providers want one"
    BIMI_DECLINED = "bimi-declined", _NOTE, "BIMI draft section 4.3", "the domain declines to show a logo"

    MX_MISSING = "mx-missing", _WARNING, "RFC 5321 section 5.1", "no MX: mail goes to the domain's own address"
    MX_NOWHERE = "mx-nowhere", _WARNING, "RFC 5321 section 5.1", "neither MX nor address: no mail can come, nor bounces"
    MX_NULL = "mx-null", _NOTE, "RFC 7505 section 3", "null MX: the domain takes no mail"
    MX_NULL_WRONG = (
        "mx-null-wrong",
        _ERROR,
        "RFC 7505 section 3",
        "a null MX has preference 0, and no other MX beside it",
    )
    MX_ADDRESS = "mx-address", _ERROR, "RFC 5321 section 5.1", "an MX that is an address, not a host"
    MX_UNRESOLVED = "mx-unresolved", _ERROR, "RFC 5321 section 5.1", "an MX without an address"
    MX_ALIAS = "mx-alias", _ERROR, "RFC 2181 section 10.3", "an MX that is a CNAME"

    PTR_MISSING = "ptr-missing", _WARNING, "RFC 1912 section 2.1", "an address without a name"
    PTR_UNCONFIRMED = "ptr-unconfirmed", _WARNING, "RFC 8601 section 2.7.3", "no name of the address leads back to it"

    DNS_FAILED = "dns-failed", _ERROR, "RFC 8020 section 1", "DNS did not answer: nothing is known"
    DNS_OUTSIDE = "dns-outside", _NOTE, "RFC 1035 section 5", "the zone files do not say"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """
    One thing found.

    `at` is the name it is at; `detail` what stands there.
    """

    area: Area
    code: str
    severity: Severity
    section: str
    text: str
    at: str
    detail: str

    def as_json(self) -> dict[str, Any]:
        """Give what is printed."""
        return {
            "area": self.area.value,
            "code": self.code,
            "severity": self.severity.value,
            "section": self.section,
            "text": self.text,
            "at": self.at,
            "detail": self.detail,
        }


def found(area: Area, code: Code, at: str, detail: str = "") -> Finding:
    """Make a finding; a detail that is long is cut."""
    return Finding(
        area=area,
        code=code.code,
        severity=code.severity,
        section=code.section,
        text=code.text,
        at=at,
        detail=shown(detail),
    )


def shown(text: str) -> str:
    """Cut a text that is long."""
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
