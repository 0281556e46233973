"""
Which hosted zone of Route 53 holds a name: the nearest public one, and only if the name is really delegated to it.

The list of zones is read once in a run, since Route 53's limits are shared by all that use the account.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dmarcops.dns.names import canonical, is_within, longest
from dmarcops.errors import UnsafeChangeError
from dmarcops.ports import Resolver


@dataclass(frozen=True, slots=True)
class HostedZone:
    """A hosted zone as the account's list shows it; `records` is how many record sets it has."""

    id: str
    name: str
    is_private: bool
    records: int


class HostedZones:
    """
    The zones of an account.

    Args:
        listed: Gives all of them; called once.
        nameservers: Gives the name servers that Route 53 gave a zone, by the zone's id; called once a zone.
        chosen: Ids of the zones to take, by name, where several have one name.
        resolver: Tells what is delegated where.
    """

    def __init__(
        self,
        listed: Callable[[], Sequence[HostedZone]],
        nameservers: Callable[[str], Sequence[str]],
        chosen: Mapping[str, str],
        resolver: Resolver,
    ) -> None:
        self._listed, self._nameservers = listed, nameservers
        self._chosen = {canonical(name): zone for name, zone in chosen.items()}
        self._resolver = resolver
        self._zones: Sequence[HostedZone] | None = None
        self._delegated: set[str] = set()

    def load(self) -> Sequence[HostedZone]:
        """Give all zones, as they were when they were first asked for."""
        if self._zones is None:
            self._zones = self._listed()
        return self._zones

    def holding(self, name: str) -> HostedZone:
        """
        Give the zone that holds a canonical name.

        Raises:
            UnsafeChangeError: There is none, only a private one, or several of one name.
        """
        zones = self.load()
        public = [zone for zone in zones if not zone.is_private]
        nearest = longest(name, (zone.name for zone in public))
        if nearest is None:
            raise self._missing(name, zones)
        twins = [zone for zone in public if zone.name == nearest and self._chosen.get(nearest, zone.id) == zone.id]
        if len(twins) == 1:
            return twins[0]
        raise UnsafeChangeError(
            "twin-zones" if twins else "zone-missing",
            f"{len(twins) or 'none'} of the public hosted zones named {nearest} can be taken for {name}: "
            + ", ".join(sorted(zone.id for zone in public if zone.name == nearest)),
            hint=f'delete the one that is not delegated, or write zone_ids = {{ "{nearest}" = "ID" }}',
        )

    def check_delegation(self, zone: HostedZone) -> None:
        """
        See that the parent delegates to the servers that Route 53 gave the zone.

        Raises:
            UnsafeChangeError: It does not: what is written there is seen by nobody.
            DnsError: The parent does not say.
        """
        if zone.id in self._delegated:
            return
        ours = {canonical(server) for server in self._nameservers(zone.id)}
        theirs = set(self._resolver.delegation(zone.name))
        # A zone with name servers of its own name (white labels) has other names at the same addresses.
        if ours != theirs and (not theirs or self._addresses(ours) != self._addresses(theirs)):
            raise UnsafeChangeError(
                "zone-not-delegated",
                f"{zone.name} is delegated to {', '.join(sorted(theirs)) or 'nobody'}, and not to the servers of the"
                f" hosted zone {zone.id}: {', '.join(sorted(ours))}",
                hint="name the provider that serves the zone in [domains], or delegate it to the hosted zone",
            )
        self._delegated.add(zone.id)

    def _addresses(self, servers: set[str]) -> set[str]:
        return {address for server in servers for address in self._resolver.records(server, "A") or (server,)}

    def _missing(self, name: str, zones: Sequence[HostedZone]) -> UnsafeChangeError:
        private = [zone for zone in zones if zone.is_private and is_within(name, zone.name)]
        if private:
            reason = f"{name} is in the private hosted zone {private[0].name} only, which the world does not see"
            return UnsafeChangeError("zone-private", reason, hint="make a public hosted zone, and have it delegated")
        reason = f"the account has no hosted zone for {name}"
        return UnsafeChangeError("zone-missing", reason, hint="look whether the credentials are of the right account")
