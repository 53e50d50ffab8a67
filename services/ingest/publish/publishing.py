"""One worker's decoder at work: spool to Kafka, with its journal."""

import asyncio
import logging
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from services.ingest.decode.decoding import DecoderState
from services.ingest.publish.checkpoint import drop_all, load_checkpoint
from services.ingest.publish.cuts import Cuts, drop_all_cuts
from services.ingest.publish.encode import Message
from services.ingest.publish.journal import (
    Acknowledged,
    Change,
    Journal,
    JournalState,
    Noted,
    Refused,
    Rewound,
    SpoolRenewed,
)
from services.ingest.publish.ranges import Bounds
from services.ingest.publish.room import SpoolRoom, from_checkpoint
from services.ingest.publish.standing import Standing, lag_bytes
from services.ingest.publish.tail import SpoolIsAnother, SpoolTail
from services.ingest.publish.tally import Tally
from services.ingest.spool.format import HEADER_BYTES
from services.ingest.spool.reader import SpoolPosition, segments
from shared.backoff import waits
from shared.kafka import KafkaAway, PartitionFacts, SendRefused, SendTooLarge, Sent, TopicRefused

log = logging.getLogger(__name__)

PARTITIONS = "partitions"
RANGE_S = 0.5
"""A range is closed so long after its oldest record was read, once the spool's tail is reached."""
POLL_S = 0.05
LOOK_S = 10.0
LOOK_BEFORE_SEND_S = 1.0
"""A range goes out only to a log that was seen to be the same so shortly before: in a topic made
again it would stand before what has to be published again."""
MESSAGE_BYTES_LEAST = 4_096


class LogLost(Exception):
    """The log does not hold what it acknowledged."""


class Publishes(Protocol):
    """What `Publisher` does, so that tests can stand in for Kafka."""

    facts: list[PartitionFacts]
    rates_lost: int

    @property
    def topic_id(self) -> str: ...  # noqa: D102
    async def connect(self) -> list[PartitionFacts]: ...  # noqa: D102
    async def look(self) -> list[PartitionFacts]: ...  # noqa: D102
    async def holds(  # noqa: D102
        self, offsets: Mapping[int, int], streams: Collection[int]
    ) -> bool: ...
    async def send(self, message: Message) -> Sent: ...  # noqa: D102
    async def stop(self) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """wall_ms: UTC, for lag only. monotonic_s: never falls."""

    wall_ms: Callable[[], int]
    monotonic_s: Callable[[], float]


def lost_its_tail(state: JournalState, facts: Sequence[PartitionFacts]) -> bool:
    """Whether the log, as it is now, cannot hold what was acknowledged."""
    if not state.topic_id:
        return False
    ends = {fact.partition: fact.end_offset for fact in facts}
    return facts[0].topic_id != state.topic_id or any(
        ends.get(partition, 0) <= offset for partition, offset in state.offsets.items()
    )


def rewind(directory: Path, state: JournalState, topic_id: str) -> Rewound:
    """Return the fact that everything still kept is published again, to the log `topic_id`."""
    kept = [segment.segment for segment in segments(directory)] + list(state.discards)
    oldest = min(kept, default=state.position.segment)
    checkpoint = load_checkpoint(directory, oldest)
    decoder: tuple[Change, ...] = () if checkpoint is None else checkpoint.decoder
    return Rewound(
        position=SpoolPosition(oldest, 0 if oldest in state.discards else HEADER_BYTES),
        stream=None if checkpoint is None else checkpoint.stream,
        next_number=0 if checkpoint is None else checkpoint.next_number,
        latest_ms=0 if checkpoint is None else checkpoint.latest_ms,
        ended=True if checkpoint is None else checkpoint.ended,
        decoder=decoder,
        topic_id=topic_id,
    )


def behind_what_is_known(directory: Path, state: JournalState) -> Rewound | SpoolRenewed:
    """Return the fact that reading goes on in a spool that does not hold the journal's position.

    A machine that lost power may have lost the newest segments of a spool, and not the journal:
    all that is left of streams it knows is published, and nothing of them is read twice.
    """
    kept = segments(directory)
    known = [s for s in kept if s.header is not None and s.header.stream in state.numbers]
    if not known:
        return SpoolRenewed()
    after = next((s.segment for s in kept if s.segment > known[-1].segment), None)
    end = SpoolPosition(known[-1].segment, known[-1].bytes)
    return Rewound(
        position=end if after is None else SpoolPosition(after, HEADER_BYTES),
        stream=state.stream,
        next_number=state.next_number,
        latest_ms=state.latest_ms,
        ended=state.ended,
        decoder=tuple(state.decoder.items()),
        topic_id=state.topic_id,
    )


def write_partitions(directory: Path, partitions: int) -> None:
    """Tell the receiver the partition count; a change makes it open a new stream."""
    path = directory / PARTITIONS
    text = f"{partitions}\n"
    with suppress(OSError):
        if path.read_text() == text:
            return
    new = path.with_suffix(".part")
    new.write_text(text)
    os.replace(new, path)


