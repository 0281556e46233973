"""A temporary directory with a name too long for a socket in it is no trouble, nor is one just short enough."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sources import document


@pytest.mark.parametrize("octets", [60, 71, 72, 76, 150])
def test_reports_are_read_by_several_processes(tmp_path: Path, octets: int) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        folder = Path(short, "d" * (octets - len(short) - 1))
        folder.mkdir()
        assert len(os.fsencode(folder)) == octets
        for number in range(20):
            (tmp_path / f"{number}.xml").write_bytes(document(number))
        store = f"sqlite:///{tmp_path}/store.db"
        words = ["--store", store, "ingest", "--jobs", "2", "--format", "json", str(tmp_path)]
        done = subprocess.run(
            [sys.executable, "-m", "dmarcops", *words],
            env={**os.environ, "TMPDIR": str(folder)},
            capture_output=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["reports"] == {"new": 20, "duplicate": 0, "conflict": 0}
        assert list(folder.iterdir()) == []
