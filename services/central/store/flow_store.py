"""The flow store: raw flow records, losses and roll-ups, in chDB or on a ClickHouse server."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import date
from pathlib import Path
from typing import Any, Final, Self

import pyarrow as pa

from services.central.store import migrate, retention, scrub
from services.central.store.arrow_check import checked_schema, ensure_readable, reach
from services.central.store.clients import is_server, sqlalchemy_engine
from services.central.store.disk import FREE_BYTES, EmbeddedDisk
from services.central.store.errors import SchemaMismatch, StoreAway, StoreError
from services.central.store.periods import SAFE, ClosingPolicy, Measured, Periods
from services.central.store.proof_rows import ProofRows, delete_rollups
from services.central.store.purposes import ClientPool, Limits, WorkClient
from services.central.store.retention import Held
from services.central.store.rollups import Level
from services.central.store.rows import (
    LossRow,
    QuarantineRow,
    encode_stream,
    losses_batch,
    quarantine_batch,
)
from services.central.store.scrub import Digest
from shared.flow_record import BY_NAME

ONE_PART: Final[Mapping[str, Any]] = {
    "min_insert_block_size_rows": 1_000_000_000,
    "min_insert_block_size_bytes": 1_000_000_000_000,
    "max_partitions_per_insert_block": 1,
    "throw_on_max_partitions_per_insert_block": 1,
    "async_insert": 0,
}
"""One insert = one block = one part, and rows of two days are refused: all or nothing."""


class FlowStore:
    """All tables that come from `flows`. Methods block; clients are one per purpose.

    `insert_*`, `close_*`, `drop_*` and the look-ups of the start share the work client and belong
    to one thread; `query_arrow` may be called from several; the digests and `proof` have a client
    of their own.
    """

    def __init__(
        self,
        place: str,
        *,
        limits: Limits,
        insert_settings: Mapping[str, Any],
        verify: bool,
        closing: ClosingPolicy,
        free_bytes: int | None,
    ) -> None:
        """Use `open` instead."""
        self._place = place
        self._insert_settings = insert_settings
        self._verify = verify
        self._verified: set[tuple[str, int]] = set()
        self._flow_columns: dict[str, str] | None = None
        self._work = WorkClient(place)
        self._scrub = WorkClient(place)
        self.proof = ProofRows(self._scrub)
        self._reports = ClientPool(place, limits)
        self._measured: Measured = _unmeasured
        if free_bytes is not None and not is_server(place):
            self._measured = EmbeddedDisk(self._work, Path(place), free_bytes).measured
        self._periods = Periods(self._work, closing, self._measured)

    @classmethod
    def open(
        cls,
        place: str,
        *,
        limits: Limits | None = None,
        insert_settings: Mapping[str, Any] = ONE_PART,
        verify: bool = True,
        closing: ClosingPolicy = SAFE,
        free_bytes: int | None = FREE_BYTES,
    ) -> Self:
        """Open the store at a chDB folder, or at a server by URL (`https://user:pw@host/database`).

        free_bytes: what must stay free under an embedded store; None measures nothing.
        insert_settings, verify, closing: safeguards that only a negative control switches off.
        Raises StoreAway when it cannot be reached or another process holds the folder.
        """
        store = cls(
            place,
            limits=limits or Limits(),
            insert_settings=insert_settings,
            verify=verify,
            closing=closing,
            free_bytes=free_bytes,
        )
        try:
            store._work.open()
            store._scrub.open()
            store._reports.open()
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Close every client; waits for statements that are running."""
        self._reports.close()
        self._scrub.close()
        self._work.close()

    def migrate(self, revision: str = "head") -> None:
        """Bring the tables to `revision`; repairs what a kill in an earlier call left."""
        engine = sqlalchemy_engine(self._place)
        try:
            migrate.upgrade(engine, revision=revision)
        finally:
            engine.dispose()
        self._flow_columns = None

    def flow_maxima(self) -> dict[int, int]:
        """Return the largest datagram number of each stream that has raw rows."""
        return self._maxima("SELECT stream, max(datagram) FROM flows GROUP BY stream")

    def loss_maxima(self) -> dict[int, int]:
        """Return the largest `last` of each stream that has losses."""
        return self._maxima("SELECT stream, max(last) FROM losses GROUP BY stream")

    def quarantine_maxima(self) -> dict[tuple[str, int], int]:
        """Return the largest quarantined offset by topic id and partition."""
        rows = self._work.rows(
            "SELECT topic_id, partition, max(offset) FROM quarantine GROUP BY topic_id, partition"
        )
        return {(str(topic), int(partition)): int(offset) for topic, partition, offset in rows}

    def insert_flows(self, value: bytes, *, columns: Sequence[str], token: str) -> None:
        """Insert the Arrow stream `value` as it is: one block, one part, all or nothing.

        columns: the names in `value`. token: made from the ranges in `value`, never from offsets.
        Rows must be of one day. Raises NotArrow (nothing was written: quarantine it),
        SchemaMismatch (stop), StoreAway (same call again later).
        """
        schema = checked_schema(value, self._known_flow_columns())
        if list(columns) != schema.names:
            raise StoreError(f"columns {list(columns)} are not those of the value: {schema.names}")
        try:
            last = reach(value, "datagram")
        except (pa.ArrowException, OSError, EOFError) as error:
            ensure_readable(value)
            raise StoreError("a readable Arrow stream without numbers") from error
        try:
            self._insert("flows", schema.names, value, token, last, self.flow_maxima)
        except StoreAway:
            raise
        except StoreError:
            # The engine's parser refused it: whether it is quarantined must depend on the bytes
            # alone, so that both centrals decide the same.
            ensure_readable(value)
            raise

    def insert_losses(self, rows: Sequence[LossRow], *, token: str) -> None:
        """Insert the losses of one message, all or nothing. Raises StoreAway."""
        if not rows:
            return
        batch = losses_batch(rows)
        last: dict[int, int] = {}
        for row in rows:
            last[row.stream] = max(row.last, last.get(row.stream, 0))
        value = encode_stream(batch)
        self._insert("losses", batch.schema.names, value, token, last, self.loss_maxima)

    def insert_quarantine(self, rows: Sequence[QuarantineRow]) -> None:
        """Insert quarantined messages, all or nothing. Raises StoreAway."""
        if not rows:
            return
        batch = quarantine_batch(rows)
        self._raw_insert("quarantine", batch.schema.names, encode_stream(batch), token=None)

    def open_minutes(self, stream: int, *, since: int) -> list[int]:
        """Return the starts (ms) of the minutes with raw rows from the minute of `since` (ms) on.

        A minute that is closed is among them as long as its raw rows are kept.
        """
        return self._periods.open_minutes(stream, since_ms=since)

    def rolled_until(self, stream: int) -> tuple[int, int] | None:
        """Return (`minutes_until_ms`, `hours_until_ms`) from the marker rows; None without any.

        `hours_until_ms` is 0 before the first hour is closed.
        """
        return self._periods.rolled_until(stream)

    def close_minute(self, stream: int, minute_ms: int, *, attempt: int = 0) -> bool:
        """Roll a complete minute of a stream up, once; tell whether it has roll-ups now.

        A minute without rows needs none. attempt: another number only to close again after a
        repair deleted the period's roll-ups: the old token would be dropped in silence.
        """
        return self._periods.close(Level.MINUTE, stream, minute_ms, attempt=attempt)

    def close_hour(self, stream: int, hour_ms: int, *, attempt: int = 0) -> bool:
        """Sum the closed minutes of a stream's complete hour up, once; as `close_minute`."""
        return self._periods.close(Level.HOUR, stream, hour_ms, attempt=attempt)

    def delete_rollups(self, level: Level, stream: int, starts_ms: int) -> None:
        """Delete the roll-ups of a period, which is then to be closed again."""
        delete_rollups(self._work, level, stream, starts_ms)

    def published_digests(self, stream: int, *, since: int) -> pa.Table:
        """Return the marker rows of a stream's minutes from `since` (ms) on, oldest first.

        Columns: stream, starts_at (ms), flows, bytes, packets, digest, digest_version.
        """
        return scrub.published_digests(self._scrub, stream, since_ms=since)

    def raw_digest(self, stream: int, minute_ms: int) -> Digest:
        """Compute the digest of a minute again from its raw rows."""
        return scrub.raw_digest(self._scrub, stream, minute_ms)

    def rollup_digest(self, level: Level, stream: int, starts_ms: int) -> Digest:
        """Compute the digest of the roll-up rows of a period."""
        return scrub.rollup_digest(self._scrub, level, stream, starts_ms)

    def held(self) -> Held:
        """Return since when rows are there, by the days that are."""
        return retention.held(self._work)

    def drop_raw_before(self, day: date) -> list[date]:
        """Drop the raw days (UTC) before `day`; return them.

        All their minutes must be closed, and the hints written: only the caller knows.
        """
        return retention.drop_raw_before(self._work, day)

    def drop_rollups_before(self, level: Level, day: date) -> list[date]:
        """Drop the roll-ups of `level` of the days (UTC) before `day`; return them."""
        return retention.drop_rollups_before(self._work, level, day)

    def drop_losses_before(self, day: date) -> list[date]:
        """Drop the losses of the days (UTC) before `day`; return them."""
        return retention.drop_losses_before(self._work, day)

    def query_arrow(self, sql: str, parameters: Mapping[str, Any]) -> pa.Table:
        """Answer a report from the pool.

        Raises ReportsBusy, QueryRefused (time, memory) or StoreAway.
        """
        return self._reports.query_arrow(sql, parameters)

    def _insert(
        self,
        table: str,
        columns: Sequence[str],
        value: bytes,
        token: str,
        last: Mapping[int, int],
        maxima: Callable[[], dict[int, int]],
    ) -> None:
        self._raw_insert(table, columns, value, token)
        unverified = {(table, stream) for stream in last} - self._verified
        if not self._verify or not unverified:
            return
        # The engine notes a token before it takes the part in: a kill between the two leaves a
        # token without rows, and the same block would be dropped for ever. Only a block that a
        # killed process had in hand can meet that, so the first of each stream is checked.
        present = maxima()
        if any(present.get(stream, 0) < number for stream, number in last.items()):
            self._raw_insert(table, columns, value, f"{token}/again")
            present = maxima()
            if any(present.get(stream, 0) < number for stream, number in last.items()):
                raise StoreError(f"{table}: an insert was accepted and left no rows")
        self._verified |= unverified

    def _raw_insert(
        self, table: str, columns: Sequence[str], value: bytes, token: str | None
    ) -> None:
        settings = dict(self._insert_settings)
        if token is not None:
            settings["insert_deduplication_token"] = token
        try:
            with self._measured(table):
                self._work.insert_arrow_stream(table, columns, value, settings)
        except StoreAway:
            # Whether the block is in is unknown: look again after the next one.
            self._verified.clear()
            raise

    def _maxima(self, sql: str) -> dict[int, int]:
        return {int(stream): int(number) for stream, number in self._work.rows(sql)}

    def _known_flow_columns(self) -> dict[str, str]:
        if self._flow_columns is None:
            rows = self._work.rows(
                "SELECT name, type FROM system.columns "
                "WHERE database = currentDatabase() AND table = 'flows'"
            )
            columns = {str(name): str(kind) for name, kind in rows}
            wrong = [
                f"{name}: {kind}"
                for name, kind in columns.items()
                if name in BY_NAME and BY_NAME[name].clickhouse != kind
            ]
            if wrong:
                raise SchemaMismatch(wrong, where="this release")
            self._flow_columns = columns
        return self._flow_columns


def _unmeasured(table: str) -> AbstractContextManager[None]:
    """Enclose a write to a server's table: a server reports its own full disk."""
    return nullcontext()
