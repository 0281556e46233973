"""The examples of configuration in the pages are what the program takes."""

import re
import tomllib
from pathlib import Path

import pytest

from dmarcops import config, wiring

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "docs/mailboxes.md", ROOT / "docs/operations.md", ROOT / "README.md")
EXAMPLES = [
    (page.name, example)
    for page in PAGES
    for example in re.findall(r"^```toml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
]


@pytest.mark.parametrize(("page", "example"), EXAMPLES)
def test_example_is_what_the_program_takes(page: str, example: str, tmp_path: Path) -> None:
    file = tmp_path / page
    file.write_text(example)
    environ = dict.fromkeys(re.findall(r'env = "(\w+)"', example), "json://secret")
    settings = config.load(file, environ=environ)
    for name in settings.names("mailboxes"):
        wiring.mailbox_settings(settings, name)
    if "notify" in settings.tables:
        wiring.notifier(settings)


def test_every_kind_of_mailbox_has_an_example() -> None:
    shown = {
        table["kind"]
        for page, example in EXAMPLES
        if page == "mailboxes.md"
        for table in tomllib.loads(example).get("mailboxes", {}).values()
    }
    assert shown == set(wiring.adapters("mail"))
