"""Questions about topics over connections that are kept: an answer costs no handshake.

Who takes over asks where the log ends, when every machine is busy with what just happened.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from aiokafka.client import AIOKafkaClient

from shared.kafka.brokers import Brokers
from shared.kafka.errors import AWAY, PATIENCE_S, Result, patiently, unbroken
from shared.kafka.topics import PartitionFacts, ask_ends, ask_facts, new_client


class Looks:
    """Any number may ask at once: who waits for a broker that is silent holds nobody else up."""

    def __init__(self, brokers: Brokers, *, client_id: str) -> None:
        """Build without connecting."""
        self._brokers, self._client_id = brokers, client_id
        self._opening = asyncio.Lock()
        self._client: AIOKafkaClient | None = None
        self._asking: dict[AIOKafkaClient, int] = {}

    async def facts(self, topic: str) -> list[PartitionFacts]:
        """Return every partition of `topic` by number; an empty list when there is no such topic.

        Raises KafkaAway.
        """
        return await self._asked(lambda client: ask_facts(client, topic))

    async def ends(self, topics: Iterable[str]) -> dict[str, dict[int, int]]:
        """Return where each topic's partitions end, by topic and number. Raises KafkaAway."""
        names = list(topics)
        return await self._asked(lambda client: ask_ends(client, names))

    async def stop(self) -> None:
        """Close the connections; nobody asks any more."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _asked(self, ask: Callable[[AIOKafkaClient], Awaitable[Result]]) -> Result:
        return await patiently(lambda: unbroken(lambda: self._ask(ask)), PATIENCE_S)

    async def _ask(self, ask: Callable[[AIOKafkaClient], Awaitable[Result]]) -> Result:
        client = await self._opened()
        self._asking[client] = self._asking.get(client, 0) + 1
        try:
            return await ask(client)
        except AWAY:
            # It knows no brokers but those it was told of, which may have moved.
            if self._client is client:
                self._client = None
            raise
        finally:
            self._asking[client] -= 1
            if not self._asking[client]:
                del self._asking[client]
                if self._client is not client:
                    await client.close()

    async def _opened(self) -> AIOKafkaClient:
        async with self._opening:
            if self._client is None:
                self._client = await new_client(self._brokers, self._client_id)
            return self._client
