"""What `parse` makes of the shapes that real reports have (each section of the field notes once, and the checklist)."""

import hashlib
import io
from collections.abc import Callable, Sequence

import pytest

from dmarcops.errors import ReportError
from dmarcops.report.limits import Limits
from dmarcops.report.model import (
    AlignmentMode,
    DateRange,
    Dialect,
    DiscoveryMethod,
    Disposition,
    DkimAuthResult,
    DkimResultType,
    DmarcResult,
    Domain,
    Evaluation,
    Extension,
    OverrideReason,
    OverrideType,
    PolicyTesting,
    PolicyValue,
    Record,
    Repair,
    Report,
    Selector,
    SpfAuthResult,
    SpfResultType,
    SpfScope,
)
from dmarcops.report.notes import Notes
from dmarcops.report.parse import _Pass, parse, read

RECORD = """<record><row><source_ip>192.0.2.1</source_ip><count>3</count>
<policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated></row>
<identifiers><header_from>example.com</header_from></identifiers>
<auth_results><dkim><domain>example.com</domain><selector>s1</selector><result>pass</result></dkim>
<spf><domain>bounce.example.com</domain><scope>mfrom</scope><result>pass</result></spf></auth_results></record>
"""
REPORT = f"""<?xml version="1.0" encoding="UTF-8"?>
<feedback><version>1.0</version>
<report_metadata><org_name>Receiver</org_name><email>dmarc@receiver.example</email><report_id>id-1</report_id>
<date_range><begin>1751241600</begin><end>1751327999</end></date_range></report_metadata>
<policy_published><domain>example.com</domain><adkim>r</adkim><aspf>r</aspf><p>none</p></policy_published>
{RECORD}</feedback>"""


def changed(*changes: tuple[str, str]) -> bytes:
    text = REPORT
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text.encode()


def codes(report: Report) -> list[tuple[str, str]]:
    return [(repair.code, repair.path) for repair in report.repairs]


def only(report: Report) -> Record:
    [record] = report.records
    return record


def evaluation(*changes: tuple[str, str]) -> Evaluation:
    return only(parse(changed(*changes))).evaluation


def test_parse_reads_a_plain_report_without_repairs() -> None:
    report = parse(REPORT.encode())
    assert report.repairs == ()
    assert (report.dialect, report.version) == (Dialect.RFC7489, "1.0")
    metadata = report.report_metadata
    assert (metadata.org_name, metadata.email, metadata.report_id) == ("Receiver", "dmarc@receiver.example", "id-1")
    assert metadata.date_range == DateRange(1751241600, 1751327999)
    assert (metadata.extra_contact_info, metadata.errors, metadata.generator) == (None, (), None)
    policy = report.policy_published
    assert (policy.domain, policy.p, policy.sp, policy.np) == ("example.com", PolicyValue.NONE, None, None)
    assert (policy.adkim, policy.aspf) == (AlignmentMode.RELAXED, AlignmentMode.RELAXED)
    record = only(report)
    assert (record.source_ip, record.count) == ("192.0.2.1", 3)
    assert record.evaluation.policy_evaluated.disposition is Disposition.NONE
    assert record.evaluation.policy_evaluated.dmarc is DmarcResult.PASS
    assert record.evaluation.identifiers.header_from == "example.com"
    assert record.evaluation.auth_results.dkim == (
        DkimAuthResult(Domain("example.com"), Selector("s1"), DkimResultType.PASS, None),
    )
    assert record.evaluation.auth_results.spf == (
        SpfAuthResult(Domain("bounce.example.com"), SpfScope.MFROM, SpfResultType.PASS, None),
    )
    assert (report.record_count, report.mail_count) == (1, 3)


RFC9990 = """<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0">
<version>1.0</version>
<report_metadata><org_name>Receiver</org_name><email>dmarc@receiver.example</email>
<extra_contact_info lang="en">https://receiver.example/dmarc</extra_contact_info><report_id>id-2@receiver.example</report_id>
<date_range><begin>1751241600</begin><end>1751327999</end></date_range><error lang="en">a problem</error>
<generator>Example DMARC Aggregate Reporter v1.2</generator></report_metadata>
<policy_published><domain>example.com</domain><discovery_method>treewalk</discovery_method><p>reject</p><sp>quarantine</sp>
<np>reject</np><fo>1:d</fo><adkim>s</adkim><aspf>r</aspf><testing>y</testing></policy_published>
<extension><a:thing xmlns:a="urn:example:a">x</a:thing></extension>
<record><row><source_ip>2001:db8:0:0::1</source_ip><count>123</count><policy_evaluated><disposition>pass</disposition>
<dkim>pass</dkim><spf>fail</spf><reason><type>policy_test_mode</type><comment lang="en">t=y</comment></reason>
</policy_evaluated></row><identifiers><header_from>example.com</header_from><envelope_from/></identifiers>
<auth_results><dkim><domain>example.com</domain><selector>abc123</selector><result>pass</result>
<human_result lang="en">good</human_result></dkim><spf><domain>example.com</domain><result>policy</result>
<human_result>odd</human_result></spf></auth_results>
<b:more xmlns:b="urn:example:b"><b:deep>1</b:deep></b:more></record>
</feedback>"""


