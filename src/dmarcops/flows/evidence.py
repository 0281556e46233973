"""
Evidence: what mail in mailboxes and files proves of a key, joined with our own check of its signatures against DNS.

Only mail that was signed since the key was activated counts: by the signature's own time, else by the mail's Date, both
of which are the signing side's own. A mail without either counts for nothing. Changes nothing in a mailbox.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Protocol

from dmarcops.dkim.evidence import (
    MessageEvidence,
    Overall,
    OwnCheck,
    Question,
    Thresholds,
    judge,
    overall,
)
from dmarcops.dkim.header_fields import Header, parse_header
from dmarcops.dkim.lifecycle import Key, Stage
from dmarcops.dkim.signature_field import parse_signature
from dmarcops.dkim.trust import IsAligned, Trust
from dmarcops.errors import BadInput, DmarcopsError, EdgeError
from dmarcops.flows.outside import Testimony
from dmarcops.flows.signature import MAX_MAIL, check_signature
from dmarcops.ports import MailSearch, MailSource, Message, TxtLookup

SLACK = timedelta(minutes=1)
"""How much a signer's clock may be behind ours."""
_LOOKED_BACK = timedelta(days=30)
"""How far back mail is looked through at most, for a key that was activated long ago."""
_JUDGED = frozenset((Stage.ACTIVE, Stage.VERIFIED))


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox to look into, and whose results may be trusted there."""

    source: MailSource
    authserv_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail that was received, and whose results may be trusted in it."""

    origin: str
    octets: bytes = field(repr=False)
    header: Header = field(repr=False)
    authserv_ids: tuple[str, ...]


class Reporting(Protocol):
    """Who counts the mail that passed by authenticated aggregate reports."""

    def __call__(self, domain: str, selector: str, since: datetime, /) -> int:
        """Count it for a selector, in reports that began after a moment."""
        ...


def mails(mailboxes: Iterable[Mailbox], since: datetime, problems: list[DmarcopsError]) -> Iterator[Mail]:
    """
    Give the mails that arrived in mailboxes since a moment, and perhaps older ones.

    Args:
        mailboxes: Where to look; each is closed afterwards.
        since: From when on.
        problems: Is added to for each mailbox that cannot be read.
    """
    for mailbox in mailboxes:
        try:
            for message in _messages(mailbox.source, since):
                yield from read(message, mailbox.authserv_ids)
        except EdgeError as error:
            error.args = (f"{mailbox.source.name}: {error}",)
            problems.append(error)
        finally:
            mailbox.source.close()


def read(message: Message, authserv_ids: tuple[str, ...]) -> Iterator[Mail]:
    """Give a mail that was opened; nothing when it cannot be read, as one that is gone or too large."""
    try:
        with message.open() as stream:
            octets = stream.read(MAX_MAIL + 1)
    except (OSError, BadInput):
        return
    yield Mail(origin=message.origin, octets=octets, header=parse_header(octets), authserv_ids=authserv_ids)


def evidence_of(
    mail: Mail, domain: str, selector: str, *, is_aligned: IsAligned, dns: TxtLookup | None
) -> MessageEvidence:
    """Say what one mail proves about a selector; without `dns` its signature is not checked."""
    question = Question(domain, selector, Trust(mail.authserv_ids, is_aligned), is_aligned)
    own = OwnCheck.UNKNOWN
    if dns is not None:
        own = check_signature(mail.octets, domain=domain, selector=selector, resolver=dns)
    return judge(mail.header, question, origin=mail.origin, signature=own)


def examine(
    found: Iterable[Mail],
    domain: str,
    selector: str,
    *,
    is_aligned: IsAligned,
    dns: TxtLookup | None,
    since: datetime | None,
) -> list[MessageEvidence]:
    """
    Say of each mail what it proves about a selector, for a person to see.

    Args:
        found: The mails.
        domain: The signing domain.
        selector: The selector.
        is_aligned: Relaxed alignment.
        dns: Who checks signatures, if anybody.
        since: Leave out mail of others, and what was signed with the selector before this; `None` leaves out nothing.
    """
    evidence = []
    for mail in found:
        moment = signed_at(mail.header, domain, selector)
        if since is not None and moment is not None and moment < since - SLACK:
            continue
        said = evidence_of(mail, domain, selector, is_aligned=is_aligned, dns=dns)
        if since is None or said.selector:
            evidence.append(said)
    return evidence


