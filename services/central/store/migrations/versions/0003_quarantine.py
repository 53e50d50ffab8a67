"""Messages that were no Arrow stream."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# One statement that may run again: a kill between it and the note of its revision repeats it.
STATEMENT = """
CREATE TABLE IF NOT EXISTS quarantine (
    topic_id String,
    partition UInt32,
    offset UInt64,
    seen_at DateTime64(3, 'UTC'),
    reason LowCardinality(String),
    bytes UInt64,
    prefix String
)
ENGINE = MergeTree
ORDER BY (topic_id, partition, offset)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1,
    non_replicated_deduplication_window = 10000
"""


def upgrade() -> None:
    """Run the statement."""
    op.execute(STATEMENT)
