"""The bar on top."""

from hypothesis import example, given
from hypothesis import strategies as st

from services.central.pages.header import Crumb, header
from services.central.pages.status import Level, Status
from services.central.pages.time_range import LATEST_MS, Absolute
from services.central.pages.view import Read, View, read_view

NOW_MS = 1_800_000_000_000
STATUS = Status(Level.GOOD, "Receiving", "All is well.", 0.84)


def _header(read: Read, now_ms: int = NOW_MS) -> dict[str, object]:
    return header(
        read, central="central-a", crumbs=[Crumb("Overview")], status=STATUS, now_ms=now_ms
    )


def test_every_choice_is_a_link_that_changes_one_thing() -> None:
    model = _header(read_view("?from=now-3h&host=10.0.0.1"))

    refresh = model["refresh"]
    assert isinstance(refresh, dict)
    for item in refresh["items"]:
        view = read_view(item["href"]).view
        assert view.filters == (("host", "10.0.0.1"),)
        assert f"{view.refresh_s} s" == item["label"] or view.refresh_s in (0, 60, 300)
    assert [item["label"] for item in refresh["items"] if item["chosen"]] == ["10 s"]


def test_it_names_the_central_and_how_fresh_it_is() -> None:
    model = _header(Read(View()))

    assert model["central"] == "central-a"
    assert model["status"] == {
        "level": "good",
        "word": "Receiving",
        "sentence": "All is well.",
        "lag": "0.8 s",
    }


def test_chips_name_the_application_and_remove_themselves() -> None:
    model = _header(read_view("?application=tcp/443&src_as=64500"))

    assert model["chips"] == [
        {"label": "application", "value": "HTTPS (tcp/443)", "href": "?src_as=64500"},
        {"label": "source AS", "value": "64500", "href": "?application=tcp/443"},
    ]


def test_nothing_moves_within_a_minute_so_that_the_bar_is_not_sent_again() -> None:
    read = Read(View())

    assert _header(read, NOW_MS) == _header(read, NOW_MS + 59_000)


def test_an_absolute_range_is_told_in_ms_for_the_browser_to_write_in_its_zone() -> None:
    model = _header(Read(View(range=Absolute(60_000, 120_000))))

    chosen = model["range"]
    assert isinstance(chosen, dict)
    assert (chosen["label"], chosen["from_ms"], chosen["to_ms"]) == (None, 60_000, 120_000)


ENDS = st.one_of(
    st.sampled_from(["now", "0", "60000", str(LATEST_MS), "1970-01-01T00:00:00Z"]),
    st.integers(0, 10**14).map(str),
    st.builds("now-{}{}".format, st.integers(0, 10**9), st.sampled_from("smhdw")),
)


@given(ENDS, ENDS)
@example("now-999999999w", "now-999999998w")
def test_whatever_range_stands_in_the_address_there_is_a_bar(since: str, until: str) -> None:
    model = _header(read_view(f"?from={since}&to={until}"))

    assert read_view(str(model["wider"])).ignored == ()
