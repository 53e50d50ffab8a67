"""Making one minute or hour here what the log says it is.

A repair whose end nobody noted begins again from its first step, under another number; each step
may be repeated. The raw rows are deleted only when the log gave all that is to take their place.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from services.central.apply import INSERT_ROWS
from services.central.arrow_pieces import PIECES_MAX, Piece, join, token
from services.central.metadata.repairs import Repair
from services.central.progress import HOUR_MS, Progress
from services.central.proof.checking import closed_records
from services.central.proof.choosing import RepairRefused
from services.central.proof.log_minute import LogMinute
from services.central.store.arrow_check import ensure_readable
from services.central.store.errors import NotArrow
from services.central.store.flow_store import FlowStore
from services.central.store.proof_rows import NOTHING
from services.central.store.rollups import Level
from shared.digest_records import MINUTE, Gone, Period, PeriodDigest, RawSums

Result = TypeVar("Result")

Values = list[tuple[bytes, Sequence[str], str]]
"""Arrow streams to insert: bytes, columns and what names the insert."""


class RepairFailed(Exception):
    """The store does not hold what was put into it; to be begun again."""


class Thread(Protocol):
    """Runs work in one thread, in turn with what else belongs there."""

    def __call__(self, work: Callable[[], Result]) -> Awaitable[Result]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Repaired:
    """How a repair ended: a sentence, and what this central holds of minute and hour now."""

    outcome: str
    records: tuple[PeriodDigest | Gone, ...]


class Repairer:
    """Carries repairs out, one at a time."""

    def __init__(
        self,
        store: FlowStore,
        *,
        central: str,
        in_proof_thread: Thread,
        between_steps: Thread,
        read_minute: Callable[[Period, int], Awaitable[LogMinute]],
        progress: Callable[[int], Progress | None],
        records: Callable[[Period], Sequence[PeriodDigest]],
        before_step: Callable[[str], None] = lambda step: None,
    ) -> None:
        """Use an open store.

        in_proof_thread: the one of `store.proof`; between_steps: the one of inserts and closings.
        read_minute: gives a minute from the log, by partition. records: what each central said last
        of a period. before_step: as of `Applier`.
        """
        self._store = store
        self._central = central
        self._in_proof_thread = in_proof_thread
        self._between_steps = between_steps
        self._read_minute = read_minute
        self._progress = progress
        self._records = records
        self._before_step = before_step

    async def run(self, repair: Repair) -> Repaired:
        """Repair a minute with its hour, or an hour from its minutes.

        Raises RepairRefused, RepairFailed, and what store and log raise while they are away.
        """
        period = repair.period
        progress = self._progress(period.stream)
        if progress is None:
            raise RepairRefused("this central knows nothing of the stream: it needs a new copy")
        if not is_closed(progress, period):
            raise RepairRefused("it is not closed yet")
        if period.level == MINUTE:
            outcome, is_checked = await self._repair_rows(repair, progress.partition)
        else:
            outcome, is_checked = "rolled up again", False
        self._before_step("close")
        await self._between_steps(lambda: self._close(repair))
        return Repaired(outcome, await self._in_proof_thread(lambda: self._now(repair, is_checked)))

    async def _repair_rows(self, repair: Repair, partition: int) -> tuple[str, bool]:
        """Make the raw rows those of the log; what was done, and whether the log was compared."""
        period = repair.period
        self._before_step("read")
        log = await self._read_minute(period, partition)
        now = await self._in_proof_thread(lambda: self._raw(period))
        if log.refusal:
            self._check_undisputed(period, now, log.refusal)
            return "rolled up again from the rows that are here", False
        values = await self._in_proof_thread(lambda: _values(log.pieces, repair.number))
        meant = await self._in_proof_thread(lambda: self._meant(period, values))
        if now == meant:
            return "held what the log holds; rolled up again", True
        self._before_step("delete")
        await self._in_proof_thread(
            lambda: self._store.proof.delete_raw(period.stream, period.starts_ms)
        )
        for value, columns, name in values:
            self._before_step("insert")
            await self._between_steps(
                lambda value=value, columns=columns, name=name: self._store.insert_flows(  # type: ignore[misc]  # mypy cannot infer a lambda with defaults
                    value, columns=columns, token=name
                )
            )
        self._before_step("look")
        now = await self._in_proof_thread(lambda: self._raw(period))
        if now != meant:
            raise RepairFailed(f"{now.flows} rows are in where the log has {meant.flows}")
        return f"{meant.flows} rows written again from the log", True

    def _check_undisputed(self, period: Period, now: RawSums, why: str) -> None:
        """Refuse unless the rows that are here are what another central closed, or all closed."""
        records = self._records(period)
        others = {record.raw for record in records if record.central != self._central}
        own = {record.raw for record in records if record.central == self._central}
        if now in others or (not others and now in own):
            return
        raise RepairRefused(f"{why}, and the rows here are not known to be right")

    def _raw(self, period: Period) -> RawSums:
        sums = self._store.proof.raw(period.stream, period.starts_ms, period.ends_ms)
        return sums.get(period.starts_ms, NOTHING)

    def _meant(self, period: Period, values: Values) -> RawSums:
        plain = [(value, columns) for value, columns, _ in values]
        return self._store.proof.sums_of(plain, period.stream, period.starts_ms)

    def _close(self, repair: Repair) -> None:
        """Roll up anew; no insert or closing comes between."""
        stream, hour_ms = repair.period.stream, repair.period.starts_ms // HOUR_MS * HOUR_MS
        if repair.period.level == MINUTE:
            minute_ms = repair.period.starts_ms
            self._store.delete_rollups(Level.MINUTE, stream, minute_ms)
            self._store.close_minute(stream, minute_ms, attempt=repair.number)
        progress = self._progress(stream)
        if progress is not None and is_closed(progress, Period(stream, int(Level.HOUR), hour_ms)):
            self._store.delete_rollups(Level.HOUR, stream, hour_ms)
            self._store.close_hour(stream, hour_ms, attempt=repair.number)

    def _now(self, repair: Repair, is_checked: bool) -> tuple[PeriodDigest | Gone, ...]:
        stream, hour_ms = repair.period.stream, repair.period.starts_ms // HOUR_MS * HOUR_MS
        periods = [Period(stream, int(Level.HOUR), hour_ms)]
        if repair.period.level == MINUTE:
            periods.insert(0, repair.period)
        progress = self._progress(stream)
        records: list[PeriodDigest | Gone] = []
        for period in periods:
            if progress is None or not is_closed(progress, period):
                continue
            found = closed_records(
                self._store.proof,
                self._central,
                Level(period.level),
                stream,
                period.starts_ms,
                period.ends_ms,
            )
            checked = is_checked and period.level == MINUTE
            records += [
                replace(record, repair=repair.number, checked=checked) for record in found
            ] or [Gone(self._central, period)]
        return tuple(records)


def is_closed(progress: Progress, period: Period) -> bool:
    """Tell whether a period of the stream is closed here, if it has any rows."""
    if progress.ended:
        open_now = progress.open_minutes if period.level == MINUTE else progress.open_hours
        return period.starts_ms not in open_now
    until_ms = progress.minutes_until_ms if period.level == MINUTE else progress.hours_until_ms
    return period.ends_ms <= until_ms


def _values(pieces: Sequence[Piece], number: int) -> Values:
    """Return the inserts of what the applier would have inserted; a broken value is none."""
    batches: list[list[Piece]] = [[]]
    for piece in pieces:
        try:
            ensure_readable(piece.value)
        except NotArrow:
            continue
        batch = batches[-1]
        rows = sum(each.rows for each in batch)
        if batch and (rows + piece.rows >= INSERT_ROWS or len(batch) == PIECES_MAX):
            batches.append([])
        batches[-1].append(piece)
    values: Values = []
    for batch in batches:
        if batch:
            value, columns, rows = join(batch)
            if rows:
                values.append((value, columns, token(batch, table=f"flows/repair/{number}")))
    return values
