"""What reports counted, as policies are decided on it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import BEGIN, DAY, FAIL, PASS, dkim, evaluation, incoming, message, report, spf, statements
from dmarcops.policy.evidence import Count
from dmarcops.policy.sources import Origin
from dmarcops.report.model import (
    AuthResults,
    Disposition,
    Domain,
    Evaluation,
    Extension,
    OverrideReason,
    OverrideType,
    PolicyValue,
    Report,
)
from dmarcops.store.engine import Store
from dmarcops.store.policy_counts import NOBODY, Signed, addresses, counts, signed
from dmarcops.store.reports import record

NOW = datetime(2026, 1, 4, 12, tzinfo=UTC)
FIRST = date(2026, 1, 1)
LAST = date(2026, 1, 28)
NOTHING = AuthResults((dkim(result="fail"),), (spf("spoof.example", "fail"),))
FAILING = evaluation(aligned=(FAIL, FAIL), results=NOTHING)


def put(store: Store, *reports: Report, authenticated: str = "authenticated", now: datetime = NOW) -> None:
    payloads = [replace(incoming(x), authenticated=authenticated) for x in reports]
    record(store, [message(x, origin=f"{x.report.content_sha256}{authenticated}.eml") for x in payloads], now)


def ask(store: Store, *domains: str, trusting: bool = False) -> list[tuple[str, Count]]:
    return list(counts(store, domains or ("example.com",), FIRST, LAST, trusting=trusting))


def one(store: Store) -> Count:
    ((domain, only),) = ask(store)
    assert domain == "example.com"
    return only


def mails(store: Store, *, trusting: bool = False) -> int:
    return sum(x.messages for _, x in ask(store, trusting=trusting))


def day(number: int) -> tuple[int, int]:
    return BEGIN + number * DAY, BEGIN + (number + 1) * DAY - 1


def test_who_has_one_domain_is_one_reporter_whatever_it_calls_itself(store: Store) -> None:
    for name, carrier in (("a", "receiver.example"), ("b", "forger.example"), ("c", "forger.example"), ("d", "")):
        made = report(("192.0.2.1", 5, evaluation()), org_name=name, report_id=name)
        payload = replace(incoming(made), authenticated="authenticated", carrier=carrier)
        record(store, [message(payload, origin=name)], NOW)
    found = {x.reporter: x.messages for _, x in ask(store)}
    assert found == {"receiver.example": 5, "forger.example": 10, "d": 5}


def test_records_of_one_source_and_day_are_one_count_with_its_sums(store: Store) -> None:
    put(
        store,
        report(
            ("192.0.2.1", 10, evaluation()),
            ("192.0.2.1", 5, evaluation(aligned=(PASS, FAIL), disposition=Disposition.QUARANTINE)),
            ("192.0.2.1", 3, evaluation(aligned=(FAIL, PASS), disposition=Disposition.PASS)),
            ("192.0.2.1", 2, evaluation(aligned=(FAIL, FAIL), disposition=Disposition.REJECT, results=NOTHING)),
            ("192.0.2.1", 1, evaluation(aligned=(FAIL, FAIL), results=AuthResults((), (spf("other.example"),)))),
        ),
    )
    assert one(store) == Count(
        day=FIRST,
        reporter="reporter.example",
        origin=Origin("192.0.2.1"),
        header_from="example.com",
        messages=21,
        dkim=15,
        spf=13,
        both=10,
        authenticated=19,
        dispositions={"none": 11, "pass": 3, "quarantine": 5, "reject": 2},
        policy="none",
        lag_days=3,
    )


@pytest.mark.parametrize(
    ("other", "number"),
    [
        (report(("192.0.2.1", 5, evaluation())), 1),
        (report(("192.0.2.9", 5, evaluation())), 2),
        (report(("192.0.2.1", 5, evaluation(header_from="a.example.com"))), 2),
        (report(("192.0.2.1", 5, evaluation()), org_name="Other"), 2),
        (report(("192.0.2.1", 5, evaluation()), period=day(1)), 2),
        (report(("192.0.2.1", 5, evaluation()), p=PolicyValue.REJECT), 2),
    ],
)
def test_counts_are_apart_by_source_author_reporter_day_and_policy(store: Store, other: Report, number: int) -> None:
    first = report(("192.0.2.1", 2, evaluation()))
    put(store, first, replace(other, report_metadata=replace(other.report_metadata, report_id="2")))
    found = [x for _, x in ask(store)]
    assert (len(found), sum(x.messages for x in found)) == (number, 7)


def test_only_authentic_reports_count_and_unknown_ones_where_nothing_can_be_known(store: Store) -> None:
    for number, kind in enumerate(("authenticated", "unknown", "unauthenticated")):
        put(store, report(("192.0.2.1", 10**number, evaluation()), report_id=kind), authenticated=kind)
    assert (mails(store), mails(store, trusting=True)) == (1, 11)


def test_a_forged_version_gives_way_when_the_authentic_report_comes(store: Store) -> None:
    put(store, report(("192.0.2.1", 1000, FAILING)), authenticated="unauthenticated")
    assert mails(store) == 0
    put(store, report(("192.0.2.1", 1, evaluation())))
    assert (mails(store), mails(store, trusting=True)) == (1, 1)


def test_conflicts_duplicates_and_reports_of_no_day_count_nowhere(store: Store) -> None:
    put(store, report(("192.0.2.1", 1, evaluation())))
    put(store, report(("192.0.2.1", 1, evaluation())), now=NOW + timedelta(days=1))
    put(store, report(("192.0.2.1", 10, evaluation())))
    put(store, report(("192.0.2.1", 100, evaluation()), period=(None, None)))
    assert mails(store) == 1


def test_both_ends_of_the_span_count_and_nothing_beyond(store: Store) -> None:
    for number in (-1, 0, 27, 28):
        put(store, report(("192.0.2.1", 1, evaluation()), report_id=str(number), period=day(number)))
    assert [x.day for _, x in ask(store)] == [FIRST, LAST]


def test_the_policy_domain_of_the_report_decides_whose_mail_it_is(store: Store) -> None:
    """A record at the organizational domain covers the author domain below it; one of its own has its own reports."""
    below = evaluation(header_from="news.example.com")
    put(store, report(("192.0.2.1", 1, below)), report(("192.0.2.1", 10, below), domain="news.example.com"))
    put(store, report(("192.0.2.1", 100, evaluation()), domain="notexample.com"))
    assert [(domain, x.header_from, x.messages) for domain, x in ask(store, "news.example.com", "example.com")] == [
        ("example.com", "news.example.com", 1),
        ("news.example.com", "news.example.com", 10),
    ]


def test_what_a_report_does_not_say_has_a_word_of_its_own(store: Store) -> None:
    silent = report(("nonsense", 1, evaluation(header_from=None)), (None, 2, evaluation(header_from=None)), p=None)
    put(store, replace(silent, report_metadata=replace(silent.report_metadata, org_name=None, email=None)))
    found = {x.origin.address: (x.reporter, x.header_from, x.policy, x.messages) for _, x in ask(store)}
    assert found == {"nonsense": (NOBODY, "example.com", "", 1), "": (NOBODY, "example.com", "", 2)}


def because(*reasons: tuple[OverrideType, str | None]) -> Evaluation:
    return evaluation(aligned=(FAIL, FAIL), results=NOTHING, reasons=[OverrideReason(*x) for x in reasons])


def test_a_mail_counts_once_for_each_reason(store: Store) -> None:
    put(
        store,
        report(
            ("192.0.2.1", 2, because((OverrideType.FORWARDED, "a"), (OverrideType.FORWARDED, "b"))),
            ("192.0.2.1", 3, because((OverrideType.FORWARDED, None), (OverrideType.MAILING_LIST, None))),
            ("192.0.2.1", 5, FAILING),
        ),
    )
    assert one(store).reasons == {"forwarded": 5, "mailing_list": 3}


@pytest.mark.parametrize(
    ("comment", "is_indirect"),
    [
        ("arc=pass", True),
        ("ARC=pass as[1].d=list.example as[1].s=k1 remote-ip[1]=192.0.2.7", True),
        ("arc=fail", False),
        ("no arc=pass", False),
        (None, False),
    ],
)
def test_a_reason_that_tells_of_a_valid_chain_hints_at_forwarding(
    store: Store, comment: str | None, *, is_indirect: bool
) -> None:
    put(store, report(("192.0.2.1", 1, because((OverrideType.LOCAL_POLICY, comment)))))
    assert one(store).is_indirect is is_indirect


@pytest.mark.parametrize(
    ("path", "xml", "is_indirect"),
    [
        ("record/auth_results/arc", "<arc><result>pass</result></arc>", True),
        ("record/auth_results/x-arc-chain", "<x-arc-chain><result>PASS</result></x-arc-chain>", True),
        ("record/auth_results/arc", "<arc><result>fail</result></arc>", False),
        ("record/auth_results/search", "<search><result>pass</result></search>", False),
    ],
)
def test_an_element_about_a_valid_chain_hints_at_forwarding(
    store: Store, path: str, xml: str, *, is_indirect: bool
) -> None:
    put(
        store, report(("192.0.2.1", 1, replace(FAILING, extensions=(Extension(path, xml),))), ("192.0.2.1", 2, FAILING))
    )
    assert {x.messages: x.is_indirect for _, x in ask(store)} == ({1: True, 2: False} if is_indirect else {3: False})


def test_the_latest_report_makes_the_lag_and_none_is_negative(store: Store) -> None:
    put(store, report(report_id="a"), now=NOW)
    put(store, report(report_id="b"), now=NOW + timedelta(days=5))
    put(store, report(report_id="c", period=day(10)), now=NOW)
    assert [x.lag_days for _, x in ask(store)] == [8, 0]


def test_what_is_known_of_a_source_is_asked_by_domain_and_address(store: Store) -> None:
    put(store, report())
    named = counts(
        store, ("example.com",), FIRST, LAST, trusting=False, name_of=lambda *asked: Origin(asked[1], asked[0], "host")
    )
    assert [x.origin for _, x in named] == [Origin("192.0.2.1", "example.com", "host")]


def test_valid_signatures_of_others_are_given_by_source_and_reporter(store: Store) -> None:
    def signing(*results: object) -> Evaluation:
        return evaluation(aligned=(FAIL, FAIL), results=AuthResults(tuple(results), ()))  # type: ignore[arg-type]

    esp = dkim("esp.example")
    put(
        store,
        report(
            ("192.0.2.1", 2, signing(esp, dkim("esp.example", "s2"), dkim("example.com", result="fail"))),
            ("192.0.2.1", 3, signing(esp, dkim("other.example"))),
            ("192.0.2.1", 5, signing(dkim("esp.example", result="fail"))),
            ("192.0.2.1", 7, evaluation()),
            ("192.0.2.1", 11, signing(dkim(None))),
        ),
    )
    put(store, report(("192.0.2.2", 1, signing(esp)), org_name="Other"), authenticated="unknown")
    reporter = "reporter.example"
    own = [
        Signed("example.com", "192.0.2.1", "esp.example", reporter, 5),
        Signed("example.com", "192.0.2.1", "other.example", reporter, 3),
    ]
    assert list(signed(store, ("example.com",), FIRST, LAST, trusting=False)) == own
    others = [Signed("example.com", "192.0.2.2", "esp.example", "other", 1)]
    assert list(signed(store, ("example.com",), FIRST, LAST, trusting=True)) == own + others


def test_addresses_with_the_most_mail_come_first(store: Store) -> None:
    put(store, report(("192.0.2.1", 1, FAILING), ("192.0.2.2", 5, FAILING), ("192.0.2.3", 5, FAILING)))
    put(store, report(("192.0.2.1", 5, FAILING), domain="example.net"))
    put(store, report(("192.0.2.4", 50, FAILING), domain="example.org"))
    asked = addresses(store, ("example.com", "example.net"), FIRST, LAST, trusting=False)
    assert asked == ("192.0.2.1", "192.0.2.2", "192.0.2.3")


_fresh = count()
_RECORDS = st.lists(
    st.tuples(
        st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", None]),
        st.integers(0, 10**6),
        st.builds(
            evaluation,
            aligned=st.sampled_from([(PASS, PASS), (PASS, FAIL), (FAIL, PASS), (FAIL, FAIL)]),
            header_from=st.sampled_from(["example.com", "a.example.com", None]),
            disposition=st.sampled_from(Disposition),
            results=st.sampled_from([NOTHING, AuthResults((dkim(), dkim("esp.example")), (spf(), spf("x.example")))]),
            reasons=st.lists(st.builds(OverrideReason, st.sampled_from(OverrideType), st.none()), max_size=3),
        ),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(_RECORDS, st.integers(0, 2), st.sampled_from(["a", "b"])), min_size=1, max_size=4))
def test_counts_add_up_to_all_mail_of_the_reports(
    store: Store, given_reports: Sequence[tuple[Sequence[tuple[str | None, int, Evaluation]], int, str]]
) -> None:
    domain = f"d{next(_fresh)}.example"
    made = [
        report(*rows, org_name=reporter, report_id=str(number), domain=domain, period=day(at))
        for number, (rows, at, reporter) in enumerate(given_reports)
    ]
    put(store, *made)
    found = [x for asked, x in ask(store, domain) if asked == domain]
    assert len({(x.day, x.reporter, x.origin, x.header_from, x.policy) for x in found}) == len(found)
    whole = sum(x.mail_count for x in made)
    assert sum(x.messages for x in found) == sum(sum(x.dispositions.values()) for x in found) == whole
    rows = [
        (number, said) for x in made for _, number, said in ((y.source_ip, y.count, y.evaluation) for y in x.records)
    ]
    reasons: Counter[str] = Counter()
    for number, said in rows:
        reasons.update({kind.value: number for kind in {x.type for x in said.policy_evaluated.reasons} if number})
    assert sum((Counter(x.reasons) for x in found), Counter()) == reasons
    evaluated = [(number, said.policy_evaluated) for number, said in rows]
    for name, expected in (
        ("dkim", sum(number for number, x in evaluated if x.dkim is PASS)),
        ("spf", sum(number for number, x in evaluated if x.spf is PASS)),
        ("both", sum(number for number, x in evaluated if x.dkim is PASS and x.spf is PASS)),
        ("failing", sum(number for number, x in evaluated if x.dmarc is FAIL)),
    ):
        got = [x.messages - (x.dkim + x.spf - x.both) if name == "failing" else getattr(x, name) for x in found]
        assert sum(got) == expected, name


def fleet(number: int) -> list[str]:
    return [str(Domain(f"brand{x:03}.example")) for x in range(number)]


def test_a_fleet_costs_as_many_statements_as_one_domain(store: Store) -> None:
    put(store, *(report(domain=domain) for domain in fleet(60)))
    asked = {}
    for number in (1, 60, 500):
        with statements() as sent:
            found = ask(store, *fleet(number))
        assert len(found) == min(number, 60)
        asked[number] = sum("evaluation" in statement for statement, _ in sent)
    assert asked == {1: 1, 60: 1, 500: 1}


@pytest.mark.parametrize("database", ["sqlite"])
def test_sqlite_reads_the_reports_of_the_days_and_only_their_records(store: Store) -> None:
    with statements() as sent:
        ask(store, *fleet(500))
    ((statement, values),) = [x for x in sent if "evaluation" in x[0]]
    with store.read() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()  # type: ignore[arg-type]
    steps = [str(row[3]) for row in plan]
    assert "SEARCH r USING INDEX ix_report_day (day>? AND day<?)" in steps
    assert {step for step in steps if step.startswith("SCAN")} == {"SCAN seen"}
