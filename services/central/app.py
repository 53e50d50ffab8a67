"""The central's process: opens store, metadata and HTTP, runs the loops, stops in reverse."""

import asyncio
import contextlib
import logging
import secrets
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from prometheus_client import CONTENT_TYPE_LATEST, ProcessCollector, generate_latest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from services.central import too_old
from services.central.answers import Json
from services.central.api import Sources, report_router, state_router
from services.central.applier import Applier
from services.central.body_limit import BodyLimit
from services.central.brokers.api import brokers_router
from services.central.brokers.keeper import BrokerLimits, Keeper
from services.central.brokers.metrics import BrokerDisks
from services.central.collectors.api import collectors_router
from services.central.collectors.collectors_log import CollectorsLog
from services.central.config import CentralConfig
from services.central.download.api import download_router
from services.central.download.downloads import Downloads
from services.central.drills.api import drills_router
from services.central.drills.log import DrillsLog
from services.central.https import Https, check_https, https_client
from services.central.join.api import Joining, invites_router
from services.central.join.leaving import Leaving
from services.central.join.machine import (
    brokers_for_others,
    https_url,
    joining_of,
    places_to_ask,
)
from services.central.join.machines import Machines
from services.central.join.machines_api import Cluster, machines_router
from services.central.join.names import Newcomer, listed_centrals
from services.central.join.network_api import network_router
from services.central.join.node_api import facts_of, node_router
from services.central.join.opening import opening_of
from services.central.live.api import Subscribers, live_router
from services.central.live.live_view import LiveView
from services.central.login.api import pages_router
from services.central.login.guard import may_change, who_asks
from services.central.login.part import LoginPart
from services.central.metadata.database import MetadataUrlError, migrate, open_database
from services.central.metadata.hints import Hints
from services.central.metadata.settings_tables import SettingsTables
from services.central.metrics import PREFIX, CentralMetrics, FreshnessCollector
from services.central.open_files import allow_open_files
from services.central.pages.api_page import api_page
from services.central.pages.head import page_head
from services.central.pages.lost import compared_by
from services.central.problems import add_problems
from services.central.project import Projection
from services.central.proof.api import proof_router
from services.central.proof.part import Clocks as ProofClocks
from services.central.proof.part import ProofPart
from services.central.proof.probation import Probation
from services.central.proof.probation import begin as begin_probation
from services.central.roles.api import add_passed_on, ask_registry, roles_router, to_primary
from services.central.roles.duties import RolesTopics
from services.central.roles.notifier import Notifier
from services.central.roles.part import RolesPart
from services.central.roles.role import Clocks, Progress
from services.central.settings import SettingsLog
from services.central.settings_api import settings_router
from services.central.snapshot.api import add_snapshot_problems, snapshots_router
from services.central.snapshot.kept import Snapshots
from services.central.snapshot.making import Origin
from services.central.snapshot.metrics import SnapshotCollector
from services.central.snapshot.restore import RESTORE, restore_if_asked
from services.central.store.errors import StoreAway
from services.central.store.flow_store import FlowStore
from services.central.store.purposes import Limits
from shared.config import ConfigError, configured_token
from shared.disk_metrics import DiskCollector
from shared.health import Health, health_router
from shared.health_metrics import HealthCollector
from shared.host_port import host_port
from shared.http import http_server, listen
from shared.http_metrics import HttpMetrics
from shared.kafka import Brokers, Looks, configured_brokers
from shared.logs import log_lines
from shared.roles.policy import able
from shared.settings_events import RetentionSet
from shared.snapshot_folder import is_complete
from shared.tasks import end_task
from shared.this_machine import this_machine
from shared.topics import (
    AUDIT,
    COLLECTORS,
    DIGESTS,
    DRILLS,
    FLOWS,
    HA_HISTORY,
    HA_LOG,
    HA_ROLES,
    OUTBOX,
    RATES,
    SETTINGS,
    Outgoing,
    Topic,
)

log = logging.getLogger(__name__)

