"""Machines whose broker goes."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "setting_leaving",
        sa.Column("machine", sa.String(255), nullable=False),
        sa.Column("asked_at_ms", sa.BigInteger, nullable=False),
        sa.Column("replaced_by", sa.String(255), nullable=False),
        sa.Column("had_central", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("machine", name="pk_setting_leaving"),
    )
