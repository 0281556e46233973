"""The journal of changes: what stands, what is under way, and what can be taken back."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmarcops.errors import UnsafeChangeError
from dmarcops.policy.answers import octets_of, text_of
from dmarcops.policy.journal import Change, Kind, deciding, former, standing, under_way, undoable

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


A, B, C = (f"v=DMARC1; {policy}; rua=mailto:a@example.com" for policy in ("p=none", "p=quarantine; t=y", "p=reject"))
FIRST, SECOND = change("advance", A, B), change("advance", B, C)
MOVED = change("adopt", C, C.replace("a@", "b@") + "; fo=1")
STRICTER = change("adopt", C, C + "; np=reject")
BROKEN = change("adopt", C, C + "; p")
MOVED_BACK = change("rollback", text_of(MOVED.after), B.replace("a@", "b@") + "; fo=1")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ((), None),
        ((FIRST, SECOND), B),
        ((FIRST, SECOND, MOVED), B.replace("a@", "b@") + "; fo=1"),
        ((FIRST, SECOND, MOVED, MOVED_BACK), A.replace("a@", "b@") + "; fo=1"),
        ((FIRST, SECOND, MOVED, change("adopt", text_of(MOVED.after), C)), B),
        ((FIRST, SECOND, STRICTER), None),
        ((FIRST, change("adopt", B, "gone")), None),
    ],
)
def test_a_step_back_keeps_what_others_changed_beside_the_policy(
    changes: tuple[Change, ...], expected: str | None
) -> None:
    assert former(changes) == (None if expected is None else octets_of(expected))


def test_a_step_back_into_a_record_that_is_not_valid_is_refused() -> None:
    assert undoable((FIRST, SECOND, BROKEN)) == SECOND
    with pytest.raises(UnsafeChangeError, match="not be valid"):
        former((FIRST, SECOND, BROKEN))


def test_the_policy_is_from_the_step_that_a_change_of_other_tags_left_alone() -> None:
    assert deciding((FIRST, MOVED)) == FIRST
    assert deciding((FIRST, STRICTER)) == STRICTER


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
