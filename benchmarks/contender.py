"""
One measure: a contender reads all files of a folder, in a process of its own. Prints a line of JSON.

Run as `python contender.py NAME FOLDER`. What a contender needs once (modules, databases, a store's schema) is there
before the clock starts, for each of them, so that a measure is of the work alone. Imports only what its contender
needs, since parsedmarc is in another environment.
"""

import json
import resource
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from io import BytesIO, StringIO
from pathlib import Path
from time import perf_counter, process_time

Contender = Callable[[Sequence[Path]], int]
"""Reads the files; returns how many records were in them."""


def parsedmarc(files: Sequence[Path]) -> Contender:
    """Parse with parsedmarc, without network or database: what it does before any output."""
    from parsedmarc import parse_report_file  # type: ignore[import-not-found]  # noqa: PLC0415 - see above

    def parse(files: Sequence[Path]) -> int:
        records = 0
        for file in files:
            report = parse_report_file(str(file), offline=True, always_use_local_files=True)
            records += len(report["report"]["records"])
        return records

    parse(_first_small(files))  # it loads its map of addresses with the first report
    return parse


def floor(_files: Sequence[Path]) -> Contender:
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


def parsing(_files: Sequence[Path]) -> Contender:
    """Unpack and parse with dmarcops; the records go nowhere."""
    from dmarcops.report.parse import read  # noqa: PLC0415 - see above
    from dmarcops.report.unpack import Payload, unpack  # noqa: PLC0415 - see above

    class Nowhere:
        def add(self, records: Sequence[object], /) -> None:
            pass

        def restart(self) -> None:
            pass

    def parse(files: Sequence[Path]) -> int:
        records = 0
        for file in files:
            with file.open("rb") as stream:
                for payload in unpack(stream):
                    if isinstance(payload, Payload):
                        records += read(payload.open, Nowhere()).record_count
        return records

    return parse


def ingest(files: Sequence[Path], jobs: str) -> Contender:
    """Run `dmarcops ingest` into a new SQLite store."""
    from dmarcops.cli.main import outcome  # noqa: PLC0415 - see above

    store = Path(tempfile.mkdtemp(dir=Path(sys.argv[2]).parent)) / "store.db"

    def run(files: Sequence[Path]) -> int:
        command = ["--store", f"sqlite:///{store}", "ingest", "--jobs", jobs, "--format", "json", *map(str, files)]
        with redirect_stdout(StringIO()) as said:
            if outcome(command):
                sys.exit("dmarcops ingest failed")
        records: int = json.loads(said.getvalue())["records"]
        return records

    run(_first_small(files))  # makes the schema
    return lambda files: run([files[0].parent])


def _first_small(files: Sequence[Path]) -> list[Path]:
    return [min(files[0].parents[1].glob("small/*"))]


CONTENDERS: dict[str, Callable[[Sequence[Path]], Contender]] = {
    "parsedmarc": parsedmarc,
    "floor": floor,
    "parsing": parsing,
    "ingest-1": lambda files: ingest(files, "1"),
    "ingest-2": lambda files: ingest(files, "2"),
}


def main(name: str, folder: Path) -> None:
    """Measure the contender on the folder."""
    files = sorted(folder.iterdir())
    contender = CONTENDERS[name](files)
    started, worked = perf_counter(), process_time()
    records = contender(files)
    measured = {
        "seconds": perf_counter() - started,
        "cpu_seconds": process_time() - worked,
        "reports": len(files),
        "records": records,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }
    sys.stdout.write(json.dumps(measured) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
