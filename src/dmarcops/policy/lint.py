"""
What is wrong or doubtful in a DMARC record, each finding with a stable code and the section that says so. Does no I/O.

An error is what has receivers ignore the record or a tag; a warning what receivers read in different ways, or what the
owner hardly means; a note is harmless.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Self

from dmarcops.domains import WSP
from dmarcops.policy.grammar import TAGS, Grammar
from dmarcops.policy.record import MAX_PCT, STRICTNESS, Policy, Record, dmarc_records, parse_record

MAX_URIS = 2
"""URIs that every reporter supports (RFC 7489 section 6.2)."""


class Severity(StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Coded(Enum):
    """What can be found; the value of a member is its stable code."""

    code: str
    """The stable name."""
    severity: Severity
    """How much it matters."""
    section: str
    """Where a standard says so."""
    text: str
    """What it means, for a person."""

    def __new__(cls, code: str, severity: Severity, section: str, text: str) -> Self:
        """Make a member whose value is its code."""
        member = object.__new__(cls)
        member._value_ = code
        member.code, member.severity, member.section, member.text = code, severity, section, text
        return member


class Lint(Coded):
    """All that is found in records."""

    V_MISSING = "v-missing", Severity.ERROR, "RFC 9989 section 4.7", "no version: this is no DMARC record"
    V_NOT_FIRST = "v-not-first", Severity.ERROR, "RFC 9989 section 4.7", "the version is not first: ignored as a whole"
    V_CASE = "v-case", Severity.ERROR, "RFC 9989 section 4.8", "DMARC1 is case-sensitive: ignored as a whole"
    V_UNKNOWN = "v-unknown", Severity.ERROR, "RFC 9989 section 4.7", "another version: ignored as a whole"
    SEVERAL_RECORDS = (
        "several-records",
        Severity.ERROR,
        "RFC 9989 section 4.10",
        "several DMARC records at one name: all are ignored",
    )
    CHARACTERS = "characters", Severity.ERROR, "RFC 9989 section 4.8", "characters other than printable ASCII"
    SPACE_OUTSIDE = (
        "space-outside",
        Severity.WARNING,
        "RFC 9989 section 4.8",
        "white space before or after the record: some receivers do not find the version",
    )
    TAG_MALFORMED = "tag-malformed", Severity.ERROR, "RFC 9989 section 4.8", "no tag: a name, = and a value"
    TAG_EMPTY = "tag-empty", Severity.ERROR, "RFC 9989 section 4.8", "a tag without a value: its default holds"
    TAG_DUPLICATE = (
        "tag-duplicate",
        Severity.ERROR,
        "RFC 6376 section 3.2",
        "a tag stands twice: receivers may ignore the record",
    )
    TAG_UNKNOWN = "tag-unknown", Severity.NOTE, "RFC 9989 section 4.7", "an unknown tag: ignored"
    CASE = "case", Severity.NOTE, "RFC 5234 section 2.3", "upper case: valid, but some old receivers do not read it"
    P_MISSING = "p-missing", Severity.WARNING, "RFC 9989 section 4.7", "no p: RFC 9989 reads none, RFC 7489 no record"
    P_NOT_SECOND = "p-not-second", Severity.WARNING, "RFC 7489 section 6.4", "p is not second: old receivers need it"
    P_INVALID = "p-invalid", Severity.ERROR, "RFC 9989 section 4.10.1", "p is none of none, quarantine, reject"
    SP_INVALID = "sp-invalid", Severity.ERROR, "RFC 9989 section 4.10.1", "sp is none of none, quarantine, reject"
    NP_INVALID = "np-invalid", Severity.ERROR, "RFC 9989 section 4.10.1", "np is none of none, quarantine, reject"
    SP_WEAKER = "sp-weaker", Severity.WARNING, "RFC 9989 section 4.7", "subdomains are less protected than the domain"
    NP_WEAKER = "np-weaker", Severity.WARNING, "RFC 9989 section 4.7", "names that do not exist are less protected"
    T_INVALID = "t-invalid", Severity.ERROR, "RFC 9989 section 4.8", "t is neither y nor n: read as n"
    T_WITHOUT_EFFECT = "t-without-effect", Severity.NOTE, "RFC 9989 section 4.7", "t=y has no effect on none"
    T_UNREAD = (
        "t-unread",
        Severity.WARNING,
        "RFC 9989 appendix A.6",
        "receivers that follow RFC 7489 do not read t: they apply the policy in full",
    )
    REJECT_TESTING = (
        "reject-testing",
        Severity.WARNING,
        "RFC 9989 appendix A.6",
        "receivers differ on reject in test mode: no enforcement, quarantine or full reject",
    )
    PSD_INVALID = "psd-invalid", Severity.ERROR, "RFC 9989 section 4.8", "psd is none of y, n, u: read as u"
    ADKIM_INVALID = "adkim-invalid", Severity.ERROR, "RFC 9989 section 4.8", "adkim is neither r nor s: read as r"
    ASPF_INVALID = "aspf-invalid", Severity.ERROR, "RFC 9989 section 4.8", "aspf is neither r nor s: read as r"
    FO_INVALID = "fo-invalid", Severity.ERROR, "RFC 9989 section 4.8", "fo is no list of 0, 1, d, s: read as 0"
    FO_CONTRADICTION = (
        "fo-contradiction",
        Severity.WARNING,
        "RFC 9989 section 4.7",
        "0 or 1, not both, and d and s once each",
    )
    FO_WITHOUT_RUF = "fo-without-ruf", Severity.NOTE, "RFC 9989 section 4.7", "fo is ignored without ruf"
    PCT_HISTORIC = "pct-historic", Severity.NOTE, "RFC 9989 section 9.3", "pct is historic: new receivers ignore it"
    PCT_INVALID = "pct-invalid", Severity.ERROR, "RFC 7489 section 6.3", "pct is no number from 0 to 100: read as 100"
    PCT_RAMP = (
        "pct-ramp",
        Severity.WARNING,
        "RFC 9989 appendix A.6",
        "receivers that follow RFC 9989 apply the policy to all mail, whatever pct says",
    )
    RI_HISTORIC = "ri-historic", Severity.NOTE, "RFC 9989 section 9.3", "ri is historic: reports come daily"
    RI_INVALID = "ri-invalid", Severity.ERROR, "RFC 7489 section 6.3", "ri is no number of seconds in 32 bits"
    RF_HISTORIC = "rf-historic", Severity.NOTE, "RFC 9989 section 9.3", "rf is historic: there is one format"
    RF_INVALID = "rf-invalid", Severity.ERROR, "RFC 7489 section 6.3", "rf names another format than afrf"
    RUA_MISSING = "rua-missing", Severity.WARNING, "RFC 9989 section 4.7", "no rua: nobody sends aggregate reports"
    URI_INVALID = "uri-invalid", Severity.ERROR, "RFC 9989 section 4.8", "no URI: reporters ignore it"
    URI_SCHEME = "uri-scheme", Severity.WARNING, "RFC 9989 section 4.7", "mailto is the one scheme that is defined"
    URI_UNUSABLE = "uri-unusable", Severity.ERROR, "RFC 9989 section 4.7", "no URI of the list can be used"
    URI_SIZE = "uri-size", Severity.WARNING, "RFC 9989 section 4.8", "a size suffix is obsolete: reporters ignore it"
    URI_MANY = "uri-many", Severity.WARNING, "RFC 7489 section 6.2", "more than two URIs: reporters may leave some out"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found: what, at which tag (empty: the record), and what stands there."""

    lint: Lint
    tag: str
    detail: str

    def as_json(self) -> dict[str, Any]:
        """Give what is printed."""
        return {
            "code": self.lint.code,
            "severity": self.lint.severity.value,
            "section": self.lint.section,
            "text": self.lint.text,
            "tag": self.tag,
            "detail": self.detail,
        }


