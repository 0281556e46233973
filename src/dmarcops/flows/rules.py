"""How messages are looked at: what a worker process is told once."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from dmarcops.ports import TxtLookup
from dmarcops.report.limits import Limits
from dmarcops.report.redact import Redactor


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """
    How messages are looked at.

    `kept_bytes` is the size up to which a message is kept, `folder` where temporary files go. `authserv_ids` says whose
    Authentication-Results are believed; with a `resolver` the carrier mail's own signatures are checked too. `redactor`
    hashes addresses in failure reports; one with a key of its own by default, so that nothing can be told from its
    hashes but what is the same in one run.
    """

    limits: Limits
    kept_bytes: int
    folder: Path
    authserv_ids: tuple[str, ...] = ()
    resolver: TxtLookup | None = None
    redactor: Redactor = field(default_factory=lambda: Redactor(secrets.token_bytes()))
