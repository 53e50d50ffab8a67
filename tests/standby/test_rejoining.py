"""A standby away longer than Kafka keeps copies anew, and keeps its store until that is whole."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.join_shown import Change, wanted
from services.central.join.machines import Report, forced_facts
from services.standby.app import build
from services.standby.central_here import CentralHere
from services.standby.config import StandbyConfig
from services.standby.joining import (
    CaughtUp,
    Checked,
    Copied,
    Event,
    Joining,
    Phase,
    Proven,
    Registered,
    Released,
    Restored,
    SnapshotMade,
    TooOld,
    Work,
    began_again,
    evolve,
    from_json,
    owed,
    to_json,
)
from services.standby.pace import Progress
from services.standby.preflight import Light, Line
from services.standby.primary import Options
from services.standby.reporting import EVERY_S, is_due, report_of
from services.standby.step_errors import StepFailed, StepRefused
from services.standby.steps import Steps
from shared.register import Address

WHY = "away for longer than Kafka keeps messages: 7 are gone that were not read yet"
FIRST: list[Event] = [
    Registered(), Checked((), 5), SnapshotMade("s1", 30_000), Copied(9, 9, is_whole=True),
    Restored(), CaughtUp(), Proven(60_000), Released(),
]  # fmt: skip
AGAIN: list[tuple[Work, Event]] = [
    (Work.CHECK, Checked((), 6)),
    (Work.ASK_SNAPSHOT, SnapshotMade("s2", 90_000)),
    (Work.COPY, Copied(9, 9, is_whole=True)),
    (Work.RESTORE, Restored()),
    (Work.FOLLOW, CaughtUp()),
    (Work.PROVE, Proven(120_000)),
]


def standing_by() -> Joining:
    joining = Joining()
    for event in FIRST:
        joining = evolve(joining, event)
    assert owed(joining) is Work.WATCH
    return joining


def test_it_goes_the_way_once_more_and_says_why() -> None:
    joining = evolve(standing_by(), TooOld(WHY))
    for work, event in AGAIN:
        joining = began_again(from_json(to_json(joining)))
        assert (joining.again, owed(joining)) == (WHY, work)
        joining = evolve(joining, event)

    assert (joining.phase, joining.again) == (Phase.STANDBY, "")


@pytest.mark.parametrize("phase", [Phase.CHECKING, Phase.COPYING, Phase.RESTORING, Phase.REFUSED])
def test_what_has_no_store_yet_or_is_at_it_already_is_not_begun_again(phase: Phase) -> None:
    joining = Joining(phase=phase)

    assert evolve(joining, TooOld(WHY)) == joining


def test_red_lines_stop_it_too() -> None:
    red = Line("disk", Light.RED, "full", "make room")

    refused = evolve(evolve(standing_by(), TooOld(WHY)), Checked((red,), 9))

    assert (refused.phase, refused.again) == (Phase.REFUSED, WHY)


def test_the_store_of_before_answers_until_the_copy_is_whole() -> None:
    joining = evolve(standing_by(), TooOld(WHY))
    changes = [wanted(to_json(joining), runs=True, is_restoring=False)]
    for _, event in AGAIN:
        before = joining.phase is Phase.RESTORING
        joining = evolve(joining, event)
        changes.append(wanted(to_json(joining), runs=True, is_restoring=before))

    # Once, with the whole copy there.
    assert [each for each in changes if each is not Change.NOTHING] == [Change.RESTART]
    assert changes[3] is Change.RESTART


def test_a_machine_started_again_meanwhile_runs_what_it_has() -> None:
    first = evolve(Joining(), Registered())
    again = evolve(standing_by(), TooOld(WHY))

    assert wanted(to_json(first), runs=False, is_restoring=False) is Change.NOTHING
    assert wanted(to_json(again), runs=False, is_restoring=False) is Change.START


def test_the_mark_is_read_and_the_replacement_is_marked(tmp_path: Path) -> None:
    here = CentralHere("http://127.0.0.1:1", name="c", data_dir=tmp_path)
    assert here.too_old() == ""

    (tmp_path / "too-old").write_text(WHY)
    here.replace_store("00c0ffee")

    assert here.too_old() == WHY
    assert (tmp_path / "replace").read_text() == "00c0ffee"


async def test_who_may_not_copy_anew_says_what_is_to_be_done(tmp_path: Path) -> None:
    config = StandbyConfig(home=tmp_path, name="c", primary="https://a:1", hosts="c", rejoins=False)
    agent = build(config)
    agent.joining = standing_by()
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "too-old").write_text(WHY)

    running = asyncio.create_task(agent.run())
    async with asyncio.timeout(30):
        while not agent.joining.is_stuck:
            await asyncio.sleep(0.01)
    running.cancel()

    assert agent.joining.phase is Phase.STANDBY
    assert agent.joining.problem == f"{WHY}; join with --rejoin to copy the primary anew"


@dataclass
class AwaySteps:
    """Steps of a machine whose primary is away. old: what its central's mark says."""

    error: Exception
    old: str = ""
    tries: int = 0

    @property
    def central(self) -> "AwaySteps":
        return self

    def too_old(self) -> str:
        return self.old

    async def do(self, *_given: object) -> Event:
        self.tries += 1
        raise self.error


