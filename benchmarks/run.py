"""
Throughput and peak memory of dmarcops, beside parsedmarc and beside what lxml alone needs for the same octets.

All contenders take turns, in fresh processes on the same core, and the best of several rounds counts, so that what else
the machine does hits all alike. Only ratios are worth comparing between machines.
Run by `make bench`; `--help` tells what can be changed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from competitor import NotInstalledError, python_with_parsedmarc

HERE = Path(__file__).parent
MIB_KIB = 1024
RATIOS = ("x parsedmarc", "by CPU", "of the floor")
"""How many times as fast as parsedmarc, by the clock and by time on the processor; and how much of the floor's CPU."""
SHOWN = {
    "parsedmarc": "parsedmarc 11.1.0, parsing alone",
    "floor": "the floor: lxml into nothing",
    "parsing": "dmarcops, parsing alone",
    "ingest-1": "dmarcops ingest into SQLite, --jobs 1",
    "ingest-2": "dmarcops ingest into SQLite, --jobs 2",
}


@dataclass(frozen=True)
class Input:
    """A folder of reports, what it is called, and one of its reports to warm up with."""

    title: str
    folder: Path
    warm_up: Path


@dataclass(frozen=True)
class Measure:
    """The best of a contender's runs over one input; of several processes, time and memory of the first."""

    seconds: float
    cpu_seconds: float
    reports: int
    records: int
    peak_kib: int

    def better(self, other: "Measure") -> "Measure":
        """Return the better of each figure."""
        return replace(
            self,
            seconds=min(self.seconds, other.seconds),
            cpu_seconds=min(self.cpu_seconds, other.cpu_seconds),
            peak_kib=max(self.peak_kib, other.peak_kib),
        )


def main() -> None:
    """Make the inputs, measure, print the tables."""
    asked = _arguments()
    try:
        interpreters = {"parsedmarc": str(python_with_parsedmarc())}
    except NotInstalledError as error:
        print(f"parsedmarc cannot be installed, so nothing is measured beside it: {error}\n", file=sys.stderr)
        interpreters = {}
    with tempfile.TemporaryDirectory(prefix="dmarcops-bench-") as folder:
        os.environ["TMPDIR"] = folder
        for given in _inputs(asked, Path(folder)):
            names = [name for name in SHOWN if _can_run(name, given, interpreters)]
            best = {name: _measured(name, given, interpreters) for name in names}
            for _ in range(asked.rounds - 1):
                for name in names:
                    best[name] = best[name].better(_measured(name, given, interpreters))
            _print_table(given, best)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure dmarcops beside parsedmarc and bare lxml.")
    parser.add_argument("--rounds", type=int, default=3, help="of how many runs the best counts (3)")
    parser.add_argument("--mails", type=int, default=3_000, help="small mails (3000)")
    parser.add_argument("--large", type=int, default=1, help="large reports (1)")
    parser.add_argument("--records", type=int, default=100_000, help="records of a large report (100000)")
    parser.add_argument("--reports", type=Path, help="a folder of reports to measure instead; without the floor")
    return parser.parse_args()


def _inputs(asked: argparse.Namespace, folder: Path) -> Iterator[Input]:
    if asked.reports:
        files = sorted(path for path in asked.reports.rglob("*") if path.is_file())
        yield Input(f"{asked.reports}: {len(files):,} files", asked.reports, files[0])
        return
    sizes = (str(asked.mails), str(asked.large), str(asked.records))
    subprocess.run([sys.executable, HERE / "inputs.py", folder, *sizes], check=True)
    small, large, warm_up = folder / "small", folder / "large", folder / "warm-up.eml"
    shutil.move(small / "000000.eml", warm_up)
    yield Input(f"Small mails: {asked.mails - 1:,}, gzip, median 3 records", small, warm_up)
    yield Input(f"Large reports: {asked.large} of {asked.records:,} records, plain XML", large, warm_up)


def _can_run(name: str, given: Input, interpreters: dict[str, str]) -> bool:
    if name == "floor":
        return given.warm_up.parent == given.folder.parent
    return name != "parsedmarc" or name in interpreters


def _measured(name: str, given: Input, interpreters: dict[str, str]) -> Measure:
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    used = cores if name == "ingest-2" else cores[-1:]
    command = (
        *(interpreters.get(name, sys.executable), HERE / "contender.py"),
        *(name, given.folder, given.warm_up, ",".join(map(str, used))),
    )
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Measure(**json.loads(done.stdout.splitlines()[-1]))


def _print_table(given: Input, best: dict[str, Measure]) -> None:
    rows = [("", "seconds", "CPU s", "reports/s", "records/s", "peak MiB", *RATIOS)]
    for name, measure in best.items():
        rows.append(
            (
                SHOWN[name],
                f"{measure.seconds:.2f}",
                f"{measure.cpu_seconds:.2f}",
                f"{measure.reports / measure.seconds:,.1f}",
                f"{measure.records / measure.seconds:,.0f}",
                f"{measure.peak_kib / MIB_KIB:.0f}",
                _ratio(best.get("parsedmarc"), measure, lambda run: run.seconds),
                "-" if name == "ingest-2" else _ratio(best.get("parsedmarc"), measure, lambda run: run.cpu_seconds),
                _ratio(measure, best.get("floor"), lambda run: run.cpu_seconds) if name == "parsing" else "-",
            )
        )
    print(f"{given.title} ({next(iter(best.values())).records:,} records)\n")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(_aligned(row, widths)).rstrip())
    print(flush=True)


def _ratio(one: Measure | None, other: Measure | None, of: Callable[[Measure], float]) -> str:
    return f"{of(one) / of(other):.2f}" if one and other else "-"


def _aligned(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    yield row[0].ljust(widths[0])
    yield from (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))


if __name__ == "__main__":
    main()
