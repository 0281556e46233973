"""
The facts of a tick: asked of DNS, of the signers, of mail that was received and of the store. Changes nothing.

What cannot be asked is absent, which counts as unknown, and is told as a problem.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from dmarcops.dkim.lifecycle import Facts, Key, Signing, Stage
from dmarcops.dkim.record import Algorithm
from dmarcops.dkim.rotation import names_to_ask, names_to_resolve
from dmarcops.errors import DmarcopsError, DnsError, UnsafeChangeError
from dmarcops.flows.effects import private_half
from dmarcops.flows.outside import Outside
from dmarcops.ports import Foreseeing
from dmarcops.report.model import Domain

_WITNESSED = frozenset((Stage.ACTIVE, Stage.VERIFIED, Stage.RETIRING))


def gather(
    keys: Sequence[Key], outside: Outside, known: Facts, now: datetime
) -> tuple[Facts, tuple[DmarcopsError, ...]]:
    """
    Ask for all facts.

    Args:
        keys: The keys as they are saved.
        outside: What is asked.
        known: What the store says.
        now: When.

    Returns:
        The facts, and what could not be asked.
    """
    looking = _Looking(outside)
    facts = looking.at_dns(keys, known)
    facts = replace(facts, signing=looking.at_signers(keys))
    facts = replace(facts, recursive=looking.at_resolvers(names_to_resolve(keys, facts, outside.plan, now)))
    witnessed = [key for key in keys if key.stage in _WITNESSED]
    if any(key.stage is not Stage.VERIFIED for key in witnessed):
        testimony = outside.witness.testify(witnessed, now)
        facts = replace(facts, evidence=testimony.verdicts, last_signed=testimony.last_signed)
        looking.problems += testimony.problems
    return replace(facts, unanswered=looking.unanswered), tuple(looking.problems)


def look_at_switched(
    before: Sequence[Key], after: Sequence[Key], outside: Outside, facts: Facts
) -> tuple[Facts, tuple[DmarcopsError, ...]]:
    """
    Look at what only matters to a switch, of the keys that are to be switched to: no other is loaded.

    Args:
        before: The keys as they are saved.
        after: The keys as the law would have them.
        outside: What is asked.
        facts: All other facts.

    Returns:
        The facts with what stands against it, if anything does, and the same as errors.
    """
    signing = {key.selector for key in before if key.is_signing}
    unusable: dict[str, str] = {}
    refusing: dict[str, str] = {}
    problems: list[DmarcopsError] = []
    for key in after:
        if key.stage is not Stage.ACTIVE or key.selector in signing:
            continue
        try:
            private_half(key, outside)
        except DmarcopsError as error:
            unusable[key.selector] = error.told
            problems.append(error)
            continue
        refusals = list(_refusals(key, outside))
        if refusals:
            refusing[key.selector] = "; ".join(refusal.told for refusal in refusals)
            problems += refusals
    return replace(facts, unusable=unusable, refusing=refusing), tuple(problems)


def _refusals(key: Key, outside: Outside) -> Iterator[DmarcopsError]:
    """Give what each signer would refuse the switch for, if it can tell."""
    for name, domain in outside.plan.places:
        signer = outside.signers[name]
        if not isinstance(signer, Foreseeing):
            continue
        found = signer.foresee(Domain(domain), key.algorithm.value)
        hint = "; ".join(finding.text for finding in found if finding.kind == "hint")
        for finding in found:
            if finding.kind == "problem":
                yield UnsafeChangeError("refusal", f"{name} cannot be switched for {domain}: {finding.text}", hint=hint)


class _Looking:
    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self.problems: list[DmarcopsError] = []
        self.unanswered: dict[str, str] = {}

    def at_dns(self, keys: Sequence[Key], known: Facts) -> Facts:
        """Ask the authoritative servers; where they say the negative TTL is part of the answer."""
        resolver, plan = self._outside.resolver, self._outside.plan
        published = {
            name
            for key in keys
            if key.stage is Stage.PUBLISHED and not key.pending
            for name in plan.names(key.selector)
        }
        authoritative, negative = {}, 0
        for name in names_to_ask(keys, plan):
            try:
                answers = resolver.authoritative(name)
                if name in published:
                    negative = max(negative, resolver.negative_ttl(name))
            except DnsError as error:
                self._unanswered(name, error)
            else:
                authoritative[name] = answers
        return replace(known, authoritative=authoritative, negative_ttl=timedelta(seconds=negative))

    def at_resolvers(self, names: Sequence[str]) -> dict[str, dict[str, tuple[bytes, ...]]]:
        """Ask the recursive resolvers; only for what they cannot remember as absent."""
        recursive = {}
        for name in names:
            try:
                recursive[name] = self._outside.resolver.recursive(name)
            except DnsError as error:
                self._unanswered(name, error)
        return recursive

    def at_signers(self, keys: Sequence[Key]) -> tuple[Signing, ...]:
        """Ask each signer what it signs each domain with."""
        plan = self._outside.plan
        algorithms = [x for x in Algorithm if x in plan.algorithms or any(key.algorithm is x for key in keys)]
        found, faults = [], {}
        for name, domain in plan.places:
            for algorithm in algorithms:
                try:
                    selector = self._outside.signers[name].current(Domain(domain), algorithm.value)
                except DmarcopsError as error:
                    faults[str(error)] = error
                else:
                    found.append(Signing(signer=name, domain=domain, algorithm=algorithm, selector=selector))
        self.problems += faults.values()
        return tuple(found)

    def _unanswered(self, name: str, error: DnsError) -> None:
        self.unanswered[name] = str(error)
        self.problems.append(error)
