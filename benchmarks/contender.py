"""
One measure: a contender reads all files of a folder, in a process of its own. Prints a line of JSON.

Run as `python contender.py NAME FOLDER WARM-UP CORES`. WARM-UP is a report that is read before the clock starts: what a
contender needs once (modules, databases, a store's schema) is there then, for each of them. Imports only what its
contender needs, since parsedmarc is in another environment.
"""

import atexit
import json
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from io import BytesIO, StringIO
from pathlib import Path
from time import perf_counter, process_time

Contender = Callable[[Sequence[Path]], int]
"""Reads the files; returns how many records were in them."""


def parsedmarc() -> Contender:
    """Parse with parsedmarc, without network or database: what it does before any output."""
    from parsedmarc import ParserError, parse_report_file  # type: ignore[import-not-found]  # noqa: PLC0415 - see above

    def parse(files: Sequence[Path]) -> int:
        records = 0
        for file in files:
            try:
                report = parse_report_file(str(file), offline=True, always_use_local_files=True)["report"]
            except ParserError:
                continue
            records += len(report.get("records", ()))
        return records

    return parse


def floor() -> Contender:
    """Unpack with the standard library, and let lxml parse into nothing: what nobody who uses it can be faster than."""
    from email import message_from_bytes  # noqa: PLC0415 - see above
    from gzip import decompress  # noqa: PLC0415 - see above

    from lxml.etree import iterparse  # noqa: PLC0415 - see above

    def xml_of(file: Path) -> BytesIO | str:
        if file.suffix != ".eml":
            return str(file)
        attachment = message_from_bytes(file.read_bytes()).get_payload(1)
        packed = attachment.get_payload(decode=True)  # type: ignore[union-attr] # the mails of inputs.py
        return BytesIO(decompress(packed))  # type: ignore[arg-type] # same

    def parse(files: Sequence[Path]) -> int:
        records = 0
        for file in files:
            for _, element in iterparse(xml_of(file), tag="record"):
                element.getparent().remove(element)
                records += 1
        return records

    return parse


def parsing() -> Contender:
    """Unpack and parse with dmarcops; the records go nowhere."""
    from dmarcops.report.parse import read  # noqa: PLC0415 - see above
    from dmarcops.report.unpack import Payload, unpack  # noqa: PLC0415 - see above

    class Nowhere:
        """A sink that keeps nothing."""

        def add(self, records: Sequence[object], /) -> None:
            """Do nothing."""

        def restart(self) -> None:
            """Do nothing."""

    def parse(files: Sequence[Path]) -> int:
        records = 0
        for file in files:
            with file.open("rb") as stream:
                for payload in unpack(stream):
                    if isinstance(payload, Payload):
                        records += read(payload.open, Nowhere()).record_count
        return records

    return parse


def ingest(jobs: str) -> Contender:
    """Run `dmarcops ingest` into a new SQLite store."""
    from dmarcops.cli.main import outcome  # noqa: PLC0415 - see above

    folder = tempfile.mkdtemp(prefix="store-")

    def run(files: Sequence[Path]) -> int:
        paths = map(str, {file.parent for file in files} if len(files) > 1 else files)
        command = ["--store", f"sqlite:///{folder}/store.db", "ingest", "--jobs", jobs, "--format", "json", *paths]
        with redirect_stdout(StringIO()) as said:
            if outcome(command):
                sys.exit("dmarcops ingest failed")
        records: int = json.loads(said.getvalue())["records"]
        return records

    atexit.register(shutil.rmtree, folder)
    return run


CONTENDERS: dict[str, Callable[[], Contender]] = {
    "parsedmarc": parsedmarc,
    "floor": floor,
    "parsing": parsing,
    "ingest-1": lambda: ingest("1"),
    "ingest-2": lambda: ingest("2"),
}


def main(name: str, folder: Path, warm_up: Path, cores: Sequence[int]) -> None:
    """Measure the contender on the folder."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    run = CONTENDERS[name]()
    run([warm_up])
    started, worked = perf_counter(), process_time()
    records = run(files)
    measured = {
        "seconds": perf_counter() - started,
        "cpu_seconds": process_time() - worked,
        "reports": len(files),
        "records": records,
        "peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }
    sys.stdout.write(json.dumps(measured) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), [int(core) for core in sys.argv[4].split(",")])
