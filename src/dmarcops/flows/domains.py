"""
What is configured for a domain: `[domains.X]` and `[domains.X.dkim]`, and the rotation's plan made from it.

Does no I/O.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal

from pydantic import Field, field_validator

from dmarcops.dkim.domain_name import a_labels
from dmarcops.dkim.evidence import Thresholds
from dmarcops.dkim.key import RSA_BITS
from dmarcops.dkim.lifecycle import Plan, Retirement, Timing
from dmarcops.dkim.record import Algorithm
from dmarcops.dkim.selectors import DEFAULT_TEMPLATE
from dmarcops.settings import Duration, Settings

_TIMING = Timing()


class DomainSettings(Settings):
    """Section `[domains.X]`."""

    dns: str
    """Who writes its zone: the name of a `[dns.NAME]`."""
    signers: tuple[str, ...] = ()
    """Who signs its mail: the names of `[signers.NAME]`."""
    brand: str = ""
    """Whose domain it is: a report of several domains is put in order by it."""
    dkim: Mapping[str, object] = Field(default_factory=dict)
    """How its DKIM keys are rotated: `[domains.X.dkim]`."""
    policy: Mapping[str, object] = Field(default_factory=dict)
    """How its DMARC policy is stepped: `[domains.X.policy]`."""


class VerifySettings(Settings):
    """`verify` of `[domains.X.dkim]`: what proves that real mail verifies."""

    mailboxes: tuple[str, ...] = ()
    """Mailboxes in which mail of the domain arrives: the names of `[mailboxes.NAME]`, each with its `authserv_ids`."""
    min_messages: int = Field(default=3, ge=1)
    """How many mails must have passed."""
    receivers: int = Field(default=1, ge=1)
    """How many different receivers must have said so."""
    failing_receivers: int = Field(default=2, ge=1)
    """How many different receivers must say fail before it counts, unless no more than that are asked."""
    nodes: tuple[str, ...] = ()
    """Hosts that sign: each must have handed in a mail that passed, by the name the receiver saw."""
    probe: bool = False
    """Send a mail to each of `addresses` by `[submission]` when a new key waits for its proof."""
    addresses: tuple[str, ...] = ()
    """Where probes go: the addresses of the mailboxes; those whose `username` is an address when not given."""
    reports: bool = False
    """Let authenticated aggregate reports prove a key as well, with as many mails as `min_messages`."""
    dns_check: bool = True
    """Check the signatures of these mails against DNS too."""

    def thresholds(self, *, receivers: int) -> Thresholds:
        """
        Return how much is enough.

        Args:
            receivers: How many there are to be asked.
        """
        failing = max(1, min(self.failing_receivers, receivers))
        return Thresholds(self.min_messages, self.receivers, failing, self.nodes)


class DkimSettings(Settings):
    """Section `[domains.X.dkim]`."""

    selector: str = DEFAULT_TEMPLATE
    """How new selectors are named: one label of letters, digits and hyphens; never one that was used before."""
    algorithms: tuple[Algorithm, ...] = Field(default=(Algorithm.RSA,), min_length=1)
    """`rsa`, `ed25519` or both: each has keys and selectors of its own."""
    bits: int = 2048
    """Size of RSA keys: 2048, 3072 or 4096."""
    aliases: tuple[str, ...] = ()
    """Domains that are signed with the same keys; a CNAME of each selector there leads to the one here."""
    standby: bool = False
    """Keep a key published that nothing signs with, so that an emergency need not wait for DNS."""
    ttl: Duration = Field(default=timedelta(hours=1), ge=timedelta(seconds=1))
    """TTL of the records."""
    rotate_every: Duration = _TIMING.rotate_every
    """How long a key signs."""
    propagation: Duration = _TIMING.propagation
    """How long every authoritative server must have had the exact record before the switch; or the zone's negative TTL,
    if that is longer."""
    jitter: Duration | None = None
    """Domains switch up to so much later, each by its own share; half of `propagation` when not given."""
    retire_after: Duration = _TIMING.retire_after
    """How long the old record stays after the new key is verified in real mail."""
    retire: Literal["revoke-then-delete", "delete"] = "revoke-then-delete"
    """Whether the old record is replaced by an empty `p=` first, or goes at once."""
    revoked_for: Duration = _TIMING.revoked_for
    """How long a revoked record, and the old private key, stay."""
    queue_lifetime: Duration = _TIMING.queue_lifetime
    """The longest that the MTA tries to deliver a mail."""
    queue_margin: Duration = _TIMING.queue_margin
    """What is added to that, from the last signature by the old key."""
    heed_reports: bool = _TIMING.heed_reports
    """Keep an old key as long as aggregate reports show mail signed with it."""
    report_quiet: Duration = _TIMING.report_quiet
    """How much of reports without the old key is asked for then."""
    after_policy_step: Duration = _TIMING.after_policy_step
    """How long no rotation starts after the DMARC policy was changed."""
    stuck_after: Duration = _TIMING.stuck_after
    """How much longer than by these timings a stage may take before somebody is told."""
    clock_slack: Duration = _TIMING.clock_slack
    """How far the clock may be behind what the store has seen."""
    foreign_selectors: tuple[str, ...] = ()
    """Selectors by which others, such as a newsletter service, sign for the domain: nobody is told of these."""
    verify: VerifySettings = VerifySettings()
    """What proves that real mail verifies."""

    @field_validator("bits")
    @classmethod
    def _is_made(cls, bits: int) -> int:
        if bits not in RSA_BITS:
            raise ValueError(f"bits is one of {', '.join(map(str, RSA_BITS))}")
        return bits

    @field_validator("aliases")
    @classmethod
    def _are_domains(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        domains = tuple(map(a_labels, names))
        if not all(domains):
            raise ValueError("aliases are domain names")
        return domains

    def plan(self, domain: str, signers: tuple[str, ...]) -> Plan:
        """Return what is wanted for a domain with these settings."""
        timing = Timing(
            rotate_every=self.rotate_every,
            propagation=self.propagation,
            jitter=self.jitter,
            retire_after=self.retire_after,
            queue_lifetime=self.queue_lifetime,
            queue_margin=self.queue_margin,
            heed_reports=self.heed_reports,
            report_quiet=self.report_quiet,
            revoked_for=self.revoked_for,
            after_policy_step=self.after_policy_step,
            stuck_after=self.stuck_after,
            clock_slack=self.clock_slack,
        )
        return Plan(
            domain=domain,
            signers=signers,
            aliases=self.aliases,
            algorithms=self.algorithms,
            bits=self.bits,
            standby=self.standby,
            retire=Retirement(self.retire),
            timing=timing,
        )
