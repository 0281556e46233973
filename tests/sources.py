"""Messages and sources for the tests of the flows: they behave, and misbehave in the ways that real ones do."""

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from dmarcops.errors import BadInput, MailError
from dmarcops.ports import Handling, Message

REPORT = """<?xml version="1.0" encoding="UTF-8"?>
<feedback><version>1.0</version>
<report_metadata><org_name>receiver.example</org_name><email>dmarc@receiver.example</email><report_id>{number}</report_id>
<date_range><begin>1767225600</begin><end>1767311999</end></date_range></report_metadata>
<policy_published><domain>example.com</domain><p>none</p><sp>none</sp><pct>100</pct><fo>0</fo></policy_published>
{records}</feedback>
"""
RECORD = """<record><row><source_ip>192.0.2.{last}</source_ip><count>{count}</count><policy_evaluated>
<disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated></row>
<identifiers><header_from>example.com</header_from></identifiers>
<auth_results><dkim><domain>example.com</domain><selector>{selector}</selector><result>pass</result></dkim></auth_results>
</record>
"""


def document(number: int = 1, *, records: int = 1, selectors: int = 1) -> bytes:
    """Write a report; of its records `n` says 1 + n % 7 mails, and each has one of so many selectors."""
    rows = (RECORD.format(last=n % 256, count=1 + n % 7, selector=f"s{n % selectors}") for n in range(records))
    return REPORT.format(number=number, records="".join(rows)).encode()


@dataclass(frozen=True)
class Held:
    """A message in memory."""

    origin: str
    data: bytes

    def open(self) -> BinaryIO:
        """Open it."""
        return io.BytesIO(self.data)


@dataclass(frozen=True)
class Unreadable:
    """A message that cannot be read now."""

    origin: str

    def open(self) -> BinaryIO:
        """Fail."""
        raise OSError(5, "Input/output error")


@dataclass(frozen=True)
class TooBig:
    """A message that is not to be read."""

    origin: str

    def open(self) -> BinaryIO:
        """Refuse."""
        raise BadInput("mail-too-big", "100 octets, more than 10", outcome="unsupported")


@dataclass(frozen=True)
class Deadly:
    """A message that ends the process that looks at it."""

    origin: str

    def open(self) -> BinaryIO:
        """End the process."""
        os._exit(9)


@dataclass(frozen=True)
class Mine:
    """A message that ends the process the first time, and can be read from then on."""

    origin: str
    data: bytes
    trodden: Path

    def open(self) -> BinaryIO:
        """End the process, or not."""
        if self.trodden.exists():
            return io.BytesIO(self.data)
        self.trodden.touch()
        os._exit(9)


@dataclass
class Source:
    """A source that keeps what it was told; `fails_after` batches it fails."""

    given: Sequence[Sequence[Message]]
    checkpoint: str = "done"
    fails_after: int | None = None
    name: str = "test"
    settled: list[tuple[str, Handling]] = field(default_factory=list)
    began_at: list[str] = field(default_factory=list)
    kept_alive: int = 0

    def batches(self, checkpoint: str) -> Iterator[Sequence[Message]]:
        """Give the batches."""
        self.began_at.append(checkpoint)
        for number, batch in enumerate(self.given):
            if number == self.fails_after:
                raise MailError("the connection is lost", transient=True)
            yield batch

    def settle(self, handled: Sequence[tuple[Message, Handling]]) -> str:
        """Remember what is settled."""
        self.settled += [(message.origin, handling) for message, handling in handled]
        return self.checkpoint

    def keep_alive(self) -> None:
        """Count."""
        self.kept_alive += 1

    def wait(self, seconds: float) -> bool:
        """Say that nothing is new."""
        return seconds < 0

    def close(self) -> None:
        """Do nothing."""
