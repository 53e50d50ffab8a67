import asyncio
import errno
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest

from cli import supervise
from cli.supervise import ChildPlan, StartError, Supervisor, last_line

DEADLINE_S = 30.0
SLEEP = "import time; time.sleep(600)"


def plan(
    directory: Path,
    program: str,
    *,
    name: str = "child",
    ready: bool = True,
    timeout_s: float = 20.0,
) -> ChildPlan:
    async def is_ready() -> bool:
        return ready

    return ChildPlan(
        name,
        [sys.executable, "-c", program],
        directory / f"{name}.log",
        is_ready,
        environment={},
        start_timeout_s=timeout_s,
        stop_timeout_s=1.0,
    )


def supervisor(said: list[str] | None = None) -> Supervisor:
    return Supervisor(changed=lambda: None, say=(said if said is not None else []).append)


def said_up(log: Path) -> bool:
    return log.read_text() == "up\n"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_killed_child_is_started_again(tmp_path: Path) -> None:
    said: list[str] = []
    children = supervisor(said)
    await children.start(plan(tmp_path, SLEEP))
    first = children.pid("child")
    assert first is not None

    os.kill(first, signal.SIGKILL)
    await until(lambda: children.pid("child") not in (None, first))

    assert "child was ended by SIGKILL" in said[0]
    await children.stop()


async def test_on_a_full_disk_a_child_is_started_again_and_noted_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "NOTE_AGAIN_S", 0.01)
    is_full = False
    noted: list[int | None] = []

    def no_room() -> None:
        if is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def note() -> None:
        no_room()
        noted.append(children.pid("child"))

    def say(sentence: str) -> None:
        no_room()

    children = Supervisor(changed=note, say=say)
    await children.start(plan(tmp_path, SLEEP))
    first = children.pid("child")
    assert first is not None
    is_full = True

    os.kill(first, signal.SIGKILL)
    await until(lambda: children.pid("child") not in (None, first))
    assert noted == [first]

    is_full = False
    await until(lambda: noted[-1] == children.pid("child"))
    await children.stop()


async def test_a_child_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    said: list[str] = []
    children = supervisor(said)
    program = tmp_path / "program"
    program.symlink_to(sys.executable)
    sleeping = plan(tmp_path, SLEEP)
    await children.start(replace(sleeping, command=[str(program), *sleeping.command[1:]]))
    first = children.pid("child")
    assert first is not None
    program.unlink()

    os.kill(first, signal.SIGKILL)
    await until(lambda: any("cannot be started" in sentence for sentence in said))
    program.symlink_to(sys.executable)
    await until(lambda: children.pid("child") not in (None, first))
    await children.stop()


async def test_who_is_to_begin_again_is_started_as_one_that_died(tmp_path: Path) -> None:
    children = supervisor()
    await children.start(plan(tmp_path, SLEEP))
    first = children.pid("child")

    children.begin_again("child")
    await until(lambda: children.pid("child") not in (None, first))

    children.begin_again("nobody")
    await children.stop()


async def test_whoever_asked_is_told_which_life_of_a_child_ended(tmp_path: Path) -> None:
    program = f"import os; print(os.environ['BOOT_ID'], flush=True); {SLEEP}"
    ended: list[str] = []
    child = replace(plan(tmp_path, program), boot_id_variable="BOOT_ID", on_end=ended.append)
    children = supervisor()
    await children.start(child)
    for number in (1, 2):
        await until(lambda number=number: len(child.log.read_text().split()) == number)  # type: ignore[misc]  # a lambda's default has no type
        # It may write before it is known to be started.
        await until(lambda: children.pid("child") is not None)
        os.kill(children.pid("child") or 0, signal.SIGKILL)
        await until(lambda number=number: len(ended) == number)  # type: ignore[misc]  # a lambda's default has no type
    await until(lambda: len(child.log.read_text().split()) == 3)

    await children.stop()

    lives = child.log.read_text().split()
    assert len(set(lives)) == 3
    # The third was asked to end.
    assert ended == lives[:2]


async def test_what_a_killed_child_left_in_its_temporary_folder_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "tmp"
    note = f"""
        import os, tempfile
        open(os.path.join(tempfile.gettempdir(), str(os.getpid())), "w").close()
        {SLEEP}
    """
    children = supervisor()
    await children.start(replace(plan(tmp_path, textwrap.dedent(note)), temporary=folder))
    first = children.pid("child")
    assert first is not None
    await until(lambda: (folder / str(first)).exists())

    os.kill(first, signal.SIGKILL)
    await until(lambda: children.pid("child") not in (None, first))
    second = children.pid("child")
    await until(lambda: (folder / str(second)).exists())

    assert not (folder / str(first)).exists()
    await children.stop()


async def test_what_is_to_be_done_before_a_start_is_done_before_each(tmp_path: Path) -> None:
    starts: list[str | None] = []
    children = supervisor()
    child = replace(plan(tmp_path, SLEEP), before=lambda: starts.append(None))
    await children.start(child)
    first = children.pid("child")
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: children.pid("child") not in (None, first))
    assert len(starts) == 2
    await children.stop()


async def test_a_child_that_ends_at_once_waits_longer_each_time(tmp_path: Path) -> None:
    said: list[str] = []
    children = supervisor(said)
    await children.start(plan(tmp_path, "raise SystemExit(7)"))

    await until(lambda: len(said) >= 4)

    waited = [float(sentence.rsplit(" in ", 1)[1].removesuffix(" s")) for sentence in said]
    assert all("ended with code 7: it said nothing" in sentence for sentence in said)
    assert waited[3] > waited[0]
    await children.stop()