@pytest.mark.parametrize("error", [StepFailed("the primary is away"), StepRefused("no key")])
async def test_a_standby_that_cannot_check_itself_goes_on_standing_by(
    tmp_path: Path, error: Exception
) -> None:
    agent = build(StandbyConfig(home=tmp_path, name="c", primary="https://a:1", hosts="c"))
    steps = AwaySteps(error)
    agent.steps = steps  # type: ignore[assignment]  # what is asked of them here
    agent.joining = standing_by()._replace(checked_ms=1)
    running = asyncio.create_task(agent.run())

    async with asyncio.timeout(30):
        while not agent.joining.problem:
            await asyncio.sleep(0.01)
        assert (agent.joining.problem, agent.joining.is_stuck) == (str(error), False)
        # It still sees that its central stands still.
        steps.old = WHY
        while agent.joining.phase is Phase.STANDBY:
            await asyncio.sleep(0.01)
    running.cancel()

    assert agent.joining.again == WHY


def test_a_copy_that_would_not_end_in_time_is_refused(tmp_path: Path) -> None:
    config = StandbyConfig(home=tmp_path, name="c", primary="https://a:1", hosts="c")
    clock = iter([0.0, 0.0, 3600.0])
    options = Options(now_s=clock.__next__)
    steps = Steps(config, Address("a", 1), now_ms=lambda: 3_600_000, options=options)
    told: list[Event] = []
    tell = steps.copies.watched(Joining(phase=Phase.COPYING), told.append)

    tell(Progress(phase="download", done_bytes=0, total_bytes=10**12))
    assert isinstance(told[0], Copied)
    with pytest.raises(StepRefused, match="would not end in time"):
        tell(Progress(phase="download", done_bytes=10**9, total_bytes=10**12))


def test_what_is_told_to_the_primary_is_what_it_takes() -> None:
    line = Line("disk", Light.AMBER, "x" * 900, "make room")
    joining = standing_by()._replace(lines=(line,), problem="y" * 900, pace="slow", eta_s=12.5)

    report = Report.model_validate(report_of(joining, name="c", copies_only=True))

    assert (report.phase, report.eta_s, report.copies_only) == ("standby", 12.5, True)
    assert report.lines[0].light == "amber"


def test_what_was_forced_is_told_until_the_primary_took_it() -> None:
    joining = standing_by()._replace(forced=("disk", "time zone"), forced_ms=1_700_000_000_000)

    def told(before: Joining | None) -> str:
        report = report_of(joining, name="c", copies_only=False, told=before)
        return forced_facts(Report.model_validate(report))

    assert told(None) == "name=c checked=2023-11-14T22:13:20.000Z forced=disk, time zone"
    assert told(standing_by()) == told(joining._replace(forced_ms=1)) == told(None)
    assert told(joining._replace(bytes_done=1)) == ""


def test_news_are_told_at_once_and_the_rest_now_and_then() -> None:
    joining = standing_by()

    assert is_due(None, joining, 0.0)
    assert is_due(joining, joining._replace(problem="no"), 0.0)
    assert not is_due(joining, joining, EVERY_S - 1)
    assert is_due(joining, joining, EVERY_S)