def test_parse_reads_everything_that_rfc_9990_has() -> None:
    report = parse(RFC9990.encode())
    assert report.repairs == ()
    assert report.dialect is Dialect.RFC9990
    assert report.report_metadata.generator == "Example DMARC Aggregate Reporter v1.2"
    assert report.report_metadata.errors == ("a problem",)
    assert report.report_metadata.extra_contact_info == "https://receiver.example/dmarc"
    policy = report.policy_published
    assert (policy.discovery_method, policy.testing) == (DiscoveryMethod.TREEWALK, PolicyTesting.YES)
    assert (policy.p, policy.sp, policy.np, policy.fo) == ("reject", "quarantine", "reject", "1:d")
    assert [extension.path for extension in report.extensions] == ["/extension"]
    assert "urn:example:a" in report.extensions[0].xml
    record = only(report)
    assert (record.source_ip, record.count) == ("2001:db8::1", 123)
    said = record.evaluation
    assert said.policy_evaluated.disposition is Disposition.PASS
    assert said.policy_evaluated.reasons == (OverrideReason(OverrideType.POLICY_TEST_MODE, "t=y"),)
    assert said.identifiers.envelope_from is None
    assert said.auth_results.dkim[0].human_result == "good"
    assert said.auth_results.spf == (SpfAuthResult(Domain("example.com"), None, SpfResultType.POLICY, "odd"),)
    assert [extension.path for extension in said.extensions] == ["record/more"]


@pytest.mark.parametrize(
    ("root", "end"),
    [
        ("<feedback>", "</feedback>"),
        ('<feedback xmlns="http://dmarc.org/dmarc-xml/0.1">', "</feedback>"),
        ('<feedback xmlns="http//dmarc.org/dmarc-xml/0.1">', "</feedback>"),
        ('<ns1:feedback xmlns:ns1="http://dmarc.org/dmarc-xml/0.1">', "</ns1:feedback>"),
        ("<FEEDBACK>", "</FEEDBACK>"),
        ('<feedback xmlns:x="http://www.w3.org/2001/XMLSchema-instance" x:schemaLocation="x">', "</feedback>"),
    ],
)  # fmt: skip
def test_parse_matches_local_names_whatever_the_namespace(root: str, end: str) -> None:
    report = parse(changed(("<feedback>", root), ("</feedback>", end)))
    assert report.repairs == ()
    assert report.dialect is Dialect.RFC7489
    assert report.records == parse(REPORT.encode()).records


def test_parse_matches_prefixed_and_upper_case_elements_at_every_level() -> None:
    text = RFC9990.replace('xmlns="urn', 'xmlns:d="urn').replace("<", "<d:").replace("<d:/", "</d:")
    text = text.replace("d:a:", "a:").replace("d:b:", "b:")
    shouted = REPORT.replace("record>", "RECORD>").replace("row>", "Row>").replace("source_ip>", "Source_IP>")
    assert parse(text.encode()).records[0].source_ip == "2001:db8::1"
    assert parse(text.encode()).dialect is Dialect.RFC9990
    assert parse(shouted.encode()).records == parse(REPORT.encode()).records


@pytest.mark.parametrize(
    "change",
    [
        ("<p>none</p>", "<p>none</p><np>none</np>"),
        ("<p>none</p>", "<p>none</p><testing>n</testing>"),
        ("<p>none</p>", "<p>none</p><discovery_method>psl</discovery_method>"),
        ("<report_id>", "<generator>x</generator><report_id>"),
        ("<record>", "<extension/><record>"),
        ("<disposition>none<", "<disposition>pass<"),
        ("<spf>fail</spf>", "<spf>fail</spf><reason><type>policy_test_mode</type></reason>"),
    ],
)
def test_parse_sees_rfc_9990_in_practice_by_what_only_it_has(change: tuple[str, str]) -> None:
    assert parse(changed(change)).dialect is Dialect.RFC9990


