"""What reports counted, as policies are decided on it."""

from dataclasses import replace
from datetime import UTC, date, datetime

from builders import FAIL, PASS, dkim, evaluation, incoming, message, report, spf
from dmarcops.policy.evidence import Count
from dmarcops.policy.sources import Origin
from dmarcops.report.model import (
    AuthResults,
    Disposition,
    Report,
)
from dmarcops.store.engine import Store
from dmarcops.store.policy_counts import counts
from dmarcops.store.reports import record

NOW = datetime(2026, 1, 4, 12, tzinfo=UTC)
FIRST = date(2026, 1, 1)
LAST = date(2026, 1, 28)
NEITHER = AuthResults((dkim(result="fail"),), (spf("spoof.example", "fail"),))


def put(store: Store, *reports: Report, authenticated: str = "authenticated", now: datetime = NOW) -> None:
    payloads = [replace(incoming(x), authenticated=authenticated) for x in reports]
    record(store, [message(x, origin=f"{x.report.content_sha256}.eml") for x in payloads], now)


def ask(store: Store, *domains: str, trusting: bool = False) -> list[tuple[str, Count]]:
    return list(counts(store, domains or ("example.com",), FIRST, LAST, trusting=trusting))


def one(store: Store) -> Count:
    ((domain, count),) = ask(store)
    assert domain == "example.com"
    return count


def test_records_of_one_source_and_day_are_one_count_with_its_sums(store: Store) -> None:
    put(
        store,
        report(
            ("192.0.2.1", 10, evaluation()),
            ("192.0.2.1", 5, evaluation(aligned=(PASS, FAIL), disposition=Disposition.QUARANTINE)),
            ("192.0.2.1", 3, evaluation(aligned=(FAIL, PASS))),
            ("192.0.2.1", 2, evaluation(aligned=(FAIL, FAIL), disposition=Disposition.REJECT, results=NEITHER)),
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
        dispositions={"none": 14, "quarantine": 5, "reject": 2},
        policy="none",
        lag_days=3,
    )
