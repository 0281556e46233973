"""Every sample report, ingested by the program itself, comes to what its `expected.json` says."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

SAMPLES = Path(__file__).parents[2] / "sample-reports"
FOLDERS = ("story", "awkward")
COUNTED = ("reports", "records", "mail_count")


def _run(store: Path, *arguments: str) -> Any:  # noqa: ANN401 - the JSON that the program prints
    command = [sys.executable, "-m", "dmarcops", "--store", f"sqlite:///{store}", *arguments, "--format", "json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _expected(folder: str) -> dict[str, dict[str, Any]]:
    expected: dict[str, dict[str, Any]] = json.loads((SAMPLES / folder / "expected.json").read_text())
    return expected


def _all_expected() -> list[dict[str, Any]]:
    return [entry for folder in FOLDERS for entry in _expected(folder).values()]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that the two folders were ingested into."""
    path = tmp_path_factory.mktemp("samples") / "samples.db"
    for folder in FOLDERS:
        _run(path, "ingest", "--jobs", "1", str(SAMPLES / folder))
    return path


def _by_file(folder: str, rows: list[dict[str, Any]]) -> Mapping[str, list[dict[str, Any]]]:
    """The rows of each file of the folder; the origin of a mail of an mbox ends with its number, of a part with `#`."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in _expected(folder)}
    for row in rows:
        place = row["origin"].removeprefix(f"{SAMPLES / folder}/")
        name = next((name for name in found if place == name or place.startswith((f"{name}:", f"{name}#"))), None)
        if name is None:  # inside a zip or tar, the place goes on with the member's name
            name = next((name for name in found if place.startswith(f"{name}/")), None)
        if name is not None:
            found[name].append(row)
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_message_ends_as_expected_when_ingested(folder: str, store: Path) -> None:
    lines = _by_file(folder, _run(store, "ledger"))
    ends = {name: sorted(line["outcome"] for line in of_file) for name, of_file in lines.items()}
    assert ends == {name: sorted(entry["outcomes"]) for name, entry in _expected(folder).items()}


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_rejection_has_its_code_when_ingested(folder: str, store: Path) -> None:
    lines = _by_file(folder, _run(store, "ledger"))
    codes = {name: {line["code"] for line in of_file if line["code"]} for name, of_file in lines.items()}
    assert codes == {name: {entry["code"]} - {""} for name, entry in _expected(folder).items()}


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_file_gives_its_reports_when_ingested(folder: str, store: Path) -> None:
    counted = {}
    rows = _run(store, "reports")
    for kind in ("failure", "tls"):
        rows += [
            {"conflict": False, "record_count": 0, "mail_count": 0} | row
            for row in _run(store, "reports", "--kind", kind)
        ]
    for name, reports in _by_file(folder, rows).items():
        new = [report for report in reports if not report["conflict"]]
        counted[name] = [len(new), *(sum(report[key] for report in new) for key in ("record_count", "mail_count"))]
    assert counted == {name: [entry[key] for key in COUNTED] for name, entry in _expected(folder).items()}


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_file_has_its_repairs_when_parsed(folder: str) -> None:
    command = [sys.executable, "-m", "dmarcops", "parse", str(SAMPLES / folder), "--format", "json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    payloads = _by_file(folder, [json.loads(line) for line in done.stdout.splitlines()])
    noted = {
        name: {repair["code"] for payload in of_file for repair in payload.get("repairs", [])}
        for name, of_file in payloads.items()
    }
    assert noted == {name: set(entry["repairs"]) for name, entry in _expected(folder).items()}


def test_totals_are_the_sums_when_ingested_at_once(tmp_path: Path) -> None:
    """As `make demo` does, by several processes."""
    totals = _run(tmp_path / "demo.db", "ingest", "--jobs", "2", *(str(SAMPLES / folder) for folder in FOLDERS))
    entries = _all_expected()
    assert (totals["reports"]["new"], totals["records"], totals["mail_count"]) == tuple(
        sum(entry[key] for entry in entries) for key in COUNTED
    )
    for outcome in ("duplicate", "conflict"):
        assert totals["reports"][outcome] == sum(entry["outcomes"].count(outcome) for entry in entries)
    assert totals["messages"] == sum(len(entry["outcomes"]) for entry in entries) + len(FOLDERS)
