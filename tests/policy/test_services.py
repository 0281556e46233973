"""Which services hosts and signatures are known to be of."""

import pytest

from dmarcops.domains import a_labels
from dmarcops.policy.services import NAMES, SERVICES, service_of_host, service_of_signer


@pytest.mark.parametrize(
    ("host", "service"),
    [
        ("a8-31.smtp-out.amazonses.com", "Amazon SES"),
        ("amazonses.com", "Amazon SES"),
        ("mail-db3on0101.outbound.protection.outlook.com", "Microsoft 365"),
        ("outlook.com", ""),
        ("notamazonses.com", ""),
        ("amazonses.com.example.net", ""),
        ("mx.example.com", ""),
        ("com", ""),
        ("", ""),
    ],
)
def test_a_host_is_of_the_service_whose_domain_it_is_in(host: str, service: str) -> None:
    assert service_of_host(host) == service


@pytest.mark.parametrize(
    ("domain", "service"),
    [
        ("eu-west-1.amazonses.com", "Amazon SES"),
        ("example.onmicrosoft.com", "Microsoft 365"),
        ("example-com.20230601.gappssmtp.com", "Google"),
        ("google.com", ""),
        ("example.com", ""),
        ("", ""),
    ],
)
def test_a_signature_is_of_the_service_whose_domain_signs(domain: str, service: str) -> None:
    assert service_of_signer(domain) == service


def test_every_service_has_a_name_and_domains_of_its_own() -> None:
    assert len({name.casefold() for name in NAMES}) == len(NAMES)
    assert list(NAMES) == sorted(NAMES, key=str.casefold)
    for kind in ("hosts", "signers"):
        domains = [domain for service in SERVICES for domain in getattr(service, kind)]
        assert len(set(domains)) == len(domains)
        assert all(a_labels(domain) == domain and "." in domain for domain in domains)
