"""
Reading the Authentication-Results field (RFC 8601 section 2.2) as receivers really write it.

What the grammar allows is read strictly; everything else is read as far as it has one meaning, and noted as a
`Deviation`. The reader says what is written, never whether to believe it: that is `trust`. It never raises on any text,
does no I/O, and its work is linear in the length of the text.
"""

import binascii
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from dmarcops.dkim.lexemes import Kind, Lexeme, lexemes

MAX_LENGTH = 65_536
"""Characters of a value above which nothing of it is read."""
SUPPORTED_VERSION = 1
"""Of the field and of its methods; what says another one is not to be interpreted (RFC 8601 section 2.6)."""
_MAX_NAME = 128


class Deviation(StrEnum):
    """How a value differs from RFC 8601 section 2.2 and the registries of section 6."""

    TOO_LONG = "too-long"
    ENCODED_WORDS = "encoded-words"
    """The whole value is RFC 2047 encoded-words, as some of Outlook's are."""
    UNTERMINATED_COMMENT = "unterminated-comment"
    UNTERMINATED_QUOTED_STRING = "unterminated-quoted-string"
    STRAY_PARENTHESIS = "stray-parenthesis"
    NO_AUTHSERV_ID = "no-authserv-id"
    AUTHSERV_ID_SYNTAX = "authserv-id-syntax"
    NO_RESULT = "no-result"
    """Neither a result nor `none`."""
    MISPLACED_NONE = "misplaced-none"
    TRAILING_SEMICOLON = "trailing-semicolon"
    EMPTY_RESULT = "empty-result"
    MISSING_SEMICOLON = "missing-semicolon"
    """A second result that nothing separates from the one before it."""
    STRAY_TEXT = "stray-text"
    METHOD_SYNTAX = "method-syntax"
    UNREGISTERED_RESULT = "unregistered-result"
    """A result that is none of the registered ones of its method."""
    REASON_AFTER_PROPERTY = "reason-after-property"
    REPEATED_REASON = "repeated-reason"
    BARE_PROPERTY = "bare-property"
    """A property without its type, like Outlook's `action=none`."""
    DETACHED_PROPERTY = "detached-property"
    """A property with a semicolon before it, like those of Amazon SES; it is read as one of the result before it."""
    PROPERTY_SYNTAX = "property-syntax"
    REPEATED_PROPERTY = "repeated-property"
    """The same property of one result twice, with different values."""
    UNQUOTED_VALUE = "unquoted-value"
    EMPTY_VALUE = "empty-value"
    IDENTITY_WITHOUT_AT = "identity-without-at"


UNSOUND = frozenset(
    {
        Deviation.UNTERMINATED_COMMENT,
        Deviation.UNTERMINATED_QUOTED_STRING,
        Deviation.STRAY_PARENTHESIS,
        Deviation.MISSING_SEMICOLON,
        Deviation.REPEATED_PROPERTY,
        Deviation.TOO_LONG,
    }
)
"""
Deviations after which the value proves nothing.

They are what is seen when a sender's text (a local-part, a HELO name) got into the field without being quoted, so that
a result or a property may be the sender's and not the receiver's.
"""

_DKIM_RESULTS = frozenset(["none", "pass", "fail", "policy", "neutral", "temperror", "permerror"])
_REGISTERED: dict[str, frozenset[str]] = {
    "dkim": _DKIM_RESULTS,
    "domainkeys": _DKIM_RESULTS,
    "spf": _DKIM_RESULTS | {"softfail"},
    "sender-id": _DKIM_RESULTS | {"softfail"},
    "iprev": frozenset(["pass", "fail", "temperror", "permerror"]),
    "auth": frozenset(["none", "pass", "fail", "temperror", "permerror"]),
    "dmarc": frozenset(["none", "pass", "fail", "temperror", "permerror"]),
    "arc": frozenset(["none", "pass", "fail"]),
    "dkim-adsp": frozenset(["none", "pass", "unknown", "fail", "discard", "nxdomain", "temperror", "permerror"]),
    "dkim-atps": frozenset(["none", "pass", "fail", "neutral", "temperror", "permerror"]),
    "dnswl": frozenset(["none", "pass", "temperror", "permerror"]),
    "vbr": frozenset(["none", "pass", "fail", "temperror", "permerror"]),
    "rrvs": frozenset(["none", "pass", "fail", "unknown", "temperror", "permerror"]),
    "smime": _DKIM_RESULTS,
}
"""The methods and results of RFC 8601 section 6 and of the registries it made."""
_PTYPES = ("smtp", "header", "body", "policy")

