"""
Probes: mails of our own to mailboxes of our own, so that a key is proved although nobody else writes just now.

Each has a token, by which it is known again; what comes back is judged as any other mail.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid

from dmarcops.errors import DmarcopsError, EdgeError
from dmarcops.flows.evidence import Mail, Mailbox, mails
from dmarcops.ports import Submission

TOKEN_FIELD = "X-Dmarcops-Probe"  # noqa: S105 - the name of a header field
"""The field in which a probe has its token."""
_PAUSE_SECONDS = 2.0
_SLACK = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """
    Probes of one domain, ready to be sent.

    Args:
        submission: Who takes them.
        sender: From whom they are; an address of the domain, or of one that is aligned with it.
        recipients: The seed addresses.
        token: Gives a text that nobody can guess.
        clock: Tells the time.
    """

    submission: Submission
    sender: str
    recipients: tuple[str, ...]
    token: Callable[[], str]
    clock: Callable[[], datetime]

    def send(self) -> str:
        """
        Send one to each recipient.

        Returns:
            The token that they all have.

        Raises:
            MailError: One was not taken.
        """
        token = self.token()
        for recipient in self.recipients:
            mail = self._mail(recipient, token)
            self.submission.send(mail, sender=self.sender, recipient=recipient)
        return token

    def _mail(self, recipient: str, token: str) -> bytes:
        mail = EmailMessage(policy=SMTP)
        mail["From"], mail["To"] = self.sender, recipient
        mail["Subject"] = f"DKIM probe {token}"
        mail["Date"] = format_datetime(self.clock())
        mail["Message-ID"] = make_msgid(domain=self.sender.rpartition("@")[2])
        mail[TOKEN_FIELD] = token
        mail.set_content("This mail shows whether mail of this domain verifies. It may be deleted.\n")
        return mail.as_bytes()


@dataclass(slots=True, kw_only=True)
class Seeds:
    """
    The mailboxes that probes come back to, while they are waited for.

    Args:
        mailboxes: All of them; one that will not be readable later either is left out from then on.
        sleep: Waits so many seconds.
        elapsed: Tells the seconds since some moment.
    """

    mailboxes: list[Mailbox]
    sleep: Callable[[float], object]
    elapsed: Callable[[], float]
    _lost: list[DmarcopsError] = field(default_factory=list)
    _late: list[DmarcopsError] = field(default_factory=list)

    @property
    def problems(self) -> tuple[DmarcopsError, ...]:
        """What could not be read: for good, or the last time that it was looked."""
        return (*self._lost, *self._late)

    def can_be_read(self, now: datetime) -> bool:
        """Tell whether any of them can be, before something is sent to them; `problems` say why the others cannot."""
        count = len(self.mailboxes)
        deque(self._look(now), maxlen=0)
        return len(self.problems) < count

    def wait_for(self, token: str, *, expected: int, since: datetime, seconds: float) -> list[Mail]:
        """
        Wait until probes have come back.

        Args:
            token: Theirs.
            expected: How many there are.
            since: When they were sent.
            seconds: How long to wait at most.

        Returns:
            Those that are there by then.
        """
        end = self.elapsed() + seconds
        while True:
            found = [mail for mail in self._look(since - _SLACK) if token in mail.header.values(TOKEN_FIELD.lower())]
            left = end - self.elapsed()
            if len(found) >= expected or left <= 0 or not self.mailboxes:
                return found
            self.sleep(min(_PAUSE_SECONDS, left))

    def _look(self, since: datetime) -> Iterator[Mail]:
        self._late.clear()
        for mailbox in tuple(self.mailboxes):
            problems: list[DmarcopsError] = []
            yield from mails([mailbox], since, problems)
            is_late = all(isinstance(each, EdgeError) and each.transient for each in problems)
            (self._late if is_late else self._lost).extend(problems)
            if not is_late:
                self.mailboxes.remove(mailbox)
