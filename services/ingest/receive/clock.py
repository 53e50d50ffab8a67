"""The time of a stream: `received_at` never falls in it, and a clock step begins another stream.

Pure. A plain `max()` over wall clock readings would put 40 minutes of traffic on one instant after
a clock that ran ahead was corrected; so a step ends the stream instead of being papered over.
"""

from dataclasses import dataclass

STEP_BACK_MS = 1_000
"""Steps back up to this are held at the last `received_at`."""
DRIFT_MS = 5_000
"""How far the wall clock may move against the monotonic one between two readings."""


@dataclass(frozen=True, slots=True)
class StreamClock:
    """The last reading of both clocks in a stream, and the time its records carry.

    wall_ms: UTC since 1970. monotonic_ms: from any start. received_at_ms: never below an earlier
    one of the same stream.
    """

    wall_ms: int
    monotonic_ms: int
    received_at_ms: int


def start(wall_ms: int, monotonic_ms: int) -> StreamClock:
    """Return the clock of a stream that begins with this reading."""
    return StreamClock(wall_ms, monotonic_ms, wall_ms)


def advance(clock: StreamClock, wall_ms: int, monotonic_ms: int) -> StreamClock | None:
    """Return the clock after a reading; None when the clock was stepped: begin a new stream.

    Many small steps back end the stream too, once together they exceed `STEP_BACK_MS`.
    """
    drift_ms = (wall_ms - clock.wall_ms) - (monotonic_ms - clock.monotonic_ms)
    if abs(drift_ms) > DRIFT_MS or clock.received_at_ms - wall_ms > STEP_BACK_MS:
        return None
    return StreamClock(wall_ms, monotonic_ms, max(wall_ms, clock.received_at_ms))
