"""Asks the store for a page: the same statements as the API, never in the event loop."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from services.central.answers import Json, rows_of
from services.central.api import Sources
from services.central.collectors.listing import Heard as HeardCollector
from services.central.drills.log import DrillsLog
from services.central.join.machines import Heard as HeardMachine
from services.central.join.opening import Opening
from services.central.live.windows import LiveSnapshot
from services.central.metadata.seen import SeenRow, exporters_seen
from services.central.pages.failover import Known, failover_of
from services.central.pages.lost import Compared
from services.central.pages.rates_now import Rates, rates_of
from services.central.pages.status import Collector, Heard
from services.central.pages.strip import Model, marks_of, strip_of
from services.central.proof.ledger import Proven
from services.central.reports import Kept, Statement
from services.central.roles.part import RolesPart
from services.central.sources import OpenStreams
from shared.addresses import format_address
from shared.health import Health

Question = Callable[[OpenStreams, Kept], Statement]
"""A report as of `reports.py`, all but the state of the store given."""

log = logging.getLogger(__name__)

FACTS_S = 5.0
DATABASE_ERRORS = (DBAPIError, PoolTimeout)


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows as the API gives them, and what they cover."""

    rows: list[Json]
    statement: Statement
    seconds: float


@dataclass(frozen=True, slots=True)
class Interface:
    """Name and speed as users set them; speed_bps 0 is unknown."""

    name: str
    speed_bps: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known beside the flows.

    exporters: names by address; interfaces: by address and ifIndex; seen_ms: latest flow of each
    exporter; first_ms: first flow of all, None before there was one. sightings: by exporter, one
    for each export version.
    """

    exporters: Mapping[str, str] = field(default_factory=dict)
    interfaces: Mapping[tuple[str, int], Interface] = field(default_factory=dict)
    seen_ms: Mapping[str, int] = field(default_factory=dict)
    first_ms: int | None = None
    sightings: Mapping[str, Sequence[SeenRow]] = field(default_factory=dict)


def is_slow(statement: Statement) -> bool:
    """Tell whether every flow of the range has to be looked at."""
    return statement.source == "raw" and "FROM losses" not in statement.sql


class Desk:
    """Answers questions of all open pages; made once, used in the event loop.

    Questions that only raw rows answer pass through a line of their own, so that one report client
    is always left for the quick ones.
    """

    def __init__(
        self,
        sources: Sources,
        health: Health,
        *,
        name: str,
        raw_at_once: int,
        export_address: str,
        roles: RolesPart,
        drills: DrillsLog,
        heard_collectors: Callable[[], list[HeardCollector]],
        proven: Callable[[], Sequence[Proven]] | None = None,
        compared: Callable[[], Compared] = Compared,
        joining_url: Callable[[], str] = lambda: "",
        opening: Callable[[], Opening] = Opening,
        machines: Callable[[], Sequence[HeardMachine]] = tuple,
        survives: Callable[[], Sequence[str]] = tuple,
        live: Callable[[], LiveSnapshot] | None = None,
    ) -> None:
        """Answer from `sources` as the central called `name`; export_address: as configured.

        raw_at_once: questions to raw rows at a time. heard_collectors: those that said something
        on topic `collectors`. live: the live rates, None without them. proven: how far the others
        are equal, None where nobody compares. compared, joining_url, opening, machines, survives:
        as of `Known`.
        """
        self.name = name
        self.export_address = export_address
        self.heard_collectors = heard_collectors
        self._sources = sources
        self._health = health
        self._raw_line = asyncio.Semaphore(max(1, raw_at_once))
        self._facts: Facts | None = None
        self._facts_until_s = 0.0
        self._roles = roles
        self._live = live
        self._drills, self._proven, self._joining_url = drills, proven, joining_url
        self._compared = compared
        self._opening = opening
        self._machines = machines
        self._survives = survives

    @property
    def now_ms(self) -> int:
        """Return the wall clock, ms, UTC."""
        return self._sources.now_ms()

    @property
    def kept(self) -> Kept:
        """Return since when each kind of row is kept."""
        return self._sources.kept

    def plan(self, question: Question) -> Statement:
        """Return the statement; raises ReportError. Its `source` says whether it is quick."""
        _, streams = self._sources.vector()
        return question(streams, self._sources.kept)

    async def ask(self, statement: Statement) -> Answer:
        """Answer a statement. Raises the store's errors."""
        if not is_slow(statement):
            return await self._ask(statement)
        async with self._raw_line:
            # A thread cannot be stopped: who leaves early must still keep the place in line.
            asking = asyncio.ensure_future(self._ask(statement))
            try:
                return await asyncio.shield(asking)
            except asyncio.CancelledError:
                await asyncio.wait([asking])
                raise

    async def facts(self) -> Facts:
        """Return names and sightings, at most FACTS_S old; older ones while the database is away.

        Raises the database's errors as long as it never answered.
        """
        if time.monotonic() >= self._facts_until_s:
            try:
                self._facts = await asyncio.to_thread(self._read_facts)
            except DATABASE_ERRORS as error:
                if self._facts is None:
                    raise
                log.warning("names and sightings stay as they were: %s", error)
            self._facts_until_s = time.monotonic() + FACTS_S
        assert self._facts is not None
        return self._facts

    def rates_now(self, metric: str) -> Rates | None:
        """Return what passes each exporter and interface now; None while it is not known."""
        snapshot = self._live() if self._live is not None else None
        return None if snapshot is None else rates_of(snapshot, metric)

    def strip(self) -> Model:
        """Return who is primary and how the nodes stand, as every page shows it."""
        roles = self._roles
        return strip_of(
            roles.role.state, roles.committed.written, here=self.name, now_ms=self.now_ms
        )

    def failover(self) -> Model:
        """Return the model of the Failover page."""
        return failover_of(
            Known(
                here=self.name,
                state=self._roles.role.state,
                written=self._roles.committed.written,
                proven=None if self._proven is None else self._proven(),
                compared=self._compared(),
                entries=self._drills.entries,
                drills=self._drills.known(),
                joining_url=self._joining_url(),
                opening=self._opening(),
                machines=self._machines(),
                survives=self._survives(),
            ),
            self.now_ms,
        )

    def marks(self, from_ms: int, to_ms: int) -> Sequence[Model]:
        """Return the takeovers of a range, for its charts."""
        return marks_of(self._roles.committed.takeovers, from_ms, to_ms)

    def heard(self, facts: Facts) -> Heard:
        """Return what the central knows of its own freshness now."""
        applier, projection = self._sources.applier, self._sources.projection
        ends = projection.end_offsets
        waiting = sum(
            max(0, ends.get(number, position) - position)
            for number, position in applier.positions.items()
        )
        streams = list(applier.state.streams.values())
        return Heard(
            now_ms=self.now_ms,
            reasons=self._health.reasons,
            waiting=waiting,
            newest_ms=max((each.newest_ms for each in streams), default=0),
            flows_ms=max(facts.seen_ms.values(), default=0),
        )

    def collectors(self) -> list[Collector]:
        """Return every collector's worker that was heard, and how long ago."""
        newest_ms: dict[str, int] = {}
        for each in self._sources.applier.state.streams.values():
            newest_ms[each.worker] = max(newest_ms.get(each.worker, 0), each.newest_ms)
        now_ms = self.now_ms
        return [
            Collector(worker, max(0, now_ms - heard_ms) / 1000)
            for worker, heard_ms in newest_ms.items()
            if heard_ms
        ]

    async def _ask(self, statement: Statement) -> Answer:
        started_s = time.monotonic()
        table = await self._sources.query(statement)
        rows = await asyncio.to_thread(rows_of, table) if table.num_rows > 100 else rows_of(table)
        return Answer(rows, statement, time.monotonic() - started_s)

    def _read_facts(self) -> Facts:
        sightings: dict[str, list[SeenRow]] = {}
        for each in exporters_seen(self._sources.database):
            sightings.setdefault(each.exporter, []).append(each)
        firsts = (each.first_seen_ms for rows in sightings.values() for each in rows)
        settings = self._sources.settings
        return Facts(
            {format_address(each.exporter): each.name for each in settings.exporters()},
            {
                (format_address(each.exporter), each.if_index): Interface(each.name, each.speed_bps)
                for each in settings.interfaces()
            },
            {key: max(each.last_seen_ms for each in rows) for key, rows in sightings.items()},
            min(firsts, default=None),
            sightings,
        )
