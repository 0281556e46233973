"""
Each awkward shape that real reporters were seen to send, once: what it is, the bytes, and what must come of them.

Every document is the same plain report with one thing changed, so that the shape is all there is to see. The numbers
before the names group shapes of one kind. Does no I/O.
"""

from collections.abc import Iterator
from dataclasses import replace

import packing
from packing import Envelope, Part
from samples import Expected, Sample

BEGIN, END = 1_789_862_400, 1_789_948_799  # 2026-09-20, UTC

PLAIN = f"""<?xml version="1.0" encoding="UTF-8"?>
<feedback>
  <version>1.0</version>
  <report_metadata>
    <org_name>Awkward Receiver</org_name>
    <email>dmarc-reports@receiver.example</email>
    <report_id>NAME</report_id>
    <date_range>
      <begin>{BEGIN}</begin>
      <end>{END}</end>
    </date_range>
  </report_metadata>
  <policy_published>
    <domain>awkward.example</domain>
    <adkim>r</adkim>
    <aspf>r</aspf>
    <p>none</p>
    <sp>none</sp>
    <pct>100</pct>
    <fo>0</fo>
  </policy_published>
  <record>
    <row>
      <source_ip>203.0.113.1</source_ip>
      <count>3</count>
      <policy_evaluated>
        <disposition>none</disposition>
        <dkim>pass</dkim>
        <spf>pass</spf>
      </policy_evaluated>
    </row>
    <identifiers>
      <envelope_from>awkward.example</envelope_from>
      <header_from>awkward.example</header_from>
    </identifiers>
    <auth_results>
      <dkim>
        <domain>awkward.example</domain>
        <selector>s1</selector>
        <result>pass</result>
      </dkim>
      <spf>
        <domain>awkward.example</domain>
        <scope>mfrom</scope>
        <result>pass</result>
      </spf>
    </auth_results>
  </record>
  <record>
    <row>
      <source_ip>203.0.113.2</source_ip>
      <count>4</count>
      <policy_evaluated>
        <disposition>none</disposition>
        <dkim>fail</dkim>
        <spf>fail</spf>
      </policy_evaluated>
    </row>
    <identifiers>
      <envelope_from>bounce.other.example</envelope_from>
      <header_from>awkward.example</header_from>
    </identifiers>
    <auth_results>
      <dkim>
        <domain>other.example</domain>
        <selector>k1</selector>
        <result>pass</result>
      </dkim>
      <spf>
        <domain>bounce.other.example</domain>
        <scope>mfrom</scope>
        <result>softfail</result>
      </spf>
    </auth_results>
  </record>
</feedback>
"""
FIRST_RECORD = PLAIN[PLAIN.index("  <record>") : PLAIN.index("  <record>", PLAIN.index("</record>"))]
SECOND_RECORD = PLAIN[PLAIN.index("  <record>", PLAIN.index("</record>")) : PLAIN.index("</feedback>")]
METADATA = PLAIN[PLAIN.index("  <report_metadata>") : PLAIN.index("  <policy_published>")]
POLICY = PLAIN[PLAIN.index("  <policy_published>") : PLAIN.index("  <record>")]
FIRST_AUTH = FIRST_RECORD[FIRST_RECORD.index("    <auth_results>") : FIRST_RECORD.index("  </record>")]
FIRST_DKIM = FIRST_AUTH[FIRST_AUTH.index("      <dkim>") : FIRST_AUTH.index("      <spf>")]
FIRST_SPF = FIRST_AUTH[FIRST_AUTH.index("      <spf>") : FIRST_AUTH.index("    </auth_results>")]
SECOND_AUTH = SECOND_RECORD[SECOND_RECORD.index("    <auth_results>") : SECOND_RECORD.index("  </record>")]
SECOND_DKIM = SECOND_AUTH[SECOND_AUTH.index("      <dkim>") : SECOND_AUTH.index("      <spf>")]


def files() -> tuple[Sample, ...]:
    """All awkward files, in the order of their names."""
    groups = (
        _mail_parts(),
        _mail_structures(),
        _containers(),
        _whole_messages(),
        _octets(),
        _namespaces(),
        _documents(),
        _periods(),
        _values(),
        _authentication(),
        _policies(),
        _identities(),
        _other_kinds(),
    )
    return tuple(sorted((sample for group in groups for sample in group), key=lambda sample: sample.name))


def rejected(outcome: str, code: str) -> Expected:
    """Give what must come of a file that holds no usable report."""
    return Expected(outcomes=(outcome,), code=code, reports=0, records=0, mail_count=0)


