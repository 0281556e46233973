"""
The values that a rotation is about: keys with their stages, effects, facts, timings. The law over them is `rotation`.

Selectors and domains are texts in lower-case A-labels; moments are aware and in UTC. A private key is no part of any of
it, only a reference to where it is kept. Does no I/O.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from dmarcops.dkim.record import Algorithm, record_name


class Stage(StrEnum):
    """Where a key is in its life."""

    PREPARED = "prepared"
    """Its private half is kept, or about to be; no record says so."""
    PUBLISHED = "published"
    """Its record is in DNS, or about to be; nothing signs with it."""
    ACTIVE = "active"
    """Mail is signed with it, or about to be; no real mail has proved it yet."""
    VERIFIED = "verified"
    """Mail is signed with it, and was seen to verify."""
    RETIRING = "retiring"
    """Another key signs; its record stays for mail that is under way."""
    RETIRED = "retired"
    """Its record is revoked or gone."""
    DESTROYED = "destroyed"
    """Record and private half are gone."""


SIGNING = frozenset((Stage.ACTIVE, Stage.VERIFIED))
"""The stages in which a key signs; of each algorithm at most one key is in one of them."""
UPCOMING = frozenset((Stage.PREPARED, Stage.PUBLISHED))
"""The stages before a key has ever signed."""


class Urgency(StrEnum):
    """When a published key is to be switched to; an emergency is no property of it, but of the key before it."""

    RESERVE = "reserve"
    """When a rotation is due, or the signing key leaks: a stand-by key."""
    ROUTINE = "routine"
    """As soon as it is proved and has waited, with the jitter of its domain."""
    NOW = "now"
    """The same without jitter: a person waits for it."""


class Retirement(StrEnum):
    """What becomes of the record of a key that is no longer needed."""

    REVOKE_THEN_DELETE = "revoke-then-delete"
    """`p=` first, so that everybody can see that it was meant; gone later."""
    DELETE = "delete"
    """Gone at once; to a verifier the same (RFC 6376 section 3.1)."""


@dataclass(frozen=True, slots=True)
class CreateKey:
    """Make a key and keep it; take the one that is kept already under that name."""

    selector: str
    algorithm: str
    bits: int


@dataclass(frozen=True, slots=True)
class PublishTxt:
    """Publish a record at a name that has none."""

    selector: str
    name: str
    record: str


@dataclass(frozen=True, slots=True)
class SwitchSigner:
    """Have one signer sign mail of one domain with the key."""

    selector: str
    signer: str
    domain: str


@dataclass(frozen=True, slots=True)
class RevokeTxt:
    """Put `record`, whose `p` is empty, in the place of exactly `expected`."""

    selector: str
    name: str
    expected: str
    record: str


@dataclass(frozen=True, slots=True)
class RemoveTxt:
    """Take away exactly `expected`; when something else is there by now, it is not ours to take."""

    selector: str
    name: str
    expected: str


@dataclass(frozen=True, slots=True)
class ForgetKey:
    """Have one signer delete its copy of the private key."""

    selector: str
    signer: str
    domain: str


@dataclass(frozen=True, slots=True)
class DestroyKey:
    """Delete the private key where it is kept."""

    selector: str
    reference: str


Effect = CreateKey | PublishTxt | SwitchSigner | RevokeTxt | RemoveTxt | ForgetKey | DestroyKey
"""Something to be done outside: idempotent, saved before it is run, acknowledged by `rotation.done` after."""
_EFFECTS: Mapping[str, type[Effect]] = {
    kind.__name__: kind for kind in (CreateKey, PublishTxt, SwitchSigner, RevokeTxt, RemoveTxt, ForgetKey, DestroyKey)
}


def format_effects(effects: Sequence[Effect]) -> str:
    """Return effects as JSON, to be saved."""
    return json.dumps([{"effect": type(effect).__name__, **asdict(effect)} for effect in effects])


def parse_effects(text: str) -> tuple[Effect, ...]:
    """Read what `format_effects` wrote."""
    return tuple(_EFFECTS[each.pop("effect")](**each) for each in json.loads(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """
    A key of a domain, without its private half.

    `since` is when the last effect of its stage succeeded, or the stage began when it has none; `published` is what may
    stand in DNS because of us, empty when nothing can; `reference` is where the private half is kept, empty when it is
    not. `seen` is since when every authoritative server has had the exact record, `activated` when the switch to it was
    decided, `relieved` when a key that came after it was verified, `last_signed` the last moment a signature by it was
    seen after that switch. `turn` counts the switches among the keys of its algorithm. `is_leaked` and `is_recalled`
    are orders that are not carried out yet.
    """

    domain: str
    selector: str
    algorithm: Algorithm
    bits: int
    stage: Stage
    since: datetime
    created: datetime
    pending: tuple[Effect, ...] = ()
    record: str = ""
    published: str = ""
    reference: str = ""
    urgency: Urgency = Urgency.ROUTINE
    turn: int = 0
    seen: datetime | None = None
    activated: datetime | None = None
    last_signed: datetime | None = None
    replaced_by: str | None = None
    relieved: datetime | None = None
    is_leaked: bool = False
    is_recalled: bool = False

    @property
    def name(self) -> str:
        """Where its record is written."""
        return record_name(self.selector, self.domain)

    def missing_at(self, name: str, texts: Sequence[bytes] | None) -> str:
        """Say what belongs at a name of its selector in another domain when nothing is there; else nothing."""
        is_gone = texts is not None and not texts
        return f"; a CNAME of {self.name} belongs there" if is_gone and name != self.name else ""

    @property
    def is_signing(self) -> bool:
        """Whether mail is signed with it, or about to be."""
        return self.stage in SIGNING


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What `CreateKey` made."""

    bits: int
    record: str
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """What a signer's configuration names now; no selector: it does not sign mail of that domain by that algorithm."""

    signer: str
    domain: str
    algorithm: Algorithm
    selector: str | None


