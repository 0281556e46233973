"""Fakes of the ports that a rotation works with, and a store that can die: all under one count of boundary calls."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from dmarcops.dkim.key import parse_key
from dmarcops.dkim.lifecycle import Key, Orders, Plan, Stage, Timing
from dmarcops.dkim.record import Algorithm, compare, format_record, record_name
from dmarcops.errors import DmarcopsError, UnsafeChangeError
from dmarcops.flows.outside import Outside, Testimony
from dmarcops.flows.rotate import Rotation, Ticked
from dmarcops.ports import Finding, LostFile, SigningKey, TxtChange
from dmarcops.report.model import Domain, Selector
from dmarcops.store import keys
from dmarcops.store.engine import Store
from fakes import MemoryDns, MemoryResolver

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
QUICK = Timing(
    rotate_every=24 * HOUR,
    propagation=2 * HOUR,
    jitter=timedelta(),
    retire_after=2 * HOUR,
    queue_lifetime=HOUR,
    queue_margin=HOUR,
    heed_reports=False,
    revoked_for=2 * HOUR,
)


class Killed(BaseException):
    """The process died."""


@dataclass
class Boundary:
    """Counts what crosses the process's boundary, and kills it at one crossing; each call has two, before and after."""

    dies_at: int = -1
    crossed: int = 0
    check: Callable[[], None] = lambda: None

    def cross(self) -> None:
        """Pass, or die."""
        self.check()
        self.crossed += 1
        if self.crossed == self.dies_at:
            raise Killed

    @contextmanager
    def around(self) -> Iterator[None]:
        """Pass twice."""
        self.cross()
        yield
        self.cross()


