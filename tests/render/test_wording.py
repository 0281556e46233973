from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from dmarcops.policy.evidence import SourceKind
from dmarcops.policy.gates import DomainKind, Gate, Thresholds, evaluate
from dmarcops.policy.record import Policy, parse_record
from dmarcops.policy.rules import Step
from dmarcops.policy.rungs import Effect, Receiver, RungName
from dmarcops.policy.stepper import Decision
from dmarcops.policy.what_if import Verdict
from dmarcops.render import wording
from dmarcops.render.wording import (
    NOTHING,
    count,
    duration,
    effect_of,
    figure_of,
    long_date,
    minute,
    percent,
    shortened,
    step_name,
    threshold_of,
)
from policy.mailstream import evidence
from render.cases import blocked


@pytest.mark.parametrize("kind", list(DomainKind))
def test_every_gate_has_words(kind: DomainKind) -> None:
    found = blocked().evidence
    gates = evaluate(found, parse_record("v=DMARC1; p=none"), Thresholds(), kind=kind, policy=Policy.REJECT)
    assert {gate.name for gate in gates} <= wording.GATES.keys()


def test_gates_that_have_words_are_gates() -> None:
    found = blocked().evidence
    record = parse_record("v=DMARC1; p=none")
    names = {
        gate.name
        for kind in DomainKind
        for gate in evaluate(found, record, Thresholds(), kind=kind, policy=Policy.REJECT)
    }
    assert names == wording.GATES.keys()


def test_every_code_has_words() -> None:
    assert wording.RUNGS.keys() == set(RungName)
    assert wording.RECEIVERS.keys() == wording.RECEIVER_HEADS.keys() == set(Receiver)
    assert wording.VERDICTS.keys() == set(Verdict)
    assert wording.SOURCES.keys() == set(SourceKind)
    assert wording.DECISIONS.keys() == set(Decision)
    assert wording.MEANINGS.keys() == set(Policy)


@pytest.mark.parametrize(
    ("value", "is_minimum", "text"),
    [
        (None, True, NOTHING),
        (0.98, True, "98%"),
        (0.97999, True, "97.99%"),
        (0.979999999, True, "97.99%"),
        (0.9955, True, "99.55%"),
        (0.995, True, "99.5%"),
        (1, True, "100%"),
        (0.0, True, "0%"),
        (0.010001, False, "1.01%"),
        (0.01, False, "1%"),
        (1e-9, False, "0.01%"),
        (12.5, False, "1250%"),
    ],
)
def test_share_is_rounded_to_the_careful_side(value: float | None, is_minimum: bool, text: str) -> None:  # noqa: FBT001
    assert percent(value, is_minimum=is_minimum) == text


@pytest.mark.parametrize(
    ("name", "value", "threshold", "told"),
    [
        ("min_pass_rate", 0.97999, 0.98, ("97.99%", "at least 98%")),
        ("max_unknown_share", 0.010001, 0.01, ("1.01%", "at most 1%")),
        ("min_messages", 12345, 1000, ("12,345", "at least 1,000")),
        ("max_silence_days", 4, 3, ("4", "at most 3")),
        ("failing_sources", 2, 0, ("2", "none")),
        ("destination", None, 1, (NOTHING, "yes")),
        ("destination", 0, 1, ("no", "yes")),
        ("some_new_gate", 0.123456789, 7, ("0.123457", "7")),
    ],
)
def test_gate_is_told_with_its_unit(name: str, value: float | None, threshold: float, told: tuple[str, str]) -> None:
    gate = Gate(name, value, threshold, ok=False, detail="")
    assert (figure_of(gate), threshold_of(gate)) == told


def test_gate_without_words_keeps_its_name() -> None:
    assert wording.name_of(Gate("some_new_gate", 1, 2, ok=True, detail="")) == "some_new_gate"
    assert wording.name_of(Gate("min_days", 1, 2, ok=True, detail="")) == "Days with reports"


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(weeks=4), "4 weeks"),
        (timedelta(weeks=1), "1 week"),
        (timedelta(days=10), "10 days"),
        (timedelta(hours=36), "36 hours"),
        (timedelta(seconds=90), "90 seconds"),
        (timedelta(), NOTHING),
    ],
)
def test_duration_is_told_in_the_largest_whole_unit(length: timedelta, text: str) -> None:
    assert duration(length) == text


def test_dates_are_told_without_the_locale() -> None:
    assert long_date(date(2026, 3, 1)) == "1 March 2026"
    assert minute(datetime(2026, 3, 1, 9, 5, tzinfo=UTC)) == "2026-03-01 09:05 UTC"
    assert minute(datetime(2026, 3, 1, 9, 5, tzinfo=timezone(timedelta(hours=2)))) == "2026-03-01 09:05 +0200"


def test_number_agrees_with_what_it_counts() -> None:
    assert [count(number, "day") for number in (0, 1, 2000)] == ["0 days", "1 day", "2,000 days"]
    assert count(2, "domain is", "domains are") == "2 domains are"


def test_effect_of_a_share_is_told_in_full() -> None:
    assert effect_of(Effect(Policy.REJECT, 25, Policy.QUARANTINE)) == "reject for 25% of it, quarantine for the rest"
    assert effect_of(Effect(Policy.NONE, 25)) == "none"
    assert effect_of(Effect(Policy.REJECT)) == "reject"


def test_step_has_its_share() -> None:
    assert step_name(Step(rung=RungName.REJECT_PCT, pct=25)) == "reject, 25%"
    assert step_name(Step(rung=RungName.REJECT_TESTING)) == "reject, test mode"


@pytest.mark.parametrize("most", [3, 10, 59, 60])
def test_long_name_is_shortened_in_its_middle(most: int) -> None:
    assert shortened("a" * most, most) == "a" * most
    short = shortened("a" * most + "z", most)
    assert len(short) == most
    assert short.startswith("a")
    assert short.endswith("z")
    assert short.count("…") == 1


def test_nothing_is_missing_when_nothing_was_reported() -> None:
    gates = evaluate(evidence(), parse_record(""), Thresholds(), kind=DomainKind.NORMAL, policy=Policy.QUARANTINE)
    assert {figure_of(gate) for gate in gates if gate.value is None} == {NOTHING}
