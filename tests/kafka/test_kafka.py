"""shared/kafka on the real broker."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from cli.broker import Broker
from cli.ports import free_port
from shared.kafka import (
    Brokers,
    KafkaAway,
    PositionLost,
    Producer,
    Reader,
    Record,
    SendRefused,
    TopicRefused,
    broker_addresses,
    delete_records,
    ensure_topics,
    oldest_ms,
    partition_facts,
)
from shared.topics import MESSAGE_BYTES_MAX, TOPICS, Topic

pytestmark = pytest.mark.kafka

MakeTopic = Callable[..., Topic]
DEADLINE_S = 60.0


async def read(reader: Reader, count: int) -> list[Record]:
    """Return the next `count` records; fails when they do not come."""
    found: list[Record] = []
    deadline_s = time.monotonic() + DEADLINE_S
    while len(found) < count:
        assert time.monotonic() < deadline_s, f"{len(found)} of {count} records came"
        try:
            found += await reader.fetch(timeout_ms=500, records_max=1000)
        except KafkaAway:
            await asyncio.sleep(0.2)
    return found


async def send_until_stored(producer: Producer, topic: str, value: bytes) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while True:
        try:
            await producer.send(topic, partition=0, key=None, value=value)
            return
        except KafkaAway:
            assert time.monotonic() < deadline_s
        try:
            await producer.start()
        except KafkaAway:
            assert time.monotonic() < deadline_s


async def fetch_for_ever(reader: Reader) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            await reader.fetch(timeout_ms=200, records_max=10)


async def delete_topic(broker: str, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        await admin.delete_topics([name])
    finally:
        await admin.close()


async def test_what_was_sent_is_read_with_key_headers_and_append_time(
    broker: str, make_topic: MakeTopic
) -> None:
    topic = make_topic(partitions=2)
    producer = Producer(Brokers(broker), client_id="test")
    reader = Reader(Brokers(broker), client_id="test", topic=topic.name)
    await producer.start()
    before_ms = time.time() * 1000

    sent = await producer.send(
        topic.name, partition=1, key=b"c/0", value=b"rows", headers=[("v", b"1")]
    )

    await reader.start({0: 0, 1: 0})
    (record,) = await read(reader, 1)
    assert record == Record(
        topic.name, 1, sent.offset, sent.timestamp_ms, b"c/0", b"rows", (("v", b"1"),)
    )
    assert abs(record.timestamp_ms - before_ms) < DEADLINE_S * 1000
    await reader.stop()
    await producer.stop()


async def test_sends_of_one_partition_keep_the_order_of_calls(
    broker: str, make_topic: MakeTopic
) -> None:
    topic = make_topic()
    producer = Producer(Brokers(broker), client_id="test")
    await producer.start()

    sent = await asyncio.gather(
        *(
            producer.send_soon(topic.name, partition=0, key=None, value=str(number).encode())
            for number in range(200)
        )
    )

    assert [one.offset for one in sent] == list(range(200))
    reader = Reader(Brokers(broker), client_id="test", topic=topic.name)
    await reader.start({0: 0})
    assert [int(record.value) for record in await read(reader, 200)] == list(range(200))
    await reader.stop()
    await producer.stop()


async def test_the_largest_message_passes_and_a_larger_one_is_refused(
    broker: str, make_topic: MakeTopic
) -> None:
    topic = make_topic()
    producer = Producer(Brokers(broker), client_id="test")
    await producer.start()

    await producer.send(topic.name, partition=0, key=None, value=bytes(1_000_000))
    with pytest.raises(SendRefused):
        await producer.send(topic.name, partition=0, key=None, value=bytes(MESSAGE_BYTES_MAX + 1))

    await producer.start()
    assert (await producer.send(topic.name, partition=0, key=None, value=b"next")).offset == 1
    await producer.stop()


async def test_nothing_is_sent_behind_a_refused_record(broker: str, make_topic: MakeTopic) -> None:
    topic = make_topic()
    producer = Producer(Brokers(broker), client_id="test")
    await producer.start()

    answers = await asyncio.gather(
        *(
            producer.send_soon(topic.name, partition=0, key=None, value=bytes(size))
            for size in (1, MESSAGE_BYTES_MAX + 1, 1, 1)
        ),
        return_exceptions=True,
    )

    assert [type(answer).__name__ for answer in answers] == [
        "Sent",
        "SendTooLarge",
        "KafkaAway",
        "KafkaAway",
    ]
    (facts,) = await partition_facts(Brokers(broker), topic.name)
    assert facts.end_offset == 1
    with pytest.raises(KafkaAway):
        await producer.send(topic.name, partition=0, key=None, value=b"before start()")
    await producer.start()
    await producer.send(topic.name, partition=0, key=None, value=b"after")
    await producer.stop()


async def test_what_was_queued_before_a_restart_is_not_sent_after_it(
    broker: str, make_topic: MakeTopic
) -> None:
    topic = make_topic()
    producer = Producer(Brokers(broker), client_id="test")
    await producer.start()
    queued = [
        asyncio.ensure_future(
            producer.send_soon(topic.name, partition=0, key=None, value=str(number).encode())
        )
        for number in range(300)
    ]
    await queued[10]

    await producer.start()
    await producer.send(topic.name, partition=0, key=None, value=b"last")

    answers = await asyncio.gather(*queued, return_exceptions=True)
    acknowledged = [
        number for number, sent in enumerate(answers) if not isinstance(sent, KafkaAway)
    ]
    assert acknowledged == list(range(len(acknowledged)))
    (facts,) = await partition_facts(Brokers(broker), topic.name)
    reader = Reader(Brokers(broker), client_id="test", topic=topic.name)
    await reader.start({0: 0})
    values = [record.value for record in await read(reader, facts.end_offset)]
    # One more may stand there than was acknowledged: the one that was in flight.
    in_order = [str(number).encode() for number in range(len(values) - 1)]
    assert values == [*in_order, b"last"]
    assert len(acknowledged) <= len(in_order) <= len(acknowledged) + 1
    await reader.stop()
    await producer.stop()


async def test_a_partition_that_is_not_there_is_refused(broker: str, make_topic: MakeTopic) -> None:
    topic = make_topic()
    producer = Producer(Brokers(broker), client_id="test")
    await producer.start()
    with pytest.raises(SendRefused):
        await producer.send(topic.name, partition=7, key=None, value=b"")
    await producer.stop()


async def test_a_recreated_topic_has_another_id_and_can_be_written_again(
    broker: str, make_topic: MakeTopic
) -> None:
    topic = make_topic(partitions=2)
    producer = Producer(Brokers(broker), client_id="test")
    await producer.start()
    await producer.send(topic.name, partition=0, key=None, value=b"old")
    before = await partition_facts(Brokers(broker), topic.name)

    await delete_topic(broker, topic.name)
    await ensure_topics(Brokers(broker), [topic])

    after = await partition_facts(Brokers(broker), topic.name)
    assert [facts.partition for facts in after] == [0, 1]
    assert len({facts.topic_id for facts in before}) == 1
    assert before[0].topic_id != after[0].topic_id
    assert (before[0].end_offset, after[0].end_offset) == (1, 0)
    await send_until_stored(producer, topic.name, b"new")
    await producer.stop()


async def test_facts_of_a_topic_that_is_not_there_are_none(broker: str) -> None:
    assert await partition_facts(Brokers(broker), "no-such-topic") == []


async def test_a_cluster_says_where_its_brokers_are(broker: str) -> None:
    assert await broker_addresses(Brokers(broker)) == [broker]


async def test_ensuring_topics_twice_leaves_them_as_they_are(
    broker: str, make_topic: MakeTopic
) -> None:
    topic = make_topic(partitions=3)
    before = await partition_facts(Brokers(broker), topic.name)

    other = Topic(topic.name, "any", 5, timedelta(hours=2))
    await asyncio.gather(*(ensure_topics(Brokers(broker), [other]) for _ in range(3)))

    assert await partition_facts(Brokers(broker), topic.name) == before


async def test_the_whole_table_of_topics_is_accepted(broker: str) -> None:
    await asyncio.gather(*(ensure_topics(Brokers(broker), TOPICS) for _ in range(3)))
    for topic in TOPICS:
        assert len(await partition_facts(Brokers(broker), topic.name)) == topic.partitions


async def test_an_impossible_topic_is_refused(broker: str) -> None:
    with pytest.raises(TopicRefused):
        await ensure_topics(Brokers(broker), [Topic("not/a/name", "any", 1, None)])


async def test_too_few_brokers_are_brokers_that_are_away(broker: str) -> None:
    # Those of a cluster that is starting are fenced for a while, and say the same.
    topic = Topic("few", "any", 1, None)
    with pytest.raises(KafkaAway, match="few"):
        await ensure_topics(Brokers(broker), [topic], replication_factor=3, patience_s=0.5)


async def test_no_broker_at_start_is_said_soon() -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    producer = Producer(Brokers(nowhere), client_id="test", patience_s=0.5)
    reader = Reader(Brokers(nowhere), client_id="test", topic="flows", patience_s=0.5)
    with pytest.raises(KafkaAway):
        await producer.start()
    with pytest.raises(KafkaAway):
        await reader.start({0: 0})
    with pytest.raises(KafkaAway):
        await partition_facts(Brokers(nowhere), "flows", patience_s=0.5)
    with pytest.raises(KafkaAway):
        await ensure_topics(Brokers(nowhere), TOPICS, patience_s=0.5)
    with pytest.raises(KafkaAway):
        await producer.send("flows", partition=0, key=None, value=b"")
    await producer.stop()
    await reader.stop()


async def test_an_offset_outside_the_log_is_named_and_reading_goes_on_elsewhere(
    broker: str, make_topic: MakeTopic
) -> None:
    topic = make_topic()
    producer = Producer(Brokers(broker), client_id="test")
    await producer.start()
    await producer.send(topic.name, partition=0, key=None, value=b"only")
    reader = Reader(Brokers(broker), client_id="test", topic=topic.name)
    await reader.start({0: 5})

    with pytest.raises(PositionLost) as lost:
        await read(reader, 1)

    assert (lost.value.partition, lost.value.position) == (0, 5)
    reader.seek(0, 0)
    assert [record.value for record in await read(reader, 1)] == [b"only"]
    assert reader.positions == {0: 1}
    await reader.stop()
    await producer.stop()


async def test_a_quiet_topic_is_no_broker_that_is_away(broker: str, make_topic: MakeTopic) -> None:
    topic = make_topic()
    reader = Reader(Brokers(broker), client_id="test", topic=topic.name, silence_s=0.2)
    await reader.start({0: 0})
    for _ in range(5):
        assert await reader.fetch(timeout_ms=100, records_max=10) == []
    await reader.stop()


@pytest.mark.faults
async def test_a_killed_broker_is_named_and_everything_goes_on_when_it_is_back(
    own_broker: Broker,
) -> None:
    servers = own_broker.bootstrap_servers
    topic = Topic("killed", "any", 1, None)
    await ensure_topics(Brokers(servers), [topic], patience_s=DEADLINE_S)
    producer = Producer(Brokers(servers), client_id="test", delivery_timeout_s=2.0, patience_s=2.0)
    reader = Reader(Brokers(servers), client_id="test", topic=topic.name, silence_s=0.5)
    await producer.start()
    await reader.start({0: 0})
    await producer.send(topic.name, partition=0, key=None, value=b"before")
    await read(reader, 1)

    own_broker.kill()

    with pytest.raises(KafkaAway):
        await producer.send(topic.name, partition=0, key=None, value=b"during")
    with pytest.raises(KafkaAway):
        await fetch_for_ever(reader)

    await asyncio.to_thread(own_broker.start)
    await send_until_stored(producer, topic.name, b"after")
    while (await read(reader, 1))[-1].value != b"after":
        pass
    await reader.stop()
    await producer.stop()


@pytest.mark.faults
async def test_stop_ends_while_the_broker_is_frozen_and_a_send_is_open(own_broker: Broker) -> None:
    servers = own_broker.bootstrap_servers
    topic = Topic("frozen", "any", 1, None)
    await ensure_topics(Brokers(servers), [topic], patience_s=DEADLINE_S)
    producer = Producer(Brokers(servers), client_id="test")
    await producer.start()
    await producer.send(topic.name, partition=0, key=None, value=b"before")
    own_broker.freeze()
    open_sends = [
        asyncio.ensure_future(
            producer.send_soon(topic.name, partition=0, key=None, value=b"during")
        )
        for _ in range(3)
    ]
    await asyncio.sleep(0)

    async with asyncio.timeout(DEADLINE_S):
        await producer.stop()
        answers = await asyncio.gather(*open_sends, return_exceptions=True)

    assert {type(answer) for answer in answers} == {KafkaAway}


async def test_what_nobody_needs_any_more_is_deleted(broker: str, make_topic: MakeTopic) -> None:
    topic = make_topic()
    producer = Producer(Brokers(broker), client_id="test")
    await producer.start()
    assert await oldest_ms(Brokers(broker), topic.name) == {}
    sent = [
        await producer.send(topic.name, partition=0, key=None, value=b"%d" % number)
        for number in range(3)
    ]
    await producer.stop()
    assert await oldest_ms(Brokers(broker), topic.name) == {0: sent[0].timestamp_ms}

    await delete_records(Brokers(broker), topic.name, before_offset=2)

    (facts,) = await partition_facts(Brokers(broker), topic.name)
    assert (facts.start_offset, facts.end_offset) == (2, 3)
    assert await oldest_ms(Brokers(broker), topic.name) == {0: sent[2].timestamp_ms}
