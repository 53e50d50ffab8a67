"""The flow store in memory: what the applier needs of it, all or nothing like the real one."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime

import pyarrow as pa

from services.central.messages import MINUTE_MS
from services.central.store import LossRow, QuarantineRow
from services.central.store.retention import Held
from services.central.store.rollups import Level

HOUR_MS = 60 * MINUTE_MS


class MemoryStore:
    def __init__(self) -> None:
        self.rows: Counter[tuple[int, int, int]] = Counter()
        self.minute_of: dict[tuple[int, int, int], int] = {}
        self.losses: list[LossRow] = []
        self.quarantine: list[QuarantineRow] = []
        self.closed: dict[tuple[Level, int, int], int] = {}
        self.inserts: list[int] = []

    def flow_maxima(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for stream, number, _ in self.rows:
            found[stream] = max(found.get(stream, 0), number)
        return found

    def loss_maxima(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for row in self.losses:
            found[row.stream] = max(found.get(row.stream, 0), row.last)
        return found

    def quarantine_maxima(self) -> dict[tuple[str, int], int]:
        found: dict[tuple[str, int], int] = {}
        for row in self.quarantine:
            log = (row.topic_id, row.partition)
            found[log] = max(found.get(log, -1), row.offset)
        return found

    def insert_flows(self, value: bytes, *, columns: Sequence[str], token: str) -> None:
        table = pa.ipc.open_stream(value).read_all()
        assert table.column_names == list(columns)
        instants = table["received_at"].cast(pa.int64()).to_pylist()
        assert len({at // (24 * HOUR_MS) for at in instants}) == 1, "rows of two days"
        names = ("stream", "datagram", "bytes")
        keys = list(zip(*(table[name].to_pylist() for name in names), strict=True))
        self.rows.update(keys)
        self.minute_of.update(
            {key: at // MINUTE_MS * MINUTE_MS for key, at in zip(keys, instants, strict=True)}
        )
        self.inserts.append(table.num_rows)

    def insert_losses(self, rows: Sequence[LossRow], *, token: str) -> None:
        assert len({row.minute_ms // (24 * HOUR_MS) for row in rows}) == 1, "losses of two days"
        self.losses += rows

    def insert_quarantine(self, rows: Sequence[QuarantineRow]) -> None:
        self.quarantine += rows

    def open_minutes(self, stream: int, *, since: int) -> list[int]:
        minutes = {m for key, m in self.minute_of.items() if key[0] == stream}
        return sorted(minute for minute in minutes if minute >= since)

    def rolled_until(self, stream: int) -> tuple[int, int] | None:
        closed = [key for key in self.closed if key[1] == stream]
        if not closed:
            return None
        ends = dict.fromkeys(Level, 0)
        for level, _, start in closed:
            ends[level] = max(ends[level], start + level.seconds * 1000)
        return max(ends.values()), ends[Level.HOUR]

    def close_minute(self, stream: int, minute_ms: int) -> bool:
        return self._close(Level.MINUTE, stream, minute_ms)

    def close_hour(self, stream: int, hour_ms: int) -> bool:
        return self._close(Level.HOUR, stream, hour_ms)

    def held(self) -> Held:
        return Held(first_ms=min(self.minute_of.values(), default=0))

    def drop_raw_before(self, day: date) -> list[date]:
        gone = [key for key, at in self.minute_of.items() if _day(at) < day]
        days = {_day(self.minute_of[key]) for key in gone}
        for key in gone:
            del self.rows[key], self.minute_of[key]
        return sorted(days)

    def drop_rollups_before(self, level: Level, day: date) -> list[date]:
        gone = [key for key in self.closed if key[0] is level and _day(key[2]) < day]
        for key in gone:
            del self.closed[key]
        return sorted({_day(key[2]) for key in gone})

    def drop_losses_before(self, day: date) -> list[date]:
        gone = {_day(row.minute_ms) for row in self.losses if _day(row.minute_ms) < day}
        self.losses = [row for row in self.losses if _day(row.minute_ms) >= day]
        return sorted(gone)

    def rows_in(self, level: Level, stream: int, start_ms: int) -> int:
        end_ms = start_ms + level.seconds * 1000
        return sum(
            self.rows[key]
            for key, minute in self.minute_of.items()
            if key[0] == stream and start_ms <= minute < end_ms
        )

    def check_closed(self) -> None:
        """Every closed period has the rows it had when it closed."""
        for (level, stream, start), rows in self.closed.items():
            assert rows == self.rows_in(level, stream, start), (level, stream, start)

    def _close(self, level: Level, stream: int, start_ms: int) -> bool:
        rows = self.rows_in(level, stream, start_ms)
        if rows:
            self.closed.setdefault((level, stream, start_ms), rows)
        return bool(rows)


def _day(at_ms: int) -> date:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date()
