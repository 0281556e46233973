"""
A session with an IMAP server that is logged in, and the folder that is selected.

Every command passes through `Session.call`, which ends an IDLE before it and makes errors of ours of what fails. Holds
one connection, and never makes another.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from difflib import get_close_matches
from functools import partial
from typing import TypeVar

from dmarcops.errors import MailError
from dmarcops.mail.imap_client import Client
from dmarcops.mail.imap_faults import LIBRARY, fault, is_lost, is_refusal

UIDS = 100
"""Messages named in one command, so that it stays near the 1,000 octets of RFC 2683 section 3.2.1.5."""
_CLOSING_SECONDS = 2.0
_NOT_THERE = (b"\\noselect", b"\\nonexistent")

T = TypeVar("T")


class MadeAnew(MailError):
    """The folder was deleted and created again (another UIDVALIDITY): the UIDs known are of no more use."""

    def __init__(self, folder: str) -> None:
        hint = "the next run reads it from the start"
        super().__init__(f"the folder {folder} was made anew meanwhile", transient=True, hint=hint)


class Session:
    """
    A connection that is logged in; make one with `connect`.

    `is_lost` says that it is of no more use, `used_at` when it was used last, in seconds of the monotonic clock.
    """

    def __init__(self, client: Client, where: str) -> None:
        self.client = client
        self.where = where
        self.is_lost = False
        self.is_idling = False
        self.used_at = time.monotonic()
        self.uidvalidity = 0
        self.permanent_flags: frozenset[str] = frozenset()
        self._folders: dict[str, str] = {}

    def call(self, what: str, function: Callable[[], T]) -> T:
        """
        Run a command.

        Raises:
            MailError: It failed, `transient` when it may work later; `is_lost` is set when the connection is gone.
        """
        try:
            if self.is_idling:
                self.is_idling = False
                self.client.end_idle()
            return function()
        except LIBRARY as error:
            if is_lost(error):
                self.drop()
            raise fault(self.where, what, error) from error
        finally:
            self.used_at = time.monotonic()

    def has(self, capability: str) -> bool:
        """Tell whether the server has said that it can do something."""
        found: bool = self.client.has_capability(capability)
        return found

    def begin_idle(self) -> None:
        """Begin IDLE; the next command ends it."""
        self.call("wait for mail", self.client.begin_idle)
        self.is_idling = True

    def select(self, name: str, *, read_only: bool) -> None:
        """
        Select a folder, anew when it is selected already, so that UIDVALIDITY is that of now.

        Raises:
            MailError: It cannot be selected; when there is no such folder, the hint names those like it.
        """
        folder = self.resolve(name)
        try:
            answer = self.call(
                f"open the folder {name}", partial(self.client.select_folder, folder, readonly=read_only)
            )
        except MailError as error:
            if error.transient or not is_refusal(error) or self.is_there(folder):
                raise
            raise MailError(f"{self.where}: there is no folder {name}", hint=self._near(name)) from error
        self.uidvalidity = int(answer.get(b"UIDVALIDITY", 0))
        flags = answer.get(b"PERMANENTFLAGS", answer.get(b"FLAGS", ()))
        self.permanent_flags = frozenset(flag.decode("ascii", "replace").strip("()").lower() for flag in flags)

    def takes_keyword(self, keyword: str) -> bool:
        r"""Tell whether the selected folder keeps a keyword: it, or any (`\*`, RFC 3501 section 7.1)."""
        return "\\*" in self.permanent_flags or keyword.lower() in self.permanent_flags

    def is_there(self, folder: str) -> bool:
        """Tell whether a folder of exactly that name can be selected."""
        found = self.call("list folders", partial(self.client.list_folders, "", folder))
        return any(
            _same(name, folder) and not any(flag.lower() in _NOT_THERE for flag in flags) for flags, _, name in found
        )

    def resolve(self, name: str) -> str:
        """
        Give the server's own name of a folder: with its delimiter for `/`, and below the prefix where folders must be.

        The name itself is taken when there is such a folder. When there is none at all, it is the name that one would
        be created by.
        """
        if name.upper() == "INBOX":
            return "INBOX"
        if name not in self._folders:
            self._folders[name] = self._resolved(name)
        return self._folders[name]

    def _resolved(self, name: str) -> str:
        candidates = [name]
        delimiter = self._delimiter()
        native = name.replace("/", delimiter) if delimiter else name
        candidates.append(native)
        prefix = self._prefix()
        if prefix and not native.startswith(prefix):
            candidates.append(prefix + native)
        for candidate in dict.fromkeys(candidates):
            if self.is_there(candidate):
                return candidate
        return candidates[-1]

    def _delimiter(self) -> str:
        """Ask for the hierarchy delimiter (RFC 3501 section 6.3.8)."""
        found = self.call("list folders", partial(self.client.list_folders, "", ""))
        delimiter = found[0][1] if found else b"/"
        return delimiter.decode("ascii", "replace") if isinstance(delimiter, bytes) else ""

    def _prefix(self) -> str:
        """Ask where the user's own folders are (RFC 2342)."""
        if not self.has("NAMESPACE"):
            return ""
        personal = self.call("ask for namespaces", self.client.namespace).personal
        return str(personal[0][0]) if personal else ""

    def create(self, name: str) -> None:
        """Create a folder, subscribed to, unless it is there; another program may do the same at the same time."""
        folder = self.resolve(name)
        if self.is_there(folder):
            return
        try:
            self.call(f"create the folder {name}", partial(self.client.create_folder, folder))
        except MailError:
            if self.is_lost or not self.is_there(folder):
                raise
        with suppress(MailError):  # only a convenience for people's mail programs
            self.call("subscribe", partial(self.client.subscribe_folder, folder))

    def _near(self, name: str) -> str:
        names = [str(found) for _, _, found in self.call("list folders", partial(self.client.list_folders, "", "*"))]
        by_fold = {known.casefold(): known for known in names}
        near = [by_fold[match] for match in get_close_matches(name.casefold(), by_fold, n=3)]
        return f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(sorted(names)[:20])}"

    def drop(self) -> None:
        """Give the connection up without a word."""
        self.is_lost = True
        with suppress(*LIBRARY):
            self.client.shutdown()

    def close(self) -> None:
        """Log out, without waiting long for the answer; never fails."""
        if self.is_lost:
            return
        try:
            self.client.socket().settimeout(_CLOSING_SECONDS)
            if self.is_idling:
                self.client.end_idle()
            self.client.logout()
        except LIBRARY:
            self.drop()
        self.is_lost = True


def _same(name: str, folder: str) -> bool:
    return name == folder or name.upper() == folder.upper() == "INBOX"
