"""Names of selectors: from a template, one label, never the same twice."""

import random
from datetime import UTC, datetime

import pytest

from dmarcops.dkim.selectors import DEFAULT_TEMPLATE, fresh_selector
from dmarcops.errors import ConfigError

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def test_selector_has_date_and_chance_when_made_by_the_default() -> None:
    selector = fresh_selector(DEFAULT_TEMPLATE, now=NOW, used=(), chance=lambda _: 0)
    assert selector == "s202611-aaaa"


def test_selector_is_never_one_that_was_used_when_many_are_made() -> None:
    dice = random.Random(1)
    used: set[str] = set()
    for _ in range(36):
        used.add(fresh_selector("x{random:1}", now=NOW, used=used, chance=dice.randrange))
        dice.seed(len(used))
        if len(used) == 20:
            break
    assert len(used) == 20


def test_month_is_in_lower_case_when_the_template_names_it() -> None:
    assert fresh_selector("{date:%b}1", now=NOW, used=(), chance=lambda _: 0) == "nov1"


@pytest.mark.parametrize(
    "template",
    [
        "",
        "S1",
        "-a",
        "a-",
        "a.b",
        "a_b",
        "{random:4",
        "{random:x}",
        "{random:0}",
        "{random:-1}",
        "{random:\u0664}",
        "{date:%H:%M}",
        "{algorithm}",
        "a" * 64,
        "a{random:32}{random:999}",
    ],
)
def test_template_is_refused_when_it_makes_no_label(template: str) -> None:
    with pytest.raises(ConfigError, match="which is no selector"):
        fresh_selector(template, now=NOW, used=(), chance=lambda _: 0)


def test_template_is_refused_when_it_makes_nothing_new() -> None:
    with pytest.raises(ConfigError, match="only names that were used before") as caught:
        fresh_selector("s{date:%Y}", now=NOW, used={"s2026"}, chance=lambda _: 0)
    assert caught.value.hint == "put {random:4} into it"