def repaired(*codes: str, reports: int = 1, records: int = 2, mail_count: int = 7) -> Expected:
    """Give what must come of a report that is stored with repairs."""
    return Expected(repairs=codes, reports=reports, records=records, mail_count=mail_count)


def changed(name: str, *changes: tuple[str, str]) -> str:
    """
    Give the plain report with `name` as its Report-ID and the changes made.

    Raises:
        ValueError: A text to change is not there.
    """
    text = PLAIN.replace("NAME", name)
    for old, new in changes:
        old_here = old.replace("NAME", name)
        if old_here not in text:
            raise ValueError(f"{name}: not in the report: {old}")
        text = text.replace(old_here, new.replace("NAME", name))
    return text.replace("  ", " ")


def _xml(name: str, shows: str, expected: Expected, *changes: tuple[str, str]) -> Sample:
    return Sample(f"{name}.xml", shows, changed(name, *changes).encode(), expected)


def _file_name(name: str, extension: str) -> str:
    return f"receiver.example!awkward.example!{BEGIN}!{END}!{name.replace('-', '')}.{extension}"


def _gzip(name: str) -> bytes:
    return packing.gzip_bytes(changed(name).encode())


def _zip(name: str) -> bytes:
    return packing.zip_bytes((_file_name(name, "xml"), changed(name).encode()))


def _envelope(name: str) -> Envelope:
    subject = f"Report Domain: awkward.example Submitter: receiver.example Report-ID: <{name}>"
    return Envelope("dmarc-reports@receiver.example", subject, f"{name}@receiver.example")


def _eml(name: str, shows: str, content: Part, expected: Expected | None = None) -> Sample:
    return Sample(f"{name}.eml", shows, packing.mail(_envelope(name), content), expected or Expected())


def _mixed(*parts: Part) -> Part:
    return packing.multipart("mixed", packing.text("A DMARC report is attached.\n"), *parts, boundary="mixed_part")


def _mail_parts() -> Iterator[Sample]:
    name = "01-inline-disposition"
    report = packing.attachment(_gzip(name), "application/gzip", _file_name(name, "xml.gz"), inline=True)
    yield _eml(name, "the report is a part with Content-Disposition: inline", _mixed(report))

    name = "02-contenttype-misspelt"
    headers: tuple[str, ...] = (
        "ContentType: application/gzip",
        f'Content-Disposition: attachment; filename="{_file_name(name, "xml.gz")}"',
    )
    shows = "the header of the part reads `ContentType:`, without its hyphen"
    yield _eml(name, shows, _mixed(Part(_gzip(name), headers)), repaired("broken-part-header"))

    name = "03-bare-name-line"
    file_name = _file_name(name, "xml.gz")
    headers = (
        "Content-Type: application/gzip;",
        f'name="{file_name}"',
        f'Content-Disposition: attachment; filename="{file_name}"',
    )
    shows = 'a line `name="..."` at the margin cuts the header of the part in two'
    yield _eml(name, shows, _mixed(Part(_gzip(name), headers)), repaired("broken-part-header"))

    for encoding in ("7bit", "quoted-printable"):
        name = f"04-xml-{encoding}"
        headers = (
            f'Content-Type: application/xml; name="{_file_name(name, "xml")}"',
            "Content-Disposition: attachment",
        )
        report = Part(changed(name).encode(), headers, encoding)
        yield _eml(name, f"the XML itself as an attachment, {encoding}", _mixed(report))

    name = "05-octet-stream-unquoted-name"
    headers = (f"Content-Type: application/octet-stream; name={_file_name(name, 'xml.gz')}",)
    yield _eml(name, "application/octet-stream, the name not quoted, no disposition", Part(_gzip(name), headers))

    yield _unusual_types()

    name = "07-rfc2231-split-name"
    file_name = _file_name(name, "xml.gz")
    headers = (
        "Content-Type: application/gzip",
        "Content-Disposition: attachment;",
        f' filename*0="{file_name[:40]}";',
        f' filename*1="{file_name[40:]}"',
    )
    yield _eml(name, "the file name in pieces (RFC 2231)", _mixed(Part(_gzip(name), headers)))

    name = "08-zip-labelled-gzip"
    report = packing.attachment(_zip(name), "application/gzip", _file_name(name, "xml.gz"))
    yield _eml(name, "a zip archive that says it is gzip", _mixed(report))

    name = "08-gzip-labelled-zip"
    report = packing.attachment(_gzip(name), "application/zip", _file_name(name, "zip"))
    yield _eml(name, "gzip that says it is a zip archive", _mixed(report))


