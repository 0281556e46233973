"""A forged report must not stand in the place of the real one."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from builders import ask, evaluation, incoming, message, report
from dmarcops.store.engine import Store
from dmarcops.store.intake import IncomingReport, Outcome
from dmarcops.store.reports import record

NOW = datetime(2026, 1, 5, tzinfo=UTC)
REAL = report(("192.0.2.1", 7, evaluation()))
FORGED = report(("192.0.2.66", 1000, evaluation()))


def given(of: IncomingReport, authenticated: str) -> IncomingReport:
    """`authenticated by receiver.example` has the organization of the carrier, too."""
    how, _, carrier = authenticated.partition(" by ")
    return replace(of, authenticated=how, carrier=carrier)


def ends(store: Store, *arrivals: tuple[IncomingReport, str]) -> list[Outcome]:
    messages = [message(given(of, how), origin=f"{n}.eml") for n, (of, how) in enumerate(arrivals)]
    return [result.outcome for result in record(store, messages, NOW)]


def counted(store: Store) -> list[tuple[object, ...]]:
    return ask(store, "SELECT mail_count, authenticated FROM report WHERE NOT conflict")


@pytest.mark.parametrize("forged", ["unauthenticated", "unknown"])
@pytest.mark.parametrize("apart", [False, True])
def test_real_report_counts_when_a_forged_one_came_first(store: Store, forged: str, apart: bool) -> None:  # noqa: FBT001
    arrivals = [(incoming(FORGED), forged), (incoming(REAL), "authenticated")]
    if apart:
        assert ends(store, arrivals[0]) + ends(store, arrivals[1]) == [Outcome.STORED, Outcome.STORED]
    else:
        assert ends(store, *arrivals) == [Outcome.STORED, Outcome.STORED]
    assert counted(store) == [(7, "authenticated")]
    assert ask(store, "SELECT mail_count, conflict FROM report ORDER BY mail_count") in (
        [(7, False), (1000, True)],
        [(7, 0), (1000, 1)],
    )


@pytest.mark.parametrize("later", ["unauthenticated", "unknown", "authenticated"])
def test_first_report_counts_when_the_later_one_is_no_better(store: Store, later: str) -> None:
    assert ends(store, (incoming(REAL), "authenticated"), (incoming(FORGED), later)) == [
        Outcome.STORED,
        Outcome.CONFLICT,
    ]
    assert counted(store) == [(7, "authenticated")]


def test_report_becomes_authenticated_when_it_comes_again_so(store: Store) -> None:
    assert ends(store, (incoming(REAL), "unknown"), (incoming(REAL), "unauthenticated")) == [
        Outcome.STORED,
        Outcome.DUPLICATE,
    ]
    assert counted(store) == [(7, "unknown")]
    assert ends(store, (incoming(REAL), "authenticated"), (incoming(REAL), "unknown")) == [
        Outcome.DUPLICATE,
        Outcome.DUPLICATE,
    ]
    assert counted(store) == [(7, "authenticated")]


def test_conflicting_report_counts_when_it_comes_again_authenticated(store: Store) -> None:
    ends(store, (incoming(FORGED), "unknown"), (incoming(REAL), "unknown"))
    assert counted(store) == [(1000, "unknown")]
    assert ends(store, (incoming(REAL), "authenticated")) == [Outcome.DUPLICATE]
    assert counted(store) == [(7, "authenticated")]


def test_a_report_has_the_organization_of_the_carrier_that_authenticated_it(store: Store) -> None:
    ends(store, (incoming(FORGED), "unauthenticated"), (incoming(REAL), "unauthenticated"))
    assert ends(store, (incoming(REAL), "authenticated by receiver.example")) == [Outcome.DUPLICATE]
    assert ask(store, "SELECT mail_count, carrier FROM report WHERE NOT conflict") == [(7, "receiver.example")]
    assert ask(store, "SELECT mail_count, carrier FROM report WHERE conflict") == [(1000, None)]
