import json
import re
from hashlib import sha256
from pathlib import Path

import pytest

from dmarcops.policy.signoff import canonical
from dmarcops.render.report import as_json
from render.cases import CASES, HOSTILE, done, fleet, hostile, usual, world


def test_digest_can_be_worked_out_from_the_json() -> None:
    read = json.loads(as_json(usual()))
    fields = {
        "domain": read["domain"],
        "record_now": read["current"]["record"],
        "record_next": read["next"]["record"],
        "evidence": read["evidence"],
    }
    assert sha256(canonical(fields)).hexdigest() == read["digest"]


def test_example_of_the_page_works_out_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs/signoff-report.md").read_text()
    [example] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    for made in (usual(), world()):
        (tmp_path / "report.json").write_text(as_json(made))
        exec(compile(example, "signoff-report.md", "exec"), {})  # noqa: S102 - our own page
    (tmp_path / "report.json").write_text(as_json(usual()).replace("p=quarantine", "p=reject"))
    with pytest.raises(AssertionError):
        exec(compile(example, "signoff-report.md", "exec"), {})  # noqa: S102 - the same


def test_json_is_the_plan_and_all_that_the_report_shows() -> None:
    made = usual()
    read = json.loads(as_json(made))
    plan = json.loads(json.dumps(made.proposal.as_json(made.price)))
    assert {key: read[key] for key in plan} == plan
    assert read["what_if"]["sources"]
    assert len(read["prices"]) == len(made.prices)
    assert read["keys"][0]["selector"] == "s202601-k7f3"
    assert read["steps"][0]["kind"] == "adopt"
    assert read["history"] == list(made.history)
    assert json.loads(as_json(done()))["next"] is None


def test_hostile_text_is_exact_and_cannot_act_on_a_terminal() -> None:
    text = as_json(hostile())
    assert text.isascii()
    assert text.replace("\n", "").isprintable()
    assert json.loads(text)["remarks"] == list(HOSTILE)


def test_fleet_is_in_the_order_in_which_it_is_shown() -> None:
    read = json.loads(as_json(fleet()))
    assert [x["domain"] for x in read["domains"]][:2] == ["alpha.example", "shop.example"]
    assert read["unknown"] == [
        {
            "domain": "lost.example",
            "reason": "ns1.lost.example[192.0.2.1]:53: timeout for TXT _dmarc",
            "brand": "Beta Foods",
        }
    ]


@pytest.mark.parametrize("case", CASES)
def test_same_report_gives_the_same_json(case: str) -> None:
    assert as_json(CASES[case]()) == as_json(CASES[case]())


def test_names_of_the_world_are_read_back() -> None:
    names = {source["name"] for source in json.loads(as_json(world()))["evidence"]["sources"]}
    assert {"خدمة البريد العربية", "株式会社メール配信"} <= names
