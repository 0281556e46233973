"""
The tables of the store as sqlmodel classes: names, types, keys and indexes, no logic.

A row is never the model of `report.model`: rows are written by bulk inserts in `reports.py` and `ledger.py` and read
through the views. Changing a table here needs a migration in `versions/`; a test compares the two.

What every index is for: the primary keys of the child tables begin with their parent, so that a join and a cascading
delete are one range each; `day` of a report serves the filter by time, which all that shows data goes through;
`first_seen` of the ledger serves the look at the last day that notifications need. Nothing else is indexed, as an index
on `record` or `evaluation` would cost each ingest more than it saves a question.
"""

from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, MetaData, UniqueConstraint, text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from dmarcops.store.moments import MOMENT

KEY = BigInteger().with_variant(Integer(), "sqlite")
"""Primary key that is SQLite's own row number there: only `INTEGER` is, `BIGINT` would be a second index."""

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
_CHILD = {"sqlite_with_rowid": False}
_GIVEN = {"autoincrement": False}


class Row(SQLModel, registry=registry(metadata=MetaData(naming_convention=NAMES))):
    """Parent of all tables of the store; `Row.metadata` is their catalogue."""


_OnDelete = Literal["CASCADE", "SET NULL"]


def _parent(key: str, *, ondelete: _OnDelete = "CASCADE", primary_key: bool = False) -> Any:  # noqa: ANN401 - as Field
    """Describe a column that holds the key of a parent row."""
    return Field(
        foreign_key=key,
        ondelete=ondelete,
        primary_key=primary_key,
        sa_type=BigInteger,
        sa_column_kwargs=_GIVEN,
    )


class ReportRow(Row, table=True):
    """One aggregate report: its metadata, the policy it saw, and what it is told apart by."""

    __tablename__ = "report"
    __table_args__ = (
        UniqueConstraint("identity", "content_sha256"),
        # One report of an identity counts; all others of it are conflicts.
        Index(
            "uq_report_identity",
            "identity",
            unique=True,
            sqlite_where=text("NOT conflict"),
            postgresql_where=text("NOT conflict"),
        ),
        Index("ix_report_day", "day"),
    )

    id: int = Field(primary_key=True, sa_type=KEY, sa_column_kwargs=_GIVEN)
    identity: str
    content_sha256: str
    payload_sha256: str
    conflict: bool
    dialect: str
    version: str | None
    org_name: str | None
    email: str | None
    extra_contact_info: str | None
    report_id: str | None
    date_begin: int | None = Field(sa_type=BigInteger)
    date_end: int | None = Field(sa_type=BigInteger)
    day: date | None
    reporter: str | None
    policy_domain: str | None
    p: str | None
    sp: str | None
    np: str | None
    pct: int | None = Field(sa_type=BigInteger)
    testing: str | None
    fo: str | None
    adkim: str | None
    aspf: str | None
    discovery_method: str | None
    generator: str | None
    errors: str
    extensions: str
    repairs: str
    record_count: int
    mail_count: int = Field(sa_type=BigInteger)
    origin: str
    received_at: datetime = Field(sa_type=MOMENT)
    authenticated: str = Field(sa_column_kwargs={"server_default": "unknown"})
    carrier: str | None


class EvaluationRow(Row, table=True):
    """
    One distinct evaluation of a report, shared by all its records that say the same.

    `record_count` and `mail_count` are the sums over those records, so that questions that do not ask for the source
    need not read the `record` table at all.
    """

    __tablename__ = "evaluation"
    __table_args__ = (Index("ix_evaluation_report_id", "report_id"),)

    id: int = Field(primary_key=True, sa_type=KEY, sa_column_kwargs=_GIVEN)
    report_id: int = _parent("report.id")
    record_count: int
    mail_count: int = Field(sa_type=BigInteger)
    disposition: str
    dkim: str
    spf: str
    dmarc: str
    dkim_failure: str | None
    spf_failure: str | None
    header_from: str | None
    envelope_from: str | None
    envelope_to: str | None
    extensions: str


