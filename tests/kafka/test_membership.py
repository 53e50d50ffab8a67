"""What a real cluster says of its brokers, and takes from whoever keeps its machines."""

from collections.abc import Callable

import pytest

from services.central.brokers.disks import copied
from shared.kafka import Brokers, Producer, open_membership
from shared.membership import BYTES_KEPT
from shared.topics import Topic

pytestmark = pytest.mark.kafka

VALUE = bytes(100_000)
NO_LIMIT_BYTES_PER_S = 1 << 40


async def test_a_broker_tells_what_it_holds_and_what_is_left_of_its_disk(
    broker: str, make_topic: Callable[..., Topic]
) -> None:
    topic = make_topic("held")
    producer = Producer(Brokers(broker), client_id="test")
    await producer.start()
    await producer.send(topic.name, partition=0, key=None, value=VALUE)
    await producer.stop()

    async with open_membership(Brokers(broker)) as membership:
        facts = await membership.facts()
        (member,) = facts.members
        disk = await membership.disk(member.number)

    assert 0 < disk.usable_bytes <= disk.total_bytes
    assert disk.sizes[topic.name, 0] > len(VALUE)
    assert disk.log_bytes >= disk.sizes[topic.name, 0]
    assert copied(facts, {member.number: disk}) is None


async def test_what_is_kept_and_read_is_set_and_said(
    broker: str, make_topic: Callable[..., Topic]
) -> None:
    topic = make_topic("kept")
    async with open_membership(Brokers(broker)) as membership:
        assert (await membership.facts()).bytes_kept[topic.name] == -1
        await membership.set_topics([topic.name], {BYTES_KEPT: "5000000"})
        assert (await membership.facts()).bytes_kept[topic.name] == 5_000_000
        found = await membership.topic_settings([topic.name], ["retention.ms", "cleanup.policy"])
        assert found == {
            topic.name: {each: topic.configs[each] for each in ("retention.ms", "cleanup.policy")}
        }
        # The broker is also that of other tests.
        await membership.limit_readers(NO_LIMIT_BYTES_PER_S)


async def test_a_broker_tells_where_it_would_look_for_the_quorum(broker: str) -> None:
    async with open_membership(Brokers(broker)) as membership:
        facts = await membership.facts()
        (found,) = (await membership.finds(facts.members)).values()

    (address,) = found
    assert address.startswith("127.0.0.1:")
