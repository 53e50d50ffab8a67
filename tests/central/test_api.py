"""The report API over HTTP, on a real store; no broker is there."""

import asyncio
import json
import socket
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest
from fastapi import FastAPI

from services.central.api import DAY_MS, Sources, kept_by, report_router
from services.central.app import Central, sources_of
from services.central.body_limit import BODY_BYTES
from services.central.messages import MINUTE_MS
from services.central.reports import Cursor, Kept, ReportRequest, totals
from services.central.store.errors import ReportsBusy
from services.central.store.retention import Held
from shared.addresses import pack_address
from shared.losses import Loss, LossReason
from shared.machine import Machine
from shared.settings_events import RetentionSet
from shared.topics import FLOWS, SETTINGS
from tests.central.centrals import URL, Place, authorized, client_of
from tests.central.stream_messages import Datagram, Stream, cut, facts_of, log_of, send

NOW_MS = time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS
STREAM = 2**64 - 2
HEX = "fffffffffffffffe"


def a_stream() -> Stream:
    """Three minutes of it, the last one open: 6 datagrams of 2 rows each."""
    at_ms = [NOW_MS - 3 * MINUTE_MS + n // 2 * MINUTE_MS + n for n in range(6)]
    datagrams = tuple(Datagram(n, at, 2) for n, at in enumerate(at_ms, start=1))
    return Stream(id=STREAM, datagrams=datagrams)


@pytest.fixture(scope="module")
def central(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Central]:
    """One for all tests here: none of them changes it."""
    # Nothing listens on port 1: what needs Kafka is away.
    place = Place(tmp_path_factory.mktemp("central"), "127.0.0.1:1", FLOWS, SETTINGS)
    with place.opened(config=place.config(settings_wait_s=0.5)) as opened:
        stream = a_stream()
        lost = (Loss(pack_address("192.0.2.9"), LossReason.TEMPLATE_MISSING, 3),)
        log = log_of([send(stream, 1, 2, losses=lost), *cut(stream, first=3)])
        opened.applier.start(facts_of(log))
        opened.applier.apply(log)
        yield opened


@pytest.fixture
async def client(central: Central) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(central) as opened:
        yield opened


async def test_totals_are_of_everything_with_losses_and_the_vector(
    client: httpx.AsyncClient,
) -> None:
    answer = (await client.get("/api/v1/totals")).json()
    assert (answer["flows"], answer["packets"], answer["bytes"]) == (12, 12, 6)
    assert answer["bytes_scaled"] == 6
    assert answer["losses"] == {"template_missing": {"datagrams": 3, "flows": 0}}
    assert answer["open_streams"][HEX]["minutes_until"] == text(NOW_MS - MINUTE_MS)
    assert answer["notes"] == []


async def test_a_range_is_taken_in_rfc_3339_and_before_now(client: httpx.AsyncClient) -> None:
    start = text(NOW_MS - 3 * MINUTE_MS)
    end = text(NOW_MS - 2 * MINUTE_MS)
    for query in ({"from": start, "to": end}, {"from": start.replace("Z", "+00:00"), "to": end}):
        answer = (await client.get("/api/v1/totals", params=query)).json()
        assert (answer["flows"], answer["from"], answer["to"]) == (4, start, end)
    answer = await client.get("/api/v1/totals", params={"from": "-6h", "to": "-5h"})
    assert answer.json()["flows"] == 0


async def test_top_and_timeseries_sum_to_the_totals(client: httpx.AsyncClient) -> None:
    top = (await client.get("/api/v1/reports/top", params={"by": "in_if"})).json()
    (row,) = top["rows"]
    assert (row["exporter"], row["in_if"], row["flows"]) == ("0.0.0.1", 3, 12)
    series = await client.get("/api/v1/reports/timeseries", params={"step": "60"})
    rows = series.json()["rows"]
    assert [row["flows"] for row in rows] == [4, 4, 4]
    assert rows[0]["at"] == text(NOW_MS - 3 * MINUTE_MS)


async def test_filters_may_be_given_more_than_once(client: httpx.AsyncClient) -> None:
    for values, flows in ((["3"], 12), (["3", "4"], 12), (["4"], 0)):
        answer = await client.get("/api/v1/totals", params={"in_if": values})
        assert answer.json()["flows"] == flows


async def test_exporters_and_interfaces_carry_names_and_when_they_were_seen(
    client: httpx.AsyncClient,
) -> None:
    (exporter,) = (await client.get("/api/v1/exporters")).json()["rows"]
    assert (exporter["exporter"], exporter["flows"]) == ("0.0.0.1", 12)
    assert exporter["export_versions"] == [9]
    assert exporter["first_seen"] == text(NOW_MS - 3 * MINUTE_MS)
    rows = (await client.get("/api/v1/interfaces")).json()["rows"]
    (interface,) = [row for row in rows if row["interface"] == 3]
    assert (interface["in_flows"], interface["out_flows"], interface["name"]) == (12, 0, None)


async def test_flows_come_by_pages_each_once(client: httpx.AsyncClient) -> None:
    found = []
    query = {"limit": "5"}
    while True:
        page = (await client.get("/api/v1/flows", params=query)).json()
        found += page["rows"]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    places = [(row["datagram"], row["bytes"]) for row in found]
    assert sorted(places) == [(number, n) for number in range(1, 7) for n in range(2)]
    assert found[0]["stream"] == HEX
    assert found[0]["next_hop"] is None
    assert found[0]["direction"] is None
    assert found[0]["sampling_rate"] is None


async def test_losses_positions_and_streams(client: httpx.AsyncClient) -> None:
    (loss,) = (await client.get("/api/v1/losses")).json()["rows"]
    assert loss == {
        "exporter": "192.0.2.9", "reason": "template_missing", "datagrams": 3, "flows": 0,
    }  # fmt: skip
    (position,) = (await client.get("/api/v1/positions")).json()["rows"]
    assert (position["topic"], position["next_offset"]) == ("flows", 3)
    (stream,) = (await client.get("/api/v1/streams")).json()["rows"]
    assert (stream["stream"], stream["last"], stream["open"]) == (HEX, 6, True)


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("totals?form=-1h", "form"),
        ("totals?from=yesterday", "from"),
        ("totals?from=2026-01-01T00:00:00", "from"),
        ("totals?from=-1h&from=-2h", "from"),
        ("totals?from=-1h&to=-2h", "to"),
        ("totals?from=-999999999w", "from"),
        ("totals?limit=5", "limit"),
        ("reports/top?by=bytes);DROP", "by"),
        ("reports/top?metric=beer", "metric"),
        ("reports/top?limit=0", "limit"),
        ("reports/top?limit=99999999999999999999", "limit"),
        ("reports/top?scaled=maybe", "scaled"),
        ("reports/top?exporter=nowhere", "exporter"),
        ("reports/top?in_if=-1", "in_if"),
        ("reports/timeseries", "step"),
        ("reports/timeseries?step=7", "step"),
        ("reports/timeseries?step=60&from=-6d&by=src_addr&limit=10000", "limit"),
        ("totals?from=-1h&to=2106-02-07T06:28:15Z", "to"),
        ("totals?host=fe80::1%25eth0", "host"),
        ("flows?cursor=x", "cursor"),
        ("flows?cursor=W0luZmluaXR5LDEsMSwxXQ==", "cursor"),
        ("flows?cursor=" + urlsafe_b64encode(b"[" * 30_000).decode(), "cursor"),
        ("flows?cursor=" + Cursor(1, 1, 1, 2**32 - 1).encode(), "cursor"),
        ("losses?in_if=3", "in_if"),
        ("positions?from=-1h", "from"),
        ("streams?x=1", "x"),
    ],
)
async def test_nonsense_is_a_problem_that_names_the_parameter(
    client: httpx.AsyncClient, path: str, parameter: str
) -> None:
    answer = await client.get(f"/api/v1/{path}")
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["parameter"] == parameter
    assert problem["detail"].startswith(f"{parameter}: ")
    assert problem["status"] == 400


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST"])
async def test_another_method_is_told_which_one_is_allowed(
    client: httpx.AsyncClient, method: str
) -> None:
    answer = await client.request(method, "/api/v1/totals", headers=authorized())
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


