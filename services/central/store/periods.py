"""Minutes and hours of streams: which are open, which are closed, and closing them."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from services.central.store import closing
from services.central.store.errors import StoreError
from services.central.store.purposes import WorkClient
from services.central.store.rollups import Level


@dataclass(frozen=True, slots=True)
class ClosingPolicy:
    """Safeguards of closing; only a negative control changes them."""

    settings: Mapping[str, Any]
    ordered: bool = True
    check_marker: bool = True


Measured = Callable[[str], AbstractContextManager[None]]
"""Encloses a write to a table and raises StoreAway when the disk is full."""

SAFE = ClosingPolicy(closing.ONE_BLOCK)


class Periods:
    """The roll-ups' side of the store, on the work client."""

    def __init__(self, client: WorkClient, policy: ClosingPolicy, measured: Measured) -> None:
        """Use `client` from the thread that inserts; `measured` encloses each write."""
        self._client = client
        self._measured = measured
        self._policy = policy

    def open_minutes(self, stream: int, *, since_ms: int) -> list[int]:
        """Return the starts (ms) of the minutes with raw rows from the minute of `since_ms` on."""
        rows = self._client.rows(
            "SELECT toUnixTimestamp(toStartOfMinute(received_at)) AS starts_at FROM flows "
            "WHERE stream = {stream:UInt64} "
            "AND toStartOfMinute(received_at) >= toDateTime({since:UInt32}, 'UTC') "
            "GROUP BY toStartOfMinute(received_at) ORDER BY starts_at",
            {"stream": stream, "since": max(since_ms, 0) // 60_000 * 60},
        )
        return [int(row[0]) * 1000 for row in rows]

    def rolled_until(self, stream: int) -> tuple[int, int] | None:
        """Return (`minutes_until`, `hours_until`) in ms from the marker rows; None without any.

        `hours_until` is 0 before the first hour is closed.
        """
        rows = self._client.rows(
            "SELECT level, toUnixTimestamp(max(starts_at)) FROM rollups "
            "WHERE grouping = 0 AND stream = {stream:UInt64} GROUP BY level",
            {"stream": stream},
        )
        if not rows:
            return None
        last = {int(level): int(starts_at) for level, starts_at in rows}
        until = {level: (at + Level(level).seconds) * 1000 for level, at in last.items()}
        hours_until = until.get(int(Level.HOUR), 0)
        return max(until.get(int(Level.MINUTE), 0), hours_until), hours_until

    def close(self, level: Level, stream: int, starts_ms: int, *, attempt: int) -> bool:
        """Close one period unless it is closed; tell whether it has roll-ups now."""
        starts_at = starts_ms // 1000
        if starts_ms % (level.seconds * 1000):
            raise StoreError(f"{starts_ms} ms is no start of a {level.name.lower()}")
        if self._policy.check_marker and self._closed(level, stream, starts_at):
            return True
        parameters = {"stream": stream, "starts_at": starts_at}
        rows_sql = closing.MINUTE_ROWS if level is Level.MINUTE else closing.HOUR_ROWS
        if not self._client.rows(rows_sql, parameters)[0][0]:
            return False
        self._insert(level, parameters, closing.close_token(level, stream, starts_at, attempt))
        if not self._closed(level, stream, starts_at):
            # A kill can leave the token without the part (see FlowStore): once more under another.
            token = closing.close_token(level, stream, starts_at, attempt)
            self._insert(level, parameters, f"{token}/again")
            if not self._closed(level, stream, starts_at):
                raise StoreError(f"closing {level.name.lower()} {starts_ms} left no roll-ups")
        return True

    def _insert(self, level: Level, parameters: Mapping[str, Any], token: str) -> None:
        statement = closing.close_minute_sql if level is Level.MINUTE else closing.close_hour_sql
        settings = {**self._policy.settings, "insert_deduplication_token": token}
        with self._measured("rollups"):
            self._client.command(statement(ordered=self._policy.ordered), parameters, settings)

    def _closed(self, level: Level, stream: int, starts_at: int) -> bool:
        parameters = {"level": int(level), "stream": stream, "starts_at": starts_at}
        return bool(self._client.rows(closing.MARKERS, parameters)[0][0])
