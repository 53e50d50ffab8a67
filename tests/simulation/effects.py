"""What a central of the world commits, once it may act."""

from collections.abc import Callable

from services.central.roles.outbox import Notice
from shared.kafka import Fenced
from shared.roles.acting import Phase, Step
from shared.roles.cluster import ClusterRoles
from shared.testing.memory_broker import MemoryProducer
from tests.simulation.central import TO_ACT, Beliefs, Central
from tests.simulation.committed import Committed
from tests.simulation.network import Action, Network

ITEM_MS = 500
"""An effect is owed so often; its key is the number of the interval, whoever is primary."""
LOOK_MS = 150
TIMEOUT_MS = 1_500
STOPPED_BEFORE_SENDING = 0.05
ANNOUNCEMENT = -1


class Effects:
    """One transaction after another; says what came of it by `step_done`, `fail` and `drive`."""

    step_done: Callable[[Central, Step, int], None]
    fail: Callable[[Central, int], None]
    drive: Callable[[Central], None]

    def __init__(self, network: Network, committed: Committed, beliefs: Beliefs) -> None:
        self._network = network
        self._committed = committed
        self._beliefs = beliefs

    def begin(self, central: Central, promotion: int) -> None:
        """Commit what is owed; for as long as this promotion lasts."""
        network, state = self._network, central.acting
        if state.promotion != promotion or state.phase not in TO_ACT:
            return
        if not self._beliefs.may_act(central):
            network.later(LOOK_MS, central, self.begin, central, promotion)
            return
        self._beliefs.see_overlap(central)
        key = self._owed_key(central) if state.phase is Phase.ACTING else ANNOUNCEMENT
        if key is None:
            wait_ms = ITEM_MS - network.now_ms % ITEM_MS + network.draw(0, LOOK_MS)
            network.later(wait_ms, central, self.begin, central, promotion)
            return
        central.pending = key
        item = self._announced(central) if key == ANNOUNCEMENT else self._noticed(central, key)
        held_ms = self._stop_before_sending(central)
        central.pending_until_ms = network.now_ms + held_ms + TIMEOUT_MS
        if held_ms:
            network.at(held_ms, self._send, central, central.life, central.producer, key, item)
        else:
            self._send(central, central.life, central.producer, key, item)

    def _owed_key(self, central: Central) -> int | None:
        last = self._network.now_ms // ITEM_MS
        known = central.known_keys
        if len(known) == last + 1:
            return None
        return next((key for key in range(last + 1) if key not in known), None)

    def _announced(self, central: Central) -> ClusterRoles:
        return ClusterRoles(generation=1, epoch=central.acting.epoch, primary=central.name)

    def _noticed(self, central: Central, key: int) -> Notice:
        now_ms = self._network.now_ms
        return Notice(
            generation=1, epoch=central.acting.epoch, decided_ms=now_ms, key=str(key), text="due"
        )

    def _stop_before_sending(self, central: Central) -> int:
        """Stop a process between its check and the send, as any can be; 0 mostly."""
        network = self._network
        if not network.is_lossy or network.random() > STOPPED_BEFORE_SENDING:
            return 0
        held_ms = network.draw(500, 6_000)
        central.pause(network.lasts(network.now_ms + held_ms))
        return held_ms

    def _send(
        self,
        central: Central,
        life: int,
        producer: MemoryProducer | None,
        key: int,
        item: Notice | ClusterRoles,
    ) -> None:
        if central.life == life and central.alive:
            incarnation = central.acting.incarnation
            commit = (self._commit, central, life, producer, incarnation, key, item)
            self._network.reaches(central, *commit)

    def _commit(
        self,
        central: Central,
        life: int,
        producer: MemoryProducer,
        incarnation: str,
        key: int,
        item: Notice | ClusterRoles,
    ) -> None:
        """Commit one transaction, where it reaches the broker."""
        try:
            self._committed.commit(producer, incarnation, item)
        except Fenced:
            answer: tuple[Action, *tuple[object, ...]] = (self._refused, central)
        else:
            answer = (self._confirmed, central, item.epoch, key)
        if central.life == life:
            self._network.answer(central, *answer)

    def _confirmed(self, central: Central, epoch: int, key: int) -> None:
        central.has_acted = True
        state = central.acting
        if key != ANNOUNCEMENT:
            central.known_keys.add(key)
        if central.pending != key:
            return
        central.pending = None
        if key == ANNOUNCEMENT and state.epoch == epoch:
            self.step_done(central, Step.ANNOUNCE, state.promotion)
        self.drive(central)
        self.begin(central, central.acting.promotion)

    def _refused(self, central: Central) -> None:
        self.fail(central, central.acting.promotion)

    def see_timeout(self, central: Central) -> None:
        if central.pending is not None and self._network.now_ms >= central.pending_until_ms:
            self.fail(central, central.acting.promotion)
