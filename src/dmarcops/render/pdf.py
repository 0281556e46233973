"""
A page as PDF for A4, made by WeasyPrint: an optional extra that needs the Pango libraries and fonts of the system.

The octets depend on the page, the version of WeasyPrint and the fonts that are installed, and on nothing else: the
file's identifier is made of the page, and no time is in it.
"""

from hashlib import sha256
from importlib import import_module
from types import ModuleType

from dmarcops.errors import ConfigError, EdgeError

_INSTALL = "pip install 'dmarcops[pdf]'"
_PACKAGES = "libpangoft2-1.0-0 libharfbuzz-subset0 fonts-noto-core"


def pdf(page: str) -> bytes:
    """
    Give the PDF of an HTML page; whatever it asks for from elsewhere is not fetched.

    Raises:
        ConfigError: WeasyPrint is not installed.
        EdgeError: The system lacks a library that it needs.
    """
    weasyprint = _weasyprint()
    identifier = sha256(page.encode()).hexdigest()[:32].encode()
    document = weasyprint.HTML(string=page, url_fetcher=weasyprint.urls.URLFetcher(allowed_protocols=()))
    return bytes(document.write_pdf(pdf_identifier=identifier, pdf_tags=True))


def _weasyprint() -> ModuleType:
    try:
        return import_module("weasyprint")  # optional, and slow to import
    except ModuleNotFoundError as error:
        raise ConfigError("a PDF needs WeasyPrint, which is not installed", hint=_INSTALL) from error
    except OSError as error:
        hint = f"on Debian and Ubuntu: apt-get install {_PACKAGES}"
        raise EdgeError(f"WeasyPrint does not find a library of the system: {error}", hint=hint) from error
