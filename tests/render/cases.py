"""Reports of made-up domains: the usual one, and those that are hard to set."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

from dmarcops.policy.evidence import Count, Evidence
from dmarcops.policy.record import Policy, parse_record
from dmarcops.policy.rules import Freeze, Hold, Rules, Step
from dmarcops.policy.rungs import RungName
from dmarcops.policy.signoff import SigningRules, Signoff, sign
from dmarcops.policy.signoff_report import DkimKey, FleetReport, PastStep, SignoffReport, Unknown
from dmarcops.policy.sources import Acknowledgement, Origin, Scope, Word
from dmarcops.policy.stepper import Proposal, prices, propose
from policy.mailstream import ACKNOWLEDGED, DAYS, ESP, GOOD, NOW, OWN, PAYROLL, evidence, failing, said, stream

NONE = "v=DMARC1; p=none; rua=mailto:dmarc@example.com; ruf=mailto:forensics@example.com; adkim=s"
SPOOFER = Origin("198.18.0.9", host="vps9.cheap.example")
LISTS = Origin("203.0.113.80", host="lists.club.example")
FORWARDER = Origin("203.0.113.81", host="fwd.alumni.example")
WORDS = (*ACKNOWLEDGED, said(Word.DENY, Scope.DOMAIN, "cheap.example"))
SINCE = NOW - timedelta(days=40)
KEYS = (
    DkimKey(selector="s202601-k7f3", algorithm="rsa, 2048 bits", state="signs", detail="in use since 2026-01-04"),
    DkimKey(selector="s202510-a1b2", algorithm="rsa, 2048 bits", state="revoked", detail="to be deleted 2026-04-03"),
    DkimKey(selector="esp1", algorithm="rsa, 1024 bits", state="not ours", detail="seen in reports; short"),
)
STEPS = (
    PastStep(
        at=SINCE,
        kind="adopt",
        before="v=DMARC1; p=none",
        after=NONE,
        by="Kim Example",
    ),
)
HISTORY = (
    "2026-03-01 09:12 UTC: Kim Example acknowledged the service Esp: newsletters, contract 2025-118",
    "2026-03-02 10:40 UTC: Kim Example denied the domain cheap.example",
)


def usual_mail(days: Sequence[date] = DAYS) -> list[Count]:
    """Mail that goes well, with forwarders, a list and a few spoofers; the last are done away with more and more."""
    return [
        *stream(OWN, 120, days=days, dkim=120, spf=119, both=119, dispositions={"none": 120}),
        *stream(ESP, 60, days=days[::2], dkim=59, spf=58, both=58, dispositions={"none": 60}),
        *stream(ESP, 66, days=days[1::2], dkim=66, spf=64, both=64, dispositions={"none": 66}),
        *stream(PAYROLL, 4, days=days[::7], dkim=4, spf=4, both=4, dispositions={"none": 4}),
        *failing(SPOOFER, 9, days=days[3:], dispositions={"none": 4, "quarantine": 3, "reject": 2}),
        *failing(LISTS, 2, days=days[::2], reasons={"mailing_list": 2}, dispositions={"none": 2}),
        *stream(FORWARDER, 3, days=days, dkim=3, dispositions={"none": 3}),
    ]


def of(found: Evidence, *, record: str = NONE, rules: Rules | None = None, signers: Sequence[str] = ()) -> Proposal:
    """Give what the stepper proposes, signed by some."""
    rules, published = rules or Rules(), parse_record(record)
    proposal = propose(published, found, rules, NOW)
    if not signers or proposal.statement is None:
        return proposal
    signoff = Signoff(proposal.statement)
    for name in signers:
        signoff = sign(signoff, by=name, at=NOW - timedelta(hours=2), comment="read, and agreed")
    return propose(published, found, rules, NOW, signoff=signoff)


def report(found: Evidence, proposal: Proposal | None = None) -> SignoffReport:
    """Give the report of some evidence."""
    proposal = proposal or of(found)
    return SignoffReport(
        proposal=proposal,
        evidence=found,
        prices=prices(found, proposal.rules),
        keys=KEYS,
        steps=STEPS,
        history=HISTORY,
        brand="Example Brands",
    )


def usual() -> SignoffReport:
    """To be signed: all is well."""
    return report(evidence(usual_mail(), words=WORDS))


def ready() -> SignoffReport:
    """Signed by both who have to, with days without reports and a change in the window."""
    days = [day for day in DAYS if day.day not in (9, 10, 11, 20)]
    found = evidence(usual_mail(days), words=WORDS)
    rules = Rules(
        signing=SigningRules(signers=2),
        has_pct_zero=True,
        freezes=(Freeze(date(2026, 4, 20), date(2026, 5, 2), "spring sale"),),
    )
    return report(found, of(found, rules=rules, signers=("Kim Example", "Robin Sample")))


def blocked() -> SignoffReport:
    """Legitimate mail fails, sources are unknown, a reporter is silent, keys rotate, the record has faults."""
    unknown = Origin("198.51.100.77", host="crm.vendor.example")
    context = replace(GOOD, rotation=("s202603-x1",), is_rua_authorised=None, since=None, complaint_rate=0.004)
    found = evidence(
        stream(OWN, 50, dkim=50, spf=50, both=50, dispositions={"none": 50}),
        failing(ESP, 20, authenticated=20, dispositions={"none": 20}),
        failing(unknown, 12, authenticated=12, dispositions={"none": 10, "quarantine": 2}),
        failing(SPOOFER, 30, days=DAYS[10:], dispositions={"none": 30}),
        stream(OWN, 50, reporters=("gone.example", "lost.example", "away.example"), days=DAYS[:14]),
        words=WORDS,
        context=context,
    )
    record = "v=DMARC1; p=none; pct=50; ri=3600; fo=1; rua=mailto:dmarc@example.com!10m; x=1"
    made = replace(report(found, of(found, record=record)), steps=(), history=(), keys=())
    return replace(made, remarks=("ns2.example.com did not answer", "the key of esp1 has 1024 bits"))


def held() -> SignoffReport:
    """A person has put the domain on hold, early in the schedule."""
    found = evidence(usual_mail(), words=WORDS, context=replace(GOOD, since=NOW - timedelta(days=5)))
    hold = Hold("Kim Example", NOW, "relaunch of the shop", NOW + timedelta(days=9))
    return report(found, propose(parse_record(NONE), found, Rules(), NOW, hold=hold))


def done() -> SignoffReport:
    """At reject."""
    found = evidence(usual_mail(), words=WORDS)
    return report(found, of(found, record=NONE.replace("p=none", "p=reject; np=reject")))


def empty() -> SignoffReport:
    """Nothing was reported, and there is no record."""
    found = evidence(context=replace(GOOD, since=None, is_rua_authorised=None))
    return SignoffReport(proposal=of(found, record=""), evidence=found)


def many() -> SignoffReport:
    """A hundred sources, with many addresses each, and all seven rungs in the schedule."""
    counts = [
        count
        for number in range(100)
        for address in range(1 + number % 12)
        for count in (failing if number % 3 == 0 else stream)(
            Origin(f"198.18.{number}.{address}", host=f"mx{address}.sender-{number:02}.example"),
            1 + number % 17,
            days=DAYS[number % 20 :: 3],
        )
    ]
    words = [
        said(Word.ACK if number % 2 else Word.DENY, Scope.DOMAIN, f"sender-{number:02}.example")
        for number in range(100)
        if number % 5
    ]
    found = evidence(usual_mail(), counts, words=(*WORDS, *words))
    schedule = (
        Step(rung=RungName.NONE, duration=timedelta(weeks=4)),
        Step(rung=RungName.QUARANTINE_TESTING, duration=timedelta(weeks=2)),
        Step(rung=RungName.QUARANTINE_PCT, pct=25, duration=timedelta(weeks=1)),
        Step(rung=RungName.QUARANTINE, duration=timedelta(weeks=6), np=Policy.REJECT),
        Step(rung=RungName.REJECT_TESTING, duration=timedelta(days=3)),
        Step(rung=RungName.REJECT_PCT, pct=50, duration=timedelta(hours=36)),
        Step(rung=RungName.REJECT),
    )
    return report(found, of(found, rules=Rules(schedule=schedule)))


def crowded() -> SignoffReport:
    """As much as there can be on the first page: a schedule of twelve steps, five signers, every gate closed."""
    ramp = [Step(rung=RungName.QUARANTINE_PCT, pct=pct, duration=timedelta(days=3)) for pct in range(10, 91, 10)]
    schedule = (Step(rung=RungName.NONE), *ramp, Step(rung=RungName.QUARANTINE), Step(rung=RungName.REJECT))
    made = blocked()
    rules = Rules(schedule=schedule, signing=SigningRules(signers=5))
    record = f"v=DMARC1; p=quarantine; pct=50; rua=mailto:dmarc@{LONG}"
    found = replace(made.evidence, context=replace(made.evidence.context, domain=LONG))
    proposal = of(found, record=record, rules=rules, signers=["W" * 120 + f" {at}" for at in range(4)])
    endless = ["somebody else changed the record: " + "W" * 400] * 9
    proposal = replace(proposal, domain=LONG, reasons=(*endless, *proposal.reasons))
    return replace(report(found, proposal), brand="W" * 120, title="W" * 120)


LONG = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 53, "example"])
"""A domain name of 253 characters, the longest."""


def long() -> SignoffReport:
    """Names as long as DNS allows, words of people as long as they like."""
    endless = "https://intranet.example/" + "w" * 400
    host = ".".join(["e" * 63, "f" * 63, "g" * 63, "h" * 53, "example"])
    words = [
        Acknowledgement(
            scope=Scope.SERVICE, value="S" * 200, word=Word.ACK, by="N" * 120, at=NOW - timedelta(days=9), note=endless
        ),
        said(Word.ACK, Scope.DOMAIN, "example.com"),
    ]
    context = replace(GOOD, domain=LONG, rotation=("r" * 63,) * 3)
    reporters = (f"{'q' * 60}.{'r' * 60}.example", "medium.example", "small.example")
    found = evidence(
        stream(OWN, 100, reporters=reporters, header_from=LONG),
        failing(Origin("2001:db8:1111:2222:3333:4444:5555:6666", service="S" * 200), 10, header_from=LONG),
        failing(Origin("2001:db8:1111:2222:3333:4444:5555:7777", host=host), 10, header_from=LONG),
        words=words,
        context=context,
    )
    record = f"v=DMARC1; p=none; rua=mailto:{'m' * 64}@{LONG[:180]},mailto:second@example.net; ruf=mailto:x@{LONG}"
    rules = Rules(signing=SigningRules(signers=5))
    proposal = of(found, record=record, rules=rules, signers=("N" * 150, "Second Signer"))
    made = report(found, proposal)
    key = DkimKey(selector="k" * 63 + "." + "l" * 63, algorithm="rsa", state="signs", detail=endless)
    return replace(made, keys=(key,), history=(endless,), remarks=(endless,) * 3, brand="B" * 120, title="T" * 120)


def world() -> SignoffReport:
    """Names from right to left, of Chinese, Japanese and Korean, and an internationalized domain."""
    words = [
        said(Word.ACK, Scope.DOMAIN, "example.com"),
        said(Word.ACK, Scope.SERVICE, "خدمة البريد العربية"),
        said(Word.ACK, Scope.SERVICE, "株式会社メール配信", by="山田太郎"),
        said(Word.DENY, Scope.SERVICE, "שירות דואר ישראלי", by="דנה כהן"),
    ]
    services = (
        "خدمة البريد العربية",
        "株式会社メール配信",
        "메일서비스",
        "邮件服务有限公司",
        "Почта России",
        "Ταχυδρομείο",
    )
    found = evidence(
        stream(OWN, 100),
        *(stream(Origin(f"198.51.100.{at}", service=name), 20 + at) for at, name in enumerate(services)),
        failing(Origin("203.0.113.40", service="שירות דואר ישראלי"), 9),
        failing(Origin("203.0.113.41", host="mail.xn--bcher-kva.example"), 2),
        words=words,
        context=replace(GOOD, domain="xn--fsqu00a.xn--0zwm56d"),
    )
    made = report(found, of(found, signers=("דנה כהן", "山田太郎"), rules=Rules(signing=SigningRules(signers=3))))
    return replace(made, brand="مجموعة العلامات", history=("2026-03-01: דנה כהן (Dana) אמרה: 12 הודעות, ok",))


HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "&lt;b&gt;&amp;amp;",
    '=HYPERLINK("http://evil.example","x")',
    "+1+1",
    "@SUM(A1)",
    "a\x1b[2Jb\x07\x00c",
    "line\nbreak\r\n# heading\n- item",
    "abc\u202egnp.exe\u2066x\u2069",
    "zero\u200bwidth\ufeff",
    "|a|b|\\|c`d``e`",
    "[link](http://evil.example) ![img](http://evil.example/x.png)",
    "http://evil.example/ www.evil.example me@evil.example",
    "**bold** _em_ ~~no~~ <!-- c --> $x$ #1",
    "1. one",
    "- item",
    "{{ 7 * 7 }}{% raw %}",
    "</style><style>*{display:none}",
    "]]>--><?php ?>",
    "\ud800lone",
    "url(http://evil.example/x)",
)
"""What a stranger may write."""


def hostile() -> SignoffReport:
    """Hostile text at every place where a stranger, or an owner, can put any."""
    words = [
        said(Word.ACK, Scope.DOMAIN, "example.com"),
        *(said(Word.ACK, Scope.SERVICE, text, by=text) for text in HOSTILE[::2]),
    ]
    words = [replace(word, note=word.by) for word in words]
    found = evidence(
        stream(OWN, 100, reporters=("large.example", "medium.example", *HOSTILE)),
        *(failing(Origin(text, service=text), 2, dispositions={text: 2}, reasons={text: 1}) for text in HOSTILE),
        words=words,
        context=replace(GOOD, domain=HOSTILE[0], rotation=HOSTILE),
    )
    proposal = of(found, record=f"v=DMARC1; p=none; {'; '.join(HOSTILE)}")
    proposal = replace(proposal, reasons=(*proposal.reasons, *HOSTILE))
    return SignoffReport(
        proposal=proposal,
        evidence=found,
        prices=prices(found, proposal.rules),
        keys=tuple(DkimKey(selector=text, algorithm=text, state=text, detail=text) for text in HOSTILE),
        steps=tuple(PastStep(at=NOW, kind=text, before=text, after=text, by=text) for text in HOSTILE),
        history=HOSTILE,
        remarks=HOSTILE,
        brand=HOSTILE[2],
        title=HOSTILE[1],
    )


CASES = {
    made.__name__: made for made in (usual, ready, blocked, held, done, empty, many, long, crowded, world, hostile)
}


def fleet() -> FleetReport:
    """Domains of three brands, one of which could not be looked at."""

    def named(made: SignoffReport, domain: str, brand: str) -> SignoffReport:
        return replace(made, brand=brand, proposal=replace(made.proposal, domain=domain))

    return FleetReport(
        reports=(
            named(usual(), "shop.example", "Alpha Outdoor"),
            named(done(), "alpha.example", "Alpha Outdoor"),
            named(blocked(), "beta.example", "Beta Foods"),
            named(held(), "news.beta.example", "Beta Foods"),
            named(world(), "xn--bcher-kva.example", "ガンマ書店"),
            named(empty(), "old.example", ""),
        ),
        unknown=(Unknown("lost.example", "ns1.lost.example[192.0.2.1]:53: timeout for TXT _dmarc", "Beta Foods"),),
        brand="Example Holding",
        title="",
    )
