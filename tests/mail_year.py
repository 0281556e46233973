"""
The mail of a made-up domain, day by day, as receivers report it: real report files, in the mails that carry them.

The domain sends from a server of its own and through two services, of which one is not aligned at first. There are a
forwarder and a mailing list behind its mail, and a campaign of spoofers. Four receivers report, in the shapes of large
ones and in both dialects, a day to three late; one of them goes silent. Forgers send reports, too.

The same seed gives the same octets, as far as zlib does. What receivers do to failing mail is what the record of that
day asks for, so that the record is given in. Counts carry the volume: there are a handful of mails a day.
"""

import gzip
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from random import Random

from packing import Envelope, Part, attachment, mail, multipart, text
from reports import DAY, Policy, Row, Shape, report_id, xml
from story import GMX, GOOGLE, MICROSOFT, YAHOO

DOMAIN = "example.test"
RECEIVER = "mx.example.test"
"""The server that takes the reports in: its name in Authentication-Results."""
START = datetime(2026, 1, 1, tzinfo=UTC)
"""The midnight that day 0 begins with, a Thursday."""
FORGER = "forger.example"

_OFFICE = 0.4
"""Of the mail of a weekday, what there is on a Saturday or Sunday."""
_NOISE = 0.1


def midnight(day: int) -> datetime:
    """The moment that a day begins with."""
    return START + timedelta(days=day)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """
    Somebody who sends with the domain in the From line: from where, how many mails a weekday, and how it looks.

    `dkim` is (d=, s=, result) of each signature, `spf` is (domain, result); `passes` says which of both are aligned.
    """

    name: str
    addresses: tuple[str, ...]
    mails: int
    dkim: tuple[tuple[str, str, str], ...] = ()
    spf: tuple[str, str] = (DOMAIN, "fail")
    passes: str = ""
    is_list: bool = False


