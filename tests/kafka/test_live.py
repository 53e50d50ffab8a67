"""The live rates on the real broker: crashed, rebuilt, repeated, and right all the same."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from cli.broker import Broker
from services.central.live.live_view import LiveView
from services.central.live.metrics import LiveMetrics
from services.central.live.windows import LiveRate, RatesRange, Windows
from shared.health import Health
from shared.kafka import Brokers, Producer, ensure_topics
from shared.topics import RATES, Topic
from tests.central.live_ranges import Sum, a_message, a_range

pytestmark = pytest.mark.kafka

DEADLINE_S = 120.0


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Running:
    """A live view that follows a topic, and what it says of itself."""

    view: LiveView
    health: Health
    registry: CollectorRegistry
    task: "asyncio.Task[None]"

    async def until(self, holds: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + DEADLINE_S
        while not holds():
            assert not self.task.done()
            assert time.monotonic() < deadline_s, (self.view.state, self.health.notes)
            await asyncio.sleep(0.01)

    async def until_whole(self) -> None:
        """Wait until everything that stands in the log now is in."""
        now_s = time.monotonic()
        progress = self.view._progress
        await self.until(lambda: progress.whole_at_s is not None and progress.whole_at_s > now_s)

    def rates(self, at_ms: int) -> tuple[LiveRate, ...]:
        return self.view.snapshot(at_ms=at_ms).rates

    def count(self, metric: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"steadflow_central_live_{metric}", labels) or 0


@contextlib.asynccontextmanager
async def following(servers: str, topic: Topic, **options: Any) -> AsyncIterator[Running]:
    registry, health = CollectorRegistry(), Health()
    view = LiveView(
        app_id="central-a-live",
        brokers=Brokers(servers),
        topic=topic,
        metrics=LiveMetrics(registry, "steadflow_central"),
        health=health,
        now_ms=now_ms,
        monotonic_s=time.monotonic,
        **options,
    )
    task = asyncio.create_task(view.run())
    try:
        yield Running(view, health, registry, task)
    finally:
        task.cancel()
        await asyncio.wait([task])


@dataclass
class Crashes:
    """Lets the app fail at some of its batches."""

    at: Sequence[int]
    batches: int = field(default=0)

    def __call__(self) -> None:
        self.batches += 1
        if self.batches in self.at:
            raise RuntimeError("the test breaks the app")


def two_minutes(stream: int, until_ms: int) -> list[RatesRange]:
    """One range a second, of two interfaces."""
    return [
        a_range(
            n * 10 + 1, n * 10 + 10, until_ms - 120_000 + n * 1000,
            Sum(n + 1, interface=1), Sum(2 * n + 1, interface=2, direction=1), stream=stream,
        )
        for n in range(120)
    ]  # fmt: skip


async def publish(servers: str, topic: Topic, ranges: Sequence[RatesRange]) -> None:
    producer = Producer(Brokers(servers), client_id="test")
    await producer.start()
    for given in ranges:
        headers, value = a_message(given)
        await producer.send(
            topic.name,
            partition=given.stream % topic.partitions,
            key=b"collector-1/0",
            value=value,
            headers=headers,
        )
    await producer.stop()


async def test_crashed_rebuilt_and_repeated_it_says_what_one_says_that_ran_through(
    broker: str, make_topic: Callable[..., Topic], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    topic = make_topic("rates", partitions=2)
    at_ms = now_ms()
    ranges = [each for pair in zip(two_minutes(4, at_ms), two_minutes(5, at_ms), strict=True)
              for each in pair]  # fmt: skip
    sent = [*ranges[:150], *ranges[100:200], *ranges[:120], *ranges[180:]]
    truth = Windows()
    for given in ranges:
        truth.set(given)
    crashes, adds = Crashes(at=(2, 3)), Windows(knows_repeats=False)
    async with (
        following(broker, topic) as through,
        following(broker, topic, before_batch=crashes) as troubled,
        following(broker, topic, rebuilds=False, windows=adds) as adding,
    ):
        for each in (through, troubled, adding):
            await each.until_whole()
        await publish(broker, topic, sent[:170])
        await troubled.until(lambda: troubled.count("restarts_total") >= 1)
        await publish(broker, topic, sent[170:])
        for each in (through, troubled, adding):
            await each.until_whole()
        meant = truth.rates(at_ms)[0]
        assert through.rates(at_ms) == meant
        assert troubled.rates(at_ms) == meant
        assert troubled.count("restarts_total") == len(crashes.at)
        assert through.count("messages_total", verdict="repeat") == len(sent) - len(ranges)
        assert through.count("restarts_total") == 0
        assert not troubled.health.notes
        # The negative control: a window that adds has counted the repeats.
        assert adding.rates(at_ms) != meant
        async with (
            following(broker, topic) as later,
            following(broker, topic, rebuilds=False) as forgetful,
        ):
            for each in (later, forgetful):
                await each.until_whole()
            assert later.rates(at_ms) == meant
            # The negative control: without the last six minutes of the log nothing is known.
            assert forgetful.rates(at_ms) == ()


async def test_what_is_no_sum_of_a_range_is_counted_and_passed_over(
    broker: str, make_topic: Callable[..., Topic]
) -> None:
    topic = make_topic("rates")
    producer = Producer(Brokers(broker), client_id="test")
    await producer.start()
    for headers, value in (([], b""), ([("v", b"1")], b"no arrow"), a_message(a_range(1, 2, 0))):
        await producer.send(topic.name, partition=0, key=b"x", value=value, headers=headers)
    await producer.stop()
    at_ms = now_ms()
    await publish(broker, topic, [a_range(3, 9, at_ms - 5000)])
    async with following(broker, topic) as live:
        await live.until_whole()
        assert live.rates(at_ms)[0].flows_per_s == 0.7
        assert live.count("messages_total", verdict="refused") == 2
        assert live.count("messages_total", verdict="old") == 1
        assert live.count("restarts_total") == 0


@pytest.mark.faults
@pytest.mark.slow
async def test_a_broker_that_is_away_is_said_and_waited_for(own_broker: Broker) -> None:
    servers = own_broker.bootstrap_servers
    await ensure_topics(Brokers(servers), [RATES])
    async with following(servers, RATES) as live:
        await live.until(lambda: live.view.state == "live")
        own_broker.freeze()
        await live.until(lambda: live.view.state == "away")
        await live.until(lambda: "live" in live.health.notes)
        assert live.health.ready
        # Stopped meanwhile, it does not hang: the second one is.
        async with following(servers, RATES) as stopped:
            await asyncio.sleep(0)
        assert stopped.task.done()
        own_broker.thaw()
        await live.until(lambda: live.view.state == "live" and not live.health.notes)
        at_ms = now_ms()
        await publish(servers, RATES, [a_range(1, 5, at_ms - 3000)])
        await live.until_whole()
        assert live.rates(at_ms)[0].flows_per_s == 0.5
        assert live.count("restarts_total") == 0
