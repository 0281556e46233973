"""The head of a report: `report_metadata` and `policy_published` (RFC 9990 sections 3.1.1.3-5). Does no I/O."""

from dmarcops.report import values
from dmarcops.report.elements import Fields
from dmarcops.report.model import (
    AlignmentMode,
    DateRange,
    DiscoveryMethod,
    PolicyPublished,
    PolicyTesting,
    PolicyValue,
    ReportMetadata,
)

METADATA = ("org_name", "email", "extra_contact_info", "report_id", "date_range", "error", "generator")
"""Children of `report_metadata`."""
POLICY = ("domain", "discovery_method", "p", "sp", "np", "pct", "fo", "adkim", "aspf", "testing")
"""Children of `policy_published`; RFC 7489's `pct` among them."""
_DATE_RANGE = ("begin", "end")


def read_metadata(fields: Fields) -> ReportMetadata:
    """Read `report_metadata`; a missing required element is noted."""
    errors = (fields.reader.text(element, f"{fields.path}/error") for element in fields.all("error"))
    return ReportMetadata(
        org_name=fields.required("org_name"),
        email=fields.required("email"),
        extra_contact_info=fields.text("extra_contact_info"),
        report_id=fields.required("report_id"),
        date_range=_read_date_range(fields),
        errors=tuple(error for error in errors if error is not None),
        generator=fields.text("generator"),
    )


def _read_date_range(fields: Fields) -> DateRange:
    element = fields.one("date_range")
    path = f"{fields.path}/date_range"
    notes = fields.reader.notes
    if element is None:
        notes.add("missing-element", path)
        return DateRange(None, None)
    period = fields.reader.fields(element, path, _DATE_RANGE)
    return DateRange(*(values.epoch(period.text(name), notes, f"{path}/{name}") for name in _DATE_RANGE))


def read_policy(fields: Fields) -> PolicyPublished:
    """Read `policy_published`; an absent tag stays absent, its default is the reader's business."""
    notes = fields.reader.notes
    path = fields.path
    return PolicyPublished(
        domain=values.domain(fields.required("domain"), notes, f"{path}/domain"),
        p=values.enumerated(fields.required("p"), PolicyValue, notes, f"{path}/p"),
        sp=values.enumerated(fields.text("sp"), PolicyValue, notes, f"{path}/sp"),
        np=values.enumerated(fields.text("np"), PolicyValue, notes, f"{path}/np"),
        pct=values.number(fields.text("pct"), notes, f"{path}/pct"),
        testing=values.enumerated(fields.text("testing"), PolicyTesting, notes, f"{path}/testing"),
        fo=fields.text("fo"),
        adkim=_read_mode(fields, "adkim"),
        aspf=_read_mode(fields, "aspf"),
        discovery_method=values.enumerated(
            fields.text("discovery_method"), DiscoveryMethod, notes, f"{path}/discovery_method"
        ),
    )


def _read_mode(fields: Fields, name: str) -> AlignmentMode | None:
    text = fields.text(name)
    mode = text.rstrip("; ").lower() if text else None
    if mode != text:
        fields.reader.notes.add("unknown-value", f"{fields.path}/{name}", text or "")
    if mode in ("relaxed", "strict"):
        mode = mode[0]
    return values.enumerated(mode, AlignmentMode, fields.reader.notes, f"{fields.path}/{name}")
