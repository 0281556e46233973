"""
Well-known services that send mail for others, and what they are known by. Data, and does no I/O.

A service is known by the name of its sending host, or by the domain that it signs with. A name must be confirmed in
both directions, and a signature valid: anybody can write any other.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Service:
    """A service: `hosts` are its sending hosts', `signers` its signatures' domains, each with all below it."""

    name: str
    hosts: tuple[str, ...] = ()
    signers: tuple[str, ...] = ()


SERVICES = (
    Service("Amazon SES", hosts=("amazonses.com",), signers=("amazonses.com",)),
    Service("Google", hosts=("google.com",), signers=("gappssmtp.com",)),
    Service("Mailchimp", hosts=("mcsv.net", "mcdlv.net", "rsgsv.net"), signers=("mcsv.net", "mcdlv.net", "rsgsv.net")),
    Service("Mailgun", hosts=("mailgun.net", "mailgun.org"), signers=("mailgun.org",)),
    Service("Mandrill", hosts=("mandrillapp.com",), signers=("mandrillapp.com",)),
    Service("Microsoft 365", hosts=("outbound.protection.outlook.com",), signers=("onmicrosoft.com",)),
    Service("SendGrid", hosts=("sendgrid.net",), signers=("sendgrid.net",)),
)
"""Only what is sure."""

NAMES = tuple(service.name for service in SERVICES)
"""What the services are called."""

_BY_HOST = {suffix: service.name for service in SERVICES for suffix in service.hosts}
_BY_SIGNER = {suffix: service.name for service in SERVICES for suffix in service.signers}


def service_of_host(host: str) -> str:
    """Give the service that a host with a confirmed name belongs to, in A-labels; empty when it is of none known."""
    return _longest(host, _BY_HOST)


def service_of_signer(domain: str) -> str:
    """Give the service that signs, validly, with a domain in A-labels; empty when it is of none known."""
    return _longest(domain, _BY_SIGNER)


def _longest(name: str, known: dict[str, str]) -> str:
    labels = name.split(".")
    return next((known[x] for at in range(len(labels)) if (x := ".".join(labels[at:])) in known), "")
