from dataclasses import replace

import pytest

from dmarcops.dkim.authres import parse
from dmarcops.dkim.evidence import (
    MAX_SIGNATURES,
    MessageEvidence,
    Overall,
    OwnCheck,
    Question,
    Thresholds,
    Verdict,
    as_json,
    join,
    judge,
    overall,
)
from dmarcops.dkim.header_fields import parse_header
from dmarcops.dkim.signature_field import Signature
from dmarcops.dkim.trust import Trust
from dmarcops.report.align import alignment, suffix_list
from dmarcops.report.model import AlignmentMode

ORGANIZATIONAL = suffix_list()
RELAXED = alignment(None, ORGANIZATIONAL)
B, OTHER_B = "AbCdEfGh/IjKl+==", "ZyXwVuTs/RqPo+=="
FROM = "From: news@example.com\n"


def ask(*authserv_ids: str, selector: str = "new", mode: AlignmentMode | None = None) -> Question:
    return Question(
        "example.com",
        selector,
        Trust(authserv_ids or ("mx.receiver.example",), RELAXED),
        alignment(mode, ORGANIZATIONAL),
    )


def signed(selector: str = "new", domain: str = "example.com", b: str = B, more: str = "") -> str:
    return (
        f"DKIM-Signature: v=1; a=rsa-sha256; d={domain}; s={selector};\n\th=From:Subject; {more}b={b[:6]}\n\t{b[6:]}\n"
    )


def said(*results: str, by: str = "mx.receiver.example") -> str:
    return f"Authentication-Results: {'; '.join((by, *results))}\n"


def verdict(
    *fields: str, question: Question | None = None, signature: OwnCheck = OwnCheck.UNKNOWN
) -> tuple[Verdict, str]:
    header = parse_header(("".join(fields) + "\n").encode())
    evidence = judge(header, question or ask(), origin="a.eml", signature=signature)
    return evidence.verdict, evidence.detail


@pytest.mark.parametrize(
    "result",
    [
        f"dkim=pass header.d=example.com header.s=new header.b={B[:8]}",
        f"dkim=pass header.i=@example.com header.s=new header.b={B[:8]}",
        f"dkim=pass header.i=@mail.example.com header.b={B}",
        f'dkim=pass header.b="{B[:8]}"',
        "dkim=pass header.d=EXAMPLE.com header.s=NEW",
        "dkim=pass header.d=example.com",
        "dkim=pass header.i=@mail.example.com",
        "dkim=pass",
    ],
)
def test_judge_passes_a_result_that_is_surely_about_the_selector(result: str) -> None:
    assert verdict(said(result), signed(), FROM) == (Verdict.PASS, "dkim=pass by mx.receiver.example")


@pytest.mark.parametrize("word", ["fail", "permerror"])
def test_judge_fails_when_the_signature_failed(word: str) -> None:
    assert verdict(said(f"dkim={word} header.d=example.com"), signed(), FROM)[0] is Verdict.FAIL


@pytest.mark.parametrize("word", ["temperror", "timeout", "policy", "neutral", "dkim_pass", "softfail", "none"])
def test_judge_is_inconclusive_when_the_result_says_nothing_yet(word: str) -> None:
    assert verdict(said(f"dkim={word} header.d=example.com"), signed(), FROM)[0] is Verdict.INCONCLUSIVE