Answers = Mapping[str, tuple[bytes, ...] | None]
"""For each server the texts it has at a name, none when there is no record, `None` when it did not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known at a tick; what could not be asked is absent, and counts as unknown."""

    authoritative: Mapping[str, Answers] = field(default_factory=dict)
    """Record name -> what each authoritative server says."""
    recursive: Mapping[str, Answers] = field(default_factory=dict)
    """Record name -> what each recursive resolver says."""
    unanswered: Mapping[str, str] = field(default_factory=dict)
    """Record name -> why its servers could not be asked."""
    missed: frozenset[str] = frozenset()
    """Selectors of keys whose record was there, and was found gone or wrong by the run before."""
    negative_ttl: timedelta = timedelta()
    """How long resolvers may remember that a name was not there."""
    signing: tuple[Signing, ...] = ()
    """What each signer names, of those that could be asked."""
    unusable: Mapping[str, str] = field(default_factory=dict)
    """Selector -> why its private half cannot be signed with, of keys that were looked at as they were to be."""
    refusing: Mapping[str, str] = field(default_factory=dict)
    """Selector -> which signer would refuse to be switched to it, and why, of the same keys."""
    evidence: Mapping[str, str] = field(default_factory=dict)
    """
    Selector -> `pass`, `fail`, `waiting` or `inconclusive`, over all signers, domains and receivers asked for, from
    mail that was signed since the key was `activated`.
    """
    last_signed: Mapping[str, datetime] = field(default_factory=dict)
    """Selector -> the newest signature by it in mail that was seen."""
    last_reported: Mapping[str, datetime] = field(default_factory=dict)
    """Selector -> the end of the newest aggregate report that shows it passing."""
    reported_until: datetime | None = None
    """The end of the newest aggregate report of the domain; `None`: there are none to go by."""
    policy_step: datetime | None = None
    """When the DMARC policy was last changed."""
    policy_pending: bool = False
    """Whether a change of the policy is under way."""
    holds: tuple[str, ...] = ()
    """Why the domain is held."""
    last_run: datetime | None = None
    """When the last tick was, as the store has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long things take at least."""

    rotate_every: timedelta = timedelta(days=90)
    propagation: timedelta = timedelta(hours=48)
    """From when every authoritative server has the exact record until the switch; or the negative TTL if longer."""
    jitter: timedelta | None = None
    """Domains switch up to so much later, each by its own share; half of `propagation` when not given."""
    retire_after: timedelta = timedelta(days=7)
    """From when the new key is verified until the old one goes."""
    queue_lifetime: timedelta = timedelta(days=5)
    """The longest that the MTA tries to deliver a mail (RFC 5321 section 4.5.4.1: 4 to 5 days)."""
    queue_margin: timedelta = timedelta(days=1)
    """What is added to that, from the last signature by the old key."""
    heed_reports: bool = True
    """Whether an old key stays as long as aggregate reports show it."""
    report_quiet: timedelta = timedelta(days=2)
    """How much of reports without it is asked for then."""
    revoked_for: timedelta = timedelta(days=30)
    """How long a revoked record, and the private half, stay."""
    after_policy_step: timedelta = timedelta(days=7)
    """How long no rotation starts after the policy was changed."""
    stuck_after: timedelta = timedelta(days=3)
    """How much longer than by these timings a stage may take before it is told."""
    clock_slack: timedelta = timedelta(minutes=1)
    """How far the clock may be behind what the store has seen: clocks of two machines differ."""

    @property
    def spread(self) -> timedelta:
        """The most that a domain waits for the sake of the others."""
        return self.propagation / 2 if self.jitter is None else self.jitter


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is wanted for a domain."""

    domain: str
    signers: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    """Domains that are signed with the same keys, their selectors being CNAMEs to those of `domain`."""
    algorithms: tuple[Algorithm, ...] = (Algorithm.RSA,)
    bits: int = 2048
    standby: bool = False
    """Whether a key is kept published that nothing signs with, so that an emergency need not wait for DNS."""
    retire: Retirement = Retirement.REVOKE_THEN_DELETE
    timing: Timing = field(default_factory=Timing)

    def names(self, selector: str) -> tuple[str, ...]:
        """Return the names at which verifiers ask for the selector's record."""
        return tuple(record_name(selector, domain) for domain in (self.domain, *self.aliases))

    @property
    def places(self) -> tuple[tuple[str, str], ...]:
        """Each signer with each domain that it signs."""
        return tuple((signer, domain) for signer in self.signers for domain in (self.domain, *self.aliases))


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What a person asks of this tick."""

    start: bool = False
    """Rotate, although none is due."""
    emergency: str | None = None
    """The selector of a key that leaked."""
    rollback: bool = False
    """Sign with the previous keys again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """
    What became of a key in a tick: it moved, or which guard said no, why, and until when when that is known.

    `selector` is empty for a rotation that has not started. `is_overdue`: it takes longer than the timings explain, or
    is wrong in a way that time does not mend; a person is to be told.
    """

    selector: str
    algorithm: Algorithm
    stage: Stage | None
    guard: str
    text: str
    not_before: datetime | None = None
    is_overdue: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """The outcome of a tick, to be saved before any of its effects is run; `reasons` has one for each key."""

    keys: tuple[Key, ...]
    reasons: tuple[Reason, ...]
