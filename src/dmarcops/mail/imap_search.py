"""
Searching an IMAP mailbox: the mails of all folders since a moment, on a connection of its own, changing nothing.

Folders are examined, not selected, and mails are read with BODY.PEEK[], so that nothing is seen by it. Evidence may lie
in any folder: a filter may have put a probe with the junk.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import quote

from dmarcops.errors import MailError
from dmarcops.mail.imap_load import Loader
from dmarcops.mail.imap_move import chunks
from dmarcops.mail.imap_session import Session
from dmarcops.ports import Message

_BATCH = 50
"""Messages that are in memory at a time."""
_NOT_THERE = frozenset((b"\\noselect", b"\\nonexistent"))
"""Flags of what is no folder with mail (RFC 3501 section 7.2.2, RFC 5258)."""


def search(session: Session, since: datetime, *, address: str, folder: Path, limit: int) -> Iterator[Message]:
    """
    Give the mails of all folders that arrived since a moment; the server knows days only, so older ones may come too.

    Args:
        session: A connection that nobody else uses; it is closed at the end.
        since: From when on.
        address: The mailbox's URL, without a folder.
        folder: A directory that is ours alone, for large messages.
        limit: Octets above which a message is not loaded.

    Raises:
        MailError: The server cannot be reached or read.
    """
    # Internal dates are in the server's time zone.
    day = (since - timedelta(days=1)).strftime("%d-%b-%Y")
    try:
        for name in _folders(session):
            loader = Loader(f"{address}/{quote(name, safe='/')}", folder, limit)
            try:
                yield from _in_folder(session, name, day, loader)
            finally:
                loader.close()
    finally:
        session.close()


def _folders(session: Session) -> list[str]:
    found = session.call("list folders", partial(session.client.list_folders, "", "*"))
    folders = [(str(name), {flag.lower() for flag in flags}) for flags, _, name in found]
    return [name for name, flags in folders if not flags & _NOT_THERE]


def _in_folder(session: Session, name: str, day: str, loader: Loader) -> Iterator[Message]:
    try:
        session.select(name, read_only=True)
    except MailError:
        if session.is_lost:
            raise
        # It was deleted since, or is not for us to read.
        return
    uids = session.call("search the folder", partial(session.client.uids, ["SINCE", day]))
    for part in chunks(uids[::-1]):
        sizes = list(loader.sizes(session, list(part)).items())
        for first in range(0, len(sizes), _BATCH):
            yield from loader.load(session, sizes[first : first + _BATCH]).values()
