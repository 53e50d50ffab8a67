"""Where a stream is cut into ranges, and the messages made of them; pure.

A range is closed where its minute, segment or stream ends, when it holds enough rows or bytes, and
when whoever drives this says that waiting was long enough. What was noted before a kill, or cut
before a log lost its tail, is cut exactly so again. Numbers that the spool lost are covered by the
range of the record after them.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from services.ingest.decode.decoding import Decoded, DecoderState, RangeBuilder
from services.ingest.publish.encode import Encoded, Message, encode_range, message_bytes
from services.ingest.publish.journal import Noted
from services.ingest.spool.format import RecordKind, SegmentHeader, SpoolRecord, decode_losses
from services.ingest.spool.reader import SpoolPosition
from shared.addresses import UNSPECIFIED
from shared.flow_message import MESSAGE_BYTES, MESSAGE_ROWS, FlowRange
from shared.losses import Loss, LossReason

MINUTE_MS = 60_000
RECORDS_MAX = 50_000
"""Datagrams without rows are cheap to count, but a range keeps them until it is closed."""
PAYLOAD_BYTES_MAX = 8 << 20
_RATIO_LEAST = 0.01
LOSSES_MAX = 4_096
"""So many are named one by one in a message that would be too large."""


Item = tuple[SpoolRecord, int]
"""A record of the spool, and the offset behind it in its segment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What closes a range. message_bytes: encoded, headers included."""

    rows: int = MESSAGE_ROWS
    message_bytes: int = MESSAGE_BYTES
    records: int = RECORDS_MAX
    payload_bytes: int = PAYLOAD_BYTES_MAX


class Encode(Protocol):
    """Makes what a message carries from a decoded range and the records it came from."""

    def __call__(
        self, flow_range: FlowRange, decoded: Decoded, records: Sequence[SpoolRecord], /
    ) -> Encoded:
        """Return the parts; must give the same for the same arguments."""


def encode_rows(
    flow_range: FlowRange, decoded: Decoded, _records: Sequence[SpoolRecord], /
) -> Encoded:
    """Encode every row."""
    return encode_range(flow_range, decoded)


@dataclass(slots=True)
class _OpenRange:
    first: int
    builder: RangeBuilder
    items: list[Item]
    exact_last: int | None = None
    exact_offset: int | None = None
    payload_bytes: int = 0

    @property
    def is_exact(self) -> bool:
        """Whether its end was decided before."""
        return self.exact_last is not None or self.exact_offset is not None


def folded_losses(losses: Sequence[Loss]) -> tuple[Loss, ...]:
    """Return at most some thousand losses: the largest, and what else there was without exporter.

    The sums by reason stay. The same losses give the same, as a range is cut again.
    """
    if len(losses) <= LOSSES_MAX:
        return tuple(losses)
    largest = sorted(losses, key=lambda each: (-each.datagrams, -each.flows, each.exporter))
    sums = {
        (each.exporter, each.reason): (each.datagrams, each.flows) for each in largest[:LOSSES_MAX]
    }
    for each in largest[LOSSES_MAX:]:
        datagrams, flows = sums.get((UNSPECIFIED, each.reason), (0, 0))
        sums[UNSPECIFIED, each.reason] = datagrams + each.datagrams, flows + each.flows
    return tuple(Loss(*place, *counts) for place, counts in sorted(sums.items()))


class RangeMaker:
    """Turns the records of one worker's spool, in order, into messages.

    Drives the decoder's state: after `take` returned a message, the state is the one at its end.
    """

    def __init__(
        self,
        state: DecoderState,
        *,
        collector: str,
        bounds: Bounds | None = None,
        noted: Iterable[Noted] = (),
        encode: Encode = encode_rows,
        make_builder: Callable[..., RangeBuilder] = RangeBuilder,
    ) -> None:
        """collector: `name/worker`. noted: ranges that must come out as they were, in order."""
        self.bounds = bounds or Bounds()
        self.stream: int | None = None
        self.next_number = 0
        self.latest_ms = 0
        self.ended = False
        self.repeats = 0
        self._state = state
        self._collector = collector
        self._noted = deque(noted)
        self._encode = encode
        self._make_builder = make_builder
        self._header: SegmentHeader | None = None
        self._cuts: Sequence[int] = ()
        self._segment = 0
        self._pending: deque[Item] = deque()
        self._open: _OpenRange | None = None
        # Encoded bytes per payload byte of late; a guess that saves encoding twice.
        self._ratio = 0.4

    def resume(self, *, stream: int | None, next_number: int, latest_ms: int, ended: bool) -> None:
        """Go on behind a record of `stream`."""
        self.stream, self.next_number = stream, next_number
        self.latest_ms, self.ended = latest_ms, ended

    @property
    def is_open(self) -> bool:
        """Whether records were taken that no message carries yet."""
        return self._open is not None or bool(self._pending)

    @property
    def last_number(self) -> int:
        """Number of the newest record taken in or queued; 0 without one."""
        return self._pending[-1][0].number if self._pending else self.next_number - 1

    def enter(
        self, header: SegmentHeader, at: SpoolPosition, cuts: Sequence[int] = ()
    ) -> Message | None:
        """Begin a segment; nothing may be open. Returns the end of a stream that lost its mark.

        cuts: offsets, ascending, behind which its ranges ended when it was published before.
        Nothing of the stream before can come once its worker writes another one, so its end is
        known though the mark is not there.
        """
        assert not self.is_open
        lost_end = None
        if self.stream is not None and header.stream != self.stream and not self.ended:
            lost_end = self._lost_end(self._header or header, self.stream, at)
        if header.stream != self.stream:
            self.resume(
                stream=header.stream,
                next_number=header.first_number,
                latest_ms=header.started_at_ms,
                ended=False,
            )
        self._header = header
        self._cuts = cuts
        return lost_end

    def _lost_end(self, header: SegmentHeader, stream: int, at: SpoolPosition) -> Message:
        flow_range = FlowRange(
            stream=stream,
            worker=header.worker,
            first=self.next_number,
            last=self.next_number,
            rows=0,
            earliest_ms=self.latest_ms,
            latest_ms=self.latest_ms,
            started_at_ms=header.started_at_ms,
            partitions=header.partitions,
            ended=True,
            losses=(Loss(UNSPECIFIED, LossReason.SPOOL_CORRUPT, 1),),
        )
        return Message(
            flow_range=flow_range, value=b"", rates=b"", rates_rows=0, after=at,
            latest_ms=self.latest_ms,
        )  # fmt: skip

    def add(self, segment: int, records: Sequence[SpoolRecord], ends: Sequence[int]) -> None:
        """Queue the records that follow in the segment entered last."""
        self._segment = segment
        self._pending.extend(zip(records, ends, strict=True))

    def take(self, *, flush: bool = False) -> Message | None:
        """Return the next message, or None when more records are needed to close one.

        flush: close what is open once the queue is empty, but for a range noted to go on.
        """
        while self._pending:
            if self._open is not None and self._take_plain(self._open):
                return self._close()
            if not self._pending:
                break
            item = self._pending[0]
            record = item[0]
            is_end = record.kind is RecordKind.END
            if record.number < self.next_number and not is_end:
                self.repeats += 1
                self._pending.popleft()
                continue
            if self._open is not None and self._closes_before(self._open, item):
                return self._close()
            self._pending.popleft()
            self._open = current = self._open or self._begin(item)
            self._take_in(current, item)
            if self._closes_after(current, item):
                return self._close()
        if flush and self._open is not None and not self._open.is_exact:
            return self._close()
        return None

    def _take_plain(self, current: _OpenRange) -> bool:
        """Take in the datagrams that follow one another, up to anything else; True at a bound.

        Nearly every record comes this way, so nothing is looked at here but what a plain one has.
        """
        if current.is_exact:
            return False
        pending, items, builder = self._pending, current.items, current.builder
        rows_max, records_max = self.bounds.rows, self.bounds.records
        payload_max, payload_bytes = self._payload_max, current.payload_bytes
        minute = items[0][0].received_at_ms // MINUTE_MS
        until_ms = (minute + 1) * MINUTE_MS
        number = self.next_number
        while (
            pending
            and builder.rows < rows_max
            and len(items) < records_max
            and payload_bytes < payload_max
        ):
            record, _ = pending[0]
            kind, its_number, received_at_ms, exporter, port, payload = record
            if (
                its_number != number
                or kind is not RecordKind.DATAGRAM
                or not until_ms - MINUTE_MS <= received_at_ms < until_ms
            ):
                break
            builder.add(number, received_at_ms, exporter, port, payload)
            items.append(pending.popleft())
            payload_bytes += len(payload)
            number += 1
        self.next_number, current.payload_bytes = number, payload_bytes
        return self._is_full(current)

    def close(self) -> Message | None:
        """Return the open range, whatever it lacks: its segment is over. None when none is."""
        message = self.take(flush=True)
        if message is None and self._open is not None:
            message = self._close()
        return message

    def _begin(self, item: Item) -> _OpenRange:
        assert self.stream is not None
        first = min(self.next_number, item[0].number)
        while self._noted and (
            self._noted[0].stream != self.stream or self._noted[0].last < self.next_number
        ):
            self._noted.popleft()
        noted = self._noted[0] if self._noted else None
        exact_last = noted.last if noted is not None and noted.first == first else None
        cut = bisect_left(self._cuts, item[1])
        exact_offset = self._cuts[cut] if cut < len(self._cuts) else None
        return _OpenRange(first, self._new_builder(), [], exact_last, exact_offset)

    def _new_builder(self) -> RangeBuilder:
        self._state.begin()
        return self._make_builder(self._state, collector=self._collector, stream=self.stream)

    def _closes_before(self, current: _OpenRange, item: Item) -> bool:
        record, end = item
        opened_at_ms = current.items[0][0].received_at_ms
        return (
            record.received_at_ms // MINUTE_MS != opened_at_ms // MINUTE_MS
            or record.number < self.next_number
            or (current.exact_last is not None and record.number > current.exact_last)
            or (current.exact_offset is not None and end > current.exact_offset)
        )

    def _closes_after(self, current: _OpenRange, item: Item) -> bool:
        record, end = item
        if record.kind is RecordKind.END:
            return True
        if current.exact_last is not None and record.number >= current.exact_last:
            return True
        if current.exact_offset is not None and end >= current.exact_offset:
            return True
        return not current.is_exact and self._is_full(current)

    def _is_full(self, current: _OpenRange) -> bool:
        return (
            current.builder.rows >= self.bounds.rows
            or len(current.items) >= self.bounds.records
            or current.payload_bytes >= self._payload_max
        )

    @property
    def _payload_max(self) -> float:
        """Payload bytes that close a range: they would be encoded to about a whole message."""
        encoded_max = 0.95 * self.bounds.message_bytes
        return min(self.bounds.payload_bytes, encoded_max / max(self._ratio, _RATIO_LEAST))

    def _take_in(self, current: _OpenRange, item: Item) -> None:
        record = item[0]
        missing = record.number - self.next_number
        if missing > 0:
            current.builder.add_loss(Loss(UNSPECIFIED, LossReason.SPOOL_CORRUPT, missing))
        if record.kind is RecordKind.DATAGRAM:
            current.builder.add(
                record.number, record.received_at_ms, record.exporter, record.port, record.payload
            )
        elif record.kind is RecordKind.CLOCK:
            current.builder.expire(record.received_at_ms)
        elif record.kind is RecordKind.LOSS:
            for loss in decode_losses(record.payload):
                current.builder.add_loss(loss)
        current.items.append(item)
        current.payload_bytes += len(record.payload)
        self.next_number = max(self.next_number, record.number + 1)

    def _close(self) -> Message:
        """Make the open range a message, or its first half when it is too large, and so on."""
        current = self._open
        assert current is not None
        self._open = None
        while True:
            decoded = current.builder.finish()
            message = self._message(current, decoded)
            encoded_bytes = message_bytes(self._collector.encode(), message.value, message.headers)
            if current.payload_bytes > 10_000:
                self._ratio = max(
                    _RATIO_LEAST, 0.7 * self._ratio + 0.3 * encoded_bytes / current.payload_bytes
                )
            if encoded_bytes <= self.bounds.message_bytes:
                return message
            if len(current.items) == 1:
                return self._smallest(current, decoded)
            current = self._first_half(current)

    def _first_half(self, current: _OpenRange) -> _OpenRange:
        """Cut between two datagrams, where half of the payload is reached, and decode again."""
        self._state.rollback()
        items = current.items
        half, payload_bytes = 1, len(items[0][0].payload)
        while half < len(items) - 1 and 2 * payload_bytes < current.payload_bytes:
            payload_bytes += len(items[half][0].payload)
            half += 1
        self._pending.extendleft(reversed(items[half:]))
        self.next_number = current.first
        smaller = _OpenRange(current.first, self._new_builder(), [])
        for item in items[:half]:
            self._take_in(smaller, item)
        return smaller

    def _smallest(self, current: _OpenRange, decoded: Decoded) -> Message:
        """Make a message of one record that fits: losses first lose their exporters, then rows go.

        The sets of thousands of exporters may give up their wait at one record.
        """
        folded = replace(decoded, losses=folded_losses(decoded.losses))
        message = self._message(current, folded)
        if message_bytes(self._collector.encode(), message.value, message.headers) <= (
            self.bounds.message_bytes
        ):
            return message
        return self._without_rows(current, folded)

    def _without_rows(self, current: _OpenRange, decoded: Decoded) -> Message:
        """Give up the rows of one datagram that no message can carry; its place stays."""
        loss = Loss(current.items[0][0].exporter, LossReason.TOO_LARGE, 1, decoded.rows)
        losses = (*decoded.losses, loss)
        return self._message(
            current, replace(decoded, rows=0, batch=None, sums=None, losses=losses)
        )

    def _message(self, current: _OpenRange, decoded: Decoded) -> Message:
        header = self._header
        assert header is not None
        records = [record for record, _ in current.items]
        last = records[-1]
        latest_ms = max(self.latest_ms, last.received_at_ms)
        ended = last.kind is RecordKind.END
        encoded = self._encode(
            FlowRange(
                stream=header.stream,
                worker=header.worker,
                first=current.first,
                last=last.number,
                rows=0,
                earliest_ms=records[0].received_at_ms,
                latest_ms=last.received_at_ms,
                started_at_ms=header.started_at_ms,
                partitions=header.partitions,
                ended=ended,
            ),
            decoded,
            records,
        )
        self.latest_ms = latest_ms
        self.ended = ended
        return Message(
            flow_range=encoded.flow_range,
            value=encoded.value,
            rates=encoded.rates,
            rates_rows=encoded.rates_rows,
            after=SpoolPosition(self._segment, current.items[-1][1]),
            latest_ms=latest_ms,
            changes=tuple(self._state.changes()),
            decoded=decoded,
            records=len(records),
        )
