"""From the configuration to what rotations, evidence and probes work with. Decides nothing, and does no I/O."""

import os
import pwd
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from importlib import import_module
from types import ModuleType

from dmarcops import wiring
from dmarcops.config import Config, nearest
from dmarcops.dkim.domain_name import a_labels
from dmarcops.dns.manual import Instruction
from dmarcops.dns.resolver import DnsResolver
from dmarcops.errors import ConfigError
from dmarcops.flows.domains import DkimSettings, DomainSettings
from dmarcops.flows.evidence import Mailbox, MailWitness
from dmarcops.flows.outside import Outside
from dmarcops.flows.probe import Probe
from dmarcops.flows.rotate import Rotation
from dmarcops.mail.submission import Config as SubmissionSettings
from dmarcops.mail.submission import SmtpSubmission
from dmarcops.ports import DnsProvider, KeyStore, Signer
from dmarcops.report.align import alignment, suffix_list
from dmarcops.store import selector_reports
from dmarcops.store.engine import Store

_ASKS = frozenset({"route53", "manual"})
"""Providers that ask DNS themselves."""
_KEYSTORES = ("files", "secretsmanager", "ssm")


@dataclass
class Parts:
    """
    The parts of one run, each made when it is needed and only once.

    Args:
        config: What the user configured.
        store: Where reports and keys are.
        tell: Is told what a person is to do in a zone that is written by hand.
    """

    config: Config
    store: Store
    tell: Callable[[Instruction], None]
    _providers: dict[str, DnsProvider] = field(default_factory=dict)
    _signers: dict[str, Signer] = field(default_factory=dict)

    @cached_property
    def resolver(self) -> DnsResolver:
        """What asks DNS; the same for all, as it remembers which servers hold a zone."""
        return wiring.resolver(self.config)

    @cached_property
    def keystore(self) -> KeyStore:
        """Where private keys are kept: `[keys]`, or files beside the state."""
        table = self.config.tables.get("keys", {})
        kind = str(table.get("kind", "files"))
        if kind not in _KEYSTORES:
            near = nearest(kind, _KEYSTORES)
            hint = f"did you mean {near}?" if near else f"known are: {', '.join(_KEYSTORES)}"
            raise ConfigError(f"{self.config.place}: [keys] unknown kind {kind!r}", hint=hint)
        module = import_module(f"dmarcops.keystore.{kind}")
        config = self.config
        if kind == "files" and "directory" not in table:
            given = {"directory": str(config.state_directory / "keys"), **table}
            config = replace(config, tables={**config.tables, "keys": given})
        made: KeyStore = module.Adapter(config.read(("keys",), module.Config))
        return made

    def provider(self, name: str) -> DnsProvider:
        """
        Give who writes zones, by its name.

        Raises:
            ConfigError: Its section cannot be used.
        """
        if name not in self._providers:
            module = self._module("dns", name)
            settings = self.config.read(("dns", name), module.Config)
            kind = module.__name__.rpartition(".")[2]
            asks = (self.resolver,) if kind in _ASKS else ()
            told = {"tell": self.tell} if kind == "manual" else {}
            self._providers[name] = module.Adapter(name, settings, *asks, **told)
        return self._providers[name]

    def signer(self, name: str) -> Signer:
        """
        Give a signer, by its name.

        Raises:
            ConfigError: Its section cannot be used.
        """
        if name not in self._signers:
            module = self._module("signers", name)
            self._signers[name] = module.Adapter(name, self.config.read(("signers", name), module.Config))
        return self._signers[name]

    def domain(self, name: str) -> tuple[DomainSettings, DkimSettings]:
        """
        Give the settings of a domain.

        Raises:
            ConfigError: There are none, or they cannot be used.
        """
        settings = self.domain_settings(name)
        return settings, self.config.read(("domains", domain_key(self.config, name), "dkim"), DkimSettings)

    def domain_settings(self, name: str) -> DomainSettings:
        """
        Give the settings of a domain that are not of its keys alone.

        Raises:
            ConfigError: There are none, or they cannot be used.
        """
        return self.config.read(("domains", domain_key(self.config, name)), DomainSettings)

    def aliases(self, name: str) -> tuple[str, ...]:
        """Give the domains that are signed with the keys of a domain; none when it is not configured any more."""
        try:
            return self.domain(name)[1].aliases
        except ConfigError:
            return ()

    @property
    def submission(self) -> SmtpSubmission:
        """
        Who sends for us.

        Raises:
            ConfigError: There is no `[submission]`, or it cannot be used.
        """
        return SmtpSubmission(self.config.read(("submission",), SubmissionSettings))

    def outside(self, name: str) -> Outside:
        """
        Give what the rotation of a domain works with.

        Raises:
            ConfigError: A section that it needs cannot be used.
        """
        settings, dkim = self.domain(name)
        if not settings.signers:
            raise ConfigError(f"{self.config.place}: [domains.{name}] signers is empty", hint="name who signs its mail")
        signers = {signer: self.signer(signer) for signer in settings.signers}
        for signer, adapter in signers.items():
            lacking = [x.value for x in dkim.algorithms if x.value not in adapter.algorithms]
            if lacking:
                raise ConfigError(
                    f"{self.config.place}: [domains.{name}.dkim] algorithms: "
                    f"[signers.{signer}] does not sign with {', '.join(lacking)}",
                    hint=f"it signs with {', '.join(sorted(adapter.algorithms))}",
                )
        plan = dkim.plan(a_labels(name), settings.signers)
        return Outside(
            plan=plan,
            provider=self.provider(settings.dns),
            signers=signers,
            keystore=self.keystore,
            resolver=self.resolver,
            witness=self.witness(name),
            template=dkim.selector,
            ttl=int(dkim.ttl.total_seconds()),
            foreign=frozenset(dkim.foreign_selectors),
            probe=self.probe(name).send if dkim.verify.probe else None,
        )

    def witness(
        self, name: str, *, authserv_ids: Sequence[str] = (), dns: bool = True, reports: bool = True
    ) -> MailWitness:
        """
        Give what knows of a domain's mail that was received.

        Args:
            name: The domain.
            authserv_ids: Whose results are trusted besides those that the mailboxes have.
            dns: Whether signatures are checked against DNS, when the settings say so.
            reports: Whether aggregate reports are asked as well, when the settings say so.

        Raises:
            ConfigError: A mailbox that it names cannot be used.
        """
        _, dkim = self.domain(name)
        verify = dkim.verify
        boxes = tuple(self.mailboxes(verify.mailboxes, authserv_ids))
        receivers = len({each for box in boxes for each in box.authserv_ids})
        return MailWitness(
            domains=(a_labels(name), *dkim.aliases),
            mailboxes=boxes,
            thresholds=verify.thresholds(receivers=receivers),
            is_aligned=alignment(None, suffix_list()),
            dns=self.resolver if dns and verify.dns_check else None,
            reporting=partial(selector_reports.passed, self.store) if reports and verify.reports else None,
        )

    def mailboxes(self, names: Iterable[str], authserv_ids: Sequence[str] = ()) -> Iterable[Mailbox]:
        """Give mailboxes to look into, by their names; some more ids are trusted in each."""
        for name in names:
            source, settings = wiring.mailbox(self.config, name)
            yield Mailbox(source, (*settings.authserv_ids, *authserv_ids))

    def probe(self, name: str) -> Probe:
        """
        Give the probes of a domain.

        Raises:
            ConfigError: There is nobody to send them, or to send them to.
        """
        _, dkim = self.domain(name)
        settings = self.config.read(("submission",), SubmissionSettings)
        recipients = dkim.verify.addresses or tuple(self._addresses(dkim.verify.mailboxes))
        if not recipients:
            raise ConfigError(
                f"{self.config.place}: [domains.{name}.dkim] verify.addresses is missing",
                hint="name the addresses of the mailboxes that probes are sent to",
            )
        return Probe(
            submission=SmtpSubmission(settings),
            sender=settings.sender.replace("{domain}", a_labels(name)),
            recipients=recipients,
            token=partial(secrets.token_hex, 16),
            clock=wiring.clock,
        )

    def rotation(self) -> Rotation:
        """Give what runs rotations."""
        return Rotation(store=self.store, clock=wiring.clock, who=user(), chance=secrets.randbelow)

    def _addresses(self, names: Iterable[str]) -> Iterable[str]:
        for name in names:
            _, settings = wiring.mailbox_settings(self.config, name)
            username = str(getattr(settings, "username", ""))
            if "@" in username:
                yield username

    def _module(self, section: str, name: str) -> ModuleType:
        return import_module(f"dmarcops.{section}.{self.config.kind(section, name, wiring.adapters(section))}")


