"""
Amazon Route 53, by boto3 (extra `aws`).

Whatever is written was read right before: a new record is a CREATE, never an UPSERT, so that another value there stops
it; a DELETE names exactly the set that was read; a replacement is both in one batch, which Route 53 does whole or not
at all. Changes of one zone go together and one after the other, and all calls keep to the account's rate. Nothing waits
for a change to reach the servers: `is_settled` asks. Credentials and endpoint are those of the environment (`AWS_…`,
`AWS_ENDPOINT_URL_ROUTE_53`).
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import takewhile
from threading import Lock

from pydantic import Field

from dmarcops.dns.compare import foreign_alias, is_due
from dmarcops.dns.names import canonical
from dmarcops.dns.route53_api import PAGE, Action, Pace, RecordSet, Route53Api, plain
from dmarcops.dns.route53_faults import InvalidBatch
from dmarcops.dns.route53_zones import HostedZone, HostedZones
from dmarcops.dns.txt import OCTAL, format_txt, parse_txt
from dmarcops.errors import DmarcopsError, ForeignRecordError, UnsafeChangeError
from dmarcops.ports import Resolver, TxtChange, TxtSet
from dmarcops.settings import Duration, Settings

_NAME_PAGE = 20
"""Record sets that are listed to see those of one name."""
_BATCH_RECORDS = 1000
_BATCH_CHARACTERS = 32_000
"""What a batch may hold: records, and characters in their values."""


class Config(Settings):
    """Section `[dns.NAME]` with `kind = "route53"`."""

    profile: str = ""
    """A profile of the AWS configuration; the environment decides when it is empty."""
    zone_ids: Mapping[str, str] = Field(default_factory=dict)
    """The hosted zone's id by the zone's name, where several have that name."""
    requests_per_second: float = Field(default=10, gt=0)
    """Requests a second that the account may make, after the burst."""
    burst: int = Field(default=50, ge=1)
    """Requests that may be made at once."""
    tries: int = Field(default=8, ge=1)
    """How often a request is sent that Route 53 throttles or does not answer, with growing pauses."""
    timeout: Duration = timedelta(seconds=20)
    """How long an answer may take."""


class Adapter:
    """
    The `BatchDnsProvider` port on Route 53.

    Args:
        name: What the configuration calls it.
        config: What the configuration says.
        resolver: Tells what is delegated where.
        clock: Tells the seconds, monotonic.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        name: str,
        config: Config,
        resolver: Resolver,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._where = f"Route 53 ({name})"
        pace = Pace(config.requests_per_second, config.burst, config.tries, config.timeout)
        self._api = Route53Api(config.profile, pace, clock=clock, sleep=sleep)
        self._zones = HostedZones(self._api.zones, self._api.nameservers, config.zone_ids, resolver)
        self._locks: dict[str, Lock] = {}

    def fetch(self, name: str) -> TxtSet | None:
        """Give the TXT records at `name` as Route 53 has them now."""
        asked = canonical(name)
        zone = self._zones.holding(asked)
        found = _plain_txt(asked, self._read(zone, (asked,))[asked])
        return None if found is None else _parsed(asked, found)

    def check_zone(self, name: str) -> None:
        """See that the zone that would be written for a name is the one that is delegated."""
        self._zones.check_delegation(self._zones.holding(canonical(name)))

    def publish(self, name: str, value: bytes, *, ttl: int) -> str:
        """Make `value` the TXT record at a name that has none."""
        return self._change(TxtChange(canonical(name), None, value, ttl))

    def replace(self, expected: TxtSet, value: bytes) -> str:
        """Put `value` in the place of exactly `expected`."""
        return self._change(TxtChange(expected.name, expected, value, expected.ttl))

    def remove(self, expected: TxtSet) -> str:
        """Take away exactly `expected`."""
        return self._change(TxtChange(expected.name, expected, None))

    def is_settled(self, token: str) -> bool:
        """Ask once whether all servers of the zone have the change."""
        return not token or self._api.status(token) == "INSYNC"

    def change_all(self, changes: Sequence[TxtChange]) -> Sequence[str | DmarcopsError]:
        """Publish, replace and remove at different names, the changes of a zone in as few batches as there can be."""
        outcomes: dict[int, str | DmarcopsError] = {}
        zones: dict[HostedZone, dict[int, TxtChange]] = {}
        self._zones.load()
        for number, change in enumerate(changes):
            try:
                zones.setdefault(self._zones.holding(canonical(change.name)), {})[number] = change
            except UnsafeChangeError as refusal:
                outcomes[number] = refusal
        for zone, wanted in zones.items():
            with self._locks.setdefault(zone.id, Lock()):
                outcomes |= self._changed(zone, wanted)
        return [outcomes[number] for number in range(len(changes))]

    def _change(self, change: TxtChange) -> str:
        (outcome,) = self.change_all((change,))
        if isinstance(outcome, DmarcopsError):
            raise outcome
        return outcome

    def _changed(self, zone: HostedZone, wanted: Mapping[int, TxtChange]) -> Mapping[int, str | DmarcopsError]:
        outcomes: dict[int, str | DmarcopsError] = {}
        due: dict[int, Sequence[Action]] = {}
        try:
            self._zones.check_delegation(zone)
            there = self._read(zone, {canonical(change.name) for change in wanted.values()})
        except DmarcopsError as error:
            return dict.fromkeys(wanted, error)
        for number, change in wanted.items():
            try:
                actions = self._actions(change, there[canonical(change.name)])
            except ForeignRecordError as refusal:
                outcomes[number] = refusal
            else:
                if actions:
                    due[number] = actions
                else:
                    outcomes[number] = ""
        for numbers in _batches(due):
            outcomes |= self._sent(zone, {number: wanted[number] for number in numbers}, due)
        return outcomes

    def _sent(
        self, zone: HostedZone, wanted: Mapping[int, TxtChange], due: Mapping[int, Sequence[Action]]
    ) -> Mapping[int, str | DmarcopsError]:
        try:
            token = self._api.change(zone.id, [action for number in wanted for action in due[number]])
        except InvalidBatch as error:
            if len(wanted) == 1:
                return {number: self._explained(zone, change, error) for number, change in wanted.items()}
            # One that does not fit keeps the others back: each by itself.
            outcomes: dict[int, str | DmarcopsError] = {}
            for number, change in wanted.items():
                outcomes |= self._sent(zone, {number: change}, due)
            return outcomes
        except DmarcopsError as error:
            return dict.fromkeys(wanted, error)
        return dict.fromkeys(wanted, token)

    def _explained(self, zone: HostedZone, change: TxtChange, error: InvalidBatch) -> str | DmarcopsError:
        """Look why a change did not fit: it was made in the meantime, perhaps by a first try whose answer was lost."""
        name = canonical(change.name)
        try:
            if not self._actions(change, self._read(zone, (name,))[name]):
                return ""
            if (name, "TXT") in self._api.protected(zone.id):
                reason = f"TXT {name} is protected in the hosted zone {zone.id}"
                return UnsafeChangeError("record-protected", reason, hint="delete its protection in Route 53 first")
        except DmarcopsError as reason_instead:
            return reason_instead
        return error

    def _actions(self, change: TxtChange, sets: Sequence[RecordSet]) -> Sequence[Action]:
        """Give what is to be done about what is there; nothing when it is done."""
        name = canonical(change.name)
        records = _plain_txt(name, sets)
        found = None if records is None else _parsed(name, records)
        if not is_due(change, found, where=self._where):
            return ()
        actions: list[Action] = [] if records is None else [("DELETE", records)]
        if change.after is not None:
            value = {"Value": format_txt(change.after, base=OCTAL)}
            ttl = change.ttl if found is None else found.ttl
            actions.append(("CREATE", {"Name": f"{name}.", "Type": "TXT", "TTL": ttl, "ResourceRecords": [value]}))
        return actions

    def _read(self, zone: HostedZone, names: Collection[str]) -> Mapping[str, Sequence[RecordSet]]:
        """List the record sets of names, by whichever takes fewer calls: the whole zone, or each name."""
        if zone.records / PAGE < len(names) - 1:
            found: dict[str, list[RecordSet]] = {name: [] for name in names}
            for records in self._api.record_sets(zone.id):
                found.get(plain(records["Name"]), []).append(records)
            return found
        return {name: list(self._at(zone, name)) for name in names}

    def _at(self, zone: HostedZone, name: str) -> Iterator[RecordSet]:
        listed = self._api.record_sets(zone.id, start=f"{name}.", page=_NAME_PAGE)
        return takewhile(lambda records: plain(records["Name"]) == name, listed)


