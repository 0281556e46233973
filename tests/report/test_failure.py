import json
import re
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmarcops.errors import BadInput, ReportError
from dmarcops.report.failure import MAX_VALUES, FailureReport, failure_json, parse_failure
from dmarcops.report.limits import Limits
from dmarcops.report.model import Domain, Kind, Repair, Selector
from dmarcops.report.redact import HASH_LENGTH, Redactor
from dmarcops.report.unpack import Payload, unpack
from report.build import FAILURE_FIELDS, FEEDBACK_FIELDS, FIELDS, encoded, mail, multipart, part
from report.ole import message, outlook_file

REDACTOR = Redactor(b"key")
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
NO_DATE = ["unknown-value arrival-date", "from-carrier arrival-date"]
ANN = REDACTOR.address("ann@example.com")
HASHED = rf"[0-9a-f]{{{HASH_LENGTH}}}"
WORDS = b"Content-Type: text/plain\r\n\r\nA report for a message received from IP 192.0.2.7 on Thu, 1 Jan 2026.\r\n"
ORIGINAL = b"""Received: from client.example by mx.receiver.example; Thu, 1 Jan 2026 00:00:00 +0000
DKIM-Signature: v=1; a=rsa-sha256; d=esp.example; s=S1; h=from; bh=x; b=y
From: "Ann, <ann@example.net>" <ann@news.example.com>
To: bob@receiver.example
Subject: A secret subject
Message-ID: <1.ann@example.com>

A secret body.
"""
FULL = b"""Feedback-Type: auth-failure
User-Agent: Receiver/1.0
Version: 1
Original-Mail-From: <bounces+bob=receiver.example@esp.example>
Original-Rcpt-To: rfc822; bob@receiver.example
Original-Rcpt-To: "Eve" <eve@receiver.example>
Arrival-Date: Thu, 1 Jan 2026 01:00:00 +0100
Reporting-MTA: dns; mx.receiver.example
Source-IP: 198.51.100.3 (client.example)
Source-Port: 4711
Original-Envelope-Id: abc
Authentication-Results: mx.receiver.example;
 dmarc=fail header.from=news.example.com; spf=pass
 smtp.mailfrom=bounces@esp.example
Authentication-Results: mx.receiver.example; dkim=fail header.d=esp.example; spf=none
Reported-Domain: News.Example.com.
Reported-Domain: example.org
Reported-URI: https://example.net/unsubscribe?user=bob
Incidents: 3
Auth-Failure: dmarc
Delivery-Result: Reject
Identity-Alignment: dkim, spf
DKIM-Domain: esp.example
DKIM-Identity: @esp.example
DKIM-Selector: S2
DKIM-Selector-DNS: s2._domainkey.esp.example : "v=DKIM1; p=abc"
SPF-DNS: txt : esp.example : "v=spf1 -all"
DKIM-Canonicalized-Body: QSBzZWNyZXQgYm9keS4=
X-Own: ignored
"""
EXIM = b"""A message claiming to be from you has failed the published DMARC policy for your domain.

  Sender Domain: example.com
  Sender IP Address: 203.0.113.68
  Received Date: Mon, 07 Apr 2025 23:16:09 +0200
  SPF Alignment: no
  DKIM Alignment: yes
  DMARC Results: None, Accept

------ This is a copy of the headers that were received before the error was detected.

From: <ann@mail.example.com>
Subject: A secret subject
Message-Id: <1@example.com>
"""


def fields_part(fields: bytes, encoding: str = "7bit") -> bytes:
    return part(fields, b"Content-Type: message/feedback-report", encoding=encoding)


def original_part(content: bytes = ORIGINAL, kind: bytes = b"message/rfc822") -> bytes:
    return part(content, b"Content-Type: " + kind, encoding="7bit")


def feedback(fields: bytes, *parts: bytes) -> bytes:
    body = multipart([WORDS, fields_part(fields), *parts], kind="report; report-type=feedback-report")
    return FIELDS + b"Message-ID: <7@receiver.example>\r\n" + body


