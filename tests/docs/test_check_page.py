"""The page on `check` has every code and every rule of the program, as the program has them, and no others."""

import re
from pathlib import Path

from dmarcops.check.bulk import RULES
from dmarcops.check.findings import Code

PAGE = (Path(__file__).parents[2] / "docs/check.md").read_text()


def _rows(title: str) -> list[str]:
    section = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section
    return [line for line in section[1].splitlines() if line.startswith("| `")]


def test_codes_in_the_page_are_those_of_the_program() -> None:
    assert _rows("Findings") == [f"| `{c.code}` | {c.severity.value} | {c.section} | {c.text} |" for c in Code]


def test_rules_in_the_page_are_those_of_the_program() -> None:
    assert _rows("Rules of those who take much mail") == [f"| `{x.code}` | {x.text} | <{x.source}> |" for x in RULES]
    assert len({rule.code for rule in RULES}) == len(RULES)
    assert all(rule.code.startswith(f"{rule.provider}-") and rule.source.startswith("https://") for rule in RULES)
