"""What the documentation says is what the program does: commands, examples, limits, codes, views, queries."""

import ast
import contextlib
import io
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from dmarcops import config
from dmarcops.policy.services import SERVICES
from dmarcops.report import limits
from dmarcops.rotation_parts import Parts
from dmarcops.store.engine import Store

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
VIEWS = (
    "alignment_failures",
    "source_summary",
    "domain_daily",
    "reporter_summary",
    "selector_usage",
    "override_reasons",
)


def _blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def _first_column(section: str) -> list[str]:
    """What stands in backquotes in the first cell of each row."""
    cells = re.findall(r"^\| (`[^|]+`) \|", section, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def _section(page: str, title: str) -> str:
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    assert found, title
    return found.group(1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A store with the story of the sample reports in it."""
    path = tmp_path_factory.mktemp("docs") / "docs.db"
    story = str(ROOT / "sample-reports/story")
    command = [sys.executable, "-m", "dmarcops", "--store", f"sqlite:///{path}", "ingest", story]
    subprocess.run(command, check=True, capture_output=True)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        yield connection


@pytest.mark.parametrize(
    "generator", ["generate_cli.py", "generate_configuration.py", "generate_rotation.py", "generate_signoff.py"]
)
def test_generated_page_is_what_the_program_says(generator: str) -> None:
    command = [sys.executable, str(DOCS / generator), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_example_of_the_page_makes_a_rotation(tmp_path: Path) -> None:
    (example,) = _blocks(DOCS / "rotation.md", "toml")
    file = tmp_path / "dmarcops.toml"
    file.write_text(example)
    environ = {"SEED_PASSWORD": "a", "SMTP_PASSWORD": "b", "HOME": str(tmp_path)}
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        parts = Parts(config.load(file, environ=environ), store, print)
        outside = parts.outside("example.com")
    assert outside.plan.signers == ("pmta",)
    assert outside.probe is not None


def test_commands_in_the_pages_exist() -> None:
    known = set(re.findall(r"^### dmarcops (\w+)", (DOCS / "cli.md").read_text(), re.MULTILINE))
    used = set()
    for page in (ROOT / "README.md", *DOCS.glob("*.md")):
        for block in _blocks(page, "console"):
            used |= set(re.findall(r"^\$ (?:\S*/)?dmarcops ([a-z]+)", block, re.MULTILINE))
    assert used
    assert used <= known


def test_library_examples_print_what_the_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    page = DOCS / "library.md"
    examples, outputs = _blocks(page, "python"), _blocks(page, "text")
    assert len(examples) == len(outputs) > 0
    for example, output in zip(examples, outputs, strict=True):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(example, str(page), "exec"), {})  # noqa: S102 - our own page
        assert printed.getvalue() == output


@pytest.mark.parametrize("view", VIEWS)
def test_columns_of_a_view_are_documented(view: str, store: sqlite3.Connection) -> None:
    columns = [name for _, name, *_ in store.execute(f"PRAGMA table_info({view})")]
    assert columns
    assert _first_column(_section("views.md", view)) == columns


@pytest.mark.parametrize("query", _blocks(DOCS / "views.md", "sql"))
def test_query_of_the_page_finds_something(query: str, store: sqlite3.Connection) -> None:
    assert store.execute(query).fetchall() != []


def test_limits_in_the_page_are_the_defaults() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| `([a-z-]+)` \|", _section("reports.md", "Limits"), re.MULTILINE)
    units = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "": 1}
    documented = {}
    for name, value, _ in rows:
        number, _, unit = value.strip().partition(" ")
        documented[name] = int(number.replace(",", "")) * units[unit]
    assert documented == {field.name: getattr(limits.Limits(), field.name) for field in fields(limits.Limits)}


def _codes(**places: int) -> set[str]:
    """The codes that are given, as text, to calls of these names, at this place among the arguments."""
    found = set()
    for path in (ROOT / "src/dmarcops").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                place = places.get(ast.unparse(node.func).rpartition(".")[2], len(node.args))
                found |= {text for text in _texts(node.args[place : place + 1]) if CODE.fullmatch(text)}
    return found


def _texts(arguments: list[ast.expr]) -> Iterator[str]:
    """The texts among the arguments, also where one of two is chosen."""
    for argument in arguments:
        for part in (argument.body, argument.orelse) if isinstance(argument, ast.IfExp) else (argument,):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield part.value


def test_repairs_in_the_page_are_those_of_the_program() -> None:
    assert _first_column(_section("reports.md", "Repairs")) == sorted(_codes(Repair=0) | _repairs_noted())


def _repairs_noted() -> set[str]:
    """What is given to `Notes.add`; sets have an `add` too, but not of such texts with a dash or the two without."""
    return {code for code in _codes(add=0) if "-" in code or code in ("bom", "doctype")}


def test_rejections_in_the_page_have_all_of_the_program() -> None:
    codes = _codes(ReportError=0, UnpackError=0, IncomingRejection=2, Line=3)
    assert codes - set(_first_column(_section("reports.md", "Rejections"))) == set()


def test_services_in_the_page_are_those_of_the_program() -> None:
    rows = re.findall(
        r"^\| ([^|]+) \| ([^|]*) \| ([^|]*) \|$", _section("sources.md", "What sources are called"), re.MULTILINE
    )
    shown = [(name, *(tuple(re.findall(r"`([^`]+)`", cell)) for cell in cells)) for name, *cells in rows[2:]]
    assert shown == [(x.name, x.hosts, x.signers) for x in SERVICES]


def test_screen_in_the_readme_is_what_the_demonstration_prints(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "dmarcops", "--store", f"sqlite:///{tmp_path}/demo.db"]
    folders = [str(ROOT / "sample-reports" / name) for name in ("story", "awkward")]
    subprocess.run([*program, "ingest", "--jobs", "1", *folders], check=True, capture_output=True)
    [screen] = [block for block in _blocks(ROOT / "README.md", "text") if block.startswith("$ dmarcops failures")]
    command, _, shown = screen.partition("\n")
    words = command.removeprefix("$ dmarcops ").split()
    assert subprocess.run([*program, *words], check=True, capture_output=True, text=True).stdout == shown
