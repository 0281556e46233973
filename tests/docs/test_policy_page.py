"""What the page on policies says is what the program takes and does."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

from dmarcops import config
from dmarcops.cli.main import app
from dmarcops.policy.record import Policy
from dmarcops.policy.rules import DEFAULT_SCHEDULE
from dmarcops.policy.rungs import RUNGS, RungName, Tags, example
from dmarcops.policy.stepper import Decision
from dmarcops.policy_parts import PolicyParts
from dmarcops.rotation_parts import Parts, domains
from dmarcops.store.engine import Store
from policy_world import World

PAGE = (Path(__file__).parents[2] / "docs/policy.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def rows(title: str) -> list[list[str]]:
    """Give the cells of the table below a title."""
    section = PAGE.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    return [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in re.findall(r"^\| `.*\|$", section, re.MULTILINE)
    ]


@pytest.mark.parametrize("text", blocks("toml"))
def test_an_example_is_what_the_program_takes(text: str, tmp_path: Path) -> None:
    tables = tomllib.loads(text)
    key = tables.get("policy", {}).pop("signing_key", None)
    file = tmp_path / "dmarcops.toml"
    file.write_text(text.replace(f'signing_key = "{key}"', ""))
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        parts = PolicyParts(Parts(config.load(file, environ={}), store, print))
        governed = {name: parts.governed(name) for name in domains(parts.config, (), part="policy")}
        parts.ring()
    assert set(governed) == set(tables.get("domains", {}))
    if "example.net" in governed:
        assert [step.rung for step in governed["example.net"].rules.steps()] == [RungName.REJECT]
        ramp = governed["example.com"].rules.schedule
        assert [(step.duration.days, step.pct, step.np) for step in ramp] == [
            (28, 100, None),
            (10, 25, None),
            (42, 100, Policy.REJECT),
            (0, 100, None),
        ]
        assert governed["example.com"].auto_rollback
    elif governed:
        assert tuple(governed["example.com"].rules.schedule) == DEFAULT_SCHEDULE


def test_commands_of_the_page_have_the_options_that_it_uses() -> None:
    policy = get_command(app).commands["policy"]  # type: ignore[attr-defined]  # typer's group has them
    text = " ".join(PAGE.split())
    calls = re.findall(r"`dmarcops policy ([^`]+)`", text)
    calls += re.findall(r"^\$ dmarcops policy (.*)$", PAGE, re.MULTILINE)
    assert len(calls) > 10
    for call in calls:
        command, *words = shlex.split(call)
        options = {name for parameter in policy.commands[command].params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, call


def test_the_rungs_of_the_page_are_those_that_there_are() -> None:
    told = {name.strip("`"): record.strip("`") for name, record, _ in rows("The rungs")}
    assert list(told) == [rung.name.value for rung in RUNGS]
    for rung in RUNGS:
        tags = Tags(pct=25 if rung.is_sampled else 100, np=Policy.REJECT if rung.name == "quarantine" else None)
        assert str(example(rung, tags)) == f"v=DMARC1; {told[rung.name]}"


def test_the_decisions_of_the_page_are_those_that_there_are() -> None:
    assert {name.strip("`") for name, _ in rows("The decision")} == {decision.value for decision in Decision}


def test_the_json_of_the_page_has_the_names_that_are_printed(tmp_path: Path) -> None:
    (text,) = blocks("json")
    shown = json.loads(text)
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        printed = World(store).seasoned().look().as_json()
    assert list(shown) == list(printed)
    for name in ("current", "next"):
        assert list(shown[name]) == list(printed[name])
    assert list(shown["gates"][0]) == list(printed["gates"][0])
    assert set(shown["what_if"]) <= set(printed["what_if"])