async def test_one_that_is_kept_fails_nothing_says_why_it_ends_and_takes_the_place_of_another(
    tmp_path: Path,
) -> None:
    said: list[str] = []
    children = supervisor(said)
    await children.keep(plan(tmp_path, "import sys; sys.exit('no room')", ready=False))
    await until(lambda: any("ended with code 1: no room; starting it" in each for each in said))

    await children.keep(plan(tmp_path, SLEEP, ready=False))
    await until(lambda: children.pid("child") is not None)
    first = children.pid("child")
    os.kill(first or 0, signal.SIGKILL)
    await until(lambda: children.pid("child") not in (None, first))
    await children.stop()


async def test_one_that_is_kept_may_come_later(tmp_path: Path) -> None:
    said: list[str] = []
    children = supervisor(said)
    program = tmp_path / "program"
    sleeping = plan(tmp_path, SLEEP, ready=False)
    await children.keep(replace(sleeping, command=[str(program), *sleeping.command[1:]]))
    assert children.pid("child") is None
    await until(lambda: "cannot be started" in "".join(said))

    program.symlink_to(sys.executable)
    await until(lambda: children.pid("child") is not None)
    await children.stop()


async def test_one_that_may_end_once_while_it_starts_is_started_again(tmp_path: Path) -> None:
    said: list[str] = []
    children, mark = supervisor(said), tmp_path / "ended once"
    program = (
        "import pathlib, sys, time\n"
        f"mark = pathlib.Path({str(mark)!r})\n"
        "if not mark.exists():\n"
        "    mark.touch()\n"
        "    sys.exit('in the wrong moment')\n"
        "time.sleep(600)"
    )

    async def ready() -> bool:
        return mark.exists() and children.pid("child") is not None and bool(said)

    once = replace(plan(tmp_path, program), ready=ready)
    with pytest.raises(StartError, match="in the wrong moment"):
        await children.start(once)
    mark.unlink()
    await children.start(replace(once, start_tries=2))
    await children.stop()

    assert said == ["child ended while it started: in the wrong moment; starting it again"]


async def test_a_child_that_cannot_start_is_named_with_its_last_words(tmp_path: Path) -> None:
    children = supervisor()
    program = "import sys; sys.exit('unknown setting STEADFLOW_X')"
    with pytest.raises(StartError, match="child ended while it started: unknown setting STEADFLOW"):
        await children.start(plan(tmp_path, program, ready=False))
    await children.stop()


async def test_a_child_that_never_becomes_ready_is_named(tmp_path: Path) -> None:
    children = supervisor()
    with pytest.raises(StartError, match="was not ready after"):
        await children.start(plan(tmp_path, SLEEP, ready=False, timeout_s=0.3))
    await children.stop()


async def test_all_stop_at_once_what_they_need_last_and_what_does_not_listen_is_killed(
    tmp_path: Path,
) -> None:
    program = textwrap.dedent(
        f"""
        import pathlib, signal, sys, time
        here = pathlib.Path({str(tmp_path)!r})
        name, *awaited = sys.argv[1:]
        def end(*_):
            (here / f"asked-{{name}}").touch()
            while not all((here / f"asked-{{other}}").exists() for other in awaited):
                time.sleep(0.01)
            with open(here / "ends", "a") as file:
                file.write(name + " ")
            sys.exit(0)
        signal.signal(signal.SIGTERM, end)
        print("up", flush=True)
        time.sleep(600)
        """
    )
    deaf = program.replace("SIGTERM, end", "SIGTERM, signal.SIG_IGN")
    children = supervisor()
    # One and the other each end only when the other one was asked too.
    for name, text, awaited in (
        ("needed", program, []),
        ("deaf", deaf, []),
        ("one", program, ["other"]),
        ("other", program, ["one"]),
    ):
        child = plan(tmp_path, text, name=name)
        await children.start(
            replace(
                child,
                command=[*child.command, name, *awaited],
                stop_timeout_s=0.5 if name == "deaf" else DEADLINE_S,
                stops_last=name == "needed",
            )
        )
        await until(partial(said_up, child.log))
    pids = [children.pid(name) for name in ("needed", "deaf", "one", "other")]

    await children.stop()

    *first, last = (tmp_path / "ends").read_text().split()
    assert (sorted(first), last) == (["one", "other"], "needed")
    assert not any(psutil.pid_exists(pid) for pid in pids if pid is not None)


PARENT = """
import asyncio, sys
from pathlib import Path
from cli import supervise
from cli.supervise import ChildPlan, Supervisor

async def main():
    async def ready():
        return True
    given = {"preparation": lambda: None} if sys.argv[1] == "untied" else {}
    children = Supervisor(changed=lambda: None, say=print, **given)
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    await children.start(ChildPlan("child", command, Path(sys.argv[2]), ready, {}))
    print(children.pid("child"), flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def child_of_a_killed_parent(tied: str, log: Path) -> psutil.Process:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, tied, str(log)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    return child


@pytest.mark.faults
def test_children_end_with_a_killed_parent(tmp_path: Path) -> None:
    child = child_of_a_killed_parent("tied", tmp_path / "log")
    gone, _ = psutil.wait_procs([child], timeout=DEADLINE_S)
    assert gone


@pytest.mark.faults
def test_without_the_tie_a_child_outlives_its_killed_parent(tmp_path: Path) -> None:
    child = child_of_a_killed_parent("untied", tmp_path / "log")
    gone, alive = psutil.wait_procs([child], timeout=1.0)
    assert (gone, alive) == ([], [child])
    child.kill()
    child.wait(DEADLINE_S)


def test_the_last_line_of_a_log_is_the_last_with_text(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_line(log) == "it left no log"
    log.write_text("")
    assert "said nothing" in last_line(log)
    log.write_text("Traceback\n  line\nError: port taken\n\n")
    assert last_line(log) == "Error: port taken"