async def test_a_large_body_is_not_read_whole(client: httpx.AsyncClient) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(1000):
            read += BODY_BYTES
            yield b"[" * BODY_BYTES

    path = "/api/v1/settings/retention"
    answer = await client.put(path, content=body(), headers=authorized())
    assert answer.status_code == 413, answer.text
    assert read <= 2 * BODY_BYTES


def hurried(central: Central) -> Sources:
    """What the API answers from, with room for one report and little patience."""
    return replace(
        sources_of(central), line=asyncio.Semaphore(1), now_ms=lambda: NOW_MS, wait_s=0.01
    )


@asynccontextmanager
async def answering(sources: Sources) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(report_router(sources))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=f"{URL}/api/v1") as opened:
        yield opened


@pytest.mark.parametrize("path", ["totals", "exporters", "interfaces"])
async def test_an_answer_of_all_there_is_says_what_may_be_missing_of_it(
    central: Central, path: str
) -> None:
    under_repair = (NOW_MS - 2 * MINUTE_MS, NOW_MS - MINUTE_MS)
    async with answering(replace(hurried(central), repairs=lambda: [under_repair])) as client:
        (note,) = (await client.get(path)).json()["notes"]
        assert "is under repair" in note
    async with answering(hurried(central)) as client:
        assert (await client.get(path)).json()["notes"] == []
        notes = (await client.get(path, params={"from": "1970-01-01T00:00:00Z"})).json()["notes"]
        assert "of the start of this range nothing is kept" in notes


