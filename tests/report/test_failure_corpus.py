"""
Real failure, feedback and TLS reports, kept outside of this project; left out where they are not at hand.

`DMARCOPS_CORPUS` names their folder, as in the tests of unpacking.
"""

import csv
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dmarcops.report.failure import FailureReport, parse_failure
from dmarcops.report.model import Kind
from dmarcops.report.redact import Redactor
from dmarcops.report.tls import TlsReport, parse_tls
from dmarcops.report.unpack import Payload, unpack

CORPUS = Path(os.environ.get("DMARCOPS_CORPUS", Path(__file__).parents[3] / "shared" / "corpus"))
INDEX = CORPUS / "INDEX.tsv"

pytestmark = pytest.mark.skipif(not INDEX.exists(), reason="no corpus of real reports here")


def reports(kind: str) -> Iterator[tuple[Path, FailureReport | TlsReport]]:
    with INDEX.open(newline="", encoding="utf-8") as file:
        paths = [
            row["path"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if row["kind"] == kind
        ]
    assert paths
    for path in paths:
        for payload in unpack((CORPUS / path).read_bytes()):
            assert isinstance(payload, Payload)
            with payload.open() as stream:
                data = stream.read()
            if payload.kind is Kind.TLS:
                yield CORPUS / path, parse_tls(data, repairs=payload.repairs)
            else:
                report = parse_failure(data, Redactor(b"key"), repairs=payload.repairs)
                assert report.kind is payload.kind
                yield CORPUS / path, report


def test_every_failure_report_says_what_it_is_about() -> None:
    silent = []
    for path, report in reports("failure"):
        assert isinstance(report, FailureReport)
        if not (report.reported_domains and report.arrival_date and report.reporter):
            silent.append(path)
        if report.kind is Kind.FAILURE and not report.source_ip:
            silent.append(path)
    assert not silent


def test_every_tls_report_has_its_policies_and_period() -> None:
    silent = []
    for path, report in reports("tlsrpt"):
        assert isinstance(report, TlsReport)
        period = report.date_range
        is_whole = all((period.begin, period.end, report.organization_name, report.report_id, report.policies))
        if not is_whole or not all(policy.policy_domain for policy in report.policies):
            silent.append(path)
    assert not silent
