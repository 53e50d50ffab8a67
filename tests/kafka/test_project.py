"""The projection on the real broker: replays, restarts, other topics, foreign bytes, end marks."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from services.central.progress import FORCED_MS
from services.central.too_old import MARK
from shared.flow_message import encode_headers
from shared.kafka import (
    Brokers,
    Looks,
    PartitionFacts,
    Producer,
    ensure_topics,
    partition_facts,
)
from shared.topics import Topic
from tests.central.centrals import Place
from tests.central.stream_messages import (
    Datagram,
    Sent,
    Stream,
    arrow,
    cut,
)

pytestmark = pytest.mark.kafka

MINUTE_MS = 60_000


def a_live_stream(stream: int, minutes: int = 3, *, ends: bool = False) -> Stream:
    """Return a stream of the last minutes, six datagrams of two rows in each."""
    now_ms = time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS
    datagrams = [
        Datagram(number, now_ms - (minutes - (number - 1) // 6) * MINUTE_MS + number, 2)
        for number in range(1, minutes * 6 + 1)
    ]
    if ends:
        datagrams.append(Datagram(len(datagrams) + 1, datagrams[-1].at_ms, 0))
    return Stream(id=stream, datagrams=tuple(datagrams), ends=ends)


@pytest.fixture
def place(broker: str, make_topic: Callable[..., Topic], tmp_path: Path) -> Place:
    return Place(
        tmp_path / "central",
        broker,
        make_topic("flows"),
        make_topic("settings", compacted=True, append_time=False, retention=None),
    )


@pytest.fixture
async def producer(broker: str) -> AsyncIterator[Producer]:
    opened = Producer(Brokers(broker), client_id="test")
    await opened.start()
    yield opened
    await opened.stop()


async def publish(producer: Producer, topic: Topic, sent: Sequence[Sent]) -> int:
    """Send the messages; the offset after the last."""
    offset = 0
    for each in sent:
        stored = await producer.send(
            topic.name,
            partition=0,
            key=each.range.worker.encode(),
            value=each.value,
            headers=encode_headers(each.range),
        )
        offset = stored.offset + 1
    return offset


async def test_a_stream_is_counted_once_over_replays_and_restarts(
    place: Place, producer: Producer
) -> None:
    stream = a_live_stream(2**63 + 1, ends=True)
    sent = cut(stream, frozenset({3, 7, 13}))
    end = await publish(producer, place.flows, sent[:3])
    async with place.run() as central:
        await central.reads_to(end)
        part = await central.get("totals")
        assert part["flows"] == 2 * sent[2].range.last
        assert list(part["open_streams"]) == ["8000000000000001"]
    end = await publish(producer, place.flows, cut(stream, frozenset({5})))
    async with place.run() as central:
        await central.reads_to(end)
        totals = await central.get("totals")
        assert totals["flows"] == len(stream.rows)
        assert totals["packets"] == len(stream.rows)
        assert totals["losses"] == {}
        assert totals["open_streams"] == {}
        (row,) = (await central.get("streams"))["rows"]
        assert (row["ended"], row["last"]) == (True, stream.datagrams[-1].number)
        (exporter,) = (await central.get("exporters"))["rows"]
        assert exporter["export_versions"] == [9]
        assert exporter["first_seen"] is not None
        lag = central.central.metrics.registry.get_sample_value(
            "steadflow_central_lag_records", {"partition": "0"}
        )
        assert lag == 0


@pytest.mark.parametrize("step", ["enter", "flows", "close minute", "close hour", "hint"])
async def test_a_crash_between_two_steps_is_mended_by_the_next_start(
    place: Place, producer: Producer, step: str
) -> None:
    stream = a_live_stream(5, ends=True)
    end = await publish(producer, place.flows, cut(stream))
    started: list[str] = []

    def dies(now: str) -> None:
        # The start itself writes a hint: it is not the one meant.
        if now == step and (step != "hint" or "flows" in started):
            raise RuntimeError("killed")
        started.append(now)

    async with place.run(before_step=dies) as central:
        with pytest.raises(ExceptionGroup, match="unhandled errors"):
            await central.reads_to(end)
    async with place.run() as central:
        await central.reads_to(end)
        totals = await central.get("totals")
        assert (totals["flows"], totals["losses"]) == (len(stream.rows), {})
        hours = await central.get("reports/top", by="exporter", **{"from": "-2d", "to": "now"})
        assert hours["rows"][0]["flows"] == len(stream.rows)


async def test_a_topic_made_again_is_an_alarm_and_read_from_its_start(
    place: Place, producer: Producer, broker: str
) -> None:
    stream = a_live_stream(6)
    sent = cut(stream, frozenset({3, 9}))
    end = await publish(producer, place.flows, sent[:2])
    async with place.run() as central:
        await central.reads_to(end)
    await make_again(broker, place.flows)
    # The decoder publishes again from its oldest kept segment, in other cuts.
    await producer.stop()
    await producer.start()
    end = await publish(producer, place.flows, cut(stream, frozenset({1, 2, 8})))
    async with place.run() as central:
        await central.reads_to(end)
        assert central.alarms("topic_changed") == 1
        totals = await central.get("totals")
        assert (totals["flows"], totals["losses"]) == (len(stream.rows), {})


async def test_a_topic_made_again_under_a_running_central_is_noticed(
    place: Place, producer: Producer, broker: str
) -> None:
    stream = a_live_stream(7)
    sent = cut(stream, frozenset(range(1, 20)))
    end = await publish(producer, place.flows, sent[:4])
    async with place.run() as central:
        await central.reads_to(end)
        await make_again(broker, place.flows)
        await producer.stop()
        await producer.start()
        # Longer than before, so that no offset is out of range.
        await publish(producer, place.flows, sent)
        await central.until(
            lambda: sum(p.last for p in central.central.applier.state.streams.values()) == 18
        )
        totals = await central.get("totals")
        assert (totals["flows"], totals["losses"]) == (len(stream.rows), {})
        assert central.alarms("topic_changed") == 1


async def test_flows_are_applied_while_somebody_waits_for_a_look_at_the_log(
    place: Place, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that is silent holds such a look up for seconds, just when somebody takes over."""
    asked = 0

    answered = Looks.facts

    async def unanswered(looks: Looks, topic: str) -> list[PartitionFacts]:
        nonlocal asked
        asked += 1
        if asked > 1:
            await asyncio.Event().wait()
        return await answered(looks, topic)

    monkeypatch.setattr(Looks, "facts", unanswered)
    sent = cut(a_live_stream(8), frozenset({5}))
    async with place.run() as central:
        await central.until(lambda: asked > 1)
        await central.reads_to(await publish(producer, place.flows, sent))
        assert (await central.get("totals"))["flows"] == 2 * sent[-1].range.last
    assert asked == 2


