"""The decoder on a real broker: killed, cut off, its topic made again; every row is there once."""

import asyncio
import os
import random
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from cli.broker import Broker
from services.ingest.decode.decoding import DecoderState
from services.ingest.publish.journal import Journal, JournalState
from services.ingest.publish.publish import RATES_PAUSE_S, Publisher, partition_of
from services.ingest.publish.publishing import Clocks, Publishing
from services.ingest.publish.tail import SpoolTail
from services.ingest.spool.format import RecordKind
from services.ingest.spool.reader import spool_bytes
from services.ingest.status import read_status
from shared.flow_message import LOG_HEADER, FlowRange, decode_headers
from shared.kafka import Brokers, Reader, delete_records, ensure_topics, partition_facts
from shared.losses import LossReason
from shared.topics import FLOWS, RATES, Topic
from tests.ingest.logs import Read, read_trimmed, until
from tests.ingest.spools import (
    EXPORTERS,
    NOON_MS,
    WORKER,
    Datagram,
    Spool,
    datagrams,
    fresh_rows,
    v9_flows,
)

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parents[2]
SETTLE_S = 90


def config_file(directory: Path, bootstrap_servers: str, **more: object) -> Path:
    file = directory / "ingest.yaml"
    settings = {
        "name": WORKER.partition("/")[0],
        "spool_dir": str(directory / "spool"),
        "bootstrap_servers": bootstrap_servers,
    } | more
    file.write_text("".join(f"{name}: {value}\n" for name, value in settings.items()))
    return file


@contextmanager
def decoder(config: Path, *, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A decoder process; ends with the block."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.ingest.publish.decoder", "--config", str(config),
             "--worker", "0", "--parent", str(os.getpid())],
            cwd=ROOT, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def messages_of(streams: set[int], records: list[tuple[FlowRange, bytes]]) -> Read:
    return read_trimmed([one for one in records if one[0].stream in streams])


async def read_topic(bootstrap_servers: str, topic: Topic) -> list[tuple[FlowRange, bytes]]:
    """Return what stands in a topic now and was meant for it, as a central reads it."""
    facts = await partition_facts(Brokers(bootstrap_servers), topic.name)
    ends = {
        fact.partition: fact.end_offset for fact in facts if fact.end_offset > fact.start_offset
    }
    found: list[tuple[FlowRange, bytes]] = []
    if not ends:
        return found
    reader = Reader(Brokers(bootstrap_servers), client_id="test", topic=topic.name)
    await reader.start(
        {fact.partition: fact.start_offset for fact in facts if fact.partition in ends}
    )
    async with asyncio.timeout(SETTLE_S):
        while any(reader.positions[partition] < end for partition, end in ends.items()):
            for record in await reader.fetch(timeout_ms=500, records_max=500):
                meant = dict(record.headers).get(LOG_HEADER)
                if meant is None or meant.decode() == facts[0].topic_id:
                    found.append((decode_headers(record.headers), record.value))
    await reader.stop()
    return found


async def acknowledged(directory: Path, stream: int, number: int) -> None:
    """Wait until the decoder says that Kafka has everything up to a number of a stream."""

    def is_there() -> bool:
        status = read_status(directory, "decoder")
        facts = {} if status is None else status.facts
        return (facts.get("stream"), facts.get("acknowledged")) == (f"{stream:016x}", number)

    await until(is_there)


async def test_killed_at_random_moments_every_row_is_there_once(
    broker: str, tmp_path: Path
) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    spool = Spool(tmp_path / "spool" / "0", segment_bytes=1 << 15)
    streams = {secrets.randbits(63) + 1 for _ in range(2)}
    first, second = sorted(streams)
    config = config_file(tmp_path, broker)
    spool.open(first)
    at_ms = NOON_MS
    for life in range(8):
        with decoder(config, log=tmp_path / "decoder.log") as process:
            # Its start alone takes most of a second: kills fall before, in and behind the work.
            for _ in range(rng.randrange(1, 12)):
                spool.write(datagrams(20, flows=20, at_ms=at_ms))
                at_ms += 5_000
                await asyncio.sleep(rng.random() * 0.25)
            process.send_signal(signal.SIGKILL)
            process.wait()
        if life == 4:
            spool.mark(RecordKind.END, at_ms)
            spool.open(second, at_ms)
    with decoder(config, log=tmp_path / "decoder.log"):
        await acknowledged(spool.directory, second, spool.writer.next_number - 1)

    read = messages_of(streams, await read_topic(broker, FLOWS))
    assert read.gaps == []
    assert read.ended == {first}
    assert read.rows.equals(fresh_rows(spool.directory))
    # On `rates` too a range that was sent twice was cut the same way twice.
    cuts: dict[tuple[int, int], tuple[int, bytes]] = {}
    for flow_range, value in await read_topic(broker, RATES):
        if flow_range.stream in streams:
            key = (flow_range.stream, flow_range.first)
            assert cuts.setdefault(key, (flow_range.last, value)) == (flow_range.last, value)
    assert cuts


