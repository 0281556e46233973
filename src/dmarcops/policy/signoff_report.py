"""
What a sign-off report shows: of one domain, and of a fleet of them. Does no I/O, and knows no form of a document.

A report holds facts alone, and no time of its making: the same facts give the same report.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dmarcops.policy.evidence import Evidence
from dmarcops.policy.stepper import Proposal, price_of_next
from dmarcops.policy.what_if import WhatIf


@dataclass(frozen=True, slots=True, kw_only=True)
class DkimKey:
    """One DKIM key of the domain, in words: `state` is where it is in its life, `detail` what else to know of it."""

    selector: str
    algorithm: str
    state: str
    detail: str = ""

    def as_json(self) -> dict[str, Any]:
        """Give what is printed."""
        return {
            "selector": self.selector,
            "algorithm": self.algorithm,
            "state": self.state,
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PastStep:
    """One change of the record that was made: `kind` says which, `by` who decided it."""

    at: datetime
    kind: str
    before: str
    after: str
    by: str = ""

    def as_json(self) -> dict[str, Any]:
        """Give what is printed."""
        return {
            "at": self.at.isoformat(),
            "kind": self.kind,
            "before": self.before,
            "after": self.after,
            "by": self.by,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SignoffReport:
    """
    All that one domain's report shows.

    Args:
        proposal: The next step, its gates, and what stands in its way.
        evidence: What the proposal rests on.
        prices: What every rung would have touched, from the lowest to the highest.
        keys: The DKIM keys of the domain.
        steps: The changes of the record so far, the oldest first.
        history: What else was done and said, a line each, the oldest first: words about sources, holds, signatures.
        remarks: What is open beyond the proposal's reasons: a name server that did not answer, a key that is too short.
        brand: Whose domain it is; a fleet is put in order by it.
        title: What stands above it instead of the usual title.
    """

    proposal: Proposal
    evidence: Evidence
    prices: Sequence[WhatIf] = ()
    keys: Sequence[DkimKey] = ()
    steps: Sequence[PastStep] = ()
    history: Sequence[str] = ()
    remarks: Sequence[str] = ()
    brand: str = ""
    title: str = ""

    @property
    def domain(self) -> str:
        """The domain."""
        return self.proposal.domain

    @property
    def price(self) -> WhatIf | None:
        """What the next step would have touched; None when there is none."""
        return price_of_next(self.proposal, self.evidence)

    def as_json(self) -> dict[str, Any]:
        """Give the contract's form of a plan, and all else that the report shows."""
        return {
            **self.proposal.as_json(self.price),
            "brand": self.brand,
            "title": self.title,
            "evidence": self.evidence.as_json(),
            "prices": [price.as_json() for price in self.prices],
            "keys": [key.as_json() for key in self.keys],
            "steps": [step.as_json() for step in self.steps],
            "history": list(self.history),
            "remarks": list(self.remarks),
        }


@dataclass(frozen=True, slots=True)
class Unknown:
    """A domain of a fleet that nothing can be said about, and why."""

    domain: str
    reason: str
    brand: str = ""

    def as_json(self) -> dict[str, Any]:
        """Give what is printed."""
        return {"domain": self.domain, "reason": self.reason, "brand": self.brand}


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetReport:
    """
    All that the report of many domains shows, such as those of an agency's customer with several brands.

    Args:
        reports: Of the domains, in any order.
        unknown: The domains that could not be looked at.
        brand: Whose domains they are.
        title: What stands above it instead of the usual title.
    """

    reports: Sequence[SignoffReport]
    unknown: Sequence[Unknown] = ()
    brand: str = ""
    title: str = ""

    def by_brand(self) -> tuple[SignoffReport, ...]:
        """Give the reports in the order in which they are shown: by brand, then by domain; last those without brand."""
        return tuple(sorted(self.reports, key=lambda report: (not report.brand, report.brand, report.domain)))

    def as_json(self) -> dict[str, Any]:
        """Give what is printed: the reports of the domains, and those that could not be looked at."""
        return {
            "brand": self.brand,
            "title": self.title,
            "domains": [report.as_json() for report in self.by_brand()],
            "unknown": [each.as_json() for each in sorted(self.unknown, key=lambda each: (each.brand, each.domain))],
        }
