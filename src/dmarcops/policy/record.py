"""
DMARC records (RFC 9989 section 4.7 and RFC 7489 section 6.3): read as they are, changed without touching the rest.

Any text can be read; what is wrong with it is `lint`'s to say. A record keeps its exact text, so that a change writes
only the tags that are meant, and going back gives the former octets. Does no I/O.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal
from urllib.parse import unquote, urlsplit

from dmarcops.domains import WSP, a_labels
from dmarcops.errors import UnsafeChangeError
from dmarcops.policy.grammar import Grammar, violations

MAX_PCT = 100
"""`pct` of a policy that is for all mail (RFC 7489 section 6.3)."""
_SUFFIX = re.compile(r"(.*)!([0-9]+[kmgtKMGT]?)")
_WRITTEN_AFTER_P = ("sp", "np", "t", "pct")


class Policy(StrEnum):
    """What a domain asks for mail that fails, from weak to strict (RFC 9989 section 4.7)."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"


STRICTNESS: tuple[Policy, ...] = tuple(Policy)
"""The policies from weak to strict."""


@dataclass(frozen=True, slots=True)
class Part:
    """
    What stands between two semicolons.

    `text` is exact; `name` is in lower case, empty when there is no `=`; `value` has no white space around it.
    """

    text: str

    @property
    def name(self) -> str:
        """The tag's name in lower case; empty when this is no tag."""
        name, equals, _ = self.text.partition("=")
        return name.strip(WSP).lower() if equals else ""

    @property
    def value(self) -> str:
        """The tag's value as it stands, without white space around it."""
        return self.text.partition("=")[2].strip(WSP)

    @property
    def is_empty(self) -> bool:
        """Whether nothing stands here, as after a semicolon at the end."""
        return not self.text.strip(WSP)

    def with_value(self, value: str) -> "Part":
        """Give the same tag with another value, all white space where it was."""
        name, _, old = self.text.partition("=")
        before = old[: len(old) - len(old.lstrip(WSP))]
        after = old[len(old.rstrip(WSP)) :] if old.strip(WSP) else ""
        return Part(f"{name}={before}{value}{after}")


@dataclass(frozen=True, slots=True)
class Uri:
    """
    One entry of `rua` or `ruf`.

    `text` is exact; `uri` is without the obsolete size suffix, which is `size` (empty: none).
    """

    text: str
    uri: str
    size: str

    @property
    def scheme(self) -> str:
        """The scheme in lower case; empty when there is none."""
        scheme, colon, _ = self.uri.partition(":")
        return scheme.lower() if colon else ""

    @property
    def host(self) -> str:
        """The host that reports go to, in lower-case A-labels; empty when it is not to be made out."""
        if self.scheme == "mailto":
            local, at, domain = unquote(self.uri.partition(":")[2].partition("?")[0]).rpartition("@")
            return a_labels(domain) if local and at else ""
        try:
            return a_labels(urlsplit(self.uri).hostname or "")
        except ValueError:
            return ""

    @property
    def is_usable(self) -> bool:
        """Whether a reporter can use it: `mailto` is the one scheme that is defined (RFC 9990 section 3.5.3)."""
        return self.scheme == "mailto" and bool(self.host)


@dataclass(frozen=True, slots=True)
class Record:
    """A text at `_dmarc.<domain>`, part by part; `str(record)` is that text to the octet."""

    parts: tuple[Part, ...]

    def __str__(self) -> str:
        return format_record(self)

    @property
    def is_dmarc(self) -> bool:
        """Whether it is a DMARC record at all: `v=DMARC1` is its first tag (RFC 9989 section 4.7)."""
        return self.parts[0].name == "v" and self.parts[0].value == "DMARC1"

    def tags(self) -> Iterator[Part]:
        """Give the tags in their order, the version too."""
        return (part for part in self.parts if part.name)

    def value(self, name: str) -> str | None:
        """Give the value of a tag as it stands; of the first, when it stands more than once; None when absent."""
        return next((part.value for part in self.tags() if part.name == name), None)

    def policy(self, name: str) -> Policy | None:
        """Give the value of `p`, `sp` or `np`; None when it is absent or none that there is."""
        value = self.value(name)
        return Policy(value.lower()) if value is not None and value.lower() in STRICTNESS else None

    @property
    def is_testing(self) -> bool:
        """Whether `t=y` asks to act one level below (RFC 9989 section 4.7)."""
        return (self.value("t") or "n").lower() == "y"

    @property
    def pct(self) -> int:
        """The share of the failing mail that the policy is for (RFC 7489 section 6.3); 100 unless it says so."""
        value = self.value("pct") or ""
        is_number = value.isascii() and value.isdigit() and len(value) <= len(str(MAX_PCT))
        return int(value) if is_number and int(value) <= MAX_PCT else MAX_PCT

    @property
    def psd(self) -> str:
        """The `psd` tag; `u` unless it says `y` or `n`."""
        value = (self.value("psd") or "").lower()
        return value if value in ("y", "n") else "u"

    def uris(self, name: str) -> tuple[Uri, ...]:
        """Give the entries of `rua` or `ruf`, good or not."""
        value = self.value(name)
        return parse_uris(value) if value else ()

    def requested(self) -> Policy | None:
        """
        Give the policy of the domain itself (RFC 9989 sections 4.7 and 4.10.1); None when DMARC is not applied.

        A record without a valid `p`, or with an invalid `sp` or `np`, is `none` when it has a usable `rua`, and no
        record otherwise; one without any `p` is `none`.
        """
        if self.has_invalid_policy:
            return Policy.NONE if any(uri.is_usable for uri in self.uris("rua")) else None
        return self.policy("p") or Policy.NONE

    def requested_below(self, *, exists: bool) -> Policy | None:
        """Give the policy of a subdomain without a record: `np` (no such domain), then `sp`, then `p`."""
        policy = self.requested()
        if policy is None or self.has_invalid_policy:
            return policy
        inherited = self.policy("sp") or policy
        return inherited if exists else self.policy("np") or inherited

    @property
    def has_invalid_policy(self) -> bool:
        """Whether `p`, `sp` or `np` stands there with a value that is none (RFC 9989 section 4.10.1)."""
        return any(self.value(name) is not None and self.policy(name) is None for name in ("p", "sp", "np"))


