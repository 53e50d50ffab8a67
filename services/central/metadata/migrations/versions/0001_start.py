"""Positions, streams, settings, and what was seen."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "positions",
        sa.Column("topic", sa.String(249), nullable=False),
        sa.Column("partition", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("topic_id", sa.String(36), nullable=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition", name="pk_positions"),
    )
    op.create_table(
        "streams",
        sa.Column("stream", sa.String(16), nullable=False),
        sa.Column("worker", sa.String(255), nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("started_at_ms", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.Column("minutes_until_ms", sa.BigInteger, nullable=False),
        sa.Column("hours_until_ms", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.Boolean, nullable=False),
        sa.Column("listed", sa.Boolean, nullable=False),
        sa.Column("newest_ms", sa.BigInteger, nullable=False),
        sa.Column("appended_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("stream", name="pk_streams"),
    )
    op.create_table(
        "settings_position",
        sa.Column("topic", sa.String(249), nullable=False),
        sa.Column("topic_id", sa.String(36), nullable=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        sa.Column("read_at_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("topic", name="pk_settings_position"),
    )
    op.create_table(
        "setting_retention",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("raw_days", sa.Integer, nullable=False),
        sa.Column("minute_days", sa.Integer, nullable=False),
        sa.Column("hour_days", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_setting_retention"),
    )
    op.create_table(
        "setting_exporters",
        sa.Column("exporter", sa.String(45), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("exporter", name="pk_setting_exporters"),
    )
    op.create_table(
        "setting_interfaces",
        sa.Column("exporter", sa.String(45), nullable=False),
        sa.Column("if_index", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("speed_bps", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("exporter", "if_index", name="pk_setting_interfaces"),
    )
    op.create_table(
        "exporters_seen",
        sa.Column("exporter", sa.String(45), nullable=False),
        sa.Column("export_version", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("first_seen_ms", sa.BigInteger, nullable=False),
        sa.Column("last_seen_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("exporter", "export_version", name="pk_exporters_seen"),
    )
    op.create_table(
        "interfaces_seen",
        sa.Column("exporter", sa.String(45), nullable=False),
        sa.Column("if_index", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("first_seen_ms", sa.BigInteger, nullable=False),
        sa.Column("last_seen_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("exporter", "if_index", name="pk_interfaces_seen"),
    )
