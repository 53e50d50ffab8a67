"""What this central is now, and whether it may write for the cluster."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from shared.roles import acting as roles_of_one
from shared.roles.acting import Acting, Event, Phase, Read, may_act
from shared.roles.fold import RolesState


class Progress(NamedTuple):
    """How the projection stands. lag_s: None while unknown."""

    position: int
    lag_records: int | None
    lag_s: float | None
    is_fit: bool


class NotPrimary(Exception):
    """This central may not write for the cluster; `url` is where the primary answers, or empty."""

    def __init__(self, reason: str, url: str = "") -> None:
        """reason: a short sentence."""
        super().__init__(reason)
        self.url = url


@dataclass(frozen=True, slots=True)
class Clocks:
    """wall_ms: UTC. boot_s: never stops, also while the machine sleeps (`CLOCK_BOOTTIME`)."""

    wall_ms: Callable[[], int]
    boot_s: Callable[[], float]


class Role:
    """The one place where this central's state in `shared.roles.acting` stands."""

    def __init__(self, node: str, *, boot_id: str, clocks: Clocks) -> None:
        """boot_id: of the first incarnation; one at random when empty."""
        self.node = node
        self.clocks = clocks
        self.acting = Acting(self._new_incarnation(boot_id))
        self._past: Acting | None = None

    @property
    def state(self) -> RolesState:
        """The fold of the log, as far as it was read."""
        return self.acting.roles

    @property
    def may_act(self) -> bool:
        """Whether an effect may be tried at this moment."""
        return may_act(self.acting, self.clocks.boot_s())

    @property
    def is_primary(self) -> bool:
        """Whether this central acts at this moment: the role, and a lease that has not ended."""
        return self.acting.phase is Phase.ACTING and self.may_act

    @property
    def is_holder(self) -> bool:
        """Whether the log gives the role to this central, though it may not act yet."""
        return self.state.holder == self.acting.incarnation

    @property
    def primary(self) -> str:
        """The node of the holder of the role; empty without one."""
        holder = self.state.members.get(self.state.holder)
        return "" if holder is None else holder.node

    @property
    def primary_url(self) -> str:
        """Where the holder of the role answers; empty without one."""
        holder = self.state.members.get(self.state.holder)
        return "" if holder is None else holder.url

    def note(self, event: Event) -> None:
        """Fold one event."""
        self.acting = roles_of_one.evolve(self.acting, event)

    def note_past(self, record: Read) -> None:
        """Fold what stands in the log before its end; nobody sees it before `arrive`.

        Who was the primary once shall not be asked, nor be told, while there is more to read.
        """
        self._past = roles_of_one.evolve(self._past or self.acting, record)

    def arrive(self) -> None:
        """The log was read to its end: what was noted of its past holds."""
        self.acting, self._past = self._past or self.acting, None

    def be_reborn(self) -> None:
        """Go on as a new incarnation: the one before was seen to end."""
        self.acting = Acting(self._new_incarnation(), roles=self.state)

    def begin_again(self) -> None:
        """Forget the log that was: what is held by it is held no more."""
        self._past = None
        self.acting = Acting(self._new_incarnation())

    def not_primary(self) -> NotPrimary:
        """Return why nothing may be written now."""
        if self.is_holder:
            return NotPrimary("this central is about to act, try again in a moment")
        if not self.primary_url:
            return NotPrimary("there is no primary now")
        return NotPrimary("this central is not the primary", self.primary_url)

    def _new_incarnation(self, boot_id: str = "") -> str:
        return f"{self.node}/{boot_id or secrets.token_hex(4)}"
