"""Everything was off for three days, and the log kept less: roles resume, what is gone is named."""

import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from cli import running as home_of
from cli.broker import Broker
from cli.ports import free_port
from shared.kafka import Brokers, ensure_topics
from shared.topics import FLOWS, RATES, TOPICS
from tests import loops
from tests.faults.audit import difference, store_rows
from tests.faults.books import settle
from tests.faults.cluster import CENTRALS, Cluster, cluster_of
from tests.faults.opened import check_opened, enable
from tests.faults.system import SUMS, System, kill, running, sums_of, traffic
from tests.stopping import freeze, frozen
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow]

DEADLINE_S = 120


def test_after_three_days_off_roles_resume_and_both_count_the_same_but_for_a_named_gap(
    tmp_path: Path,
) -> None:
    with running(tmp_path / "home") as system:
        with (
            traffic(system, "--rate", "300", "--duration", "0") as sending,
            cluster_of(system, sending) as cluster,
        ):
            behind = leave_one_behind(cluster)
            whole_one = CENTRALS[behind]
            epoch = cluster.view()["epoch"]
            before = cluster.stop_sending()
            wait_counted(cluster, whole_one, before)
            # A quiet receiver writes marks: those that nobody has read are lost with the log.
            with frozen(system.processes()["receiver"]):
                wait_read(cluster, whole_one)
                cut_the_power(system)
        forget_what_is_old(system)
        https_port, kafka_port = free_port(row=2), free_port(row=2)
        assert "opens at its next start" in enable(system, https_port, kafka_port)

        system.up()
        check_opened(system, https_port, kafka_port)
        with (
            traffic(system, "--rate", "300", "--duration", "0") as sending,
            cluster_of(system, sending) as cluster,
        ):
            cluster.primary()
            assert cluster.view()["epoch"] > epoch
            assert cluster.steadflow("history", "--verify")["problems"] == []
            after = cluster.stop_sending()
            sent = {name: before[name] + after[name] for name in SUMS}
            wait_counted(cluster, whole_one, sent)
            settle(system)
            gap = lost_datagrams(cluster, behind)
            assert lost_datagrams(cluster, whole_one) == 0
        system.down()
    full, holed = (
        store_rows(system.home / name / "store", tmp_path / f"{name}.arrow")
        for name in (whole_one, behind)
    )
    assert len(full) == sent["flows"]
    missing, kept = split(full, holed)
    assert difference(kept, holed) == ""
    datagrams = missing.group_by(["stream", "datagram"]).aggregate([])
    assert 0 < len(datagrams) <= gap


def leave_one_behind(cluster: Cluster) -> str:
    """Freeze the standby once it counts, and let the other one count on; returns its name."""
    behind = CENTRALS[cluster.primary()]
    wait_until(
        lambda: (counted(cluster, behind) or {"flows": 0})["flows"] > 300, "flows", DEADLINE_S
    )
    pid = cluster.pid(behind)
    assert pid is not None
    freeze(pid)
    other = CENTRALS[behind]
    seen = (counted(cluster, other) or {"flows": 0})["flows"]
    wait_until(
        lambda: (counted(cluster, other) or {"flows": 0})["flows"] > seen + 600, "more", DEADLINE_S
    )
    return behind


def counted(cluster: Cluster, central: str) -> dict[str, int] | None:
    return sums_of(cluster.get(cluster.url(central) + "/api/v1/totals"))


def wait_counted(cluster: Cluster, central: str, sent: dict[str, int]) -> None:
    wait_until(lambda: counted(cluster, central) == sent, f"{central} counts all", DEADLINE_S)


def wait_read(cluster: Cluster, central: str) -> None:
    """Return once a central has read all that there is."""

    def lags() -> bool:
        nodes = {node["name"]: node for node in cluster.view()["nodes"]}
        return bool(nodes[central]["lag_records"])

    # What the decoder has in hand comes first, and what a heartbeat says is as old as its tick.
    cluster.wait_ticks(5)
    wait_until(lambda: not lags(), f"{central} has read all", DEADLINE_S)


def lost_datagrams(cluster: Cluster, central: str) -> int:
    """Return what a central says was gone from the log before it read it."""
    answer = cluster.get(cluster.url(central) + "/api/v1/totals")
    assert answer is not None
    return int(answer["losses"].get("log_gap", {"datagrams": 0})["datagrams"])


def cut_the_power(system: System) -> None:
    """Kill the launcher, and with it everything."""
    facts = home_of.read(system.home)
    assert facts is not None
    kill(int(facts["pid"]))
    assert home_of.wait_released(system.home, DEADLINE_S, sleep=time.sleep)
    home_of.end_leftovers(facts)


def forget_what_is_old(system: System) -> None:
    """Do to topics what three days do: those with a retention are empty, the others stay."""
    broker = Broker.alone(system.home / "kafka", port=system.kafka_port)
    broker.start()
    try:
        loops.run(empty(broker.bootstrap_servers))
    finally:
        broker.stop()


async def empty(servers: str) -> None:
    # Returns once all have a leader, which takes a moment after the start.
    await ensure_topics(Brokers(servers), TOPICS)
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        places = [
            TopicPartition(topic.name, number)
            for topic in (FLOWS, RATES)
            for number in range(topic.partitions)
        ]
        # -1: up to where each ends.
        await admin.delete_records({place: RecordsToDelete(-1) for place in places})
    finally:
        await admin.close()


def split(full: pa.Table, holed: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the rows of `full` whose datagram is not in `holed`, and the others."""
    places = [
        pc.binary_join_element_wise(
            rows["stream"].cast(pa.string()), rows["datagram"].cast(pa.string()), "/"
        )
        for rows in (full, holed)
    ]
    is_there = pc.is_in(places[0], value_set=places[1].combine_chunks())
    return full.filter(pc.invert(is_there)), full.filter(is_there)
