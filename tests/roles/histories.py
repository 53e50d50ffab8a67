"""A log of roles in memory, and histories of it drawn at random."""

import random
from dataclasses import dataclass, field

from shared.roles.fold import START, RolesState, evolve
from shared.roles.records import (
    Claim,
    Config,
    DeathNotice,
    Departure,
    Handover,
    Heartbeat,
    Record,
    Snapshot,
    SwitchoverRequest,
    Tick,
)
from shared.roles.snapshot import snapshot_of

PERIOD_MS = 400
NODES = ("a", "b", "c")


@dataclass
class RolesLog:
    """Appends records and folds them; the broker's clock is `now_ms`."""

    now_ms: int = 1_700_000_000_000
    records: list[tuple[Record, int]] = field(default_factory=list)
    states: list[RolesState] = field(default_factory=list)

    @property
    def state(self) -> RolesState:
        return self.states[-1] if self.states else START

    def append(self, *records: Record) -> RolesState:
        for record in records:
            state = evolve(self.state, record, offset=len(self.records), append_ms=self.now_ms)
            self.records.append((record, self.now_ms))
            self.states.append(state)
        return self.state

    def tick(self, count: int = 1, *, beating: tuple[str, ...] = ()) -> RolesState:
        """Append valid ticks, each answered by the nodes that are `beating`."""
        for _ in range(count):
            self.now_ms += PERIOD_MS
            self.append(Tick("r1"))
            for node in beating:
                self.beat(node)
        return self.state

    def beat(self, node: str, **more: object) -> RolesState:
        fields: dict[str, object] = {
            "node": node,
            "incarnation": f"{node}/1",
            "epoch": self.state.epoch,
            "acknowledged_ticks": self.state.ticks,
            "priority": NODES.index(node) if node in NODES else 100,
            "lag_s": 0.0,
        } | more
        return self.append(Heartbeat(**fields))  # type: ignore[arg-type]  # keywords of a test

    def claim(self, node: str, **more: object) -> RolesState:
        fields: dict[str, object] = {
            "incarnation": f"{node}/1",
            "expected_epoch": self.state.epoch,
            "reason": "test",
            "by": "r1",
        } | more
        return self.append(Claim(**fields))  # type: ignore[arg-type]  # keywords of a test


def started(*nodes: str, primary: str = "a", **config: object) -> RolesLog:
    """Return a log in which `primary` holds the role, and all `nodes` were just heard."""
    log = RolesLog()
    log.append(Config(period_ms=PERIOD_MS, **config))  # type: ignore[arg-type]  # keywords of a test
    log.tick(2, beating=nodes)
    log.claim(primary)
    return log


def random_history(rng: random.Random, *, records: int = 200) -> RolesLog:
    """Return a log of records that make sense at their place more often than not."""
    log = RolesLog()
    silent: set[str] = set()
    if rng.random() < 0.9:
        log.append(Config(period_ms=PERIOD_MS, hold_down_s=rng.choice([0.0, 5.0])))
    lives = dict.fromkeys(NODES, 1)
    while len(log.records) < records:
        state = log.state
        node = rng.choice(NODES)
        other = rng.choice(NODES)
        mine = f"{node}/{lives[node]}"
        draw = rng.random()
        if draw < 0.45:
            log.now_ms += rng.choice([0, 200, PERIOD_MS, PERIOD_MS, PERIOD_MS, 500, -10_000])
            log.append(Tick(rng.choice(["r1", "r2", "r3"])))
        elif draw < 0.75:
            if node not in silent:
                behind = rng.choice([0, 0, 0, 1, 3, 9, -1])
                log.beat(
                    node,
                    incarnation=mine,
                    acknowledged_ticks=max(0, state.ticks - behind),
                    has_acted=rng.random() < 0.3,
                    is_fit=rng.random() < 0.9,
                )
        elif draw < 0.80:
            silent ^= {node}
        elif draw < 0.88:
            log.append(
                Claim(
                    incarnation=mine,
                    expected_epoch=state.epoch - (rng.random() < 0.1),
                    reason="random",
                    by="r1",
                    is_forced=rng.random() < 0.1,
                )
            )
        elif draw < 0.92:
            holder = state.holder if rng.random() < 0.8 else mine
            log.append(Handover(holder, f"{other}/{lives[other]}"))
        elif draw < 0.94:
            log.append(DeathNotice(mine, "r1"))
            lives[node] += rng.random() < 0.9
        elif draw < 0.96:
            log.append(SwitchoverRequest(other, "someone"))
        elif draw < 0.965:
            log.append(Departure(other, "someone"))
            lives[other] += rng.random() < 0.9
        elif draw < 0.98:
            log.append(
                Config(
                    period_ms=PERIOD_MS,
                    dead_ticks=rng.choice([7, 7, 8]),
                    hold_down_s=rng.choice([0.0, 5.0]),
                    is_paused=rng.random() < 0.2,
                )
            )
        else:
            log.append(snapshot_of(state) if state.offset >= 0 else Snapshot(0, 0, ""))
    return log
