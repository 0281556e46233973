"""
A document as one HTML page that needs nothing else: no script, no font, no picture from elsewhere.

Whatever was written by a stranger is made harmless in one place: each text that a template prints becomes one visible
line that is no formula, then markup in it is escaped. Its reading direction ends with it (`bdi`).
"""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from dmarcops.neutralise import defused, visible
from dmarcops.render.charts import HEIGHT, WIDTH
from dmarcops.render.document import Document


def page(document: Document) -> str:
    """Give the page."""
    return _template().render(document=document, width=WIDTH, height=HEIGHT)


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("dmarcops.render"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["kind"] = lambda value: type(value).__name__
    return environment.get_template("report.html.j2")


def _harmless(value: object) -> object:
    """Make a text harmless, whoever wrote it; what the template itself made of parts is left as it is."""
    return visible(defused(value)) if isinstance(value, str) and not isinstance(value, Markup) else value
