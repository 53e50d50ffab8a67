"""Brokers that fall silent: a machine without power, or frozen, ends no connection.

aiokafka takes such a broker for a slow one: each request waits for its whole timeout, the next may
ask the same broker again, chosen at random, and one attempt to connect holds up those to all
others. Whoever takes over has to go on from the other brokers within seconds. So while a request
has no answer, a connection of its own is tried: a broker that is merely slow accepts it.
"""

import asyncio
import errno
import logging
import random
import socket
import time
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import errors as kafka_errors
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import AIOKafkaConnection, CloseReason

log = logging.getLogger(__name__)

UNANSWERED_S = 1.0
"""A request without an answer for so long has its broker tried; a fetch waits half of it."""
TRY_TIMEOUT_S = 1.5
"""To connect, with TLS, and to be answered once; with the above less than the roles' 2.8 s."""
TRY_TIMEOUT_MAX_S = 10.0
"""So long for a broker that was never in time, or only just: all may be slow here."""
AGAIN_S = 1.0
"""So soon a silent broker is tried again while somebody wants something of it."""
KNOWN_MAX = 16
"""So many brokers are remembered: of those that are gone the oldest are forgotten."""
GOODBYE_S = 0.3
"""TLS would wait half a minute for the other end to close."""

Address = tuple[str, int]
HOW = ("client_id", "security_protocol", "ssl_context")
"""Keywords of a connection that a try needs too."""
_OUT_OF_REACH = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN)


class Silences:
    """Which brokers are silent, for all clients of a process: one try for all, no other waits.

    known: brokers that one of them told of, the newest first. Who begins anew asks them too: those
    that were configured may all be gone by then.
    """

    def __init__(self) -> None:
        """Know of none."""
        self.known: tuple[Address, ...] = ()
        self._newest: frozenset[Address] = frozenset()
        self._tried_s: dict[Address, float] = {}
        self._patience_s: dict[Address, float] = {}
        self._tries: dict[Address, asyncio.Task[bool]] = {}

    def met(self, addresses: Iterable[Address]) -> None:
        """These are the brokers now."""
        now = tuple(addresses)
        self._newest = frozenset(now) or self._newest
        self.known = tuple(dict.fromkeys((*now, *self.known)))[:KNOWN_MAX]

    def is_of_old(self, address: Address) -> bool:
        """Whether a broker was not among those that one told of last."""
        return bool(self._newest) and address not in self._newest

    def now(self, address: Address, how: Mapping[str, Any]) -> bool:
        """Whether a broker is silent; from time to time it is tried again.

        how: keywords of aiokafka for a connection.
        """
        tried_s = self._tried_s.get(address)
        if tried_s is not None and time.monotonic() - tried_s > AGAIN_S:
            self._try_of(address, how)
        return tried_s is not None

    def noted(self, address: Address) -> bool:
        """Whether a broker was silent when it was last tried."""
        return address in self._tried_s

    async def answers(self, address: Address, how: Mapping[str, Any]) -> bool:
        """Whether a broker answers a connection of its own; what comes of it is noted."""
        return await asyncio.shield(self._try_of(address, how))

    def patience_s(self, address: Address) -> float:
        """Return how long a broker may take to connect."""
        return self._patience_s.get(address, TRY_TIMEOUT_S)

    def note(self, address: Address) -> None:
        """A broker did not answer in time."""
        if address not in self._tried_s:
            log.warning("broker is silent address=%s:%s", *address)
        self._tried_s[address] = time.monotonic()
        self.be_patient(address)

    def be_patient(self, address: Address) -> None:
        """Give a broker more time from now on, until it was heard."""
        self._patience_s[address] = min(2 * self.patience_s(address), TRY_TIMEOUT_MAX_S)

    def heard(self, address: Address, after_s: float) -> None:
        """A broker answered."""
        if self._tried_s.pop(address, None) is not None:
            log.info("broker is silent no more address=%s:%s", *address)
        self._patience_s[address] = min(max(TRY_TIMEOUT_S, 4 * after_s), TRY_TIMEOUT_MAX_S)

    def _try_of(self, address: Address, how: Mapping[str, Any]) -> "asyncio.Task[bool]":
        loop = asyncio.get_running_loop()
        running = self._tries.get(address)
        if running is None or running.done() or running.get_loop() is not loop:
            self._tries[address] = running = loop.create_task(self._try(address, how))
        return running

    async def _try(self, address: Address, how: Mapping[str, Any]) -> bool:
        began_s = time.monotonic()
        patience_s = self.patience_s(address)
        one = AIOKafkaConnection(*address, request_timeout_ms=int(patience_s * 1000), **how)
        try:
            async with asyncio.timeout(patience_s):
                await one.connect()
        except (ConnectionError, kafka_errors.KafkaError):
            # One that refuses holds nobody up.
            self.heard(address, 0.0)
            return False
        except OSError as error:
            if not (isinstance(error, TimeoutError) or error.errno in _OUT_OF_REACH):
                # No fault of the broker's: a certificate, a name, too many files.
                log.warning("broker cannot be tried address=%s:%s error=%r", *address, error)
                return True
            self.note(address)
            return False
        one._writer.transport.abort()
        one.close()
        self.heard(address, time.monotonic() - began_s)
        return True


