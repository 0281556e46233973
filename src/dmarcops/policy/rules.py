"""
What the owner of a domain wants of its policy: the schedule, the ceiling, the days on which nothing moves.

The default schedule is a convention: four weeks hold a monthly sender once, and the times of `none` and of `quarantine`
are at least as long as RFC 9989 section 7.4 has them. Does no I/O.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from dmarcops.errors import ConfigError
from dmarcops.policy.gates import DomainKind, Thresholds
from dmarcops.policy.record import MAX_PCT, STRICTNESS, Policy
from dmarcops.policy.rungs import ORDER, RUNGS, Rung, RungName
from dmarcops.policy.signoff import SigningRules

_MONTH = timedelta(days=28)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    One step of the schedule: the rung, for how long at least, and what is written beside it.

    `pct` is for a sampled rung. `sp` and `np` are written when they make the record stricter; a step with the rung of
    the one before it moves these alone.
    """

    rung: RungName
    duration: timedelta = timedelta()
    pct: int = MAX_PCT
    sp: Policy | None = None
    np: Policy | None = None

    @property
    def definition(self) -> Rung:
        """The rung's data."""
        return RUNGS[ORDER[self.rung]]

    @property
    def rank(self) -> tuple[int, int]:
        """Its place: a higher step has a higher one."""
        return ORDER[self.rung], self.pct


DEFAULT_SCHEDULE: tuple[Step, ...] = (
    Step(rung=RungName.NONE, duration=timedelta(weeks=4)),
    Step(rung=RungName.QUARANTINE_TESTING, duration=timedelta(weeks=2)),
    Step(rung=RungName.QUARANTINE, duration=timedelta(weeks=6), np=Policy.REJECT),
    Step(rung=RungName.REJECT),
)
"""None to reject in twelve weeks."""


@dataclass(frozen=True, slots=True)
class Freeze:
    """Days, both ends included, on which no step is made: holidays, the season of sales."""

    begin: date
    end: date
    reason: str = ""

    def __str__(self) -> str:
        return f"frozen from {self.begin} to {self.end}" + (f" ({self.reason})" if self.reason else "")

    @property
    def over(self) -> datetime:
        """When it is over, in UTC."""
        return datetime.combine(self.end + timedelta(days=1), time(), UTC)


@dataclass(frozen=True, slots=True)
class Hold:
    """A person's word that no step is made, until a time or until it is taken back."""

    by: str
    at: datetime
    reason: str = ""
    until: datetime | None = None

    def is_on(self, now: datetime) -> bool:
        """Tell whether it holds."""
        return self.until is None or now < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """
    All that the configuration says about one domain's policy.

    Args:
        hosts_users: People have mailboxes here, and write to mailing lists: the ceiling is quarantine (RFC 9989 section
            7.4).
        has_pct_zero: A rung in test mode has `pct=0` beside `t=y`, for receivers that follow RFC 7489 (RFC 9989
            appendix A.6).
        regression_rate: The pass rate of acknowledged mail below which, after a step, the step back is proposed.
        regression_messages: Messages without which nothing is said about it.

    Raises:
        ConfigError: The schedule makes no sense.
    """

    schedule: Sequence[Step] = DEFAULT_SCHEDULE
    target: Policy = Policy.REJECT
    kind: DomainKind = DomainKind.NORMAL
    hosts_users: bool = False
    has_pct_zero: bool = False
    freezes: tuple[Freeze, ...] = ()
    thresholds: Thresholds = field(default_factory=Thresholds)
    require_signature: bool = True
    signing: SigningRules = field(default_factory=SigningRules)
    regression_rate: float = 0.9
    regression_messages: int = 100

    def __post_init__(self) -> None:
        if not self.schedule:
            raise ConfigError("the schedule has no step")
        for before, after in zip(self.schedule, self.schedule[1:], strict=False):
            _require_upwards(before, after)
        for step in self.schedule:
            if step.definition.is_sampled != (0 < step.pct < MAX_PCT):
                raise ConfigError(
                    f"pct = {step.pct} does not fit the rung {step.rung}",
                    hint=f"pct, from 1 to 99, belongs to {RungName.QUARANTINE_PCT} and {RungName.REJECT_PCT}",
                )

    @property
    def ceiling(self) -> Policy:
        """The strictest policy that the schedule goes to."""
        return min(self.target, Policy.QUARANTINE, key=STRICTNESS.index) if self.hosts_users else self.target

    def steps(self) -> tuple[Step, ...]:
        """Give the steps up to the ceiling; of a parked domain, the last one alone."""
        allowed = tuple(x for x in self.schedule if x.definition.p in STRICTNESS[: STRICTNESS.index(self.ceiling) + 1])
        return allowed[-1:] if self.kind is DomainKind.PARKED else allowed


def _require_upwards(before: Step, after: Step) -> None:
    if after.rank > before.rank:
        return
    if after.rank == before.rank and (after.sp, after.np) != (before.sp, before.np):
        return
    raise ConfigError(f"the schedule has {after.rung} after {before.rung}", hint="each step has to be above the last")


def warnings(rules: Rules) -> tuple[str, ...]:
    """Say what in the rules is allowed and all the same doubtful, with the section that says so."""
    return tuple(_warnings(rules))


def _warnings(rules: Rules) -> Iterator[str]:
    steps = rules.steps()
    rungs = [step.rung for step in steps]
    if any(step.definition.is_sampled for step in steps):
        yield "receivers that follow RFC 9989 ignore pct: a sampled rung is the full one there (RFC 9989 appendix A.6)"
    if RungName.REJECT_TESTING in rungs:
        yield "receivers differ on reject in test mode: nothing, quarantine or full reject (RFC 9989 appendix A.6)"
    if RungName.QUARANTINE_TESTING in rungs and not rules.has_pct_zero:
        yield "receivers that follow RFC 7489 do not read t=y: they quarantine (RFC 9989 appendix A.6)"
    if any(step.definition.is_testing for step in steps):
        yield "some compliance checks fail a record in test mode"
    if rules.kind is DomainKind.PARKED or rules.ceiling is not Policy.REJECT:
        return
    for policy in (Policy.NONE, Policy.QUARANTINE):
        spent = sum((x.duration for x in steps if x.definition.p is policy), timedelta())
        if spent < _MONTH:
            yield f"less than a month at p={policy} before reject (RFC 9989 section 7.4)"


def thaw(moment: datetime, freezes: Sequence[Freeze]) -> datetime:
    """Give the first moment, from this one on, that no freeze covers; days are those of UTC."""
    for _ in freezes:
        day = moment.astimezone(UTC).date()
        ends = [x.over for x in freezes if x.begin <= day <= x.end]
        if not ends:
            break
        moment = max(ends)
    return moment
