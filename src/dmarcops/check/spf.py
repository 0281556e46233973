"""
SPF records, their syntax and what they cost (RFC 7208). Does no I/O: DNS is asked of a function.

No sender is evaluated. The cost is that of a mail that no term matches: all terms are looked up, those of included
records too. Macros stay as they are; a name with one in it counts as a lookup, and is not asked for.
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dmarcops.check.findings import Area, Ask, Code, Finding, found, shown
from dmarcops.policy.answers import Answer, AnswerKind

MAX_LOOKUPS = 10
"""Terms that ask DNS, over all records (RFC 7208 section 4.6.4)."""
MAX_VOIDS = 2
"""Of these, such as have no answer (RFC 7208 section 4.6.4)."""
MAX_MX = 10
"""Hosts of an `mx` (RFC 7208 section 4.6.4)."""
EXPLORED = 40
"""Lookups that are followed to show what a record costs; beyond, nothing more is asked."""
MAX_OCTETS = 450
"""Octets of a name and its texts that are sure to come over UDP (RFC 7208 section 3.4)."""
_MOST = 20
"""Findings of one kind: a record that is all faults needs no more to be seen as such."""

_EXPANDED = r"%\{[slodiphcrtv][0-9]*r?[-.+,/_=]*\}"
_TOKEN = re.compile(rf"{_EXPANDED}|%[%_-]|[\x21-\x24\x26-\x7e]", re.IGNORECASE)
_MACRO_STRING = re.compile(rf"(?:{_TOKEN.pattern})*", re.IGNORECASE)
_TOP_LABEL = re.compile(r"(?![0-9]+$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.IGNORECASE)
_EXPLAINS = re.compile(r"%\{[crt]", re.IGNORECASE)
_ZERO_DIGITS = re.compile(r"%\{[a-z]0+(?![0-9])", re.IGNORECASE)
_CIDR = re.compile(r"(?P<value>.*?)(?:/(?P<v4>0|[1-9][0-9]?))?(?://(?P<v6>0|[1-9][0-9]{0,2}))?", re.DOTALL)
_MODIFIER = re.compile(r"(?P<name>[a-z][a-z0-9_.-]*)=(?P<value>.*)", re.IGNORECASE | re.DOTALL)
_MECHANISM = re.compile(r"(?P<qualifier>[-+?~]?)(?P<name>[a-z0-9]+)(?P<rest>[:/].*)?", re.IGNORECASE | re.DOTALL)
_ASKING = frozenset({"include", "a", "mx", "ptr", "exists", "redirect"})
_V4_BITS, _V6_BITS = 32, 128
_LABEL = 63
"""Octets of a label (RFC 1035 section 2.3.4)."""


_BREAKING = frozenset(
    code.code
    for code in (
        Code.SPF_MISSING,
        Code.SPF_SEVERAL,
        Code.SPF_SYNTAX,
        Code.SPF_LOOKUPS,
        Code.SPF_VOIDS,
        Code.SPF_LOOP,
        Code.SPF_TARGET,
        Code.SPF_MX_MANY,
    )
)
"""What makes all mail a permanent error, or leaves it without a record."""


@dataclass(frozen=True, slots=True)
class Term:
    """
    One term of a record: `text` exact, `name` in lower case, `qualifier` one of `+-~?` (empty: a modifier).

    `value` is the domain or network, without a prefix length; `is_valid` whether it is to the grammar.
    """

    text: str
    name: str
    qualifier: str
    value: str
    is_valid: bool

    @property
    def has_macro(self) -> bool:
        """Whether its value is another one for each mail."""
        return "%" in self.value


@dataclass(frozen=True, slots=True)
class Cost:
    """What one term that asks DNS costs, itself and what is below it; `below` is the record that it leads to."""

    term: str
    target: str
    lookups: int
    voids: int
    below: "Tree | None" = None

    def as_json(self) -> dict[str, Any]:
        """Give what is printed."""
        return {
            "term": shown(self.term),
            "target": self.target,
            "lookups": self.lookups,
            "voids": self.voids,
            "below": self.below and self.below.as_json(),
        }


@dataclass(frozen=True, slots=True)
class Tree:
    """A record and what it costs with all below it."""

    domain: str
    record: str | None
    costs: tuple[Cost, ...] = ()

    @property
    def lookups(self) -> int:
        """Terms that ask DNS."""
        return sum(cost.lookups for cost in self.costs)

    @property
    def voids(self) -> int:
        """Of these, such as have no answer."""
        return sum(cost.voids for cost in self.costs)

    @property
    def may_pass(self) -> bool:
        """Whether some mail may pass: not by `v=spf1 -all`, nor where all that is included passes none; else it may."""
        if self.record is None:
            return True
        below = {cost.term: cost.below for cost in self.costs if cost.below is not None}
        terms = parse_terms(self.record)
        read = list(_until_all(terms))
        if any(x.qualifier == "+" and (x.text not in below or below[x.text].may_pass) for x in read):
            return True
        redirects = [x for x in terms if x.name == "redirect" and not any(each.name == "all" for each in read)]
        return any(x.text not in below or below[x.text].may_pass for x in redirects)

    def as_json(self) -> dict[str, Any]:
        """Give what is printed."""
        return {
            "domain": self.domain,
            "record": self.record,
            "lookups": self.lookups,
            "voids": self.voids,
            "terms": [cost.as_json() for cost in self.costs],
        }


@dataclass(frozen=True, slots=True)
class Spf:
    """
    The record of a domain, and what is wrong with it.

    `is_complete` is false when more was to be asked than is explored, `is_known` when DNS did not answer all of it.
    """

    tree: Tree
    findings: tuple[Finding, ...]
    is_complete: bool
    is_known: bool

    @property
    def is_sound(self) -> bool | None:
        """Whether there is a record that is not a permanent error; None when DNS did not say."""
        if any(finding.code in _BREAKING for finding in self.findings):
            return False
        return True if self.is_known else None

    @property
    def can_pass(self) -> bool | None:
        """Whether some mail can pass by it; None when DNS did not say."""
        return self.is_sound if self.tree.may_pass else False

    def as_json(self) -> dict[str, Any]:
        """Give what is printed."""
        return {**self.tree.as_json(), "complete": self.is_complete}


def is_spf(text: str) -> bool:
    """Tell whether a text is an SPF record (RFC 7208 section 4.5)."""
    return text[:6].lower() == "v=spf1" and text[6:7] in ("", " ")


def parse_terms(text: str) -> tuple[Term, ...]:
    """Read any record, term by term, good or not; the version is left out."""
    return tuple(_term(word) for word in text[6:].split(" ") if word)


def check_spf(domain: str, ask: Ask) -> Spf:
    """Say what is wrong with the SPF record of a domain, and what it costs; asks for `EXPLORED` names and some."""
    walk = _Walk(ask)
    tree = walk.record(domain, ())
    walk.judge_cost(tree)
    return Spf(tree, tuple(walk.findings), walk.is_complete, walk.is_known)


@dataclass
class _Walk:
    """One way through a record and those below it."""

    dns: Ask
    findings: list[Finding] = field(default_factory=list)
    lookups: int = 0
    is_complete: bool = True
    is_known: bool = True
    _judged: set[str] = field(default_factory=set)

    def ask(self, name: str, kind: str) -> Answer:
        """Ask DNS, and note when it does not answer."""
        answer = self.dns(name, kind)
        self.is_known = self.is_known and answer.kind is not AnswerKind.TEMPERROR
        return answer

    def tell(self, code: Code, at: str, detail: str = "") -> None:
        """Note a finding, once, and not too many of one kind."""
        finding = found(Area.SPF, code, at, detail)
        if finding not in self.findings and sum(each.code == finding.code for each in self.findings) < _MOST:
            self.findings.append(finding)

    def record(self, domain: str, above: tuple[str, ...]) -> Tree:
        """Read the record at a name, and follow it."""
        answer = self.ask(domain, "TXT")
        if answer.kind is AnswerKind.TEMPERROR:
            return Tree(domain, None)
        records = [text for text in answer.texts if is_spf(text)]
        if len(records) != 1:
            self._none(domain, answer, len(records), is_below=bool(above))
            return Tree(domain, None)
        terms = parse_terms(records[0])
        if domain not in self._judged:
            self._judged.add(domain)
            self._judge(domain, terms, is_included=bool(above))
            self._judge_length(domain, answer)
        if not all(term.is_valid for term in terms):
            return Tree(domain, records[0])
        return Tree(domain, records[0], tuple(self._costs(domain, terms, above)))

    def judge_cost(self, tree: Tree) -> None:
        """Say whether the whole is over a limit."""
        more = "" if self.is_complete else " or more"
        if tree.lookups > MAX_LOOKUPS:
            self.tell(Code.SPF_LOOKUPS, tree.domain, f"{tree.lookups}{more}")
        if tree.voids > MAX_VOIDS:
            self.tell(Code.SPF_VOIDS, tree.domain, f"{tree.voids}{more}")

    def _none(self, domain: str, answer: Answer, count: int, *, is_below: bool) -> None:
        if count:
            self.tell(Code.SPF_SEVERAL, domain, str(count))
            return
        for text in answer.texts:
            if re.match(r"\s*v?\s*=?\s*spf1", text, re.IGNORECASE):
                self.tell(Code.SPF_VERSION, domain, text)
        self.tell(Code.SPF_TARGET if is_below else Code.SPF_MISSING, domain)

    def _judge(self, domain: str, terms: Sequence[Term], *, is_included: bool) -> None:
        for term in terms:
            if not term.is_valid:
                self.tell(Code.SPF_SYNTAX, domain, term.text)
        for name in ("redirect", "exp"):
            if sum(term.name == name and not term.qualifier for term in terms) > 1:
                self.tell(Code.SPF_SYNTAX, domain, f"{name}= stands twice")
        if any(term.name == "ptr" for term in terms):
            self.tell(Code.SPF_PTR, domain)
        for term in terms:
            if term.is_valid and term.has_macro and term.name in _ASKING:
                self.tell(Code.SPF_MACRO, domain, term.text)
        for term in _until_all(terms):
            if _is_for_all(term):
                self.tell(Code.SPF_ALL_PASS, domain, term.text)
        self._judge_end(domain, terms, is_included=is_included)

    def _judge_end(self, domain: str, terms: Sequence[Term], *, is_included: bool) -> None:
        every = next((term for term in terms if term.name == "all" and term.qualifier), None)
        redirects = [term for term in terms if term.name == "redirect"]
        if every is None:
            if not redirects and not is_included:
                self.tell(Code.SPF_ALL_MISSING, domain)
            return
        behind = [term.text for term in terms[terms.index(every) + 1 :] if term.qualifier]
        behind += [term.text for term in redirects]
        if behind:
            self.tell(Code.SPF_UNREAD, domain, " ".join(behind))
        if every.qualifier == "?" and not is_included:
            self.tell(Code.SPF_ALL_NEUTRAL, domain, every.text)

    def _judge_length(self, domain: str, answer: Answer) -> None:
        octets = len(domain) + sum(len(text) for text in answer.texts)
        if octets > MAX_OCTETS:
            self.tell(Code.SPF_LONG, domain, f"{octets} octets")

    def _costs(self, domain: str, terms: Sequence[Term], above: tuple[str, ...]) -> Iterator[Cost]:
        asking = [term for term in _until_all(terms) if term.name in _ASKING]
        if not any(term.name == "all" and term.qualifier for term in terms):
            asking += [term for term in terms if term.name == "redirect"]
        for term in asking:
            if self.lookups >= EXPLORED:
                self.is_complete = False
                return
            self.lookups += 1
            yield self._cost(domain, term, above)

    def _cost(self, domain: str, term: Term, above: tuple[str, ...]) -> Cost:
        target = (term.value or domain).rstrip(".").lower()
        if term.has_macro or term.name == "ptr":
            return Cost(term.text, target, 1, 0)
        if term.name in ("include", "redirect"):
            return self._followed(domain, term, target, above)
        answer = self._answer(term, target)
        is_void = answer.kind in (AnswerKind.NODATA, AnswerKind.NXDOMAIN)
        if is_void:
            self.tell(Code.SPF_VOID, domain, term.text)
        if term.name == "mx" and len(answer.texts) > MAX_MX:
            self.tell(Code.SPF_MX_MANY, domain, f"{term.text}: {len(answer.texts)} hosts")
        return Cost(term.text, target, 1, int(is_void))

    def _followed(self, domain: str, term: Term, target: str, above: tuple[str, ...]) -> Cost:
        if target in (*above, domain):
            self.tell(Code.SPF_LOOP, domain, term.text)
            return Cost(term.text, target, 1, 0)
        answer = self.ask(target, "TXT")
        is_void = answer.kind in (AnswerKind.NODATA, AnswerKind.NXDOMAIN)
        below = self.record(target, (*above, domain))
        return Cost(term.text, target, 1 + below.lookups, int(is_void) + below.voids, below)

    def _answer(self, term: Term, target: str) -> Answer:
        """Ask what a mechanism asks; `a` is void when the name has addresses of neither kind."""
        if term.name == "mx":
            return self.ask(target, "MX")
        answer = self.ask(target, "A")
        return self.ask(target, "AAAA") if answer.kind is AnswerKind.NODATA and term.name == "a" else answer


def _until_all(terms: Sequence[Term]) -> Iterator[Term]:
    """Give the mechanisms that are read: up to `all`."""
    for term in terms:
        if term.qualifier:
            yield term
            if term.name == "all":
                return


def _is_for_all(term: Term) -> bool:
    is_wide = term.name in ("a", "mx", "ip4", "ip6") and re.search(r"/0(?:$|/)", term.text) is not None
    return term.qualifier == "+" and term.is_valid and (term.name == "all" or is_wide)


def _term(text: str) -> Term:
    modifier = _MODIFIER.fullmatch(text)
    if modifier:
        name, value = modifier["name"].lower(), modifier["value"]
        is_valid = _is_spec(value) if name in ("redirect", "exp") else bool(_MACRO_STRING.fullmatch(value))
        return Term(text, name, "", value, is_valid)
    match = _MECHANISM.fullmatch(text)
    if not match:
        return Term(text, "", "+", "", is_valid=False)
    name, rest = match["name"].lower(), match["rest"] or ""
    value, is_valid = _argument(name, rest)
    return Term(text, name, match["qualifier"] or "+", value, is_valid)


def _argument(name: str, rest: str) -> tuple[str, bool]:
    """Give the value of a mechanism, and whether it is to the grammar (RFC 7208 section 12)."""
    has_colon = rest.startswith(":")
    value = rest[1:] if has_colon else ""
    match name:
        case "all":
            is_valid = not rest
        case "include" | "exists":
            is_valid = has_colon and _is_spec(value)
        case "ptr":
            is_valid = not rest or (has_colon and _is_spec(value))
        case "a" | "mx":
            value, is_valid = _host(rest)
        case "ip4" | "ip6":
            is_valid = has_colon and _is_network(value, 4 if name == "ip4" else 6)
        case _:
            is_valid = False
    return value, is_valid


def _host(rest: str) -> tuple[str, bool]:
    sized = _CIDR.fullmatch(rest)
    if sized is None:
        raise AssertionError
    bare = sized["value"]
    is_sized = int(sized["v4"] or 0) <= _V4_BITS and int(sized["v6"] or 0) <= _V6_BITS
    value = bare.removeprefix(":")
    return value, is_sized and (not bare or (bare.startswith(":") and _is_spec(value)))


def _is_spec(value: str) -> bool:
    """Tell whether it is a `domain-spec`, and no macro in it that is for explanations only (RFC 7208 section 7.2)."""
    if not _MACRO_STRING.fullmatch(value) or _EXPLAINS.search(value) or _ZERO_DIGITS.search(value):
        return False
    tokens = _TOKEN.findall(value)
    if tokens and tokens[-1].startswith("%{"):
        return True
    above, dot, top = value.removesuffix(".").rpartition(".")
    has_end = bool(dot) and bool(_TOP_LABEL.fullmatch(top))
    return has_end and ("%" in above or all(0 < len(label) <= _LABEL for label in (*above.split("."), top)))


def _is_network(value: str, version: int) -> bool:
    address, slash, prefix = value.partition("/")
    most = _V4_BITS if version == 4 else _V6_BITS  # noqa: PLR2004 - IPv4
    is_prefix = prefix.isascii() and prefix.isdigit() and len(prefix) <= len(str(most)) and int(prefix) <= most
    if slash and (not is_prefix or (prefix[0] == "0" and prefix != "0")):
        return False
    try:
        return ipaddress.ip_address(address).version == version and "%" not in address
    except ValueError:
        return False
