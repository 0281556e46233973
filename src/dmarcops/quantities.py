"""Durations, sizes and networks as people write them in options and configuration: `48h`, `64MiB`. Does no I/O."""

import re
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network

from dmarcops.errors import ConfigError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(rf"([0-9]+)([{''.join(_UNITS)}])")
_SIZES = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_SIZE = re.compile(r"([0-9]+) ?(|[KMG]iB)")
_IPV4_MAPPED = IPv6Network("::ffff:0:0/96")


def parse_duration(text: str) -> timedelta:
    """
    Read a duration: a whole number and one of `s m h d w`.

    Raises:
        ConfigError: It is none.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ConfigError(f"{text!r} is not a duration", hint="a duration is a number and a unit: 30s, 5m, 48h, 7d, 2w")
    try:
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError as error:
        raise ConfigError(f"the duration {text!r} is too long") from error


def parse_size(text: str) -> int:
    """
    Read a size in octets: a whole number, with `KiB`, `MiB` or `GiB` or without.

    Raises:
        ConfigError: It is none.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ConfigError(f"{text!r} is not a size", hint='a size is a number of octets, or text such as "64MiB"')
    return int(match[1]) * _SIZES[match[2]]


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """
    Read a network or an address; what is IPv4 mapped into IPv6 is the IPv4 one, as in what is read of reports.

    Raises:
        ConfigError: It is neither.
    """
    try:
        network = ip_network(text.strip(), strict=False)
    except ValueError as error:
        hint = "such as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32"
        raise ConfigError(f"{text!r} is neither an IP address nor a network", hint=hint) from error
    if isinstance(network, IPv6Network) and network.subnet_of(_IPV4_MAPPED):
        first = network.network_address.packed[-4:]
        return IPv4Network((first, network.prefixlen - _IPV4_MAPPED.prefixlen))
    return network
