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
CHUNK_LENGTH = 4 << 20
"""Characters of the evaluations handed on at a time, since a hostile record can be large."""
IN_MEMORY = CHUNK_RECORDS
"""Records of one report that are kept in memory; the rest goes to a file."""
_IN_MEMORY_LENGTH = 256 << 10
_REMEMBERED = 4096

_OBJECT_LENGTH = 100
"""Characters that a result counts as besides its texts."""


@dataclass(frozen=True, slots=True)
class _Run:
    """
    A run of records, and the evaluations that come up in it for the first time.

    `oldest` is the number of the oldest evaluation that it or a later run means; `length` that of the evaluations.
    """

    evaluations: tuple[tuple[int, Evaluation], ...]
    records: tuple[tuple[int, str | None, int], ...]
    oldest: int
    length: int


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
        self._held: list[_Run] = []
        self._length = self._known_length = 0
        self._oldest = self._oldest_known = 0

    def add(self, records: Sequence[Record], /) -> None:
        """Take the next records."""
        known = self._known
        for record in records:
            evaluation = record.evaluation
            found = known.get(id(evaluation))
            if found is None:
                if len(known) >= _REMEMBERED or self._known_length >= CHUNK_LENGTH:
                    known.clear()
                    self._known_length = 0
                    self._oldest_known = self._evaluations
                # The evaluation itself is held, so that its id stays its own.
                found = known[id(evaluation)] = (self._evaluations, evaluation)
                self._new.append(found)
                self._evaluations += 1
                length = _length(evaluation)
                self._length += length
                self._known_length += length
            self._rows.append((found[0], record.source_ip, record.count))
        if len(self._rows) >= CHUNK_RECORDS or self._length >= CHUNK_LENGTH:
            self._cut()

    def collected(self, policy: PolicyPublished) -> "Collected":
        """Give what was collected; the policy is that of the report, known at its end."""
        if self._rows:
            self._cut()
        return Collected(policy, tuple(self._held), self._spool)

    def _cut(self) -> None:
        run = _Run(tuple(self._new), tuple(self._rows), self._oldest, self._length)
        self._new, self._rows, self._length = [], [], 0
        self._oldest = self._oldest_known
        if not self._held and self._spool is None and run.length <= _IN_MEMORY_LENGTH:
            self._held.append(run)
            return
        if self._spool is None:
            with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".records", delete=False) as file:
                self._spool = Path(file.name)
        with self._spool.open("ab") as file:
            pickle.dump(run, file, protocol=pickle.HIGHEST_PROTOCOL)


@dataclass(frozen=True)
class Collected:
    """The records of one report; can be sent to another process."""

    policy: PolicyPublished
    held: tuple[_Run, ...]
    spool: Path | None

    def chunks(self, organizational_domain: OrganizationalDomain) -> Iterator[Chunk]:
        """Give the records, with each evaluation classified when it first comes up."""
        for run in self._runs():
            classified = (
                ClassifiedEvaluation(number, evaluation, classify(evaluation, self.policy, organizational_domain))
                for number, evaluation in run.evaluations
            )
            yield Chunk(tuple(classified), run.records, run.length)

    def records(self) -> Iterator[Record]:
        """Give the records as they were read."""
        known: dict[int, Evaluation] = {}
        for run in self._runs():
            for number in [number for number in known if number < run.oldest]:
                del known[number]
            known |= dict(run.evaluations)
            for number, source_ip, count in run.records:
                yield Record(source_ip, count, known[number])

    def release(self) -> None:
        """Delete the temporary file, if there is one."""
        if self.spool is not None:
            self.spool.unlink(missing_ok=True)

    def _runs(self) -> Iterable[_Run]:
        yield from self.held
        if self.spool is None:
            return
        with self.spool.open("rb") as file:
            while True:
                try:
                    run: _Run = pickle.load(file)  # noqa: S301 - written by ourselves, in a folder of our own (0700)
                except EOFError:
                    return
                yield run


def _length(evaluation: Evaluation) -> int:
    """Say about how large an evaluation is in memory."""
    identifiers, results = evaluation.identifiers, evaluation.auth_results
    reasons = evaluation.policy_evaluated.reasons
    texts: list[str | None] = [identifiers.header_from, identifiers.envelope_from, identifiers.envelope_to]
    for dkim in results.dkim:
        texts += (dkim.domain, dkim.selector, dkim.human_result)
    for spf in results.spf:
        texts += (spf.domain, spf.human_result)
    texts += [reason.comment for reason in reasons]
    texts += [extension.xml for extension in evaluation.extensions]
    objects = len(results.dkim) + len(results.spf) + len(reasons) + len(evaluation.extensions)
    return _OBJECT_LENGTH * objects + sum(len(text) for text in texts if text)
