"""The central that was joined dies, and another one acts: the agent goes on with that one."""

import asyncio
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from services.standby import kafka_here
from services.standby.centrals import NobodyActs
from services.standby.copying import GONE_S
from services.standby.joining import (
    Copied,
    Event,
    Joining,
    Phase,
    TooOld,
    Work,
    began_again,
    evolve,
    from_json,
    owed,
    to_json,
)
from services.standby.preflight import stops
from services.standby.reporting import Reporter
from services.standby.step_errors import StepFailed
from services.standby.steps import Steps
from shared.kafka import Brokers
from shared.snapshot_folder import verify
from tests.standby.small_centrals import Cluster, SmallCentral, running
from tests.standby.small_primary import URL, SmallPrimary

pytestmark = pytest.mark.usefixtures("measured")
ASKING = Joining(phase=Phase.ASKING)


def two() -> tuple[SmallCentral, SmallCentral]:
    """Return the one that was joined and acts, and another one with files of its own."""
    files_a = {"metadata.db": b"a" * 500, "store/flows/20260302_1_1_0/data.bin": b"a" * 9_000}
    files_b = {"metadata.db": b"b" * 500, "store/flows/20260302_1_2_1/data.bin": b"b" * 9_000}
    a = SmallCentral("central-a", SmallPrimary(files_a), epoch=1)
    return a, SmallCentral("central-b", SmallPrimary(files_b))


async def step(steps: Steps, joining: Joining) -> Joining:
    """Do what is owed once, as the agent does, which is killed and started again afterwards."""
    event = await steps.do(owed(joining), joining, lambda event: None)
    return began_again(from_json(to_json(evolve(joining, event))))


async def half_copied(cluster: Cluster, steps: Steps) -> Joining:
    """Return a copy from the first one that has begun when that one dies; the second one acts."""
    a, b = cluster.centrals
    joining = await step(steps, ASKING)
    assert (joining.phase, joining.snapshot_at) == (Phase.COPYING, a.url)
    a.primary.breaks_after, a.primary.breaks = 100, 1_000

    def falls_silent() -> None:
        a.primary.breaks_after = 100 if len(a.primary.asked) <= 4 else 0

    a.primary.on_asked = falls_silent
    with pytest.raises(StepFailed, match="broke off"):
        await steps.do(Work.COPY, joining, lambda event: None)
    await a.stop()
    a.epoch, b.epoch = 0, 2
    return joining


async def test_the_primary_dies_during_the_bootstrap_and_another_one_takes_over(
    tmp_path: Path,
) -> None:
    a, b = two()
    async with running(tmp_path, a, b) as cluster:
        steps = cluster.steps()
        joining = await half_copied(cluster, steps)

        with pytest.raises(StepFailed, match=f"stays so for 10 min, {b.url} is asked"):
            await steps.do(Work.COPY, joining, lambda event: None)
        cluster.time.now_s += GONE_S
        joining = await step(steps, joining)
        assert (joining.phase, joining.snapshot) == (Phase.ASKING, "")
        while joining.phase is not Phase.RESTORING:
            joining = await step(steps, joining)

    assert joining.snapshot_at == b.url
    folder = steps.central.restore_folder
    assert verify(folder) == b.primary.manifest
    assert (folder / "metadata.db").read_bytes() == b.primary.files["metadata.db"]


async def test_one_that_is_back_in_time_is_gone_on_with(tmp_path: Path) -> None:
    a, b = two()
    async with running(tmp_path, a, b) as cluster:
        steps = cluster.steps()
        joining = await half_copied(cluster, steps)
        with pytest.raises(StepFailed, match="is away"):
            await steps.do(Work.COPY, joining, lambda event: None)
        a.primary.breaks = 0
        a.primary.asked.clear()
        await a.start(cluster.files, int(a.url.rpartition(":")[2]))

        joining = await step(cluster.steps(), joining)

    assert joining.phase is Phase.RESTORING
    assert all(wanted.startswith("bytes=") for _, wanted in a.primary.asked)
    assert not any("snapshots" in path for path in b.asked)


async def test_one_that_has_the_snapshot_no_more_is_left_at_once(tmp_path: Path) -> None:
    a, b = two()
    async with running(tmp_path, a, b) as cluster:
        steps = cluster.steps()
        joining = await step(steps, ASKING)
        a.primary.status, a.epoch, b.epoch = 404, 0, 2

        joining = await step(steps, await step(steps, joining))

    assert (joining.phase, joining.snapshot_at) == (Phase.COPYING, b.url)


