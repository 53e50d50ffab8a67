"""The rows of one minute of a stream as the log holds them, by the applier's rules; pure."""

from dataclasses import dataclass, field, replace

from services.central.arrow_pieces import Piece
from services.central.messages import MINUTE_MS, Message, Verdict
from services.central.progress import Progress, first_sight, move
from shared.digest_records import Period

BYTES_MAX = 256_000_000
"""Of one minute of a stream, held in memory while it is repaired."""


@dataclass(slots=True)
class LogMinute:
    """Collects a minute from the messages of a partition, in order.

    is_whole: what was read began before the minute's first row. is_done: its stream has passed it,
    so no more rows can come. pieces: its rows. refusal: why it cannot be had, as a sentence.
    """

    minute: Period
    is_whole: bool = False
    is_done: bool = False
    pieces: list[Piece] = field(default_factory=list)
    refusal: str = ""
    _progress: Progress | None = None
    _bytes: int = 0

    def take(self, message: Message) -> None:
        """Add the rows that a central would insert of `message` into the minute."""
        named = message.range
        if self.is_done or self.refusal:
            return
        if message.verdict is Verdict.UNKNOWN:
            self.refusal = f"a message is of a newer release: {message.why}"
            return
        if named is None or named.stream != self.minute.stream:
            return
        if self._progress is None:
            if message.verdict is Verdict.STRAY:
                return
            self._progress = replace(first_sight(message), last=named.first - 1)
            starts_at = named.latest_ms // MINUTE_MS * MINUTE_MS
            self.is_whole = named.first == 1 or starts_at < self.minute.starts_ms
        step = move(self._progress, message)
        if step.progress is None:
            return
        is_here = named.latest_ms // MINUTE_MS * MINUTE_MS == self.minute.starts_ms
        if step.rows_after is not None and is_here:
            self._bytes += len(message.value)
            if self._bytes > BYTES_MAX:
                self.refusal = f"the minute takes more than {BYTES_MAX:,} bytes"
                return
            self.pieces.append(
                Piece(
                    stream=named.stream,
                    first=named.first,
                    last=named.last,
                    after=step.rows_after,
                    rows=named.rows,
                    columns=message.columns,
                    value=message.value,
                )
            )
        self._progress = step.progress
        passed = step.progress.minutes_until_ms > self.minute.starts_ms
        self.is_done = step.progress.ended or passed
