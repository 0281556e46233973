"""What mail in mailboxes proves of keys: only mail of their time, and of all their domains."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest

from dmarcops.dkim.evidence import Thresholds, Verdict
from dmarcops.dkim.header_fields import parse_header
from dmarcops.dkim.key import generate_key
from dmarcops.dkim.lifecycle import Key, Stage
from dmarcops.dkim.record import Algorithm, format_record
from dmarcops.errors import BadInput, MailError, StoreError
from dmarcops.flows.evidence import Mailbox, MailWitness, Reporting, examine, mails, read, signed_at
from mail_fakes import Box, Octets, Searchable

_DKIMPY: Any = import_module("dkim")  # it ships no types
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def key(selector: str = "s1", stage: Stage = Stage.ACTIVE, activated: datetime | None = NOW) -> Key:
    return Key(
        domain="example.com",
        selector=selector,
        algorithm=Algorithm.RSA,
        bits=2048,
        stage=stage,
        since=NOW,
        created=NOW,
        activated=activated,
    )


def mail(
    selector: str = "s1",
    *,
    at: datetime = NOW + HOUR,
    result: str = "pass",
    domain: str = "example.com",
    by: str = "mx.receiver.example",
) -> Octets:
    text = (
        f"Authentication-Results: {by}; dkim={result} header.d={domain} header.s={selector}\r\n"
        f"DKIM-Signature: v=1; a=rsa-sha256; d={domain}; s={selector}; t={int(at.timestamp())};\r\n"
        " h=from; bh=eA==; b=eA==\r\n"
        f"From: news@{domain}\r\n\r\nHello\r\n"
    )
    return Octets(f"{selector}-{at:%H%M%S}", text.encode())


def witness(
    *boxes: Box, reporting: Reporting | None = None, domains: tuple[str, ...] = ("example.com",)
) -> MailWitness:
    return MailWitness(
        domains=domains,
        mailboxes=tuple(Mailbox(box, ("mx.receiver.example",)) for box in boxes),
        thresholds=Thresholds(min_messages=2),
        is_aligned=lambda one, other: one == other,
        dns=None,
        reporting=reporting,
    )


def test_a_key_is_proved_by_mail_that_was_signed_since_it_was_activated() -> None:
    box = Box([mail(at=NOW + HOUR), mail(at=NOW + 2 * HOUR)])
    said = witness(box).testify([key()], NOW + 3 * HOUR)
    assert said.verdicts == {"s1": "pass"}
    assert said.last_signed == {"s1": NOW + 2 * HOUR}
    assert box.is_closed


def test_mail_that_was_signed_before_counts_for_nothing() -> None:
    box = Box([mail(at=NOW - HOUR), mail(at=NOW - 2 * HOUR)])
    said = witness(box).testify([key()], NOW + HOUR)
    assert said.verdicts == {"s1": "waiting"}
    assert said.last_signed == {}


def test_mail_that_fails_is_told() -> None:
    box = Box([mail(result="fail")])
    assert witness(box).testify([key()], NOW + HOUR).verdicts == {"s1": "fail"}


def test_every_domain_that_is_signed_needs_its_proof() -> None:
    own = [mail(at=NOW + HOUR), mail(at=NOW + 2 * HOUR)]
    asked = witness(Box(own), domains=("example.com", "example.net"))
    assert asked.testify([key()], NOW + 3 * HOUR).verdicts == {"s1": "waiting"}
    other = [mail(at=NOW + HOUR, domain="example.net"), mail(at=NOW + 2 * HOUR, domain="example.net")]
    asked = witness(Box([*own, *other]), domains=("example.com", "example.net"))
    assert asked.testify([key()], NOW + 3 * HOUR).verdicts == {"s1": "pass"}


def test_of_a_key_that_is_replaced_only_the_last_signature_is_asked() -> None:
    old = key("old", Stage.RETIRING, activated=None)
    said = witness(Box([mail("old")])).testify([old, key()], NOW + 3 * HOUR)
    assert said.verdicts == {"s1": "waiting"}
    assert said.last_signed == {"old": NOW + HOUR}


class Nothing:
    """DNS that has no record any more."""

    def txt(self, _name: str, /) -> None:
        """Say that there is none."""


def test_a_forged_signature_is_no_last_one_of_a_key_that_is_replaced() -> None:
    made = generate_key(Algorithm.RSA, 2048)
    text = b"From: news@example.com\r\nDate: Wed, 25 Nov 2026 13:00:00 +0000\r\n\r\nHello\r\n"
    field = _DKIMPY.sign(text, b"old", b"example.com", made.pem(), include_headers=[b"from", b"date"])
    at = signed_at(parse_header(field + text), "example.com", "old")
    assert at is not None
    record = format_record(made.record).decode()
    old = replace(key("old", Stage.RETIRING, activated=at - HOUR), record=record)
    now = at + 9 * HOUR
    forged = mail("old", at=at + 8 * HOUR)
    checked = replace(witness(Box([Octets("ours", field + text), forged])), dns=Nothing())
    # What DNS has of a record that is broken for a while is not asked.
    assert checked.testify([old], now).last_signed == {"old": at}
    assert witness(Box([forged])).testify([old], now).last_signed == {"old": at + 8 * HOUR}
    unknown = replace(witness(Box([forged])), dns=Nothing())
    assert unknown.testify([replace(old, record="")], now).last_signed == {"old": at + 8 * HOUR}


def test_all_folders_are_searched_where_that_can_be_done() -> None:
    box = Searchable([mail(), mail(at=NOW + 2 * HOUR)])
    assert witness(box).testify([key()], NOW + 3 * HOUR).verdicts == {"s1": "pass"}
    assert box.asked == [NOW - timedelta(minutes=1)]


def test_a_mailbox_that_cannot_be_read_is_told_and_stops_no_other() -> None:
    bad, good = Box([], MailError("no answer")), Box([mail(), mail(at=NOW + 2 * HOUR)])
    said = witness(bad, good).testify([key()], NOW + 3 * HOUR)
    assert said.verdicts == {"s1": "pass"}
    assert [str(problem) for problem in said.problems] == ["seed: no answer"]


@pytest.mark.parametrize("fault", [OSError("gone"), BadInput("mail-too-big", "too big")])
def test_a_mail_that_cannot_be_opened_counts_for_nothing(fault: Exception) -> None:
    assert list(read(Octets("x", fault=fault), ())) == []


@pytest.mark.parametrize(("count", "verdict"), [(2, "pass"), (1, "waiting")])
def test_reports_prove_a_key_when_they_show_enough(count: int, verdict: str) -> None:
    def reporting(domain: str, selector: str, since: datetime, /) -> int:
        assert (domain, selector, since) == ("example.com", "s1", NOW)
        return count

    assert witness(Box(), reporting=reporting).testify([key()], NOW + HOUR).verdicts == {"s1": verdict}


def test_reports_that_cannot_be_asked_are_told() -> None:
    def reporting(domain: str, selector: str, since: datetime, /) -> int:
        raise StoreError(f"locked: {domain} {selector} {since}")

    said = witness(Box(), reporting=reporting).testify([key()], NOW + HOUR)
    assert said.verdicts == {"s1": "waiting"}
    assert len(said.problems) == 1


def header(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.mark.parametrize(
    ("fields", "moment"),
    [
        (("DKIM-Signature: d=example.com; s=s1; t=1790000000",), datetime.fromtimestamp(1790000000, UTC)),
        (("DKIM-Signature: d=example.com; s=s1", "Date: Wed, 25 Nov 2026 13:00:00 +0100"), NOW),
        (("DKIM-Signature: d=example.com; s=s1", "Date: Wed, 25 Nov 2026 12:00:00 -0000"), NOW),
        (("DKIM-Signature: d=example.com; s=s1", "Date: soon"), None),
        (("DKIM-Signature: d=example.com; s=s1", "Date: Fri, 31 Dec 9999 23:59:59 -2300"), None),
        (("DKIM-Signature: d=example.com; s=s1",), None),
        (("DKIM-Signature: d=example.com; s=s1; t=999999999999",), None),
        (("DKIM-Signature: d=example.com; s=other; t=1790000000",), None),
    ],
)
def test_a_mail_says_when_it_was_signed(fields: tuple[str, ...], moment: datetime | None) -> None:
    assert signed_at(parse_header(header(*fields)), "example.com", "s1") == moment


def test_examine_leaves_out_mail_of_others_and_of_the_time_before() -> None:
    box = Box(
        [mail(), mail(at=NOW - HOUR), mail(domain="other.example"), Octets("plain", b"From: a@example.com\r\n\r\n")]
    )
    found = list(mails([Mailbox(box, ("mx.receiver.example",))], NOW, []))
    said = examine(found, "example.com", "s1", is_aligned=lambda a, b: a == b, dns=None, since=NOW)
    assert [each.verdict for each in said] == [Verdict.PASS]
    assert len(examine(found, "example.com", "s1", is_aligned=lambda a, b: a == b, dns=None, since=None)) == 4


@dataclass
class Answers:
    """DNS with one record."""

    records: tuple[bytes, ...]

    def txt(self, name: str) -> tuple[bytes, ...]:
        assert name == "s1._domainkey.example.com"
        return self.records


def test_a_pass_does_not_count_when_the_signature_does_not_verify() -> None:
    asked = replace(witness(Box([mail(), mail(at=NOW + 2 * HOUR)])), dns=Answers(()))
    assert asked.testify([key()], NOW + 3 * HOUR).verdicts == {"s1": "inconclusive"}