_BARE = r"[^\x00-\x20\x7f()<>@,;:\\\"/\[\]?=]+"  # RFC 2045 section 5.1, and RFC 6532
_DOT_STRING = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+)*"
_DOMAIN_NAME = r"[A-Za-z0-9\x80-\U0010ffff-]+(?:\.[A-Za-z0-9\x80-\U0010ffff-]+)+"
_VALUE = re.compile(_BARE)
_PVALUE = re.compile(rf"{_BARE}|(?:(?:{_DOT_STRING}|\"\")?@)?{_DOMAIN_NAME}|\"\"")
_KEYWORD = re.compile(r"[A-Za-z0-9-]*[A-Za-z0-9]")
_RESULT = re.compile(r"[A-Za-z0-9_-]+")  # `dkim_pass`: old Yahoo
_QUALIFIED = re.compile(r"(?:smtp|header|body|policy)\.[A-Za-z0-9-]+", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,9}")
_ENCODED_WORD = re.compile(r"=\?([^?\s]+)\?([BbQq])\?([^?\s]*)\?=")
_CHARSETS = ("utf-8", "us-ascii", "iso-8859-1")


@dataclass(frozen=True, slots=True)
class Property:
    """A property of a result; type and name in lower case, the value as it is written, without its quotes."""

    ptype: str
    """Empty when the writer gave none."""
    property: str
    value: str


@dataclass(frozen=True, slots=True)
class MethodResult:
    """What one method said; method and result in lower case."""

    method: str
    method_version: int
    """0 when it is not to be made out."""
    result: str
    reason: str
    properties: tuple[Property, ...]

    def value(self, ptype: str, name: str) -> str:
        """Give the value of the first property so called, empty when there is none."""
        for item in self.properties:
            if item.ptype == ptype and item.property == name:
                return item.value
        return ""


@dataclass(frozen=True, slots=True)
class AuthenticationResults:
    """One field; the authserv-id in lower case, empty when there is none."""

    authserv_id: str
    version: int
    """0 when it is not to be made out."""
    results: tuple[MethodResult, ...]
    """None when the version is not supported."""
    deviations: tuple[Deviation, ...]

    def of(self, method: str) -> tuple[MethodResult, ...]:
        """Give the results of a method that are to be interpreted, in order (RFC 8601 section 2.6)."""
        return tuple(x for x in self.results if x.method == method and x.method_version == SUPPORTED_VERSION)

    @property
    def is_sound(self) -> bool:
        """Whether the field is written so that nothing in it can be somebody else's text."""
        return UNSOUND.isdisjoint(self.deviations)


def parse(value: str) -> AuthenticationResults:
    """Read the value of one Authentication-Results field, folded or not; never raises."""
    if len(value) > MAX_LENGTH:
        return AuthenticationResults("", SUPPORTED_VERSION, (), (Deviation.TOO_LONG,))
    reading = _Reading()
    head, *segments = _segments(reading.plain(_decoded(value, reading)))
    authserv_id, version, rest = _head(head, reading)
    if rest:
        segments.insert(0, rest)
    if version == SUPPORTED_VERSION:
        _resinfos(segments, reading)
    return AuthenticationResults(authserv_id.lower(), version, reading.results(), tuple(reading.deviations))


@dataclass(slots=True)
class _Draft:
    method: str
    method_version: int
    result: str
    reason: str | None = None
    properties: list[Property] = field(default_factory=list)
    values: dict[tuple[str, str], str] = field(default_factory=dict)


class _Reading:
    """What was read so far."""

    def __init__(self) -> None:
        self.deviations: dict[Deviation, None] = {}
        self.drafts: list[_Draft] = []

    def note(self, deviation: Deviation) -> None:
        self.deviations[deviation] = None

    def plain(self, text: str) -> Iterator[Lexeme]:
        """Give the tokens that are no comments, noting those that are broken."""
        faults = {
            Kind.UNTERMINATED_COMMENT: Deviation.UNTERMINATED_COMMENT,
            Kind.STRAY_PARENTHESIS: Deviation.STRAY_PARENTHESIS,
            Kind.UNTERMINATED_QUOTED: Deviation.UNTERMINATED_QUOTED_STRING,
        }
        for lexeme in lexemes(text):
            if lexeme.kind in faults:
                self.note(faults[lexeme.kind])
            elif lexeme.kind is not Kind.COMMENT:
                yield lexeme

    def results(self) -> tuple[MethodResult, ...]:
        return tuple(
            MethodResult(x.method, x.method_version, x.result, x.reason or "", tuple(x.properties)) for x in self.drafts
        )