def _unusual_types() -> Sample:
    name = "06-unusual-media-types"
    gzips = ("application/x-gzip", "application/gzip-compressed", "application/gzipped")
    zips = ("application/x-zip", "application/x-zip-compressed")
    parts = [
        packing.attachment(_gzip(f"{name}-{number}"), media_type, f"{number}.xml.gz")
        for number, media_type in enumerate(gzips, 1)
    ]
    parts += [
        packing.attachment(_zip(f"{name}-{number}"), media_type, f"{number}.zip")
        for number, media_type in enumerate(zips, 4)
    ]
    expected = Expected(reports=5, records=10, mail_count=35)
    return _eml(name, "five reports in one mail, under five old names of gzip and zip", _mixed(*parts), expected)


def _mail_structures() -> Iterator[Sample]:
    name = "09-multipart-alternative"
    report = Part(_gzip(name), ("Content-Type: application/gzip",))
    alternative = packing.multipart("alternative", packing.text("DMARC report\n"), report, boundary="alternative_part")
    yield _eml(name, "the report is an alternative of the text, and has no file name", alternative)

    name = "10-related-in-mixed"
    page = packing.text("<html><body>DMARC report</body></html>\n", "text/html; charset=us-ascii")
    logo = Part(b"GIF89a\x01\0\x01\0\0\0\0;", ("Content-Type: image/gif", "Content-ID: <logo>"))
    related = packing.multipart("related", page, logo, boundary="related_part")
    report = packing.attachment(_gzip(name), "application/gzip", _file_name(name, "xml.gz"))
    yield _eml(name, "a page with a logo beside the report", _mixed(related, report))

    name = "11-forwarded"
    yield _eml(name, "the mail was forwarded as an attachment", _mixed(_forwarded(name)))

    name = "11-forwarded-twice"
    once = packing.message_part(packing.mail(_envelope(name), _mixed_in("inner", _forwarded(name))))
    yield _eml(name, "the mail was forwarded as an attachment, and that again", _mixed(once))

    name = "12-tar-gz"
    archive = packing.gzip_bytes(packing.tar_bytes("report.xml", changed(name).encode()))
    report = packing.attachment(archive, "application/gzip", "report.tar.gz")
    yield _eml(name, "the report in a tar archive in gzip", _mixed(report))

    name = "12-xml-as-text-plain"
    headers = ('Content-Type: text/plain; charset=us-ascii; name="report.txt"', "Content-Disposition: attachment")
    yield _eml(name, "the XML sent as text/plain, named .txt", _mixed(Part(changed(name).encode(), headers, "7bit")))

    name = "12-text-file-beside"
    note = packing.attachment(b"Thank you for using DMARC.\n", "text/plain", "readme.txt")
    report = packing.attachment(_gzip(name), "application/gzip", _file_name(name, "xml.gz"))
    yield _eml(name, "a text file is attached before the report", _mixed(note, report))


def _forwarded(name: str) -> Part:
    report = packing.attachment(_gzip(name), "application/gzip", _file_name(name, "xml.gz"))
    return packing.message_part(packing.mail(_envelope(name), _mixed_in("innermost", report)))


def _mixed_in(boundary: str, *parts: Part) -> Part:
    return packing.multipart("mixed", packing.text("See the attachment.\n"), *parts, boundary=boundary)


def _containers() -> Iterator[Sample]:
    name = "13-gzip-trailing-crlf"
    report = packing.attachment(_gzip(name) + b"\r\n", "application/gzip", _file_name(name, "xml.gz"))
    yield _eml(name, "a line end after the end of the gzip data", _mixed(report), repaired("trailing-bytes"))

    name = "14-gzip-of-unused"
    report = packing.attachment(packing.gzip_bytes(b"unused"), "application/gzip", _file_name(name, "xml.gz"))
    yield _eml(
        name, "gzip of the word `unused`: no report in it", _mixed(report), rejected("not-a-report", "unrecognised")
    )

    name = "15-gzip-named-xml"
    yield Sample(f"{name}.xml", "a file called .xml that is gzip", _gzip(name), Expected())

    name = "16-raw-zlib"
    packed = packing.zlib_bytes(changed(name).encode())
    yield Sample(f"{name}.zlib", "a bare zlib stream", packed, Expected())

    name = "16-raw-zlib-named-zip"
    packed = packing.zlib_bytes(changed(name).encode())
    report = packing.attachment(packed, "application/zip", _file_name(name, "zip"))
    yield _eml(name, "a bare zlib stream that says it is a zip archive", _mixed(report))

    yield _opendmarc()

    name = "19-plain-gzip"
    report = packing.attachment(_gzip(name), "application/gzip", _file_name(name, "xml.gz"))
    yield _eml(name, "gzip as RFC 9990 asks for it", report)

    name = "19-plain-zip"
    report = packing.attachment(_zip(name), "application/zip", _file_name(name, "zip"))
    yield _eml(name, "zip as many send it", report)