def signed_at(header: Header, domain: str, selector: str) -> datetime | None:
    """Give when a mail was signed with a selector, `None` when it was not, or does not say when."""
    signatures = [parse_signature(value) for value in header.values("dkim-signature")]
    wanted = [each for each in signatures if (each.domain, each.selector) == (domain, selector)]
    if not wanted:
        return None
    times = [each.signed_at for each in wanted if each.signed_at is not None]
    return _moment(max(times)) if times else _date(header)


@dataclass(frozen=True, slots=True)
class _Held:
    """Says of every name that the record that we hold is there."""

    record: bytes

    def txt(self, _name: str, /) -> tuple[bytes, ...]:
        return (self.record,)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailWitness:
    """
    The `Witness` by mailboxes, and by reports where that is wanted.

    `domains` are those that are signed with the keys: each needs its own proof.
    """

    domains: tuple[str, ...]
    mailboxes: tuple[Mailbox, ...]
    thresholds: Thresholds
    is_aligned: IsAligned
    dns: TxtLookup | None
    reporting: Reporting | None = None

    def testify(self, keys: Sequence[Key], now: datetime) -> Testimony:
        """Say what mail that was signed since each of some keys was activated proves of it."""
        problems: list[DmarcopsError] = []
        found: dict[tuple[str, str], list[MessageEvidence]] = {}
        last: dict[str, datetime] = {}
        since = {key.selector: max(key.activated or key.since, now - _LOOKED_BACK) - SLACK for key in keys}
        for mail in mails(self.mailboxes, min(since.values(), default=now), problems):
            for key, domain, moment in self._signed(mail, keys):
                if moment < since[key.selector] or not self._may_be_ours(mail, domain, key):
                    continue
                last[key.selector] = max(moment, last.get(key.selector, moment))
                if key.stage in _JUDGED:
                    evidence = evidence_of(mail, domain, key.selector, is_aligned=self.is_aligned, dns=self.dns)
                    found.setdefault((key.selector, domain), []).append(evidence)
        verdicts = {key.selector: self._verdict(key, found, problems) for key in keys if key.stage in _JUDGED}
        return Testimony(verdicts=verdicts, last_signed=last, problems=tuple(problems))

    def _signed(self, mail: Mail, keys: Sequence[Key]) -> Iterator[tuple[Key, str, datetime]]:
        """Give the keys that a mail is signed with, for which domain, and when."""
        for key in keys:
            for domain in self.domains:
                moment = signed_at(mail.header, domain, key.selector)
                if moment is not None:
                    yield key, domain, moment

    def _may_be_ours(self, mail: Mail, domain: str, key: Key) -> bool:
        """
        Tell whether a signature by a key that is replaced may have been made with it: anybody can write its names.

        It is held against the record that we hold, not that of DNS: a record that is broken there for a while says
        nothing of who signed.
        """
        if self.dns is None or key.stage in _JUDGED or not key.record:
            return True
        own = check_signature(mail.octets, domain=domain, selector=key.selector, resolver=_Held(key.record.encode()))
        return own is not OwnCheck.FAIL

    def _verdict(
        self, key: Key, found: Mapping[tuple[str, str], Sequence[MessageEvidence]], problems: list[DmarcopsError]
    ) -> str:
        """Give the worst verdict over the domains that are signed with a key."""
        verdicts = []
        for domain in self.domains:
            verdict = overall(found.get((key.selector, domain), ()), self.thresholds)
            if verdict in {Overall.WAITING, Overall.INCONCLUSIVE} and self._is_reported(key, domain, problems):
                verdict = Overall.PASS
            verdicts.append(verdict)
        order = (Overall.FAIL, Overall.INCONCLUSIVE, Overall.WAITING, Overall.PASS)
        return min(verdicts, key=order.index).value

    def _is_reported(self, key: Key, domain: str, problems: list[DmarcopsError]) -> bool:
        if self.reporting is None:
            return False
        try:
            count = self.reporting(domain, key.selector, key.activated or key.since)
        except DmarcopsError as error:
            problems.append(error)
            return False
        return count >= self.thresholds.min_messages


def _messages(source: MailSource, since: datetime) -> Iterator[Message]:
    if isinstance(source, MailSearch):
        yield from source.search(since)
        return
    # Nothing is settled, and so nothing is changed.
    for batch in source.batches(""):
        yield from batch


def _date(header: Header) -> datetime | None:
    for value in header.values("date")[:1]:
        try:
            moment = parsedate_to_datetime(value)
            # The last day of the calendar in a zone west of UTC is in the year 10000
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
    return None


def _moment(seconds: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