def _decoded(value: str, reading: _Reading) -> str:
    """Give what RFC 2047 encoded-words say, when the value is nothing else; they are not decoded again."""
    words = [_ENCODED_WORD.fullmatch(word) for word in value.split()]
    if not words or None in words:
        return value
    reading.note(Deviation.ENCODED_WORDS)
    found = [word.groups() for word in words if word]
    charsets = {charset.lower() for charset, _, _ in found}
    if len(charsets) > 1 or not charsets.issubset(_CHARSETS):
        return ""
    try:
        octets = b"".join(_octets(encoding, text) for _, encoding, text in found)
    except ValueError:
        return ""
    return octets.decode(charsets.pop(), "replace")


def _octets(encoding: str, text: str) -> bytes:
    if encoding in "Bb":
        return binascii.a2b_base64(text)
    return binascii.a2b_qp(text.encode("ascii"), header=True)


def _segments(tokens: Iterable[Lexeme]) -> list[list[Lexeme]]:
    """Split at the semicolons; there is always a first."""
    segments: list[list[Lexeme]] = [[]]
    for token in tokens:
        if token.kind is Kind.SEMICOLON:
            segments.append([])
        else:
            segments[-1].append(token)
    return segments


def _head(segment: list[Lexeme], reading: _Reading) -> tuple[str, int, list[Lexeme]]:
    """Give the authserv-id, the version, and what stands before the first semicolon but is a result."""
    own, rest = _before_first_name(segment)
    if not own:
        reading.note(Deviation.NO_AUTHSERV_ID)
        return "", SUPPORTED_VERSION, rest
    if rest:
        reading.note(Deviation.MISSING_SEMICOLON)
    length = _run(own, 0)
    if not (length == 1 and own[0].kind is Kind.QUOTED) and not _VALUE.fullmatch(_form(own[:length])):
        reading.note(Deviation.AUTHSERV_ID_SYNTAX)
    authserv_id, more = _text(own[:length]), own[length:]
    if not more:
        return authserv_id, SUPPORTED_VERSION, rest
    if len(more) > 1 or not _NUMBER.fullmatch(more[0].raw):
        reading.note(Deviation.STRAY_TEXT)
    is_version = more[0].raw.isascii() and more[0].raw.isdigit()
    return authserv_id, _number(more[0].raw) if is_version else SUPPORTED_VERSION, rest


def _before_first_name(segment: list[Lexeme]) -> tuple[list[Lexeme], list[Lexeme]]:
    """Split before the name that the first equals sign follows; all is before it when there is none."""
    equals = next((at for at, token in enumerate(segment) if token.kind is Kind.EQUALS), None)
    if equals is None:
        return segment, []
    start = max(equals - 1, 0)
    while start and _joins(segment[start - 1].raw, segment[start].raw):
        start -= 1
    return segment[:start], segment[start:]


def _joins(before: str, after: str) -> bool:
    """Tell whether two words are one name: comments may stand around its slash or dot (RFC 8601 appendix B.7)."""
    return before[-1] in "./" or after[0] in "./"


def _run(tokens: list[Lexeme], start: int) -> int:
    """Give the end of the tokens from `start` on that nothing stands between."""
    end = start + 1
    while end < len(tokens) and not tokens[end].spaced:
        end += 1
    return end


def _text(tokens: list[Lexeme]) -> str:
    return tokens[0].text if len(tokens) == 1 else "".join(token.raw for token in tokens)


def _form(tokens: list[Lexeme]) -> str:
    """Give the tokens as one text in which every quoted string is an empty one, to be matched."""
    return "".join('""' if token.kind is Kind.QUOTED else token.raw for token in tokens)


def _number(text: str) -> int:
    return int(text) if _NUMBER.fullmatch(text) else 0


def _resinfos(segments: list[list[Lexeme]], reading: _Reading) -> None:
    said_none = False
    for number, segment in enumerate(segments, 1):
        if not segment:
            is_last = number == len(segments)
            reading.note(Deviation.TRAILING_SEMICOLON if is_last else Deviation.EMPTY_RESULT)
        elif len(segment) == 1 and segment[0].raw.lower() == "none":
            said_none = True
        else:
            _resinfo(segment, reading)
    if said_none and (reading.drafts or len(segments) > 1):
        reading.note(Deviation.MISPLACED_NONE)
    if not said_none and not reading.drafts:
        reading.note(Deviation.NO_RESULT)


