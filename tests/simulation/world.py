"""Registries and centrals on a log in memory, with every fault that a seed draws.

One `World` is one schedule: discrete events in true time, ms. What the broker accepts is checked
as it happens; `Violation` names what was broken. Safeguards can be taken away, to see that the
checks find it.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from shared.roles.acting import (
    Acting,
    ActingFailed,
    HeartbeatSent,
    Phase,
    Read,
    Step,
    StepDone,
    barrier_number,
    claim_of,
    evolve,
    handover_of,
    may_act,
    owed,
)
from shared.roles.fold import START, RolesState
from shared.roles.fold import evolve as fold
from shared.roles.policy import propose
from shared.roles.records import Config, DeathNotice, Heartbeat, Record, SwitchoverRequest, Tick

PERIOD_MS = 400
K = 7
FAULTS_END_MS = 9_000
END_MS = 22_000
ITEM_MS = 500
"""An effect is owed so often; its key is the number of the interval, whoever is primary."""
ACT_MS = 150
TIMEOUT_MS = 1_500
START_AT_MS = 1_700_000_000_000

SAFEGUARDS = frozenset(
    {"fence", "barrier", "lease", "acknowledged ticks", "outbox", "incarnations", "valid ticks"}
)


class Violation(AssertionError):
    """A promise was broken."""


@dataclass(slots=True, eq=False)
class Process:
    """What registries and centrals have in common: a place in the log, and faults of their own."""

    name: str
    place: int = 0
    alive: bool = True
    life: int = 1
    paused_until_ms: int = 0
    deaf_until_ms: int = 0
    mute_until_ms: int = 0
    hung_until_ms: int = 0
    reading: bool = False
    roles: RolesState = START


@dataclass(slots=True, eq=False)
class Registry(Process):
    """Ticks and proposes."""

    ticked_at_ms: int = -10_000
    proposed_for: int = -2


@dataclass(slots=True, eq=False)
class Central(Process):
    """Acts when it may. producer: the count of `InitProducerId` calls when it took its own."""

    acting: Acting = field(default_factory=lambda: Acting(""))
    number: int = 0
    producer: int = 0
    busy: tuple[Step, int, int] | None = None
    pending: int | None = None
    known_keys: set[int] = field(default_factory=set)
    committed: bool = False
    rate: float = 1.0
    skew_s: float = 0.0


Action = Callable[[], None]


class World:
    """One schedule of faults, run to its end by `run`."""

    def __init__(
        self,
        seed: int,
        *,
        centrals: int = 2,
        registries: int = 3,
        without: str = "",
        faults: bool = True,
        hang_at_ms: int | None = None,
        silent_ms_max: int | None = None,
    ) -> None:
        """without: a safeguard to take away. faults: draw some.

        hang_at_ms: from then on the primary's reader hangs. silent_ms_max: nobody may act for so
        long at most, from the first effect on.
        """
        assert without in SAFEGUARDS | {""}
        self.rng = random.Random(seed)
        self.without = without
        self.faults = faults
        self.hang_at_ms = hang_at_ms
        self.silent_ms_max = silent_ms_max
        self.longest_silence_ms = 0
        self.now_ms = 0
        self.queue: list[tuple[int, int, Action]] = []
        self.order = 0
        self.frozen_until_ms = 0
        self.broker_step_ms = 0
        self.records: list[Record] = []
        self.append_ms: list[int] = []
        self.states: list[RolesState] = []
        self.producers = 0
        self.effects: list[tuple[int, int, str]] = []
        self.actors: dict[int, str] = {}
        self.last_effect_ms = 0
        self.registries = [Registry(f"r{i}") for i in range(registries)]
        self.centrals = [Central(chr(97 + i)) for i in range(centrals)]
        for central in self.centrals:
            self._begin_life(central)
            central.rate = self.rng.uniform(0.98, 1.02)
            central.skew_s = self.rng.uniform(-1e5, 1e5)

    def run(self) -> "World":
        """Run the schedule. Raises Violation."""
        self._append(Config(period_ms=PERIOD_MS, dead_ticks=K, hold_down_s=3.0))
        for registry in self.registries:
            self._at(self.rng.randrange(PERIOD_MS), partial(self._tick, registry))
        for central in self.centrals:
            self._at(self.rng.randrange(PERIOD_MS), partial(self._beat, central, 1))
            self._at(self.rng.randrange(ACT_MS), partial(self._act, central))
        if self.hang_at_ms is not None:
            self._at(self.hang_at_ms, self._hang_primary)
        if self.faults:
            for _ in range(self.rng.randrange(1, 6)):
                self._at(self.rng.randrange(1_000, FAULTS_END_MS), self._draw_fault)
        while self.queue:
            at_ms, _, action = heapq.heappop(self.queue)
            if at_ms > END_MS:
                break
            self.now_ms = at_ms
            action()
        self._judge()
        return self

    # The broker.

    def _at(self, delay_ms: int, action: Action) -> None:
        self.order += 1
        heapq.heappush(self.queue, (self.now_ms + delay_ms, self.order, action))

    def _reaches(self, action: Action, sender: Process, *, repeats: bool = False) -> bool:
        """Send something to the broker; False when it is lost on the way."""
        rng = self.rng
        if self.now_ms < sender.mute_until_ms:
            return False
        if self._in_faults and rng.random() < 0.03:
            return False
        delay_ms = rng.randrange(1, 12)
        if self._in_faults and rng.random() < 0.05:
            delay_ms = rng.randrange(12, 600)
        self._at(delay_ms, lambda: self._arrive(action))
        if repeats and self._in_faults and rng.random() < 0.02:
            self._at(delay_ms + rng.randrange(1, 50), lambda: self._arrive(action))
        return True

    @property
    def _in_faults(self) -> bool:
        return self.faults and self.now_ms < FAULTS_END_MS

    def _arrive(self, action: Action) -> None:
        if self.now_ms < self.frozen_until_ms:
            self._at(self.frozen_until_ms - self.now_ms + self.rng.randrange(3), action)
        else:
            action()

    def _append(self, record: Record) -> None:
        append_ms = START_AT_MS + self.now_ms + self.broker_step_ms
        before = self.states[-1] if self.states else START
        if isinstance(record, Heartbeat) and self.without == "acknowledged ticks":
            record = _with_all_ticks(record, before)
        if isinstance(record, Tick) and self.without == "valid ticks":
            append_ms = (before.last_tick_ms or append_ms) + PERIOD_MS
        self.states.append(fold(before, record, offset=len(self.records), append_ms=append_ms))
        self.records.append(record)
        self.append_ms.append(append_ms)
        for process in (*self.registries, *self.centrals):
            self._read_soon(process)

    def _read_soon(self, process: Process) -> None:
        if not process.reading and process.alive:
            process.reading = True
            self._at(self.rng.randrange(1, 10), lambda: self._read(process, process.life))

    def _commit(self, central: Central, producer: int, epoch: int, key: int, life: int) -> None:
        """One transaction reaches the coordinator."""
        if self.without != "fence" and producer != self.producers:
            self._answer(central, life, lambda: self._refused(central))
            return
        incarnation = f"{central.name}/{life}"
        if self.effects and epoch < self.effects[-1][0]:
            raise Violation(f"an effect of epoch {epoch} after one of {self.effects[-1][0]}")
        if self.actors.setdefault(epoch, incarnation) != incarnation:
            raise Violation(f"epoch {epoch}: {self.actors[epoch]} and {incarnation} act")
        if self.effects:
            silence_ms = self.now_ms - self.last_effect_ms
            self.longest_silence_ms = max(self.longest_silence_ms, silence_ms)
        self.effects.append((epoch, key, incarnation))
        self.last_effect_ms = self.now_ms
        self._answer(central, life, lambda: self._committed(central, key))

    # The processes.

    def _answer(self, process: Process, life: int, action: Action) -> None:
        """Let the broker's answer reach a process, if it still lives that life."""
        self._at(self.rng.randrange(1, 8), lambda: self._deliver(process, life, action))

    def _deliver(self, process: Process, life: int, action: Action) -> None:
        if self.now_ms >= process.deaf_until_ms:
            self._wake(process, life, action)

    def _wake(self, process: Process, life: int, action: Action) -> None:
        """Let a process do something of its own, once it is not stopped."""
        if process.life != life or not process.alive:
            return
        if self.now_ms < process.paused_until_ms:
            self._at(
                process.paused_until_ms - self.now_ms, lambda: self._wake(process, life, action)
            )
            return
        action()

    def _read(self, process: Process, life: int) -> None:
        """Read all the log has; a hung reader, a pause or a cut wire delays it."""
        if process.life != life:
            return
        until_ms = max(process.paused_until_ms, process.deaf_until_ms, process.hung_until_ms)
        until_ms = max(until_ms, self.frozen_until_ms)
        if self.now_ms < until_ms:
            self._at(until_ms - self.now_ms + 1, lambda: self._read(process, life))
            return
        process.reading = False
        end = len(self.records)
        if isinstance(process, Central):
            for place in range(process.place, end):
                event = Read(self.records[place], self.states[place])
                process.acting = evolve(process.acting, event)
            process.roles = process.acting.roles
        else:
            process.roles = self.states[end - 1]
        process.place = end
        if isinstance(process, Central):
            self._drive(process)
        elif isinstance(process, Registry):
            self._propose(process)

    def _tick(self, registry: Registry) -> None:
        """Sleep P after each tick, and skip one's own when somebody else's was just seen."""
        self._at(PERIOD_MS + self.rng.randrange(8), lambda: self._tick(registry))
        if not registry.alive or self.now_ms < registry.paused_until_ms:
            return
        last_ms = registry.roles.last_tick_ms
        seen_ms = START_AT_MS + self.now_ms + self.broker_step_ms - (last_ms or 0)
        if 0 <= seen_ms < PERIOD_MS * 0.9:
            return
        self._reaches(lambda: self._append(Tick(registry.name)), registry, repeats=True)

    def _propose(self, registry: Registry) -> None:
        if self.now_ms < registry.paused_until_ms:
            return
        claim = propose(registry.roles, by=registry.name)
        if claim is not None and registry.proposed_for != registry.roles.ticks:
            registry.proposed_for = registry.roles.ticks
            self._reaches(lambda: self._append(claim), registry)

    def _clock_s(self, central: Central) -> float:
        return self.now_ms / 1000 * central.rate + central.skew_s

    def _beat(self, central: Central, life: int) -> None:
        if central.life != life:
            return
        if self.now_ms < central.paused_until_ms:
            self._at(central.paused_until_ms - self.now_ms, lambda: self._beat(central, life))
            return
        self._at(PERIOD_MS, lambda: self._beat(central, life))
        self._send_heartbeat(central)

    def _send_heartbeat(self, central: Central) -> None:
        central.number += 1
        state = central.acting
        heartbeat = Heartbeat(
            node=central.name,
            incarnation=state.incarnation,
            epoch=state.roles.epoch,
            acknowledged_ticks=state.roles.ticks,
            number=central.number,
            priority=ord(central.name),
            lag_s=0.0,
            has_acted=central.committed,
            barrier=barrier_number(state),
        )
        central.committed = False
        central.acting = evolve(state, HeartbeatSent(central.number, self._clock_s(central)))
        self._reaches(lambda: self._append(heartbeat), central, repeats=True)

    def _drive(self, central: Central) -> None:
        """Take the step that is owed, once per promotion, phase and epoch."""
        state = central.acting
        step = owed(state)
        key = (step, state.promotion, state.roles.epoch)
        if step in (Step.NOTHING, Step.ACT) or key == central.busy:
            return
        central.busy = key
        promotion, life = state.promotion, central.life
        match step:
            case Step.SEND_BARRIER:
                self._send_heartbeat(central)
                # Lost ones are followed by those of the period.
            case Step.INITIALISE:
                central.pending = None
                held_ms = self._stop_before_initialising(central)
                self._at(
                    held_ms,
                    lambda: self._ask(
                        central, promotion, lambda: self._initialise(central, promotion, life)
                    ),
                )
            case Step.CATCH_UP:
                self._step_done(central, step, promotion)
            case Step.READ_OUTBOX:
                if self.without != "outbox":
                    central.known_keys = {key for _, key, _ in self.effects}
                self._step_done(central, step, promotion)
            case Step.ANNOUNCE:
                self._step_done(central, step, promotion)
            case Step.FLUSH:
                if central.pending is None:
                    self._step_done(central, step, promotion)
                else:
                    central.busy = None
            case Step.HAND_OVER:
                record = handover_of(state)
                self._ask(central, promotion, lambda: self._append(record))
            case Step.CLAIM:
                claim = claim_of(state)
                self._reaches(lambda: self._append(claim), central)
                self._at(TIMEOUT_MS, partial(self._again, central, central.life))
            case Step.BE_REBORN:
                self._begin_life(central)
            case _:
                raise AssertionError(step)

    def _again(self, central: Central, life: int) -> None:
        """Take the step once more that is still owed: its record may be lost."""
        if central.life == life and central.alive:
            central.busy = None
            self._drive(central)

    def _stop_before_initialising(self, central: Central) -> int:
        """Stop a process that has read its claim, long enough for another one; 0 mostly.

        Its reader is slower still: it learns of the other one only after it has its producer.
        """
        if not self._in_faults or self.rng.random() > 0.15:
            return 0
        held_ms = self.rng.randrange(3_000, 6_000)
        central.paused_until_ms = max(central.paused_until_ms, self.now_ms + held_ms)
        central.hung_until_ms = central.paused_until_ms + self.rng.randrange(1_000)
        return held_ms

    def _ask(self, central: Central, promotion: int, action: Action) -> None:
        """Send what must arrive: without it the promotion has failed."""
        if not self._reaches(action, central):
            life = central.life
            self._at(
                TIMEOUT_MS,
                lambda: self._wake(central, life, lambda: self._fail(central, promotion)),
            )

    def _initialise(self, central: Central, promotion: int, life: int) -> None:
        self.producers += 1
        producer = self.producers

        def taken() -> None:
            central.producer = producer
            self._step_done(central, Step.INITIALISE, promotion)

        self._answer(central, life, taken)
        self._at(
            TIMEOUT_MS,
            lambda: self._wake(
                central, life, lambda: self._fail_still(central, promotion, Phase.INITIALISING)
            ),
        )

    def _step_done(self, central: Central, step: Step, promotion: int) -> None:
        before = central.acting.phase
        central.acting = evolve(central.acting, StepDone(step, promotion))
        if self.without == "barrier" and central.acting.phase is Phase.BARRIER:
            central.acting = central.acting._replace(phase=Phase.CATCHING_UP)
        if central.acting.phase is not before:
            self._drive(central)

    def _fail(self, central: Central, promotion: int) -> None:
        central.pending = None
        central.acting = evolve(central.acting, ActingFailed(promotion))
        self._drive(central)

    def _fail_still(self, central: Central, promotion: int, phase: Phase) -> None:
        if central.acting.phase is phase:
            self._fail(central, promotion)

    def _act(self, central: Central) -> None:
        self._at(ACT_MS, lambda: self._act(central))
        if (
            not central.alive
            or self.now_ms < central.paused_until_ms
            or central.pending is not None
        ):
            return
        state = central.acting
        if state.phase is not Phase.ACTING or not self._may_act(central):
            return
        self._see_overlap(central)
        key = self.now_ms // ITEM_MS
        key = next((k for k in range(key + 1) if k not in central.known_keys), key + 1)
        if key > self.now_ms // ITEM_MS:
            return
        central.pending = key
        producer, epoch, life, promotion = (
            central.producer,
            state.epoch,
            central.life,
            state.promotion,
        )
        # Stopped between the check and the send, as any process can be.
        held_ms = (
            self.rng.randrange(500, 6_000) if self._in_faults and self.rng.random() < 0.03 else 0
        )
        if held_ms:
            central.paused_until_ms = max(central.paused_until_ms, self.now_ms + held_ms)
        self._at(held_ms, lambda: self._send_effect(central, producer, epoch, key, life))
        self._at(
            held_ms + TIMEOUT_MS,
            lambda: self._wake(
                central, life, lambda: self._outcome_unknown(central, key, promotion)
            ),
        )

    def _send_effect(
        self, central: Central, producer: int, epoch: int, key: int, life: int
    ) -> None:
        if central.life == life and central.alive:
            self._reaches(lambda: self._commit(central, producer, epoch, key, life), central)

    def _may_act(self, central: Central) -> bool:
        if self.without == "lease":
            return True
        if self.without == "barrier":
            return central.acting.phase is Phase.ACTING
        return may_act(central.acting, self._clock_s(central))

    def _see_overlap(self, central: Central) -> None:
        """Nobody else may believe that it may act; a lease, not the fence, is what is seen here."""
        if self.without == "barrier":
            return
        for other in self.centrals:
            if other is central or not other.alive or self.now_ms < other.paused_until_ms:
                continue
            if other.acting.phase is Phase.ACTING and self._may_act(other):
                raise Violation(f"{other.acting.incarnation} and {central.acting.incarnation} act")

    def _committed(self, central: Central, key: int) -> None:
        central.known_keys.add(key)
        central.committed = True
        if central.pending == key:
            central.pending = None
        self._drive(central)

    def _refused(self, central: Central) -> None:
        self._fail(central, central.acting.promotion)

    def _outcome_unknown(self, central: Central, key: int, promotion: int) -> None:
        if central.pending == key and central.acting.promotion == promotion:
            self._fail(central, promotion)

    def _begin_life(self, central: Central) -> None:
        """Be somebody else, at the same place in the log, with nothing in hand."""
        if central.acting.incarnation:
            central.life += 1
        name = f"{central.name}/{central.life if self.without != 'incarnations' else 1}"
        central.acting = Acting(name, roles=central.acting.roles)
        central.pending = central.busy = None
        central.known_keys = set()
        central.number = 0
        central.reading = False
        if central.life > 1:
            life = central.life
            self._at(self.rng.randrange(PERIOD_MS), lambda: self._beat(central, life))
            self._read_soon(central)

    # Faults.

    def _draw_fault(self) -> None:
        rng = self.rng
        process = rng.choice([*self.centrals, *self.centrals, *self.registries])
        length_ms = rng.choice([200, 800, 2_000, 4_000, 7_000])
        until_ms = min(self.now_ms + length_ms, FAULTS_END_MS + 1_000)
        match rng.randrange(9):
            case 0 | 1:
                self._kill(process, rng.randrange(50, 2_500))
            case 2:
                process.paused_until_ms = max(process.paused_until_ms, until_ms)
            case 3:
                process.mute_until_ms = until_ms
            case 4:
                process.deaf_until_ms = until_ms
            case 5:
                process.hung_until_ms = until_ms
            case 6:
                self.frozen_until_ms = max(self.frozen_until_ms, until_ms)
            case 7:
                if self.broker_step_ms == 0:
                    self.broker_step_ms = rng.choice([-3_600_000, -300, 300, 3_600_000])
            case _:
                to = rng.choice(["", rng.choice(self.centrals).name])
                self._append(SwitchoverRequest(to, "person"))

    def _hang_primary(self) -> None:
        for central in self.centrals:
            if central.acting.incarnation == self.states[-1].holder:
                central.hung_until_ms = END_MS

    def _kill(self, process: Process, down_ms: int) -> None:
        if not process.alive:
            return
        process.alive = False
        process.reading = False
        if isinstance(process, Central):
            incarnation = process.acting.incarnation
            if self.rng.random() < 0.6:
                notice = DeathNotice(incarnation, "supervisor")
                self._at(
                    self.rng.randrange(5, 60), lambda: self._arrive(lambda: self._append(notice))
                )
        self._at(down_ms, lambda: self._restart(process))

    def _restart(self, process: Process) -> None:
        process.alive = True
        if isinstance(process, Central):
            self._begin_life(process)
        else:
            self._read_soon(process)

    # The judgement.

    def _judge(self) -> None:
        keys = [key for _, key, _ in self.effects]
        if len(keys) != len(set(keys)):
            raise Violation(f"effects twice: {sorted(k for k in set(keys) if keys.count(k) > 1)}")
        if END_MS - self.last_effect_ms > 2 * ITEM_MS:
            raise Violation(f"nobody acts since {self.last_effect_ms} ms")
        if self.silent_ms_max is not None and self.longest_silence_ms > self.silent_ms_max:
            raise Violation(f"nobody acted for {self.longest_silence_ms} ms")
        wanted = set(range(min(keys, default=0), END_MS // ITEM_MS - 2))
        if missing := wanted - set(keys):
            raise Violation(f"effects missing: {sorted(missing)}")


def _with_all_ticks(heartbeat: Heartbeat, state: RolesState) -> Heartbeat:
    fields = {name: getattr(heartbeat, name) for name in Heartbeat.__dataclass_fields__}
    return Heartbeat(**fields | {"acknowledged_ticks": state.ticks})
