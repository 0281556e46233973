"""
The DNS side of a domain now: every topic asked for once and judged, with what the store knows beside it.

Records of our own keys are asked of the zone's servers, where there are such: a resolver would remember that one was
not there yet (RFC 2308 section 5). All else is asked as everybody asks.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from ipaddress import ip_address
from time import monotonic
from typing import Any, NamedTuple

from dmarcops.check.bimi import check_bimi
from dmarcops.check.bulk import Facts, Mail, Result, results
from dmarcops.check.dkim import KeyState, Selector, check_selector
from dmarcops.check.dmarc import Dmarc, check_dmarc
from dmarcops.check.findings import Area, Code, Finding, found
from dmarcops.check.hosts import Mx, Reverse, check_mx, check_reverse
from dmarcops.check.mta_sts import Policy, check_mta_sts, check_policy, parse_policy
from dmarcops.check.spf import Spf, check_spf
from dmarcops.check.tls_rpt import check_tls_rpt
from dmarcops.dkim.lifecycle import Stage
from dmarcops.dkim.record import Outcome, record_name
from dmarcops.domains import MAX_LENGTH, Domain, OrganizationalDomain
from dmarcops.errors import AnswerError, DnsError, EdgeError
from dmarcops.flows.policy_evidence import Requests, gather
from dmarcops.policy.answers import Answer, AnswerKind, answered, text_of
from dmarcops.policy.evidence import Context, Source, SourceKind, total
from dmarcops.policy.lint import Severity
from dmarcops.policy.window import window_before
from dmarcops.ports import PolicyHost, Records
from dmarcops.store import keys, selector_reports
from dmarcops.store.engine import Store

MAX_QUESTIONS = 500
"""Questions to DNS for one domain; what is beyond is as if DNS had not answered."""
MAX_SECONDS = 60.0
"""Seconds of waiting for DNS for one domain, beyond which no question is begun: servers may be slow on purpose."""
AT_A_TIME = 8
"""Domains that are looked at at the same time."""
MAX_SENDING = 20
"""Sending addresses that are looked at."""
MAX_SELECTORS = 50
"""Selectors that are looked at."""
_OUTSIDE = frozenset({"outside of the zone", "delegated to another zone"})
_NO_ANSWER = frozenset({"timeout", "unreachable"})
_FAILURES = 3
"""Names without any answer one after the other, after which DNS is left alone for that domain."""
_LABEL_OCTETS = 63
_IN_DNS = frozenset((Stage.PUBLISHED, Stage.ACTIVE, Stage.VERIFIED, Stage.RETIRING))


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a domain besides DNS: selectors, sending addresses, and the mail that reports counted."""

    selectors: tuple[Selector, ...] = ()
    sending: tuple[str, ...] = ()
    mail: Mail | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """All that was found of a domain; `problems` is what DNS failed with."""

    domain: Domain
    spf: Spf
    keys: tuple[KeyState, ...]
    dmarc: Dmarc
    mta_sts: str | None
    policy: Policy | None
    tls_rpt: str | None
    bimi: str | None
    mx: Mx
    reverse: tuple[Reverse, ...]
    bulk: tuple[Result, ...]
    findings: tuple[Finding, ...]
    problems: tuple[EdgeError, ...]

    @property
    def has_errors(self) -> bool:
        """Whether there is a finding of severity error."""
        return any(finding.severity is Severity.ERROR for finding in self.findings)

    def summary(self, area: Area) -> str:
        """Say in a few words what there is in an area without findings."""
        return {
            Area.SPF: f"{self.spf.tree.lookups} lookups",
            Area.DKIM: " ".join(f"{key.selector.name}:{key.outcome.value}" for key in self.keys),
            Area.DMARC: str(self.dmarc.comparison.treewalk.record or ""),
            Area.MTA_STS: self.mta_sts or "",
            Area.TLS_RPT: self.tls_rpt or "",
            Area.BIMI: self.bimi or "no record",
            Area.MX: " ".join(host.name for host in self.mx.hosts),
            Area.PTR: f"{len(self.reverse)} addresses",
        }[area]

    def as_json(self) -> dict[str, Any]:
        """Give what is printed."""
        return {
            "domain": self.domain,
            "findings": [finding.as_json() for finding in self.findings],
            "spf": self.spf.as_json(),
            "dkim": [key.as_json() for key in self.keys],
            "dmarc": self.dmarc.as_json(),
            "mta_sts": {"record": self.mta_sts, "policy": self.policy and self.policy.as_json()},
            "tls_rpt": {"record": self.tls_rpt},
            "bimi": {"record": self.bimi},
            "mx": [host.as_json() for host in self.mx.hosts],
            "ptr": [each.as_json() for each in self.reverse],
            "bulk": [result.as_json() for result in self.bulk],
        }