# The document ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda text: text.encode("utf-8-sig"), ("bom", "utf-8")),
        (lambda text: text.encode("utf-16"), ("bom", "utf-16-le")),
        (lambda text: b"\xfe\xff" + text.encode("utf-16-be"), ("bom", "utf-16-be")),
        (lambda text: text.encode("utf-32"), ("bom", "utf-32-le")),
        (lambda text: text.encode("utf-16-le"), None),
        (lambda text: text.encode("utf-16-be"), None),
        (lambda text: b"\r\n\t " + text.encode(), ("leading-space", "")),
        (lambda text: b"junk\n" + text.encode(), ("leading-data", "")),
        (lambda text: text.encode() + b"\n\n", None),
        (lambda text: text.encode() + b"\0\0", None),
        (lambda text: text.encode() + b"junk", ("trailing-data", "junk")),
        (lambda text: text.replace("?>", "?><!-- x --><?y?>", 1).encode(), None),
        (lambda text: text.partition("?>")[2].encode(), None),
        (lambda text: text.replace("\n", "").encode(), None),
        (lambda text: text.replace("\n", "\r\n").encode(), None),
        (lambda text: text.replace("UTF-8", "us-ascii").encode(), None),
        (lambda text: text.replace("UTF-8", "UTF-16").encode(), ("wrong-encoding", "utf-16")),
        (lambda text: text.replace("UTF-8", "x-nonsense").encode(), ("unknown-encoding", "x-nonsense")),
        (lambda text: text.replace("UTF-8", "windows-9999").encode(), ("unknown-encoding", "windows-9999")),
        (lambda text: text.replace("UTF-8", "hex").encode(), ("unknown-encoding", "hex")),
        (lambda text: text.replace("<feed", '<!DOCTYPE feedback SYSTEM "x.dtd"><feed', 1).encode(), ("doctype", "")),
        (
            lambda text: text.replace("<feed", "<!DOCTYPE feedback [<!ELEMENT a (#PCDATA)>]>\n<feed", 1).encode(),
            ("doctype", ""),
        ),
        (lambda text: text.encode()[:-1], ("unclosed-root", "")),
        (lambda text: text.encode()[:-1] + b"\n", ("unclosed-root", "")),
        (
            lambda text: text.replace("<feedback>", '<xs:schema xmlns:xs="x" targetNamespace="y"> <feedback>').encode(),
            ("stray-schema", '<xs:schema xmlns:xs="x" targetNamespace="y">'),
        ),
        (
            lambda text: text.replace("<feedback>", "<n:feedback>").replace("</f", "</n:f").encode(),
            ("undeclared-prefix", "n"),
        ),
        (lambda text: text.replace("<feedback>", '<feedback xsi:a="b">').encode(), ("undeclared-prefix", "xsi")),
    ],
)  # fmt: skip
def test_parse_reads_the_same_whatever_surrounds_it(make: Callable[[str], bytes], code: tuple[str, str] | None) -> None:
    report = parse(make(REPORT))
    assert [(repair.code, repair.detail) for repair in report.repairs] == ([code] if code else [])
    assert report.content_sha256 == parse(REPORT.encode()).content_sha256


@pytest.mark.parametrize(
    ("octets", "name", "code"),
    [
        (b"R & D", "R & D", ["bare-ampersand"]),
        (b"R &D; E", "R &D; E", ["unknown-reference"]),
        (b"Caf&eacute;", "Café", ["unknown-reference"]),
        (b"a&#0;b", "a\ufffdb", ["unknown-reference"]),
        (b"a&#99999999999;b", "a\ufffdb", ["unknown-reference"]),
        (b"a&#xZ;b &", "a&#xZ;b &", ["bare-ampersand"]),
        (b"a&#x41;b &amp; c & d", "aAb & c & d", ["bare-ampersand"]),
        (b"a < b", "a < b", ["bare-less-than"]),
        (b"<bad-xml@receiver.example>", "<bad-xml@receiver.example>", ["bare-less-than"]),
        (b"good <foo", "good <foo", ["bare-less-than"]),
        (b"\x91quoted\x92", "\u2018quoted\u2019", ["invalid-bytes"]),
        (b"hole \x81", "hole \x81", ["invalid-bytes"]),
        (b"nul \0 bell \x07", "nul \ufffd bell \ufffd", ["invalid-character", "invalid-character"]),
        ("Gr\u00fc\u00dfe".encode(), "Gr\u00fc\u00dfe", []),
    ],
)
def test_parse_repairs_text_that_is_no_xml(octets: bytes, name: str, code: list[str]) -> None:
    report = parse(REPORT.encode().replace(b"Receiver<", octets + b"<"))
    assert report.report_metadata.org_name == name
    assert [repair.code for repair in report.repairs] == code
    assert report.mail_count == 3


@pytest.mark.parametrize(
    ("encoding", "text"), [("iso-8859-1", "Café"), ("windows-1252", "“Café”"), ("gb2312", "网易"), ("koi8-r", "Почта")]
)
def test_parse_reads_the_declared_encoding(encoding: str, text: str) -> None:
    data = REPORT.replace("UTF-8", encoding).replace("Receiver<", f"{text}<").encode(encoding)
    report = parse(data)
    assert (report.report_metadata.org_name, report.repairs) == (text, ())


