"""The decoder's walk through the spool: segments, discards and what lies between, as messages."""

from collections.abc import Callable
from pathlib import Path

from services.ingest.decode.decoding import DecoderState
from services.ingest.publish.checkpoint import Checkpoint, save_checkpoint
from services.ingest.publish.cuts import load_cuts
from services.ingest.publish.encode import Message
from services.ingest.publish.journal import Discarded, JournalState
from services.ingest.publish.ranges import Bounds, Encode, RangeMaker, encode_rows
from services.ingest.spool.format import HEADER_BYTES
from services.ingest.spool.reader import SpoolChunk, SpoolPosition, SpoolReader

CHUNK_BYTES = 1 << 20

MakeState = Callable[[], DecoderState]


class SpoolIsAnother(Exception):
    """The spool's files were deleted and begun anew since the journal was written."""


class SpoolTail:
    """Makes messages of everything behind the journal's position, in order.

    Its place runs ahead of what is acknowledged. To go back, build a new one from the journal.
    Segments that the journal gave up are passed over with the messages noted for them.
    """

    def __init__(
        self,
        directory: Path,
        journal: JournalState,
        state: DecoderState,
        *,
        collector: str,
        bounds: Bounds | None = None,
        encode: Encode = encode_rows,
        last_segment: int | None = None,
    ) -> None:
        """state: a fresh one, filled here. encode: how rows become bytes, or losses.

        last_segment: the walk ends behind it, as if the spool ended there.
        """
        state.apply(list(journal.decoder.items()))
        self.maker = RangeMaker(
            state, collector=collector, bounds=bounds, noted=journal.noted, encode=encode
        )
        self.maker.resume(
            stream=journal.stream,
            next_number=journal.next_number,
            latest_ms=journal.latest_ms,
            ended=journal.ended,
        )
        self.segment = journal.position.segment
        self.at_tail = False
        self.corrupt_bytes = 0
        self._start = journal.position
        self._position = journal.position
        self._state = state
        self._directory = directory
        self._discards = dict(journal.discards)
        self._reader = SpoolReader(directory)
        self._held: SpoolChunk | None = None
        self._entered = -1
        self._standing_in: list[Message] = self._rest_of_discard(journal.position)
        self._last_segment = last_segment

    def close(self) -> None:
        """Close the files that are open."""
        self._reader.close()

    @property
    def busy_segment(self) -> int:
        """The newest segment that is read or about to be; later ones may be given up."""
        held = -1 if self._held is None else self._held.segment
        return max(self.segment, self._position.segment, held)

    def discarded(self, discard: Discarded) -> None:
        """Learn of a discard that was journalled after this was built, of a segment ahead."""
        assert discard.segment > self.busy_segment
        self._discards[discard.segment] = discard

    def next_message(self, *, flush: bool = False) -> Message | None:
        """Return the next message; None when the tail is reached and nothing is due.

        flush: at the tail, close what is open. Raises SpoolIsAnother, OSError.
        """
        while True:
            if self._standing_in:
                return self._standing_in.pop(0)
            message = self.maker.take(flush=flush and self.at_tail)
            if message is not None:
                return message
            chunk = self._held or self._read()
            self._held = None
            if chunk is None:
                self.at_tail = True
                return self.maker.take(flush=True) if flush else None
            if chunk.segment != self._entered:
                message = self.maker.close()
                if message is not None:
                    self._held = chunk
                    return message
                if self._pass_discards(chunk.segment):
                    self._held = chunk
                    continue
                self._keep_checkpoint(chunk.segment)
                if self._last_segment is not None and chunk.segment > self._last_segment:
                    self._held = chunk
                    return None
                message = self._enter(chunk)
                if message is not None:
                    self._take_in(chunk)
                    return message
            self._take_in(chunk)
            if not chunk.records and chunk.at_tail:
                return self.maker.take(flush=True) if flush else None

    def _read(self) -> SpoolChunk | None:
        chunk = self._reader.read(self._position, bytes_max=CHUNK_BYTES)
        if chunk is None:
            return None
        is_older = chunk.segment < self._position.segment
        # A range is only ever acknowledged in the segment of its own stream.
        is_foreign = (
            chunk.segment == self._start.segment
            and self._start.offset > HEADER_BYTES
            and chunk.header.stream != self.maker.stream
            and self._entered == -1
        )
        if is_older or is_foreign:
            raise SpoolIsAnother(f"segment {chunk.segment} of {self._directory}")
        return chunk

    def _take_in(self, chunk: SpoolChunk) -> None:
        self.maker.add(chunk.segment, chunk.records, chunk.ends)
        self._position = chunk.next
        self.at_tail = chunk.at_tail
        self.corrupt_bytes += chunk.corrupt_bytes

    def _enter(self, chunk: SpoolChunk) -> Message | None:
        """Go on in a new segment; the maker has nothing open."""
        self._entered = self.segment = chunk.segment
        cuts = load_cuts(self._directory, chunk.segment, chunk.header.stream)
        return self.maker.enter(chunk.header, SpoolPosition(chunk.segment, HEADER_BYTES), cuts)

    def _keep_checkpoint(self, segment: int) -> None:
        if self._last_segment is not None and segment > self._last_segment + 1:
            # What lies between was given up before, and this walk does not know where that ended.
            return
        if self._position.segment != segment or self._position.offset <= HEADER_BYTES:
            save_checkpoint(self._directory, segment, self.checkpoint())

    def checkpoint(self) -> Checkpoint:
        """Return where this stands; nothing may be open."""
        return Checkpoint(
            stream=self.maker.stream,
            next_number=self.maker.next_number,
            latest_ms=self.maker.latest_ms,
            ended=self.maker.ended,
            decoder=tuple(self._state.snapshot()),
        )

    def _pass_discards(self, before: int) -> bool:
        """Stand in for the oldest discard between here and segment `before`; False without one."""
        segment = min((s for s in self._discards if self.segment < s < before), default=None)
        if segment is None:
            return False
        self._standing_in = self._stand_in(self._discards[segment], 0)
        return True

    def _rest_of_discard(self, position: SpoolPosition) -> list[Message]:
        discard = self._discards.get(position.segment)
        if discard is None or position.offset >= len(discard.ranges):
            return []
        return self._stand_in(discard, position.offset)

    def _stand_in(self, discard: Discarded, done: int) -> list[Message]:
        """Return the messages of a discard from its range number `done` on, and pass it."""
        self._state.begin()
        self._state.apply(list(discard.changes))
        self.maker.resume(
            stream=discard.stream,
            next_number=discard.next_number,
            latest_ms=discard.latest_ms,
            ended=discard.ended,
        )
        self.segment = discard.segment
        last = len(discard.ranges) - 1
        return [
            Message(
                flow_range=flow_range,
                value=b"",
                rates=b"",
                rates_rows=0,
                after=SpoolPosition(discard.segment, number + 1),
                latest_ms=flow_range.latest_ms,
                changes=discard.changes if number == last else (),
                records=flow_range.last - flow_range.first + 1,
            )
            for number, flow_range in enumerate(discard.ranges)
            if number >= done
        ]
