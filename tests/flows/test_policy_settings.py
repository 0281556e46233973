"""From `[domains.X.policy]` to the rules of the stepper."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from dmarcops import config
from dmarcops.errors import ConfigError
from dmarcops.flows.policy_settings import PolicySettings
from dmarcops.policy.gates import DomainKind, Thresholds
from dmarcops.policy.record import Policy
from dmarcops.policy.rules import DEFAULT_SCHEDULE, Freeze, Rules
from dmarcops.policy.rungs import RungName
from dmarcops.policy.signoff import SigningRules

CONTRACT = """
target = "reject"
schedule = [
  { rung = "none", weeks = 4 },
  { rung = "quarantine-testing", weeks = 2 },
  { rung = "quarantine", weeks = 6 },
  { rung = "reject" },
]
require_signature = true
gates = { min_pass_rate = 0.98, min_messages = 1000, min_reporters = 2, min_days = 14, max_unknown_share = 0.01 }
"""


def read(text: str, tmp_path: Path) -> PolicySettings:
    file = tmp_path / "dmarcops.toml"
    file.write_text(f'[domains."example.com".policy]\n{text}')
    return config.load(file, environ={}).read(("domains", "example.com", "policy"), PolicySettings)


def test_the_contracts_example_is_the_default(tmp_path: Path) -> None:
    rules = read(CONTRACT, tmp_path).rules()
    assert rules == Rules()
    assert rules.schedule == DEFAULT_SCHEDULE


def test_nothing_is_the_default(tmp_path: Path) -> None:
    settings = read("", tmp_path)
    assert settings.rules() == Rules()
    assert (settings.window_days, settings.auto_rollback) == (28, False)


def test_more_days_than_the_window_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gates\.min_days = 30 is more than window_days = 28"):
        read("gates = { min_days = 30 }", tmp_path)
    with pytest.raises(ConfigError, match=r"gates\.min_days = 14 is more than window_days = 7"):
        read("window_days = 7", tmp_path)
    assert read("window_days = 30\ngates = { min_days = 30 }", tmp_path).window_days == 30
    assert read('window_days = 7\nkind = "parked"', tmp_path).window_days == 7


def test_every_key_arrives_at_the_rules(tmp_path: Path) -> None:
    text = """
        target = "quarantine"
        kind = "low-volume"
        hosts_users = true
        pct_zero = true
        require_signature = false
        signers = 2
        signature_valid = "3d"
        signature_tolerance = 0.02
        window_days = 14
        regression_rate = 0.8
        regression_messages = 7
        auto_rollback = true
        schedule = [
          { rung = "none", duration = "36h" },
          { rung = "quarantine-pct", pct = 10, weeks = 0.5 },
          { rung = "quarantine", np = "keep" },
          { rung = "quarantine", sp = "quarantine" },
        ]
        freezes = [{ begin = 2026-12-20, end = 2027-01-06, reason = "holidays" }]
        gates = { max_complaint_rate = 0.001, min_source_messages = 5 }
    """
    settings = read(text, tmp_path)
    rules = settings.rules()
    assert (settings.window_days, settings.auto_rollback) == (14, True)
    assert (rules.target, rules.kind, rules.hosts_users) == (Policy.QUARANTINE, DomainKind.LOW_VOLUME, True)
    assert (rules.has_pct_zero, rules.require_signature) == (True, False)
    assert rules.signing == SigningRules(signers=2, valid_for=timedelta(days=3), tolerance=0.02)
    assert (rules.regression_rate, rules.regression_messages) == (0.8, 7)
    assert rules.freezes == (Freeze(date(2026, 12, 20), date(2027, 1, 6), "holidays"),)
    assert rules.thresholds == Thresholds(max_complaint_rate=0.001, min_source_messages=5)
    assert [(x.rung, x.duration, x.pct, x.sp, x.np) for x in rules.schedule] == [
        (RungName.NONE, timedelta(hours=36), 100, None, None),
        (RungName.QUARANTINE_PCT, timedelta(days=3.5), 10, None, None),
        (RungName.QUARANTINE, timedelta(), 100, None, None),
        (RungName.QUARANTINE, timedelta(), 100, Policy.QUARANTINE, Policy.REJECT),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('schedule = [{ rung = "none", weeks = 1, duration = "1d" }]', "weeks and duration say the same"),
        ('schedule = [{ rung = "nothing" }]', "'quarantine-testing'"),
        ("gates = { min_pas_rate = 1 }", "min_pas_rate"),
        ("gates = { min_pass_rate = 98 }", "less than or equal to 1"),
        ("signers = 0", "greater than or equal to 1"),
        ("window = 3", "unknown key window"),
        ("freezes = [{ begin = 2026-12-20, end = 2026-01-06 }]", "no day would be frozen"),
    ],
)
def test_what_cannot_be_meant_is_told(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text, tmp_path)
    assert told in f"{caught.value} {caught.value.hint}"


def test_a_schedule_that_goes_down_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the schedule has none after reject"):
        read('schedule = [{ rung = "reject" }, { rung = "none" }]', tmp_path).rules()