def test_parse_notes_bytes_that_are_not_of_the_declared_encoding() -> None:
    report = parse(REPORT.replace("UTF-8", "gb2312").encode().replace(b"Receiver<", b"\xff<"))
    assert [repair.code for repair in report.repairs] == ["invalid-bytes"]


def refused(data: bytes, **limits: int) -> ReportError:
    with pytest.raises(ReportError) as caught:
        parse(data, limits=Limits(**limits))
    return caught.value


@pytest.mark.parametrize("cut", [100, 400, 700, 800, len(REPORT) - 12, len(REPORT) - 8])
def test_parse_refuses_a_truncated_document_as_retryable(cut: int) -> None:
    error = refused(REPORT.encode()[:cut])
    assert (error.code, error.outcome) == ("xml-truncated", "retry")


@pytest.mark.parametrize(
    ("data", "code", "outcome"),
    [
        (b"", "xml-truncated", "retry"),
        (b"<html><body/></html>", "not-dmarc-xml", "not-a-report"),
        (b"<feedback/>", "empty-report", "not-a-report"),
        (b"<feedback><a></b></feedback>", "xml-syntax", "corrupt"),
        (REPORT.encode() + RFC9990.encode(), "several-documents", "corrupt"),
        (b"<!DOCTYPE feedback [" + b" " * 70_000 + b"]><feedback/>", "prolog-too-long", "corrupt"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><feedback>&b;</feedback>", "entity-declaration", "corrupt"),
        (b"<?xml version='1.0'?>\n<!doctype a [<!entity % b SYSTEM 'file:///etc/passwd'> %b;]><feedback/>",
         "entity-declaration", "corrupt"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><feedback>&b;</feedback>".encode("utf-16"), "entity-declaration", "corrupt"),
        (b"<feedback>" + b"<a>" * 300, "xml-too-deep", "corrupt"),
        (b"<feedback>" + b"<a>" * 300 + b"&", "xml-too-deep", "corrupt"),
        (b"<feedback><record " + b"x" * 2_000_000, "element-too-big", "corrupt"),
        (b"<feedback>& " + b"x" * 2_000_000, "element-too-big", "corrupt"),
        (b"<feedback>&x;<a " + b"x" * 2_000_000, "element-too-big", "corrupt"),
    ],
)  # fmt: skip
def test_parse_refuses_what_is_no_report(data: bytes, code: str, outcome: str) -> None:
    error = refused(data)
    assert (error.code, error.outcome) == (code, outcome)


def test_parse_refuses_a_document_type_that_the_prolog_did_not_show() -> None:
    error = refused(b"<feedback/><!DOCTYPE a [<!ENTITY b 'c'>]>")
    assert error.code in ("xml-syntax", "empty-report")


def test_document_type_is_refused_even_if_it_came_past_the_decoder() -> None:
    reading = _Pass(Limits(), Notes(10), Sink())
    with pytest.raises(ReportError) as refusal:
        reading.run([b"<!DOCTYPE feedback [<!ELEMENT feedback ANY>]><feedback>", b"</feedback>"], hashlib.sha256())
    assert (refusal.value.code, refusal.value.outcome) == ("doctype", "corrupt")


def test_parse_stops_at_its_limits() -> None:
    many = REPORT.replace(RECORD, RECORD * 3).encode()
    assert refused(many, records=2).code == "too-many-records"
    assert refused(REPORT.encode(), text_length=5).code == "text-too-long"
    assert refused(
        changed(("<report_id>", f"<junk>{'x' * 200_000}</junk><report_id>")), element_bytes=100_000
    ).code == ("element-too-big")


def test_parse_reads_on_when_elements_span_chunks() -> None:
    report = parse(REPORT.replace(RECORD, RECORD * 2000).encode())
    assert (report.record_count, report.mail_count, report.repairs) == (2000, 6000, ())
    assert len({id(record.evaluation) for record in report.records}) == 1


# Records --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "count", "code"),
    [
        ("7", 7, None),
        (" 7\n", 7, None),
        ("5.0", 5, "number-format"),
        ("1,234", 1234, "number-format"),
        ("+7", 7, "number-format"),
        ("0", 0, "zero-count"),
        ("-1", 0, "invalid-count"),
        ("x", 0, "invalid-count"),
        ("1e30", 0, "invalid-count"),
        ("1000000000001", 0, "invalid-count"),
        ("9" * 40, 0, "invalid-count"),
        ("٣", 0, "invalid-count"),
        ("", 0, "missing-element"),
    ],
)
def test_count_is_read_or_noted(text: str, count: int, code: str | None) -> None:
    report = parse(changed(("<count>3<", f"<count>{text}<")))
    assert report.mail_count == only(report).count == count
    assert [(repair.code, repair.path) for repair in report.repairs][-1:] == (
        [(code, "record/row/count")] if code else []
    )


@pytest.mark.parametrize(
    ("text", "source_ip", "code"),
    [
        ("192.0.2.255", "192.0.2.255", None),
        (" 2001:DB8:0::1 ", "2001:db8::1", None),
        ("[2001:db8::1]", "2001:db8::1", None),
        ("::ffff:192.0.2.1", "192.0.2.1", "ipv4-mapped"),
        ("192.0.2.256", "192.0.2.256", "invalid-source-ip"),
        ("192.0.2.01", "192.0.2.01", "invalid-source-ip"),
        ("108r.166.27.220", "108r.166.27.220", "invalid-source-ip"),
        ("X.X.X.X", "X.X.X.X", "invalid-source-ip"),
        ("", None, "missing-element"),
    ],
)
def test_source_ip_is_read_or_noted(text: str, source_ip: str | None, code: str | None) -> None:
    report = parse(changed((">192.0.2.1<", f">{text}<")))
    assert only(report).source_ip == source_ip
    assert codes(report) == ([(code, "record/row/source_ip")] if code else [])


@pytest.mark.parametrize(
    ("text", "domain", "code"),
    [
        ("EXAMPLE.Com.", "example.com", []),
        ("bücher.example", "xn--bcher-kva.example", ["foreign-header-from"]),
        ("_dmarc.example.com", "_dmarc.example.com", []),
        ("user@mail.example.com", "mail.example.com", ["address-for-domain"]),
        ("example.com&lt;foo", "example.com<foo", ["invalid-domain", "foreign-header-from"]),
        ("a" * 64 + ".example", "a" * 64 + ".example", ["invalid-domain", "foreign-header-from"]),
        ("ü" * 70, "ü" * 70, ["invalid-domain", "foreign-header-from"]),
        (".".join(["a" * 60] * 5), ".".join(["a" * 60] * 5), ["invalid-domain", "foreign-header-from"]),
        ("user@", None, ["address-for-domain"]),
        ("", None, ["missing-element"]),
        ("other.example", "other.example", ["foreign-header-from"]),
    ],
)
def test_header_from_is_read_or_noted(text: str, domain: str | None, code: list[str]) -> None:
    report = parse(changed(("<header_from>example.com<", f"<header_from>{text}<")))
    assert only(report).evaluation.identifiers.header_from == domain
    assert [name for name, _ in codes(report)] == code


@pytest.mark.parametrize(
    ("old", "new", "repairs"),
    [
        # Field notes 35: any case.
        ("<dkim>pass</dkim>", "<dkim>Pass</dkim>", []),
        ("<disposition>none<", "<disposition> None <", []),
        # 36: values outside the enumeration.
        ("<spf>fail</spf>", "<spf>softfail</spf>", [("unknown-value", "record/row/policy_evaluated/spf")]),
        ("<spf>fail</spf>", "<spf>none</spf>", [("unknown-value", "record/row/policy_evaluated/spf")]),
        (
            "<disposition>none<",
            "<disposition>softfail<",
            [("unknown-value", "record/row/policy_evaluated/disposition")],
        ),
        ("<disposition>none<", "<disposition><", [("missing-element", "record/row/policy_evaluated/disposition")]),
        # 40: no source.
        ("<source_ip>192.0.2.1</source_ip>", "", [("missing-element", "record/row/source_ip")]),
        # 42: what Perl and AOL write.
        ("<dkim>pass</dkim>", "<dkim>HASH(0x1f)</dkim>", [("unknown-value", "record/row/policy_evaluated/dkim")]),
        ("<spf>fail</spf>", "<spf>not.evaluated</spf>", [("unknown-value", "record/row/policy_evaluated/spf")]),
    ],
)
def test_record_is_kept_whatever_one_field_says(old: str, new: str, repairs: list[tuple[str, str]]) -> None:
    report = parse(changed((old, new)))
    assert codes(report) == repairs
    assert report.mail_count == 3


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("unknown", "permerror"),
        ("error", "temperror"),
        ("invalid", "permerror"),
        ("HardFail", "permerror"),
        ("", "none"),
    ],
)
def test_dkim_result_is_mapped_when_unknown(text: str, result: str) -> None:
    said = evaluation(("<selector>s1</selector><result>pass<", f"<selector>s1</selector><result>{text}<"))
    assert said.auth_results.dkim[0].result == result


