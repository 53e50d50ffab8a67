"""Keeps Kafka's machines as they should be: looks, and the primary does what is owed."""

import asyncio
import contextlib
import logging
import zlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Final, NamedTuple

from services.central.answers import Json
from services.central.brokers.disks import copied, last_told, said, short_disks
from services.central.brokers.doing import do
from services.central.brokers.growth import AddVoter, Step, Wish, due, keep_bytes, led_at_home, owed
from services.central.brokers.outside import ASKED, OURS, risks
from services.central.brokers.shown import machines_shown, step_said
from services.central.brokers.survives import leaving_sentences, survives
from services.central.reach import unreached
from services.central.roles.role import NotPrimary
from services.central.settings import SettingsAway
from shared.kafka import Brokers, KafkaAway, Membership, MembershipRefused, open_membership
from shared.membership import Disk, Facts, Member, unnamed
from shared.settings_events import MachineLeaves, SettingRemoved, SettingsEvent, leaving_key
from shared.tls import TlsError

log = logging.getLogger(__name__)

BUSY_S: Final = 1.0
QUIET_S: Final = 5.0
OUTSIDE_S: Final = 60.0
DISKS_EVERY_TURNS: Final = 4
DISK_TIMEOUT_S: Final = 3.0
REFUSED_MS: Final = 60_000
"""So long a broker whose vote was not taken gets none, and a pair without it is undone."""
_NUMBERS: Final = 1_000_000
_FIRST_JOINED: Final = 2


def number_of(machine: str) -> int:
    """Return the broker's number of a machine that joins: always the same, none that another has.

    By its name, so that nothing has to be kept, and two that join at once need not agree.
    """
    return _FIRST_JOINED + zlib.crc32(machine.encode()) % _NUMBERS


def wishes_over(leaving: Iterable[MachineLeaves], centrals: Collection[str]) -> list[str]:
    """Return the machines that came back. centrals: names of those listed.

    The wish outlives the broker: one that was forgotten and is started again, by nobody's wish,
    would get copies and a vote. Who joins again by a token takes it back.
    """
    return [each.machine for each in leaving if each.had_central and each.machine in centrals]


class BrokerLimits(NamedTuple):
    """Of each broker. copy_bytes_per_s: for copies that are behind. flows_bytes: as of `Wish`.

    read_bytes_per_s: for each client.
    """

    copy_bytes_per_s: int
    read_bytes_per_s: int
    flows_bytes: int | None = None


