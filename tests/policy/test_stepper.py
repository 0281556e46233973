from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from dmarcops.domains import Domain
from dmarcops.errors import ForeignRecordError, NotEnoughEvidence, Refused, UnsafeChangeError
from dmarcops.policy.answers import Answer, AnswerKind, answered
from dmarcops.policy.discovery import discover
from dmarcops.policy.evidence import Evidence
from dmarcops.policy.gates import DomainKind, Thresholds
from dmarcops.policy.record import Policy, Record, parse_record
from dmarcops.policy.rules import Freeze, Hold, Rules, Step
from dmarcops.policy.rungs import RungName
from dmarcops.policy.signoff import SigningRules, Signoff, sign
from dmarcops.policy.stepper import Decision, Proposal, check, parse_published, price_of_next, prices, propose
from policy.mailstream import ESP, GOOD, NOW, OWN, evidence, failing, stream

RUA = "rua=mailto:a@example.com"
N, QT, QP, Q, RT, RP, R = RungName
CLEAN = (*stream(OWN, 100), *stream(ESP, 100))
UNSIGNED = Rules(require_signature=False)


def at(tags: str) -> Record:
    return parse_record(f"v=DMARC1; {tags}; {RUA}")


def since(days: float, *, counts: Sequence[object] = CLEAN) -> Evidence:
    context = replace(GOOD, since=NOW - timedelta(days=days))
    return evidence(counts, context=context)  # type: ignore[arg-type]


def proposed(
    tags: str = "p=none", found: Evidence | None = None, rules: Rules = UNSIGNED, *, hold: Hold | None = None
) -> Proposal:
    return propose(at(tags), found or since(100), rules, NOW, hold=hold)


def signed(proposal: Proposal, *people: str) -> Signoff:
    assert proposal.statement is not None
    signoff = Signoff(proposal.statement)
    for person in people:
        signoff = sign(signoff, by=person, at=NOW)
    return signoff


# The ladder, as it is written rung after rung, with what the owner has beside it.
@pytest.mark.parametrize(
    ("tags", "rung", "following"),
    [
        ("p=none", QT, "p=quarantine; t=y"),
        ("p=quarantine; t=y", Q, "p=quarantine; np=reject"),
        ("p=quarantine; np=reject", R, "p=reject; np=reject"),
        ("p=quarantine", R, "p=reject; np=reject"),
        ("p=quarantine; np=quarantine", R, "p=reject; np=reject"),
        ("p=quarantine; pct=10", Q, "p=quarantine; np=reject"),
        ("p=reject; pct=10", R, "p=reject; np=reject"),
        ("p=reject; t=y", R, "p=reject; np=reject"),
        ("p=none; sp=none; adkim=s", QT, "p=quarantine; t=y; sp=none; adkim=s"),
    ],
)
def test_next_rung_is_proposed(tags: str, rung: RungName, following: str) -> None:
    found = proposed(tags)
    assert found.next is not None
    assert found.next.step.rung is rung
    text = str(found.next.record)
    assert sorted(text.split("; ")) == sorted(str(at(following)).split("; "))
    assert (found.decision, found.reasons) == (Decision.READY, ())


@pytest.mark.parametrize(
    ("above", "told"),
    [
        (
            {"_dmarc.example.com": "v=DMARC1; p=reject"},
            "p=reject of example.com holds; publish p=reject with rua first",
        ),
        (
            {"_dmarc.example.com": "v=DMARC1; p=reject; sp=quarantine; np=reject"},
            "sp=quarantine of example.com holds; publish p=quarantine with rua first, which keeps it: p=none",
        ),
        (
            {"_dmarc.example.com": "v=DMARC1; p=none"},
            "p=none of example.com holds; publish p=none with rua first, which",
        ),
        ({}, "there is no DMARC record that can be used: publish p=none with rua first"),
        ({"_dmarc.example.com": None}, "DNS did not say"),
    ],
)
def test_a_domain_without_a_record_is_told_what_it_inherits(above: dict[str, str | None], told: str) -> None:
    def lookup(name: str) -> Answer:
        text = above.get(name, "")
        return Answer(AnswerKind.TEMPERROR) if text is None else answered([text] if text else [])

    inherited = discover(Domain("news.example.com"), lookup)
    found = evidence(CLEAN, context=replace(GOOD, domain="news.example.com", inherited=inherited))
    proposal = propose(parse_record(""), found, UNSIGNED, NOW)
    assert told in "; ".join(proposal.reasons)
    assert (proposal.statement, "inherited" in found.as_json()["context"]) == (None, False)


