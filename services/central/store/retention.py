"""Dropping what is too old, by whole partitions: no row is rewritten."""

from datetime import date

from services.central.store.purposes import WorkClient
from services.central.store.rollups import Level


def drop_raw_before(client: WorkClient, day: date) -> list[date]:
    """Drop the partitions of `flows` before `day`; return their days."""
    return _drop_days(client, "flows", day)


def drop_losses_before(client: WorkClient, day: date) -> list[date]:
    """Drop the partitions of `losses` before `day`; return their days."""
    return _drop_days(client, "losses", day)


def drop_rollups_before(client: WorkClient, level: Level, day: date) -> list[date]:
    """Drop the partitions of `level` before `day`; return their days."""
    dropped = []
    for partition in _partitions(client, "rollups"):
        # A tuple prints as (0,'2026-01-31').
        kind, _, text = partition.strip("()").partition(",")
        of_day = date.fromisoformat(text.strip("'"))
        if int(kind) == level and of_day < day:
            client.command(
                f"ALTER TABLE rollups DROP PARTITION ({int(level)}, '{of_day.isoformat()}')"
            )
            dropped.append(of_day)
    return dropped


def _drop_days(client: WorkClient, table: str, day: date) -> list[date]:
    days = [date.fromisoformat(partition) for partition in _partitions(client, table)]
    dropped = [of_day for of_day in days if of_day < day]
    for of_day in dropped:
        client.command(f"ALTER TABLE {table} DROP PARTITION '{of_day.isoformat()}'")
    return dropped


def _partitions(client: WorkClient, table: str) -> list[str]:
    rows = client.rows(
        "SELECT DISTINCT partition FROM system.parts WHERE active "
        "AND database = currentDatabase() AND table = {table:String} ORDER BY partition",
        {"table": table},
    )
    return [str(row[0]) for row in rows]
