"""What is not as it should be, from the run that finds it to the one that finds it no more."""

from datetime import UTC, datetime, timedelta

from dmarcops.store.concerns import REMEMBERED, Concern, load, save
from dmarcops.store.engine import Store

NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def concern(
    kind: str = "stuck", *, domain: str = "a.example", text: str = "no", transient: bool = False, event: bool = False
) -> Concern:
    return Concern(
        subject="dkim",
        domain=domain,
        kind=kind,
        selector="s1",
        title=f"{kind} {domain}",
        text=text,
        is_transient=transient,
        is_event=event,
    )


def known(store: Store, domain: str | None = None) -> list[tuple[str, datetime, int, datetime | None]]:
    return [(each.concern.title, each.since, each.runs, each.ended_at) for each in load(store, "dkim", domain)]


def test_a_concern_is_known_since_the_first_run_until_one_finds_it_no_more(store: Store) -> None:
    save(store, "dkim", {"a.example": [concern()]}, NOW)
    save(store, "dkim", {"a.example": [concern(text="still")]}, NOW + HOUR)
    (found,) = load(store, "dkim")
    assert (found.concern, found.since, found.runs, found.ended_at) == (concern(text="still"), NOW, 2, None)
    save(store, "dkim", {"a.example": []}, NOW + 2 * HOUR)
    save(store, "dkim", {"a.example": []}, NOW + 3 * HOUR)
    assert known(store) == [("stuck a.example", NOW, 2, NOW + 2 * HOUR)]
    save(store, "dkim", {"a.example": [concern()]}, NOW + 4 * HOUR)
    assert known(store) == [("stuck a.example", NOW + 4 * HOUR, 1, None)]


def test_only_what_was_looked_at_wholly_is_over(store: Store) -> None:
    names = ("a.example", "b.example", "c.example")
    save(store, "dkim", {name: [concern(domain=name)] for name in names}, NOW)
    save(store, "policy", {"a.example": []}, NOW + HOUR)
    save(store, "dkim", {"a.example": [], "b.example": []}, NOW + HOUR, unsure=["b.example"])
    assert [ended for *_, ended in known(store)] == [NOW + HOUR, None, None]
    assert known(store, "c.example") == [("stuck c.example", NOW, 1, None)]


def test_what_is_over_is_forgotten_after_a_while(store: Store) -> None:
    save(store, "dkim", {"a.example": [concern(), concern("foreign-record", event=True)]}, NOW)
    save(store, "dkim", {"a.example": []}, NOW + HOUR)
    save(store, "dkim", {"a.example": []}, NOW + HOUR + REMEMBERED)
    assert [title for title, *_ in known(store)] == ["stuck a.example"]
    save(store, "dkim", {"a.example": []}, NOW + 2 * HOUR + REMEMBERED)
    assert known(store) == []


def test_an_event_is_over_at_once_and_is_another_when_it_says_something_else(store: Store) -> None:
    save(store, "dkim", {"a.example": [concern(text="x", event=True)]}, NOW)
    save(store, "dkim", {"a.example": [concern(text="x", event=True), concern(text="y", event=True)]}, NOW + HOUR)
    found = {each.concern.text: (each.since, each.runs, each.ended_at) for each in load(store, "dkim")}
    assert found == {"x": (NOW, 2, NOW + HOUR), "y": (NOW + HOUR, 1, NOW + HOUR)}


def test_several_of_a_kind_are_one_that_says_all(store: Store) -> None:
    several = [concern("failed", text=text, transient=text != "b") for text in ("a", "b", "a", "c")]
    save(store, "dkim", {"a.example": several}, NOW)
    (found,) = load(store, "dkim")
    assert (found.concern.text, found.concern.is_transient, found.runs) == ("a; b; c", False, 1)


def test_what_a_stranger_wrote_is_kept_as_far_as_a_database_can(store: Store) -> None:
    strange = Concern(subject="dkim", domain="a.example", kind="k", selector="s\0\udcff", title="t\0", text="x\0")
    for hours in range(2):
        save(store, "dkim", {"a.example": [strange]}, NOW + hours * HOUR)
    (found,) = load(store, "dkim")
    assert (found.concern.selector, found.concern.title, found.runs) == ("s\\x00\\udcff", "t\\x00", 2)
