"""Digests as they were noted at closing, and computed again."""

from dataclasses import dataclass

import pyarrow as pa

from services.central.store import closing, digests
from services.central.store.purposes import WorkClient
from services.central.store.rollups import Level


@dataclass(frozen=True, slots=True)
class Digest:
    """Count, sums and hash sum of some rows. version: of the column list; 0 has no meaning."""

    rows: int
    flows: int
    bytes: int
    packets: int
    digest: int
    version: int


def published_digests(client: WorkClient, stream: int, *, since_ms: int) -> pa.Table:
    """Return the marker rows of a stream's minutes from `since_ms` on, oldest first."""
    return client.query_arrow(
        "SELECT stream, toUnixTimestamp(starts_at) * 1000 AS starts_at, flows, bytes, packets, "
        "digest, digest_version FROM rollups WHERE level = 0 AND grouping = 0 "
        # Qualified: the answer's column of this name holds ms.
        "AND stream = {stream:UInt64} AND rollups.starts_at >= toDateTime({since:UInt32}, 'UTC') "
        "ORDER BY rollups.starts_at",
        {"stream": stream, "since": since_ms // 1000},
    )


def raw_digest(client: WorkClient, stream: int, minute_ms: int) -> Digest:
    """Compute the digest of the raw rows of a minute, over the newest column list."""
    rows = client.rows(
        "SELECT count(), count(), sum(bytes), sum(packets), "
        f"sumWithOverflow({digests.row_hash()}) FROM flows WHERE {closing.IN_MINUTE}",
        {"stream": stream, "starts_at": minute_ms // 1000},
    )
    return _digest(rows[0])


def rollup_digest(client: WorkClient, level: Level, stream: int, starts_ms: int) -> Digest:
    """Compute the digest of the roll-up rows of a period; flows and sums are its marker's."""
    rows = client.rows(
        "SELECT count(), sumIf(flows, grouping = 0), sumIf(bytes, grouping = 0), "
        f"sumIf(packets, grouping = 0), sumWithOverflow({digests.rollup_row_hash()}) FROM rollups "
        f"WHERE level = {{level:UInt8}} AND {closing.AT_PERIOD}",
        {"stream": stream, "starts_at": starts_ms // 1000, "level": int(level)},
    )
    return _digest(rows[0])


def _digest(row: tuple[int, ...]) -> Digest:
    rows, flows, size, packets, digest = (int(value) for value in row)
    return Digest(rows, flows, size, packets, digest, digests.VERSION)
