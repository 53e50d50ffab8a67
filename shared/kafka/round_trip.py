"""How long brokers take for one small request."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from shared.kafka.brokers import Brokers
from shared.kafka.errors import AWAY, PATIENCE_S, KafkaAway, patiently, unbroken
from shared.kafka.metadata import MetadataRequest
from shared.kafka.topics import open_client
from shared.topics import HA_LOG

REQUESTS: Final = 3


async def round_trips_ms(brokers: Brokers) -> dict[tuple[str, int], float]:
    """Return what each broker that answers takes, by where it is reached.

    Raises KafkaAway where none tells of the others.
    """
    return await patiently(partial(_round_trips_ms, brokers), PATIENCE_S)


async def _round_trips_ms(brokers: Brokers) -> dict[tuple[str, int], float]:
    async with open_client(brokers, "steadflow-round-trip") as client:

        async def ask(number: int) -> None:
            await unbroken(partial(client.send, number, MetadataRequest(HA_LOG.name)))

        known = list(client.cluster.brokers())
        found = await asyncio.gather(*(fastest_ms(partial(ask, each.nodeId)) for each in known))
    return {
        (each.host, each.port): spent_ms
        for each, spent_ms in zip(known, found, strict=True)
        if spent_ms is not None
    }


async def fastest_ms(
    ask: Callable[[], Awaitable[None]],
    now_s: Callable[[], float] = time.monotonic,
    *,
    patience_s: float = PATIENCE_S,
) -> float | None:
    """Return the least that one of a few requests took; None when one was not answered.

    One before them does not count: it has to connect, and may try again for `patience_s`.
    """
    spent_s = []
    try:
        # Who is slow is given up at first, and more time at the next try.
        await patiently(ask, patience_s)
        for _ in range(REQUESTS):
            began_s = now_s()
            await ask()
            spent_s.append(now_s() - began_s)
    except (KafkaAway, *AWAY):
        return None
    return min(spent_s) * 1000
