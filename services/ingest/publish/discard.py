"""Making room in the spool: what to delete, what to give up, and the messages that say so."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from services.ingest.decode.decoding import Decoded, DecoderState
from services.ingest.publish.checkpoint import load_checkpoint
from services.ingest.publish.encode import Change, Encoded, message_bytes
from services.ingest.publish.journal import Discarded, JournalState
from services.ingest.publish.ranges import MINUTE_MS
from services.ingest.publish.tail import SpoolTail
from services.ingest.spool.format import HEADER_BYTES, RecordKind, SpoolRecord
from services.ingest.spool.reader import SpoolPosition
from shared.flow_message import MESSAGE_BYTES, FlowRange, encode_headers
from shared.losses import Loss, LossReason


@dataclass(frozen=True, slots=True)
class Room:
    """What would bring the spool below its bound, oldest first: segments to delete, to give up."""

    delete: tuple[int, ...]
    discard: tuple[int, ...]


def make_room(
    sizes: Sequence[tuple[int, int]],
    *,
    bytes_max: int,
    acknowledged_before: int,
    busy_until: int,
) -> Room:
    """Choose segments until the rest is within `bytes_max`, or nothing more may go.

    sizes: (segment, bytes), oldest first; the last one is live and stays. Segments below
    `acknowledged_before` are in the log; those up to `busy_until` are read, or noted in part, and
    stay: some of their ranges may be in the log, and to call these lost would count them twice.
    """
    too_much = sum(size for _, size in sizes) - bytes_max
    delete: list[int] = []
    discard: list[int] = []
    for wanted, choice in ((True, delete), (False, discard)):
        for segment, size in sizes[:-1]:
            if too_much <= 0:
                break
            is_acknowledged = segment < acknowledged_before
            if is_acknowledged is wanted and (is_acknowledged or segment > busy_until):
                choice.append(segment)
                too_much -= size
    return Room(tuple(delete), tuple(discard))


def encode_overflow(
    flow_range: FlowRange, decoded: Decoded, records: Sequence[SpoolRecord], /
) -> Encoded:
    """Name as lost every row of a range and every datagram, by exporter."""
    datagrams = Counter(r.exporter for r in records if r.kind is RecordKind.DATAGRAM)
    flows: Counter[bytes] = Counter()
    if decoded.batch is not None:
        for exporter in decoded.batch.column("exporter").value_counts().to_pylist():
            flows[exporter["values"]] += exporter["counts"]
    overflow = [
        Loss(exporter, LossReason.SPOOL_OVERFLOW, datagrams[exporter], flows[exporter])
        for exporter in sorted(datagrams.keys() | flows.keys())
    ]
    losses = merge_losses((*decoded.losses, *overflow))
    return Encoded(replace(flow_range, rows=0, losses=losses), b"", b"", 0)


def merge_losses(losses: Iterable[Loss]) -> tuple[Loss, ...]:
    """Add up losses of the same exporter and reason."""
    merged: dict[tuple[bytes, LossReason], Loss] = {}
    for loss in losses:
        key = (loss.exporter, loss.reason)
        before = merged.get(key, Loss(loss.exporter, loss.reason, 0))
        merged[key] = replace(
            before, datagrams=before.datagrams + loss.datagrams, flows=before.flows + loss.flows
        )
    return tuple(merged.values())


def merge_minutes(ranges: Iterable[FlowRange]) -> tuple[FlowRange, ...]:
    """Join contiguous row-less ranges of one stream and minute, as far as one message holds."""
    merged: list[FlowRange] = []
    for following in ranges:
        joined = _joined(merged[-1], following) if merged else None
        if joined is None:
            merged.append(following)
        else:
            merged[-1] = joined
    return tuple(merged)


def _joined(before: FlowRange, after: FlowRange) -> FlowRange | None:
    if (
        before.stream != after.stream
        or before.ended
        or before.last + 1 != after.first
        or before.earliest_ms // MINUTE_MS != after.latest_ms // MINUTE_MS
    ):
        return None
    joined = replace(
        before,
        last=after.last,
        latest_ms=after.latest_ms,
        ended=after.ended,
        losses=merge_losses((*before.losses, *after.losses)),
    )
    fits = message_bytes(joined.worker.encode(), b"", encode_headers(joined)) <= MESSAGE_BYTES
    return joined if fits else None


def give_up_segment(
    directory: Path,
    journal: JournalState,
    segment: int,
    *,
    collector: str,
    make_state: Callable[[], DecoderState],
) -> Discarded | None:
    """Walk a segment that was never sent, so that its templates are learned and its rows counted.

    Changes nothing but checkpoints. None when the state at its start cannot be had.
    """
    start = _journal_at(directory, journal, segment, collector, make_state)
    if start is None:
        return None
    tail = SpoolTail(
        directory, start, make_state(), collector=collector, encode=encode_overflow,
        last_segment=segment,
    )  # fmt: skip
    ranges: list[FlowRange] = []
    changes: list[Change] = []
    try:
        while (message := tail.next_message()) is not None:
            ranges.append(message.flow_range)
            changes.extend(message.changes)
    finally:
        tail.close()
    stands = tail.maker
    if stands.stream is None:
        return None
    return Discarded(
        segment=segment,
        ranges=merge_minutes(ranges),
        changes=_last_changes(changes),
        stream=stands.stream,
        next_number=stands.next_number,
        latest_ms=stands.latest_ms,
        ended=stands.ended,
    )


def _last_changes(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Keep the last change of each key, in the order these were made."""
    last: dict[str, str | None] = {}
    for key, value in changes:
        last.pop(key, None)
        last[key] = value
    return tuple(last.items())


def _journal_at(
    directory: Path,
    journal: JournalState,
    segment: int,
    collector: str,
    make_state: Callable[[], DecoderState],
) -> JournalState | None:
    """Return the journal's state as it will be at the start of `segment`."""
    checkpoint = load_checkpoint(directory, segment)
    if checkpoint is None:
        walk = SpoolTail(
            directory, journal, make_state(), collector=collector, encode=encode_overflow,
            last_segment=segment - 1,
        )  # fmt: skip
        try:
            while walk.next_message() is not None:
                pass
        finally:
            walk.close()
        checkpoint = load_checkpoint(directory, segment)
    if checkpoint is None:
        return None
    return replace(
        journal,
        position=SpoolPosition(segment, HEADER_BYTES),
        stream=checkpoint.stream,
        next_number=checkpoint.next_number,
        latest_ms=checkpoint.latest_ms,
        ended=checkpoint.ended,
        decoder={key: value for key, value in checkpoint.decoder if value is not None},
        noted=(),
        discards={},
    )
