"""What a cluster of brokers owes next, by what is observed of it and nothing else; pure.

So whoever was killed in the middle goes on from there, and two that do it do no harm. Two voters
are worse than one (with either gone nothing is decided), so there are one or three: the second and
the third are added one right after the other, and a pair that was left behind is completed, or
undone where no third is there.

A machine that is replaced keeps its place until the other one answers, and its vote until that one
can vote: never do fewer vote that live. A dead voter counts against the majority, so it is taken
out first; one that lives, last.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Final, NamedTuple

from shared.membership import REPLICAS_MAX, Controller, Copies, Facts, Member
from shared.topics import FLOWS, HA_HISTORY, HA_LOG, HA_ROLES, OUTBOX, SETTINGS

BEHIND_MAX: Final = 100
"""An observer of the metadata log that lacks more is not yet let vote."""
VOTERS: Final = 3
NO_LIMIT: Final = -1
"""Of bytes."""
APART: Final = (HA_LOG.name, "__transaction_state")
"""Topics that shall not be led on the primary's machine: without them nobody can be chosen."""
READ_TO_TAKE_OVER: Final = tuple(
    topic.name for topic in (FLOWS, SETTINGS, OUTBOX, HA_ROLES, HA_HISTORY)
)
"""And these, whose ends whoever takes over has to know: an election would make it wait."""


class Wish(NamedTuple):
    """What facts do not tell. home: number of the broker on the primary's machine, 0 for none.

    leaving: brokers that go. spare: brokers on machines without a central, the best leaders of
    what a takeover needs. replaced: brokers that go once another one answers, with its number.
    flows_bytes: most that a broker keeps of `flows`, 0 for no limit; None leaves that as it is.
    """

    home: int = 0
    leaving: frozenset[int] = frozenset()
    spare: frozenset[int] = frozenset()
    replaced: tuple[tuple[int, int], ...] = ()
    flows_bytes: int | None = None


class Move(NamedTuple):
    """A partition and the replicas that it shall have, the preferred leader first."""

    topic: str
    partition: int
    replicas: tuple[int, ...]


class Reassign(NamedTuple):
    """Bring partitions to other replicas. is_order_only: nothing is copied."""

    moves: tuple[Move, ...]
    is_order_only: bool = False


class AddVoter(NamedTuple):
    """Let an observer vote."""

    number: int


class RemoveVoter(NamedTuple):
    """Let a voter only read along."""

    number: int


class SetInSyncMin(NamedTuple):
    """So many copies have a record before it is acknowledged."""

    topics: tuple[str, ...]
    value: int


class KeepBytes(NamedTuple):
    """So many bytes of each partition of `flows` are kept at most; -1 for no limit."""

    value: int


class Elect(NamedTuple):
    """Have the preferred replicas lead."""

    places: tuple[tuple[str, int], ...]


class Unregister(NamedTuple):
    """Forget a broker that is gone."""

    number: int


class Wait(NamedTuple):
    """Something goes on, or is away; the text says what for."""

    why: str


Step = Reassign | AddVoter | RemoveVoter | SetInSyncMin | KeepBytes | Elect | Unregister | Wait


def owed(facts: Facts, wish: Wish = Wish()) -> Step | None:  # noqa: B008  a tuple never changes
    """Return the one next step; None when the cluster is as it should be."""
    return next(_steps(facts, due(facts, wish)), None)


def due(facts: Facts, wish: Wish) -> Wish:
    """Return `wish` with those among the leaving whose place is taken by now."""
    alive = {each.number for each in facts.members if each.is_alive}
    gone = {old for old, new in wish.replaced if new in alive}
    return wish._replace(leaving=wish.leaving | gone)


def _steps(facts: Facts, wish: Wish) -> Iterator[Step]:
    staying = [each for each in facts.members if each.number not in wish.leaving]
    if not staying:
        yield Wait("no broker would stay")
        return
    yield from _lower_in_sync_min(facts, staying)
    yield from keep_bytes(facts, wish)
    yield from _forget_lost_disks(facts)
    yield from _pair_of_voters(facts, staying, wish)
    yield from _take_from_leaving(facts, staying, wish)
    yield from _copy(facts, staying)
    if len(staying) >= VOTERS:
        yield from _three_voters(facts, staying, wish)
        yield from _raise_in_sync_min(facts, staying)
        yield from _apart(facts, wish)


def _lower_in_sync_min(facts: Facts, staying: Collection[Member]) -> Iterator[Step]:
    if len(staying) < REPLICAS_MAX:
        # First of all: with two copies left, the loss of one would stop every write.
        topics = tuple(sorted(name for name, count in facts.in_sync_min.items() if count > 1))
        if topics:
            yield SetInSyncMin(topics, 1)


