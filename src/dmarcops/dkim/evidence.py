"""
What real mail proves about a selector: the results of receivers, joined with the mail's own DKIM-Signature fields.

Big receivers do not write `header.s`, so a result alone does not say which key it is about. It is joined with the one
signature that it can mean, or with none; what cannot be joined never counts as pass. Does no I/O: whether the signature
verifies by our own check is given in.

A result is joined with a signature

- by `header.b`, when it is given: the beginning of exactly one signature's `b=`, at least eight characters of it
  (RFC 6008 section 4); when it matches none or two, with none, whatever else is given;
- else by `header.d`, or the domain of `header.i`, and `header.s` when it is given: when exactly one signature fits;
- else, when none of these is given, with the only signature of the mail, when it is the only DKIM result.

Nothing is joined without `header.b` as long as one of the mail's signatures cannot be read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dmarcops.dkim.authres import UNSOUND, MethodResult
from dmarcops.dkim.domain_name import a_labels, domain_part
from dmarcops.dkim.header_fields import Header, author_domain
from dmarcops.dkim.signature_field import Signature, parse_signature
from dmarcops.dkim.trust import Block, IsAligned, Trust, topmost_block

MIN_B = 8
"""Characters of `b=` that tell a signature from others (RFC 6008 section 4)."""


MAX_SIGNATURES = 50
"""Signatures of a mail above which nothing is joined."""


class Verdict(StrEnum):
    """What one mail proves."""

    PASS = "pass"  # noqa: S105 - a result, no password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    UNTRUSTED = "untrusted"
    """No receiver that is believed says anything about it."""


class OwnCheck(StrEnum):
    """What our own check of the signature against DNS gave."""

    PASS = "pass"  # noqa: S105 - a result, no password
    FAIL = "fail"
    UNKNOWN = "unknown"
    """Not checked, or DNS gave no answer."""


class Overall(StrEnum):
    """What all mails together prove."""

    PASS = "pass"  # noqa: S105 - a result, no password
    FAIL = "fail"
    WAITING = "waiting"
    """Not enough mail signed with the selector was seen yet."""
    INCONCLUSIVE = "inconclusive"
    """There is mail signed with it, and none of it can be decided."""


@dataclass(frozen=True, slots=True)
class Question:
    """
    What is to be proved, and by whom.

    Args:
        domain: The signing domain, in lower-case A-labels.
        selector: The selector that is asked for.
        trust: Whose results are believed.
        is_aligned: Whether the signing domain is aligned with an author domain, strictly or relaxed as its policy says.
    """

    domain: str
    selector: str
    trust: Trust
    is_aligned: IsAligned


@dataclass(frozen=True, slots=True)
class MessageEvidence:
    """
    What one mail proves, and why.

    `authserv_id` is that of the topmost field, trusted or not; `receiver` the configured id that was believed, None
    when none was; `node` the host that handed the mail to the receiver; `selector` that of the domain's signature, the
    one asked for when it is among them; `is_signed` whether it is.
    """

    origin: str
    authserv_id: str
    verdict: Verdict
    selector: str
    signature: OwnCheck
    detail: str
    receiver: str | None
    node: str
    is_signed: bool


@dataclass(frozen=True, slots=True)
class Thresholds:
    """
    How much is enough.

    `receivers` is N of "N of M receivers"; `failing_receivers` how many must say fail before it counts; each of `nodes`
    must have handed in a mail that passed.
    """

    min_messages: int = 1
    receivers: int = 1
    failing_receivers: int = 1
    nodes: tuple[str, ...] = ()


def judge(
    header: Header, question: Question, *, origin: str, signature: OwnCheck = OwnCheck.UNKNOWN
) -> MessageEvidence:
    """Say what one mail proves about the selector."""
    signatures = tuple(parse_signature(value) for value in header.values("dkim-signature"))
    wanted = [x for x in signatures if (x.domain, x.selector) == (question.domain, a_labels(question.selector))]
    same_domain = [x.selector for x in signatures if x.domain == question.domain]
    block = topmost_block(header, question.trust)
    receiver, verdict, detail = _decided(header, question, block, signatures)
    if verdict is Verdict.PASS and signature is OwnCheck.FAIL:
        verdict, detail = Verdict.INCONCLUSIVE, f"{detail}; but the signature does not verify by our own check"
    if verdict is Verdict.FAIL and signature is OwnCheck.PASS:
        verdict, detail = Verdict.INCONCLUSIVE, f"{detail}; but the signature verifies by our own check"
    return MessageEvidence(
        origin,
        block.authserv_id,
        verdict,
        wanted[0].selector if wanted else (same_domain or [""])[0],
        signature,
        detail,
        receiver,
        block.node,
        bool(wanted),
    )


_Decision = tuple[str | None, Verdict, str]
_CODES = {"pass": Verdict.PASS, "fail": Verdict.FAIL, "permerror": Verdict.FAIL}
"""What a result says of the signature; all other results say nothing yet."""


def _decided(header: Header, question: Question, block: Block, signatures: Sequence[Signature]) -> _Decision:
    if not block.trusted:
        return None, Verdict.UNTRUSTED, block.reason
    obstacle = _obstacle(header, question, block, signatures)
    if obstacle:
        return block.trusted[0].receiver, Verdict.INCONCLUSIVE, obstacle
    said = [(field.receiver, result) for field in block.trusted for result in field.results.of("dkim")]
    joined = [
        (receiver, result.result)
        for receiver, result in said
        if (found := join(result, signatures, is_only_result=len(said) == 1))
        and (found.domain, found.selector) == (question.domain, a_labels(question.selector))
    ]
    if not joined:
        results = ", ".join(sorted({result.result for _, result in said})) or "none"
        return block.trusted[0].receiver, Verdict.INCONCLUSIVE, f"no result is surely about it (dkim: {results})"
    receiver = joined[0][0]
    words = {word for _, word in joined} | {result.result for _, result in said if result.result == "none"}
    verdicts = {_CODES.get(word, Verdict.INCONCLUSIVE) for word in words}
    detail = f"dkim={', '.join(sorted(words))} by {receiver or 'the provider'}"
    if len(verdicts) > 1:
        return receiver, Verdict.INCONCLUSIVE, f"{detail}: the results disagree"
    return receiver, _unless_a_list_did_it(verdicts.pop(), header, question, signatures), detail


def _obstacle(header: Header, question: Question, block: Block, signatures: Sequence[Signature]) -> str:
    """Give the reason why nothing can be said, whatever the results are."""
    wanted = [x for x in signatures if (x.domain, x.selector) == (question.domain, a_labels(question.selector))]
    author = author_domain(header)
    if not header.is_complete:
        return "the header cannot be read to its end"
    if len(signatures) > MAX_SIGNATURES:
        return f"more than {MAX_SIGNATURES} signatures"
    if not wanted:
        others = ", ".join(f"{x.selector}._domainkey.{x.domain}" for x in signatures if x.is_readable)
        return f"not signed with that selector, but with {others}" if others else "not signed with that selector"
    if any(x.has_length or x.algorithm.endswith("-sha1") for x in wanted):
        return "the signature is weak: l= or SHA-1"
    if not author or not question.is_aligned(question.domain, author):
        return f"{question.domain} is not aligned with the author domain {author or '(not to be made out)'}"
    broken = (field.results.deviations for field in block.trusted if not field.results.is_sound)
    deviations = ", ".join(sorted({deviation for each in broken for deviation in each if deviation in UNSOUND}))
    return f"Authentication-Results is broken: {deviations}" if deviations else ""


def _unless_a_list_did_it(
    verdict: Verdict, header: Header, question: Question, signatures: Sequence[Signature]
) -> Verdict:
    """Let a failure not count when a mailing list, which the signature does not cover, handled the mail after it."""
    covers = any("list-id" in x.fields for x in signatures if x.domain == question.domain)
    return Verdict.INCONCLUSIVE if verdict is Verdict.FAIL and header.values("list-id") and not covers else verdict


def join(result: MethodResult, signatures: Sequence[Signature], *, is_only_result: bool) -> Signature | None:
    """Give the one signature that a DKIM result is about; None when it can be about none, or about several."""
    b, s, d, i = (result.value("header", name) for name in "bsdi")
    fitting = [x for x in signatures if _fits(x, s=s, d=d, i=i)]
    if b:
        begun = [x for x in signatures if _begins(x.b, "".join(b.split()))]
        return begun[0] if len(begun) == 1 and begun[0] in fitting else None
    if not all(x.is_readable for x in signatures):
        return None
    if not (s or d or i) and not is_only_result:
        return None
    return fitting[0] if len(fitting) == 1 else None


def _begins(whole: str, b: str) -> bool:
    return whole.startswith(b) and (len(b) >= MIN_B or b == whole)


def _fits(signature: Signature, *, s: str, d: str, i: str) -> bool:
    """Tell whether what a result names is not another signature (RFC 6376 section 3.5: `i=` is within `d=`)."""
    if s and a_labels(s) != signature.selector:
        return False
    if d and a_labels(d) != signature.domain:
        return False
    identity = domain_part(i)
    return not i or identity == signature.domain or identity.endswith("." + signature.domain)


def overall(messages: Sequence[MessageEvidence], thresholds: Thresholds) -> Overall:
    """Say what all mails together prove."""
    passed = [x for x in messages if x.verdict is Verdict.PASS]
    failing = {x.receiver for x in messages if x.verdict is Verdict.FAIL}
    if failing and len(failing) >= thresholds.failing_receivers:
        return Overall.FAIL
    is_enough = len(passed) >= thresholds.min_messages and len({x.receiver for x in passed}) >= thresholds.receivers
    if is_enough and passed and set(thresholds.nodes) <= {x.node for x in passed}:
        return Overall.PASS
    if not passed and not failing and any(x.is_signed for x in messages):
        return Overall.INCONCLUSIVE
    return Overall.WAITING


def as_json(question: Question, messages: Sequence[MessageEvidence], verdict: Overall) -> dict[str, Any]:
    """Give what `dmarcops verify` prints."""
    return {
        "domain": question.domain,
        "selector": question.selector,
        "verdict": verdict.value,
        "messages": [
            {
                "origin": x.origin,
                "authserv_id": x.authserv_id,
                "verdict": x.verdict.value,
                "selector": x.selector,
                "signature": x.signature.value,
                "detail": x.detail,
            }
            for x in messages
        ],
    }
