"""
From the configuration to the objects that the flows work with. Decides nothing, and does no I/O but opening them.

What is heavy is imported where it is needed: most commands open the store alone.
"""

import pkgutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote

from dmarcops.config import Config
from dmarcops.errors import ConfigError
from dmarcops.store.engine import Store

if TYPE_CHECKING:
    from dmarcops.dns.resolver import DnsResolver
    from dmarcops.flows.ingest import Ingest
    from dmarcops.flows.look import Looking
    from dmarcops.flows.lookers import Lookers
    from dmarcops.flows.retry import RetrySource
    from dmarcops.mail.mbox import Config as MboxSettings
    from dmarcops.ports import MailSource, Notifier, Progress
    from dmarcops.settings import MailboxSettings, NoticeSettings

_TEMPORARY = "dmarcops-run-"


def open_store(config: Config) -> Store:
    """
    Open the store, and create or migrate its schema when needed.

    Raises:
        ConfigError: Its address cannot be used.
        StoreError: It cannot be opened.
    """
    settings = config.store
    return Store.open(settings.url, kept_bytes=settings.kept_bytes, kept_message_bytes=settings.kept_message_bytes)


@contextmanager
def private_folder() -> Iterator[Path]:
    """Give a temporary folder that only this user can look into; it is deleted afterwards, by the next if need be."""
    from dmarcops.mail.scratch import Scratch, sweep

    parent = Path(tempfile.gettempdir())
    sweep(parent, _TEMPORARY)
    scratch = Scratch(parent, _TEMPORARY)
    try:
        yield scratch.path()
    finally:
        scratch.close()


def clock() -> datetime:
    """Return the time it is."""
    return datetime.now(UTC)


def ingest(store: Store, lookers: "Lookers", *, folder: Path, progress: "Progress") -> "Ingest":
    """
    Give an ingest that is ready to run.

    Args:
        store: Where to.
        lookers: Who parses.
        folder: Where large reports wait for their transaction.
        progress: Is told of each message that is done.
    """
    from dmarcops.flows.ingest import Ingest
    from dmarcops.flows.rules import Rules
    from dmarcops.report.align import suffix_list
    from dmarcops.report.limits import Limits
    from dmarcops.report.redact import Redactor
    from dmarcops.store.address_key import address_key

    return Ingest(
        store=store,
        lookers=lookers,
        rules=Rules(
            limits=Limits(),
            kept_bytes=store.kept_message_bytes,
            folder=folder,
            redactor=Redactor(address_key(store)),
        ),
        organizational_domain=suffix_list(),
        clock=clock,
        progress=progress,
    )


def resolver(config: Config) -> "DnsResolver":
    """
    Give what asks DNS, as `[resolver]` has it.

    Raises:
        ConfigError: The section cannot be used.
    """
    from dmarcops.dns.resolver import Config as ResolverSettings
    from dmarcops.dns.resolver import DnsResolver

    return DnsResolver(config.read(("resolver",), ResolverSettings))


def for_mailbox(ingest: "Ingest", config: Config, settings: "MailboxSettings") -> "Ingest":
    """Give the same ingest with what is believed in a mailbox."""
    checked = resolver(config) if settings.verify_dkim else None
    rules = replace(ingest.rules, authserv_ids=settings.authserv_ids, resolver=checked)
    return replace(ingest, rules=rules)


def adapters(package: str) -> list[str]:
    """Return the names of all adapters of a package of ours, such as `mail`: each a module with a class `Adapter`."""
    path = import_module(f"dmarcops.{package}").__path__
    names = sorted(module.name for module in pkgutil.iter_modules(path))
    return [name for name in names if hasattr(import_module(f"dmarcops.{package}.{name}"), "Adapter")]


def mailbox_settings(config: Config, name: str) -> "tuple[ModuleType, MailboxSettings]":
    """
    Give the adapter module of a configured mailbox, and its settings.

    Raises:
        ConfigError: Its section cannot be used.
    """
    kind = config.kind("mailboxes", name, adapters("mail"))
    module = import_module(f"dmarcops.mail.{kind}")
    settings = config.read(("mailboxes", name), module.Config)
    if kind == "mbox":
        _check_apart(config, name, settings)
    return module, settings


def _check_apart(config: Config, name: str, settings: "MboxSettings") -> None:
    """See that no other mbox has a file that this one writes: each moves mails by a lock and a journal of its own."""
    for other, table in config.tables["mailboxes"].items():
        if other == name or not isinstance(table, dict) or table.get("kind") != "mbox":
            continue
        with suppress(ConfigError):  # told of where that one is read
            theirs = config.read(("mailboxes", other), type(settings))
            if keys := settings.clash(theirs):
                clashes = f"[mailboxes.{name}] {keys[0]} is the same file as [mailboxes.{other}] {keys[1]}"
                break
    else:
        return
    raise ConfigError(f"{config.place}: {clashes}", hint="give each mbox files of its own")


def trusts_unknown(config: Config) -> bool:
    """
    Tell whether reports of whose carrier mail nothing is known count for a policy: as long as no mailbox can tell.

    That is, no mailbox that takes reports has `authserv_ids` or `verify_dkim`.

    Raises:
        ConfigError: The section of a mailbox cannot be used.
    """
    every = (mailbox_settings(config, name)[1] for name in config.names("mailboxes"))
    return not any(settings.reports and (settings.authserv_ids or settings.verify_dkim) for settings in every)


def mailbox(config: Config, name: str) -> "tuple[MailSource, MailboxSettings]":
    """
    Give a configured mailbox, not yet connected, and its settings.

    Raises:
        ConfigError: Its section cannot be used, or its folder for large mails and tokens cannot be made.
    """
    from dmarcops.mail.scratch import sweep
    from dmarcops.mail.spool import SPOOL_PREFIX

    module, settings = mailbox_settings(config, name)
    folder = config.state_directory / "mailboxes" / quote(name, safe="")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        hint = "set XDG_STATE_HOME, or STATE_DIRECTORY as systemd does"
        raise ConfigError(f"cannot make the directory {folder}: {error.strerror}", hint=hint) from error
    sweep(folder, SPOOL_PREFIX)
    source: MailSource = module.Adapter(name, settings, folder)
    return source, settings


def notifier(config: Config) -> "tuple[Notifier, NoticeSettings]":
    """
    Give who tells people, and from when on.

    Raises:
        ConfigError: There is no `[notify]`, or it cannot be used.
    """
    from dmarcops.notify import apprise

    settings = config.read(("notify",), apprise.Config)
    return apprise.Adapter(settings), settings


def parsed(paths: Sequence[str], *, stdin: BinaryIO, folder: Path, problems: list[str]) -> "Iterator[Looking]":
    """
    Give what is found at some paths, one payload at a time, without a store.

    Args:
        paths: Where to look.
        stdin: Standard input.
        folder: Where it and large reports are kept meanwhile.
        problems: Is added to for each message that cannot be read.
    """
    from dmarcops.flows.look import look
    from dmarcops.flows.rules import Rules
    from dmarcops.mail.files import messages
    from dmarcops.report.limits import Limits

    rules = Rules(limits=Limits(), kept_bytes=0, folder=folder)
    for message in messages(paths, stdin=stdin, folder=folder):
        looked = look(message, rules)
        yield from looked.payloads
        looked.release()
        if looked.problem:
            problems.append(looked.problem)


def retry_source(store: Store) -> "RetrySource":
    """Give the open messages of the ledger; those that are not kept are looked for where they were."""
    from dmarcops.flows.retry import RetrySource
    from dmarcops.mail.files import reopened

    return RetrySource(store, reopened)