OWN = Sender(
    name="own server",
    addresses=("192.0.2.10", "192.0.2.11"),
    mails=400,
    dkim=((DOMAIN, "mta2026", "pass"),),
    spf=(DOMAIN, "pass"),
    passes="dkim spf",
)
NEWSLETTER = Sender(
    name="newsletter service",
    addresses=("198.51.100.20", "198.51.100.21"),
    mails=250,
    dkim=((DOMAIN, "news", "pass"), ("sendgrid.net", "s1", "pass")),
    spf=("bounce.sendgrid.net", "pass"),
    passes="dkim",
)
"""Known by its other signature, that of a well-known service."""
BILLING = Sender(
    name="billing service",
    addresses=("203.0.113.40",),
    mails=100,
    dkim=(("billing.example", "b1", "pass"),),
    spf=("billing.example", "pass"),
)
"""The one that is not aligned, until somebody gives it a key of the domain."""
FORWARDER = Sender(
    name="forwarder", addresses=("198.51.100.140",), mails=24, dkim=OWN.dkim, spf=(DOMAIN, "fail"), passes="dkim"
)
MAILING_LIST = Sender(
    name="mailing list",
    addresses=("2001:db8:115::25",),
    mails=16,
    dkim=((DOMAIN, "mta2026", "fail"), ("lists.example", "l1", "pass")),
    spf=("lists.example", "pass"),
    is_list=True,
)
LOUD = Sender(name="loud spoofer", addresses=("198.19.255.7",), mails=400)
"""A large one: somebody has to say that it is none of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """
    What happens when: days from 0 on.

    Billing is aligned from `aligned_from` on; Yahoo says nothing about the days from `silent_from` on; spoofers are at
    it during `campaign`, the loud one of them during `loud`; the own server's signatures are broken during `broken`.
    """

    aligned_from: int = 42
    silent_from: int = 50
    campaign: range = range(20, 100)
    loud: range = range(60, 76)
    broken: range = range(0)
    is_forged: bool = True


@dataclass(frozen=True, slots=True)
class Reporter:
    """A receiver: the shape of its reports, its share of the mail, how late it is, how it packs, and what it tells."""

    shape: Shape
    share: float
    lags: tuple[int, ...]
    packed: Callable[[str, bytes], Part]
    says_why: bool

    @property
    def name(self) -> str:
        """What it calls itself."""
        return self.shape.org


def _gzip(stem: str, content: bytes) -> Part:
    return attachment(gzip.compress(content, mtime=0), "application/gzip", f"{stem}.xml.gz")


def _zip(stem: str, content: bytes) -> Part:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(f"{stem}.xml", (2026, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return attachment(whole.getvalue(), "application/zip", f"{stem}.zip")


def _with_note(stem: str, content: bytes) -> Part:
    return multipart("mixed", text("This is an aggregate report.\n"), _gzip(stem, content))


def _outlook(stem: str, content: bytes) -> Part:
    page = text("<html><body>This is a DMARC aggregate report.</body></html>\n", "text/html; charset=us-ascii")
    logo = Part(b"GIF89a\x01\0\x01\0\0\0\0;", ("Content-Type: image/gif", "Content-ID: <logo>"))
    return multipart("mixed", multipart("related", page, logo, boundary="related"), _gzip(stem, content))


REPORTERS = (
    Reporter(GOOGLE, 0.5, (1, 1, 1, 2), _zip, says_why=True),
    Reporter(MICROSOFT, 0.25, (1, 2), _outlook, says_why=False),
    Reporter(YAHOO, 0.15, (1, 2, 3), _with_note, says_why=True),
    Reporter(replace(GMX, policy=(*GMX.policy, "testing")), 0.1, (1, 2, 3), _gzip, says_why=True),
)
SILENT = YAHOO.org
IMPERSONATED = (YAHOO.org, GMX.org)
"""Whose names a forger uses for reports in mail of its own."""
_FORGED = replace(GOOGLE, submitter=FORGER, contact="", report_id="{number}@forger.example")


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """
    A mail with a report about one day.

    `reporter` is who it says that it is, `sender` the domain in its From line; `is_authentic` tells whether that is so.
    """

    name: str
    day: int
    arrives: int
    reporter: str
    sender: str
    rows: tuple[Row, ...]
    is_authentic: bool
    octets: bytes


@dataclass(frozen=True)
class Year:
    """The whole of it: what happens, and a seed for what is left to chance."""

    plot: Plot = field(default_factory=Plot)
    seed: int = 2026

    def letters(self, day: int, record: str) -> tuple[Letter, ...]:
        """
        Write what is reported about a day.

        Args:
            day: The day.
            record: What stood in DNS then.
        """
        policy = _policy(record)
        real = [self._real(reporter, day, policy) for reporter in self.heard(day)]
        return (*real, *(self._forged(day, policy) if self.plot.is_forged else ()))

    def heard(self, day: int) -> tuple[Reporter, ...]:
        """Give those that report about a day."""
        return tuple(x for x in REPORTERS if x.name != SILENT or day < self.plot.silent_from)

    def senders(self, day: int) -> Iterator[Sender]:
        """Give those that send on a day, as they are then."""
        plot = self.plot
        is_broken = day in plot.broken
        yield _broken(OWN, "spf") if is_broken else OWN
        yield NEWSLETTER
        yield _mended(BILLING) if day >= plot.aligned_from else BILLING
        yield _broken(FORWARDER, "") if is_broken else FORWARDER
        yield MAILING_LIST
        if day in plot.campaign:
            yield from _spoofers(day)
        if day in plot.loud:
            yield LOUD

    def mails(self, sender: Sender, address: str, reporter: Reporter, day: int) -> int:
        """Give how many mails from an address of a sender a receiver got on a day."""
        weekend = _OFFICE if midnight(day).weekday() > 4 else 1.0
        noise = Random(f"{self.seed} {day} {reporter.name} {address}").uniform(1 - _NOISE, 1 + _NOISE)
        return round(sender.mails * reporter.share * weekend * noise / len(sender.addresses))

    def rows(self, reporter: Reporter, day: int, record: str) -> tuple[Row, ...]:
        """Give what a receiver counted on a day."""
        return tuple(self._rows(reporter, day, _policy(record)))

    def _rows(self, reporter: Reporter, day: int, policy: Policy) -> Iterator[Row]:
        for sender in self.senders(day):
            for address in sender.addresses:
                count = self.mails(sender, address, reporter, day)
                if count:
                    yield _row(sender, address, count, policy=policy, reporter=reporter)

    def _real(self, reporter: Reporter, day: int, policy: Policy) -> Letter:
        lag = Random(f"{self.seed} {day} {reporter.name}").choice(reporter.lags)
        rows = tuple(self._rows(reporter, day, policy))
        return _letter(reporter, policy, rows, day, arrives=day + lag, is_authentic=True)

    def _forged(self, day: int, policy: Policy) -> Iterator[Letter]:
        """
        Give what forgers send: the opposite of the truth, in large numbers.

        One calls itself a receiver that there is, with the very id that its report of the day has, and comes before it;
        its mail fails DMARC, and brings Authentication-Results that say otherwise. One has a domain, and mail that
        passes, and reports under its own name and those of two receivers.
        """
        claimed = self.heard(day)[day % 2]
        rows = tuple(_lies(self.plot, day, policy, claimed))
        yield _letter(claimed, policy, rows, day, arrives=day + 1, is_authentic=False)
        for name in (FORGER, *IMPERSONATED):
            posing = Reporter(replace(_FORGED, org=name), 1.0, (1,), _gzip, says_why=False)
            yield _letter(posing, policy, rows, day, arrives=day + 1, is_authentic=True)


def _broken(sender: Sender, passes: str) -> Sender:
    return replace(sender, dkim=((DOMAIN, "mta2026", "fail"),), passes=passes)


def _mended(sender: Sender) -> Sender:
    return replace(sender, dkim=((DOMAIN, "billing", "pass"), *sender.dkim), passes="dkim")


def _spoofers(day: int) -> Iterator[Sender]:
    """A dozen hosts out of as many networks, others every day; every third day one of them with SPF of its own."""
    for number in range(12):
        network = (number * 17 + day * 7) % 500
        address = f"198.{18 + network // 250}.{network % 250}.{number + 1}"
        is_signed = number == 0 and day % 3 == 0
        spf = (f"n{network}.example", "pass") if is_signed else (DOMAIN, "fail")
        yield Sender(name="spoofer", addresses=(address,), mails=2 if is_signed else 12, spf=spf)


def _lies(plot: Plot, day: int, policy: Policy, reporter: Reporter) -> Iterator[Row]:
    if day < plot.aligned_from or day in plot.broken:
        yield _row(_mended(BILLING), BILLING.addresses[0], 10**7, policy=policy, reporter=reporter)
        yield _row(OWN, OWN.addresses[0], 10**6, policy=policy, reporter=reporter)
    else:
        yield _row(
            replace(_broken(OWN, ""), spf=(DOMAIN, "fail")), OWN.addresses[0], 10**6, policy=policy, reporter=reporter
        )
        yield _row(
            replace(NEWSLETTER, dkim=(), passes=""), NEWSLETTER.addresses[0], 10**6, policy=policy, reporter=reporter
        )
    invented = replace(OWN, name="invented", addresses=("198.19.254.99",))
    yield _row(invented, invented.addresses[0], 10**6, policy=policy, reporter=reporter)


def _policy(record: str) -> Policy:
    pairs = (tag.partition("=") for tag in record.split(";"))
    tags = {name.strip(): value.strip() for name, _, value in pairs}
    return Policy(DOMAIN, tags["p"], tags.get("sp", ""), tags.get("np", ""), tags.get("t", ""))


def _row(sender: Sender, address: str, count: int, *, policy: Policy, reporter: Reporter) -> Row:
    disposition, reasons = _judged(sender, policy, reporter)
    return Row(
        ip=address,
        count=count,
        header_from=DOMAIN,
        envelope_from=sender.spf[0],
        dkim=sender.dkim,
        spf=sender.spf,
        dkim_aligned="dkim" in sender.passes,
        spf_aligned="spf" in sender.passes,
        disposition=disposition,
        reasons=reasons,
        envelope_to=reporter.shape.submitter,
    )


def _judged(sender: Sender, policy: Policy, reporter: Reporter) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Give what a receiver did, and why when it was not what the policy asks for (RFC 9990 section 3.1.6)."""
    is_9990 = reporter.shape.is_9990
    if sender.passes:
        return ("pass" if is_9990 and policy.p != "none" else "none"), ()
    if sender.is_list and reporter.says_why:
        return "none", (("mailing_list", "known mailing list"),)
    if policy.testing == "y" and is_9990 and policy.p != "none":
        return "none", (("policy_test_mode", "t=y"),)
    return policy.p, ()


