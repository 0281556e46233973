"""
A bucket of S3 as its notifications come through a queue of SQS, for any number of workers.

Understands S3's own events, those wrapped by SNS, and what SES says through SNS of a mail that it wrote. A notification
is kept from other workers while its objects are looked at, and deleted when all of them are settled. One that cannot
be dealt with (object missing, denied or too big, another bucket, no notification at all) has its line in the ledger and
is left to the queue's redrive policy, which ends it in the dead-letter queue.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote_plus

from dmarcops.errors import ConfigError, MailError
from dmarcops.mail.objects import Bucket, BucketConfig, Item, client, failure
from dmarcops.mail.spool import Batch, Fetched, Withheld, bad, good, printable
from dmarcops.ports import Finding, Handling, Message
from dmarcops.settings import Duration

_PER_CALL = 10
"""Messages that SQS takes or gives in one call."""
_LONGEST_POLL = 20
_LONGEST_VISIBILITY = timedelta(hours=12)


class Config(BucketConfig):
    """`kind = "sqs"`."""

    is_shared: ClassVar[bool] = True
    """Any number of workers may be at one queue."""
    queue_url: str
    """The queue that the bucket's notifications go to; it should have a redrive policy."""
    visibility: Duration = timedelta(minutes=5)
    """How long a notification is kept from other workers; renewed while its objects are parsed."""
    retry: Duration = timedelta(minutes=1)
    """After what time a notification that could not be dealt with may be tried again."""


@dataclass(slots=True, eq=False)
class _Notification:
    """
    A message of the queue that is ours for a time, until it is deleted or given back.

    `pending` are the origins of its objects that are not settled; it is done with when it is taken and has none.
    """

    raw: dict[str, str]
    renewed: float
    pending: set[str] = field(default_factory=set)
    is_taken: bool = False
    is_good: bool = True

    @property
    def receipt(self) -> str:
        return self.raw["ReceiptHandle"]


@dataclass(frozen=True, slots=True)
class _Given:
    """An object that was given: what it is, unless it is not to be had, and who spoke of it."""

    item: Item | None
    notifications: list[_Notification]


@dataclass(frozen=True, slots=True)
class _Named:
    """What a message of the queue names: bucket and key of objects; and whether all of it was understood."""

    objects: tuple[tuple[str, str], ...] = ()
    is_understood: bool = False