class DkimResultRow(Row, table=True):
    """`auth_results/dkim` of an evaluation; `aligned` is that of its domain, whatever the result."""

    __tablename__ = "dkim_result"
    __table_args__ = _CHILD

    evaluation_id: int = _parent("evaluation.id", primary_key=True)
    position: int = Field(primary_key=True, sa_column_kwargs=_GIVEN)
    domain: str | None
    selector: str | None
    result: str
    human_result: str | None
    aligned: bool


class SpfResultRow(Row, table=True):
    """`auth_results/spf` of an evaluation; `aligned` is that of its domain, whatever the result."""

    __tablename__ = "spf_result"
    __table_args__ = _CHILD

    evaluation_id: int = _parent("evaluation.id", primary_key=True)
    position: int = Field(primary_key=True, sa_column_kwargs=_GIVEN)
    domain: str | None
    scope: str | None
    result: str
    human_result: str | None
    aligned: bool


class OverrideReasonRow(Row, table=True):
    """`policy_evaluated/reason` of an evaluation."""

    __tablename__ = "override_reason"
    __table_args__ = _CHILD

    evaluation_id: int = _parent("evaluation.id", primary_key=True)
    position: int = Field(primary_key=True, sa_column_kwargs=_GIVEN)
    type: str
    comment: str | None


class RecordRow(Row, table=True):
    """
    One record of a report: who sent, how much, and which evaluation. `position` is its place in the report, from 0.

    `source_key` is the address packed to 4 or 16 octets (null when it is none), so that a network is one range
    comparison in both databases.
    """

    __tablename__ = "record"
    __table_args__ = _CHILD

    evaluation_id: int = _parent("evaluation.id", primary_key=True)
    position: int = Field(primary_key=True, sa_column_kwargs=_GIVEN)
    source_ip: str | None
    source_key: bytes | None = Field(sa_type=LargeBinary)
    mail_count: int = Field(sa_type=BigInteger)


class LedgerRow(Row, table=True):
    """
    One message that was looked at, and how it ended.

    `origin_key` is a digest of `origin`, which can be longer than PostgreSQL allows in an index.
    """

    __tablename__ = "ledger"
    __table_args__ = (UniqueConstraint("message_sha256", "origin_key"), Index("ix_ledger_first_seen", "first_seen"))

    id: int = Field(primary_key=True, sa_type=KEY, sa_column_kwargs=_GIVEN)
    message_sha256: str
    origin_key: str
    origin: str
    outcome: str
    code: str | None
    reason: str | None
    payload_sha256: str | None
    payload_count: int
    first_seen: datetime = Field(sa_type=MOMENT)
    last_seen: datetime = Field(sa_type=MOMENT)


class LedgerPayloadRow(Row, table=True):
    """One payload of a message, how it ended, and the report it is or duplicates."""

    __tablename__ = "ledger_payload"
    __table_args__ = (Index("ix_ledger_payload_report_id", "report_id"), _CHILD)

    ledger_id: int = _parent("ledger.id", primary_key=True)
    position: int = Field(primary_key=True, sa_column_kwargs=_GIVEN)
    origin: str
    sha256: str
    outcome: str
    code: str | None
    reason: str | None
    report_id: int | None = _parent("report.id", ondelete="SET NULL")


class KeptRow(Row, table=True):
    """The octets of a message that was not stored in full, compressed by zlib, to be tried again."""

    __tablename__ = "kept"

    message_sha256: str = Field(primary_key=True)
    size: int = Field(sa_type=BigInteger)
    stored_size: int = Field(sa_type=BigInteger)
    kept_at: datetime = Field(sa_type=MOMENT)
    data: bytes = Field(sa_type=LargeBinary)


