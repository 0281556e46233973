"""`check`: the DNS side of domains now, and the rules of those who take much mail."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dmarcops import config
from dmarcops.cli.options import FormatOption, invocation_of, parse_domain
from dmarcops.cli.output import Format, show
from dmarcops.cli.rotate import raise_for
from dmarcops.errors import DmarcopsError, Refused

if TYPE_CHECKING:
    from dmarcops.check.spf import Tree
    from dmarcops.dns.resolver import DnsResolver
    from dmarcops.flows.check import Checked, Known

app = typer.Typer()

_COLUMNS = ("domain", "area", "verdict", "code", "at", "detail", "meaning", "source")
_JSON = ("domain", "findings", "spf", "dkim", "dmarc", "mta_sts", "tls_rpt", "bimi", "mx", "ptr", "bulk")


@app.command()
def check(  # noqa: PLR0913 - an option each
    context: typer.Context,
    domains: Annotated[
        list[str], typer.Argument(metavar="DOMAIN...", help="The domains to look at.", show_default=False)
    ],
    *,
    selector: Annotated[
        list[str] | None, typer.Option("--selector", metavar="SELECTOR", help="Look at its DKIM key; may be repeated.")
    ] = None,
    zone: Annotated[
        list[Path] | None,
        typer.Option("--zone", metavar="FILE", help="Ask this master file instead of DNS; may be repeated."),
    ] = None,
    https: Annotated[bool, typer.Option("--https", help="Fetch the MTA-STS policy too.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="End with 3 when there is an error among it.")] = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Look at what DNS has for the mail of domains: SPF, DKIM, DMARC, MTA-STS, TLS-RPT, BIMI, MX, PTR, bulk rules."""
    from dmarcops.dns.policy_host import HttpsPolicyHost
    from dmarcops.dns.zonefile import ZoneFiles
    from dmarcops.domains import Domain, suffix_list
    from dmarcops.flows.check import Checker, with_selectors

    names = [Domain(parse_domain(each, option="DOMAIN")) for each in dict.fromkeys(domains)]
    selectors = [parse_domain(each, option="--selector") for each in selector or ()]
    resolver = None if zone else _resolver(context)
    checker = Checker(
        records=resolver or ZoneFiles(zone or ()),
        organizational_domain=suffix_list(),
        policy_host=HttpsPolicyHost() if https and not zone else None,
        servers=resolver.authoritative if resolver else None,
    )
    known = _known(context, names)
    found = list(checker.check_all({name: with_selectors(known[name], selectors) for name in names}))
    _show(found, form)
    problems: list[DmarcopsError] = [problem for each in found for problem in each.problems]
    wrong = [each.domain for each in found if each.has_errors]
    if strict and wrong:
        problems.append(Refused("strict", f"there are errors at {', '.join(wrong)}"))
    raise_for(problems)


def _resolver(context: typer.Context) -> "DnsResolver":
    from dmarcops import wiring

    invocation = invocation_of(context)
    return wiring.resolver(config.load(invocation.config_file, store_url=invocation.store_url))


def _known(context: typer.Context, names: Sequence[str]) -> "dict[str, Known]":
    """Ask the store, where there is one: looking at DNS makes none."""
    from dmarcops import wiring
    from dmarcops.domains import Domain, suffix_list
    from dmarcops.flows.check import Known, known_of
    from dmarcops.store.engine import Store

    invocation = invocation_of(context)
    settings = config.load(invocation.config_file, store_url=invocation.store_url)
    if not Store.may_be(settings.store.url):
        return {name: Known() for name in names}
    organizational, now, trusting = suffix_list(), wiring.clock(), wiring.trusts_unknown(settings)
    with wiring.open_store(settings) as store:
        return {
            name: known_of(
                store,
                Domain(name),
                now,
                trusting=trusting,
                organizational_domain=lambda host: organizational(Domain(host)),
            )
            for name in names
        }


def _show(found: "Sequence[Checked]", form: Format) -> None:
    if form is Format.JSON:
        rows = (tuple(each.as_json()[name] for name in _JSON) for each in found)
        show(_JSON, rows, form)
        return
    show(_COLUMNS, (row for each in found for row in _rows(each)), form)


def _rows(checked: "Checked") -> Iterator[Sequence[object]]:
    """Give the findings by area, `ok` for an area without one, and the rules of the providers."""
    from dmarcops.check.findings import Area

    for area in Area:
        those = [x for x in checked.findings if x.area is area]
        for each in those:
            verdict = each.severity.value
            yield checked.domain, area.value, verdict, each.code, each.at, each.detail, each.text, each.section
        if area is Area.SPF:
            yield from _costs(checked.domain, checked.spf.tree)
        if not those:
            yield checked.domain, area.value, "ok", None, None, checked.summary(area), None, None
    for result in checked.bulk:
        rule = result.rule
        yield (
            checked.domain,
            rule.provider,
            result.verdict.value,
            rule.code,
            None,
            result.detail,
            rule.text,
            rule.source,
        )


def _costs(domain: str, tree: "Tree") -> Iterator[Sequence[object]]:
    """Give what each term of an SPF record costs that asks DNS, and those of the records below it."""
    from dmarcops.check.findings import shown

    for cost in tree.costs:
        detail = f"{shown(cost.term)}: {cost.lookups} lookups, {cost.voids} without an answer"
        yield domain, "spf", "cost", None, tree.domain, detail, None, None
        if cost.below is not None:
            yield from _costs(domain, cost.below)