def _opendmarc() -> Sample:
    name = "17-opendmarc"
    text = changed(
        name,
        ("  <version>1.0</version>\n", ""),
        ("    <email>dmarc-reports@receiver.example</email>\n", ""),
        ("    <fo>0</fo>\n", ""),
        ("        <scope>mfrom</scope>\n", ""),
        ("        <selector>s1</selector>\n", ""),
        ("        <selector>k1</selector>\n", ""),
        ("      <envelope_from>awkward.example</envelope_from>\n", ""),
        ("      <envelope_from>bounce.other.example</envelope_from>\n", ""),
        ("        <domain>bounce.other.example</domain>\n", ""),
    )
    data = packing.zip_bytes((_file_name(name, "xml"), text.encode()))
    shows = "what opendmarc-reports leaves out: version, email, fo, selector, scope, SPF domain, envelope_from"
    return Sample(f"{name}.zip", shows, data, repaired("missing-element"))


def _whole_messages() -> Iterator[Sample]:
    name = "18-same-report"
    xml = changed(name).encode()
    yield Sample(f"{name}-1-as-file.xml", "a report as a file", xml, Expected())
    content = packing.attachment(packing.gzip_bytes(xml), "application/gzip", _file_name(name, "xml.gz"))
    duplicate = Expected(outcomes=("duplicate",), reports=0, records=0, mail_count=0)
    mail = packing.mail(_envelope(name), content)
    yield Sample(f"{name}-2-as-mail.eml", "the same report again, as a mail", mail, duplicate)

    name = "20-date-nonsense"
    first = replace(_envelope(name), date="nonsense")
    mails = [
        packing.mail(first, packing.attachment(_gzip(name), "application/gzip", "1.xml.gz")),
        packing.mail(
            _envelope(f"{name}-next"), packing.attachment(_gzip(f"{name}-next"), "application/gzip", "2.xml.gz")
        ),
    ]
    expected = Expected(outcomes=("stored", "stored"), reports=2, records=4, mail_count=14)
    shows = "an mbox of two mails, the first with `Date: nonsense`"
    yield Sample(f"{name}.mbox", shows, packing.mbox(mails), expected)


def _octets() -> Iterator[Sample]:
    declaration = '<?xml version="1.0" encoding="UTF-8"?>\n'
    schema = (
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="http://dmarc.org/dmarc-xml/0.1">\n'
    )
    yield _xml(
        "21-stray-xs-schema",
        "the start tag of an XML schema, never closed, before the report",
        repaired("stray-schema"),
        ("<feedback>", f"{schema}<feedback>"),
    )
    name = "22-leading-blank-lines"
    yield _xml(
        name, "blank lines before the XML declaration", repaired("leading-space"), (declaration, f"\n\n{declaration}")
    )
    name = "22-junk-before-declaration"
    yield _xml(
        name, "other text before the XML declaration", repaired("leading-data"), (declaration, f"xml {declaration}")
    )
    name = "22-one-line"
    text = "".join(line.strip() for line in changed(name).splitlines())
    yield Sample(f"{name}.xml", "everything on one line", text.encode(), Expected())
    name = "23-utf8-bom"
    yield Sample(f"{name}.xml", "a byte order mark", b"\xef\xbb\xbf" + changed(name).encode(), repaired("bom"))
    name = "24-invalid-utf8"
    data = changed(name, ("Awkward Receiver", "Caf@ Receiver")).encode().replace(b"Caf@", b"\x91Caf\xe9\x92")
    yield Sample(f"{name}.xml", "bytes of another encoding than the declared UTF-8", data, repaired("invalid-bytes"))
    yield _xml(
        "24-bare-ampersand",
        "an & that is not escaped",
        repaired("bare-ampersand"),
        ("Awkward Receiver", "Fish & Chips"),
    )
    yield _xml(
        "24-bare-less-than", "a < that is not escaped", repaired("bare-less-than"), ("Awkward Receiver", "Mail < Web")
    )
    for encoding in ("windows-1252", "ISO-8859-1"):
        name = f"25-{encoding.lower()}"
        text = changed(name, ('encoding="UTF-8"', f'encoding="{encoding}"'), ("Awkward Receiver", "Caf\xe9 Receiver"))
        yield Sample(f"{name}.xml", f"encoding {encoding}, and a name that needs it", text.encode(encoding), Expected())
    yield _xml("25-no-declaration", "no XML declaration", Expected(), (declaration, ""))
    yield _xml("25-standalone", "standalone= in the declaration", Expected(), ('"?>', '" standalone="yes"?>'))


