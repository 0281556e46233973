import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmarcops.errors import BadInput, ReportError
from dmarcops.report.limits import Limits
from dmarcops.report.model import DateRange, Domain, Repair
from dmarcops.report.tls import TlsFailure, TlsPolicy, TlsReport, parse_tls, tls_json

BEGIN, END = 1_767_225_600, 1_767_311_999
FAILED = "total-failure-session-count"
NO_TIMES = ["missing-element date-range/start-datetime", "missing-element date-range/end-datetime"]


def full() -> dict[str, Any]:
    """Give a report in which everything is that section 4.4 knows."""
    return {
        "organization-name": "Receiver",
        "date-range": {"start-datetime": "2026-01-01T00:00:00Z", "end-datetime": "2026-01-01T23:59:59Z"},
        "contact-info": "tls@receiver.example",
        "report-id": "1",
        "policies": [
            {
                "policy": {
                    "policy-type": "sts",
                    "policy-string": ["version: STSv1", "mode: enforce"],
                    "policy-domain": "Example.COM",
                    "mx-host": ["*.MX.example.com"],
                },
                "summary": {"total-successful-session-count": 50, "total-failure-session-count": 3},
                "failure-details": [
                    {
                        "result-type": "certificate-expired",
                        "sending-mta-ip": "2001:DB8::1",
                        "receiving-mx-hostname": "MX.example.com.",
                        "receiving-mx-helo": "mx",
                        "receiving-ip": "192.0.2.2",
                        "failed-session-count": 2,
                        "additional-information": "https://receiver.example/1",
                        "failure-reason-code": "X",
                    }
                ],
            },
            {
                "policy": {"policy-type": "no-policy-found", "policy-domain": "example.com"},
                "summary": {"total-successful-session-count": 7, "total-failure-session-count": 1},
            },
        ],
    }


def octets(document: object) -> bytes:
    return json.dumps(document).encode()


def codes(report: TlsReport) -> list[str]:
    return [f"{repair.code} {repair.path}".strip() for repair in report.repairs]


def refused(data: bytes, **limits: int) -> str:
    with pytest.raises(ReportError) as caught:
        parse_tls(data, limits=Limits(**limits))
    assert str(caught.value)
    return caught.value.code


def test_report_is_read_in_full() -> None:
    data = octets(full())
    report = parse_tls(data)
    failure = TlsFailure(
        result_type="certificate-expired",
        sending_mta_ip="2001:db8::1",
        receiving_mx_hostname="mx.example.com",
        receiving_mx_helo="mx",
        receiving_ip="192.0.2.2",
        failed_session_count=2,
        additional_information="https://receiver.example/1",
        failure_reason_code="X",
    )
    strings = ("version: STSv1", "mode: enforce")
    assert report == TlsReport(
        organization_name="Receiver",
        date_range=DateRange(BEGIN, END),
        contact_info="tls@receiver.example",
        report_id="1",
        policies=(
            TlsPolicy("sts", strings, Domain("example.com"), ("*.mx.example.com",), 50, 3, (failure,)),
            TlsPolicy("no-policy-found", (), Domain("example.com"), (), 7, 1, ()),
        ),
        repairs=(),
        sha256=sha256(data).hexdigest(),
        content_sha256=report.content_sha256,
    )
    assert (report.successful_count, report.failed_count) == (57, 4)


def test_json_has_the_names_of_the_rfc_when_it_is_made() -> None:
    report = parse_tls(octets(full()))
    said = tls_json(report, "a.json")
    assert list(said)[:4] == ["kind", "origin", "sha256", "repairs"]
    assert (said["kind"], said["origin"], said["date_range"]) == ("tls", "a.json", {"begin": BEGIN, "end": END})
    assert said["policies"][0]["mx_host"] == ("*.mx.example.com",)
    assert said["policies"][0]["failure_details"][0]["failed_session_count"] == 2
    json.dumps(said)


