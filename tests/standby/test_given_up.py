"""A snapshot that is refused, damaged or too old: another one is asked for, or a person is told."""

import asyncio
from pathlib import Path

import pytest

from services.standby.app import build
from services.standby.copying import GIVEN_UP_MAX
from services.standby.joining import (
    Event,
    Joining,
    Phase,
    SnapshotLost,
    SnapshotMade,
    TooOld,
    Work,
    began_again,
    evolve,
    from_json,
    owed,
    to_json,
)
from services.standby.step_errors import StepFailed, StepRefused
from services.standby.steps import Steps
from tests.standby.small_centrals import SmallCentral, running
from tests.standby.small_primary import MADE_AT_MS, URL, SmallPrimary

pytestmark = pytest.mark.usefixtures("measured")
ASKING = Joining(phase=Phase.ASKING)
BY_URL = "store or metadata are on a server by URL: make that server's own backup"
DAY_MS = 24 * 3_600_000


def one() -> SmallCentral:
    return SmallCentral("central-a", SmallPrimary({"metadata.db": b"a" * 500}), epoch=1)


async def done(steps: Steps, joining: Joining) -> Event:
    return await steps.do(owed(joining), joining, lambda event: None)


async def test_a_refusal_for_good_ends_the_join_with_its_sentence(tmp_path: Path) -> None:
    a = one()
    async with running(tmp_path, a) as cluster:
        a.primary.status, a.primary.said = 409, BY_URL
        agent = build(cluster.config)
        agent.joining = ASKING
        agent_runs = asyncio.create_task(agent.run())
        async with asyncio.timeout(30):
            while not agent.joining.is_stuck:
                await asyncio.sleep(0.01)
        agent_runs.cancel()

    assert agent.joining.problem == f"the primary refuses: {BY_URL}"
    assert a.asked == ["POST /api/v1/snapshots"]


@pytest.mark.parametrize("status", [400, 401, 403, 409])
async def test_so_it_does_while_it_copies(status: int, tmp_path: Path) -> None:
    a = one()
    async with running(tmp_path, a) as cluster:
        a.primary.status = status
        joining = evolve(ASKING, SnapshotMade(URL, MADE_AT_MS, a.url))
        with pytest.raises(StepRefused, match="no, as told"):
            await done(cluster.steps(), joining)


async def test_a_refusal_that_passes_is_tried_again(tmp_path: Path) -> None:
    a = one()
    async with running(tmp_path, a) as cluster:
        a.primary.status, a.primary.later = 409, True
        with pytest.raises(StepFailed, match="no, as told"):
            await done(cluster.steps(), ASKING)
        # So is one that is gone before it was whole: its central began again.
        a.primary.status, a.primary.states = 200, ["making", "gone"]
        with pytest.raises(StepFailed, match="gave up the snapshot"):
            await done(cluster.steps(), ASKING)
        # So is one that could not be made.
        a.primary.states = ["failed"]
        with pytest.raises(StepFailed, match="a reason"):
            await done(cluster.steps(), ASKING)


async def test_a_damaged_snapshot_is_released_and_another_one_asked_for(tmp_path: Path) -> None:
    a = one()
    async with running(tmp_path, a) as cluster:
        a.primary.damages = {"metadata.db"}
        joining = ASKING
        for given_up in range(1, GIVEN_UP_MAX):
            joining = evolve(joining, await done(cluster.steps(), joining))
            event = await done(cluster.steps(), joining)
            assert isinstance(event, SnapshotLost)
            joining = began_again(from_json(to_json(evolve(joining, event))))
            assert (joining.phase, joining.given_up) == (Phase.ASKING, given_up)
            assert len(a.primary.released) == given_up - 1
        joining = evolve(joining, await done(cluster.steps(), joining))
        with pytest.raises(StepRefused, match=rf"3 snapshots in a row .* the disk of {a.url}"):
            await done(cluster.steps(), joining)
        assert len(a.primary.released) == GIVEN_UP_MAX - 1

        a.primary.damages = set()
        joining = evolve(joining, await done(cluster.steps(), joining))

    assert (joining.phase, joining.given_up) == (Phase.RESTORING, 0)


async def test_a_snapshot_is_as_old_as_its_primary_says(tmp_path: Path) -> None:
    a = one()
    async with running(tmp_path, a) as cluster:
        cluster.now_ms = MADE_AT_MS + DAY_MS - 1
        joining = evolve(ASKING, await done(cluster.steps(), ASKING))
        assert joining.snapshot_ms == MADE_AT_MS
        cluster.now_ms += 1

        lost = await done(cluster.steps(), joining)
        assert isinstance(lost, SnapshotLost)
        assert (lost.is_kept, "too old" in lost.problem) == (True, True)
        # Who wants it all the same gets it.
        assert await done(cluster.steps(), joining._replace(is_forced=True)) != lost

        a.primary.made_at_ms = cluster.now_ms
        joining = evolve(joining, lost)
        joining = evolve(joining, await done(cluster.steps(), joining))

    assert (joining.phase, joining.snapshot_ms) == (Phase.COPYING, cluster.now_ms)
    assert a.primary.released == [URL]


@pytest.mark.parametrize("phase", [Phase.FOLLOWING, Phase.PROVING])
async def test_after_a_copy_that_was_too_old_none_is_asked_for_before_it_is_released(
    phase: Phase, tmp_path: Path
) -> None:
    a = one()
    async with running(tmp_path, a) as cluster:
        joining = Joining(phase=phase, snapshot=URL, snapshot_at=a.url)
        joining = evolve(joining, TooOld("too old"))._replace(phase=Phase.ASKING)
        assert owed(joining) is Work.ASK_SNAPSHOT
        await done(cluster.steps(), joining)

    assert a.asked == [f"DELETE {URL}", "POST /api/v1/snapshots"]