ROLES_TOPICS = RolesTopics(log=HA_LOG, roles=HA_ROLES, history=HA_HISTORY, outbox=OUTBOX)
STOP_TIMEOUT_S = 5
INSERT_S = 10.0
"""A store that has been at one step for so long is stuck."""


@dataclass(frozen=True, slots=True)
class Central:
    """All parts of a running central, open; `close` closes them."""

    config: CentralConfig
    store: FlowStore
    database: Engine
    health: Health
    metrics: CentralMetrics
    applier: Applier
    looks: Looks
    projection: Projection
    settings_tables: SettingsTables
    settings: SettingsLog
    collectors: CollectorsLog
    proof: ProofPart
    drills: DrillsLog
    live: LiveView
    subscribers: Subscribers
    roles: RolesPart
    notifier: Notifier
    snapshots: Snapshots
    reports: ThreadPoolExecutor
    retention: Callable[[], RetentionSet]
    joining: Joining | None
    keeper: Keeper
    leaving: Leaving
    downloads: Downloads
    machines: Machines
    token: str | None
    login: LoginPart

    def close(self) -> None:
        """Close store and database; the loops have ended before."""
        self.reports.shutdown(cancel_futures=True)
        self.snapshots.close()
        self.store.close()
        self.database.dispose()


def now_ms() -> int:
    """Return the wall clock, ms, UTC."""
    return time.time_ns() // 1_000_000


