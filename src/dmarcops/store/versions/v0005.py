"""What people said of sources, and the names of sending hosts."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "source_word",
        sa.Column("id", _KEY, autoincrement=False, nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("domain", "scope", "value", "word", "who")),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_source_word"),
    )
    op.create_table(
        "source_name",
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("looked_up_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("address", name="pk_source_name"),
        sqlite_with_rowid=False,
    )
