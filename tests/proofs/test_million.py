"""
A report of a million records, some 600 MB of XML, goes into the store in less than 300 MB of memory.

So does one in which no record is like another; fewer of them, as memory is flat from the first thousands on.
"""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from builders import ask
from dmarcops.store.engine import Store
from proofs.command import dmarcops

MOST_KIB = 300 * 1000
HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<feedback>
  <report_metadata>
    <org_name>example.net</org_name>
    <email>reports@example.net</email>
    <report_id>million</report_id>
    <date_range>
      <begin>1780272000</begin>
      <end>1780358399</end>
    </date_range>
  </report_metadata>
  <policy_published>
    <domain>example.com</domain>
    <p>none</p>
  </policy_published>
"""
RECORD = """  <record>
    <row>
      <source_ip>{source}</source_ip>
      <count>{count}</count>
      <policy_evaluated>
        <disposition>none</disposition>
        <dkim>pass</dkim>
        <spf>fail</spf>
      </policy_evaluated>
    </row>
    <identifiers>
      <header_from>example.com</header_from>
      <envelope_from>bounce.example.com</envelope_from>
    </identifiers>
    <auth_results>
      <dkim>
        <domain>example.com</domain>
        <selector>{selector}</selector>
        <result>pass</result>
      </dkim>
      <spf>
        <domain>bounce.example.com</domain>
        <scope>mfrom</scope>
        <result>softfail</result>
      </spf>
    </auth_results>
  </record>
"""
SELECTORS: dict[str, Callable[[int], object]] = {
    "few": lambda number: f"s{number % 20}",
    "all": lambda number: f"s{number}",
}


def write(path: Path, records: int, selector: Callable[[int], object]) -> int:
    """Write the report as it is made; returns how many octets of XML it has."""
    octets = 0
    with gzip.open(path, "wb", compresslevel=1) as file:
        octets += file.write(HEAD.encode())
        for start in range(0, records, 1_000):
            numbers = range(start, start + 1_000)
            octets += file.write(
                "".join(
                    RECORD.format(
                        source=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
                        count=1 + number % 3,
                        selector=selector(number),
                    )
                    for number in numbers
                ).encode()
            )
        octets += file.write(b"</feedback>\n")
    return octets


@pytest.mark.slow
@pytest.mark.parametrize(("distinct", "records", "jobs"), [("few", 1_000_000, "1"), ("all", 250_000, "2")])
def test_large_reports_are_stored_in_flat_memory(tmp_path: Path, distinct: str, *, records: int, jobs: str) -> None:
    octets = write(tmp_path / "report.xml.gz", records, SELECTORS[distinct])
    url = f"sqlite:///{tmp_path}/store.db"
    command = ("--store", url, "ingest", "--jobs", jobs, "--format", "json", tmp_path / "report.xml.gz")
    ended = dmarcops(*command, timeout=400)
    print(f"{distinct}, --jobs {jobs}: {octets >> 20} MiB, {ended.peak_kib >> 10} MiB, {ended.seconds:.0f} s")  # noqa: T201
    assert (ended.code, ended.stderr) == (0, "")
    expected = (records, sum(1 + number % 3 for number in range(records)))
    assert (ended.totals["records"], ended.totals["mail_count"]) == expected
    with Store.open(url) as store:
        assert ask(store, "SELECT count(*), sum(mail_count) FROM record") == [expected]
        assert ask(store, "SELECT sum(record_count), sum(mail_count) FROM evaluation") == [expected]
    assert ended.peak_kib < MOST_KIB
