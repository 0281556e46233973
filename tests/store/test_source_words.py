"""What people said of sources: kept as it was said, for ever, and in the audit trail."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from builders import ask
from dmarcops.errors import StoreError
from dmarcops.policy.sources import Acknowledgement, Scope, Word
from dmarcops.store import audit
from dmarcops.store.engine import Store
from dmarcops.store.retention import prune
from dmarcops.store.source_words import EVERYWHERE, Said, add, of, said

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def word(value: str, what: Word = Word.ACK, *, minutes: int = 0, note: str = "") -> Acknowledgement:
    at = NOW + timedelta(minutes=minutes)
    return Acknowledgement(scope=Scope.ADDRESS, value=value, word=what, by="kim", at=at, note=note)


def test_words_are_those_for_the_domain_and_for_all_in_the_order_they_were_said(store: Store) -> None:
    add(store, "example.com", word("192.0.2.1", minutes=3))
    add(store, EVERYWHERE, word("192.0.2.2", minutes=2))
    add(store, "example.net", word("192.0.2.3"))
    add(store, "example.com", word("192.0.2.1", Word.DENY, minutes=1))
    own, everywhere = (
        (word("192.0.2.1", minutes=3), word("192.0.2.1", Word.DENY, minutes=1)),
        word("192.0.2.2", minutes=2),
    )
    assert of(store, ("example.com", "example.net", "example.org")) == {
        "example.com": (own[0], everywhere, own[1]),
        "example.net": (everywhere, word("192.0.2.3")),
        "example.org": (everywhere,),
    }
    assert of(store, ()) == {}


def test_all_words_are_listed_with_the_domains_they_are_for(store: Store) -> None:
    add(store, "example.com", word("192.0.2.1"))
    add(store, EVERYWHERE, word("192.0.2.2"))
    add(store, "example.net", word("192.0.2.3"))
    every = [
        Said("example.com", word("192.0.2.1")),
        Said("", word("192.0.2.2")),
        Said("example.net", word("192.0.2.3")),
    ]
    assert said(store) == tuple(every)
    assert said(store, "example.net") == tuple(every[1:])


def test_a_word_is_kept_as_it_was_said(store: Store) -> None:
    at = datetime(2026, 3, 1, 14, 0, 0, 999, tzinfo=timezone(timedelta(hours=2)))
    spoken = Acknowledgement(scope=Scope.SERVICE, value="Esp", word=Word.NOTE, by="J\0", at=at, note="<b>\x1b[1m")
    add(store, "example.com", spoken)
    (kept,) = of(store, ["example.com"])["example.com"]
    assert kept == Acknowledgement(
        scope=Scope.SERVICE, value="Esp", word=Word.NOTE, by="J\\x00", at=NOW, note="<b>\x1b[1m"
    )


def test_a_word_stands_in_the_audit_trail(store: Store) -> None:
    add(store, "example.com", word("192.0.2.1", Word.DENY, note="spoofs us"))
    add(store, EVERYWHERE, word("192.0.2.2"))
    assert [(x.at, x.event.domain, x.event.who, x.event.action, x.event.detail) for x in audit.history(store)] == [
        (NOW, "example.com", "kim", "source-deny", "address 192.0.2.1: spoofs us"),
        (NOW, "", "kim", "source-ack", "address 192.0.2.2"),
    ]
    audit.verify(store)


def test_words_and_their_trail_stay_when_all_is_pruned(store: Store) -> None:
    add(store, "example.com", word("192.0.2.1"))
    prune(store, date(2030, 1, 1))
    assert (len(said(store)), len(audit.history(store))) == (1, 1)


def test_neither_word_nor_trail_is_there_when_one_cannot_be_written(store: Store) -> None:
    with store.write() as connection:
        connection.exec_driver_sql("DROP TABLE audit")
    with pytest.raises(StoreError, match="audit"):
        add(store, "example.com", word("192.0.2.1"))
    assert ask(store, "SELECT count(*) FROM source_word") == [(0,)]
