"""
Coverage-guided fuzzing of the reader: any octets give reports or errors of ours, nothing else, and soon.

Run by `make fuzz`, or as `python fuzz_reader.py FOLDER [options of libFuzzer]`; the folder takes the inputs that reach
new code. The first of them are the sample reports, packed as they are and unpacked, so that the XML reader is reached
without a checksum in the way. What is found is left as `crash-*` in the current folder: give that file instead of the
folder to see it again.
"""

import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["dmarcops"]):
    from dmarcops.errors import BadInput
    from dmarcops.report.align import classify, suffix_list
    from dmarcops.report.as_json import record_json, report_json
    from dmarcops.report.limits import Limits
    from dmarcops.report.model import Kind, Record
    from dmarcops.report.parse import read
    from dmarcops.report.unpack import Payload, Rejected, unpack

ROOT = Path(__file__).parents[2]
LIMITS = Limits(mail_bytes=200_000, bytes_out=400_000, members=60, nesting=3, mime_depth=5, records=300, repairs=50)
OUTCOMES = {"not-a-report", "unsupported", "corrupt", "retry"}
ORGANIZATIONAL_DOMAIN = suffix_list()


class Kept:
    """A sink that keeps all records."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def add(self, records: Sequence[Record], /) -> None:
        self.records.extend(records)

    def restart(self) -> None:
        self.records.clear()


def look_at(octets: bytes) -> None:
    """Read all there is in the octets, and check what is promised of whatever comes out."""
    found = list(unpack(octets, limits=LIMITS))
    if not found:
        raise AssertionError("neither a report nor a rejection")
    # A file must give the same as octets in memory.
    with BytesIO(octets) as file:
        if [type(one) for one in unpack(file, limits=LIMITS)] != [type(one) for one in found]:
            raise AssertionError("a file gives other things than its octets")
    for one in found:
        if isinstance(one, Rejected):
            if one.outcome not in OUTCOMES or not one.code or len(one.sha256) != 64:
                raise AssertionError(f"a rejection that says nothing: {one}")
        elif one.kind is Kind.AGGREGATE:
            read_report(one)


def read_report(payload: Payload) -> None:
    """Read a report as ingest does: classified, and shown."""
    sink = Kept()
    try:
        report = read(payload.open, sink, limits=LIMITS, repairs=payload.repairs)
    except BadInput:
        return
    if report.record_count != len(sink.records) or report.mail_count != sum(x.count for x in sink.records):
        raise AssertionError("the counts are not those of the records")
    report_json(report, payload.origin)
    for record in sink.records:
        record_json(record)
        classify(record.evaluation, report.policy_published, ORGANIZATIONAL_DOMAIN)


def seeds() -> list[bytes]:
    """Return the sample reports, and all that is packed in them."""
    whole = [path.read_bytes() for path in sorted(ROOT.glob("sample-reports/*/*")) if path.is_file()]
    inner = []
    for octets in whole:
        for one in unpack(octets):
            if isinstance(one, Payload):
                with one.open() as stream:
                    inner.append(stream.read())
    return [octets for octets in dict.fromkeys(whole + inner) if len(octets) < 50_000]


def main(corpus: Path) -> None:
    """Fuzz until told to stop."""
    if not corpus.is_file():
        corpus.mkdir(exist_ok=True)
        for number, octets in enumerate(seeds()):
            (corpus / f"sample-{number:03}").write_bytes(octets)
    atheris.Setup(sys.argv, look_at)
    atheris.Fuzz()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
