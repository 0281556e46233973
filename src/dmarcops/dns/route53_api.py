"""The few calls of Route 53's API that are needed, each at the account's pace, with Route 53's errors in our words."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, Literal, Protocol, cast

from dmarcops.dns.bucket import TokenBucket
from dmarcops.dns.route53_faults import told
from dmarcops.dns.route53_zones import HostedZone

RecordSet = Mapping[str, Any]
"""A record set as Route 53 gives and takes it."""
Action = tuple[Literal["CREATE", "DELETE"], RecordSet]
"""What a batch does with a record set."""
PAGE = 300
"""Record sets that one call can list."""


class _Client(Protocol):
    """What boto3's client is asked for; it is made at run time and has no types."""

    def list_hosted_zones(self, **given: object) -> Mapping[str, Any]: ...
    def get_hosted_zone(self, **given: object) -> Mapping[str, Any]: ...
    def list_resource_record_sets(self, **given: object) -> Mapping[str, Any]: ...
    def change_resource_record_sets(self, **given: object) -> Mapping[str, Any]: ...
    def get_change(self, **given: object) -> Mapping[str, Any]: ...
    def list_resource_record_set_protections(self, **given: object) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How calls are made: so many at once, so many a second after, and each so often until it counts as failed."""

    rate: float
    burst: int
    tries: int
    timeout: timedelta


class Route53Api:
    """
    Route 53 with the credentials and the endpoint of the environment.

    Args:
        profile: A profile of the AWS configuration; the environment's when empty.
        pace: How calls are made.
        clock: Tells the seconds, monotonic.
        sleep: Waits so many seconds.
    """

    def __init__(
        self, profile: str, pace: Pace, *, clock: Callable[[], float], sleep: Callable[[float], object]
    ) -> None:
        self._profile = profile
        self._pace = pace
        self._bucket = TokenBucket(pace.rate, pace.burst, clock=clock, sleep=sleep)

    def zones(self) -> Sequence[HostedZone]:
        """List all hosted zones of the account, private ones too."""
        zones: list[HostedZone] = []
        marker: dict[str, str] = {}
        with told("list the hosted zones"):
            while True:
                page = self._client.list_hosted_zones(**marker)
                zones += map(_zone, page["HostedZones"])
                if not page.get("IsTruncated"):
                    return zones
                marker = {"Marker": page["NextMarker"]}

    def nameservers(self, zone: str) -> Sequence[str]:
        """Give the name servers that Route 53 gave to a zone."""
        with told(f"read the hosted zone {zone}"):
            servers: Sequence[str] = self._client.get_hosted_zone(Id=zone)["DelegationSet"]["NameServers"]
            return servers

    def record_sets(self, zone: str, *, start: str = "", page: int = PAGE) -> Iterator[RecordSet]:
        """List the record sets of a zone from the name `start` on; a call is made when a page is needed."""
        given: dict[str, str] = {"StartRecordName": start} if start else {}
        while True:
            with told(f"list the records of the hosted zone {zone}"):
                answer = self._client.list_resource_record_sets(HostedZoneId=zone, MaxItems=str(page), **given)
            yield from answer["ResourceRecordSets"]
            if not answer.get("IsTruncated"):
                return
            given = {
                "Start" + name.removeprefix("Next"): answer[name]
                for name in ("NextRecordName", "NextRecordType", "NextRecordIdentifier")
                if answer.get(name)
            }

    def change(self, zone: str, actions: Sequence[Action]) -> str:
        """
        Do all of the actions, or none.

        Returns:
            The change's id, for `status`.

        Raises:
            InvalidBatch: They do not fit what is there.
        """
        changes = [{"Action": action, "ResourceRecordSet": records} for action, records in actions]
        with told(f"change the hosted zone {zone}"):
            answer = self._client.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
            return str(answer["ChangeInfo"]["Id"]).rpartition("/")[2]

    def status(self, change: str) -> str:
        """Tell how far a change is: `PENDING` or `INSYNC`."""
        with told(f"look after the change {change}"):
            return str(self._client.get_change(Id=change)["ChangeInfo"]["Status"])

    def protected(self, zone: str) -> frozenset[tuple[str, str]]:
        """List names and types that Route 53 was told to keep as they are; none when this boto3 does not know of it."""
        if not hasattr(self._client, "list_resource_record_set_protections"):
            return frozenset()
        found: set[tuple[str, str]] = set()
        more: dict[str, str] = {}
        with told(f"list the protections of the hosted zone {zone}"):
            while True:
                page = self._client.list_resource_record_set_protections(HostedZoneId=zone, **more)
                for kept in page["ResourceRecordSetProtections"]:
                    found.add((plain(kept["RecordName"]), kept["RecordType"]))
                if not page.get("NextToken"):
                    return frozenset(found)
                more = {"NextToken": page["NextToken"]}

    @cached_property
    def _client(self) -> _Client:
        import boto3  # noqa: PLC0415 - an extra, and slow to import; `told` says when it is missing
        from botocore.config import Config as Botocore  # noqa: PLC0415 - same

        seconds = self._pace.timeout.total_seconds()
        config = Botocore(
            retries={"mode": "adaptive", "total_max_attempts": self._pace.tries},
            connect_timeout=seconds,
            read_timeout=seconds,
        )
        with told("start"):
            session = boto3.Session(profile_name=self._profile or None)
            # Route 53 is of no region, but a request to an endpoint of one's own is signed for one.
            client = session.client("route53", region_name=session.region_name or "us-east-1", config=config)
        # Of each request, and so of each that is sent again too.
        client.meta.events.register("before-send.route53", self._paced)
        return cast("_Client", client)

    def _paced(self, **_: object) -> None:
        self._bucket.take()


def plain(name: str) -> str:
    """Give a name as Route 53 writes it in the form that is compared; its escapes stay."""
    return name.removesuffix(".").lower()


def _zone(listed: Mapping[str, Any]) -> HostedZone:
    return HostedZone(
        id=str(listed["Id"]).rpartition("/")[2],
        name=plain(listed["Name"]),
        is_private=bool(listed.get("Config", {}).get("PrivateZone")),
        records=int(listed.get("ResourceRecordSetCount", 0)),
    )
