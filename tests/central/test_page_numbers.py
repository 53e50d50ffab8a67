"""What pages show of ranges of which not everything is kept any more: rates stay what they were."""

import math
from collections.abc import Iterator

import pytest

from services.central.app import Central
from services.central.instants import format_instant
from services.central.pages import tables
from services.central.pages.covering import covered
from services.central.pages.desk import Desk, Facts
from services.central.pages.network_panels import InterfacesPanel
from services.central.pages.nothing_panel import NothingPanel
from services.central.pages.stats_panel import StatsPanel
from services.central.pages.top_panel import TopPanel
from services.central.pages.traffic_panel import TrafficPanel
from services.central.reports import Kept, ReportRequest, totals
from shared.settings_events import RetentionSet
from shared.topics import FLOWS, SETTINGS
from tests.central.centrals import Place
from tests.central.flow_values import DAY_MS, HOUR_MS, MINUTE_MS
from tests.central.page_frames import desk_of, loaded, model, steady, tab

TODAY_MS = 1_800_000_000_000 // DAY_MS * DAY_MS
NOW_MS = TODAY_MS + 10 * HOUR_MS
KEPT = RetentionSet(raw_days=7, minute_days=30, hour_days=730)
OLD_MS = TODAY_MS - 40 * DAY_MS + 10 * HOUR_MS
"""An hour of which only its sum is kept."""
MONTH_MS = TODAY_MS - 30 * DAY_MS
NO_ADDRESS = "::"
"""The source of all flows here: their exporter says none."""


@pytest.fixture(scope="module")
def central(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Central]:
    """100 Mbit/s in an hour of long ago and all of 30 days; what retention drops is dropped."""
    place = Place(tmp_path_factory.mktemp("central"), "127.0.0.1:1", FLOWS, SETTINGS)
    with place.opened() as opened:
        steady(opened, stream=1, from_ms=OLD_MS, to_ms=OLD_MS + HOUR_MS, every_ms=5 * MINUTE_MS)
        steady(opened, stream=2, from_ms=MONTH_MS, to_ms=TODAY_MS, every_ms=DAY_MS)
        opened.applier.drop_old(NOW_MS, KEPT)
        yield opened


@pytest.fixture
def desk(central: Central) -> Desk:
    return desk_of(central, NOW_MS, KEPT)


def between(from_ms: int, to_ms: int) -> dict[str, str]:
    return {"from": format_instant(from_ms), "to": format_instant(to_ms), "refresh": "0"}


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


CONVERSATIONS = ("Top conversations", "Source", "conversation", tables.conversation)


async def test_what_flow_records_alone_answer_is_of_the_time_of_which_they_are_kept(
    desk: Desk,
) -> None:
    with tab(desk, between(MONTH_MS, TODAY_MS)) as frame:
        stats, top = StatsPanel(desk), TopPanel(*CONVERSATIONS)
        await loaded(frame, stats, top)
        headline, table = model(stats.element), model(top.element)

    assert headline["stats"][0]["value"] == "100 Mbit/s"
    (row,) = table["rows"]
    assert [cell["text"] for cell in row["cells"][1:]] == ["100 Mbit/s", "100 %"]
    assert table["note"] == "from flow records of the last 7 d"


async def test_what_is_not_kept_is_not_drawn_as_others(desk: Desk) -> None:
    asked = {**between(MONTH_MS, TODAY_MS), "src_addr": NO_ADDRESS, "split": "application"}
    with tab(desk, asked) as frame:
        traffic, interfaces = TrafficPanel(), InterfacesPanel(desk)
        await loaded(frame, traffic, interfaces)
        chart, table = model(traffic.element), model(interfaces.element)

    (entry,) = chart["legend"]
    assert entry["name"] != "Others"
    assert entry["value"] == "100 Mbit/s"
    assert chart["options"]["series"][0]["data"][0][0] == TODAY_MS - 7 * DAY_MS
    assert chart["options"]["xAxis"]["min"] == MONTH_MS
    assert chart["note"].endswith("; from flow records of the last 7 d")
    cells = {row["id"]: row["cells"][1]["text"] for row in table["rows"]}
    assert cells["0.0.0.1 3"] == "100 Mbit/s"
    assert table["note"] == "from flow records of the last 7 d"


async def test_totals_that_only_flow_records_have_are_of_that_time_too(desk: Desk) -> None:
    with tab(desk, {**between(MONTH_MS, TODAY_MS), "src_port": "0"}) as frame:
        stats, traffic, top = StatsPanel(desk), TrafficPanel(), TopPanel(*CONVERSATIONS)
        await loaded(frame, stats, traffic, top)
        headline, chart, table = (model(each.element) for each in (stats, traffic, top))

    assert headline["stats"][0]["value"] == "100 Mbit/s"
    assert "those of the start of the range are dropped" in headline["note"]
    assert [each["value"] for each in chart["legend"]] == ["100 Mbit/s"]
    assert [cell["text"] for cell in table["rows"][0]["cells"][1:]] == ["100 Mbit/s", "100 %"]


async def test_of_a_range_without_flow_records_it_is_said_that_they_are_dropped(
    desk: Desk,
) -> None:
    with tab(desk, between(MONTH_MS, MONTH_MS + 10 * DAY_MS)) as frame:
        stats, top = StatsPanel(desk), TopPanel(*CONVERSATIONS)
        await loaded(frame, stats, top)
        headline, table = model(stats.element), model(top.element)

    assert headline["stats"][0]["value"] == "100 Mbit/s"
    assert table["trouble"].endswith("those of this range are dropped")


async def test_where_all_flow_records_are_kept_nothing_is_said(desk: Desk) -> None:
    with tab(desk, between(TODAY_MS - DAY_MS, TODAY_MS)) as frame:
        stats, traffic, top = StatsPanel(desk), TrafficPanel(), TopPanel(*CONVERSATIONS)
        await loaded(frame, stats, traffic, top)
        headline, chart, table = (model(each.element) for each in (stats, traffic, top))

    assert headline["note"] == ""
    assert chart["note"] == "10 min per point"
    assert table["note"] == "from flow records"


async def test_before_the_first_flow_of_all_nothing_was_dropped(desk: Desk) -> None:
    desk._facts, desk._facts_until_s = Facts(first_ms=TODAY_MS - DAY_MS), math.inf
    with tab(desk, between(MONTH_MS, TODAY_MS)) as frame:
        top = TopPanel(*CONVERSATIONS)
        await loaded(frame, top)

    assert model(top.element)["note"] == "from flow records"


def test_hours_that_are_dropped_are_no_time_to_divide_by() -> None:
    kept = Kept(hours_from_ms=MONTH_MS, minutes_from_ms=TODAY_MS, raw_from_ms=TODAY_MS)
    request = ReportRequest(from_ms=MONTH_MS - DAY_MS, to_ms=MONTH_MS + DAY_MS)

    assert covered([totals(request, (), kept)], kept) == (MONTH_MS, MONTH_MS + DAY_MS)
