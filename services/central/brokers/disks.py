"""How full the disks with Kafka's log are, and how much of what is copied is there; pure."""

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from shared.membership import Disk, Facts

_GB: Final = 1_000_000_000


class Copied(NamedTuple):
    """Of the copies that are not whole yet: bytes that are there, and that their leaders have."""

    done_bytes: int
    total_bytes: int


def low_bytes(total_bytes: int) -> int:
    """Return what must be free of a disk of that size: a day's work for whoever makes room."""
    return max(min(total_bytes // 20, 20 * _GB), min(total_bytes // 10, 2 * _GB))


def last_told(
    before: Mapping[int, Disk], told: Mapping[int, Disk], members: Collection[int]
) -> dict[int, Disk]:
    """Return what each member told last, by broker: of whom its full disk ended, it is the reason.

    before: the same when asked before. told: of those that answered now.
    """
    known = {**before, **told}
    return {number: known[number] for number in members if number in known}


def short_disks(disks: Mapping[str, Disk], silent: Collection[str] = ()) -> dict[str, str]:
    """Return a sentence for each machine whose disk is nearly full.

    disks: by machine. silent: those of them that did not tell now, but before.
    """
    return {
        machine: _had(machine, disk) if machine in silent else _has(machine, disk)
        for machine, disk in disks.items()
        if 0 <= disk.usable_bytes < low_bytes(disk.total_bytes)
    }


def _has(machine: str, disk: Disk) -> str:
    return (
        f"the disk with Kafka's log on {machine} has {said(disk.usable_bytes)} left of "
        f"{said(disk.total_bytes)}, the log takes {said(disk.log_bytes)}: make room before the "
        "broker there ends for want of it"
    )


def _had(machine: str, disk: Disk) -> str:
    return (
        f"the disk with Kafka's log on {machine} had {said(disk.usable_bytes)} left of "
        f"{said(disk.total_bytes)}, the log took {said(disk.log_bytes)}, when the broker there "
        "last told: make room, for want of it that broker ends and does not start"
    )


def copied(facts: Facts, disks: Mapping[int, Disk]) -> Copied | None:
    """Return how far the copies are that are behind; None where none is. disks: by broker."""
    done = total = 0
    is_behind = False
    for each in facts.copies:
        leader = disks.get(each.leader)
        if leader is None:
            continue
        place = (each.topic, each.partition)
        size = leader.sizes.get(place, 0)
        for number in set(each.replicas) - set(each.in_sync):
            if (disk := disks.get(number)) is None:
                continue
            is_behind = True
            total += size
            done += min(size, disk.sizes.get(place, 0))
    return Copied(done, total) if is_behind else None


def said(count: int) -> str:
    """Return bytes with a decimal unit."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"
