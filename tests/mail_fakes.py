"""Mailboxes and mails in memory, for tests of the flows that look into them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from typing import BinaryIO

from dmarcops.errors import DmarcopsError
from dmarcops.ports import Handling, Message


@dataclass(frozen=True)
class Octets:
    """A message in memory."""

    origin: str
    octets: bytes = b""
    fault: Exception | None = None

    def open(self) -> BinaryIO:
        if self.fault:
            raise self.fault
        return BytesIO(self.octets)


@dataclass
class Box:
    """A mailbox in memory that cannot be searched through."""

    found: Sequence[Octets] = ()
    fault: DmarcopsError | None = None
    is_closed: bool = False
    name: str = "seed"

    def batches(self, checkpoint: str) -> Iterator[Sequence[Message]]:
        assert checkpoint == ""
        yield self.found
        if self.fault:
            raise self.fault

    def settle(self, handled: Sequence[tuple[Message, Handling]]) -> str:
        raise AssertionError(handled)

    def keep_alive(self) -> None: ...

    def wait(self, seconds: float) -> bool:
        raise AssertionError(seconds)

    def close(self) -> None:
        self.is_closed = True


@dataclass
class Searchable(Box):
    """One that can."""

    asked: list[datetime] = field(default_factory=list)

    def search(self, since: datetime) -> Iterator[Message]:
        self.asked.append(since)
        yield from self.found
