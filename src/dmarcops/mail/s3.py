"""
A bucket of S3, listed: report files, or whole mails as SES writes them.

A handled object is moved below the archive prefix (copied, then deleted); without one it stays, can be tagged, and the
checkpoint knows it. For many workers on one bucket there is `sqs`. Never deletes an object that was not copied.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from dmarcops.mail.objects import Bucket, BucketConfig, Item
from dmarcops.mail.spool import Batch, too_big
from dmarcops.ports import Finding, Handling, Message

_OVERLAP = timedelta(days=2)
"""So long an object may take to appear with a time of before: that of an upload in parts is when it began."""
_TIME = "%Y-%m-%dT%H:%M:%SZ"


class Config(BucketConfig):
    """`kind = "s3"`."""

    tag: str | None = None
    """Handled objects that stay get this tag (value `archive` or `invalid`), for life cycle rules."""


class Adapter:
    """
    The objects of a bucket.

    Args:
        name: Its name in the configuration.
        config: What was configured.
        folder: Where fetched objects go (0700).
        sleep: How it waits.
    """

    def __init__(self, name: str, config: Config, folder: Path, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._name = name
        self._config = config
        self._bucket = Bucket(config, folder)
        self._sleep = sleep
        self._given: dict[str, tuple[Item, str]] = {}
        self._seen = _Seen("")

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self._name

    def batches(self, checkpoint: str) -> Iterator[Sequence[Message]]:
        """Give the objects that the checkpoint does not know."""
        self._seen = seen = _Seen(checkpoint)
        batch: Batch[Message] = Batch(self._config)
        for item, changed in self._bucket.items():
            seen.list(item, changed)
            origin = self._bucket.origin(item.key)
            if origin in self._given or seen.has(item, changed):
                continue
            # A full batch waits for a further object, so that with the last one the listing is known to be complete.
            if batch.is_full:
                yield batch.messages
                batch = Batch(self._config)
            if got := self._fetched(item):
                self._given[origin] = (item, changed)
                batch.add(*got)
        seen.is_listed = True
        if batch.messages:
            yield batch.messages

    def settle(self, handled: Sequence[tuple[Message, Handling]]) -> str:
        """Move, tag or remember handled objects."""
        for message, handling in handled:
            if message.origin in self._given:
                item, changed = self._given[message.origin]
                self._file(item, handling)
                self._seen.add(item, changed, is_left=handling is Handling.LEAVE)
                del self._given[message.origin]
        if self._config.archive is not None:
            return ""
        if not self._given:
            self._seen.cut()
        return self._seen.text()

    def keep_alive(self) -> None:
        """Do nothing: there is no session."""

    def wait(self, seconds: float) -> bool:
        """Wait; only the next listing shows whether there is something new."""
        self._sleep(seconds)
        return False

    def close(self) -> None:
        """Delete what was fetched."""
        self._given.clear()
        self._bucket.close()

    def check(self) -> Sequence[Finding]:
        """See that the bucket can be listed."""
        return self._bucket.check()

    def _fetched(self, item: Item) -> tuple[Message, int] | None:
        """Fetch an object, unless the listing has it too big already."""
        if item.size > self._config.max_message_bytes:
            return too_big(self._bucket.origin(item.key), item.size, self._config.max_message_bytes), 0
        got = self._bucket.fetch(item.key, item.etag)
        return (got[1], item.size) if got else None

    def _file(self, item: Item, handling: Handling) -> None:
        self._bucket.file(item, handling)
        if self._config.tag and self._config.archive is None and handling is not Handling.LEAVE:
            self._bucket.tag(item, self._config.tag, handling.value)
        self._bucket.forget(item.key)


class _Seen:
    """
    The checkpoint of objects that stay: those handled of the last days by digest, older ones by their time alone.

    `left` are older ones that are to be met again. Nothing is cut before a listing was complete and all it gave was
    settled.
    """

    def __init__(self, checkpoint: str) -> None:
        known = json.loads(checkpoint or "{}")
        self._since: str = known.get("since", "")
        self._seen: dict[str, str] = known.get("seen", {})
        self._left: dict[str, str] = known.get("left", {})
        self._newest = self._since
        self._listed_left: dict[str, str] = {}
        self.is_listed = False

    def list(self, item: Item, changed: str) -> None:
        """Take note of an object that is there."""
        self._newest = max(self._newest, changed)
        digest = _digest(item)
        if digest in self._left:
            self._listed_left[digest] = changed

    def has(self, item: Item, changed: str) -> bool:
        """Tell whether an object was handled."""
        digest = _digest(item)
        return digest in self._seen or (changed < self._since and digest not in self._left)

    def add(self, item: Item, changed: str, *, is_left: bool) -> None:
        """Remember how an object was settled."""
        digest = _digest(item)
        if is_left:
            self._left[digest] = self._listed_left[digest] = changed
        else:
            self._seen[digest] = changed
            self._left.pop(digest, None)
            self._listed_left.pop(digest, None)

    def cut(self) -> None:
        """Forget digests of objects that their time tells, when all there was is settled."""
        if not (self.is_listed and self._newest):
            return
        newest = datetime.strptime(self._newest, _TIME).replace(tzinfo=UTC)
        self._since = max(self._since, (newest - _OVERLAP).strftime(_TIME))
        self._seen = {digest: changed for digest, changed in self._seen.items() if changed >= self._since}
        self._left = self._listed_left

    def text(self) -> str:
        """Give the checkpoint."""
        return json.dumps({"since": self._since, "seen": self._seen, "left": self._left}, separators=(",", ":"))


def _digest(item: Item) -> str:
    return sha256(f"{item.key}\0{item.etag}".encode()).hexdigest()[:16]
