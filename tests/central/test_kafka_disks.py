"""The disks with Kafka's log: said before they are full, and how far copies are, in bytes."""

import pytest

from services.central.brokers.disks import Copied, copied, last_told, low_bytes, short_disks
from services.central.brokers.growth import KeepBytes, Wish, owed
from services.central.brokers.keeper import BrokerLimits
from shared.membership import Disk
from tests.central.kafka_machines import MemoryMachines, alive, cluster, dead, without
from tests.central.test_keeper import Settings, grown, keeper, rest

GB = 10**9
FLOWS = ("flows", 0)


def disk(*, free_gb: float, of_gb: float = 100, flows_bytes: int = 0) -> Disk:
    return Disk(int(of_gb * GB), int(free_gb * GB), {FLOWS: flows_bytes, ("flows", 1): 0})


@pytest.mark.parametrize(
    ("of_gb", "low_gb"), [(4, 0.4), (20, 2), (100, 5), (4_000, 20)], ids="of {} GB".format
)
def test_what_must_be_free_grows_with_the_disk_up_to_a_days_work(
    of_gb: float, low_gb: float
) -> None:
    assert low_bytes(int(of_gb * GB)) == int(low_gb * GB)


def test_only_a_disk_that_is_nearly_full_is_named_with_its_machine() -> None:
    disks = {"m1": disk(free_gb=50), "m2": disk(free_gb=4, flows_bytes=30 * GB)}
    (machine, line), *others = short_disks(disks).items()
    assert (machine, others) == ("m2", [])
    assert "on m2 has 4.0 GB left of 100.0 GB, the log takes 30.0 GB" in line
    # Kafka before 3.3 does not tell.
    assert short_disks({"m1": Disk(-1, -1, {})}) == {}


def test_what_a_broker_told_last_is_kept_until_it_tells_again_or_is_a_member_no_more() -> None:
    full, empty = disk(free_gb=1), disk(free_gb=60)
    assert last_told({1: empty, 3: full}, {1: empty}, {1, 3}) == {1: empty, 3: full}
    assert last_told({1: empty, 3: full}, {1: empty, 3: empty}, {1, 3}) == {1: empty, 3: empty}
    assert last_told({1: empty, 3: full}, {1: empty}, {1}) == {1: empty}

    line = short_disks({"m1": empty, "m3": full}, silent={"m1", "m3"})["m3"]
    assert "on m3 had 1.0 GB left of 100.0 GB" in line
    assert "last told" in line


def test_copies_that_are_behind_are_told_in_bytes() -> None:
    facts = cluster(1, 2)
    facts = facts._replace(
        copies=tuple(
            each._replace(replicas=(1, 2)) if (each.topic, each.partition) == FLOWS else each
            for each in facts.copies
        )
    )
    disks = {1: disk(free_gb=9, flows_bytes=800), 2: disk(free_gb=9, flows_bytes=200)}

    assert copied(facts, disks) == Copied(200, 800)
    assert copied(cluster(1, 2), disks) is None
    # Of a machine that is away nothing is known.
    assert copied(dead(facts, 2), {1: disks[1]}) is None


@pytest.mark.parametrize("is_reached", [True, False], ids=["three machines", "one alone"])
async def test_a_short_disk_is_noted_and_taken_back(*, is_reached: bool) -> None:
    settings, noted = Settings(), list[str | None]()
    machines = await grown(settings)
    machines.disks = {1: disk(free_gb=50), 3: disk(free_gb=1)}
    here = keeper(machines, settings, is_reached=is_reached, noted=noted.append)

    await here.turn()
    assert "on m3 has 1.0 GB left" in (noted[-1] or "")
    assert here.sentences()[-1] == here.shown()["survives"][-1] == noted[-1]
    assert set(here.disks) == {"m1", "m3"}

    async def look() -> str | None:
        for _ in range(4):
            await here.turn()
        return noted[-1]

    # Slow, and then ended by its full disk.
    del machines.disks[3]
    assert "on m3 had 1.0 GB left" in (await look() or "")
    machines.facts_now = dead(machines.facts_now, 3)
    assert "on m3 had 1.0 GB left" in (await look() or "")
    assert here.sentences()[-1] == here.shown()["survives"][-1] == noted[-1]
    assert set(here.disks) == {"m1"}

    machines.facts_now = alive(machines.facts_now, 3)
    machines.disks[3] = disk(free_gb=60)
    assert await look() is None


async def test_of_a_machine_that_left_no_disk_is_short() -> None:
    settings, noted = Settings(), list[str | None]()
    machines = await grown(settings)
    machines.disks = {1: disk(free_gb=50), 3: disk(free_gb=1)}
    here = keeper(machines, settings, noted=noted.append)
    await here.turn()
    assert noted[-1] is not None

    machines.facts_now = without(machines.facts_now, 3)
    for _ in range(4):
        await here.turn()
    assert noted[-1] is None


async def test_the_primary_alone_limits_what_kafka_keeps_and_what_clients_read() -> None:
    settings = Settings()
    machines = await grown(settings)
    machines.facts_now = machines.facts_now._replace(bytes_kept={"flows": -1})
    limits = BrokerLimits(1, 7, flows_bytes=10 * GB)

    await rest(keeper(machines, settings, limits=limits, is_primary=False, is_reached=False))
    assert "retention.bytes" not in machines.set

    await rest(keeper(machines, settings, limits=limits, is_reached=False))
    assert machines.set["retention.bytes"] == str(5 * GB)
    assert machines.set["segment.bytes"] == str(5 * GB // 8)
    assert machines.read_bytes_per_s == 7
    assert owed(machines.facts_now, Wish(home=1, flows_bytes=10 * GB)) is None


def test_what_is_kept_stays_unless_it_is_wished() -> None:
    facts = cluster(1)._replace(bytes_kept={"flows": 5})
    assert owed(facts, Wish(home=1)) is None
    assert owed(facts, Wish(home=1, flows_bytes=10)) is None
    assert owed(facts, Wish(home=1, flows_bytes=0)) == KeepBytes(-1)
    assert owed(facts, Wish(home=1, flows_bytes=8)) == KeepBytes(4)
    assert MemoryMachines(facts).facts_now == facts