def parsed(data: bytes) -> FailureReport:
    """Parse what is found in the octets, as everything else does."""
    (payload,) = unpack(data)
    assert isinstance(payload, Payload)
    with payload.open() as stream:
        report = parse_failure(stream.read(), REDACTOR, repairs=payload.repairs)
    assert report.kind is payload.kind
    return report


def codes(report: FailureReport) -> list[str]:
    return [f"{repair.code} {repair.path}".strip() for repair in report.repairs]


def minimal(*lines: str, kind: bytes = FAILURE_FIELDS) -> FailureReport:
    """Parse a report of the required fields and these."""
    base = kind + b"Source-IP: 192.0.2.1\r\nArrival-Date: Thu, 1 Jan 2026 00:00:00 -0000\r\n"
    given = {line.partition(":")[0].encode() for line in lines}
    kept = [line for line in base.splitlines(keepends=True) if line.partition(b":")[0] not in given]
    return parsed(feedback(b"".join(kept) + "".join(f"{line}\r\n" for line in lines).encode()))


def test_failure_report_is_read_in_full_and_redacted() -> None:
    data = feedback(FULL, original_part())
    report = parsed(data)
    assert report == FailureReport(
        kind=Kind.FAILURE,
        feedback_type="auth-failure",
        reporter=Domain("receiver.example"),
        user_agent="Receiver/1.0",
        version="1",
        auth_failure="dmarc",
        delivery_result="reject",
        identity_alignment=("dkim", "spf"),
        reported_domains=(Domain("news.example.com"), Domain("example.org")),
        reported_uris=("https://example.net",),
        header_from=Domain("news.example.com"),
        source_ip="198.51.100.3",
        source_port=4711,
        arrival_date=NEW_YEAR,
        incidents=3,
        dkim_domain=Domain("esp.example"),
        dkim_identity="@esp.example",
        dkim_selector=Selector("s2"),
        dkim_selector_dns='s2._domainkey.esp.example : "v=DKIM1; p=abc"',
        dkim_result="fail",
        spf_dns='txt : esp.example : "v=spf1 -all"',
        spf_result="pass",
        dmarc_result="fail",
        authentication_results=(
            REDACTOR.text(
                "mx.receiver.example; dmarc=fail header.from=news.example.com;"
                " spf=pass smtp.mailfrom=bounces@esp.example"
            ),
            "mx.receiver.example; dkim=fail header.d=esp.example; spf=none",
        ),
        original_envelope_id="abc",
        original_mail_from=REDACTOR.address("bounces+bob=receiver.example@esp.example"),
        original_rcpt_to=(REDACTOR.address("bob@receiver.example"), REDACTOR.address("eve@receiver.example")),
        removal_recipient=None,
        message_id=REDACTOR.address("1.ann@example.com"),
        reporting_mta="dns; mx.receiver.example",
        repairs=(),
        sha256=sha256(data).hexdigest(),
        content_sha256=report.content_sha256,
    )
    assert report.reported_domain == "news.example.com"


def test_nothing_of_a_person_is_left_when_a_report_is_shown() -> None:
    said = json.dumps(failure_json(parsed(feedback(FULL, original_part())), "a.eml"))
    assert not re.search(r"ann|bob|eve|secret|bounces|QSBz", said)


def test_json_has_the_names_of_the_fields_when_it_is_made() -> None:
    report = parsed(feedback(FULL, original_part()))
    said = failure_json(report, "a.eml")
    assert list(said)[:4] == ["kind", "origin", "sha256", "repairs"]
    assert said["kind"] == "failure"
    assert said["origin"] == "a.eml"
    assert said["sha256"] == report.sha256
    assert said["identity_alignment"] == ["dkim", "spf"]
    assert said["arrival_date"] == "2026-01-01T00:00:00+00:00"
    assert json.loads(json.dumps(said)) == said
    assert "content_sha256" not in said