def _namespaces() -> Iterator[Sample]:
    new = "urn:ietf:params:xml:ns:dmarc-2.0"
    old = "http://dmarc.org/dmarc-xml/0.1"
    xsi = 'xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    yield _xml(
        "25-xsi-on-root", "schema namespaces declared on the root", Expected(), ("<feedback>", f"<feedback {xsi}>")
    )
    yield _xml(
        "26-namespace-9990", "the namespace of RFC 9990", Expected(), ("<feedback>", f'<feedback xmlns="{new}">')
    )
    yield _xml(
        "26-namespace-7489", "the namespace of RFC 7489", Expected(), ("<feedback>", f'<feedback xmlns="{old}">')
    )
    yield _xml(
        "26-namespace-misspelt",
        "the namespace without its colon",
        Expected(),
        ("<feedback>", f'<feedback xmlns="{old.replace(":", "")}">'),
    )
    yield _xml(
        "26-prefixed-root",
        "a prefix on the root, none on its children",
        Expected(),
        ("<feedback>", f'<ns1:feedback xmlns:ns1="{old}">'),
        ("</feedback>", "</ns1:feedback>"),
    )
    name = "26-upper-case"
    text = changed(name)
    for tag in ("feedback", "record", "row", "source_ip", "count"):
        text = text.replace(f"<{tag}>", f"<{tag.upper()}>").replace(f"</{tag}>", f"</{tag.upper()}>")
    yield Sample(f"{name}.xml", "element names in upper case", text.encode(), Expected())


def _documents() -> Iterator[Sample]:
    yield _xml(
        "27-element-order",
        "spf before dkim, version last, the policy after the records",
        repaired("element-order"),
        (FIRST_AUTH, FIRST_AUTH.replace(FIRST_DKIM, "").replace(FIRST_SPF, FIRST_SPF + FIRST_DKIM)),
        ("  <version>1.0</version>\n", ""),
        (POLICY, ""),
        ("</feedback>", f"{POLICY}  <version>1.0</version>\n</feedback>"),
    )
    yield _xml("28-policy-twice", "policy_published twice", repaired("repeated-element"), (POLICY, POLICY + POLICY))
    yield _xml(
        "28-metadata-twice", "report_metadata twice", repaired("repeated-element"), (METADATA, METADATA + METADATA)
    )
    yield _xml(
        "29-last-bracket-missing",
        "the very last > is missing: complete all the same",
        repaired("unclosed-root"),
        ("</feedback>\n", "</feedback"),
    )
    name = "29-truncated-in-record"
    text = changed(name)
    cut = text.index("<count>4")
    yield Sample(f"{name}.xml", "cut off in the second record", text[:cut].encode(), rejected("retry", "xml-truncated"))
    name = "29-truncated-gzip"
    yield Sample(f"{name}.xml.gz", "gzip data cut off", _gzip(name)[:-200], rejected("retry", "truncated"))
    yield Sample("30-empty-file.xml", "no bytes at all", b"", rejected("not-a-report", "empty"))
    yield Sample(
        "30-no-root-element.xml",
        "an XML declaration and nothing else",
        b'<?xml version="1.0" encoding="UTF-8"?>\n',
        rejected("not-a-report", "not-dmarc-xml"),
    )
    yield _xml(
        "31-no-record",
        "a report without a record",
        repaired("missing-element", records=0, mail_count=0),
        (FIRST_RECORD, ""),
        (SECOND_RECORD, ""),
    )
    yield _xml("31-no-p", "a policy without p", repaired("missing-element"), ("    <p>none</p>\n", ""))
    yield _xml(
        "31-empty-row",
        "a record with no address, count 0 and no From domain",
        repaired("missing-element", "zero-count", mail_count=3),
        ("<source_ip>203.0.113.2</source_ip>", "<source_ip></source_ip>"),
        ("<count>4</count>", "<count>0</count>"),
        (SECOND_RECORD_FROM, SECOND_RECORD_FROM.replace("awkward.example", "")),
    )
    yield _xml(
        "32-unknown-np", "np in a report of the old dialect", Expected(), ("    <pct>", "    <np>none</np>\n    <pct>")
    )
    yield _xml(
        "32-unknown-elements",
        "elements that no schema knows, at three levels",
        Expected(),
        ("    <pct>", "    <psd>u</psd>\n    <pct>"),
        ("      <count>3", "      <country>XX</country>\n      <count>3"),
        ("</feedback>", "  <signature>none</signature>\n</feedback>"),
    )


SECOND_RECORD_FROM = """      <envelope_from>bounce.other.example</envelope_from>
      <header_from>awkward.example</header_from>
"""


