"""What a topic is now, and topics made where they are missing.

aiokafka 0.14 speaks Metadata up to version 5, which has no topic ids: see `metadata.py`. Its admin
client is experimental, and of no help while a cluster is starting: requests are sent directly.
"""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import errors as kafka_errors
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.admin import CreateTopicsRequest, DeleteRecordsRequest
from aiokafka.protocol.offset import OffsetRequest, OffsetResetStrategy

from shared.host_port import host_port
from shared.kafka.brokers import Brokers
from shared.kafka.errors import (
    PATIENCE_S,
    REQUEST_TIMEOUT_S,
    KafkaAway,
    Result,
    TopicRefused,
    patiently,
    unbroken,
)
from shared.kafka.membership_requests import ClusterRequest
from shared.kafka.metadata import FoundTopic, MetadataRequest
from shared.kafka.silence import watchful
from shared.topics import Topic

BROKERS_CHOICE = -1
"""KIP-464: the broker's own default."""


@dataclass(frozen=True, slots=True)
class PartitionFacts:
    """One partition now: records from start_offset (inclusive) to end_offset (exclusive).

    topic_id: UUID; a topic that was deleted and made again has another one.
    """

    topic_id: str
    partition: int
    start_offset: int
    end_offset: int


async def partition_facts(
    brokers: Brokers, topic: str, *, patience_s: float = PATIENCE_S
) -> list[PartitionFacts]:
    """Return every partition of `topic` by number; an empty list when there is no such topic.

    Raises KafkaAway, also when a partition has no leader for longer than `patience_s`.
    """

    async def ask() -> list[PartitionFacts]:
        async with open_client(brokers, "steadflow-facts") as client:
            return await ask_facts(client, topic)

    return await _asked(ask, patience_s)


async def first_partition_facts(brokers: Brokers, topic: str) -> PartitionFacts:
    """Return partition 0 of `topic`. Raises KafkaAway, also when there is no such topic."""
    for fact in await partition_facts(brokers, topic):
        if fact.partition == 0:
            return fact
    raise KafkaAway(f"there is no topic {topic}")


async def offsets_since(
    brokers: Brokers, topic: str, since_ms: int, *, patience_s: float = PATIENCE_S
) -> dict[int, int]:
    """Return where to read each partition of `topic` from, to get all appended since `since_ms`.

    That is its end when nothing was; empty when there is no such topic. since_ms: UTC, compared
    with the records' timestamps. Raises KafkaAway.
    """

    async def ask() -> dict[int, int]:
        async with open_client(brokers, "steadflow-since") as client:
            # The ends first: what is appended meanwhile is then behind them.
            found = {fact.partition: fact.end_offset for fact in await ask_facts(client, topic)}
            for leader, partitions in (await _ask_leaders(client, topic))[1].items():
                since = await _offsets(client, leader, topic, partitions, since_ms)
                found |= {number: offset for number, offset in since.items() if offset >= 0}
            return found

    return await _asked(ask, patience_s)


async def oldest_ms(
    brokers: Brokers, topic: str, *, patience_s: float = PATIENCE_S
) -> dict[int, int]:
    """Return the timestamp of the first record in each partition, UTC, ms; none of empty ones.

    Raises KafkaAway.
    """

    async def ask() -> dict[int, int]:
        async with open_client(brokers, "steadflow-oldest") as client:
            found: dict[int, int] = {}
            for leader, partitions in (await _ask_leaders(client, topic))[1].items():
                first = await _found(client, leader, {topic: partitions}, 0)
                found |= {
                    number: at_ms
                    for (_topic, number), (at_ms, _offset) in first.items()
                    if at_ms >= 0
                }
            return found

    return await _asked(ask, patience_s)


async def broker_addresses(brokers: Brokers, *, patience_s: float = PATIENCE_S) -> list[str]:
    """Return where the brokers of that cluster are reached, `host:port`. Raises KafkaAway."""

    async def ask() -> list[str]:
        async with open_client(brokers, "steadflow-addresses") as client:
            return sorted(host_port(each.host, each.port) for each in client.cluster.brokers())

    return await _asked(ask, patience_s)


