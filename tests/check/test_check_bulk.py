"""The rules of those who take much mail: each verdict on both sides, and unknown where nothing is known."""

from dataclasses import replace

import pytest

from dmarcops.check.bulk import LEAST_SHARE, RULES, Facts, Mail, Verdict, results

NOTHING = Facts(spf=None, dkim=None, is_short_key=None, dmarc=None, takes_mail=None)
GOOD = Facts(
    spf=True,
    dkim=True,
    is_short_key=False,
    dmarc=True,
    takes_mail=True,
    confirmed=("192.0.2.1",),
    mail=Mail(messages=1000, passed=1000, is_acknowledged=True),
)
SHOWN = {
    "google": {"google-spf-dkim", "google-dkim-key", "google-dmarc", "google-alignment", "google-ptr"},
    "yahoo": {"yahoo-spf-dkim", "yahoo-dmarc", "yahoo-alignment", "yahoo-ptr"},
    "microsoft": {"microsoft-spf", "microsoft-dkim", "microsoft-dmarc", "microsoft-alignment"},
}
"""The rules that DNS and reports can answer."""


def verdicts(facts: Facts) -> dict[str, Verdict]:
    return {result.rule.code: result.verdict for result in results(facts)}


def failing(facts: Facts) -> set[str]:
    return {code for code, verdict in verdicts(facts).items() if verdict is Verdict.FAIL}


def test_nothing_known_is_unknown_with_what_would_show_it() -> None:
    assert set(verdicts(NOTHING).values()) == {Verdict.UNKNOWN}
    assert all(result.detail for result in results(NOTHING))
    assert all(result.as_json()["source"].startswith("https://") for result in results(NOTHING))


def test_what_can_be_shown_passes_and_the_rest_is_unknown() -> None:
    passing = {code for code, verdict in verdicts(GOOD).items() if verdict is Verdict.PASS}
    assert passing == set().union(*SHOWN.values())
    assert failing(GOOD) == set()
    assert {rule.provider for rule in RULES} == set(SHOWN)


@pytest.mark.parametrize(
    ("facts", "codes"),
    [
        (replace(GOOD, spf=False), {"google-spf-dkim", "yahoo-spf-dkim", "microsoft-spf"}),
        (replace(GOOD, dkim=False), {"google-spf-dkim", "yahoo-spf-dkim", "microsoft-dkim"}),
        (replace(GOOD, is_short_key=True), {"google-dkim-key"}),
        (replace(GOOD, dmarc=False), {"google-dmarc", "yahoo-dmarc", "microsoft-dmarc"}),
        (replace(GOOD, takes_mail=False), {"microsoft-reply"}),
        (replace(GOOD, unconfirmed=("192.0.2.2",)), {"google-ptr", "yahoo-ptr"}),
    ],
)
def test_a_fact_fails_the_rules_that_are_about_it(facts: Facts, codes: set[str]) -> None:
    assert failing(facts) == codes


def test_a_failure_of_one_of_two_is_a_failure_though_the_other_is_unknown() -> None:
    assert verdicts(replace(GOOD, dkim=None))["google-spf-dkim"] is Verdict.UNKNOWN
    assert verdicts(replace(GOOD, dkim=None, spf=False))["google-spf-dkim"] is Verdict.FAIL


def test_the_share_of_aligned_mail_counts_as_a_failure_for_acknowledged_sources_only() -> None:
    def verdict(passed: int, *, is_acknowledged: bool) -> Verdict:
        mail = Mail(messages=1000, passed=passed, is_acknowledged=is_acknowledged)
        return verdicts(replace(GOOD, mail=mail))["google-alignment"]

    enough = round(LEAST_SHARE * 1000)
    assert verdict(enough, is_acknowledged=True) is Verdict.PASS
    assert verdict(enough - 1, is_acknowledged=True) is Verdict.FAIL
    assert verdict(enough, is_acknowledged=False) is Verdict.PASS
    assert verdict(enough - 1, is_acknowledged=False) is Verdict.UNKNOWN
    empty = Mail(messages=0, passed=0, is_acknowledged=False)
    assert verdicts(replace(GOOD, mail=empty))["google-alignment"] is Verdict.UNKNOWN
