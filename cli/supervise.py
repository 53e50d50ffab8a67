"""Keeps child processes alive: starts them in order, restarts what dies, stops them all.

What they print is kept small meanwhile.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cli.logs import keep_small
from shared.backoff import waits
from shared.parent import die_with_parent
from shared.tasks import end_task

POLL_S = 0.1
SETTLED_S = 10.0
"""A child that lived so long starts again at once; one that dies at once waits longer each time."""
LONGEST_WAIT_S = 10.0
NOTE_AGAIN_S = 2.0
_LAST_LINE_BYTES = 8192


class StartError(Exception):
    """A child that did not become ready; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class ChildPlan:
    """One child. log: what it prints, appended, so that it can be cut while it runs.

    environment: added to this process's own.

    ready: whether it may be used; never raises. Asked again and again until it says yes.
    temporary: folder for its temporary files, emptied before each start: what was killed left some.
    boot_id_variable: of the environment; gets another boot id at each start. on_end: told the boot
    id at once when the child ends without being asked to. restart_s: after its end, where it had
    lived long enough. stops_last: the others need it until they have ended. start_tries: as often
    it may end before it was ready once. before: called before each start; never raises.
    """

    name: str
    command: Sequence[str]
    log: Path
    ready: Callable[[], Awaitable[bool]]
    environment: Mapping[str, str]
    start_timeout_s: float = 60.0
    stop_timeout_s: float = 15.0
    temporary: Path | None = None
    boot_id_variable: str = ""
    on_end: Callable[[str], None] | None = None
    restart_s: float = 0.2
    stops_last: bool = False
    start_tries: int = 1
    before: Callable[[], None] | None = None


class _Life(NamedTuple):
    """One process of a child."""

    process: asyncio.subprocess.Process
    boot_id: str


class _Child:
    """life: None where it could not be started yet."""

    def __init__(self, plan: ChildPlan, life: _Life | None) -> None:
        self.plan = plan
        self.life = life
        self.started_at_s = asyncio.get_running_loop().time()
        self.waits = waits(first_s=plan.restart_s, longest_s=LONGEST_WAIT_S)
        self.keeper: asyncio.Task[None] | None = None

    @property
    def process(self) -> asyncio.subprocess.Process | None:
        return None if self.life is None else self.life.process


