"""The agent's process: takes the steps of a join, keeps how far it is, repeats the checks."""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, ProcessCollector, generate_latest

from services.standby.api import join_router
from services.standby.config import StandbyConfig
from services.standby.joining import (
    Copied,
    Event,
    Failed,
    Forced,
    Joining,
    Phase,
    Released,
    TooOld,
    Work,
    evolve,
    owed,
)
from services.standby.metrics import PREFIX, StandbyMetrics
from services.standby.primary import DownloadError
from services.standby.reporting import Reporter
from services.standby.schedule import due_in_s
from services.standby.state_file import StateError, load, save
from services.standby.step_errors import StepFailed, StepRefused
from services.standby.steps import Steps
from shared.backoff import waits
from shared.config import ConfigError
from shared.health import Health, health_router
from shared.health_metrics import HealthCollector
from shared.http import http_server, listen
from shared.http_metrics import HttpMetrics
from shared.logs import log_lines
from shared.register import parse_primary
from shared.tasks import end_task
from shared.tls import TlsFiles
from shared.token import read_token

log = logging.getLogger(__name__)

STOP_TIMEOUT_S = 2
LONGEST_WAIT_S = 10.0
LOOK_S = 5.0
"""How often a standby sees whether its central stands still, or a check is due."""


def now_ms() -> int:
    """Return the wall clock, ms, UTC."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class Agent:
    """One machine's join, driven: the only writer of its state."""

    config: StandbyConfig
    steps: Steps
    joining: Joining
    health: Health
    metrics: StandbyMetrics
    reporter: Reporter | None = None
    tried_ms: int = 0

    def take(self, event: Event) -> None:
        """Fold an event, and keep what came of it."""
        before, self.joining = self.joining, evolve(self.joining, event)
        if self.joining == before:
            return
        # How much of a copy is here its folder says: several times a second it is only shown.
        if not isinstance(event, Copied) or event.is_whole:
            save(self.config.home / "join.json", self.joining)
        self.metrics.show(self.joining)
        if self.joining.phase is not before.phase:
            log.info("join phase=%s", self.joining.phase.name.lower())

    async def run(self) -> None:
        """Do what is owed until cancelled."""
        self.metrics.show(self.joining)
        if self.config.is_forced:
            self.take(Forced())
        pauses = waits(longest_s=LONGEST_WAIT_S)
        while True:
            self.health.turned("join", period_s=24 * 3600.0)
            work = owed(self.joining)
            if work is Work.NOTHING:
                self._say("red lines stop the join")
                await asyncio.Event().wait()
            if work is Work.WATCH:
                await self._release()
                if (old := await self._watch()) is not None:
                    await self._take_old(old)
                    continue
            try:
                event = await self.steps.do(work, self.joining, self.take)
                if isinstance(event, TooOld):
                    await self._take_old(event)
                    continue
                self.take(event)
            except StepFailed as error:
                self.metrics.failures.labels(work.name.lower()).inc()
                self._say(str(error))
                await asyncio.sleep(next(pauses))
            except StepRefused as error:
                self.metrics.failures.labels(work.name.lower()).inc()
                # One that stands by goes on doing so, and tries the checks again.
                self._say(str(error), is_final=work is not Work.WATCH)
                if work is not Work.WATCH:
                    await asyncio.Event().wait()
            else:
                pauses = waits(longest_s=LONGEST_WAIT_S)

    async def _watch(self) -> TooOld | None:
        """Return once checks are due; or that the central here needs another copy."""
        self.health.met("join")
        while True:
            self.health.turned("join", period_s=24 * 3600.0)
            if old := self.steps.central.too_old():
                return TooOld(old)
            wait_s = due_in_s(
                checked_ms=self.joining.checked_ms,
                tried_ms=self.tried_ms,
                now_ms=now_ms(),
                every_s=self.config.check_every_s,
            )
            if wait_s <= 0:
                self.tried_ms = now_ms()
                return None
            await asyncio.sleep(min(wait_s, LOOK_S))

    async def _take_old(self, event: TooOld) -> None:
        if self.config.rejoins:
            log.warning("copies the primary anew: %s", event.why)
            self.take(event)
            return
        self._say(f"{event.why}; join with --rejoin to copy the primary anew", is_final=True)
        await asyncio.Event().wait()

    async def _release(self) -> None:
        if not self.joining.snapshot:
            return
        with contextlib.suppress(DownloadError):
            # Whoever has it releases it after a day by itself.
            await self.steps.release(self.joining)
        self.take(Released())

    def _say(self, problem: str, *, is_final: bool = False) -> None:
        log.warning("join not done phase=%s problem=%s", self.joining.phase.name.lower(), problem)
        self.health.unmet("join", problem)
        self.take(Failed(problem, is_final))


