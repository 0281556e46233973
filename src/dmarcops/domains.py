"""
Domain names: how they are compared, and which one is the organizational domain. Does no I/O.

The organizational domain is found by the Public Suffix List (`suffix_list`, RFC 7489 section 3.2) or by DNS data
(`tree_walk`, RFC 9989 section 4.10); what is in DNS is asked of a function.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, lru_cache
from typing import NewType

import idna
from publicsuffixlist import PublicSuffixList

Domain = NewType("Domain", str)
"""A domain name in lower-case A-labels, without the trailing dot."""
OrganizationalDomain = Callable[[Domain], Domain]
"""Gives the organizational domain of a domain; the domain itself when it has none above it."""
TxtLookup = Callable[[str], Sequence[str]]
"""Gives the TXT records of a name, each with its character-strings joined; empty when there are none."""

MAX_QUERIES = 8
"""DNS queries of one tree walk (RFC 9989 section 4.10)."""
MAX_LENGTH = 253
"""Characters of a domain name (RFC 1035 section 2.3.4, without the root's dot)."""
WSP = " \t"
"""White space of the grammars of mail (RFC 5234 appendix B.1)."""
_NAME = re.compile(r"(?!.*\.\.)[a-z0-9_-][a-z0-9_.-]*")


def a_labels(text: str) -> str:
    """Give a domain name in the form that is compared: lower-case A-labels; empty when the text is none."""
    name = text.strip(" \t\r\n").lower().removesuffix(".")
    if len(name) > MAX_LENGTH:
        return ""
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii").lower()
        except (idna.IDNAError, UnicodeError):
            return ""
    return name if _NAME.fullmatch(name) else ""


def u_labels(name: str) -> str:
    """
    Give an internationalized domain name as its owner reads it; empty when there is nothing else to read.

    To be shown beside the A-labels, never instead: different names can look the same (RFC 5890 section 4.4).
    """
    if "xn--" not in name:
        return ""
    try:
        text = idna.decode(name)
        return text if idna.encode(text).decode("ascii") == name else ""
    except (idna.IDNAError, UnicodeError):
        return ""


@cache
def suffix_list() -> OrganizationalDomain:
    """
    Organizational domains by the Public Suffix List (RFC 7489 section 3.2), the list that ships with its library.

    Loads the list (some 40 ms), once in a process; answers are remembered.
    """
    suffixes = PublicSuffixList()

    @lru_cache(maxsize=65_536)
    def organizational_domain(domain: Domain) -> Domain:
        return Domain(suffixes.privatesuffix(domain) or domain)

    return organizational_domain


def tree_walk(lookup: TxtLookup) -> OrganizationalDomain:
    """
    Organizational domains by the DNS tree walk (RFC 9989 section 4.10.2), over DNS data that the caller has.

    Args:
        lookup: The TXT records at a name; asked for `_dmarc.<domain>`, each name once.
    """
    ask = lru_cache(maxsize=65_536)(lookup)

    def organizational_domain(domain: Domain) -> Domain:
        return selected(domain, ((name, psd(ask(f"_dmarc.{name}"))) for name in walk(domain)))

    return organizational_domain


def walk(domain: str) -> Iterator[str]:
    """The names that a tree walk from the domain asks for, in order (RFC 9989 section 4.10): at most eight."""
    yield domain
    labels = domain.split(".")
    skip = 1 if len(labels) < MAX_QUERIES else len(labels) - MAX_QUERIES + 1
    for start in range(skip, len(labels)):
        yield ".".join(labels[start:])


def selected(domain: Domain, found: Iterable[tuple[str, str | None]]) -> Domain:
    """
    Select the organizational domain (RFC 9989 section 4.10.2).

    Args:
        domain: Where the walk starts.
        found: The names of the walk in its order, each with its `psd` tag (None: no record there); no more of it is
            taken than the walk would ask for.
    """
    shortest = None
    for name, tag in found:
        if tag is None:
            continue
        if tag == "n":
            return Domain(name)
        if tag == "y" and name != domain:
            return _one_label_below(name, domain)
        shortest = name
        if tag == "y":
            break
    return Domain(shortest or domain)


def psd(records: Sequence[str]) -> str | None:
    """The `psd` tag (`u` when absent) of the one DMARC record among these; None when there is not just one."""
    valid = [tags for record in records if (tags := dmarc_tags(record))]
    if len(valid) != 1:
        return None
    tag = valid[0].get("psd", "u").lower()
    return tag if tag in ("y", "n") else "u"


def dmarc_tags(record: str) -> dict[str, str]:
    """
    The tags of a DMARC record, the first of each name; none when it does not start with `v=DMARC1`.

    RFC 9989 section 4.7: the version is the first tag, and its value is case-sensitive.
    """
    pairs = [part.partition("=") for part in record.split(";")]
    if pairs[0][0].strip(WSP).lower() != "v" or pairs[0][2].strip(WSP) != "DMARC1":
        return {}
    tags: dict[str, str] = {}
    for name, _, value in pairs:
        tags.setdefault(name.strip(WSP).lower(), value.strip(WSP))
    return tags


def _one_label_below(parent: str, domain: str) -> Domain:
    label = domain[: -len(parent) - 1].rpartition(".")[2]
    return Domain(f"{label}.{parent}")
