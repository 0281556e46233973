"""The project itself: what is in its files, its pinned packages, and what an import brings with it."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
NOT_OURS = re.compile(
    r"\.git|\.venv.*|\..*_cache|__pycache__|build|dist|.*\.egg-info|\.hypothesis|\.coverage.*|.*\.db(-wal|-shm)?"
)
# Put together here, so that this file does not hold what it looks for.
FOREIGN = [
    "/" + "work/",
    "/" + "tmp/w",
    "/" + "opt/",
    "/" + "root/",
    "/" + "home/",
    "." + "library",
    "pypi" + ".org",
    "python" + "hosted.org",
    "npm" + "js.",
    "deb." + "debian",
    "--find" + "-links",
    "--index" + "-url",
    "--extra" + "-index-url",
]
MAY_SAY = {
    "infra/lock-requirements.sh": ["--find" + "-links", "--index" + "-url"],
    # KumoMTA's own place, as its packages have it.
    "docs/signers.md": ["/" + "opt/"],
    "tests/signers/test_kumomta.py": ["/" + "opt/"],
}
GROUPS = ("base", "server", "test", "lint", "docs", "build", "lock")
APART = ("bench",)
"""Groups with an environment of their own: parsedmarc is measured as its users have it."""


def _files(folder: Path = ROOT) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if NOT_OURS.fullmatch(path.name):
            continue
        if path.is_dir():
            yield from _files(path)
        else:
            yield path


def _requirements(group: str) -> dict[str, str]:
    """Name -> its pins, for each package of requirements/GROUP.txt; several when they differ by Python version."""
    text = (ROOT / "requirements" / f"{group}.txt").read_text()
    pins: dict[str, str] = {}
    for name, pin in re.findall(r"^([A-Za-z0-9._-]+)(==.*?)(?=^[A-Za-z0-9]|\Z)", text, re.MULTILINE | re.DOTALL):
        pins[name.lower()] = pins.get(name.lower(), "") + pin
    assert pins
    return pins


def _versions(pins: str) -> set[str]:
    return set(re.findall(r"^==([0-9][^\s;\\]*)", pins, re.MULTILINE))


def test_no_file_names_a_machine_or_a_registry() -> None:
    found = []
    for path in _files():
        text = path.read_bytes().decode("utf-8", errors="replace")
        name = str(path.relative_to(ROOT))
        found += [(name, word) for word in FOREIGN if word in text and word not in MAY_SAY.get(name, [])]
    assert found == []


@pytest.mark.parametrize("group", GROUPS + APART)
def test_every_requirement_is_pinned_with_hashes(group: str) -> None:
    for name, pins in _requirements(group).items():
        hashed = re.findall(r"^==[0-9][^\s;]*(?: ; [^\\]*)? \\\n    --hash=sha256:[0-9a-f]{64}", pins, re.MULTILINE)
        assert hashed, name
        assert len(hashed) == len(re.findall("^==", pins, re.MULTILINE)), name


def _declared() -> Iterator[tuple[str, Requirement]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for text in project["project"]["dependencies"]:
        yield "base", Requirement(text)
    for text in project["build-system"]["requires"]:
        yield "build", Requirement(text)
    for group, texts in project["dependency-groups"].items():
        for text in texts:
            yield group, Requirement(text)


def test_requirements_are_fresh_when_pyproject_names_a_package() -> None:
    """Each package named in pyproject.toml is pinned in its group's file, at a version that it admits."""
    for group, requirement in _declared():
        versions = _versions(_requirements(group)[requirement.name.lower()])
        assert versions, requirement
        assert all(map(requirement.specifier.contains, versions)), requirement


def test_groups_agree_when_they_share_a_package() -> None:
    """One environment holds them all: a package has the same version in all files."""
    seen: dict[str, set[str]] = {}
    for group in GROUPS:
        for name, pins in _requirements(group).items():
            versions = _versions(pins)
            assert seen.setdefault(name, versions) == versions, name


def test_readme_names_both_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "make demo" in readme
    assert "make test" in readme


@pytest.mark.parametrize("readable", ["README.md", "CHANGELOG.md", "docs", "sample-reports"])
def test_links_between_pages_lead_somewhere(readable: str) -> None:
    top = ROOT / readable
    for page in [top] if top.is_file() else sorted(top.glob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), (page.name, target)


def _modules() -> list[Path]:
    return [path for top in ("src", "sample-reports", "benchmarks", "docs") for path in (ROOT / top).rglob("*.py")]


def test_every_module_has_a_docstring() -> None:
    without = [str(path) for path in _modules() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert without == []


def test_packages_export_nothing() -> None:
    """An `__init__.py` holds a docstring only, so that importing a part does not import the rest."""
    for path in (ROOT / "src").rglob("__init__.py"):
        assert len(ast.parse(path.read_text()).body) == 1, path


@pytest.mark.parametrize(
    "module", ["dmarcops.report.parse", "dmarcops.report.unpack", "dmarcops.report.align", "dmarcops.report.model"]
)
def test_reader_comes_alone_when_imported_as_a_library(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert module in loaded
    assert loaded & {"sqlalchemy", "sqlmodel", "pydantic", "alembic", "typer", "rich", "psycopg", "pyarrow"} == set()
    assert {name for name in loaded if name.startswith("dmarcops.") and name.count(".") == 1} <= {
        "dmarcops.report",
        "dmarcops.domains",
        "dmarcops.errors",
    }


def test_ci_run_needs_no_terminal_and_requires_the_servers() -> None:
    script = ROOT / ".ci" / "run"
    text = script.read_text()
    assert script.stat().st_mode & 0o111
    assert "set -euo pipefail" in text
    assert "DMARCOPS_REQUIRE_SERVERS=1" in text
    assert "make test" in text


def test_test_modules_have_names_of_their_own() -> None:
    """Tests are no packages, so pytest takes two modules of one name for the same."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
