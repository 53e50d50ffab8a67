"""Digests over ranges of periods, computed and as noted at closing, and deleting for a repair.

All on the digests' own client, in one thread: nothing here waits for an insert, or lets one wait.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from services.central.store import closing, digests
from services.central.store.purposes import WorkClient
from services.central.store.rollups import GROUPING_SETS, Level
from shared.addresses import format_address
from shared.digest_records import EXPORTERS_MAX, ExporterDigest, RawSums, RollupSums

CHECK_TABLE: Final = "repair_check"
"""In memory: the rows of one minute as the log holds them, while a repair compares."""
NOTHING: Final = RawSums(0, 0, 0, 0)

_RAW = f"count(), sum(bytes), sum(packets), sumWithOverflow({digests.row_hash()})"
_MINUTES = (
    "stream = {stream:UInt64} "
    "AND toStartOfMinute(received_at) >= toDateTime({from_s:UInt32}, 'UTC') "
    "AND toStartOfMinute(received_at) < toDateTime({to_s:UInt32}, 'UTC') "
    "AND received_at >= toDateTime64({from_s:UInt32}, 3, 'UTC') "
    "AND received_at < toDateTime64({to_s:UInt32}, 3, 'UTC')"
)
_PERIODS = (
    "level = {level:UInt8} AND stream = {stream:UInt64} "
    "AND rollups.starts_at >= toDateTime({from_s:UInt32}, 'UTC') "
    "AND rollups.starts_at < toDateTime({to_s:UInt32}, 'UTC')"
)
_ONE_CORE: Final = "SETTINGS max_threads = 1"
"""A scrub shall take no second core from inserts and reports."""
_WAITED_FOR: Final = {"mutations_sync": 2}


@dataclass(frozen=True, slots=True)
class ClosedPeriod:
    """The roll-ups of one period. marker: what its marker row carries, None without that row.

    exporters: as `PeriodDigest`; digest_version: of the marker's digest.
    """

    starts_ms: int
    marker: RawSums | None
    digest_version: int
    rollups: RollupSums
    exporters: tuple[ExporterDigest, ...]
    exporters_more: int


class ProofRows:
    """What proof needs of the store, on the client of the digests; one thread uses it."""

    def __init__(self, client: WorkClient) -> None:
        """Use `client`, which the store opens and closes."""
        self._client = client

    def closed(self, level: Level, stream: int, from_ms: int, to_ms: int) -> list[ClosedPeriod]:
        """Return the closed periods that begin in the range, with digests computed now."""
        rows = self._client.rows(
            "SELECT toUnixTimestamp(rollups.starts_at) AS at, countIf(grouping = 0), "
            "sumIf(flows, grouping = 0), sumIf(bytes, grouping = 0), sumIf(packets, grouping = 0), "
            "sumIf(digest, grouping = 0), maxIf(digest_version, grouping = 0), "
            f"count(), sumWithOverflow({digests.rollup_row_hash()}), "
            # Hexadecimal: the order of the addresses, whatever the driver makes of them.
            f"arraySlice(arraySort(groupArrayIf((hex(exporter), flows, digest), grouping = 1)), "
            f"1, {EXPORTERS_MAX if level is Level.MINUTE else 0}), countIf(grouping = 1) "
            f"FROM rollups WHERE {_PERIODS} GROUP BY at ORDER BY at {_ONE_CORE}",
            {**_range(stream, from_ms, to_ms), "level": int(level)},
        )
        return [_closed(row, level) for row in rows]

    def raw(self, stream: int, from_ms: int, to_ms: int) -> Mapping[int, RawSums]:
        """Return the sums of the raw rows of each minute in the range that has any."""
        rows = self._client.rows(
            f"SELECT toUnixTimestamp(toStartOfMinute(received_at)) AS at, {_RAW} FROM flows "
            f"WHERE {_MINUTES} GROUP BY at {_ONE_CORE}",
            _range(stream, from_ms, to_ms),
        )
        return {int(at) * 1000: RawSums(*map(int, sums)) for at, *sums in rows}

    def oldest_raw_day(self) -> date | None:
        """Return the oldest day with raw rows; None without any."""
        rows = self._client.rows(
            "SELECT min(partition) FROM system.parts WHERE active "
            "AND database = currentDatabase() AND table = 'flows'"
        )
        return date.fromisoformat(str(rows[0][0])) if rows and rows[0][0] else None

    def exporters_with_other_rows(self, stream: int, minute_ms: int) -> list[str]:
        """Return the exporters whose raw rows are not those that the minute was closed with."""
        parameters = {"stream": stream, "starts_at": minute_ms // 1000}
        rows = self._client.rows(
            "SELECT hex(exporter) AS of_exporter FROM ("
            f"SELECT exporter, count() AS f, sumWithOverflow({digests.row_hash()}) AS d "
            f"FROM flows WHERE {closing.IN_MINUTE} GROUP BY exporter UNION ALL "
            "SELECT exporter, flows AS f, digest AS d FROM rollups "
            f"WHERE level = 0 AND grouping = 1 AND {closing.AT_PERIOD}) "
            "GROUP BY exporter HAVING count() != 2 OR min(f) != max(f) OR min(d) != max(d) "
            "ORDER BY of_exporter",
            parameters,
        )
        return [_address(str(row[0])) for row in rows]

    def exporters_with_other_rollups(self, level: Level, stream: int, starts_ms: int) -> list[str]:
        """Return the exporters of a period of whom not all grouping sets say the same.

        A row whose sums are right and whose key was changed is not seen so.
        """
        sets = len(GROUPING_SETS) - 1
        rows = self._client.rows(
            "SELECT hex(exporter) AS of_exporter FROM ("
            "SELECT exporter, grouping, sum(rollups.flows) AS f, sum(rollups.bytes) AS b, "
            "sum(rollups.packets) AS p, sum(rollups.bytes_scaled) AS s "
            "FROM rollups WHERE level = {level:UInt8} AND grouping > 0 "
            f"AND {closing.AT_PERIOD} GROUP BY exporter, grouping) "
            f"GROUP BY exporter HAVING count() != {sets} OR min(f) != max(f) OR min(b) != max(b) "
            "OR min(p) != max(p) OR min(s) != max(s) ORDER BY of_exporter",
            {"stream": stream, "starts_at": starts_ms // 1000, "level": int(level)},
        )
        return [_address(str(row[0])) for row in rows]

    def sums_of(
        self, values: Sequence[tuple[bytes, Sequence[str]]], stream: int, minute_ms: int
    ) -> RawSums:
        """Return the sums that the rows of Arrow streams would have as raw rows of the minute.

        values: (stream of Arrow, its columns).
        """
        self.drop_check()
        self._client.command(f"CREATE TABLE {CHECK_TABLE} AS flows ENGINE = Memory")
        try:
            for value, columns in values:
                self._client.insert_arrow_stream(CHECK_TABLE, columns, value, {"async_insert": 0})
            rows = self._client.rows(
                f"SELECT {_RAW} FROM {CHECK_TABLE} WHERE {closing.IN_MINUTE}",
                {"stream": stream, "starts_at": minute_ms // 1000},
            )
        finally:
            self.drop_check()
        return RawSums(*map(int, rows[0]))

    def drop_check(self) -> None:
        """Drop what a killed repair left of its comparison."""
        self._client.command(f"DROP TABLE IF EXISTS {CHECK_TABLE}")

    def delete_raw(self, stream: int, minute_ms: int) -> None:
        """Delete the raw rows of a minute; returns once they are gone."""
        self._client.command(
            # Not a lightweight delete: the table has a projection, which those do not keep.
            f"ALTER TABLE flows DELETE IN PARTITION '{_day(minute_ms)}' WHERE {closing.IN_MINUTE}",
            {"stream": stream, "starts_at": minute_ms // 1000},
            _WAITED_FOR,
        )


def delete_rollups(client: WorkClient, level: Level, stream: int, starts_ms: int) -> None:
    """Delete the roll-ups of a period; returns once they are gone."""
    client.command(
        f"ALTER TABLE rollups DELETE IN PARTITION ({int(level)}, '{_day(starts_ms)}') "
        f"WHERE level = {int(level)} AND {closing.AT_PERIOD}",
        {"stream": stream, "starts_at": starts_ms // 1000},
        _WAITED_FOR,
    )


def _closed(row: tuple[object, ...], level: Level) -> ClosedPeriod:
    at, markers, flows, size, packets, digest, version, rows, rollup_digest, listed, count = row
    exporters = tuple(
        ExporterDigest(_address(str(each[0])), int(each[1]), int(each[2]))
        for each in listed  # type: ignore[attr-defined]  # an array of the store
    )
    numbers = [int(str(each)) for each in (flows, size, packets, digest)]
    return ClosedPeriod(
        starts_ms=int(str(at)) * 1000,
        marker=RawSums(*numbers) if int(str(markers)) else None,
        digest_version=int(str(version)),
        rollups=RollupSums(int(str(rows)), int(str(rollup_digest))),
        exporters=exporters,
        exporters_more=int(str(count)) - len(exporters) if level is Level.MINUTE else 0,
    )


def _range(stream: int, from_ms: int, to_ms: int) -> dict[str, int]:
    return {"stream": stream, "from_s": from_ms // 1000, "to_s": to_ms // 1000}


def _address(text: str) -> str:
    return format_address(bytes.fromhex(text))


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()