class FailureReportRow(Row, table=True):
    """
    One failure report (RFC 6591) or other feedback report (RFC 5965), redacted before it came here.

    `day` is that of `arrival_date`, or of `received_at` when the report does not say. Lists are JSON.
    """

    __tablename__ = "failure_report"
    __table_args__ = (Index("ix_failure_report_day", "day"),)

    id: int = Field(primary_key=True, sa_type=KEY, sa_column_kwargs=_GIVEN)
    content_sha256: str = Field(unique=True)
    payload_sha256: str
    kind: str
    feedback_type: str | None
    reporter: str | None
    user_agent: str | None
    version: str | None
    auth_failure: str | None
    delivery_result: str | None
    identity_alignment: str | None
    reported_domain: str | None
    reported_domains: str
    reported_uris: str
    header_from: str | None
    source_ip: str | None
    source_key: bytes | None = Field(sa_type=LargeBinary)
    source_port: int | None
    arrival_date: datetime | None = Field(sa_type=MOMENT)
    day: date
    incidents: int = Field(sa_type=BigInteger)
    dkim_domain: str | None
    dkim_identity: str | None
    dkim_selector: str | None
    dkim_selector_dns: str | None
    dkim_result: str | None
    spf_dns: str | None
    spf_result: str | None
    dmarc_result: str | None
    authentication_results: str
    original_envelope_id: str | None
    original_mail_from: str | None
    original_rcpt_to: str
    removal_recipient: str | None
    message_id: str | None
    reporting_mta: str | None
    repairs: str
    origin: str
    received_at: datetime = Field(sa_type=MOMENT)
    authenticated: str = Field(sa_column_kwargs={"server_default": "unknown"})


class TlsReportRow(Row, table=True):
    """One SMTP TLS report (RFC 8460 section 4.4), and what it is told apart by; the counts are sums of its policies."""

    __tablename__ = "tls_report"
    __table_args__ = (
        UniqueConstraint("identity", "content_sha256"),
        Index(
            "uq_tls_report_identity",
            "identity",
            unique=True,
            sqlite_where=text("NOT conflict"),
            postgresql_where=text("NOT conflict"),
        ),
        Index("ix_tls_report_day", "day"),
    )

    id: int = Field(primary_key=True, sa_type=KEY, sa_column_kwargs=_GIVEN)
    identity: str
    content_sha256: str
    payload_sha256: str
    conflict: bool
    organization_name: str | None
    contact_info: str | None
    report_id: str | None
    date_begin: int | None = Field(sa_type=BigInteger)
    date_end: int | None = Field(sa_type=BigInteger)
    day: date | None
    reporter: str | None
    policy_count: int
    successful_count: int = Field(sa_type=BigInteger)
    failed_count: int = Field(sa_type=BigInteger)
    repairs: str
    origin: str
    received_at: datetime = Field(sa_type=MOMENT)
    authenticated: str = Field(sa_column_kwargs={"server_default": "unknown"})


class TlsPolicyRow(Row, table=True):
    """One policy of a TLS report with its sessions; `position` is its place in the report, from 0. Lists are JSON."""

    __tablename__ = "tls_policy"
    __table_args__ = _CHILD

    tls_report_id: int = _parent("tls_report.id", primary_key=True)
    position: int = Field(primary_key=True, sa_column_kwargs=_GIVEN)
    policy_type: str | None
    policy_domain: str | None
    policy_string: str
    mx_host: str
    successful_count: int = Field(sa_type=BigInteger)
    failed_count: int = Field(sa_type=BigInteger)


class TlsFailureRow(Row, table=True):
    """One entry of `failure-details` of the policy at `policy_position`; entries may overlap, so no sum is made."""

    __tablename__ = "tls_failure"
    __table_args__ = _CHILD

    tls_report_id: int = _parent("tls_report.id", primary_key=True)
    policy_position: int = Field(primary_key=True, sa_column_kwargs=_GIVEN)
    position: int = Field(primary_key=True, sa_column_kwargs=_GIVEN)
    result_type: str | None
    sending_mta_ip: str | None
    sending_mta_key: bytes | None = Field(sa_type=LargeBinary)
    receiving_mx_hostname: str | None
    receiving_mx_helo: str | None
    receiving_ip: str | None
    failed_count: int = Field(sa_type=BigInteger)
    additional_information: str | None
    failure_reason_code: str | None


