"""Keeps Kafka's machines as they should be: looks, and the primary does what is owed."""

import asyncio
import logging
import zlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
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
    due,
    led_at_home,
    owed,
)
from services.central.brokers.outside import ASKED, OURS, risks
from services.central.brokers.survives import leaving_sentences, survives
from services.central.roles.role import NotPrimary
from services.central.settings import SettingsAway
from shared.kafka import Brokers, KafkaAway, Membership, MembershipRefused, open_membership
from shared.kafka.membership import THROTTLED
from shared.membership import IN_SYNC_MIN, Facts, Member
from shared.settings_events import MachineLeaves, SettingRemoved, SettingsEvent, leaving_key

log = logging.getLogger(__name__)

BUSY_S: Final = 1.0
QUIET_S: Final = 5.0
OUTSIDE_S: Final = 60.0
_NUMBERS: Final = 1_000_000
_FIRST_JOINED: Final = 2


def number_of(machine: str) -> int:
    """Return the broker's number of a machine that joins: always the same, none that another has.

    By its name, so that nothing has to be kept, and two that join at once need not agree.
    """
    return _FIRST_JOINED + zlib.crc32(machine.encode()) % _NUMBERS


def wishes_over(
    leaving: Iterable[MachineLeaves], facts: Facts, centrals: Collection[str]
) -> list[str]:
    """Return the machines that are gone, or that came back. centrals: names of those listed."""
    known = {each.machine for each in facts.members}
    return [
        each.machine
        for each in leaving
        if each.machine not in known or (each.had_central and each.machine in centrals)
    ]


class Keeper:
    """What is known of the machines, and the loop that learns it.

    facts: as last seen; None before, and while no other machine can reach this one. step: what is
    owed next. problem: why it could not be read or done; empty when it could. risks: of a Kafka of
    the user's own.
    """

    def __init__(
        self,
        *,
        brokers: Callable[[], Brokers | None],
        own: Brokers | None = None,
        home: int,
        is_primary: Callable[[], bool],
        centrals: Callable[[], Collection[str]],
        copy_bytes_per_s: int,
        leaving: Callable[[], Mapping[str, MachineLeaves]],
        change: Callable[[SettingsEvent], Awaitable[None]],
        now_ms: Callable[[], int],
        connect: Callable[[Brokers], AbstractAsyncContextManager[Membership]] = open_membership,
    ) -> None:
        """brokers: as other machines reach them; None while they cannot. centrals: their names.

        own: a Kafka of the user's own, which is only looked at; None where steadflow runs it.
        home: number of the broker on this machine, 0 for none. copy_bytes_per_s: of each broker.
        leaving: machines that go, as the settings say. change: writes one of these.
        """
        self._brokers = brokers
        self._own = own
        self._home = home
        self._is_primary = is_primary
        self._centrals = centrals
        self._copy_bytes_per_s = copy_bytes_per_s
        self._leaving = leaving
        self._change = change
        self._now_ms = now_ms
        self._connect = connect
        self.facts: Facts | None = None
        self.step: Step | None = None
        self.problem = ""
        self.risks: list[str] = []

    @property
    def wish(self) -> Wish:
        """What the facts do not tell."""
        names = self._centrals()
        members = () if self.facts is None else self.facts.members
        spare = {each.number for each in members if each.machine not in names}
        asked = self._leaving()
        going = {each.number: asked[each.machine] for each in members if each.machine in asked}
        return Wish(
            self._home,
            frozenset(number for number, each in going.items() if not each.replaced_by),
            frozenset(spare - {self._home}),
            tuple(
                (number, number_of(each.replaced_by))
                for number, each in going.items()
                if each.replaced_by
            ),
        )

    def has(self, machine: str) -> bool:
        """Whether another machine of that name has a broker."""
        return self._member(machine) is not None

    def answers(self, machine: str) -> bool:
        """Whether it has one that lives."""
        member = self._member(machine)
        return member is not None and member.is_alive

    def votes(self, machine: str) -> bool:
        """Whether it has one that votes, alive or dead."""
        member = self._member(machine)
        return member is not None and self.facts is not None and member.number in self.facts.voters

    def _member(self, machine: str) -> Member | None:
        members = () if self.facts is None else self.facts.members
        others = (each for each in members if each.number != self._home)
        return next((each for each in others if each.machine == machine), None)

    async def leave(
        self, machine: str, *, replaced_by: str = "", had_central: bool = False
    ) -> bool:
        """Take copies and vote from a machine that goes, or is gone; False for one unknown.

        replaced_by, had_central: as of `MachineLeaves`. Raises SettingsAway, NotPrimary.
        """
        if not self.has(machine):
            return False
        await self._change(MachineLeaves(machine, self._now_ms(), replaced_by, had_central))
        return True

    async def stay(self, machine: str) -> None:
        """Keep a machine after all: it joins again. Raises SettingsAway, NotPrimary."""
        if machine in self._leaving():
            await self._change(SettingRemoved(leaving_key(machine)))

    async def run(self) -> None:
        """Look, and do what is owed while this central is the primary; until cancelled."""
        while True:
            try:
                await self.turn()
                self.problem = ""
            except (KafkaAway, MembershipRefused, SettingsAway, NotPrimary) as error:
                if str(error) != self.problem:
                    log.warning("machines: %s", error)
                self.problem = str(error)
            await asyncio.sleep(self._pause_s)

    @property
    def _pause_s(self) -> float:
        if self._own is not None and not self.problem:
            return OUTSIDE_S
        return QUIET_S if self.step is None else BUSY_S

    async def turn(self) -> None:
        """Look once, and do the one step that is owed. Raises what `run` passes over."""
        if self._own is not None:
            await self._look_at(self._own)
            return
        brokers = self._brokers()
        if brokers is None:
            self.facts = self.step = None
            return
        async with self._connect(brokers) as membership:
            facts = self.facts = await membership.facts()
            if self._is_primary():
                for machine in wishes_over(self._leaving().values(), facts, self._centrals()):
                    await self.stay(machine)
            step = owed(facts, self.wish)
            if step != self.step and step is not None:
                log.info("machines: owed %s", _said(step))
            self.step = step
            if step is not None and self._is_primary():
                await self._do(membership, facts, step)

    async def _look_at(self, own: Brokers) -> None:
        async with self._connect(own) as membership:
            copies = [each for each in await membership.copies() if each.topic in OURS]
            topics = sorted({each.topic for each in copies})
            found = risks(copies, await membership.topic_settings(topics, ASKED))
        for line in found:
            if line not in self.risks:
                log.warning("kafka: %s", line)
        self.risks = found

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
        voting = [each for each in facts.members if each.number in facts.voters]
        controllers = (each._replace(port=each.controller_port).address for each in voting)
        return {
            "cluster_id": facts.cluster_id,
            "number": number_of(machine),
            "controllers": ",".join(controllers),
        }

    def sentences(self) -> list[str]:
        """Return what losing a machine does and who goes, or what is risky about a Kafka outside.

        Nothing while that is not known.
        """
        if self.facts is None:
            return list(self.risks)
        return survives(self.facts, self.wish) + leaving_sentences(
            self._leaving().values(), self.facts, due(self.facts, self.wish)
        )

    def shown(self) -> Json:
        """Return it for people."""
        facts = self.facts
        if facts is None:
            return {
                "machines": [], "owed": None, "problem": self.problem, "survives": [],
                "risks": self.risks,
            }  # fmt: skip
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
            "risks": [],
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
