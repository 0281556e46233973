"""Reports, ledger, and the views over them."""
# ruff: noqa: S608 - all parts of the SQL are constants of this file

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create all tables and views in an empty database."""
    _create_report()
    _create_evaluation()
    _create_children()
    _create_ledger()
    for name, query in _views(op.get_bind().dialect.name).items():
        op.execute(f"CREATE VIEW {name} AS {query}")


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(), nullable=True) for name in names]


def _required(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(), nullable=False) for name in names]


def _create_report() -> None:
    op.create_table(
        "report",
        sa.Column("id", _KEY, autoincrement=False, nullable=False),
        *_required("identity", "content_sha256", "payload_sha256"),
        sa.Column("conflict", sa.Boolean(), nullable=False),
        *_required("dialect"),
        *_texts("version", "org_name", "email", "extra_contact_info", "report_id"),
        sa.Column("date_begin", sa.BigInteger(), nullable=True),
        sa.Column("date_end", sa.BigInteger(), nullable=True),
        sa.Column("day", sa.Date(), nullable=True),
        *_texts("reporter", "policy_domain", "p", "sp", "np"),
        sa.Column("pct", sa.BigInteger(), nullable=True),
        *_texts("testing", "fo", "adkim", "aspf", "discovery_method", "generator"),
        *_required("errors", "extensions", "repairs"),
        sa.Column("record_count", sa.Integer(), nullable=False),
        sa.Column("mail_count", sa.BigInteger(), nullable=False),
        *_required("origin"),
        sa.Column("received_at", _TIME, nullable=False),
        sa.Column("authenticated", sa.String(), nullable=False, server_default="unknown"),
        sa.PrimaryKeyConstraint("id", name="pk_report"),
        sa.UniqueConstraint("identity", "content_sha256", name="uq_report_identity_content_sha256"),
    )
    op.create_index("ix_report_day", "report", ["day"])
    counts = sa.text("NOT conflict")
    op.create_index(
        "uq_report_identity", "report", ["identity"], unique=True, sqlite_where=counts, postgresql_where=counts
    )


def _create_evaluation() -> None:
    op.create_table(
        "evaluation",
        sa.Column("id", _KEY, autoincrement=False, nullable=False),
        sa.Column("report_id", sa.BigInteger(), nullable=False),
        sa.Column("record_count", sa.Integer(), nullable=False),
        sa.Column("mail_count", sa.BigInteger(), nullable=False),
        *_required("disposition", "dkim", "spf", "dmarc"),
        *_texts("dkim_failure", "spf_failure", "header_from", "envelope_from", "envelope_to"),
        *_required("extensions"),
        sa.PrimaryKeyConstraint("id", name="pk_evaluation"),
        sa.ForeignKeyConstraint(["report_id"], ["report.id"], name="fk_evaluation_report_id", ondelete="CASCADE"),
    )
    op.create_index("ix_evaluation_report_id", "evaluation", ["report_id"])


def _create_children() -> None:
    for name, detail in ("dkim_result", "selector"), ("spf_result", "scope"):
        _create_child(
            name,
            *_texts("domain", detail),
            *_required("result"),
            *_texts("human_result"),
            sa.Column("aligned", sa.Boolean(), nullable=False),
        )
    _create_child("override_reason", *_required("type"), *_texts("comment"))
    _create_child(
        "record",
        *_texts("source_ip"),
        sa.Column("source_key", sa.LargeBinary(), nullable=True),
        sa.Column("mail_count", sa.BigInteger(), nullable=False),
    )


def _create_child(name: str, *columns: sa.Column[str] | sa.Column[bool] | sa.Column[bytes] | sa.Column[int]) -> None:
    key = ["evaluation_id"]
    op.create_table(
        name,
        sa.Column("evaluation_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        *columns,
        sa.PrimaryKeyConstraint("evaluation_id", "position", name=f"pk_{name}"),
        sa.ForeignKeyConstraint(key, ["evaluation.id"], name=f"fk_{name}_evaluation_id", ondelete="CASCADE"),
        sqlite_with_rowid=False,
    )


def _create_ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("id", _KEY, autoincrement=False, nullable=False),
        *_required("message_sha256", "origin_key", "origin", "outcome"),
        *_texts("code", "reason", "payload_sha256"),
        sa.Column("payload_count", sa.Integer(), nullable=False),
        sa.Column("first_seen", _TIME, nullable=False),
        sa.Column("last_seen", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger"),
        sa.UniqueConstraint("message_sha256", "origin_key", name="uq_ledger_message_sha256_origin_key"),
    )
    op.create_table(
        "ledger_payload",
        sa.Column("ledger_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        *_required("origin", "sha256", "outcome"),
        *_texts("code", "reason"),
        sa.Column("report_id", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("ledger_id", "position", name="pk_ledger_payload"),
        sa.ForeignKeyConstraint(["ledger_id"], ["ledger.id"], name="fk_ledger_payload_ledger_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["report_id"], ["report.id"], name="fk_ledger_payload_report_id", ondelete="SET NULL"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_ledger_payload_report_id", "ledger_payload", ["report_id"])
    op.create_table(
        "kept",
        *_required("message_sha256"),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("stored_size", sa.BigInteger(), nullable=False),
        sa.Column("kept_at", _TIME, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("message_sha256", name="pk_kept"),
    )


_FLAT = """
    r.id AS report_pk, e.id AS evaluation_id, r.day, r.date_begin, r.date_end, r.received_at,
    r.reporter, r.org_name, r.report_id, r.authenticated, r.dialect, r.generator,
    r.policy_domain, r.p, r.sp, r.np, r.pct, r.testing, r.fo, r.adkim, r.aspf, r.discovery_method,
    e.header_from, e.envelope_from, e.envelope_to, e.disposition, e.dmarc,
    (e.dkim = 'pass') AS dkim_aligned, (e.spf = 'pass') AS spf_aligned, e.dkim_failure, e.spf_failure,
    CASE WHEN e.dmarc = 'fail'
         THEN COALESCE(e.dkim_failure || '+' || e.spf_failure, e.dkim_failure, e.spf_failure) END AS failure
