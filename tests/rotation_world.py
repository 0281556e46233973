"""A world in memory for rotations: DNS servers, resolvers, signers and mail, under a clock of ours."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dmarcops.dkim.lifecycle import (
    CreateKey,
    DestroyKey,
    Effect,
    Facts,
    ForgetKey,
    Key,
    Made,
    Orders,
    Plan,
    PublishTxt,
    RemoveTxt,
    RevokeTxt,
    Signing,
    Stage,
    Step,
    SwitchSigner,
    Timing,
    format_effects,
    parse_effects,
)
from dmarcops.dkim.record import Algorithm, Record, format_record
from dmarcops.dkim.rotation import done, names_to_ask, names_to_resolve, step

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SERVERS = ("ns1[192.0.2.1]:53", "ns2[192.0.2.2]:53")
PLAN = Plan(domain="example.com", signers=("mta1", "mta2"), timing=Timing(jitter=timedelta()))


def record_of(selector: str, algorithm: Algorithm = Algorithm.RSA) -> str:
    """Return a sound record that is another one for each selector, without the cost of making a key."""
    seed = int.from_bytes(selector.encode(), "big")
    if algorithm is Algorithm.ED25519:
        return format_record(Record(public_key=seed.to_bytes(32, "big"), key_type="ed25519")).decode()
    numbers = RSAPublicNumbers(65537, (1 << 2047) + 2 * seed + 1)
    der = numbers.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return format_record(Record(public_key=der)).decode()


@dataclass
class World:
    """What a rotation works on. Tests change it at will, and call `tick` and `run`."""

    plan: Plan = PLAN
    now: datetime = START
    keys: tuple[Key, ...] = ()
    used: list[str] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)
    zone: dict[str, str] = field(default_factory=dict)
    """What the provider has; name -> text."""
    servers: dict[str, dict[str, str]] = field(default_factory=lambda: {server: {} for server in SERVERS})
    """What each authoritative server has by now."""
    resolver: dict[str, str] = field(default_factory=dict)
    signers: dict[tuple[str, str, Algorithm], str] = field(default_factory=dict)
    evidence: dict[str, str] = field(default_factory=dict)
    last_signed: dict[str, datetime] = field(default_factory=dict)
    last_reported: dict[str, datetime] = field(default_factory=dict)
    reported_until: datetime | None = None
    policy_step: datetime | None = None
    policy_pending: bool = False
    holds: tuple[str, ...] = ()
    is_kept: bool = True
    """Whether the private halves can be loaded."""
    is_refused: bool = False
    """Whether signers would refuse any switch."""
    asked: set[str] = field(default_factory=set)
    """Names that were asked for when no server had them."""

    def key(self, selector: str) -> Key:
        return next(key for key in self.keys if key.selector == selector)

    def stages(self) -> dict[str, Stage]:
        return {key.selector: key.stage for key in self.keys}

    def settle(self) -> None:
        """Let every server and resolver have what the provider has."""
        for server in self.servers:
            self.servers[server] = dict(self.zone)
        self.resolver = dict(self.zone)

    def facts(self) -> Facts:
        names = names_to_ask(self.keys, self.plan)
        self.asked.update(name for name in names if self._canonical(name) not in self.zone)
        authoritative = {
            name: {server: self.texts(zone, name) for server, zone in self.servers.items()} for name in names
        }
        facts = Facts(
            authoritative=authoritative,
            negative_ttl=timedelta(minutes=15),
            signing=tuple(
                Signing(
                    signer=signer, domain=domain, algorithm=algorithm, selector=self.named(signer, domain, algorithm)
                )
                for signer, domain in self.plan.places
                for algorithm in Algorithm
            ),
            evidence=dict(self.evidence),
            last_signed=dict(self.last_signed),
            last_reported=dict(self.last_reported),
            reported_until=self.reported_until,
            policy_step=self.policy_step,
            policy_pending=self.policy_pending,
            holds=self.holds,
            unusable={} if self.is_kept else {key.selector: "its private half is not kept" for key in self.keys},
            refusing={key.selector: "a line outside" for key in self.keys} if self.is_refused else {},
        )
        resolved = names_to_resolve(self.keys, facts, self.plan, self.now)
        return replace(facts, recursive={name: {"192.0.2.53": self.texts(self.resolver, name)} for name in resolved})

    def _canonical(self, name: str) -> str:
        """Follow the CNAME of an alias's selector to that of the domain."""
        for alias in self.plan.aliases:
            name = name.replace(f"._domainkey.{alias}", f"._domainkey.{self.plan.domain}")
        return name

    def texts(self, zone: dict[str, str], name: str) -> tuple[bytes, ...]:
        """Give what is in a zone at a name, or where that leads to."""
        name = self._canonical(name)
        return (zone[name].encode(),) if name in zone else ()

    def named(self, signer: str, domain: str, algorithm: Algorithm) -> str | None:
        return self.signers.get((signer, domain, algorithm))

    def fresh(self) -> dict[Algorithm, str]:
        first = 1 + max((int(selector[1:]) for selector in self.used if selector[1:].isdigit()), default=-1)
        return {algorithm: f"s{first + place}" for place, algorithm in enumerate(self.plan.algorithms)}

    def look(self, orders: Orders | None = None, facts: Facts | None = None) -> Step:
        """Take a step without saving it."""
        facts = facts or self.facts()
        return step(self.keys, facts, self.plan, self.now, fresh=self.fresh(), orders=orders)

    def tick(self, orders: Orders | None = None, facts: Facts | None = None) -> Step:
        """Take a step and save it; no effect is run."""
        result = self.look(orders, facts)
        self.keys = result.keys
        self.used += [key.selector for key in self.keys if key.selector not in self.used]
        return result

    def pending(self) -> list[Effect]:
        # Through the form in which they are saved.
        return [effect for key in self.keys for effect in parse_effects(format_effects(key.pending))]

    def act(self, effect: Effect) -> Made | None:
        """Do an effect, without acknowledging it."""
        match effect:
            case CreateKey(selector, algorithm, bits):
                self.kept.add(selector)
                return Made(bits=bits, record=record_of(selector, Algorithm(algorithm)), reference=f"file:{selector}")
            case PublishTxt(_, name, record):
                assert self.zone.setdefault(name, record) == record
            case SwitchSigner(selector, signer, domain):
                self.signers[signer, domain, self.key(selector).algorithm] = selector
            case RevokeTxt(_, name, expected, record):
                assert self.zone[name] in {expected, record}
                self.zone[name] = record
            case RemoveTxt(_, name, expected):
                assert self.zone.get(name, expected) == expected
                self.zone.pop(name, None)
            case ForgetKey(selector, signer, domain):
                assert self.named(signer, domain, self.key(selector).algorithm) != selector
            case DestroyKey(selector):
                self.kept.discard(selector)
        return None

    def run(self, effects: Iterable[Effect] | None = None) -> None:
        """Do and acknowledge effects, all that are pending when none are named."""
        for effect in list(self.pending() if effects is None else effects):
            made = self.act(effect)
            self.keys = done(self.keys, effect, self.now, made)

    def turn(self, orders: Orders | None = None) -> Step:
        """Take a whole tick in a world where everything works at once."""
        self.run()
        result = self.tick(orders)
        self.run()
        self.settle()
        return result

    def prove(self, selector: str) -> None:
        self.evidence[selector] = "pass"

    def until(self, selector: str, stage: Stage, *, most: timedelta = timedelta(days=400)) -> datetime:
        """Take whole ticks, one an hour, until a key is in a stage; all mail that is signed verifies."""
        end = self.now + most
        while self.now < end:
            self.turn()
            for key in self.keys:
                if key.stage is Stage.ACTIVE and not key.pending:
                    self.prove(key.selector)
            if self.stages().get(selector) is stage:
                return self.now
            self.now += HOUR
        raise AssertionError(f"{selector} is not {stage} but {self.stages()}")
