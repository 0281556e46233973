"""
What is configured for a domain's DMARC policy: `[domains.X.policy]`, and the rules of the stepper made from it.

Does no I/O.
"""

from datetime import date, timedelta
from typing import Literal

from pydantic import Field, model_validator

from dmarcops.policy.gates import DomainKind, Thresholds
from dmarcops.policy.record import MAX_PCT, Policy
from dmarcops.policy.rules import DEFAULT_SCHEDULE, Freeze, Rules, Step
from dmarcops.policy.rungs import RungName
from dmarcops.policy.signoff import SigningRules
from dmarcops.settings import Duration, Settings

_THRESHOLDS = Thresholds()
_RULES = Rules()
_SIGNING = SigningRules()

SubdomainPolicy = Policy | Literal["keep"]
"""What is written for subdomains; `keep` leaves what is published."""


class ProofSettings(Settings):
    """Section `[policy]`: how signatures are proved."""

    signing_key: str = ""
    """A file with an Ed25519 private key that nobody else may read: `sign` proves signatures with it."""
    trusted_keys: tuple[str, ...] = ()
    """Public keys, each the Base64 of its 32 octets: one of these or `signing_key` has to prove a signature."""


class StepSettings(Settings):
    """One entry of `schedule` of `[domains.X.policy]`."""

    rung: RungName
    """`none`, `quarantine-testing`, `quarantine-pct`, `quarantine`, `reject-testing`, `reject-pct` or `reject`."""
    weeks: float | None = Field(default=None, ge=0)
    """How long it lasts at least, in weeks."""
    duration: Duration | None = None
    """The same as a duration, such as `10d`, instead of `weeks`."""
    pct: int = Field(default=MAX_PCT, ge=1, le=MAX_PCT)
    """Share of the mail, for `quarantine-pct` and `reject-pct`."""
    sp: SubdomainPolicy = "keep"
    """What is written for subdomains, when that is stricter than what is published; `keep`: nothing."""
    np: SubdomainPolicy | None = None
    """The same for subdomains that do not exist: `reject` from `quarantine` on, `keep` before, when not given."""

    @model_validator(mode="after")
    def _has_one_duration(self) -> "StepSettings":
        if self.weeks is not None and self.duration is not None:
            raise ValueError("weeks and duration say the same: give one of them")
        return self

    def step(self) -> Step:
        """Return the step of the schedule."""
        np = self.np or ("reject" if self.rung is RungName.QUARANTINE else "keep")
        return Step(
            rung=self.rung,
            duration=timedelta(weeks=self.weeks or 0) if self.duration is None else self.duration,
            pct=self.pct,
            sp=_subdomain(self.sp),
            np=_subdomain(np),
        )


class FreezeSettings(Settings):
    """One entry of `freezes` of `[domains.X.policy]`."""

    begin: date
    """The first day, in UTC: `2026-12-20`."""
    end: date
    """The last day, itself included."""
    reason: str = ""
    """Why."""

    @model_validator(mode="after")
    def _has_a_day(self) -> "FreezeSettings":
        if self.end < self.begin:
            raise ValueError(f"it ends on {self.end}, before it begins on {self.begin}: no day would be frozen")
        return self


class GateSettings(Settings):
    """`gates` of `[domains.X.policy]`: the thresholds before a stricter policy."""

    min_pass_rate: float = Field(default=_THRESHOLDS.min_pass_rate, ge=0, le=1)
    """Aligned passes among acknowledged mail, and among that of each acknowledged source."""
    min_messages: int = Field(default=_THRESHOLDS.min_messages, ge=0)
    """Acknowledged messages, whichever reporter is left out."""
    min_reporters: int = Field(default=_THRESHOLDS.min_reporters, ge=1)
    """Reporters heard of at the end of the window."""
    min_days: int = Field(default=_THRESHOLDS.min_days, ge=0)
    """Days that somebody reported about, whichever reporter is left out; `window_days` at most."""
    max_unknown_share: float = Field(default=_THRESHOLDS.max_unknown_share, ge=0, le=1)
    """Mail of sources that nobody has reviewed, measured against acknowledged mail."""
    min_recent_pass_rate: float = Field(default=_THRESHOLDS.min_recent_pass_rate, ge=0, le=1)
    """As `min_pass_rate`, at the end of the window."""
    min_dkim_rate: float = Field(default=_THRESHOLDS.min_dkim_rate, ge=0, le=1)
    """Aligned DKIM passes among acknowledged mail, before reject."""
    min_source_messages: int = Field(default=_THRESHOLDS.min_source_messages, ge=0)
    """Messages from which on an acknowledged source is judged by itself."""
    min_source_share: float = Field(default=_THRESHOLDS.min_source_share, ge=0, le=1)
    """The share of acknowledged mail from which on it is so, too."""
    min_source_dkim_rate: float = Field(default=_THRESHOLDS.min_source_dkim_rate, ge=0, le=1)
    """Aligned DKIM passes of each such source, before reject: below it, it rests on SPF."""
    max_silent_share: float = Field(default=_THRESHOLDS.max_silent_share, ge=0, le=1)
    """Usual reporters that are silent."""
    max_silence_days: int = Field(default=_THRESHOLDS.max_silence_days, ge=0)
    """Days without any report at the end of the window."""
    max_complaint_rate: float = Field(default=_THRESHOLDS.max_complaint_rate, gt=0, le=1)
    """Complaints about the domain's mail in a week, where they are measured."""

    def thresholds(self) -> Thresholds:
        """Return the thresholds."""
        return Thresholds(**self.model_dump())


