"""Kafka's machines, and what is owed to them, as people are told; pure."""

from collections.abc import Mapping

from services.central.answers import Json
from services.central.brokers.growth import (
    AddVoter,
    Elect,
    KeepBytes,
    Reassign,
    RemoveVoter,
    SetInSyncMin,
    Step,
    Unregister,
    Wait,
)
from shared.membership import Disk, Facts
from shared.topics import FLOWS


def machines_shown(facts: Facts, disks: Mapping[int, Disk]) -> list[Json]:
    """Return a row for each machine. disks: by broker, of those that told."""
    return [
        {
            "machine": each.machine,
            "site": each.site,
            "number": each.number,
            "address": each.address,
            "is_alive": each.is_alive,
            "votes": each.number in facts.voters,
            "leads": sorted({one.topic for one in facts.copies if one.leader == each.number}),
            "in_sync": sum(each.number in one.in_sync for one in facts.copies),
            "copies": sum(each.number in one.replicas for one in facts.copies),
            **_disk_shown(disks.get(each.number)),
        }
        for each in facts.members
    ]


def _disk_shown(disk: Disk | None) -> Json:
    if disk is None:
        return {"log_bytes": None, "disk_free_bytes": None, "disk_size_bytes": None}
    return {
        "log_bytes": disk.log_bytes,
        "disk_free_bytes": disk.usable_bytes,
        "disk_size_bytes": disk.total_bytes,
    }


def step_said(step: Step) -> str:
    """Return it in a few words."""
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
        case KeepBytes(value):
            return f"{value} bytes of each partition of {FLOWS.name} kept"
        case Elect(places):
            return f"the leaders of {len(places)} partitions move"
        case Unregister(number):
            return f"broker {number} is forgotten"
        case Wait(why):
            return why
