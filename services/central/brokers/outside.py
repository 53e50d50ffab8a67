"""What is risky about a Kafka of the user's own, which is left as it is; pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final

from shared.membership import IN_SYNC_MIN, Copies
from shared.topics import FLOWS, TOPICS, Topic

TRANSACTIONS: Final = "__transaction_state"
UNCLEAN: Final = "unclean.leader.election.enable"
RETENTION: Final = "retention.ms"
CLEANUP: Final = "cleanup.policy"
ASKED: Final = (IN_SYNC_MIN, UNCLEAN, RETENTION, CLEANUP)
"""Settings of topics, in Kafka's own names."""
OURS: Final = (*(topic.name for topic in TOPICS), TRANSACTIONS)
_NAMED_MAX: Final = 3
_HOUR_MS: Final = 3_600_000

Settings = Mapping[str, Mapping[str, str]]
"""By topic."""


def risks(copies: Iterable[Copies], settings: Settings) -> list[str]:
    """Return a sentence for each thing that may cost data or stop the system. copies: of `OURS`."""
    held: dict[str, int] = {}
    for each in copies:
        held[each.topic] = min(held.get(each.topic, len(each.replicas)), len(each.replicas))
    in_sync = {name: int(found.get(IN_SYNC_MIN, 1)) for name, found in settings.items()}
    alone = [name for name, count in held.items() if count == 1 and name != TRANSACTIONS]
    lax = [name for name, count in held.items() if count > 1 and in_sync.get(name, 2) < 2]
    strict = [name for name, count in held.items() if 1 < count <= in_sync.get(name, 1)]
    unclean = [name for name in held if settings.get(name, {}).get(UNCLEAN) == "true"]
    lines = []
    if alone:
        lines.append(
            f"{_named(alone)} {_has(alone)} one copy: with the broker that holds it the system "
            "stops, and loses what that disk loses; give three"
        )
    if held.get(TRANSACTIONS) == 1:
        lines.append(
            f"{TRANSACTIONS} has one copy: without the broker that holds it nobody can act; give "
            "three"
        )
    if lax:
        lines.append(
            f"{IN_SYNC_MIN} of {_named(lax)} is 1: what a single broker acknowledged is lost with "
            "it; set 2 where there are three copies"
        )
    if strict:
        lines.append(
            f"{IN_SYNC_MIN} of {_named(strict)} is as many as there are copies: nothing is written "
            "while one broker is away"
        )
    if unclean:
        lines.append(
            f"{UNCLEAN} of {_named(unclean)} is true: an election may take back what was "
            "acknowledged; set false"
        )
    for topic in TOPICS:
        if topic.name in held and topic.name in settings:
            lines += _of_topic(topic, settings[topic.name])
    return lines


def _of_topic(topic: Topic, found: Mapping[str, str]) -> list[str]:
    lines = []
    wanted = topic.configs
    cleanup = found.get(CLEANUP, wanted[CLEANUP])
    if set(cleanup.split(",")) != set(wanted[CLEANUP].split(",")):
        lines.append(
            f"{CLEANUP} of {topic.name} is {cleanup}, not {wanted[CLEANUP]}: it loses what it must "
            "keep, or grows without end"
        )
    kept_ms = int(found.get(RETENTION, wanted[RETENTION]))
    wanted_ms = int(wanted[RETENTION])
    # Where only compacted, age deletes nothing.
    if "delete" not in cleanup or kept_ms == wanted_ms:
        return lines
    kept = f"{topic.name} is kept {_said(kept_ms)}, not {_said(wanted_ms)}"
    if kept_ms != -1 and (wanted_ms == -1 or kept_ms < wanted_ms):
        lines.append(f"{kept}: {_LOSES.get(topic.name, 'what is older is missed by its readers')}")
    elif topic.name == FLOWS.name:
        lines.append(
            f"{kept}: it must end before raw rows are dropped, or what is read again after a loss "
            "of the metadata database counts twice"
        )
    return lines


_LOSES: Final = {
    FLOWS.name: "a standby that was away for longer copies the primary anew, and an outage of all "
    "centrals for longer loses flows",
    "ha.log": "a system that was off for longer does not know who was primary; set -1",
    "ha.history": "decisions are lost, and with them the proof that none was changed; set -1",
}


def _named(topics: Collection[str]) -> str:
    names: Sequence[str] = sorted(topics)
    if len(names) <= _NAMED_MAX:
        return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    return f"{', '.join(names[: _NAMED_MAX - 1])} and {len(names) - _NAMED_MAX + 1} more"


def _has(topics: Collection[str]) -> str:
    return "has" if len(topics) == 1 else "have"


def _said(kept_ms: int) -> str:
    if kept_ms == -1:
        return "for ever"
    if kept_ms < _HOUR_MS:
        return f"for {timedelta(milliseconds=kept_ms)}"
    return f"for {kept_ms / _HOUR_MS:,.0f} h"
