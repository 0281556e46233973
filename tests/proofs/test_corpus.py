"""
Every real report is stored with all its records, and whatever is not stored holds no report.

What a file holds is found here by other means than the program's: the standard library, and regular expressions for
what is not well-formed. `DMARCOPS_CORPUS` names the folder of reports; left out where it is not at hand.
"""

import io
import os
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from hashlib import sha256
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from builders import ask
from dmarcops.store.engine import Store
from proofs.command import dmarcops

CORPUS = Path(os.environ.get("DMARCOPS_CORPUS", Path(__file__).parents[3] / "shared" / "corpus"))
ROOT_START = re.compile(rb"<(?:[\w.-]+:)?feedback[\s>]", re.IGNORECASE)
ROOT_END = re.compile(rb"</(?:[\w.-]+:)?feedback\s*>", re.IGNORECASE)
RECORD_START = re.compile(rb"<(?:[\w.-]+:)?record[\s>]")
RECORD_END = re.compile(rb"</(?:[\w.-]+:)?record\s*>")
COUNT = re.compile(rb"<(?:[\w.-]+:)?count>\s*(\d+)\s*</(?:[\w.-]+:)?count>")

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus of real reports here")


@dataclass(frozen=True)
class Read:
    """A document as it is read here: its digest, what it counts, and whether it is well-formed."""

    digest: str
    records: int
    mails: int
    is_well_formed: bool


def documents(octets: bytes) -> Iterator[bytes]:
    """Give what may be XML in a file: itself, or what is in its archive or mail."""
    yield from unpacked(octets)
    for part in message_from_bytes(octets).walk():
        body = part.get_payload(decode=True)
        if isinstance(body, bytes) and body != octets:
            yield from unpacked(body)


def unpacked(octets: bytes) -> Iterator[bytes]:
    if octets.startswith(b"\x1f\x8b"):
        yield from unpacked(zlib.decompressobj(31).decompress(octets))  # what follows its end is not ours
    elif octets.startswith(b"PK"):
        archive = zipfile.ZipFile(io.BytesIO(octets))
        for name in archive.namelist():
            yield from unpacked(archive.read(name))
    elif octets.startswith(b"x\x9c"):
        yield zlib.decompress(octets)
    elif not re.match(rb"[\w-]+:|>?From ", octets):
        yield octets


def read(document: bytes) -> Read | None:
    """Read a document, None when no report of any form begins in it."""
    if not ROOT_START.search(document):
        return None
    digest = sha256(document).hexdigest()
    try:
        root = ET.fromstring(document)  # noqa: S314 - Python's expat refuses what is hostile
    except ET.ParseError:
        return Read(digest, len(RECORD_START.findall(document)), sum(map(int, COUNT.findall(document))), False)
    records = [element for element in root.iter() if element.tag.rpartition("}")[2] == "record"]
    counts = [
        int(float(element.text or 0))
        for record in records
        for element in record.iter()
        if element.tag.rpartition("}")[2] == "count"
    ]
    return Read(digest, len(records), sum(counts), True)


def why_no_report(document: bytes) -> str | None:
    """Say why a document that names a report is none in full, None when it is one."""
    if not ROOT_END.search(document):
        return "it ends before its end tag"
    if len(RECORD_START.findall(document)) != len(RECORD_END.findall(document)):
        return "a record ends that has not begun"
    return None


def file_of(origin: object) -> Path:
    """Return the file that an origin is in: before the place in it, and before the number of a mail in an mbox."""
    return Path(re.sub(r":\d+$", "", str(origin).partition("#")[0]))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path_factory.mktemp('corpus')}/store.db"
    ended = dmarcops("--store", url, "ingest", "--jobs", "2", "--format", "json", CORPUS)
    assert (ended.code, ended.stderr) == (0, "")
    files = sum(path.is_file() and not path.name.startswith(".") for path in CORPUS.rglob("*"))
    assert ended.totals["messages"] == files
    with Store.open(url) as opened:
        yield opened


def test_ledger_has_a_line_for_each_file_when_the_corpus_is_ingested(store: Store) -> None:
    files = {str(path.absolute()) for path in CORPUS.rglob("*") if path.is_file() and not path.name.startswith(".")}
    lines = ask(store, "SELECT origin, outcome FROM ledger")
    assert {str(file_of(origin)) for origin, _ in lines} == files
    assert len(lines) == len(files)
    print(dict(Counter(outcome for _, outcome in lines)))  # noqa: T201 - the counts are what one wants to see


def test_every_report_is_stored_with_all_its_mail_when_it_is_well_formed(store: Store) -> None:
    stored = {
        digest: (outcome, records, mails)
        for digest, outcome, records, mails in ask(
            store,
            """
            SELECT p.sha256, p.outcome, (SELECT count(*) FROM record c JOIN evaluation e ON e.id = c.evaluation_id
                WHERE e.report_id = r.id), (SELECT sum(c.mail_count) FROM record c
                JOIN evaluation e ON e.id = c.evaluation_id WHERE e.report_id = r.id)
            FROM ledger_payload p JOIN report r ON r.id = p.report_id
            """,
        )
    }
    wrong, seen = [], Counter[str]()
    for path in sorted(path for path in CORPUS.rglob("*") if path.is_file()):
        for document in documents(path.read_bytes()):
            found = read(document)
            if found is None or (not found.is_well_formed and found.digest not in stored):
                continue
            outcome, records, mails = stored.get(found.digest, ("lost", None, None))
            seen[f"{outcome}, {'well-formed' if found.is_well_formed else 'repaired'}"] += 1
            if (records, mails or 0) != (found.records, found.mails):
                wrong.append((str(path.relative_to(CORPUS)), outcome, records, mails, found))
    print(dict(seen))  # noqa: T201 - as above
    assert wrong == []
    assert sum(seen.values()) == len(ask(store, "SELECT 1 FROM ledger_payload WHERE report_id IS NOT NULL"))


def test_what_is_rejected_holds_no_report(store: Store) -> None:
    rejected = ask(store, "SELECT origin, code, outcome FROM ledger_payload WHERE report_id IS NULL")
    reasons, wrong = Counter[tuple[str, str]](), []
    for origin, code, outcome in rejected:
        path = file_of(origin)
        held = [document for document in documents(path.read_bytes()) if ROOT_START.search(document)]
        why = {why_no_report(document) for document in held} or {"nothing in it begins as a report"}
        if None in why:
            wrong.append((path.name, code))
        reasons[str(outcome), "; ".join(map(str, why))] += 1
    print(dict(reasons))  # noqa: T201 - as above
    assert wrong == []


def test_what_is_rejected_is_kept_to_be_tried_again(store: Store) -> None:
    without = """
        SELECT origin FROM ledger l WHERE outcome NOT IN ('stored', 'duplicate', 'conflict')
        AND NOT EXISTS (SELECT 1 FROM kept k WHERE k.message_sha256 = l.message_sha256)
    """
    assert ask(store, without) == []
