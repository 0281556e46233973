from dataclasses import replace
from datetime import timedelta

import pytest

from dmarcops.policy.evidence import Count
from dmarcops.policy.record import Policy
from dmarcops.policy.rules import Rules
from dmarcops.policy.watch import Outcome, Watch, watch
from dmarcops.policy.window import window_since
from policy.mailstream import ESP, GOOD, NOW, OWN, PAYROLL, evidence, failing, stream

FORMER = "v=DMARC1;  p=quarantine ; rua=mailto:a@example.com"
WINDOW = window_since(NOW - timedelta(days=20), NOW)
DAYS = WINDOW.days()


def watched(counts: list[Count], policy: Policy = Policy.REJECT) -> Watch:
    return watch(evidence(counts, window=WINDOW), Rules(), former=FORMER, policy=policy)


@pytest.mark.parametrize(("passed", "outcome"), [(90, Outcome.FINE), (89, Outcome.REGRESSION)])
def test_step_back_is_proposed_when_legitimate_mail_fails(passed: int, outcome: Outcome) -> None:
    found = watched(stream(OWN, 100, days=DAYS, dkim=passed))
    assert found.outcome is outcome
    assert found.record == (FORMER if outcome is Outcome.REGRESSION else None)


def test_break_of_dkim_is_a_regression_of_reject_alone() -> None:
    broken = stream(OWN, 100, days=DAYS, dkim=89, spf=100, both=89)
    found = watched(broken)
    assert found.as_json() == {
        "outcome": "regression",
        "reasons": ["89.0% of acknowledged mail passes DKIM, and 90.0% is the least"],
        "record": FORMER,
    }
    assert watched(broken, Policy.QUARANTINE).outcome is Outcome.FINE
    assert watched(stream(OWN, 100, days=DAYS, dkim=90, spf=100, both=90)).outcome is Outcome.FINE


def test_end_of_the_window_decides() -> None:
    counts = [*stream(OWN, 100, days=DAYS[:-7]), *failing(OWN, 100, days=DAYS[-7:])]
    assert watched(counts).reasons[0] == "0.0% of acknowledged mail passes, and 90.0% is the least"


@pytest.mark.parametrize(("messages", "outcome"), [(10, Outcome.FINE), (11, Outcome.REGRESSION)])
def test_large_source_that_fails_is_a_regression_and_named(messages: int, outcome: Outcome) -> None:
    counts = [*stream(OWN, 1000 - messages, days=DAYS), *failing(PAYROLL, messages, days=DAYS)]
    found = watched(counts)
    assert found.outcome is outcome
    if outcome is Outcome.REGRESSION:
        assert found.reasons == ("payroll.example: 0.0% of 231 messages pass",)


@pytest.mark.parametrize(("messages", "outcome"), [(99, Outcome.WAITING), (100, Outcome.FINE)])
def test_little_mail_says_nothing(messages: int, outcome: Outcome) -> None:
    counts = [
        *stream(OWN, messages - 1, days=DAYS[-1:], reporters=["a"]),
        *stream(OWN, 1, days=DAYS[-1:], reporters=["b"]),
    ]
    assert watched(counts).outcome is outcome


def test_forged_reports_undo_no_step_and_hide_no_break() -> None:
    good, bad = stream(OWN, 100, days=DAYS), failing(OWN, 100, days=DAYS)
    assert watched([*good, *failing(OWN, 10**6, days=DAYS, reporters=["forged"])]).outcome is Outcome.FINE
    assert watched([*bad, *stream(OWN, 10**6, days=DAYS, reporters=["forged"])]).outcome is Outcome.REGRESSION
    assert watched(failing(OWN, 100, days=DAYS, reporters=["one"])).outcome is Outcome.WAITING


def test_unreviewed_and_denied_mail_is_no_matter() -> None:
    assert watched([*stream(OWN, 100, days=DAYS), *stream(ESP, 10, days=DAYS)]).outcome is Outcome.FINE


@pytest.mark.parametrize(("rate", "outcome"), [(0.0029, Outcome.WAITING), (0.003, Outcome.REGRESSION)])
def test_complaints_are_a_regression_by_themselves(rate: float, outcome: Outcome) -> None:
    found = evidence(window=WINDOW, context=replace(GOOD, complaint_rate=rate))
    seen = watch(found, Rules(), former=FORMER, policy=Policy.QUARANTINE)
    assert seen.outcome is outcome
    if outcome is Outcome.REGRESSION:
        assert seen.reasons == ("0.30% of the mail is complained about, and 0.30% is too much",)
