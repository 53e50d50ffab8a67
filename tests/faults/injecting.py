"""Injects one fault into a running system, and waits until all is quiet again."""

import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from shared.token import read_token
from tests.faults.cluster import CENTRALS, DEADLINE_S, TAKEOVER_S, Cluster
from tests.faults.drawn import TAKEN_OVER, Kind
from tests.faults.measured import Injected
from tests.faults.on_its_way import nothing_on_its_way
from tests.faults.system import kill
from tests.faults.watch import Watch
from tests.stopping import frozen
from tests.waiting import wait_until

K = 7
QUIET_TICKS = K + 1
"""For so long nobody may be missed by what was frozen or away: then nothing comes of it."""
SETTLED_TICKS = 12
"""So long a central that just started is busy with that."""
FROZEN_S = 5.0
OFTEN_S = 0.03
ROLES = {"central-a", "central-b", "registry-1", "broker", "holder", "receiver", "decoder"}


@dataclass(frozen=True, slots=True)
class Injector:
    """Does what a kind says, with deadlines that only a hang meets."""

    cluster: Cluster
    watch: Watch

    def inject(self, kind: Kind) -> Injected:
        """Inject one fault; the system is quiet before and afterwards."""
        primary = self.quiet()
        before = self._epoch()
        way, _, target = kind.partition("-")
        seen_s: float | None = None
        match kind:
            case Kind.KILL_PRIMARY:
                self.cluster.wait_ticks(SETTLED_TICKS)
                seen_s = self._kill_primary(primary)
            case Kind.KILL_PRIMARY_SOON:
                seen_s = self._kill_primary(primary)
            case Kind.FREEZE_PRIMARY:
                seen_s = self._freeze_primary(primary)
            case Kind.SWITCHOVER:
                seen_s = self._switch_over(CENTRALS[primary])
            case Kind.FREEZE_PAUSED_PRIMARY:
                self._freeze_while_paused(primary)
            case _:
                role = {"standby": CENTRALS[primary], "registry": "registry-1"}.get(target, target)
                self._disturb(way, role)
        self.quiet()
        return Injected(kind, before, self._epoch(), seen_s, reasons=int(kind in TAKEN_OVER))

    def quiet(self) -> str:
        """Return who acts, once one alone does and the registry says that the other one could."""

        def found() -> bool:
            answer = self.cluster.registry("/standby")
            could = [] if answer is None else [each["name"] for each in answer["nodes"]]
            return bool(could) and [CENTRALS[actor] for actor in self.watch.actors()] == could

        wait_until(found, "one acts, the other one could", DEADLINE_S, OFTEN_S)
        return self.watch.wait_for_one(deadline_s=TAKEOVER_S)

    def _kill_primary(self, primary: str) -> float:
        pid = self._pid(primary)
        seen_s = self._until_other_acts(primary, lambda: kill(pid))
        self._wait_another(primary, pid)
        return seen_s

    def _freeze_primary(self, primary: str) -> float:
        pid = self._pid(primary)
        try:
            return self._until_other_acts(primary, lambda: kill(pid, signal.SIGSTOP))
        finally:
            kill(pid, signal.SIGCONT)

    def _switch_over(self, target: str) -> float:
        url = self.cluster.noted("registries")[0]["url"]
        token = read_token(self.cluster.system.home / "token")

        def ask() -> None:
            answer = self.cluster.client.post(
                f"{url}/switchover",
                json={"to": target},
                headers={"Authorization": f"Bearer {token}"},
                timeout=TAKEOVER_S,
            )
            assert answer.status_code == 200, answer.text

        return self._until_other_acts(CENTRALS[target], ask)

    def _until_other_acts(self, primary: str, do: Callable[[], object]) -> float:
        """Return the seconds from the fault to the other one's first yes."""
        other = CENTRALS[primary]
        at_s = time.monotonic()
        do()
        return self.watch.wait_for(other, after_s=at_s, deadline_s=TAKEOVER_S).answered_s - at_s

    def _freeze_while_paused(self, primary: str) -> None:
        self.cluster.steadflow("pause")
        try:
            with frozen([self._pid(primary)]):
                self.cluster.wait_ticks(QUIET_TICKS)
            self.quiet()
        finally:
            self.cluster.steadflow("resume")
        self.cluster.wait_ticks(QUIET_TICKS)

    def _disturb(self, way: str, role: str) -> None:
        pids = self._pids()[role]
        match way:
            case "freeze":
                with frozen(pids):
                    # Not by ticks: what is frozen may be what makes them.
                    time.sleep(FROZEN_S)
            case _:
                with self._no_datagram_on_its_way(role):
                    for pid in pids:
                        kill(pid, signal.SIGTERM if way == "restart" else signal.SIGKILL)
                    self._wait_another(role, *pids)
        self.cluster.wait_ticks(QUIET_TICKS)

    def _no_datagram_on_its_way(self, role: str) -> AbstractContextManager[None]:
        """While sockets are closed, or a read datagram is not in the spool, one would be lost."""
        if role not in ("holder", "receiver"):
            return nullcontext()
        return nothing_on_its_way(self.cluster.sending.pid, self._received)

    def _received(self) -> int:
        url = self.cluster.noted("collectors")[0]["url"]
        status = self.cluster.get(url + "/api/v1/status")
        return -1 if status is None else int(status["workers"][0]["receiver"]["datagrams"])

    def _wait_another(self, role: str, *ended: int) -> None:
        """Wait until there is another process of a role, and all others there should be."""

        def lives() -> bool:
            found = self._pids()
            return found.keys() >= ROLES and not set(ended) & set(found[role])

        wait_until(lives, f"{role} is started again", DEADLINE_S)

    def _pids(self) -> dict[str, list[int]]:
        found = self.cluster.system.processes()
        return {role: pids for role, pids in found.items() if pids}

    def _pid(self, central: str) -> int:
        pid = self.cluster.pid(central)
        assert pid is not None
        return pid

    def _epoch(self) -> int:
        return int(self.cluster.registry("/api/v1/cluster")["epoch"])
