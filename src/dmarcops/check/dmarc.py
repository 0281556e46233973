"""
The DMARC record of a domain: by both discoveries, linted, and where its reports go. Does no I/O.

What is in the record has the codes of `policy.lint`, after `dmarc-`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from dmarcops.check.findings import Area, Ask, Code, Finding, found
from dmarcops.domains import Domain, OrganizationalDomain
from dmarcops.policy import lint
from dmarcops.policy.answers import Answer, AnswerKind
from dmarcops.policy.destinations import Authorisation, Verification, verify_destination
from dmarcops.policy.discovery import Comparison, DifferenceKind, Status, compare
from dmarcops.policy.record import Policy

PREFIX = "dmarc-"
"""Before the codes of `policy.lint`."""
MAX_DESTINATIONS = 20
"""Addresses that are verified."""
_TOLD_ELSEWHERE = frozenset({DifferenceKind.TEMPERROR, DifferenceKind.SEVERAL_RECORDS})


@dataclass(frozen=True, slots=True)
class Dmarc:
    """What holds for a domain, who takes its reports, and what is wrong."""

    comparison: Comparison
    destinations: tuple[Verification, ...]
    findings: tuple[Finding, ...]

    @property
    def is_known(self) -> bool:
        """Whether DNS answered all that matters."""
        return Status.TEMPERROR not in (self.comparison.treewalk.status, self.comparison.psl.status)

    def as_json(self) -> dict[str, Any]:
        """Give what is printed."""
        return {**self.comparison.as_json(), "destinations": [x.as_json() for x in self.destinations]}


def check_dmarc(domain: Domain, ask: Ask, organizational_domain: OrganizationalDomain) -> Dmarc:
    """
    Say which record holds for a domain, and what is wrong with it.

    Args:
        domain: The domain.
        ask: Asks DNS.
        organizational_domain: By the Public Suffix List.
    """

    def lookup(name: str) -> Answer:
        return ask(name, "TXT")

    comparison = compare(domain, lookup, organizational_domain)
    treewalk, psl = comparison.treewalk, comparison.psl
    places = dict.fromkeys(x for x in (domain, treewalk.found_at, psl.found_at, *treewalk.several_at) if x)
    findings = [each for place in places for each in _linted(place, lookup(f"_dmarc.{place}"))]
    if treewalk.status is Status.NONE:
        findings.append(found(Area.DMARC, Code.DMARC_MISSING, domain))
    elif treewalk.policy is Policy.NONE:
        findings.append(found(Area.DMARC, Code.DMARC_NONE, domain, f"{treewalk.tag} of {treewalk.found_at}"))
    findings += _differences(comparison)
    destinations = tuple(_destinations(comparison, ask, organizational_domain))
    findings += [
        found(Area.DMARC, Code.DMARC_DESTINATION, f"_dmarc.{treewalk.found_at}", f"{each.uri.uri}: {each.detail}")
        for each in destinations
        if each.verdict is Authorisation.NOT_AUTHORISED
    ]
    return Dmarc(comparison, destinations, tuple(findings))


def _linted(domain: str, answer: Answer) -> Iterator[Finding]:
    if answer.kind is not AnswerKind.FOUND:
        return
    for each in lint.lint_texts(answer.texts):
        yield Finding(
            area=Area.DMARC,
            code=PREFIX + each.lint.code,
            severity=each.lint.severity,
            section=each.lint.section,
            text=each.lint.text,
            at=f"_dmarc.{domain}",
            detail=f"{each.tag}={each.detail}" if each.tag else each.detail,
        )


def _differences(comparison: Comparison) -> Iterator[Finding]:
    for each in comparison.differences:
        if each.kind not in _TOLD_ELSEWHERE:
            finding = found(Area.DMARC, Code.DMARC_DIFFERENCE, comparison.treewalk.domain)
            yield replace(finding, section=each.section, detail=f"{each.kind.value}: {each.text}")


def _destinations(
    comparison: Comparison, ask: Ask, organizational_domain: OrganizationalDomain
) -> Iterator[Verification]:
    record, at = comparison.treewalk.record, comparison.treewalk.found_at
    if record is None or at is None:
        return
    uris = [(tag, uri) for tag in ("rua", "ruf") for uri in record.uris(tag) if uri.is_usable]
    for tag, uri in uris[:MAX_DESTINATIONS]:
        yield verify_destination(at, uri, lambda name: ask(name, "TXT"), organizational_domain, tag=tag)