def keep_bytes(facts: Facts, wish: Wish) -> Iterator[Step]:
    """Yield what makes Kafka keep so much of `flows` as is wished."""
    partitions = sum(each.topic == FLOWS.name for each in facts.copies)
    kept = facts.bytes_kept.get(FLOWS.name)
    if wish.flows_bytes is None or kept is None or not partitions:
        return
    wanted = wish.flows_bytes // partitions if wish.flows_bytes else NO_LIMIT
    if kept != wanted:
        yield KeepBytes(wanted)


def _forget_lost_disks(facts: Facts) -> Iterator[Step]:
    """Take the vote of a disk that was lost: its broker lives, and reads along with another one."""
    reading = {each.number: each.directory_id for each in facts.controllers if not each.is_voter}
    for each in facts.controllers:
        if each.is_voter and reading.get(each.number, each.directory_id) != each.directory_id:
            yield RemoveVoter(each.number)


def _pair_of_voters(facts: Facts, staying: Collection[Member], wish: Wish) -> Iterator[Step]:
    voters = facts.voters
    if len(voters) != VOTERS - 1:
        return
    if len(staying) >= VOTERS and not wish.leaving.intersection(voters):
        if third := _may_vote(facts, staying):
            yield AddVoter(third[0])
            return
        if _reading(facts, staying):
            yield Wait("the third to vote reads the cluster's own log before")
            return
    going = [number for number in voters if number in wish.leaving]
    # The primary's machine keeps its vote where all others find it there.
    may_go = going[-1:] or sorted(voters, key=lambda number: (number == wish.home, -number))
    for number in may_go:
        (left,) = set(voters) - {number}
        if all(_finds(facts, each, left) for each in staying):
            yield RemoveVoter(number)
            return
    lost = sorted(
        each.machine
        for each in staying
        if any(not _finds(facts, each, left) for left in voters if left != each.number)
    )
    yield Wait(f"{' or '.join(lost)} would not find the one that still votes: start it there again")


def _finds(facts: Facts, member: Member, voter: int) -> bool:
    """Whether a broker would find the only one that votes; one that is away, at its next start."""
    found, there = facts.finds.get(member.number), facts.member(voter)
    if member.number == voter or not member.is_alive or found is None or there is None:
        return True
    return there.controller_address in found


def _take_from_leaving(facts: Facts, staying: Collection[Member], wish: Wish) -> Iterator[Step]:
    if not wish.leaving:
        return
    alive = [each.number for each in staying if each.is_alive]
    moves = []
    for each in facts.copies:
        if wish.leaving.isdisjoint(each.replicas):
            continue
        kept = [number for number in each.replicas if number not in wish.leaving]
        more = [number for number in alive if number not in kept]
        moves.append(_move(each, (kept + more)[: min(REPLICAS_MAX, len(staying))]))
    if moves:
        is_moving = any(each.is_moving for each in facts.copies)
        yield Wait("copies move away from what leaves") if is_moving else Reassign(tuple(moves))
    yield from _pass_vote_on(facts, staying, wish)
    for member in facts.members:
        if member.number in wish.leaving and not member.is_alive:
            yield Unregister(member.number)


def _pass_vote_on(facts: Facts, staying: Collection[Member], wish: Wish) -> Iterator[Step]:
    going = [number for number in facts.voters if number in wish.leaving]
    if not going:
        return
    alive = {each.number for each in facts.members if each.is_alive}
    kept = [number for number in facts.voters if number not in wish.leaving and number in alive]
    if len(facts.voters) == 1:
        able = _may_vote(facts, staying)
        yield AddVoter(able[0]) if able else Wait("nobody can take over the only vote yet")
        return
    if len(staying) >= VOTERS and len(kept) < VOTERS:
        able = _may_vote(facts, staying)
        if len(kept) + len(able) < VOTERS:
            yield Wait("what takes over a vote reads the cluster's own log before")
            return
        if alive.issuperset(going):
            yield AddVoter(able[0])
            return
    dead = [number for number in facts.voters if number not in alive]
    # One vote is left at the end, and while one is dead every one that lives is needed.
    may_go = dead if dead and len(staying) < VOTERS else going
    yield RemoveVoter(min(may_go, key=lambda number: (number in alive, number)))


