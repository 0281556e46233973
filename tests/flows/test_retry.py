"""What is tried again, and what becomes of it."""

from pathlib import Path

import pytest

from builders import ask
from dmarcops.flows import retry as module
from dmarcops.flows.ingest import Totals
from dmarcops.flows.retry import RetrySource
from dmarcops.ports import Handling, Message
from dmarcops.store.engine import Store
from flows_ingest import ingest
from sources import Held, Source, Unreadable, document


def test_what_was_kept_is_stored_when_it_can_be_read_now(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch: list[Message] = [Held("a", document(1)), Held("b", b"not yet"), Unreadable("c"), Unreadable("d")]

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect that an upgrade mends")

    with ingest(store, tmp_path) as flow:
        with monkeypatch.context() as broken:
            broken.setattr("dmarcops.flows.look.read", fail)
            flow.run(Source([batch]), Totals())
        assert ask(store, "SELECT outcome FROM ledger ORDER BY id") == [
            ("retry",),
            ("not-a-report",),
            ("retry",),
            ("retry",),
        ]
        monkeypatch.setattr(module, "BATCH_BYTES", 1)
        source = RetrySource(store, {"c": Held("c", document(2))}.get)
        totals = Totals()
        flow.run(source, totals)
    assert (totals.messages, totals.new, totals.not_a_report, source.gone) == (3, 2, 1, 1)
    assert ask(store, "SELECT origin, outcome FROM ledger ORDER BY origin") == [
        ("a", "stored"),
        ("b", "not-a-report"),
        ("c", "stored"),
        ("d", "retry"),
    ]
    assert ask(store, "SELECT count(*) FROM kept") == [(1,)]


def test_nothing_is_tried_when_nothing_is_open(store: Store, tmp_path: Path) -> None:
    with ingest(store, tmp_path) as flow:
        totals = Totals()
        source = RetrySource(store, lambda _: None)
        flow.run(source, totals)
        source.keep_alive()
        source.close()
    assert (totals, source.gone, source.wait(0)) == (Totals(), 0, False)
    assert source.settle([(Held("a", b""), Handling.ARCHIVE)]) == ""
