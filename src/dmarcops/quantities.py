"""Durations and sizes as people write them in options and configuration: `48h`, `64MiB`. Does no I/O."""

import re
from datetime import timedelta

from dmarcops.errors import ConfigError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(rf"([0-9]+)([{''.join(_UNITS)}])")
_SIZES = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_SIZE = re.compile(r"([0-9]+) ?(|[KMG]iB)")


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
