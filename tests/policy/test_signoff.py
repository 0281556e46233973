import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmarcops.policy.evidence import Evidence
from dmarcops.policy.signoff import SigningRules, Signoff, Statement, canonical, lapses, sign, tampering
from dmarcops.policy.sources import Origin
from policy.mailstream import ESP, NOW, OWN, PAYROLL, evidence, failing, stream

STRANGER = Origin("198.18.0.1", host="stranger.example")
EVIDENCE = evidence(stream(OWN, 100), stream(ESP, 100))


def statement(found: Evidence = EVIDENCE) -> Statement:
    return Statement(
        domain="example.com",
        record_now="v=DMARC1; p=none",
        record_next="v=DMARC1; p=quarantine",
        evidence=found.as_json(),
    )


SIGNED = sign(Signoff(statement()), by="Kim", at=NOW, comment="seen")


def why(
    signoff: Signoff = SIGNED,
    current: Statement | None = None,
    found: Evidence = EVIDENCE,
    *,
    rules: SigningRules | None = None,
    days: float = 1,
) -> list[str]:
    now = NOW + timedelta(days=days)
    return list(lapses(signoff, current or statement(found), found, rules or SigningRules(), now=now))


def test_digest_is_over_the_canonical_form() -> None:
    assert canonical({"b": [1.5, None], "a": "ü"}) == '{"a":"ü","b":[1.5,null]}'.encode()
    assert statement().digest == statement(evidence(stream(ESP, 100), stream(OWN, 100))).digest
    stored = replace(statement(), evidence=json.loads(json.dumps(statement().evidence)))
    assert stored.digest == statement().digest
    assert len(statement().digest) == 64
    others = [
        replace(statement(), domain="example.org"),
        replace(statement(), record_now="v=DMARC1;p=none"),
        replace(statement(), record_next="v=DMARC1; p=reject"),
        statement(evidence(stream(OWN, 100), stream(ESP, 101))),
    ]
    assert len({each.digest for each in (statement(), *others)}) == 5
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical(float("nan"))


def test_signature_is_printed_and_holds() -> None:
    assert SIGNED.signatures[0].as_json() == {
        "by": "Kim",
        "at": "2026-03-31T12:00:00+00:00",
        "comment": "seen",
        "digest": statement().digest,
    }
    assert why() == []


@given(st.sampled_from(["by", "comment", "digest", "seal"]), st.text(min_size=1, max_size=5))
def test_changed_signature_is_noticed(field: str, text: str) -> None:
    before = SIGNED.signatures[0]
    changed = replace(before, **{field: getattr(before, field) + text})
    assert tampering(Signoff(statement(), (changed,)))


def test_moved_time_put_in_and_missing_signatures_are_noticed() -> None:
    first = SIGNED.signatures[0]
    moved = replace(first, at=first.at + timedelta(days=30))
    assert tampering(Signoff(statement(), (moved,))) == ("the signature of Kim was changed",)
    both = sign(SIGNED, by="Lou", at=NOW)
    assert tampering(both) == ()
    missing = Signoff(statement(), both.signatures[1:])
    assert tampering(missing) == ("a signature before that of Lou is missing or was put in",)
    other = Signoff(replace(statement(), record_next="v=DMARC1; p=reject"), SIGNED.signatures)
    assert tampering(other) == (f"Kim signed something else: {statement().digest}",)


def test_signature_expires() -> None:
    assert why(days=13.99) == []
    assert why(days=14) == ["0 of 1 signatures; expired: Kim"]
    assert why(days=-1) == ["0 of 1 signatures; expired: Kim"]
    assert why(Signoff(statement())) == ["0 of 1 signatures"]


def test_second_signer_has_to_be_another_person() -> None:
    two = SigningRules(signers=2)
    assert why(rules=two) == ["1 of 2 signatures"]
    assert why(sign(SIGNED, by=" kim ", at=NOW), rules=two) == ["1 of 2 signatures"]
    assert why(sign(SIGNED, by="Lou", at=NOW), rules=two) == []


def test_signature_lapses_when_a_record_is_another() -> None:
    assert why(current=replace(statement(), record_now="x")) == ["the record in DNS is not the one that was signed"]
    assert why(current=replace(statement(), record_next="x")) == ["the next record is not the one that was signed"]
    assert why(current=replace(statement(), domain="x")) == ["it was signed for example.com"]


@pytest.mark.parametrize(
    ("found", "lapsed"),
    [
        (evidence(stream(OWN, 100, dkim=98, spf=98, both=98), stream(ESP, 100)), []),
        (
            evidence(stream(OWN, 100, dkim=97, spf=100, both=97), stream(ESP, 100)),
            ["dkim_rate was 1.0 when it was signed, and is 0.985"],
        ),
        (
            evidence(stream(OWN, 100, dkim=97), stream(ESP, 100)),
            [
                "pass_rate was 1.0 when it was signed, and is 0.985",
                "dkim_rate was 1.0 when it was signed, and is 0.985",
            ],
        ),
        (
            evidence(stream(OWN, 100), stream(ESP, 100), failing(STRANGER, 3, authenticated=3)),
            ["unknown_share was 0.0 when it was signed, and is 0.015"],
        ),
        (evidence(stream(OWN, 50), stream(ESP, 50)), []),
        (
            evidence(stream(OWN, 50), stream(ESP, 49)),
            ["messages were 16800 when it was signed, and are 8316"],
        ),
        (evidence(stream(OWN, 100), stream(ESP, 100), stream(PAYROLL, 2)), []),
        (
            evidence(stream(OWN, 100), stream(ESP, 100), stream(PAYROLL, 3)),
            ["payroll.example is acknowledged, and was not when it was signed"],
        ),
    ],
)
def test_signature_lapses_when_the_evidence_moves_beyond_the_tolerance(found: Evidence, lapsed: list[str]) -> None:
    assert why(found=found) == lapsed


def test_signature_lapses_when_there_is_no_evidence_any_more() -> None:
    assert [reason.split()[0] for reason in why(found=evidence())] == [
        "pass_rate",
        "dkim_rate",
        "unknown_share",
        "messages",
    ]
    empty = sign(Signoff(statement(evidence())), by="Kim", at=NOW)
    assert why(empty, found=evidence()) == []
