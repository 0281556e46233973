"""
A sign-off report, of one domain or of a fleet, in its four forms. Writes no file, and knows no clock.

The same report gives the same octets in each form; a PDF does so with the same fonts and the same WeasyPrint.
"""

import json

from dmarcops.policy.signoff_report import FleetReport, SignoffReport
from dmarcops.render import fleet, signoff
from dmarcops.render.document import Document
from dmarcops.render.html import page
from dmarcops.render.markdown import markdown
from dmarcops.render.pdf import pdf

Report = SignoffReport | FleetReport
"""What can be rendered."""


def as_json(report: Report) -> str:
    """Give a report as JSON: all that it rests on, exactly as it was reported; control characters are escaped."""
    return json.dumps(report.as_json(), indent=2).replace("\x7f", "\\u007f") + "\n"


def as_html(report: Report) -> str:
    """Give a report as one HTML page that needs nothing else: no script, no font, no picture from elsewhere."""
    return page(_document(report))


def as_markdown(report: Report) -> str:
    """Give a report as Markdown, with tables as GitHub has them."""
    return markdown(_document(report))


def as_pdf(report: Report) -> bytes:
    """
    Give a report as PDF for A4.

    Raises:
        ConfigError: WeasyPrint is not installed, the extra `pdf`.
        EdgeError: The system lacks the libraries that it needs.
    """
    return pdf(as_html(report))


def _document(report: Report) -> Document:
    return signoff.document(report) if isinstance(report, SignoffReport) else fleet.document(report)
