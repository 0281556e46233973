from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest

from dmarcops.policy.evidence import Context, Count, Evidence
from dmarcops.policy.gates import (
    DomainKind,
    Gate,
    Thresholds,
    evaluate,
    failing_sources,
    lower_bound,
    unknown_sources,
)
from dmarcops.policy.record import Policy, parse_record
from dmarcops.policy.sources import Origin, Scope, Word
from policy.mailstream import DAYS, ESP, GOOD, NOW, OWN, PAYROLL, REPORTERS, evidence, failing, said, stream

RECORD = parse_record("v=DMARC1; p=none; rua=mailto:a@example.com")
STRANGER = Origin("198.18.0.1", host="host.stranger.example")
GATES = [
    "record",
    "rotation",
    "destination",
    "min_days",
    "max_silence_days",
    "min_reporters",
    "max_silent_share",
    "min_messages",
    "min_pass_rate",
    "min_recent_pass_rate",
    "failing_sources",
    "max_unknown_share",
    "min_dkim_rate",
    "spf_only_sources",
]


def gates(
    found: Evidence,
    *,
    kind: DomainKind = DomainKind.NORMAL,
    policy: Policy = Policy.REJECT,
    record: str = str(RECORD),
    thresholds: Thresholds | None = None,
) -> dict[str, Gate]:
    return {
        gate.name: gate
        for gate in evaluate(found, parse_record(record), thresholds or Thresholds(), kind=kind, policy=policy)
    }


def gate(name: str, *counts: Iterable[Count], context: Context = GOOD, thresholds: Thresholds | None = None) -> Gate:
    return gates(evidence(*counts, context=context), thresholds=thresholds)[name]


def closed(found: dict[str, Gate]) -> list[str]:
    return [name for name, each in found.items() if not each.ok]


def test_clean_domain_passes_every_gate() -> None:
    found = gates(evidence(stream(OWN, 30), stream(ESP, 30)))
    assert list(found) == GATES
    assert closed(found) == []


def test_dkim_gates_are_for_reject_alone() -> None:
    found = gates(evidence(stream(OWN, 30, spf=30)), policy=Policy.QUARANTINE)
    assert list(found) == GATES[:-2]
    assert closed(found) == []


@pytest.mark.parametrize("kind", [DomainKind.NORMAL, DomainKind.LOW_VOLUME])
def test_missing_data_passes_no_gate_that_rests_on_it(kind: DomainKind) -> None:
    found = gates(evidence(context=Context(domain="example.com")), kind=kind)
    assert [name for name, each in found.items() if each.ok] == ["record", "rotation"]
    assert {each.value for name, each in found.items() if not each.ok} == {None}


def test_gates_print_the_contracts_form() -> None:
    assert gate("min_pass_rate", stream(OWN, 30, dkim=29)).as_json() == {
        "name": "min_pass_rate",
        "value": 0.966667,
        "threshold": 0.98,
        "ok": False,
        "detail": "2436 of 2520; the 95 % lower bound is 0.959",
    }
    assert gate("min_days").as_json()["value"] is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (str(RECORD), 0),
        ("v=DMARC1; p=none", 0),
        ("v=DMARC1; p=none; adkim=x; rua=mailto:x", 3),
        ("", 1),
    ],
)
def test_record_has_no_error(text: str, value: int) -> None:
    found = gates(evidence(), record=text)["record"]
    assert (found.value, found.ok) == (value, value == 0)


def test_rotation_in_flight_blocks() -> None:
    assert gate("rotation").ok
    found = gate("rotation", context=replace(GOOD, rotation=("s1", "s2")))
    assert (found.ok, found.value, found.detail) == (False, 2, "a DKIM rotation is in flight: s1, s2")


@pytest.mark.parametrize(("authorised", "value", "ok"), [(True, 1, True), (False, 0, False), (None, None, False)])
def test_reports_have_to_be_able_to_come(authorised: bool | None, value: int | None, ok: bool) -> None:  # noqa: FBT001 - a table
    found = gate("destination", context=replace(GOOD, is_rua_authorised=authorised))
    assert (found.value, found.ok) == (value, ok)


@pytest.mark.parametrize(("days", "ok"), [(14, True), (13, False)])
def test_days_are_covered(days: int, ok: bool) -> None:  # noqa: FBT001 - a table
    found = gate("min_days", stream(OWN, 30, days=DAYS[-days:]))
    assert (found.value, found.ok) == (days, ok)


