"""
Signatures under a step: who agreed to which record, on which evidence. Does no I/O.

A signature binds a digest over the record now, the record next and the evidence, in one canonical form, so that what
was shown can be told from whatever else. It carries a seal over itself and over the seal before it: a signature that
was changed, put in, or taken out from between others is noticed. It lapses with time, and when the facts have moved
away from what was signed.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from dmarcops.policy.evidence import Evidence, SourceKind

_RATES = ("pass_rate", "dkim_rate", "unknown_share")
_MAX_VOLUME_CHANGE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningRules:
    """How many have to sign, for how long it holds, and how far the rates may move meanwhile."""

    signers: int = 1
    valid_for: timedelta = timedelta(days=14)
    tolerance: float = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What is signed: the records as they are to the octet, and the evidence as `Evidence.as_json` gives it."""

    domain: str
    record_now: str
    record_next: str
    evidence: Mapping[str, Any]

    def fields(self) -> dict[str, Any]:
        """Give what the digest is over; `Statement(**fields)` is the statement again."""
        return {
            "domain": self.domain,
            "record_now": self.record_now,
            "record_next": self.record_next,
            "evidence": self.evidence,
        }

    @property
    def digest(self) -> str:
        """The digest that signatures bind: SHA-256 over the canonical form, in hexadecimal digits."""
        return sha256(canonical(self.fields())).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature; `previous` is the seal of the one before it, empty for the first."""

    by: str
    at: datetime
    comment: str
    digest: str
    previous: str
    seal: str

    def as_json(self) -> dict[str, Any]:
        """Give the contract's form."""
        return {"by": self.by, "at": self.at.isoformat(), "comment": self.comment, "digest": self.digest}


@dataclass(frozen=True, slots=True)
class Signoff:
    """A statement and the signatures under it, in their order."""

    statement: Statement
    signatures: tuple[Signature, ...] = ()


def canonical(value: object) -> bytes:
    """Give the one form of a JSON value that is hashed: sorted keys, no white space, UTF-8, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def sign(signoff: Signoff, *, by: str, at: datetime, comment: str = "") -> Signoff:
    """Put a signature under a statement."""
    previous = signoff.signatures[-1].seal if signoff.signatures else ""
    digest = signoff.statement.digest
    seal = _seal(by=by, at=at, comment=comment, digest=digest, previous=previous)
    signature = Signature(by=by, at=at, comment=comment, digest=digest, previous=previous, seal=seal)
    return Signoff(signoff.statement, (*signoff.signatures, signature))


def _seal(*, by: str, at: datetime, comment: str, digest: str, previous: str) -> str:
    fields = {"by": by, "at": at.isoformat(), "comment": comment, "digest": digest, "previous": previous}
    return sha256(canonical(fields)).hexdigest()


def tampering(signoff: Signoff) -> tuple[str, ...]:
    """Say what of a sign-off was changed after it was signed; nothing when all is as it was."""
    digest, previous, found = signoff.statement.digest, "", []
    for signature in signoff.signatures:
        expected = _seal(
            by=signature.by,
            at=signature.at,
            comment=signature.comment,
            digest=signature.digest,
            previous=signature.previous,
        )
        if signature.seal != expected:
            found.append(f"the signature of {signature.by} was changed")
        if signature.previous != previous:
            found.append(f"a signature before that of {signature.by} is missing or was put in")
        if signature.digest != digest:
            found.append(f"{signature.by} signed something else: {signature.digest}")
        previous = signature.seal
    return tuple(found)


def lapses(
    signoff: Signoff, current: Statement, evidence: Evidence, rules: SigningRules, *, now: datetime
) -> tuple[str, ...]:
    """
    Say why a sign-off does not, or no longer, hold; nothing when it holds.

    Args:
        signoff: What was signed.
        current: What would be signed now.
        evidence: The evidence now.
        rules: How much may have changed.
        now: The time now.
    """
    moved = movements(signoff.statement, current, evidence, rules)
    return (*tampering(signoff), *_unsigned(signoff, rules, now), *moved)


def expired(signoff: Signoff, rules: SigningRules, *, now: datetime) -> tuple[Signature, ...]:
    """Give the signatures that are too old to count; who made one may sign again."""
    return tuple(x for x in signoff.signatures if not x.at <= now < x.at + rules.valid_for)


def signers(signoff: Signoff, rules: SigningRules, *, now: datetime) -> frozenset[str]:
    """Give those whose signatures count, in one form of their names."""
    old = expired(signoff, rules, now=now)
    return frozenset(x.by.strip().casefold() for x in signoff.signatures if x not in old)


def _unsigned(signoff: Signoff, rules: SigningRules, now: datetime) -> Iterator[str]:
    valid = signers(signoff, rules, now=now)
    old = dict.fromkeys(x.by for x in signoff.signatures if x.by.strip().casefold() not in valid)
    if len(valid) < rules.signers:
        yield f"{len(valid)} of {rules.signers} signatures" + (f"; expired: {', '.join(old)}" if old else "")


def movements(signed: Statement, current: Statement, evidence: Evidence, rules: SigningRules) -> Iterator[str]:
    """Say how far the facts have moved away from what is signed, beyond what the rules allow."""
    if signed.domain != current.domain:
        yield f"it was signed for {signed.domain}"
    if signed.record_now != current.record_now:
        yield "the record in DNS is not the one that was signed"
    if signed.record_next != current.record_next:
        yield "the next record is not the one that was signed"
    yield from _figures_moved(signed.evidence.get("figures", {}), evidence.figures(), rules.tolerance)
    known = {x["name"] for x in signed.evidence.get("sources", ()) if x["kind"] == SourceKind.ACKNOWLEDGED}
    least = rules.tolerance * evidence.acknowledged.messages
    for source in evidence.of_kind(SourceKind.ACKNOWLEDGED):
        if source.name not in known and source.total.messages > least:
            yield f"{source.name} is acknowledged, and was not when it was signed"


def _figures_moved(
    signed: Mapping[str, float | int | None], now: Mapping[str, float | int | None], tolerance: float
) -> Iterator[str]:
    for name in _RATES:
        before, after = signed.get(name), now[name]
        if not _is_near(before, after, tolerance):
            yield f"{name} was {before} when it was signed, and is {after}"
    before, after = signed.get("messages") or 0, now["messages"] or 0
    if max(before, after) > _MAX_VOLUME_CHANGE * min(before, after):
        yield f"messages were {before} when it was signed, and are {after}"


def _is_near(before: float | None, after: float | None, tolerance: float) -> bool:
    """Tell whether two figures, which have six digits, differ by no more."""
    if before is None or after is None:
        return before == after
    return round(abs(before - after), 6) <= tolerance
