"""`verify` and `probe`: does mail that was received show that the key in use works?"""

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dmarcops.cli.options import FormatOption, opened_store
from dmarcops.cli.output import Format, show, standard_output
from dmarcops.cli.rotate import parts_of, raise_for
from dmarcops.errors import ConfigError, DmarcopsError, EdgeError
from dmarcops.quantities import parse_duration

if TYPE_CHECKING:
    from datetime import datetime

    from dmarcops.dkim.evidence import Thresholds
    from dmarcops.flows.evidence import Mail, Mailbox, MailWitness
    from dmarcops.ports import TxtLookup
    from dmarcops.rotation_parts import Parts
    from dmarcops.store.engine import Store

app = typer.Typer()

_LOG = logging.getLogger(__name__)

_COLUMNS = ("origin", "authserv_id", "verdict", "selector", "signature", "detail")
_Domain = Annotated[str, typer.Argument(metavar="DOMAIN", help="The signing domain.", show_default=False)]
_Selector = Annotated[
    str | None, typer.Option("--selector", metavar="SELECTOR", help="This one, instead of the one in use.")
]
_AuthservId = Annotated[
    list[str] | None, typer.Option("--authserv-id", metavar="ID", help="Trust this authserv-id too; may be repeated.")
]
_NoDns = Annotated[bool, typer.Option("--no-dns", help="Do not check the signatures against DNS.")]


