"""Evidence out of a store: counts, words and names together, for many domains at once."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_address

import pytest

from builders import BEGIN, DAY, FAIL, PASS, dkim, evaluation, incoming, message, report, statements
from dmarcops.domains import Domain, suffix_list
from dmarcops.flows.policy_evidence import gather, name_sources
from dmarcops.policy.evidence import Context, Evidence, SourceKind
from dmarcops.policy.sources import Acknowledgement, Scope, Word
from dmarcops.policy.window import Window
from dmarcops.report.model import AuthResults, Evaluation
from dmarcops.store import source_names, source_words
from dmarcops.store.engine import Store
from dmarcops.store.reports import record
from fakes import MemoryDns, MemoryResolver

NOW = datetime(2026, 1, 30, tzinfo=UTC)
WINDOW = Window(date(2026, 1, 1), date(2026, 1, 28))
ESP, OWN, STRANGER = "198.51.100.1", "192.0.2.1", "203.0.113.1"
_suffixes = suffix_list()

PASSING = evaluation()
BY_ESP = evaluation(aligned=(FAIL, FAIL), results=AuthResults((dkim("amazonses.com"),), ()))
BROKEN = evaluation(aligned=(FAIL, FAIL), results=AuthResults((dkim("amazonses.com", result="fail"),), ()))


def organizational_domain(name: str) -> str:
    return _suffixes(Domain(name))


def put(
    store: Store,
    *rows: tuple[str, int, Evaluation],
    reporters: Sequence[str] = ("a", "b"),
    domain: str = "example.com",
    day: int = 0,
    authenticated: str = "authenticated",
) -> None:
    """Have each reporter say the same."""
    period = BEGIN + day * DAY, BEGIN + (day + 1) * DAY - 1
    for reporter in reporters:
        made = report(*rows, org_name=reporter, report_id=f"{reporter}{domain}{day}", domain=domain, period=period)
        payload = replace(incoming(made), authenticated=authenticated)
        record(store, [message(payload, origin=f"{reporter}{domain}{day}")], NOW)


def ask(store: Store, *domains: str, window: Window = WINDOW, trusting: bool = False) -> Mapping[str, Evidence]:
    requests = {domain: (window, Context(domain=domain)) for domain in domains or ("example.com",)}
    return gather(store, requests, trusting=trusting, organizational_domain=organizational_domain)


def sources(store: Store, domain: str = "example.com") -> dict[str, tuple[SourceKind, int]]:
    return {x.name: (x.kind, x.total.messages) for x in ask(store, domain)[domain].sources}


def say(store: Store, word: Word, scope: Scope, value: str, *, domain: str = "", minutes: int = 0) -> None:
    at = NOW + timedelta(minutes=minutes)
    source_words.add(store, domain, Acknowledgement(scope=scope, value=value, word=word, by="kim", at=at))


def name(store: Store, **hosts: str) -> None:
    known = {"own": OWN, "esp": ESP, "stranger": STRANGER}
    source_names.save(store, {known[key]: (host, NOW) for key, host in hosts.items()})


def test_counts_words_and_names_make_the_evidence(store: Store) -> None:
    put(store, (OWN, 10, PASSING), ("192.0.2.2", 1, PASSING), (ESP, 5, BY_ESP), (STRANGER, 3, BROKEN))
    source_names.save(store, {OWN: ("mx1.example.com", NOW), "192.0.2.2": ("mx2.example.com", NOW)})
    name(store, esp="a1-1.smtp-out.amazonses.com")
    say(store, Word.ACK, Scope.DOMAIN, "example.com")
    say(store, Word.ACK, Scope.SERVICE, "Amazon SES", domain="example.com")
    say(store, Word.DENY, Scope.NETWORK, "203.0.113.0/24", domain="example.net")
    assert sources(store) == {
        "example.com": (SourceKind.ACKNOWLEDGED, 22),
        "Amazon SES": (SourceKind.ACKNOWLEDGED, 10),
        "203.0.113.0/24": (SourceKind.UNREVIEWED, 6),
    }
    evidence = ask(store)["example.com"]
    assert [x.name for x in evidence.reporters] == ["a", "b"]
    assert (evidence.acknowledged.messages, evidence.acknowledged.passed) == (32, 22)
    assert evidence.context == Context(domain="example.com")


def test_each_domain_has_its_own_mail_words_and_window(store: Store) -> None:
    put(store, (OWN, 10, PASSING))
    put(store, (OWN, 5, PASSING), domain="example.net")
    put(store, (OWN, 1, PASSING), domain="example.net", day=3)
    say(store, Word.DENY, Scope.ADDRESS, OWN, domain="example.net")
    late = Window(date(2026, 1, 4), date(2026, 1, 28))
    context = Context(domain="x", rotation=("s1",))
    requests = {
        "example.net": (late, context),
        "example.com": (WINDOW, Context(domain="example.com")),
        "example.org": (WINDOW, Context(domain="example.org")),
    }
    found = gather(store, requests, trusting=False, organizational_domain=organizational_domain)
    assert list(found) == list(requests)
    kinds = {domain: [(x.kind, x.total.messages) for x in found[domain].sources] for domain in found}
    assert kinds == {
        "example.net": [(SourceKind.DENIED, 2)],
        "example.com": [(SourceKind.UNREVIEWED, 20)],
        "example.org": [],
    }
    assert (found["example.net"].context, found["example.net"].window) == (context, late)
    assert gather(store, {}, trusting=False, organizational_domain=organizational_domain) == {}


def test_reports_that_nobody_vouches_for_count_only_with_trust(store: Store) -> None:
    put(store, (OWN, 10, PASSING), authenticated="unknown")
    put(store, (OWN, 1000, BROKEN), reporters=("forged",), authenticated="unauthenticated")
    assert ask(store)["example.com"].sources == ()
    (source,) = ask(store, trusting=True)["example.com"].sources
    assert source.total.messages == 20


@pytest.mark.parametrize(
    ("rows", "reporters", "host", "expected"),
    [
        ((BY_ESP,), ("a", "b"), "", "Amazon SES"),
        ((BY_ESP, BROKEN), ("a", "b"), "", "Amazon SES"),
        ((BY_ESP,), ("a", "b"), "esp1.mail.example.com", "Amazon SES"),
        ((BY_ESP,), ("a",), "", "198.51.100.0/24"),
        ((BROKEN,), ("a", "b"), "", "198.51.100.0/24"),
        ((BY_ESP,), ("a", "b"), "mx.university.example", "university.example"),
        ((PASSING,), ("a", "b"), "o1.ptr1.sendgrid.net", "SendGrid"),
        ((BY_ESP,), ("a", "b"), "o1.ptr1.sendgrid.net", "SendGrid"),
    ],
)
def test_a_source_is_called_by_its_service_when_that_is_sure(
    store: Store, *, rows: Sequence[Evaluation], reporters: Sequence[str], host: str, expected: str
) -> None:
    """By a confirmed name; by valid signatures as two reporters saw them, and not of a host that may be forwarding."""
    name(store, esp=host)
    put(store, *((ESP, 1, row) for row in rows), reporters=reporters)
    assert [*sources(store)] == [expected]


def test_the_service_that_signs_most_names_the_source(store: Store) -> None:
    other = evaluation(aligned=(PASS, FAIL), results=AuthResults((dkim("sendgrid.net"), dkim("other.example")), ()))
    put(store, (ESP, 5, BY_ESP), (ESP, 6, other), (STRANGER, 7, BY_ESP), (STRANGER, 6, other))
    assert {x.name: x.addresses for x in ask(store)["example.com"].sources} == {
        "SendGrid": (ESP,),
        "Amazon SES": (STRANGER,),
    }


def test_one_reporter_alone_gives_no_source_another_name(store: Store) -> None:
    forged = evaluation(results=AuthResults((dkim("sendgrid.net"),), ()))
    put(store, (ESP, 5, BY_ESP))
    put(store, (ESP, 10**9, forged), reporters=("forged",))
    assert [*sources(store)] == ["Amazon SES"]


def test_addresses_of_the_evidence_get_their_names(store: Store) -> None:
    put(store, (OWN, 1, PASSING), (ESP, 5, PASSING))
    put(store, (STRANGER, 50, PASSING), domain="example.net")
    known: dict[tuple[str, str], tuple[str, ...] | None] = {
        (ip_address(ESP).reverse_pointer, "PTR"): ("esp.example.",),
        ("esp.example", "A"): (ESP,),
    }
    asks = MemoryResolver(MemoryDns(), known)
    requests = {"example.com": (WINDOW, Context(domain="example.com"))}
    assert name_sources(store, asks, requests, NOW, trusting=False, most=1) == 1
    assert source_names.hosts(store) == {ESP: "esp.example"}
    assert name_sources(store, asks, requests, NOW, trusting=False) == 1
    assert source_names.looked_up(store).keys() == {OWN, ESP}
    assert name_sources(store, asks, {}, NOW, trusting=False) == 0
    assert [*sources(store)] == ["esp.example", "192.0.2.0/24"]


def test_a_fleet_costs_as_many_statements_as_one_domain(store: Store) -> None:
    fleet = [f"brand{number}.example" for number in range(60)]
    for domain in fleet:
        put(store, (OWN, 1, PASSING), domain=domain, reporters=("a",))
    asked = {}
    for number in (1, 60):
        with statements() as sent:
            found = ask(store, *fleet[:number])
        assert [x.acknowledged.messages + sum(y.total.messages for y in x.sources) for x in found.values()] == [
            1
        ] * number
        asked[number] = sum("SELECT" in statement and "FROM" in statement for statement, _ in sent)
    assert asked == {1: 4, 60: 4}


def test_the_same_store_gives_the_same_evidence_in_any_company(store: Store) -> None:
    """A signature of a day that only another domain asks for names no source."""
    for domain in ("example.com", "example.net"):
        put(store, (OWN, 10, PASSING), (ESP, 5, BY_ESP), domain=domain)
        put(store, (ESP, 10, PASSING), domain=domain, day=5)
    late = {"example.com": (Window(date(2026, 1, 5), date(2026, 1, 28)), Context(domain="example.com"))}
    early = {"example.net": (WINDOW, Context(domain="example.net"))}
    alone, other, both = (
        gather(store, requests, trusting=False, organizational_domain=organizational_domain)
        for requests in (late, early, late | early)
    )
    assert [x.name for x in alone["example.com"].sources] == ["198.51.100.0/24"]
    assert {x.name for x in other["example.net"].sources} == {"192.0.2.0/24", "Amazon SES"}
    assert {x: both[x].as_json() for x in both} == {x: {**alone, **other}[x].as_json() for x in both}
