"""`doctor`: is all that the configuration names there, and does it work?"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, cast

import typer

from dmarcops import config
from dmarcops.cli.options import FormatOption, invocation_of
from dmarcops.cli.output import Format, show
from dmarcops.errors import ConfigError, DmarcopsError, EdgeError
from dmarcops.ports import Checkable, Finding

if TYPE_CHECKING:
    from dmarcops.rotation_parts import Parts

app = typer.Typer()

_SECTIONS = frozenset(("resolver", "dns", "signers", "keys", "submission", "domains"))
"""Sections that are about keys and policies."""


@app.command()
def doctor(
    context: typer.Context,
    *,
    notify: Annotated[bool, typer.Option("--notify", help="Send a test message to all of [notify].")] = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Try out all that the configuration names, and say what to mend; nothing is changed, and nothing is written."""
    invocation = invocation_of(context)
    settings = config.load(invocation.config_file, store_url=invocation.store_url)
    rows = [(part, finding.kind, finding.text) for part, finding in _findings(settings, notify=notify)]
    show(("part", "is", "what"), rows, form)
    problems = sum(kind == "problem" for _, kind, _ in rows)
    if problems:
        raise EdgeError(f"{problems} {'problem' if problems == 1 else 'problems'} found", hint="see the list above")


def _findings(settings: config.Config, *, notify: bool) -> Iterator[tuple[str, Finding]]:
    from dmarcops import wiring
    from dmarcops.flows.doctor import check_part, check_secrets, check_store

    yield from (("configuration", found) for found in check_secrets(settings.secret_files))
    yield from (("store", found) for found in check_store(partial(wiring.open_store, settings), wiring.clock()))
    for name in settings.names("mailboxes"):
        made = partial(_mailbox, settings, name)
        yield from ((f"mailboxes.{name}", found) for found in check_part(made))
    yield from _rotation(settings)
    if notify or "notify" in settings.tables:
        yield from (("notify", found) for found in check_part(partial(_notify, settings)))
    if notify:
        yield from (("notify", found) for found in _tried_out(settings))


def _rotation(settings: config.Config) -> Iterator[tuple[str, Finding]]:
    """Look at what rotations and probes work with, and at the domains; only what is configured."""
    from dmarcops import wiring
    from dmarcops.rotation_parts import Parts

    if not _SECTIONS & settings.tables.keys():
        return
    try:
        store = wiring.open_store(settings)
    except DmarcopsError:
        yield "domains", Finding("hint", "they were not looked at, as the store cannot be used")
        return
    with store:
        yield from _of_parts(Parts(settings, store, lambda _: None))


def _of_parts(parts: "Parts") -> Iterator[tuple[str, Finding]]:
    from dmarcops.dkim.domain_name import a_labels
    from dmarcops.flows.doctor import check_part
    from dmarcops.flows.inspection import check_resolver

    settings = parts.config
    domains = [a_labels(name) for name in settings.names("domains")]
    if domains or "resolver" in settings.tables:
        yield from _named("resolver", lambda: check_resolver(parts.resolver, parts.resolver.fixed, domains))
    for name in settings.names("dns"):
        yield from _named(f"dns.{name}", partial(_provider, parts, name))
    for name in settings.names("signers"):
        yield from _named(f"signers.{name}", partial(_signer, parts, name))
    if domains or "keys" in settings.tables:
        yield from _named("keys", lambda: check_part(lambda: cast("Checkable", parts.keystore)))
    if "submission" in settings.tables:
        yield from _named("submission", lambda: check_part(lambda: parts.submission))
    for name in settings.names("domains"):
        yield from _named(f"domains.{name}", partial(_domain, parts, name))


def _named(part: str, look: Callable[[], Iterable[Finding]]) -> Iterator[tuple[str, Finding]]:
    """Give what is found with the name of the part, an error that nobody expected there too."""
    from dmarcops.ports import problem

    try:
        yield from ((part, found) for found in look())
    except DmarcopsError as error:
        yield from ((part, found) for found in problem(error))


def _provider(parts: "Parts", name: str) -> Iterator[Finding]:
    from dmarcops.dkim.domain_name import a_labels
    from dmarcops.flows.inspection import check_provider

    tables = parts.config.tables.get("domains", {})
    users = [
        a_labels(domain) for domain, table in tables.items() if isinstance(table, dict) and table.get("dns") == name
    ]
    yield from check_provider(parts.provider(name), users, parts.resolver)


def _signer(parts: "Parts", name: str) -> Iterable[Finding]:
    signer = parts.signer(name)
    if isinstance(signer, Checkable):
        return signer.check()
    return [Finding("ok", "it is configured; its domains say whether it answers")]


def _domain(parts: "Parts", name: str) -> Iterable[Finding]:
    from dmarcops.dkim.domain_name import a_labels
    from dmarcops.flows.concerns import SUBJECT
    from dmarcops.flows.inspection import check_domain, check_zone
    from dmarcops.rotation_parts import domains as rotated
    from dmarcops.store import concerns, keys

    domain, settings = a_labels(name), parts.domain_settings(name)
    has_policy = bool(settings.policy)
    if name not in rotated(parts.config, ()):
        parts.provider(settings.dns)
        return check_zone(domain, parts.resolver, has_policy=has_policy)
    known = keys.load(parts.store, domain).keys
    return check_domain(parts.outside(name), known, concerns.load(parts.store, SUBJECT, domain), has_policy=has_policy)


def _mailbox(settings: config.Config, name: str) -> "Checkable":
    from dmarcops import wiring

    return cast("Checkable", wiring.mailbox(settings, name)[0])


def _notify(settings: config.Config) -> "Checkable":
    from dmarcops import wiring

    return cast("Checkable", wiring.notifier(settings)[0])


def _tried_out(settings: config.Config) -> Iterator[Finding]:
    """Send a test message."""
    from dmarcops import wiring
    from dmarcops.ports import problem

    try:
        notifier, _ = wiring.notifier(settings)
        notifier.tell("dmarcops: test", "This is a test of the notifications by `dmarcops doctor --notify`.")
    except ConfigError:
        return  # found before, without sending
    except EdgeError as error:
        yield from problem(error)
    else:
        yield Finding("ok", "a test message is sent")