def domains(config: Config, asked: Sequence[str], *, part: str = "dkim") -> tuple[str, ...]:
    """
    Give the domains that are asked for, or all that have a part.

    Args:
        config: What the user configured.
        asked: The domains; none for all.
        part: `dkim`, where keys are rotated, or `policy`, where it is stepped: the `[domains.X.PART]` that they have.

    Raises:
        ConfigError: One that is asked for is not configured.
    """
    if asked:
        return tuple(dict.fromkeys(domain_key(config, name, part) for name in asked))
    sections = config.tables.get("domains", {})
    return tuple(name for name, table in sections.items() if isinstance(table, dict) and part in table)


def user() -> str:
    """Return who runs the program, for the audit trail."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def domain_key(config: Config, name: str, part: str = "") -> str:
    """Return how a domain is spelled in the configuration."""
    sections = config.tables.get("domains", {})
    if name in sections:  # as all that are not asked for by a person; looking through all of them for each takes long
        key: str | None = name
    else:
        key = next((each for each in sections if a_labels(each) == a_labels(name)), None)
    section = sections.get(key or "")
    if key is None or (part and not (isinstance(section, dict) and part in section)):
        near = nearest(a_labels(name), map(a_labels, sections))
        raise ConfigError(
            f"{config.place}: there is no [domains.{name}{f'.{part}' if part else ''}]",
            hint=f"did you mean {near}?" if near and near != a_labels(name) else "",
        )
    return key
