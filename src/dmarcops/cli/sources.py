"""`sources`: who sends mail as the domains, and what people say of them. What was said is never taken back."""

import logging
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated

import typer

from dmarcops import config
from dmarcops.cli.options import FormatOption, filtered, invocation_of, opened_store, parse_domain
from dmarcops.cli.output import Format, show
from dmarcops.cli.views import show_answer
from dmarcops.errors import ConfigError

if TYPE_CHECKING:
    from dmarcops.policy.sources import Acknowledgement, Word
    from dmarcops.store.views import Filter

app = typer.Typer()
sources_app = typer.Typer()
app.add_typer(sources_app, name="sources")

_LOG = logging.getLogger(__name__)
_ALIKE = 0.85
"""From which on two names are likely to be one with a slip of the pen."""
_WORDS = ("at", "domain", "scope", "value", "word", "by", "note")
_Subject = Annotated[
    str,
    typer.Argument(
        metavar="SUBJECT",
        help="An address, a network, a known service, or a domain of sending hosts.",
        show_default=False,
    ),
]
_Domain = Annotated[
    str | None, typer.Option("--domain", metavar="DOMAIN", help="Only about mail of this domain (default: of all).")
]
_By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who says so (default: the user of the system).")]
_Comment = Annotated[str, typer.Option("--comment", metavar="TEXT", help="Why.")]


@sources_app.callback(invoke_without_command=True)
@filtered
def sources(context: typer.Context, *, where: "Filter", form: FormatOption = Format.TABLE) -> None:
    """Show every address that sends mail as the domains, passing or not, and what is said of it."""
    from dmarcops.flows.reviewed_sources import reviewed_sources
    from dmarcops.store.views import Filter

    command = context.invoked_subcommand
    if command is not None:
        if where != Filter() or form is not Format.TABLE:
            # Else `sources --domain D ack` would say something of the mail of all domains.
            raise ConfigError(
                f"the options before {command} are those of the list of sources",
                hint=f"put them behind it: dmarcops sources {command} ...",
            )
        return
    with opened_store(context) as store:
        show_answer(store, reviewed_sources(store, where), where, form)


@sources_app.command()
def ack(
    context: typer.Context,
    subject: _Subject,
    *,
    domain: _Domain = None,
    by: _By = None,
    comment: _Comment = "",
    form: FormatOption = Format.TABLE,
) -> None:
    """Say that a source is ours. Its mail has to pass before a policy steps, and a step must not touch it."""
    from dmarcops.policy.sources import Word

    _say(context, _word(Word.ACK, subject, by, comment), domain, form)


@sources_app.command()
def deny(
    context: typer.Context,
    subject: _Subject,
    *,
    domain: _Domain = None,
    by: _By = None,
    comment: _Comment = "",
    form: FormatOption = Format.TABLE,
) -> None:
    """Say that a source is not ours. Its mail is what the policy is for, and keeps no step back."""
    from dmarcops.policy.sources import Word

    _say(context, _word(Word.DENY, subject, by, comment), domain, form)


@sources_app.command()
def note(
    context: typer.Context,
    subject: _Subject,
    *,
    domain: _Domain = None,
    by: _By = None,
    comment: _Comment = "",
    form: FormatOption = Format.TABLE,
) -> None:
    """Remark something about a source. It decides nothing."""
    from dmarcops.policy.sources import Word

    if not comment.strip():
        raise ConfigError("a note without a text says nothing", hint="dmarcops sources note SUBJECT --comment TEXT")
    _say(context, _word(Word.NOTE, subject, by, comment), domain, form)


@sources_app.command()
def words(context: typer.Context, *, domain: _Domain = None, form: FormatOption = Format.TABLE) -> None:
    """List what was said of sources, the earliest first. Of two words about the same, the later one holds."""
    from dmarcops.store import source_words

    with opened_store(context) as store:
        said = source_words.said(store, None if domain is None else parse_domain(domain, option="--domain"))
    show(_WORDS, [_row(x.domain, x.word) for x in said], form)


def _word(kind: "Word", subject: str, by: str | None, comment: str) -> "Acknowledgement":
    from dmarcops import wiring
    from dmarcops.policy.services import NAMES
    from dmarcops.policy.sources import Acknowledgement, parse_subject
    from dmarcops.rotation_parts import user

    scope, value = parse_subject(subject, NAMES)
    name = user() if by is None else by.strip()
    if not name:
        raise ConfigError("--by names nobody")
    return Acknowledgement(scope=scope, value=value, word=kind, by=name, at=wiring.clock(), note=comment.strip())


def _say(context: typer.Context, word: "Acknowledgement", domain: str | None, form: Format) -> None:
    from dmarcops.store import source_words

    about = source_words.EVERYWHERE if domain is None else parse_domain(domain, option="--domain")
    with opened_store(context) as store:
        kept = source_words.add(store, about, word)
    show(_WORDS, [_row(about, kept)], form)
    near = _near(context, about)
    if near:
        _LOG.warning("no section [domains] has %s, did you mean %s? The word is kept as it was said", about, near)


def _near(context: typer.Context, domain: str) -> str | None:
    """Give the configured domain that one that is not configured was most likely meant to be."""
    from dmarcops.dkim.domain_name import a_labels

    invocation = invocation_of(context)
    settings = config.load(invocation.config_file, store_url=invocation.store_url)
    known = [a_labels(name) for name in settings.tables.get("domains", {})]
    if domain == "" or domain in known:
        return None
    return next(iter(get_close_matches(domain, known, n=1, cutoff=_ALIKE)), None)


def _row(domain: str, word: "Acknowledgement") -> tuple[object, ...]:
    return word.at, domain or None, word.scope.value, word.value, word.word.value, word.by, word.note