async def registered_addresses(brokers: Brokers, *, patience_s: float = PATIENCE_S) -> list[str]:
    """Return the same, and of those that do not answer now too. Raises KafkaAway.

    A Kafka before 4.0 does not tell of those.
    """

    async def ask() -> list[str]:
        async with open_client(brokers, "steadflow-registered") as client:
            try:
                answer = await client.send(client.get_random_node(), ClusterRequest())
            except kafka_errors.IncompatibleBrokerVersion:
                return sorted(host_port(each.host, each.port) for each in client.cluster.brokers())
            _raise_for(answer.error_code)
            return sorted(host_port(host, port) for _number, host, port, *_ in answer.brokers)

    return await _asked(ask, patience_s)


async def delete_records(
    brokers: Brokers, topic: str, *, before_offset: int, patience_s: float = PATIENCE_S
) -> None:
    """Let partition 0 of `topic` begin at `before_offset`. Raises KafkaAway."""

    async def ask() -> None:
        async with open_client(brokers, "steadflow-delete") as client:
            for leader, partitions in (await _ask_leaders(client, topic))[1].items():
                if 0 not in partitions:
                    continue
                request = DeleteRecordsRequest(
                    [(topic, [(0, before_offset)])], int(REQUEST_TIMEOUT_S * 1000)
                )
                answer = await client.send(leader, request)
                # Newer versions of the answer end each row with tags.
                for _name, parts, *_tags in answer.topics:
                    for _number, _low_watermark, error_code, *_tags in parts:
                        _raise_for(error_code)

    await _asked(ask, patience_s)


async def _asked(ask: Callable[[], Awaitable[Result]], patience_s: float) -> Result:
    """Ask again while Kafka is away. Raises KafkaAway."""
    return await patiently(lambda: unbroken(ask), patience_s)


@contextlib.asynccontextmanager
async def open_client(brokers: Brokers, client_id: str) -> AsyncIterator[AIOKafkaClient]:
    """Connect a bare client for the block. Raises what aiokafka raises."""
    client = await new_client(brokers, client_id)
    try:
        yield client
    finally:
        await client.close()


async def new_client(brokers: Brokers, client_id: str) -> AIOKafkaClient:
    """Return a bare client that is connected. Raises what aiokafka raises."""
    client = AIOKafkaClient(
        **brokers.arguments,
        client_id=client_id,
        request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000),
    )
    watchful(client, brokers.silences)
    try:
        await unbroken(client.bootstrap)
    except BaseException:
        await client.close()
        raise
    return client


async def _ask_leaders(client: AIOKafkaClient, topic: str) -> tuple[str, dict[int, list[int]]]:
    """Return the topic's id and the partitions of each leader; none when there is no topic."""
    metadata = await client.send(client.get_random_node(), MetadataRequest(topic))
    (found,) = metadata.found()
    leaders = _leaders(found)
    return str(uuid.UUID(bytes=found.topic_id)) if leaders else "", leaders


def _leaders(found: FoundTopic) -> dict[int, list[int]]:
    """Return the partitions of each leader; none when there is no such topic."""
    leaders: dict[int, list[int]] = {}
    if found.error_code == kafka_errors.UnknownTopicOrPartitionError.errno:
        return leaders
    _raise_for(found.error_code)
    for partition in found.partitions:
        _raise_for(partition.error_code)
        leaders.setdefault(partition.leader, []).append(partition.partition)
    return leaders


async def ask_facts(client: AIOKafkaClient, topic: str) -> list[PartitionFacts]:
    """Return every partition of `topic`, none when there is no such topic.

    Raises what aiokafka raises.
    """
    topic_id, leaders = await _ask_leaders(client, topic)
    starts: dict[int, int] = {}
    ends: dict[int, int] = {}
    for leader, partitions in leaders.items():
        starts |= await _offsets(client, leader, topic, partitions, OffsetResetStrategy.EARLIEST)
        ends |= await _offsets(client, leader, topic, partitions, OffsetResetStrategy.LATEST)
    return [
        PartitionFacts(topic_id, partition, starts[partition], ends[partition])
        for partition in sorted(starts)
    ]