async def test_stopped_longer_than_the_retention_the_hole_is_a_named_gap(
    place: Place, producer: Producer, broker: str
) -> None:
    stream = a_live_stream(8)
    sent = cut(stream, frozenset({3, 6, 9}))
    await publish(producer, place.flows, sent[:1])
    async with place.run() as central:
        await central.reads_to(1)
    end = await publish(producer, place.flows, sent[1:])
    await delete_records(broker, place.flows, before=2)
    async with place.run() as central:
        await central.reads_to(end)
        assert central.alarms("position_lost") == 1
        assert central.alarms("log_gap") == 1
        totals = await central.get("totals")
        gap = sent[1].range
        assert totals["flows"] == len(stream.rows) - gap.rows
        assert totals["losses"] == {"log_gap": {"datagrams": gap.last - gap.first + 1, "flows": 0}}


async def test_where_that_is_asked_for_it_stands_still_instead(
    place: Place, producer: Producer, broker: str
) -> None:
    sent = cut(a_live_stream(1), frozenset({4, 8, 12}))
    offset = await publish(producer, place.flows, sent[:1])
    async with place.run(stands_still_when_old=True) as one:
        await one.reads_to(offset)
        assert "retention" not in one.central.health.reasons
    end = await publish(producer, place.flows, sent[1:])
    await delete_records(broker, place.flows, before=end)

    async with place.run(stands_still_when_old=True) as one:
        await one.until(lambda: "retention" in one.central.health.reasons)
        assert (place.data_dir / MARK).exists()
        assert one.alarms("position_lost") == 0
        assert one.central.store.flow_maxima() == {1: 4}
        # It is fit for nothing, and answers what it has.
        assert (await one.get("totals"))["flows"] == 8
    async with place.run() as one:
        await one.until(lambda: one.alarms("position_lost") == 1)


async def test_an_unknown_column_stops_and_reports_go_on(place: Place, producer: Producer) -> None:
    stream = a_live_stream(9)
    one, other, *_ = cut(stream, frozenset({3}))
    batch = pa.ipc.open_stream(other.value).read_next_batch()
    newer = batch.append_column("flow_label", pa.array([1] * batch.num_rows, pa.uint32()))
    end = await publish(producer, place.flows, [one])
    await publish(producer, place.flows, [Sent(other.range, arrow(newer))])
    async with place.run() as central:
        await central.until(lambda: "schema" in central.central.health.reasons)
        reason = central.central.health.reasons["schema"]
        assert "flow_label: uint32" in reason
        assert "install a newer steadflow" in reason
        assert (await central.get("totals"))["flows"] == one.range.rows
        (position,) = (await central.get("positions"))["rows"]
        assert position["next_offset"] == end
        assert (await central.client.get("/health/ready")).status_code == 503


