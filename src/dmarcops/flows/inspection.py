"""What `doctor` finds of resolvers, providers, signers and the domains that use them. Asks, and changes nothing."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain

from dmarcops.dkim.key import parse_key
from dmarcops.dkim.lifecycle import UPCOMING, Key, Stage
from dmarcops.dkim.record import compare, format_record
from dmarcops.errors import DmarcopsError, EdgeError, ForeignRecordError
from dmarcops.flows.outside import Outside
from dmarcops.flows.records import answers_for
from dmarcops.policy.lint import Severity, lint_texts
from dmarcops.policy.record import dmarc_records
from dmarcops.ports import (
    DnsProvider,
    FileKeeping,
    Finding,
    Foreseeing,
    KeyStore,
    Resolver,
    Signer,
    ZoneCheckable,
    problem,
)
from dmarcops.report.model import Domain, Selector
from dmarcops.store.concerns import Remembered

_SHOWN = 5


def check_resolver(resolver: Resolver, fixed: Iterable[str], domains: Sequence[str]) -> Iterator[Finding]:
    """
    See that each recursive resolver answers, and each server that is asked instead of those of the delegation.

    Args:
        resolver: Who asks.
        fixed: The zones of `[resolver.authoritative]`.
        domains: Those that are configured: the first, which exists, is asked for.
    """
    try:
        if domains:
            servers = sorted(resolver.recursive(domains[0]))
            yield Finding("ok", f"{', '.join(servers)}: answers")
        elif resolver.records(".", "NS"):
            yield Finding("ok", "it answers")
    except DmarcopsError as error:
        yield from problem(error)
    for zone in fixed:
        try:
            servers = sorted(resolver.authoritative(zone))
        except DmarcopsError as error:
            yield from problem(error)
        else:
            yield Finding("ok", f"{', '.join(servers)}: answers for {zone}, instead of those of the delegation")


def check_provider(provider: DnsProvider, domains: Collection[str], resolver: Resolver) -> Iterator[Finding]:
    """
    See that a provider lets us read the zones of domains, and that they are those that the world sees.

    Args:
        provider: Who writes them.
        domains: The domains that are configured with it.
        resolver: Who asks the authoritative servers.
    """
    read = []
    for domain in domains:
        name = f"_dmarc.{domain}"
        try:
            found = provider.fetch(name)
            if isinstance(provider, ZoneCheckable):
                provider.check_zone(name)
        except ForeignRecordError as error:
            read.append(domain)
            yield Finding("hint", f"its policy cannot be written: {error.reason}")
        except EdgeError as error:
            yield from problem(error)
            yield Finding("hint", "the zones of its other domains were not asked for")
            return
        except DmarcopsError as error:
            yield from problem(error)
        else:
            read.append(domain)
            yield from _held_against(name, () if found is None else found.values, resolver)
    if read:
        yield Finding("ok", f"it lets us read the zone of {_listed(read)}")
    elif not domains:
        yield Finding("hint", "no domain is configured with it")


def check_domain(
    outside: Outside, keys: Sequence[Key], concerns: Iterable[Remembered], *, has_policy: bool
) -> Iterator[Finding]:
    """
    Look at a domain whose keys are rotated: its zone, its policy, its keys, its signers.

    Args:
        outside: What its rotation works with.
        keys: Its keys, as they are saved.
        concerns: What runs found to be wrong.
        has_policy: Whether its policy is stepped.
    """
    domain, resolver = outside.plan.domain, outside.resolver
    yield from check_zone(domain, resolver, has_policy=has_policy)
    for key in keys:
        yield from _record(key, resolver, outside.plan.aliases)
        yield from _private_half(key, outside.keystore)
    known = {key.selector: key for key in keys}
    for name, of in outside.plan.places:
        signer = outside.signers[name]
        yield from _lost_files(signer, Domain(of))
        for algorithm in outside.plan.algorithms:
            yield from _signing(
                f"{name} signs mail of {of}", partial(signer.current, Domain(of), algorithm.value), known
            )
            if isinstance(signer, Foreseeing):
                yield from signer.foresee(Domain(of), algorithm.value)
    for each in concerns:
        if each.ended_at is None:
            yield Finding("hint", f"since {each.since:%Y-%m-%d %H:%M} UTC: {each.concern.title}: {each.concern.text}")


def check_zone(domain: str, resolver: Resolver, *, has_policy: bool) -> Iterator[Finding]:
    """
    See that all servers of a domain's zone answer, are those that it is delegated to, and have a DMARC record.

    Args:
        domain: The domain.
        resolver: Who asks.
        has_policy: Whether its policy is stepped: then there must be a record.
    """
    name = f"_dmarc.{domain}"
    try:
        answers = resolver.authoritative(name)
        yield from _delegation(domain, resolver)
    except DmarcopsError as error:
        yield from problem(error)
        return
    yield Finding("ok", f"all servers of its zone answer: {', '.join(sorted(answers))}")
    if len(set(answers.values())) > 1:
        yield Finding("problem", f"its servers disagree on TXT {name}")
        yield Finding("hint", "see whether its secondaries follow the primary")
        return
    yield from _policy(name, answers, has_policy=has_policy)


def _delegation(domain: str, resolver: Resolver) -> Iterator[Finding]:
    delegated = set(resolver.delegation(domain))
    own = {server.rstrip(".").lower() for server in resolver.records(domain, "NS") or ()}
    if delegated and own and delegated != own:
        yield Finding(
            "problem",
            f"its parent delegates it to {', '.join(sorted(delegated))}, itself it names {', '.join(sorted(own))}",
        )
        yield Finding("hint", "have both name the same servers: at the registrar, and as NS in the zone")


def _policy(name: str, answers: dict[str, tuple[bytes, ...]], *, has_policy: bool) -> Iterator[Finding]:
    texts = [text.decode("utf-8", "replace") for text in next(iter(answers.values()), ())]
    records = dmarc_records(texts)
    for found in lint_texts(texts):
        if found.lint.severity is Severity.ERROR:
            yield Finding("problem", f"{name}: {found.lint.text} ({found.lint.section}): {found.detail}".rstrip(": "))
        elif found.lint.severity is Severity.WARNING:
            yield Finding("hint", f"{name}: {found.lint.text} ({found.lint.section}): {found.detail}".rstrip(": "))
    if len(records) == 1:
        yield Finding("ok", f"{name}: {records[0]}")
    elif not records:
        yield Finding("problem" if has_policy else "hint", f"there is no DMARC record at {name}")


def _record(key: Key, resolver: Resolver, aliases: Sequence[str]) -> Iterator[Finding]:
    problems: list[DmarcopsError] = []
    answers = list(answers_for(key, resolver, problems, aliases))
    for answer in answers:
        if not answer.is_ours:
            yield Finding("problem", f"{key.name}: {answer.server} has another record: {answer.detail}")
            yield Finding("hint", f"`dmarcops keys show {key.domain} {key.selector}` prints what it is to be")
    yield from chain.from_iterable(map(problem, problems))
    if answers and not problems and all(answer.is_ours for answer in answers):
        yield Finding("ok", f"{key.name} ({key.stage}): {len(answers)} servers have its record")


def _private_half(key: Key, keystore: KeyStore) -> Iterator[Finding]:
    if not key.reference or not key.record:
        return  # not made yet, or destroyed
    try:
        pem = keystore.load(key.reference)
        fits = (
            pem is not None
            and compare((format_record(parse_key(pem, override=True).record),), key.record.encode()).is_ours
        )
    except DmarcopsError as error:
        yield from problem(error)
        return
    if pem is None:
        yield Finding("problem", f"the private half of {key.selector} is not kept any more: {key.reference}")
        yield Finding("hint", f"restore it from a backup{_way_out(key)}")
    elif not fits:
        yield Finding("problem", f"the private key that is kept for {key.selector} is another one than its record has")
        yield Finding("hint", f"restore the right one from a backup{_way_out(key)}")
    else:
        yield Finding("ok", f"the private half of {key.selector} is kept, and fits its record")


def _lost_files(signer: Signer, domain: Domain) -> Iterator[Finding]:
    if not isinstance(signer, FileKeeping):
        return
    try:
        lost = signer.lost(domain)
    except DmarcopsError as error:
        yield from problem(error)
        return
    for file in lost:
        yield Finding("problem", f"the key file {file.path} is named, and is not there: mail is not signed")
        way = "`dmarcops rotate` writes it again from the key store" if file.is_ours else "put it back from a backup"
        yield Finding("hint", way)


def _way_out(key: Key) -> str:
    """Say what works without the private half: `--now` waits for a key that cannot be switched to any more."""
    if key.stage in UPCOMING or (key.pending and key.stage is Stage.ACTIVE):
        return f", or replace it: dmarcops rotate --emergency {key.selector} {key.domain}"
    if key.stage in {Stage.ACTIVE, Stage.VERIFIED}:
        return f", or replace it when it is verified: dmarcops rotate --now {key.domain}"
    return "; without it there is no way back to this key"


def _signing(what: str, current: Callable[[], Selector | None], known: Collection[str]) -> Iterator[Finding]:
    try:
        selector = current()
    except DmarcopsError as error:
        yield from problem(error)
        return
    if selector is None:
        yield Finding("ok", f"{what} with no key of ours yet")
    elif selector in known:
        yield Finding("ok", f"{what} with {selector}")
    else:
        yield Finding("problem", f"{what} with {selector}, a key that the store does not know")
        yield Finding("hint", "adopt it: dmarcops keys import DOMAIN SELECTOR --key FILE")


def _held_against(name: str, values: tuple[bytes, ...], resolver: Resolver) -> Iterator[Finding]:
    try:
        answers = resolver.authoritative(name)
    except DmarcopsError:
        return  # told of with the domain
    others = sorted(server for server, texts in answers.items() if texts != values)
    if others:
        yield Finding("problem", f"at {name} it has something else than {', '.join(others)}")
        yield Finding("hint", "is its zone the one that is delegated, and do the secondaries follow it?")


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
