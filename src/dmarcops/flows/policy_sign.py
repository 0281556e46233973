"""
People's words about a policy: signatures under a step, holds, and that a record which somebody else wrote is right.

A signature binds the digest of what a person was shown. What is shown is worked out anew when it is signed; a digest of
some days ago can still be signed as long as the facts have not moved away from it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from dmarcops.errors import ConfigError, Refused, UnsafeChangeError
from dmarcops.flows.policy import Governed, Outlook, Policies
from dmarcops.flows.policy_dns import shown
from dmarcops.policy.journal import Change, Kind, standing
from dmarcops.policy.signoff import Signoff, Statement, movements, sign, signers, tampering
from dmarcops.store import keys, policies, signoffs
from dmarcops.store.normal import storable


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What a person says: `by` is the name that is given, `who` the user of the system, `at` is to the second."""

    by: str
    who: str
    at: datetime
    comment: str = ""


def show(looked: Policies, outlooks: Iterable[Outlook]) -> None:
    """
    Keep what a person is shown, so that the digests can be signed later.

    Raises:
        StoreError: The store cannot be written.
    """
    statements = [each.judged.statement for each in outlooks if each.judged is not None and each.judged.statement]
    if statements:
        signoffs.show(looked.store, statements, looked.clock())


def sign_step(looked: Policies, governed: Governed, word: Word, *, digest: str = "") -> Signoff:
    """
    Put a signature under the next step of a domain; one that is there already stays the one it is.

    Args:
        looked: Looks at the policy.
        governed: The domain.
        word: Who signs.
        digest: What the person was shown; empty: what there is now, or what another person has signed of it already.

    Raises:
        EdgeError: DNS does not answer, and it never said which record there is.
        Refused: There is nothing to be signed, or it is not what the person was shown.
        StoreError: The store failed.
    """
    if not word.by.strip():
        raise ConfigError("--by names nobody")
    with looked.store.exclusive(governed.domain):
        (outlook,) = looked.look([governed])
        judged = outlook.judged
        if judged is None and outlook.problems:
            raise outlook.problems[0]
        if judged is None or judged.statement is None:
            reasons = judged.reasons if judged is not None else (str(outlook.published.problem),)
            raise Refused("nothing-to-sign", f"{governed.domain} has no next step: {'; '.join(reasons)}")
        signoff = _signoff(looked, outlook, judged.statement, digest)
        by = storable(" ".join(word.by.split()))
        if by.casefold() in signers(signoff, governed.rules.signing, now=looked.clock()):
            return signoff
        at = word.at.replace(microsecond=0)
        signed = sign(signoff, by=by, at=at, comment=storable(word.comment))
        proof = looked.ring.prove(signed.signatures[-1].seal)
        signoffs.sign(looked.store, signed, who=word.who, proof=proof, adopted=_adopted(outlook, word), now=at)
        return signed


def resume(looked: Policies, governed: Governed, word: Word) -> tuple[str, ...]:
    """
    End a hold, and take a record that somebody else wrote for right; returns what was done of both, in words.

    Raises:
        Refused: Another run is at work on the domain, or DNS does not say which record it has.
        StoreError: The store failed.
    """
    with looked.store.exclusive(governed.domain):
        done = []
        if keys.resume(looked.store, governed.domain, "policy", who=word.who, now=word.at):
            done.append("the hold is over")
        (outlook,) = looked.look([governed])
        adopted = _adopted(outlook, word)
        if adopted is not None:
            policies.decide(looked.store, adopted, detail=word.comment or "taken for right by a person", now=word.at)
            done.append(f"the record in DNS is taken for right: {shown((adopted.after,))}")
        elif outlook.published.problem is not None:
            done.append(f"no record was taken for right: {outlook.published.problem}")
        return tuple(done)


def _signoff(looked: Policies, outlook: Outlook, current: Statement, digest: str) -> Signoff:
    """Give the statement that is meant, with the signatures that are under it already."""
    if digest and digest != current.digest:
        earlier = signoffs.find(looked.store, outlook.domain, digest)
        if earlier is None or earlier.signoff.statement.digest != digest:
            raise Refused(
                "digest",
                f"{digest} was not shown for {outlook.domain}; what would be signed now is {current.digest}",
                hint=f"`dmarcops policy plan {outlook.domain}` shows it",
            )
        moved = _moved(earlier.signoff, current, outlook)
        if moved:
            hint = f"`dmarcops policy plan {outlook.domain}` shows what there is now: {current.digest}"
            raise Refused("digest", f"the facts have moved away from {digest}: {'; '.join(moved)}", hint=hint)
        return earlier.signoff
    if not digest and outlook.signed is not None and not outlook.unproved:
        begun = outlook.signed.signoff
        is_valid = looked.clock() < begun.signatures[-1].at + outlook.governed.rules.signing.valid_for
        if is_valid and not _moved(begun, current, outlook):
            return begun
    there = signoffs.find(looked.store, outlook.domain, current.digest)
    return there.signoff if there is not None else Signoff(current)


def _moved(signoff: Signoff, current: Statement, outlook: Outlook) -> tuple[str, ...]:
    if outlook.evidence is None:
        raise AssertionError(outlook.domain)
    rules = outlook.governed.rules.signing
    return (*tampering(signoff), *movements(signoff.statement, current, outlook.evidence, rules))


def _adopted(outlook: Outlook, word: Word) -> Change | None:
    """Give the record that somebody else wrote as one that a person takes for right; None when it is ours."""
    newest, octets = standing(outlook.stored.changes), outlook.published.octets
    if outlook.foreign is None or newest is None or octets is None:
        return None
    if newest.is_open:
        raise UnsafeChangeError(
            "under-way",
            f"a change of {outlook.domain} is under way",
            hint=f"`dmarcops policy advance {outlook.domain}` settles it first",
        )
    adopted = Change(
        id=0,
        domain=outlook.domain,
        kind=Kind.ADOPT,
        before=newest.after,
        after=octets,
        digest="",
        who=word.who,
        decided_at=word.at,
    )
    return replace(adopted, written_at=word.at, acknowledged_at=word.at)
