"""Searching a real Dovecot: the mails of all folders come, and nothing is changed by it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import servers_dovecot
from dmarcops.errors import MailError
from dmarcops.mail.imap import Adapter, Config
from dmarcops.ports import MailSearch
from servers_dovecot import PASSWORD, Dovecot

dovecot, user = servers_dovecot.dovecot, servers_dovecot.user


def adapter(server: Dovecot, user: str, folder: Path, password: str = PASSWORD) -> Adapter:
    table = {"host": "127.0.0.1", "port": server.imap, "tls": "none", "username": user, "password": password}
    return Adapter("seed", Config.model_validate(table), folder)


def test_mails_of_all_folders_come_and_stay_unseen(dovecot: Dovecot, user: str, tmp_path: Path) -> None:
    dovecot.append(user, b"Subject: a\r\n\r\n")
    dovecot.append(user, b"Subject: b\r\n\r\n", b"Subject: c\r\n\r\n", folder="Junk")
    source = adapter(dovecot, user, tmp_path)
    assert isinstance(source, MailSearch)
    found = list(source.search(datetime.now(UTC) - timedelta(hours=1)))
    assert sorted(message.open().read() for message in found) == [f"Subject: {x}\r\n\r\n".encode() for x in "abc"]
    assert len({message.origin for message in found}) == 3
    assert any("/Junk;UIDVALIDITY=" in message.origin for message in found)
    assert not any("\\Seen" in flags for folder in ("INBOX", "Junk") for flags in dovecot.flags(user, folder))
    assert list(source.search(datetime.now(UTC) + timedelta(days=3))) == []
    source.close()


def test_a_login_that_is_refused_is_told(dovecot: Dovecot, user: str, tmp_path: Path) -> None:
    with pytest.raises(MailError):
        list(adapter(dovecot, user, tmp_path, "wrong").search(datetime.now(UTC)))
