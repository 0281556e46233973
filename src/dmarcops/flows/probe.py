"""
Probes: mails of our own to mailboxes of our own, so that a key is proved although nobody else writes just now.

Each has a token, by which it is known again; what comes back is judged as any other mail.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid

from dmarcops.errors import DmarcopsError
from dmarcops.flows.evidence import Mail, Mailbox, mails
from dmarcops.ports import Submission

TOKEN_FIELD = "X-Dmarcops-Probe"  # noqa: S105 - the name of a header field
"""The field in which a probe has its token."""
_PAUSE_SECONDS = 2.0


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


def wait_for(  # noqa: PLR0913 - all are needed, and all but two by name
    mailboxes: Sequence[Mailbox],
    token: str,
    *,
    expected: int,
    since: datetime,
    seconds: float,
    problems: list[DmarcopsError],
    sleep: Callable[[float], object],
) -> list[Mail]:
    """
    Wait until probes have come back.

    Args:
        mailboxes: Where they arrive.
        token: Theirs.
        expected: How many there are.
        since: When they were sent.
        seconds: How long to wait at most.
        problems: Is filled with what could not be read the last time that it was looked.
        sleep: Waits so many seconds.

    Returns:
        Those that are there by then.
    """
    left = seconds
    while True:
        problems.clear()
        found = list(_with_token(mails(mailboxes, since - timedelta(minutes=1), problems), token))
        if len(found) >= expected or left <= 0:
            return found
        sleep(min(_PAUSE_SECONDS, left))
        left -= _PAUSE_SECONDS


def _with_token(found: Iterator[Mail], token: str) -> Iterator[Mail]:
    name = TOKEN_FIELD.lower()
    return (mail for mail in found if token in mail.header.values(name))