@pytest.mark.parametrize(
    ("text", "result"),
    [("unknown", "permerror"), ("error", "temperror"), ("hardfail", "fail"), ("nonsense", "permerror"), ("", "none")],
)
def test_spf_result_is_mapped_when_unknown(text: str, result: str) -> None:
    said = evaluation(("<scope>mfrom</scope><result>pass<", f"<scope>mfrom</scope><result>{text}<"))
    assert said.auth_results.spf[0].result == result


def test_policy_evaluated_without_results_counts_as_fail() -> None:
    report = parse(changed(("<dkim>pass</dkim><spf>fail</spf>", "")))
    assert only(report).evaluation.policy_evaluated.dmarc is DmarcResult.FAIL
    assert codes(report) == [
        ("missing-element", "record/row/policy_evaluated/dkim"),
        ("missing-element", "record/row/policy_evaluated/spf"),
    ]


@pytest.mark.parametrize(
    ("reason", "read_as", "repairs"),
    [
        ("<reason><type>forwarded</type></reason>", [("forwarded", None)], []),
        ("<reason><type>Sampled_Out</type><comment/></reason>", [("sampled_out", None)], []),
        ("<reason><type></type></reason>", [("other", None)], ["missing-element"]),
        ("<reason></reason>", [], ["empty-element"]),
        ("<reason>arc</reason>", [("other", "arc")], ["stray-text", "missing-element"]),
        ("<reason><type>weather</type><comment>wet</comment></reason>", [("other", "wet")], ["unknown-value"]),
        (
            "<reason><type>local_policy</type></reason><reason><type>mailing_list</type></reason>",
            [("local_policy", None), ("mailing_list", None)],
            [],
        ),
    ],
)
def test_reasons_are_all_kept(reason: str, read_as: list[tuple[str, str | None]], repairs: list[str]) -> None:
    report = parse(changed(("<spf>fail</spf>", f"<spf>fail</spf>{reason}")))
    reasons = only(report).evaluation.policy_evaluated.reasons
    assert [(found.type, found.comment) for found in reasons] == read_as
    assert [code for code, _ in codes(report)] == repairs


