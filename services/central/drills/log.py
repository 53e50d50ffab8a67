"""Follows topics `drills` and `ha.history`: every report, and what was decided about roles."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from services.central.problems import NotNow
from services.central.settings import read_back_within
from shared.drill import (
    BYTES_MAX,
    Drill,
    DrillError,
    begin_problem,
    decode_drill,
    encode_drill,
)
from shared.follow import Follower
from shared.kafka import Brokers, Record, Sent
from shared.roles.history import Entry, HistoryError, read_entry
from shared.topics import Outgoing, Topic

log = logging.getLogger(__name__)

DRILLS_KEPT: Final = 50
ENTRIES_KEPT: Final = 2_000

Commit = Callable[[Sequence[Outgoing]], Awaitable[list[Sent]]]


class DrillsLog:
    """The drills and the newest decisions, and the loops that keep them."""

    def __init__(
        self,
        brokers: Brokers,
        *,
        topic: Topic,
        history: Topic,
        client_id: str,
        commit: Commit,
        now_ms: Callable[[], int],
        wait_s: float = 30.0,
    ) -> None:
        """Build without connecting. commit: writes as the primary. now_ms: wall clock, UTC.

        wait_s: how long a drill may take to be written and read back.
        """
        self._topic, self._commit, self._now_ms, self._wait_s = topic, commit, now_ms, wait_s
        self._drills: dict[str, Drill] = {}
        self.entries: deque[Entry] = deque(maxlen=ENTRIES_KEPT)
        self._one_at_a_time = asyncio.Lock()
        self._follower = Follower(
            brokers,
            client_id=f"{client_id}-drills",
            topic=topic,
            take=self._take_drill,
            read_committed=True,
            begin=self._drills.clear,
        )
        self._history = Follower(
            brokers,
            client_id=f"{client_id}-history",
            topic=history,
            take=self._take_entry,
            read_committed=True,
            begin=self.entries.clear,
        )

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follower.run())
            group.create_task(self._history.run())

    def known(self) -> list[Drill]:
        """Return every drill, the newest first."""
        return sorted(self._drills.values(), key=lambda each: each.started_ms, reverse=True)

    def find(self, drill: str) -> Drill | None:
        """Return the drill of an id."""
        return self._drills.get(drill)

    async def note(self, drill: Drill) -> None:
        """Keep `drill` as it stands; returns when it was read back.

        Raises NotNow where it may not begin, NotPrimary, SettingsAway, DrillError.
        """
        value = encode_drill(drill)
        if len(value) > BYTES_MAX:
            raise DrillError(f"a drill of more than {BYTES_MAX} bytes")
        # Two must not both read that none runs.
        async with read_back_within(self._wait_s), self._one_at_a_time:
            known = self.known()
            if problem := begin_problem(known, drill, self._now_ms()):
                raise NotNow(problem)
            others = [each.id for each in known if each.id != drill.id]
            forgotten = others[DRILLS_KEPT - 1 :]
            records = [(drill.id, value), *((each, None) for each in forgotten)]
            sent = await self._commit(
                [Outgoing(self._topic.name, key.encode(), content) for key, content in records]
            )
            await self._follower.read_to(sent[-1].offset + 1)

    def _take_drill(self, record: Record) -> None:
        key = (record.key or b"").decode(errors="replace")
        if not record.value:
            self._drills.pop(key, None)
            return
        try:
            self._drills[key] = decode_drill(record.value)
        except DrillError as error:
            log.error("record of drills refused offset=%d error=%s", record.offset, error)

    def _take_entry(self, record: Record) -> None:
        try:
            self.entries.append(read_entry(record.value))
        except HistoryError as error:
            log.error("entry of ha.history refused offset=%d error=%s", record.offset, error)
