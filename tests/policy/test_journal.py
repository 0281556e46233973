"""The journal of changes: what stands, what is under way, and what can be taken back."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmarcops.policy.answers import octets_of, text_of
from dmarcops.policy.journal import Change, Kind, standing, under_way, undoable

AT = datetime(2026, 1, 1, tzinfo=UTC)


def change(kind: str, before: str, after: str, *, done: bool = True) -> Change:
    made = Change(
        id=1,
        domain="example.com",
        kind=Kind(kind),
        before=before.encode(),
        after=after.encode(),
        digest="",
        who="kim",
        decided_at=AT,
    )
    return replace(made, written_at=AT, acknowledged_at=AT) if done else made


def withdrawn(made: Change) -> Change:
    return replace(made, acknowledged_at=None, withdrawn_at=AT)


UP, FURTHER = change("advance", "a", "b"), change("advance", "b", "c")
BACK, FURTHER_BACK = change("rollback", "c", "b"), change("rollback", "b", "a")
ADOPTED = change("adopt", "c", "x")
OPEN = change("advance", "b", "c", done=False)


@pytest.mark.parametrize(
    ("changes", "taken_back"),
    [
        ((), None),
        ((UP,), UP),
        ((UP, FURTHER), FURTHER),
        ((UP, FURTHER, BACK), UP),
        ((UP, FURTHER, BACK, FURTHER_BACK), None),
        ((UP, FURTHER, ADOPTED), None),
        ((UP, FURTHER, ADOPTED, replace(UP, before=b"x")), replace(UP, before=b"x")),
        ((UP, withdrawn(OPEN)), UP),
        ((UP, OPEN), OPEN),
        ((BACK,), None),
    ],
)
def test_a_step_back_takes_the_newest_step_that_stands(changes: tuple[Change, ...], taken_back: Change | None) -> None:
    assert undoable(changes) == taken_back


def test_what_is_withdrawn_does_not_stand() -> None:
    assert standing(()) is None
    assert standing((UP, withdrawn(FURTHER))) == UP
    assert standing((withdrawn(UP),)) is None


def test_what_is_overtaken_is_not_under_way() -> None:
    assert under_way((UP, OPEN)) == OPEN
    assert under_way((UP, OPEN, BACK)) is None
    assert under_way((UP, withdrawn(OPEN))) is None
    assert under_way(()) is None


@given(st.binary())
def test_octets_are_kept_by_the_text_that_stands_for_them(octets: bytes) -> None:
    assert octets_of(text_of(octets)) == octets


def test_a_change_is_printed_with_its_moments() -> None:
    assert OPEN.as_json() == {
        "kind": "advance",
        "before": "b",
        "after": "c",
        "by": "kim",
        "decided_at": "2026-01-01T00:00:00+00:00",
        "written_at": None,
        "acknowledged_at": None,
    }
