"""A world in memory for policies: DNS that lags or lies, reports in a real store, and a program that can die."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta

from builders import FAIL, PASS, evaluation, incoming, message, report
from dmarcops.domains import suffix_list
from dmarcops.flows.advance import Stepped, Stepping
from dmarcops.flows.policy import Governed, Outlook, Policies
from dmarcops.flows.policy_sign import Word, resume, sign_step
from dmarcops.policy.answers import text_of
from dmarcops.policy.evidence import SourceKind
from dmarcops.policy.gates import Thresholds
from dmarcops.policy.proof import Ring
from dmarcops.policy.record import Policy
from dmarcops.policy.rules import Rules, Step
from dmarcops.policy.rungs import RungName
from dmarcops.policy.signoff import Signoff
from dmarcops.policy.sources import Acknowledgement, Scope
from dmarcops.policy.sources import Word as SourceWord
from dmarcops.policy.stepper import Decision
from dmarcops.ports import TxtSet
from dmarcops.store import source_words
from dmarcops.store.engine import Store
from dmarcops.store.reports import record
from fakes import MemoryResolver
from rotation_fakes import Boundary, MortalDns

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
WEEK = timedelta(weeks=1)
DOMAIN = "example.com"
NAME = f"_dmarc.{DOMAIN}"
NONE = b"v=DMARC1; p=none; rua=mailto:dmarc@example.com; x=a"
"""The owner's record, with a tag that nobody knows."""
OWN, PAYROLL, STRANGER = "192.0.2.1", "198.51.100.7", "203.0.113.9"
REPORTERS = ("large.example", "medium.example", "small.example")
RULES = Rules(
    schedule=(
        Step(rung=RungName.NONE, duration=2 * WEEK),
        Step(rung=RungName.QUARANTINE, duration=2 * WEEK, np=Policy.REJECT),
        Step(rung=RungName.REJECT),
    ),
    thresholds=Thresholds(min_messages=100, min_days=7),
)
"""Two steps, two weeks each."""


@dataclass
class World:
    """All of the outside, and the policies of some domains in it, under a clock of ours."""

    store: Store
    rules: Rules = RULES
    domains: tuple[str, ...] = (DOMAIN,)
    auto_rollback: bool = False
    boundary: Boundary = field(default_factory=Boundary)
    now: datetime = START
    ring: Ring = field(default_factory=Ring)

    def __post_init__(self) -> None:
        self.dns = MortalDns(boundary=self.boundary)
        self.resolver = MemoryResolver(self.dns)

    def publish(self, octets: bytes, domain: str = DOMAIN) -> None:
        """Have somebody else write a record."""
        name = f"_dmarc.{domain}"
        self.dns.records[name] = TxtSet(name, (octets,), 3600)

    @property
    def octets(self) -> bytes:
        """What DNS has."""
        (value,) = self.dns.records[NAME].values
        return value

    @property
    def text(self) -> str:
        """The same as a text."""
        return text_of(self.octets)

    def acknowledge(self, address: str = OWN, domain: str = DOMAIN) -> None:
        """Have a person say that a source is ours."""
        said = Acknowledgement(scope=Scope.ADDRESS, value=address, word=SourceWord.ACK, by="kim", at=self.now)
        source_words.add(self.store, domain, said)

    def report(  # noqa: PLR0913 - all of it is said in a line
        self,
        first: date,
        last: date,
        *,
        messages: int = 50,
        failing: int = 0,
        source: str = OWN,
        reporters: Sequence[str] = REPORTERS,
        domain: str = DOMAIN,
    ) -> None:
        """Have reporters say, each day, that so many messages of a source passed, and so many failed."""
        made = []
        for at in range((last - first).days + 1):
            begin = int(datetime.combine(first + at * DAY, time(), UTC).timestamp())
            rows = [
                (source, count, evaluation(aligned=(verdict, verdict), header_from=domain))
                for verdict, count in ((PASS, messages), (FAIL, failing))
                if count
            ]
            for reporter in reporters:
                given = report(
                    *rows,
                    org_name=reporter,
                    report_id=f"{begin}{source}{failing}",
                    domain=domain,
                    period=(begin, begin + 86_399),
                )
                payload = replace(incoming(given), authenticated="authenticated")
                made.append(message(payload, origin=f"{begin}{source}{failing}{reporter}{domain}"))
        record(self.store, made, self.now)

    def seasoned(self, *, days: int = 30) -> "World":
        """Let a domain have its record, mail of its own, and a person's word, for some time."""
        for domain in self.domains:
            self.publish(NONE, domain)
            self.acknowledge(domain=domain)
        self.look()
        today = self.now.date()
        self.now += days * DAY
        for domain in self.domains:
            self.report(today, self.now.date(), domain=domain)
        return self

    def governed(self, domain: str = DOMAIN) -> Governed:
        """Give what the policy of a domain works with."""
        return Governed(domain=domain, rules=self.rules, provider=lambda: self.dns, auto_rollback=self.auto_rollback)

    @property
    def policies(self) -> Policies:
        """What looks at policies."""
        return Policies(
            store=self.store,
            resolver=self.resolver,
            clock=lambda: self.now,
            organizational_domain=suffix_list(),
            ring=self.ring,
        )

    @property
    def stepping(self) -> Stepping:
        """What makes steps."""
        return Stepping(policies=self.policies, who="cron")

    def look(self) -> Outlook:
        """Look at the policies; return the first."""
        return self.policies.look([self.governed(domain) for domain in self.domains])[0]

    def advance(self, *, dry_run: bool = False) -> Stepped:
        """Run once over all domains; return the first."""
        governed = [self.governed(domain) for domain in self.domains]
        stepped, *_ = self.stepping.advance(governed, dry_run=dry_run)
        return stepped

    def rollback(self, *, again: bool = False, dry_run: bool = False) -> Stepped:
        """Take the last step back."""
        return self.stepping.rollback(self.governed(), again=again, dry_run=dry_run)

    def word(self, by: str = "Kim", comment: str = "") -> Word:
        """Give what a person says."""
        return Word(by=by, who="kim", at=self.now, comment=comment)

    def sign(self, by: str = "Kim", *, digest: str = "", comment: str = "") -> Signoff:
        """Sign the next step."""
        return sign_step(self.policies, self.governed(), self.word(by, comment), digest=digest)

    def resume(self) -> tuple[str, ...]:
        """End a hold, and take a foreign record for right."""
        return resume(self.policies, self.governed(), self.word())

    def kinds(self) -> dict[str, SourceKind]:
        """Return what each source is taken for."""
        outlook = self.look()
        assert outlook.evidence is not None
        return {source.name: source.kind for source in outlook.evidence.sources}


def decision(world: World) -> Decision:
    """Give what is decided of the first domain."""
    proposal = world.look().proposal
    assert proposal is not None
    return proposal.decision


def reasons(world: World) -> str:
    """Give all that stands in its way."""
    proposal = world.look().proposal
    assert proposal is not None
    return "; ".join(proposal.reasons)
