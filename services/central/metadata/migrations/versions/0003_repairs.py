"""Repairs of single minutes and hours."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "repairs",
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("stream", sa.String(16), nullable=False),
        sa.Column("level", sa.Integer, nullable=False),
        sa.Column("starts_ms", sa.BigInteger, nullable=False),
        sa.Column("noted_ms", sa.BigInteger, nullable=False),
        sa.Column("finished_ms", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.String(300), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_repairs"),
    )