class CheckpointRow(Row, table=True):
    """How far a source of messages has been read, in words that only the source understands."""

    __tablename__ = "checkpoint"

    source: str = Field(primary_key=True)
    value: str
    updated_at: datetime = Field(sa_type=MOMENT)


class SourceRunRow(Row, table=True):
    """How the latest runs over a source of messages ended."""

    __tablename__ = "source_run"

    source: str = Field(primary_key=True)
    last_ok_at: datetime | None = Field(sa_type=MOMENT)
    last_error_at: datetime | None = Field(sa_type=MOMENT)
    last_error: str | None
    failures_in_a_row: int


class SettingRow(Row, table=True):
    """What the store itself remembers, such as the key that addresses are hashed with."""

    __tablename__ = "setting"

    name: str = Field(primary_key=True)
    value: str


class NoticeRow(Row, table=True):
    """What a person was told of: when last, and whether it is still so as far as that person knows."""

    __tablename__ = "notice"

    key: str = Field(primary_key=True)
    last_told_at: datetime = Field(sa_type=MOMENT)
    still_open: bool


class ConcernRow(Row, table=True):
    """Something that is not as it should be, as `concerns.Concern` has it; `runs` counts the runs that found it so."""

    __tablename__ = "concern"

    key: str = Field(primary_key=True)
    subject: str
    domain: str
    kind: str
    selector: str
    title: str
    text: str
    is_transient: bool
    is_event: bool
    since: datetime = Field(sa_type=MOMENT)
    runs: int
    ended_at: datetime | None = Field(sa_type=MOMENT)


class DkimDomainRow(Row, table=True):
    """A domain that there are keys of; `revision` counts the saves, `last_run` is when the last one was."""

    __tablename__ = "dkim_domain"
    __table_args__ = _CHILD

    domain: str = Field(primary_key=True)
    revision: int = Field(sa_type=BigInteger)
    last_run: datetime = Field(sa_type=MOMENT)


class DkimKeyRow(Row, table=True):
    """
    A DKIM key as `dkim.lifecycle.Key` has it, without its private half: `reference` says where that is kept.

    `position` is its place among the keys of the domain; `pending` are its effects as JSON.
    """

    __tablename__ = "dkim_key"
    __table_args__ = _CHILD

    domain: str = Field(primary_key=True)
    selector: str = Field(primary_key=True)
    position: int
    algorithm: str
    bits: int
    stage: str
    since: datetime = Field(sa_type=MOMENT)
    created: datetime = Field(sa_type=MOMENT)
    pending: str
    record: str
    published: str
    reference: str
    urgency: str
    turn: int
    seen: datetime | None = Field(sa_type=MOMENT)
    activated: datetime | None = Field(sa_type=MOMENT)
    relieved: datetime | None = Field(sa_type=MOMENT)
    last_signed: datetime | None = Field(sa_type=MOMENT)
    replaced_by: str | None
    is_leaked: bool
    is_recalled: bool


class DkimSelectorRow(Row, table=True):
    """A selector that was ever used for a domain; never deleted, so that it never is again."""

    __tablename__ = "dkim_selector"
    __table_args__ = _CHILD

    domain: str = Field(primary_key=True)
    selector: str = Field(primary_key=True)
    used_at: datetime = Field(sa_type=MOMENT)


class HoldRow(Row, table=True):
    """A domain whose keys (`dkim`) or policy (`policy`) stay as they are until a person resumes, or `until` a time."""

    __tablename__ = "hold"
    __table_args__ = _CHILD

    domain: str = Field(primary_key=True)
    what: str = Field(primary_key=True)
    reason: str
    who: str
    at: datetime = Field(sa_type=MOMENT)
    until: datetime | None = Field(sa_type=MOMENT)