def test_eased_test_mode_has_pct_zero() -> None:
    found = proposed(rules=replace(UNSIGNED, has_pct_zero=True))
    assert found.next is not None
    assert str(found.next.record) == f"v=DMARC1; p=quarantine; t=y; pct=0; {RUA}"


def test_subdomains_follow_on_their_own_schedule() -> None:
    schedule = (
        Step(rung=Q, sp=Policy.NONE),
        Step(rung=Q, sp=Policy.QUARANTINE, duration=timedelta(weeks=1)),
        Step(rung=R, sp=Policy.REJECT),
    )
    rules = replace(UNSIGNED, schedule=schedule)
    record = at("p=none")
    written = []
    while (following := propose(record, since(100), rules, NOW).next) is not None:
        assert following.record is not None
        record = following.record
        written.append(str(record).removeprefix("v=DMARC1; ").removesuffix(f"; {RUA}"))
    assert written == [
        "p=quarantine; sp=none",
        "p=quarantine; sp=quarantine",
        "p=reject; sp=reject",
    ]


def test_classic_ramp_is_climbed() -> None:
    schedule = (Step(rung=N), Step(rung=QP, pct=25), Step(rung=QP, pct=50), Step(rung=Q))
    rules = replace(UNSIGNED, schedule=schedule, target=Policy.QUARANTINE)
    rungs = []
    for tags in ("p=none", "p=quarantine; pct=10", "p=quarantine; pct=25", "p=quarantine; pct=50", "p=quarantine"):
        following = proposed(tags, rules=rules).next
        rungs.append(following and (following.step.rung, following.step.pct))
    assert rungs == [(QP, 25), (QP, 25), (QP, 50), (Q, 100), None]


# The clock: days at p=none, and what comes of it.
@pytest.mark.parametrize(
    ("tags", "days", "decision"),
    [
        ("p=none", 27.99, Decision.WAIT),
        ("p=none", 28, Decision.READY),
        ("p=quarantine; t=y", 13.99, Decision.WAIT),
        ("p=quarantine; t=y", 14, Decision.READY),
        ("p=quarantine", 41.99, Decision.WAIT),
        ("p=quarantine", 42, Decision.READY),
        ("p=reject", 0, Decision.DONE),
    ],
)
def test_rung_lasts_its_weeks(tags: str, days: float, decision: Decision) -> None:
    assert proposed(tags, since(days)).decision is decision


def test_clock_starts_now_when_it_is_not_known_since_when() -> None:
    found = proposed(found=evidence(CLEAN, context=replace(GOOD, since=None)))
    assert found.next is not None
    assert found.next.not_before == NOW + timedelta(weeks=4)
    assert found.reasons == (
        "not before 2026-04-28T12:00:00+00:00: since when the published record stands is not known",
    )


def test_freeze_moves_the_date() -> None:
    def not_before(days: float, *freezes: Freeze) -> datetime:
        following = proposed(found=since(days), rules=replace(UNSIGNED, freezes=freezes)).next
        assert following is not None
        return following.not_before

    now, later = NOW.date(), date(2026, 4, 7)
    assert not_before(30) == NOW - timedelta(days=2)
    assert not_before(28, Freeze(later, later)) == NOW
    assert not_before(30, Freeze(now, now)) == datetime(2026, 4, 1, tzinfo=UTC)
    assert not_before(21, Freeze(now, now)) == NOW + timedelta(days=7)
    assert not_before(21, Freeze(later, later)) == datetime(2026, 4, 8, tzinfo=UTC)
    assert proposed(found=since(30), rules=replace(UNSIGNED, freezes=(Freeze(now, now),))).decision is Decision.WAIT


@pytest.mark.parametrize(
    ("days", "reason"),
    [
        (30, "not before 2026-04-08T00:00:00+00:00: frozen from 2026-04-03 to 2026-04-07 (sales)"),
        (20, "not before 2026-04-08T12:00:00+00:00"),
    ],
)
def test_the_freeze_behind_the_date_is_named(days: int, reason: str) -> None:
    freezes = (
        Freeze(date(2026, 4, 3), date(2026, 4, 7), "sales"),
        Freeze(date(2026, 3, 31), date(2026, 4, 2)),
        Freeze(date(2026, 1, 1), date(2026, 1, 2), "new year"),
    )
    found = proposed(found=since(days), rules=replace(UNSIGNED, freezes=freezes))
    assert (found.decision, found.reasons) == (Decision.WAIT, (reason,))