DKIM = "<dkim><domain>example.com</domain><selector>s1</selector><result>pass</result></dkim>"
SPF = "<spf><domain>bounce.example.com</domain><scope>mfrom</scope><result>pass</result></spf>"


@pytest.mark.parametrize(
    ("old", "new", "counts", "repairs"),
    [
        # 37-38: what is missing or empty in auth_results.
        (DKIM, "", (0, 1), []),
        (f"{DKIM}\n{SPF}", "", (0, 0), []),
        (f"<auth_results>{DKIM}\n{SPF}</auth_results>", "", (0, 0), ["missing-element"]),
        (DKIM, "<dkim/>", (0, 1), ["empty-element"]),
        (DKIM, "<dkim><result></result></dkim>", (0, 1), ["empty-element"]),
        (DKIM, "<dkim><result>pass</result></dkim>", (1, 1), ["missing-element"]),
        (SPF, "<spf/>", (1, 0), ["empty-element"]),
        (SPF, "<spf><result>none</result></spf>", (1, 1), []),
        (SPF, "<spf><domain/><result>none</result></spf>", (1, 1), []),
        (SPF, SPF * 3, (1, 3), []),
        (DKIM, DKIM * 101, (101, 1), ["many-signatures"]),
        (f"{DKIM}\n{SPF}", f"{SPF}\n{DKIM}", (1, 1), ["element-order"]),
        (SPF, SPF.replace("mfrom", "from"), (1, 1), ["unknown-value"]),
        # 39: the wrong name.
        ("identifiers>", "identities>", (1, 1), ["renamed-element"]),
    ],
)
def test_auth_results_say_as_much_as_they_say(old: str, new: str, counts: tuple[int, int], repairs: list[str]) -> None:
    report = parse(changed((old, new)))
    results = only(report).evaluation.auth_results
    assert (len(results.dkim), len(results.spf)) == counts
    assert [code for code, _ in codes(report)] == repairs
    assert only(report).evaluation.identifiers.header_from == "example.com"


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        (RECORD[RECORD.index("<row>") : RECORD.index("</row>") + 6], "", "record/row"),
        (
            RECORD[RECORD.index("<policy_evaluated>") : RECORD.index("</policy_evaluated>") + 19],
            "",
            "record/row/policy_evaluated",
        ),
        ("<identifiers><header_from>example.com</header_from></identifiers>", "", "record/identifiers"),
    ],
)
def test_record_is_kept_when_a_part_of_it_is_missing(old: str, new: str, path: str) -> None:
    report = parse(changed((old, new)))
    assert ("missing-element", path) in codes(report)
    assert report.record_count == 1


