"""Faults with a name, each on registries and centrals of their own: who acts, and nobody twice.

One stand serves all of them, in this order; the last test reads the whole run.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

import httpx
import psutil
import pytest

from shared.kafka import Brokers
from shared.parent import die_with_parent
from tests.faults import skewed_central
from tests.faults.checker import accepted_claims, problems
from tests.faults.proxy import Direction
from tests.faults.recorder import Recorder, recording
from tests.faults.stand import REGISTRY, Stand, stand
from tests.faults.system import STEADFLOW
from tests.faults.watch import Watch
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow]

A, B = "central-a", "central-b"
DEADLINE_S = 120
K = 7
PERIOD_MS = 800
"""Twice what is usual: beside other tests' systems a machine may stand still for some 3 s, and who
is to keep its role here would lose it by that."""
SKEW_S = 300
BUSY_LOOP = "import time\nend = time.monotonic() + {seconds}\nwhile time.monotonic() < end: pass"


@dataclass
class Scene:
    """The stand, and what is written down about it."""

    stand: Stand
    recorder: Recorder

    def epoch(self) -> int:
        view = self.stand.get(REGISTRY, "/api/v1/cluster")
        assert view is not None
        return int(view["epoch"])

    def ticks(self) -> int:
        """Return how many valid ticks the registry has folded; the recorder may be behind."""
        page = self.stand.client.get(self.stand.url(REGISTRY) + "/metrics").text
        line = next(
            each for each in page.splitlines() if each.startswith("steadflow_registry_valid_ticks ")
        )
        return int(float(line.split()[1]))

    def wait_ticks(self, count: int) -> None:
        before = self.ticks()
        wait_until(lambda: self.ticks() >= before + count, f"{count} ticks", DEADLINE_S)

    def switch_over(self, to: str) -> None:
        """Make `to` the primary, once it could be."""
        self.stand.wait_standby(to)
        answer = self.stand.ask_switchover(to)
        assert answer.status_code == 200, answer.text
        self.stand.wait_acts(to)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with stand(tmp_path_factory.mktemp("scenarios")) as made:
        # A second one claims for the same node at the same moment.
        for registry in (REGISTRY, "registry-2"):
            made.start_registry(registry, period_ms=PERIOD_MS)
        made.start_central(A, bootstrap_servers=made.through_proxy)
        made.start_central(B, priority=110)
        wait_until(lambda: made.get(REGISTRY, "/api/v1/cluster") is not None, "it answers")
        with recording(Brokers(made.broker.bootstrap_servers)) as recorder:
            yield Scene(made, recorder)


@pytest.fixture(scope="module")
def watch(scene: Scene) -> Iterator[Watch]:
    urls = {central: scene.stand.url(central) for central in (A, B)}
    with Watch(urls) as made:
        yield made


def test_both_started_at_once_on_an_empty_log_one_claim_is_accepted(
    scene: Scene, watch: Watch
) -> None:
    primary = watch.wait_for_one(deadline_s=DEADLINE_S)
    scene.stand.wait_standby({A: B, B: A}[primary])
    scene.wait_ticks(K)
    wait_until(lambda: watch.actors() == [primary], "it alone is seen to act", DEADLINE_S)
    assert list(accepted_claims(list(scene.recorder.log))) == [scene.epoch()]


@pytest.mark.parametrize("direction", list(Direction))
def test_cut_off_from_the_broker_in_one_direction_it_is_replaced_and_stops(
    scene: Scene, watch: Watch, direction: Direction
) -> None:
    if not scene.stand.acts(A):
        scene.switch_over(A)
    scene.stand.wait_standby(B)
    scene.stand.proxy.cut(direction)
    try:
        watch.wait_for(B, after_s=0.0, deadline_s=DEADLINE_S)
        wait_until(lambda: watch.actors() == [B], "it alone is seen to act", DEADLINE_S)
    finally:
        scene.stand.proxy.cut()
    scene.stand.wait_standby(A)
    scene.wait_ticks(K)
    wait_until(lambda: watch.actors() == [B], "it alone is seen to act", DEADLINE_S)


def test_a_slow_link_to_the_broker_costs_nobody_the_role(scene: Scene, watch: Watch) -> None:
    if not scene.stand.acts(A):
        scene.switch_over(A)
    epoch = scene.epoch()
    scene.stand.proxy.delay(0.1)
    try:
        scene.wait_ticks(2 * K)
        assert scene.epoch() == epoch
        watch.wait_for(A, after_s=0.0, deadline_s=DEADLINE_S)
    finally:
        scene.stand.proxy.delay(0.0)


def test_two_processes_of_one_name_are_an_alarm_and_one_acts(scene: Scene, watch: Watch) -> None:
    scene.stand.wait_standby(B)
    epoch = scene.epoch()

    def alarms() -> str:
        view = scene.stand.get(REGISTRY, "/api/v1/cluster")
        return "" if view is None else " ".join(view["alarms"])

    scene.stand.start_central("second", called=B, priority=120)
    wait_until(lambda: "have one name: central-b/" in alarms(), "an alarm", DEADLINE_S)
    scene.wait_ticks(K)
    wait_until(lambda: watch.actors() == [A], "it alone is seen to act", DEADLINE_S)
    assert scene.epoch() == epoch
    assert not scene.stand.acts("second")

    # Silence of one is not hidden by the other, and the first one can take over as ever.
    scene.stand.end("second")
    wait_until(lambda: "have one name" not in alarms(), "the alarm is over", DEADLINE_S)
    scene.switch_over(B)
    wait_until(lambda: watch.actors() == [B], "it alone is seen to act", DEADLINE_S)


def test_a_primary_starved_of_cpu_is_never_doubled(scene: Scene, watch: Watch) -> None:
    core = min(os.sched_getaffinity(0))
    scene.stand.wait_standby(A)
    with starved(psutil.Process(scene.stand.pid(B)), core, loops=8, seconds=20):
        scene.wait_ticks(2 * K)
    # Whoever acts by now; that nobody was doubled is read from the whole run.
    watch.wait_for_one(deadline_s=DEADLINE_S)
    # Only root could take its niceness back, so it is not used any more.
    scene.stand.end(B)
    watch.wait_for(A, after_s=0.0, deadline_s=DEADLINE_S)


@contextmanager
def starved(victim: psutil.Process, core: int, *, loops: int, seconds: int) -> Iterator[None]:
    """One process and its threads of the lowest priority on one core with busy loops."""
    for thread in victim.threads():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(thread.id, {core})
            os.setpriority(os.PRIO_PROCESS, thread.id, 19)
    load = [
        subprocess.Popen(
            [sys.executable, "-c", BUSY_LOOP.format(seconds=seconds)],
            preexec_fn=partial(on_core, core, os.getpid()),
        )
        for _ in range(loops)
    ]
    try:
        yield
    finally:
        for each in load:
            each.kill()
            each.wait()


def on_core(core: int, parent: int) -> None:
    die_with_parent(parent)
    os.sched_setaffinity(0, {core})


def test_reports_a_scan_and_freezing_for_a_backup_cost_nobody_the_role(
    scene: Scene, watch: Watch
) -> None:
    made = scene.stand
    made.start_collector()
    made.start_central("busy", module="tests.faults.busy_central", priority=90)
    watch.add("busy", made.url("busy"))
    scene.switch_over("busy")
    epoch = scene.epoch()
    with subprocess.Popen(
        [*STEADFLOW, "traffic", "--to", f"127.0.0.1:{made.udp_port}", "--rate", "2000",
         "--duration", "10"], stdout=subprocess.DEVNULL
    ) as sending:  # fmt: skip
        rounds = made.log("busy").count("busy rounds")
        heavy = 0
        while sending.poll() is None:
            heavy += heaviest_report(made, "busy")
        assert sending.wait() == 0
    wait_until(lambda: made.log("busy").count("busy rounds") > rounds + 2, "scans", DEADLINE_S)
    print(f"\n  {heavy} reports, {made.log('busy').count('busy rounds') - rounds} rounds")
    assert heavy > 0
    assert scene.epoch() == epoch
    made.wait_acts("busy")
    made.end("busy")
    made.wait_acts(A)


def heaviest_report(made: Stand, central: str) -> bool:
    """Ask for everything by everything; whether it was answered."""
    try:
        answer = httpx.get(
            made.url(central) + "/api/v1/reports/top",
            params={"by": "conversation", "limit": "1000"},
            timeout=30,
            trust_env=False,
        )
    except httpx.HTTPError:
        return False
    return answer.status_code == 200


def test_a_clock_five_minutes_off_changes_nothing(scene: Scene, watch: Watch) -> None:
    made = scene.stand
    made.start_central(
        "skewed",
        module="tests.faults.skewed_central",
        env={skewed_central.VARIABLE: str(SKEW_S)},
        priority=90,
    )
    watch.add("skewed", made.url("skewed"))
    scene.switch_over("skewed")
    epoch = scene.epoch()
    scene.wait_ticks(2 * K)
    assert (scene.epoch(), made.acts("skewed")) == (epoch, True)
    scene.switch_over(A)
    scene.switch_over("skewed")
    made.end("skewed")
    made.wait_acts(A)


def test_after_all_this_no_role_was_ever_doubled(scene: Scene, watch: Watch) -> None:
    scene.recorder.end()
    run = scene.recorder.recorded(list(watch.sightings))
    assert problems(run) == []
    # That a clock was off indeed: times for people are of whoever writes them.
    acted = [each for each in run.history if each["is"] == "acts"]
    skewed_ms = next(each["at_ms"] for each in acted if each["primary"] == "skewed")
    assert skewed_ms - acted[-1]["at_ms"] > (SKEW_S - DEADLINE_S) * 1000
