"""What a whole run left behind, read afterwards: were the roles ever doubled, did they go back?

Pure: topics and sightings in, sentences on what is wrong out.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from services.central.roles.outbox import Delivered, Item, Notice
from shared.roles.cluster import ClusterRoles
from shared.roles.fold import START, RolesState, evolve
from shared.roles.history import Entry
from shared.roles.history import problems as chain_problems
from shared.roles.records import Claim, Record


class Logged(NamedTuple):
    """A record of `ha.log`. append_ms: by the log's clock."""

    record: Record
    offset: int
    append_ms: int


class Sighting(NamedTuple):
    """`node` said that it acts, in answer to a question between two instants of one clock."""

    node: str
    epoch: int
    asked_s: float
    answered_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One run, each part in the order of its log; all of one generation.

    log: from offset 0, whatever was deleted of it since. sightings: by the time of the answer.
    """

    log: Sequence[Logged]
    roles: Sequence[ClusterRoles]
    outbox: Sequence[Item]
    history: Sequence[Entry]
    sightings: Sequence[Sighting]


def accepted_claims(log: Iterable[Logged]) -> dict[int, Claim]:
    """Return the claims that the fold accepts, by the epoch they began."""
    state: RolesState = START
    claims: dict[int, Claim] = {}
    for record, offset, append_ms in log:
        state = evolve(state, record, offset=offset, append_ms=append_ms)
        if isinstance(record, Claim) and state.epoch == offset:
            claims[offset] = record
    return claims


def problems(run: Recorded) -> list[str]:
    """Return what is wrong with a run, a sentence each."""
    claims = accepted_claims(run.log)
    return [
        *_log_problems(run.log),
        *_actor_problems(run, claims),
        *_roles_problems(run.roles, claims),
        *_outbox_problems(run.outbox, claims),
        *_history_problems(run.history, claims),
    ]


def took_s(history: Iterable[Entry]) -> dict[int, float | None]:
    """Return for how long nobody acted before each epoch whose primary began to act."""
    return {int(each["offset"]): each["took_s"] for each in history if each["is"] == "acts"}


def _log_problems(log: Sequence[Logged]) -> Iterator[str]:
    offsets = [each.offset for each in log]
    if offsets != sorted(set(offsets)):
        yield "ha.log was not read in order"
    if log and offsets[0] != 0:
        yield f"ha.log was read from offset {offsets[0]} on, not from its start"


def _actor_problems(run: Recorded, claims: Mapping[int, Claim]) -> Iterator[str]:
    actors: dict[int, set[str]] = {}
    for epoch, node in [
        *((each.epoch, each.node) for each in run.sightings),
        *((each.epoch, each.primary) for each in run.roles),
    ]:
        actors.setdefault(epoch, set()).add(node)
    for epoch, nodes in sorted(actors.items()):
        if len(nodes) > 1:
            yield f"epoch {epoch} had {len(nodes)} actors: {', '.join(sorted(nodes))}"
        claim = claims.get(epoch)
        if claim is None:
            yield f"{', '.join(sorted(nodes))} acted in epoch {epoch}, which nobody had claimed"
        elif nodes != {claim.incarnation.rpartition("/")[0]}:
            yield f"epoch {epoch} was claimed for {claim.incarnation}, {sorted(nodes)} acted"
    newest = Sighting("", -1, 0.0, 0.0)
    # A question asked before the answer of the newer one may have been answered before it, too.
    for each in sorted(run.sightings, key=lambda sighting: sighting.answered_s):
        if each.epoch < newest.epoch and each.asked_s > newest.answered_s:
            yield (
                f"{each.node} acted in epoch {each.epoch} after {newest.node} had "
                f"in epoch {newest.epoch}"
            )
        if each.epoch > newest.epoch:
            newest = each


def _roles_problems(roles: Sequence[ClusterRoles], claims: Mapping[int, Claim]) -> Iterator[str]:
    for before, after in pairwise(roles):
        if after.order < before.order:
            yield f"ha.roles went back from epoch {before.epoch} to {after.epoch}"
    for each in roles:
        claim = claims.get(each.epoch)
        if claim is not None and each.incarnation != claim.incarnation:
            yield f"ha.roles names {each.incarnation} in epoch {each.epoch}"


def _outbox_problems(outbox: Sequence[Item], claims: Mapping[int, Claim]) -> Iterator[str]:
    for before, after in pairwise(outbox):
        if after.order < before.order:
            yield f"an effect of epoch {after.epoch} came after one of epoch {before.epoch}"
    for epoch in sorted({each.epoch for each in outbox} - claims.keys()):
        yield f"an effect of epoch {epoch}, which nobody had claimed"
    keyed = [each for each in outbox if isinstance(each, Notice | Delivered)]
    for (kind, key), count in Counter((type(each), each.key) for each in keyed).items():
        if count > 1:
            yield f"{kind.__name__} {key} stands {count} times in the outbox"


def _history_problems(history: Sequence[Entry], claims: Mapping[int, Claim]) -> Iterator[str]:
    yield from (f"ha.history: {problem}" for problem in chain_problems(history))
    told = [int(each["offset"]) for each in history if each["is"] == "claim"]
    if told != list(claims):
        yield f"ha.history tells of the claims {told}, ha.log of {list(claims)}"
    acted = Counter(int(each["offset"]) for each in history if each["is"] == "acts")
    for epoch, count in acted.items():
        if count > 1:
            yield f"epoch {epoch} began to act {count} times"
        if epoch not in claims:
            yield f"somebody acted in epoch {epoch}, which nobody had claimed"
