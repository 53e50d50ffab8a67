"""What did not become a flow record."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# One statement that may run again: a kill between it and the note of its revision repeats it.
STATEMENT = """
CREATE TABLE IF NOT EXISTS losses (
    stream UInt64,
    first UInt64,
    last UInt64,
    minute DateTime('UTC'),
    exporter IPv6,
    reason UInt8,
    datagrams UInt64,
    flows UInt64
)
ENGINE = MergeTree
PARTITION BY toDate(minute)
ORDER BY (minute, stream, exporter, reason)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1,
    non_replicated_deduplication_window = 10000
"""


def upgrade() -> None:
    """Run the statement."""
    op.execute(STATEMENT)
