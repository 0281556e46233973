import pytest

from dmarcops.domains import Domain, suffix_list
from dmarcops.policy.destinations import Authorisation, verify_destination
from dmarcops.policy.record import parse_uris
from policy.zone import NODATA, TEMPERROR, Zone

ORGANIZATIONAL = suffix_list()
NAME = "blue.example.com._report._dmarc.red.example.net"


# RFC 9990 section 4: the step that decides, and what.
@pytest.mark.parametrize(
    ("uri", "records", "verdict", "step"),
    [
        ("mailto:reports@mail.example.com", None, Authorisation.AUTHORISED, 0),
        ("mailto:reports", None, Authorisation.NOT_AUTHORISED, 1),
        ("https://[::1/", None, Authorisation.NOT_AUTHORISED, 1),
        ("mailto:reports@red.example.net", None, Authorisation.NOT_AUTHORISED, 7),
        ("mailto:reports@red.example.net", NODATA, Authorisation.NOT_AUTHORISED, 7),
        ("mailto:reports@red.example.net", "v=spf1 -all", Authorisation.NOT_AUTHORISED, 7),
        ("mailto:reports@red.example.net", "p=none; v=DMARC1", Authorisation.NOT_AUTHORISED, 7),
        ("mailto:reports@red.example.net", TEMPERROR, Authorisation.UNKNOWN, 5),
        ("mailto:reports@red.example.net", "v=DMARC1", Authorisation.AUTHORISED, 8),
        ("mailto:reports@red.example.net", "v=DMARC1;", Authorisation.AUTHORISED, 8),
        ("mailto:reports@red.example.net!10m", "v=DMARC1; ruf=mailto:x@other.example", Authorisation.AUTHORISED, 8),
        ("https://red.example.net/x", "v=DMARC1", Authorisation.AUTHORISED, 8),
        ("mailto:reports@red.example.net", "v=DMARC1; rua=mailto:a@red.example.net", Authorisation.AUTHORISED, 9),
        ("mailto:reports@red.example.net", "v=DMARC1; rua=mailto:a@b.example", Authorisation.NOT_AUTHORISED, 9),
    ],
)
def test_step_that_decides(uri: str, records: str | None, verdict: Authorisation, step: int) -> None:
    zone = Zone({NAME: records} if records else {})
    (parsed,) = parse_uris(uri)
    found = verify_destination(Domain("blue.example.com"), parsed, zone, ORGANIZATIONAL)
    assert (found.verdict, found.step) == (verdict, step)
    assert zone.asked == ([NAME] if step >= 5 else [])
    assert found.detail


def test_override_replaces_the_address_and_is_its_own_for_failure_reports() -> None:
    zone = Zone({NAME: ["v=DMARC1; rua=mailto:a@red.example.net; ruf=mailto:f@red.example.net", "v=DMARC1", "x"]})
    (uri,) = parse_uris("mailto:reports@red.example.net")
    for tag, address in (("rua", "mailto:a@red.example.net"), ("ruf", "mailto:f@red.example.net")):
        found = verify_destination(Domain("blue.example.com"), uri, zone, ORGANIZATIONAL, tag=tag)
        assert found.as_json() == {
            "uri": "mailto:reports@red.example.net",
            "verdict": "authorised",
            "step": 9,
            "detail": "authorised, and the address is replaced",
            "name": NAME,
            "uris": [address],
        }


def test_name_too_long_for_dns_is_not_authorised() -> None:
    zone = Zone({})
    domain = ".".join(["a" * 60] * 3 + ["example"])
    (uri,) = parse_uris(f"mailto:reports@{'b' * 60}.example.net")
    found = verify_destination(Domain(domain), uri, zone, ORGANIZATIONAL)
    assert (found.verdict, found.step, zone.asked) == (Authorisation.NOT_AUTHORISED, 4, [])