Found = Iterator[Finding]

_KNOWN = frozenset({"v", "pct", "ri", "rf", *TAGS[Grammar.RFC9989]})
_NAME = re.compile(r"[a-zA-Z]+")
_SHOWN = 100
_MAX_RI = 2**32 - 1
_HISTORIC = {"pct": Lint.PCT_HISTORIC, "ri": Lint.RI_HISTORIC, "rf": Lint.RF_HISTORIC}
_INVALID = {
    "p": Lint.P_INVALID,
    "sp": Lint.SP_INVALID,
    "np": Lint.NP_INVALID,
    "t": Lint.T_INVALID,
    "psd": Lint.PSD_INVALID,
    "adkim": Lint.ADKIM_INVALID,
    "aspf": Lint.ASPF_INVALID,
}
_FO = re.compile(r"[01ds](?:[ \t]*:[ \t]*[01ds])*", re.IGNORECASE)


def lint(record: Record) -> tuple[Finding, ...]:
    """Say all that is wrong or doubtful in one record; for a text that is no DMARC record, why it is none."""
    if not record.is_dmarc:
        return tuple(_version(record))
    return tuple(finding for check in _CHECKS for finding in check(record))


def lint_texts(texts: Sequence[str]) -> tuple[Finding, ...]:
    """
    Say what is wrong with all TXT records at `_dmarc.<domain>`; those of other things there are left out.

    These are discarded without a word (RFC 9989 section 4.10), as an SPF record that a wildcard puts at every name.
    """
    records = dmarc_records(texts)
    near = records or [record for text in texts if _is_near(record := parse_record(text))]
    several = [Finding(Lint.SEVERAL_RECORDS, "", str(len(records)))] if len(records) > 1 else []
    return (*several, *(finding for record in near for finding in lint(record)))


