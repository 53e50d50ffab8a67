"""One central of the world, and whether two of them believe that they may act."""

from collections.abc import Collection
from dataclasses import dataclass, field

from shared.roles.acting import Acting, Phase, Step, may_act
from shared.testing.memory_broker import MemoryProducer
from tests.simulation.committed import Violation
from tests.simulation.flows import Store
from tests.simulation.network import Network, Process

TO_ACT = (Phase.ANNOUNCING, Phase.ACTING)


@dataclass(slots=True, eq=False)
class Central(Process):
    """Acts when it may.

    place: of the next record of `ha.log`. number: of its last heartbeat. busy: the step that was
    taken last, its promotion and epoch. acts_in: the promotion that began to commit. pending: the
    key that is on its way. rate, skew_s: of its clock.
    """

    acting: Acting = field(default_factory=lambda: Acting(""))
    place: int = 0
    is_reading: bool = False
    number: int = 0
    producer: MemoryProducer | None = None
    busy: tuple[Step, int, int] | None = None
    acts_in: int = 0
    pending: int | None = None
    pending_until_ms: int = 0
    known_keys: set[int] = field(default_factory=set)
    has_acted: bool = False
    rate: float = 1.0
    skew_s: float = 0.0
    store: Store = field(default_factory=lambda: Store("", trims=True))

    def clock_s(self, now_ms: int) -> float:
        return now_ms / 1000 * self.rate + self.skew_s


class Beliefs:
    """Nobody else may believe that it may act; a lease, not the fence, is what is seen here."""

    def __init__(self, network: Network, centrals: list[Central], without: Collection[str]) -> None:
        self._network = network
        self._centrals = centrals
        self._has_lease = "lease" not in without
        self._has_barrier = "barrier" not in without

    def may_act(self, central: Central) -> bool:
        if not self._has_lease:
            return True
        if not self._has_barrier:
            # The lease would keep it from what the barrier is for.
            return central.acting.phase in TO_ACT
        return may_act(central.acting, central.clock_s(self._network.now_ms))

    def see_overlap(self, central: Central) -> None:
        """Called after whatever may begin or prolong a belief. Raises Violation."""
        if not self._has_barrier or not self._is_acting(central):
            return
        for other in self._centrals:
            if other is not central and self._is_acting(other):
                raise Violation(f"{other.acting.incarnation} and {central.acting.incarnation} act")

    def _is_acting(self, central: Central) -> bool:
        return (
            central.acting.phase is Phase.ACTING
            and central.alive
            and self._network.now_ms >= central.paused_until_ms
            and self.may_act(central)
        )
