"""What machines report, what one may ask before it joins, and how one is forgotten."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from services.central.answers import Json
from services.central.join.leaving import Leaving
from services.central.join.machines import KEPT_MS, LATE_MS, MACHINES_MAX, Heard, Machines, Report
from services.central.join.machines_api import Cluster, machines_router
from services.central.join.names import Newcomer
from services.central.pages.failover import failover_of
from services.central.pages.machines import machines_of
from services.central.problems import Forbidden, add_problems, problem
from services.central.proof.ledger import Proven
from services.central.too_old import MARK, TooOld, too_old
from shared.health import Health
from shared.invite_token import InviteToken, hash_secret
from shared.kafka import KafkaAway, PartitionFacts
from shared.settings_events import Invite, SettingRemoved, SettingsEvent, invite_key
from tests.central.stream_messages import a_stream, cut, log_of
from tests.central.test_apply import Machine
from tests.central.test_failover_page import KNOWN

NOW_MS = 1_700_000_000_000
TOKEN = InviteToken("00" * 8, "5e" * 24, "f1" * 32)
OPEN = Invite(TOKEN.invite, "standby", hash_secret(TOKEN.secret), expires_at_ms=NOW_MS + 1)
USED = Invite("11" * 8, "standby", "aa" * 32, NOW_MS, "a", "central-c", "bb" * 32, 5)
RIGHT = {"Authorization": "Bearer right"}
RED = {"check": "disk", "light": "red", "found": "full", "remedy": "make room"}
GREEN = {"check": "release", "light": "green", "found": "1.0", "remedy": ""}
COPYING: Json = {
    "name": "central-c", "phase": "copying", "says": "copies the snapshot", "lines": [GREEN],
    "bytes_done": 250_000_000, "bytes_total": 10**9, "bytes_per_s": 5e6, "eta_s": 150.0,
    "pace": "150 s for 0.8 GB", "checked_ms": NOW_MS,
}  # fmt: skip


@dataclass
class Central:
    """A central in memory, whose registry lists `listed`.

    brokers: machines that have one, and whether it answers. left: those that go, and for whom.
    kafka: as others reach it. gives_brokers: whether that is one of steadflow's.
    """

    invites: list[Invite] = field(default_factory=lambda: [OPEN, USED])
    listed: set[str] = field(default_factory=lambda: {"central-c"})
    removed: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    brokers: dict[str, bool] = field(default_factory=dict)
    left: list[tuple[str, str]] = field(default_factory=list)
    forced: list[str] = field(default_factory=list)
    is_away: bool = False
    kafka: str = "kafka:1"
    gives_brokers: bool = True
    now_ms: int = NOW_MS

    def __post_init__(self) -> None:
        self.machines = Machines(lambda: self.now_ms)

    async def change(self, event: SettingsEvent) -> None:
        assert isinstance(event, SettingRemoved)
        self.removed.append(event.key)

    async def look(self) -> None:
        if self.is_away:
            raise KafkaAway("no broker answers")

    def has(self, machine: str) -> bool:
        return machine in self.brokers

    def answers(self, machine: str) -> bool:
        return self.brokers.get(machine, False)

    async def leave(
        self, machine: str, *, replaced_by: str = "", had_central: bool = False
    ) -> bool:
        if machine in self.brokers:
            self.left.append((machine, replaced_by))
        return machine in self.brokers

    async def forget(self, node: str) -> None:
        if self.is_away:
            raise KafkaAway("no broker answers")
        self.forgotten.append(node)

    @property
    def leaving(self) -> Leaving:
        return Leaving(
            invites=lambda: self.invites,
            change=self.change,
            is_listed=lambda node: node in self.listed,
            ask_registry=self.registry,
            forget=self.forget,
            brokers=self,
        )

    async def registry(self, request: Request, body: Json) -> Response:
        node = body["node"]
        if node not in self.listed:
            return problem(HTTPStatus.PRECONDITION_FAILED, f"there is no node {node}")
        self.listed.discard(node)
        return Response("{}")

    async def note_forced(self, _request: Request, facts: str) -> bool:
        self.forced.append(facts)
        return not self.is_away

    async def why_taken(self, who: Newcomer) -> str:
        return "central-c runs already: choose another" if who.name in self.listed else ""

    async def node(self) -> Json:
        return {"store_bytes": 5}

    @property
    def app(self) -> FastAPI:
        async def authorized(request: Request) -> None:
            if request.headers.get("Authorization") != "Bearer right":
                raise Forbidden("no")

        async def to_primary(request: Request) -> None: ...

        app = FastAPI()
        add_problems(app)
        cluster = Cluster(
            invites=lambda: self.invites,
            leaving=self.leaving,
            node=self.node,
            brokers=lambda: self.kafka,
            gives_brokers=lambda: self.gives_brokers,
            tick_age_ms=lambda: 300.0,
            now_ms=lambda: self.now_ms,
            why_taken=self.why_taken,
            note_forced=self.note_forced,
        )
        app.include_router(
            machines_router(self.machines, cluster, authorized=authorized, to_primary=to_primary)
        )
        return app

    async def ask(
        self, method: str, path: str, body: object = None, *, scheme: str = "https", **more: str
    ) -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url=f"{scheme}://central"
        ) as client:
            return await client.request(method, f"/api/v1{path}", json=body, headers=RIGHT | more)


async def test_what_is_reported_is_listed_until_it_is_old() -> None:
    central = Central()

    assert (await central.ask("POST", "/join/progress", COPYING)).status_code == 200
    (row,) = (await central.ask("GET", "/join/progress")).json()["rows"]
    assert (row["phase"], row["bytes_done"], row["reported_ms"]) == ("copying", 250_000_000, NOW_MS)

    central.now_ms += KEPT_MS + 1
    assert (await central.ask("GET", "/join/progress")).json()["rows"] == []


async def test_a_join_in_spite_of_red_lines_is_recorded_or_told_again() -> None:
    central = Central()
    forced = {**COPYING, "forced": ["disk", "time\nzone"], "forced_ms": NOW_MS}
    assert (await central.ask("POST", "/join/progress", COPYING)).status_code == 200
    assert central.forced == []

    assert (await central.ask("POST", "/join/progress", forced)).status_code == 200
    assert central.forced == [
        "name=central-c checked=2023-11-14T22:13:20.000Z forced=disk, time?zone"
    ]
    central.is_away = True
    assert (await central.ask("POST", "/join/progress", forced)).status_code == 503
    assert len(central.machines.known()) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"name": "x/y"},
        {"forced": ["x" * 61]},
        {"forced": ["x"] * 33},
        {"forced_ms": -1},
        {"phase": "COPYING"},
        {"lines": [RED] * 33},
        {"lines": [{**RED, "light": "blue"}]},
        {"problem": "x" * 301},
        {"bytes_total": 1 << 63},
        {"eta_s": float("1e300")},
    ],
)
async def test_what_is_too_much_or_nonsense_is_not_kept(change: dict[str, Any]) -> None:
    central = Central()

    answer = await central.ask("POST", "/join/progress", {**COPYING, **change})

    assert answer.status_code == 400
    assert central.machines.known() == []


async def test_no_more_than_so_many_are_kept_the_newest() -> None:
    machines = Machines(iter(range(NOW_MS, NOW_MS + 1000)).__next__)
    for number in range(MACHINES_MAX + 3):
        machines.hear(Report(name=f"c{number:02}", phase="copying"))

    assert len(machines.known()) == MACHINES_MAX
    assert machines.known()[0].report.name == "c03"


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/join/progress"), ("GET", "/join/progress"), ("POST", "/cluster/forget")],
)
async def test_others_are_told_nothing(method: str, path: str) -> None:
    central = Central()
    body = {**COPYING, "node": "central-c"}

    answer = await central.ask(method, path, body, Authorization="Bearer wrong")

    assert answer.status_code == 401
    assert central.listed == {"central-c"}


async def test_a_token_shows_the_primary_and_is_not_used_up() -> None:
    central = Central()
    body = {"token": str(TOKEN), "name": "central-d", "ports": []}

    for _ in range(2):
        answer = await central.ask("POST", "/join/preview", body)
        assert answer.json() == {
            "store_bytes": 5, "brokers": "kafka:1", "tick_age_ms": 300.0, "problems": [],
            "name_taken": "", "from": "127.0.0.1", "host": None,
        }  # fmt: skip
    assert central.removed == []


@pytest.mark.parametrize("gives_brokers", [True, False])
async def test_a_brokers_ports_are_tried_before_a_join_where_one_will_run(
    gives_brokers: bool,
) -> None:
    body = {"token": str(TOKEN), "name": "central-d"}
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    path = f"/join/preview?host=localhost&broker_port={port}"

    answer = (await Central(gives_brokers=gives_brokers).ask("POST", path, body)).json()

    assert [f"127.0.0.1:{port}: " in each for each in answer["problems"]] == [True] * gives_brokers
    assert "127.0.0.1" in answer["host"]["addresses"]
    assert answer["host"]["is_tried"]


async def test_before_a_token_is_used_up_it_is_said_that_the_name_is_taken() -> None:
    body = {"token": str(TOKEN), "name": "central-c", "ports": []}

    answer = await Central().ask("POST", "/join/preview", body)

    assert answer.json()["name_taken"] == "central-c runs already: choose another"


@pytest.mark.parametrize(
    ("token", "scheme", "late_ms", "why"),
    [
        (TOKEN, "http", 0, "https only"),
        (TOKEN, "https", 1, "expired"),
        (InviteToken(TOKEN.invite, "00" * 24, "f1" * 32), "https", 0, "not known here"),
    ],
)
async def test_another_token_shows_nothing(
    token: InviteToken, scheme: str, late_ms: int, why: str
) -> None:
    central = Central(now_ms=NOW_MS + late_ms)
    body = {"token": str(token), "name": "central-d"}

    answer = await central.ask("POST", "/join/preview", body, scheme=scheme)

    assert (answer.status_code, why in answer.text) == (403, True), answer.text


async def test_who_left_is_forgotten_with_its_invites() -> None:
    central = Central()

    answer = await central.ask("POST", "/cluster/forget", {"node": "central-c"})

    assert answer.json() == {"node": "central-c"}
    assert (central.listed, central.removed) == (set(), [invite_key(USED.invite)])
    assert central.forgotten == ["central-c"]


async def test_what_broke_off_behind_the_registry_is_finished_by_another_try() -> None:
    central = Central(listed=set())

    assert (await central.ask("POST", "/cluster/forget", {"node": "central-c"})).status_code == 200
    assert central.removed == [invite_key(USED.invite)]


async def test_whom_nobody_knows_is_said() -> None:
    central = Central()

    answer = await central.ask("POST", "/cluster/forget", {"node": "central-x"})

    assert (answer.status_code, "no node central-x" in answer.text) == (412, True)
    assert (central.removed, central.forgotten) == ([], [])


async def test_its_broker_goes_before_the_last_that_tells_of_it() -> None:
    central = Central(listed=set(), invites=[], brokers={"central-c": False})

    assert (await central.ask("POST", "/cluster/forget", {"node": "central-c"})).status_code == 200

    assert central.left == [("central-c", "")]


ASKED = Request({"type": "http", "method": "POST", "headers": []})


async def test_a_machine_that_is_gone_is_replaced_and_forgotten() -> None:
    central = Central(brokers={"central-c": False})

    await central.leaving.replace(ASKED, "central-c", "central-d")

    assert central.left == [("central-c", "central-d")]
    assert (central.listed, central.removed) == (set(), [invite_key(USED.invite)])
    # Broken off behind that, it is asked for again.
    await central.leaving.replace(ASKED, "central-c", "central-d")


@pytest.mark.parametrize(
    ("gone", "newcomer", "why"),
    [
        ("central-c", "central-d", "only a machine that is gone"),
        ("central-d", "central-d", "its own place"),
        ("central-x", "central-d", "no node central-x"),
    ],
)
async def test_who_is_heard_or_unknown_is_not_replaced(gone: str, newcomer: str, why: str) -> None:
    central = Central(brokers={"central-c": True})

    with pytest.raises(HTTPException) as refused:
        await central.leaving.replace(ASKED, gone, newcomer)

    assert (refused.value.status_code, why in refused.value.detail) == (409, True)
    assert (central.left, central.removed, central.listed) == ([], [], {"central-c"})


async def test_where_kafka_is_away_nobody_is_taken_for_dead() -> None:
    central = Central(brokers={"central-c": False}, is_away=True)

    with pytest.raises(HTTPException) as refused:
        await central.leaving.replace(ASKED, "central-c", "central-d")

    # Worth another try: the token is kept.
    assert refused.value.status_code == 503
    assert (central.left, central.listed) == ([], {"central-c"})


async def test_what_one_that_left_told_is_dropped_before_the_last_that_tells_of_it() -> None:
    central = Central(brokers={"central-c": False}, is_away=True)

    with pytest.raises(HTTPException) as refused:
        await central.leaving.take_leave(ASKED, "central-c")
    assert (refused.value.status_code, "try again" in refused.value.detail) == (503, True)
    assert (central.left, central.removed) == ([], [])

    central.is_away = False
    await central.leaving.take_leave(ASKED, "central-c")
    assert (central.forgotten, len(central.removed)) == (["central-c"], 1)


def shown(report: Json, *, late_ms: int = 0) -> Json:
    (model,) = machines_of([Heard(Report(**report), NOW_MS - late_ms)], NOW_MS)
    return model


def test_the_page_shows_how_far_a_copy_is() -> None:
    model = shown(COPYING)

    assert model["copy"] == {"share": 0.25, "text": "250 MB of 1.00 GB, 5.00 MB/s, 2 min left"}
    assert (model["says"], model["level"], model["heard"]) == ("copies the snapshot", "calm", "")
    assert [line["check"] for line in model["lines"]] == ["release"]


def test_the_page_shows_of_a_standby_what_needs_somebody() -> None:
    model = shown({**COPYING, "phase": "standby", "lines": [GREEN, RED], "copies_only": True})

    assert [line["remedy"] for line in model["lines"]] == ["make room"]
    assert (model["greens"], model["level"], model["copy"]) == (1, "bad", None)
    assert model["kind"] == "keeps a copy only"
    assert shown({**COPYING, "phase": "standby"})["level"] == "good"


def test_a_machine_that_fell_silent_is_said() -> None:
    assert shown(COPYING, late_ms=LATE_MS)["heard"] == "not heard for 3 min"


def test_what_a_node_that_left_once_held_holds_up_no_proof() -> None:
    left = Proven("gone", 1, 3)
    model = failover_of(replace(KNOWN, proven=[Proven("b", 9 * 60_000, 0), left]), NOW_MS)

    assert not any("gone" in alarm for alarm in model["alarms"])


FACTS: Sequence[PartitionFacts] = [PartitionFacts("id", 0, 5, 9), PartitionFacts("id", 1, 0, 3)]


def test_a_position_below_the_log_is_too_old_and_one_within_is_not() -> None:
    stream = a_stream(at_ms=[0, 1, 2, 3])
    sent = cut(stream, frozenset({1, 2, 3}))
    machine = Machine()
    log = log_of(sent[:1])
    machine.read(log)
    topic_id = log[0].place.topic_id

    # Stopped for less than the retention, as an old primary that comes back: it reads on.
    assert machine.applier.too_old([PartitionFacts(topic_id, 0, 1, 4)]) == ""
    assert "1 are gone" in machine.applier.too_old([PartitionFacts(topic_id, 0, 2, 4)])
    # Made again: nothing of the old one can come any more.
    assert machine.applier.too_old([PartitionFacts("other", 0, 2, 4)]) == ""
    assert too_old({}, FACTS) == ""


def test_it_is_marked_for_the_agent_until_it_is_mended(tmp_path: Path) -> None:
    health = Health()
    old = TooOld(tmp_path, health)

    old.note("away for longer")
    assert (tmp_path / MARK).read_text() == "away for longer"
    assert health.reasons == {"retention": "away for longer"}

    old.note("")
    assert not (tmp_path / MARK).exists()
    assert health.ready
