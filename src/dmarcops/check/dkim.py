"""
The DKIM keys of a domain as DNS has them (RFC 6376 section 6.1.2, RFC 8301). Does no I/O: DNS is asked of a function.

DNS does not list selectors: those are looked at that we hold a key of, that reports have shown, or that are named.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dmarcops.check.findings import Area, Ask, Code, Finding, found
from dmarcops.dkim.record import Finding as Judgement
from dmarcops.dkim.record import Outcome, Record, compare, judge, key_bits, parse_record, record_name
from dmarcops.errors import BadInput
from dmarcops.policy.answers import AnswerKind, octets_of

GOOD_BITS = 2048
"""Bits that signers should have (RFC 8301 section 3.2)."""
_CODES = {
    Outcome.NO_KEY: Code.DKIM_MISSING,
    Outcome.MULTIPLE: Code.DKIM_MULTIPLE,
    Outcome.SYNTAX_ERROR: Code.DKIM_SYNTAX,
    Outcome.WRONG_VERSION: Code.DKIM_VERSION,
    Outcome.WRONG_SERVICE: Code.DKIM_SERVICE,
    Outcome.WRONG_HASH: Code.DKIM_HASH,
    Outcome.WRONG_TYPE: Code.DKIM_TYPE,
    Outcome.REVOKED: Code.DKIM_REVOKED,
    Outcome.WEAK: Code.DKIM_WEAK,
    Outcome.MISMATCH: Code.DKIM_MISMATCH,
    Outcome.TESTING: Code.DKIM_TESTING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """
    A selector to look at.

    `ours` is the record that we published, empty for a key of others; `stage` the key's; `last_seen` the end of the
    newest report that shows it passing; `is_wanted` that a key has to be there.
    """

    name: str
    ours: str = ""
    stage: str = ""
    last_seen: datetime | None = None
    is_wanted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyState:
    """What DNS has at a selector; `bits` is None when there is no key to be read."""

    selector: Selector
    outcome: Outcome
    detail: str
    algorithm: str | None
    bits: int | None

    @property
    def is_usable(self) -> bool:
        """Whether signatures can verify with it."""
        return self.outcome in (Outcome.OK, Outcome.TESTING)

    def as_json(self) -> dict[str, Any]:
        """Give what is printed."""
        return {
            "selector": self.selector.name,
            "outcome": self.outcome.value,
            "detail": self.detail,
            "algorithm": self.algorithm,
            "bits": self.bits,
            "ours": bool(self.selector.ours),
            "stage": self.selector.stage or None,
            "last_seen_in_reports": self.selector.last_seen and self.selector.last_seen.isoformat(),
        }


def check_selector(domain: str, selector: Selector, ask: Ask) -> tuple[KeyState, tuple[Finding, ...]]:
    """Say what DNS has at a selector of a domain, and what is wrong with it."""
    at = record_name(selector.name, domain)
    answer = ask(at, "TXT")
    texts = None if answer.kind is AnswerKind.TEMPERROR else [*map(octets_of, answer.texts)]
    judged = compare(texts, selector.ours.encode()) if selector.ours else judge(texts)
    bits = _bits(judged.record)
    state = KeyState(
        selector=selector,
        outcome=judged.outcome,
        detail=judged.detail,
        algorithm=judged.record.key_type if bits and judged.record else None,
        bits=bits,
    )
    return state, tuple(_findings(at, selector, judged, bits))


def _findings(at: str, selector: Selector, judged: Judgement, bits: int | None) -> Iterator[Finding]:
    code = _CODES.get(judged.outcome)
    if judged.outcome is Outcome.NO_KEY and not selector.is_wanted:
        code = Code.DKIM_GONE
    elif judged.outcome is Outcome.REVOKED and selector.ours:
        code = None if parse_record(selector.ours.encode()).is_revoked else Code.DKIM_REVOKED_OURS
    if code is not None:
        yield found(Area.DKIM, code, at, judged.detail)
    is_rsa = judged.record is not None and judged.record.key_type == "rsa"
    if is_rsa and bits and judged.outcome is not Outcome.WEAK and bits < GOOD_BITS:
        yield found(Area.DKIM, Code.DKIM_SHORT, at, f"{bits} bits")


def _bits(record: Record | None) -> int | None:
    if record is None or record.is_revoked:
        return None
    try:
        return key_bits(record)
    except BadInput:
        return None