def test_days_of_one_reporter_alone_do_not_count() -> None:
    found = gate("min_days", stream(OWN, 30, reporters=["a"]), stream(OWN, 30, reporters=["b"], days=DAYS[-13:]))
    assert (found.value, found.ok) == (13, False)
    assert found.detail == "28 of 28 days are covered; it rests on a alone"


@pytest.mark.parametrize(("silence", "ok"), [(3, True), (4, False)])
def test_no_reports_lately_is_blindness(silence: int, ok: bool) -> None:  # noqa: FBT001 - a table
    found = gate("max_silence_days", stream(OWN, 30, days=DAYS[:-silence]))
    assert (found.value, found.ok) == (silence, ok)


@pytest.mark.parametrize(("reporters", "ok"), [(2, True), (1, False)])
def test_reporters_are_those_heard_of_lately(reporters: int, ok: bool) -> None:  # noqa: FBT001 - a table
    found = gate(
        "min_reporters",
        stream(OWN, 30, reporters=REPORTERS[:reporters]),
        stream(OWN, 30, reporters=["gone"], days=DAYS[:20]),
    )
    assert (found.value, found.ok) == (reporters, ok)
    assert "large.example saw" in found.detail


@pytest.mark.parametrize(
    ("silent", "usual", "share", "ok"), [(1, 2, 0.5, True), (2, 5, 0.4, True), (3, 6, 0.6, False), (3, 5, 0.6, False)]
)
def test_silence_of_most_usual_reporters_blocks(silent: int, usual: int, share: float, ok: bool) -> None:  # noqa: FBT001 - a table
    """Three of six are half, but of five when one of the others is left out they are more."""
    names = [f"r{number}" for number in range(usual)]
    found = gate(
        "max_silent_share",
        stream(OWN, 30, reporters=names[silent:]),
        stream(OWN, 30, reporters=names[:silent], days=DAYS[:21]),
    )
    assert (found.value, found.ok) == (share, ok)


def test_silence_of_one_reporter_alone_never_blocks() -> None:
    found = gate("max_silent_share", stream(OWN, 30, reporters=["a"], days=DAYS[:21]))
    assert (found.value, found.ok, found.detail) == (1, True, "silent: a")
    assert not gate("max_silent_share", stream(OWN, 30, days=DAYS[-5:])).ok


def test_one_reporter_does_not_make_up_for_the_silence_of_all_others() -> None:
    found = gate(
        "max_silence_days", stream(OWN, 30, days=DAYS[:-4]), stream(OWN, 30, days=DAYS[-4:], reporters=["forged"])
    )
    assert (found.value, found.ok) == (4, False)


@pytest.mark.parametrize(("rate", "ok"), [(0.0029, True), (0.003, False)])
def test_complaints_block_where_they_are_measured(rate: float, ok: bool) -> None:  # noqa: FBT001 - a table
    found = gate("max_complaint_rate", context=replace(GOOD, complaint_rate=rate))
    assert (found.value, found.ok) == (rate, ok)
    assert "max_complaint_rate" not in gates(evidence())


@pytest.mark.parametrize(("threshold", "ok"), [(1680, True), (1681, False)])
def test_messages_are_counted_without_the_largest_reporter(threshold: int, ok: bool) -> None:  # noqa: FBT001 - a table
    found = gate(
        "min_messages",
        stream(OWN, 30),
        stream(OWN, 970, reporters=REPORTERS[:1]),
        thresholds=Thresholds(min_messages=threshold),
    )
    assert (found.value, found.ok) == (28_000 + 1680 if ok else 1680, ok)


@pytest.mark.parametrize(("passed", "ok"), [(98, True), (97, False)])
def test_pass_rate_is_that_of_acknowledged_mail(passed: int, ok: bool) -> None:  # noqa: FBT001 - a table
    spoofing = failing(STRANGER, 10_000)
    found = gate("min_pass_rate", stream(OWN, 100, spf=passed), spoofing)
    assert (found.value, found.ok) == (passed / 100, ok)


@pytest.mark.parametrize(("passed", "ok"), [(95, True), (94, False)])
def test_recent_pass_rate_is_that_of_the_windows_end(passed: int, ok: bool) -> None:  # noqa: FBT001 - a table
    found = gate(
        "min_recent_pass_rate", stream(OWN, 100, days=DAYS[:21]), stream(OWN, 100, dkim=passed, days=DAYS[21:])
    )
    assert (found.value, found.ok) == (passed / 100, ok)