def _resinfo(segment: list[Lexeme], reading: _Reading) -> None:
    for number, (name, value) in enumerate(_terms(segment, reading)):
        if _is_method(name, value, is_first=number == 0):
            if number:
                reading.note(Deviation.MISSING_SEMICOLON)
            _add_method(name, value[0].text.lower(), reading)
        elif not reading.drafts:
            reading.note(Deviation.STRAY_TEXT)
        elif name == "reason":
            _add_reason(value, reading)
        else:
            if number == 0:
                reading.note(Deviation.DETACHED_PROPERTY)
            _add_property(name, value, reading)


def _terms(segment: list[Lexeme], reading: _Reading) -> Iterator[tuple[str, list[Lexeme]]]:
    """Give each `name = value`, the name in lower case, comments and spaces around its slash or dot taken out."""
    name, at = "", 0
    while at < len(segment):
        token = segment[at]
        if token.kind is not Kind.EQUALS:
            name = _longer_name(name, token, reading)
            at += 1
            continue
        end = _value_end(segment, at + 1)
        if name:
            yield name.lower(), segment[at + 1 : end]
        else:
            reading.note(Deviation.STRAY_TEXT)
        name, at = "", end
    if name:
        reading.note(Deviation.STRAY_TEXT)


def _longer_name(name: str, token: Lexeme, reading: _Reading) -> str:
    if token.kind is Kind.QUOTED or len(name) > _MAX_NAME:
        reading.note(Deviation.STRAY_TEXT)
        return ""
    if name and not _joins(name, token.raw):
        reading.note(Deviation.STRAY_TEXT)
        return token.raw
    return name + token.raw


def _value_end(segment: list[Lexeme], start: int) -> int:
    """
    Give where the value that begins at `start` ends.

    In `header.d= header.s=x` there is none: what looks like the value is the next property.
    """
    if start == len(segment):
        return start
    is_next = start + 1 < len(segment) and segment[start + 1].kind is Kind.EQUALS
    if is_next and segment[start].spaced and _QUALIFIED.fullmatch(segment[start].raw):
        return start
    return _run(segment, start)


def _is_method(name: str, value: list[Lexeme], *, is_first: bool) -> bool:
    """Tell a result from a property: by its place, and where a semicolon is missing by its registered name."""
    if len(value) != 1 or value[0].kind is not Kind.WORD or not _RESULT.fullmatch(value[0].raw) or name == "reason":
        return False
    return name.partition("/")[0] in _REGISTERED or (is_first and name.partition(".")[0] not in _PTYPES)


def _add_method(name: str, result: str, reading: _Reading) -> None:
    method, slash, version = name.partition("/")
    if not _KEYWORD.fullmatch(method) or (slash and not _NUMBER.fullmatch(version)):
        reading.note(Deviation.METHOD_SYNTAX)
    if method in _REGISTERED and result not in _REGISTERED[method]:
        reading.note(Deviation.UNREGISTERED_RESULT)
    reading.drafts.append(_Draft(method, _number(version) if slash else SUPPORTED_VERSION, result))


def _add_reason(value: list[Lexeme], reading: _Reading) -> None:
    draft = reading.drafts[-1]
    if draft.reason is not None:
        reading.note(Deviation.REPEATED_REASON)
        return
    if draft.properties:
        reading.note(Deviation.REASON_AFTER_PROPERTY)
    draft.reason = _stated(value, reading, _VALUE)


def _add_property(name: str, value: list[Lexeme], reading: _Reading) -> None:
    ptype, dot, own_name = name.partition(".")
    if not dot:
        ptype, own_name = "", name
        reading.note(Deviation.BARE_PROPERTY)
    if not _KEYWORD.fullmatch(own_name) or (dot and not _KEYWORD.fullmatch(ptype)):
        reading.note(Deviation.PROPERTY_SYNTAX)
    text = _stated(value, reading, _PVALUE)
    draft = reading.drafts[-1]
    if draft.values.setdefault((ptype, own_name), text) != text:
        reading.note(Deviation.REPEATED_PROPERTY)
    if (draft.method, ptype, own_name) == ("dkim", "header", "i") and "@" not in text:
        reading.note(Deviation.IDENTITY_WITHOUT_AT)
    draft.properties.append(Property(ptype, own_name, text))


def _stated(value: list[Lexeme], reading: _Reading, syntax: re.Pattern[str]) -> str:
    if not value:
        reading.note(Deviation.EMPTY_VALUE)
        return ""
    form = _form(value)
    if form != '""' and not syntax.fullmatch(form):
        reading.note(Deviation.UNQUOTED_VALUE)
    return _text(value)