def test_json_has_null_for_what_a_report_does_not_say() -> None:
    said = failure_json(parse_failure(b"Feedback-Type: abuse\n\n", REDACTOR), "x")
    assert said["kind"] == "feedback"
    assert said["arrival_date"] is None
    assert said["identity_alignment"] is None
    assert [repair["code"] for repair in said["repairs"]] == ["missing-field"] * 4


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "7bit"])
@pytest.mark.parametrize("kind", [b"message/rfc822", b"text/rfc822-headers", b"text/rfc822-header"])
def test_report_is_the_same_however_its_parts_are_sent(encoding: str, kind: bytes) -> None:
    plain = parsed(feedback(FULL, original_part()))
    body = multipart([WORDS, fields_part(FULL, encoding), original_part(kind=kind)], kind="mixed")
    report = parsed(FIELDS + b"Message-ID: <7@receiver.example>\r\n" + body)
    assert codes(report) == ["not-a-feedback-container"]
    for name in ("header_from", "source_ip", "arrival_date", "message_id", "authentication_results"):
        assert getattr(report, name) == getattr(plain, name)


def test_report_of_the_same_content_is_the_same_when_it_came_by_another_way() -> None:
    data = feedback(FULL, original_part())
    other = b"Received: from elsewhere.example\r\n" + data.replace(b"\r\n", b"\n")
    assert parsed(data).content_sha256 == parsed(other).content_sha256
    assert parsed(data).sha256 != parsed(other).sha256
    for changed in (data.replace(b"<7@", b"<8@"), data.replace(b"Incidents: 3", b"Incidents: 4")):
        assert parsed(data).content_sha256 != parsed(changed).content_sha256


def test_text_of_exim_is_read_when_there_are_no_fields() -> None:
    text = part(EXIM, b"Content-Type: text/plain", encoding="7bit")
    report = parsed(FIELDS + multipart([text], kind="report"))
    assert codes(report) == ["no-feedback-part", "not-a-feedback-container"]
    assert report.kind is Kind.FAILURE
    assert (report.auth_failure, report.delivery_result) == ("dmarc", "delivered")
    assert report.identity_alignment == ("spf",)
    assert report.reported_domains == ("example.com",)
    assert report.header_from == "mail.example.com"
    assert report.source_ip == "203.0.113.68"
    assert report.arrival_date == datetime(2025, 4, 7, 21, 16, 9, tzinfo=UTC)
    assert report.message_id == REDACTOR.address("1@example.com")
    assert "secret" not in repr(report)


@pytest.mark.parametrize(
    ("results", "delivery", "alignment"),
    [
        (b"SPF Alignment: yes\n  DKIM Alignment: yes\n  DMARC Results: Quarantine", "spam", ()),
        (b"SPF Alignment: no\n  DKIM Alignment: no\n  DMARC Results: Reject, Reject", "reject", ("dkim", "spf")),
        (b"DMARC Results: odd", None, None),
    ],
)
def test_text_alone_is_read_when_it_is_all_there_is(
    results: bytes, delivery: str | None, alignment: tuple[str, ...] | None
) -> None:
    report = parsed(EXIM[: EXIM.index(b"  SPF")] + b"  " + results + b"\n")
    assert (report.delivery_result, report.identity_alignment) == (delivery, alignment)
    assert (report.header_from, report.reporter) == (None, None)


def test_report_is_read_when_outlook_saved_it() -> None:
    report = parsed(outlook_file(("", FULL), ("", ORIGINAL), text="A report."))
    assert report.header_from == "news.example.com"
    assert report.reporter is None
    assert codes(report) == []


def test_fields_alone_are_read_when_there_is_no_mail() -> None:
    assert parsed(FULL).source_ip == "198.51.100.3"