async def ask_ends(client: AIOKafkaClient, topics: Sequence[str]) -> dict[str, dict[int, int]]:
    """Return where each topic's partitions end; nothing of a topic that is not there.

    All leaders are asked at once, each for all that it leads. Raises what aiokafka raises.
    """
    metadata = await client.send(client.get_random_node(), MetadataRequest(*topics))
    ends: dict[str, dict[int, int]] = {topic: {} for topic in topics}
    asked: dict[int, dict[str, list[int]]] = {}
    for found in metadata.found():
        for leader, partitions in _leaders(found).items():
            asked.setdefault(leader, {})[found.name] = partitions
    latest = OffsetResetStrategy.LATEST
    answers = await asyncio.gather(
        *(_found(client, leader, of_leader, latest) for leader, of_leader in asked.items())
    )
    for answer in answers:
        for (topic, partition), (_timestamp, offset) in answer.items():
            ends[topic][partition] = offset
    return ends


async def _offsets(
    client: AIOKafkaClient, leader: int, topic: str, partitions: list[int], which: int
) -> dict[int, int]:
    found = await _found(client, leader, {topic: partitions}, which)
    return {partition: offset for (_topic, partition), (_timestamp, offset) in found.items()}


async def _found(
    client: AIOKafkaClient, leader: int, led: Mapping[str, Sequence[int]], which: int
) -> dict[tuple[str, int], tuple[int, int]]:
    """Return timestamp and offset by topic and partition. led: partitions by topic.

    which: a strategy, or since when, UTC, ms.
    """
    asked = [(topic, [(number, which) for number in numbers]) for topic, numbers in led.items()]
    answer = await client.send(leader, OffsetRequest(-1, 0, asked))
    found: dict[tuple[str, int], tuple[int, int]] = {}
    for topic, parts in answer.topics:
        for partition, error_code, timestamp, offset in parts:
            _raise_for(error_code)
            found[topic, partition] = timestamp, offset
    return found


def _raise_for(error_code: int) -> None:
    if error_code != 0:
        raise kafka_errors.for_code(error_code)()


async def ensure_topics(
    brokers: Brokers,
    topics: Iterable[Topic],
    *,
    replication_factor: int = BROKERS_CHOICE,
    patience_s: float = PATIENCE_S,
) -> None:
    """Make the topics that are missing and wait until each has its leaders.

    replication_factor: left to the brokers' `default.replication.factor`, because whoever of us
    comes first makes a topic: a setting of each service could only disagree.
    A topic that is there is left as it is. Raises KafkaAway or TopicRefused.
    """
    wanted = list(topics)

    async def make() -> None:
        async with open_client(brokers, "steadflow-topics") as client:
            await _make_missing(client, wanted, replication_factor)
            for topic in wanted:
                # A topic just made, or just deleted, may be there for one broker and not yet for
                # another: asked for again, and made again where it is missing.
                if not await ask_facts(client, topic.name):
                    raise kafka_errors.UnknownTopicOrPartitionError(topic.name)

    await _asked(make, patience_s)


async def _make_missing(
    client: AIOKafkaClient, wanted: Sequence[Topic], replication_factor: int
) -> None:
    # Ask first: whoever may not make topics can still use those that are there.
    names = [topic.name for topic in wanted]
    metadata = await client.send(client.get_random_node(), MetadataRequest(*names))
    present = {found.name for found in metadata.found() if found.error_code == 0}
    nowhere: list[int] = []  # replicas are placed by the controller
    missing = [
        (topic.name, topic.partitions, replication_factor, nowhere, list(topic.configs.items()))
        for topic in wanted
        if topic.name not in present
    ]
    if missing:
        request = CreateTopicsRequest(
            create_topic_requests=missing,
            timeout=int(REQUEST_TIMEOUT_S * 1000),
            validate_only=False,
        )
        # Any node will do: KRaft brokers hand it on to the controller.
        answer = await client.send(client.get_random_node(), request)
        _check_made(answer.topic_errors)


def _check_made(topic_errors: Iterable[tuple[Any, ...]]) -> None:
    for name, code, *text in topic_errors:
        error = kafka_errors.for_code(code)
        # Another one of us may have made it between the question and the request.
        if error in (kafka_errors.NoError, kafka_errors.TopicAlreadyExistsError):
            continue
        # Too few brokers now: those of a cluster that just started are fenced for a while.
        away = (kafka_errors.NotControllerError, kafka_errors.InvalidReplicationFactorError)
        if getattr(error, "retriable", False) or error in away:
            raise error(f"topic {name}: {' '.join(map(str, text))}")
        raise TopicRefused(f"topic {name}: {' '.join(map(str, text)) or error.__name__}")
