"""That the layer before moto refuses what Route 53 refuses and moto takes: without it, the other tests show little."""

import secrets
from collections.abc import Mapping
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from servers_route53 import Route53
from servers_route53 import route53 as route53  # noqa: PLC0414 - the fixture
from servers_route53 import route53_server as route53_server  # noqa: PLC0414 - same

Client = Any
"""boto3's client has no type."""


@pytest.fixture
def domain() -> str:
    return f"t{secrets.token_hex(4)}.example.org"


@pytest.fixture
def zone(route53: Route53, domain: str) -> str:
    return route53.zone(domain)


def client_of(route53: Route53) -> Client:
    return boto3.client("route53", endpoint_url=route53.url, region_name="us-east-1")


@pytest.fixture
def client(route53: Route53) -> Client:
    return client_of(route53)


def change(action: str, name: str, *values: str, **more: object) -> Mapping[str, object]:
    records = [{"Value": value} for value in values]
    return {
        "Action": action,
        "ResourceRecordSet": {"Name": name, "Type": "TXT", "TTL": 60, "ResourceRecords": records, **more},
    }


def sent(client: Client, zone: str, *changes: Mapping[str, object]) -> str:
    answer = client.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
    return str(answer["ChangeInfo"]["Id"])


@pytest.mark.parametrize(
    ("name", "values", "more"),
    [
        ("a.{}", ("unquoted",), {}),
        ("a.{}", (f'"{"x" * 256}"',), {}),
        ("a.{}", (" ".join([f'"{"x" * 255}"'] * 16),), {}),
        ("a.{}", ('"é"',), {}),
        ("a.{}", ('"same"', '"same"'), {}),
        ("a.not{}", ('"x"',), {}),
        ("elsewhere.example", ('"x"',), {}),
        ("there.{}", ('"other"',), {}),
        ("alias.{}", ('"x"',), {}),
        ("a.{}", ('"x"',), {"TTL": 2**31}),
    ],
)
def test_what_route_53_does_not_take_is_refused(
    route53: Route53, zone: str, *, name: str, values: tuple[str, ...], more: Mapping[str, object]
) -> None:
    client, domain = client_of(route53), route53.zones[zone][0].removesuffix(".")
    sent(client, zone, change("CREATE", f"there.{domain}", '"x"'))
    sent(client, zone, change("CREATE", f"alias.{domain}", f"there.{domain}", Type="CNAME"))
    before = route53.sets(zone)
    with pytest.raises(ClientError, match="InvalidChangeBatch"):
        sent(client, zone, change("CREATE", name.format(domain), *values, **more))
    assert route53.sets(zone) == before


@pytest.mark.parametrize(("values", "ttl"), [(('"stale"',), 60), (('"x"',), 61), (('"x"', '"y"'), 60)])
def test_a_delete_of_what_is_not_there_exactly_is_refused(
    client: Client,
    zone: str,
    domain: str,
    *,
    values: tuple[str, ...],
    ttl: int,
) -> None:
    sent(client, zone, change("CREATE", f"a.{domain}", '"x"'))
    with pytest.raises(ClientError, match="do not match"):
        sent(client, zone, change("DELETE", f"a.{domain}", *values, TTL=ttl))
    with pytest.raises(ClientError, match="not found"):
        sent(client, zone, change("DELETE", f"b.{domain}", '"x"'))


def test_a_batch_is_done_whole_or_not_at_all(route53: Route53, client: Client, zone: str, domain: str) -> None:
    with pytest.raises(ClientError, match="InvalidCharacterString"):
        sent(client, zone, change("CREATE", f"a.{domain}", '"x"'), change("CREATE", f"b.{domain}", "unquoted"))
    assert (f"a.{domain}.", "TXT") not in route53.sets(zone)


def test_a_batch_has_its_limits(client: Client, zone: str, domain: str) -> None:
    with pytest.raises(ClientError, match="limit of 1000"):
        sent(client, zone, *(change("CREATE", f"a{number}.{domain}", '"x"') for number in range(1001)))
    with pytest.raises(ClientError, match="limit of 32000"):
        sent(client, zone, *(change("CREATE", f"a{n}.{domain}", f'"{"x" * 255}"') for n in range(130)))


def test_changes_have_ids_of_their_own_and_are_pending_until_let_out(
    route53: Route53,
    client: Client,
    zone: str,
    domain: str,
) -> None:
    route53.is_pending = True
    first = sent(client, zone, change("CREATE", f"a.{domain}", '"x"'))
    second = sent(client, zone, change("CREATE", f"b.{domain}", '"x"'))
    assert first != second
    assert client.get_change(Id=first)["ChangeInfo"]["Status"] == "PENDING"
    route53.settle()
    assert client.get_change(Id=first)["ChangeInfo"]["Status"] == "INSYNC"
    with pytest.raises(ClientError, match="NoSuchChange"):
        client.get_change(Id="CNOBODY")
    with pytest.raises(ClientError, match="NoSuchHostedZone"):
        sent(client, "ZNOBODY", change("CREATE", f"a.{domain}", '"x"'))