def open_central(
    config: CentralConfig,
    *,
    flows: Topic = FLOWS,
    settings_topic: Topic = SETTINGS,
    rates: Topic = RATES,
    collectors_topic: Topic = COLLECTORS,
    digests: Topic = DIGESTS,
    drills_topic: Topic = DRILLS,
    audit_topic: Topic = AUDIT,
    roles_topics: RolesTopics = ROLES_TOPICS,
    url: str = "",
    before_step: Callable[[str], None] = lambda step: None,
) -> Central:
    """Open store and metadata, bring their tables to this release, and build the rest.

    Before that a snapshot in `data_dir/restore` is restored where the store is empty.
    Raises ConfigError with one sentence where something cannot work. The topics: tests take some
    of their own. url: where it listens, unless the setting says otherwise. before_step: as of
    `Applier`.
    """
    token, brokers = configured_token(config.token_file), configured_brokers(config)
    check_https(config)
    data_dir = config.data_dir.absolute()
    origin = _embedded(config)
    if is_complete(data_dir / RESTORE):
        begin_probation(data_dir, now_ms())
        # Of the store before; were the new one too old as well, it says so when it reads.
        (data_dir / too_old.MARK).unlink(missing_ok=True)
    restore_if_asked(data_dir, origin)
    database = _open_database(config)
    try:
        store = _open_store(config)
    except BaseException:
        database.dispose()
        raise
    metrics = CentralMetrics()
    health = Health("kafka", "settings")
    snapshots = Snapshots(
        origin,
        data_dir / "snapshots",
        now_ms=now_ms,
        new_id=lambda: secrets.token_hex(8),
        released=lambda why: metrics.snapshots_released.labels(why).inc(),
    )
    snapshots.open()
    metrics.registry.register(SnapshotCollector(PREFIX, snapshots.all, now_ms))
    hints = Hints(database, flows.name)
    tables = SettingsTables(database, settings_topic.name)
    applier = Applier(store, hints, metrics=metrics, health=health, before_step=before_step)
    applier.load()
    _watch(metrics, config, health, applier)

    def retention() -> RetentionSet:
        return tables.retention() or configured_retention(config)

    def known_retention() -> RetentionSet | None:
        # Until the settings are read a longer retention may be missing: then nothing is dropped.
        return retention() if settings.is_complete else None

    async def write_setting(key: bytes, value: bytes | None) -> int:
        sent = await roles.commit([Outgoing(settings_topic.name, key, value), *login.audit.owed()])
        login.audit.paid()
        return sent[0].offset

    login = LoginPart(
        config,
        tables,
        brokers,
        token=token,
        topic=audit_topic,
        now_ms=now_ms,
        metrics=metrics.login,
    )
    settings = SettingsLog(
        tables,
        brokers=brokers,
        topic=settings_topic,
        client_id=f"{config.name}-settings",
        write=write_setting,
        metrics=metrics,
        health=health,
        now_ms=now_ms,
        wait_s=config.settings_wait_s,
    )
    looks = Looks(brokers, client_id=f"{config.name}-looks")
    projection = Projection(
        applier,
        brokers=brokers,
        looks=looks,
        topic=flows,
        client_id=config.name,
        metrics=metrics,
        health=health,
        now_ms=now_ms,
        monotonic_s=time.monotonic,
        retention=known_retention,
        when_old=too_old.TooOld(data_dir, health).note if config.stands_still_when_old else None,
    )
    proof = ProofPart(
        store,
        database,
        applier,
        projection,
        central=config.name,
        brokers=brokers,
        topic=digests,
        clocks=ProofClocks(now_ms, time.monotonic),
        metrics=metrics,
        health=health,
        retention=known_retention,
        primary=lambda: roles.role.primary,
        before_step=before_step,
    )

    probation = Probation(data_dir, health)

    def progress() -> Progress:
        lag = projection.lag()
        # Waiting for Kafka is no reason: everybody waits then.
        is_working = projection.step_s < INSERT_S
        is_well = not {"store", "metadata", "schema", "retention"} & health.reasons.keys()
        is_trusted = probation.is_over(proof.copy)
        return Progress(
            position=sum(applier.positions.values()),
            lag_records=None if lag is None else lag.records,
            lag_s=None if lag is None else lag.lag_s,
            is_fit=is_working and is_well and is_trusted and config.candidate,
        )

    async def catch_up() -> None:
        ends = await looks.ends([flows.name, settings_topic.name])
        await projection.reached(ends[flows.name])
        await settings.reached(ends[settings_topic.name].get(0, 0))

    def told_brokers() -> str:
        return "" if keeper.facts is None else keeper.facts.addresses

    roles = RolesPart(
        brokers,
        looks,
        told_brokers=told_brokers,
        node=config.name,
        boot_id=config.boot_id,
        # Others reach this machine by another name than its own processes do.
        url=lambda: https_url(config) or config.url or url,
        priority=config.priority,
        copies_only=not config.candidate,
        topics=roles_topics,
        progress=progress,
        catch_up=catch_up,
        clocks=Clocks(now_ms, lambda: time.clock_gettime(time.CLOCK_BOOTTIME)),
        health=health,
        metrics=metrics.roles,
        data_dir=data_dir,
    )
    drills = DrillsLog(
        brokers,
        topic=drills_topic,
        history=roles_topics.history,
        client_id=config.name,
        commit=roles.commit,
        now_ms=now_ms,
        wait_s=config.settings_wait_s,
    )
    webhook_url = config.webhook_url
    collectors = CollectorsLog(
        brokers=brokers,
        topic=collectors_topic,
        client_id=f"{config.name}-collectors",
        metrics=metrics.collectors,
        now_ms=now_ms,
    )
    downloads = Downloads(config.download_dir)

    def kept_brokers() -> Brokers | None:
        if config.broker_number == 0 or not (servers := brokers_for_others(config)):
            return None
        return brokers.at(places_to_ask(servers, keeper.facts))

    keeper = Keeper(
        brokers=kept_brokers,
        local=brokers,
        home=config.broker_number,
        is_primary=lambda: roles.role.is_primary,
        centrals=lambda: {member.node for member in roles.role.state.members.values()},
        able=lambda: able(roles.role.state),
        limits=BrokerLimits(
            config.copy_bytes_per_s, config.read_bytes_per_s, config.flows_log_bytes
        ),
        note_disks=lambda text: health.note("kafka's disks", text),
        leaving=tables.leaving,
        change=settings.change,
        now_ms=now_ms,
    )
    metrics.registry.register(BrokerDisks(PREFIX, lambda: keeper.disks))
    machines = Machines(now_ms)

    async def forget(node: str) -> None:
        machines.forget(node)
        snapshots.release_all_of(node)
        await proof.drop(node)

    leaving = Leaving(
        invites=tables.invites,
        change=settings.change,
        is_listed=lambda node: node in {each.node for each in roles.role.state.members.values()},
        ask_registry=lambda request, body: ask_registry(
            request, "forget", config.registries, token, body
        ),
        forget=forget,
        brokers=keeper,
    )
    live = LiveView(
        app_id=f"{config.name}-live",
        brokers=brokers,
        topic=rates,
        metrics=metrics.live,
        health=health,
        now_ms=now_ms,
        monotonic_s=time.monotonic,
    )
    return Central(
        config=config,
        store=store,
        database=database,
        health=health,
        metrics=metrics,
        applier=applier,
        looks=looks,
        projection=projection,
        settings_tables=tables,
        settings=settings,
        collectors=collectors,
        proof=proof,
        drills=drills,
        live=live,
        subscribers=Subscribers(live, metrics.live),
        roles=roles,
        notifier=Notifier(
            roles, webhook_url=None if webhook_url is None else webhook_url.get_secret_value()
        ),
        snapshots=snapshots,
        reports=ThreadPoolExecutor(config.report_clients, thread_name_prefix="report"),
        retention=retention,
        joining=joining_of(
            config,
            token=token,
            urls=lambda: member_urls(roles),
            collectors=collectors.heard_names,
            centrals=lambda: listed_centrals(roles.role.state, config.name),
            invites=tables.invites,
            install=downloads.install,
            keeper=keeper,
            replace=leaving.replace,
            now_ms=now_ms,
        ),
        downloads=downloads,
        machines=machines,
        keeper=keeper,
        leaving=leaving,
        token=token,
        login=login,
    )


