"""From the configuration to what the steps of policies work with. Decides nothing, and does no I/O."""

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dmarcops import wiring
from dmarcops.config import Config
from dmarcops.dkim.domain_name import a_labels
from dmarcops.errors import ConfigError, UnsafeChangeError
from dmarcops.flows.advance import Stepping
from dmarcops.flows.domains import DomainSettings
from dmarcops.flows.policy import Governed, Policies
from dmarcops.flows.policy_evidence import name_sources
from dmarcops.flows.policy_settings import PolicySettings, ProofSettings
from dmarcops.policy.evidence import Context
from dmarcops.policy.proof import Ring
from dmarcops.policy.window import window_before
from dmarcops.report.align import suffix_list
from dmarcops.rotation_parts import Parts, domain_key, user


@dataclass(frozen=True)
class PolicyParts:
    """
    The parts of one run.

    Args:
        parts: Those that a rotation works with too.
    """

    parts: Parts

    @property
    def config(self) -> Config:
        """What the user configured."""
        return self.parts.config

    def governed(self, name: str) -> Governed:
        """
        Give what the policy of a domain works with.

        Raises:
            ConfigError: Its sections cannot be used.
        """
        settings = self.config.read(("domains", name), DomainSettings)
        policy = self.config.read(("domains", name, "policy"), PolicySettings)
        try:
            rules = policy.rules()
        except ConfigError as error:
            raise ConfigError(f"{self.config.place}: [domains.{name}.policy] {error}", hint=error.hint) from error
        return Governed(
            domain=a_labels(name),
            rules=rules,
            provider=partial(self.parts.provider, settings.dns),
            window_days=policy.window_days,
            auto_rollback=policy.auto_rollback,
        )

    def brand(self, domain: str) -> str:
        """
        Give whose domain it is, for reports of several.

        Raises:
            ConfigError: Its section cannot be used.
        """
        return self.config.read(("domains", domain_key(self.config, domain)), DomainSettings).brand

    def policies(self) -> Policies:
        """
        Give what looks at policies.

        Raises:
            ConfigError: The section of a mailbox cannot be used.
        """
        return Policies(
            store=self.parts.store,
            resolver=self.parts.resolver,
            clock=wiring.clock,
            organizational_domain=suffix_list(),
            trusting=wiring.trusts_unknown(self.config),
            ring=self.ring(),
        )

    def ring(self) -> Ring:
        """
        Give the keys by which signatures are proved.

        Raises:
            ConfigError: A key cannot be read.
            UnsafeChangeError: Others could have read the private one.
        """
        settings = self.config.read(("policy",), ProofSettings)
        pem = _private_text(Path(settings.signing_key).expanduser()) if settings.signing_key else None
        return Ring(pem, settings.trusted_keys)

    def name_sources(self, governed: Sequence[Governed]) -> None:
        """
        Look up the names of some addresses that send mail of the domains, so that the evidence can name them.

        Raises:
            StoreError: The store cannot be read or written.
        """
        now = wiring.clock()
        requests = {
            each.domain: (window_before(now, days=each.window_days), Context(domain=each.domain)) for each in governed
        }
        trusting = wiring.trusts_unknown(self.config)
        name_sources(self.parts.store, self.parts.resolver, requests, now, trusting=trusting)

    def stepping(self) -> Stepping:
        """Give what makes steps."""
        return Stepping(policies=self.policies(), who=user())


def _private_text(path: Path) -> bytes:
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise UnsafeChangeError(
                "signing-key", f"others may read {path}", hint=f"make another key, and close it: chmod 600 {path}"
            )
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"[policy] signing_key: cannot read {path}: {error.strerror}") from error
