from dmarcops.policy.record import parse_record
from dmarcops.policy.rungs import Receiver, RungName
from dmarcops.policy.sources import Origin, Scope, Word
from dmarcops.policy.what_if import Verdict, what_if
from policy.mailstream import ESP, OWN, PAYROLL, evidence, failing, said, stream

SPOOFER = Origin("198.18.0.1", host="spoofer.example")
STRANGER = Origin("198.18.1.1", host="stranger.example")
WORDS = (
    said(Word.ACK, Scope.DOMAIN, "example.com"),
    said(Word.ACK, Scope.DOMAIN, "payroll.example"),
    said(Word.DENY, Scope.DOMAIN, "spoofer.example"),
)
EVIDENCE = evidence(
    stream(OWN, 100), stream(PAYROLL, 10, spf=9), failing(SPOOFER, 20), failing(STRANGER, 2), words=WORDS
)


def test_failing_mail_is_shown_by_source_with_its_verdict() -> None:
    found = what_if(EVIDENCE, RungName.QUARANTINE, parse_record("v=DMARC1; p=quarantine"))
    assert [(x.source.name, x.verdict) for x in found.sources] == [
        ("spoofer.example", Verdict.SPOOF),
        ("stranger.example", Verdict.UNKNOWN),
        ("payroll.example", Verdict.LEGITIMATE_FAILING),
    ]
    assert found.messages == 132 * 84
    assert found.affected() == 23 * 84
    assert [found.affected(verdict=verdict) for verdict in Verdict] == [84, 2 * 84, 20 * 84]


def test_rung_in_test_mode_touches_mail_at_receivers_that_do_not_read_it() -> None:
    found = what_if(EVIDENCE, RungName.QUARANTINE_TESTING, parse_record("v=DMARC1; p=quarantine; t=y; pct=0"))
    assert [found.affected(kind) for kind in Receiver] == [0, 0, 0, 23 * 84]


def test_subdomains_are_touched_as_sp_has_it() -> None:
    counts = evidence(failing(ESP, 1), failing(ESP, 2, header_from="news.example.com"))
    open_below = what_if(counts, RungName.REJECT, parse_record("v=DMARC1; p=reject; sp=none"))
    assert open_below.affected() == 84
    closed_below = what_if(counts, RungName.NONE, parse_record("v=DMARC1; p=none; sp=reject"))
    assert closed_below.affected() == 2 * 84


def test_what_if_is_printed() -> None:
    printed = what_if(EVIDENCE, RungName.REJECT, parse_record("v=DMARC1; p=reject")).as_json()
    assert {key: printed[key] for key in ("rung", "record", "messages", "affected", "by_verdict")} == {
        "rung": "reject",
        "record": "v=DMARC1; p=reject",
        "messages": 132 * 84,
        "affected": 23 * 84,
        "by_verdict": {"legitimate-failing": 84, "unknown": 2 * 84, "spoof": 20 * 84},
    }
    assert printed["by_receiver"]["neither"] == {
        "policy": "reject",
        "pct": 100,
        "otherwise": "none",
        "affected": 23 * 84,
    }
    assert printed["sources"][2] == {
        "name": "payroll.example",
        "kind": "acknowledged",
        "verdict": "legitimate-failing",
        "messages": 840,
        "failing": 84,
        "affected": 84,
        "by_receiver": {"rfc9989": 84, "rfc7489": 84, "rfc7489-lenient": 84, "neither": 84},
        "reporters": 3,
        "addresses": ["203.0.113.7"],
        "first_seen": "2026-03-02",
        "last_seen": "2026-03-29",
    }
