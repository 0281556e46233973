"""Failure and TLS reports, how far each source of messages was read, and how that went."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables."""
    _create_failure_report()
    _create_tls_report()
    _create_tls_children()
    _create_sources()


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(), nullable=True) for name in names]


def _required(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(), nullable=False) for name in names]


def _counts(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]


def _arrival() -> tuple[sa.Column[Any], ...]:
    return (
        *_required("repairs", "origin"),
        sa.Column("received_at", _TIME, nullable=False),
        sa.Column("authenticated", sa.String(), nullable=False, server_default="unknown"),
    )


def _create_failure_report() -> None:
    op.create_table(
        "failure_report",
        sa.Column("id", _KEY, autoincrement=False, nullable=False),
        *_required("content_sha256", "payload_sha256", "kind"),
        *_texts("feedback_type", "reporter", "user_agent", "version"),
        *_texts("auth_failure", "delivery_result", "identity_alignment", "reported_domain"),
        *_required("reported_domains", "reported_uris"),
        *_texts("header_from", "source_ip"),
        sa.Column("source_key", sa.LargeBinary(), nullable=True),
        sa.Column("source_port", sa.Integer(), nullable=True),
        sa.Column("arrival_date", _TIME, nullable=True),
        sa.Column("day", sa.Date(), nullable=False),
        *_counts("incidents"),
        *_texts("dkim_domain", "dkim_identity", "dkim_selector", "dkim_selector_dns", "dkim_result"),
        *_texts("spf_dns", "spf_result", "dmarc_result"),
        *_required("authentication_results"),
        *_texts("original_envelope_id", "original_mail_from"),
        *_required("original_rcpt_to"),
        *_texts("removal_recipient", "message_id", "reporting_mta"),
        *_arrival(),
        sa.PrimaryKeyConstraint("id", name="pk_failure_report"),
        sa.UniqueConstraint("content_sha256", name="uq_failure_report_content_sha256"),
    )
    op.create_index("ix_failure_report_day", "failure_report", ["day"])


def _create_tls_report() -> None:
    op.create_table(
        "tls_report",
        sa.Column("id", _KEY, autoincrement=False, nullable=False),
        *_required("identity", "content_sha256", "payload_sha256"),
        sa.Column("conflict", sa.Boolean(), nullable=False),
        *_texts("organization_name", "contact_info", "report_id"),
        sa.Column("date_begin", sa.BigInteger(), nullable=True),
        sa.Column("date_end", sa.BigInteger(), nullable=True),
        sa.Column("day", sa.Date(), nullable=True),
        *_texts("reporter"),
        sa.Column("policy_count", sa.Integer(), nullable=False),
        *_counts("successful_count", "failed_count"),
        *_arrival(),
        sa.PrimaryKeyConstraint("id", name="pk_tls_report"),
        sa.UniqueConstraint("identity", "content_sha256", name="uq_tls_report_identity_content_sha256"),
    )
    op.create_index("ix_tls_report_day", "tls_report", ["day"])
    counts = sa.text("NOT conflict")
    op.create_index(
        "uq_tls_report_identity", "tls_report", ["identity"], unique=True, sqlite_where=counts, postgresql_where=counts
    )


def _create_tls_children() -> None:
    key = ["tls_report_id"]
    op.create_table(
        "tls_policy",
        sa.Column("tls_report_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        *_texts("policy_type", "policy_domain"),
        *_required("policy_string", "mx_host"),
        *_counts("successful_count", "failed_count"),
        sa.PrimaryKeyConstraint("tls_report_id", "position", name="pk_tls_policy"),
        sa.ForeignKeyConstraint(key, ["tls_report.id"], name="fk_tls_policy_tls_report_id", ondelete="CASCADE"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tls_failure",
        sa.Column("tls_report_id", sa.BigInteger(), nullable=False),
        sa.Column("policy_position", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        *_texts("result_type", "sending_mta_ip"),
        sa.Column("sending_mta_key", sa.LargeBinary(), nullable=True),
        *_texts("receiving_mx_hostname", "receiving_mx_helo", "receiving_ip"),
        *_counts("failed_count"),
        *_texts("additional_information", "failure_reason_code"),
        sa.PrimaryKeyConstraint("tls_report_id", "policy_position", "position", name="pk_tls_failure"),
        sa.ForeignKeyConstraint(key, ["tls_report.id"], name="fk_tls_failure_tls_report_id", ondelete="CASCADE"),
        sqlite_with_rowid=False,
    )


def _create_sources() -> None:
    op.create_table(
        "checkpoint",
        *_required("source", "value"),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("source", name="pk_checkpoint"),
    )
    op.create_table(
        "source_run",
        *_required("source"),
        sa.Column("last_ok_at", _TIME, nullable=True),
        sa.Column("last_error_at", _TIME, nullable=True),
        *_texts("last_error"),
        sa.Column("failures_in_a_row", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("source", name="pk_source_run"),
    )
    op.create_table(
        "setting",
        *_required("name", "value"),
        sa.PrimaryKeyConstraint("name", name="pk_setting"),
    )
