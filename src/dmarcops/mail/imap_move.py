r"""
Moving messages out of a folder, each exactly once, whatever the server can do and whenever it is interrupted.

With MOVE (RFC 6851) that is one command. Without, a message is copied, marked `\Deleted` and, with UIDPLUS (RFC 4315),
removed by its UID. Without UIDPLUS too it stays marked `\Deleted` until a person's mail program expunges the folder: a
plain EXPUNGE would remove whatever others have marked, so none is ever sent.

A copy may be made and the rest not, when this program is killed or the connection lost. So a message is marked by the
keyword `$DmarcOpsMoving` before it is copied, and one that has the mark already is first looked for in the target
folder, by size and header; so is one whose MOVE was not answered. Where a server keeps no keywords, every message is
looked for.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from dmarcops.errors import MailError
from dmarcops.mail.imap_client import format_uid_set
from dmarcops.mail.imap_faults import is_refusal
from dmarcops.mail.imap_session import UIDS, MadeAnew, Session

MARK = "$DmarcOpsMoving"
"""Keyword of messages that are being copied."""
_DELETED = "\\Deleted"
_PART = 1000
_LINE = 900

_Key = tuple[int, bytes]


def chunks(uids: Iterable[int], size: int = UIDS) -> Iterator[list[int]]:
    """Cut UIDs into parts that fit one command."""
    ordered = sorted(uids)
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


def parts(uids: Iterable[int]) -> Iterator[list[int]]:
    """
    Cut UIDs into parts whose sequence sets fit one command.

    Larger ones than `chunks` where they follow one another: a server that looks through the whole folder for each
    command, as Dovecot does with Maildir, then does so less often.
    """
    for part in chunks(uids, _PART):
        yield from [part] if len(format_uid_set(part)) <= _LINE else chunks(part)


class Mover:
    """
    Moves messages of the selected folder.

    Args:
        folder: That folder, to be selected again after another one was looked into.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._unsure: set[int] = set()

    def move(self, session: Session, uids: Sequence[int], target: str) -> None:
        """
        Move messages to a folder, which is made when it is missing; one that is gone already is no error.

        Raises:
            MailError: Not all could be moved; the same call again moves the rest.
        """
        session.create(target)
        for part in parts(uids):
            self._move(session, part, target)

    def _move(self, session: Session, uids: list[int], target: str) -> None:
        has_move = session.has("MOVE")
        here = present(session, uids) if not has_move or self._unsure.intersection(uids) else uids
        unsure = self._unsure.intersection(here) if has_move else self._marked(session, here)
        copied = self._found_in(session, sorted(unsure), target) if unsure else set()
        rest = [uid for uid in here if uid not in copied]
        if has_move:
            self._by_move(session, rest, target)
            _remove(session, sorted(copied))
        else:
            self._by_copy(session, rest, target)
            _remove(session, here)
        self._unsure.difference_update(uids)

    def _by_move(self, session: Session, uids: list[int], target: str) -> None:
        folder = session.resolve(target)
        while uids:
            self._unsure.update(uids)
            try:
                session.call(f"move mail to {target}", partial(session.client.move, format_uid_set(uids), folder))
            except MailError as error:
                if not is_refusal(error):
                    raise
                self._unsure.difference_update(uids)  # the server said no: nothing is half done (RFC 6851 section 3.3)
                left = present(session, uids)
                if left == uids or (left and error.transient):
                    raise
                uids = left
            else:
                return

    def _by_copy(self, session: Session, uids: list[int], target: str) -> None:
        if not uids:
            return
        folder = session.resolve(target)
        if session.takes_keyword(MARK):
            session.call("mark mail", partial(session.client.add_flags, format_uid_set(uids), [MARK], silent=True))
        session.call(f"copy mail to {target}", partial(session.client.copy, format_uid_set(uids), folder))

    def _marked(self, session: Session, uids: list[int]) -> set[int]:
        """Tell which messages may have been copied before."""
        if not uids or not session.takes_keyword(MARK):
            return set(uids)
        words = ["UID", format_uid_set(uids), "KEYWORD", MARK]
        return set(session.call("search for marks", partial(session.client.uids, words)))

    def _found_in(self, session: Session, uids: list[int], target: str) -> set[int]:
        """Tell which of the messages are in the target folder already."""
        wanted = _keys(session, uids)
        uidvalidity = session.uidvalidity
        there: Counter[_Key] = Counter()
        try:
            session.select(target, read_only=True)
            for size in sorted({size for size, _ in wanted.values()}):
                words = ["LARGER", str(max(size - 1, 0)), "SMALLER", str(size + 1)]
                found = session.call(f"search {target}", partial(session.client.uids, words))
                there.update(_keys(session, found).values())
            session.select(self._folder, read_only=False)
        except MailError:
            session.drop()  # the folder that is selected may be another one now
            raise
        if session.uidvalidity != uidvalidity:
            session.drop()  # the UIDs are those of other messages now
            raise MadeAnew(self._folder)
        copied = set()
        for uid, key in wanted.items():
            if there[key]:
                there[key] -= 1
                copied.add(uid)
        return copied


def _keys(session: Session, uids: list[int]) -> dict[int, _Key]:
    """Give what a message is known by in any folder: its size, and its header with the trace of its delivery."""
    keys: dict[int, _Key] = {}
    for part in chunks(uids):
        answer = session.call("read headers", partial(session.client.fetch, part, ["RFC822.SIZE", "BODY.PEEK[HEADER]"]))
        for uid, items in answer.items():
            header = items.get(b"BODY[HEADER]") or b""
            keys[uid] = (int(items.get(b"RFC822.SIZE", 0)), hashlib.sha256(header).digest())
    return keys


def present(session: Session, uids: list[int]) -> list[int]:
    """Tell which messages are still in the folder."""
    words = ["UID", format_uid_set(uids)]
    return session.call("search", partial(session.client.uids, words))


def _remove(session: Session, uids: list[int]) -> None:
    """Remove messages whose copies are made, and no other."""
    if not uids:
        return
    session.call(
        "mark mail as deleted", partial(session.client.add_flags, format_uid_set(uids), [_DELETED], silent=True)
    )
    if session.has("UIDPLUS"):
        session.call("remove mail", partial(session.client.uid_expunge, format_uid_set(uids)))