def test_repeated_elements_count_once_and_are_noted() -> None:
    counts = ("<count>3</count>", "<count>3</count><count>4</count>")
    report = parse(changed(counts, ("<dkim>pass</dkim>", "<dkim>pass</dkim><dkim>fail</dkim>")))
    assert report.mail_count == 3
    assert only(report).evaluation.policy_evaluated.dkim is DmarcResult.PASS
    assert codes(report) == [
        ("repeated-element", "record/row/policy_evaluated/dkim"),
        ("repeated-element", "record/row/count"),
    ]


def test_stray_text_and_elements_are_noted_for_each_record() -> None:
    stray = RECORD.replace("<row>", "oops<row>").replace("<count>3</count>", "<count>3</count>tail")
    report = parse(REPORT.replace(RECORD, RECORD + stray * 2 + "between").encode())
    assert [(repair.detail, repair.first, repair.count) for repair in report.repairs] == [
        ("oops", 2, 2),
        ("tail", 2, 2),
        ("between", 0, 1),
    ]


def test_text_in_elements_that_hold_elements_is_read() -> None:
    report = parse(changed(("<selector>s1<", "<selector><b>s1</b><")))
    assert only(report).evaluation.auth_results.dkim[0].selector == "s1"
    assert codes(report) == [("stray-element", "record/auth_results/dkim/selector")]


def test_unknown_elements_are_kept() -> None:
    report = parse(changed(("<p>none</p>", "<p>none</p><psd>u</psd>"), ("<count>3", "<helo>x</helo><count>3")))
    assert report.extensions == (Extension("policy_published/psd", "<psd>u</psd>"),)
    assert only(report).evaluation.extensions == (Extension("record/row/helo", "<helo>x</helo>"),)
    assert report.repairs == ()


def test_unknown_elements_are_counted_when_there_are_too_many() -> None:
    report = parse(changed(("<p>none</p>", "<p>none</p>" + "<x/>" * 150)))
    assert len(report.extensions) == 100
    assert [(repair.code, repair.count) for repair in report.repairs] == [("more-extensions", 50)]


def test_missing_override_reason_is_noted() -> None:
    let_through = (("<p>none</p>", "<p>reject</p>"), ("<dkim>pass<", "<dkim>fail<"))
    assert codes(parse(changed(*let_through))) == [("missing-override-reason", "record/row/policy_evaluated/reason")]
    assert codes(parse(changed(*let_through, ("<p>reject</p>", "<p>reject</p><sp>none</sp>")))) == []


# The head -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "report_metadata/org_name", "report_metadata/email", "report_metadata/report_id", "report_metadata/date_range",
        "report_metadata/date_range/begin", "report_metadata/date_range/end", "report_metadata",
        "policy_published/domain", "policy_published/p", "policy_published", "record",
    ],
)  # fmt: skip
def test_missing_required_element_is_named(path: str) -> None:
    name = path.rpartition("/")[2]
    start, end = REPORT.index(f"<{name}>"), REPORT.index(f"</{name}>") + len(name) + 3
    report = parse((REPORT[:start] + REPORT[end:]).encode())
    assert codes(report) == [("missing-element", path)]


@pytest.mark.parametrize(
    ("text", "begin", "code"),
    [
        ("1337270400.0", 1337270400, ["number-format"]),
        ("1751241600000", 1751241600, ["time-format"]),
        ("2025-06-30T00:00:00Z", 1751241600, ["time-format"]),
        ("2025-06-30 00:00:00", 1751241600, ["time-format"]),
        ("0001-01-01", None, ["unknown-value"]),
        ("yesterday", None, ["unknown-value"]),
        ("9" * 16, None, ["time-format", "unknown-value"]),
        ("-5", None, ["unknown-value"]),
        ("\n\t1751241600 ", 1751241600, []),
    ],
)
def test_begin_is_read_or_noted(text: str, begin: int | None, code: list[str]) -> None:
    report = parse(changed(("<begin>1751241600<", f"<begin>{text}<")))
    assert report.report_metadata.date_range.begin == begin
    assert [name for name, path in codes(report) if path.endswith("begin")] == code


@pytest.mark.parametrize(
    ("end", "code"),
    [("1751241600", []), ("1751328000", []), ("1751241599", ["end-before-begin"]), ("1751531600", ["long-period"])],
)
def test_period_is_kept_as_sent_and_noted_when_odd(end: str, code: list[str]) -> None:
    report = parse(changed(("<end>1751327999<", f"<end>{end}<")))
    assert report.report_metadata.date_range.end == int(end)
    assert [name for name, _ in codes(report)] == code


