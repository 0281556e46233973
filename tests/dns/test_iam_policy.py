import json
from pathlib import Path
from typing import Any

import pytest

POLICY = Path(__file__).parents[2] / "infra" / "iam-route53.json"
CALLS = {
    "route53:ListHostedZones",
    "route53:GetHostedZone",
    "route53:ListResourceRecordSets",
    "route53:ListResourceRecordSetProtections",
    "route53:ChangeResourceRecordSets",
    "route53:GetChange",
}
"""What the adapter calls; tests/servers_route53.py knows no other."""


@pytest.fixture
def statements() -> list[dict[str, Any]]:
    policy = json.loads(POLICY.read_text(encoding="utf-8"))
    assert policy["Version"] == "2012-10-17"
    found: list[dict[str, Any]] = policy["Statement"]
    return found


def actions(statement: dict[str, Any]) -> list[str]:
    named: str | list[str] = statement["Action"]
    return [named] if isinstance(named, str) else named


def test_exactly_the_calls_that_are_made_are_allowed(statements: list[dict[str, Any]]) -> None:
    allowed = [action for statement in statements for action in actions(statement)]
    assert sorted(allowed) == sorted(CALLS)
    assert all(statement["Effect"] == "Allow" for statement in statements)


def test_only_listing_the_zones_is_allowed_on_everything(statements: list[dict[str, Any]]) -> None:
    wide = [statement for statement in statements if statement["Resource"] == "*"]
    assert [actions(statement) for statement in wide] == [["route53:ListHostedZones"]]


def test_changes_are_confined_to_the_names_types_and_actions_that_are_written(
    statements: list[dict[str, Any]],
) -> None:
    (change,) = (one for one in statements if "route53:ChangeResourceRecordSets" in actions(one))
    condition = change["Condition"]
    prefix = "route53:ChangeResourceRecordSets"
    names = condition["ForAllValues:StringLike"][f"{prefix}NormalizedRecordNames"]
    # Normalized: lower-case, no final dot.
    assert all(name == name.lower() and not name.endswith(".") for name in names)
    assert all(name.startswith(("*._domainkey.", "_dmarc.")) for name in names)
    exact = condition["ForAllValues:StringEquals"]
    assert exact == {f"{prefix}RecordTypes": ["TXT"], f"{prefix}Actions": ["CREATE", "DELETE"]}
    # "For all values" holds for none too.
    assert set(condition["Null"]) == {f"{prefix}{key}" for key in ("NormalizedRecordNames", "RecordTypes", "Actions")}
    assert set(condition["Null"].values()) == {"false"}