def _letter(
    reporter: Reporter, policy: Policy, rows: tuple[Row, ...], day: int, *, arrives: int, is_authentic: bool
) -> Letter:
    shape, begin = reporter.shape, int(midnight(day).timestamp())
    unique = report_id(shape, policy, begin).strip("<>")
    stem = f"{shape.submitter}!{DOMAIN}!{begin}!{begin + shape.end}"
    kind = f"{'a' if is_authentic else 'F'}-{reporter.name.replace(' ', '-')}"
    name = f"{begin + arrives * DAY}.{day}{kind}.{shape.submitter}"
    envelope = Envelope(
        sender=f"dmarc-reports@{shape.submitter}",
        subject=f"Report Domain: {DOMAIN} Submitter: {shape.submitter} Report-ID: <{unique}>",
        message_id=f"{name}@{shape.submitter}",
        date=format_datetime(midnight(arrives)),
        recipient=f"dmarc@{DOMAIN}",
        more=tuple(_trace(shape.submitter, midnight(arrives), is_authentic=is_authentic)),
    )
    return Letter(
        name=name,
        day=day,
        arrives=arrives,
        reporter=reporter.name,
        sender=shape.submitter,
        rows=rows,
        is_authentic=is_authentic,
        octets=mail(envelope, reporter.packed(stem, xml(shape, policy, begin, rows))),
    )


