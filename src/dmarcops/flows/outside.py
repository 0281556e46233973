"""What the rotation of one domain works with. Holds no decision, does no I/O."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from dmarcops.dkim.lifecycle import Key, Plan
from dmarcops.dkim.selectors import DEFAULT_TEMPLATE
from dmarcops.errors import DmarcopsError
from dmarcops.ports import DnsProvider, KeyStore, Resolver, Signer


@dataclass(frozen=True, slots=True, kw_only=True)
class Testimony:
    """
    What mail that was received says of keys: selector -> verdict (`pass`, `fail`, `waiting`, `inconclusive`), and
    selector -> the newest signature that was seen; `problems` is what could not be asked.
    """

    verdicts: Mapping[str, str] = field(default_factory=dict)
    last_signed: Mapping[str, datetime] = field(default_factory=dict)
    problems: tuple[DmarcopsError, ...] = ()


class Witness(Protocol):
    """Who knows of mail that was received."""

    def testify(self, keys: Sequence[Key], now: datetime) -> Testimony:
        """Say what mail that was signed since each of some keys was activated proves of it; never raises an error."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """
    What the rotation of one domain works with.

    `template` is that of its new selectors, `ttl` in seconds that of its records; `foreign` are selectors of others;
    `probe` sends a mail that will prove the key that signs, `None` when that is not wanted.
    """

    plan: Plan
    provider: DnsProvider
    signers: Mapping[str, Signer]
    keystore: KeyStore
    resolver: Resolver
    witness: Witness
    template: str = DEFAULT_TEMPLATE
    ttl: int = 3600
    foreign: frozenset[str] = frozenset()
    probe: Callable[[], object] | None = None
