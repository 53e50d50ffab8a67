"""What pages show of ranges of which not everything is kept any more: rates stay what they were."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from nicegui.element import Element

from services.central.app import Central
from services.central.instants import format_instant
from services.central.pages.desk import Desk
from services.central.pages.network_panels import InterfacesPanel
from services.central.pages.nothing_panel import NothingPanel
from services.central.pages.stats_panel import StatsPanel
from services.central.pages.traffic_panel import TrafficPanel
from services.central.store.rollups import Level
from shared.settings_events import RetentionSet
from shared.topics import FLOWS, SETTINGS
from tests.central.centrals import Place
from tests.central.flow_values import DAY_MS, HOUR_MS, MINUTE_MS
from tests.central.page_frames import desk_of, loaded, steady, tab

TODAY_MS = 1_800_000_000_000 // DAY_MS * DAY_MS
NOW_MS = TODAY_MS + 10 * HOUR_MS
KEPT = RetentionSet(raw_days=7, minute_days=30, hour_days=730)
OLD_MS = TODAY_MS - 40 * DAY_MS + 10 * HOUR_MS
"""An hour of which only its sum is kept."""


@pytest.fixture(scope="module")
def central(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Central]:
    """100 Mbit/s in an hour of long ago; what retention drops is dropped."""
    place = Place(tmp_path_factory.mktemp("central"), "127.0.0.1:1", FLOWS, SETTINGS)
    with place.opened() as opened:
        steady(opened, stream=1, from_ms=OLD_MS, to_ms=OLD_MS + HOUR_MS, every_ms=5 * MINUTE_MS)
        opened.store.drop_raw_before(day(TODAY_MS - KEPT.raw_days * DAY_MS))
        opened.store.drop_rollups_before(Level.MINUTE, day(TODAY_MS - KEPT.minute_days * DAY_MS))
        yield opened


@pytest.fixture
def desk(central: Central) -> Desk:
    return desk_of(central, NOW_MS, KEPT)


def day(at_ms: int) -> date:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date()


def between(from_ms: int, to_ms: int) -> dict[str, str]:
    return {"from": format_instant(from_ms), "to": format_instant(to_ms), "refresh": "0"}


def model(element: Element) -> dict[str, Any]:
    found: dict[str, Any] = element._props["model"]
    return found


async def test_rates_are_of_the_whole_hours_that_were_summed(desk: Desk) -> None:
    asked = between(OLD_MS, OLD_MS + 5 * MINUTE_MS)
    with tab(desk, asked) as frame:
        stats, traffic, interfaces = StatsPanel(desk), TrafficPanel(), InterfacesPanel(desk)
        await loaded(frame, stats, traffic, interfaces)
        headline, chart, table = (model(each.element) for each in (stats, traffic, interfaces))

    assert headline["stats"][0]["value"] == "100 Mbit/s"
    assert [each["value"] for each in chart["legend"]] == ["100 Mbit/s", "0 bit/s"]
    inwards, _ = chart["options"]["series"]
    assert inwards["data"] == [[OLD_MS, 100_000_000]]
    cells = {row["id"]: [cell["text"] for cell in row["cells"][1:3]] for row in table["rows"]}
    assert cells["0.0.0.1 3"] == ["100 Mbit/s", "0 bit/s"]


async def test_a_wider_range_is_said_where_a_person_sees_it(desk: Desk) -> None:
    asked = between(OLD_MS, OLD_MS + 5 * MINUTE_MS)
    with tab(desk, asked) as frame:
        stats, traffic = StatsPanel(desk), TrafficPanel()
        await loaded(frame, stats, traffic)
        headline, chart = model(stats.element), model(traffic.element)

    widened = "minutes of this range are no longer kept: widened to whole hours"
    assert headline["note"] == widened
    assert chart["note"].startswith("1 h per point")
    assert chart["options"]["xAxis"]["max"] == OLD_MS + HOUR_MS


async def test_without_flows_it_is_said_there(desk: Desk) -> None:
    with tab(desk, between(OLD_MS - 5 * HOUR_MS, OLD_MS - 5 * HOUR_MS + MINUTE_MS)) as frame:
        nothing = NothingPanel(desk, frame.export_target)
        await loaded(frame, nothing)
        shown = model(nothing.element)

    assert "widened to whole hours" in shown["warning"]
