"""Checking a domain: what the store adds, failing servers, and no more questions than there may be."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import sleep

import pytest

from builders import BEGIN, DAY, FAIL, dkim, evaluation, incoming, message, report
from check_zone import DOMAIN, KNOWN, LINES, OURS, checked
from dmarcops.check.bulk import Mail, Verdict
from dmarcops.check.dkim import Selector
from dmarcops.check.findings import Area
from dmarcops.dkim.lifecycle import CreateKey, Key, Stage
from dmarcops.dkim.record import Algorithm, Outcome
from dmarcops.domains import Domain, suffix_list
from dmarcops.errors import AnswerError, DnsError
from dmarcops.flows.check import MAX_QUESTIONS, Checker, Known, Questions, known_of, with_selectors
from dmarcops.policy.answers import AnswerKind
from dmarcops.policy.sources import Acknowledgement, Scope, Word
from dmarcops.report.model import AuthResults
from dmarcops.store import keys, source_words
from dmarcops.store.engine import Store
from dmarcops.store.reports import record

NOW = datetime.fromtimestamp(BEGIN, UTC) + timedelta(days=9)
OWN, STRANGER = "192.0.2.1", "203.0.113.1"
PASSING = evaluation(results=AuthResults((dkim("example.com", selector="s9"),), ()))
BROKEN = evaluation(aligned=(FAIL, FAIL), results=AuthResults((), ()))


def put(store: Store, *, authenticated: str = "authenticated") -> None:
    """Store a report of 90 mails that pass, and 10 of a stranger that do not."""
    made = report((OWN, 90, PASSING), (STRANGER, 10, BROKEN), (None, 1, PASSING), period=(BEGIN, BEGIN + DAY - 1))
    record(store, [message(replace(incoming(made), authenticated=authenticated), origin="one")], NOW)


def known(store: Store, *, trusting: bool = False, domain: str = "example.com") -> Known:
    organizational = suffix_list()
    return known_of(
        store,
        Domain(domain),
        NOW,
        trusting=trusting,
        organizational_domain=lambda host: organizational(Domain(host)),
    )


def key(selector: str, stage: Stage, published: str = OURS, **more: object) -> Key:
    made = Key(
        domain="example.com",
        selector=selector,
        algorithm=Algorithm.RSA,
        bits=2048,
        stage=stage,
        since=NOW,
        created=NOW,
        published=published,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def test_an_empty_store_knows_nothing(store: Store) -> None:
    assert known(store) == Known(mail=Mail(messages=0, passed=0, is_acknowledged=False))


def test_reports_show_selectors_sources_that_pass_and_the_share(store: Store) -> None:
    put(store)
    found = known(store)
    (selector,) = found.selectors
    assert (selector.name, selector.is_wanted, selector.ours) == ("s9", False, "")
    assert selector.last_seen == datetime.fromtimestamp(BEGIN + DAY - 1, UTC)
    assert found.sending == (OWN,)
    assert found.mail == Mail(messages=101, passed=91, is_acknowledged=False)


def test_reports_that_nobody_vouches_for_count_only_with_trust(store: Store) -> None:
    put(store, authenticated="unknown")
    assert (known(store).sending, known(store, trusting=True).sending) == ((), (OWN,))


def test_acknowledged_sources_stand_for_the_domain(store: Store) -> None:
    put(store)
    word = Acknowledgement(scope=Scope.NETWORK, value=f"{OWN}/32", word=Word.ACK, by="kim", at=NOW)
    source_words.add(store, source_words.EVERYWHERE, word)
    assert known(store).mail == Mail(messages=90, passed=90, is_acknowledged=True)
    assert known(store).sending == (OWN,)


def test_keys_that_should_be_in_dns_are_looked_at_with_their_record(store: Store) -> None:
    put(store)
    ours = (
        key("s1", Stage.ACTIVE),
        key("s2", Stage.PUBLISHED),
        key("s3", Stage.PREPARED, ""),
        key("s4", Stage.PUBLISHED, pending=(CreateKey("s4", "rsa", 2048),)),
        key("s9", Stage.DESTROYED, ""),
    )
    keys.save(store, keys.load(store, "example.com"), ours, NOW)
    found = known(store).selectors
    assert [(x.name, x.ours, x.stage) for x in found] == [("s1", OURS, "active"), ("s2", OURS, "published")]


def test_selectors_that_are_named_have_to_have_a_key() -> None:
    there = Known(selectors=(Selector(name="a", is_wanted=False), Selector(name="b", ours=OURS)))
    found = with_selectors(there, ["a", "c", "c"])
    assert [(x.name, x.is_wanted, bool(x.ours)) for x in found.selectors] == [
        ("a", True, False),
        ("b", True, True),
        ("c", True, False),
    ]
    assert with_selectors(there, []) == there


def test_sending_addresses_answer_the_rule_on_names(tmp_path: Path) -> None:
    def verdict(*sending: str) -> Verdict:
        found = checked(tmp_path, {}, known=replace(KNOWN, sending=sending))
        return next(x.verdict for x in found.bulk if x.rule.code == "google-ptr")

    assert verdict() is Verdict.UNKNOWN
    assert verdict("192.0.2.1") is Verdict.PASS
    assert verdict("192.0.2.1", "192.0.2.77") is Verdict.FAIL
    assert verdict("198.51.100.1") is Verdict.FAIL
    assert verdict("2001:db8::1") is Verdict.UNKNOWN  # of a zone that no file has


@pytest.mark.parametrize(
    ("selectors", "dkim", "size"),
    [
        ((), Verdict.UNKNOWN, Verdict.UNKNOWN),
        (KNOWN.selectors, Verdict.PASS, Verdict.PASS),
        ((Selector(name="none"),), Verdict.FAIL, Verdict.UNKNOWN),
        ((*KNOWN.selectors, Selector(name="none")), Verdict.PASS, Verdict.PASS),
    ],
)
def test_known_keys_answer_the_rules_on_keys(
    selectors: tuple[Selector, ...], dkim: Verdict, size: Verdict, tmp_path: Path
) -> None:
    found = checked(tmp_path, {}, known=Known(selectors=selectors))
    verdicts = {x.rule.code: x.verdict for x in found.bulk}
    assert (verdicts["microsoft-dkim"], verdicts["google-dkim-key"]) == (dkim, size)


class Broken:
    """DNS that fails for some names, and answers all others with nothing."""

    def __init__(self, *failing: str) -> None:
        self._failing = failing
        self.asked: list[str] = []

    def txt(self, name: str) -> tuple[bytes, ...] | None:
        self._ask(name)
        return {"example.test": (b"v=spf1 mx a -all",)}.get(name, ())

    def records(self, name: str, kind: str) -> tuple[str, ...] | None:
        self._ask(name)
        return ("10 mail.example.test.",) if kind == "MX" else ()

    def _ask(self, name: str) -> None:
        self.asked.append(name)
        if any(each in name for each in self._failing):
            raise AnswerError("192.0.2.53:53", "timeout", question=name, transient=True)


class Dead:
    """DNS that fails always; without a reason, as several resolvers do together."""

    def __init__(self, reason: str) -> None:
        self._reason = reason
        self.is_dead = True
        self.asked = 0

    def txt(self, name: str) -> tuple[bytes, ...] | None:
        self.records(name, "TXT")
        return None

    def records(self, name: str, kind: str) -> tuple[str, ...] | None:
        self.asked += 1
        if self.is_dead and self._reason:
            raise AnswerError("192.0.2.53:53", self._reason, question=f"{kind} {name}", transient=True)
        if self.is_dead:
            raise DnsError(f"192.0.2.53:53: timeout for {name}; 192.0.2.54:53: timeout for {name}", transient=True)
        return None


@pytest.mark.parametrize(
    ("failing", "area"),
    [
        *(
            ("s1._domainkey", Area.DKIM),
            ("_dmarc", Area.DMARC),
            ("_mta-sts", Area.MTA_STS),
            ("_smtp._tls", Area.TLS_RPT),
        ),
        *(("_bimi", Area.BIMI), ("mail.example.test", Area.MX)),
    ],
)
def test_what_fails_is_told_in_its_place_and_nothing_else_suffers(failing: str, area: Area) -> None:
    checker = Checker(records=Broken(failing), organizational_domain=suffix_list())
    found = checker.check(DOMAIN, KNOWN)
    whole = Checker(records=Broken(), organizational_domain=suffix_list()).check(DOMAIN, KNOWN)
    assert {x.area for x in found.findings if x.code == "dns-failed"} == {area}
    assert found.problems
    assert all("timeout" in str(problem) for problem in found.problems)
    others = [x for x in whole.findings if x.area not in (area, Area.BIMI)]
    assert [x for x in found.findings if x.area not in (area, Area.BIMI)] == others
    assert not whole.problems


def test_no_question_is_asked_twice_and_not_too_many() -> None:
    dns = Broken()
    Checker(records=dns, organizational_domain=suffix_list()).check(DOMAIN, KNOWN)
    ask = Questions(dns)
    dns.asked.clear()
    for _ in range(2):
        assert ask("Example.test.", "TXT").kind is AnswerKind.FOUND
    assert dns.asked == ["example.test"]
    kinds = [ask(f"n{number}.test", "A").kind for number in range(MAX_QUESTIONS + 1)]
    assert kinds.count(AnswerKind.TEMPERROR) == 2
    assert len(dns.asked) == MAX_QUESTIONS
    assert {finding.code for finding in ask.findings} == {"dns-failed"}


@pytest.mark.parametrize("name", ["a..test", "a" * 64 + ".test", "a." * 127 + "test", "a\\.b.test", ""])
def test_a_name_that_cannot_be_is_not_asked_for(name: str) -> None:
    dns = Broken()
    assert Questions(dns)(name, "A").kind is AnswerKind.NXDOMAIN
    assert dns.asked == []


def test_a_revoked_key_that_we_revoked_is_no_finding(tmp_path: Path) -> None:
    lines = {**LINES, "dkim": 's1._domainkey TXT "v=DKIM1; p="'}
    revoked = Known(selectors=(Selector(name="s1", ours="v=DKIM1; p=", stage="retiring"),))
    found = checked(tmp_path, lines, known=revoked)
    assert [x.code for x in found.findings if x.area is Area.DKIM] == []
    assert found.keys[0].outcome is Outcome.REVOKED


def test_own_records_are_asked_of_the_servers_of_the_zone() -> None:
    name, ours = f"s1._domainkey.{DOMAIN}", OURS.encode()
    said: dict[str, tuple[bytes, ...]] = {"ns1": (ours,), "ns2": (ours,)}
    dns = Broken()
    asked: list[str] = []

    def servers(name: str) -> dict[str, tuple[bytes, ...]]:
        asked.append(name)
        return said

    def outcome() -> Outcome:
        checker = Checker(records=dns, organizational_domain=suffix_list(), servers=servers)
        return checker.check(DOMAIN, KNOWN).keys[0].outcome

    assert outcome() is Outcome.OK
    assert asked == [name]
    assert name not in dns.asked
    said["ns2"] = ()
    assert outcome() is Outcome.NO_KEY
    said["ns2"] = (b"v=DKIM1; p=",)
    assert outcome() is Outcome.REVOKED


@pytest.mark.parametrize(("reason", "questions"), [("timeout", 3), ("unreachable", 3), ("servfail", 9)])
def test_a_dns_that_is_dead_is_left_alone(reason: str, questions: int) -> None:
    dns = Dead(reason)
    ask = Questions(dns)
    kinds = [ask(f"n{number}.test", "A").kind for number in range(9)]
    assert kinds == [AnswerKind.TEMPERROR] * 9
    assert dns.asked == questions
    assert len({str(problem) for problem in ask.problems}) == questions + (questions == 3)


class Slow:
    """DNS that leads ever on, each answer as late as it may be."""

    def __init__(self) -> None:
        self.asked = 0

    def txt(self, name: str) -> tuple[bytes, ...] | None:
        self.asked += 1
        sleep(0.05)
        return (f"v=spf1 include:i{self.asked}.test -all".encode(),) if not name.startswith("_") else ()

    def records(self, name: str, kind: str) -> tuple[str, ...] | None:
        self.asked += 1
        sleep(0.05)
        return (f"0 m{self.asked}.{name}.",) if kind == "MX" else ()


def test_a_domain_whose_servers_are_slow_does_not_hold_a_check() -> None:
    dns = Slow()
    found = Checker(records=dns, organizational_domain=suffix_list(), patience=0.3).check(Domain("slow.test"), Known())
    assert 0 < dns.asked <= 6
    assert {str(problem) for problem in found.problems} == {
        "the answers of DNS took 0.3 seconds together: no more were asked for"
    }
    assert "dns-failed" in {finding.code for finding in found.findings}
    verdicts = {result.rule.code: result.verdict for result in found.bulk}
    assert (verdicts["microsoft-spf"], verdicts["microsoft-dmarc"]) == (Verdict.UNKNOWN, Verdict.UNKNOWN)


def test_silence_of_all_resolvers_counts_and_an_answer_between_starts_anew() -> None:
    dns = Dead("")
    ask = Questions(dns)
    for number in range(2):
        for kind in ("A", "AAAA"):
            ask(f"n{number}.test", kind)
    dns.is_dead = False
    assert ask("alive.test", "A").kind is AnswerKind.NXDOMAIN
    dns.is_dead = True
    for number in range(2, 9):
        ask(f"n{number}.test", "A")
    assert dns.asked == 2 * 2 + 1 + 3


def test_several_domains_come_in_their_order() -> None:
    names = [Domain(f"d{number}.example.test") for number in range(30)]
    checker = Checker(records=Broken(), organizational_domain=suffix_list())
    assert [found.domain for found in checker.check_all(dict.fromkeys(names, Known()))] == names
    assert list(checker.check_all({})) == []