def test_what_the_fields_leave_out_is_taken_from_text_message_and_carrier() -> None:
    report = parsed(feedback(FEEDBACK_FIELDS, original_part()))
    assert report.kind is Kind.FEEDBACK
    assert report.source_ip == "192.0.2.7"
    assert report.reported_domains == ("news.example.com",)
    assert (report.dkim_domain, report.dkim_selector) == ("esp.example", "s1")
    assert report.arrival_date == NEW_YEAR
    assert codes(report) == [
        "from-message reported-domain",
        "from-message dkim-domain",
        "from-text source-ip",
        "from-carrier arrival-date",
    ]


def test_text_is_read_when_it_is_encoded() -> None:
    text = part(WORDS.partition(b"\r\n\r\n")[2], b"Content-Type: text/plain", encoding="base64")
    report = parsed(FIELDS + multipart([text, fields_part(FEEDBACK_FIELDS)]))
    assert report.source_ip == "192.0.2.7"


def test_signature_without_a_domain_says_nothing() -> None:
    report = parsed(
        feedback(FULL.replace(b"DKIM-Domain", b"X"), original_part(b"DKIM-Signature: v=1; ...\n" + ORIGINAL))
    )
    assert (report.dkim_domain, report.dkim_selector) == (None, "s2")


def test_message_that_was_withheld_says_nothing() -> None:
    report = parsed(feedback(FULL, original_part(b"REDACTED")))
    assert (report.header_from, report.message_id) == (None, None)
    assert report.reported_domains == ("news.example.com", "example.org")


def test_later_parts_are_left_out_when_the_report_is_complete() -> None:
    extra = (original_part(b"From: x@example.org\n\n"), fields_part(FEEDBACK_FIELDS), WORDS)
    assert parsed(feedback(FULL, original_part(), *extra)) == parsed(feedback(FULL, original_part(), *extra))
    assert parsed(feedback(FULL, original_part(), *extra)).header_from == "news.example.com"


def test_part_that_is_too_deep_is_passed_over() -> None:
    deep = multipart([multipart([TEXT])])
    report = parse_failure(feedback(FULL, deep), REDACTOR, limits=Limits(mime_depth=1))
    assert report.auth_failure == "dmarc"


TEXT = b"Content-Type: text/plain\r\n\r\nx\r\n"


def test_attachment_that_cannot_be_read_is_passed_over() -> None:
    octets = outlook_file(("", FULL), ("", message(("a", b"x"))))
    report = parse_failure(octets, REDACTOR, limits=Limits(mime_depth=0))
    assert report.auth_failure == "dmarc"