async def test_bytes_that_are_no_arrow_are_quarantined_and_a_named_loss(
    place: Place, producer: Producer
) -> None:
    stream = a_live_stream(10)
    one, two, three, *_ = cut(stream, frozenset({3, 6, 9}))
    half = two.value[:-200] + b"x" * 200
    await publish(producer, place.flows, [one, replace(two, value=b"none"), three])
    await producer.send(place.flows.name, partition=0, key=None, value=half)
    await publish(producer, place.flows, [one])
    async with place.run() as central:
        await central.reads_to(5)
        totals = await central.get("totals")
        assert totals["flows"] == one.range.rows + three.range.rows
        assert totals["losses"] == {"quarantined": {"datagrams": 3, "flows": two.range.rows}}
        assert central.alarms("quarantined") == 2
        quarantined = central.central.store.quarantine_maxima()
        assert list(quarantined.values()) == [3]


async def test_a_value_broken_below_its_headers_is_quarantined_alone(
    place: Place, producer: Producer
) -> None:
    stream = a_live_stream(11)
    one, two, three, *_ = cut(stream, frozenset({3, 6, 9}))
    batch = pa.ipc.open_stream(two.value).read_next_batch()
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    wide = batch.append_column("src_port", pa.array(range(batch.num_rows), pa.uint16()))
    with pa.ipc.new_stream(sink, wide.schema, options=options) as writer:
        writer.write_batch(wide)
    value = bytearray(sink.getvalue().to_pybytes())
    # The last zstd frame of the batch is that of src_port.
    frame = value.rindex(b"\x28\xb5\x2f\xfd")
    value[frame : frame + 4] = b"none"
    sent = [one, Sent(two.range, bytes(value)), three]
    end = await publish(producer, place.flows, sent)
    async with place.run() as central:
        await central.reads_to(end)
        totals = await central.get("totals")
        assert totals["flows"] == one.range.rows + three.range.rows
        assert totals["losses"] == {"quarantined": {"datagrams": 3, "flows": two.range.rows}}


async def test_an_end_mark_closes_minute_and_hour_at_once(place: Place, producer: Producer) -> None:
    stream = a_live_stream(12, minutes=1, ends=True)
    end = await publish(producer, place.flows, cut(stream))
    async with place.run() as central:
        await central.reads_to(end)
        minutes_ms, hours_ms = central.central.store.rolled_until(12) or (0, 0)
        assert minutes_ms > 0
        assert hours_ms >= minutes_ms


async def test_a_stream_without_end_is_closed_by_the_eight_day_rule(
    place: Place, producer: Producer
) -> None:
    stream = a_live_stream(13, minutes=1)
    end = await publish(producer, place.flows, cut(stream))
    later_ms = time.time_ns() // 1_000_000 + FORCED_MS + 3_700_000
    async with place.run() as central:
        await central.reads_to(end)
    with place.opened() as central:
        central.applier.start(
            await partition_facts(Brokers(place.bootstrap_servers), place.flows.name)
        )
        closed = central.applier.force_close(later_ms, read_to_end=frozenset({0}))
        assert closed == 2
        assert central.store.rolled_until(13) is not None


async def test_two_collectors_of_one_name_are_an_alarm_and_both_count(
    place: Place, producer: Producer
) -> None:
    one, other = a_live_stream(14), a_live_stream(15)
    pairs = zip(cut(one), cut(other), strict=True)
    end = await publish(producer, place.flows, [each for pair in pairs for each in pair])
    async with place.run() as central:
        await central.reads_to(end)
        assert central.alarms("two_streams") > 0
        assert (await central.get("totals"))["flows"] == len(one.rows) + len(other.rows)
        rows = (await central.get("streams"))["rows"]
        assert {row["same_name_as"] for row in rows} == {f"{14:016x}", f"{15:016x}"}


async def test_without_its_metadata_a_central_gives_the_same_numbers(
    place: Place, producer: Producer
) -> None:
    stream = a_live_stream(16)
    sent = cut(stream, frozenset({3, 9}))
    end = await publish(producer, place.flows, sent)
    async with place.run() as central:
        await central.reads_to(end)
        before = await central.get("totals")
    for file in place.data_dir.glob("metadata.db*"):
        file.unlink()
    async with place.run() as central:
        await central.reads_to(end)
        after = await central.get("totals")
        (row,) = (await central.get("streams"))["rows"]
    assert after == before
    assert row["worker"] == "c/0"


async def make_again(broker: str, topic: Topic) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        await admin.delete_topics([topic.name])
    finally:
        await admin.close()
    await ensure_topics(Brokers(broker), [topic])


async def delete_records(broker: str, topic: Topic, *, before: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        await admin.delete_records(
            {TopicPartition(topic.name, 0): RecordsToDelete(before_offset=before)}
        )
    finally:
        await admin.close()