def member_urls(roles: RolesPart) -> list[str]:
    """Return where the centrals answer."""
    return sorted({member.url for member in roles.role.state.members.values() if member.url})


def _watch(
    metrics: CentralMetrics, config: CentralConfig, health: Health, applier: Applier
) -> None:
    """Show what is not counted but asked: health, disk, freshness, this process."""
    ProcessCollector(registry=metrics.registry)
    metrics.registry.register(HealthCollector(PREFIX, health))
    metrics.registry.register(DiskCollector(PREFIX, {"data": config.data_dir}))
    metrics.registry.register(FreshnessCollector(lambda: applier.state.streams.values()))


def sources_of(central: Central) -> Sources:
    """Return what `central` answers reports from."""
    return Sources(
        store=central.store,
        database=central.database,
        settings=central.settings_tables,
        applier=central.applier,
        projection=central.projection,
        reports=central.reports,
        line=asyncio.Semaphore(central.config.report_clients),
        retention=central.retention,
        now_ms=now_ms,
        repairs=central.proof.spans_under_repair,
    )


def create_app(central: Central, *, pages: bool = False) -> FastAPI:
    """Return the HTTP side of `central`; it runs no loop.

    pages: with the web pages, which a process can have once.
    """
    app = FastAPI(
        title="steadflow central",
        version="1",
        summary="What the network's exporters reported, counted exactly once.",
        # Theirs are drawn by a script of another host, which would act as whoever is logged in.
        docs_url=None,
        redoc_url=None,
    )
    add_problems(app)
    app.add_middleware(BodyLimit)
    central.login.guard(app)
    app.add_middleware(HttpMetrics, histogram=central.metrics.http)
    central.login.protect(app, lambda: member_urls(central.roles))
    sources = sources_of(central)
    app.include_router(report_router(sources))
    app.include_router(state_router(sources))
    app.include_router(collectors_router(central.collectors, now_ms))
    tls = https_client(central.config)
    passed_on = to_primary(central.roles.role, tls, token=central.token)
    app.include_router(
        settings_router(
            central.settings_tables,
            central.settings,
            retention=central.retention,
            before_change=[may_change, passed_on],
        )
    )
    app.include_router(
        roles_router(
            central.roles,
            registries=central.config.registries,
            token=central.token,
            authorized=may_change,
        )
    )
    app.include_router(node_router(_facts(central), authorized=may_change))
    if central.joining is not None:
        app.include_router(
            invites_router(
                central.settings_tables.invites,
                central.settings.change,
                central.joining,
                authorized=may_change,
                to_primary=passed_on,
                made_by=central.config.name,
            )
        )
    app.include_router(
        network_router(
            central.config.network_file,
            lambda: https_url(central.config),
            authorized=may_change,
        )
    )
    app.include_router(
        machines_router(
            central.machines, _cluster(central), authorized=may_change, to_primary=passed_on
        )
    )
    app.include_router(
        drills_router(
            central.drills,
            central.roles,
            token=central.token,
            authorized=may_change,
            to_primary=passed_on,
            tls=tls,
            now_ms=now_ms,
        )
    )
    app.include_router(snapshots_router(central.snapshots, may_change))
    add_snapshot_problems(app)
    app.include_router(proof_router(central.proof, may_change))
    central.login.add_routes(app, central.settings.change, before_change=[may_change, passed_on])
    add_passed_on(app)
    app.include_router(download_router(central.downloads))
    app.include_router(brokers_router(central.keeper, to_primary=passed_on))
    if central.config.live:
        app.include_router(live_router(central.live, central.subscribers, now_ms))
    app.include_router(health_router(central.health))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(api_page(app.openapi(), head=page_head(), central=central.config.name))

    @app.get("/metrics", tags=["health"], summary="Prometheus metrics")
    async def metrics() -> Response:
        return Response(generate_latest(central.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    if pages:
        # NiceGUI takes a second to import, and who only checks the configuration needs none of it.
        from services.central.pages.desk import Desk
        from services.central.pages.mount import mount_pages

        app.include_router(
            pages_router(central.login.logins, head=page_head, central=central.config.name)
        )
        desk = Desk(
            sources,
            central.health,
            name=central.config.name,
            raw_at_once=central.config.report_clients - 1,
            export_address=central.config.export_address,
            heard_collectors=central.collectors.known,
            roles=central.roles,
            drills=central.drills,
            proven=lambda: list(central.proof.ledger.proven()),
            compared=lambda: compared_by(central.proof.ledger),
            machines=central.machines.known,
            survives=central.keeper.sentences,
            joining_url=lambda: "" if central.joining is None else central.joining.url(),
            opening=lambda: opening_of(central.config.network_file, https_url(central.config)),
            live=central.live.snapshot if central.config.live else None,
        )
        mount_pages(app, desk)
    return app


def _facts(central: Central) -> Callable[[], Awaitable[Json]]:
    return lambda: facts_of(
        central.store,
        lambda: this_machine(central.config.data_dir, now_ms=now_ms()),
        central.settings_tables.retention,
        configured_retention(central.config),
    )


async def _nobody_joins(_who: Newcomer) -> str:
    return ""


def _cluster(central: Central) -> Cluster:
    """Return what machines are told that join or left."""
    role = central.roles.role

    def tick_age_ms() -> float | None:
        last_ms = role.state.last_tick_ms
        return None if last_ms is None else now_ms() - last_ms

    async def note_forced(request: Request, facts: str) -> bool:
        audit = central.login.audit
        return await audit.note_once(audit.record_of_forced(who_asks(request), facts))

    return Cluster(
        invites=central.settings_tables.invites,
        leaving=central.leaving,
        node=_facts(central),
        brokers=lambda: brokers_for_others(central.config),
        gives_brokers=lambda: central.keeper.facts is not None,
        tick_age_ms=tick_age_ms,
        now_ms=now_ms,
        note_forced=note_forced,
        why_taken=_nobody_joins if central.joining is None else central.joining.why_taken,
    )


@contextlib.asynccontextmanager
async def running(central: Central) -> AsyncIterator[asyncio.Task[None]]:
    """Run the loops; the task ends only by an exception, where the fault is ours."""

    async def roles() -> None:
        # Who is busy with its own start must not become primary: it would look dead.
        if central.config.live:
            await central.live.warmed.wait()
        await central.roles.run()

    def may_make() -> bool:
        return central.settings.is_complete and central.roles.role.is_primary

    async def loops() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(central.projection.run())
            group.create_task(central.settings.run())
            group.create_task(central.collectors.run())
            group.create_task(central.proof.run())
            group.create_task(central.drills.run())
            group.create_task(central.login.run(central.settings.change, may_make=may_make))
            group.create_task(roles())
            group.create_task(central.notifier.run())
            group.create_task(central.keeper.run())
            group.create_task(central.snapshots.run())
            if central.config.live:
                group.create_task(central.live.run())

    task = asyncio.create_task(loops())
    try:
        yield task
    finally:
        await end_task(task)
        await central.looks.stop()


async def serve(config: CentralConfig) -> None:
    """Run a central until SIGTERM or SIGINT. Raises what a loop of ours failed with."""
    listener = listen(config.http_host, config.http_port)
    host, port = listener.getsockname()[:2]
    url = f"http://{host_port(host, port)}"
    central = await asyncio.to_thread(partial(open_central, config, url=url))
    try:
        app = create_app(central, pages=True)
        server = http_server(app, stop_s=STOP_TIMEOUT_S)
        https = Https(config, app, is_started=lambda: server.started, stop_s=STOP_TIMEOUT_S)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with running(central) as loops:
            log.info("central starts name=%s url=%s", config.name, url)
            answering = asyncio.create_task(server.serve(sockets=[listener]))
            answering_https = asyncio.create_task(https.run())
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait([answering, stopping, loops], return_when=asyncio.FIRST_COMPLETED)
            central.subscribers.end()
            server.should_exit = True
            stopping.cancel()
            await asyncio.gather(answering, end_task(answering_https))
        if loops.done() and not loops.cancelled() and (error := loops.exception()):
            raise error
    finally:
        listener.close()
        await asyncio.to_thread(central.close)


def run(config: CentralConfig) -> int:
    """Run a central; the exit code."""
    log_lines()
    allow_open_files()
    asyncio.run(serve(config))
    return 0


def check(config: CentralConfig) -> None:
    """Open everything and close it again. Raises ConfigError."""
    open_central(config).close()


def configured_retention(config: CentralConfig) -> RetentionSet:
    """Return what holds while the setting is not set."""
    return RetentionSet(config.raw_days, config.minute_days, config.hour_days)


def _embedded(config: CentralConfig) -> Origin | None:
    """Return the folders that snapshots are made of; None where one of both is by URL."""
    if config.store_url is not None or config.metadata_url is not None:
        return None
    data_dir = config.data_dir.absolute()
    return Origin(store=Path(config.store_place), metadata=data_dir / "metadata.db")


def _open_database(config: CentralConfig) -> Engine:
    try:
        config.data_dir.mkdir(parents=True, exist_ok=True)
        database = open_database(config.metadata_place)
        migrate(database)
    except OSError as error:
        raise ConfigError(f"setting data_dir: {config.data_dir}: {error.strerror}") from error
    except MetadataUrlError as error:
        raise ConfigError(f"setting metadata_url: {error}") from error
    except DBAPIError as error:
        text = str(error.orig).strip().partition("\n")[0]
        raise ConfigError(f"the metadata database cannot be opened: {text}") from error
    return database


def _open_store(config: CentralConfig) -> FlowStore:
    limits = Limits(
        reports=config.report_clients,
        execution_s=config.report_timeout_s,
        memory_bytes=config.report_memory_bytes,
    )
    try:
        store = FlowStore.open(config.store_place, limits=limits)
    except StoreAway as error:
        raise ConfigError(str(error).partition("\n")[0]) from error
    try:
        store.migrate()
    except BaseException:
        store.close()
        raise
    return store
