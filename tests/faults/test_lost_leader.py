"""With three brokers one may die, also the one that leads the log by which roles are decided."""

import time
from itertools import pairwise
from pathlib import Path

import pytest

from shared.topics import HA_LOG
from tests.faults.cluster import CENTRALS, cluster_of
from tests.faults.system import running, traffic
from tests.faults.three_brokers import three_brokers
from tests.faults.watch import Watch

TICKS_BEFORE = 30
"""Three brokers and two centrals that start are the busiest time of all: it is over by then."""
TICKS_AFTER = 15
"""Twice K: whoever lost its role by the pause would have been replaced."""


@pytest.mark.kafka
@pytest.mark.faults
@pytest.mark.slow
def test_roles_stay_when_the_leader_of_their_log_is_killed(tmp_path: Path) -> None:
    with (
        three_brokers(tmp_path) as kafka,
        running(tmp_path / "home", bootstrap_servers=kafka.quorum.bootstrap_servers) as system,
        traffic(system, "--rate", "200", "--duration", "0", "--templates", "once") as sending,
        cluster_of(system, sending) as cluster,
    ):
        cluster.primary()
        cluster.wait_ticks(TICKS_BEFORE)
        primary = cluster.primary()
        epoch = cluster.view()["epoch"]
        leader = kafka.leader(HA_LOG.name)
        with Watch({central: cluster.url(central) for central in CENTRALS}) as watch:
            killed_s = time.monotonic()
            kafka.brokers[leader].kill()
            cluster.wait_ticks(TICKS_AFTER)
            assert cluster.primary() == primary
            pause_s = longest_pause_s([each.answered_s for each in watch.sightings], killed_s)
        print(f"\n  node {leader} led {HA_LOG.name}; nobody acted for {pause_s:.2f} s")
        assert kafka.leader(HA_LOG.name) != leader
        assert cluster.view()["epoch"] == epoch
        assert {each.node for each in watch.sightings} == {primary}
        cluster.wait_counted(cluster.stop_sending())


def longest_pause_s(answered_s: list[float], since_s: float) -> float:
    times = [since_s, *(at_s for at_s in answered_s if at_s > since_s)]
    return max(after - before for before, after in pairwise(times))
