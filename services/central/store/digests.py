"""Digests: what two centrals compare to know that they hold the same rows.

A digest is the sum (modulo 2^64) of the row hashes. A sum shows a doubled row, which an XOR hides;
the columns are named and versioned, so a column added later changes no old digest.
"""

VERSION = 1

COLUMNS_BY_VERSION: dict[int, tuple[str, ...]] = {
    1: (
        "received_at", "started_at", "ended_at", "collector", "stream", "datagram", "exporter",
        "observation_domain", "export_version", "src_addr", "dst_addr", "next_hop", "bgp_next_hop",
        "src_port", "dst_port", "icmp_type", "icmp_code", "protocol", "tcp_flags", "tos", "in_if",
        "out_if", "direction", "src_as", "dst_as", "src_prefix", "dst_prefix", "src_vlan",
        "dst_vlan", "src_mac", "dst_mac", "mpls_label", "bytes", "packets", "sampling_rate",
        "sampling_source", "forwarding_status", "flow_end_reason", "application", "firewall_event",
        "nat_src_addr", "nat_dst_addr", "nat_src_port", "nat_dst_port", "vrf",
    ),
}  # fmt: skip


ROLLUP_COLUMNS_BY_VERSION: dict[int, tuple[str, ...]] = {
    1: (
        "level", "grouping", "starts_at", "stream", "collector", "exporter", "in_if", "out_if",
        "protocol", "application_port", "src_addr", "dst_addr", "src_as", "dst_as", "dscp",
        "flows", "bytes", "packets", "bytes_scaled", "packets_scaled", "digest", "digest_version",
    ),
}  # fmt: skip


def row_hash(version: int = VERSION) -> str:
    """Return the SQL of one raw row's hash, UInt64."""
    return f"cityHash64({', '.join(COLUMNS_BY_VERSION[version])})"


def rollup_row_hash(version: int = VERSION) -> str:
    """Return the SQL of one roll-up row's hash, UInt64."""
    return f"cityHash64({', '.join(ROLLUP_COLUMNS_BY_VERSION[version])})"