@pytest.mark.parametrize(
    ("encode", "code"),
    [
        (lambda text: b"\xef\xbb\xbf" + text.encode(), []),
        (lambda text: b"\r\n " + text.encode() + b"\r\n\0", []),
        (lambda text: text.encode("utf-16"), ["not-utf-8"]),
        (lambda text: text.encode("utf-32-le"), ["not-utf-8"]),
        (lambda text: text.encode() + b"}junk", ["trailing-data"]),
        (lambda text: json.dumps(json.loads(text), indent=4).encode(), []),
    ],
)
def test_content_is_the_same_however_it_is_written(encode: Any, code: list[str]) -> None:  # noqa: ANN401 - lambdas
    data = octets(full())
    report = parse_tls(encode(data.decode()))
    assert report.content_sha256 == parse_tls(data).content_sha256
    assert codes(report) == code


def test_content_is_another_when_a_count_is() -> None:
    other = full()
    other["policies"][1]["summary"]["total-failure-session-count"] = 2
    assert parse_tls(octets(other)).content_sha256 != parse_tls(octets(full())).content_sha256


def test_octets_that_are_no_text_are_replaced() -> None:
    report = parse_tls(octets(full()).replace(b"Receiver", b"R\xe9ceiver"))
    assert report.organization_name == "R\ufffdceiver"
    assert codes(report) == ["invalid-bytes"]


def test_control_characters_and_surrogates_never_get_into_a_text() -> None:
    report = parse_tls(octets(full()).replace(b"Receiver", b"A\\u0000\\ud800\x01B"))
    assert report.organization_name == "A   B"


@pytest.mark.parametrize(
    ("change", "attribute", "expected", "code"),
    [
        ({"contact-info": None}, "contact_info", None, []),
        ({"contact-info": ""}, "contact_info", None, []),
        ({"contact-info": ["a"]}, "contact_info", None, ["not-a-string contact-info"]),
        ({"organization-name": None}, "organization_name", None, ["missing-element organization-name"]),
        ({"report-id": 17}, "report_id", "17", ["not-a-string report-id"]),
        ({"report-id": "x" * 3_000}, "report_id", "x" * 2_000, ["text-cut report-id"]),
        ({"policies": None}, "policies", (), []),
        ({"policies": "x"}, "policies", (), ["unknown-value policies"]),
        ({"policies": [1, []]}, "policies", (), ["unknown-value policies", "unknown-value policies"]),
        ({"date-range": None}, "date_range", DateRange(None, None), ["missing-element date-range", *NO_TIMES]),
        ({"date-range": "x"}, "date_range", DateRange(None, None), ["unknown-value date-range", *NO_TIMES]),
    ],
)  # fmt: skip
def test_head_is_read_or_noted(change: dict[str, object], attribute: str, expected: object, code: list[str]) -> None:
    report = parse_tls(octets(full() | change))
    assert getattr(report, attribute) == expected
    assert codes(report) == code


def test_policies_are_missing_when_there_are_none() -> None:
    document = full()
    del document["policies"]
    assert codes(parse_tls(octets(document))) == ["missing-element policies"]


@pytest.mark.parametrize(
    ("time", "expected", "code"),
    [
        ("2026-01-01T01:00:00+01:00", BEGIN, []),
        ("2026-01-01T00:00:00.5Z", BEGIN, []),
        ("2026-01-01T00:00:00", BEGIN, ["time-format"]),
        (str(BEGIN), BEGIN, []),
        (BEGIN, BEGIN, ["not-a-string"]),
        ("1960-01-01T00:00:00Z", None, ["unknown-value"]),
        ("0001-01-01T00:00:00+23:00", None, ["unknown-value"]),
        ("9999-12-31T23:59:59Z", 253_402_300_799, []),
        ("9999-12-31T23:59:59-23:00", None, ["unknown-value"]),
        ("yesterday", None, ["unknown-value"]),
    ],
)
def test_time_is_read_or_noted(time: object, expected: int | None, code: list[str]) -> None:
    document = full()
    document["date-range"]["start-datetime"] = time
    report = parse_tls(octets(document))
    assert report.date_range == DateRange(expected, END)
    assert codes(report) == [f"{one} date-range/start-datetime" for one in code]