def _is_near(record: Record) -> bool:
    """Tell whether a text that is no DMARC record was meant to be one."""
    version = record.value("v")
    return version is not None and ("dmarc" in version.lower() or record.policy("p") is not None)


def _version(record: Record) -> Found:
    value = record.value("v")
    if value is None:
        yield Finding(Lint.V_MISSING, "v", _shown(str(record)))
    elif value.upper() != "DMARC1":
        yield Finding(Lint.V_UNKNOWN, "v", _shown(value))
    elif value != "DMARC1":
        yield Finding(Lint.V_CASE, "v", value)
    else:
        yield Finding(Lint.V_NOT_FIRST, "v", _shown(record.parts[0].text))


def _syntax(record: Record) -> Found:
    text = str(record)
    if not all(" " <= character <= "~" or character == "\t" for character in text):
        yield Finding(Lint.CHARACTERS, "", _shown(text))
    if text != text.strip(WSP):
        yield Finding(Lint.SPACE_OUTSIDE, "", _shown(text))
    for at, part in enumerate(record.parts):
        is_trailing = part.is_empty and at == len(record.parts) - 1
        if not is_trailing and not _NAME.fullmatch(part.name):
            yield Finding(Lint.TAG_MALFORMED, "", _shown(part.text))


def _tags(record: Record) -> Found:
    seen: list[str] = []
    for part in record.tags():
        if part.name in seen:
            yield Finding(Lint.TAG_DUPLICATE, part.name, _shown(part.value))
        seen.append(part.name)
        if not part.value:
            yield Finding(Lint.TAG_EMPTY, part.name, part.text)
        if _NAME.fullmatch(part.name) and part.name not in _KNOWN:
            yield Finding(Lint.TAG_UNKNOWN, part.name, _shown(part.value))
        written = part.text.partition("=")[0].strip(WSP)
        is_word = part.name in _INVALID or part.name == "fo"
        if written != part.name or (is_word and part.value != part.value.lower()):
            yield Finding(Lint.CASE, part.name, _shown(part.text))


