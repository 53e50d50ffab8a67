"""Live rates of a whole running system: a killed decoder and a killed central change no window."""

import json
import signal
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.faults.system import System, kill, traffic
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow]

CENTRALS = ("central-a", "central-b")
DEADLINE_S = 240
LONGEST_S = 300


def live(system: System, central: str, **query: str) -> dict[str, Any]:
    answer = system.ask(central, "/api/v1/live", **query)
    return {} if answer is None else dict(answer)


def is_live(system: System, central: str) -> bool:
    return bool(live(system, central).get("state") == "live")


def flows(answer: dict[str, Any]) -> int:
    """Return the flows of the longest window, over all exporters."""
    totals: list[float] = [
        row["flows_per_s"]
        for row in answer.get("rows", [])
        if (row["interface"], row["direction"], row["window_s"]) == (None, "in", LONGEST_S)
    ]
    return round(sum(totals) * LONGEST_S)


def killed(system: System, role: str) -> None:
    """`kill -9` one process, and wait until another one has its place."""
    (before,) = system.processes()[role]
    kill(before)
    wait_until(lambda: system.processes()[role] not in ([], [before]), f"{role} again", DEADLINE_S)


def test_killed_decoders_and_a_killed_central_change_no_window(system: System) -> None:
    wait_until(lambda: all(is_live(system, each) for each in CENTRALS), "live", DEADLINE_S)
    with traffic(system, "--rate", "500", "--duration", "0") as process:
        wait_until(lambda: flows(live(system, "central-b")) > 0, "rates", DEADLINE_S)
        for _ in range(2):
            killed(system, "decoder")
        process.send_signal(signal.SIGTERM)
        sent = json.loads(process.communicate(timeout=60)[0])["flows"]
    wait_until(
        lambda: flows(live(system, "central-b")) == sent, "the window holds what was sent", 120
    )
    killed(system, "central-a")
    wait_until(lambda: is_live(system, "central-a"), "central-a is back", DEADLINE_S)

    at = datetime.fromtimestamp(time.time() - 3, UTC).isoformat()
    answers = [live(system, central, at=at, limit="10000") for central in CENTRALS]

    assert flows(answers[0]) > 0
    assert answers[0]["rows"] == answers[1]["rows"]
    assert answers[0]["left_out"] == 0