@pytest.mark.parametrize(
    ("line", "attribute", "value", "code"),
    [
        ("Delivery-Result: smg-policy-action", "delivery_result", "other", ["unknown-value delivery-result"]),
        ("Delivery-Result: delivered (inbox)", "delivery_result", "delivered", []),
        ("Auth-Failure: iprev", "auth_failure", "iprev", ["unknown-value auth-failure"]),
        ("Auth-Failure: (none)", "auth_failure", None, []),
        ("Auth-Failure:", "auth_failure", None, ["missing-field auth-failure"]),
        ("Identity-Alignment: none", "identity_alignment", (), []),
        ("Identity-Alignment: SPF", "identity_alignment", ("spf",), []),
        ("Identity-Alignment: none, spf", "identity_alignment", ("spf",), ["unknown-value identity-alignment"]),
        ("Identity-Alignment: odd", "identity_alignment", None, ["unknown-value identity-alignment"]),
        ("Identity-Alignment: ()", "identity_alignment", None, ["unknown-value identity-alignment"]),
        ("Source-IP: [IPv6:2001:DB8::1]", "source_ip", "2001:db8::1", []),
        ("Source-IP: 2001:db8::1 (x)", "source_ip", "2001:db8::1", []),
        ("Source-IP: 300.1.1.1", "source_ip", "300.1.1.1", ["invalid-source-ip source-ip"]),
        ("Source-Port: 70000", "source_port", None, ["unknown-value source-port"]),
        ("Source-Port: x", "source_port", None, ["unknown-value source-port"]),
        ("Incidents: many", "incidents", 1, ["unknown-value incidents"]),
        ("Incidents: 0", "incidents", 0, []),
        ("Arrival-Date: Thu, 1 Jan 2026 00:00:00 JST", "arrival_date", NEW_YEAR, ["no-time-zone arrival-date"]),
        ("Arrival-Date: nonsense", "arrival_date", NEW_YEAR, NO_DATE),
        ("Arrival-Date: Fri, 31 Dec 9999 23:59:59 -2359", "arrival_date", NEW_YEAR, NO_DATE),
        ("Received-Date: Thu, 1 Jan 2026 05:00:00 Z", "arrival_date", NEW_YEAR, ["repeated-field arrival-date"]),
        ("DKIM-Domain: a.example; b.example", "dkim_domain", "a.example", ["repeated-field dkim-domain"]),
        ("Original-Mail-From: <>", "original_mail_from", "<>", []),
        ("Original-Mail-From:", "original_mail_from", None, []),
        ("Original-Mail-From: ann@example.com (Ann)", "original_mail_from", ANN, []),
        ('Original-Mail-From: "a b"@example.com', "original_mail_from", REDACTOR.address('"a b"@example.com'), []),
        ("Original-Mail-From: hashed", "original_mail_from", REDACTOR.address("hashed"), []),
        ("Removal-Recipient: ann@example.com", "removal_recipient", ANN, []),
        ("Message-ID: <1@example.com>", "message_id", REDACTOR.address("1@example.com"), []),
        ("Reported-Domain: ann@a.example", "reported_domains", ("a.example",), ["address-for-domain reported-domain"]),
        ("Reported-Domain: (none)", "reported_domains", (), []),
        ("User-Agent:", "user_agent", None, ["missing-field user-agent"]),
        ("Reported-URI: mailto:ann@example.com", "reported_uris", (f"mailto:{ANN}",), []),
    ],
)  # fmt: skip
def test_field_is_read_or_noted(line: str, attribute: str, value: object, code: list[str]) -> None:
    report = minimal(line)
    assert getattr(report, attribute) == value
    assert codes(report) == code


def test_received_date_is_read_when_it_stands_for_arrival_date() -> None:
    report = minimal("Received-Date: Thu, 1 Jan 2026 05:00:00 +0000", "Arrival-Date:")
    assert report.arrival_date == datetime(2026, 1, 1, 5, tzinfo=UTC)
    assert codes(report) == []


@pytest.mark.parametrize(
    ("said", "kind", "code"),
    [
        ("opt-out", Kind.FEEDBACK, []),
        ("Not-Spam", Kind.FEEDBACK, []),
        ("own", Kind.FEEDBACK, ["unknown-value feedback-type"]),
    ],
)
def test_feedback_of_other_types_is_read(said: str, kind: Kind, code: list[str]) -> None:
    report = minimal(f"Feedback-Type: {said}", kind=FEEDBACK_FIELDS)
    assert (report.kind, report.feedback_type, codes(report)) == (kind, said.lower(), code)


def test_repeated_and_broken_fields_are_noted_without_persons() -> None:
    report = minimal("User-Agent: A/1 ann@example.com", "User-Agent: B/1", "ann@example.com is no field")
    assert codes(report) == ["broken-field", "repeated-field user-agent"]
    assert "ann" not in repr(report)


def test_values_are_bounded_when_there_are_many() -> None:
    report = minimal(*(f"Reported-Domain: {number}.example" for number in range(150)))
    assert len(report.reported_domains) == MAX_VALUES
    assert codes(report) == ["more-fields reported-domain"]


def test_domain_of_the_message_is_the_evidence_when_the_field_says_another() -> None:
    report = parsed(feedback(FULL.replace(b"News.Example.com.", b"example.net"), original_part()))
    assert (report.header_from, report.reported_domain) == ("news.example.com", "example.net")
    assert codes(report) == ["domain-mismatch reported-domain"]