@pytest.mark.parametrize(("path", "rows"), [("exporters", 1), ("interfaces", 2), ("losses", 1)])
async def test_a_list_that_ends_at_its_limit_says_so_where_there_is_more(
    client: httpx.AsyncClient, path: str, rows: int
) -> None:
    whole = (await client.get(f"/api/v1/{path}", params={"limit": str(rows)})).json()
    assert (len(whole["rows"]), whole["notes"]) == (rows, [])
    cut = (await client.get(f"/api/v1/{path}", params={"limit": "1"})).json()
    assert cut["rows"] == whole["rows"][:1]
    assert cut["notes"] == ["there are more rows: these are the first 1"][: rows - 1]


async def test_every_interface_of_a_large_network_is_one_answer(client: httpx.AsyncClient) -> None:
    for limit, status in (("50000", 200), ("50001", 400)):
        answer = await client.get("/api/v1/interfaces", params={"limit": limit})
        assert answer.status_code == status


DAYS = RetentionSet(raw_days=7, minute_days=30, hour_days=730)
NOW_DAY_MS = NOW_MS // DAY_MS * DAY_MS


def days_ago(days: int) -> int:
    return NOW_DAY_MS - days * DAY_MS


def test_rows_are_kept_as_long_as_the_retention_says() -> None:
    held = Held(first_ms=days_ago(800), raw_ms=days_ago(7), minutes_ms=days_ago(30))
    kept = kept_by(DAYS, held, now_ms=NOW_MS)
    assert kept == Kept(days_ago(7), days_ago(30), days_ago(730))


def test_what_was_dropped_is_not_kept_when_the_retention_grows() -> None:
    held = Held(first_ms=days_ago(30), raw_ms=days_ago(4), minutes_ms=days_ago(10))
    kept = kept_by(DAYS, held, now_ms=NOW_MS)
    assert kept == Kept(days_ago(4), days_ago(10), days_ago(30))


def test_a_young_store_has_dropped_no_flow_record() -> None:
    for held in (Held(), Held(first_ms=days_ago(2)), Held(first_ms=days_ago(7))):
        assert kept_by(DAYS, held, now_ms=NOW_MS).raw_from_ms == 0
    assert kept_by(DAYS, Held(first_ms=days_ago(8)), now_ms=NOW_MS).raw_from_ms == days_ago(7)


async def test_a_report_waits_in_line_only_so_long(central: Central) -> None:
    sources = hurried(central)
    statement = totals(ReportRequest(from_ms=0, to_ms=NOW_MS), [])
    assert (await sources.query(statement)).num_rows == 1
    async with sources.line:
        with pytest.raises(ReportsBusy):
            await sources.query(statement)
    assert (await sources.query(statement)).num_rows == 1


