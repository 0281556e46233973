"""
Ingest: messages in, reports and one ledger line a message in the store.

Each message is looked at without the store (in worker processes when there are several), then a batch of them is
recorded in one transaction, and only then the source may archive them. A message counts as handled when that
transaction is committed; killed anywhere, the same call again ends in the same state, since what is known already is a
duplicate.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from functools import partial
from itertools import islice

from dmarcops.errors import DmarcopsError, UnstorableError
from dmarcops.flows.look import Found, Looked, defect, reread
from dmarcops.flows.lookers import Lookers, Task
from dmarcops.flows.rules import Rules
from dmarcops.ports import Handling, MailSource, Message, Progress
from dmarcops.report.align import OrganizationalDomain
from dmarcops.store.checkpoints import load_checkpoint, save_checkpoint
from dmarcops.store.engine import Store
from dmarcops.store.intake import IncomingMessage, IncomingPayload, IncomingRejection, IncomingReport, Outcome
from dmarcops.store.reports import MessageResult, record

BATCH_RECORDS = 20_000
"""Records after which a transaction is closed; a larger report has one of its own."""
BATCH_OCTETS = 32 << 20
"""Octets of messages to be kept after which it is closed."""

_ARCHIVED = frozenset((Outcome.STORED, Outcome.DUPLICATE, Outcome.CONFLICT))


@dataclass(slots=True)
class Totals:
    """
    What an ingest did: the contract's JSON, without the time it took.

    `records` and `mail_count` are those of the new reports, `repaired` the number of new reports that were not as the
    standard has it; `unreadable` says of each message that could not be read at all why.
    """

    messages: int = 0
    payloads: int = 0
    new: int = 0
    duplicate: int = 0
    conflict: int = 0
    rejected: int = 0
    not_a_report: int = 0
    retry: int = 0
    records: int = 0
    mail_count: int = 0
    repaired: int = 0
    unreadable: list[str] = field(default_factory=list)

    def include(self, other: "Totals") -> None:
        """Add the figures of another ingest."""
        for name in (key.name for key in fields(self)):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def add(self, result: MessageResult) -> None:
        """Count a message that was recorded."""
        self.messages += 1
        self.payloads += len(result.payloads)
        for payload in result.payloads:
            match payload.outcome:
                case Outcome.STORED:
                    self.new += 1
                    self.records += payload.record_count
                    self.mail_count += payload.mail_count
                    self.repaired += bool(payload.repairs)
                case Outcome.DUPLICATE:
                    self.duplicate += 1
                case Outcome.CONFLICT:
                    self.conflict += 1
                case Outcome.NOT_A_REPORT:
                    self.not_a_report += 1
                case Outcome.RETRY:
                    self.retry += 1
                case _:
                    self.rejected += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingest:
    """
    What an ingest works with.

    `is_stopped` is asked before each batch: when it says so, what is under way is finished and no more begun.
    """

    store: Store
    lookers: Lookers
    rules: Rules
    organizational_domain: OrganizationalDomain
    clock: Callable[[], datetime]
    progress: Progress
    is_stopped: Callable[[], bool] = lambda: False

    def run(self, source: MailSource, totals: Totals) -> None:
        """
        Take in what the source has now, from its checkpoint on; what was done before an error stays done and counted.

        Args:
            source: Where messages come from.
            totals: Is added to as batches are committed.

        Raises:
            EdgeError: The source failed.
            StoreError: The store failed; the batch in hand is not in it, and not settled.
        """
        under_way: deque[tuple[Sequence[Message], list[Task]]] = deque()
        try:
            for batch in source.batches(load_checkpoint(self.store, source.name)):
                if self.is_stopped():
                    break
                under_way.append((batch, self.lookers.submit(batch, self.rules)))
                while len(under_way) > self.lookers.most_batches:
                    self._finish(source, *under_way[0], totals)
                    under_way.popleft()
            while under_way:
                self._finish(source, *under_way[0], totals)
                under_way.popleft()
        finally:
            for _, tasks in under_way:
                self.lookers.give_up(tasks)

    def _finish(self, source: MailSource, batch: Sequence[Message], tasks: list[Task], totals: Totals) -> None:
        """Record a batch that is looked at, in as few transactions as its size allows, and settle it."""
        handled: list[tuple[Message, Handling]] = []
        messages = iter(batch)
        for group in _groups(self.lookers.results(tasks, source.keep_alive)):
            own = list(islice(messages, len(group)))
            results = self._record(group, own)
            for message, looked, result in zip(own, group, results, strict=True):
                totals.add(result)
                if looked.problem:
                    totals.unreadable.append(looked.problem)
                handled.append((message, _handling(looked, result)))
            self.progress.advance(len(group))
        checkpoint = source.settle(handled)
        if checkpoint:
            save_checkpoint(self.store, source.name, checkpoint, self.clock())

    def _record(self, group: Sequence[Looked], messages: Sequence[Message]) -> Sequence[MessageResult]:
        """Record messages in one transaction, or one by one when a defect of ours keeps them out."""
        try:
            results = self._recorded(group)
            if isinstance(results, Exception):
                return [self._record_alone(looked, message) for looked, message in zip(group, messages, strict=True)]
            return results
        finally:
            for looked in group:
                looked.release()

    def _record_alone(self, looked: Looked, message: Message) -> MessageResult:
        """Record a message, or in its place that a defect of ours keeps it out."""
        results = self._recorded([looked])
        if isinstance(results, Exception):
            reason = defect(looked.origin, results)
            rejection = IncomingRejection(looked.origin, looked.sha256, "defect", reason, Outcome.RETRY)
            whole = looked if looked.raw is not None else reread(message, looked, self.rules.kept_bytes)
            results = self._recorded([replace(whole, payloads=(rejection,))])
            if isinstance(results, Exception):
                raise results
        return results[0]

    def _recorded(self, group: Sequence[Looked]) -> tuple[MessageResult, ...] | Exception:
        """Record messages in one transaction; gives the defect of ours that kept them out, if one did."""
        try:
            return record(self.store, [self._incoming(looked) for looked in group], self.clock())
        except UnstorableError as error:
            return error
        except (DmarcopsError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - a defect of ours must not keep the other messages out
            return error

    def _incoming(self, looked: Looked) -> IncomingMessage:
        payloads: list[IncomingPayload] = [
            IncomingReport(
                x.origin, x.report, partial(x.records.chunks, self.organizational_domain), x.authenticated, x.carrier
            )
            if isinstance(x, Found)
            else x
            for x in looked.payloads
        ]
        return IncomingMessage(looked.origin, looked.sha256, tuple(payloads), looked.raw)


def _groups(looked: Iterable[Looked]) -> Iterator[list[Looked]]:
    """Give what is recorded in one transaction each."""
    group: list[Looked] = []
    records = octets = 0
    for one in looked:
        if group and (records + one.record_count > BATCH_RECORDS or octets > BATCH_OCTETS):
            yield group
            group, records, octets = [], 0, 0
        group.append(one)
        records += one.record_count
        octets += len(one.raw or b"")
    if group:
        yield group


def _handling(looked: Looked, result: MessageResult) -> Handling:
    if looked.problem:
        return Handling.LEAVE
    return Handling.ARCHIVE if result.outcome in _ARCHIVED else Handling.INVALID