PASSED = said("dkim=pass header.d=example.com")
NOT_SURE = "no result is surely about it (dkim: pass)"
NO_RESULT = "no result is surely about it (dkim: none)"


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ((said("dkim=pass header.d=example.com header.s=old"), signed()), NOT_SURE),
        ((said("dkim=pass header.d=other.example"), signed()), NOT_SURE),
        ((said("dkim=pass header.b=abcdefgh"), signed()), NOT_SURE),
        ((said(f"dkim=pass header.b={B[:7]}"), signed()), NOT_SURE),
        ((said(f"dkim=pass header.d=other.example header.b={B[:8]}"), signed()), NOT_SURE),
        ((said("dkim=pass header.i=@other.example"), signed()), NOT_SURE),
        ((said("dkim=pass header.i=@"), signed()), NOT_SURE),
        ((said("dkim=pass", "dkim=pass"), signed()), NOT_SURE),
        ((said("spf=pass"), signed()), NO_RESULT),
        ((said("none"), signed()), NO_RESULT),
        ((said("dkim/2=pass header.d=example.com"), signed()), NO_RESULT),
        ((said("dkim=none (x; dkim=pass header.d=example.com)"), signed()), "dkim=none by mx.receiver.example"),
        # Two signatures of one domain: RSA and Ed25519, or the old selector and the new.
        ((PASSED, signed(), signed("old", b=OTHER_B)), NOT_SURE),
        # A signature that cannot be read may be the one that passed.
        ((PASSED, signed(), "DKIM-Signature: d=example.com; s=old; s=old\n"), NOT_SURE),
        # Two signatures that begin alike.
        ((said(f"dkim=pass header.b={B[:8]}"), signed(), signed("old")), NOT_SURE),
        ((PASSED, signed("old")), "not signed with that selector, but with old._domainkey.example.com"),
        ((PASSED,), "not signed with that selector"),
        ((PASSED, signed(more="l=10; ")), "the signature is weak: l= or SHA-1"),
        ((said("dkim=pass header.d=example.com header.d=b.example"), signed()),
         "Authentication-Results is broken: repeated-property"),
        ((said("spf=pass (x) ; dkim=pass header.d=example.com @y)"), signed()),
         "Authentication-Results is broken: stray-parenthesis"),
        ((PASSED, signed(), "junk\n"), "the header cannot be read to its end"),
        ((PASSED, signed() * (MAX_SIGNATURES + 1)), "more than 50 signatures"),
        ((said("dkim=pass header.d=example.com", "dkim=fail header.d=example.com"), signed()),
         "dkim=fail, pass by mx.receiver.example: the results disagree"),
        ((said("dkim=none"), PASSED, signed()), "dkim=none, pass by mx.receiver.example: the results disagree"),
    ],
)  # fmt: skip
def test_judge_is_inconclusive_when_the_result_may_be_about_something_else(
    fields: tuple[str, ...], detail: str
) -> None:
    assert verdict(*fields, FROM) == (Verdict.INCONCLUSIVE, detail)


def test_judge_does_not_count_sha_1() -> None:
    fields = (said("dkim=pass header.d=example.com"), signed().replace("sha256", "sha1"), FROM)
    assert verdict(*fields) == (Verdict.INCONCLUSIVE, "the signature is weak: l= or SHA-1")


def test_judge_tells_two_selectors_of_one_domain_apart() -> None:
    results = said("dkim=perm_fail header.i=@example.com header.s=old", "dkim=pass header.i=@example.com header.s=new")
    both = signed(), signed("old", b=OTHER_B)
    assert verdict(results, *both, FROM)[0] is Verdict.PASS
    assert verdict(results, *both, FROM, question=ask(selector="old"))[0] is Verdict.INCONCLUSIVE
    by_b = said(
        f"dkim=fail header.d=example.com header.b={OTHER_B[:8]}", f"dkim=pass header.d=example.com header.b={B[:8]}"
    )
    assert verdict(by_b, *both, FROM)[0] is Verdict.PASS
    assert verdict(by_b, *both, FROM, question=ask(selector="old"))[0] is Verdict.FAIL


@pytest.mark.parametrize(
    "fields",
    [
        # a foreign authserv-id
        (said("dkim=pass header.d=example.com header.s=new", by="attacker.example"), signed(), FROM),
        # one that only ends like ours
        (said("dkim=pass header.d=example.com", by="mx.receiver.example.attacker.example"), signed(), FROM),
        # none at all
        ("Authentication-Results: dkim=pass header.d=example.com\n", signed(), FROM),
        # ours, below what the sender wrote
        (signed(), FROM, said("dkim=pass header.d=example.com")),
        # ours, below another hop
        ("Received: from a by b.example; date\n", said("dkim=pass header.d=example.com"), signed(), FROM),
        # in an attached message
        (signed(), FROM, "Content-Type: message/rfc822\n\n", said("dkim=pass header.d=example.com"), signed(), FROM),
        # of a forwarder, sealed by ARC
        ("ARC-Authentication-Results: i=1; mx.receiver.example; dkim=pass header.d=example.com\n", signed(), FROM),
        ("Authentication-Results-Original: mx.receiver.example; dkim=pass header.d=example.com\n", signed(), FROM),
    ],
)
def test_judge_does_not_trust_forged_fields(fields: tuple[str, ...]) -> None:
    assert verdict(*fields)[0] is Verdict.UNTRUSTED


