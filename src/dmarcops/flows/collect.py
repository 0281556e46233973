"""
The records of one report between parser and store: in memory while they are few, in a temporary file when many.

They are handed on in chunks, each distinct evaluation once and classified, so that memory is flat for any report.
"""

import pickle
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dmarcops.report.align import OrganizationalDomain, classify
from dmarcops.report.model import Evaluation, PolicyPublished, Record
from dmarcops.store.intake import Chunk, ClassifiedEvaluation

CHUNK_RECORDS = 2_000
"""Records handed on at a time."""
IN_MEMORY = 4 * CHUNK_RECORDS
"""Records of one report that are kept in memory; the rest goes to a file."""
_REMEMBERED = 4096

_Rows = tuple[tuple[int, str | None, int], ...]
_Raw = tuple[tuple[tuple[int, Evaluation], ...], _Rows]


class Collector:
    """
    A `RecordSink` that keeps the records.

    Args:
        folder: Where the temporary file of a large report goes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._spool: Path | None = None
        self._begin()

    def restart(self) -> None:
        """Forget all records so far."""
        if self._spool is not None:
            self._spool.unlink()
            self._spool = None
        self._begin()

    def _begin(self) -> None:
        self._known: dict[int, tuple[int, Evaluation]] = {}
        self._evaluations = 0
        self._new: list[tuple[int, Evaluation]] = []
        self._rows: list[tuple[int, str | None, int]] = []
        self._held: list[_Raw] = []

    def add(self, records: Sequence[Record], /) -> None:
        """Take the next records."""
        known = self._known
        for record in records:
            evaluation = record.evaluation
            found = known.get(id(evaluation))
            if found is None:
                if len(known) >= _REMEMBERED:
                    known.clear()
                # The evaluation itself is held, so that its id stays its own.
                found = known[id(evaluation)] = (self._evaluations, evaluation)
                self._new.append(found)
                self._evaluations += 1
            self._rows.append((found[0], record.source_ip, record.count))
        if len(self._rows) >= CHUNK_RECORDS:
            self._cut()

    def collected(self, policy: PolicyPublished) -> "Collected":
        """Give what was collected; the policy is that of the report, known at its end."""
        if self._rows:
            self._cut()
        return Collected(policy, tuple(self._held), self._spool)

    def _cut(self) -> None:
        raw = (tuple(self._new), tuple(self._rows))
        self._new, self._rows = [], []
        if len(self._held) * CHUNK_RECORDS < IN_MEMORY:
            self._held.append(raw)
            return
        if self._spool is None:
            with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".records", delete=False) as file:
                self._spool = Path(file.name)
        with self._spool.open("ab") as file:
            pickle.dump(raw, file, protocol=pickle.HIGHEST_PROTOCOL)


@dataclass(frozen=True)
class Collected:
    """The records of one report; can be sent to another process."""

    policy: PolicyPublished
    held: tuple[_Raw, ...]
    spool: Path | None

    def chunks(self, organizational_domain: OrganizationalDomain) -> Iterator[Chunk]:
        """Give the records, with each evaluation classified when it first comes up."""
        for evaluations, records in self._raw():
            classified = (
                ClassifiedEvaluation(number, evaluation, classify(evaluation, self.policy, organizational_domain))
                for number, evaluation in evaluations
            )
            yield Chunk(tuple(classified), records)

    def records(self) -> Iterator[Record]:
        """Give the records as they were read."""
        known: dict[int, Evaluation] = {}
        for evaluations, rows in self._raw():
            # The collector forgets as well, so an older one is never meant.
            for number, _ in evaluations:
                known.pop(number - 2 * _REMEMBERED, None)
            known |= dict(evaluations)
            for number, source_ip, count in rows:
                yield Record(source_ip, count, known[number])

    def release(self) -> None:
        """Delete the temporary file, if there is one."""
        if self.spool is not None:
            self.spool.unlink(missing_ok=True)

    def _raw(self) -> Iterable[_Raw]:
        yield from self.held
        if self.spool is None:
            return
        with self.spool.open("rb") as file:
            while True:
                try:
                    raw: _Raw = pickle.load(file)  # noqa: S301 - written by ourselves, in a folder of our own (0700)
                except EOFError:
                    return
                yield raw
