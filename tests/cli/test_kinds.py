"""Failure and TLS reports from the command line."""

import json
from pathlib import Path

import pytest

from program import Program, alone_in

FAILURE = (
    b"From: <reports@receiver.example>\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n"
    b"Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: message/feedback-report\r\n\r\n"
    b"Feedback-Type: auth-failure\r\nUser-Agent: A/1\r\nVersion: 1\r\nAuth-Failure: dmarc\r\nSource-IP: 192.0.2.1\r\n"
    b"Reported-Domain: example.com\r\nOriginal-Mail-From: <ann@example.com>\r\n"
    b"Arrival-Date: Thu, 1 Jan 2026 00:00:00 +0000\r\n"
    b"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nFrom: <ann@example.com>\r\nSubject: secret\r\n--b--\r\n"
)
TLS = {
    "organization-name": "Receiver",
    "date-range": {"start-datetime": "2026-01-01T00:00:00Z", "end-datetime": "2026-01-01T23:59:59Z"},
    "contact-info": "tls@receiver.example",
    "report-id": "1",
    "policies": [
        {
            "policy": {"policy-type": "sts", "policy-domain": "example.com", "mx-host": "mx.example.com"},
            "summary": {"total-successful-session-count": 5, "total-failure-session-count": 1},
            "failure-details": [{"result-type": "certificate-expired", "failed-session-count": 1}],
        }
    ],
}


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Program:
    """The program in an empty directory, with a store in it."""
    alone_in(tmp_path, monkeypatch)
    return Program("sqlite:///store.db", capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A failure report, a TLS report, and an abuse report that says next to nothing."""
    reports = tmp_path / "reports"
    reports.mkdir()
    (reports / "a.eml").write_bytes(FAILURE)
    (reports / "b.json").write_text(json.dumps(TLS))
    (reports / "c.eml").write_bytes(b"Feedback-Type: abuse\r\nUser-Agent: B/1\r\nVersion: 1\r\n")
    return reports


def test_all_kinds_are_stored_and_listed(run: Program, folder: Path) -> None:
    figures = run("ingest", "--jobs", "1", "--format", "json", folder).json
    assert figures["reports"] == {"new": 3, "duplicate": 0, "conflict": 0}
    assert (figures["rejected"], figures["records"], figures["repaired"]) == (0, 0, 2)
    assert run("ingest", "--jobs", "1", "--format", "json", folder).json["reports"]["duplicate"] == 3
    assert (
        run("reports", "--format", "json").json == run("reports", "--kind", "aggregate", "--format", "json").json == []
    )
    [failure] = run("reports", "--kind", "failure", "--domain", "example.com", "--format", "json").json
    assert (failure["auth_failure"], failure["source_ip"]) == ("dmarc", "192.0.2.1")
    assert len(run("reports", "--kind", "failure", "--format", "json").json) == 2
    [tls] = run("reports", "--kind", "tls", "--format", "json").json
    assert (tls["failed_count"], tls["result_types"]) == (1, "certificate-expired")
    assert run("reports", "--kind", "tls", "--domain", "example.org", "--format", "json").json == []


@pytest.mark.parametrize("kind", ["failure", "tls"])
@pytest.mark.parametrize("form", ["table", "csv"])
def test_lists_are_printed_in_every_form(run: Program, folder: Path, kind: str, form: str) -> None:
    run("ingest", "--jobs", "1", folder)
    ended = run("reports", "--kind", kind, "--format", form)
    assert (ended.code, ended.err) == (0, "")
    assert len(ended.out.splitlines()) > 1


def test_parse_prints_all_kinds_without_persons(run: Program, folder: Path) -> None:
    failure, tls, feedback = map(json.loads, run("parse", folder, "--format", "json").out.splitlines())
    assert [said["kind"] for said in (failure, tls, feedback)] == ["failure", "tls", "feedback"]
    assert all(Path(said["origin"]).parent.name == "reports" and said["sha256"] for said in (failure, tls, feedback))
    assert failure["header_from"] == "example.com"
    assert [repair["code"] for repair in tls["repairs"]] == ["not-an-array"]
    assert feedback["feedback_type"] == "abuse"
    table = run("parse", folder).out
    assert "not-an-array" in table
    assert "receiver.example" in table
    for said in (json.dumps(failure), table):
        assert "ann" not in said
        assert "secret" not in said


def test_store_holds_no_persons_when_a_failure_report_is_in_it(run: Program, folder: Path, tmp_path: Path) -> None:
    run("ingest", "--jobs", "1", folder)
    octets = b"".join(path.read_bytes() for path in tmp_path.glob("store.db*"))
    assert b"example.com" in octets
    assert b"ann@" not in octets
    assert b"secret" not in octets
