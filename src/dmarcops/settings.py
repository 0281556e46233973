"""
What every adapter's `Config` is made of: frozen pydantic models that know their keys, durations and sizes.

A field's docstring is its documentation. Secrets are `SecretStr` and never shown. Reads nothing by itself: `config`
gives the values, with `{ env = … }`, `{ file = … }` and `{ command = … }` resolved already. Does no I/O.
"""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

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


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    try:
        return parse_duration(str(value))
    except ConfigError as error:
        raise ValueError(f"{error}; {error.hint}") from error


def _size(value: object) -> int:
    try:
        return parse_size(str(value))
    except ConfigError as error:
        raise ValueError(f"{error}; {error.hint}") from error


Duration = Annotated[timedelta, BeforeValidator(_duration)]
"""A field that holds a duration: `30s`, `5m`, `48h`, `7d`, `2w`."""
Size = Annotated[int, BeforeValidator(_size)]
"""A field that holds a number of octets: `1048576` or `"1MiB"`."""


class Settings(BaseModel):
    """Parent of every section of the configuration; an unknown key is an error, and no value stands in one."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True)