def test_forged_reporter_neither_opens_nor_closes_a_gate() -> None:
    clean = [*stream(OWN, 50), *stream(ESP, 50)]
    forged_bad = failing(OWN, 10**6, reporters=["forged"])
    forged_unknown = stream(STRANGER, 10**6, spf=10**6, reporters=["forged"])
    assert closed(gates(evidence(clean, forged_bad, forged_unknown))) == []
    broken = [*stream(OWN, 50), *failing(ESP, 50)]
    forged_good = stream(ESP, 10**6, reporters=["forged"])
    assert {"min_pass_rate", "failing_sources", "min_dkim_rate"} <= set(closed(gates(evidence(broken, forged_good))))


@pytest.mark.parametrize(("passed", "ok"), [(98, True), (97, False)])
def test_failing_acknowledged_source_blocks_and_is_named(passed: int, ok: bool) -> None:  # noqa: FBT001 - a table
    found = gate("failing_sources", stream(OWN, 10_000), stream(PAYROLL, 100, dkim=passed))
    assert (found.value, found.ok) == (0 if ok else 1, ok)
    assert found.detail == ("none" if ok else "payroll.example (8148 of 8400)")


@pytest.mark.parametrize(("messages", "ok"), [(16, True), (17, False)])
def test_source_is_judged_from_a_volume_on(messages: int, ok: bool) -> None:  # noqa: FBT001 - a table
    payroll = failing(PAYROLL, messages, days=DAYS[:1])
    found = gate("failing_sources", stream(OWN, 10_000), payroll)
    assert found.ok is ok
    small = gate("failing_sources", stream(OWN, 1), failing(PAYROLL, 1, days=DAYS[:1]))
    assert not small.ok


def test_source_that_fails_at_one_reporter_alone_is_named_and_does_not_block() -> None:
    found = gate("failing_sources", stream(OWN, 100), stream(PAYROLL, 1), failing(PAYROLL, 9, reporters=["forged"]))
    assert found.ok
    assert found.detail == "none; by one reporter alone, and not counted: payroll.example (84 of 336)"


@pytest.mark.parametrize(("dkim", "ok"), [(95, True), (94, False)])
def test_reject_needs_dkim(dkim: int, ok: bool) -> None:  # noqa: FBT001 - a table
    found = gates(evidence(stream(OWN, 100, dkim=dkim, spf=100, both=dkim)))
    assert (found["min_dkim_rate"].value, found["min_dkim_rate"].ok) == (dkim / 100, ok)
    assert found["min_pass_rate"].ok


@pytest.mark.parametrize(("dkim", "ok"), [(50, True), (49, False)])
def test_reject_rests_on_no_source_with_spf_alone(dkim: int, ok: bool) -> None:  # noqa: FBT001 - a table
    payroll = stream(PAYROLL, 100, dkim=dkim, spf=100, both=dkim)
    found = gates(evidence(stream(OWN, 10_000), payroll))
    assert (found["spf_only_sources"].value, found["spf_only_sources"].ok) == (0 if ok else 1, ok)
    assert found["failing_sources"].ok


@pytest.mark.parametrize(("messages", "ok"), [(10, True), (11, False)])
def test_unreviewed_source_above_a_share_blocks_and_is_named(messages: int, ok: bool) -> None:  # noqa: FBT001 - a table
    found = gate("max_unknown_share", stream(OWN, 1000), failing(STRANGER, messages))
    assert (found.value, found.ok) == (messages / 1000, ok)
    assert found.detail == ("none is large" if ok else "to be reviewed: stranger.example (924)")


def strangers(count: int, messages: int, *, authenticated: int) -> list[Count]:
    return [
        each
        for number in range(count)
        for each in failing(
            Origin(f"198.18.0.{number}", host=f"host{number}.example"), messages, authenticated=authenticated
        )
    ]


def grouped(counts: list[Count]) -> Evidence:
    """Each host its own source."""
    named = [replace(x, origin=replace(x.origin, host=x.origin.host.replace(".", "-") + ".example")) for x in counts]
    return evidence(stream(OWN, 1000), named)


def test_campaign_of_many_small_spoofers_holds_nothing_back() -> None:
    found = grouped(strangers(40, 5, authenticated=0))
    assert len(found.sources) == 41
    assert gates(found)["max_unknown_share"].ok
    assert unknown_sources(found, Thresholds()) == ()