async def test_one_that_acts_is_found_by_what_others_name(tmp_path: Path) -> None:
    a, b = two()
    async with running(tmp_path, a, b) as cluster:
        cluster.tell(a)
        a.epoch, a.names, b.epoch = 0, b.url, 2

        steps = cluster.steps()
        found = await steps.centrals.acting()

        # Where reports go too, from then on.
        assert (found.url, b.url in steps.centrals.urls()) == (b.url, True)


async def test_of_two_that_believe_so_the_newer_one_acts(tmp_path: Path) -> None:
    a, b = two()
    async with running(tmp_path, a, b) as cluster:
        b.epoch = 2
        assert (await cluster.steps().centrals.acting()).url == b.url


async def test_while_nobody_acts_it_is_the_one_that_was_joined(tmp_path: Path) -> None:
    a, b = two()
    async with running(tmp_path, a, b) as cluster:
        a.epoch = 0
        centrals = cluster.steps().centrals
        assert (await centrals.acting()).url == a.url
        await a.stop()
        with pytest.raises(NobodyActs, match=f"of {a.url}, {b.url}, .*: start one of them"):
            await centrals.acting()


async def test_nobody_copies_its_own_store(tmp_path: Path) -> None:
    a, b = two()
    async with running(tmp_path, a, b) as cluster:
        a.epoch, b.epoch, b.name = 0, 2, cluster.config.name
        centrals = cluster.steps().centrals
        assert (await centrals.acting()).url == b.url
        assert (await centrals.to_copy()).url == a.url


async def test_one_that_was_away_too_long_asks_who_acts_now(tmp_path: Path) -> None:
    a, b = two()
    async with running(tmp_path, a, b) as cluster:
        await a.stop()
        b.epoch = 2
        # Of a release that did not note whose snapshot it was.
        content = to_json(Joining(phase=Phase.PROVING, snapshot=URL))
        del content["snapshot_at"], content["given_up"]
        joining = evolve(from_json(content), TooOld("away too long"))
        steps = cluster.steps()
        with socket.create_server(("127.0.0.1", 0)) as broker:
            cluster.tell(a, b, brokers=f"127.0.0.1:{broker.getsockname()[1]}")
            for _ in range(3):
                joining = await step(steps, joining)

    assert (joining.phase, joining.snapshot_at, joining.again) == (
        Phase.RESTORING,
        b.url,
        "away too long",
    )


async def checked(cluster: Cluster) -> list[Any]:
    return stops((await cluster.steps().check()).lines)


async def test_a_check_is_not_red_because_the_first_machine_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = two()
    place = ("127.0.0.1", 0)
    with socket.create_server(place) as living, socket.create_server(place) as closed:
        live, dead = (f"127.0.0.1:{each.getsockname()[1]}" for each in (living, closed))
        closed.close()
        async with running(tmp_path, a, b) as cluster:
            await a.stop()
            b.epoch = 2
            cluster.now_ms = time.time_ns() // 1_000_000
            cluster.tell(a, b, brokers=dead)
            (red,) = [line for line in await checked(cluster) if line.check == "reach from here"]
            assert dead in red.found
            assert a.url not in red.found

            (tmp_path / "brokers").write_text(f"{live}\n")
            assert not [line for line in await checked(cluster) if "reach" in line.check]

            # What was noted is as old as its machine was away; Kafka itself knows better.
            async def addresses(brokers: Brokers) -> list[str]:
                assert {*brokers.servers.split(",")} == {live, dead}
                return [live]

            monkeypatch.setattr(kafka_here, "broker_addresses", addresses)
            (tmp_path / "brokers").write_text(f"{dead},{live}\n")
            assert not [line for line in await checked(cluster) if "reach" in line.check]
    assert "GET /api/v1/node" in b.asked


async def test_reports_go_to_another_one_too(tmp_path: Path) -> None:
    a, b = two()
    async with running(tmp_path, a, b) as cluster:
        await a.stop()
        steps = cluster.steps()
        reporter = Reporter(
            steps.centrals.urls,
            joining=lambda: ASKING,
            name="central-c",
            copies_only=False,
            tls=steps.centrals.tls,
            token=lambda: "the-token",
            now_s=time.monotonic,
        )
        telling = asyncio.create_task(reporter.run())
        async with asyncio.timeout(30):
            while "POST /api/v1/join/progress" not in b.asked:
                await asyncio.sleep(0.01)
        telling.cancel()


def test_a_whole_copy_forgets_what_was_given_up() -> None:
    joining = Joining(phase=Phase.COPYING, given_up=2)
    events: list[Event] = [Copied(1, 2), Copied(2, 2, is_whole=True)]

    assert [evolve(joining, event).given_up for event in events] == [2, 0]
    assert began_again(joining).given_up == 2
    assert began_again(joining._replace(is_stuck=True)).given_up == 0
