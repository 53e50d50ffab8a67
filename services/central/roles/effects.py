"""What a primary writes for the cluster: transactions, for as long as its promotion lasts."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from services.central.roles.committed import Committed
from services.central.roles.duties import Duties, RolesTopics, owed
from services.central.roles.log_notes import LogNotes
from services.central.roles.metrics import RolesMetrics
from services.central.roles.outbox import OutboxState
from services.central.roles.role import Role
from shared.kafka import Brokers, Fenced, FencedProducer, KafkaAway, Sent
from shared.roles.acting import Phase, Step
from shared.roles.cluster import ClusterRoles
from shared.roles.fold import NO_EPOCH
from shared.roles.history import Tail
from shared.topics import Outgoing

log = logging.getLogger(__name__)

TRANSACTIONAL_ID: Final = "steadflow-primary"
LOOK_S: Final = 0.1
_ACTING_PHASES: Final = (Phase.ANNOUNCING, Phase.ACTING, Phase.LETTING_GO)


@dataclass(slots=True)
class _Request:
    records: Sequence[Outgoing]
    answer: asyncio.Future[list[Sent]]


class Effects:
    """The fenced producer, and the loop that commits what is owed and what others ask for."""

    def __init__(
        self,
        brokers: Brokers,
        *,
        told_brokers: Callable[[], str],
        role: Role,
        topics: RolesTopics,
        notes: LogNotes,
        committed: Committed,
        done: Callable[[Step, int], None],
        failed: Callable[[int], None],
        metrics: RolesMetrics,
    ) -> None:
        """Build without connecting. done, failed: told how the promotion goes."""
        self._brokers = brokers
        self._told_brokers = told_brokers
        self._role = role
        self._topics = topics
        self._notes = notes
        self._committed = committed
        self._done, self._failed = done, failed
        self._metrics = metrics
        self._producer: FencedProducer | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._requests: deque[_Request] = deque()
        self._delivered: list[str] = []
        self._has_acted = False
        self._committed_tick = 0
        self._took: tuple[int, float | None] = (NO_EPOCH, None)
        # What an own transaction ended with is known before it is read.
        self._tail = Tail()
        self._written: ClusterRoles | None = None
        self._outbox = OutboxState()

    async def commit(self, records: Sequence[Outgoing]) -> list[Sent]:
        """Write `records` in a transaction of the primary. Raises NotPrimary, KafkaAway."""
        if not self._role.is_primary:
            raise self._role.not_primary()
        request = _Request(records, asyncio.get_running_loop().create_future())
        self._requests.append(request)
        self._wake.set()
        return await request.answer

    def delivered(self, key: str) -> None:
        """Note that the notice `key` left the house, to be written down."""
        self._delivered.append(key)
        self._wake.set()

    def take_has_acted(self) -> bool:
        """Return whether something was committed since this was asked before."""
        has_acted, self._has_acted = self._has_acted, False
        return has_acted

    async def initialise(self) -> None:
        """Take the transactional id from whoever had it. Raises KafkaAway."""
        # Nobody waits for the one of an earlier promotion: its broker may be gone.
        self._drop_producer()
        producer = FencedProducer(
            self._brokers,
            client_id=f"{self._role.node}-primary",
            transactional_id=TRANSACTIONAL_ID,
        )
        await producer.start()
        self._producer = producer

    async def read_outbox(self) -> None:
        """Learn what the primary before wrote to its last moment. Raises KafkaAway."""
        await self._committed.read_to_ends()
        found = self._committed
        self._written, self._tail, self._outbox = found.written, found.tail, found.outbox

    def begin(self) -> None:
        """Commit from now on, for as long as this promotion lasts."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._act(self._role.acting.promotion))

    def look(self) -> None:
        """Go by how the role stands now."""
        if self._role.acting.phase not in _ACTING_PHASES:
            self._stop_acting()
        self._wake.set()

    def begin_again(self) -> None:
        """Forget the log that was, and what was promised by it."""
        self._stop_acting()
        self._took = (NO_EPOCH, None)

    async def stop(self) -> None:
        """End for good."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._refuse_requests()
        self._drop_producer()
        if self._ending:
            await asyncio.wait(self._ending)

    def _drop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            task = asyncio.create_task(producer.stop())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _act(self, promotion: int) -> None:
        role = self._role
        while role.acting.promotion == promotion and role.acting.phase in _ACTING_PHASES:
            self._wake.clear()
            if role.may_act:
                try:
                    await self._commit_owed()
                except (Fenced, KafkaAway) as error:
                    self._metrics.failed_commits.inc()
                    log.warning("a transaction failed, the role is looked at again: %s", error)
                    self._failed(promotion)
                    return
                phase = role.acting.phase
                if phase is Phase.ANNOUNCING:
                    log.info("acts epoch=%d took_s=%s", role.acting.epoch, self._took[1])
                    self._done(Step.ANNOUNCE, promotion)
                elif phase is Phase.LETTING_GO:
                    self._refuse_requests()
                    self._done(Step.FLUSH, promotion)
                    return
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _commit_owed(self) -> None:
        assert self._producer is not None
        state, clocks = self._role.state, self._role.clocks
        if self._took[0] != state.epoch:
            self._took = (state.epoch, self._notes.vacant_s(clocks.boot_s()))
        self._notes.forget_copied(self._committed.tail)
        self._delivered = [key for key in self._delivered if key in self._outbox.waiting]
        due = owed(
            Duties(
                roles=state,
                now_ms=clocks.wall_ms(),
                brokers=self._told_brokers() or self._brokers.servers,
                took_s=self._took[1],
                written=self._written,
                tail=self._tail,
                decisions=tuple(self._notes.decisions),
                outbox=self._outbox,
                committed_tick=self._committed_tick,
                delivered=tuple(self._delivered),
            ),
            self._topics,
        )
        requests = [self._requests.popleft() for _ in range(len(self._requests))]
        records = [*due.records, *(record for each in requests for record in each.records)]
        if not records:
            return
        try:
            sent = await self._producer.commit(records)
        except BaseException as error:
            for each in requests:
                if not each.answer.done():
                    each.answer.set_exception(
                        error if isinstance(error, KafkaAway) else self._role.not_primary()
                    )
            raise
        self._metrics.commits.inc()
        self._has_acted, self._committed_tick = True, state.ticks
        self._written, self._tail, self._outbox = due.roles, due.tail, due.outbox
        at = len(due.records)
        for each in requests:
            if not each.answer.done():
                each.answer.set_result(sent[at : at + len(each.records)])
            at += len(each.records)

    def _stop_acting(self) -> None:
        if self._task is not None and not self._task.done():
            if self._task is not asyncio.current_task():
                self._task.cancel()
            self._task = None
        self._refuse_requests()

    def _refuse_requests(self) -> None:
        while self._requests:
            answer = self._requests.popleft().answer
            if not answer.done():
                answer.set_exception(self._role.not_primary())