@pytest.mark.parametrize(
    ("change", "attribute", "expected", "code"),
    [
        ({"mx-host": "MX.example.com"}, "mx_host", ("mx.example.com",), "not-an-array"),
        ({"mx-host": None}, "mx_host", (), ""),
        ({"mx-host": None, "mx-host-pattern": ["a", "b"]}, "mx_host", ("a", "b"), "renamed-element"),
        ({"mx-host": ["a", 1, None, ""]}, "mx_host", ("a", "1"), "not-a-string"),
        ({"policy-string": ["x"] * 101}, "policy_string", ("x",) * 100, "more-values"),
        ({"policy-domain": None}, "policy_domain", None, "missing-element"),
        ({"policy-domain": "b\u00fccher.example"}, "policy_domain", "xn--bcher-kva.example", ""),
        ({"policy-type": "STS"}, "policy_type", "sts", ""),
        ({"policy-type": "new"}, "policy_type", "new", "unknown-value"),
        ({"policy-type": None}, "policy_type", None, "missing-element"),
        ({FAILED: "3"}, FAILED, 3, "number-format"),
        ({FAILED: 3.0}, FAILED, 3, "number-format"),
        ({FAILED: None}, FAILED, 0, "missing-element"),
        ({FAILED: -1}, FAILED, 0, "unknown-value"),
        ({FAILED: 10**30}, FAILED, 0, "unknown-value"),
        ({FAILED: True}, FAILED, 0, "unknown-value"),
        ({FAILED: []}, FAILED, 0, "unknown-value"),
    ],
)  # fmt: skip
def test_policy_is_read_or_noted(change: dict[str, object], attribute: str, expected: object, code: str) -> None:
    document = full()
    part = "summary" if FAILED in change else "policy"
    document["policies"][0][part] |= change
    report = parse_tls(octets(document))
    assert getattr(report.policies[0], attribute.replace("-", "_")) == expected
    expected_codes = [f"{code} policies/{part}/{next(iter(change))}"] if code else []
    assert codes(report) == expected_codes
    assert all(repair.first == 1 for repair in report.repairs)


@pytest.mark.parametrize(
    ("change", "attribute", "expected", "code"),
    [
        ({"sending-mta-ip": ""}, "sending_mta_ip", None, ""),
        ({"sending-mta-ip": None, "receiving-mx-hostname": None}, "receiving_mx_hostname", None, ""),
        ({"sending-mta-ip": "mta.example"}, "sending_mta_ip", "mta.example", "invalid-source-ip"),
        ({"result-type": None}, "result_type", None, "missing-element"),
        ({"result-type": "dane-odd"}, "result_type", "dane-odd", "unknown-value"),
        ({"failed-session-count": "2"}, "failed_session_count", 2, "number-format"),
    ],
)  # fmt: skip
def test_failure_is_read_or_noted(change: dict[str, object], attribute: str, expected: object, code: list[str]) -> None:
    document = full()
    document["policies"][0]["failure-details"][0] |= change
    report = parse_tls(octets(document))
    assert getattr(report.policies[0].failure_details[0], attribute) == expected
    assert codes(report) == ([f"{code} policies/failure-details/{next(iter(change))}"] if code else [])


def test_an_object_is_an_array_of_one_when_it_stands_for_one() -> None:
    document = full()
    document["policies"][0]["failure-details"] = document["policies"][0]["failure-details"][0]
    document["policies"] = document["policies"][0]
    report = parse_tls(octets(document))
    assert len(report.policies) == len(report.policies[0].failure_details) == 1
    assert codes(report) == ["not-an-array policies", "not-an-array policies/failure-details"]