def test_hold_is_said_first_and_all_other_reasons_after_it() -> None:
    broken = since(1, counts=[*stream(OWN, 100), *failing(ESP, 100)])
    held = proposed(found=broken, rules=Rules(), hold=Hold("kim", NOW, "sale", NOW + timedelta(days=1)))
    assert held.decision is Decision.HELD
    assert [reason.split()[0].strip(":") for reason in held.reasons] == [
        "held",
        "not",
        "min_pass_rate",
        "min_recent_pass_rate",
        "failing_sources",
        "nobody",
    ]
    assert held.reasons[0] == "held by kim until 2026-04-01T12:00:00+00:00: sale"
    assert held.reasons[2].startswith("min_pass_rate: 0.5 where 0.98 is asked for; 8400 of 16800;")
    assert proposed(hold=Hold("kim", NOW)).reasons == ("held by kim",)
    assert proposed(hold=Hold("kim", NOW, until=NOW)).decision is Decision.READY


def test_closed_gate_blocks() -> None:
    found = proposed(found=since(100, counts=[*stream(OWN, 100), *failing(ESP, 100)]))
    assert found.decision is Decision.BLOCKED
    assert proposed(found=evidence(context=replace(GOOD, since=NOW - timedelta(days=100)))).decision is Decision.BLOCKED


def test_figure_that_falls_short_by_a_little_is_told_from_what_is_asked_for() -> None:
    found = since(100, counts=[*stream(OWN, 97_999), *failing(OWN, 2_001)])
    rules = replace(UNSIGNED, thresholds=Thresholds(min_messages=10_000_000))
    said = {x.split(";")[0] for x in proposed(found=found, rules=rules).reasons}
    assert "min_pass_rate: 0.97999 where 0.98 is asked for" in said
    assert "min_messages: 8400000 where 10000000 is asked for" in said


def test_missing_figure_is_nothing() -> None:
    (reason,) = [x for x in proposed(found=evidence()).reasons if x.startswith("min_messages")]
    assert reason == "min_messages: nothing where 1000 is asked for; 0 from acknowledged sources, by all reporters"


def test_signature_is_needed_unless_the_owner_does_without() -> None:
    unsigned = proposed(rules=Rules())
    assert (unsigned.decision, unsigned.reasons, unsigned.is_signed) == (
        Decision.UNSIGNED,
        ("nobody has signed",),
        False,
    )
    ready = propose(at("p=none"), since(100), Rules(), NOW, signoff=signed(unsigned, "Kim"))
    assert (ready.decision, ready.is_signed) == (Decision.READY, True)
    two = Rules(signing=SigningRules(signers=2))
    waiting = propose(at("p=none"), since(100), two, NOW, signoff=signed(unsigned, "Kim"))
    assert waiting.reasons == ("1 of 2 signatures",)


@pytest.mark.parametrize("text", ["", "v=spf1 -all", "v=DMARC1; p=maybe"])
def test_domain_without_a_record_has_to_publish_one_first(text: str) -> None:
    found = propose(parse_record(text), since(100), Rules(), NOW)
    assert found.next is not None
    assert (found.next.step.rung, found.next.record, found.statement) == (N, None, None)
    assert found.decision is Decision.BLOCKED
    assert "publish p=none with rua first" in found.reasons[0]
    assert found.as_json()["next"]["record"] is None
    assert price_of_next(found, since(100)) is None


def test_record_that_cannot_be_changed_safely_blocks() -> None:
    found = proposed("p=none; sp=none; sp=none")
    assert found.decision is Decision.BLOCKED
    assert found.reasons[0].startswith("record-not-valid: ")
    assert found.next is not None
    assert found.next.record is None


@pytest.mark.parametrize(
    ("tags", "rules", "reason"),
    [
        ("p=reject", Rules(), "the schedule ends at reject"),
        ("p=quarantine", Rules(target=Policy.QUARANTINE), "the schedule ends at quarantine"),
        (
            "p=quarantine",
            Rules(hosts_users=True),
            "quarantine is the ceiling of a domain whose users write to mailing lists (RFC 9989 section 7.4)",
        ),
        ("p=none", Rules(target=Policy.NONE, schedule=[Step(rung=Q)]), "the schedule ends at none"),
    ],
)
def test_done_at_the_end(tags: str, rules: Rules, reason: str) -> None:
    found = proposed(tags, rules=rules)
    assert (found.decision, found.reasons, found.gates, found.next) == (Decision.DONE, (reason,), (), None)
    assert price_of_next(found, since(100)) is None


def test_parked_domain_goes_to_its_target_at_once() -> None:
    nothing = evidence(context=replace(GOOD, since=NOW))
    found = proposed(found=nothing, rules=Rules(kind=DomainKind.PARKED, require_signature=False))
    assert found.decision is Decision.READY
    assert found.next is not None
    assert str(found.next.record) == f"v=DMARC1; p=reject; {RUA}"