def parse_record(text: str) -> Record:
    """Read any text; a text that is no DMARC record is a `Record` whose `is_dmarc` is false."""
    return Record(tuple(Part(part) for part in text.split(";")))


def format_record(record: Record) -> str:
    """Give the text of a record, the same octets that were read."""
    return ";".join(part.text for part in record.parts)


def parse_uris(value: str) -> tuple[Uri, ...]:
    """Read the value of `rua` or `ruf`; a comma within a URI has to be percent-encoded (RFC 9989 section 4.8)."""
    return tuple(_uri(text) for text in value.split(","))


def _uri(text: str) -> Uri:
    stripped = text.strip(WSP)
    match = _SUFFIX.fullmatch(stripped)
    return Uri(text, match[1], match[2]) if match else Uri(text, stripped, "")


def dmarc_records(texts: Sequence[str]) -> tuple[Record, ...]:
    """Give the DMARC records among the TXT records at a name; more than one counts as none (RFC 9989 section 4.10)."""
    return tuple(record for record in map(parse_record, texts) if record.is_dmarc)


def changed(
    record: Record,
    *,
    p: Policy | None = None,
    sp: Policy | Literal[""] | None = None,
    np: Policy | Literal[""] | None = None,
    t: str | None = None,
    pct: str | None = None,
) -> Record:
    """
    Give the record with other policy tags, and all that is not meant as it stands, in its place and order.

    `p` moves to the second place, where RFC 7489 has it. A tag that says so already keeps its octets.

    Args:
        record: What is published.
        p: The policy; None leaves it, as for all others.
        sp: The policy of subdomains; empty takes the tag out.
        np: The policy of subdomains that do not exist; empty takes the tag out.
        t: `y` or `n`; empty takes the tag out.
        pct: `0` to `100`; empty takes the tag out.

    Raises:
        UnsafeChangeError: The result would not be valid to the letter in both grammars, because of what the owner's
            record holds: that is for a person to put right first.
    """
    parts = list(record.parts)
    if p is not None or record.value("p") is not None:
        _place_p(parts, p)
    for name, value in zip(_WRITTEN_AFTER_P, (sp, np, t, pct), strict=True):
        if value is not None:
            _set(parts, name, str(value))
    result = Record(tuple(parts))
    _require_valid(result)
    return result


def policy_tags(record: Record) -> tuple[str | None, ...]:
    """Give what a step is about, in lower case; nothing of a text that is no DMARC record."""
    values = (record.value(name) if record.is_dmarc else None for name in ("p", *_WRITTEN_AFTER_P))
    return tuple(value and value.lower() for value in values)


def with_policy_of(former: Record, record: Record) -> Record:
    """
    Give a record with the policy tags of a former one; all its other tags stay.

    Raises:
        UnsafeChangeError: See `changed`.
    """
    return changed(
        record,
        p=former.requested() or Policy.NONE,
        sp=former.policy("sp") or "",
        np=former.policy("np") or "",
        t=(former.value("t") or "").lower(),
        pct=former.value("pct") or "",
    )


def _place_p(parts: list[Part], value: Policy | None) -> None:
    at = _find(parts, "p")
    part = parts.pop(at) if at else Part(f"{_lead(parts)}p=")
    if value is not None and part.value.lower() != value:
        part = part.with_value(value)
    parts.insert(1, part)


def _set(parts: list[Part], name: str, value: str) -> None:
    at = _find(parts, name)
    if at and not value:
        del parts[at]
    elif at and parts[at].value.lower() != value:
        parts[at] = parts[at].with_value(value)
    elif not at and value:
        order = ("p", *_WRITTEN_AFTER_P[: _WRITTEN_AFTER_P.index(name)])
        after = max((_find(parts, each) for each in order), default=0)
        parts.insert(after + 1, Part(f"{_lead(parts)}{name}={value}"))


def _find(parts: Sequence[Part], name: str) -> int:
    """Give the place of a tag, 0 when it is absent: the first place is the version's."""
    return next((at for at, part in enumerate(parts) if at and part.name == name), 0)


def _lead(parts: Sequence[Part]) -> str:
    """Give the white space that the owner has before tags; one space where there are none yet."""
    if len(parts) == 1 or parts[1].is_empty:
        return " "
    text = parts[1].text
    return text[: len(text) - len(text.lstrip(WSP))]


def _require_valid(record: Record) -> None:
    for grammar in Grammar:
        found = violations(str(record), grammar)
        if found:
            raise UnsafeChangeError(
                "record-not-valid",
                f"the record would not be valid by {grammar.upper()}: {'; '.join(found)}",
                hint="put the published record right first, then its policy can be changed",
            )
