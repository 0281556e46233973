"""`keys`: the DKIM keys that there are, their records, how DNS has them, and what was done to them."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dmarcops import config
from dmarcops.cli.options import FormatOption, opened_store
from dmarcops.cli.output import Format, show, standard_output
from dmarcops.cli.rotate import parts_of, pending_of, raise_for
from dmarcops.errors import ConfigError, DmarcopsError, EdgeError
from dmarcops.neutralise import visible

if TYPE_CHECKING:
    from dmarcops.dkim.key import PrivateKey
    from dmarcops.dkim.lifecycle import Key
    from dmarcops.store.engine import Store

app = typer.Typer()
keys_app = typer.Typer()
app.add_typer(keys_app, name="keys")

_LIST = (
    "domain",
    "selector",
    "algorithm",
    "bits",
    "stage",
    "since",
    "activated",
    "last_seen_in_reports",
    "held",
    "concerns",
    "leaked",
    "pending",
)
_Domain = Annotated[str, typer.Argument(metavar="DOMAIN", help="The signing domain.", show_default=False)]


@keys_app.callback(invoke_without_command=True)
def keys(
    context: typer.Context,
    *,
    domain: Annotated[str | None, typer.Option(metavar="DOMAIN", help="Only keys of this domain.")] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """List the DKIM keys, and the selectors that reports show and nobody knows (stage `unknown`)."""
    if context.invoked_subcommand is not None:
        return
    with opened_store(context) as store:
        rows = list(_listed(store, domain))
    if form is not Format.JSON:
        rows = [[", ".join(value) if isinstance(value, list) else value for value in row] for row in rows]
    show(_LIST, rows, form)


@keys_app.command("show")
def show_record(
    context: typer.Context,
    domain: _Domain,
    selector: Annotated[str, typer.Argument(metavar="SELECTOR", help="The key's selector.", show_default=False)],
) -> None:
    """Print the TXT record of a key, as a line of a zone file."""
    from dmarcops.dns.txt import DECIMAL, format_txt

    with opened_store(context) as store:
        (key,) = _known(store, domain, selector)
    if not key.record:
        raise ConfigError(f"the key {selector} of {domain} is not made yet", hint="dmarcops rotate makes it")
    with standard_output() as stream:
        # Of a key that was revoked the empty one: the other would put it back into use.
        text = key.published or key.record
        stream.write(f"{key.name}. IN TXT {format_txt(text.encode(), base=DECIMAL)}\n")


@keys_app.command()
def check(
    context: typer.Context,
    domain: _Domain,
    selector: Annotated[
        str | None, typer.Argument(metavar="[SELECTOR]", help="Only this key.", show_default=False)
    ] = None,
    *,
    form: FormatOption = Format.TABLE,
) -> None:
    """Ask every authoritative server and the resolvers for the record of each key that is out, and compare."""
    from dmarcops.flows.records import answers_for

    problems: list[DmarcopsError] = []
    with opened_store(context) as store:
        found = _known(store, domain, selector)
        parts = parts_of(context, store)
        aliases = parts.aliases(domain)
    rows = [row for key in found for row in answers_for(key, parts.resolver, problems, aliases)]
    show(("selector", "stage", "server", "outcome", "detail"), rows, form)
    wrong = sum(not row.is_ours for row in rows)
    if wrong:
        problems.append(EdgeError(f"{wrong} of {len(rows)} answers are not as they should be"))
    raise_for(problems)


@keys_app.command("import")
def import_key(
    context: typer.Context,
    domain: _Domain,
    selector: Annotated[
        str, typer.Argument(metavar="SELECTOR", help="The selector that mail is signed with.", show_default=False)
    ],
    *,
    file: Annotated[Path, typer.Option("--key", metavar="FILE", help="The private key: PEM, PKCS#8 or PKCS#1.")],
    passphrase_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What the private key is encrypted with, in the first line of a file; asked for on a terminal.",
        ),
    ] = None,
) -> None:
    """Adopt a key that mail is signed with already: its record must be in DNS. It is verified, then rotated."""
    from dmarcops import wiring
    from dmarcops.dkim.domain_name import a_labels
    from dmarcops.flows.adoption import adopt_key
    from dmarcops.rotation_parts import domains, user

    private = _private_key(file, passphrase_file)
    with opened_store(context) as store:
        parts = parts_of(context, store)
        (name,) = domains(parts.config, [domain])
        adopt_key(store, parts.outside(name), a_labels(selector), private, now=wiring.clock(), who=user())


@keys_app.command()
def history(context: typer.Context, domain: _Domain, *, form: FormatOption = Format.TABLE) -> None:
    """Show who did what to the keys and the policy of a domain, when, and what DNS had before and after."""
    from dmarcops.dkim.domain_name import a_labels
    from dmarcops.store import audit

    names = ("number", "at", "who", "action", "detail", "before", "after", "digest")
    with opened_store(context) as store:
        audit.verify(store)
        entries = audit.history(store, a_labels(domain))
    rows = [
        (x.number, x.at, x.event.who, x.event.action, x.event.detail, x.event.before, x.event.after, x.digest)
        for x in entries
    ]
    show(names, rows, form)


def _private_key(file: Path, passphrase_file: Path | None) -> "PrivateKey":
    """Read a private key; whoever is at the terminal is asked for its passphrase when that stands nowhere."""
    from dmarcops.dkim.key import is_encrypted, parse_key

    pem = file.read_bytes()
    if not is_encrypted(pem):
        passphrase = ""
    elif passphrase_file is not None:
        passphrase = config.secret_of_file(passphrase_file, "--passphrase-file")
    elif sys.stdin.isatty():
        passphrase = typer.prompt(f"Passphrase of {visible(str(file))}", hide_input=True, err=True)
    else:
        raise ConfigError(f"the private key {file} is encrypted", hint="give its passphrase with --passphrase-file")
    try:
        return parse_key(pem, passphrase.encode(), override=True)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}", hint=error.hint) from None


def _listed(store: "Store", domain: str | None) -> Iterator[Sequence[object]]:
    """Give a row for each key, for each selector of others, and for each domain that something is the matter with."""
    from dmarcops import wiring
    from dmarcops.dkim.domain_name import a_labels
    from dmarcops.store import keys as stored
    from dmarcops.store.selector_reports import reported

    wanted = None if domain is None else a_labels(domain)
    concerns = _concerns(store, wanted)
    names = {*stored.domains(store), *(name for name, _ in concerns)} if wanted is None else {wanted}
    for name in sorted(names):
        known = stored.load(store, name)
        last = reported(store, name, wiring.clock()).last
        held = any(hold.what == "dkim" for hold in stored.holds(store, name))
        for key in known.keys:
            dates = (key.since, key.activated, last.get(key.selector))
            found = concerns.pop((name, key.selector), None)
            order = (key.is_leaked, pending_of(key))
            yield (name, key.selector, key.algorithm.value, key.bits, key.stage.value, *dates, held, found, *order)
        for selector in sorted(last.keys() - {key.selector for key in known.keys}):
            row = (name, selector, None, None, "unknown", None, None, last[selector], held)
            yield (*row, concerns.pop((name, selector), None), None, None)
        # About the domain, or a key that is gone.
        for _, selector in [place for place in concerns if place[0] == name]:
            nothing = (None,) * 6
            yield (name, selector or None, *nothing, held, concerns[name, selector], None, None)


def _concerns(store: "Store", domain: str | None) -> dict[tuple[str, str], str]:
    """Return what is not as it should be, by domain and selector; events as long as they are remembered."""
    from dmarcops.flows.concerns import SUBJECT
    from dmarcops.store.concerns import load

    found: dict[tuple[str, str], str] = {}
    for each in load(store, SUBJECT, domain):
        if each.ended_at is None or each.concern.is_event:
            place = (each.concern.domain, each.concern.selector)
            told = f"{each.concern.kind}: {each.concern.text}"
            found[place] = f"{found[place]}; {told}" if place in found else told
    return found


def _known(store: "Store", domain: str, selector: str | None) -> "tuple[Key, ...]":
    """Return the keys of a domain, or the one that is asked for."""
    from dmarcops.dkim.domain_name import a_labels
    from dmarcops.store import keys as stored

    found = stored.load(store, a_labels(domain)).keys
    if selector is not None:
        found = tuple(key for key in found if key.selector == a_labels(selector))
    if not found:
        what = f"no key {selector} of" if selector else "no keys of"
        raise ConfigError(
            f"there is {what} {domain}" if selector else f"there are {what} {domain}", hint="dmarcops keys"
        )
    return found