class Supervisor:
    """The children of this process.

    Used from one event loop in the main thread, which must live as long as they: the kernel ends
    them when the thread that started them ends.
    """

    def __init__(
        self,
        *,
        changed: Callable[[], None],
        say: Callable[[str], None],
        preparation: Callable[[], None] | None = None,
        own_log: Path | None = None,
    ) -> None:
        """Start nothing yet.

        changed: called after a pid changed, and again a little later where it raises OSError. say:
        told of deaths and restarts.
        preparation: runs in each child before its program; by default it ties the child's life to
        this process. own_log: what this process prints to where it is detached, kept small too.
        """
        self._changed = changed
        self._say_it = say
        self._preparation = preparation or partial(die_with_parent, os.getpid())
        self._own_logs = () if own_log is None else (own_log,)
        self._children: dict[str, _Child] = {}
        self._logs: asyncio.Task[None] | None = None

    def pid(self, name: str) -> int | None:
        """Return the pid of a child that was started; None while it is down."""
        process = self._process(name)
        return None if process is None or process.returncode is not None else process.pid

    def _process(self, name: str) -> asyncio.subprocess.Process | None:
        child = self._children.get(name)
        return None if child is None else child.process

    async def start(self, plan: ChildPlan) -> None:
        """Start a child and wait until it is ready; from then on it is restarted when it ends.

        Raises StartError with the last line of its log when it ends too often or does not become
        ready.
        """
        tries = plan.start_tries
        life = await self._spawn(plan)
        child = self._add(plan, life)
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + plan.start_timeout_s
        while not await plan.ready():
            if life.process.returncode is not None:
                tries -= 1
                why = f"{plan.name} ended while it started: {last_line(plan.log)}"
                if tries <= 0:
                    raise StartError(why)
                self.say(f"{why}; starting it again")
                child.life = life = await self._spawn(plan)
                self.note()
            if loop.time() > deadline_s:
                raise StartError(
                    f"{plan.name} was not ready after {plan.start_timeout_s:.0f} s: see {plan.log}"
                )
            await asyncio.sleep(POLL_S)
        child.keeper = asyncio.create_task(self._keep(child))

    async def keep(self, plan: ChildPlan) -> None:
        """Start a child, in place of one of that name, and start it again whenever it ends.

        Nobody waits for it, and it fails nothing: `say` is told why it ended.
        """
        if (before := self._children.get(plan.name)) is not None:
            await self._stop(before)
        life, why = None, ""
        try:
            life = await self._spawn(plan)
        except OSError as error:
            why = _no_start(error)
        child = self._add(plan, life)
        child.keeper = asyncio.create_task(self._keep(child, why))

    def _add(self, plan: ChildPlan, life: _Life | None) -> _Child:
        child = self._children[plan.name] = _Child(plan, life)
        if self._logs is None:
            self._logs = asyncio.create_task(keep_small(self._all_logs))
        self.note()
        return child

    def _all_logs(self) -> Iterator[Path]:
        yield from self._own_logs
        for child in self._children.values():
            yield child.plan.log

    async def restart(self, plan: ChildPlan) -> None:
        """Stop the child of that name and start it by `plan`; `on_end` is not told.

        Raises StartError as `start` does; then it is restarted by nobody else.
        """
        await self._stop(self._children[plan.name])
        await self.start(plan)

    def begin_again(self, name: str) -> None:
        """Ask a child to end; it is started again as one that died is."""
        process = self._process(name)
        if process is not None and process.returncode is None:
            process.terminate()

    async def stop(self) -> None:
        """Stop all children at once, then those that stop last; kill what takes too long."""
        for is_last in (False, True):
            its = [each for each in self._children.values() if each.plan.stops_last is is_last]
            await asyncio.gather(*(self._stop(child) for child in its))
        self._children.clear()
        if self._logs is not None:
            await end_task(self._logs)
            self._logs = None

    async def _stop(self, child: _Child) -> None:
        if child.keeper is not None:
            child.keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await child.keeper
        if child.process is not None:
            await _end(child.process, child.plan.stop_timeout_s)

    async def _keep(self, child: _Child, why: str = "") -> None:
        """Start it again whenever it ends. why: it is down, for that reason."""
        loop = asyncio.get_running_loop()
        while True:
            if child.life is not None:
                why = await self._ended(child.plan, child.life)
                if loop.time() - child.started_at_s > SETTLED_S:
                    child.waits = waits(first_s=child.plan.restart_s, longest_s=LONGEST_WAIT_S)
            await self._start_again(child, why)
            child.started_at_s = loop.time()
            self.note()

    async def _ended(self, plan: ChildPlan, life: _Life) -> str:
        """Wait for its end, and return why it ended."""
        code = await life.process.wait()
        if plan.on_end is not None:
            # First of all: others wait for this one's work.
            plan.on_end(life.boot_id)
        self.note()
        return f"{_ending(code)}: {last_line(plan.log)}" if code > 0 else _ending(code)

    async def _start_again(self, child: _Child, why: str) -> None:
        for wait_s in child.waits:
            self.say(f"{child.plan.name} {why}; starting it again in {wait_s:.1f} s")
            await asyncio.sleep(wait_s)
            spawning = asyncio.ensure_future(self._spawn(child.plan))
            try:
                child.life = await asyncio.shield(spawning)
                return
            except asyncio.CancelledError:
                # It is started all the same, and must be known to be stopped.
                with contextlib.suppress(OSError):
                    child.life = await spawning
                raise
            except OSError as error:
                why = _no_start(error)

    def note(self) -> None:
        """Have it noted that something changed; once there is room, where the disk is full."""
        try:
            self._changed()
        except OSError:
            # A full disk: whoever ended has to be started again all the same.
            asyncio.get_running_loop().call_later(NOTE_AGAIN_S, self.note)

    def say(self, sentence: str) -> None:
        """Tell a person, where that is possible."""
        with contextlib.suppress(OSError):
            self._say_it(sentence)

    async def _spawn(self, plan: ChildPlan) -> _Life:
        boot_id = secrets.token_hex(4)
        plan.log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, **plan.environment}
        if plan.before is not None:
            plan.before()
        if plan.temporary is not None:
            shutil.rmtree(plan.temporary, ignore_errors=True)
            plan.temporary.mkdir(parents=True, exist_ok=True)
            environment["TMPDIR"] = str(plan.temporary)
        if plan.boot_id_variable:
            environment[plan.boot_id_variable] = boot_id
        with plan.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *plan.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                # Ctrl-C on the terminal is for the launcher, which stops them in order.
                start_new_session=True,
                preexec_fn=self._preparation,
            )
        return _Life(process, boot_id)


async def _end(process: asyncio.subprocess.Process, timeout_s: float) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        # A frozen child would not hear the request.
        process.send_signal(signal.SIGCONT)
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), timeout_s)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _no_start(error: OSError) -> str:
    return f"cannot be started: {error}"


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def last_line(log: Path) -> str:
    """Return the last line with text of `log`, where a service says why it cannot run."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _LAST_LINE_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return "it left no log"
    said = [line.strip() for line in lines if line.strip()]
    return said[-1] if said else f"it said nothing in {log}"