def _periods() -> Iterator[Sample]:
    end = f"<end>{END}</end>"
    yield _xml(
        "33-day-and-seconds",
        "a period of a day and 24 seconds, as mail appliances have it",
        Expected(),
        (end, f"<end>{END + 24}</end>"),
    )
    yield _xml(
        "33-three-weeks",
        "a period of three weeks: kept as it is",
        repaired("long-period"),
        (end, f"<end>{END + 20 * 86_400}</end>"),
    )
    yield _xml("34-period-of-no-length", "begin and end are the same", Expected(), (end, f"<end>{BEGIN}</end>"))
    yield _xml(
        "34-float-time",
        "times with a fraction",
        repaired("number-format"),
        (f"<begin>{BEGIN}</begin>", f"<begin>{BEGIN}.0</begin>"),
        (end, f"<end>{END}.0</end>"),
    )
    name = "34-white-space-around-values"
    text = changed(name)
    for tag in ("org_name", "report_id", "begin", "end", "domain", "p", "source_ip", "count", "result", "header_from"):
        text = text.replace(f"<{tag}>", f"<{tag}>\n        ").replace(f"</{tag}>", f"\n      </{tag}>")
    yield Sample(f"{name}.xml", "line ends and blanks around every value", text.encode(), Expected())
    yield _xml(
        "35-mixed-case-values",
        "`Pass`, `None`, `Fail`",
        Expected(),
        ("<result>pass</result>", "<result>Pass</result>"),
        ("<disposition>none</disposition>", "<disposition>None</disposition>"),
        ("<spf>fail</spf>", "<spf>Fail</spf>"),
    )


def _values() -> Iterator[Sample]:
    softfail = "<result>softfail</result>"
    first_dkim_result = "<selector>s1</selector>\n        <result>pass</result>"
    second_evaluated = "        <dkim>fail</dkim>\n        <spf>fail</spf>\n"
    yield _xml(
        "36-empty-reason-type",
        "<reason><type></type></reason>",
        repaired("missing-element"),
        (second_evaluated, f"{second_evaluated}        <reason><type></type></reason>\n"),
    )
    yield _xml(
        "36-spf-hardfail", "SPF result `hardfail`", repaired("unknown-value"), (softfail, "<result>hardfail</result>")
    )
    yield _xml(
        "36-spf-unknown", "SPF result `unknown`", repaired("unknown-value"), (softfail, "<result>unknown</result>")
    )
    for result in ("unknown", "invalid"):
        yield _xml(
            f"36-dkim-{result}",
            f"DKIM result `{result}`",
            repaired("unknown-value"),
            (first_dkim_result, first_dkim_result.replace("pass", result)),
        )
    for result in ("softfail", "none"):
        yield _xml(
            f"36-evaluated-{result}",
            f"policy_evaluated says `{result}` for SPF: counts as fail",
            repaired("unknown-value"),
            ("<spf>fail</spf>", f"<spf>{result}</spf>"),
        )
    yield _xml(
        "36-disposition-pass",
        "disposition `pass` (RFC 9990) without its namespace",
        Expected(),
        ("<disposition>none</disposition>\n        <dkim>pass", "<disposition>pass</disposition>\n        <dkim>pass"),
    )
    yield _xml(
        "36-disposition-softfail",
        "disposition ` softfail`, with a blank",
        repaired("unknown-value"),
        (
            "<disposition>none</disposition>\n        <dkim>fail",
            "<disposition> softfail</disposition>\n        <dkim>fail",
        ),
    )
    yield _xml(
        "36-reason-as-text",
        "<reason>text</reason>",
        repaired("stray-text", "missing-element"),
        (second_evaluated, f"{second_evaluated}        <reason>no policy</reason>\n"),
    )
    yield _xml(
        "37-only-disposition",
        "policy_evaluated has neither dkim nor spf: counts as fail",
        repaired("missing-element"),
        ("        <dkim>pass</dkim>\n        <spf>pass</spf>\n", ""),
        (second_evaluated, ""),
    )


