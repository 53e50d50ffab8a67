"""The collector's process: the socket holder with its HTTP pages."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    ProcessCollector,
    generate_latest,
)

from services.ingest.config import IngestConfig, prepare_folder
from services.ingest.holder import ROLES, CommandOf, Holder, command_of
from services.ingest.known_roles import KnownRoles
from services.ingest.metrics import (
    PREFIX,
    DecoderCollector,
    HolderCollector,
    ReceiverCollector,
    RolesCollector,
)
from services.ingest.publish.standing import left_behind
from services.ingest.receive.reuseport import PortTaken, open_sockets
from services.ingest.reporting import Reporting
from services.ingest.spool.writer import SpoolHeld, hold
from shared.backoff import waits
from shared.config import ConfigError, configured_token
from shared.disk_metrics import DiskCollector
from shared.follow import Follower
from shared.health import Health, health_router
from shared.health_metrics import HealthCollector
from shared.http import http_server, listen
from shared.http_metrics import HttpMetrics, http_histogram
from shared.kafka import configured_brokers
from shared.logs import log_lines
from shared.topics import HA_ROLES

log = logging.getLogger(__name__)

COLLECTOR_LOCK = "collector.lock"
HTTP_STOP_S = 2
CANCEL_AGAIN_S = 1.0
PORT_WAIT_S = 5.0
"""The children of a killed holder let go of its port a moment after it."""


def create_app(
    holder: Holder, health: Health, known: KnownRoles, heartbeats_lost: Callable[[], int]
) -> FastAPI:
    """Return the HTTP pages of a collector; the rest as of `RolesCollector`."""
    app = FastAPI(
        title="steadflow collector",
        version="1",
        summary="Receives flow data over UDP, keeps it on disk, publishes it on Kafka.",
    )
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(HealthCollector(PREFIX, health))
    registry.register(DiskCollector(PREFIX, {"spool": holder.config.spool_dir}))
    registry.register(HolderCollector(holder))
    registry.register(ReceiverCollector(lambda: holder.by_worker("receiver")))
    registry.register(DecoderCollector(holder.tallies))
    registry.register(RolesCollector(known, heartbeats_lost))
    app.add_middleware(HttpMetrics, histogram=http_histogram(PREFIX, registry))
    app.include_router(health_router(health))

    @app.get("/metrics", tags=["health"], summary="Prometheus metrics")
    def show_metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/api/v1/status", tags=["state"], summary="Processes, spool depth and streams")
    def show_status() -> dict[str, Any]:  # JSON
        return holder.status() | known.status()

    return app


async def serve(
    config: IngestConfig, *, command: CommandOf = command_of, stop: asyncio.Event | None = None
) -> None:
    """Run a collector until SIGTERM, SIGINT or `stop`. Raises ConfigError while it starts."""
    # Nothing of a collector can be changed over HTTP yet; a wrong file is said at once anyway.
    configured_token(config.token_file)
    configured_brokers(config)
    lock = _hold_spool(config)
    try:
        with contextlib.ExitStack() as opened:
            sockets = await _open_patiently(config)
            for sock in sockets:
                opened.enter_context(sock)
            listener = opened.enter_context(listen(config.http_host, config.http_port))
            await _serve_on(config, sockets, listener, command, stop or asyncio.Event())
    finally:
        os.close(lock)


async def _serve_on(
    config: IngestConfig,
    sockets: list[socket.socket],
    listener: socket.socket,
    command: CommandOf,
    stop: asyncio.Event,
) -> None:
    health = Health(*(f"{role}-{worker}" for role in ROLES for worker in range(config.workers)))
    if why := left_behind(config.spool_dir, config.workers):
        log.error("%s", why)
        health.note("workers", why)
    holder = Holder(config, sockets, health=health, command=command)
    known = KnownRoles(config.spool_dir)
    reporting = Reporting(holder, known, version=_version(), now_ms=_now_ms)
    app = create_app(holder, health, known, lambda: reporting.lost)
    server = http_server(app, stop_s=HTTP_STOP_S)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    log.info(
        "collector starts name=%s udp=%s http=%s workers=%d",
        config.name,
        sockets[0].getsockname()[:2],
        listener.getsockname()[:2],
        config.workers,
    )
    keeping = asyncio.create_task(holder.run())
    beside = [
        asyncio.create_task(_beside(work))
        for work in (_roles_follower(config, known).run, reporting.run)
    ]
    answering = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([keeping, answering, stopping], return_when=asyncio.FIRST_COMPLETED)
    # The pages answer until the children have ended, so that one can watch them end.
    for task in (stopping, keeping, *beside):
        task.cancel()
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await keeping
    finally:
        server.should_exit = True
        await answering
        await _end(beside)


def _roles_follower(config: IngestConfig, known: KnownRoles) -> Follower:
    follower = Follower(
        configured_brokers(config),
        client_id=f"{config.name}-roles",
        topic=HA_ROLES,
        take=lambda record: known.take(record, follower.topic_id),
        read_committed=True,
    )
    return follower


async def _beside(work: Callable[[], Awaitable[None]]) -> None:
    """Do what must never end receiving: after an error of its own, again."""
    for wait_s in waits(first_s=1.0, longest_s=60.0):
        try:
            await work()
        except Exception:
            log.exception("begun again after an error that is ours")
        await asyncio.sleep(wait_s)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    waiting = set(tasks)
    while waiting:
        # Again and again: a client library may take one cancellation for itself.
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=CANCEL_AGAIN_S)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _version() -> str:
    try:
        return version("steadflow")
    except PackageNotFoundError:  # from a checkout that nobody installed
        return ""


def run(config: IngestConfig) -> int:
    """Run a collector; the exit code."""
    log_lines()
    asyncio.run(serve(config))
    return 0


def check(config: IngestConfig) -> None:
    """Open everything and close it again. Raises ConfigError."""
    # Nothing of a collector can be changed over HTTP yet; a wrong file is said at once anyway.
    configured_token(config.token_file)
    configured_brokers(config)
    lock = _hold_spool(config)
    try:
        with contextlib.ExitStack() as opened:
            for sock in _open(config):
                opened.enter_context(sock)
            opened.enter_context(listen(config.http_host, config.http_port))
    finally:
        os.close(lock)


def _hold_spool(config: IngestConfig) -> int:
    try:
        prepare_folder(config.spool_dir)
        for worker in range(config.workers):
            prepare_folder(config.worker_dir(worker))
        return hold(config.spool_dir, COLLECTOR_LOCK)
    except SpoolHeld as error:
        raise ConfigError(
            f"setting spool_dir: another collector already works in {_shown(config.spool_dir)}"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"setting spool_dir: {_shown(config.spool_dir)} cannot be used: "
            f"{error.strerror or error}"
        ) from error


def _shown(folder: Path) -> Path:
    return folder.absolute()


async def _open_patiently(config: IngestConfig) -> list[socket.socket]:
    until_s = time.monotonic() + PORT_WAIT_S
    while True:
        try:
            return _open(config)
        except ConfigError as error:
            if not isinstance(error.__cause__, PortTaken) or time.monotonic() > until_s:
                raise
        await asyncio.sleep(0.05)


def _open(config: IngestConfig) -> list[socket.socket]:
    try:
        return open_sockets(config.udp_host, config.udp_port, config.workers)
    except PortTaken as error:
        raise ConfigError(f"setting udp_port: {error}") from error
    except PermissionError as error:
        raise ConfigError(
            f"setting udp_port: this user may not receive on port {config.udp_port}"
        ) from error
    except ValueError as error:
        raise ConfigError(f"setting udp_host: {error}") from error
    except OSError as error:
        raise ConfigError(f"setting udp_host: {config.udp_host}: {error.strerror}") from error