@pytest.mark.parametrize("between", ["Received: from x.example by mx.receiver.example; date\n", "X-Spam: no\n"])
def test_judge_takes_no_pass_from_a_forged_field_below_a_real_failure(between: str) -> None:
    real = said(f"dkim=fail header.d=example.com header.b={B[:8]}")
    forged = said(f"dkim=pass header.d=example.com header.b={B[:8]}")
    assert verdict(real, between, forged, signed(), FROM)[0] is not Verdict.PASS


def test_judge_takes_no_pass_from_a_mailing_lists_own_signature() -> None:
    of_list = signed("list", "list.example", OTHER_B)
    results = said(
        f"dkim=pass header.d=list.example header.b={OTHER_B[:8]}", f"dkim=fail header.d=example.com header.b={B[:8]}"
    )
    assert verdict(results, of_list, signed(), FROM)[0] is Verdict.FAIL
    assert verdict(results, of_list, "List-Id: <l.list.example>\n", signed(), FROM)[0] is Verdict.INCONCLUSIVE
    own = signed().replace("h=From", "h=List-Id:From")
    assert verdict(results, of_list, "List-Id: <l.example.com>\n", own, FROM)[0] is Verdict.FAIL
    only_list = said(f"dkim=pass header.d=list.example header.b={OTHER_B[:8]}")
    assert verdict(only_list, of_list, signed(), FROM)[0] is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("author", "mode", "expected"),
    [
        ("a@example.com", AlignmentMode.STRICT, Verdict.PASS),
        ("a@mail.example.com", None, Verdict.PASS),
        ("a@mail.example.com", AlignmentMode.STRICT, Verdict.INCONCLUSIVE),
        ("a@other.example", None, Verdict.INCONCLUSIVE),
        ("a@example.com, b@other.example", None, Verdict.INCONCLUSIVE),
    ],
)
def test_judge_asks_for_alignment_with_the_author(author: str, mode: AlignmentMode | None, expected: Verdict) -> None:
    fields = said("dkim=pass header.d=example.com"), signed(), f"From: {author}\n"
    assert verdict(*fields, question=ask(mode=mode))[0] is expected


@pytest.mark.parametrize(
    ("word", "check", "expected", "detail"),
    [
        ("pass", OwnCheck.PASS, Verdict.PASS, "dkim=pass by mx.receiver.example"),
        ("fail", OwnCheck.FAIL, Verdict.FAIL, "dkim=fail by mx.receiver.example"),
        (
            "pass",
            OwnCheck.FAIL,
            Verdict.INCONCLUSIVE,
            "dkim=pass by mx.receiver.example; but the signature does not verify by our own check",
        ),
        (
            "fail",
            OwnCheck.PASS,
            Verdict.INCONCLUSIVE,
            "dkim=fail by mx.receiver.example; but the signature verifies by our own check",
        ),
    ],
)
def test_judge_is_inconclusive_when_our_own_check_says_otherwise(
    word: str, check: OwnCheck, expected: Verdict, detail: str
) -> None:
    fields = said(f"dkim={word} header.d=example.com"), signed(), FROM
    assert verdict(*fields, signature=check) == (expected, detail)


def test_judge_reads_each_providers_line() -> None:
    lines = {
        "mx.google.com": f"mx.google.com; dkim=pass header.i=@example.com header.s=new header.b={B[:8]}; spf=pass (a)",
        "": "spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=example.com; dkim=pass (signature was verified) "
        "header.d=example.com;dmarc=pass action=none header.from=example.com;compauth=pass reason=100",
        ".yahoo.com": "atlas-production.v2.omega.yahoo.com; dkim=pass header.i=@example.com header.s=new;",
        "dkim-verifier.icloud.com": f"dkim-verifier.icloud.com; dkim=pass header.d=example.com header.b={B[:8]}",
        ".protonmail.ch": "mailin033.protonmail.ch; dkim=pass (Good) header.d=example.com header.a=rsa-sha256",
        "mx.zohomail.com": "mx.zohomail.com; dkim=pass; spf=pass (zohomail.com: x) smtp.mailfrom=bounce@example.com",
        "mail.example.org": f"mail.example.org;\n\tdkim=pass (2048-bit key; unprotected) header.b={B[:8]}",
        "amazonses.com": "amazonses.com; spf=pass client-ip=192.0.2.51; helo=a.b; dkim=pass header.i=@example.com;",
    }
    for entry, line in lines.items():
        evidence = judge(
            parse_header(f"Authentication-Results: {line}\n{signed()}{FROM}\n".encode()), ask(entry), origin=""
        )
        assert (evidence.verdict, evidence.receiver) == (Verdict.PASS, entry)


