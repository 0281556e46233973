"""
Well-known services that send mail for others, and what they are known by. Data, and does no I/O.

A service is known by the name of its sending host, or by the domain that it signs with. A name must be confirmed in
both directions, and a signature valid: anybody can write any other.
"""

from dataclasses import dataclass
from functools import lru_cache

_REMEMBERED = 65_536
"""Names that are remembered with their service: the same few sign and send for a whole fleet."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service: `hosts` are its sending hosts', `signers` its signatures' domains, each with all below it."""

    name: str
    hosts: tuple[str, ...] = ()
    signers: tuple[str, ...] = ()


SERVICES = (
    Service("Amazon SES", hosts=("amazonses.com",), signers=("amazonses.com",)),
    Service("Barracuda", hosts=("barracudanetworks.com",)),
    Service("Brevo", hosts=("mailin.fr", "sender-sib.com"), signers=("brevosend.com", "sendinblue.com")),
    Service("Cisco Secure Email", hosts=("iphmx.com",)),
    Service("Constant Contact", hosts=("constantcontact.com",), signers=("ccsend.com",)),
    Service("Fastmail", hosts=("messagingengine.com",), signers=("messagingengine.com",)),
    Service("Google", hosts=("google.com",), signers=("gappssmtp.com",)),
    Service("HubSpot", hosts=("hubspotemail.net",), signers=("hubspotemail.net",)),
    Service(
        "Mailchimp",
        hosts=("mcdlv.net", "mcsv.net", "rsgsv.net"),
        signers=("mailchimpapp.net", "mcdlv.net", "mcsv.net", "rsgsv.net"),
    ),
    Service("Mailgun", hosts=("mailgun.info", "mailgun.net", "mailgun.us"), signers=("mailgun.org",)),
    Service("Mailjet", hosts=("mailjet.com",), signers=("mailjet.com",)),
    Service("Mandrill", hosts=("mandrillapp.com",), signers=("mandrillapp.com",)),
    Service("Marketo", hosts=("mktomail.com",)),
    Service("Microsoft 365", hosts=("protection.outlook.com",), signers=("onmicrosoft.com",)),
    Service("Mimecast", hosts=("mimecast.com",)),
    Service("Postmark", hosts=("mtasv.net",), signers=("mtasv.net",)),
    Service("Proofpoint", hosts=("gpphosted.com", "ppe-hosted.com", "pphosted.com")),
    Service("Salesforce", hosts=("salesforce.com",)),
    Service("Salesforce Marketing Cloud", hosts=("exacttarget.com",), signers=("exacttarget.com",)),
    Service("SendGrid", hosts=("sendgrid.net",), signers=("sendgrid.info", "sendgrid.net")),
    Service("SparkPost", hosts=("sparkpostmail.com",), signers=("sparkpostmail.com",)),
    Service("Zendesk", hosts=("zdsys.com",), signers=("zendesk.com",)),
    Service("Zoho", hosts=("zoho.com", "zoho.eu", "zoho.in", "zohomail.com")),
)
"""Those whose domains are theirs alone, and whose mail is seen with them; gateways sign for their customers only."""

NAMES = tuple(service.name for service in SERVICES)
"""What the services are called."""

_BY_HOST = {suffix: service.name for service in SERVICES for suffix in service.hosts}
_BY_SIGNER = {suffix: service.name for service in SERVICES for suffix in service.signers}


@lru_cache(maxsize=_REMEMBERED)
def service_of_host(host: str) -> str:
    """Give the service that a host with a confirmed name belongs to, in A-labels; empty when it is of none known."""
    return _longest(host, _BY_HOST)


@lru_cache(maxsize=_REMEMBERED)
def service_of_signer(domain: str) -> str:
    """Give the service that signs, validly, with a domain in A-labels; empty when it is of none known."""
    return _longest(domain, _BY_SIGNER)


def _longest(name: str, known: dict[str, str]) -> str:
    labels = name.split(".")
    return next((known[x] for at in range(len(labels)) if (x := ".".join(labels[at:])) in known), "")
