"""A short run of the fuzzer, the same each time; `make fuzz` is the long one."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

FUZZER = Path(__file__).with_name("fuzz_reader.py")
RUNS = 15_000
# libFuzzer holds ru_maxrss against its limit, and a process inherits that from the one that started it: here the tests,
# which may be large by now. A shell in between is small.
AS_CHILD_OF_A_SHELL = ("sh", "-c", '"$@"; exit', "sh")


@pytest.mark.slow
def test_any_octets_give_reports_or_our_errors_when_fuzzed(tmp_path: Path) -> None:
    if find_spec("atheris") is None:
        pytest.skip("atheris is for Linux and Python before 3.13")
    options = (f"-runs={RUNS}", "-seed=9990", "-timeout=20", "-rss_limit_mb=1500", "-max_len=50000", "-verbosity=0")
    done = subprocess.run(
        [*AS_CHILD_OF_A_SHELL, sys.executable, FUZZER, tmp_path / "corpus", *options],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
    )
    assert done.returncode == 0, done.stderr[-4_000:]
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
