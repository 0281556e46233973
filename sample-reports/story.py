"""
Fourteen days of mail of a small group of companies, as sixteen receivers reported it.

example.com sends everything and publishes p=none; example.net is on its way to quarantine, with t=y; example.org sends
no mail and rejects; shop.example is a brand on a shop platform. Everything is invented; addresses are from the ranges
for documentation. Does no I/O.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import packing
import reports
from packing import Envelope, Part
from reports import DAY, Policy, Row, Shape
from samples import Expected, Sample

FIRST_DAY = 1_788_220_800  # 2026-09-01 00:00 UTC, a Tuesday
DAYS = 14

POLICIES = (
    Policy("example.com", "none"),
    Policy("example.net", "quarantine", testing="y"),
    Policy("example.org", "reject", np="reject"),
    Policy("shop.example", "none"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """
    Someone who sends mail with a domain of ours in the From line.

    Args:
        about: Who it is, for the README.
        domain: The policy domain.
        ips: Where it sends from; mail is spread evenly.
        volume: Mails a day (0: Tuesday 1 September) to all receivers together.
        dkim: (d=, s=, result) of each signature.
        spf: (domain, result).
        aligned: Which of `dkim` and `spf` gave an aligned pass.
    """

    about: str
    domain: str
    ips: tuple[str, ...]
    volume: Callable[[int], int]
    dkim: tuple[tuple[str, str, str], ...]
    spf: tuple[str, str]
    aligned: str
    header_from: str = ""
    is_mailing_list: bool = False


def _is_weekend(day: int) -> bool:
    return day % 7 in (4, 5)


def _office(mails: int) -> Callable[[int], int]:
    return lambda day: mails // 5 if _is_weekend(day) else mails


def _campaign(day: int) -> int:
    return 9000 if day in (0, 2, 7, 9) else 600


def _payday(day: int) -> int:
    return 1900 if day in (9, 10) else 40


def _wave(mails: int) -> Callable[[int], int]:
    return lambda day: mails * (day in range(6, 11)) + mails // 200


def _botnet(first: int, last: int) -> tuple[str, ...]:
    return (*(f"198.51.100.{number}" for number in range(first, last)), "2001:db8:bad::1f", "2001:db8:bad:7::a2")


OURS = ("192.0.2.10", "192.0.2.11", "2001:db8:10::25")

SOURCES = (
    Source(
        about="our own mail servers: SPF and DKIM aligned",
        domain="example.com",
        ips=OURS,
        volume=_office(4200),
        dkim=(("example.com", "mta2026", "pass"),),
        spf=("example.com", "pass"),
        aligned="dkim spf",
    ),
    Source(
        about="newsletter service, set up well: DKIM aligned, its own bounce domain (spf-unaligned)",
        domain="example.com",
        ips=("198.51.100.20", "198.51.100.21", "198.51.100.22"),
        volume=_campaign,
        dkim=(("example.com", "esp1", "pass"), ("newsletter-service.example", "s1", "pass")),
        spf=("bounce.newsletter-service.example", "pass"),
        aligned="dkim",
    ),
    Source(
        about="CRM service that nobody set up: signs and bounces as itself (dkim-unaligned, spf-unaligned)",
        domain="example.com",
        ips=("198.51.100.77", "198.51.100.78"),
        volume=_office(450),
        dkim=(("crm-service.example", "k1", "pass"),),
        spf=("em.crm-service.example", "pass"),
        aligned="",
    ),
    Source(
        about="payroll system that changes mail after signing it (dkim-fail, spf-unaligned)",
        domain="example.com",
        ips=("192.0.2.140",),
        volume=_payday,
        dkim=(("example.com", "pay2019", "fail"),),
        spf=("payroll-service.example", "pass"),
        aligned="",
    ),
    Source(
        about="forwarders of alumni addresses: SPF breaks, DKIM holds (spf-fail)",
        domain="example.com",
        ips=("198.51.100.140", "2001:db8:f0::7"),
        volume=_office(180),
        dkim=(("example.com", "mta2026", "pass"),),
        spf=("example.com", "fail"),
        aligned="dkim",
    ),
    Source(
        about="mailing list that adds a footer (dkim-fail, spf-unaligned)",
        domain="example.com",
        ips=("198.51.100.200",),
        volume=_office(90),
        dkim=(("example.com", "mta2026", "fail"), ("lists.community.example", "list", "pass")),
        spf=("lists.community.example", "pass"),
        aligned="",
        is_mailing_list=True,
    ),
    Source(
        about="scanners in the office that send past the mail server (no-dkim, spf-fail)",
        domain="example.com",
        ips=("192.0.2.66",),
        volume=_office(35),
        dkim=(),
        spf=("example.com", "softfail"),
        aligned="",
    ),
    Source(
        about="help desk on an old server: aligned by SPF alone (no-dkim)",
        domain="example.com",
        ips=("192.0.2.30",),
        volume=_office(260),
        dkim=(),
        spf=("example.com", "pass"),
        aligned="spf",
    ),
    Source(
        about="a wave of forged invoices from 7 to 11 September (no-dkim, spf-fail)",
        domain="example.com",
        ips=_botnet(97, 107),
        volume=_wave(2600),
        dkim=(),
        spf=("example.com", "fail"),
        aligned="",
    ),
    Source(
        about="our own mail servers for the second brand",
        domain="example.net",
        ips=OURS,
        volume=_office(800),
        dkim=(("example.net", "mta2026", "pass"),),
        spf=("example.net", "pass"),
        aligned="dkim spf",
    ),
    Source(
        about="the mailing list again, where the policy is quarantine: receivers override it",
        domain="example.net",
        ips=("198.51.100.200",),
        volume=_office(60),
        dkim=(("example.net", "mta2026", "fail"), ("lists.community.example", "list", "pass")),
        spf=("lists.community.example", "pass"),
        aligned="",
        is_mailing_list=True,
    ),
    Source(
        about="the forged invoices, second brand",
        domain="example.net",
        ips=_botnet(97, 103),
        volume=_wave(700),
        dkim=(),
        spf=("example.net", "fail"),
        aligned="",
    ),
    Source(
        about="forged mail of the domain that sends none",
        domain="example.org",
        ips=_botnet(103, 111),
        volume=_wave(1100),
        dkim=(),
        spf=("example.org", "fail"),
        aligned="",
    ),
    Source(
        about="forged mail of a subdomain that does not exist",
        domain="example.org",
        ips=("198.51.100.110", "198.51.100.111"),
        volume=_wave(300),
        dkim=(),
        spf=("billing.example.org", "none"),
        aligned="",
        header_from="billing.example.org",
    ),
    Source(
        about="shop platform: DKIM aligned, the brand has no SPF record (no-spf)",
        domain="shop.example",
        ips=("198.51.100.160", "198.51.100.161"),
        volume=_office(700),
        dkim=(("shop.example", "plat", "pass"),),
        spf=("shop.example", "none"),
        aligned="dkim",
    ),
    Source(
        about="rating requests sent by a plugin, unsigned (no-dkim, no-spf)",
        domain="shop.example",
        ips=("198.51.100.170",),
        volume=_office(120),
        dkim=(),
        spf=("shop.example", "none"),
        aligned="",
    ),
)

XSI = (
    ' xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'  # as Outlook
)
NS_9990 = ' xmlns="urn:ietf:params:xml:ns:dmarc-2.0"'
NS_7489 = ' xmlns="http://dmarc.org/dmarc-xml/0.1"'

Delivery = Callable[[Shape, str, Envelope, bytes], tuple[str, bytes]]


def _as_zip(_shape: Shape, stem: str, _envelope: Envelope, xml: bytes) -> tuple[str, bytes]:
    return f"{stem}.zip", packing.zip_bytes((f"{stem}.xml", xml))


def _as_gzip(_shape: Shape, stem: str, _envelope: Envelope, xml: bytes) -> tuple[str, bytes]:
    return f"{stem}.xml.gz", packing.gzip_bytes(xml, f"{stem}.xml")


def _as_xml(_shape: Shape, stem: str, _envelope: Envelope, xml: bytes) -> tuple[str, bytes]:
    return f"{stem}.xml", xml


def _as_mail(media_type: str, *, inline: bool = False, note: str = "") -> Delivery:
    def deliver(_shape: Shape, stem: str, envelope: Envelope, xml: bytes) -> tuple[str, bytes]:
        packed = packing.gzip_bytes(xml, f"{stem}.xml")
        part = packing.attachment(packed, media_type, f"{stem}.xml.gz", inline=inline)
        content = packing.multipart("mixed", packing.text(note), part, boundary="report_section") if note else part
        return f"{stem}.eml", packing.mail(envelope, content)

    return deliver


def _as_outlook_mail(_shape: Shape, stem: str, envelope: Envelope, xml: bytes) -> tuple[str, bytes]:
    page = packing.text("<html><body>This is a DMARC aggregate report.</body></html>\n", "text/html; charset=us-ascii")
    logo = Part(b"GIF89a\x01\0\x01\0\0\0\0;", ("Content-Type: image/gif", "Content-ID: <logo>"))
    related = packing.multipart("related", page, logo, boundary="related_part")
    report = packing.attachment(packing.gzip_bytes(xml, f"{stem}.xml"), "application/gzip", f"{stem}.xml.gz")
    return f"{stem}.eml", packing.mail(envelope, packing.multipart("mixed", related, report, boundary="mixed_part"))


def _as_zip_mail(_shape: Shape, stem: str, envelope: Envelope, xml: bytes) -> tuple[str, bytes]:
    report = packing.attachment(packing.zip_bytes((f"{stem}.xml", xml)), "application/zip", f"{stem}.zip")
    note = packing.text("This is a DMARC aggregate report.\n")
    return f"{stem}.eml", packing.mail(envelope, packing.multipart("mixed", note, report, boundary="report_section"))


@dataclass(frozen=True, slots=True)
class Reporter:
    """A receiver that reports: its shape, its share of the mail, when it reports on what, and how it sends that."""

    shape: Shape
    share: float
    days: tuple[int, ...]
    domains: tuple[str, ...]
    delivery: Delivery


ALL = tuple(range(DAYS))
MAIN = ("example.com",)
BOTH = ("example.com", "example.net")
EVERY = ("example.com", "example.net", "example.org", "shop.example")

GOOGLE = Shape(
    org="google.com",
    submitter="google.example",
    contact="https://support.google.example/dmarc",
    declaration='<?xml version="1.0" encoding="UTF-8" ?>\n',
    policy=("domain", "adkim", "aspf", "p", "sp", "pct", "np"),
    dkim=("domain", "result", "selector"),
)
YAHOO = Shape(
    org="Yahoo",
    submitter="yahoo.example",
    declaration='<?xml version="1.0"?>\n',
    version="",
    policy=("domain", "adkim", "aspf", "p", "pct"),
    report_id="{begin}.{number}",
    tail="\t",
)
MICROSOFT = Shape(
    org="Enterprise Outlook",
    submitter="microsoft.example",
    declaration='<?xml version="1.0"?>\n',
    root=XSI,
    policy=("domain", "adkim", "aspf", "p", "sp", "pct", "fo"),
    spf=("domain", "scope", "result"),
    identifiers=("envelope_to", "envelope_from", "header_from"),
    end=DAY,
    report_id="{hex}",
)
GMX = Shape(
    org="GMX",
    submitter="gmx.example",
    root=NS_9990,
    policy=("domain", "p", "sp", "np", "adkim", "aspf"),
    spf=("domain", "scope", "result"),
    identifiers=("envelope_from", "header_from"),
    is_9990=True,
)
RECEIVER = Shape(
    org="Receiver Example",
    submitter="receiver.example",
    contact="postmaster@receiver.example",
    generator="example-reporter 2.1",
    root=f'{NS_9990} xmlns:x="https://receiver.example/dmarc-extension"',
    policy=("domain", "discovery_method", "p", "sp", "np", "fo", "adkim", "aspf", "testing"),
    dkim=("domain", "selector", "result", "human_result"),
    spf=("domain", "scope", "result", "human_result"),
    identifiers=("header_from", "envelope_from", "envelope_to"),
    report_id="{begin}.{number}@receiver.example",
    is_9990=True,
    extension="<extension><x:arc-seals>0</x:arc-seals></extension>",
    record_extension="<x:first-seen>2026-09-01</x:first-seen>",
)

REPORTERS = (
    Reporter(GOOGLE, 0.34, ALL, EVERY, _as_zip),
    Reporter(YAHOO, 0.12, ALL, MAIN, _as_mail("application/gzip", note="This is an aggregate report.\n")),
    Reporter(MICROSOFT, 0.22, ALL, MAIN, _as_outlook_mail),
    Reporter(MICROSOFT, 0.22, (1, 6, 7, 8, 10), ("example.net",), _as_outlook_mail),
    Reporter(
        replace(MICROSOFT, org="Outlook.com", submitter="outlook.example"), 0.06, (0, 4, 8, 12), MAIN, _as_outlook_mail
    ),
    Reporter(GMX, 0.05, (1, 6, 8, 10), BOTH, _as_gzip),
    Reporter(replace(GMX, org="WEB.DE", submitter="web.example"), 0.04, (2, 7, 9), MAIN, _as_gzip),
    Reporter(RECEIVER, 0.03, (0, 5, 7, 9), EVERY, _as_mail("application/gzip")),
    Reporter(
        Shape(
            org="Mail.Ru",
            submitter="mail-ru.example",
            contact="https://help.mail-ru.example/dmarc",
            version="",
            report_id="{number}{begin}",
        ),
        0.02,
        (2, 9),
        MAIN,
        _as_mail("application/gzip", note="This is a DMARC aggregate report.\n"),
    ),
    Reporter(
        Shape(
            org="Mimecast",
            submitter="mimecast.example",
            declaration='<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n',
            root=NS_7489,
            policy=("domain", "adkim", "aspf", "p", "sp", "pct", "fo"),
            spf=("domain", "scope", "result"),
            identifiers=("envelope_to", "envelope_from", "header_from"),
            report_id="{hex}",
        ),
        0.03,
        (1, 8),
        MAIN,
        _as_zip_mail,
    ),
    Reporter(
        Shape(org="Fastmail Pty Ltd", submitter="fastmail.example", report_id="{number}.{begin}"),
        0.02,
        (3, 8, 11),
        BOTH,
        _as_mail("application/gzip", inline=True, note="A DMARC report is attached.\n"),
    ),
    Reporter(
        Shape(
            org="AMAZON-SES",
            submitter="amazonses.example",
            spf=("domain", "scope", "result"),
            identifiers=("envelope_from", "header_from"),
            report_id="{hex}",
        ),
        0.02,
        (4, 8, 10),
        MAIN,
        _as_mail("application/octet-stream"),
    ),
    Reporter(
        Shape(
            org="comcast.net",
            submitter="comcast.example",
            version="",
            policy=("domain", "adkim", "aspf", "p", "sp", "pct", "fo"),
            spf=("domain", "scope", "result"),
            report_id="{domain}_{begin}",
            spf_first=True,
        ),
        0.03,
        (0, 6, 7),
        MAIN,
        _as_gzip,
    ),
    Reporter(
        Shape(
            org="mx.isp.example",
            submitter="isp.example",
            version="",
            dkim=("domain", "result"),
            report_id="{domain}:{end}",
        ),
        0.01,
        (6, 7),
        MAIN,
        _as_zip_mail,
    ),
    Reporter(
        Shape(
            org="rspamd receiver",
            submitter="rspamd-user.example",
            dkim=("domain", "result"),
            spf=("domain", "scope", "result"),
            report_id="{domain}.{begin}.{end}",
        ),
        0.01,
        (5, 7),
        MAIN,
        _as_mail("application/gzip", note="This is an aggregate report.\n"),
    ),
    Reporter(
        Shape(
            org="Cooperative Mail",
            submitter="coop.example",
            version="",
            policy=("domain", "p", "sp", "pct", "fo"),
            dkim=("domain", "selector", "result", "human_result"),
            spf=("domain", "scope", "result"),
            identifiers=("envelope_to", "envelope_from", "header_from"),
            report_id="{begin}",
        ),
        0.01,
        (3, 10),
        MAIN,
        _as_mail("application/gzip", inline=True, note="This is a DMARC aggregate report.\n"),
    ),
    Reporter(
        Shape(
            org="esa1.appliance.example",
            submitter="appliance.example",
            version="1.0",
            dkim=("domain", "selector", "result"),
            spf=("domain", "scope", "result"),
            identifiers=("header_from", "envelope_from", "envelope_to"),
            end=DAY + 23,
            report_id="{hex}",
        ),
        0.01,
        (1, 7, 9),
        MAIN,
        _as_mail("application/gzip", note="DMARC report.\n"),
    ),
    Reporter(
        Shape(
            org="163.com",
            submitter="netease.example",
            declaration="",
            version="",
            dkim=("domain", "result"),
            time="{}.0",
            report_id="<{number}@netease.example>",
        ),
        0.005,
        (8,),
        MAIN,
        _as_xml,
    ),
)


def files() -> tuple[Sample, ...]:
    """All files of the story, and last a mailbox: one report sent again, and a mail that is none."""
    made = tuple(_file(reporter, day, domain) for reporter, day, domain in _schedule())
    again = next(file for file in made if file.name.startswith("fastmail/"))
    bounce = packing.mail(
        Envelope("MAILER-DAEMON@example.com", "Undelivered Mail Returned to Sender", "bounce.1@example.com"),
        packing.text("The mail system could not deliver your message to nobody@example.net.\n"),
    )
    expected = Expected(outcomes=("duplicate", "not-a-report"), code="no-report", reports=0, records=0, mail_count=0)
    shows = "an mbox: a report that came twice, and a bounce that got into the mailbox"
    return (*made, Sample("mailbox.mbox", shows, packing.mbox((again.data, bounce)), expected))


def all_rows() -> Iterator[tuple[Row, ...]]:
    """The records of each report of the story."""
    for reporter, day, domain in _schedule():
        yield tuple(_rows(reporter, day, domain))


def _schedule() -> Iterator[tuple[Reporter, int, str]]:
    for reporter in REPORTERS:
        for day in reporter.days:
            for domain in reporter.domains:
                if any(_rows(reporter, day, domain)):
                    yield reporter, day, domain


def _file(reporter: Reporter, day: int, domain: str) -> Sample:
    shape = reporter.shape
    policy = next(policy for policy in POLICIES if policy.domain == domain)
    begin = FIRST_DAY + day * DAY
    rows = tuple(_rows(reporter, day, domain))
    report_id = reports.report_id(shape, policy, begin)
    envelope = Envelope(
        sender=f"dmarc-reports@{shape.submitter}",
        subject=f"Report Domain: {domain} Submitter: {shape.submitter} Report-ID: <{report_id.strip('<>')}>",
        message_id=f"{domain}.{begin}@{shape.submitter}",
        date=_mail_date(day + 1),
    )
    stem = f"{shape.submitter}!{domain}!{begin}!{begin + shape.end}"
    name, data = reporter.delivery(shape, stem, envelope, reports.xml(shape, policy, begin, rows))
    repairs = [("element-order", shape.spf_first), ("number-format", shape.time != "{}")]
    expected = Expected(
        repairs=tuple(code for code, is_met in repairs if is_met),
        records=len(rows),
        mail_count=sum(row.count for row in rows),
    )
    return Sample(f"{shape.submitter.removesuffix('.example')}/{name}", shape.org, data, expected)


def _mail_date(day: int) -> str:
    weekday = ("Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Mon")[day % 7]
    return f"{weekday}, {day + 1:02} Sep 2026 03:14:15 +0000"


def _rows(reporter: Reporter, day: int, domain: str) -> Iterator[Row]:
    policy = next(policy for policy in POLICIES if policy.domain == domain)
    for source in SOURCES:
        if source.domain != domain:
            continue
        for ip in source.ips:
            count = _share(source.volume(day) * reporter.share / len(source.ips), f"{reporter.shape.org} {day} {ip}")
            if count:
                yield _row(source, policy, reporter.shape, ip=ip, count=count)


def _share(mails: float, seed: str) -> int:
    """Vary a number of mails by up to a quarter, always in the same way."""
    octet = hashlib.sha256(seed.encode()).digest()[0]
    return round(mails * (0.75 + octet / 512))


def _row(source: Source, policy: Policy, shape: Shape, *, ip: str, count: int) -> Row:
    disposition, reasons = _judged(source, policy, shape)
    return Row(
        ip=ip,
        count=count,
        header_from=source.header_from or source.domain,
        envelope_from=source.spf[0],
        dkim=source.dkim,
        spf=source.spf,
        dkim_aligned="dkim" in source.aligned,
        spf_aligned="spf" in source.aligned,
        disposition=disposition,
        reasons=reasons,
        envelope_to=shape.submitter,
    )


def _judged(source: Source, policy: Policy, shape: Shape) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Give what the receiver did, and why when it was not what the policy asks for (RFC 9990 section 3.1.6)."""
    if source.aligned or policy.p == "none":
        return ("pass" if shape.is_9990 and policy.p != "none" else "none"), ()
    if source.is_mailing_list:
        return "none", (("mailing_list", "known mailing list"),)
    if policy.testing == "y" and shape.is_9990:
        return "none", (("policy_test_mode", "t=y"),)
    return policy.p, ()
