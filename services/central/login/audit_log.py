"""Topic `audit`: what this central adds to it, and the newest of it.

A change of a setting and its record are one transaction of the primary. Every other change is
recorded by the central that answered it, before the answer leaves.
"""

import asyncio
import json
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Final

from starlette.types import Scope

from services.central.login.access import Kind, Who
from services.central.login.metrics import LoginMetrics
from shared.audit import Audited, AuditError, decode_audited, encode_audited, facts_of
from shared.audit_writer import AuditWriter
from shared.follow import Follower
from shared.kafka import Brokers, Record
from shared.topics import Outgoing, Topic

log = logging.getLogger(__name__)

ENTRIES_KEPT: Final = 2_000
ENDED_KEPT: Final = 10_000
SOON_MAX: Final = 1_000
LOGIN: Final = "Log in"
LOGOUT: Final = "Log out"
FAILED_LOGIN: Final = "Failed to log in"
FORCED: Final = "Join in spite of red lines"


@dataclass(slots=True)
class Asked:
    """A change that is being answered.

    is_anybody: anybody may ask this, and who does has not shown yet who it is. body: as much of it
    as was read; is_noted: in the record.
    """

    who: Who
    scope: Scope
    is_anybody: bool = False
    body: bytearray = field(default_factory=bytearray)
    is_noted: bool = False


ASKED: Final[ContextVar[Asked | None]] = ContextVar("asked", default=None)
"""The change that the task at hand answers."""


def asked_by_invite(invite: str, what: Mapping[str, str]) -> None:
    """Say that an invite's token was shown for the change at hand.

    what: what is noted of it, by names in `FACTS`, instead of the body, which holds the token.
    """
    if (asked := ASKED.get()) is not None:
        asked.who = Who(Kind.INVITE, invite, address=asked.who.address)
        asked.body = bytearray(json.dumps(what).encode())
        asked.is_anybody = False


class AuditLog:
    """Writes and follows the record; `entries`, the oldest first, and the sessions that ended."""

    def __init__(
        self,
        brokers: Brokers,
        *,
        topic: Topic,
        node: str,
        now_ms: Callable[[], int],
        metrics: LoginMetrics,
    ) -> None:
        """Build without connecting. now_ms: wall clock, UTC."""
        self._topic, self._node, self._now_ms, self._metrics = topic, node, now_ms, metrics
        self._writer = AuditWriter(brokers, client_id=node, topic=topic)
        self.entries: deque[Audited] = deque(maxlen=ENTRIES_KEPT)
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._once: set[tuple[str, str]] = set()
        self._soon: set[asyncio.Task[None]] = set()
        self._follower = Follower(
            brokers,
            client_id=f"{node}-audit",
            topic=topic,
            take=self._take,
            read_committed=True,
            begin=self.entries.clear,
        )

    async def run(self) -> None:
        """Follow until cancelled."""
        try:
            await self._follower.run()
        finally:
            for each in self._soon:
                each.cancel()
            await self._writer.stop()

    def is_ended(self, session: str) -> bool:
        """Whether somebody logged out of `session`, at any central."""
        return session in self._ended

    def end(self, session: str) -> None:
        """End `session` here at once; the record tells the others."""
        self._ended[session] = None
        if len(self._ended) > ENDED_KEPT:
            self._ended.popitem(last=False)

    async def note(self, audited: Audited) -> None:
        """Append to the record; what cannot be is counted."""
        if not await self.attempt(audited):
            self._metrics.audit_lost.inc()

    async def attempt(self, audited: Audited) -> bool:
        """Append to the record; False where whoever asks has to do it again."""
        return await self._writer.note(audited)

    async def note_once(self, audited: Audited) -> bool:
        """Append, unless its like is there, told to another primary; False where it could not be.

        Whoever told it tells it again then.
        """
        key = (audited.what, audited.facts)
        if key in self._once or any((each.what, each.facts) == key for each in self.entries):
            return True
        if not await self.attempt(audited):
            return False
        self._once.add(key)
        return True

    def note_soon(self, audited: Audited) -> None:
        """Append without waiting; of too many at once, those beyond are counted as lost."""
        if len(self._soon) >= SOON_MAX:
            self._metrics.audit_lost.inc()
            return
        task = asyncio.create_task(self.note(audited))
        self._soon.add(task)
        task.add_done_callback(self._soon.discard)

    def record(self, who: Who, what: str, *, count: int = 1, status: int = 200) -> Audited:
        """Return what is noted of a login and its like."""
        return Audited(
            self._now_ms(), self._node, str(who), who.address, what,
            status=status, count=count, session=who.session,
        )  # fmt: skip

    def record_of_forced(self, who: Who, facts: str) -> Audited:
        """Return what is noted of a machine that joins in spite of red lines."""
        return replace(self.record(who, FORCED), facts=facts)

    def record_of(self, asked: Asked, status: int) -> Audited:
        """Return what is noted of a change."""
        scope = asked.scope
        request = f"{scope['method']} {scope['path']}"
        summary = getattr(scope.get("route"), "summary", None)
        return Audited(
            self._now_ms(), self._node, str(asked.who), asked.who.address, str(summary or request),
            request=request, status=status, facts=facts_of(bytes(asked.body)),
        )  # fmt: skip

    def owed(self) -> list[Outgoing]:
        """Return what belongs into the transaction of the change at hand."""
        asked = ASKED.get()
        if asked is None or asked.is_noted:
            return []
        value = encode_audited(self.record_of(asked, 200))
        return [Outgoing(self._topic.name, None, value)]

    def paid(self) -> None:
        """Note that the transaction of the change at hand was committed."""
        if (asked := ASKED.get()) is not None:
            asked.is_noted = True

    def _take(self, record: Record) -> None:
        try:
            audited = decode_audited(record.value)
        except AuditError as error:
            self._metrics.audit_refused.inc()
            log.error("record of audit refused offset=%d error=%s", record.offset, error)
            return
        self.entries.append(audited)
        if audited.what == LOGOUT and audited.session:
            self.end(audited.session)
