"""Domain names in the one form that is compared: lower-case, A-labels, no final dot. Does no I/O."""

from collections.abc import Iterable

import dns.exception
import dns.name

from dmarcops.errors import ConfigError


def canonical(name: str) -> str:
    """
    Give a name in the form that is compared.

    Raises:
        ConfigError: It is no domain name.
    """
    return text_of(absolute(name))


def absolute(name: str) -> dns.name.Name:
    """
    Give a name as labels from the root, lower-case.

    Raises:
        ConfigError: It is no domain name.
    """
    try:
        return dns.name.from_text(name).canonicalize()
    except (dns.exception.DNSException, UnicodeError) as error:
        raise ConfigError(f"{name!r} is no domain name") from error


def text_of(name: dns.name.Name) -> str:
    """Write a name in the form that is compared."""
    return name.canonicalize().to_text(omit_final_dot=True)


def is_within(name: str, zone: str) -> bool:
    """Tell whether a canonical name is `zone` or beneath it, label by label."""
    return name == zone or name.endswith(f".{zone}")


def longest(name: str, zones: Iterable[str]) -> str | None:
    """Give the zone that is nearest above a canonical name, of those there are."""
    return max((zone for zone in zones if is_within(name, zone)), key=len, default=None)
