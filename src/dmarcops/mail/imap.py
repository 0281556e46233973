r"""
A mailbox at an IMAP server.

Handled mail is moved to the folders `archive` and `invalid`, or marked by a keyword, or left as it is (`read_only`);
only ever by `settle`, so after the commit. Messages are read with BODY.PEEK[] and so stay unseen. Their sizes are asked
for first: one over the limit is not loaded and says so when it is opened, a large one goes to a temporary file in
pieces, the others stay in memory, within the bounds of a batch.

Where mail is moved away, everything in the folder is new: the whole of it is searched, and no checkpoint is needed.
Where it stays, the checkpoint is `UIDVALIDITY:UID`, below or at which every message is settled.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import quote

from pydantic import Field, field_validator, model_validator

from dmarcops.errors import MailError
from dmarcops.mail import imap_check, imap_search
from dmarcops.mail.imap_client import format_uid_set
from dmarcops.mail.imap_faults import is_hang_up
from dmarcops.mail.imap_load import ImapMessage, Loader
from dmarcops.mail.imap_login import Server, connect
from dmarcops.mail.imap_move import Mover, chunks, parts
from dmarcops.mail.imap_session import MadeAnew, Session
from dmarcops.mail.oauth import Tokens
from dmarcops.ports import Finding, Handling, Message
from dmarcops.quantities import parse_duration
from dmarcops.settings import Duration, Size

KEYWORD = "$DmarcOps"
"""The keyword of handled mail that stays, when the configuration names none."""
_SEEN = "\\Seen"
_BACKOFF = (0.5, 2.0)
"""Seconds before each further attempt within one call."""
_KEEP_ALIVE = 60.0
_LONGEST_IDLE = parse_duration("29m")
_ATOM = re.compile(r"[!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]+")
_PLACE = re.compile(r";UIDVALIDITY=([0-9]+)/;UID=([0-9]+)")
_CHECKPOINT = re.compile(r"([0-9]+):([0-9]+)")
_SAFE = "!$'()*+,&="
"""Characters of RFC 5092's `achar` besides the unreserved."""
_LOG = logging.getLogger(__name__)

T = TypeVar("T")


class Config(Server):
    """A mailbox, `kind = "imap"`."""

    folder: str = Field(default="INBOX", min_length=1)
    """The folder that mail arrives in."""
    archive: str = ""
    """Folder for mail whose reports are stored; without it such mail stays and is marked by the keyword."""
    invalid: str = ""
    """Folder for mail in which something was not stored; without it such mail stays and is marked by the keyword."""
    keyword: str = ""
    r"""Mark all handled mail with this keyword and move none; `\Seen` is set where a server keeps no keywords."""
    read_only: bool = False
    """Change nothing in the mailbox at all."""
    batch_messages: int = Field(default=500, ge=1)
    """Messages in a batch, at most."""
    batch_bytes: Size = Field(default=16 << 20, ge=1)
    """Octets in a batch, at most; a single larger message is a batch of its own."""
    max_message_bytes: Size = Field(default=64 << 20, ge=1)
    """Size above which a message is not loaded."""
    idle: Duration = Field(default=parse_duration("9m"), gt=parse_duration("0s"), le=_LONGEST_IDLE)
    """How long one IDLE lasts before it is renewed, which finds a dead connection; at most 29 minutes (RFC 2177)."""
    poll: Duration = Field(default=parse_duration("30s"), gt=parse_duration("0s"))
    """How often a server without IDLE is asked."""

    @field_validator("keyword")
    @classmethod
    def _is_atom(cls, value: str) -> str:
        if value and not _ATOM.fullmatch(value):
            raise ValueError("a keyword is one word of ASCII letters, digits and signs")
        return value

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.keyword and (self.archive or self.invalid):
            raise ValueError("keyword marks mail instead of moving it: leave archive and invalid out")
        if self.folder in (self.archive, self.invalid):
            raise ValueError("archive and invalid must be other folders than folder")
        return self

    @property
    def stays(self) -> bool:
        """Whether stored mail stays in the folder."""
        return self.read_only or not self.archive

    @property
    def address(self) -> str:
        """The folder as a URL (RFC 5092), without a port that goes without saying; the start of every origin."""
        host = f"[{self.host}]" if ":" in self.host else self.host.lower()
        port = "" if self.effective_port == self.usual_port else f":{self.effective_port}"
        folder = "INBOX" if self.folder.upper() == "INBOX" else self.folder
        return f"imap://{quote(self.username, safe=_SAFE)}@{host}{port}/{quote(folder, safe=_SAFE + ':@/')}"


