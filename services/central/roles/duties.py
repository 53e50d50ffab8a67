"""What a primary owes at a moment, as records for one transaction; pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple

from services.central.roles.outbox import (
    Alive,
    Delivered,
    Item,
    Notice,
    OutboxState,
    encode_item,
    evolve,
    key_of,
)
from shared.roles.cluster import KEY, ClusterRoles, encode_roles
from shared.roles.fold import RolesState, is_candidate
from shared.roles.history import Tail, chained, takeover_entry
from shared.topics import Outgoing, Topic

ALIVE_EVERY_TICKS = 3
"""Well below the K ticks within which a primary has to commit something."""

Decision = Mapping[str, Any]  # Any: JSON.


@dataclass(frozen=True, slots=True, kw_only=True)
class RolesTopics:
    """Where roles are decided and written."""

    log: Topic
    roles: Topic
    history: Topic
    outbox: Topic


@dataclass(frozen=True, slots=True, kw_only=True)
class Duties:
    """What a primary knows when it decides.

    now_ms: UTC. brokers: `host:port` with commas between. took_s: how long nobody acted before it.
    written: the record on `ha.roles`; decisions: of the log, in order, copied or not.
    committed_tick: valid ticks when it last committed. delivered: keys that have left the house.
    """

    roles: RolesState
    now_ms: int
    brokers: str
    took_s: float | None
    written: ClusterRoles | None
    tail: Tail
    decisions: Sequence[Decision]
    outbox: OutboxState
    committed_tick: int
    delivered: Sequence[str] = ()


def cluster_roles(duties: Duties) -> ClusterRoles:
    """Return what `ha.roles` has to say now."""
    state = duties.roles
    assert state.config is not None
    holder = state.members[state.holder]
    standbys = {
        member.node: member.url
        for name, member in state.members.items()
        if name != state.holder and member.node != holder.node and is_candidate(state, name)
    }
    return ClusterRoles(
        generation=state.config.generation,
        epoch=state.epoch,
        primary=holder.node,
        incarnation=state.holder,
        standbys=tuple(sorted(standbys)),
        endpoints=dict(sorted({**standbys, holder.node: holder.url}.items())),
        brokers=duties.brokers,
        since_ms=state.since_ms,
        reason=state.reason,
        took_s=duties.took_s,
    )


class Owed(NamedTuple):
    """Records for one transaction, and what the topics end with behind it."""

    records: list[Outgoing]
    roles: ClusterRoles
    tail: Tail
    outbox: OutboxState


def owed(duties: Duties, topics: RolesTopics) -> Owed:
    """Return what to commit now, in order; the first of an epoch says who is primary."""
    found: list[Outgoing] = []
    roles = cluster_roles(duties)
    is_first = duties.written is None or duties.written.order != roles.order
    if duties.written != roles:
        found.append(Outgoing(topics.roles.name, KEY, encode_roles(roles)))
    entries = [
        *(each for each in duties.decisions if _order(each) > duties.tail.order),
        *([_takeover(duties, roles)] if is_first else []),
    ]
    values, tail = chained(entries, duties.tail)
    found += (Outgoing(topics.history.name, None, value) for value in values)
    items = list(_items(duties, roles))
    is_due = duties.roles.ticks - duties.committed_tick >= ALIVE_EVERY_TICKS
    if not items and not found and is_due:
        items = [Alive(generation=roles.generation, epoch=roles.epoch, decided_ms=duties.now_ms)]
    found += (Outgoing(topics.outbox.name, key_of(item), encode_item(item)) for item in items)
    return Owed(found, roles, tail, reduce(evolve, items, duties.outbox))


def takeover_key(generation: int, epoch: int) -> str:
    """Return the key of the one notice of a takeover."""
    return f"takeover/{generation}/{epoch}"


def _items(duties: Duties, roles: ClusterRoles) -> Iterator[Item]:
    stamp = {
        "generation": roles.generation, "epoch": roles.epoch, "decided_ms": duties.now_ms
    }  # fmt: skip
    key = takeover_key(roles.generation, roles.epoch)
    if key not in duties.outbox.known:
        yield Notice(**stamp, key=key, text=_said(roles))
    for delivered in duties.delivered:
        if delivered in duties.outbox.waiting:
            yield Delivered(**stamp, key=delivered)


def _said(roles: ClusterRoles) -> str:
    how = f"{roles.primary} is primary (epoch {roles.epoch}): {roles.reason}"
    if roles.took_s is None:
        return f"{how}."
    return f"{how}; nobody acted for {roles.took_s:.2f} s. It had read every flow in the log."


def _takeover(duties: Duties, roles: ClusterRoles) -> Decision:
    return takeover_entry(
        generation=roles.generation,
        epoch=roles.epoch,
        at_ms=duties.now_ms,
        primary=roles.primary,
        reason=roles.reason,
        took_s=roles.took_s,
    )


def _order(decision: Decision) -> tuple[int, int]:
    return int(decision["generation"]), int(decision["offset"])