class Publishing:
    """Publishes the spool of one worker until it is told to stop."""

    def __init__(
        self,
        directory: Path,
        journal: Journal,
        publisher: Publishes,
        *,
        collector: str,
        spool_bytes_max: int,
        make_state: Callable[[], DecoderState],
        clocks: Clocks,
        tally: Tally | None = None,
        note_first: bool = True,
        bounds: Bounds | None = None,
        first_pause_s: float = 0.1,
    ) -> None:
        """collector: `name/worker`. note_first: for tests that show what the range log is for.

        first_pause_s: shortest wait after Kafka was found away.
        """
        self._directory = directory
        self._journal = journal
        self._publisher = publisher
        self._collector = collector
        self._make_state = make_state
        self._clocks = clocks
        self._tally = tally or Tally()
        self._standing = Standing(directory, journal, self._tally, clocks.wall_ms)
        self._room = SpoolRoom(
            directory, journal, collector=collector, bytes_max=spool_bytes_max,
            make_state=make_state, tally=self._tally,
        )  # fmt: skip
        self._cuts = Cuts(directory)
        self._note_first = note_first
        self._bounds = bounds or Bounds()
        self._first_pause_s = first_pause_s
        self._tail: SpoolTail | None = None
        self.reasons: dict[str, str] = {"kafka": "not connected yet"}
        self._stopping = asyncio.Event()
        self._log_lost = False
        self._acknowledged_once = False

    def stop(self) -> None:
        """Finish what is in the spool, then return from `run`."""
        self._stopping.set()

    async def run(self, *, drain_s: float = 5.0) -> None:
        """Publish until stopped, then at most `drain_s` more. Raises OSError (spool gone)."""
        try:
            await self._work(drain_s)
        except ExceptionGroup as group:
            # Both tasks may meet the same; whoever starts this again is told of one.
            gone, others = group.split(OSError)
            if gone is None or others is not None:
                raise
            raise next(e for e in gone.exceptions if isinstance(e, OSError)) from None
        finally:
            self._close_tail()
            self._cuts.close()
        self.tell()
        await self._publisher.stop()

    async def _work(self, drain_s: float) -> None:
        async with asyncio.TaskGroup() as group:
            housekeeping = group.create_task(self._keep_house())
            publishing = group.create_task(self._publish())
            stopped = group.create_task(self._stopping.wait())
            await asyncio.wait({publishing, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not publishing.done():
                await asyncio.wait({publishing}, timeout=drain_s)
            for task in (publishing, stopped, housekeeping):
                task.cancel()

    async def _publish(self) -> None:
        """Connect and publish, again and again, with growing waits while Kafka is away."""
        pauses = waits(first_s=self._first_pause_s)
        while not (self._stopping.is_set() and self.reasons):
            self._acknowledged_once = False
            try:
                await self._connect()
                await self._publish_connected()
                return
            except (KafkaAway, SendRefused, TopicRefused, LogLost) as error:
                log.warning("kafka away worker=%s: %s", self._collector, error)
                self.reasons["kafka"] = f"{error}"
                self._tally.add("kafka_away")
            except SpoolIsAnother as error:
                log.warning("spool is not as it was worker=%s: %s", self._collector, error)
                self._take_spool_as_it_is()
            except OSError as error:
                self._disk_failed(error)
            self._close_tail()
            if self._acknowledged_once:
                pauses = waits(first_s=self._first_pause_s)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), next(pauses))

    def _take_spool_as_it_is(self) -> None:
        found = behind_what_is_known(self._directory, self._journal.state)
        if isinstance(found, SpoolRenewed):
            drop_all(self._directory)
            drop_all_cuts(self._directory)
        self._journal.append(found)

    async def _connect(self) -> None:
        facts = await self._publisher.connect()
        if not facts:
            raise KafkaAway("the topic is gone again")
        write_partitions(self._directory, len(facts))
        state = self._journal.state
        is_lost = self._log_lost or lost_its_tail(state, facts)
        # Another collector that came back before may have made the log as long as it was.
        if is_lost or not await self._publisher.holds(state.offsets, state.numbers):
            log.error(
                "log lost its tail worker=%s: publishing again from the oldest kept segment",
                self._collector,
            )
            self._tally.add("log_rewinds")
            self._journal.append(rewind(self._directory, state, facts[0].topic_id))
            self._log_lost = False
        self._close_tail()
        self._tail = SpoolTail(
            self._directory,
            from_checkpoint(self._directory, self._journal.state),
            self._make_state(),
            collector=self._collector,
            bounds=self._bounds,
        )
        self.reasons.pop("kafka", None)

    async def _publish_connected(self) -> None:
        """Make the next message while the one before is on its way; returns once drained."""
        now_s = self._clocks.monotonic_s
        assert self._tail is not None
        tail = self._tail
        ready: Message | None = None
        sending: asyncio.Task[Sent] | None = None
        sent_message: Message | None = None
        open_since_s: float | None = None
        looked_at_s = now_s()
        # One task for all waits: `wait_for` makes one each, which was most of an idle decoder.
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            while True:
                if ready is None:
                    due = open_since_s is not None and now_s() - open_since_s >= RANGE_S
                    ready = tail.next_message(flush=due or self._stopping.is_set())
                    if ready is not None or not tail.maker.is_open:
                        open_since_s = None
                    if open_since_s is None and tail.maker.is_open:
                        open_since_s = now_s()
                if sending is None and ready is not None:
                    if now_s() - looked_at_s >= LOOK_BEFORE_SEND_S:
                        await self._look()
                        looked_at_s = now_s()
                    self._note(ready)
                    sending = asyncio.create_task(self._publisher.send(ready))
                    sent_message, ready = ready, None
                    await asyncio.sleep(0)
                    continue
                if sending is None and self._stopping.is_set() and tail.at_tail:
                    return
                await self._pause(sending or stopped)
                if sending is not None and sending.done():
                    assert sent_message is not None
                    self._acknowledge(sent_message, self._answer(sending, sent_message))
                    sending = None
                if now_s() - looked_at_s >= LOOK_S:
                    await self._look()
                    looked_at_s = now_s()
        finally:
            stopped.cancel()
            if sending is not None:
                sending.cancel()
                await asyncio.wait({sending})

    async def _pause(self, until: "asyncio.Task[Sent] | asyncio.Task[Literal[True]]") -> None:
        """Wait for a task, but no longer than until the spool is looked at again."""
        if until.done():
            # Told to stop while the tail is not reached yet: go on, but let others run.
            await asyncio.sleep(0)
        else:
            await asyncio.wait({until}, timeout=POLL_S)

    def _note(self, message: Message) -> None:
        if self._note_first:
            sent = message.flow_range
            if message.decoded is not None:
                self._cuts.note(sent.stream, message.after)
            self._journal.append(
                Noted(stream=sent.stream, first=sent.first, last=sent.last, after=message.after)
            )

    def _answer(self, sending: "asyncio.Task[Sent]", message: Message) -> Sent:
        try:
            return sending.result()
        except SendTooLarge as error:
            # The topic's own limit is lower than ours: cut smaller from now on.
            refused = message.flow_range
            smaller = self._bounds.message_bytes // 2
            if not message.value or smaller < MESSAGE_BYTES_LEAST:
                raise
            log.warning("message refused worker=%s, cutting smaller: %s", self._collector, error)
            self._bounds = replace(self._bounds, message_bytes=smaller)
            self._cuts.take_back(refused.stream, message.after)
            self._journal.append(
                Refused(stream=refused.stream, first=refused.first, last=refused.last)
            )
            raise

    def _acknowledge(self, message: Message, sent: Sent) -> None:
        state = self._journal.state
        topic_id = self._publisher.topic_id
        before = state.offsets.get(sent.partition, -1) if state.topic_id == topic_id else -1
        if 0 <= sent.offset <= before:
            self._log_lost = True
            raise LogLost(f"offset {sent.offset} came after {before}")
        self._standing.measure(message)
        flow_range = message.flow_range
        self._journal.append(
            Acknowledged(
                stream=flow_range.stream,
                first=flow_range.first,
                last=flow_range.last,
                after=message.after,
                latest_ms=message.latest_ms,
                ended=flow_range.ended,
                topic_id=topic_id,
                partition=sent.partition,
                offset=max(sent.offset, before),
                changes=message.changes,
            )
        )
        self._acknowledged_once = True
        self._tally.count(message, sent)
        self._tally.show("lost_rates", value=self._publisher.rates_lost)

    async def _look(self) -> None:
        """See that the log is still the one that acknowledged. Raises LogLost, KafkaAway."""
        facts = await self._publisher.look()
        if not facts or lost_its_tail(self._journal.state, facts):
            raise LogLost("the topic was made again, or its end was cut")
        write_partitions(self._directory, len(facts))

    def _close_tail(self) -> None:
        if self._tail is not None:
            self._count_corrupt(self._tail)
            self._tail.close()
        self._tail = None

    def _count_corrupt(self, tail: SpoolTail) -> None:
        self._tally.add("corrupt_bytes", by=tail.corrupt_bytes)
        tail.corrupt_bytes = 0

    async def _keep_house(self) -> None:
        while True:
            more = False
            try:
                more = self._room.make(self._tail)
                self.reasons.pop("disk", None)
            except OSError as error:
                self._disk_failed(error)
            self.tell()
            # Sending goes on between two segments.
            await asyncio.sleep(0.0 if more else 1.0)

    def _disk_failed(self, error: OSError) -> None:
        self._room.on_full_disk(error)
        self.reasons["disk"] = "the disk of the spool is full"

    def make_room(self) -> None:
        """Bring the spool below its bound, at once. Raises OSError."""
        while self._room.make(self._tail):
            pass

    @property
    def lag_bytes(self) -> int:
        """Bytes of records that Kafka has not acknowledged."""
        return lag_bytes(self._directory, self._journal.state)

    def tell(self) -> None:
        """Write what the holder shows of this process."""
        if self._tail is not None:
            self._count_corrupt(self._tail)
        self._standing.tell(self.reasons, self._tail)
