"""
Which DMARC record holds for a domain: by the tree walk (RFC 9989 section 4.10.1) and, to compare, by the Public Suffix
List (RFC 7489 section 6.6.3). DNS is asked of a function, each name once. Does no I/O.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

from dmarcops.domains import MAX_QUERIES, Domain, OrganizationalDomain, selected, walk
from dmarcops.policy.answers import AnswerKind, Lookup
from dmarcops.policy.record import Part, Policy, Record, dmarc_records


class Method(StrEnum):
    """How the record was looked for; the words are those of reports (RFC 9990 section 3.1.1.5)."""

    TREEWALK = "treewalk"
    PSL = "psl"


class Status(StrEnum):
    """What came of it."""

    FOUND = "found"
    NONE = "none"
    """No record, or none that can be used: DMARC is not applied."""
    TEMPERROR = "temperror"
    """DNS gave no answer to a question that matters: that is not "no record" (RFC 9989 section 4.10.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """
    What holds for a domain by one method.

    `queries` are the names asked for the policy, in order; `found_at` is the domain whose record it is; `tag` is the
    tag of it that `policy` comes from; `organizational_domain` is None when DNS would not say.
    """

    method: Method
    domain: Domain
    status: Status
    queries: tuple[str, ...]
    record: Record | None = None
    found_at: Domain | None = None
    tag: str | None = None
    policy: Policy | None = None
    organizational_domain: Domain | None = None
    several_at: tuple[Domain, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Give what is printed."""
        return {
            "method": self.method.value,
            "domain": self.domain,
            "status": self.status.value,
            "queries": list(self.queries),
            "record": None if self.record is None else str(self.record),
            "found_at": self.found_at,
            "tag": self.tag,
            "policy": self.policy and self.policy.value,
            "organizational_domain": self.organizational_domain,
        }


class _TemporaryError(Exception):
    """DNS did not say."""


class _Asked:
    """The records at names, each asked for once, and the order in which they were asked for."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self.queries: list[str] = []
        self.several_at: list[Domain] = []

    def record(self, name: str) -> Record | None:
        """Give the one record at a name; several count as none (RFC 9989 section 4.10 steps 2 and 6)."""
        self.queries.append(name)
        answer = self._lookup(f"_dmarc.{name}")
        if answer.kind is AnswerKind.TEMPERROR:
            raise _TemporaryError
        records = dmarc_records(answer.texts)
        if len(records) > 1:
            self.several_at.append(Domain(name))
        return records[0] if len(records) == 1 else None

    def exists(self, name: str) -> bool:
        """Tell whether a domain exists: it does unless DNS says NXDOMAIN (RFC 9989 section 3.2.13)."""
        answer = self._lookup(name)
        if answer.kind is AnswerKind.TEMPERROR:
            raise _TemporaryError
        return answer.kind is not AnswerKind.NXDOMAIN


def discover(domain: Domain, lookup: Lookup) -> Discovery:
    """
    Find the record of a domain by the tree walk.

    The Author Domain's own record comes first, then that of its Organizational Domain, then that of the public suffix
    above it; records between them are not used.
    """
    ask = lru_cache(maxsize=None)(lookup)
    asked = _Asked(ask)
    try:
        record, at = _by_walk(domain, asked)
        tag, policy = _applied(domain, record, at, asked, has_np=True) if record else (None, None)
    except _TemporaryError:
        return Discovery(method=Method.TREEWALK, domain=domain, status=Status.TEMPERROR, queries=tuple(asked.queries))
    return Discovery(
        method=Method.TREEWALK,
        domain=domain,
        status=Status.FOUND if policy else Status.NONE,
        queries=tuple(asked.queries),
        record=record,
        found_at=at if record else None,
        tag=tag,
        policy=policy,
        organizational_domain=_organizational_domain(domain, _Asked(ask)),
        several_at=tuple(asked.several_at),
    )


def _by_walk(domain: Domain, asked: _Asked) -> tuple[Record | None, Domain]:
    own = asked.record(domain)
    if own:
        return own, domain
    found: dict[Domain, Record] = {}

    def steps() -> Iterator[tuple[str, str | None]]:
        for name in walk(domain):
            record = None if name == domain else asked.record(name)
            if record:
                found[Domain(name)] = record
            yield name, record.psd if record else None

    organizational = selected(domain, steps())
    at = organizational if organizational in found else next((name for name in found if found[name].psd == "y"), domain)
    return found.get(at), at


def _applied(
    domain: Domain, record: Record, at: Domain, asked: _Asked, *, has_np: bool
) -> tuple[str | None, Policy | None]:
    """Give the tag of a record that is for the domain, and the policy; no policy: DMARC is not applied."""
    requested = record.requested()
    if at == domain or requested is None or record.has_invalid_policy:
        return "p" if requested else None, requested
    exists = not has_np or asked.exists(domain)
    names = ("sp", "p") if exists else ("np", "sp", "p")
    return next(name for name in names if record.policy(name) or name == "p"), record.requested_below(exists=exists)


def _organizational_domain(domain: Domain, asked: _Asked) -> Domain | None:
    def steps() -> Iterator[tuple[str, str | None]]:
        for name in walk(domain):
            record = asked.record(name)
            yield name, record.psd if record else None

    try:
        return selected(domain, steps())
    except _TemporaryError:
        return None


def discover_by_suffix_list(domain: Domain, lookup: Lookup, organizational_domain: OrganizationalDomain) -> Discovery:
    """
    Find the record of a domain as receivers that follow RFC 7489 do: at the domain, then at its organizational domain.

    Several records at the domain end it there (section 6.6.3 step 5), which differs from the tree walk.
    """
    asked = _Asked(lookup)
    organizational = organizational_domain(domain)
    at = domain
    try:
        record = asked.record(domain)
        if record is None and not asked.several_at and organizational != domain:
            at = organizational
            record = asked.record(organizational)
    except _TemporaryError:
        return Discovery(
            method=Method.PSL,
            domain=domain,
            status=Status.TEMPERROR,
            queries=tuple(asked.queries),
            organizational_domain=organizational,
        )
    tag, policy = _applied(domain, _as_rfc7489(record), at, asked, has_np=False) if record else (None, None)
    return Discovery(
        method=Method.PSL,
        domain=domain,
        status=Status.FOUND if policy else Status.NONE,
        queries=tuple(asked.queries),
        record=record,
        found_at=at if record else None,
        tag=tag,
        policy=policy,
        organizational_domain=organizational,
        several_at=tuple(asked.several_at),
    )


def _as_rfc7489(record: Record) -> Record:
    """Give what RFC 7489 knows of a record: no `np`; without `p` it is read as one with an invalid `p`."""
    parts = tuple(part for part in record.parts if part.name != "np")
    return Record(parts if record.value("p") is not None else (*parts, Part("p=")))


class DifferenceKind(StrEnum):
    """Where the two methods part, or what a domain should have for both."""

    TEMPERROR = "temperror"
    ORGANIZATIONAL_DOMAIN = "organizational-domain"
    RECORD = "record"
    POLICY = "policy"
    SEVERAL_RECORDS = "several-records"
    ABOVE_ORGANIZATIONAL = "above-organizational"
    DEEP_DOMAIN = "deep-domain"
    NO_RECORD_ABOVE = "no-record-above"


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference, explained, with the section that makes it."""

    kind: DifferenceKind
    section: str
    text: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """A domain by both methods."""

    treewalk: Discovery
    psl: Discovery
    differences: tuple[Difference, ...]

    def as_json(self) -> dict[str, Any]:
        """Give what is printed."""
        return {
            "treewalk": self.treewalk.as_json(),
            "psl": self.psl.as_json(),
            "differences": [{"kind": x.kind.value, "section": x.section, "text": x.text} for x in self.differences],
        }


def compare(domain: Domain, lookup: Lookup, organizational_domain: OrganizationalDomain) -> Comparison:
    """Find the record of a domain by both methods, and explain where they part."""
    ask = lru_cache(maxsize=None)(lookup)
    treewalk = discover(domain, ask)
    psl = discover_by_suffix_list(domain, ask, organizational_domain)
    if Status.TEMPERROR in (treewalk.status, psl.status):
        text = "DNS did not answer a question that matters, so nothing can be said"
        found: Iterator[Difference] = iter([Difference(DifferenceKind.TEMPERROR, "RFC 9989 section 4.10.1", text)])
    else:
        found = _differences(treewalk, psl)
    return Comparison(treewalk, psl, tuple(found))


def _differences(treewalk: Discovery, psl: Discovery) -> Iterator[Difference]:
    domain, new, old = treewalk.domain, treewalk.organizational_domain, psl.organizational_domain
    if new is not None and new != old:
        text = f"the organizational domain of {domain} is {new} by the tree walk, and {old} by the Public Suffix List"
        yield Difference(DifferenceKind.ORGANIZATIONAL_DOMAIN, "RFC 9989 section 4.10.2", text)
        if old is not None and old.endswith(f".{new}"):
            text = f"{new} has a record and is no public suffix by it: {old} should publish psd=n"
            yield Difference(DifferenceKind.ABOVE_ORGANIZATIONAL, "RFC 9989 section 11.8", text)
    if treewalk.found_at != psl.found_at:
        text = f"the record of {treewalk.found_at or 'nobody'} holds by the tree walk, that of {psl.found_at or 'nobody'} by the Public Suffix List"  # noqa: E501 - one sentence
        yield Difference(DifferenceKind.RECORD, "RFC 9989 section 4.10.1", text)
    elif treewalk.policy != psl.policy:
        text = f"the policy is {treewalk.policy} ({treewalk.tag}) for new receivers and {psl.policy} ({psl.tag}) for old ones"  # noqa: E501 - one sentence
        yield Difference(DifferenceKind.POLICY, "RFC 9989 section 4.7", text)
    for name in dict.fromkeys((*treewalk.several_at, *psl.several_at)):
        text = f"several DMARC records at _dmarc.{name}: all are ignored"
        yield Difference(DifferenceKind.SEVERAL_RECORDS, "RFC 9989 section 4.10", text)
    if domain.count(".") >= MAX_QUERIES and treewalk.found_at != domain:
        text = f"{domain} has more than eight labels: it needs a record of its own for a policy of its own"
        yield Difference(DifferenceKind.DEEP_DOMAIN, "RFC 9989 section 5.1.8", text)
    is_alone = treewalk.record is not None and treewalk.record.psd != "n" and treewalk.found_at == domain == new
    if is_alone and old != domain:
        text = f"{old}, the organizational domain of {domain} by the Public Suffix List, is not above it by the tree walk: it should have a record too"  # noqa: E501 - one sentence
        yield Difference(DifferenceKind.NO_RECORD_ABOVE, "RFC 9989 section 5.1.4", text)
