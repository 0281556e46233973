from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import pytest

from dmarcops.errors import ConfigError
from dmarcops.policy.gates import DomainKind
from dmarcops.policy.record import Policy
from dmarcops.policy.rules import DEFAULT_SCHEDULE, Freeze, Hold, Rules, Step, thaw, warnings
from dmarcops.policy.rungs import RungName

N, QT, QP, Q, RT, RP, R = RungName
WEEK = timedelta(weeks=1)


def test_default_schedule_takes_twelve_weeks() -> None:
    assert [(step.rung, step.duration // WEEK, step.np) for step in DEFAULT_SCHEDULE] == [
        (N, 4, None),
        (QT, 2, None),
        (Q, 6, Policy.REJECT),
        (R, 0, None),
    ]
    assert Rules().steps() == DEFAULT_SCHEDULE


@pytest.mark.parametrize(
    ("rules", "rungs"),
    [
        (Rules(target=Policy.QUARANTINE), [N, QT, Q]),
        (Rules(hosts_users=True), [N, QT, Q]),
        (Rules(hosts_users=True, target=Policy.NONE), [N]),
        (Rules(kind=DomainKind.PARKED), [R]),
        (Rules(kind=DomainKind.PARKED, hosts_users=True), [Q]),
        (Rules(target=Policy.NONE, schedule=[Step(rung=Q)]), []),
    ],
)
def test_schedule_ends_at_the_ceiling(rules: Rules, rungs: list[RungName]) -> None:
    assert [step.rung for step in rules.steps()] == rungs


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ([], "the schedule has no step"),
        ([Step(rung=Q), Step(rung=N)], "the schedule has none after quarantine"),
        ([Step(rung=Q), Step(rung=Q)], "the schedule has quarantine after quarantine"),
        ([Step(rung=QP, pct=50), Step(rung=QP, pct=25)], "the schedule has quarantine-pct after quarantine-pct"),
        ([Step(rung=QP)], "pct = 100 does not fit the rung quarantine-pct"),
        ([Step(rung=RP, pct=0)], "pct = 0 does not fit the rung reject-pct"),
        ([Step(rung=Q, pct=25)], "pct = 25 does not fit the rung quarantine"),
    ],
)
def test_schedule_that_makes_no_sense_is_refused(schedule: Sequence[Step], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Rules(schedule=schedule)
    assert str(caught.value) == message


def test_subdomains_may_follow_on_a_schedule_of_their_own() -> None:
    Rules(schedule=[Step(rung=Q, sp=Policy.NONE), Step(rung=Q, sp=Policy.QUARANTINE), Step(rung=QP.__class__.REJECT)])


def test_doubtful_rules_are_warned_about() -> None:
    assert [text.split(":")[0] for text in warnings(Rules())] == [
        "receivers that follow RFC 7489 do not read t=y",
        "some compliance checks fail a record in test mode",
    ]
    ramp = Rules(schedule=[Step(rung=N), Step(rung=QP, pct=25), Step(rung=RT), Step(rung=R)], has_pct_zero=True)
    assert list(warnings(ramp)) == [
        "receivers that follow RFC 9989 ignore pct: a sampled rung is the full one there (RFC 9989 appendix A.6)",
        "receivers differ on reject in test mode: nothing, quarantine or full reject (RFC 9989 appendix A.6)",
        "some compliance checks fail a record in test mode",
        "less than a month at p=none before reject (RFC 9989 section 7.4)",
        "less than a month at p=quarantine before reject (RFC 9989 section 7.4)",
    ]
    eased = Rules(has_pct_zero=True, target=Policy.QUARANTINE)
    assert list(warnings(eased)) == ["some compliance checks fail a record in test mode"]
    assert list(warnings(Rules(kind=DomainKind.PARKED))) == []


@pytest.mark.parametrize(
    ("moment", "thawed"),
    [
        (datetime(2026, 12, 19, 23, 59, tzinfo=UTC), datetime(2026, 12, 19, 23, 59, tzinfo=UTC)),
        (datetime(2026, 12, 20, tzinfo=UTC), datetime(2027, 1, 3, tzinfo=UTC)),
        (datetime(2027, 1, 2, 23, 59, tzinfo=UTC), datetime(2027, 1, 3, tzinfo=UTC)),
        (datetime(2027, 1, 3, tzinfo=UTC), datetime(2027, 1, 3, tzinfo=UTC)),
    ],
)
def test_freezes_that_touch_are_one(moment: datetime, thawed: datetime) -> None:
    freezes = (
        Freeze(date(2027, 1, 1), date(2027, 1, 2), "new year"),
        Freeze(date(2026, 12, 20), date(2026, 12, 31), "holidays"),
    )
    assert thaw(moment, freezes) == thawed
    assert thaw(moment, ()) == moment


def test_hold_ends_at_its_time() -> None:
    now = datetime(2026, 3, 31, tzinfo=UTC)
    assert Hold("kim", now).is_on(now)
    assert Hold("kim", now, until=now + WEEK).is_on(now)
    assert not Hold("kim", now, until=now).is_on(now)
