"""Flow records as the collectors sent them."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# One statement that may run again: a kill between it and the note of its revision repeats it.
STATEMENT = """
CREATE TABLE IF NOT EXISTS flows (
    received_at DateTime64(3, 'UTC'),
    started_at DateTime64(3, 'UTC'),
    ended_at DateTime64(3, 'UTC'),
    collector LowCardinality(String),
    stream UInt64,
    datagram UInt64,
    exporter IPv6,
    observation_domain UInt32,
    export_version UInt8,
    src_addr IPv6,
    dst_addr IPv6,
    next_hop IPv6,
    bgp_next_hop IPv6,
    src_port UInt16,
    dst_port UInt16,
    icmp_type UInt8,
    icmp_code UInt8,
    protocol UInt8,
    tcp_flags UInt16,
    tos UInt8,
    in_if UInt32,
    out_if UInt32,
    direction UInt8 DEFAULT 255,
    src_as UInt32,
    dst_as UInt32,
    src_prefix UInt8,
    dst_prefix UInt8,
    src_vlan UInt16,
    dst_vlan UInt16,
    src_mac UInt64,
    dst_mac UInt64,
    mpls_label UInt32,
    bytes UInt64,
    packets UInt64,
    sampling_rate UInt32,
    sampling_source UInt8,
    forwarding_status UInt8,
    flow_end_reason UInt8,
    application UInt64,
    firewall_event UInt8,
    nat_src_addr IPv6,
    nat_dst_addr IPv6,
    nat_src_port UInt16,
    nat_dst_port UInt16,
    vrf UInt32,
    PROJECTION datagrams (
        SELECT toStartOfMinute(received_at), stream, max(datagram), count()
        GROUP BY toStartOfMinute(received_at), stream
    )
)
ENGINE = MergeTree
PARTITION BY toDate(received_at)
ORDER BY (toStartOfMinute(received_at), stream, exporter, datagram)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1,
    non_replicated_deduplication_window = 10000
"""


def upgrade() -> None:
    """Run the statement."""
    op.execute(STATEMENT)