class MortalStore(Store):
    """A store whose process can die right before and right after each commit."""

    boundary = Boundary()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection that holds the writer lock."""
        self.boundary.cross()
        with super().write() as connection:
            yield connection
        self.boundary.cross()


@dataclass
class MortalDns(MemoryDns):
    """A provider to which the connection can die at any time."""

    boundary: Boundary = field(default_factory=Boundary)

    def _change(self, change: TxtChange) -> str:
        with self.boundary.around():
            return super()._change(change)


@dataclass
class MemoryKeyStore:
    """Keys in memory."""

    boundary: Boundary
    kept: dict[str, bytes] = field(default_factory=dict)
    faults: list[DmarcopsError] = field(default_factory=list)

    def reference(self, domain: Domain, selector: Selector) -> str:
        """Return where a key is kept."""
        return f"memory:{domain}/{selector}"

    def save(self, key: SigningKey) -> str:
        """Keep a key."""
        if self.faults:
            raise self.faults.pop(0)
        reference = self.reference(key.domain, key.selector)
        with self.boundary.around():
            if self.kept.setdefault(reference, key.pem) != key.pem:
                raise UnsafeChangeError("overwrite", "another key is kept there")
        return reference

    def load(self, reference: str) -> bytes | None:
        """Give a key."""
        return self.kept.get(reference)

    def delete(self, reference: str) -> None:
        """Delete a key."""
        with self.boundary.around():
            self.kept.pop(reference, None)


@dataclass
class MemorySigner:
    """A signer in memory."""

    boundary: Boundary
    algorithms: frozenset[str] = frozenset({"rsa", "ed25519"})
    named: dict[tuple[str, str], str] = field(default_factory=dict)
    files: dict[tuple[str, str], bytes] = field(default_factory=dict)
    faults: list[DmarcopsError] = field(default_factory=list)
    asking_faults: list[DmarcopsError] = field(default_factory=list)
    foreseen: list[Finding] = field(default_factory=list)

    def current(self, domain: Domain, algorithm: str) -> Selector | None:
        """Give the selector in use."""
        if self.asking_faults:
            raise self.asking_faults.pop(0)
        selector = self.named.get((domain, algorithm))
        return None if selector is None else Selector(selector)

    def use(self, key: SigningKey) -> None:
        """Sign with a key."""
        if self.faults:
            raise self.faults.pop(0)
        with self.boundary.around():
            self.files[key.domain, key.selector] = key.pem
            self.named[key.domain, key.algorithm] = key.selector

    def foresee(self, _domain: Domain, _algorithm: str) -> list[Finding]:
        """Give what would stop a switch."""
        return self.foreseen

    def lost(self, domain: Domain) -> list[LostFile]:
        """Give what it names and has no file of."""
        named = [selector for (of, _), selector in self.named.items() if of == domain]
        return [
            LostFile(Selector(selector), f"/keys/{selector}.key", is_ours=True)
            for selector in named
            if (domain, selector) not in self.files
        ]

    def forget(self, domain: Domain, selector: Selector) -> None:
        """Delete a key file."""
        if self.faults:
            raise self.faults.pop(0)
        with self.boundary.around():
            self.files.pop((domain, selector), None)


@dataclass
class World:
    """All of the outside, and rotations of some domains in it, under a clock of ours."""

    store: Store
    plans: tuple[Plan, ...]
    boundary: Boundary = field(default_factory=Boundary)
    now: datetime = START
    is_proved: bool = True
    """Whether mail that is signed is received and verifies."""
    verdicts: dict[str, str] = field(default_factory=dict)
    probes: list[str] = field(default_factory=list)
    foreign: frozenset[str] = frozenset()
    problems: tuple[DmarcopsError, ...] = ()
    template: str = "s{random:6}"

    def __post_init__(self) -> None:
        self.dns = MortalDns(boundary=self.boundary)
        self.resolver = MemoryResolver(self.dns)
        self.keystore = MemoryKeyStore(self.boundary)
        self.signers = {
            name: MemorySigner(self.boundary) for name in sorted({name for plan in self.plans for name in plan.signers})
        }
        self.boundary.check = self.check
        self._seed = 0

    def testify(self, found: Sequence[Key], now: datetime) -> Testimony:
        """Say that a key is proved when every signer names it and everybody can see its record."""
        verdicts = {}
        for key in found:
            said = self.verdicts.get(key.selector, "pass" if self.is_proved and self._verifies(key) else "waiting")
            verdicts[key.selector] = said
        return Testimony(verdicts=verdicts, last_signed=self._last(found, now), problems=self.problems)

    def _last(self, found: Sequence[Key], now: datetime) -> dict[str, datetime]:
        return {key.selector: now for key in found if any(self._names(signer, key) for signer in self.signers.values())}

    def _names(self, signer: MemorySigner, key: Key) -> bool:
        return signer.named.get((key.domain, key.algorithm.value)) == key.selector

    def _verifies(self, key: Key) -> bool:
        texts = self.resolver.txt(key.name) or ()
        return compare(texts, key.record.encode()).is_ours and all(self._names(x, key) for x in self.signers.values())

    def outside(self, plan: Plan) -> Outside:
        """Give what the rotation of a domain works with."""
        return Outside(
            plan=plan,
            provider=self.dns,
            signers={name: self.signers[name] for name in plan.signers},
            keystore=self.keystore,
            resolver=self.resolver,
            witness=self,
            template=self.template,
            foreign=self.foreign,
            probe=lambda: self.probes.append(plan.domain),
        )

    def chance(self, below: int) -> int:
        """Give the next number of a fixed row."""
        self._seed = (self._seed * 1103515245 + 12345) % (1 << 31)
        return (self._seed >> 8) % below

    def tick(self, *, dry_run: bool = False, **orders: Orders) -> dict[str, Ticked]:
        """Run once; orders go to all domains."""
        rotation = Rotation(store=self.store, clock=lambda: self.now, who="test", chance=self.chance)
        given = {plan.domain: order for plan in self.plans for order in orders.values()}
        ticked = rotation.run([self.outside(plan) for plan in self.plans], given, dry_run=dry_run)
        return {each.domain: each for each in ticked}

    def hours(self, count: int) -> dict[str, Ticked]:
        """Run once an hour; return the last."""
        ticked = {}
        for _ in range(count):
            ticked = self.tick()
            self.now += HOUR
        return ticked

    def stages(self, domain: str = "example.com") -> dict[str, Stage]:
        """Return the stage of each key."""
        return {key.selector: key.stage for key in keys.load(self.store, domain).keys}

    def key(self, stage: Stage, domain: str = "example.com") -> Key:
        """Return the key that is in a stage."""
        (found,) = [key for key in keys.load(self.store, domain).keys if key.stage is stage]
        return found

    def check(self) -> None:
        """Whatever happens: what a signer signs with is in DNS, exactly, and what is in DNS has its private half."""
        for signer in self.signers.values():
            for (domain, _), selector in signer.named.items():
                record = format_record(parse_key(signer.files[domain, selector]).record)
                texts = self.resolver.txt(record_name(selector, domain)) or ()
                assert compare(texts, record).is_ours, f"{selector} signs, and DNS has {texts!r}"
        kept = [format_record(parse_key(pem).record) for pem in self.keystore.kept.values()]
        for found in self.dns.records.values():
            assert found.values[0].endswith(b"p=") or any(compare(found.values, record).is_ours for record in kept)


def plan(domain: str = "example.com", *signers: str, timing: Timing = QUICK) -> Plan:
    """Return a plan with keys that are made in no time."""
    return Plan(domain=domain, signers=signers or ("mta",), algorithms=(Algorithm.ED25519,), timing=timing)
