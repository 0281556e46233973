"""
Real reports, kept outside of this project; left out where they are not at hand.

`DMARCOPS_CORPUS` names their folder, which has an `INDEX.tsv` with the columns path and kind.
"""

import csv
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from report.build import outcomes

CORPUS = Path(os.environ.get("DMARCOPS_CORPUS", Path(__file__).parents[3] / "shared" / "corpus"))
INDEX = CORPUS / "INDEX.tsv"
KINDS = {"aggregate": {"aggregate"}, "tlsrpt": {"tls"}, "failure": {"failure", "feedback"}}

pytestmark = pytest.mark.skipif(not INDEX.exists(), reason="no corpus of real reports here")


def entries(kind: str) -> Iterator[Path]:
    with INDEX.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            if row["kind"] == kind:
                yield CORPUS / row["path"]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_report_is_found(kind: str) -> None:
    paths = list(entries(kind))
    assert paths
    missed = {}
    for path in paths:
        found = [one.what for one in outcomes(path.read_bytes())]
        if len(found) != 1 or found[0] not in KINDS[kind]:
            missed[path.relative_to(CORPUS)] = found
    assert not missed


def test_what_is_no_report_is_not_taken_for_one() -> None:
    found = {one.what for path in entries("other") for one in outcomes(path.read_bytes())}
    assert found <= {"no-report", "empty", "not-dmarc-xml"}


def test_a_file_gives_what_its_octets_give() -> None:
    for path in (path for kind in KINDS for path in entries(kind) if path.suffix != ".xml"):
        with path.open("rb") as file:
            assert outcomes(file) == outcomes(path.read_bytes())
