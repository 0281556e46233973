"""
What every adapter's `Config` is made of: frozen pydantic models that know their keys, durations and sizes.

A field's docstring is its documentation. Secrets are `SecretStr` and never shown. Reads nothing by itself: `config`
gives the values, with `{ env = … }`, `{ file = … }` and `{ command = … }` resolved already. Does no I/O.
"""

from datetime import timedelta
from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from dmarcops.errors import ConfigError
from dmarcops.quantities import parse_duration, parse_size


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


class MailboxSettings(Settings):
    """What every `[mailboxes.NAME]` has, whatever its kind."""

    authserv_ids: tuple[str, ...] = ()
    """Whose Authentication-Results may be trusted here (RFC 8601 section 5); `""` for a provider that writes no id."""
    verify_dkim: bool = False
    """Check the DKIM signatures of the mails that carry reports against DNS too, where no trusted field says enough."""
    poll_every: Duration = timedelta(minutes=5)
    """How often `--watch` looks even when nothing woke it."""
    is_shared: ClassVar[bool] = False
    """Whether several programs may take from it at once, since its server gives each message to one of them."""
    reports: bool = True
    """Whether reports arrive here; false for a mailbox that only `verify` and `probe` look into."""


class NoticeSettings(Settings):
    """What `[notify]` says of when people are told, whoever tells them."""

    failing_runs: int = Field(default=3, ge=1)
    """Tell of what may pass by itself, as a mailbox or a DNS server that fails, when so many runs in a row failed."""
    silent_after: Duration = timedelta(days=3)
    """Tell of a reporter that used to send daily (7 of 10 days) and did not for so long."""
    rejected_rate: float = Field(default=0.2, ge=0, le=1)
    """Tell when a larger part of the reports of the last day could not be stored."""
    rejected_min: int = Field(default=20, ge=1)
    """How many reports the last day must have had for that rate to count."""
    repeat_after: Duration = timedelta(days=1)
    """How long the same is not told again; that it is over is told at once."""
