import pytest

from dmarcops.policy.grammar import Grammar, is_valid
from dmarcops.policy.record import Policy, parse_record
from dmarcops.policy.rungs import (
    ORDER,
    RUNGS,
    Effect,
    Receiver,
    RungName,
    Tags,
    effects,
    example,
    rung_of,
    written,
)

NONE, QUARANTINE, REJECT = Policy
PLAIN, EASED = Tags(), Tags(has_pct_zero=True)

# What each kind of receiver makes of a rung: RFC 9989, RFC 7489, RFC 7489 where spared mail passes, neither tag read.
TABLE = [
    (RungName.NONE, PLAIN, "v=DMARC1; p=none", [NONE, NONE, NONE, NONE]),
    (
        RungName.QUARANTINE_TESTING,
        PLAIN,
        "v=DMARC1; p=quarantine; t=y",
        [NONE, QUARANTINE, QUARANTINE, QUARANTINE],
    ),
    (
        RungName.QUARANTINE_TESTING,
        EASED,
        "v=DMARC1; p=quarantine; t=y; pct=0",
        [NONE, NONE, NONE, QUARANTINE],
    ),
    (RungName.QUARANTINE, PLAIN, "v=DMARC1; p=quarantine", [QUARANTINE] * 4),
    (RungName.REJECT_TESTING, PLAIN, "v=DMARC1; p=reject; t=y", [QUARANTINE, REJECT, REJECT, REJECT]),
    (RungName.REJECT_TESTING, EASED, "v=DMARC1; p=reject; t=y; pct=0", [QUARANTINE, QUARANTINE, NONE, REJECT]),
    (RungName.REJECT, EASED, "v=DMARC1; p=reject", [REJECT] * 4),
]


@pytest.mark.parametrize(("name", "tags", "text", "policies"), TABLE)
def test_rung_is_written_and_read_back_with_its_effects(
    name: RungName, tags: Tags, text: str, policies: list[Policy]
) -> None:
    rung = RUNGS[ORDER[name]]
    record = example(rung, tags)
    assert str(record) == text
    assert rung_of(record) == rung
    assert effects(record) == {kind: Effect(policy) for kind, policy in zip(Receiver, policies, strict=True)}


def test_sampled_rungs_are_full_for_new_receivers() -> None:
    quarantine = example(RUNGS[ORDER[RungName.QUARANTINE_PCT]], Tags(pct=25))
    assert str(quarantine) == "v=DMARC1; p=quarantine; pct=25"
    assert effects(quarantine) == {
        Receiver.RFC9989: Effect(QUARANTINE),
        Receiver.RFC7489: Effect(QUARANTINE, 25, NONE),
        Receiver.RFC7489_LENIENT: Effect(QUARANTINE, 25, NONE),
        Receiver.NEITHER: Effect(QUARANTINE),
    }
    reject = effects(example(RUNGS[ORDER[RungName.REJECT_PCT]], Tags(pct=25)))
    assert reject[Receiver.RFC7489] == Effect(REJECT, 25, QUARANTINE)
    assert reject[Receiver.RFC7489_LENIENT] == Effect(REJECT, 25, NONE)


@pytest.mark.parametrize(
    ("effect", "touched"),
    [
        (Effect(NONE), 0),
        (Effect(REJECT), 101),
        (Effect(QUARANTINE, 25), 26),
        (Effect(REJECT, 25, QUARANTINE), 101),
    ],
)
def test_touched_mail_is_what_is_quarantined_or_rejected(effect: Effect, touched: int) -> None:
    assert effect.touched(101) == touched


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("v=DMARC1", RungName.NONE),
        ("v=DMARC1; p=none; t=y", RungName.NONE),
        ("v=DMARC1; p=none; pct=10", RungName.NONE),
        ("v=DMARC1; p=quarantine; pct=0", RungName.QUARANTINE_PCT),
        ("v=DMARC1; p=reject; pct=50; t=y", RungName.REJECT_TESTING),
        ("v=DMARC1; p=maybe; rua=mailto:a@example.com", RungName.NONE),
        ("v=DMARC1; p=maybe", None),
        ("v=spf1 -all", None),
    ],
)
def test_rung_of_an_owners_record(text: str, name: RungName | None) -> None:
    rung = rung_of(parse_record(text))
    assert (rung and rung.name) == name


def test_tags_that_a_rung_does_not_need_are_taken_out_and_harmless_ones_stay() -> None:
    reject = RUNGS[ORDER[RungName.REJECT]]
    testing = parse_record("v=DMARC1; p=quarantine; t=y; pct=0; rua=mailto:a@example.com")
    assert str(written(testing, reject, PLAIN)) == "v=DMARC1; p=reject; rua=mailto:a@example.com"
    harmless = parse_record("v=DMARC1; p=none; t=n; pct=100")
    assert str(written(harmless, reject, PLAIN)) == "v=DMARC1; p=reject; t=n; pct=100"


def test_every_rung_is_valid_in_both_grammars() -> None:
    for rung in RUNGS:
        for tags in (PLAIN, Tags(pct=50, sp=QUARANTINE, np=REJECT, has_pct_zero=True)):
            assert all(is_valid(str(example(rung, tags)), grammar) for grammar in Grammar)


def test_effect_is_printed() -> None:
    assert Effect(REJECT, 25, QUARANTINE).as_json() == {"policy": "reject", "pct": 25, "otherwise": "quarantine"}
