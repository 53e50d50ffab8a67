"""A cluster whose log is in memory: what the API needs of a registry."""

from collections.abc import Callable
from dataclasses import dataclass, field

from shared.kafka import KafkaAway
from shared.roles.cluster import ClusterRoles
from shared.roles.fold import RolesState
from shared.roles.history import Entry
from shared.roles.records import Record
from shared.roles.view import Alarm, cluster_alarms
from tests.roles.histories import RolesLog


@dataclass
class MemoryCluster:
    """Folds at once what is appended. react: what the others then do about it."""

    log: RolesLog
    react: Callable[[Record], object] = lambda record: None
    trouble: str = ""
    roles: ClusterRoles | None = None
    name: str = "r1"
    is_away: bool = False
    entries: list[Entry] = field(default_factory=list)

    @property
    def state(self) -> RolesState:
        return self.log.state

    @property
    def alarms(self) -> list[Alarm]:
        return cluster_alarms(self.state, self.roles)

    @property
    def appended(self) -> int:
        return len(self.log.records)

    async def append(self, record: Record) -> None:
        if self.is_away:
            raise KafkaAway("no broker answers")
        self.log.append(record)
        self.react(record)

    async def until(self, holds: Callable[[], bool], *, timeout_s: float) -> bool:
        return holds()

    async def history(self) -> tuple[list[Entry], list[str]]:
        return self.entries, ["something is wrong"]
