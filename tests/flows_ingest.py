"""An ingest that is ready to run, for the tests of the flows."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from dmarcops.flows.ingest import Ingest
from dmarcops.flows.lookers import Lookers
from dmarcops.flows.rules import Rules
from dmarcops.report.align import suffix_list
from dmarcops.report.limits import Limits
from dmarcops.store.engine import Store

NOW = datetime(2026, 1, 5, tzinfo=UTC)


class Steps:
    """Counts the steps it is told of."""

    def __init__(self) -> None:
        self.done = 0

    def advance(self, steps: int = 1, /) -> None:
        """Count them."""
        self.done += steps


@contextmanager
def ingest(store: Store, folder: Path, *, jobs: int = 0, steps: Steps | None = None) -> Iterator[Ingest]:
    """Give an ingest."""
    with Lookers(jobs) as lookers:
        yield Ingest(
            store=store,
            lookers=lookers,
            rules=Rules(limits=Limits(), kept_bytes=10_000, folder=folder),
            organizational_domain=suffix_list(),
            clock=lambda: NOW,
            progress=steps or Steps(),
        )
