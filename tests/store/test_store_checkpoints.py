from datetime import UTC, datetime, timedelta, timezone

from builders import ask
from dmarcops.store.checkpoints import load_checkpoint, save_checkpoint
from dmarcops.store.engine import Store
from dmarcops.store.runs import SourceRun, load_runs, save_error, save_ok

NOW = datetime(2026, 1, 3, 12, 30, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def test_checkpoint_is_empty_when_none_was_saved(store: Store) -> None:
    save_checkpoint(store, "other", "1:2", NOW)
    assert load_checkpoint(store, "rua") == ""


def test_checkpoint_is_the_last_one_when_saved_again(store: Store) -> None:
    save_checkpoint(store, "rua", "7:100", NOW)
    save_checkpoint(store, "rua", "7:200", LATER.astimezone(timezone(timedelta(hours=5))))
    save_checkpoint(store, "other", "x", NOW)
    assert load_checkpoint(store, "rua") == "7:200"
    assert ask(store, "SELECT source, value, updated_at FROM checkpoint ORDER BY source") == [
        ("other", "x", "2026-01-03 12:30:00+00:00"),
        ("rua", "7:200", "2026-01-03 13:30:00+00:00"),
    ]


def test_runs_count_failures_since_the_last_success(store: Store) -> None:
    assert load_runs(store) == {}
    assert save_error(store, "rua", "no answer", NOW) == SourceRun("rua", None, NOW, "no answer", 1)
    assert save_error(store, "rua", "still\0none", LATER) == SourceRun("rua", None, LATER, "still\\x00none", 2)
    ok = SourceRun("rua", LATER, LATER, "still\\x00none", 0)
    assert save_ok(store, "rua", LATER) == ok
    other = save_ok(store, "a", NOW)
    assert other == SourceRun("a", NOW, None, None, 0)
    assert load_runs(store) == {"a": other, "rua": ok}
    assert save_error(store, "rua", "again", LATER).failures_in_a_row == 1
