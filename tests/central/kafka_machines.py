"""Machines of Kafka in memory: they do each step as a cluster would."""

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from services.central.brokers.growth import (
    APART,
    AddVoter,
    Elect,
    KeepBytes,
    Move,
    Reassign,
    RemoveVoter,
    SetInSyncMin,
    Step,
    Unregister,
    Wait,
)
from shared.kafka import Brokers, KafkaAway, Membership
from shared.membership import BYTES_KEPT, IN_SYNC_MIN, Controller, Copies, Disk, Facts, Member

TOPICS = ("flows", *APART)


def cluster(*numbers: int, voters: tuple[int, ...] = (1,)) -> Facts:
    """A cluster whose data is all on broker 1; the other brokers are new."""
    return Facts(
        "id",
        tuple(Member(number, f"m{number}", "h", number * 10, True) for number in numbers),
        tuple(Controller(number, bytes(16), number in voters, 0) for number in numbers),
        tuple(Copies(topic, part, 1, (1,), (1,)) for topic in TOPICS for part in (0, 1)),
        dict.fromkeys(TOPICS, 1),
    )


def joined(facts: Facts, number: int, *, behind: int = 0) -> Facts:
    """One more machine answers; it holds and decides nothing."""
    return facts._replace(
        members=(*facts.members, Member(number, f"m{number}", "h", number * 10, True)),
        controllers=(*facts.controllers, Controller(number, bytes(16), False, behind)),
    )


def apply(facts: Facts, step: Step) -> Facts:
    """Do what a cluster would; a step by one that is not alive does nothing."""
    alive = {each.number for each in facts.members if each.is_alive}
    match step:
        case Reassign(moves):
            wanted = {(each.topic, each.partition): each.replicas for each in moves}
            copies = tuple(
                each
                if (to := wanted.get((each.topic, each.partition))) is None
                else each._replace(
                    replicas=to,
                    in_sync=tuple(number for number in to if number in alive),
                    leader=each.leader if each.leader in to else to[0],
                )
                for each in facts.copies
            )
            return facts._replace(copies=copies)
        case AddVoter(number) | RemoveVoter(number):
            is_voter = isinstance(step, AddVoter)
            changed = facts._replace(
                controllers=tuple(
                    each._replace(is_voter=is_voter)
                    if each.number == number and each.is_voter is not is_voter
                    else each
                    for each in facts.controllers
                )
            )
            # As Kafka: the change counts once a majority of those has it who vote afterwards.
            living = len(alive.intersection(changed.voters))
            assert living > len(changed.voters) // 2, f"{step}: never done, {changed.controllers}"
            return changed
        case SetInSyncMin(topics, value):
            return facts._replace(in_sync_min={**facts.in_sync_min, **dict.fromkeys(topics, value)})
        case Elect(places):
            return facts._replace(
                copies=tuple(
                    each._replace(leader=each.replicas[0])
                    if (each.topic, each.partition) in places
                    else each
                    for each in facts.copies
                )
            )
        case Unregister(number):
            return without(facts, number)
        case KeepBytes() | Wait():
            return facts


def without(facts: Facts, number: int) -> Facts:
    return facts._replace(
        members=tuple(each for each in facts.members if each.number != number),
        controllers=tuple(each for each in facts.controllers if each.number != number),
    )


def dead(facts: Facts, number: int) -> Facts:
    return facts._replace(
        members=tuple(
            each._replace(is_alive=False) if each.number == number else each
            for each in facts.members
        ),
        copies=tuple(
            each._replace(
                in_sync=(left := tuple(each_in for each_in in each.in_sync if each_in != number)),
                leader=each.leader if each.leader != number else (left or (-1,))[0],
            )
            for each in facts.copies
        ),
    )


def alive(facts: Facts, number: int) -> Facts:
    """One that was dead answers again; it is behind with all it holds."""
    return facts._replace(
        members=tuple(
            each._replace(is_alive=True) if each.number == number else each
            for each in facts.members
        )
    )


class MemoryMachines(Membership):
    """What a `Keeper` connects to. facts_now: the cluster as it is; done: the steps it did.

    disks: by broker. set: of topics, in Kafka's own names. read_bytes_per_s: of each client.
    """

    def __init__(self, facts: Facts, disks: Mapping[int, Disk] | None = None) -> None:
        self.facts_now = facts
        self.done: list[Step] = []
        self.disks = dict(disks or {})
        self.set: dict[str, str] = {}
        self.read_bytes_per_s = 0

    @contextlib.asynccontextmanager
    async def connect(self, _brokers: Brokers) -> AsyncIterator[Membership]:
        yield self

    def _do(self, step: Step) -> None:
        self.facts_now = apply(self.facts_now, step)
        self.done.append(step)

    async def facts(self) -> Facts:
        return self.facts_now

    async def disk(self, number: int) -> Disk:
        if number not in self.disks:
            raise KafkaAway(f"broker {number} does not tell")
        return self.disks[number]

    async def limit_readers(self, bytes_per_s: int) -> None:
        self.read_bytes_per_s = bytes_per_s

    async def add_voter(self, cluster_id: str, controller: Controller, member: Member) -> None:
        self._do(AddVoter(controller.number))

    async def remove_voter(self, cluster_id: str, controller: Controller) -> None:
        self._do(RemoveVoter(controller.number))

    async def unregister(self, number: int) -> None:
        self._do(Unregister(number))

    async def reassign(self, wanted: Iterable[tuple[str, int, Sequence[int]]]) -> None:
        self._do(Reassign(tuple(Move(topic, part, tuple(to)) for topic, part, to in wanted)))

    async def elect(self, places: Iterable[tuple[str, int]]) -> None:
        self._do(Elect(tuple(places)))

    async def limit_copies(self, numbers: Iterable[int], bytes_per_s: int) -> None: ...

    async def set_topics(self, topics: Iterable[str], settings: Mapping[str, str]) -> None:
        if IN_SYNC_MIN in settings:
            self._do(SetInSyncMin(tuple(topics), int(settings[IN_SYNC_MIN])))
        else:
            self.set |= settings
        if BYTES_KEPT in settings:
            kept = dict.fromkeys(topics, int(settings[BYTES_KEPT]))
            self.facts_now = self.facts_now._replace(bytes_kept=kept)
