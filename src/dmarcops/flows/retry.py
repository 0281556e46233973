"""
Retry: what the ledger says was not stored in full, looked at again, from the octets that were kept.

What is not kept is opened anew where it stood, if that is a file that is still there.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from dmarcops.ports import Handling, Message
from dmarcops.store.engine import Store
from dmarcops.store.ledger import retryable

BATCH_BYTES = 32 << 20
"""Octets of kept messages held in memory at a time; a larger message has a batch of its own."""


@dataclass(frozen=True, slots=True)
class KeptMessage:
    """A message whose octets the store kept."""

    origin: str
    data: bytes

    def open(self) -> BinaryIO:
        """Open its octets."""
        return BytesIO(self.data)


class RetrySource:
    """
    The open messages of a store's ledger, as a source.

    Args:
        store: The store.
        reopen: Gives the message that stands at an origin, `None` when there is none any more.
    """

    name = "ledger"

    def __init__(self, store: Store, reopen: Callable[[str], Message | None]) -> None:
        self._store, self._reopen = store, reopen
        self.gone = 0
        """Messages that are neither kept nor where they were."""

    def batches(self, checkpoint: str) -> Iterator[Sequence[Message]]:  # noqa: ARG002 - the ledger itself is one
        """Give the messages, the oldest first."""
        batch: list[Message] = []
        octets = 0
        for origin, _, data in retryable(self._store):
            message = self._reopen(origin) if data is None else KeptMessage(origin, data)
            if message is None:
                self.gone += 1
                continue
            if batch and octets + len(data or b"") > BATCH_BYTES:
                yield batch
                batch, octets = [], 0
            batch.append(message)
            octets += len(data or b"")
        if batch:
            yield batch

    def settle(self, handled: Sequence[tuple[Message, Handling]]) -> str:  # noqa: ARG002 - recording settles
        """Do nothing: the store drops what it kept of a message when that is stored."""
        return ""

    def keep_alive(self) -> None:
        """Do nothing."""

    def wait(self, seconds: float) -> bool:  # noqa: ARG002 - tried once
        """Say at once that nothing more will come."""
        return False

    def close(self) -> None:
        """Do nothing."""
