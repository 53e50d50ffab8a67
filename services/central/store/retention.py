"""Dropping what is too old, by whole partitions: no row is rewritten."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from services.central.store.purposes import WorkClient
from services.central.store.rollups import Level


@dataclass(frozen=True, slots=True)
class Held:
    """What the days that are there tell of those that were dropped. All in ms, UTC.

    first_ms: start of the oldest day with any rows; 0 without one. raw_ms, minutes_ms: end of the
    last day of which flow records, or sums of minutes, are dropped and longer sums left; 0 without
    one.
    """

    first_ms: int = 0
    raw_ms: int = 0
    minutes_ms: int = 0


def held(client: WorkClient) -> Held:
    """Return what is held now: what was dropped does not come back with a longer retention."""
    raw = _days(client, "flows")
    rollups = _rollup_days(client)
    minutes = [day for level, day in rollups if level == Level.MINUTE]
    hours = [day for level, day in rollups if level == Level.HOUR]
    return Held(
        _start_ms(min([*raw, *minutes, *hours], default=None)),
        _dropped_until_ms(raw, [*minutes, *hours]),
        _dropped_until_ms(minutes, hours),
    )


def drop_raw_before(client: WorkClient, day: date) -> list[date]:
    """Drop the partitions of `flows` before `day`; return their days."""
    return _drop_days(client, "flows", day)


def drop_losses_before(client: WorkClient, day: date) -> list[date]:
    """Drop the partitions of `losses` before `day`; return their days."""
    return _drop_days(client, "losses", day)


def drop_rollups_before(client: WorkClient, level: Level, day: date) -> list[date]:
    """Drop the partitions of `level` before `day`; return their days."""
    dropped = []
    for kind, of_day in _rollup_days(client):
        if kind == level and of_day < day:
            client.command(
                f"ALTER TABLE rollups DROP PARTITION ({int(level)}, '{of_day.isoformat()}')"
            )
            dropped.append(of_day)
    return dropped


def _drop_days(client: WorkClient, table: str, day: date) -> list[date]:
    dropped = [of_day for of_day in _days(client, table) if of_day < day]
    for of_day in dropped:
        client.command(f"ALTER TABLE {table} DROP PARTITION '{of_day.isoformat()}'")
    return dropped


def _dropped_until_ms(days: Sequence[date], longer: Sequence[date]) -> int:
    """Return the end of the last day that only `longer` sums have; they are made of the others."""
    oldest = min(days, default=date.max)
    dropped = [day + timedelta(days=1) for day in longer if day < oldest]
    return _start_ms(max(dropped, default=None))


def _start_ms(day: date | None) -> int:
    if day is None:
        return 0
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def _days(client: WorkClient, table: str) -> list[date]:
    return [date.fromisoformat(partition) for partition in _partitions(client, table)]


def _rollup_days(client: WorkClient) -> list[tuple[int, date]]:
    found = []
    for partition in _partitions(client, "rollups"):
        # A tuple prints as (0,'2026-01-31').
        kind, _, text = partition.strip("()").partition(",")
        found.append((int(kind), date.fromisoformat(text.strip("'"))))
    return found


def _partitions(client: WorkClient, table: str) -> list[str]:
    rows = client.rows(
        "SELECT DISTINCT partition FROM system.parts WHERE active "
        "AND database = currentDatabase() AND table = {table:String} ORDER BY partition",
        {"table": table},
    )
    return [str(row[0]) for row in rows]