def _authentication() -> Iterator[Sample]:
    yield _xml(
        "38-empty-dkim-many-spf",
        "<dkim> with an empty result and no domain, and several <spf>",
        repaired("empty-element"),
        (SECOND_DKIM, "      <dkim>\n        <result></result>\n      </dkim>\n"),
        (FIRST_SPF, FIRST_SPF + FIRST_SPF.replace("mfrom", "helo").replace("awkward", "mx.awkward")),
    )
    empty = "    <auth_results></auth_results>\n"
    yield _xml("38-empty-auth-results", "auth_results with nothing in it", Expected(), (SECOND_AUTH, empty))
    yield _xml(
        "38-empty-reason",
        "<reason></reason>",
        repaired("empty-element"),
        ("        <spf>fail</spf>\n", "        <spf>fail</spf>\n        <reason></reason>\n"),
    )
    helo = "      <spf>\n        <scope>helo</scope>\n        <result>none</result>\n      </spf>\n"
    yield _xml(
        "38-helo-without-domain",
        "an SPF result of the HELO name, without it",
        Expected(),
        (FIRST_SPF, FIRST_SPF + helo),
    )
    yield _xml("38-no-dkim", "no <dkim> at all", Expected(), (SECOND_DKIM, ""))
    yield _xml(
        "39-identities",
        "<identities> for <identifiers>",
        repaired("renamed-element"),
        ("<identifiers>", "<identities>"),
        ("</identifiers>", "</identities>"),
    )
    yield _xml(
        "40-no-source-ip",
        "no source_ip",
        repaired("missing-element"),
        ("      <source_ip>203.0.113.2</source_ip>\n", ""),
    )
    yield _xml(
        "40-hidden-source-ip", "`X.X.X.X` for the address", repaired("invalid-source-ip"), ("203.0.113.2", "X.X.X.X")
    )
    yield _xml(
        "40-damaged-record",
        "a damaged address and a damaged From domain",
        repaired("invalid-source-ip", "invalid-domain", "foreign-header-from"),
        ("203.0.113.2", "203r.0.113.2"),
        (SECOND_RECORD_FROM, SECOND_RECORD_FROM.replace("awkward.example", "awkward.example&lt;foo")),
    )
    yield _xml(
        "40-empty-spf-domain", "<spf> with an empty domain", Expected(), ("bounce.other.example</domain>", "</domain>")
    )
    yield _xml(
        "42-extra-fields",
        "elements that nobody asked for, in dkim and row",
        Expected(),
        ("      <count>3", "      <country>XX</country>\n      <count>3"),
        ("<selector>s1</selector>", "<selector>s1</selector>\n        <key_bits>2048</key_bits>"),
    )
    yield _xml(
        "42-perl-hash",
        "`HASH(0x55d0c1a2b3c8)` for a result",
        repaired("unknown-value"),
        ("<result>softfail</result>", "<result>HASH(0x55d0c1a2b3c8)</result>"),
    )
    yield _xml(
        "42-not-evaluated",
        "`not.evaluated` for an aligned result: counts as fail",
        repaired("unknown-value"),
        ("<spf>fail</spf>", "<spf>not.evaluated</spf>"),
    )
    yield _xml(
        "42-empty-dkim-domain",
        "<dkim> with an empty domain",
        repaired("missing-element"),
        ("other.example</domain>\n        <sel", "</domain>\n        <sel"),
    )


def _policies() -> Iterator[Sample]:
    sp = "    <sp>none</sp>\n"
    yield _xml("41-no-sp", "no sp: p holds for subdomains", Expected(), (sp, ""))
    yield _xml("41-sp-empty", "an empty sp", Expected(), (sp, "    <sp></sp>\n"))
    yield _xml("41-sp-nil", "sp is `nil`", repaired("unknown-value"), (sp, "    <sp>nil</sp>\n"))
    yield _xml(
        "41-aspf-with-semicolon", "aspf is `r;`", repaired("unknown-value"), ("<aspf>r</aspf>", "<aspf>r;</aspf>")
    )
    yield _xml(
        "45-one-mechanism-is-enough",
        "one record passes by DKIM alone, one by SPF alone: both pass DMARC",
        Expected(),
        ("<dkim>pass</dkim>\n        <spf>pass</spf>", "<dkim>pass</dkim>\n        <spf>fail</spf>"),
        (FIRST_SPF, FIRST_SPF.replace("<result>pass", "<result>fail")),
        ("<dkim>fail</dkim>\n        <spf>fail</spf>", "<dkim>fail</dkim>\n        <spf>pass</spf>"),
        ("bounce.other.example", "bounce.awkward.example"),
        ("<result>softfail</result>", "<result>pass</result>"),
    )


