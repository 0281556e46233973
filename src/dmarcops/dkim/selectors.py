"""
Names of selectors: made from a template, never one that was used before (RFC 6376 section 3.1). Does no I/O.

A name is one label of letters, digits and hyphens, since some providers take nothing else; its random part keeps others
from asking for it before it is published, which would fill their negative caches.
"""

import re
from collections.abc import Callable, Container
from datetime import datetime

from dmarcops.errors import ConfigError

DEFAULT_TEMPLATE = "s{date:%Y%m}-{random:4}"
"""What names look like when nothing else is configured: `s202611-k3x9`."""

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_FIELD = re.compile(r"\{(date|random):([^{}]+)\}")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_TRIES = 100
_MOST_RANDOM = 32


def fresh_selector(template: str, *, now: datetime, used: Container[str], chance: Callable[[int], int]) -> str:
    """
    Return a selector that was never used.

    Args:
        template: Text with `{date:FORMAT}` (strftime) and `{random:N}` (so many letters and digits).
        now: When it is for.
        used: All selectors that the domain ever had.
        chance: Gives a random number from 0 to below its argument, as `secrets.randbelow`.

    Raises:
        ConfigError: The template makes no selector, or none that is new.
    """
    for _ in range(_TRIES):
        selector = _FIELD.sub(lambda match: _filled(match, now, chance), template)
        if not _LABEL.fullmatch(selector):
            raise ConfigError(
                f"the selector template {template!r} makes {selector!r}, which is no selector",
                hint="one label of at most 63 lower-case letters, digits and hyphens, with {date:%Y%m} and {random:4}",
            )
        if selector not in used:
            return selector
    raise ConfigError(
        f"the selector template {template!r} makes only names that were used before", hint="put {random:4} into it"
    )


def _filled(match: re.Match[str], now: datetime, chance: Callable[[int], int]) -> str:
    kind, argument = match.groups()
    if kind == "date":
        return now.strftime(argument).lower()
    count = int(argument) if argument.isascii() and argument.isdigit() else 0
    # What is left as it is, is no label.
    return "".join(_ALPHABET[chance(len(_ALPHABET))] for _ in range(min(count, _MOST_RANDOM))) or match[0]
