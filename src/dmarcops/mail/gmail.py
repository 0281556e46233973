"""
A mailbox of Gmail through the Gmail API.

Needs a refresh token with the scope `https://www.googleapis.com/auth/gmail.modify`. A handled message changes its
labels: the archive's in the place of the source's, or one more, as being read is a matter of people. Never deletes a
message.
"""

import base64
import binascii
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from dmarcops.errors import ConfigError, MailError
from dmarcops.mail.rest import Answer, Rest, RestConfig
from dmarcops.mail.spool import Batch, Spool, Withheld, bad, good, printable, too_big
from dmarcops.ports import Finding, Handling, Message

_PAGE = 500
_PER_CALL = 1_000
"""Messages that one call changes, at most."""
_FRAME = 64 * 1024
"""Octets of an answer beside the message in it."""


class Config(RestConfig):
    """`kind = "gmail"`."""

    user: str = "me"
    """The mailbox: an address, or `me` for the one of the token."""
    label: str = "INBOX"
    """The label of messages that are to be taken in."""
    archive: str | None = None
    """Handled messages get this label in the place of `label`; absent: they keep that and get `handled`."""
    invalid: str | None = None
    """Messages of which something was not stored get this one; absent: they are as all handled ones."""
    handled: str = "dmarcops"
    """The label of handled messages that stay; made when it is not there, as are the others."""
    endpoint: str = "https://gmail.googleapis.com/gmail/v1"
    """The address of the API."""


class Adapter:
    """
    The messages under one label.

    Args:
        name: Its name in the configuration.
        config: What was configured.
        folder: Where fetched messages go (0700).
        clock: The time, in seconds since 1970.
        sleep: How it waits.
    """

    def __init__(
        self,
        name: str,
        config: Config,
        folder: Path,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._name = name
        self._config = config
        self._spool = Spool(folder)
        self._sleep = sleep
        self._rest = Rest(name, config, folder, clock=clock, sleep=sleep)
        self._user = f"/users/{quote(config.user, safe='')}"
        self._given: dict[str, str] = {}
        self._labels: dict[str, str] = {}

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self._name

    def batches(self, checkpoint: str) -> Iterator[Sequence[Message]]:
        """Give the messages with the label, without those that are handled."""
        del checkpoint
        batch: Batch[Message] = Batch(self._config)
        # Listed to the end first, as taking labels away could shift what is on the next page.
        for message_id in list(self._listed()):
            origin = self._origin(message_id)
            got = None if origin in self._given else self._fetched(message_id, origin)
            if got is None:
                continue
            self._given[origin] = message_id
            batch.add(*got)
            if batch.is_full:
                yield batch.messages
                batch = Batch(self._config)
        if batch.messages:
            yield batch.messages

    def settle(self, handled: Sequence[tuple[Message, Handling]]) -> str:
        """Change the labels of handled messages."""
        ids: dict[tuple[str, bool], list[str]] = {}
        for message, handling in handled:
            message_id = self._given.get(message.origin)
            if message_id is not None and handling is not Handling.LEAVE:
                ids.setdefault(self._change(handling), []).append(message_id)
        for (label, is_moved), some in ids.items():
            self._relabel(label, some, is_moved=is_moved)
        for message, _ in handled:
            self._given.pop(message.origin, None)
            self._spool.forget(message.origin)
        return ""

    def keep_alive(self) -> None:
        """Do nothing: there is no session."""

    def wait(self, seconds: float) -> bool:
        """Wait; only the next list shows whether there is something new."""
        self._sleep(seconds)
        return False

    def close(self) -> None:
        """Delete what was fetched."""
        self._given.clear()
        self._spool.clear()
        self._rest.close()

    def check(self) -> Sequence[Finding]:
        """See that a token is to be had and the label is there."""
        try:
            self._label(self._config.label)
        except (MailError, ConfigError) as error:
            return bad(str(error), error.hint)
        finally:
            self.close()
        return good(f"Gmail of {self._config.user}: the label {self._config.label} is there")

    def _origin(self, message_id: str) -> str:
        return printable(f"gmail:{self._config.user}/{message_id}")

    def _listed(self) -> Iterator[str]:
        params: dict[str, str | int] = {"labelIds": self._label(self._config.label), "maxResults": _PAGE}
        if self._config.archive is None:
            # In a search a label is written with hyphens.
            params["q"] = f"-label:{self._config.handled.replace(' ', '-').replace('/', '-')}"
        for page in self._rest.pages(f"{self._user}/messages", params, token="nextPageToken"):  # noqa: S106 - a key
            for found in page.get("messages", ()):
                yield found["id"]

    def _fetched(self, message_id: str, origin: str) -> tuple[Message, int] | None:
        """Ask for the size of a message, then for itself; `None` when it is gone or handled."""
        path = f"{self._user}/messages/{quote(message_id, safe='')}"
        head = self._rest.get(path, {"format": "minimal", "fields": "id,labelIds,sizeEstimate"})
        # The search that lists them lags behind.
        if head is None or self._is_handled(head):
            return None
        size = int(head.get("sizeEstimate", 0))
        limit = self._config.max_message_bytes
        if size > limit:
            return too_big(origin, size, limit), 0
        with self._rest.stream(path, {"format": "raw", "fields": "raw"}) as chunks:
            if chunks is None:
                return None
            answer = bytearray()
            for chunk in chunks:
                answer += chunk
                if len(answer) > limit // 3 * 4 + _FRAME:
                    return too_big(origin, len(answer) // 4 * 3, limit), 0
        message = self._spool.write(origin, [self._octets(answer)], limit)
        return message, 0 if isinstance(message, Withheld) else size

    def _octets(self, answer: bytearray) -> bytes:
        try:
            text = json.loads(answer)["raw"]
            return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise MailError(f"{self._name}: a message came without its octets", transient=True) from error

    def _is_handled(self, head: Answer) -> bool:
        labels = head.get("labelIds", ())
        is_marked = self._config.archive is None and self._labels.get(self._config.handled) in labels
        return is_marked or self._labels.get(self._config.label) not in labels

    def _change(self, handling: Handling) -> tuple[str, bool]:
        """Give the label for a message, and whether it takes the place of the source's."""
        if handling is Handling.INVALID and self._config.invalid is not None:
            return self._config.invalid, True
        if self._config.archive is not None:
            return self._config.archive, True
        return self._config.handled, False

    def _relabel(self, label: str, ids: list[str], *, is_moved: bool) -> None:
        change: dict[str, object] = {"addLabelIds": [self._label(label, is_made=True)]}
        if is_moved:
            change["removeLabelIds"] = [self._label(self._config.label)]
        for start in range(0, len(ids), _PER_CALL):
            some = ids[start : start + _PER_CALL]
            if self._rest.send("POST", f"{self._user}/messages/batchModify", body=change | {"ids": some}) is None:
                # One of them is gone; which one, is not said.
                for message_id in some:
                    path = f"{self._user}/messages/{quote(message_id, safe='')}/modify"
                    self._rest.send("POST", path, body=change)

    def _label(self, name: str, *, is_made: bool = False) -> str:
        """Give the id of a label, asked for once; made when that is wanted."""
        if name not in self._labels:
            answer = self._rest.get(f"{self._user}/labels") or {}
            self._labels |= {found["name"]: found["id"] for found in answer.get("labels", ())}
        if name not in self._labels and is_made:
            made = self._rest.send("POST", f"{self._user}/labels", body={"name": name}) or {}
            self._labels[name] = made["id"]
        if name not in self._labels:
            raise MailError(f"{self._name}: there is no label {name}", hint="look at `label`")
        return self._labels[name]
