"""
The tables and views as far as `views.py` asks them: names and types, for SQLAlchemy Core.

Apart from `tables.py`, whose classes take longer to import than most questions take to answer.
"""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Date, LargeBinary, MetaData, String, Table
from sqlalchemy.types import TypeEngine

from dmarcops.store.moments import MOMENT

_KINDS: dict[str, TypeEngine[Any]] = {
    **dict.fromkeys(("id", "evaluation_id", "report_pk", "position", "date_begin", "date_end", "pct"), BigInteger()),
    **dict.fromkeys(("record_count", "mail_count", "payload_count"), BigInteger()),
    **dict.fromkeys(("conflict", "aligned", "dkim_aligned", "spf_aligned"), Boolean()),
    **dict.fromkeys(("received_at", "first_seen", "last_seen"), MOMENT),
    "day": Date(),
    "source_key": LargeBinary(),
}
"""Types of the columns that are no text."""


def _relation(name: str, columns: str, **kinds: TypeEngine[Any]) -> Table:
    known = {**_KINDS, **kinds}
    return Table(name, MetaData(), *(Column(column, known.get(column, String())) for column in columns.split()))


_FLAT = """
    report_pk evaluation_id day date_begin date_end received_at reporter org_name report_id authenticated dialect
    generator policy_domain p sp np pct testing fo adkim aspf discovery_method header_from envelope_from envelope_to
    disposition dmarc dkim_aligned spf_aligned dkim_failure spf_failure failure mail_count
"""

EVALUATIONS = _relation("evaluation_flat", f"{_FLAT} record_count")
RECORDS = _relation("record_flat", f"{_FLAT} position source_ip source_key")
TEXTS = _relation(
    "evaluation_text",
    "evaluation_id dkim_domains dkim_selectors spf_domains dkim_results spf_results override_reasons",
)
REPORT = _relation(
    "report",
    """
    id day date_begin received_at reporter report_id authenticated dialect policy_domain p conflict repairs origin
    record_count mail_count
    """,
)
# Here `report_id` is the key of the report's row; in the views it is the name that the reporter gave.
EVALUATION = _relation("evaluation", "id report_id dmarc header_from mail_count", report_id=BigInteger())
RECORD = _relation("record", "evaluation_id source_key")
DKIM_RESULT = _relation("dkim_result", "evaluation_id domain selector result aligned")
OVERRIDE_REASON = _relation("override_reason", "evaluation_id type")
FAILURE_REPORT = _relation(
    "failure_report",
    """
    id kind feedback_type reporter user_agent auth_failure delivery_result identity_alignment reported_domain
    header_from source_ip source_key arrival_date day incidents dkim_domain dkim_selector dkim_result spf_result
    original_mail_from authenticated repairs received_at origin
    """,
    arrival_date=MOMENT,
    incidents=BigInteger(),
)
TLS_REPORT = _relation(
    "tls_report", "id day date_begin reporter report_id conflict authenticated repairs received_at origin"
)
# Here `position` and `policy_position` are places in the report.
TLS_POLICY = _relation(
    "tls_policy",
    "tls_report_id position policy_type policy_domain successful_count failed_count",
    **dict.fromkeys(("tls_report_id", "successful_count", "failed_count"), BigInteger()),
)
TLS_FAILURE = _relation(
    "tls_failure",
    "tls_report_id policy_position position result_type sending_mta_key",
    **dict.fromkeys(("tls_report_id", "policy_position"), BigInteger()),
    sending_mta_key=LargeBinary(),
)
LEDGER = _relation(
    "ledger", "id message_sha256 origin outcome code reason payload_sha256 payload_count first_seen last_seen"
)
KEPT = _relation("kept", "message_sha256")
