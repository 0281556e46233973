"""Who sent the mail that a report came in, by its organizational domain."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the column; it is empty for what is there already."""
    op.add_column("report", sa.Column("carrier", sa.String(), nullable=True))