class Connection(AIOKafkaConnection):  # type: ignore[misc]  # aiokafka ships no types
    """One that ends, with all its requests, when its broker is silent."""

    def __init__(self, *address: Any, silences: Silences, **keywords: Any) -> None:
        """As of aiokafka. silences: where to note it."""
        super().__init__(*address, **keywords)
        self._silences = silences
        self._how = {name: keywords[name] for name in HOW}
        self._asked_s: dict[int, float] = {}
        self._passed_s = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._trying: asyncio.Task[None] | None = None

    @property
    def _address(self) -> Address:
        return self.host, self.port

    async def connect(self) -> Any:
        """Connect. Raises what aiokafka raises, TimeoutError when the broker is silent."""
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(self._silences.patience_s(self._address)):
                connected = await super().connect()
        except TimeoutError:
            self._silences.note(self._address)
            raise
        self._silences.heard(self._address, time.monotonic() - began_s)
        return connected

    def send(self, request: Any, expect_response: bool = True) -> Any:
        """Send a request; returns what gives its answer."""
        answer = super().send(request, expect_response=expect_response)
        if expect_response:
            self._asked_s[self._correlation_id] = self._loop.time()
            self._watch_on()
        return answer

    def close(self, reason: CloseReason | None = None, exc: Exception | None = None) -> Any:
        """End it; all requests without an answer fail. Returns what ends once it has ended."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self._trying is not None:
            self._trying.cancel()
            self._trying = None
        writer = self._writer
        closed = super().close(reason=reason, exc=exc)
        if writer is not None:
            self._loop.call_later(GOODBYE_S, writer.transport.abort)
        # Who waits no longer shall not have the next one take that for an order to end.
        return None if closed is None else asyncio.shield(closed)

    def give_up(self) -> None:
        """End it: the broker is silent."""
        self.close(CloseReason.CONNECTION_TIMEOUT, TimeoutError("the broker is silent"))

    def _watch_on(self) -> None:
        if self._watch is None and self._trying is None and self._requests:
            self._watch = self._loop.call_at(self._due_s(), self._look)

    def _due_s(self) -> float:
        """Return when the oldest request, or the last try, is too long ago; by the loop's clock."""
        oldest = self._requests[0][0]
        self._asked_s = {number: at_s for number, at_s in self._asked_s.items() if number >= oldest}
        return max(self._asked_s.get(oldest, 0.0), self._passed_s) + UNANSWERED_S

    def _look(self) -> None:
        self._watch = None
        if self._requests and self._due_s() <= self._loop.time():
            if self._silences.noted(self._address):
                self.give_up()
            else:
                self._trying = self._loop.create_task(self._try_broker())
        else:
            self._watch_on()

    async def _try_broker(self) -> None:
        answers = True
        try:
            answers = await self._silences.answers(self._address, self._how)
        finally:
            self._trying = None
            self._passed_s = self._loop.time()
            if answers:
                self._watch_on()
            else:
                self.give_up()


