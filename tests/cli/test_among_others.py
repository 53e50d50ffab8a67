"""After a power cut this machine is the first one back: all but Kafka runs, and that waits."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from cli import among_others, join, up
from cli.among_others import kafka_there, was_one_of_several
from cli.broker_settings import BrokerPlan, LocalListener, NetworkListener, server_properties
from cli.detached import until_ready
from cli.join_shown import Change, Notes, stopped, was_proven
from cli.standby_children import StandbyPlan
from cli.supervise import ChildPlan, StartError, Supervisor
from cli.system import Options, Ports
from shared.kafka import Brokers
from shared.tasks import end_task
from shared.tls import TlsFiles

DEADLINE_S = 30.0
SLEEP = "import time; time.sleep(600)"
FAILS = "import sys; sys.exit('no room')"
KNOWN = "first.example:19094,second.example:19094"
TIMEOUT = "initial.broker.registration.timeout.ms=3600000\n"


def answering(answer: bool) -> Callable[[], Awaitable[bool]]:
    async def ready() -> bool:
        return answer

    return ready


def child(home: Path, name: str, program: str = SLEEP, *, ready: bool = True) -> ChildPlan:
    log = home / "logs" / f"{name}.log"
    return ChildPlan(
        name, [sys.executable, "-c", program], log, answering(ready), {}, start_timeout_s=DEADLINE_S
    )


def broker_plan(home: Path, known: str = KNOWN) -> BrokerPlan:
    tls = TlsFiles.in_directory(home)
    return BrokerPlan(
        home, 0, 0, home / "log", local=LocalListener(9, tls), known=known,
        network=NetworkListener("first.example", 19_094, tls),
    )  # fmt: skip


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PATIENCE_S", "SAY_EVERY_S", "POLL_S"):
        monkeypatch.setattr(among_others, name, 0.01)
    monkeypatch.setattr(up, "PATIENCE_S", 0.01)
    monkeypatch.setattr(join, "PATIENCE_S", 0.01)


def test_only_who_ran_before_beside_others_waits_for_them(tmp_path: Path) -> None:
    plan = broker_plan(tmp_path)
    assert plan.others == "second.example:19094"
    assert not was_one_of_several(plan)
    plan.data.mkdir()
    assert was_one_of_several(plan)
    assert TIMEOUT in server_properties(plan, plan.data)
    # Alone, one is told by another port of itself when that was any free one.
    for known in ("", "127.0.0.1:9", "127.0.0.1:7"):
        alone = broker_plan(tmp_path, known)
        assert not was_one_of_several(alone)
        assert "registration.timeout" not in server_properties(alone, alone.data)


async def test_who_waits_says_so_again_and_again_until_it_is_over(tmp_path: Path) -> None:
    said: list[str] = []
    noted: list[str] = []
    notes = SimpleNamespace(waits="")
    supervisor = Supervisor(changed=lambda: noted.append(notes.waits), say=said.append)
    is_there = asyncio.Event()

    async def ready() -> bool:
        return is_there.is_set()

    broker = ChildPlan("broker", [], tmp_path / "log", ready, {})
    waiting = asyncio.create_task(kafka_there(supervisor, broker, "b:1,c:2", notes))
    await until(lambda: len(said) > 2)
    assert all("Kafka waits for another machine (b:1, c:2): start" in each for each in said)
    is_there.set()
    await waiting
    assert said[-1] == "Kafka waits no more"
    assert (len(noted), noted[-1]) == (2, "")


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], up._Launch]:
    """Give a launcher whose broker runs a program and is never ready."""

    def prepared(program: str) -> up._Launch:
        monkeypatch.setattr(
            up, "broker_child", lambda plan, jars: child(tmp_path, "broker", program, ready=False)
        )
        names = ("registry-1", "central-a", "central-b", "collector-1")
        # Without Kafka they run, and are not ready.
        services = [child(tmp_path, name, ready=False) for name in names]
        monkeypatch.setattr(up, "_services", lambda *given: services)
        monkeypatch.setattr(up, "receiving", lambda port: answering(True))
        monkeypatch.setattr(up._Launch, "brokers", Brokers("127.0.0.1:1"))
        return up._Launch(
            Options(tmp_path, traffic=False), Ports(1, (2, 3), 4, 5), "127.0.0.1:1",
            broker_plan(tmp_path), is_one_of_several=True,
        )  # fmt: skip

    return prepared


class NoDeaths:
    """Tells nobody."""

    def begin(self, brokers: Brokers) -> None:
        self.brokers = brokers

    def send(self, incarnation: str) -> None: ...


async def test_all_but_kafka_runs_while_that_waits_and_its_end_ends_nothing(
    launch: Callable[[str], up._Launch],
) -> None:
    said: list[str] = []
    made = launch(FAILS)
    notes = up._Notes(made)
    supervisor = Supervisor(changed=lambda: notes.write(supervisor), say=said.append)
    deaths: Any = NoDeaths()

    starting = asyncio.create_task(up._start(made, supervisor, deaths, notes))
    names = ("collector-1", "registry-1", "central-a", "central-b")
    await until(lambda: all(supervisor.pid(name) for name in names))
    await until(lambda: sum("broker ended with code 1: no room" in each for each in said) > 1)
    facts = json.loads((made.options.home / "run.json").read_text())

    assert not starting.done()
    assert "second.example" in facts["waits"]
    assert not facts["ready"]
    assert all("starting it again" in each or "Kafka waits" in each for each in said)
    await end_task(starting)
    await supervisor.stop()


async def test_what_exporters_send_to_begins_first(
    launch: Callable[[str], up._Launch],
) -> None:
    made = launch(SLEEP)
    notes = up._Notes(made)
    begun: list[str] = []

    class Noting(Supervisor):
        async def keep(self, plan: ChildPlan) -> None:
            begun.append(plan.name)

    supervisor = Noting(changed=lambda: None, say=lambda text: None)
    deaths: Any = NoDeaths()
    starting = asyncio.create_task(up._start(made, supervisor, deaths, notes))
    await until(lambda: len(begun) == 5)
    await end_task(starting)
    assert begun[:2] == ["collector-1", "broker"]


async def test_a_first_start_fails_in_a_sentence(launch: Callable[[str], up._Launch]) -> None:
    made = launch(FAILS)
    made.is_one_of_several = False
    notes = up._Notes(made)
    supervisor = Supervisor(changed=lambda: None, say=lambda text: None)
    deaths: Any = NoDeaths()
    with pytest.raises(StartError, match="broker ended while it started: no room"):
        await up._start(made, supervisor, deaths, notes)
    assert supervisor.pid("collector-1") is None
    await supervisor.stop()


NOTES = """
import json, os, pathlib, sys, time
home = pathlib.Path(sys.argv[1])
facts = {"pid": os.getpid(), "ready": False, "waits": "Kafka waits"}
(home / "run.new").write_text(json.dumps(facts))
(home / "run.new").rename(home / "run.json")
time.sleep(600)
"""


def test_a_detached_one_that_waits_goes_on_and_its_command_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "up.log"
    with subprocess.Popen([sys.executable, "-c", NOTES, str(tmp_path)]) as process:
        assert not until_ready(tmp_path, process, log, timeout_s=DEADLINE_S)
        assert process.poll() is None
        process.kill()
    assert capsys.readouterr().err == "Kafka waits\n"
    # One that ends fails the command all the same.
    with pytest.raises(typer.Exit):
        until_ready(tmp_path / "other", process, log, timeout_s=DEADLINE_S)


STATE = {"phase": "standby", "proven_until_ms": 0, "problem": "", "is_stuck": False}


@pytest.mark.parametrize(
    ("changed", "proven", "why"),
    [
        ({}, True, ""),
        ({"phase": "refused"}, False, "refused: mend"),
        ({"phase": "refused", "proven_until_ms": 7}, True, "refused: mend"),
        ({"phase": "asking", "is_stuck": True, "problem": "too slow"}, False, "too slow"),
        ({"phase": "asking", "problem": "not now"}, False, ""),
    ],
)
def test_a_refused_copy_is_the_end_of_a_machine_that_was_never_proven(
    changed: dict[str, Any], proven: bool, why: str
) -> None:
    state = STATE | changed
    assert was_proven(state) is proven
    assert stopped(state).startswith(why)
    assert bool(stopped(state)) is bool(why)


class Standby:
    """A standby's launcher whose central never starts, and whose broker is never ready."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said: list[str] = []
        plan = StandbyPlan(home, "central-c", "https://a", ("c",), 1, 2, 0, is_forced=False)
        (home / "given.json").write_text(json.dumps({"brokers": "a:1"}))
        notes = Notes(plan)
        self.supervisor = Supervisor(changed=lambda: notes.write(self.supervisor), say=self.say)
        broker = broker_plan(home)

        async def following(home: Path, brokers: Brokers) -> None:
            await asyncio.Event().wait()

        for name, what in {
            "broker_plan": lambda plan, given: broker,
            "prepared_child": lambda plan: child(home, "broker", ready=False),
            "services_brokers": lambda plan, others, tls: Brokers("a:1"),
            "registry_child": lambda plan, given: child(home, "registry-c", ready=False),
            "central_child": lambda plan, given, dies: child(home, "central-c", FAILS, ready=False),
            "follow": following,
        }.items():
            monkeypatch.setattr(join, name, what)
        deaths: Any = NoDeaths()
        self.machine = join._Machine(plan, self.supervisor, deaths, notes)

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def tried(self) -> int:
        return sum("central-c ended with code 1: no room" in each for each in self.said)

    async def stop(self) -> None:
        for task in self.machine.tasks:
            await end_task(task)
        await self.supervisor.stop()


async def test_a_central_that_does_not_start_ends_no_broker_of_a_machine_that_was_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    standby = Standby(tmp_path, monkeypatch)
    pids = []
    for change in (Change.START, Change.RESTART):
        before = standby.tried()
        await standby.machine._run(change, proven=True)
        await until(lambda before=before: standby.tried() > before + 1)  # type: ignore[misc]  # a lambda's default has no type
        pids.append((standby.supervisor.pid("broker"), standby.supervisor.pid("registry-c")))
    assert pids[0] == pids[1]
    assert None not in pids[0]
    await standby.stop()


async def test_one_that_was_never_proven_ends_with_its_central(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    standby = Standby(tmp_path, monkeypatch)
    await standby.supervisor.start(child(tmp_path, "central-c"))
    with pytest.raises(StartError, match="central-c ended while it started: no room"):
        await standby.machine._run(Change.RESTART, proven=False)
    await standby.stop()