async def test_sigterm_publishes_what_is_in_the_spool_first(broker: str, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool" / "0")
    stream = secrets.randbits(63) + 1
    spool.open(stream)
    with decoder(config_file(tmp_path, broker), log=tmp_path / "decoder.log") as process:
        await acknowledged(spool.directory, stream, 1)
        spool.write(datagrams(100, flows=20))
        process.terminate()
        assert process.wait(SETTLE_S) == 0

    read = messages_of({stream}, await read_topic(broker, FLOWS))
    assert read.rows.equals(fresh_rows(spool.directory))


async def test_a_second_decoder_of_one_spool_says_so_and_ends(broker: str, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool" / "0")
    stream = secrets.randbits(63) + 1
    spool.open(stream)
    config = config_file(tmp_path, broker)
    with decoder(config, log=tmp_path / "one.log"):
        await acknowledged(spool.directory, stream, 1)
        with decoder(config, log=tmp_path / "two.log") as second:
            assert second.wait(SETTLE_S) == 1

    assert "decoder.lock" in (tmp_path / "two.log").read_text()


async def test_a_broker_killed_and_frozen_only_makes_the_spool_grow(
    own_broker: Broker, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool" / "0", segment_bytes=1 << 15)
    spool.open(7)
    config = config_file(tmp_path, own_broker.bootstrap_servers)
    with decoder(config, log=tmp_path / "decoder.log"):
        spool.write(datagrams(50))
        await acknowledged(spool.directory, 7, spool.writer.next_number - 1)
        own_broker.kill()
        spool.write(datagrams(50, at_ms=NOON_MS + 1_000))
        await asyncio.sleep(1)
        await asyncio.to_thread(own_broker.start)
        await acknowledged(spool.directory, 7, spool.writer.next_number - 1)
        own_broker.freeze()
        spool.write(datagrams(50, at_ms=NOON_MS + 2_000))
        await asyncio.sleep(3)
        own_broker.thaw()
        await acknowledged(spool.directory, 7, spool.writer.next_number - 1)

    read = messages_of({7}, await read_topic(own_broker.bootstrap_servers, FLOWS))
    assert read.gaps == []
    assert read.rows.equals(fresh_rows(spool.directory))


async def test_a_topic_made_again_is_published_again_and_nothing_doubles(
    own_broker: Broker, tmp_path: Path
) -> None:
    servers = own_broker.bootstrap_servers
    spool = Spool(tmp_path / "spool" / "0", segment_bytes=1 << 15)
    spool.open(7)
    config = config_file(tmp_path, servers)
    with decoder(config, log=tmp_path / "decoder.log"):
        spool.write(datagrams(80))
        await acknowledged(spool.directory, 7, spool.writer.next_number - 1)
        before = await read_topic(servers, FLOWS)
        first_id = (await partition_facts(Brokers(servers), FLOWS.name))[0].topic_id
        await delete_topic(servers, FLOWS.name)
        async with asyncio.timeout(SETTLE_S):
            while not (facts := await partition_facts(Brokers(servers), FLOWS.name)) or (
                facts[0].topic_id == first_id
            ):
                await ensure_topics(Brokers(servers), [FLOWS])
        spool.write([Datagram(EXPORTERS[0], v9_flows(9, seed=77), NOON_MS + 5_000)])
        async with asyncio.timeout(SETTLE_S):
            while sum(f.rows for f, _ in await read_topic(servers, FLOWS)) < 809:
                await asyncio.sleep(0.2)

    fresh = fresh_rows(spool.directory)
    after = await read_topic(servers, FLOWS)
    assert read_trimmed(before + after).rows.equals(fresh)
    assert read_trimmed(after).rows.equals(fresh)


async def delete_topic(servers: str, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.delete_topics([name])
    finally:
        await admin.close()


async def test_a_full_spool_without_a_broker_is_named_once_it_is_back(
    own_broker: Broker, tmp_path: Path
) -> None:
    segment_bytes = 1 << 16
    spool = Spool(tmp_path / "spool" / "0", segment_bytes=segment_bytes)
    spool.open(7)
    config = config_file(
        tmp_path, own_broker.bootstrap_servers,
        segment_bytes=segment_bytes, spool_bytes_max=4 * segment_bytes,
    )  # fmt: skip
    sent = 0
    with decoder(config, log=tmp_path / "decoder.log"):
        spool.write(datagrams(50))
        sent += 500
        await acknowledged(spool.directory, 7, spool.writer.next_number - 1)
        own_broker.kill()
        for minute in range(1, 13):
            spool.write(datagrams(100, flows=40, at_ms=NOON_MS + 60_000 * minute))
            sent += 4_000
        await until(lambda: spool_bytes(spool.directory) <= 6 * segment_bytes)
        await asyncio.to_thread(own_broker.start)
        await acknowledged(spool.directory, 7, spool.writer.next_number - 1)

    read = read_trimmed(await read_topic(own_broker.bootstrap_servers, FLOWS))
    assert read.gaps == []
    lost = [x for r in read.ranges for x in r.losses if x.reason is LossReason.SPOOL_OVERFLOW]
    assert sum(loss.flows for loss in lost) > 0
    assert read.rows.num_rows + sum(loss.flows for loss in lost) == sent


async def test_too_many_bytes_for_the_topic_are_cut_by_datagram(
    broker: str, tmp_path: Path
) -> None:
    """The topic allows less than we do: refused, cut smaller, sent."""
    flows = Topic(f"flows-{secrets.token_hex(4)}", "worker", 4, FLOWS.retention,
                  append_time=True, message_bytes_max=20_000)  # fmt: skip
    spool = Spool(tmp_path / "spool" / "0")
    spool.open(7)
    spool.write(datagrams(100, flows=60))
    journal = Journal(spool.directory)
    publishing = Publishing(
        spool.directory, journal, Publisher(Brokers(broker), worker=WORKER, flows=flows),
        collector=WORKER, spool_bytes_max=1 << 30, make_state=DecoderState,
        clocks=Clocks(wall_ms=lambda: NOON_MS, monotonic_s=asyncio.get_running_loop().time),
    )  # fmt: skip
    running = asyncio.create_task(publishing.run())
    await until(lambda: publishing.lag_bytes == 0)
    publishing.stop()
    await running
    journal.close()

    records = await read_topic(broker, flows)
    assert len(records) > 1
    read = read_trimmed(records)
    assert read.gaps == []
    assert read.rows.equals(fresh_rows(spool.directory))


async def test_a_deleted_rates_topic_holds_flows_up_for_seconds_and_is_made_again(
    broker: str, tmp_path: Path
) -> None:
    tag, now_s = secrets.token_hex(4), 0.0
    flows, rates = (replace(each, name=f"{each.name}-{tag}") for each in (FLOWS, RATES))
    spool = Spool(tmp_path / "spool")
    spool.open(7)
    spool.write(datagrams(10))
    tail = SpoolTail(spool.directory, JournalState(), DecoderState(), collector=WORKER)
    publisher = Publisher(
        Brokers(broker), worker=WORKER, flows=flows, rates=rates, monotonic_s=lambda: now_s
    )
    await publisher.connect()
    message = tail.next_message() or tail.next_message(flush=True)
    assert message is not None
    assert message.rates
    await publisher.send(message)
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    await admin.delete_topics([rates.name])
    await admin.close()

    # Less than a delivery may take else.
    async with asyncio.timeout(20):
        await publisher.send(message)
    assert publisher.rates_lost == 1
    now_s = RATES_PAUSE_S
    await publisher.send(message)

    await publisher.stop()
    tail.close()
    assert publisher.rates_lost == 1
    facts = await partition_facts(Brokers(broker), rates.name)
    # The one that was given up may have come through after all; readers know a repeat.
    assert sum(fact.end_offset for fact in facts) in (1, 2)


async def test_whose_record_stands_at_an_offset_is_seen(broker: str, tmp_path: Path) -> None:
    tag = secrets.token_hex(4)
    flows, rates = (
        replace(each, name=f"{each.name}-{tag}", partitions=1) for each in (FLOWS, RATES)
    )
    spool = Spool(tmp_path / "spool")
    spool.open(7)
    spool.write(datagrams(10))
    tail = SpoolTail(spool.directory, JournalState(), DecoderState(), collector=WORKER)
    message = tail.next_message() or tail.next_message(flush=True)
    assert message is not None
    one = Publisher(Brokers(broker), worker=WORKER, flows=flows, rates=rates)
    await one.connect()
    assert (await one.send(message)).offset == 0

    stream = message.flow_range.stream
    assert await one.holds({0: 0}, [1, stream])
    assert not await one.holds({0: 0}, [stream + 1])
    assert await one.holds({}, [])
    await delete_records(Brokers(broker), flows.name, before_offset=1)
    await one.look()
    assert await one.holds({0: 0}, [])
    await one.stop()
    tail.close()


async def test_a_refused_rates_topic_does_not_disturb_flows(broker: str, tmp_path: Path) -> None:
    tag = secrets.token_hex(4)
    flows = Topic(f"flows-{tag}", "worker", 4, FLOWS.retention, append_time=True)
    rates = Topic(f"rates-{tag}", "worker", 1, RATES.retention, append_time=True,
                  message_bytes_max=100)  # fmt: skip
    spool = Spool(tmp_path / "spool")
    spool.open(7)
    spool.write(datagrams(10))
    tail = SpoolTail(spool.directory, JournalState(), DecoderState(), collector=WORKER)
    publisher = Publisher(Brokers(broker), worker=WORKER, flows=flows, rates=rates)
    await publisher.connect()
    message = tail.next_message() or tail.next_message(flush=True)
    assert message is not None
    assert message.rates

    sent = await publisher.send(message)
    again = await publisher.send(message)

    await publisher.stop()
    tail.close()
    assert (sent.partition, again.offset) == (partition_of(WORKER, 4), sent.offset + 1)
    assert publisher.rates_lost == 2