class Client(AIOKafkaClient):  # type: ignore[misc]  # aiokafka ships no types
    """One that asks other brokers while one is silent."""

    silences: Silences
    _request_timeout_ms: int
    _retry_backoff: float
    _connecting: dict[tuple[Any, ConnectionGroup], asyncio.Lock]

    @property
    def hosts(self) -> list[tuple[Any, ...]]:
        """Return where to begin: silent ones last, before them those that are gone, it seems."""
        configured = super().hosts
        named = {(host, port) for host, port, _family in configured}
        known = ((*each, socket.AF_UNSPEC) for each in self.silences.known if each not in named)
        hosts = [*configured, *known]
        return sorted(
            hosts,
            key=lambda found: (
                self._is_silent(found[0], found[1]),
                self.silences.is_of_old((found[0], found[1])),
            ),
        )

    async def bootstrap(self) -> None:
        """Learn of all brokers from one. Raises KafkaConnectionError."""
        addresses = [(host, port) for host, port, _family in self.hosts]
        request_timeout_ms = self._request_timeout_ms
        # The connection is for this one answer.
        patience_s = max(map(self.silences.patience_s, addresses), default=TRY_TIMEOUT_S)
        self._request_timeout_ms = int(patience_s * 1000)
        try:
            await super().bootstrap()
            self._note_brokers()
        except kafka_errors.KafkaConnectionError:
            for address in addresses:
                self.silences.be_patient(address)
            raise
        finally:
            self._request_timeout_ms = request_timeout_ms

    async def _metadata_update(self, cluster_metadata: Any, topics: Any) -> bool:
        is_new: bool = await super()._metadata_update(cluster_metadata, topics)
        self._note_brokers()
        return is_new

    def _note_brokers(self) -> None:
        self.silences.met((each.host, each.port) for each in self.cluster.brokers())

    async def send(
        self, node_id: Any, request: Any, *, group: ConnectionGroup = ConnectionGroup.DEFAULT
    ) -> Any:
        """Return the answer. Raises as aiokafka does, for a silent broker RequestTimedOutError."""
        try:
            return await super().send(node_id, request, group=group)
        except kafka_errors.KafkaConnectionError as error:
            if isinstance(error.__cause__, TimeoutError):
                raise kafka_errors.RequestTimedOutError from error
            raise

    def get_random_node(self) -> int | None:
        """Return a broker to ask, a silent one only where there is no other."""
        known = list(self.cluster.brokers())
        heard = [each for each in known if not self._is_silent(each.host, each.port)]
        return random.choice(heard or known).nodeId if known else None

    async def _get_conn(
        self,
        node_id: Any,
        *,
        group: ConnectionGroup = ConnectionGroup.DEFAULT,
        no_hint: bool = False,
    ) -> AIOKafkaConnection | None:
        # One lock for each: that of aiokafka has all wait for one that does not answer.
        async with self._connecting.setdefault((node_id, group), asyncio.Lock()):
            known = self._conns.get((node_id, group))
            if known is not None and known.connected():
                if not self._silences_know(known):
                    return known
                known.give_up()
            broker = self.cluster.broker_metadata(node_id)
            if broker is not None and not self._is_silent(broker.host, broker.port):
                found = await self._connect(broker.host, broker.port)
                if found is not None:
                    self._conns[node_id, group] = found
                    return found
        # It may have moved.
        self.force_metadata_update()
        # Several loops of aiokafka ask again at once.
        await asyncio.sleep(self._retry_backoff)
        return None

    def _silences_know(self, connection: AIOKafkaConnection) -> bool:
        # That of the bootstrap is one of aiokafka's own.
        return isinstance(connection, Connection) and self.silences.noted(
            (connection.host, connection.port)
        )

    def _is_silent(self, host: str, port: int) -> bool:
        return self.silences.now((host, port), self._how)

    @property
    def _how(self) -> dict[str, Any]:
        return {name: getattr(self, f"_{name}") for name in HOW}

    async def _connect(self, host: str, port: int) -> Connection | None:
        made = Connection(
            host,
            port,
            silences=self.silences,
            **self._how,
            request_timeout_ms=self._request_timeout_ms,
            on_close=self._on_connection_closed,
            max_idle_ms=self._connections_max_idle_ms,
        )
        try:
            await made.connect()
        except (OSError, TimeoutError, kafka_errors.KafkaError) as error:
            log.warning("not connected address=%s:%s error=%s", host, port, error)
            return None
        return made


def watchful(client: AIOKafkaClient, silences: Silences) -> None:
    """Have a client that aiokafka made, and has not connected yet, be one that asks others."""
    client.__class__ = Client
    client.silences = silences
    client._connecting = {}