def _identities() -> Iterator[Sample]:
    report_id = "<report_id>NAME</report_id>"
    shapes = {
        "at": "20260920.NAME@receiver.example",
        "colon": "awkward.example:NAME",
        "exclamation": "receiver!NAME",
        "brackets": "&lt;NAME@receiver.example&gt;",
    }
    for shape, text in shapes.items():
        change = (report_id, f"<report_id>{text}</report_id>")
        yield _xml(
            f"43-report-id-{shape}",
            f"a Report-ID like `{text}`".replace("&lt;", "<").replace("&gt;", ">"),
            Expected(),
            change,
        )
    yield _xml(
        "43-report-id-empty", "an empty Report-ID", repaired("missing-element"), (report_id, "<report_id></report_id>")
    )
    shared = (report_id, f"<report_id>awkward.example.{BEGIN}.{END}</report_id>")
    yield _xml(
        "43-shared-report-id-1",
        "a Report-ID made of domain and times, which another reporter uses too",
        Expected(),
        shared,
    )
    yield _xml(
        "43-shared-report-id-2",
        "the same Report-ID from that other reporter: another report",
        Expected(),
        shared,
        ("Awkward Receiver", "Clumsy Receiver"),
        ("receiver.example</email>", "clumsy.example</email>"),
    )
    twice = (report_id, "<report_id>43-report-id-reused</report_id>")
    yield _xml("43-report-id-reused-1", "a report whose Report-ID comes again", Expected(), twice)
    conflict = Expected(outcomes=("conflict",), reports=0, records=0, mail_count=0)
    yield _xml(
        "43-report-id-reused-2",
        "the same Report-ID, reporter, domain and period with other counts: kept, flagged, not counted",
        conflict,
        twice,
        ("<count>4</count>", "<count>40</count>"),
    )
    org, email = "<org_name>Awkward Receiver</org_name>", "<email>dmarc-reports@receiver.example</email>"
    yield _xml("44-no-org-name", "no org_name", repaired("missing-element"), (f"    {org}\n", ""))
    yield _xml("44-empty-org-name", "an empty org_name", repaired("missing-element"), (org, "<org_name></org_name>"))
    yield _xml("44-no-email", "an email without content", repaired("missing-element"), (email, "<email/>"))


def _other_kind(*repairs: str) -> Expected:
    """Expect a report that has no records."""
    return Expected(repairs=repairs, records=0, mail_count=0)


def _other_kinds() -> Iterator[Sample]:
    name = "46-exim-failure-text"
    text = (
        "A message claiming to be from you has failed the published DMARC policy for your domain.\n\n"
        "  Sender Domain: awkward.example\n  Sender IP Address: 203.0.113.9\n"
        "  Received Date: Sun, 20 Sep 2026 10:00:00 +0000\n  SPF Alignment: no\n  DKIM Alignment: no\n"
        "  DMARC Results: Reject\n\n------ This is a copy of the headers that were received before the error\n\n"
    )
    headers = packing.text("From: someone@awkward.example\nSubject: hello\n", "text/rfc822-headers")
    content = packing.multipart("report", packing.text(text), headers, boundary="report_part")
    yield _eml(
        name,
        "a failure report of Exim: text only, no machine-readable part",
        content,
        _other_kind("no-feedback-part", "not-a-feedback-container"),
    )

    name = "47-failure-base64"
    feedback = (
        "Feedback-Type: auth-failure\nVersion: 1\nUser-Agent: example-reporter/2.1\nAuth-Failure: dmarc\n"
        "Identity-Alignment: none\nSource-IP: 203.0.113.9\nReported-Domain: awkward.example\n"
        "Authentication-Results: receiver.example; dkim=none; spf=fail smtp.mailfrom=awkward.example\n"
    )
    content = packing.multipart(
        "report; report-type=feedback-report",
        packing.text("This is an authentication failure report.\n"),
        Part(feedback.encode(), ("Content-Type: message/feedback-report",)),
        headers,
        boundary="report_part",
    )
    yield _eml(name, "a failure report whose machine-readable part is base64", content, _other_kind("from-carrier"))
    yield from _tls_reports()


def _tls_reports() -> Iterator[Sample]:
    expected = _other_kind("not-an-array", "number-format")
    report = """{"organization-name": "Awkward Receiver",
 "date-range": {"start-datetime": "2026-09-20T00:00:00Z", "end-datetime": "2026-09-20T23:59:59Z"},
 "contact-info": null, "report-id": "NAME",
 "policies": [{"policy": {"policy-type": "sts", "policy-domain": "awkward.example", "mx-host": "mx.awkward.example"},
  "summary": {"total-successful-session-count": "12", "total-failure-session-count": 1},
  "failure-details": [{"result-type": "certificate-expired", "failed-session-count": 1}]}]}
"""
    name = "48-tls-report-json"
    yield Sample(f"{name}.json", "a TLS report as a bare file", report.replace("NAME", name).encode(), expected)
    name = "48-tls-report-gzip"
    packed = packing.gzip_bytes(report.replace("NAME", name).encode())
    part = packing.attachment(packed, "application/tlsrpt+gzip", "receiver.example!awkward.example!48.json.gz")
    content = packing.multipart(
        'report; report-type="tlsrpt"', packing.text("This is a TLS report.\n"), part, boundary="report_part"
    )
    yield _eml(name, "a TLS report as a mail", content, expected)
