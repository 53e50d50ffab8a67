"""The columns of a flow record, as the collector fills, Kafka carries and the store keeps them.

Columns are only ever added, at the end, with a default. An older central stops at a column it
does not know (`unknown_columns`), so centrals are upgraded before collectors.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

ADDRESS = pa.binary(16)
INSTANT = pa.timestamp("ms", tz="UTC")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the flow record.

    always: a batch carries it even when no record of the batch has a value.
    absent: the value that means "the exporter did not say"; it is the store's default.
    """

    name: str
    arrow: pa.DataType
    clickhouse: str
    note: str
    absent: int | bytes | str = 0
    always: bool = False


COLUMNS: tuple[Column, ...] = (
    Column("received_at", INSTANT, "DateTime64(3, 'UTC')", "collector's clock", always=True),
    Column("started_at", INSTANT, "DateTime64(3, 'UTC')", "first packet of the flow"),
    Column("ended_at", INSTANT, "DateTime64(3, 'UTC')", "last packet of the flow"),
    Column(
        "collector",
        pa.dictionary(pa.int8(), pa.string()),
        "LowCardinality(String)",
        "name/worker, for people",
        "",
        always=True,
    ),
    Column("stream", pa.uint64(), "UInt64", "one life of one receiver", always=True),
    Column("datagram", pa.uint64(), "UInt64", "number in its stream, from 1", always=True),
    Column("exporter", ADDRESS, "IPv6", "source address of the datagram", b"\0" * 16, always=True),
    Column("observation_domain", pa.uint32(), "UInt32", "v9 source id, v5 engine type and id"),
    Column("export_version", pa.uint8(), "UInt8", "5, 7, 9, 10 (IPFIX), 105 (sFlow)", always=True),
    Column("src_addr", ADDRESS, "IPv6", "elements 8, 27", b"\0" * 16),
    Column("dst_addr", ADDRESS, "IPv6", "elements 12, 28", b"\0" * 16),
    Column("next_hop", ADDRESS, "IPv6", "elements 15, 62", b"\0" * 16),
    Column("bgp_next_hop", ADDRESS, "IPv6", "elements 18, 63", b"\0" * 16),
    Column("src_port", pa.uint16(), "UInt16", "elements 7, 180, 182"),
    Column("dst_port", pa.uint16(), "UInt16", "elements 11, 181, 183"),
    Column("icmp_type", pa.uint8(), "UInt8", "elements 32, 139, 176, 178"),
    Column("icmp_code", pa.uint8(), "UInt8", "elements 32, 139, 177, 179"),
    Column("protocol", pa.uint8(), "UInt8", "element 4"),
    Column("tcp_flags", pa.uint16(), "UInt16", "element 6"),
    Column("tos", pa.uint8(), "UInt8", "element 5; DSCP is tos >> 2"),
    Column("in_if", pa.uint32(), "UInt32", "elements 10, 252; SNMP ifIndex"),
    Column("out_if", pa.uint32(), "UInt32", "elements 14, 253; SNMP ifIndex"),
    Column("direction", pa.uint8(), "UInt8", "element 61; 0 ingress, 1 egress", 255),
    Column("src_as", pa.uint32(), "UInt32", "element 16"),
    Column("dst_as", pa.uint32(), "UInt32", "element 17"),
    Column("src_prefix", pa.uint8(), "UInt8", "elements 9, 29; bits"),
    Column("dst_prefix", pa.uint8(), "UInt8", "elements 13, 30; bits"),
    Column("src_vlan", pa.uint16(), "UInt16", "elements 58, 243"),
    Column("dst_vlan", pa.uint16(), "UInt16", "elements 59, 254"),
    Column("src_mac", pa.uint64(), "UInt64", "elements 56, 81"),
    Column("dst_mac", pa.uint64(), "UInt64", "elements 57, 80"),
    Column("mpls_label", pa.uint32(), "UInt32", "element 70; top label"),
    Column("bytes", pa.uint64(), "UInt64", "elements 1, 85, 352; as exported"),
    Column("packets", pa.uint64(), "UInt64", "elements 2, 86; as exported"),
    Column("sampling_rate", pa.uint32(), "UInt32", "N of 1-in-N; 0 unknown"),
    Column("sampling_source", pa.uint8(), "UInt8", "which said so: see SamplingSource"),
    Column("forwarding_status", pa.uint8(), "UInt8", "element 89"),
    Column("flow_end_reason", pa.uint8(), "UInt8", "element 136"),
    Column("application", pa.uint64(), "UInt64", "element 95"),
    Column("firewall_event", pa.uint8(), "UInt8", "elements 233, 40005"),
    Column("nat_src_addr", ADDRESS, "IPv6", "elements 225, 281", b"\0" * 16),
    Column("nat_dst_addr", ADDRESS, "IPv6", "elements 226, 282", b"\0" * 16),
    Column("nat_src_port", pa.uint16(), "UInt16", "element 227"),
    Column("nat_dst_port", pa.uint16(), "UInt16", "element 228"),
    Column("vrf", pa.uint32(), "UInt32", "elements 234, 235"),
)

BY_NAME = {column.name: column for column in COLUMNS}


def unknown_columns(schema: pa.Schema, known: Iterable[Column] = COLUMNS) -> list[str]:
    """Return `name: type` of each field that this release has no column for, or another type."""
    types = {column.name: column.arrow for column in known}
    strange = [field for field in schema if types.get(field.name) != field.type]
    return [f"{field.name}: {field.type}" for field in strange]