"""

# SQLite takes tables in the order of a CROSS JOIN: from the reports of the days asked for down to their records. Left
# to itself it reads all records there are for a question about the last month. PostgreSQL plans it as any other join.
_EVALUATION_FLAT = f"""
    SELECT {_FLAT}, e.record_count, e.mail_count
    FROM report r CROSS JOIN evaluation e
    WHERE e.report_id = r.id AND NOT r.conflict
"""

_RECORD_FLAT = f"""
    SELECT {_FLAT}, c.position, c.source_ip, c.source_key, c.mail_count
    FROM report r CROSS JOIN evaluation e CROSS JOIN record c
    WHERE e.report_id = r.id AND c.evaluation_id = e.id AND NOT r.conflict
"""

_ALIGNMENT_FAILURES = """
    SELECT f.day, f.reporter, f.policy_domain, f.header_from, f.source_ip, f.mail_count, f.disposition,
           f.dkim_failure, f.spf_failure, f.failure, f.envelope_from,
           t.dkim_domains, t.dkim_selectors, t.spf_domains, t.override_reasons,
           f.report_id, f.authenticated, f.source_key, f.evaluation_id, f.position
    FROM record_flat f JOIN evaluation_text t ON t.evaluation_id = f.evaluation_id
    WHERE f.dmarc = 'fail'
"""

_COUNTS = """
    CAST(SUM(mail_count) AS BIGINT) AS mail_count,
    CAST(SUM(CASE WHEN dmarc = 'pass' THEN mail_count ELSE 0 END) AS BIGINT) AS pass_count,
    CAST(SUM(CASE WHEN dmarc = 'fail' THEN mail_count ELSE 0 END) AS BIGINT) AS fail_count,
    CAST(SUM(CASE WHEN dkim_aligned THEN mail_count ELSE 0 END) AS BIGINT) AS dkim_aligned_count,
    CAST(SUM(CASE WHEN spf_aligned THEN mail_count ELSE 0 END) AS BIGINT) AS spf_aligned_count
"""

_SOURCE_SUMMARY = f"""
    SELECT policy_domain, source_ip, {_COUNTS},
           COUNT(*) AS record_count, COUNT(DISTINCT reporter) AS reporter_count,
           MIN(day) AS first_day, MAX(day) AS last_day
    FROM record_flat
    GROUP BY policy_domain, source_ip
"""

_DOMAIN_DAILY = f"""
    SELECT day, policy_domain, {_COUNTS},
           CAST(SUM(CASE WHEN disposition = 'quarantine' THEN mail_count ELSE 0 END) AS BIGINT) AS quarantine_count,
           CAST(SUM(CASE WHEN disposition = 'reject' THEN mail_count ELSE 0 END) AS BIGINT) AS reject_count,
           CAST(SUM(record_count) AS BIGINT) AS record_count,
           COUNT(DISTINCT report_pk) AS report_count, COUNT(DISTINCT reporter) AS reporter_count
    FROM evaluation_flat
    GROUP BY day, policy_domain
