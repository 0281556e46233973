"""
Loading messages: sizes first, then octets, in memory or in a temporary file; nothing is marked as seen.

One message that the server cannot give does not keep the others back: it is a message that cannot be read.
"""

import io
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from dmarcops.errors import BadInput, MailError
from dmarcops.mail.imap_faults import is_refusal
from dmarcops.mail.imap_move import chunks, present
from dmarcops.mail.imap_session import Session
from dmarcops.mail.scratch import Scratch
from dmarcops.mail.spool import SPOOL_PREFIX

SPOOLED = 4 << 20
"""Octets above which a message goes to a temporary file."""
_PIECE = 1 << 20
_BODY = b"BODY[]"


@dataclass(frozen=True, slots=True)
class ImapMessage:
    """
    A message of a folder; can be sent to another process.

    `origin` is its URL (RFC 5092). `refusal` says why it was not loaded, `problem` why it could not be; else its octets
    are in memory or in the file `path`, which is there until the message is settled or the mailbox closed.
    """

    origin: str
    octets: bytes = field(default=b"", repr=False)
    path: Path | None = None
    refusal: str = ""
    problem: str = ""

    def open(self) -> BinaryIO:
        """
        Open its octets.

        Raises:
            BadInput: It is larger than the limit.
            OSError: The server could not give it.
        """
        if self.refusal:
            raise BadInput("mail-too-big", self.refusal, outcome="unsupported")
        if self.problem:
            raise OSError(self.problem)
        return self.path.open("rb") if self.path else io.BytesIO(self.octets)


class Loader:
    """
    Loads messages of the selected folder.

    Args:
        address: The folder's URL.
        folder: A directory that is ours alone; large messages go to one below it.
        limit: Octets above which a message is not loaded.
    """

    def __init__(self, address: str, folder: Path, limit: int) -> None:
        self._address = address
        self._scratch = Scratch(folder, SPOOL_PREFIX)
        self._limit = limit
        self._files: dict[str, Path] = {}

    def sizes(self, session: Session, uids: list[int]) -> dict[int, int]:
        """Ask how large messages are; one that is gone is left out."""
        answer = session.call("ask for sizes", partial(session.client.fetch, uids, ["RFC822.SIZE"]))
        return {uid: answer[uid][b"RFC822.SIZE"] for uid in uids if b"RFC822.SIZE" in answer.get(uid, {})}

    def load(self, session: Session, batch: Sequence[tuple[int, int]]) -> dict[int, ImapMessage]:
        """Give the messages of a batch of UIDs and sizes; one that is gone is left out."""
        small = [uid for uid, size in batch if size <= min(SPOOLED, self._limit)]
        loaded: dict[int, ImapMessage] = {}
        for part in chunks(small):
            loaded |= self._part(session, part)
        for uid, size in batch:
            if size > self._limit:
                loaded[uid] = self._too_big(session, uid, size)
            elif size > SPOOLED:
                loaded |= self._spooled(session, uid)
        return {uid: loaded[uid] for uid, _ in batch if uid in loaded}

    def unreadable(self, session: Session, uid: int, problem: str) -> ImapMessage:
        """Give a message that the server cannot give."""
        return ImapMessage(self._origin(session, uid), problem=problem)

    def release(self, origins: Iterable[str]) -> None:
        """Delete the temporary files of messages."""
        for origin in origins:
            path = self._files.pop(origin, None)
            if path is not None:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Delete all temporary files, and their folder."""
        self._files.clear()
        self._scratch.close()

    def _origin(self, session: Session, uid: int) -> str:
        return f"{self._address};UIDVALIDITY={session.uidvalidity}/;UID={uid}"

    def _too_big(self, session: Session, uid: int, size: int) -> ImapMessage:
        reason = f"the mail has {size} octets, more than the {self._limit} that are loaded"
        return ImapMessage(self._origin(session, uid), refusal=reason)

    def _part(self, session: Session, uids: list[int]) -> dict[int, ImapMessage]:
        try:
            answer = session.call("read mail", partial(session.client.fetch, uids, ["BODY.PEEK[]"]))
        except MailError as error:
            if error.transient or not is_refusal(error):
                raise
            if len(uids) == 1:
                return {uids[0]: self.unreadable(session, uids[0], str(error))}
            # One of them cannot be read: find out which.
            middle = len(uids) // 2
            return self._part(session, uids[:middle]) | self._part(session, uids[middle:])
        found = {uid: answer[uid][_BODY] for uid in uids if _BODY in answer.get(uid, {})}
        loaded = {uid: octets for uid, octets in found.items() if isinstance(octets, bytes)}
        messages = {uid: ImapMessage(self._origin(session, uid), octets) for uid, octets in loaded.items()}
        return messages | self._without_octets(session, sorted(found.keys() - loaded.keys()))

    def _without_octets(self, session: Session, uids: list[int]) -> dict[int, ImapMessage]:
        """Tell messages that the server answered NIL for because they are gone from those that it cannot read."""
        if not uids:
            return {}
        session.call("stay in step", session.client.noop)
        problem = f"{session.where} gives no octets of it"
        return {uid: self.unreadable(session, uid, problem) for uid in present(session, uids)}

    def _spooled(self, session: Session, uid: int) -> dict[int, ImapMessage]:
        """Load a message in pieces (RFC 3501 section 6.4.5), so that it is never in memory as a whole."""
        origin = self._origin(session, uid)
        self.release([origin])
        with tempfile.NamedTemporaryFile(dir=self._scratch.path(), suffix=".eml", delete=False) as file:
            path = self._files[origin] = Path(file.name)
            size = 0
            while True:
                words = [f"BODY.PEEK[]<{size}.{_PIECE}>"]
                answer = session.call("read mail", partial(session.client.fetch, [uid], words))
                if uid not in answer:
                    self.release([origin])
                    return {}
                piece = answer[uid].get(f"BODY[]<{size}>".encode()) or b""
                file.write(piece)
                size += len(piece)
                if size > self._limit:
                    self.release([origin])
                    return {uid: self._too_big(session, uid, size)}
                if len(piece) < _PIECE:
                    return {uid: ImapMessage(origin, path=path)}