def _trace(domain: str, moment: datetime, *, is_authentic: bool) -> Iterator[str]:
    passed = f"dmarc=pass header.from={domain};\n dkim=pass header.d={domain}; spf=pass smtp.mailfrom={domain}"
    failed = f"dmarc=fail header.from={domain};\n dkim=none; spf=fail smtp.mailfrom={domain}"
    host = f"out.{domain}" if is_authentic else "host.elsewhere.example"
    yield f"Return-Path: <dmarc-reports@{domain}>"
    yield f"Authentication-Results: {RECEIVER};\n {passed if is_authentic else failed}"
    yield f"Received: from {host} ({host} [203.0.113.250])\n by {RECEIVER} with ESMTPS; {format_datetime(moment)}"
    if not is_authentic:
        yield f"Authentication-Results: {RECEIVER};\n {passed}"


@dataclass
class Postbox:
    """A Maildir, and the mails that are under way to it."""

    folder: Path
    under_way: list[Letter] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("cur", "new", "tmp"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def send(self, letters: Iterable[Letter]) -> None:
        """Take mails that arrive some day."""
        self.under_way.extend(letters)

    def deliver(self, day: int) -> list[Letter]:
        """Put what has arrived by a day into the Maildir, and return it."""
        arrived = [letter for letter in self.under_way if letter.arrives <= day]
        self.under_way = [letter for letter in self.under_way if letter.arrives > day]
        for letter in arrived:
            (self.folder / "new" / letter.name).write_bytes(letter.octets)
        return arrived


def counted(letters: Iterable[Letter]) -> Mapping[tuple[str, int, str], int]:
    """Give how many mails authentic reports count, by the name of the reporter, in lower case, day and address."""
    sums: dict[tuple[str, int, str], int] = {}
    for letter in letters:
        for row in letter.rows if letter.is_authentic else ():
            key = letter.reporter.lower(), letter.day, row.ip
            sums[key] = sums.get(key, 0) + row.count
    return sums