"""

# A report overlaps when an earlier one of the same reporter and domain reaches into its period: mail counted twice by
# the reporter itself. Reports that only meet at their ends do not.
_REPORTER_SUMMARY = """
    SELECT reporter,
           CAST(SUM(CASE WHEN conflict THEN 0 ELSE 1 END) AS BIGINT) AS report_count,
           CAST(SUM(CASE WHEN conflict THEN 1 ELSE 0 END) AS BIGINT) AS conflict_count,
           CAST(SUM(CASE WHEN NOT conflict AND date_begin < earlier_end THEN 1 ELSE 0 END) AS BIGINT)
               AS overlapping_count,
           CAST(SUM(CASE WHEN conflict THEN 0 ELSE mail_count END) AS BIGINT) AS mail_count,
           CAST(SUM(CASE WHEN conflict THEN 0 ELSE pass_count END) AS BIGINT) AS pass_count,
           CAST(SUM(CASE WHEN conflict THEN 0 ELSE mail_count - pass_count END) AS BIGINT) AS fail_count,
           CAST(SUM(CASE WHEN conflict THEN 0 ELSE record_count END) AS BIGINT) AS record_count,
           COUNT(DISTINCT policy_domain) AS policy_domain_count,
           MIN(day) AS first_day, MAX(day) AS last_day, MAX(received_at) AS last_received_at
    FROM (SELECT r.reporter, r.policy_domain, r.conflict, r.day, r.date_begin, r.received_at,
                 r.mail_count, r.record_count,
                 (SELECT COALESCE(SUM(e.mail_count), 0) FROM evaluation e
                  WHERE e.report_id = r.id AND e.dmarc = 'pass') AS pass_count,
                 MAX(r.date_end) OVER (
                     PARTITION BY r.conflict, r.reporter, r.policy_domain ORDER BY r.date_begin, r.id
                     ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS earlier_end
          FROM report r) AS reports
    GROUP BY reporter
"""

# A mail counts once for each selector that signed it, however many signatures of it the reporter lists.
_SELECTOR_USAGE = """
    SELECT policy_domain, dkim_domain, selector,
           CAST(SUM(mail_count) AS BIGINT) AS mail_count,
           CAST(SUM(mail_count * passed) AS BIGINT) AS pass_count,
           CAST(SUM(mail_count * (1 - passed)) AS BIGINT) AS fail_count,
           CAST(SUM(mail_count * aligned) AS BIGINT) AS aligned_count,
           COUNT(DISTINCT reporter) AS reporter_count,
           MIN(day) AS first_day, MAX(day) AS last_day
    FROM (SELECT f.policy_domain, f.reporter, f.day, f.mail_count, d.domain AS dkim_domain, d.selector,
                 MAX(CASE WHEN d.result = 'pass' THEN 1 ELSE 0 END) AS passed,
                 MAX(CASE WHEN d.aligned THEN 1 ELSE 0 END) AS aligned
          FROM evaluation_flat f JOIN dkim_result d ON d.evaluation_id = f.evaluation_id
          GROUP BY f.evaluation_id, f.policy_domain, f.reporter, f.day, f.mail_count, d.domain, d.selector) AS signed
    GROUP BY policy_domain, dkim_domain, selector
"""

# A mail counts once for each reason and comment.
_OVERRIDE_REASONS = """
    SELECT policy_domain, type, comment,
           CAST(SUM(mail_count) AS BIGINT) AS mail_count,
           CAST(SUM(CASE WHEN dmarc = 'fail' THEN mail_count ELSE 0 END) AS BIGINT) AS fail_count,
           COUNT(DISTINCT reporter) AS reporter_count,
           MIN(day) AS first_day, MAX(day) AS last_day
    FROM (SELECT DISTINCT f.evaluation_id, f.policy_domain, f.reporter, f.day, f.dmarc, f.mail_count, o.type, o.comment
          FROM evaluation_flat f JOIN override_reason o ON o.evaluation_id = f.evaluation_id) AS given
    GROUP BY policy_domain, type, comment
"""


def _views(dialect: str) -> dict[str, str]:
    """Give the views in the order in which they build on each other."""

    def joined(table: str, expression: str, separator: str) -> str:
        rows = f"FROM {table} x WHERE x.evaluation_id = e.id"
        if dialect == "postgresql":
            return f"(SELECT string_agg({expression}, '{separator}' ORDER BY x.position) {rows})"
        return f"(SELECT group_concat(y.z, '{separator}') FROM (SELECT {expression} AS z {rows} ORDER BY x.position) y)"

    domain, selector = "COALESCE(x.domain, '-')", "COALESCE(x.selector, '-')"
    dkim_result = f"x.result || ' d=' || {domain} || ' s=' || {selector}"
    spf_result = f"x.result || ' ' || COALESCE(x.scope, 'mfrom') || '=' || {domain}"
    reason = "x.type || COALESCE(' (' || x.comment || ')', '')"
    evaluation_text = f"""
    SELECT e.id AS evaluation_id,
           {joined("dkim_result", domain, " ")} AS dkim_domains,
           {joined("dkim_result", selector, " ")} AS dkim_selectors,
           {joined("spf_result", domain, " ")} AS spf_domains,
           {joined("dkim_result", dkim_result, "; ")} AS dkim_results,
           {joined("spf_result", spf_result, "; ")} AS spf_results,
           {joined("override_reason", reason, "; ")} AS override_reasons
    FROM evaluation e
    """
    return {
        "evaluation_flat": _EVALUATION_FLAT,
        "record_flat": _RECORD_FLAT,
        "evaluation_text": evaluation_text,
        "alignment_failures": _ALIGNMENT_FAILURES,
        "source_summary": _SOURCE_SUMMARY,
        "domain_daily": _DOMAIN_DAILY,
        "reporter_summary": _REPORTER_SUMMARY,
        "selector_usage": _SELECTOR_USAGE,
        "override_reasons": _OVERRIDE_REASONS,
    }
