"""The start of a machine that was one of several: Kafka may wait for the others, and ends nothing.

After a power cut machines come back one by one. Until most of those that vote are there no broker
gets ready, however long that takes; what needs none runs meanwhile.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Protocol

from cli.broker_settings import BrokerPlan
from cli.supervise import ChildPlan, Supervisor
from shared.tasks import end_task

PATIENCE_S = 30.0
"""Kafka mostly starts within; who starts after it has nothing to try again."""
SAY_EVERY_S = 60.0
POLL_S = 0.5


class Notes(Protocol):
    """What a launcher notes. waits: for whom, in a sentence; empty when for nobody."""

    waits: str


def was_one_of_several(plan: BrokerPlan) -> bool:
    """Whether the broker ran before, and others beside it; asked before it is prepared."""
    return plan.data.exists() and bool(plan.others)


@contextlib.asynccontextmanager
async def broker_among_others(
    supervisor: Supervisor, broker: ChildPlan, others: str, notes: Notes
) -> AsyncIterator[asyncio.Task[None]]:
    """Keep the broker; the block begins once it is ready, or after a while, with what waits on."""
    await supervisor.keep(broker)
    waiting = asyncio.create_task(kafka_there(supervisor, broker, others, notes))
    try:
        await asyncio.wait([waiting], timeout=PATIENCE_S)
        yield waiting
    finally:
        await end_task(waiting)


async def kafka_there(supervisor: Supervisor, broker: ChildPlan, others: str, notes: Notes) -> None:
    """Return once the broker is ready; until then say again and again for whom it waits.

    others: `host:port` of the brokers of other machines, with commas.
    """
    loop = asyncio.get_running_loop()
    said_at_s = loop.time()
    sentence = (
        f"Kafka waits for another machine ({others.replace(',', ', ')}): start steadflow there; "
        f"all else runs meanwhile, and flows are spooled (why: {broker.log})"
    )
    while not await broker.ready():
        if loop.time() - said_at_s >= SAY_EVERY_S:
            said_at_s = loop.time()
            supervisor.say(sentence)
            _note(supervisor, notes, sentence)
        await asyncio.sleep(POLL_S)
    if notes.waits == sentence:
        supervisor.say("Kafka waits no more")
        _note(supervisor, notes, "")


def _note(supervisor: Supervisor, notes: Notes, sentence: str) -> None:
    if notes.waits != sentence:
        notes.waits = sentence
        supervisor.note()


async def told_ready(supervisor: Supervisor, plans: Iterable[ChildPlan]) -> None:
    """Return when all are ready; say which are not once their time is over, and go on."""

    async def one(plan: ChildPlan) -> None:
        if not await until_ready(plan, plan.start_timeout_s):
            supervisor.say(f"{plan.name} is not ready yet, and is kept running: see {plan.log}")

    await asyncio.gather(*map(one, plans))


async def until_ready(plan: ChildPlan, timeout_s: float) -> bool:
    """Wait until a child is ready; False where it is not in time."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + timeout_s
    while not await plan.ready():
        if loop.time() > deadline_s:
            return False
        await asyncio.sleep(POLL_S)
    return True
