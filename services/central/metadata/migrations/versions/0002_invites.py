"""Invites to join."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "setting_invites",
        sa.Column("invite", sa.String(64), nullable=False),
        sa.Column("joins_as", sa.String(255), nullable=False),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
        sa.Column("made_by", sa.String(255), nullable=False),
        sa.Column("used_by", sa.String(255), nullable=False),
        sa.Column("used_key", sa.String(64), nullable=False),
        sa.Column("used_at_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("invite", name="pk_setting_invites"),
    )
