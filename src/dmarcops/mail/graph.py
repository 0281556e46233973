"""
A mailbox of Microsoft 365 through Microsoft Graph.

Asks for `Mail.ReadWrite` (application permission, limited to the mailbox by an access policy, or delegated). Messages
have immutable ids, so that one that is moved keeps its name. A handled message is moved, or gets a category, as being
read is a matter of people. Never deletes a message.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dmarcops.errors import ConfigError, MailError
from dmarcops.mail.rest import Rest, RestConfig
from dmarcops.mail.spool import Batch, Spool, Withheld, bad, good, printable, too_big
from dmarcops.ports import Finding, Handling, Message

_SIZE = "Integer 0x0E08"
"""PidTagMessageSize (MS-OXPROPS section 2.797), since a message of Graph has no size of its own."""
_WELL_KNOWN = frozenset(("inbox", "archive", "junkemail", "deleteditems", "drafts", "sentitems", "msgfolderroot"))
_PAGE = 100


class Config(RestConfig):
    """`kind = "graph"`."""

    mailbox: str
    """The mailbox: a user principal name or id."""
    folder: str = "inbox"
    """Where reports arrive: a well-known folder, or names with `/` between."""
    archive: str | None = None
    """Handled messages are moved to this folder; absent: they get the category."""
    invalid: str | None = None
    """Messages of which something was not stored are moved there; absent: where all handled ones go."""
    category: str = "dmarcops"
    """The category of handled messages that stay."""
    endpoint: str = "https://graph.microsoft.com/v1.0"
    """The address of Graph; national clouds have others."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """A message as the folder's list has it."""

    id: str
    size: int
    categories: tuple[str, ...]


class Adapter:
    """
    The messages of one folder.

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
        headers = {"Prefer": 'IdType="ImmutableId"'}
        self._rest = Rest(name, config, folder, clock=clock, sleep=sleep, headers=headers)
        self._user = f"/users/{quote(config.mailbox, safe='')}"
        self._given: dict[str, _Listed] = {}
        self._folders: dict[str, str] = {}

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self._name

    def batches(self, checkpoint: str) -> Iterator[Sequence[Message]]:
        """Give the messages of the folder without the category."""
        del checkpoint
        batch: Batch[Message] = Batch(self._config)
        # Listed to the end first: pages are counted, and moving messages away would shift what is on the next one.
        for listed in list(self._listed()):
            origin = self._origin(listed.id)
            message = None if origin in self._given else self._fetched(listed, origin)
            if message is None:
                continue
            self._given[origin] = listed
            batch.add(message, 0 if isinstance(message, Withheld) else listed.size)
            if batch.is_full:
                yield batch.messages
                batch = Batch(self._config)
        if batch.messages:
            yield batch.messages

    def settle(self, handled: Sequence[tuple[Message, Handling]]) -> str:
        """Move handled messages, or give them the category; those that are gone were moved before."""
        for message, handling in handled:
            listed = self._given.get(message.origin)
            if listed is not None and handling is not Handling.LEAVE:
                self._file(listed, handling)
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
        """See that a token is to be had and the folders are there."""
        names = [self._config.folder, self._config.archive, self._config.invalid]
        findings: list[Finding] = []
        for name in dict.fromkeys(name for name in names if name is not None):
            try:
                self._folder(name)
                findings += good(f"{self._config.mailbox}: the folder {name} is there")
            except (MailError, ConfigError) as error:
                findings += bad(str(error), error.hint)
        self.close()
        return findings

    def _origin(self, message_id: str) -> str:
        return printable(f"graph:{self._config.mailbox}/{message_id}")

    def _listed(self) -> Iterator[_Listed]:
        params: dict[str, str | int] = {
            "$select": "id,categories",
            "$expand": f"singleValueExtendedProperties($filter=id eq '{_SIZE}')",
            "$orderby": "receivedDateTime asc",
            "$top": _PAGE,
        }
        path = f"{self._user}/mailFolders/{quote(self._folder(self._config.folder), safe='')}/messages"
        for page in self._rest.pages(path, params):
            for found in page.get("value", ()):
                categories = tuple(found.get("categories", ()))
                if self._config.category not in categories:
                    yield _Listed(found["id"], _size(found), categories)

    def _fetched(self, listed: _Listed, origin: str) -> Message | None:
        """Fetch a message as it was sent; `None` when somebody else moved it."""
        limit = self._config.max_message_bytes
        if listed.size > limit:
            return too_big(origin, listed.size, limit)
        with self._rest.stream(f"{self._message(listed)}/$value") as chunks:
            return None if chunks is None else self._spool.write(origin, chunks, limit)

    def _file(self, listed: _Listed, handling: Handling) -> None:
        name = self._config.archive
        if handling is Handling.INVALID and self._config.invalid is not None:
            name = self._config.invalid
        if name is None:
            body: dict[str, object] = {"categories": [*listed.categories, self._config.category]}
            self._rest.send("PATCH", self._message(listed), body=body)
        else:
            body = {"destinationId": self._folder(name)}
            self._rest.send("POST", f"{self._message(listed)}/move", body=body)

    def _message(self, listed: _Listed) -> str:
        return f"{self._user}/messages/{quote(listed.id, safe='')}"

    def _folder(self, name: str) -> str:
        """Give the id of a folder, asked for once."""
        if name not in self._folders:
            self._folders[name] = self._found(name)
        return self._folders[name]

    def _found(self, name: str) -> str:
        first, *rest = name.strip("/").split("/")
        if first.lower() in _WELL_KNOWN:
            answer = self._rest.get(f"{self._user}/mailFolders/{first.lower()}", {"$select": "id"})
            folder = str(answer["id"]) if answer else None
        else:
            folder = self._child(f"{self._user}/mailFolders", first)
        for part in rest:
            if folder is not None:
                folder = self._child(f"{self._user}/mailFolders/{quote(folder, safe='')}/childFolders", part)
        if folder is None:
            hint = "make it, or look at its name; a subfolder is written with its parents: inbox/Reports"
            raise MailError(f"{self._name}: there is no folder {name} in {self._config.mailbox}", hint=hint)
        return folder

    def _child(self, path: str, name: str) -> str | None:
        quoted = name.replace("'", "''")
        answer = self._rest.get(path, {"$filter": f"displayName eq '{quoted}'", "$select": "id"})
        found = answer.get("value", ()) if answer else ()
        return str(found[0]["id"]) if found else None


def _size(found: dict[str, Any]) -> int:
    """Read the size of a message, 0 when it is not told: then only what comes in is counted."""
    for known in found.get("singleValueExtendedProperties", ()):
        value = str(known.get("value", ""))
        if value.isdigit():
            return int(value)
    return 0
