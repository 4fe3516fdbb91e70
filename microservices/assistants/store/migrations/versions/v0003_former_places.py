"""Where deleted objects stood in their lists."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from microservices.assistants.store.columns import time_column

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "former_places",
        sa.Column("listed_in", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        time_column("deleted_at", nullable=False),
    )
