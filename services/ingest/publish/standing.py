"""Where one decoder stands: what Kafka has not acknowledged, for the holder to show."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from services.ingest.publish.encode import Message
from services.ingest.publish.journal import Journal, JournalState
from services.ingest.publish.tail import SpoolTail
from services.ingest.publish.tally import Tally
from services.ingest.spool.format import HEADER_BYTES, RECORD_HEADER_BYTES
from services.ingest.spool.reader import SPOOL_START, segments
from services.ingest.status import Fact, ProcessStatus, write_status

# Writing so many counters takes some milliseconds; more of them are written less often.
_SERIES_PER_TURN = 1_000


def lag_bytes(directory: Path, state: JournalState) -> int:
    """Return the bytes of records in the spool that Kafka has not acknowledged."""
    position = state.position
    sizes = [(s.segment, s.bytes - HEADER_BYTES) for s in segments(directory)]
    if sizes and sizes[-1][0] < position.segment:
        position = SPOOL_START  # The spool was begun anew.
    passed = max(0, position.offset - HEADER_BYTES)
    return sum(
        max(0, size - passed if segment == position.segment else size)
        for segment, size in sizes
        if segment >= position.segment
    )


def left_behind(spool_dir: Path, workers: int) -> str:
    """Return which spools nobody publishes since there are fewer workers; empty without any.

    Nobody else may work in the folders.
    """
    found = []
    for folder in sorted(spool_dir.glob("[0-9]*")):
        if not folder.name.isdecimal() or int(folder.name) < workers or not folder.is_dir():
            continue
        journal = Journal(folder)
        unread_bytes = lag_bytes(folder, journal.state)
        journal.close()
        if unread_bytes:
            found.append(f"{folder} {unread_bytes} bytes")
    return (
        f"not published, as there are {workers} workers now: {', '.join(found)}; start it with as "
        "many as before until they are"
        if found
        else ""
    )


class Standing:
    """Writes the status and the tally of one decoder."""

    def __init__(
        self, directory: Path, journal: Journal, tally: Tally, wall_ms: Callable[[], int]
    ) -> None:
        """wall_ms: UTC, for the lag only."""
        self._directory = directory
        self._journal = journal
        self._tally = tally
        self._wall_ms = wall_ms
        self._record_bytes = 100.0
        self._turns = 0

    def measure(self, message: Message) -> None:
        """Take the size of a record from a message just acknowledged, not yet journalled."""
        position = self._journal.state.position
        if message.records and message.after.segment == position.segment:
            read_bytes = message.after.offset - max(position.offset, HEADER_BYTES)
            self._record_bytes = max(RECORD_HEADER_BYTES, read_bytes / message.records)

    def tell(self, reasons: Mapping[str, str], tail: SpoolTail | None) -> None:
        """Write what the holder shows. Raises FileNotFoundError when the journal was deleted."""
        state = self._journal.state
        unread_bytes = lag_bytes(self._directory, state)
        # Before the first acknowledgement no time is known from which to count.
        behind_ms = self._wall_ms() - state.latest_ms if state.latest_ms else 0
        lag_s = max(0.0, behind_ms / 1000) if unread_bytes else 0.0
        unread = self._unread_records(unread_bytes, tail)
        self._tally.show("lag_records", value=unread)
        self._tally.show("lag_bytes", value=unread_bytes)
        self._tally.show("lag_seconds", value=lag_s)
        stream = None if state.stream is None else f"{state.stream:016x}"
        facts: dict[str, Fact] = {
            "stream": stream,
            "acknowledged": state.next_number - 1 if state.stream is not None else 0,
            "unread_datagrams": unread,
            "unread_bytes": unread_bytes,
            "lag_s": round(lag_s, 1),
            "topic_id": state.topic_id or None,
        } | {f"offset_{partition}": offset for partition, offset in state.offsets.items()}
        if self._journal.is_gone:
            raise FileNotFoundError(f"the journal in {self._directory} was deleted")
        # A full disk is for the journal to report, not for a status line.
        with suppress(OSError):
            write_status(self._directory, "decoder", ProcessStatus(os.getpid(), reasons, facts))
            self._turns += 1
            if self._turns % (1 + len(self._tally.values) // _SERIES_PER_TURN) == 0:
                self._tally.write(self._directory)

    def _unread_records(self, unread_bytes: int, tail: SpoolTail | None) -> int:
        """Return about how many records `unread_bytes` hold; exact when the tail was just read."""
        state = self._journal.state
        if unread_bytes == 0:
            return 0
        if tail is not None and tail.at_tail and tail.maker.stream == state.stream:
            return max(0, tail.maker.last_number + 1 - state.next_number)
        return max(1, round(unread_bytes / self._record_bytes))
