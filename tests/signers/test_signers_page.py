"""The page about signers has settings that work, and all of them."""

import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from dmarcops.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "signers.md").read_text()
EXAMPLES = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_can_be_used(example: str) -> None:
    for name, table in tomllib.loads(example)["signers"].items():
        module = import_module(f"dmarcops.signers.{table.pop('kind')}")
        adapter = module.Adapter(name, module.Config(**table))
        assert adapter.algorithms


def test_every_setting_is_named() -> None:
    kinds = re.findall(r"^\| `(\w+)` \| .* \| .* \| .* \|$", PAGE, re.MULTILINE)[1:8]
    assert len(set(kinds)) == 7
    for kind in kinds:
        config: type[Settings] = import_module(f"dmarcops.signers.{kind}").Config
        missing = [name for name in config.model_fields if not re.search(rf"\b{name}\b", PAGE)]
        assert missing == [], kind
