"""Centrals of the world: each does what `shared.roles.acting` says it owes."""

from collections.abc import Collection

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
    owed,
)
from shared.roles.records import Heartbeat
from shared.testing.memory_broker import MemoryProducer
from tests.simulation.central import Beliefs, Central
from tests.simulation.committed import TRANSACTIONAL_ID, Committed
from tests.simulation.effects import TIMEOUT_MS, Effects
from tests.simulation.flows import Collectors, Store
from tests.simulation.network import Action, Network
from tests.simulation.roles_log import PERIOD_MS, RolesLog

STOPPED_BEFORE_INITIALISING = 0.15


class Centrals:
    """reads_all: a standby folds also what can change nothing for it."""

    def __init__(
        self,
        network: Network,
        log: RolesLog,
        committed: Committed,
        collectors: Collectors,
        without: Collection[str],
        *,
        count: int,
        reads_all: bool,
    ) -> None:
        self._network = network
        self._log = log
        self._committed = committed
        self._collectors = collectors
        self._without = without
        self._reads_all = reads_all
        self.all = [Central(chr(97 + number)) for number in range(count)]
        self._beliefs = Beliefs(network, self.all, without)
        self._effects = Effects(network, committed, self._beliefs)
        self._effects.drive, self._effects.fail = self._drive, self._fail
        self._effects.step_done = self._step_done
        self._by_name = {central.name: central for central in self.all}
        for central in self.all:
            central.store = Store(central.name, trims="trimming" not in without)
            central.rate = 0.98 + 0.04 * network.random()
            central.skew_s = 2e5 * network.random() - 1e5
            self._begin_life(central)

    # Reading.

    def look(self) -> None:
        """Let those read soon to whom the last record may matter; others read when they beat."""
        concern = self._log.concerns[-1]
        if concern is None:
            for central in self.all:
                self._read_soon(central)
        elif concern:
            central = self._by_name[concern[0]]
            if central.acting.phase is not Phase.STANDBY:
                self._read_soon(central)

    def _read_soon(self, central: Central) -> None:
        if not central.is_reading and central.alive:
            central.is_reading = True
            delay_ms = 1 + int(self._network.random() * 9)
            self._network.at(delay_ms, self._read, central, central.life)

    def _read(self, central: Central, life: int) -> None:
        if central.life != life:
            return
        network = self._network
        if not network.can_read(central):
            network.at(network.sees_again_in_ms(central), self._read, central, life)
            return
        central.is_reading = False
        self._follow(central)

    def _follow(self, central: Central) -> None:
        """Fold all that the log has, and take the step that is owed then."""
        log, acting = self._log, central.acting
        end = len(log.states)
        for place in range(central.place, end):
            if place < end - 1 and not self._reads_all:
                concern = log.concerns[place]
                is_standby = acting.phase is Phase.STANDBY
                if concern is not None and (is_standby or concern != acting.incarnation):
                    continue
            stored = log.topic.records[place]
            assert stored is not None
            acting = evolve(acting, Read(stored.value, log.states[place]))
        central.acting, central.place = acting, end
        if acting.phase is not Phase.STANDBY:
            self._beliefs.see_overlap(central)
        self._drive(central)

    # Heartbeats.

    def _beat(self, central: Central, life: int) -> None:
        network = self._network
        if central.life != life or not central.alive:
            return
        if network.now_ms < central.paused_until_ms:
            network.at(central.paused_until_ms - network.now_ms, self._beat, central, life)
            return
        network.at(PERIOD_MS, self._beat, central, life)
        if network.can_read(central):
            central.store.project(self._collectors.flows, writes_hint=network.random() < 0.5)
            self._follow(central)
        if central.life == life:
            self._effects.see_timeout(central)
            self._send_heartbeat(central)

    def _send_heartbeat(self, central: Central) -> None:
        network, state = self._network, central.acting
        central.number += 1
        heartbeat = Heartbeat(
            node=central.name,
            incarnation=state.incarnation,
            epoch=state.roles.epoch,
            acknowledged_ticks=state.roles.ticks,
            number=central.number,
            priority=ord(central.name),
            lag_s=0.0,
            has_acted=central.has_acted,
            barrier=barrier_number(state),
        )
        central.has_acted = False
        central.acting = evolve(
            state, HeartbeatSent(central.number, central.clock_s(network.now_ms))
        )
        network.reaches(central, self._log.append, heartbeat, repeats=True)

    # Steps.

    def _drive(self, central: Central) -> None:
        """Take the step that is owed, once per promotion, phase and epoch."""
        state = central.acting
        step = owed(state)
        if step is Step.NOTHING or step is Step.ACT:
            return
        taken = (step, state.promotion, state.roles.epoch)
        if taken == central.busy:
            return
        central.busy = taken
        network, promotion = self._network, state.promotion
        match step:
            case Step.SEND_BARRIER:
                # One that is lost is followed by those of the period.
                self._send_heartbeat(central)
            case Step.INITIALISE:
                central.pending = None
                held_ms = self._stop_before_initialising(central)
                ask = (self._initialise, central, central.life, promotion)
                network.later(held_ms, central, self._ask, central, *ask)
            case Step.CATCH_UP:
                central.store.project(self._collectors.flows, writes_hint=False)
                self._step_done(central, step, promotion)
            case Step.READ_OUTBOX:
                if "outbox" not in self._without:
                    central.known_keys = {int(key) for key in self._committed.outbox.known}
                self._step_done(central, step, promotion)
            case Step.ANNOUNCE:
                if central.acts_in != promotion:
                    central.acts_in = promotion
                    self._effects.begin(central, promotion)
            case Step.FLUSH:
                if central.pending is None:
                    self._step_done(central, step, promotion)
                else:
                    central.busy = None
            case Step.HAND_OVER:
                self._ask(central, self._log.append, handover_of(state))
            case Step.CLAIM:
                network.reaches(central, self._log.append, claim_of(state))
                network.later(TIMEOUT_MS, central, self._take_again, central)
            case Step.BE_REBORN:
                self._begin_life(central)
            case _:
                raise AssertionError(step)

    def _take_again(self, central: Central) -> None:
        """Take the step once more that is still owed: its record may be lost."""
        central.busy = None
        self._drive(central)

    def _stop_before_initialising(self, central: Central) -> int:
        """Stop a process that has read its claim, long enough for another one; 0 mostly.

        Its reader is slower still: it learns of the other one only after it has its producer.
        """
        network = self._network
        if not network.is_lossy or network.random() > STOPPED_BEFORE_INITIALISING:
            return 0
        held_ms = network.draw(3_000, 6_000)
        central.pause(network.lasts(network.now_ms + held_ms))
        central.hang(network.lasts(central.paused_until_ms + network.draw(0, 1_000)))
        return held_ms

    def _ask(self, central: Central, action: Action, *arguments: object) -> None:
        """Send what must arrive: without it the promotion has failed."""
        if not self._network.reaches(central, action, *arguments):
            promotion = central.acting.promotion
            self._network.later(TIMEOUT_MS, central, self._fail, central, promotion)

    def _initialise(self, central: Central, life: int, promotion: int) -> None:
        producer = self._committed.broker.init_producer(TRANSACTIONAL_ID)
        if central.life != life:
            return
        self._network.answer(central, self._initialised, central, promotion, producer)
        self._network.later(TIMEOUT_MS, central, self._initialise_failed, central, promotion)

    def _initialised(self, central: Central, promotion: int, producer: MemoryProducer) -> None:
        central.producer = producer
        self._step_done(central, Step.INITIALISE, promotion)

    def _initialise_failed(self, central: Central, promotion: int) -> None:
        if central.acting.phase is Phase.INITIALISING:
            self._fail(central, promotion)

    def _step_done(self, central: Central, step: Step, promotion: int) -> None:
        before = central.acting.phase
        central.acting = evolve(central.acting, StepDone(step, promotion))
        if "barrier" in self._without and central.acting.phase is Phase.BARRIER:
            central.acting = central.acting._replace(phase=Phase.CATCHING_UP)
        if central.acting.phase is not before:
            self._drive(central)

    def _fail(self, central: Central, promotion: int) -> None:
        if promotion != central.acting.promotion:
            return
        central.pending = None
        central.acting = evolve(central.acting, ActingFailed(promotion))
        self._drive(central)

    # Lives.

    def killed(self, central: Central) -> None:
        central.store.killed()

    def restarted(self, central: Central) -> None:
        self._begin_life(central)

    def _begin_life(self, central: Central) -> None:
        """Be somebody else, at the same place in the log, with nothing in hand."""
        if central.acting.incarnation:
            central.life += 1
        name = f"{central.name}/{central.life if 'incarnations' not in self._without else 1}"
        central.acting = Acting(name, roles=central.acting.roles)
        central.pending = central.busy = central.producer = None
        central.known_keys = set()
        central.number = central.acts_in = 0
        central.is_reading = False
        network = self._network
        network.at(network.draw(0, PERIOD_MS), self._beat, central, central.life)
        if central.life > 1:
            self._read_soon(central)