class PolicySettings(Settings):
    """Section `[domains.X.policy]`."""

    target: Policy = _RULES.target
    """The strictest policy that is wanted: `reject`, `quarantine` or `none`."""
    schedule: tuple[StepSettings, ...] = ()
    """
    The rungs in their order, each above the one before. None for 4 weeks, quarantine in test mode for 2, quarantine for
    6, then reject, when not given.
    """
    kind: DomainKind = _RULES.kind
    """`normal`; `low-volume`: too little mail for a rate; `parked`: no mail at all."""
    hosts_users: bool = _RULES.hosts_users
    """People have mailboxes here, and write to mailing lists: quarantine is the ceiling (RFC 9989 section 7.4)."""
    pct_zero: bool = _RULES.has_pct_zero
    """Write `pct=0` beside `t=y`, for receivers that follow RFC 7489 (RFC 9989 appendix A.6)."""
    freezes: tuple[FreezeSettings, ...] = ()
    """Days on which no step is made: holidays, the season of sales."""
    gates: GateSettings = GateSettings()
    """The thresholds before a stricter policy."""
    require_signature: bool = _RULES.require_signature
    """Whether a person has to sign each step."""
    signers: int = Field(default=_SIGNING.signers, ge=1)
    """How many different people have to."""
    signature_valid: Duration = _SIGNING.valid_for
    """How long a signature holds."""
    signature_tolerance: float = Field(default=_SIGNING.tolerance, ge=0, le=1)
    """How far the rates may move meanwhile."""
    window_days: int = Field(default=28, ge=1, le=366)
    """Days of reports that a decision rests on; the two latest are not among them, as reports come late."""
    regression_rate: float = Field(default=_RULES.regression_rate, ge=0, le=1)
    """The pass rate of acknowledged mail below which, after a step, the step back is proposed."""
    regression_messages: int = Field(default=_RULES.regression_messages, ge=0)
    """Messages without which nothing is said about it."""
    auto_rollback: bool = False
    """Make that step back at once, instead of proposing it."""

    @model_validator(mode="after")
    def _has_a_window_long_enough(self) -> "PolicySettings":
        least = self.gates.min_days
        if self.kind is not DomainKind.PARKED and least > self.window_days:
            raise ValueError(
                f"gates.min_days = {least} is more than window_days = {self.window_days}: no step would ever be made"
            )
        return self

    def rules(self) -> Rules:
        """
        Return the rules of the stepper.

        Raises:
            ConfigError: The schedule makes no sense.
        """
        return Rules(
            schedule=tuple(entry.step() for entry in self.schedule) or DEFAULT_SCHEDULE,
            target=self.target,
            kind=self.kind,
            hosts_users=self.hosts_users,
            has_pct_zero=self.pct_zero,
            freezes=tuple(Freeze(each.begin, each.end, each.reason) for each in self.freezes),
            thresholds=self.gates.thresholds(),
            require_signature=self.require_signature,
            signing=SigningRules(
                signers=self.signers, valid_for=self.signature_valid, tolerance=self.signature_tolerance
            ),
            regression_rate=self.regression_rate,
            regression_messages=self.regression_messages,
        )


def _subdomain(wanted: str) -> Policy | None:
    return None if wanted == "keep" else Policy(wanted)