def test_many_small_senders_that_authenticate_do_together() -> None:
    found = grouped(strangers(40, 5, authenticated=5))
    unknown = gates(found)["max_unknown_share"]
    assert (unknown.value, unknown.ok) == (0.2, False)
    assert unknown.detail.endswith(" and 30 more")
    assert len(unknown_sources(found, Thresholds())) == 40


def test_denied_and_forwarding_sources_need_no_review() -> None:
    counts = [*stream(OWN, 1000), *failing(STRANGER, 500)]
    forwarded = failing(STRANGER, 500, reasons={"forwarded": 500})
    assert gate("max_unknown_share", stream(OWN, 1000), forwarded).ok
    words = [said(Word.ACK, Scope.DOMAIN, "example.com"), said(Word.DENY, Scope.DOMAIN, "stranger.example")]
    assert closed(gates(evidence(counts, words=words))) == []


@pytest.mark.parametrize("forged", [[], ["forged"]])
def test_a_forger_hides_no_unreviewed_source_behind_one_that_is_made_up(forged: list[str]) -> None:
    large = failing(STRANGER, 30)
    small = failing(Origin("198.18.0.1", host="host.small.example"), 5, authenticated=5)
    lies = [*stream(OWN, 10**6, reporters=forged), *stream(Origin("198.18.0.2"), 10**6, reporters=forged)]
    found = evidence(stream(OWN, 1000), large, small, lies)
    unknown = gates(found)["max_unknown_share"]
    assert not unknown.ok
    assert unknown.detail.startswith("to be reviewed: stranger.example (2520), small.example (420)")
    assert [x.name for x in unknown_sources(found, Thresholds())][:2] == ["stranger.example", "small.example"]


def test_unreviewed_mail_alone_is_no_evidence() -> None:
    found = gates(evidence(stream(STRANGER, 1000, spf=1000)))
    assert (found["max_unknown_share"].value, found["max_unknown_share"].detail) == (None, "no acknowledged mail")
    assert not found["max_unknown_share"].ok


@pytest.mark.parametrize(("days", "ok"), [(7, True), (6, False)])
def test_low_volume_domain_is_judged_by_days_of_its_sources(days: int, ok: bool) -> None:  # noqa: FBT001 - a table
    found = gates(evidence(stream(OWN, 1, days=DAYS[-days:])), kind=DomainKind.LOW_VOLUME)
    assert "min_messages" not in found
    assert (found["min_source_days"].value, found["min_source_days"].ok) == (3 * days if ok else 2 * days, ok)
    assert found["min_clean_source_days"].ok


def test_low_volume_domain_with_a_failing_day_is_not_clean() -> None:
    found = gates(evidence(stream(OWN, 1, days=DAYS[1:]), failing(OWN, 1, days=DAYS[:1])), kind=DomainKind.LOW_VOLUME)
    clean = found["min_clean_source_days"]
    assert clean.value == pytest.approx(81 / 84)
    assert not clean.ok


def test_parked_domain_needs_no_reports_and_has_no_mail_of_its_own() -> None:
    nothing = gates(evidence(failing(STRANGER, 100)), kind=DomainKind.PARKED)
    assert list(nothing) == ["record", "rotation", "parked"]
    assert closed(nothing) == []
    assert closed(gates(evidence(), kind=DomainKind.PARKED)) == []
    own = gates(evidence(stream(STRANGER, 1, days=DAYS[:1])), kind=DomainKind.PARKED)["parked"]
    assert (own.value, own.ok, own.detail) == (3, False, "mail of its own: stranger.example")
    assert closed(gates(evidence(failing(OWN, 1)), kind=DomainKind.PARKED)) == ["parked"]
    one = gates(evidence(stream(STRANGER, 1, days=DAYS[:1], reporters=["forged"])), kind=DomainKind.PARKED)["parked"]
    assert (one.value, one.ok) == (0, True)


# 95 % Wilson bounds, as published tables have them.
@pytest.mark.parametrize(
    ("part", "whole", "bound"), [(95, 100, 0.888), (950, 1000, 0.935), (490, 500, 0.964), (0, 5, 0)]
)
def test_lower_bound_is_wilsons(part: int, whole: int, bound: float) -> None:
    assert lower_bound(part, whole) == pytest.approx(bound, abs=6e-4)


def test_failing_sources_are_given_for_the_report() -> None:
    found = evidence(stream(OWN, 100), failing(PAYROLL, 100), context=replace(GOOD, since=NOW - timedelta(days=1)))
    assert [source.name for source in failing_sources(found, Thresholds())] == ["payroll.example"]
