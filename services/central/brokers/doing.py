"""Each step of growth as requests to the cluster."""

from typing import Final

from services.central.brokers.growth import (
    NO_LIMIT,
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
from shared.kafka import Membership
from shared.kafka.membership import THROTTLED
from shared.membership import BYTES_KEPT, IN_SYNC_MIN, Facts
from shared.topics import FLOWS

SEGMENT_BYTES_MIN: Final = 1 << 20
SEGMENT_BYTES_MAX: Final = 1 << 30
"""What Kafka takes, and its own default."""


async def do(step: Step, membership: Membership, facts: Facts, copy_bytes_per_s: int) -> None:
    """Ask the cluster for it. Raises KafkaAway, MembershipRefused.

    copy_bytes_per_s: of each broker, for copies that are behind.
    """
    # A broker whose disk was lost has a row for each: the old one votes, the new one reads.
    reading = {each.number: each for each in facts.controllers if not each.is_voter}
    voting = {each.number: each for each in facts.controllers if each.is_voter}
    match step:
        case Reassign(moves, is_order_only):
            if not is_order_only:
                alive = [each.number for each in facts.members if each.is_alive]
                await membership.limit_copies(alive, copy_bytes_per_s)
                topics = {each.topic for each in moves}
                await membership.set_topics(topics, dict.fromkeys(THROTTLED, "*"))
            await membership.reassign(moves)
        case AddVoter(number):
            member = facts.member(number)
            assert member is not None
            await membership.add_voter(facts.cluster_id, reading[number], member)
        case RemoveVoter(number):
            await membership.remove_voter(facts.cluster_id, voting[number])
        case SetInSyncMin(names, value):
            await membership.set_topics(names, {IN_SYNC_MIN: str(value)})
        case KeepBytes(value):
            segment = SEGMENT_BYTES_MAX
            if value != NO_LIMIT:
                # Only whole segments are deleted.
                segment = min(SEGMENT_BYTES_MAX, max(SEGMENT_BYTES_MIN, value // 8))
            kept = {BYTES_KEPT: str(value), "segment.bytes": str(segment)}
            await membership.set_topics([FLOWS.name], kept)
        case Elect(places):
            await membership.elect(places)
        case Unregister(number):
            await membership.unregister(number)
        case Wait():
            pass