@app.command()
def verify(  # noqa: PLR0913 - an option each
    context: typer.Context,
    domain: _Domain,
    more: Annotated[list[Path] | None, typer.Argument(metavar="", show_default=False, hidden=True)] = None,
    *,
    eml: Annotated[
        list[Path] | None, typer.Option("--eml", metavar="FILE...", help="Mails in files, instead of the mailboxes.")
    ] = None,
    selector: _Selector = None,
    authserv_id: _AuthservId = None,
    no_dns: _NoDns = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Say what received mail proves about the selector in use, from the domain's mailboxes or from files."""
    from dmarcops import wiring
    from dmarcops.dkim.evidence import Thresholds
    from dmarcops.flows.evidence import mails

    problems: list[DmarcopsError] = []
    trusted = tuple(authserv_id or ())
    if more and not eml:
        raise ConfigError("files are given without --eml", hint="dmarcops verify DOMAIN --eml FILE...")
    with opened_store(context) as store:
        parts = parts_of(context, store)
        wanted, since = _in_use(store, domain, selector)
        if eml:
            with wiring.private_folder() as folder:
                found = list(_of_files([str(file) for file in (*eml, *(more or ()))], trusted, folder, problems))
            thresholds, begin = Thresholds(), None
        else:
            witness = parts.witness(domain, authserv_ids=trusted, reports=False)
            found = list(mails(_mailboxes(witness, domain), since, problems))
            thresholds, begin = witness.thresholds, since
        dns = None if no_dns else parts.resolver
        problems += _tell(found, (domain, wanted), thresholds, dns=dns, since=begin, form=form)
    raise_for(problems)


def _of_files(
    files: Sequence[str], trusted: tuple[str, ...], folder: Path, problems: list[DmarcopsError]
) -> "Iterator[Mail]":
    """Give the mails of files; one that cannot be read is a problem, as a verdict without it is another one."""
    from dmarcops.flows.evidence import read
    from dmarcops.mail.files import check_paths, messages

    check_paths(files)
    for message in messages(files, stdin=sys.stdin.buffer, folder=folder):
        opened = [*read(message, trusted)]
        if not opened:
            problems.append(EdgeError(f"{message.origin} cannot be read"))
        yield from opened


@app.command()
def probe(
    context: typer.Context,
    domain: _Domain,
    *,
    wait: Annotated[str, typer.Option(metavar="TIME", help="How long to wait for what comes back.")] = "2m",
    selector: _Selector = None,
    no_dns: _NoDns = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Send a mail to each seed mailbox by the configured submission server, and verify what comes back."""
    from dmarcops.dkim.evidence import Thresholds

    seconds = parse_duration(wait).total_seconds()
    with opened_store(context) as store:
        parts = parts_of(context, store)
        wanted, _ = _in_use(store, domain, selector)
        expected, found, problems = _sent_and_found(parts, domain, seconds)
        if len(found) < expected:
            missing = f"{expected - len(found)} of {expected} probes have not come back within {wait}"
            _LOG.warning("%s: late or filtered; `dmarcops verify %s` finds what comes later", missing, domain)
        dns = None if no_dns else parts.resolver
        enough = Thresholds(min_messages=expected)
        failed = _tell(found, (domain, wanted), enough, dns=dns, since=None, form=form)
    raise_for([*problems, *failed])


def _sent_and_found(parts: "Parts", domain: str, seconds: float) -> "tuple[int, list[Mail], Sequence[DmarcopsError]]":
    """Send probes and wait for them; return how many were sent, which came back, and what could not be read."""
    from time import monotonic, sleep

    from dmarcops import wiring
    from dmarcops.flows.probe import Seeds

    mailboxes = _mailboxes(parts.witness(domain, reports=False), domain)
    sending = parts.probe(domain)
    seeds = Seeds(mailboxes=[*mailboxes], sleep=sleep, elapsed=monotonic)
    sent, expected = wiring.clock(), len(sending.recipients)
    if not seeds.can_be_read(sent):
        raise_for(seeds.problems)
    found = seeds.wait_for(sending.send(), expected=expected, since=sent, seconds=seconds)
    return expected, found, seeds.problems


def _mailboxes(witness: "MailWitness", domain: str) -> "Sequence[Mailbox]":
    """
    Return the mailboxes that mail of a domain arrives in.

    Raises:
        ConfigError: There are none.
    """
    if not witness.mailboxes:
        hint = "set verify.mailboxes in its [domains.X.dkim]; `dmarcops verify` takes files with --eml too"
        raise ConfigError(f"no mailbox is configured for {domain}", hint=hint)
    return witness.mailboxes


def _in_use(store: "Store", domain: str, selector: str | None) -> "tuple[str, datetime]":
    """Return the selector that is asked for, and since when it is in use as far as is known."""
    from datetime import timedelta

    from dmarcops import wiring
    from dmarcops.dkim.domain_name import a_labels
    from dmarcops.store import keys

    known = {key.selector: key for key in keys.load(store, a_labels(domain)).keys}
    month = wiring.clock() - timedelta(days=30)
    if selector is not None:
        key = known.get(a_labels(selector))
        return a_labels(selector), max((key and key.activated) or month, month)
    signing = max((key for key in known.values() if key.is_signing), key=lambda key: key.turn, default=None)
    if signing is None:
        raise ConfigError(f"no key of {domain} is in use that is known here", hint="name it with --selector")
    return signing.selector, max(signing.activated or month, month)


def _tell(
    found: "list[Mail]",
    asked: tuple[str, str],
    thresholds: "Thresholds",
    *,
    dns: "TxtLookup | None",
    since: "datetime | None",
    form: Format,
) -> "list[DmarcopsError]":
    """Print what mails prove; return an error when they prove that the key does not work."""
    from dmarcops.dkim.domain_name import a_labels
    from dmarcops.dkim.evidence import Overall, Question, as_json, overall
    from dmarcops.dkim.trust import Trust
    from dmarcops.flows.evidence import examine
    from dmarcops.report.align import alignment, suffix_list

    domain, selector = a_labels(asked[0]), asked[1]
    is_aligned = alignment(None, suffix_list())
    evidence = examine(found, domain, selector, is_aligned=is_aligned, dns=dns, since=since)
    verdict = overall(evidence, thresholds)
    question = Question(domain, selector, Trust((), is_aligned), is_aligned)
    document = as_json(question, evidence, verdict)
    if form is Format.JSON:
        with standard_output() as stream:
            stream.write(json.dumps(document, indent=1) + "\n")
    else:
        rows = [tuple(message[column] for column in _COLUMNS) for message in document["messages"]]
        rows = rows or [(None, None, None, None, None, "no mail was found that could say something")]
        show(("domain", "asked", "overall", *_COLUMNS), [(domain, selector, verdict.value, *row) for row in rows], form)
    if verdict is not Overall.FAIL:
        return []
    return [EdgeError(f"mail of {domain} signed with {selector} fails", hint="`dmarcops rotate --rollback` goes back")]
