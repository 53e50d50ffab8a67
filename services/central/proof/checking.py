"""What the store holds of closed periods, and against what was said of them at closing."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from services.central.proof.compare import NAMED_MAX
from services.central.store import digests
from services.central.store.proof_rows import NOTHING, ProofRows
from services.central.store.rollups import Level
from shared.digest_records import (
    MINUTE,
    Found,
    Period,
    PeriodDigest,
    RawSums,
    RollupSums,
)

NO_ROLLUPS = RollupSums(0, 0)
DAY_MS = 86_400_000


def closed_records(
    rows: ProofRows, central: str, level: Level, stream: int, from_ms: int, to_ms: int
) -> list[PeriodDigest]:
    """Return what `central` holds of the closed periods that begin in the range. Blocking."""
    return [
        PeriodDigest(
            central=central,
            period=Period(stream, int(level), each.starts_ms),
            raw=each.marker,
            digest_version=each.digest_version,
            rollups=each.rollups,
            rollup_version=digests.VERSION,
            exporters=each.exporters,
            exporters_more=each.exporters_more,
        )
        for each in rows.closed(level, stream, from_ms, to_ms)
        if each.marker is not None
    ]


def check_periods(
    rows: ProofRows, stream: int, expected: Iterable[PeriodDigest], *, raw_from_ms: int
) -> dict[Period, Found | None]:
    """Return what was found of each of `expected`, periods of the stream: None as it was closed.

    raw_from_ms: raw rows before are not kept by the retention, UTC. Blocking.
    """
    wanted = {record.period: record for record in expected}
    minutes = [period for period in wanted if period.level == MINUTE]
    raw: Mapping[int, RawSums] = {}
    if minutes and max(minutes).ends_ms > raw_from_ms:
        raw = rows.raw(stream, min(minutes).starts_ms, max(minutes).ends_ms)
        # Asked after the rows: a day that was dropped meanwhile is none that changed.
        if (oldest := rows.oldest_raw_day()) is not None:
            begins = datetime(oldest.year, oldest.month, oldest.day, tzinfo=UTC)
            raw_from_ms = max(raw_from_ms, int(begins.timestamp()) * 1000)
    rolled: dict[Period, RollupSums] = {}
    for level in sorted({Level(period.level) for period in wanted}):
        of_level = [period for period in wanted if period.level == level]
        first_ms, end_ms = min(of_level).starts_ms, max(of_level).ends_ms
        for each in rows.closed(level, stream, first_ms, end_ms):
            rolled[Period(stream, int(level), each.starts_ms)] = each.rollups
    found = {}
    for period, record in wanted.items():
        raw_now = None
        if period.level == MINUTE and period.starts_ms >= raw_from_ms:
            raw_now = raw.get(period.starts_ms, NOTHING)
        seen = mismatch(record, raw_now, rolled.get(period, NO_ROLLUPS))
        found[period] = None if seen is None else _named(rows, period, seen)
    return found


def mismatch(record: PeriodDigest, raw: RawSums | None, rollups: RollupSums) -> Found | None:
    """Return how a period is not as it was closed, or None. raw: None where not kept."""
    if raw is not None:
        known = 4 if record.digest_version == digests.VERSION else 3
        if raw[:known] == record.raw[:known]:
            raw = None
    same_columns = record.rollup_version == digests.VERSION
    is_same = rollups == record.rollups if same_columns else rollups.rows == record.rollups.rows
    if raw is None and is_same:
        return None
    return Found(raw=raw, rollups=None if is_same else rollups)


def _named(rows: ProofRows, period: Period, found: Found) -> Found:
    names: set[str] = set()
    if found.raw is not None:
        names.update(rows.exporters_with_other_rows(period.stream, period.starts_ms))
    if found.rollups is not None:
        level = Level(period.level)
        names.update(rows.exporters_with_other_rollups(level, period.stream, period.starts_ms))
    listed = sorted(names)
    return Found(
        raw=found.raw,
        rollups=found.rollups,
        exporters=tuple(listed[:NAMED_MAX]),
        exporters_more=len(listed[NAMED_MAX:]),
    )
