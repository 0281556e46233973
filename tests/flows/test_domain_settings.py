"""The settings of a domain make its plan."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from dmarcops.dkim.lifecycle import Retirement
from dmarcops.dkim.record import Algorithm
from dmarcops.flows.domains import DkimSettings, VerifySettings


def test_settings_make_the_plan() -> None:
    settings = DkimSettings.model_validate(
        {
            "algorithms": ["rsa", "ed25519"],
            "bits": 3072,
            "propagation": "3s",
            "retire": "delete",
            "aliases": ["Example.NET"],
        }
    )
    plan = settings.plan("example.com", ("pmta",))
    assert plan.algorithms == (Algorithm.RSA, Algorithm.ED25519)
    assert plan.timing.propagation == timedelta(seconds=3)
    assert plan.timing.retire_after == timedelta(days=7)
    assert plan.retire is Retirement.DELETE
    assert plan.bits == 3072
    assert plan.aliases == ("example.net",)


@pytest.mark.parametrize(
    "given", [{"bits": 1024}, {"bits": 2049}, {"aliases": ["a b"]}, {"algorithms": []}, {"retire": "never"}]
)
def test_settings_that_make_no_sense_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DkimSettings.model_validate(given)


@pytest.mark.parametrize(("receivers", "failing"), [(0, 1), (1, 1), (2, 2), (9, 2)])
def test_as_many_receivers_must_say_fail_as_there_are_at_most(receivers: int, failing: int) -> None:
    assert VerifySettings().thresholds(receivers=receivers).failing_receivers == failing
