"""Every Kafka topic: key, partitions, retention, cleanup, largest message, timestamp type."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, NamedTuple

MESSAGE_BYTES_MAX = 1_048_588
"""Kafka's own default for a topic; `flow_message.MESSAGE_BYTES` stays well below."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as `create_topics` makes it.

    retention: None keeps records for ever (or until compacted).
    compacted: the last record of each key is kept; no longer than retention, where there is one.
    append_time: timestamps are the broker's (`LogAppendTime`), so an hour-old spool is not
        deleted early.
    others: further settings, in Kafka's own names.
    """

    name: str
    key: str
    partitions: int
    retention: timedelta | None
    compacted: bool = False
    append_time: bool = False
    message_bytes_max: int = MESSAGE_BYTES_MAX
    why: str = ""
    others: Mapping[str, str] = field(default_factory=dict)

    @property
    def cleanup(self) -> str:
        """How Kafka clears the topic: `compact`, `delete`, or both."""
        if not self.compacted:
            return "delete"
        return "compact" if self.retention is None else "compact,delete"

    @property
    def configs(self) -> dict[str, str]:
        """The topic's settings in Kafka's own names."""
        timestamps: Literal["LogAppendTime", "CreateTime"]
        timestamps = "LogAppendTime" if self.append_time else "CreateTime"
        retention_ms = -1 if self.retention is None else self.retention // timedelta(milliseconds=1)
        return {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(retention_ms),
            "max.message.bytes": str(self.message_bytes_max),
            "message.timestamp.type": timestamps,
            **self.others,
        }


class Outgoing(NamedTuple):
    """One record for partition 0 of `topic`; without a value it is a tombstone."""

    topic: str
    key: bytes | None
    value: bytes | None


FLOWS = Topic(
    "flows", "worker", 4, timedelta(hours=72), append_time=True,
    why="flow records, one Arrow batch per closed range of a stream",
)  # fmt: skip
RATES = Topic(
    "rates", "worker", 4, timedelta(hours=1), append_time=True,
    why="sums of each range by exporter, interface and direction, for live rates",
)  # fmt: skip
SETTINGS = Topic(
    "settings", "kind and natural key", 1, None, compacted=True,
    why="every change of a setting; read with read_committed",
)  # fmt: skip
COLLECTORS = Topic(
    "collectors", "worker", 1, None, compacted=True,
    why="every few seconds what each worker of a collector does",
    # Only closed segments are compacted, and a central reads all there is at its start.
    others={"segment.ms": "3600000"},
)  # fmt: skip
HA_LOG = Topic(
    "ha.log", "none", 1, None, append_time=True,
    why="ticks, heartbeats, claims: who is primary is a fold over it; never deleted by age",
    # Written through to the disk: a lost tail would give an offset, so an epoch, twice.
    others={"segment.ms": "3600000", "flush.messages": "1"},
)  # fmt: skip
HA_ROLES = Topic(
    "ha.roles", "`cluster`", 1, None, compacted=True,
    why="who is primary, written by the primary; read with read_committed",
)  # fmt: skip
HA_HISTORY = Topic(
    "ha.history", "none", 1, None,
    why="every decision about roles, chained by hashes; read with read_committed",
)  # fmt: skip
OUTBOX = Topic(
    "outbox", "what it is about", 1, timedelta(days=7),
    why="effects of the primary, each stamped with its epoch; read with read_committed",
)  # fmt: skip
DIGESTS = Topic(
    "digests", "central/stream/period", 1, timedelta(days=8), compacted=True, append_time=True,
    why="what each central holds of every closed minute and hour, to be compared",
    # Only closed segments are compacted, and a central reads all there is at its start.
    others={"segment.ms": "3600000"},
)  # fmt: skip
DRILLS = Topic(
    "drills", "drill", 1, None, compacted=True,
    why="reports of failover drills, the newest 50; read with read_committed",
)  # fmt: skip
AUDIT = Topic(
    "audit", "none", 1, timedelta(days=400),
    why="who changed what, and who logged in; read with read_committed",
)  # fmt: skip

TOPICS: tuple[Topic, ...] = (
    FLOWS, RATES, SETTINGS, COLLECTORS, DIGESTS, HA_LOG, HA_ROLES, HA_HISTORY, OUTBOX, DRILLS,
    AUDIT,
)  # fmt: skip
