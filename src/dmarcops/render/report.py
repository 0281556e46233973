"""
A sign-off report, of one domain or of a fleet, in its four forms. Writes no file, and knows no clock.

The same report gives the same octets in each form; a PDF does so with the same fonts and the same WeasyPrint.
"""

import json

from dmarcops.policy.signoff_report import FleetReport, SignoffReport

Report = SignoffReport | FleetReport
"""What can be rendered."""


def as_json(report: Report) -> str:
    """Give a report as JSON: all that it rests on, exactly as it was reported; control characters are escaped."""
    return json.dumps(report.as_json(), indent=2).replace("\x7f", "\\u007f") + "\n"


def as_html(report: Report) -> str:
    """Give a report as one HTML page that needs nothing else: no script, no font, no picture from elsewhere."""
    raise NotImplementedError


def as_markdown(report: Report) -> str:
    """Give a report as Markdown, with tables as GitHub has them."""
    raise NotImplementedError


def as_pdf(report: Report) -> bytes:
    """
    Give a report as PDF for A4.

    Raises:
        ConfigError: WeasyPrint is not installed, the extra `pdf`.
        EdgeError: The system lacks the libraries that it needs.
    """
    raise NotImplementedError
