"""Keeps Kafka's machines as they should be: looks, and the primary does what is owed."""

import asyncio
import logging
import zlib
from collections.abc import Callable, Collection
from typing import Final

from services.central.answers import Json
from services.central.brokers.growth import (
    AddVoter,
    Elect,
    Reassign,
    RemoveVoter,
    SetInSyncMin,
    Step,
    Unregister,
    Wait,
    Wish,
    led_at_home,
    owed,
)
from services.central.brokers.survives import survives
from shared.kafka import Brokers, KafkaAway, Membership, MembershipRefused, open_membership
from shared.kafka.membership import THROTTLED
from shared.membership import IN_SYNC_MIN, Facts

log = logging.getLogger(__name__)

BUSY_S: Final = 1.0
QUIET_S: Final = 5.0
_NUMBERS: Final = 1_000_000
_FIRST_JOINED: Final = 2


def number_of(machine: str) -> int:
    """Return the broker's number of a machine that joins: always the same, none that another has.

    By its name, so that nothing has to be kept, and two that join at once need not agree.
    """
    return _FIRST_JOINED + zlib.crc32(machine.encode()) % _NUMBERS


class Keeper:
    """What is known of the machines, and the loop that learns it.

    facts: as last seen; None before, and while no other machine can reach this one. step: what is
    owed next. problem: why it could not be read or done; empty when it could.
    """

    def __init__(
        self,
        *,
        brokers: Callable[[], Brokers | None],
        home: int,
        is_primary: Callable[[], bool],
        centrals: Callable[[], Collection[str]],
        copy_bytes_per_s: int,
    ) -> None:
        """brokers: as other machines reach them; None while they cannot. centrals: their names.

        home: number of the broker on this machine, 0 for none. copy_bytes_per_s: of each broker.
        """
        self._brokers = brokers
        self._home = home
        self._is_primary = is_primary
        self._centrals = centrals
        self._copy_bytes_per_s = copy_bytes_per_s
        self.facts: Facts | None = None
        self.step: Step | None = None
        self.problem = ""
        self._leaving: set[str] = set()

    @property
    def wish(self) -> Wish:
        """What the facts do not tell."""
        names = self._centrals()
        members = () if self.facts is None else self.facts.members
        spare = {each.number for each in members if each.machine not in names}
        leaving = {each.number for each in members if each.machine in self._leaving}
        return Wish(self._home, frozenset(leaving), frozenset(spare - {self._home}))

    def leave(self, machine: str) -> bool:
        """Take copies and vote from a machine that goes, or is gone; False for one unknown.

        Kept in memory only: after a takeover it is asked for again.
        """
        members = () if self.facts is None else self.facts.members
        is_known = any(each.machine == machine and each.number != self._home for each in members)
        if is_known:
            self._leaving.add(machine)
        return is_known

    async def run(self) -> None:
        """Look, and do what is owed while this central is the primary; until cancelled."""
        while True:
            try:
                await self._turn()
                self.problem = ""
            except (KafkaAway, MembershipRefused) as error:
                if str(error) != self.problem:
                    log.warning("machines: %s", error)
                self.problem = str(error)
            await asyncio.sleep(QUIET_S if self.step is None else BUSY_S)

    async def _turn(self) -> None:
        brokers = self._brokers()
        if brokers is None:
            self.facts = self.step = None
            return
        async with open_membership(brokers) as membership:
            facts = self.facts = await membership.facts()
            self._leaving &= {each.machine for each in facts.members}
            step = owed(facts, self.wish)
            if step != self.step and step is not None:
                log.info("machines: owed %s", _said(step))
            self.step = step
            if step is not None and self._is_primary():
                await self._do(membership, facts, step)

    async def _do(self, membership: Membership, facts: Facts, step: Step) -> None:
        controllers = {each.number: each for each in facts.controllers}
        match step:
            case Reassign(moves, is_order_only):
                if not is_order_only:
                    alive = [each.number for each in facts.members if each.is_alive]
                    await membership.limit_copies(alive, self._copy_bytes_per_s)
                    topics = {each.topic for each in moves}
                    await membership.set_topics(topics, dict.fromkeys(THROTTLED, "*"))
                await membership.reassign(moves)
            case AddVoter(number):
                member = facts.member(number)
                assert member is not None
                await membership.add_voter(facts.cluster_id, controllers[number], member)
            case RemoveVoter(number):
                await membership.remove_voter(facts.cluster_id, controllers[number])
            case SetInSyncMin(names, value):
                await membership.set_topics(names, {IN_SYNC_MIN: str(value)})
            case Elect(places):
                await membership.elect(places)
            case Unregister(number):
                await membership.unregister(number)
            case Wait():
                pass

    def joining(self, machine: str) -> Json | None:
        """Return what a broker needs to join; None while none can."""
        facts = self.facts
        if facts is None:
            return None
        self._leaving.discard(machine)
        voting = [each for each in facts.members if each.number in facts.voters]
        controllers = (each._replace(port=each.controller_port).address for each in voting)
        return {
            "cluster_id": facts.cluster_id,
            "number": number_of(machine),
            "controllers": ",".join(controllers),
        }

    def sentences(self) -> list[str]:
        """Return what losing a machine does; nothing while that is not known."""
        return [] if self.facts is None else survives(self.facts, self.wish)

    def shown(self) -> Json:
        """Return it for people."""
        facts = self.facts
        if facts is None:
            return {"machines": [], "owed": None, "problem": self.problem, "survives": []}
        led = led_at_home(facts, self._home) if self._is_primary() else []
        return {
            "machines": [
                {
                    "machine": each.machine,
                    "number": each.number,
                    "address": each.address,
                    "is_alive": each.is_alive,
                    "votes": each.number in facts.voters,
                    "leads": sorted(
                        {one.topic for one in facts.copies if one.leader == each.number}
                    ),
                    "in_sync": sum(each.number in one.in_sync for one in facts.copies),
                    "copies": sum(each.number in one.replicas for one in facts.copies),
                }
                for each in facts.members
            ],
            "partitions": len(facts.copies),
            "owed": None if self.step is None else _said(self.step),
            "problem": self.problem,
            "led_on_the_primarys_machine": led,
            "survives": self.sentences(),
        }


def _said(step: Step) -> str:
    match step:
        case Reassign(moves, is_order_only):
            what = "other leaders preferred" if is_order_only else "copied"
            return f"{len(moves)} partitions {what}"
        case AddVoter(number):
            return f"broker {number} votes"
        case RemoveVoter(number):
            return f"broker {number} does not vote any more"
        case SetInSyncMin(topics, value):
            return f"{value} copies in sync demanded of {len(topics)} topics"
        case Elect(places):
            return f"the leaders of {len(places)} partitions move"
        case Unregister(number):
            return f"broker {number} is forgotten"
        case Wait(why):
            return why
