"""
`check` and checkdmarc agree on two hundred made-up domains, served by BIND, but for what a section explains.

The table of differences is held both ways: one that it does not have fails, and one of it that is gone.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from checkdmarc import bimi, dmarc, mta_sts, smtp, smtp_tls_reporting, spf
from dns.nameserver import Do53Nameserver

from check_differences import DIFFERENCES, Difference
from dmarcops.check.findings import Area
from dmarcops.dns.resolver import Config, DnsResolver
from dmarcops.domains import Domain, suffix_list
from dmarcops.flows.check import Checked, Checker, Known
from dmarcops.policy.lint import Severity
from made_up_zones import COUNT, PARENTS, TOPICS, made_up
from servers_zones import ADDRESS, serve_zones

ABSENT, VALID, INVALID = "absent", "valid", "invalid"
CLEAN, FAULTY = "clean", "faulty"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    zones = {**PARENTS, **{each.domain: each.zone for each in made_up()}}
    with serve_zones(tmp_path_factory.mktemp("zones"), zones) as port:
        yield port


def test_check_agrees_with_checkdmarc_but_for_what_a_section_explains(port: int) -> None:
    domains = made_up()
    resolver = DnsResolver(Config(recursive=(f"{ADDRESS}:{port}",)))
    checker = Checker(records=resolver, organizational_domain=suffix_list())
    asked = [Do53Nameserver(ADDRESS, port)]
    found: dict[Difference, str] = {}
    compared = 0
    for each in domains:
        checked = checker.check(Domain(each.domain), Known())
        assert not checked.problems
        for topic, (ours, theirs) in TOPIC_VIEWS.items():
            compared += 1
            left, right = (said.replace(each.domain, "{d}") for said in (ours(checked), theirs(each.domain, asked)))
            if left != right:
                found[Difference(topic, each.variants[topic.partition(" ")[0]], left, right)] = each.domain
    assert compared == COUNT * len(TOPIC_VIEWS)
    unexplained = {key: domain for key, domain in found.items() if key not in DIFFERENCES}
    assert not unexplained, "\n".join(map(str, unexplained.items()))
    gone = DIFFERENCES.keys() - found.keys()
    assert not gone, "\n".join(map(str, gone))


def test_every_variant_is_among_the_domains_and_every_explanation_names_a_section() -> None:
    seen = {(topic, variant) for each in made_up() for topic, variant in each.variants.items()}
    assert seen >= {(topic, variant) for topic, variants in TOPICS.items() for variant in variants}
    assert len(made_up()) == COUNT
    assert made_up() == made_up()
    assert all("RFC " in why or "BIMI draft" in why for why in DIFFERENCES.values())
    assert all("section" in why for why in DIFFERENCES.values())


def _codes(checked: Checked, area: Area) -> set[str]:
    return {x.code for x in checked.findings if x.area is area}


def _our_spf(checked: Checked) -> str:
    if checked.spf.is_sound:
        return f"{VALID} {checked.spf.tree.lookups} {checked.spf.tree.voids}"
    return ABSENT if "spf-missing" in _codes(checked, Area.SPF) else INVALID


def _their_spf(domain: str, asked: list[Any]) -> str:
    try:
        record = spf.query_spf_record(domain, nameservers=asked)["record"]
    except spf.SPFRecordNotFound:
        return ABSENT
    except spf.SPFError:
        return INVALID
    try:
        parsed = spf.parse_spf_record(record, domain, nameservers=asked)
    except spf.SPFError:
        return INVALID
    return f"{VALID} {parsed['dns_lookups']} {parsed['void_dns_lookups']}"


def _our_dmarc(checked: Checked) -> str:
    treewalk = checked.dmarc.comparison.treewalk
    if treewalk.policy is not None:
        return f"{VALID} {treewalk.found_at} {treewalk.policy}"
    return ABSENT if treewalk.record is None and not treewalk.several_at else INVALID


def _our_faults(area: Area, checked: Checked) -> str:
    is_faulty = any(x.area is area and x.severity is not Severity.NOTE for x in checked.findings)
    return FAULTY if is_faulty else CLEAN


def _their_dmarc_faults(domain: str, asked: list[Any]) -> str:
    said = dmarc.check_dmarc(domain, nameservers=asked)
    return FAULTY if said["warnings"] or not said["valid"] else CLEAN


def _their_spf_faults(domain: str, asked: list[Any]) -> str:
    said = spf.check_spf(domain, nameservers=asked)
    return FAULTY if said["warnings"] or not said["valid"] else CLEAN


def _their_dmarc(domain: str, asked: list[Any]) -> str:
    try:
        found = dmarc.query_dmarc_record(domain, nameservers=asked)
    except dmarc.DMARCRecordNotFound:
        return ABSENT
    except dmarc.DMARCError:
        return INVALID
    try:
        parsed = dmarc.parse_dmarc_record(found["record"], found["location"], nameservers=asked)
    except dmarc.DMARCError:
        return INVALID
    return f"{VALID} {found['location']} {parsed['tags']['p']['value']}"


def _ours(area: Area, checked: Checked) -> str:
    wrong = {x.code for x in checked.findings if x.area is area and x.severity is Severity.ERROR}
    record = {Area.MTA_STS: checked.mta_sts, Area.TLS_RPT: checked.tls_rpt, Area.BIMI: checked.bimi}[area]
    if wrong - {"bimi-policy"}:
        return INVALID
    return VALID if record is not None else ABSENT


def _their_mta_sts(domain: str, asked: list[Any]) -> str:
    return _outcome(
        lambda: mta_sts.parse_mta_sts_record(mta_sts.query_mta_sts_record(domain, nameservers=asked)["record"]),
        mta_sts.MTASTSRecordNotFound,
        mta_sts.MTASTSError,
    )


def _their_tls_rpt(domain: str, asked: list[Any]) -> str:
    return _outcome(
        lambda: smtp_tls_reporting.parse_smtp_tls_reporting_record(
            smtp_tls_reporting.query_smtp_tls_reporting_record(domain, nameservers=asked)["record"]
        ),
        smtp_tls_reporting.SMTPTLSReportingRecordNotFound,
        smtp_tls_reporting.SMTPTLSReportingError,
    )


def _their_bimi(domain: str, asked: list[Any]) -> str:
    return _outcome(
        lambda: bimi.parse_bimi_record(bimi.query_bimi_record(domain, nameservers=asked)["record"], domain=domain),
        bimi.BIMIRecordNotFound,
        bimi.BIMIError,
    )


def _outcome(ask: Callable[[], object], absent: type[Exception], wrong: type[Exception]) -> str:
    try:
        ask()
    except absent:
        return ABSENT
    except wrong:
        return INVALID
    return VALID


def _our_mx(checked: Checked) -> str:
    names = sorted(host.name for host in checked.mx.hosts)
    codes = _codes(checked, Area.MX) | _codes(checked, Area.PTR)
    return f"{' '.join(names)}: {' '.join(sorted(codes))}"


THEIR_MX = {
    "null MX record (RFC 7505)": "mx-null",
    "has no MX records": "mx-nowhere",
    "is malformed": "mx-null-wrong",
    "alongside other MX": "mx-null-wrong",
    "points at the IP address": "mx-address",
    "is a CNAME alias": "mx-alias",
    "does not have any A or AAAA": "mx-unresolved",
    "does not exist": "mx-unresolved",
    "does not have any reverse DNS": "ptr-missing",
    "do not resolve to": "ptr-unconfirmed",
}


def _their_mx(domain: str, asked: list[Any]) -> str:
    found = smtp.get_mx_hosts(domain, nameservers=asked)
    names = sorted(host["hostname"] for host in found["hosts"])
    codes = {next(code for part, code in THEIR_MX.items() if part in warning) for warning in found["warnings"]}
    return f"{' '.join(names)}: {' '.join(sorted(codes))}"


TOPIC_VIEWS: dict[str, tuple[Callable[[Checked], str], Callable[[str, list[Any]], str]]] = {
    "spf": (_our_spf, _their_spf),
    "dmarc": (_our_dmarc, _their_dmarc),
    "spf faults": (partial(_our_faults, Area.SPF), _their_spf_faults),
    "dmarc faults": (partial(_our_faults, Area.DMARC), _their_dmarc_faults),
    "mta-sts": (partial(_ours, Area.MTA_STS), _their_mta_sts),
    "tls-rpt": (partial(_ours, Area.TLS_RPT), _their_tls_rpt),
    "bimi": (partial(_ours, Area.BIMI), _their_bimi),
    "mx": (_our_mx, _their_mx),
}