Servers = Callable[[str], Mapping[str, tuple[bytes, ...]]]
"""Gives the texts at a name, as each server of its zone has them."""


@dataclass
class Questions:
    """
    DNS, each question asked once and not too many, and no more where nobody answers; what it failed with is kept.

    Of `ours`, which are names and the texts that they should have, `servers` are asked, when they are given. `patience`
    is how many seconds all answers together may take.
    """

    records: Records
    servers: Servers | None = None
    ours: Mapping[str, str] = field(default_factory=dict)
    problems: list[EdgeError] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    area: Area = Area.SPF
    patience: float = MAX_SECONDS
    _waited: float = 0
    _answers: dict[tuple[str, str], Answer] = field(default_factory=dict)
    _silent: set[str] = field(default_factory=set)

    def __call__(self, name: str, kind: str) -> Answer:
        """Ask for the records of a type at a name."""
        key = (name.lower().removesuffix("."), kind)
        if key not in self._answers:
            self._answers[key] = self._asked(*key)
        return self._answers[key]

    def _asked(self, name: str, kind: str) -> Answer:
        if not _can_exist(name):
            return Answer(AnswerKind.NXDOMAIN)
        if len(self._answers) >= MAX_QUESTIONS:
            self._failed(DnsError(f"more than {MAX_QUESTIONS} questions: {kind} {name} was not asked"), name)
            return Answer(AnswerKind.TEMPERROR)
        if len(self._silent) >= _FAILURES:
            self._failed(DnsError(f"DNS did not answer for {_FAILURES} names in a row: no more were asked"), name)
            return Answer(AnswerKind.TEMPERROR)
        if self._waited >= self.patience:
            told = f"the answers of DNS took {self.patience:g} seconds together: no more were asked for"
            self._failed(DnsError(told, transient=True), name)
            return Answer(AnswerKind.TEMPERROR)
        return self._waited_for(name, kind)

    def _waited_for(self, name: str, kind: str) -> Answer:
        began = monotonic()
        try:
            texts = self._texts(name, kind)
        except DnsError as error:
            self._silent = self._silent | {name} if _is_silence(error) else set()
            self._failed(error, name)
            return Answer(AnswerKind.TEMPERROR)
        finally:
            self._waited += monotonic() - began
        self._silent = set()
        return answered(texts)

    def _texts(self, name: str, kind: str) -> tuple[str, ...] | None:
        if kind != "TXT":
            return self.records.records(name, kind)
        is_ours = name in self.ours
        texts = _worst(self.servers(name), self.ours[name]) if self.servers and is_ours else self.records.txt(name)
        return None if texts is None else tuple(map(text_of, texts))

    def _failed(self, error: DnsError, name: str) -> None:
        is_outside = isinstance(error, AnswerError) and error.reason in _OUTSIDE
        if not is_outside:
            self.problems.append(error)
        code = Code.DNS_OUTSIDE if is_outside else Code.DNS_FAILED
        self.findings.append(found(self.area, code, name, str(error)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Checker:
    """
    Checks domains.

    Args:
        records: DNS.
        organizational_domain: By the Public Suffix List.
        policy_host: Fetches MTA-STS policies; None: they are not fetched.
        servers: Asks the servers of a zone for our own records; None: `records` is all that there is.
        patience: Seconds that DNS may take for one domain.
    """

    records: Records
    organizational_domain: OrganizationalDomain
    policy_host: PolicyHost | None = None
    servers: Servers | None = None
    patience: float = MAX_SECONDS

    def check_all(self, known: Mapping[Domain, Known]) -> Iterator[Checked]:
        """Look at domains, some at a time; they come in their order."""
        with ThreadPoolExecutor(max_workers=min(AT_A_TIME, max(1, len(known)))) as pool:
            yield from pool.map(self.check, known.keys(), known.values())

    def check(self, domain: Domain, known: Known) -> Checked:
        """Look at everything of a domain; what DNS does not answer is a finding."""
        ours = {record_name(x.name, domain): x.ours for x in known.selectors if x.ours}
        ask = Questions(self.records, self.servers, ours, patience=self.patience)
        spf = check_spf(domain, ask)
        ask.area = Area.DKIM
        states, key_findings = _keys(domain, known.selectors, ask)
        ask.area = Area.DMARC
        dmarc = check_dmarc(domain, ask, self.organizational_domain)
        ask.area = Area.MX
        mx = check_mx(domain, ask)
        ask.area = Area.MTA_STS
        mta_sts, mta_sts_findings = check_mta_sts(domain, ask)
        policy, policy_findings = self._policy(domain, mta_sts, mx)
        ask.area = Area.TLS_RPT
        tls_rpt, tls_rpt_findings = check_tls_rpt(domain, ask)
        ask.area = Area.BIMI
        bimi, bimi_findings = check_bimi(domain, ask, dmarc.comparison.treewalk)
        ask.area = Area.PTR
        reverse, ptr_findings = _reverse(mx, known.sending, ask)
        findings = [*spf.findings, *key_findings, *dmarc.findings, *mx.findings, *mta_sts_findings, *policy_findings]
        findings += [*tls_rpt_findings, *bimi_findings, *ptr_findings, *ask.findings]
        order = list(Area)
        return Checked(
            domain=domain,
            spf=spf,
            keys=states,
            dmarc=dmarc,
            mta_sts=mta_sts,
            policy=policy,
            tls_rpt=tls_rpt,
            bimi=bimi,
            mx=mx,
            reverse=reverse,
            bulk=results(_facts(_Topics(spf, states, dmarc, mx), _sending(reverse, known))),
            findings=tuple(sorted(findings, key=lambda each: order.index(each.area))),
            problems=tuple(ask.problems),
        )

    def _policy(self, domain: Domain, record: str | None, mx: Mx) -> tuple[Policy | None, tuple[Finding, ...]]:
        if self.policy_host is None or record is None:
            return None, ()
        try:
            text = self.policy_host.policy(domain)
        except EdgeError as error:
            return None, (found(Area.MTA_STS, Code.MTA_STS_FETCH, domain, str(error)),)
        policy = parse_policy(text)
        return policy, tuple(check_policy(domain, policy, [host.name for host in mx.hosts]))


def known_of(
    store: Store, domain: Domain, now: datetime, *, trusting: bool, organizational_domain: Callable[[str], str]
) -> Known:
    """
    Return what the store knows of a domain: our keys, selectors in reports, sources that pass, and the window's mail.

    Args:
        store: The store.
        domain: The domain.
        now: When.
        trusting: Count reports of which it is not known whether their carrier mail is authentic as well.
        organizational_domain: Of the name of a sending host.

    Raises:
        StoreError: The store cannot be read.
    """
    requests: Requests = {domain: (window_before(now), Context(domain=domain))}
    evidence = gather(store, requests, trusting=trusting, organizational_domain=organizational_domain)[domain]
    acknowledged = evidence.of_kind(SourceKind.ACKNOWLEDGED)
    passing = tuple(x for x in evidence.sources if x.kind is SourceKind.UNREVIEWED and x.total.passed)
    tally = total(source.total for source in acknowledged or evidence.sources)
    mail = Mail(messages=tally.messages, passed=tally.passed, is_acknowledged=bool(acknowledged))
    return Known(
        selectors=tuple(_selectors(store, domain, now))[:MAX_SELECTORS],
        sending=tuple(_addresses(acknowledged or passing))[:MAX_SENDING],
        mail=mail,
    )


def with_selectors(known: Known, names: Sequence[str]) -> Known:
    """Return what is known and some more selectors, which have to have a key."""
    named = {name: Selector(name=name) for name in names}
    there = tuple(replace(each, is_wanted=each.is_wanted or each.name in named) for each in known.selectors)
    more = tuple(each for name, each in named.items() if name not in {x.name for x in there})
    return replace(known, selectors=(*there, *more))


def _selectors(store: Store, domain: str, now: datetime) -> Iterator[Selector]:
    last: Mapping[str, datetime] = selector_reports.reported(store, domain, now).last
    ours = keys.load(store, domain).keys
    for key in ours:
        if key.stage in _IN_DNS and key.published and not key.pending:
            seen = last.get(key.selector)
            yield Selector(name=key.selector, ours=key.published, stage=key.stage.value, last_seen=seen)
    for name in sorted(last.keys() - {key.selector for key in ours}):
        yield Selector(name=name, last_seen=last[name], is_wanted=False)


def _addresses(sources: Sequence[Source]) -> Iterator[str]:
    for source in sources:
        yield from (address for address in source.addresses if _is_address(address))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _keys(
    domain: str, selectors: Sequence[Selector], ask: Questions
) -> tuple[tuple[KeyState, ...], tuple[Finding, ...]]:
    if not selectors:
        return (), (found(Area.DKIM, Code.DKIM_NONE_KNOWN, domain),)
    pairs = [check_selector(domain, selector, ask) for selector in selectors]
    return tuple(state for state, _ in pairs), tuple(each for _, findings in pairs for each in findings)


def _reverse(mx: Mx, sending: Sequence[str], ask: Questions) -> tuple[tuple[Reverse, ...], tuple[Finding, ...]]:
    addresses = dict.fromkeys((*(address for host in mx.hosts for address in host.addresses), *sending))
    pairs = [check_reverse(address, ask) for address in addresses]
    return tuple(each for each, _ in pairs), tuple(finding for _, findings in pairs for finding in findings)


@dataclass(frozen=True, slots=True)
class _Sending:
    """What is known of the addresses that send the mail of a domain."""

    confirmed: tuple[str, ...]
    unconfirmed: tuple[str, ...]
    mail: Mail | None


def _sending(reverse: Sequence[Reverse], known: Known) -> _Sending:
    those = [each for each in reverse if each.address in known.sending]
    return _Sending(
        confirmed=tuple(each.address for each in those if each.is_confirmed),
        unconfirmed=tuple(each.address for each in those if each.is_confirmed is False),
        mail=known.mail,
    )


class _Topics(NamedTuple):
    """What DNS shows of a domain."""

    spf: Spf
    keys: tuple[KeyState, ...]
    dmarc: Dmarc
    mx: Mx


def _facts(topics: _Topics, sending: _Sending) -> Facts:
    spf, states, dmarc, mx = topics
    in_use = [state for state in states if state.outcome is not Outcome.REVOKED]
    sizes = [state.bits for state in in_use if state.bits]
    usable = any(state.is_usable for state in states)
    is_all_known = all(state.outcome is not Outcome.TEMP_UNAVAILABLE for state in states)
    return Facts(
        spf=spf.can_pass,
        dkim=True if usable else False if states and is_all_known else None,
        is_short_key=any(state.outcome is Outcome.WEAK for state in in_use) if sizes else None,
        dmarc=dmarc.comparison.treewalk.policy is not None if dmarc.is_known else None,
        takes_mail=mx.takes_mail,
        confirmed=sending.confirmed,
        unconfirmed=sending.unconfirmed,
        mail=sending.mail,
    )


def _worst(said: Mapping[str, tuple[bytes, ...]], ours: str) -> tuple[bytes, ...]:
    """Give what servers have; where they do not agree, what one has that does not have our record."""
    return min(set(said.values()), key=lambda texts: (ours.encode() in texts, texts), default=())


def _is_silence(error: DnsError) -> bool:
    """Tell whether there was no answer at all, be it from one resolver or from each of several."""
    return error.reason in _NO_ANSWER if isinstance(error, AnswerError) else error.transient


def _can_exist(name: str) -> bool:
    """Tell whether DNS can have a name at all; one with an escape is as good as none."""
    labels = name.split(".")
    return len(name) <= MAX_LENGTH and "\\" not in name and all(0 < len(label) <= _LABEL_OCTETS for label in labels)