async def test_nothing_is_dropped_before_the_settings_are_read(central: Central) -> None:
    assert not central.settings.is_complete
    assert central.retention() is not None
    assert central.projection._retention() is None


async def test_an_unknown_path_is_a_problem_too(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/beer")
    assert (answer.status_code, answer.json()["title"]) == (404, "Not Found")


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic x", "Bearer", "Bearer \u00fc"])
async def test_a_change_without_the_token_is_refused(
    client: httpx.AsyncClient, header: str | None
) -> None:
    headers = {} if header is None else {b"Authorization": header.encode()}
    answer = await client.delete("/api/v1/settings/retention", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("path", "body", "parameter"),
    [
        ("retention", {"raw_days": 1, "minute_days": 30, "hour_days": 730}, "raw_days"),
        ("retention", {"raw_days": 40, "minute_days": 30, "hour_days": 730}, "body"),
        ("retention", {"raw_days": 7, "minute_days": 30, "hour_days": 730, "x": 1}, "x"),
        ("exporters/nowhere", {"name": "core"}, "exporter"),
        ("exporters/192.0.2.1", {"name": ""}, "name"),
        ("interfaces/192.0.2.1/x", {"name": "core"}, "if_index"),
    ],
)
async def test_a_change_with_nonsense_names_what_is_wrong(
    client: httpx.AsyncClient, path: str, body: dict[str, object], parameter: str
) -> None:
    answer = await client.put(f"/api/v1/settings/{path}", json=body, headers=authorized())
    assert (answer.status_code, answer.json()["parameter"]) == (400, parameter)


async def test_a_change_without_a_primary_says_so(client: httpx.AsyncClient) -> None:
    answer = await client.delete("/api/v1/settings/retention", headers=authorized())
    assert answer.status_code == 503
    assert "no primary" in answer.json()["detail"]


async def test_a_page_of_another_origin_may_change_nothing(client: httpx.AsyncClient) -> None:
    for origin, status in (("http://elsewhere", 403), (URL, 503)):
        headers = authorized() | {"Origin": origin}
        answer = await client.delete("/api/v1/settings/retention", headers=headers)
        assert answer.status_code == status, answer.text


async def test_who_joins_is_told_what_this_machine_is_and_whether_it_is_reached(
    client: httpx.AsyncClient,
) -> None:
    facts = (await client.get("/api/v1/node", headers=authorized())).json()
    assert Machine.from_json(facts["machine"]).cores >= 1
    assert facts["store_bytes"] > 0
    assert (facts["kept_days"], facts["is_kept_by_setting"]) == ([7, 30, 730], False)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        open_port = listener.getsockname()[1]
        answer = await client.post(
            "/api/v1/node/reach", json={"ports": [open_port]}, headers=authorized()
        )
        assert answer.json() == {"from": "127.0.0.1", "problems": [], "host": None}
        named = await client.post(
            "/api/v1/node/reach?host=localhost", json={"ports": [open_port]}, headers=authorized()
        )
        assert (named.json()["problems"], named.json()["host"]["is_tried"]) == ([], True)
    answer = await client.post(
        "/api/v1/node/reach", json={"ports": [open_port]}, headers=authorized()
    )
    assert f"127.0.0.1:{open_port}: " in answer.json()["problems"][0]
    assert (await client.get("/api/v1/node")).status_code == 401


async def test_health_and_metrics(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health/live")).status_code == 200
    ready = await client.get("/health/ready")
    assert (ready.status_code, set(ready.json()["reasons"])) == (503, {"kafka", "settings"})
    metrics = (await client.get("/metrics")).text
    assert "steadflow_central_flow_rows_total 12.0" in metrics
    assert 'steadflow_central_lost_datagrams_total{reason="template_missing"} 3.0' in metrics


async def test_every_report_is_described_with_an_example(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    for name in ("totals", "reports/top", "flows", "positions", "streams", "losses"):
        operation = paths[f"/api/v1/{name}"]["get"]
        content = operation["responses"]["200"]["content"]["application/json"]
        answer = (await client.get(f"/api/v1/{name}")).json()
        assert content["example"].keys() == answer.keys(), name
    assert json.dumps(paths["/api/v1/settings/retention"]["put"])


def text(at_ms: int) -> str:
    at = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return at.replace("+00:00", "Z")
