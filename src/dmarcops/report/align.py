"""
Why mail is aligned or not, mechanism by mechanism (RFC 9989 section 4.4).

The verdict is the reporter's (`policy_evaluated`); what is worked out here is the reason. Does no I/O: the
organizational domain is asked of a function, `suffix_list` by the Public Suffix List or `tree_walk` by DNS data.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from dmarcops.domains import (
    MAX_QUERIES,
    OrganizationalDomain,
    TxtLookup,
    suffix_list,
    tree_walk,
    walk,
)
from dmarcops.report.model import (
    AlignmentMode,
    DkimAuthResult,
    DkimResultType,
    DmarcResult,
    Domain,
    Evaluation,
    PolicyPublished,
    SpfAuthResult,
    SpfResultType,
    SpfScope,
)

__all__ = [
    "MAX_QUERIES",
    "Alignment",
    "DkimFailure",
    "OrganizationalDomain",
    "SpfFailure",
    "TxtLookup",
    "alignment",
    "classify",
    "is_aligned",
    "suffix_list",
    "tree_walk",
    "walk",
]


class DkimFailure(StrEnum):
    """Why DKIM gave no aligned pass."""

    NO_DKIM = "no-dkim"
    DKIM_FAIL = "dkim-fail"
    DKIM_UNALIGNED = "dkim-unaligned"


class SpfFailure(StrEnum):
    """Why SPF gave no aligned pass."""

    NO_SPF = "no-spf"
    SPF_FAIL = "spf-fail"
    SPF_UNALIGNED = "spf-unaligned"


@dataclass(frozen=True, slots=True)
class Alignment:
    """
    Why DMARC alignment failed, for each mechanism; `None` where the mechanism gave an aligned pass.

    `dkim_aligned` and `spf_aligned` say for each entry of `auth_results`, in order, whether its domain is aligned with
    the author domain, whatever its result.
    """

    dkim: DkimFailure | None
    spf: SpfFailure | None
    dkim_aligned: tuple[bool, ...]
    spf_aligned: tuple[bool, ...]


def classify(evaluation: Evaluation, policy: PolicyPublished, organizational_domain: OrganizationalDomain) -> Alignment:
    """Say for each mechanism why the reporter saw no aligned pass; an absent `adkim` or `aspf` is relaxed."""
    author = evaluation.identifiers.header_from
    results = evaluation.auth_results
    dkim_aligned = tuple(is_aligned(x.domain, author, policy.adkim, organizational_domain) for x in results.dkim)
    spf_aligned = tuple(is_aligned(x.domain, author, policy.aspf, organizational_domain) for x in results.spf)
    outcome = evaluation.policy_evaluated
    return Alignment(
        None if outcome.dkim is DmarcResult.PASS else _dkim_failure(results.dkim, dkim_aligned),
        None if outcome.spf is DmarcResult.PASS else _spf_failure(results.spf, spf_aligned),
        dkim_aligned,
        spf_aligned,
    )


def is_aligned(
    authenticated: Domain | None,
    author: Domain | None,
    mode: AlignmentMode | None,
    organizational_domain: OrganizationalDomain,
) -> bool:
    """Tell whether an authenticated domain is aligned with the author domain (RFC 9989 section 4.4)."""
    if not authenticated or not author:
        return False
    if authenticated == author:
        return True
    if mode is AlignmentMode.STRICT:
        return False
    return organizational_domain(authenticated) == organizational_domain(author)


def alignment(mode: AlignmentMode | None, organizational_domain: OrganizationalDomain) -> Callable[[str, str], bool]:
    """Give `is_aligned` as a test of two domains in lower-case A-labels; without a mode it is relaxed."""

    def test(authenticated: str, author: str) -> bool:
        return is_aligned(Domain(authenticated), Domain(author), mode, organizational_domain)

    return test


def _dkim_failure(results: tuple[DkimAuthResult, ...], aligned: tuple[bool, ...]) -> DkimFailure:
    """
    An aligned signature that passes in `auth_results` while the reporter says fail counts as unaligned.

    The reporter then applied a stricter alignment than the report shows.
    """
    signed = [
        (result.result is DkimResultType.PASS, fits)
        for result, fits in zip(results, aligned, strict=True)
        if result.result is not DkimResultType.NONE
    ]
    if not signed:
        return DkimFailure.NO_DKIM
    if any(fits and not passed for passed, fits in signed) and not any(fits and passed for passed, fits in signed):
        return DkimFailure.DKIM_FAIL
    return DkimFailure.DKIM_UNALIGNED if any(passed for passed, _ in signed) else DkimFailure.DKIM_FAIL


def _spf_failure(results: tuple[SpfAuthResult, ...], aligned: tuple[bool, ...]) -> SpfFailure:
    """Only the MAIL FROM identity counts (RFC 9989 section 4.4); HELO alone is no SPF for DMARC."""
    checked = [
        (result.result is SpfResultType.PASS, fits)
        for result, fits in zip(results, aligned, strict=True)
        if result.scope is not SpfScope.HELO and result.result is not SpfResultType.NONE
    ]
    if not checked:
        return SpfFailure.NO_SPF
    return SpfFailure.SPF_UNALIGNED if any(passed for passed, _ in checked) else SpfFailure.SPF_FAIL
