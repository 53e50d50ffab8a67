"""Sums per minute (level 0) and hour (level 1), all grouping sets in one table."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# One statement that may run again: a kill between it and the note of its revision repeats it.
STATEMENT = """
CREATE TABLE IF NOT EXISTS rollups (
    level UInt8,
    grouping UInt8,
    starts_at DateTime('UTC'),
    stream UInt64,
    collector LowCardinality(String),
    exporter IPv6,
    in_if UInt32,
    out_if UInt32,
    protocol UInt8,
    application_port UInt16,
    src_addr IPv6,
    dst_addr IPv6,
    src_as UInt32,
    dst_as UInt32,
    dscp UInt8,
    flows UInt64,
    bytes UInt64,
    packets UInt64,
    bytes_scaled UInt64,
    packets_scaled UInt64,
    digest UInt64,
    digest_version UInt8
)
ENGINE = MergeTree
PARTITION BY (level, toDate(starts_at))
ORDER BY (grouping, starts_at, stream, exporter)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1,
    non_replicated_deduplication_window = 10000
"""


def upgrade() -> None:
    """Run the statement."""
    op.execute(STATEMENT)