def test_judge_merges_two_fields_of_one_receiver() -> None:
    proton = (
        said("dkim=pass header.d=example.com header.a=rsa-sha256"),
        said(f'dkim=pass header.d=example.com header.i=@example.com header.b="{B[:8]}"'),
    )
    assert verdict(*proton, signed(), FROM)[0] is Verdict.PASS


def test_judge_tells_what_was_seen() -> None:
    hop = "Received: from node1.example.com (node1.example.com [192.0.2.7]) by mx.receiver.example; date\n"
    fields = hop + said("dkim=pass header.d=example.com") + signed() + FROM
    evidence = judge(parse_header(fields.encode()), ask(), origin="a.eml", signature=OwnCheck.PASS)
    assert evidence == MessageEvidence(
        "a.eml", "mx.receiver.example", Verdict.PASS, "new", OwnCheck.PASS, "dkim=pass by mx.receiver.example",
        "mx.receiver.example", "node1.example.com", is_signed=True,
    )  # fmt: skip
    other = judge(parse_header(fields.encode()), ask(selector="old"), origin="a.eml")
    assert (other.selector, other.is_signed) == ("new", False)


def test_join_takes_the_whole_of_a_short_b() -> None:
    short = Signature("example.com", "new", "abc=")
    (result,) = parse("x; dkim=pass header.b=abc=").results
    assert join(result, [short], is_only_result=True) is short
    (result,) = parse("x; dkim=pass header.b=abc").results
    assert join(result, [short], is_only_result=True) is None


EVIDENCE = MessageEvidence("a", "x", Verdict.PASS, "new", OwnCheck.UNKNOWN, "", "x", "n1", is_signed=True)
FAILED = replace(EVIDENCE, verdict=Verdict.FAIL)
UNDECIDED = replace(EVIDENCE, verdict=Verdict.INCONCLUSIVE)
UNSIGNED = replace(UNDECIDED, is_signed=False)
UNTRUSTED = replace(EVIDENCE, verdict=Verdict.UNTRUSTED, receiver=None)


@pytest.mark.parametrize(
    ("messages", "thresholds", "expected"),
    [
        ([], Thresholds(), Overall.WAITING),
        ([], Thresholds(min_messages=0, receivers=0), Overall.WAITING),
        ([EVIDENCE], Thresholds(), Overall.PASS),
        ([EVIDENCE, UNDECIDED, UNTRUSTED], Thresholds(), Overall.PASS),
        ([EVIDENCE], Thresholds(min_messages=2), Overall.WAITING),
        ([EVIDENCE, EVIDENCE], Thresholds(min_messages=2), Overall.PASS),
        ([EVIDENCE, EVIDENCE], Thresholds(receivers=2), Overall.WAITING),
        ([EVIDENCE, replace(EVIDENCE, receiver="y")], Thresholds(receivers=2), Overall.PASS),
        ([EVIDENCE], Thresholds(nodes=("n1", "n2")), Overall.WAITING),
        ([EVIDENCE, replace(EVIDENCE, node="n2")], Thresholds(nodes=("n1", "n2")), Overall.PASS),
        ([EVIDENCE, FAILED], Thresholds(), Overall.FAIL),
        ([FAILED], Thresholds(), Overall.FAIL),
        ([EVIDENCE, FAILED], Thresholds(failing_receivers=2), Overall.PASS),
        ([FAILED, FAILED], Thresholds(failing_receivers=2), Overall.WAITING),
        ([FAILED, replace(FAILED, receiver="y")], Thresholds(failing_receivers=2), Overall.FAIL),
        ([UNDECIDED], Thresholds(), Overall.INCONCLUSIVE),
        ([UNTRUSTED], Thresholds(), Overall.INCONCLUSIVE),
        ([UNSIGNED], Thresholds(), Overall.WAITING),
    ],
)
def test_overall_counts_messages_receivers_and_nodes(
    messages: list[MessageEvidence], thresholds: Thresholds, expected: Overall
) -> None:
    assert overall(messages, thresholds) is expected


def test_as_json_is_what_verify_promises() -> None:
    assert as_json(ask(), [EVIDENCE], Overall.PASS) == {
        "domain": "example.com",
        "selector": "new",
        "verdict": "pass",
        "messages": [
            {
                "origin": "a",
                "authserv_id": "x",
                "verdict": "pass",
                "selector": "new",
                "signature": "unknown",
                "detail": "",
            }
        ],
    }
