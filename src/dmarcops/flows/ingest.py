"""
Ingest: messages in, reports and one ledger line a message in the store.

Each message is looked at without the store (in worker processes when there are several), then a batch of them is
recorded in one transaction. A message counts as handled only when that is committed; killed anywhere, the same call
again ends in the same state, since what is known already is a duplicate.
"""

import logging
from dataclasses import dataclass, field

from dmarcops.report.limits import Limits

BATCH_MESSAGES = 200
"""Messages recorded in one transaction, at most."""
BATCH_RECORDS = 20_000
"""Records after which a transaction is closed; a larger report has one of its own."""
TASK_MESSAGES = 16
"""Messages that a worker process looks at in one go."""
_CHUNK = 1024 * 1024

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """
    How to ingest.

    `jobs` is the number of processes that parse; `kept_bytes` the size up to which a message that was not stored is
    kept.
    """

    jobs: int = 1
    limits: Limits = field(default_factory=Limits)
    kept_bytes: int = 25 * 1024 * 1024


@dataclass(slots=True)
class Totals:
    """
    What an ingest did: the contract's JSON, without the time it took.

    `records` and `mail_count` are those of the new reports, `repaired` the number of new reports that were not as the
    standard has it; `unreadable` lists the messages that could not be read at all.
    """

    messages: int = 0
    payloads: int = 0
    new: int = 0
    duplicate: int = 0
    conflict: int = 0
    rejected: int = 0
    not_a_report: int = 0
    retry: int = 0
    records: int = 0
    mail_count: int = 0
    repaired: int = 0
    unreadable: list[str] = field(default_factory=list)
