from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmarcops.policy.robust import Settled, settle


def settled(parts: Mapping[str, tuple[int, int]], least: float = 0.9) -> Settled:
    def figure(excluded: frozenset[str]) -> float | None:
        kept = [value for name, value in parts.items() if name not in excluded]
        whole = sum(messages for _, messages in kept)
        return sum(passed for passed, _ in kept) / whole if whole else None

    return settle(figure, parts, lambda value: value >= least)


GOOD, BAD = (100, 100), (0, 100)


@pytest.mark.parametrize(
    ("parts", "ok", "set_aside", "rests_on"),
    [
        ({}, False, "", ""),
        ({"a": GOOD}, False, "", "a"),
        ({"a": GOOD, "b": GOOD}, True, "", ""),
        ({"a": GOOD, "b": BAD}, False, "", ""),
        ({"a": GOOD, "b": GOOD, "c": (0, 10**9)}, True, "c", ""),
        ({"a": BAD, "b": BAD, "c": (10**9, 10**9)}, False, "", "c"),
        ({"a": GOOD, "b": GOOD, "c": BAD, "d": BAD}, False, "", ""),
        ({"a": BAD, "b": BAD}, False, "", ""),
    ],
)
def test_no_single_reporter_decides(
    parts: Mapping[str, tuple[int, int]],
    ok: bool,  # noqa: FBT001 - an expected value
    set_aside: str,
    rests_on: str,
) -> None:
    found = settled(parts)
    assert (found.ok, found.set_aside, found.rests_on) == (ok, set_aside, rests_on)
    assert (found.value is not None and found.value >= 0.9) is ok


def test_remark_names_the_reporter() -> None:
    assert settled({"a": GOOD, "b": GOOD, "c": BAD}).remark == "c alone says otherwise, and is set aside"
    assert settled({"a": GOOD}).remark == "it rests on a alone"
    assert settled({"a": GOOD, "b": GOOD}).remark == ""


SAID = st.dictionaries(
    st.sampled_from("abcde"),
    st.integers(1, 1000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    min_size=3,
)


@given(SAID, st.integers(1, 10**9), st.booleans())
def test_forged_reporter_neither_opens_nor_closes_what_is_clear(
    parts: dict[str, tuple[int, int]],
    messages: int,
    is_good: bool,  # noqa: FBT001 - drawn
) -> None:
    """Where no real reporter alone matters, and any two tell the same, a forged one changes nothing."""
    before = settled(parts)
    rates = {passed / whole >= 0.9 for passed, whole in parts.values()}
    if len(rates) > 1:
        return
    after = settled({**parts, "forged": (messages if is_good else 0, messages)})
    assert after.ok is before.ok