@pytest.mark.parametrize(
    ("old", "new", "attribute", "value", "code"),
    [
        ("<aspf>r<", "<aspf>r;<", "aspf", "r", ["unknown-value"]),
        ("<aspf>r<", "<aspf>Strict<", "aspf", "s", ["unknown-value"]),
        ("<aspf>r<", "<aspf>x<", "aspf", None, ["unknown-value"]),
        ("<aspf>r<", "<aspf><", "aspf", None, []),
        ("<p>none<", "<p>none</p><sp>nil</sp><p>none<", "sp", None, ["unknown-value", "repeated-element"]),
        ("<p>none</p>", "<p>none</p><pct>50</pct>", "pct", 50, []),
        ("<p>none</p>", "<p>none</p><pct>all</pct>", "pct", None, ["unknown-value"]),
        ("<p>none</p>", "<p>none</p><t>y</t>", "testing", "y", ["renamed-element"]),
        ("<p>none</p>", "<p>none</p><fo/>", "fo", None, []),
    ],
)
def test_policy_is_read_or_noted(  # noqa: PLR0917 - a column of the table each
    old: str, new: str, attribute: str, value: object, code: list[str]
) -> None:
    report = parse(changed((old, new)))
    assert getattr(report.policy_published, attribute) == value
    assert sorted(name for name, _ in codes(report)) == sorted(code)


def test_repeated_heads_complete_each_other() -> None:
    report = parse(
        changed(
            ("<email>dmarc@receiver.example</email>", ""),
            (
                "<policy_published>",
                "<report_metadata><email>b@receiver.example</email></report_metadata><policy_published>",
            ),
        )
    )
    metadata = report.report_metadata
    assert (metadata.org_name, metadata.email, metadata.report_id) == ("Receiver", "b@receiver.example", "id-1")
    assert ("repeated-element", "report_metadata") in codes(report)


def test_policy_after_the_records_is_read() -> None:
    start, end = REPORT.index("<policy_published>"), REPORT.index("</policy_published>") + 19
    moved = REPORT[:start] + REPORT[end:].replace("</feedback>", REPORT[start:end] + "</feedback>")
    report = parse(moved.encode())
    assert report.policy_published.domain == "example.com"
    assert codes(report) == [("element-order", "")]


@pytest.mark.parametrize(("version", "code"), [("1.0", []), ("1", []), ("2.0", ["unknown-version"])])
def test_version_is_noted_when_unknown(version: str, code: list[str]) -> None:
    assert [name for name, _ in codes(parse(changed(("<version>1.0<", f"<version>{version}<"))))] == code


# The whole ------------------------------------------------------------------------------------------------------------


class Sink:
    """Keeps what it is given, and counts restarts."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.restarts = 0

    def add(self, records: Sequence[Record], /) -> None:
        self.records.extend(records)

    def restart(self) -> None:
        self.records.clear()
        self.restarts += 1


def test_read_starts_again_when_the_document_must_be_repaired() -> None:
    sink = Sink()
    data = (REPORT.replace(RECORD, RECORD * 500)[: -len("</feedback>")] + "R & D</feedback>").encode()
    report = read(lambda: io.BytesIO(data), sink, repairs=(Repair("trailing-bytes", "", ""),))
    assert (sink.restarts, len(sink.records), report.record_count, report.mail_count) == (1, 500, 500, 1500)
    assert [repair.code for repair in report.repairs] == ["trailing-bytes", "bare-ampersand", "stray-text"]
    assert report.records == ()


def test_content_digest_differs_when_the_content_does() -> None:
    digests = {
        parse(changed(change)).content_sha256
        for change in [
            ("example", "example"),
            ("<count>3", "<count>4"),
            (">192.0.2.1<", ">192.0.2.2<"),
            ("<p>none<", "<p>reject<"),
            ("id-1", "id-2"),
            ("<selector>s1<", "<selector>s2<"),
            ("<scope>mfrom</scope>", ""),
            ("<spf>fail</spf>", "<spf>fail</spf><reason><type>other</type></reason>"),
            ("<count>3", "<helo/><count>3"),
        ]
    }
    assert len(digests) == 9


def test_repairs_are_bounded() -> None:
    odd = "".join(RECORD.replace(">192.0.2.1<", f">bad-{number}<") for number in range(50))
    report = parse(REPORT.replace(RECORD, odd).encode(), limits=Limits(repairs=10))
    assert len(report.repairs) == 11
    assert report.repairs[-1] == Repair("more-repairs", "", "", 0, 40)
    assert report.record_count == 50


def test_repair_quotes_no_more_than_is_readable() -> None:
    report = parse(changed((">192.0.2.1<", f">{'x' * 1000}<")))
    assert len(report.repairs[0].detail) == 200


def test_more_evaluations_than_are_remembered_are_read_all() -> None:
    many = "".join(RECORD.replace("<selector>s1<", f"<selector>s{number}<") for number in range(5000))
    report = parse(REPORT.replace(RECORD, many).encode())
    assert [record.evaluation.auth_results.dkim[0].selector for record in report.records] == [
        f"s{number}" for number in range(5000)
    ]
