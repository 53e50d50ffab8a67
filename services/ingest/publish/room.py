"""Keeps one worker's spool within its bound: deletes what Kafka has, gives up what it has not."""

import errno
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from services.ingest.decode.decoding import DecoderState
from services.ingest.publish.checkpoint import (
    drop_checkpoint,
    drop_checkpoints_before,
    load_checkpoint,
)
from services.ingest.publish.cuts import drop_cuts, drop_cuts_before
from services.ingest.publish.discard import give_up_segment, make_room
from services.ingest.publish.journal import Journal, JournalState
from services.ingest.publish.tail import SpoolTail
from services.ingest.publish.tally import Tally
from services.ingest.spool.reader import SPOOL_START, segment_numbers, segment_path, segments

log = logging.getLogger(__name__)


class SpoolRoom:
    """Makes room beside the tail that reads; same owner, same thread."""

    def __init__(
        self,
        directory: Path,
        journal: Journal,
        *,
        collector: str,
        bytes_max: int,
        make_state: Callable[[], DecoderState],
        tally: Tally,
    ) -> None:
        """collector: `name/worker`. bytes_max: of all segments together."""
        self._directory = directory
        self._journal = journal
        self._collector = collector
        self._bytes_max = bytes_max
        self._make_state = make_state
        self._tally = tally
        self._oldest = 0

    def make(self, tail: SpoolTail | None) -> bool:
        """Delete acknowledged segments above the bound; else give up the oldest unread one.

        A discard is journalled with its losses and changes before its file goes. One at a time,
        because to walk a segment takes as long as to decode it: True when there may be more to do.
        Raises OSError.
        """
        state = self._journal.state
        kept = segments(self._directory)
        for segment in kept:
            if segment.segment in state.discards:
                segment.path.unlink(missing_ok=True)
        sizes = [(s.segment, s.bytes) for s in kept if s.segment not in state.discards]
        busy = -1 if tail is None else tail.busy_segment
        room = make_room(
            sizes,
            bytes_max=self._bytes_max,
            acknowledged_before=state.position.segment,
            busy_until=max(busy, state.position.segment, state.reached.segment),
        )
        for number in room.delete:
            self._delete(number)
        self._sweep(min([number for number, _ in sizes] + list(state.discards), default=0))
        return bool(room.discard) and self._give_up(room.discard[0], tail)

    def on_full_disk(self, error: OSError) -> None:
        """Delete on a full disk what Kafka has already; raises any other error again.

        What was not journalled was not sent, or is sent again: so publishing may just start over.
        """
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise error
        log.error("disk is full worker=%s: %s", self._collector, error)
        position = self._journal.state.position
        for number in segment_numbers(self._directory):
            if number < position.segment:
                self._delete(number)

    def _delete(self, number: int) -> None:
        segment_path(self._directory, number).unlink(missing_ok=True)
        drop_checkpoint(self._directory, number)
        drop_cuts(self._directory, number)

    def _sweep(self, oldest: int) -> None:
        """Drop what stands beside segments that not even a rewind goes back to."""
        if oldest > self._oldest:
            drop_checkpoints_before(self._directory, oldest)
            drop_cuts_before(self._directory, oldest)
            self._oldest = oldest

    def _give_up(self, number: int, tail: SpoolTail | None) -> bool:
        discard = give_up_segment(
            self._directory,
            from_checkpoint(self._directory, self._journal.state),
            number,
            collector=self._collector,
            make_state=self._make_state,
        )
        if discard is None:
            log.error("segment cannot be given up worker=%s segment=%d", self._collector, number)
            return False
        self._journal.append(discard)
        # Before anything else can fail: what is given up must not be read any more.
        if tail is not None:
            tail.discarded(discard)
        segment_path(self._directory, number).unlink(missing_ok=True)
        self._tally.add("discarded_segments")
        log.warning("spool is full worker=%s: gave up segment %d", self._collector, number)
        return True


def from_checkpoint(directory: Path, state: JournalState) -> JournalState:
    """Begin with the templates of the oldest segment where there is no journal."""
    kept = segments(directory)
    if state.position != SPOOL_START or not kept:
        return state
    checkpoint = load_checkpoint(directory, kept[0].segment)
    if checkpoint is None:
        return state
    decoder = {key: value for key, value in checkpoint.decoder if value is not None}
    return replace(
        state,
        stream=checkpoint.stream,
        next_number=checkpoint.next_number,
        latest_ms=checkpoint.latest_ms,
        ended=checkpoint.ended,
        decoder=decoder,
    )