class Adapter:
    """
    The objects that a queue speaks of.

    Args:
        name: Its name in the configuration.
        config: What was configured.
        folder: Where fetched objects go (0700).
        clock: Seconds that only go forward.
    """

    def __init__(self, name: str, config: Config, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._config = config
        self._bucket = Bucket(config, folder)
        self._clock = clock
        self._client: Any = None
        # Changed entry by entry, as a batch may be fetched in one thread and another be settled in a second one.
        self._open: dict[str, _Notification] = {}
        self._waiting: list[_Notification] = []
        self._given: dict[str, _Given] = {}

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self._name

    def batches(self, checkpoint: str) -> Iterator[Sequence[Message]]:
        """Give objects until the queue is empty for now."""
        del checkpoint
        batch: Batch[Message] = Batch(self._config)
        for message, size in self._taken():
            batch.add(message, size)
            if batch.is_full:
                yield batch.messages
                batch = Batch(self._config)
        if batch.messages:
            yield batch.messages

    def settle(self, handled: Sequence[tuple[Message, Handling]]) -> str:
        """Move handled objects, and delete the notifications that are done with; leave the others to be tried again."""
        for message, handling in handled:
            given = self._given.get(message.origin)
            if given is None:
                continue
            if given.item is not None:
                self._bucket.file(given.item, handling)
                self._bucket.forget(given.item.key)
            for notification in given.notifications:
                notification.pending.discard(message.origin)
                notification.is_good &= given.item is not None and handling is not Handling.LEAVE
            del self._given[message.origin]
        self._finish()
        return ""

    def keep_alive(self) -> None:
        """Renew what is kept from other workers, before it runs out; a failure is no matter, as it is tried again."""
        with suppress(MailError):
            self._renew()

    def wait(self, seconds: float) -> bool:
        """Wait for a notification, which the next `batches` gives."""
        deadline = self._clock() + seconds
        while not self._waiting and (left := deadline - self._clock()) > 0:
            self._waiting = self._receive(min(_LONGEST_POLL, max(1, round(left))))
        return bool(self._waiting)

    def close(self) -> None:
        """Let other workers have what was not settled, and delete what was fetched."""
        entries = [{"ReceiptHandle": receipt, "VisibilityTimeout": 0} for receipt in list(self._open)]
        with suppress(MailError, ConfigError):  # they come back by themselves
            self._in_tens("change_message_visibility_batch", entries)
        self._open.clear()
        self._waiting.clear()
        self._given.clear()
        self._bucket.close()
        if self._client is not None:
            self._client.close()
            self._client = None

    def check(self) -> Sequence[Finding]:
        """See that the bucket and the queue answer, and that the queue knows where to put what cannot be dealt with."""
        return [*self._bucket.check(), *self._check_queue()]

    def _receive(self, seconds: int) -> list[_Notification]:
        answer = self._call(
            "receive_message",
            MaxNumberOfMessages=_PER_CALL,
            # A poll of no length asks a part of the servers only, and misses messages.
            WaitTimeSeconds=seconds,
            VisibilityTimeout=_seconds(self._config.visibility),
        )
        received = [_Notification(raw, self._clock()) for raw in answer.get("Messages", [])]
        self._open |= {notification.receipt: notification for notification in received}
        return received

    def _taken(self) -> Iterator[tuple[Message, int]]:
        """Give the objects that the queue speaks of, until it says no more."""
        while self._waiting or (received := self._receive(1)):
            received, self._waiting = self._waiting or received, []
            for notification in received:
                is_complete = False
                try:
                    yield from self._of(notification)
                    is_complete = True
                finally:
                    notification.is_good &= is_complete
                    notification.is_taken = True
            # Test events and objects that were handled before leave nothing to be settled.
            self._finish()

    def _of(self, notification: _Notification) -> Iterator[tuple[Message, int]]:
        named = _parse(notification.raw["Body"])
        if not named.is_understood:
            origin = printable(f"{self._config.queue_url}/{notification.raw['MessageId']}")
            self._give(origin, None, notification)
            yield Withheld(origin, "no-notification", "a message of the queue that names no object", "not-a-report"), 0
        for name, key in named.objects:
            self.keep_alive()
            if name == self._config.bucket and not self._bucket.is_wanted(key):
                continue  # one that we moved, or none of ours
            origin = printable(f"s3://{name}/{key}")
            if known := self._given.get(origin):
                known.notifications.append(notification)
                notification.pending.add(origin)
            elif got := self._object(name, key, origin):
                item, message = got
                self._give(origin, item, notification)
                yield message, item.size if item else 0

    def _give(self, origin: str, item: Item | None, notification: _Notification) -> None:
        self._given[origin] = _Given(item, [notification])
        notification.pending.add(origin)

    def _object(self, name: str, key: str, origin: str) -> tuple[Item | None, Fetched | Withheld] | None:
        """Fetch an object; `None` when it was handled before."""
        if name != self._config.bucket:
            return None, Withheld(origin, "foreign-bucket", f"an object of another bucket: {name}", "not-a-report")
        got = self._bucket.fetch(key)
        if got is not None:
            item, message = got
            return (None if isinstance(message, Withheld) else item), message
        if self._bucket.is_moved(key):
            return None
        return None, Withheld(origin, "missing", "the object is not there (any more)", "retry")

    def _finish(self) -> None:
        """Delete notifications that are done with, or say when they may be tried again."""
        done = [found for found in list(self._open.values()) if found.is_taken and not found.pending]
        retry = _seconds(self._config.retry)
        good = [{"ReceiptHandle": found.receipt} for found in done if found.is_good]
        bad = [{"ReceiptHandle": found.receipt, "VisibilityTimeout": retry} for found in done if not found.is_good]
        self._in_tens("delete_message_batch", good)
        self._in_tens("change_message_visibility_batch", bad)
        for found in done:
            self._open.pop(found.receipt, None)

    def _renew(self) -> None:
        now = self._clock()
        visibility = _seconds(self._config.visibility)
        due = [found for found in list(self._open.values()) if now - found.renewed > visibility / 3]
        entries = [{"ReceiptHandle": found.receipt, "VisibilityTimeout": visibility} for found in due]
        self._in_tens("change_message_visibility_batch", entries)
        for found in due:
            found.renewed = now

    def _in_tens(self, call: str, entries: list[dict[str, Any]]) -> None:
        # An entry that fails was settled before or has run out: it comes again, which is no harm.
        for start in range(0, len(entries), _PER_CALL):
            some = entries[start : start + _PER_CALL]
            self._call(call, Entries=[{"Id": str(number)} | entry for number, entry in enumerate(some)])

    def _call(self, call: str, **arguments: object) -> dict[str, Any]:
        if self._client is None:
            self._client = client("sqs", self._config)
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - an extra, there since `client`

        try:
            answer: dict[str, Any] = getattr(self._client, call)(QueueUrl=self._config.queue_url, **arguments)
        except (BotoCoreError, ClientError) as error:
            raise failure(f"{self._name}: {self._config.queue_url}: {call}", error) from error
        return answer

    def _check_queue(self) -> Iterator[Finding]:
        names = ["RedrivePolicy", "VisibilityTimeout"]
        try:
            found = self._call("get_queue_attributes", AttributeNames=names).get("Attributes", {})
        except (MailError, ConfigError) as error:
            yield from bad(str(error), error.hint)
            return
        yield from good(f"{self._config.queue_url} answers")
        if "RedrivePolicy" not in found:
            text = "the queue has no redrive policy: what cannot be dealt with comes again until it expires"
            yield from bad(text, "give it a dead-letter queue with maxReceiveCount 5")


def _seconds(duration: timedelta) -> int:
    return int(min(duration, _LONGEST_VISIBILITY).total_seconds())


def _document(body: str) -> dict[str, Any]:
    """Read the JSON of a message, unwrapped of SNS; empty when it is none."""
    try:
        document = json.loads(body)
        if isinstance(document, dict) and isinstance(document.get("Message"), str):
            document = json.loads(document["Message"])
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _parse(body: str) -> _Named:
    """Read a message of the queue; events other than a new object name none."""
    document = _document(body)
    if ses := _ses(document):
        return _Named((ses,), is_understood=True)
    records = document.get("Records")
    if not isinstance(records, list):
        return _Named(is_understood=document.get("Event") == "s3:TestEvent")
    objects: dict[tuple[str, str], None] = {}
    is_understood = True
    for record in records:
        try:
            if "ObjectCreated" in record["eventName"]:
                # S3 writes keys as forms do: a space is `+`.
                key = unquote_plus(record["s3"]["object"]["key"])
                objects[str(record["s3"]["bucket"]["name"]), key] = None
        except (KeyError, TypeError, AttributeError):
            is_understood = False
    return _Named(tuple(objects), is_understood=is_understood)


def _ses(document: dict[str, Any]) -> tuple[str, str] | None:
    """Give the object that SES wrote, of its notification through SNS."""
    try:
        action = document["receipt"]["action"]
        bucket, key = action["bucketName"], action["objectKey"]
    except (KeyError, TypeError):
        return None
    return (bucket, key) if isinstance(bucket, str) and isinstance(key, str) else None