class Keeper:
    """What is known of the machines, and the loop that learns it.

    facts: as last seen; None before, and while no other machine can reach this one. step: what is
    owed next. problem: why it could not be read or done; empty when it could. risks: of a Kafka of
    the user's own. disks: with the log, by machine, of those that told when last asked.
    """

    def __init__(
        self,
        *,
        brokers: Callable[[], Brokers | None],
        local: Brokers,
        home: int,
        is_primary: Callable[[], bool],
        centrals: Callable[[], Collection[str]],
        able: Callable[[], Collection[str]],
        limits: BrokerLimits,
        note_disks: Callable[[str | None], None] = lambda text: None,
        leaving: Callable[[], Mapping[str, MachineLeaves]],
        change: Callable[[SettingsEvent], Awaitable[None]],
        now_ms: Callable[[], int],
        connect: Callable[[Brokers], AbstractAsyncContextManager[Membership]] = open_membership,
        reach: Callable[[str, int], Awaitable[str]] = unreached,
    ) -> None:
        """brokers: as other machines reach them; None while they cannot. centrals: their names.

        able: names of the centrals that act, or could take over now. local: as this process reaches
        them. home: number of the broker on this machine; 0 where Kafka is the user's own, which is
        only looked at. note_disks: gets which disks are nearly full. leaving: machines that go, as
        the settings say. change: writes one of these.
        """
        self._brokers = brokers
        self._local = local
        self._home = home
        self._is_primary = is_primary
        self._centrals = centrals
        self._able = able
        self._limits = limits
        self._note_disks = note_disks
        self._leaving = leaving
        self._change = change
        self._now_ms = now_ms
        self._connect = connect
        self._reach = reach
        self.facts: Facts | None = None
        self.step: Step | None = None
        self.problem = ""
        self.risks: list[str] = []
        self.disks: dict[str, Disk] = {}
        self._disks: dict[int, Disk] = {}
        self._last_told: dict[int, Disk] = {}
        self._short: dict[str, str] = {}
        self._turns = 0
        self._has_limited = False
        self._refused_ms: dict[int, int] = {}

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
            self._limits.flows_bytes,
        )

    async def look(self) -> None:
        """See anew who is there. Raises KafkaAway, MembershipRefused."""
        brokers = self._brokers()
        if brokers is not None:
            async with self._connect(brokers) as membership:
                self.facts = await membership.facts()

    def has(self, machine: str) -> bool:
        """Whether another machine of that name has a broker."""
        return self._member(machine) is not None

    def answers(self, machine: str) -> bool:
        """Whether it has one that lives."""
        member = self._member(machine)
        return member is not None and member.is_alive

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
        if not self.has(machine) and machine not in self._leaving():
            return False
        for each in self._leaving().values():
            # Who was to take that place goes itself: whoever comes instead takes both.
            if replaced_by and each.replaced_by == machine:
                await self._change(replace(each, replaced_by=replaced_by))
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
            except (KafkaAway, MembershipRefused, SettingsAway, NotPrimary, TlsError) as error:
                if str(error) != self.problem:
                    log.warning("machines: %s", error)
                self.problem = str(error)
            await asyncio.sleep(self._pause_s)

    @property
    def _pause_s(self) -> float:
        if self._home == 0 and not self.problem:
            return OUTSIDE_S
        return QUIET_S if self.step is None else BUSY_S

    async def turn(self) -> None:
        """Look once, and do the one step that is owed. Raises what `run` passes over."""
        self._turns += 1
        if self._home == 0:
            await self._look_outside()
            return
        brokers = self._brokers()
        if brokers is None:
            self.facts = self.step = None
            if self._turns % DISKS_EVERY_TURNS == 1:
                await self._look_after_one()
            return
        async with self._connect(brokers) as membership:
            facts = self.facts = await membership.facts()
            is_copying = any(len(each.in_sync) < len(each.replicas) for each in facts.copies)
            if is_copying or self._turns % DISKS_EVERY_TURNS == 1:
                await self._look_at_disks(membership, facts)
            if self._is_primary():
                for machine in wishes_over(self._leaving().values(), self._centrals()):
                    await self.stay(machine)
            step = owed(facts, self.wish)
            if isinstance(step, AddVoter):
                # One that nobody reaches would leave two voters, which is worse than one.
                facts = facts._replace(unreached=await self._unreached(facts))
                step = owed(facts, self.wish)
            if step != self.step and step is not None:
                log.info("machines: owed %s", step_said(step))
            self.step = step
            if step is not None and self._is_primary():
                with self._noting(step):
                    await do(step, membership, facts, self._limits.copy_bytes_per_s)
            await self._limit_readers(membership)

    @contextlib.contextmanager
    def _noting(self, step: Step) -> Iterator[None]:
        """Note whose vote was not taken: the controller that leads may not reach it from there."""
        try:
            yield
        except KafkaAway:
            if isinstance(step, AddVoter):
                self._refused_ms[step.number] = self._now_ms()
            raise

    async def _unreached(self, facts: Facts) -> frozenset[int]:
        since_ms = self._now_ms() - REFUSED_MS
        refused = {number for number, at_ms in self._refused_ms.items() if at_ms > since_ms}
        reading = {each.number for each in facts.controllers if not each.is_voter}
        there = [each for each in facts.members if each.is_alive and each.number in reading]
        tried = await asyncio.gather(
            *(self._reach(each.host, each.controller_port) for each in there)
        )
        silent = {each.number for each, why in zip(there, tried, strict=True) if why}
        return frozenset(refused | silent)

    async def _look_at_disks(self, membership: Membership, facts: Facts) -> None:
        found: dict[int, Disk] = {}
        for member in facts.members:
            if member.is_alive:
                # One that stands still is alive for a while, and shall hold nothing up.
                with contextlib.suppress(KafkaAway, MembershipRefused, TimeoutError):
                    async with asyncio.timeout(DISK_TIMEOUT_S):
                        found[member.number] = await membership.disk(member.number)
        self._disks = found
        names = {each.number: each.machine for each in facts.members}
        self.disks = {names[number]: disk for number, disk in found.items()}
        self._last_told = last_told(self._last_told, found, names)
        last = {names[number]: disk for number, disk in self._last_told.items()}
        short = short_disks(last, silent=last.keys() - self.disks.keys())
        for machine, line in short.items():
            if machine not in self._short:
                log.warning("machines: %s", line)
        self._short = short
        self._note_disks("; ".join(short.values()) or None)

    async def _limit_readers(self, membership: Membership) -> None:
        """Once is enough: the cluster keeps it."""
        if self._is_primary() and not self._has_limited:
            await membership.limit_readers(self._limits.read_bytes_per_s)
            self._has_limited = True

    async def _look_after_one(self) -> None:
        """No other machine reaches this one: there is a disk, and nothing to grow."""
        async with self._connect(self._local) as membership:
            facts = await membership.facts()
            await self._look_at_disks(membership, facts)
            if self._is_primary():
                for step in keep_bytes(facts, self.wish):
                    await do(step, membership, facts, self._limits.copy_bytes_per_s)
            await self._limit_readers(membership)

    async def _look_outside(self) -> None:
        async with self._connect(self._local) as membership:
            copies = [each for each in await membership.copies() if each.topic in OURS]
            topics = sorted({each.topic for each in copies})
            found = risks(copies, await membership.topic_settings(topics, ASKED))
        for line in found:
            if line not in self.risks:
                log.warning("kafka: %s", line)
        self.risks = found

    def joining(self, machine: str) -> Json | None:
        """Return what a broker needs to join; None while none can."""
        facts = self.facts
        if facts is None:
            return None
        voters = set(facts.voters)
        # Whoever votes now need not later, and it would ask nobody else.
        members = sorted(facts.members, key=lambda each: each.number not in voters)
        return {
            "cluster_id": facts.cluster_id,
            "number": number_of(machine),
            "controllers": ",".join(each.controller_address for each in members),
        }

    def sentences(self) -> list[str]:
        """Return what losing a machine does and who goes, or what is risky about a Kafka outside.

        Nothing while that is not known.
        """
        if self.facts is None:
            return self.risks + list(self._short.values())
        wish = self.wish
        # Whose machine is the primary's only the primary knows.
        shown = wish if self._is_primary() else wish._replace(home=0)
        lines = survives(self.facts, shown, self._able_by_machine(self.facts))
        lines += leaving_sentences(self._leaving().values(), self.facts, due(self.facts, wish))
        if (done := copied(self.facts, self._disks)) is not None:
            lines.append(
                f"of the copies that are not whole yet {said(done.done_bytes)} of "
                f"{said(done.total_bytes)} are there"
            )
        return lines + list(self._short.values())

    def _able_by_machine(self, facts: Facts) -> list[list[str]]:
        """Return the centrals that act or could, those of one machine together."""
        joined = {each.machine for each in facts.members}
        # Brokers that name no machine are the user's own: then nothing says who is beside whom.
        has_machines = any(each.machine != unnamed(each.number) for each in facts.members)
        found: dict[str, list[str]] = {}
        for name in sorted(self._able()):
            # A machine that joined has the name of its central; the others are on the first.
            place = name if name in joined or not has_machines else ""
            found.setdefault(place, []).append(name)
        return list(found.values())

    def shown(self) -> Json:
        """Return it for people."""
        facts = self.facts
        if facts is None:
            return {
                "machines": [], "owed": None, "problem": self.problem,
                "survives": list(self._short.values()), "risks": self.risks,
            }  # fmt: skip
        led = led_at_home(facts, self._home) if self._is_primary() else []
        return {
            "machines": machines_shown(facts, self._disks),
            "partitions": len(facts.copies),
            "owed": None if self.step is None else step_said(self.step),
            "problem": self.problem,
            "led_on_the_primarys_machine": led,
            "survives": self.sentences(),
            "risks": [],
        }