@pytest.mark.parametrize("details", [None, []])
def test_there_are_no_failures_when_their_array_is_empty_or_null(details: object) -> None:
    document = full()
    document["policies"][0]["failure-details"] = details
    report = parse_tls(octets(document))
    assert report.policies[0].failure_details == ()
    assert codes(report) == []


def test_policy_is_read_when_it_holds_nothing() -> None:
    report = parse_tls(octets(full() | {"policies": [{}]}))
    assert report.policies == (TlsPolicy(None, (), None, (), 0, 0, ()),)
    assert codes(report)[:2] == ["missing-element policies/policy", "missing-element policies/summary"]


def test_repairs_of_the_container_come_first_when_there_are_some() -> None:
    given = Repair("trailing-bytes", "", "")
    assert parse_tls(octets(full() | {"report-id": 1}), repairs=(given,)).repairs[0] == given


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "json-invalid"),
        (b"{]", "json-invalid"),
        (b'{"report-id": "a" "b"}', "json-invalid"),
        (b'{"report-id": ' + b"1" * 5_000 + b"}", "json-invalid"),
        (b"[]", "not-a-tls-report"),
        (b'{"a": 1}', "not-a-tls-report"),
        (b"[" * 100_000, "nested-too-deep"),
        (b'{"a":' * 100_000, "nested-too-deep"),
    ],
)
def test_what_is_no_report_is_refused(data: bytes, code: str) -> None:
    assert refused(data) == code


@pytest.mark.parametrize("data", [b"{", b'{"report-id": "', octets(full())[:-20], octets(full())[:-1]])
def test_what_ends_too_early_may_be_tried_again(data: bytes) -> None:
    with pytest.raises(ReportError) as caught:
        parse_tls(data)
    assert (caught.value.code, caught.value.outcome) == ("json-truncated", "retry")


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"json_bytes": 100}, "too-big"),
        ({"json_values": 10}, "too-many-values"),
        ({"json_depth": 3}, "nested-too-deep"),
        ({"tls_policies": 1}, "too-many-policies"),
        ({"tls_failures": 0}, "too-many-failures"),
    ],
)
def test_what_is_over_a_limit_is_refused(limits: dict[str, int], code: str) -> None:
    assert refused(octets(full()), **limits) == code


def test_brackets_in_texts_do_not_count_when_the_depth_is_looked_at() -> None:
    document = full() | {"report-id": '[{"\\' * 400}
    assert parse_tls(octets(document)).report_id == '[{"\\' * 400


@pytest.mark.parametrize(
    "data", [b'{"a": "' + b'\\"' * 2_000_000, b'{"a": "' + b"\\" * 3_000_000, b'{"a": "b' + b'"' * 3_000_000]
)
def test_hostile_texts_are_refused_in_a_short_time(data: bytes) -> None:
    assert refused(data) in ("json-invalid", "json-truncated")


NAMES = [
    *("organization-name", "date-range", "start-datetime", "end-datetime", "contact-info", "report-id", "policies"),
    *("policy", "summary", "failure-details", "policy-type", "policy-string", "policy-domain", "mx-host"),
    *("mx-host-pattern", "total-successful-session-count", "failed-session-count", "sending-mta-ip", "result-type"),
]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6)
)


@settings(max_examples=300, deadline=None)
@given(VALUES, st.sampled_from(NAMES))
def test_any_document_is_a_report_or_bad_input(value: object, name: str) -> None:
    for document in (value, full() | {name: value}, full() | {"policies": [{name: value}]}):
        try:
            report = parse_tls(json.dumps(document).encode())
        except BadInput:
            continue
        json.dumps(tls_json(report, ""), allow_nan=False).encode("ascii")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=100), st.integers(0, 1_000), st.integers(0, 50))
def test_any_octets_are_a_report_or_bad_input(data: bytes, at: int, cut: int) -> None:
    whole = octets(full())
    for damaged in (data, whole[:at] + data + whole[at + cut :]):
        try:
            parse_tls(damaged)
        except BadInput:
            continue