class AuditRow(Row, table=True):
    """One entry of the audit trail; `digest` is over the entry and the digest before it."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_domain", "domain"),)

    id: int = Field(primary_key=True, sa_type=KEY, sa_column_kwargs=_GIVEN)
    at: datetime = Field(sa_type=MOMENT)
    domain: str
    who: str
    action: str
    detail: str
    dns_before: str | None
    dns_after: str | None
    digest: str


class SourceWordRow(Row, table=True):
    """What a person said of a source of mail of a domain, or of all (an empty `domain`); never changed, nor deleted."""

    __tablename__ = "source_word"

    id: int = Field(primary_key=True, sa_type=KEY, sa_column_kwargs=_GIVEN)
    domain: str
    scope: str
    value: str
    word: str
    who: str
    at: datetime = Field(sa_type=MOMENT)
    note: str


class SourceNameRow(Row, table=True):
    """The name of a sending host that DNS confirmed in both directions; empty when there was none."""

    __tablename__ = "source_name"
    __table_args__ = _CHILD

    address: str = Field(primary_key=True)
    host: str
    looked_up_at: datetime = Field(sa_type=MOMENT)


class PolicySeenRow(Row, table=True):
    """A record that stood at `_dmarc.<domain>` from `at` on, as every authoritative server had it; empty for none."""

    __tablename__ = "policy_seen"
    __table_args__ = (Index("ix_policy_seen_domain", "domain"),)

    id: int = Field(primary_key=True, sa_type=KEY, sa_column_kwargs=_GIVEN)
    domain: str
    at: datetime = Field(sa_type=MOMENT)
    record: bytes = Field(sa_type=LargeBinary)


class PolicyStatementRow(Row, table=True):
    """What was shown to be signed: `statement` is the canonical form that `digest` is over, compressed by zlib."""

    __tablename__ = "policy_statement"
    __table_args__ = _CHILD

    domain: str = Field(primary_key=True)
    digest: str = Field(primary_key=True)
    shown_at: datetime = Field(sa_type=MOMENT)
    statement: bytes = Field(sa_type=LargeBinary)


class PolicySignatureRow(Row, table=True):
    """
    A signature under a statement, as `policy.signoff.Signature` has it; `position` is its place, from 0.

    `who` is the user of the system, `proof` the signature of its seal by a key, empty without one.
    """

    __tablename__ = "policy_signature"
    __table_args__ = _CHILD

    domain: str = Field(primary_key=True)
    digest: str = Field(primary_key=True)
    position: int = Field(primary_key=True, sa_column_kwargs=_GIVEN)
    signer: str
    at: datetime = Field(sa_type=MOMENT)
    comment: str
    previous: str
    seal: str
    who: str
    proof: str


class PolicyStepRow(Row, table=True):
    """
    One change of a DMARC policy: `kind` is `advance` or `rollback`, `before` and `after` are the records to the octet.

    It is decided, written, and acknowledged once every authoritative server has it; or it is withdrawn. `digest` is
    that of what was signed, empty without a signature.
    """

    __tablename__ = "policy_step"
    __table_args__ = (Index("ix_policy_step_domain", "domain"),)

    id: int = Field(primary_key=True, sa_type=KEY, sa_column_kwargs=_GIVEN)
    domain: str
    kind: str
    before: bytes = Field(sa_type=LargeBinary)
    after: bytes = Field(sa_type=LargeBinary)
    digest: str
    who: str
    decided_at: datetime = Field(sa_type=MOMENT)
    written_at: datetime | None = Field(sa_type=MOMENT)
    acknowledged_at: datetime | None = Field(sa_type=MOMENT)
    withdrawn_at: datetime | None = Field(sa_type=MOMENT)


TABLES = Row.metadata.tables
"""All tables by their names, for SQLAlchemy Core."""