class Adapter:
    """
    The mailbox as a `MailSource`. May be used from several threads; commands go one after the other.

    Args:
        name: Its name in the configuration.
        config: Where it is, and how it is treated.
        folder: A directory that is ours alone (0700), for large messages and kept tokens.
    """

    def __init__(self, name: str, config: Config, folder: Path) -> None:
        self._name = name
        self._config = config
        self._tokens = (
            Tokens(config.oauth, folder / f"{quote(name, safe='')}.token", timeout=config.timeout.total_seconds())
            if config.oauth
            else None
        )
        self._folder = folder
        self._loader = Loader(config.address, folder, config.max_message_bytes)
        self._mover = Mover(config.folder)
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._session: Session | None = None
        self._uidvalidity = 0
        self._highest = -1
        self._pending: set[int] = set()
        self._idle_since = self._polled_at = 0.0

    @property
    def name(self) -> str:
        """The name in the configuration."""
        return self._name

    def batches(self, checkpoint: str) -> Iterator[Sequence[Message]]:
        """
        Give the messages that are there now and not settled.

        Raises:
            MailError: The server cannot be reached, does not let us in, or has no such folder.
        """
        self._closed.clear()
        with self._lock:
            uids = self._attempt(partial(self._search, checkpoint=checkpoint), anew=True)
        batch: list[tuple[int, int]] = []
        total = 0
        for uid, size in self._sized(uids):
            octets = 0 if size > self._config.max_message_bytes else size
            is_full = len(batch) >= self._config.batch_messages or total + octets > self._config.batch_bytes
            if batch and is_full:
                yield self._loaded(batch)
                batch, total = [], 0
            batch.append((uid, size))
            total += octets
        if batch:
            yield self._loaded(batch)

    def settle(self, handled: Sequence[tuple[Message, Handling]]) -> str:
        """
        Move or mark what is committed; what is gone already counts as settled.

        Raises:
            MailError: Not all could be settled; the same call again settles the rest.
        """
        plan: dict[Handling, list[int]] = {handling: [] for handling in Handling}
        with self._lock:
            for message, handling in handled:
                uidvalidity, uid = _place(message.origin)
                self._check_uidvalidity(uidvalidity)
                plan[handling].append(uid)
            settled = [*plan[Handling.ARCHIVE], *plan[Handling.INVALID]]
            if settled and not self._config.read_only:
                self._attempt(partial(self._settle, plan=plan))
            self._pending.difference_update(settled)
            self._loader.release(message.origin for message, _ in handled)
            return self._checkpoint()

    def keep_alive(self) -> None:
        """Say something to the server when nothing was said for a minute; never waits for another command of ours."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            session = self._session
            if session is None or session.is_idling or time.monotonic() - session.used_at < _KEEP_ALIVE:
                return
            session.call("stay connected", session.client.noop)
        except MailError as error:
            _LOG.info("%s: %s; it is connected anew when it is needed", self._name, error)
        finally:
            self._lock.release()

    def wait(self, seconds: float) -> bool:
        """
        Wait for mail: by IDLE, which is kept from call to call, or by asking now and then.

        Raises:
            MailError: The server cannot be reached.
        """
        if self._highest < 0:
            return True
        end = time.monotonic() + seconds
        while True:
            with self._lock:
                left = max(0.0, end - time.monotonic())
                if self._attempt(partial(self._wait_once, seconds=left)):
                    return True
            if time.monotonic() >= end or self._closed.is_set():
                return False

    def close(self) -> None:
        """Log out, and delete what was written to temporary files; it may be used again."""
        self._closed.set()
        with self._lock:
            if self._session is not None:
                self._session.close()
                self._session = None
            self._loader.close()

    def search(self, since: datetime) -> Iterator[Message]:
        """
        Give the mails of all folders that arrived since a moment, on a connection of its own; changes nothing.

        Raises:
            MailError: The server cannot be reached, does not let us in, or cannot be read.
        """
        return imap_search.search(
            connect(self._config, self._tokens),
            since,
            address=self._config.address.rpartition("/")[0],
            folder=self._folder,
            limit=self._config.max_message_bytes,
        )

    def check(self) -> tuple[Finding, ...]:
        """Try out all that this mailbox needs, changing nothing but folders that are missing; never raises."""
        with self._lock:
            self.close()
            self._closed.clear()
            return imap_check.check(
                partial(connect, self._config, self._tokens),
                folder=self._config.folder,
                targets=() if self._config.read_only else (self._config.archive, self._config.invalid),
                keyword="" if self._config.read_only else self._keyword,
                read_only=self._config.read_only,
            )

    # What follows is called with the lock held.

    def _attempt(self, action: Callable[[Session], T], *, anew: bool = False, once: bool = False) -> T:
        """
        Do something with the folder selected, again after a while when that may help.

        Args:
            action: What is to be done; may be done twice.
            anew: Take whatever the folder is now, even one that was made anew.
            once: Do it only once.
        """
        for delay in (None,) if once else (*_BACKOFF, None):
            try:
                session = self._opened(anew=anew)
                return action(session)
            except MadeAnew:
                raise
            except MailError as error:
                if not error.transient or delay is None or self._closed.is_set():
                    raise
                _LOG.info("%s: %s; trying again", self._name, error)
            self._closed.wait(delay)
        raise AssertionError

    def _opened(self, *, anew: bool) -> Session:
        if self._session is None or self._session.is_lost:
            self._session = None
            self._session = connect(self._config, self._tokens)
            self._select(self._session)
        elif anew:
            self._select(self._session)
        if anew:
            self._begin(self._session.uidvalidity)
        else:
            self._check_uidvalidity(self._session.uidvalidity)
        return self._session

    def _select(self, session: Session) -> None:
        try:
            session.select(self._config.folder, read_only=self._config.read_only)
        except MailError:
            session.close()
            self._session = None
            raise

    def _begin(self, uidvalidity: int) -> None:
        if uidvalidity != self._uidvalidity:
            self._uidvalidity = uidvalidity
            self._pending.clear()

    def _check_uidvalidity(self, uidvalidity: int) -> None:
        if self._uidvalidity not in (0, uidvalidity):
            raise MadeAnew(self._config.folder)
        self._uidvalidity = uidvalidity

    def _search(self, session: Session, checkpoint: str) -> list[int]:
        first = self._first(checkpoint)
        words = ["UID", f"{first}:*"]
        if not self._config.read_only:
            if session.takes_keyword(self._keyword):
                words += ["UNKEYWORD", self._keyword]
            if not session.has("MOVE") and not session.has("UIDPLUS"):
                words += ["UNDELETED"]  # moved, but for the expunge that is left to others
        session.client.forget_news()
        found = session.call("search the folder", partial(session.client.uids, words))
        uids = [uid for uid in found if uid >= first]  # `n:*` gives the last message even when n is beyond it
        self._pending = set(uids)
        self._highest = max([first - 1, *uids])
        return uids

    def _first(self, checkpoint: str) -> int:
        match = _CHECKPOINT.fullmatch(checkpoint)
        if match is None or not self._config.stays:
            return 1
        if int(match[1]) != self._uidvalidity:
            _LOG.info("%s: the folder was made anew; it is read from the start", self._name)
            return 1
        return int(match[2]) + 1

    def _checkpoint(self) -> str:
        if not self._config.stays or self._highest < 0:
            return ""
        return f"{self._uidvalidity}:{min(self._pending) - 1 if self._pending else self._highest}"

    @property
    def _keyword(self) -> str:
        return self._config.keyword or KEYWORD

    def _sized(self, uids: Sequence[int]) -> Iterator[tuple[int, int]]:
        for part in chunks(uids):
            with self._lock:
                sizes = self._attempt(partial(self._loader.sizes, uids=part))
                self._pending.difference_update(set(part) - sizes.keys())
            yield from sizes.items()

    def _loaded(self, batch: Sequence[tuple[int, int]]) -> tuple[ImapMessage, ...]:
        with self._lock:
            try:
                messages = self._attempt(partial(self._loader.load, batch=batch))
            except MailError as error:
                if not is_hang_up(error):
                    raise
                _LOG.warning("%s: %s; the mails are read one by one", self._name, error)
                messages = self._one_by_one(batch)
            self._pending.difference_update({uid for uid, _ in batch} - messages.keys())
            return tuple(messages.values())

    def _one_by_one(self, batch: Sequence[tuple[int, int]]) -> dict[int, ImapMessage]:
        """Load messages of which one makes the server hang up (as Dovecot does when it cannot read a file)."""
        messages: dict[int, ImapMessage] = {}
        for uid, size in batch:
            try:
                messages |= self._attempt(partial(self._loader.load, batch=[(uid, size)]), once=True)
            except MailError as error:
                if not is_hang_up(error):
                    raise
                # Raises when it is the server, and not this message.
                messages |= self._attempt(partial(self._unreadable, uid=uid, problem=str(error)), once=True)
        return messages

    def _unreadable(self, session: Session, uid: int, problem: str) -> dict[int, ImapMessage]:
        session.call("stay connected", session.client.noop)
        return {uid: self._loader.unreadable(session, uid, problem)}

    def _settle(self, session: Session, plan: dict[Handling, list[int]]) -> None:
        # Dovecot goes on without a word when the folder is made anew below an open session, and the same UIDs are other
        # messages then; only a new SELECT tells.
        self._select(session)
        self._check_uidvalidity(session.uidvalidity)
        targets = {Handling.ARCHIVE: self._config.archive, Handling.INVALID: self._config.invalid}
        for handling, target in targets.items():
            if not plan[handling]:
                continue
            if target:
                self._mover.move(session, plan[handling], target)
            else:
                self._mark(session, plan[handling])

    def _mark(self, session: Session, uids: Sequence[int]) -> None:
        flag = self._keyword if session.takes_keyword(self._keyword) else _SEEN
        for part in parts(uids):
            words = format_uid_set(part)
            session.call("mark mail", partial(session.client.add_flags, words, [flag], silent=True))

    def _wait_once(self, session: Session, seconds: float) -> bool:
        if session.has("IDLE"):
            return self._wait_idle(session, seconds)
        next_poll = self._polled_at + self._config.poll.total_seconds()
        due = next_poll - time.monotonic()
        if due > seconds:
            self._closed.wait(seconds)
            return False
        self._closed.wait(max(0.0, due))
        self._polled_at = time.monotonic()
        return self._has_more(session)

    def _wait_idle(self, session: Session, seconds: float) -> bool:
        now = time.monotonic()
        renewal = self._idle_since + self._config.idle.total_seconds()
        if not session.is_idling or now >= renewal:
            # Search last, then IDLE: what is announced after the search, even before IDLE began, is kept as news.
            if self._has_more(session):
                return True
            session.begin_idle()
            self._idle_since = now
            renewal = now + self._config.idle.total_seconds()
        is_readable = session.client.has_news() or session.client.is_readable(max(0.0, min(seconds, renewal - now)))
        if not is_readable:
            return False
        # The end of an IDLE reads all that was said, and finds out whether anybody is there. "Still here" is no news.
        session.call("wait for mail", lambda: None)
        return session.client.has_news()

    def _has_more(self, session: Session) -> bool:
        session.client.forget_news()
        words = ["UID", f"{self._highest + 1}:*"]
        found = session.call("search the folder", partial(session.client.uids, words))
        return bool(found) and max(found) > self._highest


def _place(origin: str) -> tuple[int, int]:
    match = _PLACE.search(origin)
    if match is None:
        raise ValueError(f"{origin} is no message of an IMAP folder")
    return int(match[1]), int(match[2])