def _values(record: Record) -> Found:
    for name, code in _INVALID.items():
        value = record.value(name)
        if value and not TAGS[Grammar.RFC9989][name].fullmatch(value):
            yield Finding(code, name, _shown(value))


def _policy(record: Record) -> Found:
    names = [part.name for part in record.tags()]
    if "p" not in names:
        yield Finding(Lint.P_MISSING, "p", "")
    elif names.index("p") != 1:
        yield Finding(Lint.P_NOT_SECOND, "p", record.value("p") or "")
    p = record.policy("p") or Policy.NONE
    for name, code in (("sp", Lint.SP_WEAKER), ("np", Lint.NP_WEAKER)):
        below = record.policy(name)
        if below and STRICTNESS.index(below) < STRICTNESS.index(p):
            yield Finding(code, name, f"{below} under p={p}")


def _test_mode(record: Record) -> Found:
    p = record.policy("p") or Policy.NONE
    if record.is_testing and all((record.policy(name) or Policy.NONE) is Policy.NONE for name in ("p", "sp", "np")):
        yield Finding(Lint.T_WITHOUT_EFFECT, "t", "y")
    elif record.is_testing and p is Policy.REJECT:
        yield Finding(Lint.REJECT_TESTING, "t", "y")
    elif record.is_testing and record.pct:
        yield Finding(Lint.T_UNREAD, "t", "y")
    if record.pct < MAX_PCT and p is not Policy.NONE and not record.is_testing:
        yield Finding(Lint.PCT_RAMP, "pct", str(record.pct))


def _historic(record: Record) -> Found:
    for name, code in _HISTORIC.items():
        value = record.value(name)
        if value is not None:
            yield Finding(code, name, _shown(value))
    pct, ri, rf = (record.value(name) for name in ("pct", "ri", "rf"))
    if pct and not _is_number(pct, MAX_PCT):
        yield Finding(Lint.PCT_INVALID, "pct", _shown(pct))
    if ri and not _is_number(ri, _MAX_RI):
        yield Finding(Lint.RI_INVALID, "ri", _shown(ri))
    if rf and rf.lower() != "afrf":
        yield Finding(Lint.RF_INVALID, "rf", _shown(rf))


def _failure_options(record: Record) -> Found:
    value = record.value("fo")
    if value is None:
        return
    if value and not _FO.fullmatch(value):
        yield Finding(Lint.FO_INVALID, "fo", _shown(value))
    elif value and not TAGS[Grammar.RFC9989]["fo"].fullmatch(value):
        yield Finding(Lint.FO_CONTRADICTION, "fo", _shown(value))
    if record.value("ruf") is None:
        yield Finding(Lint.FO_WITHOUT_RUF, "fo", _shown(value))


def _destinations(record: Record) -> Found:
    if not record.value("rua"):
        yield Finding(Lint.RUA_MISSING, "rua", "")
    for name in ("rua", "ruf"):
        uris = record.uris(name)
        for uri in uris:
            if uri.size:
                yield Finding(Lint.URI_SIZE, name, _shown(uri.text))
            if not uri.scheme or (uri.scheme == "mailto" and not uri.host) or "!" in uri.uri:
                yield Finding(Lint.URI_INVALID, name, _shown(uri.text))
            elif uri.scheme != "mailto":
                yield Finding(Lint.URI_SCHEME, name, _shown(uri.text))
        if uris and not any(uri.is_usable for uri in uris):
            yield Finding(Lint.URI_UNUSABLE, name, _shown(record.value(name) or ""))
        if len(uris) > MAX_URIS:
            yield Finding(Lint.URI_MANY, name, str(len(uris)))


_CHECKS: tuple[Callable[[Record], Found], ...] = (
    _syntax,
    _tags,
    _values,
    _policy,
    _test_mode,
    _historic,
    _failure_options,
    _destinations,
)


def _is_number(text: str, most: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(most)) and int(text) <= most


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
