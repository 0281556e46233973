"""What is not as it should be, until it is over: what people are told of, and `keys` shows."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "concern",
        *(sa.Column(name, sa.String(), nullable=False) for name in ("key", "subject", "domain", "kind", "selector")),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("title", "text")),
        *(sa.Column(name, sa.Boolean(), nullable=False) for name in ("is_transient", "is_event")),
        sa.Column("since", _TIME, nullable=False),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("key", name="pk_concern"),
    )
