"""
Hostile input through `dmarcops ingest`: bounded time and memory, a line in the ledger, and the next file is stored.

Each bomb is ingested together with a report that is fine. The memory is that of the largest of the processes.
"""

import gzip
import io
import zipfile
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path

import pytest

from builders import ask
from dmarcops.store.engine import Store
from proofs.command import dmarcops
from report.build import FIELDS, mail, part, zipped
from report.test_unpack_bombs import gzip_of_10_gb, multiparts, zip_of_entries

MOST_KIB = 300 * 1024
MOST_SECONDS = 120
SAMPLE = Path(__file__).parents[2] / "sample-reports" / "awkward" / "23-utf8-bom.xml"
HEAD = (
    b"<feedback><report_metadata><org_name>o</org_name><email>a@example.com</email><report_id>1</report_id>"
    b"<date_range><begin>1780272000</begin><end>1780358399</end></date_range></report_metadata>"
    b"<policy_published><domain>example.com</domain><p>none</p></policy_published>"
)
TAIL = b"</feedback>"

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is measured as Linux tells it")


def packed(*pieces: bytes, body: Iterable[bytes] = (), end: bytes = b"") -> bytes:
    """Pack the pieces, the body piece by piece, and the end: never all of it in memory."""
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=1) as packing:
        for piece in chain(pieces, body, [end]):
            packing.write(piece)
    return stream.getvalue()


def nested_zip() -> bytes:
    inner = packed(HEAD, b"<x>" * 10, bytes(90_000_000))
    for level in range(4):
        inner = zipped({f"{level}-{number}.zip": inner for number in range(10)})
    return inner


def many_members() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(100_000):
            archive.writestr(f"{number}", b"")
    return file.getvalue()


def laughs(width: int, depth: int) -> bytes:
    entities = b"".join(b'<!ENTITY a%d "%s">' % (level, b"&a%d;" % (level - 1) * width) for level in range(1, depth))
    return b'<!DOCTYPE feedback [<!ENTITY a0 "ha">' + entities + b"]><feedback>&a%d;</feedback>" % (depth - 1)


def fat_record(number: int) -> bytes:
    """A record of almost 1 MiB, which is as it may be, and like no other."""
    text = b"%06d" % number + b"x" * 60_000
    return (
        b"<record><row><source_ip>192.0.2.1</source_ip><count>1</count><policy_evaluated><disposition>none</disposition>"
        b"<dkim>pass</dkim><spf>pass</spf></policy_evaluated></row><identifiers><header_from>example.com</header_from>"
        b"</identifiers><auth_results>"
        + b"<dkim><domain>example.com</domain><result>pass</result><human_result>%s</human_result></dkim>" % text * 16
        + b"</auth_results></record>"
    )


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "gzip-of-10-gb": (lambda: gzip_of_10_gb(HEAD + b"<!--"), "element-too-big"),
    "zip-of-zips": (nested_zip, "nested-too-deep"),
    "million-attributes": (
        lambda: packed(b"<feedback ", b" ".join(b'a%d="1"' % number for number in range(1_000_000)), b">", TAIL),
        "element-too-big",
    ),
    "million-attributes-in-a-record": (
        lambda: packed(HEAD, b"<record ", b" ".join(b'a%d="1"' % n for n in range(1_000_000)), b"></record>", TAIL),
        "element-too-big",
    ),
    "100-000-deep": (lambda: packed(HEAD, b"<a>" * 100_000, b"</a>" * 100_000, TAIL), "xml-too-deep"),
    "billion-laughs": (lambda: laughs(10, 10), "entity-declaration"),
    "quadratic-blow-up": (
        lambda: b'<!DOCTYPE feedback [<!ENTITY a "%s">]><feedback>%s</feedback>' % (b"a" * 50_000, b"&a;" * 50_000),
        "entity-declaration",
    ),
    "zip-of-100-000-members": (many_members, "too-many-members"),
    "zip-of-a-million-entries": (lambda: zip_of_entries(1_000_000), "too-many-members"),
    "mail-of-5-000-parts-in-parts": (lambda: multiparts(5_000), "mime-too-deep"),
    "mail-of-200-mb": (
        lambda: mail(part(b"x" * 150_000_000, b"Content-Type: application/gzip")) + bytes(50_000_000),
        "too-big",
    ),
    "header-of-100-mb": (lambda: FIELDS + b"X: y\r\n z\r\n" * 6_000_000, "no-report"),
    "1-000-fat-records": (lambda: packed(HEAD, body=map(fat_record, range(1_000)), end=TAIL), ""),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_soon_and_in_bounded_memory_when_ingested(name: str, tmp_path: Path) -> None:
    make, code = BOMBS[name]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1-bomb").write_bytes(make())
    (tmp_path / "in" / "2-report.xml").write_bytes(SAMPLE.read_bytes())
    url = f"sqlite:///{tmp_path}/store.db"
    ended = dmarcops("--store", url, "ingest", "--jobs", "1", tmp_path / "in", timeout=MOST_SECONDS)
    print(f"{name}: {ended.peak_kib // 1024} MiB, {ended.seconds:.1f} s")  # noqa: T201 - what one wants to see
    assert (ended.code, ended.stderr) == (0, "")
    with Store.open(url) as store:
        codes = ask(store, "SELECT DISTINCT code FROM ledger_payload WHERE code > ''")
        outcomes = ask(store, "SELECT outcome FROM ledger ORDER BY origin")
    assert code in {found for (found,) in codes} or not code
    assert outcomes[1] == ("stored",)
    assert (outcomes[0] == ("stored",)) is (not code)
    assert ended.peak_kib < MOST_KIB


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_many_large_rejects_end_in_bounded_memory_when_ingested(tmp_path: Path, jobs: str) -> None:
    (tmp_path / "in").mkdir()
    for number in range(60):
        (tmp_path / "in" / f"{number}.xml").write_bytes(b"<html>%d" % number + b" " * 15_000_000)
    url = f"sqlite:///{tmp_path}/store.db"
    ended = dmarcops("--store", url, "ingest", "--jobs", jobs, "--format", "json", tmp_path / "in")
    print(f"{ended.peak_kib // 1024} MiB, {ended.seconds:.1f} s")  # noqa: T201 - as above
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.totals["messages"] == ended.totals["not_a_report"] == 60
    assert ended.peak_kib < MOST_KIB
