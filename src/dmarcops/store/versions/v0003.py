"""DKIM keys, the selectors that were ever used, holds, and the audit trail."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables."""
    _create("dkim_domain", ("domain",), sa.Column("revision", sa.BigInteger(), nullable=False), *_moments("last_run"))
    _create(
        "dkim_key",
        ("domain", "selector"),
        sa.Column("position", sa.Integer(), nullable=False),
        *_texts("algorithm"),
        sa.Column("bits", sa.Integer(), nullable=False),
        *_texts("stage"),
        *_moments("since", "created"),
        *_texts("pending", "record", "published", "reference", "urgency"),
        sa.Column("turn", sa.Integer(), nullable=False),
        *_moments("seen", "activated", "relieved", "last_signed", nullable=True),
        sa.Column("replaced_by", sa.String(), nullable=True),
        sa.Column("is_leaked", sa.Boolean(), nullable=False),
        sa.Column("is_recalled", sa.Boolean(), nullable=False),
    )
    _create("dkim_selector", ("domain", "selector"), *_moments("used_at"))
    _create("hold", ("domain", "what"), *_texts("reason", "who"), *_moments("at"))
    op.create_table(
        "audit",
        sa.Column("id", _KEY, autoincrement=False, nullable=False),
        *_moments("at"),
        *_texts("domain", "who", "action", "detail"),
        sa.Column("dns_before", sa.String(), nullable=True),
        sa.Column("dns_after", sa.String(), nullable=True),
        *_texts("digest"),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_domain", "audit", ["domain"])


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(), nullable=False) for name in names]


def _moments(*names: str, nullable: bool = False) -> list[sa.Column[datetime]]:
    return [sa.Column(name, _TIME, nullable=nullable) for name in names]


def _create(name: str, key: tuple[str, ...], *columns: sa.Column[Any]) -> None:
    op.create_table(
        name,
        *_texts(*key),
        *columns,
        sa.PrimaryKeyConstraint(*key, name=f"pk_{name}"),
        sqlite_with_rowid=False,
    )
