"""Liveness and readiness of one service, and the two HTTP answers."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import APIRouter, Depends, Response


@dataclass(slots=True)
class _Loop:
    period_s: float
    turned_at_s: float


class Health:
    """What keeps a service from being ready, by name, and when its loops last turned.

    A service is ready when no condition has a reason, and live when every watched loop turned
    within its period. Safe to call from any thread: each call reads or replaces one entry.
    """

    def __init__(self, *conditions: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with every one of `conditions` unmet. clock: seconds, must not fall."""
        self._clock = clock
        self._reasons: dict[str, str | None] = dict.fromkeys(conditions, "starting")
        self._loops: dict[str, _Loop] = {}
        self._notes: dict[str, str] = {}

    def met(self, condition: str) -> None:
        """Nothing speaks against being ready on the part of `condition`."""
        self._reasons[condition] = None

    def unmet(self, condition: str, reason: str) -> None:
        """Not ready, and why: a short sentence for a person."""
        self._reasons[condition] = reason

    def note(self, about: str, text: str | None) -> None:
        """Say what is not as it should be and yet no reason not to serve; None takes it back."""
        if text is None:
            self._notes.pop(about, None)
        else:
            self._notes[about] = text

    def turned(self, loop: str, *, period_s: float = 60.0) -> None:
        """`loop` turned now; the service counts as dead when it does not again in `period_s`."""
        self._loops[loop] = _Loop(period_s, self._clock())

    @property
    def reasons(self) -> dict[str, str]:
        """Why the service is not ready, by condition; empty when it is."""
        return {name: why for name, why in list(self._reasons.items()) if why is not None}

    @property
    def conditions(self) -> dict[str, bool]:
        """Whether each condition is met."""
        return {name: why is None for name, why in list(self._reasons.items())}

    @property
    def notes(self) -> dict[str, str]:
        """What is not as it should be, beside the reasons; empty when there is nothing."""
        return dict(self._notes)

    @property
    def ready(self) -> bool:
        """Whether it may serve."""
        return not self.reasons

    @property
    def loop_ages_s(self) -> dict[str, float]:
        """Seconds since the last turn of each loop."""
        now_s = self._clock()
        return {name: now_s - loop.turned_at_s for name, loop in list(self._loops.items())}

    @property
    def stuck(self) -> dict[str, float]:
        """Seconds since the last turn of each loop that is late."""
        now = self._clock()
        ages = ((n, loop, now - loop.turned_at_s) for n, loop in list(self._loops.items()))
        return {name: round(age, 1) for name, loop, age in ages if age > loop.period_s}


def health_router(health: Health) -> APIRouter:
    """Return `/health/live` and `/health/ready`: 200, or 503 with the reasons."""

    async def readable(response: Response) -> None:
        # A page of a central that died asks the others which of them answers.
        response.headers["Access-Control-Allow-Origin"] = "*"

    router = APIRouter(prefix="/health", tags=["health"], dependencies=[Depends(readable)])

    @router.get("/live", summary="The work loops turn")
    async def live(response: Response) -> dict[str, object]:
        stuck = health.stuck
        response.status_code = 503 if stuck else 200
        return {"live": not stuck, "stuck_s": stuck}

    @router.get("/ready", summary="It may serve")
    async def ready(response: Response) -> dict[str, object]:
        reasons = health.reasons
        response.status_code = 503 if reasons else 200
        notes = health.notes
        return {"ready": not reasons, "reasons": reasons} | ({"notes": notes} if notes else {})

    return router