def test_proposal_prints_the_contracts_form() -> None:
    unsigned = proposed(rules=Rules())
    found = propose(at("p=none"), since(100), Rules(), NOW, signoff=signed(unsigned, "Kim"))
    printed = found.as_json(price_of_next(found, since(100)))
    assert printed["domain"] == "example.com"
    assert printed["current"]["record"] == f"v=DMARC1; p=none; {RUA}"
    assert printed["current"]["rung"] == "none"
    assert printed["next"] == {
        "record": f"v=DMARC1; p=quarantine; t=y; {RUA}",
        "rung": "quarantine-testing",
        "not_before": "2026-01-18T12:00:00+00:00",
        "effects": {
            "rfc9989": {"policy": "none", "pct": 100, "otherwise": "none"},
            "rfc7489": {"policy": "quarantine", "pct": 100, "otherwise": "none"},
            "rfc7489-lenient": {"policy": "quarantine", "pct": 100, "otherwise": "none"},
            "neither": {"policy": "quarantine", "pct": 100, "otherwise": "none"},
        },
    }
    assert [gate["name"] for gate in printed["gates"]][:2] == ["record", "rotation"]
    assert printed["what_if"]["affected"] == 0
    assert printed["digest"] == unsigned.statement.digest if unsigned.statement else False
    assert (printed["signed"]["by"], printed["signed"]["valid"]) == ("Kim", True)
    assert (printed["decision"], printed["reasons"]) == ("ready", [])
    assert len(printed["warnings"]) == 2
    done = proposed("p=reject").as_json()
    assert [done[key] for key in ("next", "what_if", "signed", "digest")] == [None] * 4


def test_prices_are_of_every_rung_and_of_the_sampled_ones_in_the_schedule() -> None:
    found = since(100, counts=[*stream(OWN, 100), *failing(ESP, 10)])
    assert [(x.rung, x.affected()) for x in prices(found, Rules())] == [
        (N, 0),
        (QT, 0),
        (Q, 840),
        (RT, 840),
        (R, 840),
    ]
    ramp = Rules(schedule=[Step(rung=RP, pct=25)])
    assert RP in [x.rung for x in prices(found, ramp)]


def test_check_lets_pass_what_is_as_it_was() -> None:
    found = proposed(rules=Rules())
    signoff = signed(found, "Kim")
    again = check(found, signoff, at("p=none"), since(100), now=NOW + timedelta(hours=1))
    assert (again.decision, again.next) == (Decision.READY, replace(found.next) if found.next else None)


def refused(
    found: Proposal,
    *,
    record: Record | None = None,
    now: datetime = NOW,
    counts: Evidence | None = None,
    signoff: Signoff | None = None,
) -> Refused:
    with pytest.raises(Refused) as caught:
        check(found, signoff or signed(found, "Kim"), record or found.record, counts or since(100), now=now)
    return caught.value


def test_check_refuses_a_record_that_somebody_else_changed() -> None:
    found = refused(proposed(rules=Rules()), record=at("p=none; fo=1"))
    assert isinstance(found, ForeignRecordError)
    assert "fo=1" in found.reason


def test_check_refuses_when_anything_else_moved() -> None:
    found = proposed(rules=Rules())
    early = refused(proposed(rules=Rules(), found=since(1)), counts=since(1))
    assert (early.guard, early.not_before) == ("date", "2026-04-27T12:00:00+00:00")
    broken = refused(found, counts=since(100, counts=[*stream(OWN, 100), *failing(ESP, 100)]))
    assert isinstance(broken, NotEnoughEvidence)
    assert broken.guard == "gates"
    assert refused(found, signoff=Signoff(signed(found).statement)).guard == "signature"
    assert refused(found, now=NOW + timedelta(days=15)).guard == "signature"
    held = proposed(rules=Rules(), hold=Hold("kim", NOW))
    assert refused(held).guard == "hold"
    other = refused(replace(found, rules=replace(Rules(), has_pct_zero=True)))
    assert isinstance(other, UnsafeChangeError)
    assert refused(proposed("p=reject"), signoff=Signoff(signed(found).statement)).guard == "next-record"


def test_published_record_is_the_one_among_others() -> None:
    assert parse_published(("x", "v=DMARC1; p=none")) == parse_record("v=DMARC1; p=none")
    assert str(parse_published(("x",))) == ""
    with pytest.raises(UnsafeChangeError, match="2 DMARC records"):
        parse_published(("v=DMARC1; p=none", "v=DMARC1; p=reject"))