@pytest.mark.parametrize(
    "given", ["ann@example.com, Bob", "Ann <ann@example.com> (x)", '"<bob@example.net>" <ann@example.com>']
)
def test_author_domain_is_found_when_there_are_names(given: str) -> None:
    report = parsed(feedback(FULL, original_part(f"From: {given}\nSubject: x\n\n".encode())))
    assert report.header_from == "example.com"


def test_there_is_no_author_domain_when_from_has_no_address() -> None:
    assert parsed(feedback(FULL, original_part(b"From: nobody\nSubject: x\n\n"))).header_from is None


def test_repairs_of_the_container_come_first_when_there_are_some() -> None:
    given = Repair("trailing-bytes", "", "")
    broken = FIELDS + multipart([WORDS, fields_part(FULL).replace(b"7bit", b"base64")])
    report = parse_failure(broken, REDACTOR, repairs=(given,))
    assert report.repairs[0] == given
    assert [repair.code for repair in report.repairs][1] == "transfer-encoding"


@pytest.mark.parametrize("data", [b"", b"x", mail(WORDS), ORIGINAL])
def test_what_holds_no_report_is_refused(data: bytes) -> None:
    with pytest.raises(ReportError) as caught:
        parse_failure(data, REDACTOR)
    assert (caught.value.code, caught.value.outcome) == ("no-feedback", "not-a-report")


def test_what_is_over_the_limit_is_refused() -> None:
    with pytest.raises(ReportError) as caught:
        parse_failure(FULL, REDACTOR, limits=Limits(mail_bytes=100))
    assert (caught.value.code, caught.value.outcome) == ("too-big", "corrupt")


HOSTILE = [
    b"Feedback-Type: auth-failure\n" + b"Source-IP: " + b"(" * 100_000,
    b"Feedback-Type: auth-failure\n" + b"Arrival-Date: " + b"(" * 100_000,
    b"Feedback-Type: auth-failure\n" + b"Original-Rcpt-To: " * 10_000 + b'"\\' * 100_000,
    b"Feedback-Type: auth-failure\n" + b'Original-Rcpt-To: ""\\"\\"\\"\\"\\"\\"\\"\\"\\"\\"\n' * 20_000,
    b"Feedback-Type: auth-failure\n" + b"Authentication-Results: " + b"a@" * 100_000,
    b"Feedback-Type: auth-failure\n" + b"\n" * 200_000 + b" " * 200_000,
    FIELDS + multipart([b"\r\nIP" + b" " * 3_000_000, fields_part(FEEDBACK_FIELDS)]),
    EXIM + b"-" * 1_000_000,
]


@pytest.mark.parametrize("data", HOSTILE)
def test_hostile_report_is_read_in_a_short_time(data: bytes) -> None:
    parse_failure(data, REDACTOR)


VALID = [feedback(FULL, original_part()), mail(part(EXIM, encoding="7bit")), FULL, outlook_file(("", FULL))]


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=400), st.text(max_size=400).map(str.encode)))
def test_any_fields_are_a_report_or_bad_input(data: bytes) -> None:
    for octets in (data, FULL + data, FULL.replace(b": ", b": " + data)):
        try:
            report = parse_failure(octets, REDACTOR)
        except BadInput:
            continue
        json.dumps(failure_json(report, ""), allow_nan=False).encode("ascii")


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(VALID), st.data())
def test_any_damage_is_a_report_or_bad_input(data: bytes, draw: st.DataObject) -> None:
    start = draw.draw(st.integers(0, len(data)))
    stop = draw.draw(st.integers(start, len(data)))
    octets = data[:start] + draw.draw(st.binary(max_size=20)) + data[stop:]
    with suppress(BadInput):
        parse_failure(octets, REDACTOR)


def test_encoded_reports_are_made_as_intended() -> None:
    assert encoded(FULL, "base64") in fields_part(FULL, "base64")
