"""
Writes the examples of a sign-off report, of a made-up domain: `.venv/bin/python docs/generate_signoff.py [--check]`.

With `--check` writes nothing and ends with exit code 1 when they are not what it would write; a test calls that.
"""

import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from dmarcops.domains import Domain, suffix_list
from dmarcops.policy.compute import compute
from dmarcops.policy.evidence import Context, Count
from dmarcops.policy.record import parse_record
from dmarcops.policy.rules import Rules
from dmarcops.policy.signoff_report import DkimKey, PastStep, SignoffReport
from dmarcops.policy.sources import Acknowledgement, Origin, Scope, Word, review
from dmarcops.policy.stepper import prices, propose
from dmarcops.policy.window import window_before
from dmarcops.render.report import as_html, as_markdown

HERE = Path(__file__).parent
NOW = datetime(2026, 5, 12, 8, tzinfo=UTC)
SINCE = datetime(2026, 3, 30, 8, tzinfo=UTC)
RECORD = "v=DMARC1; p=quarantine; np=reject; rua=mailto:dmarc@example.com"
FORMER = "v=DMARC1; p=quarantine; t=y; rua=mailto:dmarc@example.com"
REPORTERS = {"large.example": 6, "medium.example": 3, "small.example": 1}
PAYDAY, CAMPAIGN_FROM = 20, 10
WORDS = tuple(
    Acknowledgement(scope=scope, value=value, word=word, by="Kim Example", at=SINCE - timedelta(days=20), note=note)
    for scope, value, word, note in (
        (Scope.DOMAIN, "example.com", Word.ACK, "our own servers"),
        (Scope.SERVICE, "Newsletter Service", Word.ACK, "contract 2025-118"),
        (Scope.DOMAIN, "payroll.example", Word.ACK, "pay slips, monthly"),
        (Scope.DOMAIN, "cheap-hosting.example", Word.DENY, ""),
    )
)
OWN = Origin("192.0.2.25", host="mx1.example.com")
NEWSLETTER = Origin("198.51.100.10", service="Newsletter Service")
PAYROLL = Origin("203.0.113.7", host="out.payroll.example")
FORWARDER = Origin("203.0.113.99", host="fwd.alumni.example")
SPOOFER = Origin("198.18.4.2", host="vps7.cheap-hosting.example")


def counts() -> Iterator[Count]:
    """Give the mail of the window, as three reporters count it; two of them miss two days."""
    for at, day in enumerate(window_before(NOW).days()):
        for reporter, weight in REPORTERS.items():
            if reporter == "large.example" or at not in (11, 12):
                for origin, messages, passed in _sent(at, weight):
                    yield _counted(origin, messages, passed, day=day, reporter=reporter)


def _sent(at: int, weight: int) -> Iterator[tuple[Origin, int, int]]:
    """Give who sends on a day: how much, and how much of it passes."""
    yield OWN, 40 * weight, 40 * weight - at % 3
    yield FORWARDER, weight, weight
    if at % 7 == 1:
        yield NEWSLETTER, 90 * weight, 90 * weight - at % 2
    if at == PAYDAY:
        yield PAYROLL, 5 * weight, 5 * weight
    if at >= CAMPAIGN_FROM:
        yield SPOOFER, 4 * weight, 0


def _counted(origin: Origin, messages: int, passed: int, *, day: date, reporter: str) -> Count:
    spf = 0 if origin == FORWARDER else passed
    return Count(
        day=day,
        reporter=reporter,
        origin=origin,
        header_from="example.com",
        messages=messages,
        dkim=passed,
        spf=spf,
        both=spf,
        dispositions={"none": passed, "quarantine": messages - passed},
        policy="quarantine",
        lag_days=1,
    )


def report() -> SignoffReport:
    """Return the report of the made-up domain."""
    context = Context(domain="example.com", since=SINCE, is_rua_authorised=True)
    organizational_domain = suffix_list()
    evidence = compute(
        counts(),
        window_before(NOW),
        review(WORDS),
        organizational_domain=lambda host: organizational_domain(Domain(host)),
        context=context,
    )
    rules = Rules()
    return SignoffReport(
        proposal=propose(parse_record(RECORD), evidence, rules, NOW),
        evidence=evidence,
        prices=prices(evidence, rules),
        keys=(
            DkimKey(selector="s202604-k7f3", algorithm="rsa", state="verified", detail="2048 bits, since 2026-04-02"),
            DkimKey(selector="s202601-q8zt", algorithm="rsa", state="revoked", detail="2048 bits, since 2026-04-10"),
        ),
        steps=(PastStep(at=SINCE, kind="advance", before=FORMER, after=RECORD, by="Kim Example"),),
        history=("2026-03-10 Kim Example: source-deny domain cheap-hosting.example",),
        brand="Example Brands",
    )


def main() -> int:
    """Write the examples, or check them."""
    made = report()
    pages = {HERE / "signoff-example.md": as_markdown(made), HERE / "signoff-example.html": as_html(made)}
    if "--check" in sys.argv[1:]:
        stale = [path.name for path, text in pages.items() if path.read_text(encoding="utf-8") != text]
        print(f"not what the program says: {stale}: run docs/generate_signoff.py" if stale else "fresh")
        return 1 if stale else 0
    for path, text in pages.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
