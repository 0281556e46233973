"""What is found in a message, and what a defect of ours makes of it."""

import gzip
import logging
from pathlib import Path

import pytest

from dmarcops.flows.collect import CHUNK_RECORDS, IN_MEMORY
from dmarcops.flows.look import Found, look, with_raw, without_raw
from dmarcops.flows.rules import Rules
from dmarcops.report.align import suffix_list
from dmarcops.report.limits import Limits
from dmarcops.report.parse import parse
from dmarcops.store.intake import IncomingFailure, IncomingRejection, IncomingTls, Outcome
from sources import Held, Unreadable, document


def rules(folder: Path, **limits: int) -> Rules:
    return Rules(limits=Limits(**limits), kept_bytes=1_000_000, folder=folder)


@pytest.mark.parametrize("records", [1, CHUNK_RECORDS, CHUNK_RECORDS + 1, IN_MEMORY + 3 * CHUNK_RECORDS])
@pytest.mark.parametrize("selectors", [1, 9_001])
def test_records_of_a_report_are_those_of_the_parser(tmp_path: Path, records: int, selectors: int) -> None:
    data = document(1, records=records, selectors=selectors)
    [found] = look(Held("a.xml", data), rules(tmp_path)).payloads
    assert isinstance(found, Found)
    assert tuple(found.records.records()) == parse(data).records
    numbers = [number for chunk in found.records.chunks(suffix_list()) for number, _, _ in chunk.records]
    assert len(numbers) == records
    assert len(set(numbers)) >= min(records, selectors)
    assert bool(list(tmp_path.iterdir())) == (records > IN_MEMORY)
    found.records.release()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_large_report_that_turns_out_damaged(tmp_path: Path) -> None:
    data = document(1, records=IN_MEMORY * 2)[:-30]
    [rejected] = look(Held("a.xml", data), rules(tmp_path)).payloads
    assert isinstance(rejected, IncomingRejection)
    assert (rejected.outcome, rejected.code) == (Outcome.RETRY, "xml-truncated")
    assert list(tmp_path.iterdir()) == []


def test_large_report_is_read_again_when_it_has_to_be_repaired(tmp_path: Path) -> None:
    data = document(1, records=IN_MEMORY * 3).replace(b"</feedback>", b"</feedback")
    [found] = look(Held("a.xml", data), rules(tmp_path)).payloads
    assert isinstance(found, Found)
    assert found.report.record_count == sum(1 for _ in found.records.records()) == IN_MEMORY * 3
    assert len(list(tmp_path.iterdir())) == 1
    found.records.release()


def test_message_is_kept_when_something_in_it_is_not_stored_and_it_is_small_enough(tmp_path: Path) -> None:
    assert look(Held("a", document(1)), rules(tmp_path)).raw is None
    assert look(Held("a", b"<html/>"), rules(tmp_path)).raw == b"<html/>"
    assert look(Held("a", b"<html/>"), Rules(limits=Limits(), kept_bytes=6, folder=tmp_path)).raw is None


FEEDBACK = b"Feedback-Type: abuse\r\nUser-Agent: a\r\nVersion: 1\r\nOriginal-Rcpt-To: a@example.com\r\n"
TLS = b'{"organization-name": "a", "report-id": "1", "policies": []}'


def test_feedback_and_tls_reports_are_read(tmp_path: Path) -> None:
    [feedback] = look(Held("a", FEEDBACK), rules(tmp_path)).payloads
    assert isinstance(feedback, IncomingFailure)
    assert (feedback.origin, feedback.report.feedback_type) == ("a", "abuse")
    [tls] = look(Held("b", gzip.compress(TLS)), rules(tmp_path)).payloads
    assert isinstance(tls, IncomingTls)
    assert (tls.origin, tls.report.organization_name) == ("b", "a")


def test_addresses_are_hashed_alike_by_the_same_rules_only(tmp_path: Path) -> None:
    both = [rules(tmp_path), rules(tmp_path)]
    hashed: list[str] = []
    for one in (both[0], both[0], both[1]):
        [payload] = look(Held("a", FEEDBACK), one).payloads
        assert isinstance(payload, IncomingFailure)
        hashed += payload.report.original_rcpt_to
    assert hashed[0] == hashed[1] != hashed[2]


@pytest.mark.parametrize(
    ("data", "limits", "code"),
    [
        (TLS + b"}", {"json_values": 1}, "too-many-values"),
        (TLS, {"json_bytes": 20}, "too-big"),
        (FEEDBACK, {"mail_bytes": 20}, "too-big"),
    ],
)
def test_feedback_and_tls_reports_are_rejected_when_they_cannot_be_read(
    tmp_path: Path, data: bytes, limits: dict[str, int], code: str
) -> None:
    [payload] = look(Held("a", data), rules(tmp_path, **limits)).payloads
    assert isinstance(payload, IncomingRejection)
    assert (payload.code, payload.outcome) == (code, Outcome.CORRUPT)


def test_defect_of_ours_becomes_a_line_to_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("dmarcops.flows.look.read", fail)
    with caplog.at_level(logging.ERROR, logger="dmarcops"):
        [payload] = look(Held("a.xml", document(1)), rules(tmp_path)).payloads
    assert isinstance(payload, IncomingRejection)
    assert (payload.outcome, payload.code) == (Outcome.RETRY, "internal-error")
    assert caplog.records[0].getMessage() == "a.xml: ZeroDivisionError"


@pytest.mark.parametrize("part", ["carrier_of", "unpack"])
def test_defect_of_ours_while_a_message_is_unpacked_becomes_a_line_to_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(f"dmarcops.flows.look.{part}", fail)
    looked = look(Held("a.xml", document(1)), rules(tmp_path))
    [payload] = looked.payloads
    assert isinstance(payload, IncomingRejection)
    assert (payload.outcome, payload.code, looked.raw) == (Outcome.RETRY, "internal-error", document(1))


def test_message_that_cannot_be_read_to_its_end_is_met_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dmarcops.flows.look.read", fail)
    looked = look(Held("a.xml", document(1)), rules(tmp_path))
    assert (looked.sha256, looked.problem) == ("", "a.xml: No space left on device")


def test_message_left_out_is_read_again_unless_it_changed_or_is_gone(tmp_path: Path) -> None:
    looked = look(Held("a", b"<html/>"), rules(tmp_path))
    left = without_raw(looked)
    assert (left.raw, left.is_raw_left) == (None, True)
    assert with_raw(Held("a", b"<html/>"), left) == looked
    assert with_raw(Held("a", b"<other/>"), left) == left
    assert with_raw(Unreadable("a"), left) == left
    stored = look(Held("a", document(1)), rules(tmp_path))
    assert with_raw(Held("a", document(1)), without_raw(stored)) is stored


def test_long_texts_make_chunks_of_few_records(tmp_path: Path) -> None:
    long = "<reason><type>other</type><comment>" + "x" * 60_000 + "{n}</comment></reason>"
    data = document(1, records=300)
    for n in range(300):
        data = data.replace(b"<spf>fail</spf></policy", b"<spf>fail</spf>" + long.format(n=n).encode() + b"</policy", 1)
    [found] = look(Held("a.xml", data), rules(tmp_path)).payloads
    assert isinstance(found, Found)
    chunks = [len(chunk.records) for chunk in found.records.chunks(suffix_list())]
    assert sum(chunks) == 300
    assert max(chunks) < 300
    found.records.release()
    assert list(tmp_path.iterdir()) == []
