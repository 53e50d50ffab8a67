"""The registry's process: opens HTTP, runs the loops, stops in reverse."""

import asyncio
import contextlib
import logging
import random
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, ProcessCollector, generate_latest

from services.registry.api import create_api
from services.registry.config import RegistryConfig
from services.registry.guard import audited_by
from services.registry.metrics import PREFIX, RegistryMetrics, RolesCollector
from services.registry.registry import Registry
from shared.audit_writer import AuditWriter
from shared.config import configured_token
from shared.health import Health, health_router
from shared.health_metrics import HealthCollector
from shared.http import http_server, listen
from shared.http_metrics import HttpMetrics
from shared.kafka import configured_brokers
from shared.logs import log_lines
from shared.tasks import end_task
from shared.topics import AUDIT, HA_HISTORY, HA_LOG, HA_ROLES, Topic

log = logging.getLogger(__name__)

STOP_TIMEOUT_S = 2


@dataclass(frozen=True, slots=True)
class Service:
    """All parts of a registry, built, not yet running."""

    registry: Registry
    health: Health
    metrics: RegistryMetrics
    token: str | None
    audit: AuditWriter


def build(
    config: RegistryConfig,
    *,
    ha_log: Topic = HA_LOG,
    ha_roles: Topic = HA_ROLES,
    ha_history: Topic = HA_HISTORY,
    audit: Topic = AUDIT,
) -> Service:
    """Build everything. Raises ConfigError. Tests take topics of their own."""
    token = configured_token(config.token_file)
    metrics = RegistryMetrics()
    health = Health("kafka", "log")
    registry = Registry(
        config,
        metrics=metrics,
        health=health,
        clock_s=time.monotonic,
        chance=random.random,
        ha_log=ha_log,
        ha_roles=ha_roles,
        ha_history=ha_history,
    )
    ProcessCollector(registry=metrics.registry)
    metrics.registry.register(HealthCollector(PREFIX, health))
    metrics.registry.register(RolesCollector(registry))
    writer = AuditWriter(configured_brokers(config), client_id=config.name, topic=audit)
    return Service(registry, health, metrics, token, writer)


def create_app(service: Service) -> FastAPI:
    """Return the API of a registry with its health and metrics."""

    async def note(by: str, address: str, request: str, status: int) -> None:
        now_ms = time.time_ns() // 1_000_000
        await service.audit.note(
            audited_by(service.registry.name, now_ms, by, address, request, status)
        )

    app = create_api(service.registry, token=service.token, clock_s=time.monotonic, note=note)
    app.add_middleware(HttpMetrics, histogram=service.metrics.http)
    app.include_router(health_router(service.health))

    @app.get("/metrics", tags=["health"], summary="Prometheus metrics")
    async def metrics() -> Response:
        return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return app


@contextlib.asynccontextmanager
async def running(service: Service) -> AsyncIterator[asyncio.Task[None]]:
    """Run the loops; the task ends only by an exception, where the fault is ours."""
    task = asyncio.create_task(service.registry.run())
    try:
        yield task
    finally:
        await end_task(task)
        await service.audit.stop()


async def serve(config: RegistryConfig) -> None:
    """Run a registry until SIGTERM or SIGINT. Raises what a loop of ours failed with."""
    service = build(config)
    with listen(config.http_host, config.http_port) as listener:
        server = http_server(create_app(service), stop_s=STOP_TIMEOUT_S)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        host, port = listener.getsockname()[:2]
        async with running(service) as loops:
            log.info("registry starts name=%s url=http://%s:%d", config.name, host, port)
            answering = asyncio.create_task(server.serve(sockets=[listener]))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait([answering, stopping, loops], return_when=asyncio.FIRST_COMPLETED)
            server.should_exit = True
            stopping.cancel()
            await answering
        if loops.done() and not loops.cancelled() and (error := loops.exception()):
            raise error


def run(config: RegistryConfig) -> int:
    """Run a registry; the exit code."""
    log_lines()
    asyncio.run(serve(config))
    return 0


def check(config: RegistryConfig) -> None:
    """Build everything, open the port and close it again. Raises ConfigError."""
    build(config)
    listen(config.http_host, config.http_port).close()