def _copy(facts: Facts, staying: Collection[Member]) -> Iterator[Step]:
    wanted = min(REPLICAS_MAX, len(staying))
    known = {each.number for each in staying}
    alive = [each.number for each in staying if each.is_alive]
    moves = []
    for each in facts.copies:
        kept = [number for number in each.replicas if number in known]
        more = [number for number in alive if number not in kept]
        if len(kept) < wanted and more:
            moves.append(_move(each, (kept + more)[:wanted]))
    if moves:
        is_moving = any(each.is_moving for each in facts.copies)
        yield Wait("copies are made") if is_moving else Reassign(tuple(moves))
    lacking = sum(len(each.in_sync) < min(wanted, len(each.replicas)) for each in facts.copies)
    if len(alive) < len(staying):
        away = ", ".join(each.machine for each in staying if not each.is_alive)
        yield Wait(f"the broker of {away} does not answer")
    elif lacking:
        yield Wait(f"{lacking} of {len(facts.copies)} partitions are still copied")


def _three_voters(facts: Facts, staying: Collection[Member], wish: Wish) -> Iterator[Step]:
    voters = [number for number in facts.voters if number not in wish.leaving]
    if len(voters) >= VOTERS:
        return
    able = _may_vote(facts, staying)
    if len(voters) + len(able) < VOTERS:
        if closed := [each for each in staying if each.number in facts.unreached]:
            places = ", ".join(f"{each.machine} at {each.controller_address}" for each in closed)
            yield Wait(f"nobody reaches the controller of {places}: open that port to the others")
        yield Wait("two more brokers read the cluster's own log before they vote")
    else:
        yield AddVoter(able[0])


def _reading(facts: Facts, staying: Iterable[Member]) -> list[Controller]:
    """Return the observers that live, and would be reached by the others if they voted."""
    alive = {each.number for each in staying if each.is_alive} - facts.unreached
    return [each for each in facts.controllers if not each.is_voter and each.number in alive]


def _may_vote(facts: Facts, staying: Iterable[Member]) -> list[int]:
    return [each.number for each in _reading(facts, staying) if each.behind <= BEHIND_MAX]


def _raise_in_sync_min(facts: Facts, staying: Collection[Member]) -> Iterator[Step]:
    topics = tuple(sorted(name for name, count in facts.in_sync_min.items() if count < 2))
    is_safe = all(len(each.in_sync) >= REPLICAS_MAX for each in facts.copies)
    if topics and is_safe and all(each.is_alive for each in staying):
        yield SetInSyncMin(topics, REPLICAS_MAX - 1)


def _apart(facts: Facts, wish: Wish) -> Iterator[Step]:
    """Move the leaders that a takeover needs off the primary's machine, to its site if one can."""
    if wish.home == 0:
        return
    near = _near(facts, wish)

    def rank(number: int) -> int:
        # Not led at all is not led badly.
        return 2 if number == wish.home else int(number not in near and number >= 0)

    moves, places = [], []
    for each in facts.copies:
        if each.topic not in (*APART, *READ_TO_TAKE_OVER):
            continue
        best, first = min(map(rank, each.in_sync), default=2), rank(each.replicas[0])
        if first > best:
            moves.append(_move(each, _apart_order(each, wish, near)))
        elif rank(each.leader) > first and each.replicas[0] in each.in_sync:
            places.append((each.topic, each.partition))
    if moves:
        yield Reassign(tuple(moves), is_order_only=True)
    elif places:
        yield Elect(tuple(places))


def _near(facts: Facts, wish: Wish) -> frozenset[int]:
    home = facts.member(wish.home)
    site = "" if home is None else home.site
    return frozenset(each.number for each in facts.members if each.site == site)


def _apart_order(copies: Copies, wish: Wish, near: Collection[int]) -> list[int]:
    others = [number for number in copies.replicas if number != wish.home]
    others.sort(key=lambda number: number not in wish.spare)
    order: list[int] = []
    for is_near in (True, False):
        group = [number for number in others if (number in near) is is_near]
        # One machine alone should not lead it all.
        turn = 0 if copies.topic in APART else copies.partition % max(1, len(group))
        order += group[turn:] + group[:turn]
    order.sort(key=lambda number: number not in copies.in_sync)
    return [*order, *(number for number in copies.replicas if number == wish.home)]


def _move(copies: Copies, replicas: Iterable[int]) -> Move:
    return Move(copies.topic, copies.partition, tuple(replicas))


def led_at_home(facts: Facts, home: int) -> list[str]:
    """Return which of the topics that a takeover needs are led on the primary's machine."""
    led = {each.topic for each in facts.copies if each.leader == home and each.topic in APART}
    return sorted(led)
