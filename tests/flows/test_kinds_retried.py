"""What was unsupported once and is read now."""

from hashlib import sha256
from pathlib import Path

from builders import ask
from dmarcops.flows.ingest import Totals
from dmarcops.flows.retry import RetrySource
from dmarcops.store.engine import Store
from dmarcops.store.intake import IncomingMessage, IncomingRejection, Outcome
from dmarcops.store.reports import record
from flows_ingest import NOW, ingest

FEEDBACK = b"Feedback-Type: abuse\r\nUser-Agent: a\r\nVersion: 1\r\nOriginal-Rcpt-To: ann@example.com\r\n"


def test_report_of_another_kind_is_stored_when_it_was_kept_by_an_older_version(store: Store, tmp_path: Path) -> None:
    digest = sha256(FEEDBACK).hexdigest()
    rejection = IncomingRejection("a.eml", digest, "feedback-report", "not supported", Outcome.UNSUPPORTED)
    record(store, [IncomingMessage("a.eml", digest, (rejection,), FEEDBACK)], NOW)
    totals = Totals()
    with ingest(store, tmp_path) as flow:
        flow.run(RetrySource(store, lambda _: None), totals)
    assert (totals.new, totals.rejected) == (1, 0)
    assert ask(store, "SELECT outcome, code FROM ledger") == [("stored", None)]
    assert ask(store, "SELECT count(*) FROM failure_report") == [(1,)]
    assert ask(store, "SELECT count(*) FROM kept") == [(0,)]