def _plain_txt(name: str, sets: Sequence[RecordSet]) -> RecordSet | None:
    """Give the TXT set at a name; a CNAME, an alias or a weighted set is not ours to change."""
    for records in sets:
        if records["Type"] == "CNAME":
            raise foreign_alias(name, ", ".join(value["Value"] for value in records.get("ResourceRecords", ())))
        if records["Type"] == "TXT" and ("SetIdentifier" in records or "ResourceRecords" not in records):
            raise ForeignRecordError("foreign-record", f"TXT {name} in Route 53 has a routing policy or is an alias")
    return next((records for records in sets if records["Type"] == "TXT"), None)


def _parsed(name: str, records: RecordSet) -> TxtSet:
    try:
        texts = [b"".join(parse_txt(value["Value"], base=OCTAL)) for value in records["ResourceRecords"]]
    except ValueError as error:
        raise ForeignRecordError("foreign-record", f"TXT {name} in Route 53 cannot be read: {error}") from error
    return TxtSet(name, tuple(sorted(texts)), int(records["TTL"]))


def _batches(due: Mapping[int, Sequence[Action]]) -> Iterator[Sequence[int]]:
    """Put changes together as far as one batch can hold them; the two halves of a replacement stay together."""
    batch: list[int] = []
    records = characters = 0
    for number, actions in due.items():
        values = [value["Value"] for _, of in actions for value in of["ResourceRecords"]]
        more = sum(map(len, values))
        if batch and (records + len(values) > _BATCH_RECORDS or characters + more > _BATCH_CHARACTERS):
            yield batch
            batch, records, characters = [], 0, 0
        batch.append(number)
        records, characters = records + len(values), characters + more
    if batch:
        yield batch
