"""
Effects of a state machine carried out: DNS changes many at a time, all else one by one. Saves nothing.

What comes back is what there is to be acknowledged, or why there is nothing yet. Each effect may be carried out again
after a crash: the parts that it works with see to it that the end is the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from dmarcops.dkim.key import generate_key, parse_key
from dmarcops.dkim.lifecycle import (
    CreateKey,
    DestroyKey,
    Effect,
    ForgetKey,
    Key,
    Made,
    PublishTxt,
    RemoveTxt,
    RevokeTxt,
    SwitchSigner,
)
from dmarcops.dkim.record import Algorithm, compare, format_record
from dmarcops.errors import ConfigError, DmarcopsError, EdgeError, ForeignRecordError, UnsafeChangeError
from dmarcops.flows.outside import Outside
from dmarcops.ports import BatchDnsProvider, DnsProvider, Signer, SigningKey, TxtChange, TxtSet
from dmarcops.report.model import Domain, Selector

DnsEffect = PublishTxt | RevokeTxt | RemoveTxt
"""The effects that change DNS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """
    An effect that was carried out, to be acknowledged.

    `before` and `after` are the texts in DNS, for the audit trail; `note` is something that a person should know of it.
    """

    made: Made | None = None
    before: str | None = None
    after: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An effect that is on its way, and is to be looked after in the next run."""

    text: str


Outcome = Done | Waiting | DmarcopsError
"""What became of an effect."""


def change_dns(wanted: Sequence[tuple[DnsEffect, DnsProvider, int]]) -> list[Outcome]:
    """
    Carry out changes of DNS; those of one provider go together when it can take them so.

    Args:
        wanted: Each with who is to make it, and the TTL of a record that is new.

    Returns:
        What became of each; one that fails keeps no other back.
    """
    outcomes: dict[int, Outcome] = {}
    together: dict[int, list[int]] = {}
    for number, (_, provider, _) in enumerate(wanted):
        together.setdefault(id(provider), []).append(number)
    for numbers in together.values():
        provider = wanted[numbers[0]][1]
        changes = [_change_of(wanted[number][0], wanted[number][2]) for number in numbers]
        # One token may be that of many changes, which are settled together.
        is_settled = cache(provider.is_settled)
        for number, answer in zip(numbers, _answers(provider, changes), strict=True):
            outcomes[number] = _outcome(wanted[number][0], provider, answer, is_settled)
    return [outcomes[number] for number in range(len(wanted))]


def carry_out(effect: Effect, key: Key, outside: Outside) -> Outcome:
    """Carry out an effect that is not of DNS."""
    try:
        match effect:
            case CreateKey(selector, algorithm, bits):
                return Done(made=_created(selector, algorithm, bits, outside))
            case SwitchSigner(_, signer, domain):
                _switch(key, signer, domain, outside)
            case ForgetKey(selector, signer, domain):
                _signer(signer, outside).forget(Domain(domain), Selector(selector))
            case DestroyKey(_, reference) if reference:
                outside.keystore.delete(reference)
    except DmarcopsError as error:
        return error
    return Done()


def _change_of(effect: DnsEffect, ttl: int) -> TxtChange:
    if isinstance(effect, PublishTxt):
        return TxtChange(effect.name, None, effect.record.encode(), ttl)
    expected = TxtSet(effect.name, (effect.expected.encode(),), ttl)
    return TxtChange(effect.name, expected, effect.record.encode() if isinstance(effect, RevokeTxt) else None, ttl)


def _answers(provider: DnsProvider, changes: Sequence[TxtChange]) -> Sequence[str | DmarcopsError]:
    """Give the token of each change, or why it was not made."""
    if isinstance(provider, BatchDnsProvider) and len(changes) > 1:
        try:
            return provider.change_all(changes)
        except DmarcopsError as error:
            return [error] * len(changes)
    return [_answer(provider, change) for change in changes]


def _answer(provider: DnsProvider, change: TxtChange) -> str | DmarcopsError:
    try:
        if change.before is None:
            return provider.publish(change.name, change.after or b"", ttl=change.ttl)
        if change.after is None:
            return provider.remove(change.before)
        return provider.replace(change.before, change.after)
    except DmarcopsError as error:
        return error


def _outcome(
    effect: DnsEffect, provider: DnsProvider, answer: str | DmarcopsError, is_settled: Callable[[str], bool]
) -> Outcome:
    try:
        if isinstance(answer, ForeignRecordError):
            return _of_foreign(effect, provider, answer)
        if isinstance(answer, DmarcopsError):
            return answer
        if not is_settled(answer):
            return Waiting(text=f"the change of {effect.name} is not on all servers of its zone yet")
    except DmarcopsError as error:
        return error
    return _changed(effect)


def _changed(effect: DnsEffect) -> Done:
    before = None if isinstance(effect, PublishTxt) else effect.expected
    return Done(before=before, after=None if isinstance(effect, RemoveTxt) else effect.record)


def _of_foreign(effect: DnsEffect, provider: DnsProvider, error: ForeignRecordError) -> Outcome:
    """What is not ours is left alone: it is then no record of the key any more, which is all that is wanted."""
    match effect:
        case RemoveTxt():
            return Done(note=f"the record of somebody else was left alone: {error.reason}")
        case RevokeTxt(_, name) if provider.fetch(name) is None:
            return Done(note=f"somebody else took the record at {name} away")
        case _:
            return error


def _created(selector: str, algorithm: str, bits: int, outside: Outside) -> Made:
    """Make a key and keep it, or take the one that a run before kept under that name."""
    domain, keystore = Domain(outside.plan.domain), outside.keystore
    pem = keystore.load(keystore.reference(domain, Selector(selector)))
    key = generate_key(Algorithm(algorithm), bits) if pem is None else parse_key(pem, override=True)
    reference = keystore.save(SigningKey(domain, Selector(selector), algorithm, key.pem()))
    return Made(bits=key.bits, record=format_record(key.record).decode(), reference=reference)


def _switch(key: Key, signer: str, domain: str, outside: Outside) -> None:
    """
    Have a signer sign with the key, but only with the one that is in DNS at this very moment.

    The guards have asked before; but the run that was told yes may have died, and this be another one.
    """
    pem = private_half(key, outside)
    ours = key.record.encode()
    for name in outside.plan.names(key.selector):
        for server, texts in outside.resolver.authoritative(name).items():
            found = compare(texts, ours)
            if not found.is_ours:
                raise UnsafeChangeError("authoritative", f"{server} for {name}: {found.detail} ({found.outcome})")
    wanted = SigningKey(Domain(domain), Selector(key.selector), key.algorithm.value, pem)
    _signer(signer, outside).use(wanted)


def private_half(key: Key, outside: Outside) -> bytes:
    """
    Give the private half of a key, as PEM, when it is the one that the key's record is of.

    Raises:
        DmarcopsError: It is not kept, is another one, or cannot be loaded.
    """
    pem = outside.keystore.load(key.reference) if key.reference else None
    if pem is None:
        raise EdgeError(
            f"the private key of {key.selector}._domainkey.{key.domain} is not in the key store",
            hint=f"it should be at {key.reference or '(nowhere)'}: restore it; "
            f"or `dmarcops rotate --emergency {key.selector} {key.domain}` replaces it",
        )
    ours = format_record(parse_key(pem, override=True).record)
    if not compare((ours,), key.record.encode()).is_ours:
        raise UnsafeChangeError(
            "key-differs", f"the key that is kept as {key.reference} is not the one that {key.name} publishes"
        )
    return pem


def _signer(name: str, outside: Outside) -> Signer:
    signers: Mapping[str, Signer] = outside.signers
    if name not in signers:
        raise ConfigError(f"the signer {name} is not configured any more", hint=f"put [signers.{name}] back")
    return signers[name]
