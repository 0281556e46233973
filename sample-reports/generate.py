"""
Makes the sample reports: `python3 sample-reports/generate.py [FOLDER]`, by default into the folder of this file.

Writes `story/`, `awkward/`, an `expected.json` in each, and README.md; what was in the two folders is removed first.
The bytes are the same on every machine. Needs only the standard library.
"""

import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

sys.dont_write_bytecode = True  # whoever ingests this folder should not meet __pycache__ in it

import awkward  # noqa: E402 - must follow the line above
import story  # noqa: E402 - the same
from samples import Sample  # noqa: E402 - the same

HERE = Path(__file__).resolve().parent

README = """# Sample reports

An invented set of DMARC reports to try dmarcops on, and for its tests. `make demo` ingests `story/`
and `awkward/`.

Nobody's mail is in it: all domains are `example.com`, `example.net`, `example.org` or end in `.example`, all addresses
are from the ranges for documentation (RFC 5737, RFC 3849), and every report was written by `generate.py` here. Names
of real receivers stand in `org_name` only, to say whose way of writing reports a file follows.

`python3 sample-reports/generate.py` makes all of it anew, byte for byte the same; `generate.py` also writes this page.
`expected.json` in each folder says for each file what must come of it: `outcomes` (the ledger's, one a message),
`code` (of the rejection), `repairs` (the codes of all that are noted), and the number of `reports` stored, of their
`records`, and of the mails they count (`mail_count`). Files are taken in the order of their names. `expected.json` is
ingested with its folder, and is no report.

The files are under the licence of the project (Apache-2.0).

## story/: fourteen days of a small group of companies

1 to 14 September 2026. `example.com` sends everything and publishes `p=none`; `example.net` is on its way to
quarantine, with `t=y`; `example.org` sends no mail and rejects; `shop.example` is a brand on a shop platform.

Who sends with a From domain of theirs, and what the reports say of it:

{sources}

Who reports it, each in the shape of its reports:

{reporters}

All in all: {story_files} files, {story_reports} reports, {story_records} records, {story_mails} mails, of which
{story_failing} fail DMARC. `mailbox.mbox` holds two mails: a report of the Fastmail shape that came already
(a duplicate), and a bounce (not a report).

## awkward/: each shape that real reports were seen in, once

Every file is the same plain report of two records and seven mails with one thing changed. Here is what it is and what
must come of it; a shape without a repair is one that needs none. Files with the same number are variants of a kind.

{awkward}
"""


def main(arguments: Sequence[str]) -> None:
    """Write the set into the folder given."""
    target = Path(arguments[0]) if arguments else HERE
    sets = {"story": story.files(), "awkward": awkward.files()}
    for name, samples in sets.items():
        shutil.rmtree(target / name, ignore_errors=True)
        for sample in samples:
            path = target / name / sample.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(sample.data)
        (target / name / "expected.json").write_bytes(_expectations(samples))
    (target / "README.md").write_bytes(_readme(sets["story"], sets["awkward"]))


def _expectations(samples: Sequence[Sample]) -> bytes:
    lines = (f"{json.dumps(sample.name)}: {json.dumps(asdict(sample.expected))}" for sample in samples)
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def _readme(told: Sequence[Sample], shapes: Sequence[Sample]) -> bytes:
    failing = sum(row.count for rows in story.all_rows() for row in rows if not (row.dkim_aligned or row.spf_aligned))
    return README.format(
        sources=_table(("From", "sent by", "who, and why it fails"), _source_rows()),
        reporters=_table(("folder", "shape of", "files", "records", "mails"), _reporter_rows(told)),
        story_files=len(told),
        story_reports=sum(sample.expected.reports for sample in told),
        story_records=sum(sample.expected.records for sample in told),
        story_mails=sum(sample.expected.mail_count for sample in told),
        story_failing=failing,
        awkward=_table(("file", "shows", "outcome", "reports", "records", "mails"), map(_awkward_row, shapes)),
    ).encode()


def _source_rows() -> list[tuple[object, ...]]:
    return [(source.header_from or source.domain, _addresses(source.ips), source.about) for source in story.SOURCES]


def _addresses(ips: Sequence[str]) -> str:
    return ", ".join(ips) if len(ips) <= 3 else f"{ips[0]} and {len(ips) - 1} more"  # noqa: PLR2004 - as fits a line


def _reporter_rows(samples: Sequence[Sample]) -> list[tuple[object, ...]]:
    folders = dict.fromkeys(sample.name.partition("/")[0] for sample in samples if "/" in sample.name)
    rows: list[tuple[object, ...]] = []
    for folder in folders:
        of_folder = [sample for sample in samples if sample.name.startswith(f"{folder}/")]
        records = sum(sample.expected.records for sample in of_folder)
        mails = sum(sample.expected.mail_count for sample in of_folder)
        rows.append((f"`{folder}/`", of_folder[0].shows, len(of_folder), records, mails))
    return rows


def _awkward_row(sample: Sample) -> tuple[object, ...]:
    expected = sample.expected
    codes = [f"`{code}`" for code in (expected.code, *expected.repairs) if code]
    outcome = ", ".join(dict.fromkeys(expected.outcomes)) + (f": {', '.join(codes)}" if codes else "")
    return (f"`{sample.name}`", _code(sample.shows), outcome, expected.reports, expected.records, expected.mail_count)


def _code(text: str) -> str:
    """Keep markup in a description from being read as HTML."""
    return text if "`" in text else text.replace("<", "\\\\<")


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


if __name__ == "__main__":
    main(sys.argv[1:])
