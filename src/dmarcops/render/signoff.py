"""The sign-off report of one domain as a document: a page for management, then the evidence. Does no I/O."""

from dmarcops.domains import u_labels
from dmarcops.policy.evidence import Evidence
from dmarcops.policy.signoff_report import SignoffReport
from dmarcops.render.cover import cover
from dmarcops.render.document import (
    Document,
)
from dmarcops.render.evidence import sections
from dmarcops.render.facts import Facts
from dmarcops.render.wording import (
    count,
    long_date,
    shortened,
)

TITLE = "DMARC policy sign-off"
NAME = 60
"""Characters of a name that the head of a page has room for."""


def document(report: SignoffReport) -> Document:
    """Give the document of a report."""
    facts = Facts(report)
    title = shortened(report.title or TITLE, NAME)
    return Document(
        title=title,
        subject=report.domain,
        also=shortened(u_labels(report.domain), 2 * NAME),
        brand=shortened(report.brand, NAME),
        period=period(report.evidence),
        running=f"{title} \N{MIDDLE DOT} {shortened(report.domain, NAME)}",
        digest=facts.digest,
        cover=cover(facts),
        sections=tuple(sections(facts)),
    )


def period(evidence: Evidence) -> str:
    """Say what days a report is about, and how much was reported of them."""
    window = evidence.window
    messages = sum(day.messages for day in evidence.daily)
    return (
        f"{long_date(window.begin)} to {long_date(window.end)}: {count(messages, 'message')}"
        f" reported by {count(len(evidence.reporters), 'reporter')}"
        f" on {len(evidence.covered_days)} of {count(len(window.days()), 'day')}"
    )
