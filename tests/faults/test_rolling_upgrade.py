"""The release of the commit before, replaced by this one service by service, under load."""

import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.kafka import Brokers
from shared.release import RELEASE
from tests.faults.checker import accepted_claims, problems
from tests.faults.earlier_release import EARLIER, earlier_release
from tests.faults.on_its_way import nothing_on_its_way
from tests.faults.recorder import recording
from tests.faults.stand import REGISTRY, Stand, stand
from tests.faults.system import ROOT, SUMS, stop_sending, traffic_to
from tests.faults.watch import Watch
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow]

A, B, COLLECTOR = "central-a", "central-b", "collector-1"
DEADLINE_S = 120
ASKED_FOR = {"start", "switchover", "handover was not answered"}


def release_of(made: Stand, central: str) -> str | None:
    """Return which release a central says it is."""
    token = (made.folder / "token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    try:
        answer = made.client.get(made.url(central) + "/api/v1/node", headers=headers)
    except httpx.HTTPError:
        return None
    return str(answer.json()["machine"]["release"]) if answer.is_success else None


def start(made: Stand, name: str) -> None:
    """Start a service as the stand's code is now, and wait until it takes part."""
    if name == REGISTRY:
        made.start_registry()
        wait_until(lambda: made.get(name, "/api/v1/cluster") is not None, "it answers", DEADLINE_S)
    elif name == COLLECTOR:
        made.start_collector()
        wait_until(lambda: made.get(name, "/health/ready") is not None, "it receives", DEADLINE_S)
    else:
        made.start_central(name, priority=100 if name == A else 110)
        release = RELEASE if made.code == ROOT else EARLIER
        wait_until(lambda: release_of(made, name) == release, f"{name}: {release}", DEADLINE_S)


def switch_over(made: Stand, to: str) -> None:
    """Make `to` the primary; on a busy machine a handover may go unanswered, and is taken back."""
    made.wait_standby(to)
    wait_until(
        lambda: made.acts(to) or made.ask_switchover(to).status_code == 200,
        f"{to} takes the role", DEADLINE_S,
    )  # fmt: skip
    made.wait_acts(to)


def received(made: Stand) -> int:
    status = made.get(COLLECTOR, "/api/v1/status") or {"workers": [{"receiver": {}}]}
    return int(status["workers"][0]["receiver"].get("datagrams", -1))


def totals(made: Stand, central: str) -> dict[str, Any]:
    answer = made.get(central, "/api/v1/totals") or {}
    return {name: answer.get(name) for name in SUMS}


def test_each_service_in_turn_gets_the_next_release(tmp_path: Path) -> None:
    with stand(tmp_path) as made:
        made.code = earlier_release(tmp_path / "before")
        for name in (REGISTRY, COLLECTOR, A, B):
            start(made, name)
        with (
            recording(Brokers(made.broker.bootstrap_servers)) as recorder,
            traffic_to(
                made.udp_port, "--rate", "500", "--templates", "once", "--duration", "0"
            ) as sending,
            Watch({name: made.url(name) for name in (A, B)}) as watch,
        ):
            made.wait_acts(A)
            made.code = ROOT
            for name in (B, A):
                made.wait_standby(name)
                made.end(name, signal.SIGTERM)
                start(made, name)
                switch_over(made, name)
            made.end(REGISTRY, signal.SIGTERM)
            start(made, REGISTRY)
            with nothing_on_its_way(sending.pid, lambda: received(made)):
                made.end(COLLECTOR, signal.SIGTERM)
                start(made, COLLECTOR)

            sent = stop_sending(sending)
            wait_until(
                lambda: all(totals(made, name) == sent for name in (A, B)), f"{sent}", DEADLINE_S
            )
            made.wait_standby(B)
            recorder.end()
            run = recorder.recorded(list(watch.sightings))
    assert problems(run) == []
    # No restart cost anybody the role.
    assert {claim.reason for claim in accepted_claims(run.log).values()} <= ASKED_FOR
