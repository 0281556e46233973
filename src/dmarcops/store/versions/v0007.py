"""The steps of DMARC policies: records that were seen, statements and their signatures, steps; holds that end."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables, and let holds end."""
    op.add_column("hold", sa.Column("until", _TIME, nullable=True))
    op.create_table(
        "policy_seen",
        sa.Column("id", _KEY, autoincrement=False, nullable=False),
        *_texts("domain"),
        *_moments("at"),
        *_octets("record"),
        sa.PrimaryKeyConstraint("id", name="pk_policy_seen"),
    )
    op.create_index("ix_policy_seen_domain", "policy_seen", ["domain"])
    op.create_table(
        "policy_statement",
        *_texts("domain", "digest"),
        *_moments("shown_at"),
        *_octets("statement"),
        sa.PrimaryKeyConstraint("domain", "digest", name="pk_policy_statement"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "policy_signature",
        *_texts("domain", "digest"),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        *_texts("signer"),
        *_moments("at"),
        *_texts("comment", "previous", "seal", "who", "proof"),
        sa.PrimaryKeyConstraint("domain", "digest", "position", name="pk_policy_signature"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "policy_step",
        sa.Column("id", _KEY, autoincrement=False, nullable=False),
        *_texts("domain", "kind"),
        *_octets("before", "after"),
        *_texts("digest", "who"),
        *_moments("decided_at"),
        *_moments("written_at", "acknowledged_at", "withdrawn_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_policy_step"),
    )
    op.create_index("ix_policy_step_domain", "policy_step", ["domain"])


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(), nullable=False) for name in names]


def _octets(*names: str) -> list[sa.Column[bytes]]:
    return [sa.Column(name, sa.LargeBinary(), nullable=False) for name in names]


def _moments(*names: str, nullable: bool = False) -> list[sa.Column[datetime]]:
    return [sa.Column(name, _TIME, nullable=nullable) for name in names]