def build(config: StandbyConfig) -> Agent:
    """Build everything. Raises ConfigError."""
    try:
        primary = parse_primary(config.primary)
    except ValueError as error:
        raise ConfigError(f"setting primary: {error}") from error
    try:
        config.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        joining = load(config.home / "join.json")
    except OSError as error:
        raise ConfigError(f"setting home: {config.home}: {error.strerror}") from error
    except StateError as error:
        raise ConfigError(str(error)) from error
    if joining.phase is Phase.REGISTERING and not config.all_hosts:
        raise ConfigError("setting hosts: a node needs a name by which others reach it")
    metrics, health = StandbyMetrics(), Health("join")
    ProcessCollector(registry=metrics.registry)
    metrics.registry.register(HealthCollector(PREFIX, health))
    steps = Steps(config, primary, now_ms)
    agent = Agent(config, steps, joining, health, metrics)
    agent.reporter = Reporter(
        steps.centrals.urls,
        joining=lambda: agent.joining,
        name=config.name,
        copies_only=config.copies_only,
        tls=TlsFiles.in_directory(steps.tls_dir),
        token=lambda: read_token(config.home / "token"),
        now_s=time.monotonic,
    )
    return agent


def create_app(agent: Agent) -> FastAPI:
    """Return the API of an agent with its health and metrics."""
    app = FastAPI(title="steadflow standby", version="1")
    app.add_middleware(HttpMetrics, histogram=agent.metrics.http)
    app.include_router(join_router(lambda: agent.joining, name=agent.config.name))
    app.include_router(health_router(agent.health))

    @app.get("/metrics", tags=["health"], summary="Prometheus metrics")
    async def metrics() -> Response:
        return Response(generate_latest(agent.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return app


@contextlib.asynccontextmanager
async def running(agent: Agent) -> AsyncIterator[asyncio.Task[None]]:
    """Run the loop; the task ends only by an exception, where the fault is ours."""
    task = asyncio.create_task(agent.run())
    reporting = None if agent.reporter is None else asyncio.create_task(agent.reporter.run())
    try:
        yield task
    finally:
        if reporting is not None:
            await end_task(reporting)
        await end_task(task)


async def serve(config: StandbyConfig) -> None:
    """Run an agent until SIGTERM or SIGINT. Raises what the loop failed with."""
    agent = build(config)
    with listen(config.http_host, config.http_port) as listener:
        server = http_server(create_app(agent), stop_s=STOP_TIMEOUT_S)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with running(agent) as loop:
            log.info("agent starts name=%s phase=%s", config.name, agent.joining.phase.name.lower())
            answering = asyncio.create_task(server.serve(sockets=[listener]))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait([answering, stopping, loop], return_when=asyncio.FIRST_COMPLETED)
            server.should_exit = True
            stopping.cancel()
            await answering
        if loop.done() and not loop.cancelled() and (error := loop.exception()):
            raise error


def run(config: StandbyConfig) -> int:
    """Run an agent; the exit code."""
    log_lines()
    asyncio.run(serve(config))
    return 0


def check(config: StandbyConfig) -> None:
    """Build everything and start nothing. Raises ConfigError."""
    build(config)
    listen(config.http_host, config.http_port).close()
